-- 0002_sources.sql: where events come from, what came each minute, and what could not be stored.

-- +goose Up
create table sources (
	id bigint primary key,
	name text not null unique,
	kind text not null,
	created_at timestamptz not null default now()
);

create table ingest_minutes (
	source_id bigint not null references sources,
	minute timestamptz not null,
	shard smallint not null,
	stored bigint not null default 0,
	known bigint not null default 0,
	revised bigint not null default 0,
	rejected bigint not null default 0,
	delay_ms double precision not null default 0,
	newest_at timestamptz,
	received_at timestamptz not null,
	primary key (source_id, minute, shard)
);
comment on table ingest_minutes is 'What each source brought in each minute of arrival. delay_ms sums, over stored events, arrival minus event time. shard only keeps writers apart.';
create index ingest_minutes_minute on ingest_minutes (minute);

create table rejected_events (
	id uuid primary key,
	source_id bigint not null references sources,
	first_at timestamptz not null,
	last_at timestamptz not null,
	seen bigint not null,
	position text not null,
	code text not null,
	detail text not null,
	byte_offset integer not null,
	assistant text not null,
	environment text not null,
	body bytea not null,
	size integer not null,
	state text not null default 'open' check (state in ('open', 'replayed', 'discarded')),
	state_at timestamptz,
	state_by text not null default ''
);
comment on table rejected_events is 'Bodies that could not be stored as events, with the reason. The same body rejected again only counts.';
create index rejected_events_open on rejected_events (last_at desc, id desc) where state = 'open';
create index rejected_events_source on rejected_events (source_id, state);
