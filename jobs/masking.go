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

// MaskArgs asks for what is stored to be masked.
type MaskArgs struct {
	ID string `json:"id"` // of the run
}

// Kind names the job.
func (MaskArgs) Kind() string { return "mask" }

// maskTimeout is how long one try may take; the next goes on where it stood.
const maskTimeout = 12 * time.Hour

// MaskWorker masks what was stored before. It may end anywhere.
type MaskWorker struct {
	river.WorkerDefaults[MaskArgs]
	pool   *pgxpool.Pool
	stored func(ctx context.Context, run conversation.UUID) error
	now    func() time.Time
}

// Timeout bounds one try.
func (w *MaskWorker) Timeout(*river.Job[MaskArgs]) time.Duration { return maskTimeout }

// Work masks.
func (w *MaskWorker) Work(ctx context.Context, job *river.Job[MaskArgs]) error {
	id, err := conversation.ParseUUID(job.Args.ID)
	if err != nil {
		return river.JobCancel(fmt.Errorf("masking %q: %w", job.Args.ID, err))
	}
	err = Mask(ctx, w.pool, id, w.stored, w.now)
	if err != nil && ctx.Err() == nil && !queries.Temporary(err) {
		failed := queries.EndMasking(ctx, w.pool, id, 0, "it broke off; the server's log says why", w.now())
		return river.JobCancel(errors.Join(err, failed))
	}
	return err
}

// Mask masks what was stored before a run: conversations, by stored, then what people wrote and what was rejected; removes the files of
// exports and reports; and has the search forget the words.
func Mask(ctx context.Context, pool *pgxpool.Pool, id conversation.UUID, stored func(context.Context, conversation.UUID) error, now func() time.Time) error {
	run, err := queries.MaskingRunByID(ctx, pool, id)
	if err != nil || run.EndedAt != nil {
		return err
	}
	var rules mask.Rules
	if err := json.Unmarshal(run.Rules, &rules); err != nil {
		return err
	}
	m, err := mask.New(rules)
	if err != nil {
		return err
	}
	if err := stored(ctx, id); err != nil {
		return err
	}
	others, err := queries.MaskOthers(ctx, pool, m)
	if err != nil {
		return err
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return queries.DropFiles(ctx, tx, now(), now()) }); err != nil {
		return err
	}
	if err := IndexTexts(ctx, pool); err != nil {
		return err
	}
	if err := sweepWords(ctx, pool); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := queries.EndMasking(ctx, tx, id, others, "", now()); err != nil {
			return err
		}
		run, err := queries.MaskingRunByID(ctx, tx, id)
		if err != nil {
			return err
		}
		return queries.Record(ctx, tx, Self, now(), queries.AuditMasked, id.String(), "", nil, map[string]any{"senders": run.Senders, "events": run.Events, "others": run.Others})
	})
}
