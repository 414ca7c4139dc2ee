package conversation

import (
	"fmt"
	"strings"
	"testing"
)

// driven is a conversation that a program drives.
func driven(t *testing.T, n int, event func(i int) *Event) (p *Projection, changes *Changes) {
	t.Helper()
	p = new(Projection)
	var events []*Event
	for i := range n {
		e := event(i)
		e.Assistant, e.SenderKey, e.Time = "a", "s", 1e9+float64(i)
		e.At, e.ID = MicrosOf(e.Time), NameUUID(fmt.Sprint(i))
		judged(e)
		events = append(events, e)
	}
	changes, _, ok := NewFold(p, NewRules(DefaultSettings()), nil).Project(events)
	if !ok {
		t.Fatal("not folded")
	}
	return p, changes
}

// TestBounds holds that what the fold keeps of a conversation has an end, whatever comes, and that what goes beyond is
// marked.
func TestBounds(t *testing.T) {
	t.Parallel()
	frame := func(i int) []PatchOp {
		return []PatchOp{
			{
				Op: "add", Path: "/0",
				Value: map[string]any{"flow_id": fmt.Sprint("f", i), "step_id": "s", "frame_id": fmt.Sprint(i)},
			},
		}
	}
	for _, tt := range []struct {
		name  string
		n     int
		event func(i int) *Event
		flag  int16 // of those beyond
		most  int   // bytes of the state
	}{
		{
			"open flows", 3000, func(i int) *Event { return &Event{Type: "flow_started", FlowID: fmt.Sprint("f", i)} },
			FlagBeyond, 20000,
		},
		{
			"a flow, open again and again", 3000, func(int) *Event { return &Event{Type: "flow_started", FlowID: "f"} },
			FlagBeyond, 10000,
		},
		{
			"repair flows", 3000,
			func(i int) *Event { return &Event{Type: "flow_started", FlowID: fmt.Sprint("pattern_", i)} }, FlagBeyond,
			15000,
		},
		{"turns", 3 * MaxResponses, func(i int) *Event {
			if i%2 == 1 {
				return &Event{Type: "bot", Text: "yes"}
			}
			return &Event{Type: "user", Text: "and?", MessageID: fmt.Sprint(i)}
		}, FlagBeyond, 60000},
		{
			"a stack", 3000, func(i int) *Event { return &Event{Type: "stack", Patch: frame(i)} }, FlagStackNotApplied,
			60000,
		},
		{"texts on a stack", 300, func(i int) *Event {
			return &Event{Type: "stack", Patch: []PatchOp{{Op: "add", Path: "/0", Value: strings.Repeat("x", 1000)}}}
		}, FlagStackNotApplied, 150000},
		{"slots", 3000, func(i int) *Event { return &Event{Type: "slot", Name: fmt.Sprint(i), Value: "1"} }, 0, 1000},
	} {
		p, changes := driven(t, tt.n, tt.event)
		if n := len(p.Marshal()); n > tt.most {
			t.Errorf("%s: the state has %d bytes", tt.name, n)
		}
		if len(changes.Events) != tt.n {
			t.Errorf("%s: %d of %d events are kept", tt.name, len(changes.Events), tt.n)
		}
		last := changes.Events[tt.n-1].Extra | changes.Events[tt.n-2].Extra
		if tt.flag != 0 && last&tt.flag == 0 {
			t.Errorf("%s: what goes beyond is not marked: %d", tt.name, last)
		}
		if first := changes.Events[0]; first.Extra != 0 {
			t.Errorf("%s: the first is marked: %d", tt.name, first.Extra)
		}
	}
}

// TestTurnsBeyond holds at the bound itself: the last turn whose response time counts, and the first whose does not.
func TestTurnsBeyond(t *testing.T) {
	t.Parallel()
	_, changes := driven(t, 2*MaxResponses+4, func(i int) *Event {
		if i%2 == 1 {
			return &Event{Type: "bot", Text: "yes"}
		}
		return &Event{Type: "user", Text: "and?", MessageID: fmt.Sprint(i)}
	})
	for _, turn := range changes.Turns {
		if _, _, ok := turn.Response(); ok != (turn.N <= MaxResponses) {
			t.Errorf("turn %d counts: %t", turn.N, ok)
		}
	}
	c := changes.Conversations[0]
	if n := len(c.ResponseTimes()); n != MaxResponses || c.Turns != MaxResponses+2 {
		t.Errorf("%d response times of %d turns", n, c.Turns)
	}
}
