-- 0017_search.sql: the words of each conversation, indexed by a job a moment after they were stored, so that ingest does
-- not wait for it. What is stored already is marked to be indexed.

-- +goose Up
create extension if not exists pg_trgm;

create table conversation_texts (
	sender_id bigint not null,
	conversation_id uuid not null,
	started_at timestamptz not null,
	row_version bigint not null,
	words tsvector not null,
	primary key (sender_id, conversation_id)
);
comment on table conversation_texts is 'The search document of a conversation: words without case and accents, made by Turnwise, not by a text search configuration.';
comment on column conversation_texts.row_version is 'xmin of the row of conversations that was read';
create index conversation_texts_words on conversation_texts using gin (words) with (fastupdate = on, gin_pending_list_limit = 4096);
create index conversation_texts_started on conversation_texts (started_at desc, conversation_id desc);
alter table conversation_texts alter column words set statistics 1000;

create table search_words (
	word text primary key
);
comment on table search_words is 'Long words that occur, against which mistyped ones are held.';
create index search_words_alike on search_words using gin (word gin_trgm_ops);

create table search_marks (
	id bigint generated always as identity primary key,
	whole boolean not null default false,
	senders bigint[] not null
);
comment on table search_marks is 'Senders whose conversations changed and are to be indexed; whole: also those whose events did not change, as a note or a tag did.';
insert into search_marks (senders)
select array_agg(id)
from (select id, row_number() over (order by id) / 500 as part from senders) as s
group by part;

create table search_state (
	one boolean primary key default true check (one)
);
comment on table search_state is 'One row, locked by who indexes.';
insert into search_state default values;
