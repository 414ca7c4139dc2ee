package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// JobKind is how jobs of a kind stand. Those that are done are kept for an hour, those that failed for a day.
type JobKind struct {
	Kind     string
	Waiting  int64 // to begin, now or later
	Running  int64
	Failed   int64 // to be tried again, or given up
	Done     int64
	LastAt   *time.Time // when the last one ended
	MedianMS *float64   `db:"median_ms"` // of those done
	MostMS   *float64   `db:"most_ms"`
}

// Job is one job.
type Job struct {
	ID          int64
	Kind        string
	State       string
	Attempt     int32
	MaxAttempts int32
	Args        string // JSON; ids and times, never secrets
	Error       string // of the last try
	CreatedAt   time.Time
	ScheduledAt time.Time
	AttemptedAt *time.Time
	FinalizedAt *time.Time
}

const jobKindsSQL = `
select kind,
	count(*) filter (where state in ('available', 'scheduled', 'pending')) as waiting,
	count(*) filter (where state = 'running') as running,
	count(*) filter (where state in ('retryable', 'discarded')) as failed,
	count(*) filter (where state = 'completed') as done,
	max(finalized_at) as last_at,
	percentile_cont(0.5) within group (order by extract(epoch from finalized_at - attempted_at) * 1000)
		filter (where state = 'completed') as median_ms,
	max(extract(epoch from finalized_at - attempted_at) * 1000) filter (where state = 'completed')::float8 as most_ms
from river_job
group by kind
order by kind`

const jobColumns = `
select id, kind, state::text as state, attempt::integer as attempt, max_attempts::integer as max_attempts,
	args::text as args, coalesce(errors[array_upper(errors, 1)]->>'error', '') as error,
	created_at, scheduled_at, attempted_at, finalized_at
from river_job
`

const (
	openJobsSQL = jobColumns +
		`where state = 'running' or state in ('available', 'scheduled', 'pending')
	and not kind = any(@periodic::text[]) order by state = 'running' desc, scheduled_at, id limit 50`
	failedJobsSQL = jobColumns +
		`where state in ('retryable', 'discarded', 'cancelled')
	order by coalesce(finalized_at, attempted_at, created_at) desc, id desc limit 50`
	pausedSQL = `select exists (select from river_queue where paused_at is not null)`
)

// JobKinds returns how jobs of each kind stand.
func JobKinds(ctx context.Context, db DB) ([]JobKind, error) {
	rows, _ := db.Query(ctx, jobKindsSQL)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[JobKind])
	if err != nil {
		return nil, fmt.Errorf("kinds of jobs: %w", err)
	}
	return all, nil
}

// OpenJobs returns jobs under way, and those that wait but for the periodic ones, at most 50.
func OpenJobs(ctx context.Context, db DB, periodic []string) ([]Job, error) {
	rows, _ := db.Query(ctx, openJobsSQL, pgx.StrictNamedArgs{"periodic": periodic})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Job])
}

// FailedJobs returns jobs that failed or were cancelled, the last first, at most 50.
func FailedJobs(ctx context.Context, db DB) ([]Job, error) {
	rows, _ := db.Query(ctx, failedJobsSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Job])
}

// JobsPaused tells whether no further job may begin.
func JobsPaused(ctx context.Context, db DB) (bool, error) {
	rows, _ := db.Query(ctx, pausedSQL)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
}

// Progress is how far something long is.
type Progress struct {
	Words string
	Done  int64
	Total int64 // 0 when not known
	Link  string
}

const progressSQL = `
select 'Export: ' || title as words, rows as done, total, '/exports/' || id::text as link from exports
	where state in ('waiting', 'running')
union all
select words, done::bigint, total::bigint, '/acts/' || id::text from bulk_runs where ended_at is null
union all
select 'Report: ' || s.name, 0::bigint, 0::bigint, '/reports/' || s.id::text from report_runs r
	join schedules s on s.id = r.schedule_id where r.state in ('waiting', 'running')
union all
select case kind when 'mask' then 'Masking stored conversations' when 'merge' then 'Moving ' || assistant || ' to '
	|| target when 'separate' then 'Moving ' || target || ' out of ' || assistant else 'Recalculating ' ||
		case assistant when '' then 'all conversations' else assistant end end, senders, total, case kind when 'mask'
			then '/admin/masking' else '/admin/settings' end from fold_runs where ended_at is null
order by 1
limit 50`

// LongWork returns what takes long and is not over.
func LongWork(ctx context.Context, db DB) ([]Progress, error) {
	rows, _ := db.Query(ctx, progressSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Progress])
}
