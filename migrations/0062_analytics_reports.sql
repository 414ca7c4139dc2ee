-- 0062_analytics_reports.sql: reports that programs ask for over the API, with their files until they expire.

-- +goose Up
create table analytics_reports (
	id uuid primary key,
	token_id uuid not null,
	created_by text not null,
	assistants text[], -- that the token was limited to; null: all
	type text not null,
	title text not null,
	format text not null,
	from_at timestamptz not null,
	until_at timestamptz not null,
	timezone text not null,
	group_by text not null,
	bot_id uuid,
	user_id uuid,
	metrics text[] not null,
	charts boolean not null,
	status text not null default 'pending' check (status in ('pending', 'running', 'completed', 'failed')),
	progress smallint not null default 0,
	created_at timestamptz not null,
	started_at timestamptz,
	completed_at timestamptz,
	expires_at timestamptz,
	size bigint,
	media_type text not null default '',
	file_name text not null default '',
	body bytea,
	error text not null default '',
	idempotency_key text,
	asked bytea not null -- hash of what was asked, so that a key is not used for something else
);
alter table analytics_reports alter column body set storage external;
create unique index analytics_reports_key on analytics_reports (token_id, idempotency_key) where idempotency_key is not null;
create index analytics_reports_created on analytics_reports (created_at desc, id);
comment on table analytics_reports is 'Reports that programs asked for over the API.';
