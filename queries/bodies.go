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

const (
	apartSQL         = `select traits, aliases from senders where id = @sender`
	journalBodiesSQL = `
select p.bodies
from journals j
join event_payloads p on p.sender_id = j.sender_id and p.at between j.started_at and j.last_at
	and p.conversation_id = j.id
where j.sender_id = @sender
order by j.started_at, j.id, p.part`
)

// ApartOf returns what is known of a sender beside its conversations: traits as JSON, other ids, and the events that
// belong to none, in bundles that BodySeparator divides.
func ApartOf(ctx context.Context, db Sight, sender int64) (traits *string, aliases, bundles []string, err error) {
	rows, _ := db.Query(ctx, apartSQL, pgx.StrictNamedArgs{"sender": sender})
	if _, err = pgx.ForEachRow(rows, []any{&traits, &aliases}, func() error { return nil }); err != nil {
		return nil, nil, nil, err
	}
	rows, _ = db.Query(ctx, journalBodiesSQL, pgx.StrictNamedArgs{"sender": sender})
	bundles, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return traits, aliases, bundles, err
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
