package conversation

import (
	"cmp"
	"math"
)

// Kind is what an event means to the fold. An adapter says which kind its platform's events are of; those of no kind
// are stored and counted, nothing more.
type Kind uint8

// The kinds of events.
const (
	KindNone        Kind = iota
	KindUser             // somebody, or the platform in their place, sends a message
	KindBot              // the assistant replies
	KindAgent            // a human agent replies
	KindAction           // the assistant runs an action
	KindTurnEnd          // the assistant has done what it does in a turn, and listens
	KindBegin            // a conversation begins
	KindMayBegin         // one begins if KindBegin follows directly; else it is a slot
	KindSlot             // a slot is set
	KindStack            // the dialogue stack changes
	KindReset            // the dialogue stack is emptied
	KindRestart          // the user begins anew
	KindPause            // the assistant falls silent
	KindResume           // the assistant speaks again
	KindEnd              // the conversation ends for good
	KindInactive         // it ended by silence: it goes on when something comes
	KindSilent           // likewise, but says nothing of an end
	KindFlowStarted      // and the others of flows
	KindFlowCompleted
	KindFlowCancelled
	KindFlowInterrupted
	KindFlowResumed
	KindFlowStep // a flow is at a step
	KindSystem   // the platform itself says something
	KindNote     // a human agent notes something that the user does not see
	KindTurn     // what was measured of a turn
	KindState    // the conversation has another state or handler
	KindAbout    // something is told of the conversation as a whole
	KindFeedback // the user is asked for, or gives, a rating
	KindScore    // somebody judges from outside
	KindActivity // somebody does something beside talking
	KindProfile  // something is told of a user
	KindPresence // something is told of a human agent
)

// Flow tells whether the kind is one of a flow.
func (k Kind) Flow() bool { return k >= KindFlowStarted && k <= KindFlowStep }

// passive tells whether the kind tells of a conversation without going on with it.
func (k Kind) passive() bool { return k == KindTurn || k == KindNote || k >= KindAbout }

// Trait is what an event is beside its kind, as its adapter tells.
type Trait uint16

// The traits of events.
const (
	OwnID       Trait = 1 << iota // it has an id of its own: then it is one fact, however often it comes
	Replaceable                   // but for OwnID it has no other identity than what redaction changes
	Platform                      // a message that the platform made in a person's place
	Payload                       // what a button sends, not what a person types
	SetsSlots                     // a payload that does nothing but set slots
	AsksBack                      // by its name, the assistant asks back
	Fails                         // by its name, something failed within
	AsksRating                    // by its name, the assistant asks for a rating
	Named                         // its session is a conversation of its own, even if nothing is said in it
	Coarse                        // its time says nothing of how long an answer took
	Test                          // it is of a test
	Apart                         // it belongs to no conversation
	OfThread                      // it names no conversation beside its thread
)

// Types of events, as the database names them.
const (
	TypeAction   = "action"
	TypePause    = "pause"
	TypeResume   = "resume"
	TypeRestart  = "restart"
	TypeAgent    = "agent"
	TypeEnd      = "session_ended"
	TypeInactive = "conversation_inactive"
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
	ID          UUID
	SenderID    int64
	Assistant   string // explicit, else the intake's default; never empty
	SenderKey   string
	UserID      string
	SessionID   string
	Environment string  // of the delivery, not of the body; "" when unknown
	Type        string  // as the platform calls it
	Time        float64 // seconds since 1970 UTC as on the wire: two events may differ below a microsecond
	At          int64   // Time in microseconds
	Order       int64   // within its instant, as the platform tells it; 0 when it does not
	// among the events of its instant, counted from 0 in the delivery that showed most of them; 0 too where no delivery
	// tells
	Place int32
	// SmallID of the assistant by whose name it came, where that is an alias; 0: by Assistant's
	Via                int32
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

	UnderstandingMS, PredictionMS float64 // of the turn that this event ends; NaN when not told
	RedactedAt                    float64 // seconds; 0 for an original, ordering redacted copies among themselves
	Rev                           float64 // of those with one identity the highest wins

	Facts Facts // what events of some kinds say beside; nil for others

	Kind     Kind
	Traits   Trait
	Rank     int8  // among the events of its instant where no delivery tells, see Key
	Format   uint8 // of the wire, by which Body is read
	Masks    int16 // words that stand for personal data in a masked event
	Flags    int16
	Body     string // the event as JSON, safe to store as text and to cast to json
	Original []byte // the bytes as received when Body had to be repaired, else nil
	BodyHash int64  // of the bytes as received; of what is stored of a masked event
	Told     []Told // digests of what was masked in it as the value of a slot
	// the id that the event has, or had, in its other form: masked, or as it came; zero when they are the same
	OtherID UUID
}

// Told is the digest of words that were told as the value of a slot which is masked by name: what repeats them is
// masked too.
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

// Is tells whether the event has a trait.
func (e *Event) Is(t Trait) bool { return e.Traits&t != 0 }

// RankOfMayBegin is the rank of events of KindMayBegin, see Key.
const RankOfMayBegin = 1

// Key orders a sender's events: by time as sent; where that is equal by the order that the platform tells, by their
// place in the delivery, then by the order in which the platform makes events of one instant, then by id. The order of
// arrival has no say in it.
type Key struct {
	Time  float64
	Order int64
	Place int32
	Rank  int
	ID    UUID
}

// Key returns where the event stands among those of its sender.
func (e *Event) Key() Key { return Key{e.Time, e.Order, e.Place, int(e.Rank), e.ID} }

// Compare orders keys.
func (k Key) Compare(o Key) int {
	if c := cmp.Compare(k.Time, o.Time); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Order, o.Order); c != 0 {
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

// MicrosOf turns seconds since 1970 into microseconds, rounded to the nearest.
func MicrosOf(seconds float64) int64 { return int64(math.Round(seconds * 1e6)) }

// MaxPlace is the greatest place of an event; those behind it share it.
const MaxPlace = math.MaxInt16

// Prefer tells whether e should replace old, an event of the same identity with other content: a redacted copy wins
// over its original, a later redaction over an earlier one, a later revision over an earlier one, the one of which more
// is masked over the other, and otherwise the greater of two digests, so that the winner does not depend on the order of arrival.
func Prefer(e, old *Event, digest, oldDigest uint64) bool {
	if c := cmp.Compare(e.RedactedAt, old.RedactedAt); c != 0 {
		return c > 0
	}
	if c := cmp.Compare(e.Rev, old.Rev); c != 0 {
		return c > 0
	}
	if c := cmp.Compare(e.Masks, old.Masks); c != 0 {
		return c > 0
	}
	return digest > oldDigest
}
