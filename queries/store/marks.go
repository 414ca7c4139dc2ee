package store

import (
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// hourKey names an hour (UTC) of an assistant.
type hourKey struct {
	Hour      int64 // microseconds
	Assistant int32
}

// marks gathers the hours that a batch changes. Its shard is one that the transaction has locked, so no
// other writer waits for its rows.
type marks struct {
	hours map[hourKey]struct{}
	shard int16

	// Conversations that are new, or in which somebody writes for the first time.
	senders    []int64
	users      []string
	assistants []int32
	ats        []int64
	engaged    []bool

	// Users of whom other ids were told, and of which assistants they are.
	named   []string
	namedOf []int32
}

// came notes a conversation that is new, or becomes engaged: whoever came back with it changes how the ones before are
// judged.
func (m *marks) came(sender int64, user string, assistant int32, startedAt int64, engaged bool) {
	m.senders, m.users, m.assistants, m.ats = append(m.senders, sender), append(m.users, user),
		append(m.assistants, assistant), append(m.ats, startedAt)
	m.engaged = append(m.engaged, engaged)
}

const hourMicros = int64(time.Hour / time.Microsecond)

func (m *marks) add(sender int64, assistant int32, startedAt int64) {
	if m.hours == nil {
		m.hours, m.shard = map[hourKey]struct{}{}, int16(conversation.Shard(sender))
	}
	m.hours[hourKey{startedAt - startedAt%hourMicros, assistant}] = struct{}{} // starts lie after 1970
}

// An existing mark is updated, not left alone: a recount must see that somebody is at it. A mark that is being taken
// belongs to a generation that is over, so that nobody waits for the count.
const markHoursSQL = `
insert into dirty_hours (hour, assistant_id, shard, generation)
select timestamptz 'epoch' + k.hour * interval '1 microsecond', k.assistant, @shard::smallint,
	coalesce((select generation from rollup_state), 0)
from unnest(@hours::bigint[], @assistants::integer[]) as k (hour, assistant)
order by 1, 2
on conflict (hour, assistant_id, shard, generation) do update
set changes = dirty_hours.changes + 1`

const arrivedSQL = `
insert into rollup_arrivals (sender_id, user_id, assistant_id, at, engaged)
select u.sender, u.usr, u.assistant, timestamptz 'epoch' + u.at * interval '1 microsecond', u.engaged
from unnest(@senders::bigint[], @users::text[], @assistants::integer[], @ats::bigint[],
	@engaged::boolean[]) as u (sender, usr, assistant, at, engaged)`

const namedSQL = `
insert into user_marks (assistant_id, sender_key)
select distinct u.assistant, u.key
from unnest(@assistants::integer[], @keys::text[]) as u (assistant, key)
order by 1, 2
on conflict (assistant_id, sender_key) do update -- whoever takes the mark just now leaves this one
set sender_key = excluded.sender_key`

// goneSQL notes conversations that are about to be deleted.
const goneSQL = `
insert into rollup_arrivals (sender_id, user_id, assistant_id, at, engaged)
select sender_id, user_id, assistant_id, started_at, user_messages > 0
from conversations
where sender_id = @sender and id = any(@ids::uuid[])`

func (m *marks) queue(q *pgx.Batch) {
	if len(m.senders) > 0 {
		q.Queue(arrivedSQL, pgx.StrictNamedArgs{
			"senders": m.senders, "users": m.users, "assistants": m.assistants, "ats": m.ats, "engaged": m.engaged,
		})
	}
	if len(m.named) > 0 {
		q.Queue(namedSQL, pgx.StrictNamedArgs{"assistants": m.namedOf, "keys": m.named})
	}
	if len(m.hours) == 0 {
		return
	}
	hours, assistants := make([]int64, 0, len(m.hours)), make([]int32, 0, len(m.hours))
	for k := range m.hours {
		hours, assistants = append(hours, k.Hour), append(assistants, k.Assistant)
	}
	q.Queue(markHoursSQL, pgx.StrictNamedArgs{"hours": hours, "assistants": assistants, "shard": m.shard})
}

// markForgottenSQL marks the hours of conversations that are about to be deleted.
const markForgottenSQL = `
insert into dirty_hours (hour, assistant_id, shard, generation)
select distinct date_trunc('hour', started_at, 'UTC') as hour, assistant_id, @shard::smallint,
	coalesce((select generation from rollup_state), 0)
from conversations
where sender_id = @sender and id = any(@ids::uuid[])
order by 1, 2
on conflict (hour, assistant_id, shard, generation) do update
set changes = dirty_hours.changes + 1`
