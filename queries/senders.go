package queries

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const countSendersSQL = `
select count(*)
from senders s
join assistants a on a.id = s.assistant_id
where @assistant = '' or a.name = @assistant`

// CountSenders counts the senders of an assistant, "" for all.
func CountSenders(ctx context.Context, db DB, assistant string) (int, error) {
	rows, _ := db.Query(ctx, countSendersSQL, pgx.StrictNamedArgs{"assistant": assistant})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
}
