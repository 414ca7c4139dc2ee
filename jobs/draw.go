package jobs

import (
	"context"
	"time"

	"turnwise/queries/work"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// DrawArgs asks for queues to be filled whose time has come.
type DrawArgs struct{}

// Kind names the job.
func (DrawArgs) Kind() string { return "draw_queues" }

// drawEvery is how often queues are looked at.
const drawEvery = 20 * time.Second

// DrawWorker fills queues. It may end anywhere: each queue is one transaction, and filled once for each time.
type DrawWorker struct {
	river.WorkerDefaults[DrawArgs]
	pool *pgxpool.Pool
	zone *time.Location
	now  func() time.Time
}

// Timeout bounds one run; the next goes on.
func (w *DrawWorker) Timeout(*river.Job[DrawArgs]) time.Duration { return rollUpTimeout }

// Work draws.
func (w *DrawWorker) Work(ctx context.Context, _ *river.Job[DrawArgs]) error {
	return DrawQueues(ctx, w.pool, w.zone, w.now())
}

// DrawQueues fills all queues that are due.
func DrawQueues(ctx context.Context, pool *pgxpool.Pool, zone *time.Location, now time.Time) error {
	for more := true; more; {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			more, err = work.DrawDue(ctx, tx, now, zone)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
