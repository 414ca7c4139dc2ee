-- Sessions by month
select date_trunc('month', timestamp) as month, count(*) as sessions
from rasa_session
group by 1
order by 1;

-- Users by channel, and when they came first
select channel, date_trunc('month', first_seen) as month, count(distinct sender_key) as senders
from rasa_sender
group by 1, 2
order by 2, 3 desc;

-- Sessions by channel
select channel, count(distinct session_id) as sessions
from rasa_user_message
group by 1
order by 2 desc;

-- Most frequent intents
select intent, count(*) as messages
from rasa_user_message
where intent is not null
group by 1
order by 2 desc
limit 10;

-- Intents by month
select date_trunc('month', timestamp) as month, intent, count(*) as messages
from rasa_user_message
where intent is not null
group by 1, 2
order by 1, 3 desc;

-- Escalation rate by month, by an intent
select date_trunc('month', s.timestamp) as month, count(*) as sessions,
	count(*) filter (where e.session_id is not null) as escalated,
	round(100.0 * count(*) filter (where e.session_id is not null) / count(*), 1) as percent
from rasa_session s
left join (select distinct session_id from rasa_user_message where intent = 'handoff_to_support') as e on e.session_id = s.id
group by 1
order by 1;

-- Escalation rate, by a command of the language model
select count(distinct session_id) as sessions,
	count(distinct session_id) filter (where command = 'human handoff') as escalated,
	round(100.0 * count(distinct session_id) filter (where command = 'human handoff') / nullif(count(distinct session_id), 0), 1) as percent
from rasa_llm_command;

-- Abandonment rate: the last message of the assistant is a given one
select count(*) as sessions, count(*) filter (where template_name = 'utter_ask_rephrase') as abandoned,
	round(100.0 * count(*) filter (where template_name = 'utter_ask_rephrase') / nullif(count(*), 0), 1) as percent
from (
	select distinct on (session_id) session_id, template_name
	from rasa_bot_message
	order by session_id, sequence_number desc
) as last;

-- Most used flows of the last seven days
select flow_identifier, count(distinct session_id) as sessions
from rasa_flow_status
where inserted_at >= now() at time zone 'UTC' - interval '7 days' and flow_identifier not like 'pattern\_%'
group by 1
order by 2 desc
limit 10;

-- How many sessions complete a flow, and how many drop off
select flow_identifier, count(distinct session_id) filter (where flow_status = 'started') as started,
	count(distinct session_id) filter (where flow_status = 'completed') as completed,
	round(100.0 * count(distinct session_id) filter (where flow_status = 'completed')
		/ nullif(count(distinct session_id) filter (where flow_status = 'started'), 0), 1) as resolution_percent,
	round(100 - 100.0 * count(distinct session_id) filter (where flow_status = 'completed')
		/ nullif(count(distinct session_id) filter (where flow_status = 'started'), 0), 1) as drop_off_percent
from rasa_flow_status
where flow_identifier not like 'pattern\_%'
group by 1
order by 2 desc;

-- How often flows are interrupted, and go on
select flow_identifier, count(distinct session_id) filter (where flow_status = 'started') as started,
	count(distinct session_id) filter (where flow_status = 'interrupted') as interrupted,
	count(distinct session_id) filter (where flow_status = 'resumed') as resumed,
	round(100.0 * count(distinct session_id) filter (where flow_status = 'interrupted')
		/ nullif(count(distinct session_id) filter (where flow_status = 'started'), 0), 1) as interruption_percent,
	round(100.0 * count(distinct session_id) filter (where flow_status = 'resumed')
		/ nullif(count(distinct session_id) filter (where flow_status = 'interrupted'), 0), 1) as resumption_percent
from rasa_flow_status
where flow_identifier not like 'pattern\_%'
group by 1
order by 2 desc;

-- Funnel: sessions that came to each step of a flow and left it neither completed nor cancelled
select f.active_flow_identifier, f.flow_step_id, count(distinct f.session_id) as sessions
from rasa_dialogue_stack_frame f
join rasa_flow_status s on s.session_id = f.session_id and s.flow_identifier = f.active_flow_identifier
where f.active_flow_identifier = (select flow_identifier from rasa_flow_status where flow_identifier not like 'pattern\_%' limit 1)
	and s.flow_status not in ('cancelled', 'completed')
group by 1, 2
order by 3 desc;

-- Sessions by the flow that was active
select active_flow_identifier, count(distinct session_id) as sessions
from rasa_dialogue_stack_frame
where active_flow_identifier is not null
group by 1
order by 2 desc;

-- Sessions and users by day
select date_trunc('day', timestamp) as day, count(*) as sessions, count(distinct sender_id) as senders
from rasa_session
group by 1
order by 1 desc
limit 30;

-- Turns of a session, and messages of the assistant in them
select s.id, count(distinct t.id) as turns, count(b.id) as answers
from rasa_session s
join rasa_turn t on t.session_id = s.id
left join rasa_bot_message b on b.session_id = t.session_id and b.sequence_number between t.start_sequence_number and t.end_sequence_number
where s.timestamp >= now() at time zone 'UTC' - interval '1 day'
group by 1
order by 2 desc
limit 20;

-- Responses that are sent most
select template_name, count(*) as messages
from rasa_bot_message
where template_name is not null
group by 1
order by 2 desc
limit 20;

-- Intents of which the model is least sure
select intent, count(*) as messages, round(avg(confidence)::numeric, 2) as confidence
from rasa_user_message
where intent is not null
group by 1
having count(*) >= 30
order by 3
limit 20;

-- Actions that run most
select name, count(*) as executed
from rasa_action
where name <> 'action_listen' and timestamp >= now() at time zone 'UTC' - interval '7 days'
group by 1
order by 2 desc
limit 20;

-- Commands of the language model
select command, count(*) as commands, count(distinct session_id) as sessions
from rasa_llm_command
group by 1
order by 2 desc;

-- Flows that the language model starts
select flow_identifier, count(*) as started
from rasa_llm_command
where command = 'start flow'
group by 1
order by 2 desc
limit 20;

-- Slots that are set most
select name, count(*) as changes, count(distinct session_id) as sessions
from rasa_slot
group by 1
order by 2 desc
limit 20;

-- Last values of a slot
select value, count(*) as sessions
from rasa_session_slot_state
where name = 'csat_score'
group by 1
order by 2 desc;

-- Steps in which sessions end
select active_flow_identifier, flow_step_id, count(*) as sessions
from (
	select distinct on (session_id) session_id, active_flow_identifier, flow_step_id
	from rasa_dialogue_stack_frame
	order by session_id, start_sequence_number desc
) as last
where active_flow_identifier is not null
group by 1, 2
order by 3 desc
limit 20;

-- Events by type and environment, of yesterday
select environment, event_type, count(*) as events
from rasa_event
where timestamp >= date_trunc('day', now() at time zone 'UTC') - interval '1 day' and timestamp < date_trunc('day', now() at time zone 'UTC')
group by 1, 2
order by 3 desc;

-- One session, event by event
select e.timestamp, e.event_type, coalesce(u.text, b.text) as text
from rasa_event e
left join rasa_user_message u on u.event_id = e.id and u.session_id = e.session_id
left join rasa_bot_message b on b.event_id = e.id and b.session_id = e.session_id
where e.session_id = (select id from rasa_session order by timestamp desc limit 1)
order by e.sequence_number;
