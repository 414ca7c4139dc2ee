package conversation

// Author says who spoke.
type Author int16

// The authors of messages.
const (
	ByUser Author = iota + 1
	ByBot
	ByAgent // a human agent
	BySystem
	AsNote // a human agent, for others of the desk alone
)

// Outcome is how a conversation ended, or would if it ended now.
type Outcome string

// The outcomes that are stored. Whether a conversation is still open depends on the clock and is asked of
// ClosesAt.
const (
	ResolvedConfirmed Outcome = "resolved_confirmed"
	ResolvedAssumed   Outcome = "resolved_assumed"
	Escalated         Outcome = "escalated"
	Abandoned         Outcome = "abandoned"
	NotEngaged        Outcome = "not_engaged"
)

// EventRow is where an event stands in its conversation.
type EventRow struct {
	*Event
	Conversation UUID
	Seq          int64 // microseconds, strictly growing within the conversation
	Turn         int
	Part, Pos    int // the bundle of the conversation that holds its body, and the place in it
	Extra        int16
}

// Bundle is the bodies of up to BundleSize events of a conversation, in order.
type Bundle struct {
	Conversation UUID
	At           int64 // of its first event
	Part         int   // counted from 0
	Format       uint8 // of the bodies
	Bodies       []string
	Appended     bool // the bundle stands in the store already; Bodies are what is to be added
}

// BundleSize is how many bodies a bundle holds at most.
const BundleSize = 64

// Message is a text or rich content by one author.
type Message struct {
	*Event
	Conversation UUID
	Seq          int64
	Turn         int
	Author       Author
}

// ResponseSource says how the response time of a turn was measured.
type ResponseSource string

// The sources of response times.
const (
	FromExecutionTimes ResponseSource = "execution_times" // understanding and prediction, told by the platform
	// first bot message − user message: without understanding time
	FromBotMessage ResponseSource = "bot_message"
	FromPlatform   ResponseSource = "platform" // told as a whole
	// NotTimed is no response time: the turn was answered, and its times do not tell how long that took.
	NotTimed ResponseSource = "not_timed"
)

// Turn is a user message and everything up to the next one.
type Turn struct {
	N             int
	At            int64 // of the user message
	Seq, EndSeq   int64
	Message       UUID
	Intent        string
	Confidence    *float64 // of the intent; nil when there is none
	Platform      bool     // the message came from the platform (a session start, a timer), not from a person
	Human         bool     // a human agent had taken over
	Fallback      bool     // the assistant did not understand
	Flow          string   // on top of the dialogue stack when it ended
	Action        string   // the last that ran before the first bot message
	FirstBotAt    int64    // 0 while there is none
	Understanding *float64
	Prediction    *float64
	Listened      bool // its closing action_listen has been seen
	Key           string
	Told          *float64 // the response time, as the platform tells it
	Coarse        bool     // the times of question or answer say nothing of it
	stored        bool
	dirty         bool
}

// Response returns the turn's response time in milliseconds and how it was measured; ok is false for a turn
// without a bot message, handled by a human, or started by the platform, for one whose times do not tell, and for those
// beyond MaxResponses.
func (t *Turn) Response() (ms float64, source ResponseSource, ok bool) {
	if t.N > MaxResponses || t.Human || t.Platform || t.FirstBotAt == 0 && t.Told == nil {
		return 0, "", false
	}
	if t.Told != nil {
		return *t.Told, FromPlatform, *t.Told >= 0 && *t.Told <= longestResponse
	}
	if t.Understanding != nil || t.Prediction != nil {
		for _, p := range []*float64{t.Understanding, t.Prediction} {
			if p != nil {
				ms += *p
			}
		}
		return ms, FromExecutionTimes, ms >= 0 && ms <= longestResponse
	}
	if ms = float64(t.FirstBotAt-t.At) / 1000; t.Coarse || ms == 0 {
		return 0, NotTimed, false
	}
	return ms, FromBotMessage, ms > 0 && ms <= longestResponse
}

// longestResponse is how many milliseconds a response can have taken; what is told beyond is a mistake.
const longestResponse = 1e12

// Stored tells whether an older row of the turn stands in the store.
func (t *Turn) Stored() bool { return t.stored }

// RunStatus is how a flow run ended.
type RunStatus string

// The states of a flow run. A run that is still open when its conversation ends was lost.
const (
	RunOpen      RunStatus = "open"
	RunCompleted RunStatus = "completed"
	RunCancelled RunStatus = "cancelled"
)

// Run is one pass of a conversation through a flow.
type Run struct {
	N           int
	FlowID      string
	StartedAt   int64 // 0 when its start was not seen
	EndedAt     int64 // 0 while open
	Status      RunStatus
	Starts      int // patterns start again each time their question is asked again
	Interrupted int
	Resumed     int
	LastStep    string
	Escalated   bool // the conversation was handed to a person while the run was open
	stored      bool
	dirty       bool
}

// Stored tells whether an older row of the run stands in the store.
func (r *Run) Stored() bool { return r.stored }

// Step is the top of the dialogue stack after a patch.
type Step struct {
	Conversation   UUID
	At, Seq        int64
	FlowID, StepID string // empty for an empty stack
}

// CommandRow is a command with its place.
type CommandRow struct {
	Command
	Conversation UUID
	At, Seq      int64
	N, Turn      int
}

// SlotRow is one change of a slot.
type SlotRow struct {
	Conversation UUID
	At, Seq      int64
	Turn         int
	Name, Value  string
}

// Segment is a stretch in which a conversation waits for a human agent, or one handles it.
type Segment struct {
	N               int
	Waiting         bool
	AgentID, TeamID string
	StartedAt       int64
	EndedAt         int64  // 0 while it goes on
	EndedBy         string // assigned, transferred, returned, unassigned, closed, missed; "" while it goes on
	FirstReplyAt    int64  // of the agent; 0 while there is none
	UserMessages    int
	AgentMessages   int
	Words           int       // of the agent's messages
	Assisted, Pilot int       // of those, helped by the assistant and written by it
	Asked           int64     // when the user first wrote that nobody answered yet; 0: nothing waits
	Replies         []float64 // milliseconds from the user's first message of a run to the agent's answer

	stored, dirty bool
}

// Stored tells whether an older row of the segment stands in the store.
func (s *Segment) Stored() bool { return s.stored }

// ConversationSegment is a segment with its conversation.
type ConversationSegment struct {
	Conversation UUID
	*Segment
}

// Fact is an event that becomes a row of its own: what its Facts say, at its place in the conversation.
type Fact[T any] struct {
	*Event
	Conversation UUID
	Seq          int64
	Turn         int
	Facts        T
}

// CallRow is a call with its place among those of an event.
type CallRow struct {
	Fact[*Call]
	N int
}

// Edit is a later revision of a message that is stored.
type Edit struct {
	*Event
	Conversation UUID
	Of           int64 // when the message was first said
}

// Changes are what a fold adds to a sender's rows, oldest first.
type Changes struct {
	Conversations []*Conversation // those that changed, each once
	Events        []EventRow
	Bundles       []*Bundle
	Messages      []Message
	Turns         []ConversationTurn
	Runs          []ConversationRun
	Steps         []Step
	Commands      []CommandRow
	Slots         []SlotRow
	Segments      []ConversationSegment
	States        []Fact[*StateChange]
	TurnFacts     []Fact[*TurnFacts]
	Calls         []CallRow
	Feedback      []Fact[*Feedback]
	Scores        []Fact[*Score]
	Activities    []Fact[*Activity]
	Logins        []Fact[*Login]
	Edits         []Edit
	Markers       []MarkerRow
}

// ConversationTurn is a turn with its conversation.
type ConversationTurn struct {
	Conversation UUID
	*Turn
}

// ConversationRun is a flow run with its conversation.
type ConversationRun struct {
	Conversation UUID
	*Run
}
