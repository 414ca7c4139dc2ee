-- 0005_streams.sql: consumers of brokers, where they stand, and how long events take to arrive.

-- +goose Up
alter table sources
	add column paused_at timestamptz,
	add column paused_by text not null default '',
	add column paused_why text not null default '',
	add column settings jsonb not null default '[]';
comment on column sources.paused_at is 'since when consumers leave the source alone; null: they read it';
comment on column sources.settings is 'how the source is configured, as [name, value] pairs to show; never a secret';

alter table ingest_minutes
	add column delays bigint[] not null default '{}',
	add column redelivered bigint not null default 0;
comment on column ingest_minutes.delays is 'Stored events by the time from the event to its commit: up to 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30 s, 1, 5, 15 min, 1, 6 h, 1, 7 d, and longer.';

create table stream_members (
	source_id bigint not null references sources,
	member text not null,
	started_at timestamptz not null,
	seen_at timestamptz not null,
	state text not null check (state in ('connecting', 'reading', 'waiting', 'paused', 'failed', 'stopped')),
	reason text not null default '',
	state_at timestamptz not null,
	error text not null default '',
	error_at timestamptz,
	reconnects bigint not null default 0,
	primary key (source_id, member)
);
comment on table stream_members is 'The consumers of each broker source, one row a process. reason says why one waits or failed; error is the last thing that went wrong.';

create table stream_positions (
	source_id bigint not null references sources,
	stream text not null,
	part integer not null,
	committed bigint,
	newest bigint,
	lag bigint not null,
	at timestamptz not null,
	primary key (source_id, stream, part)
);
comment on table stream_positions is 'How far a source was read when last looked: a row a Kafka partition (committed and newest offset) or a RabbitMQ queue (lag: messages waiting).';
