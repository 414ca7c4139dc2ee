package metric

import (
	"encoding/binary"
	"maps"
	"slices"

	"turnwise/conversation"
)

// FlowCondition is what a conversation must have done in a flow to be counted there.
type FlowCondition int

// The conditions. Of the conversations that started a flow each is exactly one of completed, stopped, open and lost,
// but for those that completed a run whose start was not seen.
const (
	FlowTouched FlowCondition = iota // any event of the flow
	FlowStarted
	FlowCompleted   // at least once
	FlowCancelled   // at least once
	FlowStopped     // started, cancelled and never completed
	FlowOpen        // started, neither completed nor cancelled, and the conversation goes on
	FlowLost        // the same, and the conversation ended
	FlowInterrupted // by another flow
	FlowResumed
	FlowEscalated // handed to a person while inside
	FlowAutomated // completed, not escalated inside
	flowConditions
)

var flowConditionNames = [flowConditions]string{"touched", "started", "completed", "cancelled", "stopped", "open", "lost", "interrupted", "resumed", "escalated", "automated"}

// String returns the condition's name in a URL.
func (is FlowCondition) String() string { return flowConditionNames[is] }

// Words say what meets the condition.
func (is FlowCondition) Words() string {
	return [flowConditions]string{
		"ran", "was started", "was completed", "was cancelled", "was cancelled for good", "is open", "was left inside", "was interrupted", "was resumed", "was escalated inside", "was completed without a person",
	}[is]
}

// ParseFlowCondition reads a name.
func ParseFlowCondition(name string) (FlowCondition, bool) {
	i := slices.Index(flowConditionNames[:], name)
	return FlowCondition(i), i >= 0
}

// FlowVisit is all that one conversation did in one flow.
type FlowVisit struct {
	Flow                                                        string
	Started, Completed, Cancelled, Interrupted, Resumed, Handed bool
	Open                                                        bool      // the conversation goes on
	LastStep                                                    string    // of the last run that was not completed
	Took                                                        []float64 // milliseconds of each completed run
}

// Run adds one of the conversation's runs through the flow.
func (v *FlowVisit) Run(r *conversation.Run) {
	v.Started = v.Started || r.Starts > 0
	v.Completed = v.Completed || r.Status == conversation.RunCompleted
	v.Cancelled = v.Cancelled || r.Status == conversation.RunCancelled
	v.Interrupted = v.Interrupted || r.Interrupted > 0
	v.Resumed = v.Resumed || r.Resumed > 0
	v.Handed = v.Handed || r.Escalated
	if r.Status != conversation.RunCompleted {
		v.LastStep = r.LastStep
	} else if r.StartedAt != 0 && r.EndedAt >= r.StartedAt {
		v.Took = append(v.Took, float64(r.EndedAt-r.StartedAt)/1000)
	}
}

func (is FlowCondition) holds(v *FlowVisit) bool {
	unfinished := v.Started && !v.Completed && !v.Cancelled
	switch is {
	case FlowTouched:
		return true
	case FlowStarted:
		return v.Started
	case FlowCompleted:
		return v.Completed
	case FlowCancelled:
		return v.Cancelled
	case FlowStopped:
		return v.Started && v.Cancelled && !v.Completed
	case FlowOpen:
		return unfinished && v.Open
	case FlowLost:
		return unfinished && !v.Open
	case FlowInterrupted:
		return v.Interrupted
	case FlowResumed:
		return v.Resumed
	case FlowEscalated:
		return v.Handed
	case FlowAutomated:
		return v.Completed && !v.Handed
	default:
		return false
	}
}

// FlowCount counts the conversations that were in a flow.
type FlowCount struct {
	counts    [flowConditions]int64
	Time      Latency          // of the completed runs, in milliseconds
	LastSteps map[string]int64 // where the conversations ended that did not complete it

	took []float64
}

// Count returns how many meet the condition.
func (c *FlowCount) Count(is FlowCondition) int64 { return c.counts[is] }

func (c *FlowCount) pack() {
	if len(c.took) > 0 {
		l := NewLatency(c.took)
		c.Time.Merge(&l)
		c.took = nil
	}
}

func (c *FlowCount) merge(o *FlowCount) {
	c.pack()
	o.pack()
	for i, n := range o.counts {
		c.counts[i] += n
	}
	c.Time.Merge(&o.Time)
	for step, n := range o.LastSteps {
		c.stop(step, n)
	}
}

func (c *FlowCount) stop(step string, n int64) {
	if c.LastSteps == nil {
		c.LastSteps = map[string]int64{}
	}
	c.LastSteps[step] += n
}

func (c *FlowCount) add(v *FlowVisit, n int64) {
	for is := range flowConditions {
		if is.holds(v) {
			c.counts[is] += n
		}
	}
}

// FlowTally counts by flow.
type FlowTally map[string]*FlowCount

func (t FlowTally) of(flow string) *FlowCount {
	c := t[flow]
	if c == nil {
		c = &FlowCount{}
		t[flow] = c
	}
	return c
}

// Add counts a conversation's visit to a flow.
func (t FlowTally) Add(v *FlowVisit) {
	c := t.of(v.Flow)
	c.add(v, 1)
	c.took = append(c.took, v.Took...)
	if v.Started && !v.Completed {
		c.stop(v.LastStep, 1)
	}
}

// Reopen counts as open a visit that was counted as that of an ended conversation.
func (t FlowTally) Reopen(v FlowVisit) {
	c := t.of(v.Flow)
	v.Open = false
	c.add(&v, -1)
	v.Open = true
	c.add(&v, 1)
}

// Merge adds o.
func (t FlowTally) Merge(o FlowTally) {
	for flow, c := range o {
		t.of(flow).merge(c)
	}
}

// Pack writes the tally.
func (t FlowTally) Pack() []byte {
	b := binary.AppendUvarint([]byte{tallyVersion}, uint64(len(t)))
	for _, flow := range slices.Sorted(maps.Keys(t)) {
		c := t[flow]
		c.pack()
		b = appendText(b, flow)
		for _, n := range c.counts {
			b = binary.AppendUvarint(b, uint64(n))
		}
		b = c.Time.append(b)
		b = binary.AppendUvarint(b, uint64(len(c.LastSteps)))
		for _, step := range slices.Sorted(maps.Keys(c.LastSteps)) {
			b = binary.AppendUvarint(appendText(b, step), uint64(c.LastSteps[step]))
		}
	}
	return b
}

// UnpackFlows reads what Pack wrote.
func UnpackFlows(b []byte) (FlowTally, error) {
	r := &reader{b: b}
	if r.int() != tallyVersion {
		return nil, errPacked
	}
	n := r.count()
	t := make(FlowTally, n)
	for range n {
		c := t.of(r.text())
		for i := range c.counts {
			c.counts[i] = r.int()
		}
		c.Time.read(r)
		for steps := r.count(); steps > 0; steps-- {
			step := r.text()
			c.stop(step, r.int())
		}
	}
	return t, r.err
}
