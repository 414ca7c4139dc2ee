package conversation

import (
	"slices"
	"strings"
)

// answer is what the last words of the assistant were.
type answer int8

const (
	saidNothing answer = iota
	saidAnswer
	saidQuestion
	saidFallback
	saidError
)

// standing is how a conversation stands: what its last words were and what was done.
type standing struct {
	Last     answer
	FlowDone bool // a user flow was completed in the turn of these words
}

// Because is why a conversation has its outcome.
type Because string

// The reasons. Those that begin with "kept" say that a last turn of the user left nothing open, so that what stood
// before counts.
const (
	NobodyWrote   Because = "nobody_wrote"
	HandedOver    Because = "handed_over"
	RatedGood     Because = "rated_good"
	ToldSo        Because = "told"
	Answered      Because = "answered"
	FlowFinished  Because = "flow_completed"
	AskedBack     Because = "question"
	FellBack      Because = "fallback"
	Failed        Because = "error"
	Unreplied     Because = "unanswered"
	KeptAnswer    Because = "kept_answered"
	KeptFlow      Because = "kept_flow_completed"
	KeptQuestion  Because = "kept_question"
	KeptFallback  Because = "kept_fallback"
	KeptError     Because = "kept_error"
	KeptUnreplied Because = "kept_unanswered"
)

// Outcome returns how the conversation ended, or would if it ended now.
func (c *Conversation) Outcome() Outcome {
	outcome, _ := c.Ending()
	return outcome
}

// Ending returns how the conversation ended, or would if it ended now, and why that is so.
func (c *Conversation) Ending() (Outcome, Because) {
	escalated, _ := c.Escalation()
	switch {
	case c.UserMessages == 0:
		return NotEngaged, NobodyWrote
	case escalated != 0:
		return Escalated, HandedOver
	case c.Resolution == "resolved" && (c.ResolutionBy == "user" || c.ResolutionBy == "human"):
		return ResolvedConfirmed, ToldSo
	case c.Resolution == "unresolved":
		return Abandoned, ToldSo
	case c.Rating == Satisfied:
		return ResolvedConfirmed, RatedGood
	case c.Resolution == "resolved":
		return ResolvedAssumed, ToldSo
	}
	s, kept := c.stands()
	outcome, because := s.outcome()
	if kept {
		because = "kept_" + because
	}
	return outcome, because
}

// stands returns how the conversation stands, and whether that stood before the user's last turn already: one that got
// nothing but a closing question, or that got nothing and leaves nothing open.
func (c *Conversation) stands() (s standing, kept bool) {
	now := standing{c.Last, c.FlowDone}
	if now.Last == saidNothing && !now.FlowDone && (c.OnlyAsked || c.Closing) {
		return c.Prior, true
	}
	return now, false
}

func (s standing) outcome() (Outcome, Because) {
	switch {
	case s.Last == saidFallback:
		return Abandoned, FellBack
	case s.Last == saidError:
		return Abandoned, Failed
	case s.Last == saidAnswer:
		return ResolvedAssumed, Answered
	case s.FlowDone:
		return ResolvedAssumed, FlowFinished
	case s.Last == saidQuestion:
		return Abandoned, AskedBack
	}
	return Abandoned, Unreplied
}

// Escalation returns when the conversation was first handed to a human, and by what; 0 when it was not.
func (c *Conversation) Escalation() (at int64, reason string) {
	if c.PausedAt > 0 && (c.EscalatedAt == 0 || c.PausedAt < c.EscalatedAt) {
		return c.PausedAt, TypePause
	}
	return c.EscalatedAt, c.EscalationReason
}

// spoke notes that the user said something that asks for an answer anew.
func (c *Conversation) spoke(closing bool) {
	c.Prior, _ = c.stands()
	if c.UserMessages <= 1 { // a greeting before the first word answered nothing
		c.Prior = standing{}
	}
	c.Last, c.FlowDone, c.OnlyAsked, c.Closing, c.Rated = saidNothing, false, false, closing, false
}

// classify tells what a bot message was.
func (s *Settings) classify(e *Event, text string, fallbackTurn bool) answer {
	switch {
	case e.Is(Fails):
		return saidError
	case s.fallback(e.Name) || fallbackTurn:
		return saidFallback
	case e.Is(AsksBack):
		return saidQuestion
	}
	text = strings.TrimRight(text, " \n\t\"'»”)")
	for _, mark := range []string{"?", "？", "؟", "՞"} {
		if strings.HasSuffix(text, mark) {
			return saidQuestion
		}
	}
	if strings.Contains(e.Rich, `"buttons":[`) || strings.Contains(e.Rich, `"quick_replies":[`) {
		return saidQuestion
	}
	return saidAnswer
}

// replied notes what a bot message says.
func (c *Conversation) replied(r *Rules, e *Event, fallbackTurn bool) {
	rest, closing := r.closingQuestion(e)
	c.Rated = closing && asksForRating(e)
	switch {
	case !closing:
		c.Last = r.classify(e, e.Text, fallbackTurn)
	case rest != "":
		plain := *e
		plain.Rich = "" // its buttons are of the closing question
		c.Last = r.classify(&plain, rest, fallbackTurn)
	case c.Last == saidNothing:
		c.OnlyAsked = true
	}
}

// rates tells a button's payload that only answers the question for a rating.
func (s *Settings) rates(e *Event) bool {
	return e.Is(SetsSlots) && slices.ContainsFunc(s.CSATSlots, func(slot string) bool {
		return strings.Contains(e.Text, slot)
	})
}

// asksForRating tells of a closing question whether it asks for a rating.
func asksForRating(e *Event) bool {
	return matchesAny(ratingPatterns, e.Name) || matchesAny(ratingPatterns, e.Text)
}

// brief tells a message that may be a rating: a number, a word or two, or a payload.
func brief(e *Event) bool {
	return e.Is(Payload) || len(wordsOf(e.Text)) <= 2
}
