package jobs

import (
	"context"
	"errors"
	"log/slog"
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
	log  *slog.Logger
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
	if err != nil && ctx.Err() == nil && !queries.Temporary(err) {
		err = w.oneByOne(ctx, err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil // what is left is still marked
	}
	return err
}

// oneByOne indexes mark by mark after something could not be indexed, and gives up what still cannot.
func (w *IndexTextsWorker) oneByOne(ctx context.Context, cause error) error {
	for range marksAtOnce {
		marks, err := indexSome(ctx, w.pool, 1)
		if err == nil && marks <= 0 {
			return nil
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil || queries.Temporary(err) {
			return err
		}
		var senders int
		if err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) (err error) {
			senders, err = queries.DropSearchMark(ctx, tx)
			return err
		}); err != nil {
			return err
		}
		w.log.ErrorContext(
			ctx, "conversations cannot be indexed for the search and are left out", "senders", senders, "error", cause,
		)
	}
	return nil
}

func indexSome(ctx context.Context, pool *pgxpool.Pool, limit int) (marks int, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		marks, err = queries.IndexTexts(ctx, tx, limit)
		return err
	})
	return marks, err
}

// IndexTexts indexes all that is marked. Another process that is at it is left alone.
func IndexTexts(ctx context.Context, pool *pgxpool.Pool) error {
	for {
		marks, err := indexSome(ctx, pool, marksAtOnce)
		if err != nil || marks <= 0 {
			return err
		}
	}
}
