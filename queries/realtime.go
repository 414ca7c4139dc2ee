package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// LiveSession is a conversation in which something was said a moment ago.
type LiveSession struct {
	AssistantID conversation.UUID
	Assistant   string
	Channel     string
	Person      int64
	Active      bool    // it has not ended
	Handler     string  // bot, human or waiting
	Messages    int64   // in the last minute
	Wrote       bool    // the user did, in the time in which it counts as active
	ResponseMS  float64 `db:"response_ms"` // of all its turns together
	Responses   int64   // how many these are
	Turns       int64   // whose result is known
	Errors      int64   // of them
}

// ActiveWindow is how long after its last message a conversation that has not ended counts as active, MinuteWindow the
// time over which messages are counted.
const (
	ActiveWindow = 30 * time.Minute
	MinuteWindow = time.Minute
)

const liveSessionsSQL = `
with recent as materialized (
	select c.sender_id, c.id, c.assistant_id, c.channel_id, c.user_id, c.closes_at, c.response_ms, c.escalated_at
	from conversations c
	where c.closes_at > @now::timestamptz - @minute::interval and c.last_at > @now::timestamptz - @window::interval
		and not c.test and (@only::integer[] is null or c.assistant_id = any(@only))
)
select a.uuid as assistant_id, a.name as assistant, coalesce(ch.name, '') as channel, ` + PersonText + ` as person,
	c.closes_at > @now as active, case
		when c.escalated_at is null then 'bot'
		else coalesce((
			select case when s.waiting then 'waiting' else 'human' end
			from agent_segments s
			where s.sender_id = c.sender_id and s.conversation_id = c.id and s.ended_at is null
			order by s.n desc
			limit 1), 'bot') end as handler,
	m.messages, m.wrote, coalesce((select sum(ms) from unnest(c.response_ms) as u (ms)), 0) as response_ms,
	cardinality(c.response_ms) as responses, t.turns, t.errors
from recent c
join assistants a on a.id = c.assistant_id
left join channels ch on ch.id = c.channel_id
cross join lateral (
	select count(*) filter (where m.at > @now::timestamptz - @minute::interval) as messages, count(*) as said,
		coalesce(bool_or(m.author = 1), false) as wrote
	from messages m
	where m.sender_id = c.sender_id and m.conversation_id = c.id and m.author between 1 and 3
		and m.at > @now::timestamptz - @window::interval and m.at <= @now
) as m
cross join lateral (
	select count(*) as turns, count(*) filter (where t.result = 'error') as errors
	from turn_facts t
	where t.sender_id = c.sender_id and t.conversation_id = c.id and t.result <> ''
) as t
where m.said > 0`

const waitingSQL = `
select count(*), min(s.started_at)
from conversations c
join agent_segments s on s.sender_id = c.sender_id and s.conversation_id = c.id
where c.closes_at > @now and c.escalated_at is not null and not c.test and s.waiting and s.ended_at is null
	and (@only::integer[] is null or c.assistant_id = any(@only))`

const startedSQL = `
select count(*)
from conversations c
where c.started_at > @now::timestamptz - interval '1 hour' and c.started_at <= @now and not c.test
	and (@only::integer[] is null or c.assistant_id = any(@only))`

const availableAgentsSQL = `
select count(*)
from (
	select distinct on (a.agent_id) a.status
	from activities a
	join senders s on s.id = a.sender_id
	where a.at > @now::timestamptz - interval '1 day' and a.at <= @now and a.status <> '' and a.agent_id <> ''
		and (@only::integer[] is null or s.assistant_id = any(@only))
	order by a.agent_id, a.at desc, a.seq desc
) as latest
where status = 'available'`

const ingestLagSQL = `
select max(extract(epoch from l.received_at - l.newest_at))::float8
from (
	select distinct on (m.source_id) m.received_at, m.newest_at
	from ingest_minutes m
	join sources s on s.id = m.source_id
	where m.minute > @now::timestamptz - interval '5 minutes' and m.newest_at is not null and s.kind <> 'file'
	order by m.source_id, m.minute desc, m.received_at desc
) as l
where l.newest_at > l.received_at - interval '1 day' -- older is history that is read in`

// LiveSessions returns the conversations of assistants, nil for all, in which something was said a moment ago. What it
// costs depends on how many go on, not on what is stored.
func LiveSessions(ctx context.Context, db DB, only []string, now time.Time) ([]LiveSession, error) {
	rows, _ := db.Query(ctx, liveSessionsSQL, pgx.StrictNamedArgs{
		"only": AssistantIDs(only), "now": now, "window": ActiveWindow, "minute": MinuteWindow,
	})
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[LiveSession])
	if err != nil {
		return nil, fmt.Errorf("live sessions: %w", err)
	}
	return all, nil
}

// LiveDesk is what goes on beside the conversations in which something was said a moment ago.
type LiveDesk struct {
	Waiting      int64      // conversations that wait for a human agent
	WaitingSince *time.Time // the first of them
	Started      int64      // conversations that began in the last hour
	Available    int64      // human agents who said so within a day, and nothing else since
	// seconds from when the newest events happened to when they were stored, of the source where that took longest; nil:
	// none came, or some assistants are asked about: sources bring those of any
	Lag *float64
}

// LoadLiveDesk reads it, of assistants; nil for all.
func LoadLiveDesk(ctx context.Context, db DB, only []string, now time.Time) (d LiveDesk, err error) {
	args := pgx.StrictNamedArgs{"only": AssistantIDs(only), "now": now}
	b := &pgx.Batch{}
	b.Queue(waitingSQL, args).QueryRow(func(row pgx.Row) error { return row.Scan(&d.Waiting, &d.WaitingSince) })
	b.Queue(startedSQL, args).QueryRow(func(row pgx.Row) error { return row.Scan(&d.Started) })
	b.Queue(availableAgentsSQL, args).QueryRow(func(row pgx.Row) error { return row.Scan(&d.Available) })
	if only == nil {
		b.Queue(ingestLagSQL, pgx.StrictNamedArgs{"now": now}).QueryRow(func(row pgx.Row) error { return row.Scan(&d.Lag) })
	}
	if err := db.SendBatch(ctx, b).Close(); err != nil {
		return d, fmt.Errorf("live desk: %w", err)
	}
	return d, nil
}

const botsSQL = `
select a.uuid as id, a.name, coalesce(array(select x.name from assistant_aliases x where x.assistant = a.name order by 1),
	'{}') as aliases
from assistants a
where not exists (select from assistant_aliases x where x.name = a.name)
	and (@only::integer[] is null or a.id = any(@only))
order by a.name
limit 1000`

// Bot is an assistant as programs know it.
type Bot struct {
	ID      conversation.UUID
	Name    string
	Aliases []string // other names by which its events may come
}

// Bots returns the assistants that somebody is limited to; nil: all.
func Bots(ctx context.Context, db DB, limits []string) ([]Bot, error) {
	rows, _ := db.Query(ctx, botsSQL, pgx.StrictNamedArgs{"only": AssistantIDs(limits)})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Bot])
}
