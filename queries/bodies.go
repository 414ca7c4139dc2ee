package queries

import (
	"context"
	"fmt"
	"time"

	"turnwise/metric"

	"github.com/jackc/pgx/v5"
)

// BodySeparator stands between the bodies of a bundle: valid JSON cannot hold it outside an escape.
const BodySeparator = "\x1e"

const bodiesOfSQL = `
select bodies
from event_payloads
where sender_id = @sender and at between @from and @until and conversation_id = @id
order by part`

// BodiesOf returns the events of a conversation as they were received, in bundles that BodySeparator divides.
func BodiesOf(ctx context.Context, db Sight, c ConversationFacts) ([]string, error) {
	rows, _ := db.Query(ctx, bodiesOfSQL, pgx.StrictNamedArgs{
		"sender": c.SenderID, "from": c.StartedAt, "until": c.LastAt, "id": c.ID,
	})
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

const volumeHead = `select width_bucket(c.started_at, @starts::timestamptz[]) - 1 as span, count(*)
from conversations c
where `

// Volume counts the conversations of a filter by stretches of time that begin at starts.
func Volume(
	ctx context.Context, db DB, f metric.Filter, starts []time.Time, now time.Time, zone *time.Location,
) ([]int64, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := FilterConversations(f, known, now, zone)
	w.Args["starts"] = starts
	counts := make([]int64, len(starts))
	rows, _ := db.Query(ctx, volumeHead+w.String()+"\ngroup by 1", w.Args)
	var span int
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&span, &n}, func() error {
		counts[min(max(span, 0), len(counts)-1)] += n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	return counts, nil
}
