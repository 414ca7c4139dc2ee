-- 0013_conversations_escalated.sql: when an assistant last handed somebody over.

-- +goose Up
create index conversations_escalated on conversations (assistant_id, started_at) where escalated_at is not null;
