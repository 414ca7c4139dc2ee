package ingest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/mask"
	"turnwise/queries"
	"turnwise/queries/store"
)

// group sorts the events into units and drops copies within the batch.
func group(events []*conversation.Event) (units []*unit, counts Counts) {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b *conversation.Event) int {
		if c := cmp.Compare(a.SenderID, b.SenderID); c != 0 {
			return c
		}
		if c := cmp.Compare(a.Time, b.Time); c != 0 {
			return c
		}
		return a.ID.Compare(b.ID)
	})
	for from := 0; from < len(events); {
		until := from + 1
		for until < len(events) && events[until].SenderID == events[from].SenderID {
			until++
		}
		u := &unit{id: events[from].SenderID}
		for _, e := range events[from:until] {
			if n := len(u.events); n > 0 && u.events[n-1].ID == e.ID {
				place := max(e.Place, u.events[n-1].Place)
				if replaces(e, u.events[n-1], &counts) {
					u.events[n-1] = e
				}
				u.events[n-1].Place = place
				continue
			}
			u.events = append(u.events, e)
		}
		u.events = redactCopies(dropTwins(u.events, &counts), &counts)
		units = append(units, u)
		from = until
	}
	return units, counts
}

// dropTwins drops events of which the same batch holds the masked form, as when the rules change between the two.
func dropTwins(events []*conversation.Event, counts *Counts) []*conversation.Event {
	masked := map[conversation.UUID]bool{}
	for _, e := range events {
		if e.Masks > 0 && e.OtherID != (conversation.UUID{}) {
			masked[e.OtherID] = true
		}
	}
	if len(masked) == 0 {
		return events
	}
	return slices.DeleteFunc(events, func(e *conversation.Event) bool {
		if masked[e.ID] {
			counts.Revised++
		}
		return masked[e.ID]
	})
}

// replaces decides between two events of one identity and counts what came of it.
func replaces(e, old *conversation.Event, counts *Counts) bool {
	if e.BodyHash == old.BodyHash {
		counts.Duplicates++
		return false
	}
	digest, oldDigest := FormatOf(e.Format).Digest(e.Body), FormatOf(old.Format).Digest(old.Body)
	if digest == oldDigest {
		counts.Duplicates++
		return false
	}
	counts.Revised++
	return conversation.Prefer(e, old, digest, oldDigest)
}

// supersedes tells whether a redacted copy e takes the place of old. Events that have no identity but what redaction
// changes are known by their instant and name.
func supersedes(e, old *conversation.Event) bool {
	return alike(e, old) && e.RedactedAt > old.RedactedAt
}

// alike tells events that may be copies of each other, one redacted and one not.
func alike(a, b *conversation.Event) bool {
	return a.Time == b.Time && a.Type == b.Type && a.Name == b.Name && replaceable(a) && replaceable(b)
}

// replaceable tells events that have no identity but what redaction changes.
func replaceable(e *conversation.Event) bool {
	return e.Is(conversation.Replaceable) && !e.Is(conversation.OwnID)
}

func byKey(a, b *conversation.Event) int { return a.Key().Compare(b.Key()) }

// redactCopies sorts a sender's events and drops those of which there is a later redacted copy.
func redactCopies(events []*conversation.Event, counts *Counts) []*conversation.Event {
	if !slices.IsSortedFunc(events, byKey) {
		slices.SortStableFunc(events, byKey)
	}
	if !slices.ContainsFunc(events, func(e *conversation.Event) bool { return e.RedactedAt != 0 && replaceable(e) }) {
		return events
	}
	kept := events[:0:0]
	for from := 0; from < len(events); {
		until := from + 1
		for until < len(events) && events[until].Time == events[from].Time {
			until++
		}
		for _, e := range events[from:until] {
			if slices.ContainsFunc(events[from:until], func(o *conversation.Event) bool { return supersedes(o, e) }) {
				counts.Revised++
				continue
			}
			kept = append(kept, e)
		}
		from = until
	}
	return kept
}

// split parts the events that must be new from those that may be known.
func (u *unit) split() {
	u.append, u.candidates = u.events, nil
	if !u.hasState {
		return
	}
	n, _ := slices.BinarySearchFunc(u.events, u.state.Newest, func(e *conversation.Event, t float64) int {
		if e.Time > t {
			return 1
		}
		return -1
	})
	u.candidates, u.append = u.events[:n:n], u.events[n:]
}

// farApart is the gap between events, in microseconds, at which a look-up is cut in two.
const farApart = 10 * 60 * 1e6

// dropKnown looks up the events that may be stored and keeps those that are new or change something.
func (w *Writer) dropKnown(ctx context.Context, tx pgx.Tx, units []*unit, counts *Counts) error {
	stretches := candidateSpans(units)
	if len(stretches) == 0 {
		return nil
	}
	stored, err := store.StoredEvents(ctx, tx, stretches)
	if err != nil {
		return fmt.Errorf("look up stored events: %w", err)
	}
	removed, err := sealedOf(ctx, tx, units)
	if err != nil {
		return err
	}
	byID := make(map[conversation.UUID]*store.StoredEvent, len(stored))
	instants := map[instantKey][]*store.StoredEvent{}
	for i := range stored {
		s := &stored[i]
		byID[s.ID] = s
		if s.Type != "" {
			k := instantKey{s.Sender, s.At}
			instants[k] = append(instants[k], s)
		}
	}
	for _, u := range units {
		for _, e := range u.candidates {
			s, ok := byID[e.ID]
			if !ok && e.OtherID != (conversation.UUID{}) { // stored in its other form
				s, ok = byID[e.OtherID]
			}
			at := instants[instantKey{u.id, e.At}]
			if !ok {
				if s, err = w.former(ctx, tx, e, at); err != nil {
					return err
				}
				ok = s != nil
			}
			if e.At <= u.state.BodiesRemovedUntil && sealed(e, s, removed) {
				counts.Duplicates++
				continue
			}
			if ok && s.Sender == u.id {
				if err := w.compare(ctx, tx, u, e, s, counts); err != nil {
					return err
				}
				continue
			}
			settled, err := w.redactStored(ctx, tx, u, e, at, counts)
			if err != nil {
				return err
			}
			if !settled {
				u.refold().insert(e)
			}
		}
	}
	return nil
}

// candidateSpans are the stretches of time in which events may be stored already.
func candidateSpans(units []*unit) (all []store.TimeSpan) {
	for _, u := range units {
		for i, e := range u.candidates {
			if n := len(all) - 1; i > 0 && e.At-all[n].Until < farApart {
				all[n].Until = max(all[n].Until, e.At)
				continue
			}
			all = append(all, store.TimeSpan{Sender: u.id, From: e.At, Until: e.At})
		}
	}
	return all
}

// instantKey is a sender's microsecond.
type instantKey struct{ sender, at int64 }

// compare settles an event that is stored already.
func (w *Writer) compare(
	ctx context.Context, tx pgx.Tx, u *unit, e *conversation.Event, s *store.StoredEvent, counts *Counts,
) error {
	further := e.Place > max(s.Place, 0)
	if s.BodyHash == e.BodyHash && !further {
		counts.Duplicates++
		return nil
	}
	old, err := w.load(ctx, tx, *s, e)
	if err != nil {
		return err
	}
	place := max(e.Place, old.Place)
	if replaces(e, old, counts) {
		e.Place = place
		u.refold().replace(e, s.ID)
	} else if further {
		u.refold().move(old, place)
	}
	return nil
}

// former finds a stored event that an earlier version gave another id, among those of its instant.
func (w *Writer) former(
	ctx context.Context, tx pgx.Tx, e *conversation.Event, instant []*store.StoredEvent,
) (*store.StoredEvent, error) {
	for _, s := range instant {
		if s.Type != e.Type || s.Name != e.Name {
			continue
		}
		if s.Flags&conversation.FlagMasked != 0 && s.BodyHash == e.BodyHash { // masked before it came to this assistant
			return s, nil
		}
		if s.Place >= 0 {
			continue
		}
		if s.BodyHash == e.BodyHash || s.Flags&conversation.FlagMasked != 0 {
			return s, nil
		}
		body, format, err := store.Body(ctx, tx, *s)
		if err != nil {
			return nil, err
		}
		if old, rej := FormatOf(format).NewDecoder().Decode(
			body, wire.Intake{Assistant: e.Assistant, Stored: true}, time.Time{},
		); rej == nil && old.ID == e.ID {
			return s, nil
		}
	}
	return nil, nil
}

// sealedOf tells of the conversations of those units that may hold events of a time whose bodies retention removed
// whether it removed their texts.
func sealedOf(ctx context.Context, tx pgx.Tx, units []*unit) (map[queries.ConversationKey]bool, error) {
	var senders []int64
	for _, u := range units {
		if len(u.candidates) > 0 && u.candidates[0].At <= u.state.BodiesRemovedUntil {
			senders = append(senders, u.id)
		}
	}
	if len(senders) == 0 {
		return nil, nil
	}
	all, err := store.TextsRemovedOf(ctx, tx, senders)
	if err != nil {
		return nil, fmt.Errorf("look up conversations without texts: %w", err)
	}
	return all, nil
}

// sealed tells of an event of a sealed time, and the stored one of its identity (nil: none), whether retention removed
// what it belongs to, so that it would be removed too. What belongs to a conversation that is whole is not.
func sealed(e *conversation.Event, stored *store.StoredEvent, removed map[queries.ConversationKey]bool) bool {
	var id conversation.UUID
	switch {
	case stored != nil:
		id = stored.Conversation
	case e.SessionID != "":
		id = conversation.SessionUUID(e)
	}
	gone, known := removed[queries.ConversationKey{SenderID: e.SenderID, ID: id}]
	return gone || !known
}

// redactStored settles an event whose instant the store holds already: it may be the redacted copy of stored ones, or
// the original of a stored redaction.
func (w *Writer) redactStored(
	ctx context.Context, tx pgx.Tx, u *unit, e *conversation.Event, stored []*store.StoredEvent, counts *Counts,
) (settled bool, err error) {
	if !replaceable(e) {
		return false, nil
	}
	for _, s := range stored {
		if e.RedactedAt == 0 && s.Flags&conversation.FlagRedacted == 0 || s.Type != e.Type || s.Name != e.Name {
			continue
		}
		old, err := w.load(ctx, tx, *s, e)
		if err != nil {
			return false, err
		}
		switch {
		case supersedes(old, e):
			counts.Revised++
			return true, nil
		case supersedes(e, old):
			counts.Revised++
			u.refold().replace(e, s.ID)
			settled = true
		}
	}
	return settled, nil
}

// load reads a stored event of e's sender back.
func (w *Writer) load(
	ctx context.Context, tx pgx.Tx, s store.StoredEvent, e *conversation.Event,
) (*conversation.Event, error) {
	body, format, err := store.Body(ctx, tx, s)
	if err != nil {
		return nil, err
	}
	old, rej := FormatOf(format).NewDecoder().Decode(
		body, wire.Intake{Assistant: e.Assistant, Stored: true}, time.Time{},
	)
	if rej != nil {
		return nil, fmt.Errorf("%w: stored event %s: %w", errUnfit, s.ID, rej)
	}
	old.ID, old.Place, old.BodyHash = s.ID, max(s.Place, 0), s.BodyHash
	if s.Flags&conversation.FlagMasked != 0 {
		old.Masks = int16(min(mask.Count(body), math.MaxInt16))
	}
	old.Flags |= s.Flags & (conversation.FlagRepaired | conversation.FlagMasked)
	return old, nil
}
