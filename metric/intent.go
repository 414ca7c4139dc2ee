package metric

import (
	"encoding/binary"
	"maps"
	"slices"
)

// LowConfidence is the confidence below which an intent counts as unsure.
const LowConfidence = 0.5

// IntentCount counts the turns of an intent.
type IntentCount struct {
	Turns    int64
	Fallback int64     // that the assistant did not understand
	Deciles  [10]int64 // by confidence; those without one are in none
}

// Unsure returns how many turns have a confidence below LowConfidence.
func (c *IntentCount) Unsure() (n int64) {
	for _, d := range c.Deciles[:int(LowConfidence*10)] {
		n += d
	}
	return n
}

// Understood returns, over the turns of all intents, the share that was not understood, and of those with a confidence
// the share in which it is low.
func (t *IntentTally) Understood() (fallback, unsure Rate) {
	for _, c := range t.Intents {
		fallback.Among += c.Turns
		fallback.Of += c.Fallback
		unsure.Of += c.Unsure()
		for _, n := range c.Deciles {
			unsure.Among += n
		}
	}
	return fallback, unsure
}

// Whole returns the turns of all intents together.
func (t *IntentTally) Whole() *IntentCount {
	all := new(IntentCount)
	for _, c := range t.Intents {
		all.Turns += c.Turns
		all.Fallback += c.Fallback
		for i, n := range c.Deciles {
			all.Deciles[i] += n
		}
	}
	return all
}

// IntentTally counts what the assistant understood: turns in which a person wrote by intent, and conversations by the
// commands that the model gave in them.
type IntentTally struct {
	Intents  map[string]*IntentCount
	Commands map[string]int64 // conversations with the command
	Reasons  map[string]int64 // conversations with "cannot handle", by what it says

	ByFlow                    map[string]*Latency // response times by the flow that was on top when the turn ended
	ByAction                  map[string]*Latency // and by the last action before the answer
	Understanding, Prediction Latency             // of the turns of which the platform told them

	flows, actions            map[string][]float64
	understanding, prediction []float64
}

// Timing is how long a turn took, in milliseconds; nil is not told.
type Timing struct {
	Flow                                string // on top of the dialogue stack when it ended, "" for none
	Action                              string // the last that ran before the answer, "" for none
	Response, Understanding, Prediction *float64
}

// Time counts how long a turn took.
func (t *IntentTally) Time(x Timing) {
	if x.Response == nil {
		return
	}
	if t.flows == nil {
		t.flows, t.actions = map[string][]float64{}, map[string][]float64{}
	}
	t.flows[x.Flow] = append(t.flows[x.Flow], *x.Response)
	t.actions[x.Action] = append(t.actions[x.Action], *x.Response)
	if x.Understanding != nil {
		t.understanding = append(t.understanding, *x.Understanding)
	}
	if x.Prediction != nil {
		t.prediction = append(t.prediction, *x.Prediction)
	}
}

// latencyOf returns the response times of a name.
func latencyOf(by *map[string]*Latency, name string) *Latency {
	if *by == nil {
		*by = map[string]*Latency{}
	}
	l := (*by)[name]
	if l == nil {
		l = &Latency{}
		(*by)[name] = l
	}
	return l
}

// Settle moves the times that Time gathered into their distributions; Merge and Pack do so too.
func (t *IntentTally) Settle() {
	for _, x := range []struct {
		from map[string][]float64
		into *map[string]*Latency
	}{{t.flows, &t.ByFlow}, {t.actions, &t.ByAction}} {
		for name, values := range x.from {
			l := NewLatency(values)
			latencyOf(x.into, name).Merge(&l)
		}
	}
	for _, x := range []struct {
		from *[]float64
		into *Latency
	}{{&t.understanding, &t.Understanding}, {&t.prediction, &t.Prediction}} {
		l := NewLatency(*x.from)
		x.into.Merge(&l)
		*x.from = nil
	}
	t.flows, t.actions = nil, nil
}

func (t *IntentTally) of(intent string) *IntentCount {
	if t.Intents == nil {
		t.Intents = map[string]*IntentCount{}
	}
	c := t.Intents[intent]
	if c == nil {
		c = &IntentCount{}
		t.Intents[intent] = c
	}
	return c
}

// Add counts a turn; confidence is nil when the platform told none.
func (t *IntentTally) Add(intent string, fallback bool, confidence *float32) {
	c := t.of(intent)
	c.Turns++
	if fallback {
		c.Fallback++
	}
	if confidence != nil {
		c.Deciles[max(0, min(9, int(float64(*confidence)*10)))]++
	}
}

// Command counts a conversation for a command, and for the reason that "cannot handle" gives.
func (t *IntentTally) Command(command string) {
	if t.Commands == nil {
		t.Commands = map[string]int64{}
	}
	t.Commands[command]++
}

// Reason counts a conversation for what "cannot handle" says.
func (t *IntentTally) Reason(reason string) {
	if t.Reasons == nil {
		t.Reasons = map[string]int64{}
	}
	t.Reasons[reason]++
}

// Merge adds o.
func (t *IntentTally) Merge(o *IntentTally) {
	t.Settle()
	o.Settle()
	for flow, l := range o.ByFlow {
		latencyOf(&t.ByFlow, flow).Merge(l)
	}
	for action, l := range o.ByAction {
		latencyOf(&t.ByAction, action).Merge(l)
	}
	t.Understanding.Merge(&o.Understanding)
	t.Prediction.Merge(&o.Prediction)
	for intent, x := range o.Intents {
		c := t.of(intent)
		c.Turns += x.Turns
		c.Fallback += x.Fallback
		for i, n := range x.Deciles {
			c.Deciles[i] += n
		}
	}
	for _, m := range []struct {
		from map[string]int64
		into *map[string]int64
	}{{o.Commands, &t.Commands}, {o.Reasons, &t.Reasons}} {
		for k, n := range m.from {
			if *m.into == nil {
				*m.into = map[string]int64{}
			}
			(*m.into)[k] += n
		}
	}
}

// The sections of what was understood. Intents, flows and actions are sections of one number each.
const (
	intentOf = iota + 1
	intentCommands
	intentReasons
	intentFlow
	intentAction
	intentUnderstanding
	intentPrediction
)

// Pack writes the tally.
func (t *IntentTally) Pack() []byte {
	t.Settle()
	b := []byte{form}
	for _, intent := range slices.Sorted(maps.Keys(t.Intents)) {
		c := t.Intents[intent]
		b = appendSection(b, intentOf, func(b []byte) []byte {
			b = binary.AppendUvarint(binary.AppendUvarint(appendText(b, intent), uint64(c.Turns)), uint64(c.Fallback))
			for _, n := range c.Deciles {
				b = binary.AppendUvarint(b, uint64(n))
			}
			return b
		})
	}
	b = appendSection(b, intentCommands, func(b []byte) []byte { return appendTexts(b, t.Commands) })
	b = appendSection(b, intentReasons, func(b []byte) []byte { return appendTexts(b, t.Reasons) })
	for number, by := range []map[string]*Latency{intentFlow: t.ByFlow, intentAction: t.ByAction} {
		for _, name := range slices.Sorted(maps.Keys(by)) {
			b = appendSection(b, uint64(number), func(b []byte) []byte { return by[name].append(appendText(b, name)) })
		}
	}
	for number, l := range []*Latency{intentUnderstanding: &t.Understanding, intentPrediction: &t.Prediction} {
		if l != nil && l.N > 0 {
			b = appendSection(b, uint64(number), l.append)
		}
	}
	return b
}

// MergePacked adds what Pack wrote: what was understood, or response times by flow and part.
func (t *IntentTally) MergePacked(b []byte, words, times bool) error {
	t.Settle()
	r, number := opened(b)
	if number == firstForm {
		return t.mergeFirst(r, words, times)
	}
	r.sections(func(number int64, s *reader) {
		switch {
		case number == intentOf && words:
			intent := s.bytes()
			c := t.Intents[string(intent)]
			if c == nil {
				c = t.of(string(intent))
			}
			c.Turns += s.int()
			c.Fallback += s.int()
			for i := 0; i < len(c.Deciles) && s.more(); i++ {
				c.Deciles[i] += s.int()
			}
		case number == intentCommands && words:
			addTexts(&t.Commands, s)
		case number == intentReasons && words:
			addTexts(&t.Reasons, s)
		case number == intentFlow && times:
			latencyOf(&t.ByFlow, s.text()).merge(s)
		case number == intentAction && times:
			latencyOf(&t.ByAction, s.text()).merge(s)
		case number == intentUnderstanding && times:
			t.Understanding.merge(s)
		case number == intentPrediction && times:
			t.Prediction.merge(s)
		}
	})
	return r.err
}

// addTexts adds what appendTexts wrote.
func addTexts(into *map[string]int64, s *reader) {
	for s.more() {
		k := s.bytes()
		if *into == nil {
			*into = map[string]int64{}
		}
		(*into)[string(k)] += s.int()
	}
}
