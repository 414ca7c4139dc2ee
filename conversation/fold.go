package conversation

import (
	"math"
	"slices"
	"strings"
)

// Projection is the state of the fold of one sender: small, and stored between batches.
type Projection struct {
	Newest              Key
	FirstSeen, LastSeen int64
	Channel, UserID     string
	Stack               Stack
	BeforeReset         Stack
	Current             *Conversation
	Count               int    // conversations begun
	Told                []Told // by this sender, the latest last
	BegunAt             float64
	BegunThen           int     // of those, the ones that an event of the time BegunAt began and named
	Aliases             []Field // of the user, by name
	Traits              []Field
}

// Fold continues a projection by a sender's next events.
type Fold struct {
	*Projection
	settings *Rules
	known    map[UUID]*Conversation // the conversations of this fold, by id
	out      *Changes
	stored   func(UUID) (first Key, ok bool)

	weight weight // of the stack

	events []*Event        // of the call
	next   int             // index of the event behind the one at hand
	talked map[string]bool // of the sessions that the events name: in which something is said
}

// NewFold starts or continues a fold. stored returns the key of the first event of an earlier conversation
// of the sender that the store holds under an id; nil when there can be none.
func NewFold(p *Projection, r *Rules, stored func(UUID) (Key, bool)) *Fold {
	f := &Fold{Projection: p, settings: r, known: map[UUID]*Conversation{}, out: &Changes{}, stored: stored}
	if p.Current != nil {
		f.known[p.Current.ID] = p.Current
	}
	return f
}

// Project folds events, which must be sorted by key and later than all before, into the projection. When
// it returns ok = false, an event speaks about a conversation that the state no longer holds: the sender
// must be folded again from its stored events, from the conversation on that was current at back.
func (f *Fold) Project(events []*Event) (changes *Changes, back Key, ok bool) {
	f.events, f.talked = events, nil
	for i, e := range events {
		f.next = i + 1
		var next *Event
		if i+1 < len(events) {
			next = events[i+1]
		}
		if back, ok := f.add(e, next); !ok {
			return nil, back, false
		}
	}
	for _, c := range f.out.Conversations {
		f.spared(c)
		c.dirty, c.bundle = false, nil
		c.engaged, c.Engaged = c.UserMessages > 0 && !c.Engaged, c.UserMessages > 0
		c.named, c.naming = c.naming, false
	}
	for _, t := range f.out.Turns {
		t.dirty = false
	}
	for _, r := range f.out.Runs {
		r.dirty = false
	}
	for _, s := range f.out.Segments {
		s.dirty = false
	}
	return f.out, Key{}, true
}

// mostTold is how many digests are kept of a sender.
const mostTold = 60

// MoreTold adds digests to those that are known; the oldest go when they are too many.
func MoreTold(all, more []Told) []Told {
	for _, x := range more {
		if !slices.Contains(all, x) {
			all = append(all[:len(all):len(all)], x)
		}
	}
	return all[max(0, len(all)-mostTold):]
}

func (f *Fold) add(e *Event, next *Event) (back Key, ok bool) {
	p := f.Projection
	if p.Current != nil && p.Current.Provisional {
		c := p.Current
		if e.Kind != KindBegin {
			return Key{Time: math.Nextafter(c.First.Time, 0)}, false
		}
		c.Provisional = false
	}
	c, back, ok := f.conversationOf(e, next)
	if !ok {
		return back, false
	}
	p.Newest = e.Key()
	p.Told = MoreTold(p.Told, e.Told)
	if p.FirstSeen == 0 {
		p.FirstSeen = e.At
	}
	p.LastSeen = max(p.LastSeen, e.At)
	f.touch(c)
	seq := e.At
	if seq <= c.LastSeq {
		seq = c.LastSeq + 1
	}
	c.LastSeq = seq
	if c.FirstSeq == 0 {
		c.FirstSeq = seq
	}
	c.Events++
	c.Resumed = c.Removed > 0
	c.LastAt = max(c.LastAt, e.At)
	again := c.knows(e) // a message that is only changed
	if !again && !e.Kind.passive() || c.StirredAt == 0 {
		c.StirredAt = max(c.StirredAt, e.At)
	}
	if e.Kind != KindEnd && e.Kind != KindInactive && e.Kind != KindSilent &&
		!e.Kind.passive() && !again || c.ActiveAt == 0 {
		c.ActiveAt = max(c.ActiveAt, e.At)
	}
	if c.EndReason == endedByNext {
		c.EndedAt = c.LastAt
	}
	f.facts(c, e)
	extra := f.apply(c, e, seq)
	f.store(c, e, seq, extra)
	if len(f.settings.Patterns)+len(c.Markers) > 0 {
		f.mark(c, e, seq, again)
	}
	if c.Turn != nil {
		c.Turn.EndSeq, c.Turn.Flow = seq, c.TopFlow
		f.turnChanged(c, c.Turn)
	}
	return Key{}, true
}

func (f *Fold) touch(c *Conversation) {
	if !c.dirty {
		c.dirty = true
		f.out.Conversations = append(f.out.Conversations, c)
	}
}

func (f *Fold) turnChanged(c *Conversation, t *Turn) {
	if !t.dirty {
		t.dirty = true
		f.out.Turns = append(f.out.Turns, ConversationTurn{c.ID, t})
	}
}

func (f *Fold) runChanged(c *Conversation, r *Run) {
	if !r.dirty {
		r.dirty = true
		f.out.Runs = append(f.out.Runs, ConversationRun{c.ID, r})
	}
}

// facts notes what any event may tell about its conversation.
func (f *Fold) facts(c *Conversation, e *Event) {
	first := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	first(&c.Environment, e.Environment)
	if !strings.HasPrefix(e.SenderKey, OfAgent) || !e.Is(Apart) { // what an agent does for a user is the agent's
		c.naming = c.naming || c.UserID == "" && e.UserID != ""
		first(&c.UserID, e.UserID)
		first(&f.UserID, e.UserID)
	}
	c.Test = c.Test || e.Is(Test)
	if e.Kind == KindUser || e.Is(Named) || e.Is(Apart) {
		first(&c.Channel, e.Channel)
		first(&f.Channel, e.Channel)
	}
	if c.ModelID == "" && c.ModelName == "" {
		c.ModelID, c.ModelName = e.ModelID, e.ModelName
	}
	switch {
	case c.Closed:
		if (e.Kind == KindUser || e.Kind == KindAgent) && !c.knows(e) {
			c.wake()
		}
	case c.EndedAt != 0 && !c.Ended && c.EndReason != endedByNext && e.Kind != KindInactive && e.Kind != KindSilent:
		c.EndedAt, c.EndReason = 0, "" // it woke up
	}
	if reason := f.settings.escalation(e); reason != "" && c.EscalatedAt == 0 {
		c.EscalatedAt, c.EscalationReason = e.At, reason
		f.handOver(c)
	}
	f.pause(c, e)
	c.Asked = c.Asked || e.Is(AsksRating)
}

// store places the event's row and body.
func (f *Fold) store(c *Conversation, e *Event, seq int64, flags int16) {
	turn := 0
	if c.Turn != nil {
		turn = c.Turn.N
	}
	switch {
	case c.Events == 1:
		c.BundleAt = e.At
	case c.BundleLen >= BundleSize || c.BundleFormat != int(e.Format):
		// as it is stored: of a conversation of millions of events it begins anew below zero
		c.BundlePart = int(int16(c.BundlePart + 1))
		c.BundleLen, c.BundleAt, c.bundle = 0, e.At, nil
	}
	if c.bundle == nil {
		c.BundleFormat = int(e.Format)
		c.bundle = &Bundle{
			Conversation: c.ID, At: c.BundleAt, Part: c.BundlePart, Format: e.Format, Appended: c.BundleLen > 0,
		}
		f.out.Bundles = append(f.out.Bundles, c.bundle)
	}
	f.out.Events = append(f.out.Events, EventRow{e, c.ID, seq, turn, c.BundlePart, c.BundleLen, flags})
	c.bundle.Bodies = append(c.bundle.Bodies, e.Body)
	c.BundleLen++
}
