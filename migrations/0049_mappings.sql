-- 0049_mappings.sql: bodies that a mapping turns into events, when they are set aside, say by which.

-- +goose Up
alter table rejected_events add column mapping text not null default '';
comment on column rejected_events.mapping is 'the mapping that should have made events of the body; empty for none';
