package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"turnwise/queries"
)

// IndexTextsArgs asks for the words of conversations that changed to be indexed.
type IndexTextsArgs struct{}

// Kind names the job.
func (IndexTextsArgs) Kind() string { return "index_texts" }

// IndexTextsWorker indexes words for the search. It may end anywhere: what is not indexed stays marked.
type IndexTextsWorker struct {
	river.WorkerDefaults[IndexTextsArgs]
	pool *pgxpool.Pool
}

// indexEvery is how often marked conversations are looked for.
const indexEvery = 2 * time.Second

// marksAtOnce is how many batches of ingest are indexed in one transaction.
const marksAtOnce = 20

// Timeout bounds one run; the next goes on.
func (w *IndexTextsWorker) Timeout(*river.Job[IndexTextsArgs]) time.Duration { return rollUpTimeout }

// Work indexes.
func (w *IndexTextsWorker) Work(ctx context.Context, _ *river.Job[IndexTextsArgs]) error {
	err := IndexTexts(ctx, w.pool)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil // what is left is still marked
	}
	return err
}

// IndexTexts indexes all that is marked. Another process that is at it is left alone.
func IndexTexts(ctx context.Context, pool *pgxpool.Pool) error {
	for {
		var marks int
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			marks, err = queries.IndexTexts(ctx, tx, marksAtOnce)
			return err
		})
		if err != nil || marks <= 0 {
			return err
		}
	}
}
