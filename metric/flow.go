package metric

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

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
	FlowFinished  // started and completed
	FlowMissed    // started, never completed, and cancelled or left inside
	flowConditions
)

var flowConditionNames = [flowConditions]string{
	"touched", "started", "completed", "cancelled", "stopped", "open", "lost", "interrupted", "resumed", "escalated",
	"automated", "finished", "missed",
}

// flowNumbers are what the conditions are called in packed figures. A number is never given to another condition.
var flowNumbers = [flowConditions]int64{
	FlowTouched: 1, FlowStarted: 2, FlowCompleted: 3, FlowCancelled: 4, FlowStopped: 5, FlowOpen: 6, FlowLost: 7,
	FlowInterrupted: 8, FlowResumed: 9,
	FlowEscalated: 10, FlowAutomated: 11, FlowFinished: 12, FlowMissed: 13,
}

// String returns the condition's name in a URL.
func (is FlowCondition) String() string { return flowConditionNames[is] }

// Words say what meets the condition.
func (is FlowCondition) Words() string {
	return [flowConditions]string{
		"ran", "was started", "was completed", "was cancelled", "was cancelled for good", "is open", "was left inside",
		"was interrupted", "was resumed", "was escalated inside", "was completed without a person",
		"was started and completed", "was started and not completed",
	}[is]
}

// ParseFlowCondition reads a name.
func ParseFlowCondition(name string) (FlowCondition, bool) {
	i := slices.Index(flowConditionNames[:], name)
	return FlowCondition(i), i >= 0
}

// FlowConditions lists them.
func FlowConditions() []FlowCondition {
	all := make([]FlowCondition, len(flowConditionNames))
	for i := range all {
		all[i] = FlowCondition(i)
	}
	return all
}

// FlowFilter asks for conversations that did something in a flow. At most one of How, Visited and Stopped is set.
type FlowFilter struct {
	Flow    string
	How     FlowCondition
	Visited string // a step that they came to
	Stopped string // the last step, of those that started the flow and did not complete it
}

// query writes the filter as a key and a value of a URL's query.
func (x FlowFilter) query() (key, value string) {
	pair := func(step string) string { return url.QueryEscape(x.Flow) + " " + url.QueryEscape(step) }
	switch {
	case x.Visited != "":
		return "flow.visited", pair(x.Visited)
	case x.Stopped != "":
		return "flow.stopped-at", pair(x.Stopped)
	case x.How == FlowTouched:
		return "flow", x.Flow
	}
	return "flow." + x.How.String(), x.Flow
}

// Key and Value return how the filter stands in a URL's query.
func (x FlowFilter) Key() string { key, _ := x.query(); return key }

// Value is as Key says.
func (x FlowFilter) Value() string { _, value := x.query(); return value }

// Words say what the filter asks for.
func (x FlowFilter) Words() string {
	switch {
	case x.Visited != "":
		return x.Flow + " came to " + x.Visited
	case x.Stopped != "":
		return x.Flow + " was not completed, last at " + x.Stopped
	}
	return x.Flow + " " + x.How.Words()
}

// InFlow returns the filter narrowed by what a flow did.
func (f Filter) InFlow(x FlowFilter) Filter {
	if !slices.Contains(f.Flows, x) {
		f.Flows = append(slices.Clone(f.Flows), x)
	}
	return f
}

// parseFlows reads what FlowFilter.query wrote.
func (f *Filter) parseFlows(q url.Values) error {
	for _, key := range slices.Sorted(maps.Keys(q)) {
		kind, ok := strings.CutPrefix(key, "flow.")
		if !ok && key != "flow" {
			continue
		}
		for _, v := range q[key] {
			x := FlowFilter{Flow: strings.TrimSpace(v)}
			if x.Flow == "" {
				continue
			}
			if kind == "visited" || kind == "stopped-at" {
				flow, step, cut := strings.Cut(v, " ")
				flow, err1 := url.QueryUnescape(flow)
				step, err2 := url.QueryUnescape(step)
				if !cut || err1 != nil || err2 != nil || step == "" {
					return &InputError{key, "is a flow and a step"}
				}
				if x.Flow, x.Visited = flow, step; kind == "stopped-at" {
					x.Visited, x.Stopped = "", step
				}
			} else if ok {
				if x.How, ok = ParseFlowCondition(kind); !ok {
					return &InputError{"flow", fmt.Sprintf("%.40q is nothing that a flow does", kind)}
				}
			}
			*f = f.InFlow(x)
		}
	}
	if len(f.Flows) > maxValues {
		return &InputError{"flow", fmt.Sprintf("takes at most %d values", maxValues)}
	}
	return nil
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
	case FlowFinished:
		return v.Started && v.Completed
	case FlowMissed:
		return v.Started && !v.Completed && (v.Cancelled || !v.Open)
	default:
		return false
	}
}

// FlowCount counts the conversations that were in a flow.
type FlowCount struct {
	counts    [flowConditions]int64
	Time      Latency          // of the completed runs, in milliseconds
	LastSteps map[string]int64 // where the conversations ended that did not complete it
	Steps     map[string]StepVisits

	took []float64
}

// StepVisits are the conversations that came to a step.
type StepVisits struct {
	N     int64
	Place int64 // the sum of how many steps of the flow each had come to before
}

// Before returns how many steps a conversation mostly came to before.
func (v StepVisits) Before() float64 { return float64(v.Place) / float64(max(1, v.N)) }

func (c *FlowCount) visit(step string, v StepVisits) {
	if c.Steps == nil {
		c.Steps = map[string]StepVisits{}
	}
	was := c.Steps[step]
	c.Steps[step] = StepVisits{was.N + v.N, was.Place + v.Place}
}

// Visit counts the steps to which one conversation came in a flow, in their order, any of them more than once.
func (t FlowTally) Visit(flow string, steps []string) {
	c := t.of(flow)
	seen := map[string]bool{}
	for place, step := range steps {
		if !seen[step] {
			seen[step] = true
			c.visit(step, StepVisits{1, int64(place)})
		}
	}
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
	for step, v := range o.Steps {
		c.visit(step, v)
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

// Settle moves the times that Add gathered into their distributions; Merge and Pack do so too.
func (t FlowTally) Settle() {
	for _, c := range t {
		c.pack()
	}
}

// Merge adds o.
func (t FlowTally) Merge(o FlowTally) {
	for flow, c := range o {
		t.of(flow).merge(c)
	}
}

// The sections of a flow. Flows themselves are sections of one number.
const (
	flowOf        = 1
	flowCounts    = 1
	flowTime      = 2
	flowLastSteps = 3
	flowSteps     = 4
)

var flowIndex = indexOf(flowNumbers[:])

// Pack writes the tally.
func (t FlowTally) Pack() []byte {
	b := []byte{form}
	for _, flow := range slices.Sorted(maps.Keys(t)) {
		c := t[flow]
		c.pack()
		b = appendSection(b, flowOf, func(b []byte) []byte {
			b = appendSection(
				appendText(b, flow), flowCounts,
				func(b []byte) []byte { return appendCounts(b, c.counts[:], flowNumbers[:]) },
			)
			if c.Time.N > 0 {
				b = appendSection(b, flowTime, c.Time.append)
			}
			b = appendSection(b, flowLastSteps, func(b []byte) []byte { return appendTexts(b, c.LastSteps) })
			return appendSection(b, flowSteps, func(b []byte) []byte {
				for _, step := range slices.Sorted(maps.Keys(c.Steps)) {
					v := c.Steps[step]
					b = binary.AppendUvarint(binary.AppendUvarint(appendText(b, step), uint64(v.N)), uint64(v.Place))
				}
				return b
			})
		})
	}
	return b
}

// MergePacked adds what Pack wrote, times and steps only if they are wanted.
func (t FlowTally) MergePacked(b []byte, steps bool) error {
	r, number := opened(b)
	if number == firstForm {
		return t.mergeFirst(r, steps)
	}
	r.sections(func(number int64, s *reader) {
		if number != flowOf {
			return
		}
		flow := s.bytes()
		c := t[string(flow)]
		if c == nil {
			c = t.of(string(flow))
		}
		c.pack()
		s.sections(func(number int64, s *reader) {
			switch {
			case number == flowCounts:
				s.addCounts(c.counts[:], flowIndex)
			case !steps:
			case number == flowTime:
				c.Time.merge(s)
			case number == flowLastSteps:
				for s.more() {
					step := s.text()
					c.stop(step, s.int())
				}
			case number == flowSteps:
				for s.more() {
					step := s.text()
					c.visit(step, StepVisits{s.int(), s.int()})
				}
			}
		})
	})
	return r.err
}

// Completion is the share of the conversations that started the flow and completed it.
func (c *FlowCount) Completion() Rate { return Rate{c.Count(FlowFinished), c.Count(FlowStarted)} }
