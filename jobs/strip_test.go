package jobs_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

// keep has a rule for everything.
func keep(t *testing.T, pool *pgxpool.Pool, r queries.RetentionRule, now time.Time) {
	t.Helper()
	admin := access.Account{
		ID: queries.NewID(), Email: "a@example.org", Name: "a", Role: "admin", PasswordHash: "x", CreatedAt: now,
	}
	if err := queries.AddAccount(t.Context(), pool, admin); err != nil {
		t.Fatal(err)
	}
	r.ID, r.Most, r.ChangedAt = queries.NewID(), 100_000, now
	if err := queries.AddRetentionRule(t.Context(), pool, r, admin.ID); err != nil {
		t.Fatal(err)
	}
}

// TestStripped: what was said is gone from every table when its time is over, and stays gone whatever comes again;
// figures are the same, also counted anew; what came later is untouched; late events of sealed times change nothing.
func TestStripped(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	g := figures.NewGrid(time.UTC)
	generate(t, pool, demo.Options{Conversations: 400, Days: 90, Until: now.Add(-3 * time.Hour), Seed: 21})
	const word = "quokkacanary"
	say := func(at time.Time, text string) []string {
		s := at.Unix()
		return []string{
			fmt.Sprintf(
				`{"sender_id":"ann","event":"action","name":"action_session_start","timestamp":%d,"metadata":{"assistant_id":"zoo"}}`,
				s,
			),
			fmt.Sprintf(
				`{"sender_id":"ann","event":"user","text":"my name is %s","parse_data":{"intent":{"name":"greet","confidence":0.9},"entities":[{"entity":"name","value":%q}],"commands":[{"command":"set slot","name":"name","value":%q}]},"timestamp":%d,"metadata":{"assistant_id":"zoo"}}`,
				text, text, text, s+1,
			),
			fmt.Sprintf(
				`{"sender_id":"ann","event":"stack","update":"[{\"op\":\"add\",\"path\":\"/0\",\"value\":{\"frame_id\":\"a\",\"flow_id\":\"pattern_correction\",\"step_id\":\"START\",\"type\":\"pattern_correction\",\"corrected_slots\":{\"name\":\"%s\"}}}]","timestamp":%d,"metadata":{"assistant_id":"zoo"}}`,
				text, s+1,
			),
			fmt.Sprintf(
				`{"sender_id":"ann","event":"slot","name":"name","value":%q,"timestamp":%d,"metadata":{"assistant_id":"zoo"}}`,
				text, s+2,
			),
			fmt.Sprintf(
				`{"sender_id":"ann","event":"bot","text":"Hello %s","data":{"buttons":[{"title":%q,"payload":"/x"}]},"timestamp":%d,"metadata":{"assistant_id":"zoo"}}`,
				text, text, s+3,
			),
		}
	}
	old, older := now.AddDate(0, 0, -45), now.AddDate(0, 0, -80)
	first := slices.Concat(say(older, word), say(old, word))
	feed(t, pool, bodies(first...))
	rollUp(t, pool, g, now)
	keep(t, pool, queries.RetentionRule{TextDays: days(30), EventDays: days(60)}, now)
	all := figures.Question{
		Filter: metric.Filter{Range: metric.Range{Days: 120}}, Flows: true, Steps: true, Times: true, Hours: true,
		Parts: true, Intents: true, Users: true, Now: now, Grid: g,
	}
	figuresOf := func() figures.Answer {
		t.Helper()
		f, err := figures.Count(t.Context(), pool, all)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if err := jobs.IndexTexts(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	before := figuresOf()
	if in := dbtest.Holding(t, pool, word); len(in) < 8 || !slices.Contains(in, "projections") ||
		!slices.Contains(in, "search_words") {
		t.Fatalf("the word stands only in %v", in)
	}
	retain := func(texts, events int64) {
		t.Helper()
		rules, err := queries.RetentionRules(t.Context(), pool)
		if err != nil {
			t.Fatal(err)
		}
		for of, want := range map[queries.Kept]int64{queries.KeptTexts: texts, queries.KeptEvents: events} {
			if p, err := queries.PreviewRetention(
				t.Context(), pool, of, rules, now, time.UTC,
			); err != nil || p.Conversations != want {
				t.Errorf("preview of %d: %+v, %v; want %d", of, p, err, want)
			}
		}
		run, err := jobs.Retain(t.Context(), pool, time.UTC, clock(now))
		if err != nil || run.Events != events || run.Texts != texts || run.Conversations != 0 || run.Error != "" {
			t.Fatalf("%+v, %v", run, err)
		}
	}
	count := func(sql string) (n int64) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	texts, events := count(
		`select count(*) from conversations where last_at < date_trunc('day', timestamptz '2026-09-27')`,
	), count(`select count(*) from conversations where last_at < date_trunc('day', timestamptz '2026-08-28')`)
	retain(texts-events, events)
	if in := dbtest.Holding(t, pool, word); len(in) > 0 {
		t.Errorf("the word is left in %v", in)
	}
	if n := count(
		`select count(*) from events e join conversations c on c.id = e.conversation_id where c.removed = 2`,
	); n > 0 {
		t.Errorf("%d events are left", n)
	}
	if n := count(
		`select count(*) from event_payloads p join conversations c on c.id = p.conversation_id where c.removed > 0`,
	); n > 0 {
		t.Errorf("%d bodies are left", n)
	}
	if n := count(
		`select count(*) from messages m join conversations c on c.id = m.conversation_id where c.removed = 0 and m.text = ''`,
	); n > 20 {
		t.Errorf("%d messages that are kept have no text", n)
	}
	same(t, "after", figuresOf(), before)
	dump := dbtest.Dump(t, pool)
	// Everything comes again, out of order; and one late event of a sealed time.
	again := slices.Concat(first, []string{
		fmt.Sprintf(
			`{"sender_id":"ann","event":"user","text":"late %s","timestamp":%d,"metadata":{"assistant_id":"zoo"}}`,
			word, old.Unix()-1000,
		),
	})
	slices.Reverse(again)
	feed(t, pool, bodies(again...))
	w := ingest.NewWriter(pool, slog.New(slog.DiscardHandler))
	if err := w.Rebuild(t.Context(), "", func(int) {}); err != nil {
		t.Fatal(err)
	}
	if got := dbtest.Dump(t, pool); got != dump {
		t.Errorf("after a replay and a rebuild:\n%s", difference(got, dump))
	}
	if err := figures.RebuildRollups(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	rollUp(t, pool, g, now)
	same(t, "counted anew", figuresOf(), before)
	// A session that goes on: what is new is kept, what would change the sealed part is set aside.
	session := func(at time.Time, text string) string {
		return fmt.Sprintf(
			`{"sender_id":"bob","event":"user","text":%q,"timestamp":%d,"metadata":{"assistant_id":"zoo","session_id":"bobs"}}`,
			text, at.Unix(),
		)
	}
	feed(t, pool, bodies(session(now.AddDate(0, 0, -45), "one"), session(now.AddDate(0, 0, -44), "two")))
	if run, err := jobs.Retain(t.Context(), pool, time.UTC, clock(now)); err != nil || run.Texts != 1 {
		t.Errorf("bob: %+v, %v", run, err)
	}
	feed(t, pool, bodies(session(now.AddDate(0, 0, -1), "three")))
	feed(t, pool, bodies(session(now.AddDate(0, 0, -2), "between")))
	if n := count(`select count(*) from messages where text = 'three'`); n != 1 {
		t.Error("what is new is not kept")
	}
	if n := count(
		`select count(*) from conversations where user_messages = 3 and id in (select conversation_id from messages where text = 'three')`,
	); n != 1 {
		t.Error("the session does not go on")
	}
	if n := count(
		`select count(*) from rejected_events where code = 'sealed' and position('between'::bytea in body) > 0`,
	); n != 1 {
		t.Error("what would change the sealed part is not set aside")
	}
	var text string
	if err := pool.QueryRow(
		t.Context(),
		`select split_part(bodies, chr(30), 1) from event_payloads where position('"three"' in bodies) > 0`,
	).Scan(&text); err != nil || !strings.Contains(text, "three") {
		t.Errorf("the body of what is new: %q, %v", text, err)
	}
	// The same person comes again, out of order, and what was said is gone in its turn.
	fresh := say(now.AddDate(0, 0, -2), "wombatcanary")
	feed(t, pool, bodies(fresh[0], fresh[1], fresh[3], fresh[4]))
	feed(t, pool, bodies(fresh[2]))
	if in := dbtest.Holding(t, pool, "wombatcanary"); !slices.Contains(in, "slots") ||
		!slices.Contains(in, "event_payloads") {
		t.Errorf("what came later stands in %v", in)
	}
	if n := count(
		`select count(*) from events e join senders s on s.id = e.sender_id where s.sender_key = 'ann' and e.at > '2026-10-01'`,
	); n != 5 {
		t.Errorf("%d events of the new conversation, want 5", n)
	}
	now = now.AddDate(0, 0, 40)
	if run, err := jobs.Retain(t.Context(), pool, time.UTC, clock(now)); err != nil || run.Texts == 0 {
		t.Errorf("%+v, %v", run, err)
	}
	if in := dbtest.Holding(t, pool, "wombatcanary"); len(in) > 0 {
		t.Errorf("what came later is left in %v", in)
	}
}

// difference returns the first lines in which two texts differ.
func difference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			at := 0
			for at < min(len(a[i]), len(b[i])) && a[i][at] == b[i][at] {
				at++
			}
			return fmt.Sprintf(
				"line %d is\n%.120s … %.300s\nwant\n%.120s … %.300s", i, a[i], a[i][max(0, at-100):], b[i],
				b[i][max(0, at-100):],
			)
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(a), len(b))
}

// TestStrippedBefore: conversations are the same whether those before them were stripped before their events came, in
// any order, or after.
func TestStrippedBefore(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	type event struct {
		Timestamp float64
		Sender    string `json:"sender_id"`
		body      string
	}
	var all []event
	astride := map[string]bool{} // who had a conversation at the edge
	edge := queries.Cutoff(11, now, time.UTC)
	g := demo.New(demo.Options{Conversations: 300, Days: 20, Until: now.Add(-3 * time.Hour), Seed: seed})
	for {
		b, ok := g.Next()
		if !ok {
			break
		}
		e := event{body: string(b)}
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
		if math.Abs(e.Timestamp-float64(edge.Unix())) < 3*60*60 {
			astride[e.Sender] = true
		}
	}
	var early, late []string
	for _, e := range all {
		switch {
		case astride[e.Sender]:
		case e.Timestamp < float64(edge.Unix()):
			early = append(early, e.body)
		default:
			late = append(late, e.body)
		}
	}
	if len(early) < 1000 || len(late) < 1000 {
		t.Fatal(len(early), len(late))
	}
	dumps := make([]string, 2)
	for i := range dumps {
		pool := dbtest.Pool(t)
		keep(t, pool, queries.RetentionRule{TextDays: days(10)}, now)
		retain := func() {
			t.Helper()
			if _, err := jobs.Retain(t.Context(), pool, time.UTC, clock(now)); err != nil {
				t.Fatal(err)
			}
		}
		feed(t, pool, bodies(early...))
		mixed := slices.Clone(late)
		if i == 1 {
			retain()
			r := rand.New(rand.NewPCG(seed, 2))
			r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
			for len(mixed) > 0 { // several batches
				n := min(len(mixed), 1+r.IntN(800))
				feed(t, pool, bodies(mixed[:n]...))
				mixed = mixed[n:]
			}
		} else {
			feed(t, pool, bodies(mixed...))
		}
		retain()
		dumps[i] = dbtest.Dump(t, pool)
	}
	if dumps[0] != dumps[1] {
		t.Errorf("stripped before or after: %s", difference(dumps[1], dumps[0]))
	}
}
