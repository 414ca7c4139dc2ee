-- 0006_rollups.sql: figures counted beforehand, so that charts do not grow slower with history, and which hours
-- changed since they were counted.

-- +goose Up
create table rollup_marks (
	hour timestamptz not null,
	assistant_id integer not null,
	lane smallint not null,
	changes bigint not null default 1,
	primary key (hour, assistant_id, lane)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 500);
comment on table rollup_marks is 'Hours (UTC) whose conversations, by their start, changed since they were counted. Written in the transaction that changes them; lane keeps writers apart.';

create table rollup_slots (
	at timestamptz not null,
	assistant_id integer not null,
	environment_id integer not null,
	channel_id integer not null,
	version_id bigint not null,
	conversations bigint not null,
	tally bytea not null,
	flows bytea not null,
	hours bytea not null,
	primary key (at, assistant_id, environment_id, channel_id, version_id)
);
comment on table rollup_slots is 'Conversations counted by their start, in slots of an hour, or of a half or quarter where the workspace''s zone asks for it. tally, flows and hours (response times by hour of the day) are packed by Turnwise; the facts stay in conversations and flow_runs.';

create table rollup_days (like rollup_slots including all);
comment on table rollup_days is 'The same by days of the workspace''s zone; at is the day''s first instant.';

create table rollup_stale_days (
	at timestamptz not null,
	assistant_id integer not null,
	marked_at timestamptz not null,
	primary key (at, assistant_id)
);
comment on table rollup_stale_days is 'Days whose hours were counted again since the day was; until it is, its slots are read.';

create table rollup_state (
	one boolean primary key default true check (one),
	zone text not null,
	version integer not null
);
comment on table rollup_state is 'The zone whose days the rollups have, and the version of what is packed. When either changes, all is counted again.';

-- What is there already must be counted.
insert into rollup_marks (hour, assistant_id, lane)
select distinct date_trunc('hour', started_at, 'UTC'), assistant_id, -1 from conversations;
