package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

const insertSourceSQL = `
insert into sources (id, name, kind) values (@id, @name, @kind)
on conflict do nothing` // of the id or of the name, whichever of two that come at once meets first

// AddSource makes the source known and returns its id.
func AddSource(ctx context.Context, db DB, name, kind string) (int64, error) {
	id := conversation.HashID("source", name)
	_, err := db.Exec(ctx, insertSourceSQL, pgx.StrictNamedArgs{"id": id, "name": name, "kind": kind})
	return id, err
}

// Minute is what a source brought in one transaction.
type Minute struct {
	Source                           int64
	At                               time.Time
	Shard                            int16
	Stored, Known, Revised, Rejected int64
	DelayMS                          float64 // sum over stored events
	NewestAt                         int64   // microseconds; 0 for none
	Delays                           metric.Delays
	Redelivered                      int64 // of them, marked so by the broker
	Empty                            int64 // messages that held nothing
}

const countMinuteSQL = `
insert into ingest_minutes (source_id, minute, shard, stored, known, revised, rejected, delay_ms, newest_at, received_at, delays, redelivered, empty)
values (@source, date_trunc('minute', @at::timestamptz), @shard, @stored, @known, @revised, @rejected, @delay,
	case when @newest::bigint = 0 then null else timestamptz 'epoch' + @newest::bigint * interval '1 microsecond' end, @at::timestamptz, @delays, @redelivered, @empty)
on conflict (source_id, minute, shard) do update
set stored = ingest_minutes.stored + excluded.stored,
	known = ingest_minutes.known + excluded.known,
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
func CountMinute(ctx context.Context, db DB, m Minute) error {
	delays := m.Delays[:]
	if m.Stored == 0 {
		delays = []int64{}
	}
	_, err := db.Exec(ctx, countMinuteSQL, pgx.StrictNamedArgs{
		"source": m.Source, "at": m.At, "shard": m.Shard, "stored": m.Stored, "known": m.Known, "revised": m.Revised,
		"rejected": m.Rejected, "delay": m.DelayMS, "newest": m.NewestAt,
		"delays": delays, "redelivered": m.Redelivered, "empty": m.Empty,
	})
	return err
}

// RejectedEvent is a body that could not be stored, with the reason.
type RejectedEvent struct {
	ID          conversation.UUID
	SourceID    int64
	Source      string
	FirstAt     time.Time
	LastAt      time.Time
	Seen        int64
	Position    string // line, offset or index at the source
	Code        string
	Detail      string
	ByteOffset  int32 // at which reading stopped, -1 when that says nothing
	Assistant   string
	Environment string
	Body        []byte // whole, or its beginning when it was too large to keep
	Size        int32  // of the whole body
	State       string
}

const insertRejectedSQL = `
insert into rejected_events (id, source_id, first_at, last_at, seen, position, code, detail, byte_offset, assistant, environment, body, size)
values (@id, @source, @at, @at, 1, @position, @code, @detail, @offset, @assistant, @environment, @body, @size)
on conflict (id) do update
set seen = rejected_events.seen + 1, last_at = excluded.last_at`

// AddRejected sets bodies aside. One that was set aside before is only counted.
func AddRejected(ctx context.Context, db DB, rejected []RejectedEvent) error {
	var q pgx.Batch
	for _, r := range rejected {
		q.Queue(insertRejectedSQL, pgx.StrictNamedArgs{
			"id": [16]byte(r.ID), "source": r.SourceID, "at": r.LastAt, "position": r.Position, "code": r.Code, "detail": r.Detail,
			"offset": r.ByteOffset, "assistant": r.Assistant, "environment": r.Environment, "body": r.Body, "size": r.Size,
		})
	}
	return db.SendBatch(ctx, &q).Close()
}
