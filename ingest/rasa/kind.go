package rasa

import (
	"strings"

	"turnwise/conversation"
)

// Names of Rasa's that begin sessions and end turns.
const (
	slotSessionMetadata = "session_started_metadata"
	actionSessionStart  = "action_session_start"
	actionListen        = "action_listen"
	actionRestart       = "action_restart"
	askRating           = "utter_ask_csat_score"
	flowRating          = "pattern_customer_satisfaction"
	flowError           = "pattern_internal_error"
)

// judge says what the event means, and where it stands among those that Rasa makes at one instant.
func (r *raw) judge() {
	e := r.e
	e.Kind, e.Rank = conversation.KindNone, 11
	switch e.Type {
	case typeUser:
		e.Kind, e.Rank, e.Traits = conversation.KindUser, 4, conversation.Replaceable|r.said()
	case typeBot:
		e.Kind, e.Rank, e.Traits = conversation.KindBot, 10, conversation.Replaceable|replied(e.Name)
	case typeAgent:
		e.Kind, e.Rank, e.Traits = conversation.KindAgent, 10, conversation.Replaceable
	case typeAction:
		r.action()
	case typeSlot:
		e.Kind, e.Rank, e.Traits = conversation.KindSlot, 6, conversation.Replaceable
		if e.Name == slotSessionMetadata {
			e.Kind, e.Rank = conversation.KindMayBegin, conversation.RankOfMayBegin
		}
	case typeStack:
		e.Kind, e.Rank = conversation.KindStack, 7
	case typeSessionStart:
		e.Kind, e.Rank = conversation.KindReset, 3
	case typeRestart:
		e.Kind, e.Rank = conversation.KindRestart, 0
	case typePause:
		e.Kind = conversation.KindPause
	case typeResume:
		e.Kind = conversation.KindResume
	case typeSessionEnd:
		e.Kind, e.Rank = conversation.KindEnd, 13
	case typeInactive:
		e.Kind, e.Rank = conversation.KindInactive, 13
	case "session_paused":
		e.Kind = conversation.KindSilent
	case "user_featurization", "entities":
		e.Rank = 5
	case typeFlowStarted:
		e.Kind, e.Rank = conversation.KindFlowStarted, 8
		switch e.FlowID {
		case flowRating:
			e.Traits = conversation.AsksRating
		case flowError:
			e.Traits = conversation.Fails
		}
	case "flow_completed":
		e.Kind = conversation.KindFlowCompleted
	case "flow_cancelled":
		e.Kind = conversation.KindFlowCancelled
	case "flow_interrupted":
		e.Kind = conversation.KindFlowInterrupted
	case "flow_resumed":
		e.Kind = conversation.KindFlowResumed
	}
}

func (r *raw) action() {
	e := r.e
	e.Kind, e.Rank = conversation.KindAction, 9
	switch e.Name {
	case actionRestart:
		e.Rank = -1
	case actionSessionStart:
		e.Kind, e.Rank = conversation.KindBegin, 2
	case actionListen:
		e.Kind, e.Rank = conversation.KindTurnEnd, 12
	case askRating:
		e.Traits = conversation.AsksRating
	}
}

// said tells what a user's message is: one that a person wrote or chose, or that the platform made.
func (r *raw) said() (t conversation.Trait) {
	e := r.e
	if e.MessageID != "" {
		t |= conversation.OwnID
	}
	if r.external || strings.HasPrefix(e.Text, "EXTERNAL: ") || e.Text == "/session_start" ||
		e.Text == "/silence_timeout" || strings.HasPrefix(e.Text, "/session_start{") {
		t |= conversation.Platform
	}
	if strings.HasPrefix(e.Text, "/") {
		t |= conversation.Payload
	}
	if strings.HasPrefix(e.Text, "/SetSlots") {
		t |= conversation.SetsSlots
	}
	return t
}

// replied tells what a reply is, by the name of its response.
func replied(name string) (t conversation.Trait) {
	if name == askRating {
		t |= conversation.AsksRating
	}
	switch {
	case strings.HasPrefix(name, "utter_internal_error"):
		t |= conversation.Fails
	case strings.HasPrefix(name, "utter_ask_") || strings.HasPrefix(name, "utter_clarification"):
		t |= conversation.AsksBack
	}
	return t
}
