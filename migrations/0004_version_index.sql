-- 0004_version_index.sql: lists of one release's conversations.

-- +goose Up
create index conversations_version on conversations (version_id, started_at desc, id desc);
