package wire

import "strings"

// Intake is what the events of a source do not say of themselves.
type Intake struct {
	Assistant   string            // for events without metadata.assistant_id; must not be empty
	Always      bool              // the events are Assistant's, whatever they say
	Aliases     map[string]string // other names of assistants, and whose events are those that tell them
	Environment string            // of the delivery: Kafka header, AMQP property, HTTP parameter; "" when unknown
	TextTimes   bool              // a timestamp may be a text: a number, or ISO 8601
	// the body was accepted before: its size and clock are not judged again, and it is Assistant's
	Stored bool
}

// Reject says why a body cannot be an event.
type Reject struct {
	Code   string // one word of a small, fixed set
	Detail string // a sentence for the person who has to mend it; holds nothing of the body
	Offset int    // byte of the body at which reading stopped, -1 when that says nothing
}

func (r *Reject) Error() string { return r.Code + ": " + r.Detail }

// The codes of rejects.
const (
	CodeJSON      = "json"
	CodeShape     = "shape"
	CodeSender    = "sender"
	CodeType      = "type"
	CodeTimestamp = "timestamp"
	CodeSize      = "size"
	CodeMantle    = "mantle"
	CodeFault     = "fault"
	CodeField     = "field"   // one is missing without which the event means nothing
	CodeMapping   = "mapping" // that makes events of the body failed
)

// MaxEvent is the size of the largest event in bytes: a text of 1 MiB, and 64 KiB for what stands around it.
const MaxEvent = 1<<20 + 64<<10

// NewReject says why a body cannot be an event.
func NewReject(code, detail string, offset int) *Reject { return &Reject{code, detail, offset} }

// LooksLike says what a body that is no object seems to be, where somebody could mend that at its source; else "".
func LooksLike(body string) string {
	switch text := strings.TrimLeft(body, " \t\r\n"); {
	case body == "":
		return "not JSON: there is nothing in it"
	case strings.HasPrefix(text, `{'`), strings.HasPrefix(text, `[{'`):
		return "what Python prints of a dict, not JSON: write it with json.dumps"
	case strings.HasPrefix(text, `"{`), strings.HasPrefix(text, `"[{`):
		return "JSON that was encoded twice: the text in it is the event; let the sender encode it once"
	case strings.HasPrefix(body, "\x1f\x8b"), strings.HasPrefix(body, "\x28\xb5\x2f\xfd"):
		return "compressed by the sender; let the broker compress, which readers undo"
	case strings.HasPrefix(body, "\xff\xfe"), strings.HasPrefix(body, "\xfe\xff"), len(body) > 3 &&
		(body[0] == 0) != (body[1] == 0) && (body[2] == 0) == (body[0] == 0) && (body[3] == 0) == (body[1] == 0):
		return "UTF-16; JSON is written in UTF-8"
	case len(body) > 5 && body[0] == 0:
		return "it has the header of a schema registry, as Avro and Protobuf have; JSON without one is expected"
	}
	return ""
}
