-- Conversations by day
select date, sum("totalSessions") as sessions, sum("escalatedCount") as escalated
from "VersionDailyStatistics"
group by 1
order by 1 desc
limit 30;

-- Containment by version
select version, sum("totalSessions") as sessions, round(100.0 * sum("automatedCount") / sum("totalSessions"), 1) as contained_percent
from "VersionDailyStatistics"
where date >= now() - interval '30 days'
group by 1
order by 2 desc;

-- Conversations by channel
select "channelName", sum("totalSessions") as sessions
from "VersionDailyStatistics"
where date >= now() - interval '30 days'
group by 1
order by 2 desc;

-- Satisfaction by week
select date_trunc('week', date) as week, sum("csatSatisfied") as satisfied, sum("csatUnsatisfied") as unsatisfied, sum("csatUnanswered") as unanswered,
	round(100.0 * sum("csatSatisfied") / nullif(sum("csatSatisfied" + "csatUnsatisfied"), 0), 1) as csat_percent
from "VersionDailyStatistics"
group by 1
order by 1 desc
limit 12;

-- Response times by day and version
select date, "channelName", version, "p50LatencyMs", "p95LatencyMs", "p99LatencyMs"
from "VersionDailyStatistics"
where date >= now() - interval '7 days'
order by 1 desc, 2, 3;

-- Success by the criteria in force
select date, sum("customSuccessCount") as met, sum("customFailureCount") as missed
from "VersionDailyStatistics"
where "successCriteriaId" is not null
group by 1
order by 1 desc
limit 30;

-- Flows by use and completion
select "flowName", sum("totalSessions") as sessions, sum("automatedCount") as completed, sum("escalatedCount") as escalated
from "FlowDailyStatistics"
where date >= now() - interval '30 days'
group by 1
order by 2 desc
limit 20;

-- Reviewed conversations
select "assistantName", "reviewState", count(*) as conversations
from "Conversation"
where "startDate" >= now() - interval '30 days'
group by 1, 2
order by 1, 2;

-- Unsatisfied users whose conversation nobody reviewed
select id, "startDate", "totalNumberOfUserMessages"
from "Conversation"
where "csatRating" = 'UNSATISFIED' and "reviewState" = 'UNREVIEWED'
order by "startDate" desc
limit 20;

-- Time from the start to the hand-off
select "assistantName", count(*) as escalated, percentile_cont(0.5) within group (order by "escalatedAt" - "startDate") as median
from "Conversation"
where "escalatedAt" is not null and "startDate" >= now() - interval '30 days'
group by 1;

-- Actions that run most, of conversations since yesterday
select e."actionText", count(*) as executed
from "Conversation" c
join "ConversationEvent" e on e."conversationId" = c.id
where c."startDate" >= now() - interval '1 day' and e.type = 'ACTION'
group by 1
order by 2 desc
limit 20;

-- One conversation, event by event
select timestamp, type, name, "slotValue", "flowId", "stepId"
from "ConversationEvent"
where "conversationId" = (select id from "Conversation" order by "startDate" desc limit 1)
order by timestamp;
