-- 0047_pulled.sql: sources that are asked for what is new, such as Rasa's tracker store: how far they were read, and which process reads them.

-- +goose Up
alter table stream_parts
	add column committed bigint,
	add column holder text not null default '',
	add column held_until timestamptz;
comment on table stream_parts is 'What is known of a part of a source from before: as which incarnation (a topic''s id) it was read last, and of a source that is asked for what is new how far, and by whom.';
comment on column stream_parts.committed is 'of a source that is asked: up to which place all is stored';
comment on column stream_parts.holder is 'the process that alone asks it, until held_until';
