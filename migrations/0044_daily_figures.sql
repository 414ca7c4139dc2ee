-- 0044_daily_figures.sql: the figures of a day as plain columns, for SQL. Of days that retention froze nothing else is left.

-- +goose Up
create table daily_figures (
	day date not null, -- of the workspace's zone
	assistant_id integer not null,
	environment_id integer not null,
	channel_id integer not null,
	version_id bigint not null,
	conversations bigint not null, -- that began on the day, as if all had ended
	engaged bigint not null,
	contained bigint not null,
	resolved bigint not null,
	resolved_confirmed bigint not null,
	resolved_assumed bigint not null,
	durable bigint not null,
	handed_off bigint not null,
	escalated bigint not null,
	abandoned bigint not null,
	not_engaged bigint not null,
	asked bigint not null,
	rated bigint not null,
	satisfied bigint not null,
	unsatisfied bigint not null,
	judged bigint not null,
	succeeded bigint not null,
	responses bigint not null, -- turns with a response time
	response_mean_ms double precision,
	response_p50_ms double precision,
	response_p95_ms double precision,
	response_p99_ms double precision,
	first_at timestamptz, -- start of the first and the last conversation that is counted; null where it is gone
	last_at timestamptz,
	counted_at timestamptz not null,
	primary key (day, assistant_id, environment_id, channel_id, version_id)
);
comment on table daily_figures is 'Conversations by the day on which they began, in the workspace''s zone, and their dimensions, counted as if all had ended: a resolution is what it is today, and durable until the person comes back. Percentiles are exact. See docs/metrics.md for what each column counts.';

create table daily_flow_figures (
	day date not null,
	assistant_id integer not null,
	flow text not null,
	started bigint not null, -- conversations, as all that follow
	completed bigint not null,
	finished bigint not null, -- started and completed
	missed bigint not null,
	cancelled bigint not null,
	stopped bigint not null,
	lost bigint not null,
	interrupted bigint not null,
	resumed bigint not null,
	escalated bigint not null,
	runs bigint not null, -- completed runs with a duration
	run_mean_ms double precision,
	run_p50_ms double precision,
	run_p95_ms double precision,
	run_p99_ms double precision,
	counted_at timestamptz not null,
	primary key (day, assistant_id, flow)
);
comment on table daily_flow_figures is 'What conversations did in a flow, by the day on which they began. See docs/metrics.md.';

alter table rollup_state add column daily_filled boolean not null default false;
comment on column rollup_state.daily_filled is 'The days that were counted before daily_figures came stand in it.';

-- What is not final is counted again.
insert into rollup_stale_days (at, assistant_id, marked_at)
select distinct d.at, d.assistant_id, timestamptz 'epoch'
from rollup_days d
where not exists (select from rollup_frozen f where f.assistant_id = d.assistant_id and d.at < f.before)
on conflict do nothing;
