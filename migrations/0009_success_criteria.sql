-- 0009_success_criteria.sql: what makes a conversation with an assistant a success, with every version.

-- +goose Up
create table success_criteria (
	id bigint generated always as identity primary key,
	assistant_id integer not null references assistants,
	rules jsonb not null,
	created_at timestamptz not null,
	created_by text not null,
	activated_at timestamptz,
	activated_by text not null default ''
);
comment on table success_criteria is 'Versions of success criteria. In force is the one of its assistant that was activated last; one that never was is a draft.';
create index success_criteria_assistant on success_criteria (assistant_id, activated_at desc);
