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
	Text            string // its first 2,000 characters
	Assistant       string
	Channel         string
	Version         string
}

// turnsOf returns the predicates of the conversations, c, and of the turns, t, of a filter: those that its bounds of
// response times and its TurnFilter mean. Both have the same arguments.
func turnsOf(ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location) (c, t *Where, err error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, nil, err
	}
	without := f
	without.Turns, without.ResponseOver, without.ResponseUpTo = metric.TurnFilter{}, 0, 0
	c = FilterConversations(without, known, now, zone)
	t = &Where{Args: c.Args}
	if f.Turns != (metric.TurnFilter{}) {
		t.And(t.turn(f.Turns), "", nil)
	}
	if f.ResponseOver > 0 || f.ResponseUpTo > 0 {
		t.timed(f)
	}
	return c, t, nil
}

// listedTurns are turnsOf a list of turns: if the filter asks for no more than a flow or an action, those with a
// response time.
func listedTurns(
	ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location,
) (c, t *Where, err error) {
	c, t, err = turnsOf(ctx, db, f, now, zone)
	if err == nil && f.ResponseOver == 0 && f.ResponseUpTo == 0 && f.Turns == (metric.TurnFilter{
		Flow: f.Turns.Flow, Action: f.Turns.Action,
	}) {
		t.timed(f)
	}
	return c, t, err
}

// timed narrows turns to those with a response time within the filter's bounds.
func (w *Where) timed(f metric.Filter) {
	w.And("t.response_ms > @above and t.response_ms <= @below", "below", fastest(f))
	w.Args["above"] = slowest(f)
}

const turnColumns = `
select x.conversation_id, x.message_id, x.n, x.at, x.response_ms, x.confidence, x.response_source, x.understanding_ms,
	x.prediction_ms, x.intent,
	coalesce(left(m.text, 2000), '') as text, a.name as assistant, coalesce(ch.name, '') as channel,
		coalesce(nullif(v.model_name, ''), v.model_id, '') as version
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

// Turns returns at most limit turns of the filter's conversations, the slowest first, after the first skip ones. With
// few conversations their turns are looked up, else the slowest turns are looked through for those of the filter.
func Turns(
	ctx context.Context, db Sight, f metric.Filter, few bool, skip, limit int, now time.Time, zone *time.Location,
) ([]ListedTurn, error) {
	c, t, err := listedTurns(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	if f.ID == "" {
		t.And("t.at >= @from", "", nil) // no turn comes before its conversation
	}
	from := "turns t\n\tcross join lateral (select * from conversations c where c.sender_id = t.sender_id and c.id " +
		"= t.conversation_id and " + c.String() + " offset 0) as c\n\twhere " + t.String()
	if few {
		from = "(select * from conversations c where " + c.String() +
			" offset 0) as c\n\tcross join lateral (select * from turns t where t.sender_id = c.sender_id and " +
			"t.conversation_id = c.id and " + t.String() + " offset 0) as t"
	}
	c.Args["limit"], c.Args["skip"] = limit, skip
	rows, _ := db.Query(
		ctx,
		turnColumns+from+"\n\torder by t.response_ms desc nulls last, t.conversation_id, t.n\n\tlimit @limit "+
			"offset @skip"+turnJoins,
		c.Args,
	)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ListedTurn])
	if err != nil {
		return nil, fmt.Errorf("list turns: %w", err)
	}
	return list, nil
}

// CountTurns counts the turns of the filter's conversations.
func CountTurns(ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location) (int64, error) {
	c, t, err := listedTurns(ctx, db, f, now, zone)
	if err != nil {
		return 0, err
	}
	rows, _ := db.Query(
		ctx,
		"select count(*) from conversations c\njoin turns t on t.sender_id = c.sender_id and t.conversation_id = "+
			"c.id\nwhere "+c.String()+" and "+t.String(),
		c.Args,
	)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}
