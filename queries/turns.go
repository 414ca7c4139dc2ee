package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// ListedTurn is a row of the list of turns.
type ListedTurn struct {
	ConversationID  conversation.UUID
	MessageID       conversation.UUID
	N               int32
	At              time.Time
	ResponseMS      *float64 `db:"response_ms"`
	Confidence      *float32
	ResponseSource  string
	UnderstandingMS *float64 `db:"understanding_ms"`
	PredictionMS    *float64 `db:"prediction_ms"`
	Intent          string
	Text            string
	Assistant       string
	Channel         string
	Version         string
}

// turnsText joins the turns to the conversations of a filter.
const turnsText = `conversations c
join turns t on t.sender_id = c.sender_id and t.conversation_id = c.id
where `

// turnsOf returns the predicate of the turns of a filter: those that its bounds of response times and its TurnFilter
// mean; if that asks for no more than a flow, those with a response time.
func turnsOf(ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location) (*where, error) {
	known, err := lookUp(ctx, db, f)
	if err != nil {
		return nil, err
	}
	w := filterConversations(f, known, now, zone)
	if f.Turns != (metric.TurnFilter{}) {
		w.and(w.turn(f.Turns), "", nil)
	}
	if f.Turns == (metric.TurnFilter{Flow: f.Turns.Flow}) || f.Slower > 0 || f.Faster > 0 {
		w.and("t.response_ms > @above and t.response_ms <= @below", "below", fastest(f))
		w.args["above"] = slowest(f)
	}
	return w, nil
}

const turnColumns = `
select x.conversation_id, x.message_id, x.n, x.at, x.response_ms, x.confidence, x.response_source, x.understanding_ms, x.prediction_ms, x.intent,
	coalesce(left(m.text, 200), '') as text, a.name as assistant, coalesce(ch.name, '') as channel, coalesce(nullif(v.model_name, ''), v.model_id, '') as version
from (
	select t.*, c.assistant_id, c.channel_id, c.version_id
	from `

const turnJoins = `
) as x
join assistants a on a.id = x.assistant_id
left join channels ch on ch.id = x.channel_id
left join versions v on v.id = x.version_id
left join messages m on m.sender_id = x.sender_id and m.at = x.at and m.id = x.message_id
order by x.response_ms desc nulls last, x.conversation_id, x.n`

// Turns returns at most limit turns of the filter's conversations, the slowest first, after the first skip ones.
func Turns(ctx context.Context, db DB, f metric.Filter, skip, limit int, now time.Time, zone *time.Location) ([]ListedTurn, error) {
	w, err := turnsOf(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w.args["limit"], w.args["skip"] = limit, skip
	rows, _ := db.Query(ctx, turnColumns+turnsText+w.String()+"\n\torder by t.response_ms desc nulls last, t.conversation_id, t.n\n\tlimit @limit offset @skip"+turnJoins, w.args)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ListedTurn])
	if err != nil {
		return nil, fmt.Errorf("list turns: %w", err)
	}
	return list, nil
}

// CountTurns counts the turns of the filter's conversations.
func CountTurns(ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location) (int64, error) {
	w, err := turnsOf(ctx, db, f, now, zone)
	if err != nil {
		return 0, err
	}
	rows, _ := db.Query(ctx, "select count(*) from "+turnsText+w.String(), w.args)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}
