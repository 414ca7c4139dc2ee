package conversation

import (
	"math"
	"slices"
)

// apply does what is particular to the event's type and returns flags to store with it.
func (f *Fold) apply(c *Conversation, e *Event, seq int64) (flags int16) {
	if f.edited(c, e, seq) {
		return 0
	}
	switch e.Kind {
	case KindUser:
		flags = f.user(c, e, seq)
		f.said(c, e, seq)
		return flags
	case KindBot, KindAgent:
		f.reply(c, e, seq)
		f.said(c, e, seq)
	case KindSystem, KindNote:
		f.aside(c, e, seq)
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
	case KindFlowStarted, KindFlowCompleted, KindFlowCancelled, KindFlowInterrupted, KindFlowResumed, KindFlowStep:
		return f.flow(c, e, seq)
	case KindTurn, KindState, KindAbout, KindFeedback, KindScore, KindActivity, KindProfile, KindPresence:
		return f.live(c, e, seq)
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
		ms, source, ok := c.Before.Response()
		if ok {
			c.Responses = append(c.Responses, ms)
		}
		if source == NotTimed {
			c.Untimed++
		}
	}
	if c.Turns >= MaxResponses {
		flags = FlagBeyond
	}
	c.Before = c.Turn
	c.Turns++
	c.Turn = &Turn{
		N: c.Turns, At: e.At, Seq: seq, EndSeq: seq, Message: e.ID, Intent: e.Intent, Platform: platform,
		Human: c.Paused || c.Handler == HandledByHuman, Fallback: f.settings.fallback(e.Intent),
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
			c.FirstText, c.FirstID, c.FirstRev = Snippet(e.Text), digestOf(e), e.Rev
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

// aside keeps what the platform says, and what human agents note.
func (f *Fold) aside(c *Conversation, e *Event, seq int64) {
	author, turn := BySystem, 0
	if e.Kind == KindNote {
		author = AsNote
	}
	if c.Turn != nil {
		turn = c.Turn.N
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

func (f *Fold) flow(c *Conversation, e *Event, seq int64) (flags int16) {
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
	if e.Is(Named) { // of a platform that tells flows and no stack of them
		f.onTop(c, e, seq)
	}
	switch e.Kind {
	case KindFlowStep:
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
		if e.Is(Fails) {
			c.Last = saidError
		}
		c.Runs = slices.DeleteFunc(c.Runs, func(r *Run) bool { return r == run })
		if c.PausedAt > 0 && run.Escalated && len(c.PausedRuns) < MaxFlows {
			c.PausedRuns = append(c.PausedRuns, run)
		}
	}
	f.runChanged(c, run)
	return flags
}

// onTop notes which flow goes on, and its step.
func (f *Fold) onTop(c *Conversation, e *Event, seq int64) {
	flow, step := e.FlowID, e.StepID
	switch e.Kind {
	case KindFlowCompleted, KindFlowCancelled, KindFlowInterrupted:
		flow, step = "", ""
		for _, r := range slices.Backward(c.Runs) {
			if r.FlowID != e.FlowID {
				flow, step = r.FlowID, r.LastStep
				break
			}
		}
	default:
	}
	c.TopFlow = flow
	f.out.Steps = append(f.out.Steps, Step{c.ID, e.At, seq, flow, step})
}
