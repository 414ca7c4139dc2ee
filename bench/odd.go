package main

import (
	"fmt"
	"time"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/rasa"
	"turnwise/queries"
)

// shape is a way in which events may be unlike those of people: all of one sender, user, conversation or flow.
type shape struct {
	name  string
	event func(i int) string
}

const oddFrom = 1790000000

func oddEvent(sender string, i int, typ, more string) string {
	return fmt.Sprintf(`{"sender_id":%q,"event":%q,"timestamp":%d.%03d,%s,"metadata":{"assistant_id":"bench"}}`, sender, typ, oddFrom+i/100, i%100*10, more)
}

// shapes are what costs must not grow with what is there already.
func shapes() []shape {
	message := func(i int) string {
		return fmt.Sprintf(`"text":"message %d","message_id":"m%d","parse_data":{"intent":{"name":"greet","confidence":0.9},"entities":[]}`, i, i)
	}
	return []shape{
		{"one user's id in every conversation", func(i int) string { return oddEvent(fmt.Sprint("g", i), i, "user", message(i)+`,"user_id":"guest"`) }},
		{"one sender's sessions", func(i int) string {
			return fmt.Sprintf(`{"sender_id":"sessions","event":"user","timestamp":%d.5,%s,"metadata":{"assistant_id":"bench","session_id":"s%d"}}`, oddFrom+60*(i/2), message(i), i/2)
		}},
		{"messages of one conversation", func(i int) string { return oddEvent("messages", i, "user", message(i)) }},
		{"slots of one conversation", func(i int) string {
			return oddEvent("slots", i, "slot", fmt.Sprintf(`"name":"slot %d","value":"%d"`, i, i))
		}},
		{"commands of one conversation", func(i int) string {
			return oddEvent("commands", i, "user", fmt.Sprintf(`"text":"x","message_id":"c%d","parse_data":{"commands":[{"command":"start flow","flow":"f%d"},{"command":"set slot","name":"s","value":%d}]}`, i, i, i))
		}},
		{"open flows of one conversation", func(i int) string { return oddEvent("flows", i, "flow_started", fmt.Sprintf(`"flow_id":"flow %d"`, i)) }},
		{"flows of one conversation, ended", func(i int) string {
			return oddEvent("ended", i, []string{"flow_started", "flow_completed"}[i%2], fmt.Sprintf(`"flow_id":"flow %d"`, i/2))
		}},
		{"frames of one stack", func(i int) string {
			return oddEvent("stack", i, "stack", fmt.Sprintf(`"update":"[{\"op\":\"add\",\"path\":\"/0\",\"value\":{\"frame_id\":\"%d\",\"flow_id\":\"f%d\",\"step_id\":\"s\"}}]"`, i, i))
		}},
		{"names, each of its own", func(i int) string {
			return fmt.Sprintf(`{"sender_id":"n%d","event":"user","timestamp":%d.5,%s,"input_channel":"channel %d","metadata":{"assistant_id":"assistant %d","model_id":"model %d"}}`, i, oddFrom+i, message(i), i%5000, i%5000, i%5000)
		}},
	}
}

// odd measures storing of each shape in requests of 500 events, compared with as many ordinary events.
func (b *bench) odd() error {
	ordinary := shape{"ordinary", func(i int) string {
		return oddEvent(fmt.Sprint("o", i/10), i, "user", fmt.Sprintf(`"text":"message %d","message_id":"m%d","parse_data":{"intent":{"name":"greet","confidence":0.9},"entities":[]}`, i, i))
	}}
	const n = 20000
	one := func(s shape) (each time.Duration, longest time.Duration, err error) {
		url, drop, err := b.fresh("bench_odd")
		if err != nil {
			return 0, 0, err
		}
		pool, err := queries.Open(b.ctx, url, 4)
		if err != nil {
			return 0, 0, err
		}
		defer func() {
			pool.Close()
			if e := drop(); err == nil {
				err = e
			}
		}()
		w := ingest.NewWriter(pool, b.log)
		src, err := w.Open(b.ctx, ingest.Source{Name: "odd", Kind: "http", Assistant: "bench"})
		if err != nil {
			return 0, 0, err
		}
		d := rasa.NewDecoder()
		begun := time.Now()
		for i := 0; i < n; {
			var events []*conversation.Event
			for ; len(events) < 500; i++ {
				e, rej := d.Decode(s.event(i), src.Intake(), time.Unix(oddFrom+1e7, 0))
				if rej != nil {
					return 0, 0, fmt.Errorf("%s: %w", s.name, rej)
				}
				events = append(events, e)
			}
			at := time.Now()
			if _, err := w.Store(b.ctx, src, events); err != nil {
				return 0, 0, err
			}
			longest = max(longest, time.Since(at))
			if time.Since(begun) > 3*time.Minute {
				return time.Since(begun) / time.Duration(i), longest, nil
			}
		}
		return time.Since(begun) / n, longest, nil
	}
	base, _, err := one(ordinary)
	if err != nil {
		return err
	}
	b.note("odd: an ordinary event", float64(base.Microseconds()), "µs", "")
	for _, s := range shapes() {
		each, longest, err := one(s)
		if err != nil {
			return err
		}
		b.note("odd: "+s.name+" / ordinary", float64(each)/float64(base), "", "≤ 2")
		b.note("odd: "+s.name+", longest request", float64(longest.Milliseconds()), "ms", "< 2000")
	}
	return nil
}
