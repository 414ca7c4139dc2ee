-- 0008_chart_notes.sql: what people mark on charts: incidents, campaigns.

-- +goose Up
create table chart_notes (
	id uuid primary key,
	at timestamptz not null,
	text text not null check (length(text) between 1 and 200),
	assistant text not null default '',
	shared boolean not null,
	user_id uuid not null references users on delete cascade,
	created_at timestamptz not null
);
comment on table chart_notes is 'Marks on charts. One that is not shared is its writer''s alone; assistant '''' means all.';
create index chart_notes_at on chart_notes (at);
