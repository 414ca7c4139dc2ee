package metric

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"turnwise/conversation"
)

var packedAt = time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)

// packedKind is one of the packings that are stored.
type packedKind struct {
	name string
	pack func() []byte
	// read reads a packing, adds one of today's samples, and says in words what that makes: so that old and new ones
	// must add up.
	read func(b []byte) (string, error)
}

func sampleTally() *Tally {
	t := &Tally{}
	for i, o := range []conversation.Outcome{
		conversation.ResolvedConfirmed, conversation.ResolvedAssumed, conversation.ResolvedAssumed,
		conversation.Escalated, conversation.Abandoned, conversation.NotEngaged,
	} {
		c := ConversationFacts{
			Outcome: o, Open: i == 2, Hour: 7 * i % 24, Returned: i == 1,
			Responses: []float64{float64(100 * (i + 1)), 0.5, 7e9},
		}
		if o == conversation.Escalated {
			c.Escalated, c.Reason, c.Rating, c.Verdict = true, "action_human_handoff", conversation.Unsatisfied, Failure
		}
		if i == 0 {
			c.Rating, c.Verdict = conversation.Satisfied, Success
		}
		t.Add(&c)
	}
	return t
}

func sampleFlows() FlowTally {
	t := FlowTally{}
	t.Add(&FlowVisit{Flow: "transfer", Started: true, Completed: true, Took: []float64{1500, 90000}})
	t.Add(&FlowVisit{Flow: "transfer", Started: true, Cancelled: true, LastStep: "2_confirm"})
	t.Add(&FlowVisit{Flow: "überweisen", Started: true, Interrupted: true, Resumed: true, Handed: true, Open: true})
	t.Visit("transfer", []string{"START", "1_ask", "2_confirm", "1_ask"})
	return t
}

func sampleIntents() *IntentTally {
	t := &IntentTally{}
	high, low, ms := float32(0.97), float32(0.2), 750.0
	t.Add("greet", false, &high)
	t.Add("greet", false, &low)
	t.Add("nlu_fallback", true, nil)
	t.Command("start flow")
	t.Reason("cannot_handle_default")
	t.Time(Timing{Flow: "transfer", Action: "utter_done", Response: &ms, Understanding: &ms})
	t.Time(Timing{Response: &ms, Prediction: &ms})
	return t
}

func sampleUsers() Visits {
	return Visits{
		{Person: 7, First: packedAt.Unix() - 86400, Wrote: true}, {Person: 1 << 62, First: packedAt.Unix() + 60},
	}
}

func sampleHours() *HourLatency {
	h := &HourLatency{}
	h[0], h[13], h[23] = NewLatency([]float64{1, 2, 3}), NewLatency([]float64{250}), NewLatency([]float64{0, 1e7})
	return h
}

func describeLatency(l *Latency) string {
	if l.N == 0 {
		return "none"
	}
	p50, _ := l.Percentile(0.5)
	p99, _ := l.Percentile(0.99)
	return fmt.Sprintf("n=%d sum=%g p50=%.6g p99=%.6g", l.N, l.Sum, p50, p99)
}

var packedKinds = []packedKind{
	{"tally", func() []byte { return sampleTally().Pack() }, func(b []byte) (string, error) {
		var t Tally
		err := t.Unpack(b, true)
		t.Merge(sampleTally())
		var s strings.Builder
		for is := range conditions {
			fmt.Fprintf(&s, "%s=%d ", is, t.Count(is))
		}
		return fmt.Sprint(s.String(), t.Hours, t.Reasons, describeLatency(&t.Response)), err
	}},
	{"flows", func() []byte { return sampleFlows().Pack() }, func(b []byte) (string, error) {
		t := FlowTally{}
		err := t.MergePacked(b, true)
		t.Merge(sampleFlows())
		counted := FlowTally{}
		if err == nil {
			err = counted.MergePacked(b, false)
		}
		if err != nil {
			return "", err
		}
		var s strings.Builder
		for _, flow := range []string{"transfer", "überweisen"} {
			for is := range flowConditions {
				fmt.Fprintf(&s, "%s=%d/%d ", is, t[flow].Count(is), counted[flow].Count(is))
			}
			fmt.Fprint(&s, t[flow].LastSteps, t[flow].Steps, describeLatency(&t[flow].Time), "; ")
		}
		return s.String(), err
	}},
	{"intents", func() []byte { return sampleIntents().Pack() }, func(b []byte) (string, error) {
		var t, words IntentTally
		err := t.MergePacked(b, true, true)
		t.Merge(sampleIntents())
		if err == nil {
			err = words.MergePacked(b, false, true)
		}
		return fmt.Sprint(*t.Intents["greet"], *t.Intents["nlu_fallback"], t.Commands, t.Reasons, describeLatency(t.ByFlow["transfer"]), describeLatency(t.ByFlow[""]),
			describeLatency(t.ByAction["utter_done"]), describeLatency(&t.Understanding), describeLatency(&t.Prediction), len(words.Intents), len(words.ByFlow)), err
	}},
	{"users", func() []byte { return sampleUsers().Pack(packedAt) }, func(b []byte) (string, error) {
		v, err := Visits{}.AppendPacked(b, packedAt)
		return fmt.Sprint(v), err
	}},
	{"hours", func() []byte { return sampleHours().Pack() }, func(b []byte) (string, error) {
		h := &HourLatency{}
		err := h.MergePacked(b)
		h.Merge(sampleHours())
		var s strings.Builder
		for i := range h {
			fmt.Fprintf(&s, "%d %s; ", i, describeLatency(&h[i]))
		}
		return s.String(), err
	}},
}

// TestPacked holds that what any released version packed can be read, to the same figures, and that today's packing is
// the newest of these: figures that retention froze cannot be counted again. A file in testdata is never changed; a new
// packing gets new files.
func TestPacked(t *testing.T) {
	t.Parallel()
	for _, k := range packedKinds {
		want, err := k.read(k.pack())
		if err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		files, err := filepath.Glob("testdata/packed/" + k.name + "-*.bin")
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		slices.Sort(files)
		for i, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.read(b)
			if err != nil || got != want {
				t.Errorf("%s reads as\n%s, %v; want\n%s", name, got, err, want)
			}
			if newest := i == len(files)-1; newest != bytes.Equal(b, k.pack()) {
				t.Errorf(
					"%s: packed alike is %v, want %v: another packing needs another number and files of its own", name,
					!newest, newest,
				)
			}
		}
	}
}

// TestPackedUntimed: turns that were not timed are packed, read and summed with the rest.
func TestPackedUntimed(t *testing.T) {
	t.Parallel()
	x := sampleTally()
	x.Add(&ConversationFacts{Untimed: 3})
	var got Tally
	if err := got.Unpack(x.Pack(), false); err != nil || got.Untimed != 3 {
		t.Errorf("%d, %v", got.Untimed, err)
	}
	if got.Merge(x); got.Untimed != 6 {
		t.Errorf("summed %d", got.Untimed)
	}
}

// TestPackedLater holds that figures which a later version packed, with conditions and sections that this one does not
// know, and longer ones of those that it knows, read as if it had packed them; and that what an earlier version did not
// count is none.
func TestPackedLater(t *testing.T) {
	t.Parallel()
	for _, k := range packedKinds {
		want, err := k.read(k.pack())
		if err != nil {
			t.Fatal(err)
		}
		for name, later := range map[string][]byte{
			"a section": appendSection(k.pack(), 77, func(b []byte) []byte { return append(b, 1, 2, 3) }),
			"a section before": append(
				appendSection([]byte{form}, 99, func(b []byte) []byte { return appendText(b, "new") }), k.pack()[1:]...,
			),
		} {
			if got, err := k.read(later); err != nil || got != want {
				t.Errorf("%s, with %s more, reads as\n%s, %v; want\n%s", k.name, name, got, err, want)
			}
		}
		if _, err := k.read([]byte{form + 1}); err == nil {
			t.Errorf("%s of an unknown form is read", k.name)
		}
	}
	counts := func(b []byte) []byte { return append(b, 200, 1, 5, 2, 7) } // of the conditions 200 and 2
	var tally Tally
	if err := tally.Unpack(
		appendSection([]byte{form}, tallyCounts, counts), true,
	); err != nil || tally.Count(Engaged) != 7 || tally.Count(All) != 0 {
		t.Errorf("unknown and missing conditions read as %v, %v", tally.counts, err)
	}
	flows := FlowTally{}
	b := appendSection([]byte{form}, flowOf, func(b []byte) []byte {
		return appendSection(
			appendSection(appendText(b, "f"), flowCounts, counts), 50, func(b []byte) []byte { return append(b, 9) },
		)
	})
	if err := flows.MergePacked(b, true); err != nil || flows["f"].Count(FlowStarted) != 7 ||
		flows["f"].Count(FlowTouched) != 0 {
		t.Errorf("unknown and missing conditions of flows read as %v, %v", flows["f"], err)
	}
	for name, numbers := range map[string][]int64{
		"conditions": conditionNumbers[:], "conditions of flows": flowNumbers[:],
	} {
		if sorted := slices.Compact(
			slices.Sorted(slices.Values(numbers)),
		); len(sorted) != len(numbers) || sorted[0] < 1 {
			t.Errorf("the numbers of %s are not all given, each once: %v", name, numbers)
		}
	}
}
