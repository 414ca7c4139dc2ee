package conversation

import (
	"cmp"
	"encoding/json"
	"hash/fnv"
	"maps"
	"math"
	"slices"
)

// live does what is particular to the kinds of events that tell of people and of what was measured.
func (f *Fold) live(c *Conversation, e *Event, seq int64) (flags int16) {
	turn := 0
	if c.Turn != nil {
		turn = c.Turn.N
	}
	switch x := e.Facts.(type) {
	case *TurnFacts:
		f.measured(c, e, seq, e.MessageID, x)
	case *StateChange:
		f.out.States = append(f.out.States, Fact[*StateChange]{e, c.ID, seq, turn, x})
		f.state(c, e, x)
	case *About:
		return c.about(e, x)
	case *Feedback:
		f.out.Feedback = append(f.out.Feedback, Fact[*Feedback]{e, c.ID, seq, turn, x})
		f.rated(c, x)
	case *Score:
		f.out.Scores = append(f.out.Scores, Fact[*Score]{e, c.ID, seq, turn, x})
	case *Activity:
		f.out.Activities = append(f.out.Activities, Fact[*Activity]{e, c.ID, seq, turn, x})
	case *Profile:
		var more []Field
		for _, name := range x.Aliases {
			more = append(more, Field{Name: name, Rev: e.Rev, At: e.At})
		}
		f.Aliases, flags = MergeFields(f.Aliases, more)
		if x.FirstSeen != 0 {
			f.FirstSeen = min(f.FirstSeen, x.FirstSeen)
		}
		for i := range x.Fields {
			x.Fields[i].At = e.At
		}
		var beyond int16
		f.Traits, beyond = MergeFields(f.Traits, x.Fields)
		return flags | beyond
	case *Presence:
		if x.Login != nil {
			f.out.Logins = append(f.out.Logins, Fact[*Login]{e, c.ID, seq, turn, x.Login})
		}
		if x.Name != "" || x.Status != "" {
			f.out.Activities = append(f.out.Activities, Fact[*Activity]{e, c.ID, seq, turn, &x.Activity})
		}
	}
	return 0
}

// mostIDs is of how many messages a conversation knows the ids: a later revision of an older one counts as a message.
const mostIDs = 1000

// KnownMessage is a message by the digest of its id.
type KnownMessage struct{ Digest, At int64 }

// digestOf is the digest of the id of a message of which later revisions may come; 0 for others.
func digestOf(e *Event) int64 {
	if _, ok := e.Facts.(*Said); !ok || e.MessageID == "" {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(e.MessageID))
	return int64(h.Sum64())
}

// known returns the message of which the event is a later copy; nil when it is none.
func (c *Conversation) known(e *Event) *KnownMessage {
	id := digestOf(e)
	if id == 0 {
		return nil
	}
	for i := range slices.Backward(c.IDs) {
		if c.IDs[i].Digest == id {
			return &c.IDs[i]
		}
	}
	return nil
}

func (c *Conversation) knows(e *Event) bool { return c.known(e) != nil }

// edited tells whether the event is a later copy of a message that came before, and has that follow it.
func (f *Fold) edited(c *Conversation, e *Event, seq int64) bool {
	of := c.known(e)
	if of == nil {
		if id := digestOf(e); id != 0 {
			if c.IDs = append(c.IDs, KnownMessage{id, e.At}); len(c.IDs) > mostIDs {
				c.IDs = slices.Delete(c.IDs, 0, 1)
			}
		}
		return false
	}
	if of.Digest == c.FirstID && e.Rev >= c.FirstRev && e.Kind == KindUser {
		c.FirstText, c.FirstRev = Snippet(e.Text), e.Rev
	}
	f.edit(c, e, of)
	if x := e.Facts.(*Said); x.Turn != nil {
		message := e.MessageID
		if e.Kind != KindUser {
			message = x.ReplyTo
		}
		f.measured(c, e, seq, message, x.Turn)
	}
	return true
}

func (f *Fold) edit(c *Conversation, e *Event, of *KnownMessage) {
	for i := range slices.Backward(f.out.Messages) {
		m := &f.out.Messages[i]
		if m.Conversation != c.ID || m.MessageID != e.MessageID || m.At != of.At {
			continue
		}
		if e.Rev >= m.Rev {
			m.Event = m.revised(e)
		}
		return
	}
	f.out.Edits = append(f.out.Edits, Edit{e, c.ID, of.At})
}

// revised returns the event with what a later revision of its message says.
func (e *Event) revised(by *Event) *Event {
	x := *e
	x.Text, x.Rich, x.Facts, x.Rev, x.Flags = by.Text, by.Rich, by.Facts, by.Rev, x.Flags|by.Flags
	return &x
}

// said notes what a message tells beside what every message does.
func (f *Fold) said(c *Conversation, e *Event, seq int64) {
	x, ok := e.Facts.(*Said)
	if !ok {
		return
	}
	switch e.Kind {
	case KindUser:
		c.Turn.Key, c.Turn.Coarse = e.MessageID, e.Is(Coarse)
		if s := c.Segment; s != nil {
			s.UserMessages++
			s.Asked = cmp.Or(s.Asked, e.At)
			f.segmentChanged(c, s)
		}
	case KindBot:
		if t := c.Turn; t != nil && t.FirstBotAt == e.At {
			t.Coarse = t.Coarse || e.Is(Coarse)
			if !math.IsNaN(x.ResponseMS) && t.Told == nil {
				t.Told = &x.ResponseMS
			}
		}
	case KindAgent:
		f.agentSpoke(c, e, x)
	default:
	}
	if e.FlowID != "" {
		f.through(c, e)
	}
	if x.Turn != nil && (e.Kind != KindUser || !x.Turn.bare(e)) {
		of := e.MessageID
		if e.Kind != KindUser {
			of = x.ReplyTo
		}
		f.measured(c, e, seq, of, x.Turn)
	}
}

// through notes that a message or turn is of a flow.
func (f *Fold) through(c *Conversation, e *Event) {
	c.TopFlow = e.FlowID
	if !UserFlow(e.FlowID) {
		return
	}
	c.LastFlow = e.FlowID
	if !slices.Contains(c.Flows, e.FlowID) && len(c.Flows) < MaxFlows {
		c.Flows = append(c.Flows, e.FlowID)
	}
	if e.StepID == "" {
		return
	}
	if r := c.openRun(e.FlowID); r != nil && r.LastStep != e.StepID {
		r.LastStep = e.StepID
		f.runChanged(c, r)
	}
}

// measured notes what is told of a turn: of that of a message, or of the last.
func (f *Fold) measured(c *Conversation, e *Event, seq int64, message string, x *TurnFacts) {
	t := c.Turn
	switch {
	case message == "" || t != nil && t.Key == message:
	case c.Before != nil && c.Before.Key == message:
		t = c.Before
	default:
		t = nil
	}
	n := 0
	if t != nil {
		n = t.N
		f.measure(c, t, e, x)
		f.turnChanged(c, t)
	}
	f.out.TurnFacts = append(f.out.TurnFacts, Fact[*TurnFacts]{e, c.ID, seq, n, x})
	for i := range x.Calls {
		f.out.Calls = append(f.out.Calls, CallRow{Fact[*Call]{e, c.ID, seq, n, &x.Calls[i]}, i})
	}
	if e.FlowID != "" {
		f.through(c, e)
	}
}

func (f *Fold) measure(c *Conversation, t *Turn, e *Event, x *TurnFacts) {
	if !math.IsNaN(x.ResponseMS) {
		t.Told = &x.ResponseMS
	}
	if !math.IsNaN(e.UnderstandingMS) {
		t.Understanding = &e.UnderstandingMS
	}
	if !math.IsNaN(e.PredictionMS) {
		t.Prediction = &e.PredictionMS
	}
	if e.Intent != "" {
		t.Intent, t.Confidence = e.Intent, nil
		if confidence := e.Confidence; !math.IsNaN(confidence) {
			t.Confidence = &confidence
		}
	}
	last := t == c.Turn
	switch {
	case x.Result == "fallback" || f.settings.fallback(t.Intent):
		t.Fallback = true
		if last && c.Last != saidNothing {
			c.Last = saidFallback
		}
	case x.Result == "error" && last:
		c.Last = saidError
	}
}

// state follows who has to answer, and whether the conversation goes on.
func (f *Fold) state(c *Conversation, e *Event, x *StateChange) {
	if h := x.Handler; h != "" {
		f.handled(c, e, h, e.AgentID, x.TeamID, cmp.Or(x.Reason, x.State, "state"))
	}
	switch x.Status {
	case StatusClosed, StatusMissed:
		f.endSegment(c, e.At, string(x.Status))
		if !c.Ended {
			c.EndedAt, c.EndReason = e.At, cmp.Or(x.Reason, x.State, string(StatusClosed))
			c.Closed = true
		}
	case StatusOpen, StatusSnoozed:
		c.wake()
	default:
		if x.Handler != "" {
			c.wake()
		}
	}
}

// handled begins the segment of who handles the conversation now, if that is another one.
func (f *Fold) handled(c *Conversation, e *Event, h Handler, agent, team, reason string) {
	if h == HandledByQueue || h == HandledByHuman {
		c.Started = true
		if c.EscalatedAt == 0 {
			c.EscalatedAt, c.EscalationReason = e.At, reason
			f.handOver(c)
		}
	}
	s := c.Segment
	if s != nil && (h == HandledByQueue) == s.Waiting && h != HandledByBot && h != HandledByNone &&
		(agent == "" || s.AgentID == "" || agent == s.AgentID) && (team == "" || s.TeamID == "" || team == s.TeamID) {
		if named := s.AgentID == "" && agent != "" || s.TeamID == "" && team != ""; named {
			s.AgentID, s.TeamID = cmp.Or(s.AgentID, agent), cmp.Or(s.TeamID, team)
			f.segmentChanged(c, s)
		}
		c.Handler = h
		return
	}
	f.endSegment(c, e.At, endOf(s, h))
	c.Handler = h
	if h != HandledByQueue && h != HandledByHuman {
		return
	}
	if h == HandledByQueue {
		agent = ""
	}
	c.SegmentCount++
	c.Segment = &Segment{N: c.SegmentCount, Waiting: h == HandledByQueue, AgentID: agent, TeamID: team, StartedAt: e.At}
	f.segmentChanged(c, c.Segment)
}

// endOf is by what a segment ends when another handler comes.
func endOf(s *Segment, next Handler) string {
	switch {
	case next == HandledByBot:
		return "returned"
	case next == HandledByNone:
		return "unassigned"
	case s != nil && s.Waiting && next == HandledByHuman:
		return "assigned"
	}
	return "transferred"
}

func (f *Fold) endSegment(c *Conversation, at int64, by string) {
	if s := c.Segment; s != nil {
		s.EndedAt, s.EndedBy = at, by
		f.segmentChanged(c, s)
	}
	c.Segment, c.Handler = nil, ""
}

func (f *Fold) segmentChanged(c *Conversation, s *Segment) {
	if !s.dirty {
		s.dirty = true
		f.out.Segments = append(f.out.Segments, ConversationSegment{c.ID, s})
	}
}

// agentSpoke counts a human agent's message. Who speaks without having been assigned handles the conversation from then
// on, unless another does.
func (f *Fold) agentSpoke(c *Conversation, e *Event, x *Said) {
	if c.Segment == nil || c.Segment.Waiting {
		f.handled(c, e, HandledByHuman, e.AgentID, "", TypeAgent)
	}
	s := c.Segment
	s.AgentMessages++
	s.Words += max(0, x.Words)
	if x.Assisted {
		s.Assisted++
	}
	if x.Pilot {
		s.Pilot++
	} else {
		s.FirstReplyAt = cmp.Or(s.FirstReplyAt, e.At)
		if s.Asked != 0 && len(s.Replies) < MaxFlows && !e.Is(Coarse) {
			s.Replies = append(s.Replies, float64(e.At-s.Asked)/1000)
		}
		s.Asked = 0
	}
	f.segmentChanged(c, s)
}

// wake takes back that the conversation was closed.
func (c *Conversation) wake() {
	if c.Closed && !c.Ended {
		c.EndedAt, c.EndReason = 0, ""
	}
	c.Closed = false
}

// Rated is what a feedback last said.
type Rated struct {
	ID       string
	Rev      float64
	Rating   Rating // "" for none
	Declined bool
}

// mostRatings is of how many feedbacks a conversation knows what they said.
const mostRatings = 20

// rated takes a rating of the conversation as a whole: the last that was given counts, each in its highest revision.
func (f *Fold) rated(c *Conversation, x *Feedback) {
	if x.Kind != "csat" {
		return
	}
	i := slices.IndexFunc(c.Ratings, func(r Rated) bool { return r.ID == x.ID })
	if i >= 0 {
		if x.Rev < c.Ratings[i].Rev {
			return
		}
		c.Ratings = slices.Delete(c.Ratings, i, i+1)
	}
	now := Rated{ID: x.ID, Rev: x.Rev}
	switch {
	case x.Status == "asked":
	case x.Status == "dismissed" || math.IsNaN(x.Score):
		now.Declined = true
	default:
		now.Rating, c.Closing = Unsatisfied, true
		of5 := x.Score
		if x.Max > x.Min {
			of5 = 1 + 4*(x.Score-x.Min)/(x.Max-x.Min)
		}
		if of5 >= float64(f.settings.SatisfiedFrom) {
			now.Rating = Satisfied
		}
	}
	if c.Ratings = append(c.Ratings, now); len(c.Ratings) > mostRatings {
		c.Ratings = slices.Delete(c.Ratings, 0, 1)
	}
	c.Asked, c.Rating, c.Declined = true, "", false
	for _, r := range c.Ratings {
		c.Declined = c.Declined || r.Declined
		if r.Rating != "" {
			c.Rating = r.Rating
		}
	}
}

// Bounds of what is known of a conversation, or a user, as a whole.
const (
	mostFields    = 200
	longestLabel  = 255
	longestField  = 16 << 10
	longestFields = 256 << 10 // all together
)

// about takes what is told of the conversation as a whole; of each thing the highest revision wins.
func (c *Conversation) about(e *Event, x *About) (flags int16) {
	if x.EndedAt != 0 && !c.Ended && e.Rev >= c.EndRev {
		at := min(max(x.EndedAt, c.StartedAt), e.At) // it has ended when it is told, and not before it began
		c.EndedAt, c.EndReason, c.EndRev, c.Closed = at, cmp.Or(x.EndReason, "told"), e.Rev, true
	}
	if x.Resolution != "" && e.Rev >= c.ResolutionRev {
		c.Resolution, c.ResolutionBy, c.ResolutionRev = x.Resolution, x.ResolutionBy, e.Rev
	}
	c.Fields, flags = MergeFields(c.Fields, x.Fields)
	return flags
}

// MergeFields adds what is told to what is known, which is sorted by name.
func MergeFields(all, more []Field) (merged []Field, flags int16) {
	sum := 0
	for _, x := range all {
		sum += len(x.Name) + len(x.Value)
	}
	for _, x := range more {
		i, known := slices.BinarySearchFunc(all, x.Name, func(a Field, name string) int { return cmp.Compare(a.Name, name) })
		switch {
		case len(x.Value) > longestField || len(x.Name) > longestLabel || !known && len(all) >= mostFields ||
			sum+len(x.Name)+len(x.Value) > longestFields:
			flags = FlagBeyond
			continue
		case !known:
			all = slices.Insert(slices.Clone(all), i, x)
		case x.Rev >= all[i].Rev:
			all = slices.Clone(all)
			all[i] = x
		}
		sum += len(x.Name) + len(x.Value)
	}
	return all, flags
}

// JSONOf writes fields as a JSON object; "" when there are none.
func JSONOf(fields []Field) string {
	if len(fields) == 0 {
		return ""
	}
	b := []byte{'{'}
	for i, x := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(x.Name) // a string: cannot fail
		b = append(append(append(b, name...), ':'), x.Value...)
	}
	return string(append(b, '}'))
}

// FieldsOf reads what JSONOf wrote; revisions and times are lost.
func FieldsOf(text string) (fields []Field) {
	var all map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &all) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fields = append(fields, Field{Name: name, Value: string(all[name])})
	}
	return fields
}
