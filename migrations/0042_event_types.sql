-- 0042_event_types.sql: which types of events arrive is counted where they are stored, so that an admin sees one that nothing is made of.

-- +goose Up
create table event_types (
	day date not null, -- of arrival, UTC
	source_id bigint not null references sources,
	type text not null, -- the first 100 bytes; '' for those beyond the most frequent of a batch
	shard smallint not null,
	stored bigint not null,
	last_at timestamptz not null,
	primary key (day, source_id, type, shard)
);
comment on table event_types is 'Stored events by type and day of arrival. shard only keeps writers apart.';
