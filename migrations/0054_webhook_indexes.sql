-- 0054_webhook_indexes.sql: bodies of webhooks by version and by whom they are of.

-- +goose Up
create index webhook_bodies_version on webhook_bodies (webhook_id, version) where whole;
create index webhook_bodies_people on webhook_bodies using gin (people) where people <> '{}';
create index webhook_bodies_nobody on webhook_bodies (webhook_id) where people = '{}';
