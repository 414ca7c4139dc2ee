package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/rasa"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// shape is a way in which events may be unlike those of people: all of one sender, user, conversation or flow.
type shape struct {
	name  string
	event func(i int) string
	alone bool // each event is a conversation of its own
}

const oddFrom = 1790000000

func oddEvent(sender string, i int, typ, more string) string {
	return fmt.Sprintf(
		`{"sender_id":%q,"event":%q,"timestamp":%d.%03d,%s,"metadata":{"assistant_id":"bench"}}`, sender, typ,
		oddFrom+i/100, i%100*10, more,
	)
}

// shapes are what costs must not grow with what is there already.
func shapes() []shape {
	message := func(i int) string {
		return fmt.Sprintf(
			`"text":"message %d","message_id":"m%d","parse_data":{"intent":{"name":"greet","confidence":0.9},"entities":[]}`,
			i, i,
		)
	}
	return []shape{
		{
			"one user's id in every conversation",
			func(i int) string { return oddEvent(fmt.Sprint("g", i), i, "user", message(i)+`,"user_id":"guest"`) },
			true,
		},
		{"one sender's sessions", func(i int) string {
			return fmt.Sprintf(
				`{"sender_id":"sessions","event":"user","timestamp":%d.5,%s,"metadata":{"assistant_id":"bench","session_id":"s%d"}}`,
				oddFrom+60*(i/2), message(i), i/2,
			)
		}, false},
		{
			"messages of one conversation", func(i int) string { return oddEvent("messages", i, "user", message(i)) },
			false,
		},
		{"slots of one conversation", func(i int) string {
			return oddEvent("slots", i, "slot", fmt.Sprintf(`"name":"slot %d","value":"%d"`, i, i))
		}, false},
		{"commands of one conversation", func(i int) string {
			return oddEvent(
				"commands", i, "user",
				fmt.Sprintf(
					`"text":"x","message_id":"c%d","parse_data":{"commands":[{"command":"start flow","flow":"f%d"},{"command":"set slot","name":"s","value":%d}]}`,
					i, i, i,
				),
			)
		}, false},
		{
			"open flows of one conversation",
			func(i int) string { return oddEvent("flows", i, "flow_started", fmt.Sprintf(`"flow_id":"flow %d"`, i)) },
			false,
		},
		{"flows of one conversation, ended", func(i int) string {
			return oddEvent(
				"ended", i, []string{"flow_started", "flow_completed"}[i%2], fmt.Sprintf(`"flow_id":"flow %d"`, i/2),
			)
		}, false},
		{"frames of one stack", func(i int) string {
			return oddEvent(
				"stack", i, "stack",
				fmt.Sprintf(
					`"update":"[{\"op\":\"add\",\"path\":\"/0\",\"value\":{\"frame_id\":\"%d\",\"flow_id\":\"f%d\",\"step_id\":\"s\"}}]"`,
					i, i,
				),
			)
		}, false},
		{"names, each of its own", func(i int) string {
			return fmt.Sprintf(
				`{"sender_id":"n%d","event":"user","timestamp":%d.5,%s,"input_channel":"channel %d","metadata":{"assistant_id":"assistant %d","model_id":"model %d"}}`,
				i, oddFrom+i, message(i), i%5000, i%5000, i%5000,
			)
		}, true},
	}
}

// odd measures storing of each shape in requests of 500 events, compared with as many ordinary events that make as many
// conversations.
func (b *bench) odd() error {
	ordinary := func(each int) shape {
		return shape{"ordinary", func(i int) string {
			return oddEvent(
				fmt.Sprint("o", i/each), i, "user",
				fmt.Sprintf(
					`"text":"message %d","message_id":"m%d","parse_data":{"intent":{"name":"greet","confidence":0.9},"entities":[]}`,
					i, i,
				),
			)
		}, each == 1}
	}
	base, _, err := b.oddShape(ordinary(10))
	if err != nil {
		return err
	}
	alone, _, err := b.oddShape(ordinary(1))
	if err != nil {
		return err
	}
	b.note("odd: an ordinary event, ten a conversation", float64(base.Microseconds()), "µs", "")
	b.note("odd: an ordinary event, each a conversation", float64(alone.Microseconds()), "µs", "")
	for _, s := range shapes() {
		each, longest, err := b.oddShape(s)
		if err != nil {
			return err
		}
		as := base
		if s.alone {
			as = alone
		}
		b.note("odd: "+s.name+" / ordinary", float64(each)/float64(as), "", "≤ 2")
		b.note("odd: "+s.name+", longest request", float64(longest.Milliseconds()), "ms", "< 2000")
	}
	return b.oddPages()
}

// oddShape stores events of a shape, and returns what each took and the longest request.
func (b *bench) oddShape(s shape) (each, longest time.Duration, err error) {
	const n = 20000
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

// oddPages measures the pages of a database that holds all shapes, and how large they are.
func (b *bench) oddPages() (err error) {
	url, drop, err := b.fresh("bench_odd")
	if err != nil {
		return err
	}
	pool, err := queries.OpenForPages(b.ctx, url, 8)
	if err != nil {
		return err
	}
	defer func() {
		pool.Close()
		err = errors.Join(err, drop())
	}()
	if err := b.oddEvents(pool); err != nil {
		return err
	}
	if _, err := pool.Exec(b.ctx, "vacuum analyze"); err != nil {
		return err
	}
	now := func() time.Time { return time.Unix(oddFrom+1e6, 0) }
	if err := jobs.RollUp(b.ctx, pool, figures.NewGrid(time.UTC), -time.Second, now); err != nil {
		return err
	}
	client, base, stop, err := b.site(pool)
	if err != nil {
		return err
	}
	defer stop()
	paths, err := b.oddPaths(pool, now())
	if err != nil {
		return err
	}
	slowest, largest := "", ""
	most, size := 0.0, 0
	for _, path := range paths {
		var times []float64
		n := 0
		for range 3 {
			body, ms, err := get(client, base+path)
			if err != nil {
				return err
			}
			times, n = append(times, ms), len(body)
		}
		if ms := median(times); ms > most {
			most, slowest = ms, path
		}
		if n > size {
			size, largest = n, path
		}
		fmt.Printf("   %8.1f ms %8.0f kB  %s\n", median(times), float64(n)/1000, path)
	}
	b.note("odd: slowest page, "+slowest, most, "ms", "< 300")
	b.note("odd: largest page, "+largest, float64(size)/1e6, "MB", "< 1")
	return nil
}

// oddEvents stores some events of every shape.
func (b *bench) oddEvents(pool *pgxpool.Pool) error {
	w := ingest.NewWriter(pool, b.log)
	src, err := w.Open(b.ctx, ingest.Source{Name: "odd", Kind: "http", Assistant: "bench"})
	if err != nil {
		return err
	}
	d := rasa.NewDecoder()
	for _, s := range shapes() {
		for i := 0; i < 4000; {
			var events []*conversation.Event
			for ; len(events) < 2000; i++ {
				e, rej := d.Decode(s.event(i), src.Intake(), time.Unix(oddFrom+1e7, 0))
				if rej != nil {
					return fmt.Errorf("%s: %w", s.name, rej)
				}
				events = append(events, e)
			}
			if _, err := w.Store(b.ctx, src, events); err != nil {
				return err
			}
		}
	}
	return nil
}

// oddPaths are pages that show them.
func (b *bench) oddPaths(pool *pgxpool.Pool, now time.Time) ([]string, error) {
	days := "from=" + now.AddDate(0, 0, -20).UTC().Format(time.DateOnly) + "&until=" +
		now.AddDate(0, 0, 12).UTC().Format(time.DateOnly)
	paths := []string{
		"/health", "/admin", "/rejected", "/review", "/tags", "/criteria", "/admin/settings", "/admin/retention",
	}
	for _, page := range []string{
		"overview", "flows", "latency", "csat", "intents", "users", "users/list", "compare", "conversations", "turns",
		"flow?of=flow+1", "paths?of=flow+1",
	} {
		join := "?"
		if strings.Contains(page, "?") {
			join = "&"
		}
		paths = append(paths, "/"+page+join+days)
	}
	for _, sender := range []string{"messages", "slots", "commands", "flows", "ended", "stack", "sessions"} {
		var id string
		if err := pool.QueryRow(
			b.ctx,
			`select c.id::text from conversations c join senders s on s.id = c.sender_id where s.sender_key = $1 limit 1`,
			sender,
		).Scan(&id); err != nil {
			return nil, err
		}
		paths = append(paths, "/conversations/"+id, "/conversations/"+id+"?view=builder")
	}
	return paths, nil
}
