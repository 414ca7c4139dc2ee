package conversation

import (
	"cmp"
	"slices"

	"turnwise/marker"
)

// Pattern is a marker that is looked for in the conversations of an assistant.
type Pattern struct {
	ID      int32
	Version int32 // of its definition
	*marker.Marker
}

// MarkerState is how far a pattern came in a conversation.
type MarkerState struct {
	ID, Version int32
	State       marker.State
}

// MarkedEvent is an event as patterns saw it.
type MarkedEvent struct {
	Event   UUID
	At, Seq int64
	Turns   int // messages of the user before it
}

// MarkerRow is where a pattern was found.
type MarkerRow struct {
	MarkedEvent
	Conversation UUID
	Pattern      int32
	Never        bool  // it is told of the last event, because its part was not found
	CountsAt     int64 // from then on: of those of Never, when the conversation is closed
}

// mark has the patterns take the next event. One that is newer than the conversation waits until this is folded again,
// and so does one of which another process that stores did not yet know.
func (f *Fold) mark(c *Conversation, e *Event, seq int64, again bool) {
	if c.Events == 1 {
		c.startMarkers(f.settings.Patterns)
		if e.Kind == KindMayBegin { // it comes ahead of what begins the session
			return
		}
	}
	if again || e.Kind.passive() {
		return
	}
	x := marker.Event{Message: e.Kind == KindUser, Intent: e.Intent, Retrieval: e.Retrieval}
	switch {
	case e.Type == TypeAction:
		x.Action = e.Name
	case e.Kind == KindSlot || e.Kind == KindMayBegin:
		x.Slot, x.Null = e.Name, e.Value == "null"
	}
	at := MarkedEvent{e.ID, e.At, seq, c.Turns}
	if x.Message {
		at.Turns--
	}
	c.Markers = slices.DeleteFunc(c.Markers, func(s MarkerState) bool {
		p := f.pattern(s)
		if p == nil {
			return true
		}
		if p.Reported(s.State, &x) {
			f.out.Markers = append(f.out.Markers, MarkerRow{
				MarkedEvent: at, Conversation: c.ID, Pattern: s.ID, CountsAt: e.At,
			})
		}
		return false
	})
	if c.Marked != nil {
		*c.Marked = at
	}
}

func (c *Conversation) startMarkers(patterns []Pattern) {
	if c.Journal {
		return
	}
	for _, p := range patterns {
		c.Markers = append(c.Markers, MarkerState{p.ID, p.Version, p.Start()})
		if p.Never() && c.Marked == nil {
			c.Marked = new(MarkedEvent)
		}
	}
}

// pattern is the one that a state is of; nil where that is not known, or is another one by now.
func (f *Fold) pattern(s MarkerState) *Pattern {
	all := f.settings.Patterns
	i, known := slices.BinarySearchFunc(all, s.ID, func(p Pattern, id int32) int { return cmp.Compare(p.ID, id) })
	if !known || all[i].Version != s.Version {
		return nil
	}
	return &all[i]
}

// spared tells which patterns would be found if the conversation ended now, because something did not happen.
func (f *Fold) spared(c *Conversation) {
	if c.Marked == nil || c.Marked.Seq == 0 {
		return
	}
	for _, s := range c.Markers {
		if p := f.pattern(s); p != nil && p.Spared(s.State) {
			f.out.Markers = append(f.out.Markers, MarkerRow{
				MarkedEvent: *c.Marked, Conversation: c.ID, Pattern: s.ID, Never: true, CountsAt: c.ClosesAt(),
			})
		}
	}
}
