package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// HourKey names an hour (UTC) of an assistant.
type HourKey struct {
	Hour      int64 // microseconds
	Assistant int32
}

// touchedText are the conversations that those which came, or went, make judged otherwise.
//
// As one from which the person came back (by the user's id, or by the sender where the earlier one tells no user) only the last engaged one before
// can be: whoever wrote earlier had come back with that one already. And where the first conversation ever came or went, all later ones have another
// first. Both cost what came, not what there was before.
const touchedText = `), k as (
	select distinct sender_id as sender, user_id as usr, assistant_id as assistant, at, engaged
	from taken
), people as (
	select case when usr = '' then sender else 0 end as sender, usr, assistant, min(at) as at
	from k
	group by 1, 2, 3
), days as materialized (
	select greatest(7, (select coalesce(max((rules->>'return_days')::integer), 0) from success_criteria where activated_at is not null)) * interval '1 day' as most
), touched as (
	select p.started_at, p.assistant_id
	from k
	cross join lateral (
		select c.started_at, c.last_at, c.assistant_id
		from conversations c
		where c.user_id = k.usr and c.user_id <> '' and c.assistant_id = k.assistant and c.started_at < k.at and c.started_at >= k.at - interval '100 days'
			and c.user_messages > 0
		order by c.started_at desc
		limit 1
	) as p
	where k.engaged and k.usr <> '' and p.last_at >= k.at - (select most from days)
	union all
	select p.started_at, p.assistant_id
	from k
	cross join lateral (
		select c.started_at, c.last_at, c.assistant_id, c.user_id
		from conversations c
		where c.sender_id = k.sender and c.assistant_id = k.assistant and c.started_at < k.at and c.started_at >= k.at - interval '100 days'
			and c.user_messages > 0
		order by c.started_at desc
		limit 1
	) as p
	where k.engaged and p.user_id = '' and p.last_at >= k.at - (select most from days)
	union all
	select p.started_at, p.assistant_id
	from people k
	join conversations p on p.user_id = k.usr and p.user_id <> '' and p.assistant_id = k.assistant and p.started_at > k.at
	where k.usr <> ''
		and not exists (select from conversations e where e.user_id = k.usr and e.user_id <> '' and e.assistant_id = k.assistant and e.started_at < k.at)
	union all
	select p.started_at, p.assistant_id
	from people k
	join conversations p on p.sender_id = k.sender and p.user_id = '' and p.started_at > k.at
	where k.usr = ''
		and not exists (select from conversations e where e.sender_id = k.sender and e.user_id = '' and e.started_at < k.at)
)
`

const markArrivedSQL = `
with taken as (
	delete from rollup_arrivals
	where ctid = any(array(select ctid from rollup_arrivals limit 5000))
	returning sender_id, user_id, assistant_id, at, engaged
` + touchedText + `, marked as (
	insert into rollup_marks (hour, assistant_id, lane, epoch)
	select distinct date_trunc('hour', started_at, 'UTC'), assistant_id, -1, coalesce((select epoch from rollup_state), 0)
	from touched
	order by 1, 2
	on conflict (hour, assistant_id, lane, epoch) do update
	set changes = rollup_marks.changes + 1
)
select count(*) from taken`

// manyArrivals is how many of those that came since the last count a page looks at itself; more wait for the job.
const manyArrivals = 1000

const arrivalsSQL = `select count(*) from (select from rollup_arrivals limit 1001) as a`

const arrivedInSQL = `
with taken as (
	select sender_id, user_id, assistant_id, at, engaged
	from rollup_arrivals
` + touchedText + `
select distinct date_trunc('hour', t.started_at, 'UTC') as at, t.assistant_id
from touched t
where t.started_at >= date_trunc('hour', @from::timestamptz, 'UTC') and t.started_at < @until
	and not exists (select from rollup_frozen f where f.assistant_id = t.assistant_id and date_trunc('hour', t.started_at, 'UTC') < f.before)`

// arrivedIn returns the hours in [from, until) that are judged otherwise since they were counted, as somebody came or went.
func arrivedIn(ctx context.Context, db DB, from, until time.Time) ([]AssistantHour, error) {
	rows, _ := db.Query(ctx, arrivalsSQL)
	n, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
	if err != nil || n == 0 || n > manyArrivals {
		return nil, err
	}
	rows, _ = db.Query(ctx, arrivedInSQL, pgx.StrictNamedArgs{"from": from, "until": until})
	return pgx.CollectRows(rows, pgx.RowToStructByName[AssistantHour])
}

// MarkArrived marks what is judged otherwise since somebody came or went, a portion at a time: what is done of many stays done.
func MarkArrived(ctx context.Context, pool *pgxpool.Pool) error {
	for {
		var taken int
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, countingSQL); err != nil {
				return err
			}
			return tx.QueryRow(ctx, markArrivedSQL).Scan(&taken)
		})
		if err != nil {
			return fmt.Errorf("mark hours of who came: %w", err)
		}
		if taken == 0 {
			return nil
		}
	}
}

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
