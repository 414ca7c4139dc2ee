-- 0058_shared_percentiles.sql: percentiles over all environments of a day's releases, where several answered.

-- +goose Up
alter table daily_figures
	add column shared_responses bigint,
	add column shared_p50_ms double precision,
	add column shared_p95_ms double precision,
	add column shared_p99_ms double precision;
comment on column daily_figures.shared_responses is 'turns with a response time in all environments of the same day, assistant, channel and version; null where only one has any';
comment on column daily_figures.shared_p50_ms is 'exact percentiles over these; the same in each of their rows';

-- Days that are final stay; the others are counted again.
insert into dirty_days (at, assistant_id, marked_at)
select distinct d.at, d.assistant_id, timestamptz 'epoch'
from rollup_days d
where not exists (select from final_figures f where f.assistant_id = d.assistant_id and d.at < f.before)
on conflict do nothing;
