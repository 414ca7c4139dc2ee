package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"

	"turnwise/conversation"
	"turnwise/ingest/rasa"
	"turnwise/queries"
)

// Rejected is a body that cannot be stored, and why.
type Rejected struct {
	Body     []byte
	Position string // line, offset or index at the source
	Reason   rasa.Reject
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
	now := w.now()
	rows := make([]queries.RejectedEvent, len(rejected))
	for i, r := range rejected {
		sum := sha256.Sum256(r.Body)
		body := r.Body
		if len(body) > keepWhole {
			body = bytes.Clone(body[:keepHead])
		}
		rows[i] = queries.RejectedEvent{
			ID: conversation.NameUUID("rejected", src.Name, r.Reason.Code, string(sum[:])), SourceID: src.ID, LastAt: now,
			Position: r.Position, Code: r.Reason.Code, Detail: r.Reason.Detail, ByteOffset: int32(r.Reason.Offset),
			Assistant: src.Assistant, Environment: src.Environment, Body: body, Size: int32(len(r.Body)),
		}
	}
	if err := queries.AddRejected(ctx, w.pool, rows); err != nil {
		return err
	}
	return queries.CountMinute(ctx, w.pool, queries.Minute{Source: src.ID, At: now, Rejected: int64(len(rejected))})
}
