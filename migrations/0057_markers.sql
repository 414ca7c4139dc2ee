-- 0057_markers.sql: Rasa's markers: what is looked for in the conversations of an assistant, and where it was found.

-- +goose Up
create table patterns (
	id integer generated always as identity primary key,
	uuid uuid not null default gen_random_uuid() unique,
	assistant_id integer not null references assistants,
	name text not null,
	description text not null,
	config text not null,
	version integer not null default 1,
	active boolean not null default true,
	created_at timestamptz not null,
	updated_at timestamptz not null,
	changed_by uuid references accounts on delete set null,
	unique (assistant_id, name)
);
comment on table patterns is 'Rasa''s markers, as uploaded for an assistant. One that the last upload does not have is not active.';
comment on column patterns.config is 'the operator or condition, as JSON';
comment on column patterns.version is 'grows whenever what is looked for changes';

create index patterns_id on patterns ((uuid::text::varchar(36)));

create table markers (
	sender_id bigint not null,
	conversation_id uuid not null,
	pattern_id integer not null,
	seq bigint not null,
	at timestamptz not null,
	event_id uuid not null,
	turns integer not null,
	never boolean not null,
	counts_at timestamptz not null,
	primary key (sender_id, conversation_id, pattern_id, seq)
);
comment on table markers is 'Where a marker was found: at the event of seq. event_id is the event''s.';
comment on column markers.turns is 'messages of the user in the conversation before the event';
comment on column markers.never is 'of a marker never: it stands at the last event of a conversation in which its part was not found';
comment on column markers.counts_at is 'from then on it counts: the time of the event, for a marker never when the conversation counts as closed';
create index markers_pattern on markers (pattern_id, at);
create index markers_id on markers ((md5(event_id::text || pattern_id::text)::uuid::text::varchar(36)));
create index markers_event on markers ((event_id::text::varchar(36)));
create index markers_utc on markers using brin ((at at time zone 'UTC')) with (pages_per_range = 32, autosummarize = on);
