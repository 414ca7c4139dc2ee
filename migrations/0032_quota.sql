-- 0032_quota.sql: how much a token may send in a minute; the key of the words that stand for people in the audit log.

-- +goose Up
alter table tokens
	add column most_events integer check (most_events > 0),
	add column most_bytes bigint check (most_bytes > 0);
comment on column tokens.most_events is 'events that it may send in a minute, most_bytes how many bytes; null: no limit of its own';

create table token_usage (
	token_id uuid primary key references tokens on delete cascade,
	minute timestamptz not null,
	events bigint not null,
	bytes bigint not null
);
comment on table token_usage is 'What tokens with a limit sent in the minute in which they last did.';

insert into settings (name, value, secret, changed_at)
values ('pseudonyms', '{}', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'), now());
comment on column settings.secret is 'sealed with the server''s key; of masking and pseudonyms, the keys of ids of masked events and of words that stand for people';
