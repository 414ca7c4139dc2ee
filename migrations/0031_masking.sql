-- 0031_masking.sql: personal data that are masked: runs over what was stored before, who may see them, what was revealed to whom and why.

-- +goose Up
comment on column events.flags is '1 a field did not fit, 2 body repaired, 4 redacted copy, 8 stack patch not applied, 16 personal data masked';
comment on column settings.secret is 'sealed with the server''s key; of masking, the key of the ids of masked events';

create table masking_runs (
	id uuid primary key,
	user_id uuid references users on delete set null,
	rules jsonb not null,
	created_at timestamptz not null,
	ended_at timestamptz,
	after bigint not null default -1,
	senders bigint not null default 0,
	total bigint not null,
	events bigint not null default 0,
	others bigint not null default 0,
	error text not null default ''
);
comment on table masking_runs is 'Masking of what was stored before: after is the sender up to which it is done; events and others (notes, rejected events) are those that were changed.';

alter table users add column personal boolean;
comment on column users.personal is 'whether the user may reveal personal data where they are masked on display; null: as the role has it';

create table reveals (
	user_id uuid not null references users on delete cascade,
	sender_id bigint not null,
	conversation_id uuid not null,
	reason text not null,
	at timestamptz not null,
	until timestamptz not null,
	primary key (sender_id, conversation_id, user_id)
);
comment on table reveals is 'Conversations whose personal data somebody may see for a while, and why.';

alter table exports add column clear boolean not null default false;
comment on column exports.clear is 'personal data are not masked in the file; the audit log says why';
