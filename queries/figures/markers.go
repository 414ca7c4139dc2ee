package figures

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
	"turnwise/queries"
)

// markerTallies count where Rasa's markers were found.
type markerTallies struct{}

func (markerTallies) number() int16          { return 6 }
func (markerTallies) asked(q *Question) bool { return q.Markers }
func (markerTallies) empty() part            { return markerTally{} }

func (markerTallies) read(r *reading, _ time.Time, _ Dimensions, packed []byte) error {
	return r.sum.Markers.MergePacked(packed)
}

type markerTally metric.MarkerTally

func (t markerTally) add(*metric.ConversationFacts) {}
func (t markerTally) merge(o part)                  { metric.MarkerTally(t).Merge(metric.MarkerTally(o.(markerTally))) }
func (t markerTally) pack(time.Time) []byte         { return metric.MarkerTally(t).Pack() }
func (t markerTally) unpack(_ time.Time, packed []byte) error {
	return metric.MarkerTally(t).MergePacked(packed)
}

func (t markerTally) answer(r *reading, _ time.Time, _ *cell) {
	r.sum.Markers.Merge(metric.MarkerTally(t))
}

const (
	markersText = `
select m.sender_id, m.conversation_id, m.pattern_id, array_agg(m.turns)
from (select c.sender_id, c.id from `
	markersJoin = `) as c
join markers m on m.sender_id = c.sender_id and m.conversation_id = c.id`
	markersGroup = `
group by 1, 2, 3`
)

func (markerTallies) tables(ctx context.Context, n *counting, of func(queries.ConversationKey) part) error {
	var k queries.ConversationKey
	var id [16]byte
	var pattern int32
	var turns []int
	rows, _ := n.db.Query(ctx, markersText+n.from+markersJoin+markersGroup, n.args)
	_, err := pgx.ForEachRow(rows, []any{&k.SenderID, &id, &pattern, &turns}, func() error {
		k.ID = id
		if t, ok := of(k).(markerTally); ok {
			metric.MarkerTally(t).Add(pattern, turns)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count markers: %w", err)
	}
	return nil
}

// reopenMarkers takes back what counts only when a conversation has ended.
func (r *reading) reopenMarkers(
	ctx context.Context, from string, args pgx.StrictNamedArgs, open map[queries.ConversationKey]time.Time,
) error {
	var k queries.ConversationKey
	var id [16]byte
	var pattern int32
	var turns []int
	rows, _ := r.tx.Query(ctx, markersText+from+markersJoin+" and m.never"+markersGroup, args)
	_, err := pgx.ForEachRow(rows, []any{&k.SenderID, &id, &pattern, &turns}, func() error {
		if k.ID = id; !open[k].IsZero() {
			r.sum.Markers.Take(pattern, turns)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("markers of open conversations: %w", err)
	}
	return nil
}
