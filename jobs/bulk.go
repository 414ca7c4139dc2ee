package jobs

import (
	"context"
	"errors"
	"time"

	"turnwise/queries/work"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// BulkArgs asks for what people do to many conversations at once to be gone on with.
type BulkArgs struct{}

// Kind names the job.
func (BulkArgs) Kind() string { return "bulk" }

// BulkWorker goes on with bulk acts, the oldest first. It may end anywhere: each part is a transaction.
type BulkWorker struct {
	river.WorkerDefaults[BulkArgs]
	pool *pgxpool.Pool
	now  func() time.Time
}

// Timeout bounds one run; the next goes on.
func (w *BulkWorker) Timeout(*river.Job[BulkArgs]) time.Duration { return rollUpTimeout }

// Work acts.
func (w *BulkWorker) Work(ctx context.Context, _ *river.Job[BulkArgs]) error {
	for more := true; more; {
		err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) (err error) {
			more, err = work.ContinueBulk(ctx, tx, nil, w.now())
			return err
		})
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
