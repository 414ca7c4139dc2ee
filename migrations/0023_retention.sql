-- 0023_retention.sql: how long conversations and statistics are kept, what must be kept nevertheless, and what was deleted. Figures
-- of days from which conversations were deleted stay as they were counted.

-- +goose Up
create table retention_rules (
	id uuid primary key,
	assistant text not null default '',
	environment text not null default '',
	channel text not null default '',
	conversation_days integer check (conversation_days between 1 and 36500),
	statistics_days integer check (statistics_days between 1 and 36500),
	most integer not null default 100000 check (most between 1 and 10000000),
	revision integer not null default 1,
	changed_at timestamptz not null,
	changed_by uuid references users on delete set null,
	unique (assistant, environment, channel),
	check (statistics_days is null or environment = '' and channel = ''),
	check (statistics_days is null or conversation_days is not null and statistics_days >= conversation_days)
);
comment on table retention_rules is 'The most specific rule holds for a conversation; '''' means all. null days: for ever.';

create table legal_holds (
	id uuid primary key,
	assistant text not null default '',
	person text not null default '',
	conversation_id uuid,
	reason text not null check (length(reason) between 1 and 500),
	created_at timestamptz not null,
	created_by uuid references users on delete set null,
	released_at timestamptz,
	released_by uuid references users on delete set null,
	check (assistant <> '' or person <> '' or conversation_id is not null)
);
comment on table legal_holds is 'What retention must not delete: an assistant''s conversations, those of a person (user or sender), or one.';

create table retention_runs (
	id uuid primary key,
	started_at timestamptz not null,
	ended_at timestamptz,
	conversations bigint not null default 0,
	statistics bigint not null default 0,
	oldest timestamptz,
	newest timestamptz,
	partitions text[] not null default '{}',
	more boolean not null default false,
	error text not null default ''
);
create index retention_runs_started on retention_runs (started_at desc);

create table rollup_frozen (
	assistant_id integer primary key,
	before timestamptz not null
);
comment on table rollup_frozen is 'Rollups of an assistant before that are never counted again, as conversations of those days may have been deleted.';

create table known_users (
	assistant_id integer not null,
	person bigint not null,
	first_at timestamptz not null,
	primary key (assistant_id, person)
);
comment on table known_users is 'When people came first whose conversations were deleted, so that they do not count as new when they come again. person is made from the user''s id or the sender.';

create table doomed_months (
	month date primary key
);
comment on table doomed_months is 'Months whose partitions are going to be dropped, so that what stands in them is not deleted row by row. Should a rule change meanwhile, the rows are deleted after all.';

create index bulk_items_conversation on bulk_items (sender_id, conversation_id); -- ingest waits while conversations are deleted
