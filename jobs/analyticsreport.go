package jobs

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"turnwise/access"
	"turnwise/analytics"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
)

// AnalyticsReportArgs asks for a report of the API to be made.
type AnalyticsReportArgs struct {
	ID string `json:"id" river:"unique"`
}

// Kind names the job.
func (AnalyticsReportArgs) Kind() string { return "analytics_report" }

// analyticsReportTimeout bounds the making of one.
const analyticsReportTimeout = 20 * time.Minute

// AnalyticsReportWorker makes a report of the API. Killed anywhere, it is made anew.
type AnalyticsReportWorker struct {
	river.WorkerDefaults[AnalyticsReportArgs]
	pool *pgxpool.Pool
	site string
	now  func() time.Time
}

// Timeout bounds one report.
func (w *AnalyticsReportWorker) Timeout(*river.Job[AnalyticsReportArgs]) time.Duration {
	return analyticsReportTimeout
}

// Work makes the report.
func (w *AnalyticsReportWorker) Work(ctx context.Context, job *river.Job[AnalyticsReportArgs]) error {
	id, err := conversation.ParseUUID(job.Args.ID)
	if err != nil {
		return river.JobCancel(fmt.Errorf("report %q: %w", job.Args.ID, err))
	}
	err = MakeAnalyticsReport(ctx, w.pool, id, w.site, w.now)
	if err != nil && ctx.Err() == nil && (!queries.Temporary(err) || job.Attempt >= job.MaxAttempts) {
		failed := queries.EndAnalyticsReport(ctx, w.pool, queries.AnalyticsReport{
			ID: id, Error: "The report could not be made. The server's log says why.",
		}, nil, w.now(), w.now().Add(FilesLast))
		return river.JobCancel(errors.Join(err, failed))
	}
	return err
}

// MakeAnalyticsReport makes the file of a report, unless it is made already. What is wrong with what was asked is noted
// with the report and no error.
func MakeAnalyticsReport(
	ctx context.Context, pool *pgxpool.Pool, id conversation.UUID, site string, now func() time.Time,
) error {
	r, err := queries.AnalyticsReportByID(ctx, pool, id, nil, now())
	if err == nil {
		err = queries.BeginAnalyticsReport(ctx, pool, id, now())
	}
	if errors.Is(err, queries.ErrNotFound) { // it is done, or expired
		return nil
	}
	if err != nil {
		return err
	}
	body, err := analyticsReport(ctx, pool, &r, site, now())
	var input *metric.InputError
	switch {
	case errors.As(err, &input):
		r.Error = input.Error()
	case errors.Is(err, queries.ErrNotFound):
		r.Error = "The assistant is gone, or not for this token any more."
	case err != nil:
		return err
	}
	err = queries.EndAnalyticsReport(ctx, pool, r, body, now(), now().Add(FilesLast))
	if errors.Is(err, queries.ErrNotFound) { // another was faster
		return nil
	}
	return err
}

// analyticsReport makes the file, and sets its name and media type. Figures are those of the moment at which it was
// asked for, of what is stored by now.
func analyticsReport(
	ctx context.Context, pool *pgxpool.Pool, r *queries.AnalyticsReport, site string, now time.Time,
) ([]byte, error) {
	zone, err := time.LoadLocation(r.Timezone)
	if err != nil {
		return nil, &metric.InputError{Field: "timezone", Msg: "is not known here any more"}
	}
	who := access.Account{
		ID: r.TokenID, Name: r.CreatedBy, Role: "analytics_admin", Assistants: r.Assistants, IsToken: true,
	}
	v := dashboard.NewViewer(pool, who, zone, r.CreatedAt)
	q, err := analytics.Ask(ctx, analytics.Question{
		Viewer: v, From: r.FromAt, Until: r.UntilAt, Bucket: metric.Bucket(r.GroupBy), Bot: r.BotID, User: r.UserID,
	})
	if err != nil {
		return nil, err
	}
	made, err := q.Make(ctx, analytics.Report{
		Type: r.Type, Title: r.Title, Metrics: r.Metrics, Charts: r.Charts,
	}, func(done float64) {
		_ = queries.ProgressAnalyticsReport(ctx, pool, r.ID, 5+int(75*done)) // the next one tells
	})
	if err != nil {
		return nil, err
	}
	name := strings.Map(func(c rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, c) || c < ' ' {
			return '_'
		}
		return c
	}, r.Title)
	var b bytes.Buffer
	switch r.Format {
	case "json":
		r.MediaType, r.FileName = "application/json", name+".json"
		err = json.NewEncoder(&b).Encode(made.Result)
	case "csv":
		r.MediaType, r.FileName = report.CSV.ContentType(), name+".csv"
		err = plainRows(&b, made.Rows)
	default:
		made.Page.Range = dashboard.JoinRange(dashboard.RangeWords(dashboard.Question{
			Filter: made.Page.Filter, Now: v.Now, Zone: zone,
		}))
		var d report.Document
		if d, err = report.NewDocument(ctx, v, made.Page, site); err != nil {
			return nil, err
		}
		d.Link = "" // no page shows the same
		if r.Format == "html" {
			r.MediaType, r.FileName = "text/html; charset=utf-8", name+".html"
			err = d.WriteHTML(ctx, &b)
		} else {
			var end string
			r.MediaType, end, err = d.WriteAs(ctx, &b, r.Format, now)
			r.FileName = name + end
		}
	}
	return b.Bytes(), err
}

// plainRows writes figures as a table of plain text, a figure a row.
func plainRows(b *bytes.Buffer, rows []analytics.Row) error {
	w := csv.NewWriter(b)
	if err := w.Write([]string{"measure", "group", "start", "end", "unit", "value", "n"}); err != nil {
		return err
	}
	for _, r := range rows {
		if err := w.Write([]string{
			r.Measure, report.Safe(r.Group), r.Start, r.End, r.Unit, r.Value, strconv.FormatInt(r.N, 10),
		}); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
