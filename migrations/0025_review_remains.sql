-- 0025_review_remains.sql: what review reports count of conversations that retention deleted. Nothing here names a conversation or a person.

-- +goose Up
create table review_remains (
	started_at timestamptz not null,
	assistant_id integer not null,
	environment_id integer not null,
	channel_id integer not null,
	version_id bigint not null,
	outcome text not null,
	conversations bigint not null,
	state smallint not null,
	tags uuid[] not null default '{}',
	reviews jsonb not null default '[]'
);
comment on table review_remains is 'Deleted conversations as review reports count them, by the quarter of an hour in which they began: one row for each that somebody worked on (state 1 in part, 2 reviewed), with its tags and what each reviewer did; the others added up.';
create index review_remains_started on review_remains (started_at) where state > 0;
create unique index review_remains_untouched on review_remains (started_at, assistant_id, environment_id, channel_id, version_id, outcome) where state = 0;
