// Package neutral decodes Turnwise's own format, in which any platform can write: ten types of events in the envelope
// of CloudEvents 1.0. It is pure: bytes in, a conversation.Event or a Reject out.
package neutral

import (
	_ "embed"
	"slices"

	"turnwise/ingest/wire"
)

// FormatID says of a stored body that it is a neutral event.
const FormatID = 2

// Format is the neutral one.
var Format = wire.Format{
	ID: FormatID, Name: "neutral",
	NewDecoder: func() wire.Decoder { return NewDecoder() },
	Digest:     Digest, Knows: Knows, Mask: masked,
}

// Schema is the JSON Schema of an event.
//
//go:embed schema.json
var Schema []byte

// The types of events.
const (
	typeConversation = "conversation.updated"
	typeState        = "conversation.state_changed"
	typeMessage      = "message"
	typeTurn         = "turn"
	typeFlow         = "flow"
	typeFeedback     = "feedback"
	typeScore        = "score"
	typeUser         = "user.updated"
	typeAgent        = "agent.status_changed"
	typeActivity     = "activity"
)

var types = []string{
	typeConversation, typeState, typeMessage, typeTurn, typeFlow, typeFeedback, typeScore, typeUser, typeAgent,
	typeActivity,
}

// Types are the types of events.
func Types() []string { return slices.Clone(types) }

// Knows tells whether the format has events of a type.
func Knows(typ string) bool { return slices.Contains(types, typ) }

// Digest is a hash of an event's content in canonical form, with members that are null left out.
func Digest(body string) uint64 {
	return wire.Digest(body, func(_, value string) bool { return value == "null" })
}
