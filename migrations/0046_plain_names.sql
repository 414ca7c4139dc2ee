-- 0046_plain_names.sql: tables and columns are called as on pages and in the API, and a new kind of figures needs no new column.
-- Servers from before this migration cannot work with the database: stop them first.

-- +goose Up

-- In the order in which servers that still run take them, so that nobody waits in a circle.
lock table ingest_shards in access exclusive mode;
lock table rollup_state in access exclusive mode;
lock table conversations, projections in access exclusive mode;

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

-- What is to be counted again, and what cannot be.
alter table rollup_marks rename to dirty_hours;
alter index rollup_marks_pkey rename to dirty_hours_pkey;
alter table dirty_hours rename column lane to shard;
alter table dirty_hours rename column epoch to generation;
alter table rollup_state rename column epoch to generation;
comment on table dirty_hours is 'Hours (UTC) whose conversations, by their start, changed since they were counted. Written in the transaction that changes them; shard keeps writers apart.';
comment on column rollup_state.generation is 'Grows when hours are about to be counted; hours are marked in the newest.';
alter table rollup_stale_days rename to dirty_days;
alter index rollup_stale_days_pkey rename to dirty_days_pkey;
comment on table dirty_days is 'Days whose hours were counted again since the day was; until it is, its hours are read.';
alter table rollup_frozen rename to final_figures;
alter index rollup_frozen_pkey rename to final_figures_pkey;
comment on table final_figures is 'Figures of an assistant before that are never counted again, as conversations of those days may have been deleted.';
alter table known_users rename to removed_users;
alter index known_users_pkey rename to removed_users_pkey;
alter table doomed_months rename to dropping_months;
alter index doomed_months_pkey rename to dropping_months_pkey;
alter table conversations add column removed smallint not null default 0, add column resumed boolean not null default false;
update conversations set removed = stripped % 10, resumed = stripped > 10 where stripped > 0;
alter table conversations drop column stripped; -- and with it the indexes that name it
create index conversations_texts_kept on conversations (started_at, id) where removed = 0 or resumed;
create index conversations_events_kept on conversations (started_at, id) where removed < 2 or resumed;
comment on column conversations.removed is 'What retention removed of it: 1 its texts, 2 its events too.';
comment on column conversations.resumed is 'Events came after retention removed something.';
alter table projections rename column sealed to bodies_removed_until;
alter table ingest_minutes rename column known to duplicates;

-- Who signs in has an account; users are those who talk to an assistant.
alter table users rename to accounts;
alter index users_pkey rename to accounts_pkey;
alter index users_email rename to accounts_email;
alter index users_subject rename to accounts_subject;
alter table user_sessions rename to account_sessions;
alter index user_sessions_pkey rename to account_sessions_pkey;
alter index user_sessions_user rename to account_sessions_account;
alter table user_links rename to account_links;
alter index user_links_pkey rename to account_links_pkey;
alter table account_sessions rename column user_id to account_id;
alter table account_links rename column user_id to account_id;
alter table bulk_runs rename column user_id to account_id;
alter table chart_notes rename column user_id to account_id;
alter table conversation_tags rename column user_id to account_id;
alter table erasures rename column user_id to account_id;
alter table exports rename column user_id to account_id;
alter table fold_runs rename column user_id to account_id;
alter table mentions rename column user_id to account_id;
alter table message_marks rename column user_id to account_id;
alter table notes rename column user_id to account_id;
alter table queue_reviewers rename column user_id to account_id;
alter table recovery_codes rename column user_id to account_id;
alter table reveals rename column user_id to account_id;
alter table review_acts rename column user_id to account_id;
alter table reviews rename column user_id to account_id;
alter table saved_views rename column user_id to account_id;
alter table schedules rename column user_id to account_id;
alter table queue_items rename column for_user to for_account;
alter index review_acts_user rename to review_acts_account;
alter index exports_user rename to exports_account;
update bulk_items set was = was - 'for_user' || jsonb_build_object('for_account', was->'for_user') where was ? 'for_user';
update review_remains r
set reviews = (
	select coalesce(jsonb_agg(x.review - 'user_id' || jsonb_build_object('account_id', x.review->'user_id') order by x.n), '[]')
	from jsonb_array_elements(r.reviews) with ordinality as x (review, n))
where r.reviews <> '[]';

-- A server tells up to which migration it knows the tables. One that is older than the last migration that changed what was
-- there is refused, and ends.
create function oldest_schema() returns integer language sql immutable as 'select 46';
comment on function oldest_schema() is 'The migration that a server must know at least to work with this database.';
alter table servers add column schema integer not null default 0;
-- +goose StatementBegin
create function refuse_older_servers() returns trigger language plpgsql as $$
begin
	if new.schema < oldest_schema() then
		raise exception using errcode = 'TWOLD',
			message = 'a newer version of Turnwise has changed the tables of this database',
			hint = 'Replace this server by that version.';
	end if;
	return new;
end
$$;
-- +goose StatementEnd
create trigger refuse_older_servers before insert on servers for each row execute function refuse_older_servers();
