package conversation

import (
	"cmp"
	"math"
)

// Event types that the fold knows. Unknown types are stored and counted, nothing more.
const (
	TypeUser         = "user"
	TypeBot          = "bot"
	TypeAgent        = "agent"
	TypeAction       = "action"
	TypeSlot         = "slot"
	TypeStack        = "stack"
	TypeSessionStart = "session_started"
	TypeSessionEnd   = "session_ended"
	TypeInactive     = "conversation_inactive"
	TypeRestart      = "restart"
	TypeResetSlots   = "reset_slots"
	TypePause        = "pause"
	TypeResume       = "resume"
	TypeFlowStarted  = "flow_started"
)

// Flags of an event: what was odd about it. They are stored with it.
const (
	FlagMisfit          = 1 << iota // a field had the wrong type and was left empty
	FlagRepaired                    // NUL, NaN, half surrogates or invalid UTF-8 were replaced in the body
	FlagRedacted                    // the platform sent this as the redacted copy
	FlagStackNotApplied             // the stack patch did not fit; the stack was kept as it was
	FlagMasked                      // personal data in it were masked on arrival, or since
	FlagBeyond                      // what is kept of its conversation has a bound, which it went beyond: see Bounds
)

// Event is one fact about a conversation, decoded from the wire. Its fields are facts of the event alone.
type Event struct {
	ID                 UUID
	SenderID           int64
	Assistant          string // explicit, else the intake's default; never empty
	SenderKey          string
	UserID             string
	SessionID          string
	Environment        string // of the delivery, not of the body; "" when unknown
	Type               string
	Time               float64 // seconds since 1970 UTC as on the wire: two events may differ below a microsecond
	At                 int64   // Time in microseconds
	Place              int32   // among the events of its instant, counted from 0 in the delivery that showed most of them; 0 too where no delivery tells
	Via                int32   // SmallID of the assistant by whose name it came, where that is an alias; 0: by Assistant's
	ModelID, ModelName string
	Name               string // of the action, slot, loop, reminder; of a bot message its response's name
	FlowID, StepID     string
	AgentID            string
	Reason             string // of session_ended and agent_cancelled

	Text       string
	Rich       string // JSON of what a bot message holds beside text; "" when nothing
	Intent     string
	Retrieval  string  // full retrieval intent
	Confidence float64 // NaN when not told
	Channel    string
	MessageID  string
	Entities   string // JSON list; "" when there are none
	Commands   []Command
	Value      string    // of a slot, as JSON
	Update     string    // of a stack event, the JSON Patch as text
	Patch      []PatchOp // the same read; nil when it is none

	UnderstandingMS, PredictionMS float64 // of the turn that this action_listen closes; NaN when not told
	RedactedAt                    float64 // seconds; 0 for an original, ordering redacted copies among themselves

	Masks    int32 // words that stand for personal data in a masked event
	Flags    int16
	External bool   // a user event made by a reminder or trigger, not by a person
	Body     string // the event as JSON, safe to store as text and to cast to json
	Original []byte // the bytes as received when Body had to be repaired, else nil
	BodyHash int64  // of the bytes as received; of what is stored of a masked event
	Told     []Told // digests of what was masked in it as the value of a slot
	Twin     UUID   // the id that the event has, or had, in its other form: masked, or as it came; zero when they are the same
}

// Told is the digest of words that were told as the value of a slot which is masked by name: what repeats them is masked too.
type Told struct {
	Digest  int64
	Letters int // letters and digits
	Slot    string
}

// Command is one element of what the language model (or a button) told the assistant to do.
type Command struct {
	Kind   string
	FlowID string // of "start flow"
	Slot   string // of "set slot"
	Value  string // of "set slot", JSON
	Detail string // the whole command as JSON, for the other kinds
}

// Key orders a sender's events: by time as sent; where that is equal by their place in the delivery, then by
// the order in which Rasa makes events of one instant, then by id. The order of arrival has no say in it.
type Key struct {
	Time  float64
	Place int32
	Rank  int
	ID    UUID
}

// Key returns where the event stands among those of its sender.
func (e *Event) Key() Key { return Key{e.Time, e.Place, e.rank(), e.ID} }

// Compare orders keys.
func (k Key) Compare(o Key) int {
	if c := cmp.Compare(k.Time, o.Time); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Place, o.Place); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Rank, o.Rank); c != 0 {
		return c
	}
	return k.ID.Compare(o.ID)
}

const (
	slotSessionMetadata = "session_started_metadata"
	actionSessionStart  = "action_session_start"
	actionListen        = "action_listen"
)

// RankOfStartSlot is the rank of the slot that may begin a session, see Key.
const RankOfStartSlot = 1

func (e *Event) rank() int {
	switch e.Type {
	case TypeRestart:
		return 0
	case TypeSlot:
		if e.Name == slotSessionMetadata {
			return RankOfStartSlot
		}
		return 6
	case TypeAction:
		switch e.Name {
		case "action_restart":
			return -1
		case actionSessionStart:
			return 2
		case actionListen:
			return 12
		}
		return 9
	case TypeSessionStart:
		return 3
	case TypeUser:
		return 4
	case "user_featurization", "entities":
		return 5
	case TypeStack:
		return 7
	case TypeFlowStarted:
		return 8
	case TypeBot, TypeAgent:
		return 10
	case TypeSessionEnd, TypeInactive:
		return 13
	}
	return 11
}

// MicrosOf turns seconds since 1970 into microseconds, rounded to the nearest.
func MicrosOf(seconds float64) int64 { return int64(math.Round(seconds * 1e6)) }

// OwnID tells whether the event carries an id of its own: then it is one fact, however often it comes.
func (e *Event) OwnID() bool { return e.Type == TypeUser && e.MessageID != "" }

// Replaceable returns the type, if events of it may have no other identity than what redaction changes; else "".
func Replaceable(typ []byte) string {
	switch string(typ) {
	case TypeUser:
		return TypeUser
	case TypeBot:
		return TypeBot
	case TypeAgent:
		return TypeAgent
	case TypeSlot:
		return TypeSlot
	}
	return ""
}

// MaxPlace is the greatest place of an event; those behind it share it.
const MaxPlace = math.MaxInt16

// Prefer tells whether e should replace old, an event of the same identity with other content: a
// redacted copy wins over its original, a later redaction over an earlier one, the one of which more is masked over the other, and otherwise
// the greater of two digests, so that the winner does not depend on the order of arrival.
func Prefer(e, old *Event, digest, oldDigest uint64) bool {
	if c := cmp.Compare(e.RedactedAt, old.RedactedAt); c != 0 {
		return c > 0
	}
	if c := cmp.Compare(e.Masks, old.Masks); c != 0 {
		return c > 0
	}
	return digest > oldDigest
}
