package figures

import (
	"time"

	"turnwise/metric"
)

// hourLatencies are response times by hour of the day; an answer has them by weekday too.
type hourLatencies struct{}

func (hourLatencies) number() int16          { return 3 }
func (hourLatencies) asked(q *Question) bool { return q.Hours }
func (hourLatencies) empty() part            { return new(hourLatency) }

func (hourLatencies) read(r *reading, from time.Time, _ Dimensions, packed []byte) error {
	return r.weekdayOf(r.cellOf(from)).MergePacked(packed)
}

type hourLatency struct {
	metric.HourLatency
	values *[24][]float64 // those of conversations, before they are made a distribution
}

func (h *hourLatency) add(c *metric.ConversationFacts) {
	if h.values == nil {
		h.values = new([24][]float64)
	}
	h.values[c.Hour] = append(h.values[c.Hour], c.Responses...)
}

func (h *hourLatency) settle() *metric.HourLatency {
	if h.values != nil {
		for hour, values := range h.values {
			l := metric.NewLatency(values)
			h.HourLatency[hour].Merge(&l)
		}
		h.values = nil
	}
	return &h.HourLatency
}

func (h *hourLatency) merge(o part)                            { h.settle().Merge(o.(*hourLatency).settle()) }
func (h *hourLatency) pack(time.Time) []byte                   { return h.settle().Pack() }
func (h *hourLatency) unpack(_ time.Time, packed []byte) error { return h.settle().MergePacked(packed) }

func (h *hourLatency) answer(r *reading, at time.Time, _ *cell) {
	r.weekdayOf(at).Merge(h.settle())
}

// weekdayOf returns the sum of the weekday on which a cell begins.
func (r *reading) weekdayOf(at time.Time) *metric.HourLatency {
	return &r.sum.Hours[(int(at.In(r.Grid.Zone).Weekday())+6)%7]
}
