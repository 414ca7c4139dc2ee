package ingest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/ingest/rasa"
	"turnwise/mask"
	"turnwise/queries"
)

// group sorts the events into units and drops copies within the batch.
func group(events []*conversation.Event) (units []*unit, counts Counts) {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b *conversation.Event) int {
		if c := cmp.Compare(a.SenderID, b.SenderID); c != 0 {
			return c
		}
		return a.Key().Compare(b.Key())
	})
	for from := 0; from < len(events); {
		until := from + 1
		for until < len(events) && events[until].SenderID == events[from].SenderID {
			until++
		}
		u := &unit{id: events[from].SenderID}
		for _, e := range events[from:until] {
			if n := len(u.events); n > 0 && u.events[n-1].ID == e.ID {
				if replaces(e, u.events[n-1], &counts) {
					u.events[n-1] = e
				}
				continue
			}
			u.events = append(u.events, e)
		}
		u.events = redactReplies(dropTwins(u.events, &counts), &counts)
		units = append(units, u)
		from = until
	}
	return units, counts
}

// dropTwins drops events of which the same batch holds the masked form, as when the rules change between the two.
func dropTwins(events []*conversation.Event, counts *Counts) []*conversation.Event {
	masked := map[conversation.UUID]bool{}
	for _, e := range events {
		if e.Masks > 0 && e.Twin != (conversation.UUID{}) {
			masked[e.Twin] = true
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
		counts.Known++
		return false
	}
	digest, oldDigest := rasa.Digest(e.Body), rasa.Digest(old.Body)
	if digest == oldDigest {
		counts.Known++
		return false
	}
	counts.Revised++
	return conversation.Prefer(e, old, digest, oldDigest)
}

// supersedes tells whether a redacted reply e takes the place of old: replies have no identity but their
// text, so a redacted copy is known by its instant and its response's name.
func supersedes(e, old *conversation.Event) bool {
	return reply(e) && reply(old) && e.Time == old.Time && e.Type == old.Type && e.Name == old.Name && e.RedactedAt > old.RedactedAt
}

func reply(e *conversation.Event) bool {
	return e.Type == conversation.TypeBot || e.Type == conversation.TypeAgent
}

// redactReplies drops replies of which the same batch holds a later redacted copy.
func redactReplies(events []*conversation.Event, counts *Counts) []*conversation.Event {
	if !slices.ContainsFunc(events, func(e *conversation.Event) bool { return e.RedactedAt != 0 && reply(e) }) {
		return events
	}
	return slices.DeleteFunc(events, func(old *conversation.Event) bool {
		gone := slices.ContainsFunc(events, func(e *conversation.Event) bool { return e != nil && supersedes(e, old) })
		if gone {
			counts.Revised++
		}
		return gone
	})
}

// split parts the events that must be new from those that may be known.
func (u *unit) split() {
	u.append, u.maybe = u.events, nil
	if !u.known {
		return
	}
	n, _ := slices.BinarySearchFunc(u.events, u.state.Newest, func(e *conversation.Event, t float64) int {
		if e.Time > t {
			return 1
		}
		return -1
	})
	u.maybe, u.append = u.events[:n:n], u.events[n:]
}

// farApart is the gap between events, in microseconds, at which a look-up is cut in two.
const farApart = 10 * 60 * 1e6

// dropKnown looks up the events that may be stored and keeps those that are new or change something.
func (w *Writer) dropKnown(ctx context.Context, tx pgx.Tx, units []*unit, counts *Counts) error {
	var stretches []queries.Stretch
	for _, u := range units {
		for i, e := range u.maybe {
			if n := len(stretches) - 1; i > 0 && e.At-stretches[n].Until < farApart {
				stretches[n].Until = max(stretches[n].Until, e.At)
				continue
			}
			stretches = append(stretches, queries.Stretch{Sender: u.id, From: e.At, Until: e.At})
		}
	}
	if len(stretches) == 0 {
		return nil
	}
	stored, err := queries.StoredEvents(ctx, tx, stretches)
	if err != nil {
		return fmt.Errorf("look up stored events: %w", err)
	}
	stripped, err := sealedOf(ctx, tx, units)
	if err != nil {
		return err
	}
	byID := make(map[conversation.UUID]*queries.StoredEvent, len(stored))
	type instant struct {
		sender, at int64
	}
	replies := map[instant][]*queries.StoredEvent{}
	for i := range stored {
		s := &stored[i]
		byID[s.ID] = s
		if s.Type != "" {
			k := instant{s.Sender, s.At}
			replies[k] = append(replies[k], s)
		}
	}
	for _, u := range units {
		for _, e := range u.maybe {
			s, ok := byID[e.ID]
			if !ok && e.Twin != (conversation.UUID{}) { // stored in its other form
				s, ok = byID[e.Twin]
			}
			if e.At <= u.state.Sealed && sealed(e, s, stripped) {
				counts.Known++
				continue
			}
			if ok && s.Sender == u.id {
				if s.BodyHash == e.BodyHash {
					counts.Known++
					continue
				}
				old, err := w.load(ctx, tx, *s, e)
				if err != nil {
					return err
				}
				if replaces(e, old, counts) {
					u.refold().replace(e, s.ID)
				}
				continue
			}
			if reply(e) {
				settled, err := w.redactStored(ctx, tx, u, e, replies[instant{u.id, e.At}], counts)
				if err != nil {
					return err
				}
				if settled {
					continue
				}
			}
			u.refold().insert(e)
		}
	}
	return nil
}

// sealedOf tells of the conversations of those units that may hold events of a sealed time whether they are stripped.
func sealedOf(ctx context.Context, tx pgx.Tx, units []*unit) (map[queries.ConversationKey]bool, error) {
	var senders []int64
	for _, u := range units {
		if len(u.maybe) > 0 && u.maybe[0].At <= u.state.Sealed {
			senders = append(senders, u.id)
		}
	}
	if len(senders) == 0 {
		return nil, nil
	}
	all, err := queries.StrippedOf(ctx, tx, senders)
	if err != nil {
		return nil, fmt.Errorf("look up stripped conversations: %w", err)
	}
	return all, nil
}

// sealed tells of an event of a sealed time, and the stored one of its identity (nil: none), whether retention removed what it
// belongs to, so that it would be removed too. What belongs to a conversation that is whole is not.
func sealed(e *conversation.Event, stored *queries.StoredEvent, stripped map[queries.ConversationKey]bool) bool {
	var id conversation.UUID
	switch {
	case stored != nil:
		id = stored.Conversation
	case e.SessionID != "":
		id = conversation.SessionUUID(e)
	}
	gone, known := stripped[queries.ConversationKey{Sender: e.SenderID, ID: id}]
	return gone || !known
}

// redactStored settles a reply whose instant the store holds already: it may be the redacted copy of a
// stored one, or the original of a stored redaction.
func (w *Writer) redactStored(ctx context.Context, tx pgx.Tx, u *unit, e *conversation.Event, stored []*queries.StoredEvent, counts *Counts) (settled bool, err error) {
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
func (w *Writer) load(ctx context.Context, tx pgx.Tx, s queries.StoredEvent, e *conversation.Event) (*conversation.Event, error) {
	body, err := queries.Body(ctx, tx, s)
	if err != nil {
		return nil, err
	}
	old, rej := rasa.NewDecoder().Decode(body, rasa.Intake{Assistant: e.Assistant, Stored: true}, time.Time{})
	if rej != nil {
		return nil, fmt.Errorf("stored event %s: %w", s.ID, rej)
	}
	old.BodyHash = s.BodyHash
	if s.Flags&conversation.FlagMasked != 0 {
		old.ID, old.Masks = s.ID, mask.Count(body)
		old.Flags |= conversation.FlagMasked
	}
	return old, nil
}
