package web

import (
	"cmp"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/schedule"
	"turnwise/views"
)

// reportsPage answers GET /reports: what is sent by itself, and the files that were asked for.
func (s *server) reportsPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, _ := accountOf(ctx)
	m := views.Sent{Page: s.page(r, "Reports", "Reports"), Admin: u.Rights()[access.Administer]}
	of := &u.ID
	if m.Admin {
		of = nil
	}
	all, err := queries.Schedules(ctx, s.Pool, of)
	if err != nil {
		return err
	}
	ids := make([]conversation.UUID, len(all))
	for i, x := range all {
		ids[i] = x.ID
	}
	last, err := queries.LastRuns(ctx, s.Pool, ids)
	if err != nil {
		return err
	}
	for _, x := range all {
		row := scheduleRow(x)
		if run, ok := last[x.ID]; ok {
			row.Last = new(s.runRow(run, nil))
		}
		m.Schedules = append(m.Schedules, row)
	}
	files, err := queries.Exports(ctx, s.Pool, of)
	if err != nil {
		return err
	}
	for _, e := range files {
		m.Exports = append(m.Exports, s.exportRow(e))
	}
	if m.HasMail, err = queries.HasMail(ctx, s.Pool); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.SentPage(m))
}

func scheduleRow(x queries.Schedule) views.ScheduleRow {
	row := views.ScheduleRow{ID: x.ID.String(), Name: x.Name, Schedule: x.Schedule, By: x.By, NextAt: x.NextAt, Queued: x.Queued}
	if x.Queued {
		row.Schedule = "when a job of the queue asks for it"
	}
	if row.What = x.Grain + "s"; x.Page != "" {
		row.What = dashboard.DocumentTitle(x.Page)
	}
	switch x.Destination {
	case "mail":
		row.To = strings.Join(x.Target.Recipients, ", ")
		for _, g := range x.Target.Groups {
			row.To = strings.TrimPrefix(row.To+"; "+strings.Join(g.Recipients, ", ")+" (only "+g.Words()+")", "; ")
		}
	case "chat":
		row.To = "chat, " + x.Target.URL
	case "http":
		row.To = x.Target.URL
	case "folder":
		row.To = "folder " + cmp.Or(x.Target.Folder, "/")
	case "s3":
		row.To = "s3://" + path.Join(x.Target.Bucket, x.Target.Prefix)
	}
	return row
}

func (s *server) runRow(r queries.ReportRun, all []queries.Delivery) views.RunRow {
	row := views.RunRow{
		ID: r.ID.String(), State: r.State, Error: r.Error, TestFor: r.TestFor, DueAt: r.DueAt, EndedAt: r.EndedAt,
		RetryAt: r.RetryAt, Rows: r.Rows,
	}
	for _, f := range r.Files {
		if f.Role != "attachment" {
			continue
		}
		file := views.FileRow{Name: f.Name, Size: f.Size}
		if r.EndedAt == nil || s.Now().Sub(*r.EndedAt) < jobs.FilesLast {
			file.Link = "/files/" + r.ID.String() + "/" + f.Key
		}
		row.Files = append(row.Files, file)
	}
	for _, d := range all {
		row.Deliveries = append(row.Deliveries, views.DeliveryRow{
			Recipient: d.Recipient, State: d.State, Error: d.Error, Attempts: d.Attempts, SentAt: d.SentAt,
			RetryAt: d.RetryAt,
		})
	}
	return row
}

// queuedReport says that a report of the queue of jobs is what its jobs say.
var queuedReport = &metric.InputError{Field: "report", Msg: "runs when a job of the queue asks for it, and is what that job says"}

// scheduleByURL returns the schedule of the address, if it is the user's or the user is an admin.
func (s *server) scheduleByURL(r *http.Request, value string) (x queries.Schedule, err error) {
	id, err := conversation.ParseUUID(value)
	if err != nil {
		return x, queries.ErrNotFound
	}
	u, _ := accountOf(r.Context())
	x, err = queries.ScheduleByID(r.Context(), s.Pool, id)
	if err == nil && x.AccountID != u.ID && !u.Rights()[access.Administer] {
		return x, queries.ErrNotFound
	}
	return x, err
}

// madeOf is where the page or list stands that a schedule is made of, and its filter in words.
func (s *server) madeOf(r *http.Request, pageName, query string) (list string, rule []string, err error) {
	kept, err := url.ParseQuery(query)
	if err != nil {
		return "", nil, &metric.InputError{Field: "query", Msg: "is no filter"}
	}
	f, err := s.viewer(r.Context()).Filter(r.Context(), kept)
	if err != nil {
		return "", nil, err
	}
	list, what := "/conversations?", "Conversations"
	if pageName != "" {
		if list, what = "/"+pageName+"?", dashboard.DocumentTitle(pageName); what == "" {
			return "", nil, &metric.InputError{
				Field: "page", Msg: "is one of " + strings.Join(dashboard.DocumentPages(), ", "),
			}
		}
	}
	q := dashboard.Question{Path: "/", Filter: f, Now: s.Now(), Zone: s.Zone}
	words, dates := dashboard.RangeWords(q)
	rule = append(rule, what, cmp.Or(words, dates))
	if text := dashboard.FilterWords(f); text != "none" {
		rule = append(rule, text)
	}
	return list + query, rule, nil
}

// schedule answers GET /reports/{id}: one schedule with its log.
func (s *server) schedule(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	x, err := s.scheduleByURL(r, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	m := views.Schedule{
		Page: s.page(r, x.Name, "Reports"), ScheduleRow: scheduleRow(x), Zone: x.Zone, IfEmpty: x.IfEmpty,
		Incremental: x.Incremental,
	}
	u, _ := accountOf(ctx)
	m.Admin = u.Rights()[access.Administer]
	m.Said = map[string]string{
		"kept": "Saved.", "test": "A test is on its way to " + u.Email + ".", "now": "It is on its way.",
	}[r.URL.Query().Get("said")]
	var made []string
	if m.List, made, err = s.madeOf(r, x.Page, x.Query); err != nil {
		return err
	}
	m.What = strings.Join(made, ", ")
	for _, f := range x.Formats {
		m.Formats = append(
			m.Formats,
			map[string]string{
				"html": "mail", "pdf": "PDF", "xlsx": "Excel", "csv": "CSV", "jsonl": "JSON Lines",
				"parquet": "Parquet", "sentione": "SentiOne's zip",
			}[f],
		)
	}
	if x.NextAt != nil {
		if m.Next, err = nextRuns(x.Schedule, x.Zone, *x.NextAt, 3); err != nil {
			return err
		}
	}
	runs, err := queries.RunsOf(ctx, s.Pool, x.ID)
	if err != nil {
		return err
	}
	for _, run := range runs {
		all, err := queries.DeliveriesOf(ctx, s.Pool, run.ID)
		if err != nil {
			return err
		}
		m.Runs = append(m.Runs, s.runRow(run, all))
	}
	if m.Unsubscribed, err = queries.UnsubscribedOf(ctx, s.Pool, x.ID); err != nil {
		return err
	}
	if m.HasMail, err = queries.HasMail(ctx, s.Pool); err != nil {
		return err
	}
	return s.renderEither(w, r, views.SchedulePage(m), views.ScheduleRuns(m))
}

// sendNow answers POST /reports/{id}/now and /test.
func (s *server) sendNow(test bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx := r.Context()
		x, err := s.scheduleByURL(r, chi.URLParam(r, "id"))
		if err != nil {
			return err
		}
		u, _ := accountOf(ctx)
		now := s.Now()
		run := queries.ReportRun{
			ID: queries.NewID(), ScheduleID: x.ID, DueAt: now, State: queries.RunWaiting, CreatedAt: now,
		}
		said := "now"
		if test {
			run.TestFor, said = u.Email, "test"
		}
		if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
			d := deed{
				act: queries.AuditReportSent, id: x.ID.String(), name: x.Name, after: map[string]any{"test": test},
			}
			if err := queries.AddRun(ctx, tx, run); err != nil {
				return d, err
			}
			return d, s.Jobs.Add(ctx, tx, jobs.ReportArgs{ID: run.ID.String()})
		}); err != nil {
			return err
		}
		http.Redirect(w, r, "/reports/"+x.ID.String()+"?said="+said, http.StatusSeeOther)
		return nil
	}
}

// pauseSchedule answers POST /reports/{id}/pause: pauses, or goes on.
func (s *server) pauseSchedule(w http.ResponseWriter, r *http.Request) error {
	x, err := s.scheduleByURL(r, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	if x.Queued {
		return queuedReport
	}
	var next *time.Time
	if x.NextAt == nil {
		zone, err := time.LoadLocation(x.Zone)
		if err != nil {
			return err
		}
		times, err := schedule.Parse(x.Schedule)
		if err != nil {
			return err
		}
		at := times.Next(s.Now(), zone)
		next = &at
	}
	ctx := r.Context()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{
			act: queries.AuditReportPaused, id: x.ID.String(), name: x.Name, after: map[string]any{"next": next},
		}, queries.SetNextRun(ctx, tx, x.ID, next)
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/reports/"+x.ID.String(), http.StatusSeeOther)
	return nil
}

// deleteSchedule answers POST /reports/{id}/delete.
func (s *server) deleteSchedule(w http.ResponseWriter, r *http.Request) error {
	x, err := s.scheduleByURL(r, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	ctx := r.Context()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{
			act: queries.AuditReportDeleted, id: x.ID.String(), name: x.Name, before: scheduleDeed(x),
		}, queries.DeleteSchedule(ctx, tx, x.ID)
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/reports", http.StatusSeeOther)
	return nil
}

// retryDelivery answers POST /reports/runs/{run}/retry: one recipient is tried again.
func (s *server) retryDelivery(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	id, err := conversation.ParseUUID(chi.URLParam(r, "run"))
	if err != nil {
		return queries.ErrNotFound
	}
	run, err := queries.RunByID(ctx, s.Pool, id)
	if err != nil {
		return err
	}
	x, err := s.scheduleByURL(r, run.ScheduleID.String())
	if err != nil {
		return err
	}
	all, err := queries.DeliveriesOf(ctx, s.Pool, id)
	if err != nil {
		return err
	}
	switch {
	case run.EndedAt != nil && s.Now().Sub(*run.EndedAt) > jobs.FilesLast:
		return &metric.InputError{Field: "files", Msg: "of this run have expired: send the report now instead"}
	case x.Incremental && !slices.ContainsFunc(all, func(d queries.Delivery) bool { return d.State == "sent" }):
		return &metric.InputError{Field: "report", Msg: "what this run would have sent comes with the next one"}
	}
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{
			act: queries.AuditReportSent, id: x.ID.String(), name: x.Name,
			after: map[string]any{"again": r.PostFormValue("recipient")},
		}
		if err := queries.RetryDelivery(ctx, tx, id, r.PostFormValue("recipient")); err != nil {
			return d, err
		}
		return d, s.Jobs.Add(ctx, tx, jobs.ReportArgs{ID: id.String()})
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/reports/"+x.ID.String(), http.StatusSeeOther)
	return nil
}
