package queries

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// ExportFile is a file that somebody asked for.
type ExportFile struct {
	ID        conversation.UUID
	AccountID *conversation.UUID
	Title     string
	Query     string // the filter
	Grain     Grain
	Format    string
	FileName  string
	State     string // one of the Export states
	Rows      int64
	Total     int64 // of conversations, about; 0 when not known
	Bytes     int64
	Error     string
	CreatedAt time.Time // relative ranges end here
	StartedAt *time.Time
	EndedAt   *time.Time
	ExpiresAt *time.Time
	Clear     bool   // personal data are not masked in it
	By        string // the user's name
}

// States of an export.
const (
	ExportWaiting   = "waiting"
	ExportRunning   = "running"
	ExportDone      = "done"
	ExportFailed    = "failed"
	ExportCancelled = "cancelled"
)

const insertExportSQL = `
insert into exports (id, account_id, title, query, grain, format, file_name, total, created_at, clear)
values (@id, @user, @title, @query, @grain, @format, @file, @total, @at, @clear)`

// AddExport notes that a file is wanted.
func AddExport(ctx context.Context, db DB, e ExportFile) error {
	_, err := db.Exec(ctx, insertExportSQL, pgx.StrictNamedArgs{
		"id": e.ID, "user": NullUUID(*e.AccountID), "title": e.Title, "query": e.Query, "grain": string(e.Grain),
		"format": e.Format, "file": e.FileName, "total": e.Total, "at": e.CreatedAt, "clear": e.Clear,
	})
	return err
}

const exportFileColumns = `
select e.id, e.account_id, e.title, e.query, e.grain, e.format, e.file_name, e.state, e.rows, e.total, e.bytes,
	e.error, e.created_at, e.started_at, e.ended_at, e.expires_at, e.clear, coalesce(u.name, '') as by
from exports e
left join accounts u on u.id = e.account_id
`

const (
	exportByIDSQL = exportFileColumns + `where e.id = @id`
	exportsOfSQL  = exportFileColumns +
		`where @user::uuid is null or e.account_id = @user order by e.created_at desc, e.id limit 50`
	openExportsSQL = `
select id
from exports
where state = 'waiting' or state = 'running' and alive_at < @dead
order by created_at
limit 20`
	claimExportSQL = `
update exports
set state = 'running', claim = @claim, alive_at = @now, started_at = @now, rows = 0, bytes = 0, error = '',
	deaths = deaths + case when state = 'running' then 1 else 0 end
where id = @id and (state = 'waiting' or state = 'running' and alive_at < @dead)
returning deaths`
	beatExportSQL = `
update exports
set alive_at = @now, rows = @rows, bytes = @bytes
where id = @id and claim = @claim and state = 'running'
returning id`
	endExportSQL = `
update exports
set state = @state, error = @error, rows = @rows, bytes = @bytes, ended_at = @now, expires_at = @expires, claim = null
where id = @id and claim = @claim and state = 'running'
returning id`
	releaseExportSQL = `update exports set state = 'waiting', claim = null where id = @id and claim = @claim
	and state = 'running'`
	cancelExportSQL = `
update exports
set state = 'cancelled', ended_at = @now, expires_at = @now, claim = null
where id = @id and state in ('waiting', 'running')
returning id`
	forgetPartsSQL = `delete from export_parts where export_id = @id`
	insertPartSQL  = `
insert into export_parts (export_id, n, body)
select e.id, @n::integer, @body::bytea
from exports e
where e.id = @id and e.claim = @claim and e.state = 'running'
returning export_id`
	partSQL           = `select body from export_parts where export_id = @id and n = @n`
	expiredExportsSQL = `delete from exports where expires_at < @now`
)

// ExportByID returns an export, or ErrNotFound.
func ExportByID(ctx context.Context, db DB, id conversation.UUID) (ExportFile, error) {
	rows, _ := db.Query(ctx, exportByIDSQL, pgx.StrictNamedArgs{"id": id})
	return One[ExportFile](rows)
}

// Exports returns the last exports of a user, or of everybody for nil, the newest first.
func Exports(ctx context.Context, db DB, user *conversation.UUID) ([]ExportFile, error) {
	var of any
	if user != nil {
		of = *user
	}
	rows, _ := db.Query(ctx, exportsOfSQL, pgx.StrictNamedArgs{"user": of})
	return pgx.CollectRows(rows, pgx.RowToStructByName[ExportFile])
}

// OpenExports returns exports that nobody is at: new ones, and those whose worker was last alive before a time.
func OpenExports(ctx context.Context, db DB, dead time.Time) ([]conversation.UUID, error) {
	rows, _ := db.Query(ctx, openExportsSQL, pgx.StrictNamedArgs{"dead": dead})
	return pgx.CollectRows(rows, pgx.RowTo[conversation.UUID])
}

// ExportClaim is a worker's hold on an export. Once it is lost, its methods return ErrNotFound.
type ExportClaim struct {
	ID, claim conversation.UUID
	Deaths    int // how often the process that was at it ended
}

// ClaimExport takes an export that nobody is at, or returns ErrNotFound. What another worker left of its file is
// deleted.
func ClaimExport(ctx context.Context, tx pgx.Tx, id conversation.UUID, now, dead time.Time) (ExportClaim, error) {
	c := ExportClaim{ID: id, claim: NewID()}
	rows, _ := tx.Query(ctx, claimExportSQL, pgx.StrictNamedArgs{"id": id, "claim": c.claim, "now": now, "dead": dead})
	var err error
	if c.Deaths, err = only[int](rows); err != nil {
		return c, err
	}
	_, err = tx.Exec(ctx, forgetPartsSQL, pgx.StrictNamedArgs{"id": id})
	return c, err
}

// Beat tells that the worker is alive, and how far it is.
func (c ExportClaim) Beat(ctx context.Context, db DB, rows, bytes int64, now time.Time) error {
	return Changed(ctx, db, beatExportSQL, pgx.StrictNamedArgs{
		"id": c.ID, "claim": c.claim, "rows": rows, "bytes": bytes, "now": now,
	})
}

// Release has another worker begin at once.
func (c ExportClaim) Release(ctx context.Context, db DB) error {
	_, err := db.Exec(ctx, releaseExportSQL, pgx.StrictNamedArgs{"id": c.ID, "claim": c.claim})
	return err
}

// End notes how the export ended; a failed one has an error in words fit to show.
func (c ExportClaim) End(ctx context.Context, db DB, failure string, rows, bytes int64, now, expires time.Time) error {
	state := ExportDone
	if failure != "" {
		state = ExportFailed
	}
	return Changed(ctx, db, endExportSQL, pgx.StrictNamedArgs{
		"id": c.ID, "claim": c.claim, "state": state, "error": failure, "rows": rows, "bytes": bytes, "now": now,
		"expires": expires,
	})
}

// Part stores a part of the file, counted from 0.
func (c ExportClaim) Part(ctx context.Context, db DB, n int, body []byte) error {
	return Changed(ctx, db, insertPartSQL, pgx.StrictNamedArgs{"id": c.ID, "claim": c.claim, "n": n, "body": body})
}

// ExportPart returns a part of a file, counted from 0; ErrNotFound after the last.
func ExportPart(ctx context.Context, db DB, id conversation.UUID, n int) ([]byte, error) {
	rows, _ := db.Query(ctx, partSQL, pgx.StrictNamedArgs{"id": id, "n": n})
	body, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	return body, err
}

// CancelExport ends an export that is not made yet, or returns ErrNotFound.
func CancelExport(ctx context.Context, tx pgx.Tx, id conversation.UUID, now time.Time) error {
	if err := Changed(ctx, tx, cancelExportSQL, pgx.StrictNamedArgs{"id": id, "now": now}); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, forgetPartsSQL, pgx.StrictNamedArgs{"id": id})
	return err
}

// ForgetExports deletes expired exports with their files.
func ForgetExports(ctx context.Context, db DB, now time.Time) error {
	_, err := db.Exec(ctx, expiredExportsSQL, pgx.StrictNamedArgs{"now": now})
	return err
}
