package metric

import (
	"encoding/binary"

	"turnwise/conversation"
)

// Counted is what the figures need to know of one conversation.
type ConversationFacts struct {
	Outcome   conversation.Outcome // as if it ended now
	Open      bool
	Rating    conversation.Rating
	Escalated bool
	Reason    string // of the escalation
	Verdict   Verdict
	Returned  bool // the same person came back within the days that Durable names
	Hour      int  // of the day at which it began, in the workspace's zone
	Responses []float64
	Untimed   int   // turns that were answered at times that do not tell how long it took
	Visit     Visit // of the person; only where people are counted
}

// HourLatency are response times by the hour of the day at which their conversation began.
type HourLatency [24]Latency

// Merge adds o.
func (h *HourLatency) Merge(o *HourLatency) {
	for i := range h {
		h[i].Merge(&o[i])
	}
}

// Pack writes them.
func (h *HourLatency) Pack() []byte {
	b := []byte{form}
	for i := range h {
		if h[i].N > 0 {
			b = appendSection(b, uint64(i+1), h[i].append)
		}
	}
	return b
}

// MergePacked adds what Pack wrote.
func (h *HourLatency) MergePacked(b []byte) error {
	r, number := opened(b)
	if number == firstForm {
		return h.mergeFirst(r)
	}
	r.sections(func(number int64, s *reader) {
		if number >= 1 && number <= int64(len(h)) {
			h[number-1].merge(s)
		}
	})
	return r.err
}

// DurableDays is for how long a resolution must last to count as durable.
const DurableDays = 7

// Tally counts conversations by all that the charts show of them. Tallies add up.
type Tally struct {
	counts   [conditions]int64 // by Condition
	Hours    [24]int64         // by hour of the day at which they began
	Reasons  map[string]int64  // of escalation, of the engaged ones
	Response Latency           // of their turns
	Untimed  int64             // turns that were answered at times that do not tell how long it took

	responses []float64 // not packed into Response yet
}

// Add counts a conversation.
func (t *Tally) Add(c *ConversationFacts) {
	t.add(c, 1)
	t.responses = append(t.responses, c.Responses...)
	t.Untimed += int64(c.Untimed)
}

// Reopen counts as open a conversation that was counted as ended. Its response times stay.
func (t *Tally) Reopen(c ConversationFacts) {
	c.Open = false
	t.add(&c, -1)
	c.Open = true
	t.add(&c, 1)
}

func (t *Tally) add(c *ConversationFacts, n int64) {
	for is := range conditions {
		if is.holds(c) {
			t.counts[is] += n
		}
	}
	t.Hours[c.Hour] += n
	if Escalated.holds(c) {
		if t.Reasons == nil {
			t.Reasons = map[string]int64{}
		}
		t.Reasons[c.Reason] += n
	}
}

// Count returns how many of the conversations meet the condition.
func (t *Tally) Count(is Condition) int64 { return t.counts[is] }

// Settle moves the response times that Add gathered into their distribution; Merge and Pack do so too.
func (t *Tally) Settle() {
	if len(t.responses) > 0 {
		l := NewLatency(t.responses)
		t.Response.Merge(&l)
		t.responses = nil
	}
}

// Merge adds o, which stays as it is in meaning.
func (t *Tally) Merge(o *Tally) {
	t.MergeCounts(o)
	t.Settle()
	o.Settle()
	t.Response.Merge(&o.Response)
}

// MergeCounts adds o, but for its response times.
func (t *Tally) MergeCounts(o *Tally) {
	for i, n := range o.counts {
		t.counts[i] += n
	}
	for i, n := range o.Hours {
		t.Hours[i] += n
	}
	t.Untimed += o.Untimed
	for reason, n := range o.Reasons {
		if t.Reasons == nil {
			t.Reasons = map[string]int64{}
		}
		t.Reasons[reason] += n
	}
}

// The sections of a tally.
const (
	tallyCounts = iota + 1
	tallyHours
	tallyReasons
	tallyResponse
	tallyUntimed
)

var conditionIndex = indexOf(conditionNumbers[:])

// Pack writes the tally.
func (t *Tally) Pack() []byte {
	t.Settle()
	b := appendSection(
		[]byte{form}, tallyCounts, func(b []byte) []byte { return appendCounts(b, t.counts[:], conditionNumbers[:]) },
	)
	b = appendSection(b, tallyHours, func(b []byte) []byte {
		for _, n := range t.Hours {
			b = binary.AppendUvarint(b, uint64(n))
		}
		return b
	})
	b = appendSection(b, tallyReasons, func(b []byte) []byte { return appendTexts(b, t.Reasons) })
	b = appendSection(b, tallyResponse, t.Response.append)
	if t.Untimed == 0 {
		return b
	}
	return appendSection(b, tallyUntimed, func(b []byte) []byte { return binary.AppendUvarint(b, uint64(t.Untimed)) })
}

// Unpack reads what Pack wrote, response times only if they are wanted.
func (t *Tally) Unpack(b []byte, responses bool) error {
	*t = Tally{}
	r, number := opened(b)
	if number == firstForm {
		return t.unpackFirst(r, responses)
	}
	r.sections(func(number int64, s *reader) {
		switch number {
		case tallyCounts:
			s.addCounts(t.counts[:], conditionIndex)
		case tallyHours:
			for i := 0; i < len(t.Hours) && s.more(); i++ {
				t.Hours[i] = s.int()
			}
		case tallyReasons:
			t.Reasons = map[string]int64{}
			for s.more() {
				reason := s.text()
				t.Reasons[reason] = s.int()
			}
		case tallyResponse:
			if responses {
				t.Response.read(s)
			}
		case tallyUntimed:
			t.Untimed = s.int()
		}
	})
	return r.err
}
