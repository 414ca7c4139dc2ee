-- 0038_absorbed.sql: which conversation took a session in is looked up by the session; one sender may have very many conversations.

-- +goose Up
create index conversations_absorbed on conversations using gin (absorbed) where absorbed <> '{}';
