-- The tables of SentiOne's analytics component, over ours.

-- Sessions, by the platform's ids; without texts, which may tell who it is, by ours.
create view sessions as
select c.sender_id, c.id, c.started_at, c.last_at, coalesce(nullif(c.session_id, ''), c.id::text) as session_id
from public.conversations c
where not c.test and (select texts_shown())
union all
select c.sender_id, c.id, c.started_at, c.last_at, c.id::text::varchar(36)::text
from public.conversations c
where not c.test and not (select texts_shown());

create view session_log as
select coalesce(case when (select texts_shown()) then nullif(d.details ->> 'internal_id', '') end, c.id::text) as id, i.session_id, a.name as project_id,
	case when (select texts_shown()) then coalesce(nullif(c.user_id, ''), s.sender_key) else md5(coalesce(nullif(c.user_id, ''), s.sender_key)) end as author,
	truth_of(d.details -> 'author_verified') as author_verified, nullif(h.name, '') as source_type, i.started_at as created_at,
	coalesce(c.ended_at, case when c.closes_at <= now() then c.last_at end) as ended_at,
	case
		when c.end_reason in ('completed', 'user_left', 'timeout', 'handover', 'error', 'other') then c.end_reason
		when c.end_reason = 'conversation_inactive' or c.end_reason = '' and c.ended_at is null and c.closes_at <= now() then 'timeout'
		when c.end_reason = 'user left' then 'user_left'
		when c.end_reason = 'session_ended' then 'completed'
		when c.ended_at is not null then 'other'
	end as end_reason,
	(
		select max(m.at)
		from public.messages m
		where m.sender_id = c.sender_id and m.conversation_id = c.id and m.at between c.started_at and c.last_at and m.author in (1, 2, 3)) as last_message_at,
	(
		select count(*)
		from public.messages m
		where m.sender_id = c.sender_id and m.conversation_id = c.id and m.at between c.started_at and c.last_at and m.author in (1, 2, 3))::integer as message_count, c.user_messages as user_message_count,
	array(
		select jsonb_array_elements_text(d.details -> 'tags') where jsonb_typeof(d.details -> 'tags') = 'array'
		union
		select x.tag
		from public.turn_facts t
		cross join lateral unnest(texts_of(jsonb_of(t.details) -> 'tags')) as x (tag)
		where t.sender_id = c.sender_id and t.conversation_id = c.id
		order by 1) as tags,
	c.escalated_at is not null as handed_over,
	case when (select texts_shown()) then coalesce(d.details -> 'metadata', members_of(d.details, 'metadata.'), '{}') else '{}' end as metadata
from sessions i
join public.conversations c on c.sender_id = i.sender_id and c.id = i.id
join public.senders s on s.id = c.sender_id
join public.assistants a on a.id = c.assistant_id
left join public.channels h on h.id = c.channel_id
cross join lateral (select jsonb_of(c.details) as details offset 0) as d;

create view message_event as
select coalesce(nullif(m.message_id, ''), m.id::text) as id, c.session_id, m.at as created_at,
	(
		select count(*)
		from public.messages o
		where o.sender_id = m.sender_id and o.conversation_id = m.conversation_id and o.at between c.started_at and m.at
			and o.seq <= m.seq and o.author in (1, 2, 3))::integer as ordinal,
	case m.author when 1 then 'Human' when 2 then 'Bot' else 'Agent' end as author_type,
	case when (select texts_shown()) then nullif(m.text, '') end as content,
	case when (select texts_shown()) then r.rich -> 'buttons' end as quick_replies,
	case when (select texts_shown()) then r.rich -> 'attachments' end as attachments,
	case when (select texts_shown()) then f.details -> 'dialog_state' end as dialog_state,
	coalesce(case when jsonb_typeof(f.details -> 'intents') = 'array' then (
		select jsonb_agg(jsonb_build_object('name', coalesce(x ->> 'name', x #>> '{}'), 'score', number_of(x ->> 'score')))
		from jsonb_array_elements(f.details -> 'intents') as x) end, case when coalesce(nullif(f.intent, ''), m.intent) <> '' then
		jsonb_build_array(jsonb_build_object('name', coalesce(nullif(f.intent, ''), m.intent),
			'score', coalesce(f.confidence, m.confidence_sent, m.confidence::text::double precision))) end) as intents,
	case when (select texts_shown()) then f.details -> 'variables' end as variables, texts_of(f.details -> 'tags') as tags, texts_of(f.details -> 'topics') as topics,
	case when (select texts_shown()) then coalesce(f.details -> 'commands', case when m.author = 1 then (
		select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', k.command, 'flow', nullif(k.flow_id, ''), 'slot', nullif(k.slot, ''), 'value', jsonb_of(k.value))) order by k.n)
		from public.commands k
		where k.sender_id = m.sender_id and k.conversation_id = m.conversation_id and k.seq = m.seq) end) end as commands,
	case when (select texts_shown()) then f.details -> 'states' end as used_states,
	(
		select nullif(jsonb_strip_nulls(jsonb_build_object(
			'total_ms', coalesce(f.response_ms, t.response_ms), 'nlu_ms', coalesce(number_of(f.details ->> 'nlu_ms'), t.understanding_ms),
			'dialog_ms', coalesce(number_of(f.details ->> 'dialog_ms'), t.prediction_ms), 'integrations', (
				select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', k.name, 'ms', k.ms, 'status', nullif(k.status, ''))) order by k.n)
				from public.calls k
				where k.sender_id = m.sender_id and k.conversation_id = m.conversation_id and k.seq = f.seq and k.kind = 'integration'))), '{}')
		from (values (1)) as one (n)
		left join public.turns t on m.author = 1 and t.sender_id = m.sender_id and t.conversation_id = m.conversation_id and t.n = m.turn and t.message_id = m.id
			-- What the answer tells of the turn stands with it alone.
			and not exists (
				select
				from public.turn_facts b
				where b.sender_id = m.sender_id and b.conversation_id = m.conversation_id and b.turn = m.turn and b.seq <> m.seq and b.response_ms is not null)) as execution_times,
	case when (select texts_shown()) then f.details -> 'errors' end as errors
from public.messages m
join sessions c on c.sender_id = m.sender_id and c.id = m.conversation_id
left join lateral (
	select x.seq, x.intent, x.confidence, x.response_ms, jsonb_of(x.details) as details
	from public.turn_facts x
	where x.sender_id = m.sender_id and x.conversation_id = m.conversation_id
		and (x.seq = m.seq or m.author = 1 and x.message_id <> '' and x.message_id = m.message_id)
	order by x.seq <> m.seq, x.seq
	limit 1
) as f on true
cross join lateral (select jsonb_of(m.rich) as rich offset 0) as r
where m.author in (1, 2, 3);
