package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

const insertSourceSQL = `
insert into sources (id, name, kind, format) values (@id, @name, @kind, @format)
on conflict do nothing`

// AddSource makes the source known, which writes in a format, and returns its id.
func AddSource(ctx context.Context, db queries.DB, name, kind string, format uint8) (int64, error) {
	id := conversation.HashID("source", name)
	_, err := db.Exec(ctx, insertSourceSQL, pgx.StrictNamedArgs{
		"id": id, "name": name, "kind": kind, "format": int16(format),
	})
	return id, err
}

// Minute is what a source brought in one transaction.
type Minute struct {
	Source                                int64
	At                                    time.Time
	Shard                                 int16
	Stored, Duplicates, Revised, Rejected int64
	DelayMS                               float64 // sum over stored events
	NewestAt                              int64   // microseconds; 0 for none
	Delays                                metric.Delays
	Redelivered                           int64 // of them, marked so by the broker
	Empty                                 int64 // messages that held nothing
	Types                                 map[string]int64
}

// manyTypes is how many types of events a batch is counted by; the rarest beyond count together.
const manyTypes = 50

// typesOf returns the most frequent types and how many events they have, the rest under "".
func typesOf(counted map[string]int64) (types []string, events []int64) {
	types, events = []string{}, []int64{}
	var rest int64
	for i, t := range slices.SortedFunc(
		maps.Keys(counted),
		func(a, b string) int { return cmp.Or(cmp.Compare(counted[b], counted[a]), cmp.Compare(a, b)) },
	) {
		if i >= manyTypes {
			rest += counted[t]
			continue
		}
		types, events = append(types, t), append(events, counted[t])
	}
	if rest > 0 {
		types, events = append(types, ""), append(events, rest)
	}
	return types, events
}

const countMinuteSQL = `
with types as (
	insert into event_types (day, source_id, type, shard, stored, last_at)
	select d.day, @source, c.type, @shard, sum(t.stored), @at
	from unnest(@types::text[], @of_types::bigint[]) as t (type, stored)
	cross join (values ((@at::timestamptz at time zone 'UTC')::date)) as d (day)
	cross join lateral (
		select case
			when exists (select from event_types e where e.day = d.day and e.source_id = @source and e.type = t.type)
				then t.type
			when (select count(*) from event_types e where e.day = d.day and e.source_id = @source) < 1000
				then t.type -- anybody may make up types
			else ''
		end as type
	) as c
	group by d.day, c.type
	order by c.type
	on conflict (day, source_id, type, shard) do update
	set stored = event_types.stored + excluded.stored,
		last_at = greatest(event_types.last_at, excluded.last_at)
)
insert into ingest_minutes (source_id, minute, shard, stored, duplicates, revised, rejected, delay_ms, newest_at,
	received_at, delays, redelivered, empty)
values (@source, date_trunc('minute', @at::timestamptz), @shard, @stored, @duplicates, @revised, @rejected, @delay,
	case when @newest::bigint = 0 then null else timestamptz 'epoch' + @newest::bigint * interval '1 microsecond' end,
		@at::timestamptz, @delays, @redelivered, @empty)
on conflict (source_id, minute, shard) do update
set stored = ingest_minutes.stored + excluded.stored,
	duplicates = ingest_minutes.duplicates + excluded.duplicates,
	revised = ingest_minutes.revised + excluded.revised,
	rejected = ingest_minutes.rejected + excluded.rejected,
	delay_ms = ingest_minutes.delay_ms + excluded.delay_ms,
	newest_at = greatest(ingest_minutes.newest_at, excluded.newest_at),
	received_at = greatest(ingest_minutes.received_at, excluded.received_at),
	redelivered = ingest_minutes.redelivered + excluded.redelivered,
	empty = ingest_minutes.empty + excluded.empty,
	delays = (
		select coalesce(array_agg(coalesce(d.a, 0) + coalesce(d.b, 0) order by d.i), '{}')
		from unnest(ingest_minutes.delays, excluded.delays) with ordinality as d (a, b, i)
	)`

// CountMinute adds to a source's counts of the minute.
func CountMinute(ctx context.Context, db queries.DB, m Minute) error {
	delays := m.Delays[:]
	if m.Stored == 0 {
		delays = []int64{}
	}
	types, ofTypes := typesOf(m.Types)
	_, err := db.Exec(ctx, countMinuteSQL, pgx.StrictNamedArgs{
		"source": m.Source, "at": m.At, "shard": m.Shard, "stored": m.Stored, "duplicates": m.Duplicates,
		"revised":  m.Revised,
		"rejected": m.Rejected, "delay": m.DelayMS, "newest": m.NewestAt,
		"delays": delays, "redelivered": m.Redelivered, "empty": m.Empty,
		"types": types, "of_types": ofTypes,
	})
	return err
}

const insertRejectedSQL = `
insert into rejected_events (id, source_id, first_at, last_at, seen, position, code, detail, byte_offset, assistant,
	environment, format, mapping, body, size)
values (@id, @source, @at, @at, 1, @position, @code, @detail, @offset, @assistant, @environment, @format, @mapping, @body,
	@size)
on conflict (id) do update
set seen = rejected_events.seen + 1, last_at = excluded.last_at`

// AddRejected sets bodies aside. One that was set aside before is only counted.
func AddRejected(ctx context.Context, db queries.DB, rejected []queries.RejectedEvent) error {
	var q pgx.Batch
	for _, r := range rejected {
		q.Queue(insertRejectedSQL, pgx.StrictNamedArgs{
			"id": r.ID, "source": r.SourceID, "at": r.LastAt, "position": r.Position, "code": r.Code,
			"detail": r.Detail,
			"offset": r.ByteOffset, "assistant": r.Assistant, "environment": r.Environment, "format": r.Format,
			"mapping": r.Mapping, "body": r.Body, "size": r.Size,
		})
	}
	return db.SendBatch(ctx, &q).Close()
}
