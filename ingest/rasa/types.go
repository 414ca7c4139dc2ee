package rasa

// Types of events that mean something to us.
const (
	typeUser         = "user"
	typeBot          = "bot"
	typeAgent        = "agent"
	typeAction       = "action"
	typeSlot         = "slot"
	typeStack        = "stack"
	typeSessionStart = "session_started"
	typeSessionEnd   = "session_ended"
	typeInactive     = "conversation_inactive"
	typeRestart      = "restart"
	typeResetSlots   = "reset_slots"
	typePause        = "pause"
	typeResume       = "resume"
	typeFlowStarted  = "flow_started"
)

// types are the events that Rasa is documented to send, of all its versions.
var types = set(
	"user", "bot", "action", "slot", "session_started", "restart", "rewind", "undo", "reset_slots", "pause", "resume",
	"followup", "reminder", "cancel_reminder",
	"active_loop", "form", "loop_interrupted", "form_validation", "action_execution_rejected", "entities",
	"user_featurization", "export", "agent",
	"flow_started", "flow_completed", "flow_cancelled", "flow_interrupted", "flow_resumed", "stack",
	"routing_session_ended", "session_ended",
	"conversation_inactive", "session_paused", "agent_started", "agent_completed", "agent_interrupted",
	"agent_cancelled", "agent_resumed",
)

func set(names ...string) map[string]bool {
	all := make(map[string]bool, len(names))
	for _, n := range names {
		all[n] = true
	}
	return all
}

// Knows tells whether Rasa is documented to send events of a type.
func Knows(typ string) bool { return types[typ] }
