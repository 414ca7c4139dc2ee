package ingest

import (
	"time"

	"turnwise/conversation"
	"turnwise/ingest/wire"
)

// Events of one instant keep the order in which one delivery showed them: a file, a tracker document, a request, a
// partition. Each gets its place among them; the greatest that any delivery gave it counts, so that the order in which
// deliveries come cannot matter.

// part is a sender's share of a part of a delivery that has an order of its own, such as one of several tracker
// documents in a file.
type part struct {
	n      int
	sender int64
}

// Order is what is known beforehand of the order within a delivery: how often its times fall, by sender.
type Order struct{ tallies map[part]*tally }

// tally counts how often the times of a part fall. Redacted copies, which come hours later, have times of their own.
type tally struct {
	last, lastRedacted float64
	events, fall       int32
}

func (t *tally) add(seconds float64, redacted bool) {
	last := &t.last
	if redacted {
		last = &t.lastRedacted
	}
	if seconds < *last {
		t.fall++
	}
	t.events++
	*last = seconds
}

// inOrder tells whether the order in which events came says something. A shuffled delivery's does not; Rasa itself
// stamps a few events later than those behind them.
func (t *tally) inOrder() bool { return t.fall*20 <= t.events }

// NewOrder returns what is known of an empty delivery.
func NewOrder() *Order { return &Order{map[part]*tally{}} }

// Note adds the next event of a part of the delivery.
func (o *Order) Note(n int, g wire.Glance) {
	k := part{n, g.Sender}
	t := o.tallies[k]
	if t == nil {
		t = new(tally)
		o.tallies[k] = t
	}
	t.add(g.Time, g.Redacted)
}

// Shuffled tells whether most events come in no order, so that it pays to sort them first.
func (o *Order) Shuffled() bool {
	events, fall := 0, 0
	for _, t := range o.tallies {
		events, fall = events+int(t.events), fall+int(t.fall)
	}
	return fall*20 > events
}

// Look tells whose a body is, and of when: at a glance where its layout allows that, else by reading it. It is not ok
// where it is no event.
func (s *Source) Look(d wire.Decoder, body string, now time.Time) (g wire.Glance, ok bool) {
	if g, ok := d.Glance(body, s.Intake()); ok {
		return g, true
	}
	e, rej := d.Decode(body, s.Intake(), now)
	if rej != nil {
		return g, false
	}
	return glanceOf(e), true
}

// Of is the source of events that name no assistant, but beside which one is told; "": none is.
func (s Source) Of(assistant string) *Source {
	if assistant != "" && !s.Always {
		s.Assistant = assistant
	}
	return &s
}

// Check tells why there is no event in a body; nil when there is one, or its mapping passes over it.
func (s *Source) Check(d wire.Decoder, body string, now time.Time) *wire.Reject {
	events, rej := s.Events(body)
	for _, body := range events {
		if _, rej = d.Decode(body, s.Intake(), now); rej == nil {
			return nil
		}
	}
	return rej
}

func glanceOf(e *conversation.Event) wire.Glance {
	return wire.Glance{Sender: e.SenderID, Time: e.Time, At: e.At, BodyHash: e.BodyHash, Redacted: e.RedactedAt != 0}
}

// places gives the events of a delivery their places.
type places struct {
	repeats   bool   // equal events that stand side by side are facts of their own
	order     *Order // nil: the delivery is judged as it comes
	now, then map[part]*instant
}

// instant is the last instant of a part, as far as it has been seen.
type instant struct {
	tally
	at       float64
	seen     []seen
	many     map[int64][]int // indices of seen by hash, once there are many
	next     int             // place
	redacted bool            // one of seen is
	newest   int64           // hash of the last event
	copies   int             // of that one, side by side
}

// seen is an event of an instant. A redacted copy stands where its original does, if that came too.
type seen struct {
	hash     int64
	kind     kind
	redacted bool
	place    int
}

// kind is by what a redacted copy and its original may be known to be the same.
type kind struct {
	typ, name   string
	replaceable bool
}

// arrivingEvent is the next event of a part.
type arrivingEvent struct {
	at       float64
	hash     int64
	kind     kind
	redacted bool
	own      bool        // it has an id of its own
	ask      func() bool // tells that instead, where it is not known yet
}

// single tells whether the event has an id of its own: then it is one fact, however often it comes.
func (e *arrivingEvent) single() bool { return e.own || e.ask != nil && e.ask() }

func arrivingOf(e *conversation.Event) arrivingEvent {
	k := kind{e.Type, e.Name, e.Is(conversation.Replaceable)}
	if e.Is(conversation.OwnID) {
		k.name = e.MessageID
	}
	return arrivingEvent{
		at: e.Time, hash: e.BodyHash, kind: k, redacted: e.RedactedAt != 0, own: e.Is(conversation.OwnID),
	}
}

// remembered is how many senders' instants are kept at least; an instant is rarely parted by so many others.
const remembered = 1 << 16

func newPlaces(order *Order, repeats bool) *places {
	return &places{repeats: repeats, order: order, now: map[part]*instant{}}
}

// of returns the place of the next event of a part, and which of several equal events that stand side by side it is,
// from 1.
func (p *places) of(k part, e arrivingEvent) (place, nth int) {
	s := p.now[k]
	if s == nil {
		if s = p.then[k]; s == nil {
			s = new(instant)
		}
		if len(p.now) >= remembered {
			p.then, p.now = p.now, map[part]*instant{}
		}
		p.now[k] = s
	}
	if e.at != s.at {
		s.at, s.seen, s.many, s.next, s.copies, s.newest, s.redacted = e.at, s.seen[:0], nil, 0, 0, 0, false
	}
	s.add(e.at, e.redacted)
	judged := &s.tally
	if p.order != nil {
		if judged = p.order.tallies[k]; judged == nil {
			judged = &tally{fall: 1} // of which nothing is known
		}
	}
	if s.copies > 0 && s.newest == e.hash && p.repeats && judged.fall == 0 && !e.single() {
		s.copies++
	} else {
		s.copies = 1
	}
	s.newest = e.hash
	at, ok := s.find(e.hash, s.copies)
	if !ok {
		at = s.append(e)
	}
	if !judged.inOrder() {
		return 0, 1
	}
	return min(at, conversation.MaxPlace), s.copies
}

// find returns the place of the nth of equal bodies.
func (s *instant) find(hash int64, nth int) (place int, ok bool) {
	if s.many != nil {
		if all := s.many[hash]; nth <= len(all) {
			return s.seen[all[nth-1]].place, true
		}
		return 0, false
	}
	for _, x := range s.seen {
		if x.hash == hash {
			if nth--; nth == 0 {
				return x.place, true
			}
		}
	}
	return 0, false
}

// append notes an event and returns its place.
func (s *instant) append(e arrivingEvent) (place int) {
	if s.redacted = s.redacted || e.redacted; s.redacted {
		place = s.counterpart(e)
	}
	if !s.redacted || place < 0 {
		place = s.next
		s.next++
	}
	s.seen = append(s.seen, seen{e.hash, e.kind, e.redacted, place})
	switch {
	case s.many != nil:
		s.many[e.hash] = append(s.many[e.hash], len(s.seen)-1)
	case len(s.seen) > 64:
		s.many = make(map[int64][]int, 2*len(s.seen))
		for i, x := range s.seen {
			s.many[x.hash] = append(s.many[x.hash], i)
		}
	}
	return place
}

// counterpart returns the place of the first event of the same kind that is redacted where e is not, or the other way
// round, and to which none has been found yet; or -1.
func (s *instant) counterpart(e arrivingEvent) int {
	if !e.kind.replaceable {
		return -1
	}
	nth := 0
	for _, x := range s.seen {
		if x.kind == e.kind && x.redacted == e.redacted {
			nth++
		}
	}
	for _, x := range s.seen {
		if x.kind == e.kind && x.redacted != e.redacted {
			if nth--; nth < 0 {
				return x.place
			}
		}
	}
	return -1
}

// give notes place and number of an event.
func give(e *conversation.Event, place, nth int) {
	e.Place = int32(place)
	if nth > 1 {
		e.ID = conversation.RepeatID(e.ID, nth)
	}
}

// Arrange gives the events of a whole delivery, in their order, their places. partOf tells of which part each is.
func Arrange(events []*conversation.Event, partOf func(i int) int) {
	order := NewOrder()
	for i, e := range events {
		order.Note(partOf(i), glanceOf(e))
	}
	p := newPlaces(order, true)
	for i, e := range events {
		place, nth := p.of(part{partOf(i), e.SenderID}, arrivingOf(e))
		give(e, place, nth)
	}
}
