package figures

import (
	"context"
	"fmt"

	"turnwise/queries"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// linkPersonsSQL keeps, of conversations that came or went, when their persons first came and came again, and marks the
// hours of those of which that changed. A person is told by the user's ids, or by the sender where none is told; whoever
// had no id may come back with one.
//
// When a person came again can only have changed for the conversation itself and for those since the last one in which
// the person wrote, and when the person first came for all others where the first came or went: that costs what came,
// not what there was before.
const linkPersonsSQL = `
with taken as (
	delete from rollup_arrivals
	where ctid = any(array(select ctid from rollup_arrivals limit 5000))
	returning sender_id, user_id, assistant_id, at, engaged
), k as (
	select g.*, coalesce((select n.names from user_names n where n.assistant_id = g.assistant and n.name = g.usr),
		array[g.usr]) as names
	from (
		select sender_id as sender, user_id as usr, assistant_id as assistant, at, bool_or(engaged) as engaged
		from taken
		group by 1, 2, 3, 4
	) as g
), touched as (
	select c.sender_id, c.id
	from k
	join conversations c on c.sender_id = k.sender and c.started_at = k.at
	union
	select c.sender_id, c.id
	from k
	left join lateral (
		select max(p.started_at) as started_at
		from unnest(k.names) as u (name)
		cross join lateral (
			select p.started_at
			from conversations p
			where p.user_id = u.name and p.user_id <> '' and p.assistant_id = k.assistant and p.started_at < k.at
				and p.user_messages > 0
			order by p.started_at desc
			limit 1
		) as p
	) as last on true
	cross join lateral unnest(k.names) as u (name)
	join conversations c on c.user_id = u.name and c.user_id <> '' and c.assistant_id = k.assistant
		and c.started_at < k.at and c.started_at >= coalesce(last.started_at, '-infinity')
	where k.engaged and k.usr <> ''
	union
	select c.sender_id, c.id
	from k
	left join lateral (
		select p.started_at
		from conversations p
		where p.sender_id = k.sender and p.assistant_id = k.assistant and p.started_at < k.at and p.user_messages > 0
		order by p.started_at desc
		limit 1
	) as last on true
	join conversations c on c.sender_id = k.sender and c.user_id = '' and c.assistant_id = k.assistant
		and c.started_at < k.at and c.started_at >= coalesce(last.started_at, '-infinity')
	where k.engaged
	union
	select c.sender_id, c.id
	from (select names, assistant, min(at) as at from k where usr <> '' group by 1, 2) as k
	cross join lateral unnest(k.names) as u (name)
	join conversations c on c.user_id = u.name and c.user_id <> '' and c.assistant_id = k.assistant
		and c.started_at > k.at
	where not exists (
		select
		from unnest(k.names) as o (name)
		join conversations e on e.user_id = o.name and e.user_id <> '' and e.assistant_id = k.assistant
			and e.started_at < k.at)
	union
	select c.sender_id, c.id
	from (select sender, min(at) as at from k where usr = '' group by 1) as k
	join conversations c on c.sender_id = k.sender and c.user_id = '' and c.started_at > k.at
	where not exists (select from conversations e where e.sender_id = k.sender and e.user_id = ''
		and e.started_at < k.at)
), linked as (
	select c.sender_id, c.id, c.assistant_id, c.started_at, ` + queries.PersonFirstText + ` as first_at,
		case
			when c.user_id <> '' then (
				select min(n.started_at)
				from unnest(` + queries.NamesText + `) as u (name)
				cross join lateral (
					select n.started_at
					from conversations n
					where n.user_id = u.name and n.user_id <> '' and n.assistant_id = c.assistant_id
						and n.started_at > c.started_at and n.user_messages > 0
					order by n.started_at
					limit 1
				) as n)
			else (
				select n.started_at
				from conversations n
				where n.sender_id = c.sender_id and n.assistant_id = c.assistant_id and n.started_at > c.started_at
					and n.user_messages > 0
				order by n.started_at
				limit 1)
		end as next_at
	from touched
	join conversations c using (sender_id, id)
), stored as (
	insert into conversation_persons as p (sender_id, conversation_id, first_at, next_at)
	select sender_id, id, first_at, next_at
	from linked
	where first_at < started_at or next_at is not null
	order by 1, 2
	on conflict (sender_id, conversation_id) do update
	set first_at = excluded.first_at, next_at = excluded.next_at
	where (p.first_at, p.next_at) is distinct from (excluded.first_at, excluded.next_at)
	returning sender_id, conversation_id
), dropped as (
	delete from conversation_persons p
	using linked l
	where p.sender_id = l.sender_id and p.conversation_id = l.id and l.first_at >= l.started_at and l.next_at is null
	returning p.sender_id, p.conversation_id
), marked as (
	insert into dirty_hours (hour, assistant_id, shard, generation)
	select distinct date_trunc('hour', l.started_at, 'UTC'), l.assistant_id, -1, coalesce((select generation
		from rollup_state), 0)
	from (select * from stored union all select * from dropped) as x
	join linked l on l.sender_id = x.sender_id and l.id = x.conversation_id
	order by 1, 2
	on conflict (hour, assistant_id, shard, generation) do update
	set changes = dirty_hours.changes + 1
)
select count(*) from taken`

// LinkPersons follows who came or went, a portion at a time: what is done of many stays done.
func LinkPersons(ctx context.Context, pool *pgxpool.Pool) error {
	if err := followUserNames(ctx, pool); err != nil {
		return err
	}
	for {
		var taken int
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, queries.LockRollupsSQL); err != nil {
				return err
			}
			return tx.QueryRow(ctx, linkPersonsSQL).Scan(&taken)
		})
		if err != nil {
			return fmt.Errorf("link conversations of persons: %w", err)
		}
		if taken == 0 {
			return nil
		}
	}
}

// Part is which of all days are counted, so that two may count at a time: each hour and day is of one part, whoever asks,
// and those of a part are counted by one at a time.
type Part int

// The parts.
const (
	EvenDays Part = iota
	OddDays
	AllDays
)

// partText tells of which part an instant is.
const partText = ` and (@part = 2 or extract(epoch from %s)::bigint / 86400 %% 2 = @part)`

const lockPartSQL = `
select pg_advisory_xact_lock(hashtextextended('rollups', p))
from unnest(case when @part = 2 then '{0,1}' else array[@part] end::bigint[]) as p
order by p`

// lock has nobody else count the part, nor change what it is counted from, until the transaction ends.
func (p Part) lock(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, queries.ShareRollupsSQL); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, lockPartSQL, pgx.StrictNamedArgs{"part": int(p)})
	return err
}

// nextGenerationSQL comes before marks are taken, in a transaction of its own.
const nextGenerationSQL = `
update rollup_state
set generation = generation + 1
where exists (select from dirty_hours m where m.hour >= @from and m.hour < @until
	and m.generation = rollup_state.generation)`

// takeMarksSQL takes hours that no writer is at, the newest first. An hour of which another shard is taken is
// taken again later.
var takeMarksSQL = `
with hours as (
	select distinct hour, assistant_id
	from dirty_hours
	where hour >= @from and hour < @until and generation < (select generation from rollup_state)` +
	fmt.Sprintf(partText, "hour") + `
	order by hour desc, assistant_id desc -- as the index is, so that it need not be read to its end
	limit @limit
)
delete from dirty_hours m
using (
	select hour, assistant_id, shard, generation
	from hours
	join dirty_hours using (hour, assistant_id)
	where generation < (select generation from rollup_state)
	for update of dirty_hours skip locked
) as k
where m.hour = k.hour and m.assistant_id = k.assistant_id and m.shard = k.shard and m.generation = k.generation
returning m.hour, m.assistant_id`
