package ingest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/queries"
	"turnwise/queries/store"
)

// Rejected is a body that cannot be stored, and why.
type Rejected struct {
	Body        []byte
	Position    string // line, offset or index at the source
	Environment string // "": the source's
	Mapping     string // that should have made events of it; "": none
	Reason      wire.Reject
}

// keepWhole is the size up to which a rejected body is kept whole; of a larger one the beginning is kept.
const (
	keepWhole = 8 << 20
	keepHead  = 64 << 10
)

// Reject sets bodies aside where an admin can see, mend and replay them.
func (w *Writer) Reject(ctx context.Context, src Source, rejected []Rejected) error {
	if len(rejected) == 0 {
		return nil
	}
	var a arrival
	if err := w.persist(ctx, src, func() (err error) { a, err = w.arriving(ctx); return err }); err != nil {
		return err
	}
	now := w.now()
	rows := make([]queries.RejectedEvent, len(rejected))
	for i, r := range rejected {
		body, _ := a.masker.Rejected(r.Body)
		sum := sha256.Sum256(body)
		if len(body) > keepWhole {
			body = bytes.Clone(body[:keepHead])
		}
		rows[i] = queries.RejectedEvent{
			ID: conversation.NameUUID(
				"rejected", src.Name, r.Reason.Code, string(sum[:]),
			), SourceID: src.ID, LastAt: now,
			Position: r.Position, Code: r.Reason.Code, Detail: r.Reason.Detail, ByteOffset: int32(r.Reason.Offset),
			Assistant: src.Assistant, Environment: cmp.Or(
				r.Environment, src.Environment,
			), Format: int16(src.format().ID), Mapping: r.Mapping, Body: body, Size: int32(len(r.Body)),
		}
	}
	if err := w.persist(ctx, src, func() error {
		return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
			if err := store.AddRejected(ctx, tx, rows); err != nil {
				return err
			}
			return store.CountMinute(ctx, tx, store.Minute{
				Source: src.ID, At: now, Shard: -2, Rejected: int64(len(rejected)),
			})
		})
	}); err != nil {
		return err
	}
	w.metrics.count(src.Name, Counts{Rejected: int64(len(rejected))})
	if src.DeadLetter == nil {
		return nil
	}
	// The position must not move before the dead letters are out.
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := src.DeadLetter(ctx, rejected)
		src.trouble(err)
		if err == nil || pause(ctx, wait) != nil {
			return err
		}
		w.log.WarnContext(ctx, "dead letters are not published, trying again", "error", err, "source", src.Name)
	}
}

// PassedOver counts a body of which the source's mapping makes nothing.
func (w *Writer) PassedOver(ctx context.Context, src Source) error {
	return w.persist(ctx, src, func() error {
		return store.CountMinute(ctx, w.pool, store.Minute{Source: src.ID, At: w.now(), Shard: -1, Empty: 1})
	})
}

// persist repeats do while the database is away.
func (w *Writer) persist(ctx context.Context, src Source, do func() error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := do()
		if err == nil || !queries.Temporary(err) {
			src.trouble(nil)
			return err
		}
		src.trouble(err)
		if pause(ctx, wait) != nil {
			return err
		}
	}
}
