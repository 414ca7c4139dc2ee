package figures

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
	"turnwise/queries"
)

// intentTallies count what users wanted and what the language model commanded, and how long turns took by flow and
// part.
type intentTallies struct{}

func (intentTallies) number() int16          { return 4 }
func (intentTallies) asked(q *Question) bool { return q.Intents || q.Parts }
func (intentTallies) empty() part            { return new(intentTally) }

func (intentTallies) read(r *reading, _ time.Time, _ Dimensions, packed []byte) error {
	return r.sum.Intents.MergePacked(packed, r.Intents, r.Parts)
}

type intentTally struct{ metric.IntentTally }

func (t *intentTally) add(*metric.ConversationFacts) {}
func (t *intentTally) merge(o part)                  { t.Merge(&o.(*intentTally).IntentTally) }
func (t *intentTally) pack(time.Time) []byte         { return t.Pack() }
func (t *intentTally) answer(r *reading, _ time.Time, _ *cell) {
	r.sum.Intents.Merge(&t.IntentTally)
}

func (t *intentTally) unpack(_ time.Time, packed []byte) error {
	return t.MergePacked(packed, true, true)
}

const (
	turnsText = `
select t.sender_id, t.conversation_id, t.intent, t.fallback, t.confidence, t.response_ms, t.understanding_ms,
	t.prediction_ms,
	t.flow_id, t.action
from (select c.sender_id, c.id from `
	turnsJoin = `) as c
join turns t on t.sender_id = c.sender_id and t.conversation_id = c.id
where not t.platform`

	commandsText = `
select distinct t.sender_id, t.conversation_id, t.command, case when t.command = 'cannot handle'
	then left(t.detail, 300) else '' end
from (select c.sender_id, c.id from `
	commandsJoin = `) as c
join commands t on t.sender_id = c.sender_id and t.conversation_id = c.id`
)

func (intentTallies) tables(ctx context.Context, n *counting, of func(queries.ConversationKey) part) error {
	var k queries.ConversationKey
	var id [16]byte
	var intent, command, detail string
	var fallback bool
	var confidence *float32
	var took metric.Timing
	rows, _ := n.db.Query(ctx, turnsText+n.from+turnsJoin, n.args)
	into := []any{
		&k.SenderID, &id, &intent, &fallback, &confidence, &took.Response, &took.Understanding, &took.Prediction,
		&took.Flow, &took.Action,
	}
	if _, err := pgx.ForEachRow(rows, into, func() error {
		k.ID = id
		if t, ok := of(k).(*intentTally); ok {
			t.Add(intent, fallback, confidence)
			t.Time(took)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("count intents: %w", err)
	}
	type seenCommand struct {
		queries.ConversationKey
		name string
	}
	seen := map[seenCommand]bool{} // one with several reasons counts once
	rows, _ = n.db.Query(ctx, commandsText+n.from+commandsJoin, n.args)
	if _, err := pgx.ForEachRow(rows, []any{&k.SenderID, &id, &command, &detail}, func() error {
		k.ID = id
		t, ok := of(k).(*intentTally)
		if !ok {
			return nil
		}
		if !seen[seenCommand{k, command}] {
			seen[seenCommand{k, command}] = true
			t.Command(command)
		}
		if command == "cannot handle" {
			t.Reason(detail)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("count commands: %w", err)
	}
	return nil
}
