package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
)

// SegmentFact is a stretch of live chat of a conversation that began in a range.
type SegmentFact struct {
	Sender       int64
	ID           [16]byte // of the conversation
	Waiting      bool     // for a human agent; else one handles it
	AgentID      string
	StartedAt    time.Time
	EndedAt      *time.Time // nil: it goes on
	FirstReplyAt *time.Time // of the agent; nil: none
	Messages     int64      // of the agent
	Over         bool       // the conversation has ended
}

const segmentsText = `
select c.sender_id as sender, c.id, s.waiting, s.agent_id, s.started_at, s.ended_at, s.first_reply_at,
	s.agent_messages::bigint as messages, c.closes_at <= @at as over
from conversations c
join agent_segments s on s.sender_id = c.sender_id and s.conversation_id = c.id
where `

// Segments returns the stretches of live chat of a filter's conversations, those of one together and in time's order.
func Segments(
	ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location,
) ([]SegmentFact, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := FilterConversations(f, known, now, zone)
	w.Args["at"] = now
	rows, _ := db.Query(ctx, segmentsText+w.String()+"\norder by c.sender_id, c.id, s.n", w.Args)
	return pgx.CollectRows(rows, pgx.RowToStructByName[SegmentFact])
}
