package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

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
func UnhandledMessages(
	ctx context.Context, db Sight, f metric.Filter, limit int, now time.Time, zone *time.Location,
) ([]Unhandled, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := FilterConversations(f, known, now, zone)
	w.Args["limit"] = limit
	w.Args["from"], _ = f.Range.Bounds(now, zone) // nobody writes before the conversation began
	rows, _ := db.Query(ctx, unhandledText+w.String()+unhandledJoin, w.Args)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Unhandled])
}
