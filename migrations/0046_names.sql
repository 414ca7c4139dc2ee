-- 0046_names.sql: tables and columns are called as on pages and in the API, and a new kind of figures needs no new column.
-- Servers from before this migration refuse to work with the database.

-- +goose Up

-- Each kind of figures (a family) is packed by itself: 1 tallies, 2 flows, 3 response times by hour of the day, 4 intents, 5 users.
alter table rollup_slots rename to rollup_hours;
alter index rollup_slots_pkey rename to rollup_hours_pkey;
alter table rollup_hours add column others bytea not null default '';
update rollup_hours
set others = case when flows = '' then ''::bytea else int2send(2::smallint) || int4send(length(flows)) || flows end
	|| case when hours = '' then ''::bytea else int2send(3::smallint) || int4send(length(hours)) || hours end
	|| case when intents = '' then ''::bytea else int2send(4::smallint) || int4send(length(intents)) || intents end
	|| case when users = '' then ''::bytea else int2send(5::smallint) || int4send(length(users)) || users end;
alter table rollup_hours alter column others drop default, drop column conversations, drop column flows, drop column hours, drop column intents, drop column users;

alter table rollup_days add column others bytea not null default '';
update rollup_days
set others = case when flows = '' then ''::bytea else int2send(2::smallint) || int4send(length(flows)) || flows end
	|| case when hours = '' then ''::bytea else int2send(3::smallint) || int4send(length(hours)) || hours end
	|| case when intents = '' then ''::bytea else int2send(4::smallint) || int4send(length(intents)) || intents end
	|| case when users = '' then ''::bytea else int2send(5::smallint) || int4send(length(users)) || users end;
alter table rollup_days alter column others drop default, drop column conversations, drop column flows, drop column hours, drop column intents, drop column users;

comment on table rollup_hours is 'Figures of conversations by their start, in spans of an hour, or of a half or quarter where the workspace''s zone asks for it. What is packed is read by Turnwise alone; the facts stay in conversations, flow_runs and turns.';
comment on column rollup_hours.others is 'Of each family but the tally: its number (2 bytes), a length (4 bytes) and as many bytes.';
alter table rollup_day_sums rename to rollup_day_sums_before;
alter table rollup_day_sums_before rename constraint rollup_day_sums_pkey to rollup_day_sums_before_pkey;
create table rollup_day_sums (
	at timestamptz not null,
	assistant_id integer not null,
	family smallint not null,
	packed bytea not null,
	primary key (at, assistant_id, family)
);
comment on table rollup_day_sums is 'rollup_days, but for tallies, over all environments, channels and versions of an assistant: a row for each family.';

insert into rollup_day_sums
select d.at, d.assistant_id, f.family, f.packed
from rollup_day_sums_before d
cross join lateral (values (2::smallint, d.flows), (3, d.hours), (4, d.intents), (5, d.users)) as f (family, packed)
where length(f.packed) > 0;

drop table rollup_day_sums_before;
