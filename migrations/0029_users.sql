-- 0029_users.sql: what a user may see beyond the role, sign-in by others and with a second factor, sessions that are seen and ended,
-- links by which people begin; tokens of programs that read.

-- +goose Up
alter table users
	add column assistants text[] check (cardinality(assistants) > 0),
	add column transcripts boolean,
	add column issuer text,
	add column subject text,
	add column second_factor bytea,
	add column second_step bigint not null default 0,
	add column revision integer not null default 1,
	add check ((issuer is null) = (subject is null));
comment on column users.assistants is 'names of those that the user is limited to; null: all';
comment on column users.transcripts is 'may or may not read conversations; null: as the role says';
comment on column users.password_hash is 'argon2id; '''' for none';
comment on column users.subject is 'who the user is for the issuer of single sign-on';
comment on column users.second_factor is 'secret of the one-time codes, sealed with the server''s key';
comment on column users.second_step is 'of the last one-time code that was used: none is taken twice';
create unique index users_subject on users (issuer, subject);

create table recovery_codes (
	user_id uuid not null references users on delete cascade,
	hash bytea not null,
	primary key (user_id, hash)
);
comment on table recovery_codes is 'Codes that stand in for the second factor, each once.';

create table user_sessions (
	id uuid primary key,
	user_id uuid not null references users on delete cascade,
	begun_at timestamptz not null,
	seen_at timestamptz not null,
	address text not null,
	agent text not null
);
comment on table user_sessions is 'Who is signed in, where; a session whose row is gone is over.';
create index user_sessions_user on user_sessions (user_id);
delete from sessions;

create table user_links (
	hash bytea primary key,
	user_id uuid not null references users on delete cascade,
	kind text not null check (kind in ('invitation', 'password', 'sign-in')),
	created_at timestamptz not null,
	expires_at timestamptz not null
);
comment on table user_links is 'Links by which a user sets a password or signs in, each once. Only the SHA-256 is kept.';

alter table tokens
	add column role text not null default 'ingest' check (role in ('ingest', 'analytics_viewer', 'analytics_admin', 'admin')),
	add column assistants text[] check (cardinality(assistants) > 0),
	add column expires_at timestamptz;
comment on column tokens.assistants is 'names of those of which it may send or read; null: all';
