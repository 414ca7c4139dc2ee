-- 0053_flow_days.sql: what else SQL asks of the days of flows.

-- +goose Up
alter table daily_flow_figures
	add column touched bigint not null default 0, -- conversations with anything of the flow
	add column automated bigint not null default 0; -- that completed it and were not escalated inside

-- Of days that are final nothing nearer is known; the others are counted again.
update daily_flow_figures set touched = started, automated = greatest(finished - escalated, 0);
insert into dirty_days (at, assistant_id, marked_at)
select distinct d.at, d.assistant_id, timestamptz 'epoch'
from rollup_days d
where not exists (select from final_figures f where f.assistant_id = d.assistant_id and d.at < f.before)
on conflict do nothing;
