package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"turnwise/format"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/figures"
	"turnwise/views"
)

// jobsPage answers GET /admin/jobs: what the server does by itself.
func (s *server) jobsPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	m := views.Jobs{Page: s.page(r, "Jobs", "Admin")}
	kinds, err := queries.JobKinds(ctx, s.Pool)
	if err != nil {
		return err
	}
	by := map[string]queries.JobKind{}
	for _, k := range kinds {
		by[k.Kind] = k
	}
	var periodic []string
	for _, p := range jobs.Periodics {
		periodic = append(periodic, p.Kind)
		row := kindRow(by[p.Kind])
		row.Kind, row.Words, row.Every = p.Kind, p.Words, p.Every
		if row.LastAt != nil {
			next := row.LastAt.Add(p.Every)
			if next.Before(m.Now) {
				next = m.Now
			}
			row.NextAt = &next
			row.Late = m.Now.Sub(*row.LastAt) > 10*p.Every+time.Minute && row.Running == 0
		}
		delete(by, p.Kind)
		m.Periodic = append(m.Periodic, row)
	}
	for _, k := range kinds {
		if _, other := by[k.Kind]; other {
			row := kindRow(k)
			row.Words = map[string]string{
				"export": "makes a file that somebody asked for", "report": "makes a report and hands it over",
				"webhook":          "tells an outgoing webhook what happened",
				"analytics_report": "makes a report that a program asked for",
				"fold":             "recalculates, masks or moves stored conversations",
			}[k.Kind]
			m.Others = append(m.Others, row)
		}
	}
	if err := s.jobRows(ctx, &m, periodic); err != nil {
		return err
	}
	if err := s.longRows(ctx, &m); err != nil {
		return err
	}
	if m.Queue, err = s.jobQueue(ctx); err != nil {
		return err
	}
	return s.renderEither(w, r, views.JobsPage(m), views.JobsView(m))
}

// queuedShown is how many jobs of the queue the page lists.
const queuedShown = 20

// jobQueue is the queue by which another program asks for exports; nil where none is read.
func (s *server) jobQueue(ctx context.Context) (*views.JobQueue, error) {
	q, err := queries.JobQueueState(ctx, s.Pool)
	if errors.Is(err, queries.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s.Now().Sub(q.SeenAt) > queries.JobQueueGone {
		return nil, nil
	}
	m := &views.JobQueue{
		Name: q.Queue, Error: q.Error, FailingSince: q.FailingSince, SeenAt: q.SeenAt,
		Late: s.Now().Sub(q.SeenAt) > 5*time.Minute,
	}
	all, err := queries.QueuedJobs(ctx, s.Pool, queuedShown)
	if err != nil {
		return nil, err
	}
	for _, j := range all {
		row := views.QueuedJobRow{
			Name: j.Name, Job: j.Job, Run: j.Run, Refused: j.Refused, State: j.State, Error: j.Error, At: j.ReceivedAt,
			ScheduledAt: j.ScheduledAt, EndedAt: j.EndedAt, Rows: j.Rows,
		}
		if j.ScheduleID != nil {
			row.Report = j.ScheduleID.String()
		}
		m.Jobs = append(m.Jobs, row)
	}
	return m, nil
}

// jobRows sets the jobs that wait or failed, and the servers that do them.
func (s *server) jobRows(ctx context.Context, m *views.Jobs, periodic []string) error {
	open, err := queries.OpenJobs(ctx, s.Pool, periodic)
	if err != nil {
		return err
	}
	for _, j := range open {
		m.Open = append(m.Open, jobRow(j))
	}
	failed, err := queries.FailedJobs(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, j := range failed {
		m.Failed = append(m.Failed, jobRow(j))
	}
	if m.Paused, err = queries.JobsPaused(ctx, s.Pool); err != nil {
		return err
	}
	servers, err := queries.Servers(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, x := range servers {
		m.Servers = append(m.Servers, views.ServerRow(x))
	}
	return nil
}

// longRows sets how far what takes long is.
func (s *server) longRows(ctx context.Context, m *views.Jobs) error {
	long, err := queries.LongWork(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, p := range long {
		m.Long = append(m.Long, views.ProgressRow(p))
	}
	backlog, err := figures.Backlog(ctx, s.Pool)
	if err != nil {
		return err
	}
	if n := backlog.Hours + backlog.Days; n > 0 {
		m.Long = append(m.Long, views.ProgressRow{
			Words: "Figures: " + format.Plural(
				backlog.Hours, "hour", "hours",
			) + " and " + format.Plural(backlog.Days, "day", "days") +
				" still to be counted; charts count them from the conversations meanwhile",
		})
	}
	return nil
}

func kindRow(k queries.JobKind) views.JobKindRow {
	return views.JobKindRow{
		Kind: k.Kind, Waiting: k.Waiting, Running: k.Running, Failed: k.Failed, Done: k.Done, LastAt: k.LastAt,
		MedianMS: k.MedianMS, MostMS: k.MostMS,
	}
}

func jobRow(j queries.Job) views.JobRow {
	return views.JobRow{
		ID: j.ID, Kind: j.Kind, State: j.State, Attempt: j.Attempt, MaxAttempts: j.MaxAttempts, Args: j.Args,
		Error: j.Error, CreatedAt: j.CreatedAt, ScheduledAt: j.ScheduledAt, AttemptedAt: j.AttemptedAt,
		FinalizedAt: j.FinalizedAt,
	}
}

// changeJob answers POST /admin/jobs/{id}/retry and /cancel.
func (s *server) changeJob(cancel bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
		if err != nil || s.Jobs == nil {
			return queries.ErrNotFound
		}
		if cancel {
			err = s.Jobs.Cancel(r.Context(), id)
		} else {
			err = s.Jobs.Retry(r.Context(), id)
		}
		if err != nil {
			return err
		}
		if err := s.noted(r, deed{
			act: map[bool]queries.AuditAct{true: queries.AuditJobCancelled, false: queries.AuditJobRetried}[cancel],
			id:  strconv.FormatInt(id, 10),
		}); err != nil {
			return err
		}
		http.Redirect(w, r, "/admin/jobs", http.StatusSeeOther)
		return nil
	}
}

// pauseJobs answers POST /admin/jobs/pause and /resume.
func (s *server) pauseJobs(resume bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.Jobs == nil {
			return queries.ErrNotFound
		}
		err := error(nil)
		if resume {
			err = s.Jobs.Resume(r.Context())
		} else {
			err = s.Jobs.Pause(r.Context())
		}
		if err != nil && !errors.Is(err, queries.ErrNotFound) { // no server has worked yet: there is no queue
			return err
		}
		if err := s.noted(r, deed{
			act: map[bool]queries.AuditAct{true: queries.AuditJobsResumed, false: queries.AuditJobsPaused}[resume],
		}); err != nil {
			return err
		}
		http.Redirect(w, r, "/admin/jobs", http.StatusSeeOther)
		return nil
	}
}
