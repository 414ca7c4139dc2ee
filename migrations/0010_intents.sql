-- 0010_intents.sql: how sure the platform was of each turn's intent, and what the page of intents counts. Turns stored
-- before have no confidence until `turnwise rebuild` has run.

-- +goose Up
alter table turns add column confidence real;
comment on column turns.confidence is 'of the intent, 0 to 1; null when the platform told no intent';
alter table rollup_slots add column intents bytea not null default '';
alter table rollup_days add column intents bytea not null default '';
