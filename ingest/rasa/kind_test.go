package rasa

import (
	"testing"

	"turnwise/conversation"
)

// TestOrderByContent: of events at one instant of which no delivery showed the order, what they are decides.
func TestOrderByContent(t *testing.T) {
	t.Parallel()
	of := func(typ, name string) *conversation.Event {
		r := raw{e: &conversation.Event{Type: typ, Name: name}}
		r.judge()
		return r.e
	}
	in := []*conversation.Event{
		of("action", "action_restart"), of("restart", ""), of(
			"slot", "session_started_metadata",
		), of("action", "action_session_start"), of("session_started", ""), of("user", ""),
		of("entities", ""), of("slot", "x"), of("stack", ""), of("flow_started", ""), of("action", "utter_x"), of("bot", ""), of("flow_completed", ""), of("action", "action_listen"),
		of("session_ended", ""),
	}
	for i := 1; i < len(in); i++ {
		if a, b := in[i-1], in[i]; a.Key().Compare(b.Key()) >= 0 {
			t.Errorf("%s %s does not come before %s %s", a.Type, a.Name, b.Type, b.Name)
		}
	}
}

// TestTraits has what Rasa's names and texts say of an event.
func TestTraits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		event    conversation.Event
		external bool
		want     conversation.Trait
	}{
		{
			conversation.Event{Type: "user", Text: "hi", MessageID: "m"},
			false,
			conversation.Replaceable | conversation.OwnID,
		},
		{conversation.Event{Type: "user", Text: "hi"}, true, conversation.Replaceable | conversation.Platform},
		{
			conversation.Event{Type: "user", Text: "EXTERNAL: reminder"},
			false,
			conversation.Replaceable | conversation.Platform,
		},
		{
			conversation.Event{Type: "user", Text: "/session_start"},
			false,
			conversation.Replaceable | conversation.Platform | conversation.Payload,
		},
		{
			conversation.Event{Type: "user", Text: "/session_started"},
			false,
			conversation.Replaceable | conversation.Payload,
		},
		{
			conversation.Event{Type: "user", Text: "/SetSlots(csat_score=4)"},
			false,
			conversation.Replaceable | conversation.Payload | conversation.SetsSlots,
		},
		{
			conversation.Event{Type: "bot", Name: "utter_ask_csat_score"},
			false,
			conversation.Replaceable | conversation.AsksBack | conversation.AsksRating,
		},
		{
			conversation.Event{Type: "bot", Name: "utter_internal_error_rasa"},
			false,
			conversation.Replaceable | conversation.Fails,
		},
		{
			conversation.Event{Type: "bot", Name: "utter_clarification_options_rasa"},
			false,
			conversation.Replaceable | conversation.AsksBack,
		},
		{conversation.Event{Type: "action", Name: "utter_ask_csat_score"}, false, conversation.AsksRating},
		{conversation.Event{Type: "action", Name: "utter_ask_name"}, false, 0},
		{
			conversation.Event{Type: "flow_started", FlowID: "pattern_customer_satisfaction"},
			false,
			conversation.AsksRating,
		},
		{conversation.Event{Type: "flow_started", FlowID: "pattern_internal_error"}, false, conversation.Fails},
		{conversation.Event{Type: "flow_completed", FlowID: "pattern_internal_error"}, false, 0},
		{conversation.Event{Type: "slot", Name: "x"}, false, conversation.Replaceable},
		{conversation.Event{Type: "followup"}, false, 0},
	} {
		r := raw{e: &tt.event, external: tt.external}
		if r.judge(); r.e.Traits != tt.want {
			t.Errorf(
				"%s %s%s%s: %b, want %b", tt.event.Type, tt.event.Name, tt.event.Text, tt.event.FlowID, r.e.Traits,
				tt.want,
			)
		}
	}
}
