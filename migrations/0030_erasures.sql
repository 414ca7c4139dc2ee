-- 0030_erasures.sql: people who were erased: what was removed, and that events of theirs from before do not come back.

-- +goose Up
create table erased (
	sender_id bigint primary key,
	until timestamptz not null
);
comment on table erased is 'Senders of people who were erased, by a hash of their key: events of theirs until this time are not stored again.';

create table erasures (
	id uuid primary key,
	person text not null,
	at timestamptz not null,
	user_id uuid references users on delete set null,
	reason text not null,
	removed jsonb not null,
	kept jsonb not null
);
comment on table erasures is 'What was removed of people on their wish: rows by table; kept: what names them still and somebody must look at. person is a pseudonym.';
