package queries

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// AnalyticsReport is a report that a program asked for.
type AnalyticsReport struct {
	ID          conversation.UUID
	TokenID     conversation.UUID
	CreatedBy   string   // the token's name
	Assistants  []string // that the token was limited to; nil: all
	Type        string
	Title       string
	Format      string
	FromAt      time.Time
	UntilAt     time.Time // exclusive
	Timezone    string
	GroupBy     string
	BotID       *conversation.UUID
	UserID      *conversation.UUID
	Metrics     []string // of a custom one
	Charts      bool     // it has pictures
	Status      string   // one of the Report states
	Progress    int16    // percent
	CreatedAt   time.Time
	StartedAt   *time.Time
	CompletedAt *time.Time
	ExpiresAt   *time.Time
	Size        *int64
	MediaType   string
	FileName    string
	Error       string
}

// States of such a report.
const (
	ReportPending   = "pending"
	ReportRunning   = "running"
	ReportCompleted = "completed"
	ReportFailed    = "failed"
)

const reportColumns = `select r.id, r.token_id, r.created_by, r.assistants, r.type, r.title, r.format, r.from_at, r.until_at,
	r.timezone, r.group_by, r.bot_id, r.user_id, r.metrics, r.charts, r.status, r.progress, r.created_at, r.started_at,
	r.completed_at, r.expires_at, r.size, r.media_type, r.file_name, r.error
from analytics_reports r
`

const (
	insertReportSQL = `
insert into analytics_reports (id, token_id, created_by, assistants, type, title, format, from_at, until_at, timezone,
	group_by, bot_id, user_id, metrics, charts, created_at, idempotency_key, asked)
values (@id, @token, @by, @assistants, @type, @title, @format, @from, @until, @timezone, @group_by, @bot, @user, @metrics,
	@charts, @at, @key, @asked)
on conflict (token_id, idempotency_key) where idempotency_key is not null do nothing
returning id`
	freeKeySQL = `
update analytics_reports set idempotency_key = null
where token_id = @token and idempotency_key = @key and created_at <= @before`
	reportByKeySQL = reportColumns + `where r.token_id = @token and r.idempotency_key = @key and r.asked = @asked`
	reportByIDSQL  = reportColumns + `where r.id = @id and (r.expires_at is null or r.expires_at > @now)
	and (@only::text[] is null or r.assistants <@ @only::text[])`
	beginReportSQL = `
update analytics_reports
set status = 'running', progress = 5, started_at = coalesce(started_at, @now)
where id = @id and status in ('pending', 'running')
returning id`
	progressReportSQL = `update analytics_reports set progress = @progress where id = @id and status = 'running'`
	endReportSQL      = `
update analytics_reports
set status = case when @error = '' then 'completed' else 'failed' end, progress = case when @error = '' then 100
	else progress end, completed_at = @now, expires_at = @expires, size = @size, media_type = @media, file_name = @file,
	body = @body, error = @error
where id = @id and status in ('pending', 'running')
returning id`
	reportBodySQL     = `select body from analytics_reports where id = @id and status = 'completed'`
	expiredReportsSQL = `delete from analytics_reports where expires_at <= @now`
)

// KeyLasts is how long a key of idempotency stands for its report.
const KeyLasts = 24 * time.Hour

// AddAnalyticsReport notes that a report is wanted. With a key that the token used before for the same, it is that
// report again and not new; for something else, ErrConflict. asked is a hash of what is asked.
func AddAnalyticsReport(
	ctx context.Context, tx pgx.Tx, r AnalyticsReport, key string, asked []byte,
) (stored AnalyticsReport, fresh bool, err error) {
	args := pgx.StrictNamedArgs{"token": r.TokenID, "key": key, "before": r.CreatedAt.Add(-KeyLasts)}
	if key != "" {
		if _, err := tx.Exec(ctx, freeKeySQL, args); err != nil {
			return r, false, err
		}
	}
	var named any
	if key != "" {
		named = key
	}
	rows, _ := tx.Query(ctx, insertReportSQL, pgx.StrictNamedArgs{
		"id": r.ID, "token": r.TokenID, "by": r.CreatedBy, "assistants": r.Assistants, "type": r.Type, "title": r.Title,
		"format": r.Format, "from": r.FromAt, "until": r.UntilAt, "timezone": r.Timezone, "group_by": r.GroupBy,
		"bot": r.BotID, "user": r.UserID, "metrics": r.Metrics, "charts": r.Charts, "at": r.CreatedAt, "key": named,
		"asked": asked,
	})
	if _, err = only[conversation.UUID](rows); !errors.Is(err, ErrNotFound) {
		return r, err == nil, err
	}
	rows, _ = tx.Query(ctx, reportByKeySQL, pgx.StrictNamedArgs{"token": r.TokenID, "key": key, "asked": asked})
	if stored, err = One[AnalyticsReport](rows); errors.Is(err, ErrNotFound) {
		err = ErrConflict
	}
	return stored, false, err
}

// AnalyticsReportByID returns a report that who is limited to assistants may see, nil for all; or ErrNotFound.
func AnalyticsReportByID(
	ctx context.Context, db DB, id conversation.UUID, limits []string, now time.Time,
) (AnalyticsReport, error) {
	rows, _ := db.Query(ctx, reportByIDSQL, pgx.StrictNamedArgs{"id": id, "only": limits, "now": now})
	return One[AnalyticsReport](rows)
}

// ReportFilter narrows and orders a list of reports.
type ReportFilter struct {
	Type, Status  string // "": any
	After, Before *time.Time
	ByType        bool // by type, else by when they were asked for
	Ascending     bool
	Limit, Offset int
}

var reportOrders = map[[2]bool]string{
	{false, false}: "r.created_at desc, r.id", {false, true}: "r.created_at, r.id",
	{true, false}: "r.type desc, r.created_at desc, r.id", {true, true}: "r.type, r.created_at desc, r.id",
}

// AnalyticsReports returns a page of the reports that who is limited to assistants may see, and how many there are.
func AnalyticsReports(
	ctx context.Context, db DB, f ReportFilter, limits []string, now time.Time,
) (list []AnalyticsReport, total int64, err error) {
	w := &Where{Args: pgx.StrictNamedArgs{}}
	w.And("(r.expires_at is null or r.expires_at > @now)", "now", now)
	if limits != nil {
		w.And("r.assistants <@ @only::text[]", "only", limits)
	}
	if f.Type != "" {
		w.And("r.type = @type", "type", f.Type)
	}
	if f.Status != "" {
		w.And("r.status = @status", "status", f.Status)
	}
	if f.After != nil {
		w.And("r.created_at >= @after", "after", *f.After)
	}
	if f.Before != nil {
		w.And("r.created_at < @before", "before", *f.Before)
	}
	rows, _ := db.Query(ctx, "select count(*) from analytics_reports r where "+w.String(), w.Args)
	if total, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64]); err != nil {
		return nil, 0, err
	}
	w.Args["limit"], w.Args["offset"] = f.Limit, f.Offset
	rows, _ = db.Query(ctx, reportColumns+"where "+w.String()+"\norder by "+reportOrders[[2]bool{f.ByType, f.Ascending}]+
		"\nlimit @limit offset @offset", w.Args)
	list, err = pgx.CollectRows(rows, pgx.RowToStructByName[AnalyticsReport])
	return list, total, err
}

// BeginAnalyticsReport notes that a report is being made, or returns ErrNotFound where it is done already.
func BeginAnalyticsReport(ctx context.Context, db DB, id conversation.UUID, now time.Time) error {
	return Changed(ctx, db, beginReportSQL, pgx.StrictNamedArgs{"id": id, "now": now})
}

// ProgressAnalyticsReport notes how far it is, in percent.
func ProgressAnalyticsReport(ctx context.Context, db DB, id conversation.UUID, percent int) error {
	_, err := db.Exec(ctx, progressReportSQL, pgx.StrictNamedArgs{"id": id, "progress": percent})
	return err
}

// EndAnalyticsReport stores the file of a report, or why there is none in words fit to show.
func EndAnalyticsReport(ctx context.Context, db DB, r AnalyticsReport, body []byte, now, expires time.Time) error {
	var size any
	if r.Error == "" {
		size = len(body)
	}
	return Changed(ctx, db, endReportSQL, pgx.StrictNamedArgs{
		"id": r.ID, "error": r.Error, "now": now, "expires": expires, "size": size, "media": r.MediaType,
		"file": r.FileName, "body": body,
	})
}

// AnalyticsReportBody returns the file of a report that is completed, or ErrNotFound.
func AnalyticsReportBody(ctx context.Context, db DB, id conversation.UUID) ([]byte, error) {
	rows, _ := db.Query(ctx, reportBodySQL, pgx.StrictNamedArgs{"id": id})
	return only[[]byte](rows)
}

// ForgetAnalyticsReports deletes expired reports.
func ForgetAnalyticsReports(ctx context.Context, db DB, now time.Time) error {
	_, err := db.Exec(ctx, expiredReportsSQL, pgx.StrictNamedArgs{"now": now})
	return err
}
