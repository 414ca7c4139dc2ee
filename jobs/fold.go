package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"turnwise/conversation"
	"turnwise/mask"
	"turnwise/queries"
)

// FoldArgs asks for what is stored to be folded again.
type FoldArgs struct {
	ID string `json:"id"` // of the run
}

// Kind names the job.
func (FoldArgs) Kind() string { return "fold" }

// SettledAfter is how long changed rules and settings may take to be known to every process that stores events, and
// those to be stored that go by the ones before.
const SettledAfter = 105 * time.Second

// foldTimeout is how long one try may take; the next goes on where it stood.
const foldTimeout = 12 * time.Hour

// FoldWorker folds what is stored again. It may end anywhere.
type FoldWorker struct {
	river.WorkerDefaults[FoldArgs]
	pool   *pgxpool.Pool
	stored func(ctx context.Context, run conversation.UUID) error
	now    func() time.Time
}

// Timeout bounds one try.
func (w *FoldWorker) Timeout(*river.Job[FoldArgs]) time.Duration { return foldTimeout }

// Work folds.
func (w *FoldWorker) Work(ctx context.Context, job *river.Job[FoldArgs]) error {
	id, err := conversation.ParseUUID(job.Args.ID)
	if err != nil {
		return river.JobCancel(fmt.Errorf("folding %q: %w", job.Args.ID, err))
	}
	err = Fold(ctx, w.pool, id, w.stored, w.now)
	if err != nil && ctx.Err() == nil && !queries.Temporary(err) {
		failed := queries.EndFold(ctx, w.pool, id, 0, "it broke off; the server's log says why", w.now())
		return river.JobCancel(errors.Join(err, failed))
	}
	return err
}

// Fold folds the stored conversations of a run again, by stored, and, to mask, all that is beside them.
func Fold(
	ctx context.Context, pool *pgxpool.Pool, id conversation.UUID,
	stored func(context.Context, conversation.UUID) error, now func() time.Time,
) error {
	run, err := queries.FoldRunByID(ctx, pool, id)
	if err != nil || run.EndedAt != nil {
		return err
	}
	if err := stored(ctx, id); err != nil {
		return err
	}
	others := int64(0)
	if run.Kind == queries.FoldToMask {
		if others, err = maskRest(ctx, pool, run, now); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := queries.EndFold(ctx, tx, id, others, "", now()); err != nil {
			return err
		}
		if run, err = queries.FoldRunByID(ctx, tx, id); err != nil || run.Kind != queries.FoldToMask {
			return err
		}
		return queries.Record(
			ctx, tx, Self, now(), queries.AuditMasked, id.String(), "", nil,
			map[string]any{"senders": run.Senders, "events": run.Events, "others": run.Others},
		)
	})
}

// maskRest masks what people wrote and what was rejected, removes the files of exports and reports, and has the search
// forget the words.
func maskRest(
	ctx context.Context, pool *pgxpool.Pool, run queries.FoldRun, now func() time.Time,
) (others int64, err error) {
	var rules mask.Rules
	if err := json.Unmarshal(run.Rules, &rules); err != nil {
		return 0, err
	}
	m, err := mask.New(rules)
	if err != nil {
		return 0, err
	}
	if others, err = queries.MaskOthers(ctx, pool, m); err != nil {
		return others, err
	}
	if err := pgx.BeginFunc(
		ctx, pool, func(tx pgx.Tx) error { return queries.DropFiles(ctx, tx, now(), now()) },
	); err != nil {
		return others, err
	}
	if err := IndexTexts(ctx, pool); err != nil {
		return others, err
	}
	return others, sweepWords(ctx, pool)
}
