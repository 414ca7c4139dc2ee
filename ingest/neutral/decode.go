package neutral

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"turnwise/conversation"
	"turnwise/ingest/wire"
)

const (
	maxSender = 1024
	earliest  = 946684800 // 2000-01-01
	ahead     = 24 * time.Hour
	maxMS     = 7 * 24 * 60 * 60 * 1000
	maxCount  = 1e15
	maxOrder  = 1 << 53
)

func valid(s string) bool { return utf8.ValidString(s) }

// Decoder decodes events. It is for one goroutine.
type Decoder struct {
	// the sender of the event before: most often the next one's too
	lastAssistant, lastKey string
	lastSender             int64

	now raw // the event that is being read
	// used again and again, for the members of objects within each other and for what tells events apart
	lists [4][]member
	buf   []byte
}

// NewDecoder returns an empty decoder.
func NewDecoder() *Decoder { return new(Decoder) }

// raw is an event that is being read.
type raw struct {
	*conversation.Event
	d              *Decoder
	lists          int // that are in use
	envelope, data members
	id, content    string // of the envelope; its data, as JSON
	source         string
	thread, within string
}

// Decode reads one event. now bounds how far ahead its clock may be. The event keeps parts of body.
func (d *Decoder) Decode(body string, in wire.Intake, now time.Time) (e *conversation.Event, rej *wire.Reject) {
	defer func() {
		if r := recover(); r != nil { // a fault of ours must not stop its neighbours
			e, rej = nil, wire.NewReject(wire.CodeFault, "it cannot be read, by a fault of this version", -1)
		}
	}()
	return d.decode(body, in, now)
}

func (d *Decoder) decode(body string, in wire.Intake, now time.Time) (*conversation.Event, *wire.Reject) {
	if len(body) > wire.MaxEvent && !in.Stored {
		return nil, wire.NewReject(wire.CodeSize, "larger than 1 MiB and 64 KiB", -1)
	}
	e := &conversation.Event{BodyHash: wire.BodyHash(body), Format: FormatID}
	e.Confidence, e.UnderstandingMS, e.PredictionMS = math.NaN(), math.NaN(), math.NaN()
	d.now = raw{Event: e, d: d}
	r := &d.now
	received := body
	if rej := r.read(&body); rej != nil {
		return nil, rej
	}
	if len(body) > 2*wire.MaxEvent && !in.Stored {
		return nil, wire.NewReject(
			wire.CodeSize, "larger than 2 MiB and 128 KiB once its broken characters are replaced", -1,
		)
	}
	if body != received {
		e.Original, e.Flags = []byte(received), e.Flags|conversation.FlagRepaired
	}
	e.Body = body
	if in.Stored {
		now = time.Unix(1e11, 0)
	}
	rej := r.head()
	if rej == nil {
		rej = r.when(now)
	}
	if rej == nil {
		rej = r.whose(in)
	}
	if rej == nil {
		rej = r.what()
	}
	if rej != nil {
		return nil, rej
	}
	e.SenderID = d.sender(e.Assistant, e.SenderKey)
	e.ID = conversation.EventID(e.SenderID, e.Type, e.Time, r.discriminator())
	return e, nil
}

// members returns an empty list of members.
func (r *raw) members() members {
	m := members{event: r.Event}
	if r.lists < len(r.d.lists) {
		if r.d.lists[r.lists] == nil {
			r.d.lists[r.lists] = make([]member, 0, manyMembers)
		}
		m.list = r.d.lists[r.lists][:0]
		r.lists++
	}
	return m
}

// read cuts the body into members, and repairs it where PostgreSQL could not hold it.
func (r *raw) read(body *string) *wire.Reject {
	for range 2 {
		s := wire.Scanner{Text: strings.TrimPrefix(*body, "\ufeff")}
		if c := s.Peek(); c != '{' {
			if looks := wire.LooksLike(*body); looks != "" {
				return wire.NewReject(wire.CodeJSON, looks, 0)
			}
			if s.Skip(); s.Err == "" {
				return wire.NewReject(wire.CodeShape, "not a JSON object", 0)
			}
			return wire.NewReject(wire.CodeJSON, "not JSON: "+s.Err, s.Pos)
		}
		r.lists = 0
		r.envelope, r.data = r.members(), r.members()
		inner := r.data
		s.Object(func(key string) {
			if key != "data" || s.Peek() != '{' {
				r.envelope.put(key, s.Skip())
				return
			}
			r.data = inner // of several the last counts
			from := s.Pos
			r.data.read(&s)
			r.envelope.put(key, s.Text[from:s.Pos])
		})
		if s.Err == "" && s.Peek() != 0 {
			s.Fail("something follows the object")
		}
		if s.Err != "" {
			if looks := wire.LooksLike(*body); looks != "" {
				return wire.NewReject(wire.CodeJSON, looks, 0)
			}
			return wire.NewReject(wire.CodeJSON, "not JSON: "+s.Err, s.Pos)
		}
		*body = s.Text
		if len(s.Repairs) == 0 {
			break
		}
		*body = s.Repaired()
	}
	return nil
}

// head reads the envelope.
func (r *raw) head() *wire.Reject {
	r.Type, r.id, r.source = r.envelope.name("type"), r.envelope.name("id"), r.envelope.name("source")
	if r.Type == "" {
		return wire.NewReject(wire.CodeType, "no type, or one that is no text", -1)
	}
	switch data := r.envelope.take("data"); {
	case data == "":
		return wire.NewReject(wire.CodeShape, "no data", -1)
	case data[0] != '{':
		return wire.NewReject(wire.CodeShape, "data is not an object", -1)
	default:
		r.content = data
	}
	return nil
}

// when reads the time and the order within it.
func (r *raw) when(now time.Time) *wire.Reject {
	v := r.envelope.take("time")
	if v == "" {
		return wire.NewReject(wire.CodeTimestamp, "no time", -1)
	}
	text, ok := textOf(v)
	if !ok {
		return wire.NewReject(wire.CodeTimestamp, "the time is not a text of RFC 3339, such as 2026-11-20T09:14:07.250Z", -1)
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err != nil:
		return wire.NewReject(
			wire.CodeTimestamp, "the time is not one of RFC 3339 with its offset, such as 2026-11-20T09:14:07.250Z", -1,
		)
	case t.Unix() < earliest:
		return wire.NewReject(wire.CodeTimestamp, "the time lies before the year 2000", -1)
	case t.After(now.Add(ahead)):
		return wire.NewReject(wire.CodeTimestamp, "the time lies more than 24 hours ahead", -1)
	}
	r.At = t.UnixMicro()
	r.Time = float64(r.At) / 1e6
	switch r.data.word("time_precision", "us", "ms", "s", "turn", "none") {
	case "turn", "none":
		r.Traits |= conversation.Coarse
	}
	if n := r.data.number("seq", maxOrder); !math.IsNaN(n) {
		r.Order = int64(n)
	}
	return nil
}

// whose reads to which sender and conversation it belongs.
func (r *raw) whose(in wire.Intake) *wire.Reject {
	d := &r.data
	r.Assistant = d.name("bot_id")
	if r.Assistant == "" || in.Always || in.Stored {
		r.Assistant = in.Assistant
	}
	if to, ok := in.Aliases[r.Assistant]; ok && !in.Stored {
		r.Via, r.Assistant = conversation.SmallID("assistant", r.Assistant), to
	}
	r.Environment = d.name("environment")
	if r.Environment == "" && in.Environment != wire.EnvironmentNotSet {
		r.Environment = in.Environment
	}
	r.ModelName, r.Channel = d.name("version"), d.name("channel")
	r.UserID = d.name("user_id")
	if d.yes("is_test") {
		r.Traits |= conversation.Test
	}
	r.Traits |= conversation.OwnID
	var rej *wire.Reject
	if r.thread, rej = d.key("thread_id"); rej != nil {
		return rej
	}
	if r.within, rej = d.key("conversation_id"); rej != nil {
		return rej
	}
	return nil
}

// key takes the id of a thread or conversation, which must not be changed.
func (m *members) key(name string) (string, *wire.Reject) {
	v := m.take(name)
	if v == "" {
		return "", nil
	}
	text, ok := textOf(v)
	switch {
	case !ok && strings.Trim(v, "-0123456789") == "" && len(v) <= maxDigits:
		return v, nil
	case !ok:
		return "", wire.NewReject(wire.CodeSender, name+" is neither a text nor a whole number", -1)
	case len(text) > maxSender:
		return "", wire.NewReject(wire.CodeSender, name+" is longer than 1,024 bytes", -1)
	case strings.ContainsRune(text, utf8.RuneError):
		return "", wire.NewReject(
			wire.CodeSender, name+" holds characters that are no text; to repair it could merge two people", -1,
		)
	}
	return text, nil
}

// ofThread has the event belong to a conversation.
func (r *raw) ofThread() bool {
	r.SenderKey = r.thread
	if r.SenderKey == "" {
		r.SenderKey = r.within
	}
	r.SessionID = r.within
	if r.SessionID == "" {
		r.SessionID = r.SenderKey
	}
	if r.SenderKey == "" {
		return false
	}
	if strings.HasPrefix(r.SenderKey, conversation.OfUser) || strings.HasPrefix(r.SenderKey, conversation.OfAgent) ||
		strings.HasPrefix(r.SenderKey, ofSource) || strings.HasPrefix(r.SenderKey, ofThread) {
		r.SenderKey = ofThread + r.SenderKey // it is none of those
	}
	r.Traits |= conversation.Named
	if r.thread == "" || r.within == "" {
		r.Traits |= conversation.OfThread
	}
	return true
}

// apart has the event belong to a user or a human agent, and to no conversation.
func (r *raw) apart(prefix, id string) bool {
	if id == "" || strings.ContainsRune(id, utf8.RuneError) { // to repair it could merge two people
		return false
	}
	r.SenderKey = prefix + id
	r.Traits |= conversation.Apart
	return true
}

// ofSource begins the key of the sender of events that tell of nobody.
const ofSource = "source:"

// ofThread begins the key of a thread whose id looks like that of another kind of sender.
const ofThread = "thread:"

// sender is the id of a sender, remembered for the next event.
func (d *Decoder) sender(assistant, key string) int64 {
	if key != d.lastKey || assistant != d.lastAssistant || d.lastSender == 0 {
		d.lastKey, d.lastAssistant = strings.Clone(key), strings.Clone(assistant)
		d.lastSender = conversation.SenderID(assistant, key)
	}
	return d.lastSender
}

// Glance knows nothing without reading the body.
func (*Decoder) Glance(string, wire.Intake) (wire.Glance, bool) { return wire.Glance{}, false }
