-- 0050_webhook_bodies.sql: every body of a webhook is kept as it came, so that history can be mapped again.

-- +goose Up
create table webhook_versions (
	webhook_id uuid not null,
	version integer not null,
	mapping text not null,
	assistant text not null,
	always boolean not null,
	environment text not null,
	primary key (webhook_id, version)
);
comment on table webhook_versions is 'Every version of a webhook, as what came while it held was mapped by it.';
insert into webhook_versions (webhook_id, version, mapping, assistant, always, environment)
select id, version, mapping, assistant, always, environment from webhooks;

drop table webhook_bodies;
create table webhook_bodies (
	id uuid primary key,
	webhook_id uuid not null,
	seq bigint generated always as identity,
	at timestamptz not null,
	version integer not null,
	mapped boolean not null default false,
	whole boolean not null,
	events integer not null default 0,
	reason text not null default '',
	people bigint[] not null default '{}',
	body bytea not null
);
create unique index webhook_bodies_seq on webhook_bodies (webhook_id, seq);
create index webhook_bodies_waiting on webhook_bodies (at) where not mapped;
create index webhook_bodies_at on webhook_bodies using brin (at);
comment on table webhook_bodies is 'What came to webhooks, as it came but for what is masked on arrival. version: of the webhook that mapped it; mapped: its events are stored; whole: nothing of it is masked, so that it can be mapped again; events: what it gave, reason: why it gave none; people: hashes of the keys of the senders that its events are of.';

alter table fold_runs drop constraint fold_runs_kind_check;
alter table fold_runs add constraint fold_runs_kind_check check (kind in ('mask', 'rebuild', 'merge', 'separate', 'map'));
alter table fold_runs add column pass smallint not null default 0, add column version integer not null default 0;
comment on column fold_runs.pass is 'of a run that maps history again: 0 exchanges what changes, 1 stores what several bodies tell';
comment on column fold_runs.version is 'of the webhook whose history is mapped again';
