-- 0015_rollup_day_sums.sql: what pages show of whole assistants, added up beforehand. It is there once all has been counted
-- again, which the version in rollup_state sees to.

-- +goose Up
create table rollup_day_sums (
	at timestamptz not null,
	assistant_id integer not null,
	flows bytea not null,
	hours bytea not null,
	intents bytea not null,
	primary key (at, assistant_id)
);
comment on table rollup_day_sums is 'flows, hours and intents of rollup_days over all environments, channels and versions of an assistant.';
