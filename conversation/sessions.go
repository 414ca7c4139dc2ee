package conversation

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// conversationOf finds or begins the conversation of an event.
func (f *Fold) conversationOf(e *Event, next *Event) (c *Conversation, back Key, ok bool) {
	p := f.Projection
	switch {
	case e.Is(Apart):
		return f.journalOf(e), Key{}, true
	case e.Is(OfThread) && p.Current != nil && !p.Current.Journal:
		// It names nothing but the thread: what goes on there.
		if f.cuts(e) && !p.Current.knows(e) {
			return f.begin(e, f.firstUUID(e)), Key{}, true
		}
		return p.Current, Key{}, true
	case e.Is(OfThread) && f.settings.CutBy != CutAsTold:
		return f.begin(e, f.firstUUID(e)), Key{}, true
	case e.SessionID != "":
		return f.sessionOf(e)
	}
	if p.Current == nil || f.cuts(e) {
		return f.begin(e, f.firstUUID(e)), Key{}, true
	}
	switch {
	case !p.Current.Started && !p.Current.Ended && p.Current.Removed == 0 && (!starts(e) ||
		e.At-p.Current.LastAt <= p.Current.Idle):
		return p.Current, Key{}, true // a start repeated, as by a widget, or what belongs to it
	case e.Kind == KindBegin,
		p.Current.Ended && e.Kind == KindUser:
		return f.begin(e, f.firstUUID(e)), Key{}, true
	case e.Kind == KindMayBegin:
		if next == nil || next.Kind == KindBegin {
			c := f.begin(e, f.firstUUID(e))
			c.Provisional = next == nil
			return c, Key{}, true
		}
	}
	if p.Current.Removed > 0 {
		return f.begin(e, f.firstUUID(e)), Key{}, true
	}
	return p.Current, Key{}, true
}

// cuts tells whether an event begins the next conversation by nothing but what came before it.
func (f *Fold) cuts(e *Event) bool {
	c := f.Current
	switch f.settings.CutBy {
	case CutByIdle:
		return (c.SessionID == "" || e.Is(Named)) && (e.Kind == KindUser || e.Kind == KindBot || e.Kind == KindAgent) &&
			e.At-c.StirredAt > c.Idle
	case CutByStatus:
		return e.Is(Named) && c.Closed && e.Kind == KindUser
	case CutAsTold:
	}
	return false
}

// journalOf finds or begins the stretch of an event that belongs to no conversation: those of a month.
func (f *Fold) journalOf(e *Event) *Conversation {
	month := func(at int64) string { return time.UnixMicro(at).UTC().Format("2006-01") }
	if c := f.Current; c != nil && c.Journal && c.Removed == 0 && month(c.StartedAt) == month(e.At) {
		return c
	}
	c := f.begin(e, f.firstUUID(e))
	c.Journal = true
	return c
}

// starts tells whether an event may be the start of a session.
func starts(e *Event) bool {
	return e.Kind == KindBegin || e.Kind == KindMayBegin
}

// sessionOf finds or begins the conversation of an event that names its session.
func (f *Fold) sessionOf(e *Event) (c *Conversation, back Key, ok bool) {
	p := f.Projection
	if c := p.Current; c != nil {
		if c.SessionID == e.SessionID {
			return c, Key{}, true
		}
		if slices.Contains(c.Absorbed, e.SessionID) {
			// Somebody says something in a session that was taken for a mere start: it is one of its own.
			return c, before(c), !says(e)
		}
	}
	id := SessionUUID(e)
	if c, ok := f.known[id]; ok {
		f.leave()
		p.Current = c
		return c, Key{}, true
	}
	for _, c := range f.known {
		if slices.Contains(c.Absorbed, e.SessionID) {
			f.leave()
			p.Current = c
			return c, before(c), !says(e)
		}
	}
	if f.stored != nil {
		if first, ok := f.stored(id); ok {
			return nil, first, false
		}
	}
	if c := p.Current; c != nil && c.silent() && !e.Is(Named) && len(c.Absorbed) < MaxAbsorbed && !c.Parted && c.Removed == 0 &&
		!c.Ended && e.At-c.LastAt <= c.Idle && !f.talks(c.SessionID) {
		return nil, before(c), false // the later id names it
	}
	f.leave()
	named, absorbed := f.laterName(e)
	c = f.begin(e, SessionUUID(named))
	c.SessionID = named.SessionID
	for _, x := range absorbed {
		c.Absorbed, c.AbsorbedIDs = append(c.Absorbed, x.SessionID), append(c.AbsorbedIDs, SessionUUID(x))
	}
	return c, Key{}, true
}

// before is a key at which the conversation before c is current.
func before(c *Conversation) Key { return Key{Time: math.Nextafter(c.First.Time, 0)} }

// leave notes that another session goes on.
func (f *Fold) leave() {
	if f.Current != nil {
		f.Current.Parted = true
	}
}

// says tells whether a user or the assistant says something.
func says(e *Event) bool {
	return e.Kind == KindUser && !e.Is(Platform) || e.Kind == KindBot || e.Kind == KindAgent
}

// silent tells whether a session that is told has only begun.
func (c *Conversation) silent() bool {
	return c.SessionID != "" && c.UserMessages+c.BotMessages+c.AgentMessages == 0
}

// talks tells whether one of the call's events says something in a session.
func (f *Fold) talks(session string) bool {
	if f.talked == nil {
		f.talked = map[string]bool{}
		for _, e := range f.events {
			if e.SessionID != "" && says(e) {
				f.talked[e.SessionID] = true
			}
		}
	}
	return f.talked[session]
}

// laterName returns the event whose session names the conversation that e begins: e itself, or the first of a later
// session, while the sessions before it are mere starts that it follows within the idle limit; and the first events of
// these.
func (f *Fold) laterName(e *Event) (named *Event, absorbed []*Event) {
	if says(e) || e.Is(Named) {
		return e, nil
	}
	idle, last := int64(f.settings.IdleMinutes)*60e6, e.At
	for _, x := range f.events[f.next:] {
		if x.SessionID == "" || x.SessionID == e.SessionID || slices.ContainsFunc(
			absorbed, func(a *Event) bool { return a.SessionID == x.SessionID },
		) {
			if x.Kind == KindEnd || says(x) {
				break
			}
			last = max(last, x.At)
			continue
		}
		id := SessionUUID(x)
		_, known := f.known[id]
		if !known && f.stored != nil {
			_, known = f.stored(id)
		}
		if known || f.talks(e.SessionID) || x.At-last > idle || len(absorbed) >= MaxAbsorbed {
			break
		}
		absorbed = append(absorbed, e)
		e, last = x, max(last, x.At)
	}
	return e, absorbed
}

// SessionUUID is the id of the conversation of an event that names its session.
func SessionUUID(e *Event) UUID {
	if id, err := ParseUUID(e.SessionID); err == nil && len(e.SessionID) == 36 {
		return id
	}
	return NameUUID("session", e.Assistant, e.SenderKey, e.SessionID)
}

// firstUUID is the id of the conversation that the event begins. Several may begin at one instant of a coarse clock.
func (f *Fold) firstUUID(e *Event) UUID {
	if e.Time != f.BegunAt {
		f.BegunAt, f.BegunThen = e.Time, 0
	}
	name := []string{"conversation", e.Assistant, e.SenderKey, strconv.FormatFloat(e.Time, 'g', -1, 64)}
	if f.BegunThen > 0 {
		name = append(name, strconv.Itoa(f.BegunThen))
	}
	return NameUUID(name...)
}

// endedByNext is the reason of an end that only the next conversation's start told.
const endedByNext = "next"

// begin ends the current conversation and starts the next.
func (f *Fold) begin(e *Event, id UUID) *Conversation {
	p := f.Projection
	if old := p.Current; old != nil {
		if old.EndedAt == 0 {
			old.EndedAt, old.EndReason = old.LastAt, endedByNext
			f.touch(old)
		}
	}
	c := &Conversation{
		ID: id, SessionID: e.SessionID, First: e.Key(), StartedAt: e.At,
		Idle: int64(f.settings.IdleMinutes) * 60e6,
	}
	before := *p
	before.Current = nil
	if e.Time == p.BegunAt {
		p.BegunThen++
	}
	c.Checkpoint = before.Marshal()
	p.Current = c
	p.Count++
	f.known[id] = c
	return c
}
