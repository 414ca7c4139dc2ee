package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"turnwise/queries"
)

// NamedSender is a sender with the names that make its id.
type NamedSender struct {
	ID        int64
	Assistant string
	SenderKey string
}

const sendersAfterSQL = `
select s.id, a.name as assistant, s.sender_key
from senders s
join assistants a on a.id = s.assistant_id
where s.id > @after and (@assistant = '' or a.name = @assistant)
order by s.id
limit @limit`

// SendersAfter lists senders of an assistant ("" for all) by id.
func SendersAfter(ctx context.Context, db queries.DB, assistant string, after int64, limit int) ([]NamedSender, error) {
	rows, _ := db.Query(ctx, sendersAfterSQL, pgx.StrictNamedArgs{
		"assistant": assistant, "after": after, "limit": limit,
	})
	return pgx.CollectRows(rows, pgx.RowToStructByName[NamedSender])
}
