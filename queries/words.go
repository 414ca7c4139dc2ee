package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// statements count conversations, their flow runs, steps, turns' intents and commands, in this order.
type statements [5]string

const (
	intentColumns   = `select t.sender_id, t.conversation_id, t.intent, t.fallback, t.confidence, t.response_ms, t.understanding_ms, t.prediction_ms, t.flow_id, t.action`
	intentCondition = ` and not t.platform`
	commandColumns  = `select distinct t.sender_id, t.conversation_id, t.command, case when t.command = 'cannot handle' then left(t.detail, 300) else '' end`
)

// countWords counts intents and commands into the tallies of their conversations.
func countWords(ctx context.Context, db DB, of statements, args pgx.StrictNamedArgs, tally func(ConversationKey) *metric.IntentTally) error {
	var k ConversationKey
	var id [16]byte
	var text, detail string
	var fallback bool
	var confidence *float32
	var took metric.Timing
	rows, _ := db.Query(ctx, of[3], args)
	if _, err := pgx.ForEachRow(rows, []any{&k.Sender, &id, &text, &fallback, &confidence, &took.Response, &took.Understanding, &took.Prediction, &took.Flow, &took.Action}, func() error {
		k.ID = id
		if t := tally(k); t != nil {
			t.Add(text, fallback, confidence)
			t.Time(took)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("count intents: %w", err)
	}
	type command struct {
		ConversationKey
		name string
	}
	seen := map[command]bool{} // one with several reasons counts once
	rows, _ = db.Query(ctx, of[4], args)
	if _, err := pgx.ForEachRow(rows, []any{&k.Sender, &id, &text, &detail}, func() error {
		k.ID = id
		t := tally(k)
		if t == nil {
			return nil
		}
		if !seen[command{k, text}] {
			seen[command{k, text}] = true
			t.Command(text)
		}
		if text == "cannot handle" {
			t.Reason(detail)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("count commands: %w", err)
	}
	return nil
}

// Unhandled is a message that the assistant did not understand.
type Unhandled struct {
	ConversationID conversation.UUID
	MessageID      conversation.UUID
	Text           string
}

const unhandledText = `
select t.conversation_id, t.message_id, left(m.text, 2000) as text
from (
	select t.sender_id, t.conversation_id, t.message_id, t.at, t.n
	from turns t
	cross join lateral (select from conversations c where c.sender_id = t.sender_id and c.id = t.conversation_id and `

const unhandledJoin = ` offset 0) as c
	where t.fallback and not t.platform and t.at >= @from
	order by t.at desc, t.conversation_id, t.n
	limit @limit
) as t
join messages m on m.sender_id = t.sender_id and m.at = t.at and m.id = t.message_id
where m.text <> ''
order by t.at desc, t.conversation_id, t.n`

// UnhandledMessages returns the messages of the filter's conversations that the assistant did not understand, at most
// limit, the newest first, with the first 2,000 characters of each.
func UnhandledMessages(ctx context.Context, db DB, f metric.Filter, limit int, now time.Time, zone *time.Location) ([]Unhandled, error) {
	known, err := lookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := filterConversations(f, known, now, zone)
	w.args["limit"] = limit
	w.args["from"], _ = f.Range.Bounds(now, zone) // nobody writes before the conversation began
	rows, _ := db.Query(ctx, unhandledText+w.String()+unhandledJoin, w.args)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Unhandled])
}
