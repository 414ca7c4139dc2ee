-- 0039_stream_parts.sql: a topic that was deleted and made again is another one, whatever its name and offsets say; and messages that hold nothing
-- are counted.

-- +goose Up
create table stream_parts (
	source_id bigint not null references sources (id) on delete cascade,
	stream text not null,
	part integer not null,
	incarnation text not null,
	primary key (source_id, stream, part)
);
comment on table stream_parts is 'As which incarnation (a topic''s id) a part of a source was read last.';
alter table ingest_minutes add column empty integer not null default 0;
comment on column ingest_minutes.empty is 'messages without a value, such as Kafka''s tombstones';
