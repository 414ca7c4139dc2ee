package conversation

import "math"

// Facts is what an event of some kinds says beside what every event does.
type Facts interface{ facts() }

func (*Said) facts()        {}
func (*TurnFacts) facts()   {}
func (*StateChange) facts() {}
func (*About) facts()       {}
func (*Feedback) facts()    {}
func (*Score) facts()       {}
func (*Activity) facts()    {}
func (*Presence) facts()    {}
func (*Profile) facts()     {}

// Said is what a message says beside its text. Details are the rest, as a JSON object; "" when there is none.
type Said struct {
	AgentSession string
	Type         string // as the platform calls it
	ReplyTo      string // the message that it answers
	Details      string
	ResponseMS   float64 // NaN when not told
	Words        int     // of a human agent's; -1 when not told
	Assisted     bool    // a human agent was helped by the assistant
	Pilot        bool    // the assistant wrote it in a human agent's name
	Deleted      bool
	Turn         *TurnFacts // nil: none
}

// TurnFacts is what was measured of a turn, and what was done in it.
type TurnFacts struct {
	ResponseMS float64 // NaN when not told
	Result     string  // handled, fallback, no_input, error; "" when not told
	Calls      []Call
	Details    string // the rest, as a JSON object
}

// bare tells whether nothing is told but what stands with a user's message as well.
func (x *TurnFacts) bare(e *Event) bool {
	return x.Result == "" && x.Details == "" && len(x.Calls) == 0 && math.IsNaN(x.ResponseMS) &&
		math.IsNaN(e.UnderstandingMS) && math.IsNaN(e.PredictionMS)
}

// Call is one call of a model, a tool or a service. Numbers are NaN when not told.
type Call struct {
	Kind, Name, Provider, Status, Error string
	MS, FirstTokenMS, Cost              float64
	InputTokens, OutputTokens           float64
	Details                             string // the rest, as a JSON object
}

// StateChange is that a conversation has another state, or another handler.
type StateChange struct {
	ID      string
	Status  Status
	Handler Handler
	TeamID  string
	State   string // the platform's own word
	Reason  string
	By      string // user, bot, human, system
	Custom  string // JSON object
}

// Status is whether a conversation goes on; "" when nothing is told.
type Status string

// The statuses.
const (
	StatusOpen    Status = "open"
	StatusSnoozed Status = "snoozed"
	StatusClosed  Status = "closed"
	StatusMissed  Status = "missed" // closed, and nobody took it
)

// Handler is who has to answer; "" when nothing is told.
type Handler string

// The handlers.
const (
	HandledByBot   Handler = "bot"
	HandledByQueue Handler = "queue" // it waits for a human
	HandledByHuman Handler = "human"
	HandledByNone  Handler = "none"
)

// About is what is told of a conversation as a whole.
type About struct {
	EndedAt      int64 // 0 when not told
	EndReason    string
	Resolution   string // resolved, unresolved, escalated, pending, unknown; "" when not told
	ResolutionBy string
	Fields       []Field // each with the revision of the event
}

// Field is one thing that is known of a conversation or a user, as JSON; the higher revision wins.
type Field struct {
	Name, Value string
	Rev         float64
	At          int64 // of the event that told it
}

// Names are the names of fields.
func Names(fields []Field) []string {
	all := make([]string, len(fields))
	for i, x := range fields {
		all[i] = x.Name
	}
	return all
}

// Profile is what is told of a user.
type Profile struct {
	Aliases   []string
	FirstSeen int64 // 0 when not told
	Fields    []Field
}

// Feedback is what a user was asked, or said, about a conversation, a message or an agent.
type Feedback struct {
	ID        string
	Kind      string // csat, nps, thumbs
	Status    string // asked, answered, dismissed
	Score     float64
	Min, Max  float64
	Comment   string
	MessageID string
	Rev       float64
	Details   string
}

// Score is a judgement from outside.
type Score struct {
	ID, Name    string
	Value       string  // JSON: a number, a text or a truth value
	Number      float64 // NaN when it is none
	Explanation string
	By, Author  string // human, model, rule; who
	MessageID   string
	Rev         float64
	Details     string
}

// Activity is what somebody did beside talking.
type Activity struct {
	ID           string
	Actor        string // user, human, bot, system
	Name         string
	Status       string // of a human agent: available, busy, away, offline
	AgentSession string
	Properties   string // JSON
	Error        string
	URL          string
	Details      string
}

// Presence is what is told of a human agent: whether they are there, and a login.
type Presence struct {
	Activity
	Login *Login // nil: none is told
}

// Login is a human agent's login at the console.
type Login struct {
	ID             string
	Started, Ended int64 // 0 when not told
	Name, Email    string
	Groups         []string
	Details        string
	Rev            float64
}
