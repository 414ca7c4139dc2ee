-- 0038_absorbed.sql: a sender's conversations that took sessions in are few, and looked up by themselves; one sender may have very many conversations.

-- +goose Up
create index conversations_absorbed on conversations (sender_id) where absorbed <> '{}';
