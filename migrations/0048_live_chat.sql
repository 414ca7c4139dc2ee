-- 0048_live_chat.sql: what platforms beside Rasa tell: who handles a conversation, states, calls, ratings, scores, activities, and events that belong to no conversation.

-- +goose Up
comment on column event_payloads.format is 'The wire format of all bodies of the row: 1 Rasa, 2 neutral.';
comment on column sources.format is 'The wire format in which the source writes: 1 Rasa, 2 neutral.';
comment on column rejected_events.format is 'The wire format that the body should have had: 1 Rasa, 2 neutral.';
alter table messages drop constraint messages_author_check;
alter table messages add constraint messages_author_check check (author between 1 and 5) not valid;
alter table messages
	add column agent_id text,
	add column agent_session_id text,
	add column message_type text,
	add column reply_to text,
	add column details text,
	add column rev double precision,
	add column deleted boolean;
comment on table messages is 'What was said. author: 1 user, 2 assistant, 3 human agent, 4 the platform itself, 5 a note of a human agent that the user does not see. id is the event''s. Columns from agent_id on are null where the platform tells none.';
comment on column messages.details is 'JSON: what the platform tells beside, such as from_suggestion, reply_source, assist';
comment on column messages.rev is 'of the revisions of a message the highest is shown';

alter table turns drop constraint turns_response_source_check;
alter table turns add constraint turns_response_source_check check (response_source in ('', 'execution_times', 'bot_message', 'platform')) not valid;

alter table conversations
	add column first_order bigint not null default 0,
	add column test boolean not null default false,
	add column details text;
comment on column conversations.first_order is 'order of the first event within its instant, as the platform tells it; 0 when it does not';
comment on column conversations.test is 'the platform says that it is a test: it is not counted';
comment on column conversations.details is 'JSON: what is told of it as a whole, such as subject, tags, resolution and metadata; null for nothing';

alter table senders
	add column traits text,
	add column aliases text[] not null default '{}';
create index senders_aliases on senders using gin (aliases) where aliases <> '{}';
comment on column senders.traits is 'JSON: what is told of a user; on the sender user:ID. Null for nothing';
comment on column senders.aliases is 'other ids of the user';

create table journals (
	sender_id bigint not null,
	id uuid not null,
	assistant_id integer not null,
	first_time double precision not null,
	first_order bigint not null,
	first_place smallint not null,
	first_rank smallint not null,
	first_event uuid not null,
	started_at timestamptz not null,
	last_at timestamptz not null,
	events integer not null,
	removed smallint not null,
	checkpoint bytea not null,
	primary key (sender_id, id)
);
comment on table journals is 'The events of a user or a human agent that belong to no conversation, a row for each month (UTC). Their events have its id as conversation_id.';
create index journals_started on journals (started_at, id);

create table agent_segments (
	sender_id bigint not null,
	conversation_id uuid not null,
	n integer not null,
	waiting boolean not null,
	agent_id text not null,
	team_id text not null,
	started_at timestamptz not null,
	ended_at timestamptz,
	ended_by text not null,
	first_reply_at timestamptz,
	user_messages integer not null,
	agent_messages integer not null,
	words integer not null,
	assisted integer not null,
	pilot integer not null,
	reply_ms double precision[] not null,
	primary key (sender_id, conversation_id, n)
);
comment on table agent_segments is 'Stretches in which a conversation waits for a human agent, or one handles it.';
comment on column agent_segments.ended_by is 'assigned, transferred, returned, unassigned, closed, missed; empty while it goes on';
comment on column agent_segments.first_reply_at is 'first message of the agent that the assistant did not write for them';
comment on column agent_segments.reply_ms is 'from the user''s first message of each run to the agent''s answer, milliseconds';

create table state_changes (
	sender_id bigint not null,
	conversation_id uuid not null,
	seq bigint not null,
	at timestamptz not null,
	state_id text not null,
	status text not null,
	handler text not null,
	agent_id text not null,
	team_id text not null,
	state text not null,
	reason text not null,
	changed_by text not null,
	details text,
	primary key (sender_id, conversation_id, seq)
);
comment on table state_changes is 'Every state of a conversation as told. status: open, snoozed, closed, missed; handler: bot, queue, human, none; state: the platform''s own word. Empty: not told.';

create table turn_facts (
	sender_id bigint not null,
	conversation_id uuid not null,
	seq bigint not null,
	turn integer not null,
	at timestamptz not null,
	message_id text not null,
	result text not null,
	intent text not null,
	confidence double precision,
	entities text,
	response_ms double precision,
	details text,
	primary key (sender_id, conversation_id, seq)
);
comment on table turn_facts is 'What platforms tell of a turn. message_id: of the user''s message; turn: the turn that it was found to be, 0 for none.';

create table calls (
	sender_id bigint not null,
	conversation_id uuid not null,
	seq bigint not null,
	n smallint not null,
	turn integer not null,
	at timestamptz not null,
	kind text not null,
	name text not null,
	provider text not null,
	status text not null,
	error text not null,
	ms double precision,
	first_token_ms double precision,
	input_tokens double precision,
	output_tokens double precision,
	cost_usd double precision,
	details text,
	primary key (sender_id, conversation_id, seq, n)
);
comment on table calls is 'Calls of models, tools and services. kind: llm, nlu, tool, retrieval, spellcheck, integration. Null: not told.';

create table feedback (
	sender_id bigint not null,
	conversation_id uuid not null,
	feedback_id text not null,
	seq bigint not null,
	at timestamptz not null,
	kind text not null,
	status text not null,
	score double precision,
	scale_min double precision,
	scale_max double precision,
	comment text not null,
	message_id text not null,
	agent_id text not null,
	rev double precision not null,
	details text,
	primary key (sender_id, conversation_id, feedback_id)
);
comment on table feedback is 'Ratings that were asked for or given, in their highest revision. kind: csat, nps, thumbs; status: asked, answered, dismissed.';

create table scores (
	sender_id bigint not null,
	conversation_id uuid not null,
	score_id text not null,
	seq bigint not null,
	at timestamptz not null,
	name text not null,
	value text not null,
	number double precision,
	explanation text not null,
	judged_by text not null,
	author text not null,
	message_id text not null,
	rev double precision not null,
	details text,
	primary key (sender_id, conversation_id, score_id)
);
comment on table scores is 'Judgements from outside, in their highest revision. value is JSON; number is null where it is none; judged_by: human, model, rule.';

create table activities (
	sender_id bigint not null,
	conversation_id uuid not null,
	seq bigint not null,
	at timestamptz not null,
	activity_id text not null,
	actor text not null,
	name text not null,
	status text not null,
	user_id text not null,
	agent_id text not null,
	agent_session_id text not null,
	properties text,
	error text not null,
	url text not null,
	details text,
	primary key (sender_id, conversation_id, seq)
);
comment on table activities is 'What users, human agents, assistants and platforms did beside talking. status: what a human agent is from then on, available, busy, away or offline. conversation_id may be a journal''s.';

create table agent_logins (
	sender_id bigint not null,
	conversation_id uuid not null,
	login_id text not null,
	seq bigint not null,
	agent_id text not null,
	started_at timestamptz,
	ended_at timestamptz,
	name text not null,
	email text not null,
	groups text[] not null,
	rev double precision not null,
	details text,
	primary key (sender_id, conversation_id, login_id)
);
comment on table agent_logins is 'Logins of human agents; conversation_id is the journal''s. One over the turn of a month has a row in each.';
