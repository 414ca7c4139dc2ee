-- 0019_queues.sql: views that people save, and queues of conversations to be reviewed.

-- +goose Up
create table saved_views (
	id uuid primary key,
	name text not null check (length(name) between 1 and 80),
	query text not null,
	columns text[] not null default '{}',
	oldest boolean not null default false,
	shared boolean not null,
	user_id uuid not null references users on delete cascade,
	revision integer not null default 1,
	created_at timestamptz not null
);
comment on table saved_views is 'Filters of the list of conversations, as the query of its address, with the columns shown; oldest: those stand first.';
create unique index saved_views_name on saved_views (user_id, lower(name));

create table queues (
	id uuid primary key,
	name text not null check (length(name) between 1 and 80),
	query text not null,
	shares jsonb not null default '[]',
	count integer not null check (count between 0 and 10000),
	percent double precision not null default 0 check (percent between 0 and 100),
	seed bigint not null,
	schedule text not null default '',
	zone text not null default '',
	next_at timestamptz,
	revision integer not null default 1,
	created_at timestamptz not null,
	created_by uuid not null references users,
	closed_at timestamptz
);
comment on table queues is 'Which conversations are to be reviewed: a filter, and how many are drawn from it, by shares and a seed. count and percent 0 mean all.';
-- The one left out holds what people give to each other, whatever others are called.
create unique index queues_name on queues (lower(name)) where closed_at is null and id <> '61730000-0000-8000-8000-000000000001';

create table queue_reviewers (
	queue_id uuid not null references queues on delete cascade,
	user_id uuid not null references users on delete cascade,
	share integer not null default 1 check (share between 0 and 100),
	goal integer not null default 0 check (goal between 0 and 10000),
	primary key (queue_id, user_id)
);

create table queue_draws (
	id uuid primary key,
	queue_id uuid not null references queues on delete cascade,
	due_at timestamptz not null,
	seed bigint not null,
	drawn_at timestamptz not null,
	population integer not null,
	picked integer not null,
	unique (queue_id, due_at)
);
comment on table queue_draws is 'Each time that a queue was filled: once for each time that was due.';

create table queue_items (
	queue_id uuid not null references queues on delete cascade,
	sender_id bigint not null,
	conversation_id uuid not null,
	draw_id uuid references queue_draws on delete cascade,
	place integer not null,
	why text not null,
	for_user uuid references users,
	claimed_by uuid references users,
	claimed_at timestamptz,
	claimed_until timestamptz,
	ended_at timestamptz,
	ended_by uuid references users,
	ended text not null default '' check (ended in ('', 'reviewed', 'skipped', 'replaced')),
	reason text not null default '',
	primary key (queue_id, sender_id, conversation_id)
);
comment on table queue_items is 'Conversations of a queue. One that is claimed is nobody else''s until claimed_until.';
create index queue_items_open on queue_items (queue_id, place) where ended_at is null;
create index queue_items_for on queue_items (for_user) where ended_at is null;
create index queue_items_conversation on queue_items (sender_id, conversation_id);

create table bulk_runs (
	id uuid primary key,
	user_id uuid not null references users,
	kind text not null check (kind in ('tag', 'untag', 'review', 'assign')),
	subject uuid,
	words text not null,
	total integer not null,
	done integer not null default 0,
	changed integer not null default 0,
	undo boolean not null default false,
	created_at timestamptz not null,
	ended_at timestamptz
);
comment on table bulk_runs is 'What somebody did to many conversations at once, with its progress; undo says that it is being taken back.';
create index bulk_runs_open on bulk_runs (created_at) where ended_at is null;

create table bulk_items (
	run_id uuid not null references bulk_runs on delete cascade,
	sender_id bigint not null,
	conversation_id uuid not null,
	done boolean not null default false,
	was jsonb,
	primary key (run_id, sender_id, conversation_id)
);
comment on column bulk_items.was is 'of an assignment: the item of the queue as it was before, {} for none; null where nothing changed';
create index bulk_items_open on bulk_items (run_id) where not done;
