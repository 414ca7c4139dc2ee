package queries

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
)

// States of what a process makes of a source.
const (
	MemberReading = "reading"
	MemberPaused  = "paused"
	MemberStopped = "stopped"
)

// Setting is a line of a source's configuration as people may see it.
type Setting [2]string

const saveSettingsSQL = `update sources set settings = @settings, kind = @kind where id = @id`

// SaveSettings notes how a source is configured.
func SaveSettings(ctx context.Context, db DB, source int64, kind string, settings []Setting) error {
	_, err := db.Exec(ctx, saveSettingsSQL, pgx.StrictNamedArgs{"id": source, "kind": kind, "settings": settings})
	return err
}

// Pause says that a source is left alone, by whom and why.
type Pause struct {
	At  *time.Time `db:"paused_at"` // nil: it is not
	By  string     `db:"paused_by"`
	Why string     `db:"paused_why"`
}

const (
	sourcePauseSQL = `select paused_at, paused_by, paused_why from sources where id = @id`
	pauseSourceSQL = `update sources set paused_at = @at, paused_by = @by, paused_why = @why
	where id = @id and paused_at is null and kind in ('kafka', 'rabbitmq', 'rasa_sql', 'chatwoot')`
	unpauseSourceSQL = `update sources set paused_at = null, paused_by = '', paused_why = ''
	where id = @id and paused_at is not null`
)

// SourcePause tells whether a source is paused.
func SourcePause(ctx context.Context, db DB, source int64) (Pause, error) {
	rows, _ := db.Query(ctx, sourcePauseSQL, pgx.StrictNamedArgs{"id": source})
	return One[Pause](rows)
}

// PauseSource pauses a source that is read from a broker. ErrNotFound: there is none, or it is paused already.
func PauseSource(ctx context.Context, db DB, source int64, at time.Time, by, why string) error {
	return touched(ctx, db, pauseSourceSQL, pgx.StrictNamedArgs{"id": source, "at": at, "by": by, "why": why})
}

// ResumeSource ends the pause, or returns ErrNotFound.
func ResumeSource(ctx context.Context, db DB, source int64) error {
	return touched(ctx, db, unpauseSourceSQL, pgx.StrictNamedArgs{"id": source})
}

// touched runs a statement and returns ErrNotFound when it changed no row.
func touched(ctx context.Context, db DB, sql string, args pgx.StrictNamedArgs) error {
	tag, err := db.Exec(ctx, sql, args)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return err
}

// Member is a process that reads a source.
type Member struct {
	SourceID   int64
	Member     string
	StartedAt  time.Time
	SeenAt     time.Time
	State      string // connecting, reading, waiting, paused, failed, stopped
	Reason     string
	StateAt    time.Time
	Error      string // the last one
	ErrorAt    *time.Time
	Reconnects int64
}

const (
	saveMemberSQL = `
insert into stream_members (source_id, member, started_at, seen_at, state, reason, state_at, error, error_at,
	reconnects)
values (@source, @member, @started, @seen, @state, @reason, @state_at, @error, @error_at, @reconnects)
on conflict (source_id, member) do update
set started_at = excluded.started_at, seen_at = excluded.seen_at, state = excluded.state, reason = excluded.reason,
	state_at = excluded.state_at,
	error = excluded.error, error_at = excluded.error_at, reconnects = excluded.reconnects`
	forgetMembersSQL = `delete from stream_members where source_id = @source and seen_at < @before`
	membersSQL       = `
select source_id, member, started_at, seen_at, state, reason, state_at, error, error_at, reconnects
from stream_members
where seen_at > @since
order by source_id, started_at, member
limit 1000`
)

// SaveMember notes how a process is doing, and forgets those that were not seen for a day.
func SaveMember(ctx context.Context, db DB, m Member) error {
	var q pgx.Batch
	q.Queue(saveMemberSQL, pgx.StrictNamedArgs{
		"source": m.SourceID, "member": m.Member, "started": m.StartedAt, "seen": m.SeenAt, "state": m.State,
		"reason":   m.Reason,
		"state_at": m.StateAt, "error": m.Error, "error_at": m.ErrorAt, "reconnects": m.Reconnects,
	})
	q.Queue(forgetMembersSQL, pgx.StrictNamedArgs{"source": m.SourceID, "before": m.SeenAt.AddDate(0, 0, -1)})
	return db.SendBatch(ctx, &q).Close()
}

// Members returns the processes seen since then.
func Members(ctx context.Context, db DB, since time.Time) ([]Member, error) {
	rows, _ := db.Query(ctx, membersSQL, pgx.StrictNamedArgs{"since": since})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Member])
}

// Position is how far a partition or queue was read.
type Position struct {
	SourceID  int64
	Stream    string // topic or queue
	Part      int32
	Committed *int64 // the next offset to read; nil for queues, and before the first commit
	Newest    *int64 // the offset that the next message gets
	Lag       int64  // messages that wait
	At        time.Time
}

const (
	savePositionSQL = `
insert into stream_positions (source_id, stream, part, committed, newest, lag, at)
values (@source, @stream, @part, @committed, @newest, @lag, @at)
on conflict (source_id, stream, part) do update
set committed = excluded.committed, newest = excluded.newest, lag = excluded.lag, at = excluded.at`
	forgetPositionsSQL = `delete from stream_positions where source_id = @source and at < @before`
	positionsSQL       = `select source_id, stream, part, committed, newest, lag, at from stream_positions
	order by source_id, stream, part limit 5000`
)

// SavePositions notes how far a source was read; parts that are gone for an hour are forgotten.
func SavePositions(ctx context.Context, db DB, source int64, at time.Time, positions []Position) error {
	var q pgx.Batch
	for _, p := range positions {
		q.Queue(savePositionSQL, pgx.StrictNamedArgs{
			"source": source, "stream": p.Stream, "part": p.Part, "committed": p.Committed, "newest": p.Newest,
			"lag": p.Lag, "at": at,
		})
	}
	q.Queue(forgetPositionsSQL, pgx.StrictNamedArgs{"source": source, "before": at.Add(-time.Hour)})
	if err := db.SendBatch(ctx, &q).Close(); err != nil {
		return fmt.Errorf("save positions: %w", err)
	}
	return nil
}

// Positions returns how far all sources were read.
func Positions(ctx context.Context, db DB) ([]Position, error) {
	rows, _ := db.Query(ctx, positionsSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Position])
}

// Part names a part of a source: a partition of a topic.
type Part struct {
	Stream string
	Part   int32
}

const (
	incarnationsSQL    = `select stream, part, incarnation from stream_parts where source_id = @source`
	keepIncarnationSQL = `
insert into stream_parts (source_id, stream, part, incarnation)
values (@source, @stream, @part, @incarnation)
on conflict (source_id, stream, part) do update
set incarnation = excluded.incarnation`
)

// Incarnations tells as which incarnation each part of a source was read.
func Incarnations(ctx context.Context, db DB, source int64) (map[Part]string, error) {
	rows, _ := db.Query(ctx, incarnationsSQL, pgx.StrictNamedArgs{"source": source})
	all := map[Part]string{}
	var p Part
	var incarnation string
	_, err := pgx.ForEachRow(rows, []any{&p.Stream, &p.Part, &incarnation}, func() error {
		all[p] = incarnation
		return nil
	})
	return all, err
}

// KeepIncarnation notes as which incarnation a part is read.
func KeepIncarnation(ctx context.Context, db DB, source int64, p Part, incarnation string) error {
	_, err := db.Exec(ctx, keepIncarnationSQL, pgx.StrictNamedArgs{
		"source": source, "stream": p.Stream, "part": p.Part, "incarnation": incarnation,
	})
	return err
}

const (
	committedSQL     = `select committed from stream_parts where source_id = @source and stream = @stream and part = @part`
	keepCommittedSQL = `
insert into stream_parts (source_id, stream, part, incarnation, committed)
values (@source, @stream, @part, '', @committed)
on conflict (source_id, stream, part) do update
set committed = excluded.committed`
	holdPartSQL = `
insert into stream_parts (source_id, stream, part, incarnation, holder, held_until)
values (@source, @stream, @part, '', @holder, now() + @seconds * interval '1 second')
on conflict (source_id, stream, part) do update
set holder = excluded.holder, held_until = excluded.held_until
where stream_parts.holder in ('', excluded.holder) or stream_parts.held_until < now()
returning true`
	leavePartSQL = `
update stream_parts
set holder = '', held_until = null
where source_id = @source and stream = @stream and part = @part and holder = @holder`
)

// Committed tells up to which place a part of a source that is asked for what is new is stored; 0 where nothing is
// known.
func Committed(ctx context.Context, db DB, source int64, p Part) (int64, error) {
	rows, _ := db.Query(ctx, committedSQL, pgx.StrictNamedArgs{"source": source, "stream": p.Stream, "part": p.Part})
	at, err := One[struct{ Committed *int64 }](rows)
	if errors.Is(err, ErrNotFound) || err == nil && at.Committed == nil {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return *at.Committed, nil
}

// KeepCommitted notes it.
func KeepCommitted(ctx context.Context, db DB, source int64, p Part, at int64) error {
	_, err := db.Exec(ctx, keepCommittedSQL, pgx.StrictNamedArgs{
		"source": source, "stream": p.Stream, "part": p.Part, "committed": at,
	})
	return err
}

// HoldPart takes a part of a source for one process, or goes on holding it; it tells whether it could: until the time
// is over, or the part is left, nobody else can.
func HoldPart(ctx context.Context, db DB, source int64, p Part, holder string, hold time.Duration) (bool, error) {
	rows, _ := db.Query(ctx, holdPartSQL, pgx.StrictNamedArgs{
		"source": source, "stream": p.Stream, "part": p.Part, "holder": holder, "seconds": hold.Seconds(),
	})
	held, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	return len(held) == 1, err
}

// LeavePart lets others take it.
func LeavePart(ctx context.Context, db DB, source int64, p Part, holder string) error {
	_, err := db.Exec(ctx, leavePartSQL, pgx.StrictNamedArgs{
		"source": source, "stream": p.Stream, "part": p.Part, "holder": holder,
	})
	return err
}

// StreamSource is a source that is read from a broker, or asked for what is new.
type StreamSource struct {
	ID        int64
	Name      string
	Kind      string
	Settings  []Setting
	PausedAt  *time.Time
	PausedBy  string
	PausedWhy string
}

const streamSourcesSQL = `
select id, name, kind, settings, paused_at, paused_by, paused_why
from sources
where kind in ('kafka', 'rabbitmq', 'rasa_sql', 'chatwoot')
order by name
limit 500`

// StreamSources returns the sources that are or were read from brokers.
func StreamSources(ctx context.Context, db DB) ([]StreamSource, error) {
	rows, _ := db.Query(ctx, streamSourcesSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[StreamSource])
}

const delaysSQL = `
select m.source_id, d.class, sum(d.events)::bigint as events
from ingest_minutes m
cross join lateral unnest(m.delays) with ordinality as d (events, class)
where m.minute > @since
group by m.source_id, d.class`

// SourceDelays returns, by source, how long the events that were stored since then took to arrive.
func SourceDelays(ctx context.Context, db DB, since time.Time) (map[int64]*metric.Delays, error) {
	rows, _ := db.Query(ctx, delaysSQL, pgx.StrictNamedArgs{"since": since})
	all := map[int64]*metric.Delays{}
	var source, class, events int64
	_, err := pgx.ForEachRow(rows, []any{&source, &class, &events}, func() error {
		d := all[source]
		if d == nil {
			d = new(metric.Delays)
			all[source] = d
		}
		if class >= 1 && int(class) <= len(d) {
			d[class-1] += events
		}
		return nil
	})
	return all, err
}
