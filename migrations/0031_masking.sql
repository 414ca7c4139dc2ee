-- 0031_masking.sql: personal data that are masked: runs over what was stored before, who may see them, what was revealed to whom and why.

-- +goose Up
comment on column events.flags is '1 a field did not fit, 2 body repaired, 4 redacted copy, 8 stack patch not applied, 16 personal data masked';
comment on column settings.secret is 'sealed with the server''s key; of masking, the key of the ids of masked events';

create table fold_runs (
	id uuid primary key,
	kind text not null check (kind in ('mask', 'rebuild')),
	assistant text not null default '',
	user_id uuid references users on delete set null,
	rules jsonb,
	created_at timestamptz not null,
	ended_at timestamptz,
	after bigint not null default -1,
	senders bigint not null default 0,
	total bigint not null,
	events bigint not null default 0,
	others bigint not null default 0,
	error text not null default ''
);
comment on table fold_runs is 'What is stored is folded again: to mask it, or by changed settings of an assistant ("" for all). after is the sender up to which it is done; events and others (notes, rejected events) are those that were masked.';

update assistants set settings = (select coalesce(jsonb_object_agg(lower(regexp_replace(replace(key, 'CSAT', 'Csat'), '([a-z])([A-Z])', '\1_\2', 'g')), value), '{}') from jsonb_each(settings));
alter table assistants add column changed_at timestamptz, add column changed_by uuid references users on delete set null;
comment on column assistants.settings is 'rules of the fold: hand-off signals, rating slots, idle time, fallback signals; what is not there is as by default';

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
