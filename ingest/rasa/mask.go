package rasa

import (
	"strings"
	"time"

	"turnwise/conversation"
	"turnwise/mask"
)

// Masked returns the event with personal data masked, or the same one where there are none. key makes the ids of masked events: those that
// are made of texts would let everybody who can guess what was masked see that the guess is right.
func (d *Decoder) Masked(e *conversation.Event, m *mask.Masker, key []byte) (*conversation.Event, *Reject) {
	body, n := m.Event(e.Body)
	masked := e.Flags&conversation.FlagMasked != 0 // before: the id stays
	telling := len(key) > 0 && !masked && telling(e)
	if n == 0 {
		if telling {
			e.Twin = conversation.KeyedID(key, e.ID)
		}
		return e, nil
	}
	x, rej := d.Decode(body, Intake{Assistant: e.Assistant, Environment: e.Environment, Stored: true}, time.Time{})
	if rej != nil {
		return nil, rej
	}
	x.ID, x.Place = e.ID, e.Place
	x.Flags |= e.Flags&conversation.FlagRepaired | conversation.FlagMasked
	x.Masks = mask.Count(body)
	if telling {
		x.ID, x.Twin = conversation.KeyedID(key, e.ID), e.ID
	}
	return x, nil
}

// telling tells whether the event's id is made of texts, see discriminator.
func telling(e *conversation.Event) bool {
	switch e.Type {
	case conversation.TypeUser:
		return !e.OwnID()
	case conversation.TypeAction, "action_execution_rejected", "followup", "active_loop", "reminder", "cancel_reminder", "form",
		conversation.TypeSessionStart, conversation.TypeSessionEnd, conversation.TypeInactive, conversation.TypeRestart,
		conversation.TypePause, conversation.TypeResume, conversation.TypeResetSlots, "rewind", "undo", "export",
		"routing_session_ended", "session_paused", "user_featurization":
		return false
	}
	return !strings.HasPrefix(e.Type, "flow_") && !strings.HasPrefix(e.Type, "agent_")
}
