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
	StirredAt  int64  // of the last event that went on with it: it counts as closed Idle after that
	EndedAt    int64  // 0 unless an end was told or the next conversation began
	EndReason  string // of the end, as told
	Ended      bool   // for good: no event may follow
	LastSeq    int64
	FirstSeq   int64
	Idle       int64 // microseconds after StirredAt at which it counts as closed
	Checkpoint []byte

	Environment, Channel string
	ModelID, ModelName   string
	UserID               string

	Events, UserMessages, BotMessages, AgentMessages, Turns int

	EscalatedAt      int64 // 0 unless it was handed to a human for certain; see Escalation
	EscalationReason string
	// of a pause that counts as a hand-off as long as the assistant says nothing after it; 0 for none, negative once it
	// did: a human may come yet
	PausedAt   int64
	PausedRuns []*Run // that ended since
	Asked      bool   // for a rating
	Rating     Rating // last valid one
	Declined   bool   // skipped, or something that is no rating
	Flows      []string
	Responses  []float64 // milliseconds of the closed turns, in their order
	Untimed    int       // of them, those that were answered at times that do not tell
	FirstText  string
	LastFlow   string
	TopFlow    string // on the dialogue stack
	// something beside the start itself, messages of the platform and the assistant's greeting has happened
	Started     bool
	Provisional bool // begun by the metadata slot alone; the next event decides
	Paused      bool
	Absorbed    []string // ids of sessions in which nothing was said, before the one that names it
	AbsorbedIDs []UUID   // that their conversations would have
	Parted      bool     // events of another session came between
	Last        answer
	Prior       standing // how it stood before the user's last message
	OnlyAsked   bool     // since the user's last message there were only closing questions
	Closing     bool     // the user's last message leaves nothing open
	Rated       bool     // the assistant's last words asked for a rating
	Removed     int16    // what retention removed of it: 1 its texts, 2 its events too
	Resumed     bool     // events came after that; only a session that is told goes on
	FlowDone    bool     // a user flow was completed in the open turn
	Journal     bool     // events of a month that belong to no conversation
	Test        bool     // it is no real one
	Closed      bool     // by its state: it goes on when somebody writes

	Handler       Handler
	Segment       *Segment // the open one
	SegmentCount  int
	IDs           []KnownMessage // its last messages
	FirstID       int64          // digest of the id of the message that FirstText is of
	FirstRev      float64
	Fields        []Field // what is known of it as a whole
	Resolution    string  // as told
	ResolutionBy  string
	ResolutionRev float64
	EndRev        float64
	Ratings       []Rated // the last ones, the latest last

	Markers []MarkerState // of the patterns that it was begun with, by id
	Marked  *MarkedEvent  // the last one that they saw; nil where none of them waits for the end

	Turn     *Turn // the open one; nil before the first user event
	Before   *Turn // the one before, whose closing action_listen may come late
	Runs     []*Run
	RunCount int

	BundleAt     int64
	BundlePart   int
	BundleLen    int
	BundleFormat int // of the bodies in it

	Engaged bool // somebody had written when it was last stored

	stored  bool
	bundle  *Bundle
	dirty   bool
	engaged bool // somebody writes for the first time since
	naming  bool // the user is told in the fold that is under way
	named   bool // the user was told since it was last stored
}

// Stored tells whether an older row of the conversation stands in the store.
func (c *Conversation) Stored() bool { return c.stored }

// BecameEngaged tells whether somebody writes in it for the first time since it was last stored.
func (c *Conversation) BecameEngaged() bool { return c.engaged }

// BecameNamed tells whether its user is told for the first time since it was last stored.
func (c *Conversation) BecameNamed() bool { return c.named }

// ClosesAt returns when the conversation ended or will count as ended if nothing more comes.
func (c *Conversation) ClosesAt() int64 {
	if c.EndedAt != 0 {
		return c.EndedAt
	}
	return c.StirredAt + c.Idle
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

// UntimedTurns is how many turns were answered at times that do not tell how long it took, the open one included.
func (c *Conversation) UntimedTurns() int {
	n := c.Untimed
	for _, t := range []*Turn{c.Before, c.Turn} {
		if t == nil {
			continue
		}
		if _, source, _ := t.Response(); source == NotTimed {
			n++
		}
	}
	return n
}

// UserFlow tells a flow of the assistant from those by which a platform repairs and asks: adapters have the ids of
// these begin so.
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

func (c *Conversation) openRun(flow string) *Run {
	for _, r := range slices.Backward(c.Runs) {
		if r.FlowID == flow {
			return r
		}
	}
	return nil
}
