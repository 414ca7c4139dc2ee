package jobs_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/ingest/brokertest"
	"turnwise/ingest/file"
	"turnwise/jobs"
	"turnwise/marker"
	"turnwise/metric"
	"turnwise/migrations"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func clock(now time.Time) func() time.Time { return func() time.Time { return now } }

// feed stores bodies.
func feed(t testing.TB, pool *pgxpool.Pool, next func() ([]byte, bool)) {
	t.Helper()
	w := ingest.NewWriter(pool, slog.New(slog.DiscardHandler))
	src, err := w.Open(t.Context(), ingest.Source{
		Name: "test", Kind: "file", Assistant: "default", Environment: "production",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Run(context.Background(), src, ingest.Bodies(func() (ingest.Body, error) {
		if body, ok := next(); ok {
			return ingest.Body{Bytes: body}, nil
		}
		return ingest.Body{}, io.EOF
	}), ingest.Options{}); err != nil {
		t.Fatal(err)
	}
}

func generate(t testing.TB, pool *pgxpool.Pool, o demo.Options) {
	t.Helper()
	feed(t, pool, demo.New(o).Next)
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func rollUp(t testing.TB, pool *pgxpool.Pool, g figures.Grid, now time.Time) {
	t.Helper()
	var both sync.WaitGroup // as two servers would
	for range 2 {
		both.Go(func() {
			if err := jobs.RollUp(t.Context(), pool, g, -time.Second, clock(now)); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if b, err := figures.Backlog(t.Context(), pool); err != nil || b.Hours+b.Days != 0 {
		t.Fatalf("%+v is left to count, %v", b, err)
	}
}

// row is a cell in comparable form.
type row struct {
	at     int64
	d      figures.Dimensions
	counts string
	n      int64
	p      [3]float64
}

func rows(f figures.Answer) []row {
	var all []row
	for _, c := range f.Cells {
		r := row{at: c.At.Unix(), d: c.Dimensions, n: c.Tally.Response.N}
		for _, is := range metric.Conditions() {
			r.counts += fmt.Sprintf("%s=%d ", is, c.Tally.Count(is))
		}
		r.counts += fmt.Sprint(c.Tally.Hours, c.Tally.Reasons)
		for i, p := range []float64{0.5, 0.95, 0.99} {
			r.p[i], _ = c.Tally.Response.Percentile(p)
		}
		if c.Tally.Count(metric.All) > 0 {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b row) int {
		return cmp.Or(
			cmp.Compare(a.at, b.at), cmp.Compare(a.d.Assistant, b.d.Assistant), cmp.Compare(a.d.Channel, b.d.Channel),
			cmp.Compare(a.d.Version, b.d.Version), cmp.Compare(a.d.Environment, b.d.Environment),
		)
	})
	return append(all, row{at: math.MaxInt64, counts: sums(f)})
}

// sums are flows, words and response times by weekday and hour in comparable form.
func sums(f figures.Answer) (text string) {
	for _, flow := range slices.Sorted(maps.Keys(f.Flows)) {
		x := f.Flows[flow]
		if x.Count(metric.FlowTouched) == 0 {
			continue
		}
		text += flow
		for how := metric.FlowTouched; how <= metric.FlowMissed; how++ {
			text += fmt.Sprintf(" %s=%d", how, x.Count(how))
		}
		text += fmt.Sprint(x.LastSteps, x.Steps, x.Time.N, " ")
	}
	for _, at := range slices.SortedFunc(maps.Keys(f.Trend), time.Time.Compare) {
		for flow, x := range f.Trend[at] {
			text += fmt.Sprint(
				at.Unix(), flow, x.Count(metric.FlowStarted), x.Count(metric.FlowFinished), x.Count(metric.FlowOpen),
				" ",
			)
		}
	}
	for _, intent := range slices.Sorted(maps.Keys(f.Intents.Intents)) {
		text += fmt.Sprint(intent, *f.Intents.Intents[intent])
	}
	text += fmt.Sprint(f.Intents.Commands, f.Intents.Reasons, f.Intents.Understanding.N, f.Intents.Prediction.N)
	for _, flow := range slices.Sorted(maps.Keys(f.Intents.ByFlow)) {
		text += fmt.Sprint(flow, f.Intents.ByFlow[flow].N, " ")
	}
	for _, action := range slices.Sorted(maps.Keys(f.Intents.ByAction)) {
		text += fmt.Sprint(action, f.Intents.ByAction[action].N, " ")
	}
	text += people(f.Users)
	for _, id := range slices.Sorted(maps.Keys(f.Markers)) {
		c := f.Markers[id]
		mean, median, fewest, most, ok := c.Preceding()
		if ok {
			text += fmt.Sprint("marker ", id, c.Conversations, c.Places(), mean, median, fewest, most, " ")
		}
	}
	for day := range f.Hours {
		for h := range f.Hours[day] {
			text += fmt.Sprint(f.Hours[day][h].N, " ")
		}
	}
	return text
}

// people are visits in comparable form: by time, each person once.
func people(all []metric.VisitsAt) (text string) {
	by := map[int64]metric.Visits{}
	for _, v := range all {
		by[v.At.Unix()] = append(by[v.At.Unix()], v.Visits...)
	}
	for _, at := range slices.Sorted(maps.Keys(by)) {
		text += fmt.Sprint(at, by[at].Settle())
	}
	return text
}

// same compares figures; percentiles of merged cells may be off by a percent.
func same(t *testing.T, what string, got, want figures.Answer) {
	t.Helper()
	a, b := rows(got), rows(want)
	if len(a) != len(b) {
		t.Errorf("%s: %d cells, want %d", what, len(a), len(b))
		return
	}
	for i := range a {
		x, y := a[i], b[i]
		for j := range x.p {
			if math.Abs(x.p[j]-y.p[j]) > 0.0101*y.p[j] {
				t.Errorf("%s: percentile %v, want %v", what, x.p[j], y.p[j])
			}
		}
		x.p, y.p = [3]float64{}, [3]float64{}
		if x != y {
			t.Errorf("%s: cell\n%+v, want\n%+v", what, x, y)
			return
		}
	}
}

// Whatever is rolled up, half rolled up or not at all, figures are those of the conversations themselves, and each
// is the length of the list that its condition opens.
func TestFiguresAreTheFacts(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 4))
	until := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC) // two days after the clocks changed in Europe
	for _, name := range []string{"UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := dbtest.Pool(t)
			g := figures.NewGrid(zone(t, name))
			mark(t, pool)
			generate(t, pool, demo.Options{Conversations: 400, Days: 5, Until: until, Seed: seed})
			rollUp(t, pool, g, until)
			// late ones: their hours are marked
			generate(t, pool, demo.Options{Conversations: 60, Days: 4, Until: until, Seed: seed + 1})
			if r.IntN(2) == 0 {
				if err := figures.NextGeneration(
					t.Context(), pool, until.AddDate(0, 0, -30), until.AddDate(0, 0, 1),
				); err != nil {
					t.Fatal(err)
				}
				if _, err := figures.RollUpHours(
					t.Context(), pool, g, figures.AllDays, until.AddDate(0, 0, -30), until.AddDate(0, 0, 1), 7, until,
				); err != nil {
					t.Fatal(err)
				}
			}
			criteria(t, pool, g, until)
			for range 2 {
				for _, f := range someFilters(r, g.Zone, until) {
					for _, fine := range []bool{false, true} {
						q := figures.Question{
							Filter: f, Fine: fine, Flows: true, Steps: true, Flow: "check_balance", Times: true,
							Hours: true, Parts: true, Intents: true, Users: true, Markers: true, Now: until, Grid: g,
						}
						got, err := figures.Count(t.Context(), pool, q)
						if err != nil {
							t.Fatal(err)
						}
						if got.Facts != !f.FromRollups() {
							t.Errorf("%v: from facts: %t", f.Query(), got.Facts)
						}
						q.Facts = true
						want, err := figures.Count(t.Context(), pool, q)
						if err != nil {
							t.Fatal(err)
						}
						same(t, name+" "+f.Query().Encode(), got, want)
						lists(t, pool, f, got, until, g.Zone)
					}
				}
				rollUp(t, pool, g, until)
			}
		})
	}
}

// mark has conversations looked through for markers.
func mark(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	all, err := marker.Parse([]byte(`
asked: {intent: check_balance}
spared: {never: [{intent: check_balance}]}
heard: {at_least_once: [{action: action_listen}]}
again: {seq: [{action: action_listen}, {action: action_listen}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, assistant := range []string{"harbour-bank", "parcel-desk"} {
		if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			_, err := queries.SetPatterns(t.Context(), tx, assistant, all, conversation.UUID{}, time.Unix(0, 0))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// criteria of every kind come into force, half of them after their conversations were counted.
func criteria(t *testing.T, pool *pgxpool.Pool, g figures.Grid, now time.Time) {
	t.Helper()
	for assistant, rules := range map[string]metric.Criteria{
		"harbour-bank": {
			Included: []string{"check_balance", "transfer_money"}, Any: true, Excluded: []string{"block_card"},
			ReturnDays: 2,
		},
		"parcel-desk": {Included: []string{"track_parcel", "change_delivery"}, Slot: "parcel_number", SlotValue: "1"},
	} {
		id, err := queries.DraftCriteria(t.Context(), pool, assistant, rules, "ann", now)
		if err != nil {
			t.Fatal(err)
		}
		if err := pgx.BeginFunc(
			t.Context(), pool,
			func(tx pgx.Tx) error { return queries.ActivateCriteria(t.Context(), tx, id, "ann", now) },
		); err != nil {
			t.Fatal(err)
		}
		if assistant == "harbour-bank" {
			rollUp(t, pool, g, now)
		}
	}
}

func someFilters(r *rand.Rand, z *time.Location, now time.Time) []metric.Filter {
	today := metric.DayOf(now, z)
	minute := func() time.Time { return now.Add(-time.Duration(r.IntN(5*24*60)) * time.Minute).Truncate(time.Minute) }
	a, b := minute(), minute()
	if b.Before(a) {
		a, b = b, a
	}
	return []metric.Filter{
		{Range: metric.Range{Days: 1 + r.IntN(6)}},
		{Range: metric.Range{From: metric.AddDays(today, -2, z), Until: metric.AddDays(today, -1, z)}},
		{Range: metric.Range{From: a, Until: b.Add(time.Minute)}},
		{
			Range: metric.Range{Days: 5}, Channels: []string{"rest"},
			Not: metric.Excluded{Assistants: []string{"parcel-bot"}},
		},
		{Range: metric.Range{Days: 4}, Outcomes: []string{"escalated", "open"}},
		{Range: metric.Range{Days: 5}, Markers: []string{"again"}},
		{Range: metric.Range{Days: 5}, NoMarkers: []string{"asked", "spared"}, Channels: []string{"rest"}},
		{Range: metric.Range{Days: 5}, Weekdays: []int{1, 7}, Hours: []int{2, 9, 10}},
	}
}

// lists compares each figure with the list that it opens.
func lists(t *testing.T, pool *pgxpool.Pool, f metric.Filter, got figures.Answer, now time.Time, z *time.Location) {
	t.Helper()
	var sum metric.Tally
	for _, c := range got.Cells {
		sum.Merge(c.Tally)
	}
	check := func(f metric.Filter, want int64) {
		t.Helper()
		n, err := queries.CountConversations(t.Context(), pool, f, 1e6, now, z)
		if err != nil || int64(n) != want {
			t.Errorf("%s: %d in the list, %v; the figure says %d", f.Query().Encode(), n, err, want)
		}
	}
	for _, is := range metric.Conditions() {
		check(f.With(is), sum.Count(is))
	}
	from, until := f.Range.Bounds(now, z)
	users := metric.CountUsers(got.Users, []metric.Span{{From: from, Until: until}}, nil)
	for which, n := range map[string]int64{
		"": users.All, metric.NewUsers: users.New, metric.ReturningUsers: users.Returning(),
	} {
		of := f.With(metric.Engaged)
		of.Users = which
		if listed, err := queries.CountEndUsers(t.Context(), pool, of, now, z); err != nil || listed != n {
			t.Errorf("%s: %d users in the list, %v; the figure says %d", of.Query().Encode(), listed, err, n)
		}
	}
	for reason, n := range sum.Reasons {
		with := f.With(metric.Escalated)
		with.Reasons = []string{reason}
		check(with, n)
	}
	patterns, err := queries.Patterns(t.Context(), pool, "")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	for _, p := range patterns {
		found[p.Name] += 0
		if c := got.Markers[p.ID]; c != nil {
			found[p.Name] += c.Conversations
		}
	}
	for name, n := range found {
		with := f
		with.Markers = append(slices.Clone(f.Markers), name)
		check(with, n)
	}
	done := 0
	for flow, x := range got.Flows {
		if done++; done > 4 {
			break
		}
		for how := metric.FlowTouched; how <= metric.FlowMissed; how++ {
			check(f.InFlow(metric.FlowFilter{Flow: flow, How: how}), x.Count(how))
		}
		for step, v := range x.Steps {
			check(f.InFlow(metric.FlowFilter{Flow: flow, Visited: step}), v.N)
		}
		for step, n := range x.LastSteps {
			if step != "" {
				check(f.InFlow(metric.FlowFilter{Flow: flow, Stopped: step}), n)
			}
		}
	}
}

func shared(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "shared", name))
	if err != nil {
		t.Skip("SKIPPED: ", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

type expectedVersion struct {
	Date, Assistant, Channel, Version              string
	TotalSessions, AutomatedCount, EscalatedCount  int64
	TurnsWithLatency                               int64
	AverageLatencyMs                               *float64
	P50LatencyMs, P95LatencyMs, P99LatencyMs       *float64
	CsatSatisfied, CsatUnsatisfied, CsatUnanswered int64
}

type expectedFlow struct {
	Date, Assistant, Flow                             string
	TotalSessions, StartedSessions, CompletedSessions int64
	CancelledSessions, InterruptedSessions            int64
	EscalatedCount, AutomatedCount                    int64
}

// The figures of the shared conversations are those of their generator's books, row by row.
func TestRightFigures(t *testing.T) {
	t.Parallel()
	z, err := gzip.NewReader(shared(t, "data/conversations.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Versions []expectedVersion `json:"version_daily_statistics"`
		Flows    []expectedFlow    `json:"flow_daily_statistics"`
	}
	if err := json.NewDecoder(shared(t, "data/expected.json")).Decode(&expected); err != nil {
		t.Fatal(err)
	}
	pool := dbtest.Pool(t)
	split := file.NewSplitter(z)
	feed(t, pool, func() ([]byte, bool) {
		it, err := split.Next()
		return it.Body, err == nil
	})
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	g := figures.NewGrid(time.UTC)
	rollUp(t, pool, g, now)
	got, err := figures.Count(t.Context(), pool, figures.Question{
		Filter: metric.Filter{Range: metric.Range{Days: 365}}, Times: true, Now: now, Grid: g,
	})
	if err != nil || got.Facts {
		t.Fatalf("%v, from facts: %t", err, got.Facts)
	}
	names := func(sql string) map[int64]string {
		all := map[int64]string{}
		found, err := pool.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		defer found.Close()
		for found.Next() {
			var id int64
			var name string
			if err := found.Scan(&id, &name); err != nil {
				t.Fatal(err)
			}
			all[id] = name
		}
		return all
	}
	channels, versions, assistants := names(`select id, name from channels`), names(
		`select id, coalesce(nullif(model_name, ''), model_id) from versions`,
	), names(`select id, name from assistants`)
	type key struct{ date, assistant, channel, version string }
	cells := map[key]*metric.Tally{}
	type flowKey struct{ date, assistant, flow string }
	flows := map[flowKey]*metric.FlowCount{}
	var total metric.Latency
	for _, c := range got.Cells {
		date, assistant := c.At.UTC().Format(time.DateOnly), assistants[int64(c.Assistant)]
		cells[key{date, assistant, channels[int64(c.Channel)], versions[c.Version]}] = c.Tally
		total.Merge(&c.Tally.Response)
	}
	days := map[flowKey]bool{}
	for _, e := range expected.Flows {
		days[flowKey{date: e.Date, assistant: e.Assistant}] = true
	}
	for d := range days {
		from, err := time.Parse(time.DateOnly, d.date)
		if err != nil {
			t.Fatal(err)
		}
		f := metric.Filter{
			Range: metric.Range{From: from, Until: from.AddDate(0, 0, 1)}, Assistants: []string{d.assistant},
		}
		day, err := figures.Count(t.Context(), pool, figures.Question{Filter: f, Flows: true, Now: now, Grid: g})
		if err != nil {
			t.Fatal(err)
		}
		for flow, x := range day.Flows {
			flows[flowKey{d.date, d.assistant, flow}] = x
		}
	}
	if len(cells) != len(expected.Versions) || len(flows) != len(expected.Flows) {
		t.Errorf("%d and %d rows; want %d and %d", len(cells), len(flows), len(expected.Versions), len(expected.Flows))
	}
	for _, e := range expected.Versions {
		c := cells[key{e.Date, e.Assistant, e.Channel, e.Version}]
		if c == nil {
			t.Errorf("%+v is missing", e)
			continue
		}
		// The books' escalated count those in which nobody wrote as well; there are none in this data.
		g := [...]int64{
			c.Count(metric.All), c.Count(metric.All) - c.Count(metric.Escalated), c.Count(metric.Escalated),
			c.Response.N, c.Count(metric.Satisfied), c.Count(metric.Unsatisfied), c.Count(metric.Unanswered),
		}
		if w := [...]int64{
			e.TotalSessions, e.AutomatedCount, e.EscalatedCount, e.TurnsWithLatency, e.CsatSatisfied, e.CsatUnsatisfied,
			e.CsatUnanswered,
		}; g != w {
			t.Errorf("%s %s %s %s: %v, want %v", e.Date, e.Assistant, e.Channel, e.Version, g, w)
		}
		mean, _ := c.Response.Mean()
		for _, p := range []struct {
			p    float64
			want *float64
		}{{0.5, e.P50LatencyMs}, {0.95, e.P95LatencyMs}, {0.99, e.P99LatencyMs}, {-1, e.AverageLatencyMs}} {
			ms, ok := c.Response.Percentile(max(0, p.p))
			if p.p < 0 {
				ms = mean
			}
			if ok != (p.want != nil) || ok && math.Abs(ms-*p.want) > 1e-6 {
				t.Errorf("%s %s %s: p%v is %v", e.Date, e.Channel, e.Version, p.p, ms)
			}
		}
	}
	for _, e := range expected.Flows {
		c := flows[flowKey{e.Date, e.Assistant, e.Flow}]
		if c == nil {
			t.Errorf("%+v is missing", e)
			continue
		}
		g := [...]int64{
			c.Count(metric.FlowTouched), c.Count(metric.FlowStarted), c.Count(metric.FlowCompleted),
			c.Count(metric.FlowCancelled), c.Count(metric.FlowInterrupted), c.Count(metric.FlowEscalated),
			c.Count(metric.FlowAutomated),
		}
		if w := [...]int64{
			e.TotalSessions, e.StartedSessions, e.CompletedSessions, e.CancelledSessions, e.InterruptedSessions,
			e.EscalatedCount, e.AutomatedCount,
		}; g != w {
			t.Errorf("%s %s %s: %v, want %v", e.Date, e.Assistant, e.Flow, g, w)
		}
	}
	for p, want := range map[float64]float64{
		0.5: 887.9720000000001, 0.95: 1938.379699999999, 0.99: 2621.0425599999994,
	} {
		if ms, _ := total.Percentile(p); math.Abs(ms-want) > 0.01*want || total.N != 6515 {
			t.Errorf("p%v over all is %v of %d turns; want %v", p, ms, total.N, want)
		}
	}
}

// TestArrivals holds that in whatever order people come, by names that they share or that are told late, what was
// counted ends up as it is when all is counted again; and that figures are right in between.
func TestArrivals(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 9))
	pool := dbtest.Pool(t)
	now := time.Date(2026, 10, 27, 9, 0, 0, 0, time.UTC)
	g := figures.NewGrid(time.UTC)
	var talks [][]string // each one's events
	for i := range 240 {
		at := now.Add(-time.Duration(1+r.IntN(40*24*60)) * time.Minute)
		sender, user := fmt.Sprintf("s%d", i), ""
		switch r.IntN(4) {
		case 0:
			user = "guest"
		case 1:
			user = fmt.Sprintf("u%d", r.IntN(10))
		case 2:
			sender = fmt.Sprintf("again %d", r.IntN(5))
		}
		event := func(after int, typ, more string) string {
			return fmt.Sprintf(
				`{"sender_id":%q,"event":%q,"timestamp":%.1f,"metadata":{"assistant_id":"bank","session_id":"t%d"}%s}`,
				sender, typ, float64(at.Unix()+int64(after)), i, more,
			)
		}
		named := ""
		if user != "" {
			named = fmt.Sprintf(`,"user_id":%q`, user)
		}
		talk := []string{event(0, "session_started", "")}
		if r.IntN(5) > 0 {
			talk = append(
				talk, event(1, "user", fmt.Sprintf(`,"text":"hello","message_id":"m%d"`, i)),
				event(2, "bot", `,"text":"Here you are."`),
			)
		}
		late := 0
		if r.IntN(2) == 0 {
			late = r.IntN(len(talk)) // the user is told with a later event
		}
		talk[late] = strings.TrimSuffix(talk[late], "}") + named + "}"
		talks = append(talks, talk)
	}
	r.Shuffle(len(talks), func(i, j int) { talks[i], talks[j] = talks[j], talks[i] })
	figuresOf := func(facts bool) figures.Answer {
		t.Helper()
		f, err := figures.Count(t.Context(), pool, figures.Question{
			Filter: metric.Filter{Range: metric.Range{Days: 45}}, Facts: facts, Times: true, Users: true, Now: now,
			Grid: g,
		})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	var waiting []string // what comes later of those that have begun
	for i := 0; i < len(talks); {
		var bodies []string
		for n := 1 + r.IntN(12); n > 0 && i < len(talks); n-- {
			cut := 1 + r.IntN(len(talks[i]))
			bodies, waiting = append(bodies, talks[i][:cut]...), append(waiting, talks[i][cut:]...)
			i++
		}
		if r.IntN(3) == 0 || i == len(talks) {
			bodies, waiting = append(bodies, waiting...), nil
		}
		feed(t, pool, func() ([]byte, bool) {
			if len(bodies) == 0 {
				return nil, false
			}
			body := bodies[0]
			bodies = bodies[1:]
			return []byte(body), true
		})
		if r.IntN(2) == 0 {
			rollUp(t, pool, g, now)
			linked(t, pool)
		}
		same(t, fmt.Sprintf("after %d", i), figuresOf(false), figuresOf(true))
		if t.Failed() {
			return
		}
	}
	rollUp(t, pool, g, now)
	linked(t, pool)
	got := figuresOf(false)
	same(t, "at the end", got, figuresOf(true))
	if n := got.Cells; len(n) == 0 {
		t.Error("nothing was counted")
	}
	// As the migration that made the table filled it.
	sql, err := migrations.FS.ReadFile("0045_persons.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, fill, _ := strings.Cut(string(sql), "insert into conversation_persons")
	fill = strings.ReplaceAll(fill, "known_users", "removed_users") // as it is called since
	for _, sql := range []string{"truncate conversation_persons", "insert into conversation_persons" + fill} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	linked(t, pool)
	// And when somebody is gone.
	for _, sender := range []string{"again 1", "again 3"} {
		id := conversation.SenderID("bank", sender)
		erased := make(chan error, 1)
		if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { // somebody links persons just then
			if _, err := tx.Exec(t.Context(), `select zone from rollup_state for no key update`); err != nil {
				return err
			}
			if _, err := tx.Exec(
				t.Context(), `insert into conversation_persons values ($1, gen_random_uuid(), now())`, id,
			); err != nil {
				return err
			}
			go func() {
				erased <- pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					_, _, err := queries.Erase(
						t.Context(), tx,
						queries.Erasing{Of: []queries.Subject{{SenderID: id}}, Names: []string{sender}, Word: "x"}, now,
					)
					return err
				})
			}()
			for waiting := 0; waiting == 0 && len(erased) == 0; {
				if err := pool.QueryRow(
					t.Context(),
					`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
				).Scan(&waiting); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := <-erased; err != nil {
			t.Fatal(err)
		}
		var left int
		if err := pool.QueryRow(
			t.Context(), `select count(*) from conversation_persons where sender_id = $1`, id,
		).Scan(&left); err != nil || left > 0 {
			t.Errorf("%d rows are left of %s, %v", left, sender, err)
		}
		rollUp(t, pool, g, now)
		linked(t, pool)
		same(t, "without "+sender, figuresOf(false), figuresOf(true))
	}
}

// linked holds that what stands beside conversations of their persons is what looking at all conversations tells.
func linked(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	var wrong int
	if err := pool.QueryRow(t.Context(), `
select count(*)
from (
	select c.sender_id, c.id, c.started_at,
		case when c.user_id <> ''
			then (select min(n.started_at) from conversations n where n.user_id = c.user_id and n.assistant_id = c.assistant_id)
			else (select min(n.started_at) from conversations n where n.sender_id = c.sender_id and n.user_id = '')
		end as first_at,
		case when c.user_id <> ''
			then (select min(n.started_at) from conversations n where n.user_id = c.user_id and n.assistant_id = c.assistant_id and n.started_at > c.started_at and n.user_messages > 0)
			else (select min(n.started_at) from conversations n where n.sender_id = c.sender_id and n.assistant_id = c.assistant_id and n.started_at > c.started_at and n.user_messages > 0)
		end as next_at
	from conversations c
) as c
left join conversation_persons p on p.sender_id = c.sender_id and p.conversation_id = c.id
where (coalesce(p.first_at, c.started_at), p.next_at) is distinct from (c.first_at, c.next_at)`).Scan(&wrong); err != nil || wrong > 0 {
		t.Errorf("of %d conversations it is not told right whether the person came before or again: %v", wrong, err)
	}
}

// TestRollUpParts: the days of the one part are counted while somebody counts those of the other, and no hour by two at
// once; who changes what is counted waits for both.
func TestRollUpParts(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	until := time.Date(2026, 10, 30, 12, 0, 0, 0, time.UTC)
	generate(t, pool, demo.Options{Conversations: 200, Days: 10, Until: until, Seed: 5})
	g := figures.NewGrid(time.UTC)
	if err := figures.PrepareRollups(t.Context(), pool, g); err != nil {
		t.Fatal(err)
	}
	if err := figures.NextGeneration(t.Context(), pool, time.Unix(0, 0), until.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	count := func(part figures.Part) (int, error) {
		return figures.RollUpHours(t.Context(), pool, g, part, time.Unix(0, 0), until.AddDate(1, 0, 0), 10000, until)
	}
	waiting := func() {
		t.Helper()
		brokertest.Until(t, func() string {
			if n := brokertest.Count(t, pool, `select count(*) from pg_locks l join pg_database d on d.oid = l.database
				where d.datname = current_database() and not l.granted and l.locktype = 'advisory'`); n == 0 {
				return "nobody waits"
			}
			return ""
		})
	}
	other, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "select pg_advisory_xact_lock(hashtextextended('rollups', 0))"); err != nil {
		t.Fatal(err)
	}
	odd, err := count(figures.OddDays)
	if err != nil || odd == 0 {
		t.Fatalf("%d hours of odd days, %v", odd, err)
	}
	even := make(chan int, 2)
	for range 2 { // two servers
		go func() {
			n, err := count(figures.EvenDays)
			if err != nil {
				t.Error(err)
			}
			even <- n
		}()
	}
	waiting()
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, m := <-even, <-even; n+m == 0 || n*m != 0 {
		t.Errorf("%d and %d hours of even days", n, m)
	}
	if all := brokertest.Count(t, pool, "select count(*) from (select distinct date_trunc('hour', started_at, 'UTC'), assistant_id from conversations) as h"); all <= odd {
		t.Errorf("%d hours in all, %d of odd days", all, odd)
	}
	if n, err := count(figures.AllDays); n != 0 || err != nil {
		t.Errorf("%d hours are left, %v", n, err)
	}
}
