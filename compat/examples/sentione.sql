-- Conversations by day
select date_trunc('day', created_at) as day, count(*) as sessions, count(*) filter (where handed_over) as handed_over
from session_log
group by 1
order by 1 desc
limit 30;

-- Conversations by source
select project_id, source_type, count(*) as sessions
from session_log
where created_at >= now() - interval '30 days'
group by 1, 2
order by 3 desc;

-- How conversations end
select end_reason, count(*) as sessions
from session_log
where created_at >= now() - interval '30 days'
group by 1
order by 2 desc;

-- Open conversations
select count(*) as sessions
from session_log
where ended_at is null;

-- Messages of a conversation
select project_id, round(avg(message_count), 1) as messages, round(avg(user_message_count), 1) as of_users
from session_log
where created_at >= now() - interval '30 days'
group by 1;

-- Tags
select tag, count(*) as sessions
from session_log
cross join lateral unnest(tags) as tag
where created_at >= now() - interval '30 days'
group by 1
order by 2 desc
limit 20;

-- Intents
select intent ->> 'name' as intent, count(*) as messages, round(avg((intent ->> 'score')::numeric), 2) as score
from message_event
cross join lateral jsonb_array_elements(intents) as intent
where created_at >= now() - interval '7 days'
group by 1
order by 2 desc
limit 20;

-- Time of a turn
select count(*) as turns, percentile_cont(0.5) within group (order by (execution_times ->> 'total_ms')::numeric) as median_ms,
	percentile_cont(0.95) within group (order by (execution_times ->> 'total_ms')::numeric) as p95_ms
from message_event
where created_at >= now() - interval '7 days' and execution_times ? 'total_ms';

-- Slowest integrations
select call ->> 'name' as integration, count(*) as calls, round(avg((call ->> 'ms')::numeric)) as mean_ms
from message_event
cross join lateral jsonb_array_elements(execution_times -> 'integrations') as call
where created_at >= now() - interval '7 days' and execution_times ? 'integrations'
group by 1
order by 3 desc
limit 20;

-- Errors
select error ->> 'kind' as kind, count(*) as errors
from message_event
cross join lateral jsonb_array_elements(errors) as error
where created_at >= now() - interval '30 days' and jsonb_typeof(errors) = 'array'
group by 1
order by 2 desc;

-- Commands
select command ->> 'name' as command, count(*) as times
from message_event
cross join lateral jsonb_array_elements(commands) as command
where created_at >= now() - interval '7 days' and jsonb_typeof(commands) = 'array'
group by 1
order by 2 desc;

-- One conversation, message by message
select ordinal, created_at, author_type, content
from message_event
where session_id = (select session_id from session_log order by created_at desc limit 1)
order by ordinal;
