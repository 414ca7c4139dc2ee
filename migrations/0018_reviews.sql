-- 0018_reviews.sql: what people make of conversations: reviews, marks on messages, tags, notes, and the history of all
-- of it. They name conversations by ids made from content and have no foreign key to them: a rebuild leaves them alone.

-- +goose Up
create table tags (
	id uuid primary key,
	assistant text not null default '',
	name text not null check (length(name) between 1 and 60),
	description text not null default '' check (length(description) <= 300),
	color smallint not null default 0 check (color between 0 and 6),
	revision integer not null default 1,
	created_at timestamptz not null,
	created_by uuid not null references users
);
comment on table tags is 'Labels for conversations; assistant '''' means for all.';
create unique index tags_name on tags (lower(name), assistant);

create table conversation_tags (
	sender_id bigint not null,
	conversation_id uuid not null,
	tag_id uuid not null references tags on delete cascade,
	user_id uuid not null references users,
	tagged_at timestamptz not null,
	primary key (sender_id, conversation_id, tag_id)
);
create index conversation_tags_tag on conversation_tags (tag_id, tagged_at);

create table notes (
	id uuid primary key,
	sender_id bigint not null,
	conversation_id uuid not null,
	message_id uuid,
	user_id uuid not null references users,
	text text not null check (length(text) between 1 and 4000),
	revision integer not null default 1,
	created_at timestamptz not null,
	edited_at timestamptz,
	deleted_at timestamptz
);
comment on table notes is 'Notes on a conversation or on one message of it, in Markdown.';
create index notes_conversation on notes (sender_id, conversation_id, created_at);

create table mentions (
	note_id uuid not null references notes on delete cascade,
	user_id uuid not null references users on delete cascade,
	seen_at timestamptz,
	primary key (user_id, note_id)
);

create table message_marks (
	sender_id bigint not null,
	conversation_id uuid not null,
	message_id uuid not null,
	user_id uuid not null references users,
	mark text not null check (mark in ('good', 'bad')),
	marked_at timestamptz not null,
	primary key (sender_id, conversation_id, message_id, user_id)
);

create table reviews (
	sender_id bigint not null,
	conversation_id uuid not null,
	user_id uuid not null references users,
	rating smallint check (rating between 1 and 5),
	reviewed_at timestamptz,
	events integer not null default 0,
	spent_ms bigint not null default 0,
	primary key (sender_id, conversation_id, user_id)
);
comment on table reviews is 'What a reviewer says of a conversation: one row for each of them. reviewed_at is null while it is not marked as reviewed.';
comment on column reviews.events is 'how many events the conversation had when it was marked: with others now, the review is in part';

create table review_states (
	sender_id bigint not null,
	conversation_id uuid not null,
	touched_at timestamptz not null,
	reviewed_at timestamptz,
	reviewed_by uuid references users,
	rating smallint,
	events integer not null default 0,
	primary key (sender_id, conversation_id)
);
comment on table review_states is 'Conversations that somebody reviewed, tagged, noted or marked, made of the tables above after each act.';
create index review_states_reviewed on review_states (reviewed_at) where reviewed_at is not null;

create table review_acts (
	id uuid primary key,
	n bigint generated always as identity,
	sender_id bigint not null,
	conversation_id uuid not null,
	user_id uuid not null references users,
	at timestamptz not null,
	kind text not null,
	subject uuid,
	was text not null default '',
	became text not null default '',
	batch uuid,
	undone_at timestamptz
);
comment on table review_acts is 'Every act of every reviewer, with what was before: the history, and what undo goes by.';
create index review_acts_conversation on review_acts (sender_id, conversation_id, at);
create index review_acts_batch on review_acts (batch) where batch is not null;
create index review_acts_user on review_acts (user_id, at);
