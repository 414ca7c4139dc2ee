-- 0001_facts.sql: the small tables that name things, the fold's state, and the facts it makes of events.
-- Every fact's key begins with sender_id; what grows with traffic is range-partitioned by time, its
-- partitions made by the writer when the first event of a month arrives.

-- +goose Up
create table assistants (
	id integer primary key,
	name text not null unique,
	settings jsonb not null default '{}',
	created_at timestamptz not null default now()
);
comment on table assistants is 'Bots. id is made from the name, so that it is the same in every database.';

create table environments (
	id integer primary key,
	name text not null unique
);

create table channels (
	id integer primary key,
	name text not null unique
);

create table versions (
	id bigint primary key,
	assistant_id integer not null references assistants,
	model_id text not null,
	model_name text not null,
	first_seen_at timestamptz not null
);
comment on table versions is 'Releases of an assistant, by the model that answered. The name is model_name, else model_id.';
create index versions_assistant on versions (assistant_id, first_seen_at);

create table ingest_shards (
	shard smallint primary key
);
comment on table ingest_shards is 'One row for each of 64 virtual shards of senders; a writer locks the rows of its batch.';
insert into ingest_shards select generate_series(0, 63);

create table senders (
	id bigint primary key,
	assistant_id integer not null,
	sender_key text not null,
	user_id text not null default '',
	channel text not null default '',
	first_seen_at timestamptz not null,
	last_seen_at timestamptz not null
) with (fillfactor = 85);
comment on table senders is 'The keys by which events are folded: one end user on one channel of one assistant.';
create index senders_key on senders (sender_key);
create index senders_user on senders (user_id) where user_id <> '';

create table projections (
	sender_id bigint primary key,
	newest_time double precision not null,
	state bytea not null
) with (fillfactor = 70);
comment on table projections is 'The state of the fold of each sender. Nobody else reads it.';

create table events (
	sender_id bigint not null,
	at timestamptz not null,
	id uuid not null,
	conversation_id uuid not null,
	seq bigint not null,
	version_id bigint not null,
	body_hash bigint not null,
	environment_id integer not null,
	turn integer not null,
	part smallint not null,
	pos smallint not null,
	flags smallint not null,
	type text not null,
	name text not null,
	flow_id text not null,
	step_id text not null,
	agent_id text not null,
	primary key (sender_id, at, id)
) partition by range (at);
comment on table events is 'One fact about a conversation, as received. Empty text and 0 mean: not told.';
comment on column events.seq is 'microseconds of the time, raised where needed to grow strictly within the conversation';
comment on column events.part is 'the bundle in event_payloads that holds the body; pos is its place there, from 0';
comment on column events.flags is '1 a field did not fit, 2 body repaired, 4 redacted copy, 8 stack patch not applied';

create table event_payloads (
	sender_id bigint not null,
	at timestamptz not null,
	conversation_id uuid not null,
	part smallint not null,
	bodies text not null,
	primary key (sender_id, at, conversation_id, part)
) partition by range (at);
comment on table event_payloads is 'The bodies of up to 64 events of a conversation, in order, divided by the character U+001E.';
alter table event_payloads alter column bodies set storage main;

create table event_originals (
	sender_id bigint not null,
	event_id uuid not null,
	body bytea not null,
	primary key (sender_id, event_id)
);
comment on table event_originals is 'The exact bytes of events whose body had to be repaired before PostgreSQL could hold it.';

create table messages (
	sender_id bigint not null,
	at timestamptz not null,
	id uuid not null,
	conversation_id uuid not null,
	seq bigint not null,
	turn integer not null,
	author smallint not null check (author between 1 and 3),
	confidence real,
	text text not null,
	rich text,
	intent text not null,
	retrieval_intent text not null,
	template text not null,
	message_id text not null,
	entities text,
	primary key (sender_id, at, id)
) partition by range (at);
comment on table messages is 'What was said. author: 1 user, 2 assistant, 3 human agent. id is the event''s.';

create table conversations (
	sender_id bigint not null,
	id uuid not null,
	assistant_id integer not null,
	environment_id integer not null,
	channel_id integer not null,
	version_id bigint not null,
	user_id text not null,
	session_id text not null,
	first_time double precision not null,
	first_rank smallint not null,
	first_event uuid not null,
	started_at timestamptz not null,
	last_at timestamptz not null,
	active_at timestamptz not null,
	ended_at timestamptz,
	closes_at timestamptz not null,
	end_reason text not null,
	first_seq bigint not null,
	last_seq bigint not null,
	events integer not null,
	user_messages integer not null,
	bot_messages integer not null,
	agent_messages integer not null,
	turns integer not null,
	outcome text not null check (outcome in ('resolved_confirmed', 'resolved_assumed', 'escalated', 'abandoned', 'not_engaged')),
	escalated_at timestamptz,
	escalation_reason text not null,
	csat text not null check (csat in ('', 'SATISFIED', 'UNSATISFIED', 'UNANSWERED')),
	flows text[] not null,
	last_flow text not null,
	first_text text not null,
	response_ms double precision[] not null,
	response_median_ms double precision,
	facets text[] not null,
	checkpoint bytea not null,
	primary key (sender_id, id)
) with (fillfactor = 90);
comment on table conversations is 'Sessions: the unit that is counted, listed, reviewed and exported.';
comment on column conversations.active_at is 'time of the last event that was no mere end or silence; the duration is active_at - started_at';
comment on column conversations.closes_at is 'ended_at, else the idle limit after last_at; the conversation is open while this lies ahead';
comment on column conversations.outcome is 'how it ended; while it is open, how it would have if it ended now';
comment on column conversations.facets is 'what lists filter by, as prefix:value';
comment on column conversations.checkpoint is 'the fold''s state before the first event';
alter table conversations alter column facets set statistics 1000;
create index conversations_started on conversations (started_at desc, id desc);
create index conversations_facets on conversations using gin (facets) with (fastupdate = on, gin_pending_list_limit = 1024);
create index conversations_closes on conversations (closes_at);
create index conversations_id on conversations (id);
create index conversations_user on conversations (user_id, started_at desc) where user_id <> '';

create table turns (
	sender_id bigint not null,
	conversation_id uuid not null,
	n integer not null,
	at timestamptz not null,
	message_id uuid not null,
	seq bigint not null,
	end_seq bigint not null,
	response_ms double precision,
	response_source text not null check (response_source in ('', 'execution_times', 'bot_message')),
	understanding_ms double precision,
	prediction_ms double precision,
	intent text not null,
	platform boolean not null,
	human boolean not null,
	fallback boolean not null,
	primary key (sender_id, conversation_id, n)
);
comment on table turns is 'A user message and everything up to the next one. response_ms is null for turns that do not count.';

create table flow_runs (
	sender_id bigint not null,
	conversation_id uuid not null,
	n integer not null,
	flow_id text not null,
	started_at timestamptz,
	ended_at timestamptz,
	status text not null check (status in ('open', 'completed', 'cancelled')),
	starts integer not null,
	interrupted integer not null,
	resumed integer not null,
	last_step text not null,
	escalated boolean not null,
	primary key (sender_id, conversation_id, n)
);

create table flow_steps (
	sender_id bigint not null,
	conversation_id uuid not null,
	seq bigint not null,
	at timestamptz not null,
	flow_id text not null,
	step_id text not null,
	primary key (sender_id, conversation_id, seq)
);
comment on table flow_steps is 'The top of the dialogue stack after each patch; empty for an empty stack.';

create table commands (
	sender_id bigint not null,
	conversation_id uuid not null,
	seq bigint not null,
	n smallint not null,
	turn integer not null,
	at timestamptz not null,
	command text not null,
	flow_id text not null,
	slot text not null,
	value text not null,
	detail text not null,
	primary key (sender_id, conversation_id, seq, n)
);

create table slots (
	sender_id bigint not null,
	conversation_id uuid not null,
	seq bigint not null,
	turn integer not null,
	at timestamptz not null,
	name text not null,
	value text not null,
	primary key (sender_id, conversation_id, seq)
);
comment on table slots is 'Each change of a slot, carried-over ones included; value is JSON.';

-- lz4 where the server was built with it; else as the server compresses.
-- +goose StatementBegin
do $$
begin
	if exists (select from pg_settings where name = 'default_toast_compression' and 'lz4' = any(enumvals)) then
		alter table event_payloads alter column bodies set compression lz4;
		alter table messages alter column text set compression lz4, alter column rich set compression lz4, alter column entities set compression lz4;
		alter table slots alter column value set compression lz4;
	end if;
end
$$;
-- +goose StatementEnd
