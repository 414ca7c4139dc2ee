-- 0020_users.sql: who came in each stretch that is rolled up, so that people can be counted over any range. It is there once
-- all has been counted again, which the version in rollup_state sees to.

-- +goose Up
alter table rollup_slots add column users bytea not null default '';
alter table rollup_days add column users bytea not null default '';
alter table rollup_day_sums add column users bytea not null default '';
comment on column rollup_slots.users is 'People, each as a number made from the user''s id or the sender, when their first conversation ever began, whether they wrote; packed by Turnwise.';
