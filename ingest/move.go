package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/queries"
	"turnwise/queries/store"
)

// aliases are the other names of assistants, as last read.
type aliases struct {
	names map[string]string
	until time.Time
}

// aliasesNow returns them, read at most every ten seconds; while the database is away, as they were.
func (w *Writer) aliasesNow(ctx context.Context) map[string]string {
	w.mu.Lock()
	a := w.aliases
	w.mu.Unlock()
	if w.now().Before(a.until) {
		return a.names
	}
	all, err := queries.Aliases(ctx, w.pool)
	if err != nil {
		return a.names
	}
	a = aliases{map[string]string{}, w.now().Add(settingsLife)}
	for _, x := range all {
		a.names[x.Name] = x.Assistant
	}
	w.mu.Lock()
	w.aliases = a
	w.mu.Unlock()
	return a.names
}

// moveSenders gives events of an assistant's senders to the senders of the same keys of another assistant: all of them,
// or those that came by that one's name. What retention removed stays. It returns how many events went.
func (w *Writer) moveSenders(
	ctx context.Context, tx pgx.Tx, senders []store.NamedSender, to string, byName bool,
) (moved int64, err error) {
	var all []store.NamedSender
	for _, s := range senders {
		all = append(all, s, store.NamedSender{
			ID: conversation.SenderID(to, s.SenderKey), Assistant: to, SenderKey: s.SenderKey,
		})
	}
	states, err := lockSenders(ctx, tx, all)
	if err != nil {
		return 0, err
	}
	for i := 0; i < len(all); i += 2 {
		n, err := w.moveSender(ctx, tx, all[i], all[i+1], states, byName)
		if err != nil {
			return moved, fmt.Errorf("sender %d: %w", all[i].ID, err)
		}
		moved += n
	}
	return moved, nil
}

func (w *Writer) moveSender(
	ctx context.Context, tx pgx.Tx, from, to store.NamedSender, states map[int64]queries.State, byName bool,
) (int64, error) {
	conversations, err := store.SenderConversations(ctx, tx, from.ID)
	if err != nil {
		return 0, err
	}
	floor, _ := sealedUntil(conversations)
	sealed := states[to.ID].BodiesRemovedUntil // what retention sealed there takes nothing in
	for floor < len(conversations) && conversation.MicrosOf(conversations[floor].First.Time) <= sealed {
		floor++
	}
	conversations = conversations[floor:]
	old := store.Sender{ID: from.ID, Assistant: from.Assistant, Key: from.SenderKey, Stored: true}
	again, err := w.stored(ctx, tx, old, conversations, nil)
	if err != nil {
		return 0, err
	}
	went := &refold{
		all: true, state: states[from.ID], replaced: map[conversation.UUID]*conversation.Event{},
		gone: map[conversation.UUID]bool{},
	}
	events, olds, news, err := movedOf(again.events, from, to, byName)
	if err != nil {
		return 0, err
	}
	for _, id := range olds {
		went.gone[id] = true
	}
	if len(events) == 0 {
		return 0, nil
	}
	if err := w.prepare(ctx, new(Source), events); err != nil {
		return 0, err
	}
	ats, hashes := firstsOf(conversations, again.events)
	if err := queries.RekeyOriginals(ctx, tx, from.ID, to.ID, olds, news); err != nil {
		return 0, err
	}
	// The old side first: the same conversation has one row.
	if err := w.leave(ctx, tx, old, again, floor, went); err != nil {
		return 0, err
	}
	if err := w.takeIn(ctx, tx, to, states, events); err != nil {
		return 0, err
	}
	if err := queries.MoveMessages(ctx, tx, from.ID, olds, news); err != nil {
		return 0, err
	}
	return int64(len(events)), w.followConversations(ctx, tx, from.ID, to.ID, conversations, ats, hashes)
}

// movedOf returns the stored events of a sender as those of another, with the ids that they had and get.
func movedOf(
	stored []*conversation.Event, from, to store.NamedSender, byName bool,
) (events []*conversation.Event, olds, news []conversation.UUID, err error) {
	read := decoders{}
	name := conversation.SmallID("assistant", to.Assistant)
	times := map[conversation.UUID]int{} // how often an id was given
	slices.SortStableFunc(stored, byKey)
	for _, e := range stored {
		if byName && e.Via != name {
			continue
		}
		x, rej := read.of(e.Format).Decode(
			e.Body, wire.Intake{Assistant: to.Assistant, Environment: e.Environment, Stored: true}, time.Time{},
		)
		if rej != nil {
			return nil, nil, nil, fmt.Errorf("event %s: %w", e.ID, rej)
		}
		if times[x.ID]++; times[x.ID] > 1 {
			x.ID = conversation.RepeatID(x.ID, times[x.ID])
		}
		x.Place, x.BodyHash, x.Flags, x.Masks = max(e.Place, 0), e.BodyHash, x.Flags|e.Flags, e.Masks
		if x.Via = e.Via; byName {
			x.Via = 0
		} else if x.Via == 0 {
			x.Via = conversation.SmallID("assistant", from.Assistant)
		}
		if x.Via == name { // it comes home
			x.Via = 0
		}
		events, olds, news = append(events, x), append(olds, e.ID), append(news, x.ID)
	}
	return events, olds, news, nil
}

// foldLeft folds again what is left of a sender once events went.
func (w *Writer) foldLeft(ctx context.Context, tx pgx.Tx, old store.Sender, went *refold) error {
	rules, err := w.rules(ctx, tx, old.Assistant)
	if err != nil {
		return err
	}
	if old.Projection, old.Changes, err = w.foldAgain(ctx, tx, old, went, rules); err != nil {
		return err
	}
	if old.Projection == nil || len(old.Changes.Events) == 0 {
		return nil
	}
	batch := store.NewBatch()
	batch.Add(old)
	return batch.Write(ctx, tx)
}

// takeIn folds events into a sender.
func (w *Writer) takeIn(
	ctx context.Context, tx pgx.Tx, to store.NamedSender, states map[int64]queries.State, events []*conversation.Event,
) error {
	u := &unit{id: to.ID, events: events}
	u.state, u.hasState = states[to.ID]
	slices.SortStableFunc(u.events, byKey)
	u.split()
	var counts Counts
	if err := w.dropKnown(ctx, tx, []*unit{u}, &counts); err != nil {
		return err
	}
	batch := store.NewBatch()
	if _, err := w.fold(ctx, tx, []*unit{u}, batch); err != nil || batch.Senders == 0 {
		return err
	}
	return batch.Write(ctx, tx)
}

// firstsOf are the times and bodies of the first events of conversations, zero where one is not there.
func firstsOf(conversations []store.StoredConversation, events []*conversation.Event) (ats, hashes []int64) {
	for _, c := range conversations {
		at, hash := int64(0), int64(0)
		for _, e := range events {
			if e.ID == c.First.ID || at == 0 && e.Time == c.First.Time {
				at, hash = e.At, e.BodyHash
			}
		}
		ats, hashes = append(ats, at), append(hashes, hash)
	}
	return ats, hashes
}

// followConversations has what people made of conversations follow them to where their first events are now.
func (w *Writer) followConversations(
	ctx context.Context, tx pgx.Tx, from, to int64, conversations []store.StoredConversation, ats, hashes []int64,
) error {
	now, err := queries.ConversationsAt(ctx, tx, to, ats, hashes)
	if err != nil {
		return err
	}
	var olds, news []conversation.UUID
	for i, id := range now {
		if id != (conversation.UUID{}) {
			olds, news = append(olds, conversations[i].ID), append(news, id)
		}
	}
	return queries.MoveConversations(ctx, tx, from, to, olds, news)
}
