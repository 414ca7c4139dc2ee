package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// ChartNote is a mark on charts.
type ChartNote struct {
	ID        [16]byte
	At        time.Time
	Text      string
	Assistant string // "" for all
	Shared    bool
	AccountID [16]byte
	By        string // the writer's name
	CreatedAt time.Time
}

const chartNotesSQL = `
select n.id, n.at, n.text, n.assistant, n.shared, n.account_id, u.name as by, n.created_at
from chart_notes n
join accounts u on u.id = n.account_id
where n.at >= @from and n.at < @until and (n.shared or n.account_id = @user)
order by n.at, n.id
limit 500`

// ChartNotes returns the notes in [from, until) that the user may see, oldest first.
func ChartNotes(ctx context.Context, db DB, user [16]byte, from, until time.Time) ([]ChartNote, error) {
	rows, _ := db.Query(ctx, chartNotesSQL, pgx.StrictNamedArgs{"user": user, "from": from, "until": until})
	return pgx.CollectRows(rows, pgx.RowToStructByName[ChartNote])
}

const addChartNoteSQL = `
insert into chart_notes (id, at, text, assistant, shared, account_id, created_at)
values (@id, @at, @text, @assistant, @shared, @user, @now)`

// AddChartNote stores a note.
func AddChartNote(ctx context.Context, db DB, n ChartNote) error {
	_, err := db.Exec(ctx, addChartNoteSQL, pgx.StrictNamedArgs{
		"id": n.ID, "at": n.At, "text": n.Text, "assistant": n.Assistant, "shared": n.Shared, "user": n.AccountID,
		"now": n.CreatedAt,
	})
	return err
}

const deleteChartNoteSQL = `
delete from chart_notes
where id = @id and (account_id = @user or shared and @any::boolean)
returning id`

// DeleteChartNote deletes a note of the user, or with anyShared a shared one of anybody.
func DeleteChartNote(ctx context.Context, db DB, id, user [16]byte, anyShared bool) error {
	rows, _ := db.Query(ctx, deleteChartNoteSQL, pgx.StrictNamedArgs{"id": id, "user": user, "any": anyShared})
	deleted, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err == nil && len(deleted) == 0 {
		return ErrNotFound
	}
	return err
}
