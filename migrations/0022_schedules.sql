-- 0022_schedules.sql: what is sent by itself: pages and rows, on a schedule, to people, servers and folders; with what became of
-- each run and each delivery. Also the settings of the workspace.

-- +goose Up
create table settings (
	name text primary key,
	value jsonb not null,
	secret bytea,
	changed_at timestamptz not null,
	changed_by uuid references users on delete set null
);
comment on table settings is 'Settings of the workspace. secret is sealed with the server''s key.';

create table schedules (
	id uuid primary key,
	name text not null check (length(name) between 1 and 100),
	user_id uuid not null references users,
	page text not null default '',
	query text not null,
	grain text not null default '',
	formats text[] not null,
	schedule text not null,
	zone text not null,
	destination text not null check (destination in ('mail', 'http', 'folder', 's3')),
	target jsonb not null,
	secret bytea,
	if_empty text not null check (if_empty in ('send', 'skip', 'say')),
	incremental boolean not null default false,
	next_at timestamptz,
	revision integer not null default 1,
	created_at timestamptz not null,
	check ((page = '') <> (grain = ''))
);
comment on table schedules is 'Reports and exports that are sent by themselves. next_at is null while one is paused.';
comment on column schedules.target is 'recipients of a mail, address and names of headers, folder, or bucket';
comment on column schedules.secret is 'headers or keys, sealed with the server''s key for the target''s host alone';
create index schedules_next on schedules (next_at) where next_at is not null;

create table report_runs (
	id uuid primary key,
	schedule_id uuid not null references schedules on delete cascade,
	due_at timestamptz not null,
	test_for text not null default '',
	state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed', 'skipped')),
	claim uuid,
	alive_at timestamptz,
	attempts integer not null default 0,
	retry_at timestamptz,
	rows bigint not null default 0,
	error text not null default '',
	files jsonb not null default '[]',
	created_at timestamptz not null,
	ended_at timestamptz,
	unique (schedule_id, due_at, test_for)
);
comment on table report_runs is 'Each time that a schedule came due, once. test_for is the address of who asked for a test.';
create index report_runs_open on report_runs (state) where state in ('waiting', 'running');

create table report_files (
	run_id uuid not null references report_runs on delete cascade,
	n integer not null,
	part integer not null,
	body bytea not null,
	primary key (run_id, n, part)
);
alter table report_files alter column body set storage external;
comment on table report_files is 'The files of a run, in parts: every recipient and every retry gets the same ones.';

create table deliveries (
	run_id uuid not null references report_runs on delete cascade,
	recipient text not null,
	state text not null default 'waiting' check (state in ('waiting', 'sending', 'sent', 'failed', 'unsubscribed')),
	attempts integer not null default 0,
	retry_at timestamptz,
	sent_at timestamptz,
	error text not null default '',
	token uuid not null unique,
	primary key (run_id, recipient)
);
comment on column deliveries.token is 'stands in the mail, for its recipient to unsubscribe';
comment on table deliveries is 'What became of a run for each recipient. sending: handed over, the answer is not known yet.';

create table unsubscribed (
	schedule_id uuid not null references schedules on delete cascade,
	recipient text not null,
	at timestamptz not null,
	primary key (schedule_id, recipient)
);

create table schedule_rows (
	schedule_id uuid not null references schedules on delete cascade,
	row_id uuid not null,
	revision integer not null,
	run_id uuid not null,
	primary key (schedule_id, row_id, revision)
);
comment on table schedule_rows is 'Rows that an incremental schedule has sent, by the run that sent them: the next one takes the others.';
create index schedule_rows_run on schedule_rows (run_id);
