package queries

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// QueuedJob is a job that came by the queue, and what became of it.
type QueuedJob struct {
	ID          conversation.UUID // of the run too
	Job         string            // the job's id, the same in all its runs
	Run         string
	Name        string
	ScheduledAt *time.Time
	ReceivedAt  time.Time
	ScheduleID  *conversation.UUID
	Refused     string // why it was not run; "" for one that was
	State       string // of the run
	Rows        int64
	Error       string
	EndedAt     *time.Time
}

// QueuedJobsKept is how long they are listed.
const QueuedJobsKept = 90 * 24 * time.Hour

const (
	insertQueuedSQL = `
insert into queued_jobs (id, job, run, name, scheduled_at, received_at, schedule_id, refused)
values (@id, @job, @run, @name, @scheduled, @now, @schedule, @refused)
on conflict (id) do update -- one that was refused may come again
set received_at = excluded.received_at, schedule_id = excluded.schedule_id, refused = excluded.refused
where queued_jobs.refused <> ''
returning id`
	forgetQueuedSQL = `delete from queued_jobs where received_at < @before`
	queuedJobsSQL   = `
select q.id, q.job, q.run, q.name, q.scheduled_at, q.received_at, q.schedule_id, q.refused, coalesce(r.state, '') as state,
	coalesce(r.rows, 0) as rows, coalesce(r.error, '') as error, r.ended_at
from queued_jobs q
left join report_runs r on r.id = q.id
order by q.received_at desc, q.id
limit @limit`
	queuedScheduleSQL = `
insert into schedules (id, name, account_id, page, query, grain, formats, schedule, zone, destination, target, secret,
	if_empty, incremental, next_at, created_at, queued)
values (@id, @name, @user, @page, @query, @grain, @formats, @schedule, @zone, @destination, @target, @secret,
	@if_empty, @incremental, @next, @at, true)
on conflict (id) do update
set name = excluded.name, account_id = excluded.account_id, query = excluded.query, zone = excluded.zone,
	target = excluded.target, secret = excluded.secret, revision = schedules.revision + 1
where schedules.queued`
	jobQueueSQL    = `select queue, seen_at, failing_since, error from job_queue`
	setJobQueueSQL = `
insert into job_queue (queue, seen_at, failing_since, error)
values (@queue, @now, case when @error = '' then null else @now::timestamptz end, @error)
on conflict (one) do update
set queue = excluded.queue, seen_at = excluded.seen_at, error = excluded.error,
	failing_since = case when excluded.error = '' then null
		else coalesce(job_queue.failing_since, excluded.failing_since) end`
)

// AddQueuedJob notes a job once; ErrConflict says that it came before.
func AddQueuedJob(ctx context.Context, tx pgx.Tx, j QueuedJob, now time.Time) error {
	err := Changed(ctx, tx, insertQueuedSQL, pgx.StrictNamedArgs{
		"id": j.ID, "job": j.Job, "run": j.Run, "name": j.Name, "scheduled": j.ScheduledAt, "now": now,
		"schedule": j.ScheduleID, "refused": j.Refused,
	})
	if errors.Is(err, ErrNotFound) {
		return ErrConflict
	}
	if err != nil {
		return fmt.Errorf("queued job: %w", err)
	}
	_, err = tx.Exec(ctx, forgetQueuedSQL, pgx.StrictNamedArgs{"before": now.Add(-QueuedJobsKept)})
	return err
}

// QueuedJobs returns the last ones, the newest first.
func QueuedJobs(ctx context.Context, db DB, limit int) ([]QueuedJob, error) {
	rows, _ := db.Query(ctx, queuedJobsSQL, pgx.StrictNamedArgs{"limit": limit})
	return pgx.CollectRows(rows, pgx.RowToStructByName[QueuedJob])
}

// busyQueuedSQL: one that waits for another attempt is not over either, as it is sent as its job said.
const busyQueuedSQL = `select exists (select from report_runs where schedule_id = @id and state in ('running', 'waiting')
	and test_for = '')`

const aloneQueuedSQL = `select pg_advisory_xact_lock(hashtextextended('queued job ' || @id::uuid::text, 0))`

// RunQueued starts a run of a job's schedule, which is kept as the job says. While the run before is not over it is
// skipped, and the schedule stays as it is.
func RunQueued(ctx context.Context, tx pgx.Tx, s Schedule, run conversation.UUID, now time.Time) error {
	// Two jobs of one schedule are taken one after the other.
	if _, err := tx.Exec(ctx, aloneQueuedSQL, pgx.StrictNamedArgs{"id": s.ID}); err != nil {
		return err
	}
	rows, _ := tx.Query(ctx, busyQueuedSQL, pgx.StrictNamedArgs{"id": s.ID})
	busy, err := only[bool](rows)
	if err != nil {
		return err
	}
	r := ReportRun{ID: run, ScheduleID: s.ID, DueAt: now, State: RunWaiting, CreatedAt: now}
	if busy {
		r.State, r.Error, r.EndedAt = RunSkipped, "the run before was not over", &now
		return AddRun(ctx, tx, r)
	}
	args, err := s.args()
	if err != nil {
		return err
	}
	args["user"], args["at"] = s.AccountID, now
	if _, err := tx.Exec(ctx, queuedScheduleSQL, args); err != nil {
		return fmt.Errorf("queued job: %w", err)
	}
	return AddRun(ctx, tx, r)
}

// JobQueue is how the connection to the queue of jobs stands.
type JobQueue struct {
	Queue        string
	SeenAt       time.Time
	FailingSince *time.Time
	Error        string
}

// JobQueueGone is after how long a queue that nobody reads is none any more: it was taken out of the settings.
const JobQueueGone = 24 * time.Hour

// JobQueueState returns it, or ErrNotFound where none was ever read.
func JobQueueState(ctx context.Context, db DB) (JobQueue, error) {
	rows, _ := db.Query(ctx, jobQueueSQL)
	return One[JobQueue](rows)
}

// SetJobQueueState notes it; failure is "" while it can be read.
func SetJobQueueState(ctx context.Context, db DB, queue, failure string, now time.Time) error {
	_, err := db.Exec(ctx, setJobQueueSQL, pgx.StrictNamedArgs{"queue": queue, "error": failure, "now": now})
	return err
}
