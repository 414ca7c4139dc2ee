package marker

import (
	"encoding/json"
	"fmt"
)

// Event is what markers look at.
type Event struct {
	Action    string // that ran
	Message   bool   // of a user
	Intent    string
	Retrieval string // full retrieval intent
	Slot      string // that was set
	Null      bool   // to nothing
}

// Marker tells at which events it holds.
type Marker struct {
	root  node
	size  int // of its state
	parts int // operators and conditions
}

// Compile reads the configuration of a definition.
func Compile(config string) (*Marker, error) {
	var read map[string]any
	if err := json.Unmarshal([]byte(config), &read); err != nil {
		return nil, fmt.Errorf("read a marker: %w", err)
	}
	parts := 0
	root, err := compile(read, &parts)
	if err != nil {
		return nil, err
	}
	m := &Marker{root: *root, parts: parts}
	m.place(&m.root)
	return m, nil
}

// place gives the nodes that remember something a place in the state.
func (m *Marker) place(n *node) {
	switch n.word {
	case opSeq, opOnce, opNever, onSlot, offSlot:
		n.state = m.size
		m.size++
	}
	for i := range n.parts {
		m.place(&n.parts[i])
	}
}

// Never tells a marker that holds when a conversation ends in which its part did not hold at any event.
func (m *Marker) Never() bool { return m.root.word == opNever }

// State is what a marker remembers between the events of a conversation: how far its operators and conditions came.
type State []int16

// Start is the state before the first event of a conversation.
func (m *Marker) Start() State { return make(State, m.size) }

// Reported takes the next event of a conversation, and tells whether the marker is reported at it: at each where it
// holds, or, if it is to hold once, at the first. One that is never to hold is reported at the end: see Spared.
func (m *Marker) Reported(s State, e *Event) bool {
	held := m.root.word == opOnce && s[m.root.state] != 0
	return m.root.holds(s, e) && !held && !m.Never()
}

// Spared tells that of a marker of Never the part held at no event so far.
func (m *Marker) Spared(s State) bool { return m.Never() && s[m.root.state] == 0 }

// holds takes the next event. All parts see every event, whatever the others say.
func (n *node) holds(s State, e *Event) bool {
	switch n.word {
	case onAction:
		return e.Action != "" && e.Action == n.name
	case offAction:
		return e.Action == "" || e.Action != n.name
	case onIntent, offIntent:
		is := e.Message && (e.Intent == n.name || e.Retrieval == n.name)
		return is == (n.word == onIntent)
	case onSlot, offSlot:
		if e.Slot != "" && e.Slot == n.name {
			s[n.state] = 1
			if e.Null {
				s[n.state] = 0
			}
		}
		return (s[n.state] != 0) == (n.word == onSlot)
	case opSeq:
		next, held := s[n.state], false
		for i := range n.parts {
			if n.parts[i].holds(s, e) && i == int(next) {
				held = true
			}
		}
		if held {
			s[n.state]++
		}
		if int(s[n.state]) < len(n.parts) {
			return false
		}
		s[n.state] = 0
		return true
	case opOnce, opNever:
		if n.parts[0].holds(s, e) {
			s[n.state] = 1
		}
		return (s[n.state] != 0) == (n.word == opOnce)
	case opNot:
		return !n.parts[0].holds(s, e)
	}
	all, any := true, false
	for i := range n.parts {
		is := n.parts[i].holds(s, e)
		all, any = all && is, any || is
	}
	switch n.word {
	case opOr:
		return any
	case opNotAll:
		return !all
	}
	return all
}
