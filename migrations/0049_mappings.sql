-- 0049_mappings.sql: bodies that a mapping turns into events, when they are set aside, say by which.

-- +goose Up
alter table rejected_events add column mapping text not null default '';
comment on column rejected_events.mapping is 'the mapping that should have made events of the body; empty for none';

create table webhooks (
	id uuid primary key,
	name text not null,
	mapping text not null,
	version integer not null,
	secret bytea,
	assistant text not null,
	always boolean not null,
	environment text not null,
	created_at timestamptz not null,
	changed_at timestamptz not null,
	changed_by text not null
);
create unique index webhooks_name on webhooks (lower(name));
comment on table webhooks is 'Addresses to which platforms send, each with the mapping that makes events of what comes, and what shows that it comes from the platform (sealed).';

create table webhook_bodies (
	webhook_id uuid not null,
	id uuid not null,
	at timestamptz not null,
	body bytea not null,
	events integer not null,
	reason text not null,
	primary key (webhook_id, id)
);
comment on table webhook_bodies is 'The last bodies of each webhook, on which an edited mapping is tried. events: what they gave; reason: why they gave none.';
