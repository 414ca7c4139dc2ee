-- The documented tables of Rasa Studio's analytics database, over ours. Names are in camel case: queries quote them.

create type "ReviewState" as enum ('UNREVIEWED', 'PARTIALLY_REVIEWED', 'REVIEWED');
create type "CsatRating" as enum ('SATISFIED', 'UNSATISFIED', 'UNANSWERED');
create type "ConversationEventType" as enum ('ACTION', 'SESSION_STARTED', 'SLOT', 'RESET_SLOTS', 'FLOW_STARTED',
	'FLOW_INTERRUPTED', 'FLOW_RESUMED', 'FLOW_COMPLETED', 'FLOW_CANCELLED', 'FORM', 'ACTIVE_LOOP', 'RESTART',
	'CONVERSATION_INACTIVE', 'SESSION_ENDED', 'ENTITIES', 'FOLLOWUP', 'ACTION_EXECUTION_REJECTED', 'STACK',
	'ROUTING_SESSION_ENDED', 'REMINDER', 'CANCEL_REMINDER', 'REWIND', 'UNDO', 'EXPORT', 'PAUSE', 'RESUME',
	'LOOP_INTERRUPTED', 'AGENT_STARTED', 'AGENT_COMPLETED', 'AGENT_INTERRUPTED', 'AGENT_CANCELLED', 'AGENT_RESUMED');

-- A UUID (version 8) of a kind of row and its number, and back.
create function row_id(kind integer, number bigint) returns text
language sql immutable strict parallel safe
as $$ select substr(x, 1, 8) || '-' || substr(x, 9, 4) || '-8' || lpad(to_hex(kind), 3, '0') || '-8000-00000000' || substr(x, 13, 4)
	from lpad(to_hex(number), 16, '0') as x $$;

create view "Environment" as
select row_id(1, id) as id, name
from public.environments;

-- The model's id, a UUID in any case; of other platforms the version's.
create function model_of(model_id text, version_id bigint) returns text
language sql immutable parallel safe
return case
	when model_id ~ '^[0-9a-fA-F]{32}$' then model_id::uuid::text
	when model_id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then lower(model_id)
	else row_id(2, coalesce(version_id, 0))
end;

-- Releases, named so that a name of two assistants can be told apart.
create view releases as
select v.id as version_id, a.name as assistant, coalesce(nullif(v.model_name, ''), nullif(v.model_id, ''), 'unknown') as name,
	model_of(v.model_id, v.id) as model,
	exists (
		select
		from public.versions o
		where o.assistant_id <> v.assistant_id
			and coalesce(nullif(o.model_name, ''), nullif(o.model_id, '')) = coalesce(nullif(v.model_name, ''), nullif(v.model_id, ''))
	) as shared, v.model_name <> '' as named
from public.versions v
join public.assistants a on a.id = v.assistant_id;

create view "MachineLearningModel" as
(select distinct on (model) model as id, name, assistant as "assistantName"
from releases
order by model, named desc, name, assistant)
union all
select row_id(2, 0), 'unknown', '';

create view "Conversation" as
select c.id, a.name as "assistantName", coalesce((select r.name from releases r where r.version_id = c.version_id), 'unknown') as "assistantVersion",
	c.user_messages as "totalNumberOfUserMessages", c.started_at as "startDate",
	c.ended_at is not null or c.closes_at <= now() as ingested,
	(case
		when w.sender_id is null then 'UNREVIEWED'
		when w.reviewed_at is not null and w.events = c.events then 'REVIEWED'
		else 'PARTIALLY_REVIEWED'
	end)::"ReviewState" as "reviewState",
	nullif(c.csat, '')::"CsatRating" as "csatRating", w.reviewed_at as "lastReviewedAt", c.escalated_at as "escalatedAt",
	case when c.environment_id <> 0 then row_id(1, c.environment_id) end as "environmentId"
from public.conversations c
join public.assistants a on a.id = c.assistant_id
left join public.review_states w on w.sender_id = c.sender_id and w.conversation_id = c.id
where not c.test;

create view "ConversationEvent" as
select e.id, e.conversation_id as "conversationId", e.at as timestamp, model_of(v.model_id, v.id) as "modelId",
	-- a condition on it may be asked before the one below
	(case when k.type = any('{ACTION, SESSION_STARTED, SLOT, RESET_SLOTS, FLOW_STARTED, FLOW_INTERRUPTED, FLOW_RESUMED, FLOW_COMPLETED, FLOW_CANCELLED,
		FORM, ACTIVE_LOOP, RESTART, CONVERSATION_INACTIVE, SESSION_ENDED, ENTITIES, FOLLOWUP, ACTION_EXECUTION_REJECTED,
		STACK, ROUTING_SESSION_ENDED, REMINDER, CANCEL_REMINDER, REWIND, UNDO, EXPORT, PAUSE, RESUME,
		LOOP_INTERRUPTED, AGENT_STARTED, AGENT_COMPLETED, AGENT_INTERRUPTED, AGENT_CANCELLED, AGENT_RESUMED}'::text[]) then k.type end)::"ConversationEventType" as type,
	case when (select texts_shown()) then b.body else '{}'::json end as "rawData",
	case when (select texts_shown()) and starts_with(b.metadata::text, '{') then b.metadata else '{}'::json end as metadata,
	case when k.type = 'ACTION' then nullif(e.name, '') end as "actionText",
	nullif(e.name, '') as name,
	case when k.type = 'SLOT' then coalesce((
		select json_of(s.value)
		from public.slots s
		where s.sender_id = e.sender_id and s.conversation_id = e.conversation_id and s.seq = e.seq and s.value <> ''
			and texts_shown()), 'null'::json) end as "slotValue",
	nullif(e.flow_id, '') as "flowId", nullif(e.step_id, '') as "stepId", nullif(e.agent_id, '') as "agentId"
from public.conversations c
join public.events e on e.sender_id = c.sender_id and e.conversation_id = c.id and e.at between c.started_at and c.last_at
left join public.versions v on v.id = e.version_id
cross join lateral (
	select case e.type
			when 'flow' then case e.name
				when 'step' then ''
				when 'failed' then 'FLOW_CANCELLED'
				else 'FLOW_' || upper(e.name)
			end
			when 'conversation.state_changed' then coalesce((
				select 'SESSION_ENDED'
				from public.state_changes x
				where x.sender_id = e.sender_id and x.conversation_id = e.conversation_id and x.seq = e.seq
					and x.status = 'closed'), '')
			else upper(e.type)
		end as type
) as k
:json_bodies
where not c.test and k.type = any('{ACTION, SESSION_STARTED, SLOT, RESET_SLOTS, FLOW_STARTED, FLOW_INTERRUPTED, FLOW_RESUMED, FLOW_COMPLETED, FLOW_CANCELLED,
	FORM, ACTIVE_LOOP, RESTART, CONVERSATION_INACTIVE, SESSION_ENDED, ENTITIES, FOLLOWUP, ACTION_EXECUTION_REJECTED,
	STACK, ROUTING_SESSION_ENDED, REMINDER, CANCEL_REMINDER, REWIND, UNDO, EXPORT, PAUSE, RESUME,
	LOOP_INTERRUPTED, AGENT_STARTED, AGENT_COMPLETED, AGENT_INTERRUPTED, AGENT_CANCELLED, AGENT_RESUMED}'::text[]);

create view "VersionDailyStatistics" as
select md5(g.day || chr(31) || g.channel || chr(31) || g.version)::uuid::text as id,
	g.day::timestamp at time zone z.zone as date, g.channel as "channelName", g.version,
	g.conversations::integer as "totalSessions", (g.conversations - g.escalated)::integer as "automatedCount",
	g.escalated::integer as "escalatedCount", coalesce(g.mean, 0) as "averageLatencyMs",
	coalesce(g.p50, x.p50, 0) as "p50LatencyMs", coalesce(g.p95, x.p95, 0) as "p95LatencyMs",
	coalesce(g.p99, x.p99, 0) as "p99LatencyMs",
	g.satisfied::integer as "csatSatisfied", g.unsatisfied::integer as "csatUnsatisfied",
	(g.asked - g.rated)::integer as "csatUnanswered",
	case when g.criteria then g.succeeded::integer end as "customSuccessCount",
	case when g.criteria then (g.judged - g.succeeded)::integer end as "customFailureCount",
	g.counted as "createdAt", g.counted_last as "updatedAt", g.criteria_id as "successCriteriaId"
from (
	select d.day, coalesce(nullif(ch.name, ''), 'unknown') as channel,
		case when r.shared then r.assistant || ' ' || r.name else coalesce(r.name, 'unknown') end as version,
		sum(d.conversations) as conversations, sum(coalesce(d.escalated_all, d.escalated)) as escalated, sum(d.satisfied) as satisfied,
		sum(d.unsatisfied) as unsatisfied, sum(d.asked) as asked, sum(d.rated) as rated, sum(d.judged) as judged,
		sum(d.succeeded) as succeeded, count(*) filter (where d.responses > 0) as timed,
		sum(d.response_mean_ms * d.responses) / nullif(sum(d.responses), 0) as mean,
		case
			when count(*) filter (where d.responses > 0) = 1 then max(d.response_p50_ms)
			when max(d.shared_responses) = sum(d.responses) then max(d.shared_p50_ms) -- else other rows are among them
		end as p50,
		case
			when count(*) filter (where d.responses > 0) = 1 then max(d.response_p95_ms)
			when max(d.shared_responses) = sum(d.responses) then max(d.shared_p95_ms) -- else other rows are among them
		end as p95,
		case
			when count(*) filter (where d.responses > 0) = 1 then max(d.response_p99_ms)
			when max(d.shared_responses) = sum(d.responses) then max(d.shared_p99_ms) -- else other rows are among them
		end as p99,
		min(d.counted_at) as counted, max(d.counted_at) as counted_last, bool_or(f.id is not null) as criteria,
		case when count(distinct f.id) = 1 then row_id(3, max(f.id)) end as criteria_id,
		array_agg(distinct d.assistant_id) as assistants, array_agg(distinct d.channel_id) as channels,
		array_agg(distinct d.version_id) as versions
	from public.daily_figures d
	left join public.channels ch on ch.id = d.channel_id
	left join releases r on r.version_id = d.version_id
	left join lateral (
		select s.id
		from public.success_criteria s
		where s.assistant_id = d.assistant_id and s.activated_at is not null
		order by s.activated_at desc, s.id desc
		limit 1
	) as f on true
	where d.conversations > 0
	group by 1, 2, 3
) as g
cross join (select zone from public.rollup_state) as z
left join lateral (
	-- Several rows of ours are one: the percentiles are those of all their turns.
	select percentile_cont(0.5) within group (order by t.ms) as p50, percentile_cont(0.95) within group (order by t.ms) as p95,
		percentile_cont(0.99) within group (order by t.ms) as p99
	from public.conversations c
	cross join unnest(c.response_ms) as t (ms)
	where g.timed > 1 and g.p50 is null and not c.test and c.started_at >= g.day::timestamp at time zone z.zone
		and c.started_at < (g.day + 1)::timestamp at time zone z.zone and c.assistant_id = any(g.assistants)
		and c.channel_id = any(g.channels) and c.version_id = any(g.versions)
) as x on g.timed > 1 and g.p50 is null;

create view "FlowDailyStatistics" as
select md5(d.day || chr(31) || d.flow)::uuid::text as id, d.day::timestamp at time zone z.zone as date, d.flow as "flowName",
	sum(d.touched)::integer as "totalSessions", sum(d.automated)::integer as "automatedCount",
	sum(d.escalated)::integer as "escalatedCount", min(d.counted_at) as "createdAt", max(d.counted_at) as "updatedAt"
from public.daily_flow_figures d
cross join (select zone from public.rollup_state) as z
where d.flow not like 'pattern\_%' and d.touched > 0
group by d.day, d.flow, z.zone;

create view "SuccessCriteria" as
select row_id(3, s.id) as id, a.name as "assistantName",
	array(select jsonb_array_elements_text(coalesce(nullif(s.rules -> 'included', 'null'), '[]'))) as "includedFlows",
	array(select jsonb_array_elements_text(coalesce(nullif(s.rules -> 'excluded', 'null'), '[]'))) as "excludedFlows",
	s.created_at as "createdAt", s.activated_at as "updatedAt"
from public.success_criteria s
join public.assistants a on a.id = s.assistant_id
where s.activated_at is not null;
