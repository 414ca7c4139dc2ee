package wire

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
)

// MaxEvent is the size of the largest event in bytes: a text of 1 MiB, and 64 KiB for what stands around it.
const MaxEvent = 1<<20 + 64<<10

// NewReject says why a body cannot be an event.
func NewReject(code, detail string, offset int) *Reject { return &Reject{code, detail, offset} }
