package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
	"turnwise/queries/store"
)

// TakeOut removes stored events: those that say, byte for byte, what the given ones do. What is left of their senders is
// folded again. What retention sealed stays. It returns how many went.
func (w *Writer) TakeOut(ctx context.Context, events []*conversation.Event) (taken int64, err error) {
	bySender := map[int64][]*conversation.Event{}
	for _, e := range events {
		bySender[e.SenderID] = append(bySender[e.SenderID], e)
	}
	for senders := range slices.Chunk(slices.Sorted(maps.Keys(bySender)), rebuildAtOnce) {
		for tries := 1; ; tries++ {
			n := int64(0)
			err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) (err error) { n, err = w.takeOut(ctx, tx, senders, bySender); return err })
			if err == nil {
				taken += n
				break
			}
			if !queries.Temporary(err) {
				return taken, err
			}
			if wait := pause(ctx, time.Second); wait != nil {
				return taken, errors.Join(err, wait)
			}
		}
	}
	return taken, nil
}

func (w *Writer) takeOut(
	ctx context.Context, tx pgx.Tx, senders []int64, bySender map[int64][]*conversation.Event,
) (taken int64, err error) {
	var named []store.NamedSender
	for _, id := range senders {
		e := bySender[id][0]
		named = append(named, store.NamedSender{ID: id, Assistant: e.Assistant, SenderKey: e.SenderKey})
	}
	states, err := lockSenders(ctx, tx, named)
	if err != nil {
		return 0, err
	}
	for _, s := range named {
		n, err := w.takeOutOf(ctx, tx, s, states[s.ID], bySender[s.ID])
		if err != nil {
			return 0, fmt.Errorf("sender %d: %w", s.ID, err)
		}
		taken += n
	}
	return taken, nil
}

// said is what an event says, and when.
type said struct{ at, hash int64 }

func (w *Writer) takeOutOf(
	ctx context.Context, tx pgx.Tx, s store.NamedSender, state queries.State, events []*conversation.Event,
) (int64, error) {
	conversations, err := store.SenderConversations(ctx, tx, s.ID)
	if err != nil {
		return 0, err
	}
	floor, _ := sealedUntil(conversations)
	old := store.Sender{ID: s.ID, Assistant: s.Assistant, Key: s.SenderKey, Stored: true}
	again, err := w.stored(ctx, tx, old, conversations[floor:], nil)
	if err != nil {
		return 0, err
	}
	doomed := map[said]bool{}
	for _, e := range events {
		doomed[said{e.At, e.BodyHash}] = true
	}
	went := &refold{
		all: true, state: state, replaced: map[conversation.UUID]*conversation.Event{}, gone: map[conversation.UUID]bool{},
	}
	for _, e := range again.events {
		if doomed[said{e.At, e.BodyHash}] {
			went.gone[e.ID] = true
		}
	}
	if len(went.gone) == 0 {
		return 0, nil
	}
	return int64(len(went.gone)), w.leave(ctx, tx, old, again, floor, went)
}

// leave removes the rows of what is gone, and folds the rest of the sender again. Before floor all is sealed.
func (w *Writer) leave(
	ctx context.Context, tx pgx.Tx, old store.Sender, again *storedFacts, floor int, went *refold,
) error {
	if len(went.gone) < len(again.events) {
		return w.foldLeft(ctx, tx, old, went)
	}
	if err := store.Forget(ctx, tx, again.stretch, again.ids, again.live); err != nil || floor > 0 {
		return err
	}
	return queries.ForgetSender(ctx, tx, old.ID)
}
