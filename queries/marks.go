package queries

import (
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// hourKey names an hour (UTC) of an assistant.
type hourKey struct {
	hour      int64 // microseconds
	assistant int32
}

// marks gathers the hours that a batch changes. Its lane is a shard that the transaction has locked, so no
// other writer waits for its rows.
type marks struct {
	hours map[hourKey]struct{}
	lane  int16

	// Conversations that are new: whoever came back with one changes how the ones before are judged.
	senders    []int64
	users      []string
	assistants []int32
	ats        []int64
}

// came notes a new conversation.
func (m *marks) came(sender int64, user string, assistant int32, startedAt int64) {
	m.senders, m.users, m.assistants, m.ats = append(m.senders, sender), append(m.users, user), append(m.assistants, assistant), append(m.ats, startedAt)
}

const hourMicros = int64(time.Hour / time.Microsecond)

func (m *marks) add(sender int64, assistant int32, startedAt int64) {
	if m.hours == nil {
		m.hours, m.lane = map[hourKey]struct{}{}, int16(conversation.Shard(sender))
	}
	m.hours[hourKey{startedAt - startedAt%hourMicros, assistant}] = struct{}{} // starts lie after 1970
}

// An existing mark is updated, not left alone: a recount must see that somebody is at it. A mark that is being taken
// belongs to an epoch that is over, so that nobody waits for the count.
const markHoursSQL = `
insert into rollup_marks (hour, assistant_id, lane, epoch)
select timestamptz 'epoch' + k.hour * interval '1 microsecond', k.assistant, @lane::smallint, coalesce((select epoch from rollup_state), 0)
from unnest(@hours::bigint[], @assistants::integer[]) as k (hour, assistant)
order by 1, 2
on conflict (hour, assistant_id, lane, epoch) do update
set changes = rollup_marks.changes + 1`

// cameBackFrom are conversations of the same person, of the same assistant, that a new one, k, may make one from which
// the person came back: by the user's id, or by the sender where the earlier one tells no user.
const cameBackFrom = `
cross join lateral (
	select p.started_at, p.last_at, p.assistant_id
	from conversations p
	where p.user_id = k.usr and p.user_id <> '' and p.started_at < k.at and p.started_at >= k.at - interval '100 days'
	union all
	select p.started_at, p.last_at, p.assistant_id
	from conversations p
	where p.sender_id = k.sender and p.user_id = '' and p.started_at < k.at and p.started_at >= k.at - interval '100 days'
) as p
where p.assistant_id = k.assistant
	and p.last_at >= k.at - greatest(7, (select coalesce(max((rules->>'return_days')::integer), 0) from success_criteria where activated_at is not null)) * interval '1 day'
order by 1, 2
on conflict (hour, assistant_id, lane, epoch) do update
set changes = rollup_marks.changes + 1`

const markReturnsSQL = `
insert into rollup_marks (hour, assistant_id, lane, epoch)
select distinct date_trunc('hour', p.started_at, 'UTC') as hour, p.assistant_id, @lane::smallint, coalesce((select epoch from rollup_state), 0)
from (
	select u.sender, u.usr, u.assistant, timestamptz 'epoch' + u.at * interval '1 microsecond' as at
	from unnest(@senders::bigint[], @users::text[], @assistants::integer[], @ats::bigint[]) as u (sender, usr, assistant, at)
) as k` + cameBackFrom

// laterOf are the later conversations of a person whose first conversation ever is, or was, k: when they met us changes.
const laterOf = `
cross join lateral (
	select p.started_at, p.assistant_id
	from conversations p
	where k.usr <> '' and p.user_id = k.usr and p.user_id <> '' and p.assistant_id = k.assistant and p.started_at > k.at
		and not exists (select from conversations e where e.user_id = k.usr and e.user_id <> '' and e.assistant_id = k.assistant and e.started_at < k.at)
	union all
	select p.started_at, p.assistant_id
	from conversations p
	where k.usr = '' and p.sender_id = k.sender and p.user_id = '' and p.started_at > k.at
		and not exists (select from conversations e where e.sender_id = k.sender and e.user_id = '' and e.started_at < k.at)
) as p
order by 1, 2
on conflict (hour, assistant_id, lane, epoch) do update
set changes = rollup_marks.changes + 1`

const markLaterSQL = `
insert into rollup_marks (hour, assistant_id, lane, epoch)
select distinct date_trunc('hour', p.started_at, 'UTC') as hour, p.assistant_id, @lane::smallint, coalesce((select epoch from rollup_state), 0)
from (
	select u.sender, u.usr, u.assistant, timestamptz 'epoch' + u.at * interval '1 microsecond' as at
	from unnest(@senders::bigint[], @users::text[], @assistants::integer[], @ats::bigint[]) as u (sender, usr, assistant, at)
) as k` + laterOf

// markForgottenLaterSQL does the same for conversations that are about to be deleted.
const markForgottenLaterSQL = `
insert into rollup_marks (hour, assistant_id, lane, epoch)
select distinct date_trunc('hour', p.started_at, 'UTC') as hour, p.assistant_id, @lane::smallint, coalesce((select epoch from rollup_state), 0)
from (
	select sender_id as sender, user_id as usr, assistant_id as assistant, started_at as at
	from conversations
	where sender_id = @sender and id = any(@ids::uuid[])
) as k` + laterOf

// markForgottenReturnsSQL does the same for conversations that are about to be deleted.
const markForgottenReturnsSQL = `
insert into rollup_marks (hour, assistant_id, lane, epoch)
select distinct date_trunc('hour', p.started_at, 'UTC') as hour, p.assistant_id, @lane::smallint, coalesce((select epoch from rollup_state), 0)
from (
	select sender_id as sender, user_id as usr, assistant_id as assistant, started_at as at
	from conversations
	where sender_id = @sender and id = any(@ids::uuid[])
) as k` + cameBackFrom

func (m *marks) queue(q *pgx.Batch) {
	if len(m.senders) > 0 {
		came := pgx.StrictNamedArgs{"senders": m.senders, "users": m.users, "assistants": m.assistants, "ats": m.ats, "lane": m.lane}
		q.Queue(markReturnsSQL, came)
		q.Queue(markLaterSQL, came)
	}
	if len(m.hours) == 0 {
		return
	}
	hours, assistants := make([]int64, 0, len(m.hours)), make([]int32, 0, len(m.hours))
	for k := range m.hours {
		hours, assistants = append(hours, k.hour), append(assistants, k.assistant)
	}
	q.Queue(markHoursSQL, pgx.StrictNamedArgs{"hours": hours, "assistants": assistants, "lane": m.lane})
}

// markForgottenSQL marks the hours of conversations that are about to be deleted.
const markForgottenSQL = `
insert into rollup_marks (hour, assistant_id, lane, epoch)
select distinct date_trunc('hour', started_at, 'UTC') as hour, assistant_id, @lane::smallint, coalesce((select epoch from rollup_state), 0)
from conversations
where sender_id = @sender and id = any(@ids::uuid[])
order by 1, 2
on conflict (hour, assistant_id, lane, epoch) do update
set changes = rollup_marks.changes + 1`

// nextEpochSQL comes before marks are taken, in a transaction of its own.
const nextEpochSQL = `
update rollup_state
set epoch = epoch + 1
where exists (select from rollup_marks m where m.hour >= @from and m.hour < @until and m.epoch = rollup_state.epoch)`

// takeMarksSQL takes hours that no writer is at, the newest first. One of which another lane is taken is taken
// again later.
const takeMarksSQL = `
with hours as (
	select distinct hour, assistant_id
	from rollup_marks
	where hour >= @from and hour < @until and epoch < (select epoch from rollup_state)
	order by hour desc, assistant_id desc -- as the index is, so that it need not be read to its end
	limit @limit
)
delete from rollup_marks m
using (
	select hour, assistant_id, lane, epoch
	from hours
	join rollup_marks using (hour, assistant_id)
	where epoch < (select epoch from rollup_state)
	for update of rollup_marks skip locked
) as k
where m.hour = k.hour and m.assistant_id = k.assistant_id and m.lane = k.lane and m.epoch = k.epoch
returning m.hour, m.assistant_id`
