-- The documented tables of A8Chat's analytics database, over ours.

-- Chats, by the platform's ids; without texts, which may tell who it is, by ours.
create view chats as
select c.sender_id, c.id, c.assistant_id, c.channel_id, c.started_at, c.last_at, coalesce(nullif(c.session_id, ''), c.id::text) as chat_id
from public.conversations c
where not c.test and (select texts_shown())
union all
select c.sender_id, c.id, c.assistant_id, c.channel_id, c.started_at, c.last_at, c.id::text::varchar(36)::text
from public.conversations c
where not c.test and not (select texts_shown());

create view messages as
select m.at as time, c.chat_id, coalesce(nullif(m.message_id, ''), m.id::text) as mid,
	coalesce(nullif(m.message_type, ''), case when jsonb_typeof(r.rich -> 'attachments') = 'array' then 'Attachments' else 'text' end) as msg_type,
	nullif(m.reply_to, '') as reply_to_id, a.name as bot_handle,
	case m.author when 1 then 'user' when 2 then 'bot' else 'agent' end as msg_from,
	coalesce(number_of(d.details ->> 'response_ms'), case when m.author <> 1 then (
		select extract(epoch from m.at - t.at)::double precision * 1000
		from public.turns t
		where t.sender_id = m.sender_id and t.conversation_id = m.conversation_id and t.n = m.turn and t.response_source <> 'not_timed') end) as resp_time,
	case
		when not (select texts_shown()) then '{}'::jsonb
		when r.rich -> 'content' is not null then r.rich -> 'content'
		else jsonb_build_object('text', m.text) || case when jsonb_typeof(r.rich) = 'object' then r.rich else '{}' end
	end as msg
from public.messages m
join chats c on c.sender_id = m.sender_id and c.id = m.conversation_id
join public.assistants a on a.id = c.assistant_id
cross join lateral (select jsonb_of(m.details) as details offset 0) as d
cross join lateral (select jsonb_of(m.rich) as rich offset 0) as r
where m.author in (1, 2, 3);

create view bot_messages as
select m.at as time, c.chat_id, coalesce(nullif(m.message_id, ''), m.id::text) as mid,
	case when d.details ? 'reply_source' then d.details -> 'reply_source' ? 'flow' else f.flow <> '' end as is_flow_response,
	case when d.details ? 'reply_source' then d.details -> 'reply_source' ? 'qna' else false end as is_qna_response,
	nullif(m.agent_id, '') as from_id, nullif(f.flow, '') as flow_name, nullif(f.step, '') as node_name, a.name as bot_handle
from public.messages m
join chats c on c.sender_id = m.sender_id and c.id = m.conversation_id
join public.assistants a on a.id = c.assistant_id
cross join lateral (select jsonb_of(m.details) as details offset 0) as d
left join lateral (
	select coalesce(d.details ->> 'flow', max(e.flow_id), '') as flow, coalesce(d.details ->> 'step', max(e.step_id), '') as step
	from public.events e
	where e.sender_id = m.sender_id and e.at = m.at and e.id = m.id
) as f on true
where m.author = 2;

create view user_message_details as
select m.at as time, c.chat_id, coalesce(nullif(m.message_id, ''), m.id::text) as mid,
	coalesce(truth_of(d.details -> 'is_handled'), (
		select case when t.fallback then false when t.response_source <> '' or t.human then true end
		from public.turns t
		where t.sender_id = m.sender_id and t.conversation_id = m.conversation_id and t.n = m.turn)) as is_handeled,
	d.details ->> 'handling_agent' as handling_agent, truth_of(d.details -> 'from_suggestion') as from_suggestion
from public.messages m
join chats c on c.sender_id = m.sender_id and c.id = m.conversation_id
cross join lateral (select jsonb_of(m.details) as details offset 0) as d
where m.author = 1;

create view agent_message_details as
select m.at as time, coalesce(nullif(m.message_id, ''), m.id::text) as mid, nullif(m.agent_id, '') as agent_id,
	nullif(m.agent_session_id, '') as session_id, c.chat_id,
	coalesce(truth_of(d.assist -> 'used'), false) as assist, coalesce(truth_of(d.assist -> 'passed'), false) as assist_passed,
	coalesce(truth_of(d.assist -> 'edited'), false) as assist_edited, coalesce(truth_of(d.assist -> 'pilot_on'), false) as pilot_mode,
	coalesce(truth_of(d.assist -> 'pilot_passed'), false) as pilot_passed,
	coalesce(truth_of(d.assist -> 'is_faq'), d.assist ->> 'faq_id' <> '', false) as is_faq, nullif(d.assist ->> 'faq_id', '') as faq_id,
	coalesce(integer_of(d.words), cardinality(array_remove(regexp_split_to_array(m.text, '\s+'), ''))) as word_count
from public.messages m
join chats c on c.sender_id = m.sender_id and c.id = m.conversation_id
cross join lateral (
	select x -> 'assist' as assist, x ->> 'word_count' as words
	from jsonb_of(m.details) as x
	offset 0
) as d
where m.author = 3;

create view chat_state as
select s.at as time, c.chat_id, nullif(s.agent_id, '') as agent_id,
	coalesce(nullif(s.state, ''), case
		when s.status = 'closed' then 'closedChat'
		when s.status = 'missed' then 'missedChat'
		when s.status = 'snoozed' then 'snoozedChat'
		when s.handler = 'queue' then 'TransferChat'
		when s.handler = 'human' then 'assignedChat'
		when s.handler = 'bot' then 'botChat'
		else 'newChat'
	end) as state,
	case when s.handler = 'queue' and s.changed_by <> '' then s.changed_by = 'bot' end as triggered_by_bot,
	case when (select texts_shown()) then jsonb_of(s.details) -> 'custom' end as custom_fields, a.name as bot_handle,
	coalesce(nullif(s.state_id, ''), (
		select e.id::text
		from public.events e
		where e.sender_id = s.sender_id and e.at = s.at and e.conversation_id = s.conversation_id and e.seq = s.seq)) as id,
	nullif(s.team_id, '') as group_id
from public.state_changes s
join chats c on c.sender_id = s.sender_id and c.id = s.conversation_id
join public.assistants a on a.id = c.assistant_id;

create view user_activities as
select coalesce(nullif(x.activity_id, ''), (
		select e.id::text
		from public.events e
		where e.sender_id = x.sender_id and e.at = x.at and e.conversation_id = x.conversation_id and e.seq = x.seq)) as _id,
	x.at as time, case when (select texts_shown()) then x.user_id else md5(x.user_id) end as client_id,
	coalesce(nullif(h.name, ''), nullif(s.channel, '')) as channel,
	coalesce(nullif(x.name, ''), nullif(x.status, '')) as event_name, case when (select texts_shown()) then nullif(x.error, '') end as error, a.name as bot_handle
from public.activities x
join public.senders s on s.id = x.sender_id
join public.assistants a on a.id = s.assistant_id
left join public.conversations c on c.sender_id = x.sender_id and c.id = x.conversation_id
left join public.channels h on h.id = c.channel_id
where x.actor = 'user' and x.user_id <> '' and c.test is not true;

create view event_metrics as
select x.at as time,
	case when (select texts_shown()) then coalesce(d.details ->> 'external_user_id', nullif(x.user_id, '')) else md5(coalesce(d.details ->> 'external_user_id', nullif(x.user_id, ''))) end as user_id,
	c.chat_id, a.name as bot_handle,
	coalesce(case when (select texts_shown()) then d.details -> 'event' end, to_jsonb(coalesce(nullif(x.name, ''), x.status))) as event_name,
	case
		when not (select texts_shown()) then null
		when x.error = '' then d.details -> 'details'
		-- JSON, or a text that looks so: the event tells.
		when x.error ~ '^[{[]' then coalesce((
			select jsonb_of(split_part(p.bodies, chr(30), e.pos + 1)) -> 'data' -> 'error'
			from public.events e
			join public.event_payloads p on p.sender_id = e.sender_id and p.conversation_id = e.conversation_id and p.part = e.part
				and p.at between c.started_at and c.last_at
			where e.sender_id = x.sender_id and e.at = x.at and e.conversation_id = x.conversation_id and e.seq = x.seq), to_jsonb(x.error))
		else to_jsonb(x.error)
	end as error
from public.activities x
join chats c on c.sender_id = x.sender_id and c.id = x.conversation_id
join public.assistants a on a.id = c.assistant_id
cross join lateral (select jsonb_of(x.details) as details offset 0) as d
where x.actor <> 'human';

create view agent_activities as
select x.at as time, nullif(x.agent_id, '') as agent_id, nullif(x.agent_session_id, '') as session_id,
	coalesce(nullif(x.name, ''), nullif(x.status, '')) as event_name, case when (select texts_shown()) then jsonb_of(x.details) -> 'custom' end as custom_fields,
	c.chat_id
from public.activities x
join chats c on c.sender_id = x.sender_id and c.id = x.conversation_id
where x.actor = 'human'
union all
select x.at, nullif(x.agent_id, ''), nullif(x.agent_session_id, ''), coalesce(nullif(x.name, ''), nullif(x.status, '')),
	case when (select texts_shown()) then jsonb_of(x.details) -> 'custom' end, null
from public.activities x
join public.journals j on j.sender_id = x.sender_id and j.id = x.conversation_id
where x.actor = 'human';

create view agent_sessions as
select coalesce(x.started_at, to_timestamp(x.seq / 1e6::float8)) as time, case when (select texts_shown()) then nullif(x.name, '') end as name, nullif(x.agent_id, '') as agent_id, x.login_id as session_id,
	x.groups, d.details ->> 'timezone' as timezone, d.details -> 'device' ->> 'os' as os, d.details ->> 'lang' as lang,
	d.details -> 'device' ->> 'browser_name' as browser_name, d.details -> 'device' ->> 'browser_version' as browser_version,
	d.details -> 'device' ->> 'name' as device_name, integer_of(d.details -> 'device' ->> 'screen_width') as screen_size_width,
	integer_of(d.details -> 'device' ->> 'screen_height') as screen_size_height, case when (select texts_shown()) then d.details -> 'custom' end as custom_fields,
	case when (select texts_shown()) then inet_of(d.details ->> 'ip_address') end as ip_address,
	case when (select texts_shown()) then nullif(x.email, '') end as email
from public.agent_logins x
cross join lateral (select jsonb_of(x.details) as details offset 0) as d
-- One over the turn of a month has a row in each; the first is the login.
where not exists (
	select
	from public.agent_logins o
	where o.sender_id = x.sender_id and o.login_id = x.login_id and o.conversation_id <> x.conversation_id
		and (coalesce(o.started_at, to_timestamp(o.seq / 1e6::float8)), o.seq, o.conversation_id)
			< (coalesce(x.started_at, to_timestamp(x.seq / 1e6::float8)), x.seq, x.conversation_id));

create view a8bot_nlp as
select n.mid, n.time, truth_of(jsonb_of(b.details) -> 'handled') as basic_nlp_handled, nullif(coalesce(nullif(p.provider, ''), p.name), '') as nlp_provider,
	nullif(n.intent, '') as intent, n.intent_score, case when (select texts_shown()) then coalesce(jsonb_of(n.entities), '[]') else '[]' end as entities,
	coalesce(truth_of(jsonb_of(k.details) -> 'called'), k.called) as is_spellcheck_hit, integer_of(k.status) as spellcheck_status, k.ms as spellcheck_resp_time,
	coalesce(truth_of(jsonb_of(p.details) -> 'called'), p.called) as is_nlp_hit, integer_of(p.status) as nlp_status, p.ms as nlp_resp_time,
	case when (select texts_shown()) then nullif(coalesce(nullif(p.error, ''), nullif(n.error, ''), k.error), '') end as error, truth_of(jsonb_of(k.details) -> 'altered') as altered_query,
	a.name as bot_handle, n.triggered as event_triggered
from (
	select m.sender_id, m.conversation_id, coalesce(x.seq, m.seq) as seq, m.at as time, coalesce(nullif(m.message_id, ''), m.id::text) as mid,
		coalesce(nullif(x.intent, ''), m.intent) as intent, coalesce(x.confidence, m.confidence_sent, m.confidence::text::double precision) as intent_score,
		coalesce(nullif(x.entities, ''), nullif(m.entities, ''), '[]') as entities, x.triggered, x.error
	from public.messages m
	left join lateral (
		select t.seq, t.intent, t.confidence, t.entities, jsonb_of(t.details) ->> 'triggered' as triggered, jsonb_of(t.details) ->> 'error' as error
		from public.turn_facts t
		where t.sender_id = m.sender_id and t.conversation_id = m.conversation_id
			and (t.seq = m.seq or t.message_id <> '' and t.message_id = m.message_id)
		order by t.intent <> '' desc, t.seq
		limit 1
	) as x on true
	where m.author = 1 and (m.intent <> '' or m.entities <> '' or x.seq is not null)
	union all
	-- A turn whose message is not there.
	select x.sender_id, x.conversation_id, x.seq, x.at, x.message_id, x.intent, x.confidence, coalesce(nullif(x.entities, ''), '[]'),
		jsonb_of(x.details) ->> 'triggered', jsonb_of(x.details) ->> 'error'
	from public.turn_facts x
	where x.message_id <> '' and not exists (
		select
		from public.messages m
		where m.sender_id = x.sender_id and m.conversation_id = x.conversation_id
			and (m.seq = x.seq or m.author = 1 and m.message_id = x.message_id))
) as n
join public.senders s on s.id = n.sender_id
join public.assistants a on a.id = s.assistant_id
left join lateral (
	select o.details
	from public.calls o
	where o.sender_id = n.sender_id and o.conversation_id = n.conversation_id and o.seq = n.seq and lower(o.name) = 'basicnlp'
	order by o.n
	limit 1
) as b on true
left join lateral (
	select o.details, o.status, o.ms, o.error, true as called
	from public.calls o
	where o.sender_id = n.sender_id and o.conversation_id = n.conversation_id and o.seq = n.seq and o.kind = 'spellcheck'
	order by o.n
	limit 1
) as k on true
left join lateral (
	select o.details, o.name, o.provider, o.status, o.ms, o.error, true as called
	from public.calls o
	where o.sender_id = n.sender_id and o.conversation_id = n.conversation_id and o.seq = n.seq
		and o.kind in ('nlu', 'llm') and lower(o.name) <> 'basicnlp'
	order by o.kind desc, o.n
	limit 1
) as p on true
where not exists (select from public.conversations x where x.sender_id = n.sender_id and x.id = n.conversation_id and x.test);

create view "user" as
select u.time, case when (select texts_shown()) then u.client_id else md5(u.client_id) end as client_id, u.traits ->> 'org_id' as org_id, nullif(u.channel, '') as channel,
	u.traits ->> 'timezone' as timezone, u.traits -> 'device' ->> 'os' as os, u.traits ->> 'lang' as lang, case when (select texts_shown()) then u.traits ->> 'url' else substring(u.traits ->> 'url' from '^[^?#]*') end as url,
	u.traits -> 'device' ->> 'browser_name' as browser_name, u.traits -> 'device' ->> 'browser_version' as browser_version,
	case when (select texts_shown()) then inet_of(u.traits ->> 'ip_address') end as ip_address,
	case when (select texts_shown()) then number_of(u.traits -> 'geo' ->> 'latitude') end as latitude,
	case when (select texts_shown()) then number_of(u.traits -> 'geo' ->> 'longitude') end as longitude,
	u.traits -> 'device' ->> 'name' as device_name, integer_of(u.traits -> 'device' ->> 'screen_width') as screen_size_width,
	integer_of(u.traits -> 'device' ->> 'screen_height') as screen_size_height, u.traits -> 'device' ->> 'orientation' as device_orientation,
	u.traits -> 'network' ->> 'isp' as isp_provider, number_of(u.traits -> 'network' ->> 'speed_mbps') as data_speed, a.name as bot_handle,
	case when (select texts_shown()) then coalesce(u.traits -> 'custom', members_of(u.traits, 'custom.')) end as custom_fields,
	case when (select texts_shown()) then u.traits -> 'channel_data' end as channel_data
from (
	-- Users of whom the platform told something.
	select s.first_seen_at as time, s.user_id as client_id, s.channel, s.assistant_id, jsonb_of(s.traits) as traits
	from public.senders s
	where s.sender_key like 'user:%' and s.user_id <> '' and exists (select from public.journals j where j.sender_id = s.id)
		and (not exists (select from public.conversations t where t.user_id = s.user_id and t.user_id <> '' and t.test)
			or exists (select from public.conversations t where t.user_id = s.user_id and t.user_id <> '' and not t.test))
	union all
	-- Others, by their conversations: the first of each.
	select s.first_seen_at, coalesce(nullif(s.user_id, ''), s.sender_key), s.channel, s.assistant_id, null
	from public.senders s
	where not exists (select from public.journals j where j.sender_id = s.id)
		and (s.user_id = '' or not exists (
			select
			from public.senders o
			where o.user_id = s.user_id and o.user_id <> '' and o.assistant_id = s.assistant_id and o.id <> s.id
				and (o.first_seen_at, o.id) < (s.first_seen_at, s.id)
				and not exists (select from public.journals j where j.sender_id = o.id)
				and (o.id not in (select t.sender_id from public.conversations t where t.test)
					or (select true from public.conversations t where t.sender_id = o.id and not t.test limit 1)))
		and not exists (
			select
			from public.senders o
			join public.journals j on j.sender_id = o.id
			where o.user_id = s.user_id and o.user_id <> '' and o.assistant_id = s.assistant_id and o.sender_key like 'user:%'))
		and (s.id not in (select t.sender_id from public.conversations t where t.test)
			or (select true from public.conversations t where t.sender_id = s.id and not t.test limit 1))
) as u
join public.assistants a on a.id = u.assistant_id;

create view app_user as
select * from "user";
