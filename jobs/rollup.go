package jobs

import (
	"context"
	"errors"
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
func (w *RollUpWorker) Timeout(*river.Job[RollUpArgs]) time.Duration { return rollUpTimeout }

// Work counts.
func (w *RollUpWorker) Work(ctx context.Context, _ *river.Job[RollUpArgs]) error {
	err := RollUp(ctx, w.pool, w.grid, dayRests, w.now)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil // what is left is still marked
	}
	return err
}

// rollUpTimeout bounds one run. One that fails is not tried again: the next comes in seconds.
const rollUpTimeout = 10 * time.Minute

// hot is how long ago conversations begin that are still written to. Their hours are counted alone, as ingest waits for
// hours that are being counted.
const hot = 2 * time.Hour

const (
	hoursAtOnce = 48
	daysAtOnce  = 8
	sideBySide  = 2           // transactions that count hours of the past
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
	for done := int64(0); done < backlog.Hours; {
		edge := now().Add(-hot)
		recent, err := queries.RollUpHours(ctx, pool, g, edge, edge.AddDate(1000, 0, 0), 1, now())
		if err != nil {
			return err
		}
		older, err := queries.RollUpHours(ctx, pool, g, time.Unix(0, 0), edge, hoursAtOnce, now())
		if err != nil {
			return err
		}
		if recent+older == 0 {
			break
		}
		done += int64(recent + older)
	}
	for {
		n, err := queries.RollUpDays(ctx, pool, g, daysAtOnce, now().Add(-rest))
		if n == 0 || err != nil {
			return err
		}
	}
}
