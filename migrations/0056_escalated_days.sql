-- 0056_escalated_days.sql: conversations of a day that were escalated, those without a user message included.

-- +goose Up
alter table daily_figures add column escalated_all bigint; -- null: not known, as of days whose conversations were deleted

-- Days that are final stay; the others are counted again.
insert into dirty_days (at, assistant_id, marked_at)
select distinct d.at, d.assistant_id, timestamptz 'epoch'
from rollup_days d
where not exists (select from final_figures f where f.assistant_id = d.assistant_id and d.at < f.before)
on conflict do nothing;
