package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// SavedView is a filter of the list of conversations that somebody keeps.
type SavedView struct {
	ID        conversation.UUID
	Name      string
	Query     string // of the list's address
	Columns   []string
	Oldest    bool // the oldest stand first
	Shared    bool
	AccountID conversation.UUID
	By        string
	Revision  int32
	CreatedAt time.Time
}

const savedViewColumns = `
select v.id, v.name, v.query, v.columns, v.oldest, v.shared, v.account_id, u.name as by, v.revision, v.created_at
from saved_views v
join accounts u on u.id = v.account_id
where (v.shared or v.account_id = @user)`

const (
	savedViewsSQL = savedViewColumns + `
order by v.account_id <> @user, lower(v.name), v.id
limit 500`
	savedViewSQL = savedViewColumns + ` and v.id = @id`
)

// SavedViews returns the views that a user may see: his own first, by name.
func SavedViews(ctx context.Context, db DB, user conversation.UUID) ([]SavedView, error) {
	rows, _ := db.Query(ctx, savedViewsSQL, pgx.StrictNamedArgs{"user": user})
	return pgx.CollectRows(rows, pgx.RowToStructByName[SavedView])
}

// SavedViewByID returns a view that a user may see, or ErrNotFound.
func SavedViewByID(ctx context.Context, db DB, id, user conversation.UUID) (SavedView, error) {
	rows, _ := db.Query(ctx, savedViewSQL, pgx.StrictNamedArgs{"id": id, "user": user})
	return One[SavedView](rows)
}

const insertSavedViewSQL = `
insert into saved_views (id, name, query, columns, oldest, shared, account_id, created_at)
values (@id, @name, @query, @columns, @oldest, @shared, @user, @at)`

// AddSavedView keeps a view; ErrConflict when the user has one of that name.
func AddSavedView(ctx context.Context, db DB, v SavedView) error {
	_, err := db.Exec(ctx, insertSavedViewSQL, pgx.StrictNamedArgs{
		"id": v.ID, "name": v.Name, "query": v.Query, "columns": v.Columns, "oldest": v.Oldest, "shared": v.Shared,
		"user": v.AccountID, "at": v.CreatedAt,
	})
	return Unique(err)
}

const changeSavedViewSQL = `
update saved_views
set query = @query, columns = @columns, oldest = @oldest, revision = revision + 1
where id = @id and (account_id = @user or shared and @any::boolean)
returning id`

// ChangeSavedView makes a view of the user what it now shows, with any a shared one of anybody; or ErrNotFound.
func ChangeSavedView(ctx context.Context, db DB, v SavedView, anyShared bool) error {
	return Changed(ctx, db, changeSavedViewSQL, pgx.StrictNamedArgs{
		"id": v.ID, "user": v.AccountID, "query": v.Query, "columns": v.Columns, "oldest": v.Oldest, "any": anyShared,
	})
}

const deleteSavedViewSQL = `
delete from saved_views
where id = @id and (account_id = @user or shared and @any::boolean)
returning id`

// DeleteSavedView forgets a view of the user, with any a shared one of anybody; or ErrNotFound.
func DeleteSavedView(ctx context.Context, db DB, id, user conversation.UUID, anyShared bool) error {
	return Changed(ctx, db, deleteSavedViewSQL, pgx.StrictNamedArgs{"id": id, "user": user, "any": anyShared})
}
