package jobs

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"turnwise/queries"
)

// RollUpArgs asks for the hours and days to be counted again that changed.
type RollUpArgs struct{}

// Kind names the job.
func (RollUpArgs) Kind() string { return "roll_up" }

// RollUpWorker counts changed hours and days. It may end anywhere: what it has not counted stays marked.
type RollUpWorker struct {
	river.WorkerDefaults[RollUpArgs]
	pool *pgxpool.Pool
	grid queries.Grid
	now  func() time.Time
}

// Timeout bounds one run; the next goes on.
func (w *RollUpWorker) Timeout(*river.Job[RollUpArgs]) time.Duration { return 10 * time.Minute }

// Work counts.
func (w *RollUpWorker) Work(ctx context.Context, _ *river.Job[RollUpArgs]) error {
	return RollUp(ctx, w.pool, w.grid, dayRests, w.now)
}

const (
	hoursAtOnce = 48
	daysAtOnce  = 8
	dayRests    = time.Minute // a day that changed less than this ago is read by its slots
)

// RollUp counts the hours that are marked now, and the days that have rested; those that change meanwhile wait for
// the next time.
func RollUp(ctx context.Context, pool *pgxpool.Pool, g queries.Grid, rest time.Duration, now func() time.Time) error {
	if err := queries.PrepareRollups(ctx, pool, g); err != nil {
		return err
	}
	backlog, err := queries.Backlog(ctx, pool)
	if err != nil {
		return err
	}
	for done := 0; done < int(backlog.Hours); {
		n, err := queries.RollUpHours(ctx, pool, g, hoursAtOnce, now())
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		done += n
	}
	for {
		n, err := queries.RollUpDays(ctx, pool, g, daysAtOnce, now().Add(-rest))
		if n == 0 || err != nil {
			return err
		}
	}
}
