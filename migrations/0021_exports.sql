-- 0021_exports.sql: files that people ask for. Their bytes stand here too, in parts, so that any server can make them and any
-- server can hand them out; they go when they expire.

-- +goose Up
create table exports (
	id uuid primary key,
	user_id uuid references users on delete cascade,
	title text not null,
	query text not null,
	grain text not null check (grain in ('conversation', 'turn', 'message', 'event')),
	format text not null check (format in ('csv', 'xlsx', 'jsonl', 'parquet')),
	file_name text not null,
	state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed', 'cancelled')),
	claim uuid,
	alive_at timestamptz,
	rows bigint not null default 0,
	total bigint not null default 0,
	bytes bigint not null default 0,
	error text not null default '',
	created_at timestamptz not null,
	started_at timestamptz,
	ended_at timestamptz,
	expires_at timestamptz
);
comment on table exports is 'Files that people asked for, with their progress.';
comment on column exports.claim is 'of the worker that makes it; one that was not alive for a while has lost it';
comment on column exports.total is 'about how many conversations it is made of; 0 when that is not known';
create index exports_user on exports (user_id, created_at desc);
create index exports_open on exports (state) where state in ('waiting', 'running');

create table export_parts (
	export_id uuid not null references exports on delete cascade,
	n integer not null,
	body bytea not null,
	primary key (export_id, n)
);
alter table export_parts alter column body set storage external;
comment on table export_parts is 'The bytes of exports, in order.';
