package conversation

import (
	"math"
	"slices"
	"strconv"
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
	BegunThen           int // of those, the ones that an event of the time BegunAt began and named
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
	if e.Kind != KindEnd && e.Kind != KindInactive && e.Kind != KindSilent || c.ActiveAt == 0 {
		c.ActiveAt = max(c.ActiveAt, e.At)
	}
	if c.EndReason == endedByNext {
		c.EndedAt = c.LastAt
	}
	f.facts(c, e)
	extra := f.apply(c, e, seq)
	f.store(c, e, seq, extra)
	if c.Turn != nil {
		c.Turn.EndSeq, c.Turn.Flow = seq, c.TopFlow
		f.turnChanged(c, c.Turn)
	}
	return Key{}, true
}

// conversationOf finds or begins the conversation of an event.
func (f *Fold) conversationOf(e *Event, next *Event) (c *Conversation, back Key, ok bool) {
	p := f.Projection
	if e.SessionID != "" {
		return f.sessionOf(e)
	}
	if p.Current == nil {
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
	if c := p.Current; c != nil && c.silent() && len(c.Absorbed) < MaxAbsorbed && !c.Parted && c.Removed == 0 &&
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
	if says(e) {
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
	c.naming = c.naming || c.UserID == "" && e.UserID != ""
	first(&c.UserID, e.UserID)
	first(&f.UserID, e.UserID)
	if e.Kind == KindUser {
		first(&c.Channel, e.Channel)
		first(&f.Channel, e.Channel)
	}
	if c.ModelID == "" && c.ModelName == "" {
		c.ModelID, c.ModelName = e.ModelID, e.ModelName
	}
	if c.EndedAt != 0 && !c.Ended && c.EndReason != endedByNext && e.Kind != KindInactive && e.Kind != KindSilent {
		c.EndedAt, c.EndReason = 0, "" // it woke up
	}
	if reason := f.settings.escalation(e); reason != "" && c.EscalatedAt == 0 {
		c.EscalatedAt, c.EscalationReason = e.At, reason
		f.handOver(c)
	}
	f.pause(c, e)
	c.Asked = c.Asked || e.Is(AsksRating)
}

// handOver marks the open flow runs as those in which the conversation was handed to a human.
func (f *Fold) handOver(c *Conversation) {
	for _, r := range c.Runs {
		r.Escalated = true
		f.runChanged(c, r)
	}
}

// pause follows whether the last pause handed the conversation over: it did when a human speaks after it,
// or the assistant does not.
func (f *Fold) pause(c *Conversation, e *Event) {
	if f.settings.HandoffPause != PauseAuto {
		return
	}
	switch {
	case e.Kind == KindPause:
		f.resume(c)
		c.PausedAt = e.At
		if c.EscalatedAt == 0 {
			f.handOver(c)
		}
	case c.PausedAt == 0:
	case e.Kind == KindAgent:
		at := c.PausedAt
		if at < 0 {
			at = -at
			if c.EscalatedAt == 0 {
				f.handOver(c)
			}
		}
		if c.EscalatedAt == 0 || at < c.EscalatedAt {
			c.EscalatedAt, c.EscalationReason = at, TypePause
		}
		c.PausedAt, c.PausedRuns = 0, nil
	case e.Kind == KindResume:
		f.resume(c)
	case e.Kind == KindBot && c.PausedAt > 0: // a human may come yet
		at := c.PausedAt
		f.resume(c)
		c.PausedAt = -at
	}
}

// resume takes back that the conversation was handed over by a pause.
func (f *Fold) resume(c *Conversation) {
	if c.PausedAt == 0 {
		return
	}
	if c.PausedAt > 0 && c.EscalatedAt == 0 {
		for _, r := range slices.Concat(c.Runs, c.PausedRuns) {
			r.Escalated = false
			f.runChanged(c, r)
		}
	}
	c.PausedAt, c.PausedRuns = 0, nil
}

// apply does what is particular to the event's type and returns flags to store with it.
func (f *Fold) apply(c *Conversation, e *Event, seq int64) (flags int16) {
	switch e.Kind {
	case KindUser:
		return f.user(c, e, seq)
	case KindBot, KindAgent:
		f.reply(c, e, seq)
	case KindAction:
		f.action(c, e)
	case KindTurnEnd:
		f.turnEnd(c, e)
	case KindSlot, KindMayBegin:
		f.slot(c, e, seq)
	case KindStack:
		return f.stack(c, e, seq)
	case KindReset:
		f.reset()
	case KindRestart:
		c.Started = true
		f.reset()
		c.Paused = false
	case KindPause:
		c.Paused = true
	case KindResume:
		c.Paused = false
	case KindEnd:
		c.EndedAt, c.EndReason, c.Ended = e.At, e.Reason, true
		if c.EndReason == "" {
			c.EndReason = TypeEnd
		}
	case KindInactive:
		if !c.Ended {
			c.EndedAt, c.EndReason = e.At, TypeInactive
		}
	case KindFlowStarted, KindFlowCompleted, KindFlowCancelled, KindFlowInterrupted, KindFlowResumed:
		return f.flow(c, e)
	default: // it changes nothing
	}
	return 0
}

func (f *Fold) reset() {
	if len(f.Stack) > 0 {
		f.BeforeReset = f.Stack
	}
	f.Stack, f.weight = nil, weight{}
}

func (f *Fold) user(c *Conversation, e *Event, seq int64) (flags int16) {
	platform := e.Is(Platform)
	c.Started = c.Started || !platform
	if c.Before != nil {
		if ms, _, ok := c.Before.Response(); ok {
			c.Responses = append(c.Responses, ms)
		}
	}
	if c.Turns >= MaxResponses {
		flags = FlagBeyond
	}
	c.Before = c.Turn
	c.Turns++
	c.Turn = &Turn{
		N: c.Turns, At: e.At, Seq: seq, EndSeq: seq, Message: e.ID, Intent: e.Intent, Platform: platform,
		Human: c.Paused, Fallback: f.settings.fallback(e.Intent),
	}
	if e.Intent != "" && !math.IsNaN(e.Confidence) {
		confidence := e.Confidence
		c.Turn.Confidence = &confidence
	}
	for i, cmd := range e.Commands {
		f.out.Commands = append(f.out.Commands, CommandRow{cmd, c.ID, e.At, seq, i, c.Turns})
		if cmd.Kind == "cannot handle" || cmd.Kind == "error" {
			c.Turn.Fallback = true
		}
	}
	if !platform {
		c.UserMessages++
	}
	if !platform && !f.settings.rates(e) {
		c.spoke(f.settings.closes(e) || c.Rated && brief(e))
		if c.FirstText == "" && e.Text != "" && !e.Is(Payload) {
			c.FirstText = Snippet(e.Text)
		}
	}
	f.out.Messages = append(f.out.Messages, Message{e, c.ID, seq, c.Turns, ByUser})
	return flags
}

func (f *Fold) reply(c *Conversation, e *Event, seq int64) {
	author := ByBot
	t := c.Turn
	if e.Kind == KindAgent {
		author = ByAgent
		c.Started = true
		c.AgentMessages++
		c.Last = saidAnswer
		if t != nil && t.FirstBotAt == 0 {
			t.Human = true
		}
	} else {
		c.BotMessages++
		if t != nil && t.FirstBotAt == 0 {
			t.FirstBotAt = e.At
		}
		c.replied(f.settings, e, t != nil && t.Fallback)
	}
	turn := 0
	if t != nil {
		turn = t.N
	}
	f.out.Messages = append(f.out.Messages, Message{e, c.ID, seq, turn, author})
}

func (f *Fold) turnEnd(c *Conversation, e *Event) {
	t := c.Turn
	// It may be stamped later than the user's message that follows it: then it ends the turn before.
	if t != nil && t.EndSeq == t.Seq && c.Before != nil && !c.Before.Listened {
		t = c.Before
	}
	if t == nil {
		return
	}
	t.Listened = true
	if !math.IsNaN(e.UnderstandingMS) {
		t.Understanding = &e.UnderstandingMS
	}
	if !math.IsNaN(e.PredictionMS) {
		t.Prediction = &e.PredictionMS
	}
	f.turnChanged(c, t)
}

func (f *Fold) action(c *Conversation, e *Event) {
	if c.Turn != nil && f.settings.fallback(e.Name) {
		c.Turn.Fallback = true
		c.Last = saidFallback
	}
	if c.Turn != nil && c.Turn.FirstBotAt == 0 {
		c.Turn.Action = e.Name
	}
	c.Started = c.Started || f.settings.escalation(e) != ""
}

func (f *Fold) slot(c *Conversation, e *Event, seq int64) {
	turn := 0
	if c.Turn != nil {
		turn = c.Turn.N
	}
	f.out.Slots = append(f.out.Slots, SlotRow{c.ID, e.At, seq, turn, e.Name, e.Value})
	// Slots carried over from the conversation before come ahead of the first message.
	if c.UserMessages > 0 && slices.Contains(f.settings.CSATSlots, e.Name) {
		if e.Value != "null" {
			c.Closing = true // what the user said last was the rating
		}
		switch r := f.settings.rating(e.Value); r {
		case Satisfied, Unsatisfied:
			c.Rating = r
		case Unanswered:
			c.Declined = true
		}
	}
}

func (f *Fold) stack(c *Conversation, e *Event, seq int64) (flags int16) {
	if !f.weight.known() {
		f.weight = weigh(f.Stack)
	}
	next, heavy, err := f.Stack.apply(e.Patch, f.weight)
	if err != nil && f.BeforeReset != nil {
		next, heavy, err = f.BeforeReset.apply(e.Patch, weigh(f.BeforeReset))
	}
	if err != nil {
		return FlagStackNotApplied
	}
	f.Stack, f.weight, f.BeforeReset = next, heavy, nil
	flow, step := next.Top()
	c.TopFlow = flow
	f.out.Steps = append(f.out.Steps, Step{c.ID, e.At, seq, flow, step})
	if r := c.openRun(flow); r != nil && step != "" && r.LastStep != step {
		r.LastStep = step
		f.runChanged(c, r)
	}
	return 0
}

func (f *Fold) flow(c *Conversation, e *Event) (flags int16) {
	if e.FlowID == "" { // of no flow that is known
		return 0
	}
	c.Started = c.Started || UserFlow(e.FlowID)
	if UserFlow(e.FlowID) {
		if !slices.Contains(c.Flows, e.FlowID) {
			if len(c.Flows) >= MaxFlows {
				return FlagBeyond
			}
			c.Flows = append(c.Flows, e.FlowID)
		}
		c.LastFlow = e.FlowID
	}
	run := c.openRun(e.FlowID)
	if run == nil && e.Kind != KindFlowStarted && len(c.Runs) >= MaxFlows { // of one that is followed no further
		return FlagBeyond
	}
	if run == nil || e.Kind == KindFlowStarted && UserFlow(e.FlowID) {
		c.RunCount++
		run = &Run{N: c.RunCount, FlowID: e.FlowID, Status: RunOpen}
		if e.Kind == KindFlowStarted {
			run.StartedAt = e.At
		}
		flags = c.room()
		c.Runs = append(c.Runs, run)
	}
	if e.StepID != "" {
		run.LastStep = e.StepID
	}
	switch e.Kind {
	case KindFlowStarted:
		run.Starts++
		switch {
		case e.Is(Fails):
			c.Last = saidError
		case f.settings.fallback(e.FlowID) && c.Turn != nil:
			c.Turn.Fallback = true
		}
	case KindFlowInterrupted:
		run.Interrupted++
	case KindFlowResumed:
		run.Resumed++
	default:
		run.EndedAt, run.Status = e.At, RunCancelled
		if e.Kind == KindFlowCompleted {
			run.Status = RunCompleted
			c.FlowDone = c.FlowDone || UserFlow(e.FlowID)
		}
		c.Runs = slices.DeleteFunc(c.Runs, func(r *Run) bool { return r == run })
		if c.PausedAt > 0 && run.Escalated && len(c.PausedRuns) < MaxFlows {
			c.PausedRuns = append(c.PausedRuns, run)
		}
	}
	f.runChanged(c, run)
	return flags
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
