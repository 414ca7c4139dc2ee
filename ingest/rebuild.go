package ingest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
	"turnwise/queries/store"
)

// rebuildAtOnce is how many senders are folded in one transaction.
const rebuildAtOnce = 50

// Rebuild folds all stored events of an assistant ("" for all) again, a few senders at a time, while others
// go on storing. It calls progress after each transaction with the senders done so far.
func (w *Writer) Rebuild(ctx context.Context, assistant string, progress func(done int)) error {
	return w.everySender(
		ctx, assistant, -1, func(tx pgx.Tx, senders []store.NamedSender) error { return w.rebuild(ctx, tx, senders) },
		progress,
	)
}

// everySender does something with the senders of an assistant ("" for all) behind one, a few in each transaction.
func (w *Writer) everySender(
	ctx context.Context, assistant string, after int64, do func(tx pgx.Tx, senders []store.NamedSender) error,
	progress func(done int),
) error {
	for done := 0; ; {
		senders, err := store.SendersAfter(ctx, w.pool, assistant, after, rebuildAtOnce)
		if err != nil {
			return fmt.Errorf("list senders: %w", err)
		}
		if len(senders) == 0 {
			return nil
		}
		err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error { return do(tx, senders) })
		if err != nil {
			if queries.Temporary(err) && ctx.Err() == nil {
				w.log.WarnContext(ctx, "folding again waits for the database", "error", err)
				if err := pause(ctx, time.Second); err != nil {
					return err
				}
				continue
			}
			return err
		}
		after = senders[len(senders)-1].ID
		done += len(senders)
		progress(done)
	}
}

// lockSenders locks the shards of senders, and returns their states.
func lockSenders(ctx context.Context, tx pgx.Tx, senders []store.NamedSender) (map[int64]queries.State, error) {
	shards := map[int16]bool{}
	ids := make([]int64, len(senders))
	for i, s := range senders {
		ids[i] = s.ID
		shards[int16(conversation.Shard(s.ID))] = true
	}
	states, _, err := queries.LockShards(ctx, tx, slices.Sorted(maps.Keys(shards)), ids)
	return states, err
}

func (w *Writer) rebuild(ctx context.Context, tx pgx.Tx, senders []store.NamedSender) error {
	states, err := lockSenders(ctx, tx, senders)
	if err != nil {
		return err
	}
	batch := store.NewBatch()
	for _, s := range senders {
		rules, err := w.rules(ctx, tx, s.Assistant)
		if err != nil {
			return err
		}
		sender := store.Sender{ID: s.ID, Assistant: s.Assistant, Key: s.SenderKey, Stored: true}
		if sender.Projection, sender.Changes, err = w.foldAgain(
			ctx, tx, sender, &refold{all: true, state: states[s.ID]}, rules,
		); err != nil {
			return err
		}
		if sender.Projection != nil && len(sender.Changes.Events) > 0 {
			batch.Add(sender)
		}
	}
	return batch.Write(ctx, tx)
}
