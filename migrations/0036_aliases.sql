-- 0036_aliases.sql: an assistant may be known by several names: renamed, or merged with others that were one bot all along. What is stored
-- follows by a job; each event keeps by which name it came, so that a name can be separated again.

-- +goose Up
alter table assistants add column uuid uuid not null default gen_random_uuid() unique;
create table assistant_aliases (
	name text primary key,
	assistant text not null, -- whose events are those that name it
	created_at timestamptz not null,
	created_by uuid
);
comment on table assistant_aliases is 'Names of assistants whose events belong to another. A UUID of such a one answers by that other.';
alter table events add column via integer not null default 0;
comment on column events.via is 'id of the assistant by whose name it came, where that is an alias; 0: by the name of its own';
alter table fold_runs drop constraint fold_runs_kind_check;
alter table fold_runs add constraint fold_runs_kind_check check (kind in ('mask', 'rebuild', 'merge', 'separate'));
alter table fold_runs add column target text not null default '';
alter table tokens add column always boolean not null default false;
comment on column tokens.always is 'the events are the assistant''s, whatever they say';
-- What the search finds for who may not see personal data leaves out more: words of slots, wherever they were said.
insert into search_marks (senders, whole)
select array_agg(id), true
from (select id, row_number() over (order by id) / 500 as part from senders) as s
where exists (select from settings where name = 'masking' and value ->> 'on_display' = 'true')
group by part;
