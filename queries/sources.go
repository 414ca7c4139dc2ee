package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// of the id or of the name, whichever of two that come at once meets first

const eventTypesSQL = `
select type, sum(stored)::bigint as stored, max(last_at) as last_at
from event_types
where day > (@now::timestamptz at time zone 'UTC')::date - 30
group by type
order by 2 desc, 1
limit 200`

// EventType is how many events of a type were stored in the last 30 days (UTC).
type EventType struct {
	Type   string // "": types beyond those that are counted one by one
	Stored int64
	LastAt time.Time
}

// EventTypes returns what arrived in 30 days, the most frequent type first.
func EventTypes(ctx context.Context, db DB, now time.Time) ([]EventType, error) {
	rows, _ := db.Query(ctx, eventTypesSQL, pgx.StrictNamedArgs{"now": now})
	return pgx.CollectRows(rows, pgx.RowToStructByName[EventType])
}

const forgetTypesSQL = `delete from event_types where day < (@now::timestamptz at time zone 'UTC')::date - 90`

// ForgetEventTypes forgets the counts of types that arrived more than 90 days ago.
func ForgetEventTypes(ctx context.Context, db DB, now time.Time) error {
	_, err := db.Exec(ctx, forgetTypesSQL, pgx.StrictNamedArgs{"now": now})
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
	Format      int16  // of the wire
	Mapping     string // that should have made events of it; "" for none
	Body        []byte // whole, or its beginning when it was too large to keep
	Size        int32  // of the whole body
	State       string
}
