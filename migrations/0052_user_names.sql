-- 0052_user_names.sql: users whom a platform knows by several ids are one person to the figures.

-- +goose Up
create table user_names (
	assistant_id integer not null,
	name text not null,
	person text not null,
	names text[] not null,
	primary key (assistant_id, name)
);
comment on table user_names is 'Ids of users who have more than one: names are all of them, person the one by which they are counted. Kept a moment after a platform tells of another id.';

create table user_marks (
	assistant_id integer not null,
	sender_key text not null,
	primary key (assistant_id, sender_key)
);
comment on table user_marks is 'Users of whom other ids were told, to be followed.';
insert into user_marks (assistant_id, sender_key)
select assistant_id, sender_key from senders where aliases <> '{}'
on conflict do nothing;
