// Package rasa decodes the events of Rasa Open Source 2 and 3 and of Rasa Pro up to 3.16 from their wire
// form, one JSON object an event. It is pure: bytes in, a conversation.Event or a Reject out.
package rasa

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/mask"
)

const (
	maxSender = 1024
	maxIdent  = 255
	earliest  = 946684800 // 2000-01-01
	ahead     = 24 * time.Hour
)

// Decoder decodes events and shares their recurring words. It is for one goroutine.
type Decoder struct {
	words [1024]string // by a hash; a newer word takes an older one's place
	s     wire.Scanner
	r     raw
	// the sender of the event before: most often the next one's too
	lastAssistant, lastKey string
	lastSender             int64
	textTimes              bool
}

// NewDecoder returns an empty decoder.
func NewDecoder() *Decoder { return new(Decoder) }

// word returns a string equal to b that keeps nothing else alive, most often the same one each time.
func (d *Decoder) word(b string) string {
	if b == "" {
		return ""
	}
	n := len(b)
	w := &d.words[(uint(n)*31+uint(b[0])*7+uint(b[n/2])*131+uint(b[n-1])*17)%uint(len(d.words))]
	if *w != b {
		*w = strings.Clone(b)
	}
	return *w
}

// raw is what one pass over a body finds.
type raw struct {
	e           *conversation.Event
	sender      string // as written, with escapes
	senderState byte   // 0 missing, 's' a string, 'x' something else
	eventState  byte
	timeState   byte // 0 missing, 'n' a number, 'i' not finite, 'x' something else
	assistant   string
	mantleID    bool
	mantleBody  int
	parseMsgID  string
	policy      string
	template    string
	activeFlow  string
	activeStep  string
	dataSpan    string
	entities    string
	attachments [2]string // of the metadata and of what was parsed, as JSON
	structured  string    // a text that is none, as JSON
	external    bool      // a user event made by a reminder or trigger, not by a person
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
	hash := wire.BodyHash(body)
	d.textTimes = in.TextTimes || in.Stored
	received := body
	// a mark of the order of bytes, which says nothing of UTF-8
	body = unwrapNumbers(strings.TrimPrefix(body, "\ufeff"))
	r, rej := d.scan(body)
	if rej != nil {
		return nil, rej
	}
	e := r.e
	if rej := r.checkSender(); rej != nil {
		return nil, rej
	}
	if len(body) != len(received) {
		e.Original = []byte(received)
		e.Flags |= conversation.FlagRepaired
	}
	if len(d.s.Repairs) > 0 {
		body = d.s.Repaired()
		if r, rej = d.again(r, body, received); rej != nil {
			return nil, rej
		}
		e = r.e
	}
	if len(body) > 2*wire.MaxEvent && !in.Stored {
		return nil, wire.NewReject(
			wire.CodeSize, "larger than 2 MiB and 128 KiB once its broken characters are replaced", -1,
		)
	}
	if in.Stored {
		now = time.Unix(1e11, 0)
	}
	if rej := r.check(now); rej != nil {
		return nil, rej
	}
	e.Body = body
	e.BodyHash = hash
	if in.Environment != wire.EnvironmentNotSet {
		e.Environment = in.Environment
	}
	r.assign(in)
	e.At = conversation.MicrosOf(e.Time)
	e.SenderID = d.sender(e.Assistant, e.SenderKey)
	if e.Type == typeStack {
		e.Patch = patch(e.Update)
	}
	r.finish()
	r.judge()
	e.Format = FormatID
	e.ID = conversation.EventID(e.SenderID, e.Type, e.Time, r.discriminator())
	return e, nil
}

// again scans a body once it is repaired.
func (d *Decoder) again(was *raw, body, received string) (*raw, *wire.Reject) {
	sender, notFinite := was.e.SenderKey, was.timeState == 'i'
	r, rej := d.scan(body)
	if rej != nil {
		return nil, rej
	}
	r.e.SenderKey, r.e.Original = sender, []byte(received)
	r.e.Flags |= conversation.FlagRepaired
	if notFinite {
		r.timeState = 'i'
	}
	return r, nil
}

// assign sets whose event it is.
func (r *raw) assign(in wire.Intake) {
	e := r.e
	e.Assistant = r.assistant
	if e.Assistant == "" || in.Always || in.Stored {
		e.Assistant = in.Assistant
	}
	if to, ok := in.Aliases[e.Assistant]; ok && !in.Stored {
		e.Via, e.Assistant = conversation.SmallID("assistant", e.Assistant), to
	}
}

// sender is the id of a sender, remembered for the next event, which is most often the same one's.
func (d *Decoder) sender(assistant, key string) int64 {
	if key != d.lastKey || assistant != d.lastAssistant || d.lastSender == 0 {
		d.lastKey, d.lastAssistant = strings.Clone(key), strings.Clone(assistant)
		d.lastSender = conversation.SenderID(assistant, key)
	}
	return d.lastSender
}

// scan makes one pass over the body.
func (d *Decoder) scan(body string) (*raw, *wire.Reject) {
	d.s = wire.Scanner{Text: body, Repairs: d.s.Repairs[:0]}
	s := &d.s
	d.r = raw{e: new(conversation.Event)}
	r := &d.r
	r.e.Confidence, r.e.UnderstandingMS, r.e.PredictionMS = math.NaN(), math.NaN(), math.NaN()
	if c := s.Peek(); c != '{' {
		if looks := wire.LooksLike(body); looks != "" {
			return nil, wire.NewReject(wire.CodeJSON, looks, 0)
		}
		if s.Skip(); s.Err == "" {
			return nil, wire.NewReject(wire.CodeShape, "not a JSON object", 0)
		}
		return nil, wire.NewReject(wire.CodeJSON, "not JSON: "+s.Err, s.Pos)
	}
	s.Object(func(key string) { d.member(r, key) })
	if s.Err == "" && s.Peek() != 0 {
		s.Fail("something follows the object")
	}
	if s.Err != "" {
		if looks := wire.LooksLike(body); looks != "" {
			return nil, wire.NewReject(wire.CodeJSON, looks, 0)
		}
		return nil, wire.NewReject(wire.CodeJSON, "not JSON: "+s.Err, s.Pos)
	}
	return r, nil
}

// member reads one member of the event.
func (d *Decoder) member(r *raw, key string) {
	s, e := &d.s, r.e
	switch key {
	case "sender_id":
		d.senderKey(r)
	case "event":
		r.eventState, e.Type = 'x', ""
		if s.Peek() == '"' {
			e.Type = d.ident(e)
			r.eventState = 's'
			return
		}
		s.Skip()
	case "timestamp":
		d.timestamp(r)
	case "metadata":
		d.metadata(r)
	case "parse_data":
		d.parseData(r)
	case "text":
		r.structured = ""
		if c := s.Peek(); c == '{' || c == '[' {
			e.Flags |= conversation.FlagMisfit
			e.Text, r.structured = "", s.Skip()
			return
		}
		e.Text = d.text(e)
	case "update":
		e.Update = d.text(e)
	case "value":
		e.Value = s.Skip()
	case "data":
		r.dataSpan = s.Skip()
	case "policy":
		r.policy = s.Skip() // of an action: part of its identity
	case "action_text":
		r.template = d.text(e)
	case "anonymized_at":
		e.RedactedAt = d.redactedAt()
	case mask.ToldMember:
		d.told(e)
	case "conversation_id":
		r.mantleID = s.Peek() == '"'
		s.Skip()
	default:
		if name := nameOf(e, key); name != nil {
			*name = d.ident(e)
			return
		}
		if s.Peek() == '{' {
			r.mantleBody++
		}
		s.Skip()
	}
}

// nameOf is the field of an event that holds a member which names something; nil for others.
func nameOf(e *conversation.Event, key string) *string {
	switch key {
	case "user_id":
		return &e.UserID
	case "name":
		return &e.Name
	case "flow_id":
		return &e.FlowID
	case "step_id":
		return &e.StepID
	case "agent_id":
		return &e.AgentID
	case "reason":
		return &e.Reason
	case "input_channel":
		return &e.Channel
	case "message_id":
		return &e.MessageID
	}
	return nil
}

// senderKey reads the key of the sender.
func (d *Decoder) senderKey(r *raw) {
	s := &d.s
	r.senderState, r.sender = 'x', ""
	switch c := s.Peek(); {
	case c == '"':
		r.sender, _, _ = s.Str()
		r.senderState = 's'
	case c == '-' || c >= '0' && c <= '9':
		// Telegram's are whole numbers, which Rasa itself writes as text elsewhere
		if raw, finite, ok := s.Number(); ok && finite && !strings.ContainsAny(raw, ".eE") {
			r.sender, r.senderState = raw, 's'
		}
	default:
		s.Skip()
	}
}

// timestamp reads the time of the event.
func (d *Decoder) timestamp(r *raw) {
	s, e := &d.s, r.e
	r.timeState, e.Time = 'x', 0
	if s.Peek() == '"' && d.textTimes {
		if raw, _, ok := s.Str(); ok {
			if seconds, ok := textTime(wire.Unescape(raw)); ok {
				r.timeState, e.Time = 'n', seconds
			}
		}
		return
	}
	if c := s.Peek(); c == '"' || c == '{' || c == '[' || c == 't' || c == 'f' || c == 'n' {
		s.Skip()
		return
	}
	raw, finite, ok := s.Number()
	if !ok {
		return
	}
	r.timeState = 'i'
	if finite {
		if f, err := strconv.ParseFloat(raw, 64); err == nil {
			r.timeState, e.Time = 'n', f
		}
	}
}

// redactedAt reads a time in whichever form: seconds, or ISO 8601; 1 for a form it does not know.
func (d *Decoder) redactedAt() float64 {
	s := &d.s
	span := s.Skip()
	if span == "null" || span == "false" || span == "NaN" {
		return 0
	}
	if f, ok := textTime(strings.Trim(span, `"`)); ok && f > 0 && f < 1e12 {
		return f
	}
	return 1
}

// textTime reads a time that is written as text: seconds since 1970, or ISO 8601 as databases and programs write it,
// UTC where no zone is told.
func textTime(text string) (seconds float64, ok bool) {
	text = strings.TrimSpace(text)
	if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
		return f, true
	}
	if len(text) > len("2006-01-02") && text[len("2006-01-02")] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07",
		"2006-01-02T15:04:05 Z0700", "2006-01-02T15:04:05 MST",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return float64(t.Unix()) + float64(t.Nanosecond()/1000)/1e6, true
		}
	}
	return 0, false
}

// text reads a string or null; anything else leaves the field empty and marks the event.
func (d *Decoder) text(e *conversation.Event) string {
	s := &d.s
	switch s.Peek() {
	case '"':
		raw, esc, _ := s.Str()
		if esc {
			return wire.Unescape(raw)
		}
		return raw
	case 'n':
	default:
		e.Flags |= conversation.FlagMisfit
	}
	s.Skip()
	return ""
}

// ident reads a short string that recurs. What is too long for an index is cut and told apart by a digest.
func (d *Decoder) ident(e *conversation.Event) string {
	s := &d.s
	if s.Peek() == '"' {
		raw, esc, _ := s.Str()
		w := raw
		if esc {
			w = wire.Unescape(raw)
		}
		if len(w) > maxIdent {
			e.Flags |= conversation.FlagMisfit
			sum := sha256.Sum256([]byte(w))
			w = strings.ToValidUTF8(w[:200], "") + "…" + hex.EncodeToString(sum[:8])
		}
		return d.word(w)
	}
	return d.text(e)
}

// float reads a number in [0, most]; NaN for anything else, which leaves the field empty and marks the event.
func (d *Decoder) float(e *conversation.Event, most float64) float64 {
	s := &d.s
	switch c := s.Peek(); {
	case c == '-' || c == 'N' || c == 'I' || c >= '0' && c <= '9':
		raw, finite, ok := s.Number()
		if f, err := strconv.ParseFloat(raw, 64); ok && finite && err == nil && f >= 0 && f <= most {
			return math.Abs(f) // of minus zero
		}
		if ok {
			e.Flags |= conversation.FlagMisfit
		}
		return math.NaN()
	case c != 'n':
		e.Flags |= conversation.FlagMisfit
	}
	s.Skip()
	return math.NaN()
}

// misfit passes over a value that should have been of another type.
func (d *Decoder) misfit(e *conversation.Event) {
	if d.s.Peek() != 'n' {
		e.Flags |= conversation.FlagMisfit
	}
	d.s.Skip()
}

func (r *raw) checkSender() *wire.Reject {
	switch {
	case r.mantleID && r.eventState != 's':
		return wire.NewReject(wire.CodeMantle, "an event of Rasa's Mantle runtime, which this source does not read", -1)
	case r.senderState == 0:
		return wire.NewReject(wire.CodeSender, "no sender_id", -1)
	case r.senderState != 's':
		return wire.NewReject(wire.CodeSender, "sender_id is neither a string nor a whole number", -1)
	case len(r.sender) == 0:
		return wire.NewReject(wire.CodeSender, "sender_id is empty", -1)
	}
	key := r.sender
	if strings.IndexByte(key, '\\') >= 0 {
		probe := wire.Scanner{Text: `"` + r.sender + `"`}
		if probe.Str(); len(probe.Repairs) > 0 {
			return wire.NewReject(
				wire.CodeSender, "sender_id holds NUL or half a surrogate pair; to repair it could merge two people",
				-1,
			)
		}
		key = wire.Unescape(r.sender)
	}
	if !utf8.ValidString(key) {
		return wire.NewReject(wire.CodeSender, "sender_id is not valid UTF-8", -1)
	}
	if len(key) > maxSender {
		return wire.NewReject(wire.CodeSender, "sender_id is longer than 1,024 bytes", -1)
	}
	r.e.SenderKey = key
	return nil
}

func (r *raw) check(now time.Time) *wire.Reject {
	e := r.e
	switch {
	case r.eventState == 0:
		return wire.NewReject(wire.CodeType, "no event type", -1)
	case r.eventState != 's' || e.Type == "":
		return wire.NewReject(wire.CodeType, "the event type is not a string or empty", -1)
	case r.timeState == 0:
		return wire.NewReject(wire.CodeTimestamp, "no timestamp", -1)
	case r.timeState == 'i':
		return wire.NewReject(wire.CodeTimestamp, "the timestamp is not a finite number", -1)
	case r.timeState != 'n':
		return wire.NewReject(wire.CodeTimestamp, "the timestamp is not a number", -1)
	case e.Time >= earliest && e.Time <= float64(now.Add(ahead).Unix()):
		return nil
	case e.Time/1000 >= earliest && e.Time/1000 <= float64(now.Add(ahead).Unix()):
		return wire.NewReject(wire.CodeTimestamp, "the timestamp looks like milliseconds; seconds are expected", -1)
	case e.Time > float64(now.Unix()):
		return wire.NewReject(wire.CodeTimestamp, "the timestamp lies more than 24 hours ahead", -1)
	}
	return wire.NewReject(wire.CodeTimestamp, "the timestamp lies before the year 2000", -1)
}
