package metric

// Here stands how figures of the first form are read: everything by its place. It had as many conditions as there were
// then.
const (
	firstConditions     = 22
	firstFlowConditions = 13
)

func (h *HourLatency) mergeFirst(r *reader) error {
	for i := range h {
		h[i].merge(r)
	}
	return r.err
}

func (t *Tally) unpackFirst(r *reader, responses bool) error {
	for number := int64(1); number <= firstConditions; number++ {
		t.counts[conditionIndex[number]] = r.int()
	}
	for i := range t.Hours {
		t.Hours[i] = r.int()
	}
	if n := r.count(); n > 0 {
		t.Reasons = make(map[string]int64, n)
		for range n {
			reason := r.text()
			t.Reasons[reason] = r.int()
		}
	}
	if responses {
		t.Response.read(r)
	}
	return r.err
}

func (t FlowTally) mergeFirst(r *reader, steps bool) error {
	for n := r.count(); n > 0; n-- {
		flow := r.bytes()
		c := t[string(flow)]
		if c == nil {
			c = t.of(string(flow))
		}
		c.pack()
		for number := int64(1); number <= firstFlowConditions; number++ {
			c.counts[flowIndex[number]] += r.int()
		}
		if !steps {
			skipLatency(r)
			for n := r.count(); n > 0; n-- {
				r.bytes()
				r.int()
			}
			for n := r.count(); n > 0; n-- {
				r.bytes()
				r.int()
				r.int()
			}
			continue
		}
		c.Time.merge(r)
		for n := r.count(); n > 0; n-- {
			step := r.text()
			c.stop(step, r.int())
		}
		for n := r.count(); n > 0; n-- {
			step := r.text()
			c.visit(step, StepVisits{r.int(), r.int()})
		}
	}
	return r.err
}

func (t *IntentTally) mergeFirst(r *reader, words, times bool) error {
	for n := r.count(); n > 0; n-- {
		intent := r.text()
		var skipped IntentCount
		c := &skipped
		if words {
			c = t.of(intent)
		}
		c.Turns += r.int()
		c.Fallback += r.int()
		for i := range c.Deciles {
			c.Deciles[i] += r.int()
		}
	}
	for _, into := range []*map[string]int64{&t.Commands, &t.Reasons} {
		for n := r.count(); n > 0; n-- {
			k := r.text()
			v := r.int()
			if !words {
				continue
			}
			if *into == nil {
				*into = map[string]int64{}
			}
			(*into)[k] += v
		}
	}
	if !times {
		return r.err
	}
	for _, by := range []*map[string]*Latency{&t.ByFlow, &t.ByAction} {
		for n := r.count(); n > 0; n-- {
			latencyOf(by, r.text()).merge(r)
		}
	}
	t.Understanding.merge(r)
	t.Prediction.merge(r)
	return r.err
}
