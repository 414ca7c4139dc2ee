-- 0003_people.sql: users, their sessions, and tokens of programs that send events.

-- +goose Up
create table users (
	id uuid primary key,
	email text not null,
	name text not null,
	role text not null check (role in ('viewer', 'reviewer', 'supervisor', 'admin')),
	password_hash text not null,
	disabled boolean not null default false,
	created_at timestamptz not null,
	last_seen_at timestamptz
);
create unique index users_email on users (lower(email));

create table sessions (
	token text primary key,
	data bytea not null,
	expiry timestamptz not null
);
create index sessions_expiry on sessions (expiry);

create table tokens (
	id uuid primary key,
	prefix text not null unique,
	hash bytea not null,
	name text not null,
	assistant text not null,
	environment text not null,
	created_at timestamptz not null,
	created_by text not null,
	last_used_at timestamptz,
	revoked_at timestamptz
);
comment on table tokens is 'Bearer tokens for ingest. Only the SHA-256 is kept; the prefix finds the row.';
