-- 0011_conversations_sender.sql: a sender's conversations by time, for who came back; one sender may have very many.

-- +goose Up
create index conversations_sender on conversations (sender_id, started_at);
