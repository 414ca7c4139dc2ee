package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/mask"
	"turnwise/queries"
	"turnwise/queries/store"
)

// arrival is how personal data are masked when they arrive, as last read.
type arrival struct {
	masker *mask.Masker // nil: not
	key    []byte
	until  time.Time
}

// arriving returns how arriving events are masked, read at most every ten seconds.
func (w *Writer) arriving(ctx context.Context) (arrival, error) {
	w.mu.Lock()
	a := w.arrival
	w.mu.Unlock()
	if w.now().Before(a.until) {
		return a, nil
	}
	rules, err := queries.MaskingRules(ctx, w.pool)
	if err != nil {
		return a, err
	}
	a = arrival{key: rules.Key, until: w.now().Add(settingsLife)}
	if rules.OnArrival {
		if a.masker, err = mask.New(rules.Rules); err != nil {
			return a, fmt.Errorf("the rules of masking: %w", err)
		}
	}
	w.mu.Lock()
	w.arrival = a
	w.mu.Unlock()
	return a, nil
}

// masked returns the events with personal data masked, and those that cannot be read any more afterwards.
func (w *Writer) masked(
	ctx context.Context, events []*conversation.Event,
) (kept []*conversation.Event, refused []Rejected, err error) {
	a, err := w.arriving(ctx)
	if err != nil || a.masker == nil && a.key == nil {
		return events, nil, err
	}
	read := decoders{}
	kept = make([]*conversation.Event, 0, len(events))
	for _, e := range events {
		x, rej := read.of(e.Format).Masked(e, a.masker, a.key)
		if rej != nil {
			refused = append(refused, Rejected{Body: bodyOf(e), Environment: e.Environment, Reason: *rej})
			continue
		}
		kept = append(kept, x)
	}
	return kept, refused, nil
}

// KeptBody is what is kept of a body that gave events, masked as what arrives is; whole tells that nothing of it is masked.
// Values that are personal by the names of their slots cannot be told in it: then nothing of it is kept.
func (w *Writer) KeptBody(ctx context.Context, body []byte, events []*conversation.Event) (kept []byte, whole bool, err error) {
	a, err := w.arriving(ctx)
	if err != nil || a.masker == nil {
		return body, true, err
	}
	kept, n := a.masker.Rejected(body)
	read := decoders{}
	for _, e := range events {
		x, rej := read.of(e.Format).Masked(e, a.masker, a.key)
		hidden := rej != nil || x != e
		if hidden && a.masker.HasSlots() {
			return []byte{}, false, nil
		}
		if hidden {
			n++
		}
	}
	return kept, n == 0, nil
}

// FoldStored folds what is stored again, from where the run stands on, a few senders at a time, while others go on
// storing: all of it by the settings of now, or, to mask, where something is masked.
func (w *Writer) FoldStored(ctx context.Context, run conversation.UUID) error {
	r, err := queries.FoldRunByID(ctx, w.pool, run)
	if err != nil {
		return err
	}
	w.mu.Lock()
	clear(w.settings) // by those of now, not of ten seconds ago
	w.mu.Unlock()
	fold := func(tx pgx.Tx, senders []store.NamedSender) (int64, error) { return 0, w.rebuild(ctx, tx, senders) }
	if r.Kind == queries.FoldToMerge || r.Kind == queries.FoldToSeparate {
		fold = func(tx pgx.Tx, senders []store.NamedSender) (int64, error) {
			return w.moveSenders(ctx, tx, senders, r.Target, r.Kind == queries.FoldToSeparate)
		}
	}
	if r.Kind == queries.FoldToMask {
		m, key, err := w.rulesOf(ctx, r)
		if err != nil {
			return err
		}
		fold = func(tx pgx.Tx, senders []store.NamedSender) (int64, error) {
			return w.maskSenders(ctx, tx, senders, m, key)
		}
	}
	return w.everySender(ctx, r.Assistant, r.After, func(tx pgx.Tx, senders []store.NamedSender) error {
		events, err := fold(tx, senders)
		if err != nil {
			return err
		}
		return queries.AdvanceFold(ctx, tx, run, senders[len(senders)-1].ID, int64(len(senders)), events)
	}, func(int) {})
}

// rulesOf are the rules of a run, and the key of the ids of masked events.
func (w *Writer) rulesOf(ctx context.Context, r queries.FoldRun) (*mask.Masker, []byte, error) {
	var rules mask.Rules
	if err := json.Unmarshal(r.Rules, &rules); err != nil {
		return nil, nil, fmt.Errorf("the rules of the run: %w", err)
	}
	now, err := queries.MaskingRules(ctx, w.pool)
	if err != nil {
		return nil, nil, err
	}
	m, err := mask.New(rules)
	return m, now.Key, err
}

// maskSenders masks what is stored of senders and returns how many events changed.
func (w *Writer) maskSenders(
	ctx context.Context, tx pgx.Tx, senders []store.NamedSender, m *mask.Masker, key []byte,
) (changed int64, err error) {
	states, err := lockSenders(ctx, tx, senders)
	if err != nil {
		return 0, err
	}
	batch := store.NewBatch()
	folded := false
	read := decoders{}
	for _, s := range senders {
		sender := store.Sender{ID: s.ID, Assistant: s.Assistant, Key: s.SenderKey, Stored: true}
		all, err := store.SenderConversations(ctx, tx, s.ID)
		if err != nil {
			return changed, err
		}
		floor, beneath := beneathSeal(all)
		state := states[s.ID]
		inPlace, err := store.MaskInPlace(ctx, tx, s.ID, &state, all, beneath, m, func(format uint8, body string) (string, int) {
			return FormatOf(format).Mask(m, body)
		}, wire.BodyHash)
		if err != nil {
			return changed, err
		}
		changed += inPlace
		if floor == len(all) {
			continue
		}
		again, err := w.stored(ctx, tx, sender, all[floor:], nil)
		if err != nil {
			return changed, err
		}
		r := &refold{all: true, state: state}
		if r.replaced, err = maskedOf(read, again.events, m, key); err != nil {
			return changed, err
		}
		if len(r.replaced)+int(inPlace) == 0 {
			continue
		}
		rules, err := w.rules(ctx, tx, s.Assistant)
		if err != nil {
			return changed, err
		}
		if sender.Projection, sender.Changes, err = w.foldAgain(ctx, tx, sender, r, rules); err != nil {
			return changed, err
		}
		if sender.Projection == nil || len(sender.Changes.Events) == 0 {
			continue
		}
		batch.Add(sender)
		folded = true
		changed += int64(len(r.replaced))
	}
	if !folded {
		return changed, nil
	}
	return changed, batch.Write(ctx, tx)
}

// beneathSeal returns from which conversation on a sender can be folded again, and those that are masked where they
// stand, as retention removed bodies of them.
func beneathSeal(all []store.StoredConversation) (floor int, beneath []store.StoredConversation) {
	floor, sealed := sealedUntil(all)
	beneath = all[:floor:floor]
	for _, c := range all[floor:] {
		if c.StartedAt <= sealed {
			beneath = append(beneath, c)
		}
	}
	return floor, beneath
}

// maskedOf returns what takes the place of those events in which something is masked.
func maskedOf(
	read decoders, events []*conversation.Event, m *mask.Masker, key []byte,
) (map[conversation.UUID]*conversation.Event, error) {
	all := map[conversation.UUID]*conversation.Event{}
	for _, e := range events {
		x, rej := read.of(e.Format).Masked(e, m, key)
		if rej != nil {
			return nil, fmt.Errorf("event %s cannot be read once it is masked: %w", e.ID, rej)
		}
		if x != e {
			all[e.ID] = x
		}
	}
	return all, nil
}

// sealedUntil tells up to which of a sender's conversations nothing can be folded again, and until when these reach.
func sealedUntil(all []store.StoredConversation) (floor int, until int64) {
	for i, c := range all {
		if c.TextsRemoved {
			floor = i + 1
		}
	}
	for _, c := range all[:floor] {
		until = max(until, c.LastAt)
	}
	return floor, until
}

// hideRepeats masks, where personal data are masked on arrival, replies that repeat what was told before as the value
// of a slot which is masked by name. The events are a sender's, in their order; told is what was told before them.
func (w *Writer) hideRepeats(
	ctx context.Context, told []conversation.Told, events []*conversation.Event,
) ([]*conversation.Event, error) {
	if len(told) == 0 && !slices.ContainsFunc(events, func(e *conversation.Event) bool { return len(e.Told) > 0 }) {
		return events, nil
	}
	a, err := w.arriving(ctx)
	if err != nil || a.masker == nil {
		return events, err
	}
	read := decoders{}
	out := slices.Clone(events)
	for i, e := range events {
		x, rej := read.of(e.Format).Repeated(e, told, a.key)
		if rej != nil {
			return nil, fmt.Errorf("event %s cannot be read once it is masked: %w", e.ID, rej)
		}
		out[i] = x
		told = conversation.MoreTold(told, e.Told)
	}
	return out, nil
}
