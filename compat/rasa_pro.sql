-- The documented tables of Rasa Pro's Analytics pipeline, over ours. Texts are cut to the documented length.

create function path_of(sender text, conversation text, name text) returns text
language sql immutable parallel safe
as $$
	select sender || '/' || conversation || '/' || case
		when length(name) <= 181 then name
		else left(name, 148) || '-' || md5(name)
	end
$$;

create view rasa_sender as
select place_id(s.id, 0, 0)::varchar(36) as id,
	case when (select texts_shown()) then s.sender_key else place_id(s.id, 0, 0) end::varchar(255) as sender_key,
	nullif(s.channel, '')::varchar(255) as channel, s.first_seen_at at time zone 'UTC' as first_seen,
	s.last_seen_at at time zone 'UTC' as last_seen
from public.senders s
where not exists (select from public.journals j where j.sender_id = s.id)
	and (s.id not in (select t.sender_id from public.conversations t where t.test)
		or (select true from public.conversations t where t.sender_id = s.id and not t.test limit 1));

create view rasa_session as
select c.id::text::varchar(36) as id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id,
	c.started_at at time zone 'UTC' as timestamp, c.first_seq as start_sequence_number, c.last_seq as end_sequence_number
from public.conversations c
where not c.test;

create view rasa_turn as
select t.message_id::text::varchar(36) as id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id,
	c.id::text::varchar(36) as session_id, t.seq as start_sequence_number, t.end_seq as end_sequence_number
from public.turns t
left join public.conversations c on c.sender_id = t.sender_id and c.id = t.conversation_id
where not exists (select from public.conversations x where x.sender_id = t.sender_id and x.id = t.conversation_id and x.test);

create view rasa_dialogue_stack_frame as
select place_id(f.sender_id, f.seq, get_byte(uuid_send(f.conversation_id), 15) & 127)::varchar(36) as id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id,
	c.id::text::varchar(36) as session_id, nullif(f.flow_id, '')::varchar(255) as active_flow_identifier,
	nullif(f.step_id, '')::varchar(255) as flow_step_id, f.at at time zone 'UTC' as inserted_at,
	f.seq as start_sequence_number,
	coalesce((
		select coalesce((
			select max(e.seq)
			from public.events e
			where e.sender_id = f.sender_id and e.conversation_id = f.conversation_id and e.at between f.at and n.at and e.seq < n.seq), n.seq - 1)
		from public.flow_steps n
		where n.sender_id = f.sender_id and n.conversation_id = f.conversation_id and n.seq > f.seq
		order by n.seq
		limit 1), c.last_seq) as end_sequence_number
from public.flow_steps f
left join public.conversations c on c.sender_id = f.sender_id and c.id = f.conversation_id
where not exists (select from public.conversations x where x.sender_id = f.sender_id and x.id = f.conversation_id and x.test);

create view rasa_flow_status as
select e.id::text::varchar(36) as id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id, c.id::text::varchar(36) as session_id,
	e.flow_id::varchar(255) as flow_identifier,
	case when e.type <> 'flow' then substr(e.type, 6) when e.name = 'failed' then 'cancelled' else e.name end::varchar(255) as flow_status,
	nullif(e.step_id, '')::varchar(255) as step_id, e.at at time zone 'UTC' as inserted_at
from public.events e
left join public.conversations c on c.sender_id = e.sender_id and c.id = e.conversation_id
where e.type = any('{flow_started,flow_completed,flow_interrupted,flow_resumed,flow_cancelled,flow}'::text[])
	and (e.type <> 'flow' or e.name <> 'step')
	and not exists (select from public.conversations x where x.sender_id = e.sender_id and x.id = e.conversation_id and x.test);

create view rasa_event as
select e.id::text::varchar(36) as id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id, c.id::text::varchar(36) as session_id,
	e.at at time zone 'UTC' as timestamp,
	case e.type
		when 'flow' then case e.name when 'failed' then 'flow_cancelled' else 'flow_' || e.name end
		when 'conversation.state_changed' then 'session_ended'
		when 'message' then (
			select case m.author when 1 then 'user' else 'bot' end
			from public.messages m
			where m.sender_id = e.sender_id and m.at = e.at and m.id = e.id)
		else e.type
	end::varchar(255) as event_type,
	nullif(v.model_id, '')::varchar(255) as model_id, nullif(n.name, '')::varchar(255) as environment, e.seq as sequence_number
from public.events e
join public.conversations c on c.sender_id = e.sender_id and c.id = e.conversation_id and not c.test
left join public.versions v on v.id = e.version_id
left join public.environments n on n.id = e.environment_id
-- Types that Rasa is documented to send; of other platforms what has a type here; and whatever else Rasa sends.
where (e.type = any('{user,bot,action,slot,session_started,restart,rewind,undo,reset_slots,pause,resume,followup,reminder,cancel_reminder,
			active_loop,form,loop_interrupted,form_validation,action_execution_rejected,entities,user_featurization,export,agent,flow_started,
			flow_completed,flow_cancelled,flow_interrupted,flow_resumed,stack,routing_session_ended,session_ended,conversation_inactive,
			session_paused,agent_started,agent_completed,agent_interrupted,agent_cancelled,agent_resumed}'::text[])
		or case
			when e.type = 'flow' then e.name <> 'step'
			when e.type = 'message' then (
				select m.author in (1, 2)
				from public.messages m
				where m.sender_id = e.sender_id and m.at = e.at and m.id = e.id)
			when e.type = 'conversation.state_changed' then (
				select x.status = 'closed'
				from public.state_changes x
				where x.sender_id = e.sender_id and x.conversation_id = e.conversation_id and x.seq = e.seq)
			when e.type = any('{turn,conversation.updated,feedback,score,user.updated,agent.status_changed,activity}'::text[]) then false
			-- Messages of other platforms have revisions.
			else (
				select bool_or(m.rev is not null)
				from public.messages m
				where m.sender_id = e.sender_id and m.conversation_id = e.conversation_id and m.at between c.started_at and c.last_at) is not true
		end);

create view rasa_bot_message as
select m.id::text::varchar(36) as id, m.id::text::varchar(36) as event_id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id,
	c.id::text::varchar(36) as session_id, m.at at time zone 'UTC' as timestamp, nullif(m.template, '')::varchar(255) as template_name,
	(case when (select texts_shown()) then nullif(m.text, '') end)::varchar(65535) as text,
	(
		select nullif(v.model_id, '')
		from public.events e
		join public.versions v on v.id = e.version_id
		where e.sender_id = m.sender_id and e.at = m.at and e.id = m.id)::varchar(255) as model_id,
	m.seq as sequence_number
from public.messages m
left join public.conversations c on c.sender_id = m.sender_id and c.id = m.conversation_id
where m.author = 2
	and not exists (select from public.conversations x where x.sender_id = m.sender_id and x.id = m.conversation_id and x.test);

create view rasa_user_message as
select m.id::text::varchar(36) as id, m.id::text::varchar(36) as event_id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id,
	c.id::text::varchar(36) as session_id, nullif(m.intent, '')::varchar(255) as intent,
	nullif(m.retrieval_intent, '')::varchar(255) as retrieval_intent,
	coalesce(m.confidence_sent, m.confidence::text::float8) as confidence,
	(case when (select texts_shown()) then nullif(m.text, '') end)::varchar(65535) as text,
	m.at at time zone 'UTC' as timestamp,
	(
		select nullif(v.model_id, '')
		from public.events e
		join public.versions v on v.id = e.version_id
		where e.sender_id = m.sender_id and e.at = m.at and e.id = m.id)::varchar(255) as model_id,
	m.seq as sequence_number, nullif(m.message_id, '')::varchar(255) as message_id,
	nullif(h.name, '')::varchar(255) as channel
from public.messages m
left join public.conversations c on c.sender_id = m.sender_id and c.id = m.conversation_id
left join public.channels h on h.id = c.channel_id
where m.author = 1
	and not exists (select from public.conversations x where x.sender_id = m.sender_id and x.id = m.conversation_id and x.test);

create view rasa_llm_command as
select place_id(k.sender_id, k.seq, k.n)::varchar(36) as id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id,
	c.id::text::varchar(36) as session_id,
	(
		select nullif(m.message_id, '')
		from public.messages m
		where m.sender_id = k.sender_id and m.at = k.at and m.conversation_id = k.conversation_id and m.seq = k.seq)::varchar(255) as user_message_id,
	k.command::varchar(255) as command, k.at at time zone 'UTC' as inserted_at,
	case when k.command = 'start flow' then nullif(k.flow_id, '') end::varchar(255) as flow_identifier,
	case when k.command = 'set slot' then nullif(k.slot, '') end::varchar(255) as set_slot_name,
	case when k.command = 'clarify' then coalesce(json_of(nullif(k.detail, '')) ->> 'options', '[]') end::varchar(65535) as clarification_options
from public.commands k
left join public.conversations c on c.sender_id = k.sender_id and c.id = k.conversation_id
where not exists (select from public.conversations x where x.sender_id = k.sender_id and x.id = k.conversation_id and x.test);

create view rasa_action as
select e.id::text::varchar(36) as id, e.id::text::varchar(36) as event_id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id,
	c.id::text::varchar(36) as session_id,
	nullif(e.name, '')::varchar(255) as name,
	number_of(b.body ->> 'confidence') as confidence, (b.body ->> 'policy')::varchar(255) as policy,
	e.at at time zone 'UTC' as timestamp, nullif(v.model_id, '')::varchar(255) as model_id, e.seq as sequence_number
from public.events e
join public.conversations c on c.sender_id = e.sender_id and c.id = e.conversation_id and not c.test
left join public.versions v on v.id = e.version_id
:json_bodies
where e.type = 'action';

create view rasa_slot as
select place_id(s.sender_id, s.seq, get_byte(uuid_send(s.conversation_id), 15) & 127)::varchar(36) as id,
	(
		select e.id::text
		from public.events e
		where e.sender_id = s.sender_id and e.at = s.at and e.conversation_id = s.conversation_id and e.seq = s.seq)::varchar(36) as event_id,
	place_id(c.sender_id, 0, 0)::varchar(36) as sender_id, c.id::text::varchar(36) as session_id,
	path_of(place_id(c.sender_id, 0, 0), c.id::text, s.name)::varchar(255) as slot_path, s.name::varchar(255) as name,
	(case when (select texts_shown()) then nullif(s.value, '') end)::varchar(65535) as value, s.at at time zone 'UTC' as timestamp,
	s.seq as sequence_number
from public.slots s
left join public.conversations c on c.sender_id = s.sender_id and c.id = s.conversation_id
where not exists (select from public.conversations x where x.sender_id = s.sender_id and x.id = s.conversation_id and x.test);

create view rasa_session_slot_state as
select path_of(place_id(c.sender_id, 0, 0), c.id::text, s.name)::varchar(255) as id, place_id(c.sender_id, 0, 0)::varchar(36) as sender_id,
	c.id::text::varchar(36) as session_id, s.name::varchar(255) as name,
	(case when r.at is not null then 'null' when (select texts_shown()) then nullif(s.value, '') end)::varchar(65535) as value,
	coalesce(r.at, s.at) at time zone 'UTC' as timestamp
from public.slots s
join public.conversations c on c.sender_id = s.sender_id and c.id = s.conversation_id and not c.test
left join lateral (
	select max(e.at) as at
	from public.events e
	where e.type = any('{restart,reset_slots}'::text[]) and e.sender_id = s.sender_id and e.conversation_id = s.conversation_id and e.seq > s.seq
) as r on true
where not exists (
	select
	from public.slots l
	where l.sender_id = s.sender_id and l.conversation_id = s.conversation_id and l.name = s.name and l.seq > s.seq);

create view _rasa_raw_event as
select e.id::text::varchar(36) as id, case when (select texts_shown()) then b.body else '{}' end as body
from public.events e
join public.conversations c on c.sender_id = e.sender_id and c.id = e.conversation_id and not c.test
:bodies;

create view alembic_version as
select max(version_id)::text::varchar(32) as version_num
from public.goose_db_version
where is_applied;

create view rasa_pattern as
select p.uuid::text::varchar(36) as id, p.name::varchar as name, nullif(p.description, '')::varchar as description,
	p.config::varchar as config, p.active as is_active, p.created_at at time zone 'UTC' as created_at,
	p.updated_at at time zone 'UTC' as updated_at
from public.patterns p;

create view rasa_marker as
select md5(m.event_id::text || m.pattern_id::text)::uuid::text::varchar(36) as id, p.uuid::text::varchar(36) as pattern_id,
	place_id(c.sender_id, 0, 0)::varchar(36) as sender_id, c.id::text::varchar(36) as session_id,
	m.event_id::text::varchar(36) as event_id, m.turns as num_preceding_user_turns,
	greatest(m.counts_at, p.updated_at) at time zone 'UTC' as created_at
from public.markers m
join public.conversations c on c.sender_id = m.sender_id and c.id = m.conversation_id and not c.test
join public.patterns p on p.id = m.pattern_id and p.active
where m.counts_at <= now();
