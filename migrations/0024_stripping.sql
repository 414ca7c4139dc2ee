-- 0024_stripping.sql: texts and events that are kept less long than the conversations they belong to.

-- +goose Up
alter table retention_rules
	add column text_days integer check (text_days between 1 and 36500),
	add column event_days integer check (event_days between 1 and 36500),
	add check (event_days is null or text_days is not null and text_days <= event_days),
	add check (conversation_days is null or coalesce(event_days, text_days, 0) <= conversation_days);
comment on table retention_rules is 'The most specific rule holds for a conversation; '''' means all. null days: as long as what holds it, texts by events, events by conversations, these for ever.';

alter table conversations add column stripped smallint not null default 0;
comment on column conversations.stripped is 'what retention removed of it: 1 its texts and the bodies of its events, 2 its events too; with 10 added, more came since; 0 nothing';
create index conversations_texts_kept on conversations (started_at, id) where stripped <> all ('{1,2}'::smallint[]);
create index conversations_events_kept on conversations (started_at, id) where stripped <> 2;

alter table projections add column sealed bigint not null default 0;
comment on column projections.sealed is 'time up to which something of the sender was stripped, microseconds since 1970: what lies before is never folded again';

alter table retention_runs
	add column texts bigint not null default 0,
	add column events bigint not null default 0;
comment on column retention_runs.texts is 'conversations whose texts were removed; events likewise';
