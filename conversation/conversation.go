package conversation

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Conversation is a session: the unit that is counted, listed, reviewed and exported. It is part of the
// fold's state, so it holds only what later events can change.
type Conversation struct {
	ID         UUID
	SessionID  string // as the platform told it, or ""
	First      Key    // its earliest event
	StartedAt  int64
	LastAt     int64
	ActiveAt   int64  // of the last event that was no mere end or silence: the duration counts until here
	EndedAt    int64  // 0 unless an end was told or the next conversation began
	EndReason  string // of the end, as told
	Ended      bool   // for good: no event may follow
	LastSeq    int64
	FirstSeq   int64
	Idle       int64 // microseconds after LastAt at which it counts as closed
	Checkpoint []byte

	Environment, Channel string
	ModelID, ModelName   string
	UserID               string

	Events, UserMessages, BotMessages, AgentMessages, Turns int

	EscalatedAt      int64
	EscalationReason string
	Asked            bool   // for a rating
	Rating           Rating // last valid one
	Declined         bool   // skipped, or something that is no rating
	Flows            []string
	Responses        []float64 // milliseconds of the closed turns, in their order
	FirstText        string
	LastFlow         string
	TopFlow          string // on the dialogue stack
	Started          bool   // something beside the start itself has happened
	Provisional      bool   // begun by the metadata slot alone; the next event decides
	Paused           bool
	Last             answer
	Stripped         int16 // what retention removed of it: 1 its texts, 2 its events too; with 10 added, more came since. Only a session that is told goes on
	FlowDone         bool  // a user flow was completed in the open turn

	Turn     *Turn // the open one; nil before the first user event
	Before   *Turn // the one before, whose closing action_listen may come late
	Runs     []*Run
	RunCount int

	BundleAt   int64
	BundlePart int
	BundleLen  int

	stored bool
	bundle *Bundle
	dirty  bool
}

// answer is what the last words of the assistant were.
type answer int8

const (
	saidNothing answer = iota
	saidAnswer
	saidQuestion
	saidFallback
	saidError
)

// Stored tells whether an older row of the conversation stands in the store.
func (c *Conversation) Stored() bool { return c.stored }

// ClosesAt returns when the conversation ended or will count as ended if nothing more comes.
func (c *Conversation) ClosesAt() int64 {
	if c.EndedAt != 0 {
		return c.EndedAt
	}
	return c.LastAt + c.Idle
}

// Outcome returns how the conversation ended, or would if it ended now.
func (c *Conversation) Outcome() Outcome {
	switch {
	case c.UserMessages == 0:
		return NotEngaged
	case c.EscalatedAt != 0:
		return Escalated
	case c.Rating == Satisfied:
		return ResolvedConfirmed
	case c.Last == saidAnswer || c.FlowDone && c.Last != saidFallback && c.Last != saidError:
		return ResolvedAssumed
	}
	return Abandoned
}

// CSAT returns the rating, Unanswered when the user was asked in vain, or "".
func (c *Conversation) CSAT() Rating {
	if c.Rating != "" {
		return c.Rating
	}
	if c.Asked || c.Declined {
		return Unanswered
	}
	return ""
}

// ResponseTimes returns the response times of all turns in milliseconds, the open one included.
func (c *Conversation) ResponseTimes() []float64 {
	all := c.Responses[:len(c.Responses):len(c.Responses)]
	for _, t := range []*Turn{c.Before, c.Turn} {
		if t == nil {
			continue
		}
		if ms, _, ok := t.Response(); ok {
			all = append(all, ms)
		}
	}
	return all
}

// UserFlow tells a flow of the assistant from the platform's own repair flows.
func UserFlow(id string) bool { return id != "" && !strings.HasPrefix(id, "pattern_") }

// firstTextSize is how many bytes of the first message the list shows.
const firstTextSize = 200

// Snippet is as much of a message as lists show.
func Snippet(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= firstTextSize {
		return text
	}
	cut := firstTextSize
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// platformMessage tells a message that a person wrote or chose from one that the platform made.
func platformMessage(e *Event) bool {
	return e.External || strings.HasPrefix(e.Text, "EXTERNAL: ") || e.Text == "/session_start" ||
		e.Text == "/silence_timeout" || strings.HasPrefix(e.Text, "/session_start{")
}

// classify tells what a bot message was.
func (s *Settings) classify(e *Event, fallbackTurn bool) answer {
	switch {
	case strings.HasPrefix(e.Name, "utter_internal_error"):
		return saidError
	case s.fallback(e.Name) || fallbackTurn:
		return saidFallback
	case strings.HasPrefix(e.Name, "utter_ask_") || strings.HasPrefix(e.Name, "utter_clarification"):
		return saidQuestion
	}
	text := strings.TrimRight(e.Text, " \n\t\"'»”)")
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

// closingQuestion tells the questions that an assistant asks when it is done: they leave open nothing.
func closingQuestion(response string) bool {
	switch response {
	case "utter_ask_csat_score", "utter_can_do_something_else", "utter_ask_continue_conversation":
		return true
	}
	return false
}

// rates tells a button's payload that only answers the question for a rating.
func (s *Settings) rates(e *Event) bool {
	return strings.HasPrefix(e.Text, "/SetSlots") && slices.ContainsFunc(s.CSATSlots, func(slot string) bool {
		return strings.Contains(e.Text, slot)
	})
}

func (c *Conversation) openRun(flow string) *Run {
	for _, r := range slices.Backward(c.Runs) {
		if r.FlowID == flow {
			return r
		}
	}
	return nil
}
