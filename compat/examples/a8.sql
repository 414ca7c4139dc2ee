-- Chats by their state now
select state, count(*) as chats
from (select distinct on (chat_id) chat_id, state from chat_state order by chat_id, time desc) as latest
group by 1
order by 2 desc;

-- Transfers by day, and who caused them
select date_trunc('day', time) as day, count(*) as transfers, count(*) filter (where triggered_by_bot) as by_bot
from chat_state
where triggered_by_bot is not null
group by 1
order by 1 desc
limit 30;

-- Messages by day and author
select date_trunc('day', time) as day, msg_from, count(*) as messages, count(distinct chat_id) as chats
from messages
where time >= now() - interval '30 days'
group by 1, 2
order by 1 desc, 2;

-- Response time of the bot
select bot_handle, count(resp_time) as messages, percentile_cont(0.5) within group (order by resp_time) as median_ms,
	percentile_cont(0.95) within group (order by resp_time) as p95_ms
from messages
where msg_from = 'bot' and time >= now() - interval '7 days'
group by 1;

-- Handled messages by day
select date_trunc('day', time) as day, count(is_handeled) as known, round(100.0 * count(*) filter (where is_handeled) / nullif(count(is_handeled), 0), 1) as handled_percent
from user_message_details
where time >= now() - interval '30 days'
group by 1
order by 1 desc;

-- Where the bot's replies come from
select case when is_flow_response then 'flow' when is_qna_response then 'questions and answers' else 'other' end as source, count(*) as messages
from bot_messages
where time >= now() - interval '30 days'
group by 1
order by 2 desc;

-- Flows that reply most
select flow_name, count(*) as messages, count(distinct chat_id) as chats
from bot_messages
where flow_name is not null
group by 1
order by 2 desc
limit 20;

-- Intents and how sure the service was
select intent, count(*) as messages, round(avg(intent_score)::numeric, 2) as score
from a8bot_nlp
where intent is not null and time >= now() - interval '30 days'
group by 1
order by 2 desc
limit 20;

-- Failures of the language service
select nlp_provider, count(*) filter (where is_nlp_hit) as calls, count(*) filter (where is_nlp_hit and (nlp_status >= 400 or error is not null)) as failed,
	percentile_cont(0.95) within group (order by nlp_resp_time) as p95_ms
from a8bot_nlp
where time >= now() - interval '30 days'
group by 1;

-- How agents use the assistant's help
select agent_id, count(*) as messages, count(*) filter (where assist) as helped, count(*) filter (where assist_passed and not assist_edited) as unchanged,
	count(*) filter (where pilot_passed) as by_pilot, round(avg(word_count), 1) as words
from agent_message_details
where time >= now() - interval '30 days'
group by 1
order by 2 desc;

-- New users by day and channel
select date_trunc('day', time) as day, channel, count(*) as users
from app_user
where time >= now() - interval '30 days'
group by 1, 2
order by 1 desc, 3 desc;

-- What users do in the widget
select event_name, count(*) as times, count(distinct client_id) as users, count(error) as errors
from user_activities
where time >= now() - interval '30 days'
group by 1
order by 2 desc;
