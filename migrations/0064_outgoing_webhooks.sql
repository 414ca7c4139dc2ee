-- 0064_outgoing_webhooks.sql: addresses that are told what happens to conversations, and what became of each message.

-- +goose Up
create table outgoing_webhooks (
	id uuid primary key,
	name text not null,
	url text not null,
	events text[] not null,
	query text not null,
	secret bytea not null,
	headers text[] not null default '{}',
	active_since timestamptz,
	failing_since timestamptz,
	failures integer not null default 0,
	retry_at timestamptz,
	held_until timestamptz,
	paused_because text not null default '',
	revision integer not null default 1,
	created_at timestamptz not null,
	created_by text not null,
	changed_at timestamptz not null,
	changed_by text not null
);
create unique index outgoing_webhooks_name on outgoing_webhooks (lower(name));
comment on table outgoing_webhooks is 'Addresses that are told what happens to conversations. secret is sealed: the signing key and the values of headers.';
comment on column outgoing_webhooks.query is 'a filter as an address has it; only its conversations are told of';
comment on column outgoing_webhooks.active_since is 'what happened before is not told; null while paused';
comment on column outgoing_webhooks.held_until is 'a process sends to it until then';
comment on column outgoing_webhooks.retry_at is 'the address failed: nothing is sent to it before';

create table outgoing_deliveries (
	webhook_id uuid not null references outgoing_webhooks (id) on delete cascade,
	id uuid not null,
	event text not null,
	sender_id bigint,
	conversation_id uuid,
	act_id uuid,
	happened_at timestamptz not null,
	state text not null check (state in ('new', 'waiting', 'sent', 'failed', 'dropped')),
	attempts integer not null default 0,
	retry_at timestamptz,
	give_up_at timestamptz not null,
	status smallint,
	took_ms integer,
	error text not null default '',
	body text not null default '',
	created_at timestamptz not null,
	sent_at timestamptz,
	primary key (webhook_id, id)
);
create index outgoing_deliveries_new on outgoing_deliveries (created_at) where state = 'new';
create index outgoing_deliveries_due on outgoing_deliveries (webhook_id, retry_at) where state = 'waiting';
create index outgoing_deliveries_late on outgoing_deliveries (give_up_at) where state = 'waiting';
create index outgoing_deliveries_failed on outgoing_deliveries (webhook_id, created_at desc, id) where state = 'failed';
create index outgoing_deliveries_sent on outgoing_deliveries (webhook_id, sent_at desc) where state = 'sent';
create index outgoing_deliveries_log on outgoing_deliveries (webhook_id, created_at desc, id);
create index outgoing_deliveries_old on outgoing_deliveries (created_at);
create index outgoing_deliveries_of on outgoing_deliveries (sender_id, conversation_id);
comment on table outgoing_deliveries is 'Messages to outgoing webhooks. id is made of what happened, so that it happens once for each of them; new: not yet held against the filter; dropped: the filter left it out.';

create table outgoing_marks (
	id bigint generated always as identity primary key,
	senders bigint[] not null
);
comment on table outgoing_marks is 'Senders whose conversations changed while a webhook waits for conversations to end: one that ended before it was stored is found by them.';

create table outgoing_state (
	one boolean primary key default true check (one),
	ended_until timestamptz not null
);
comment on table outgoing_state is 'Up to when conversations that ended by the passing of time were looked for.';
