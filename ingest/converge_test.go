package ingest_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/neutral"
	"turnwise/ingest/rasa"
	"turnwise/ingest/wire"
	"turnwise/marker"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// decodeAll decodes bodies, all of which must be good.
func decodeAll(t testing.TB, bodies []string) []*conversation.Event {
	t.Helper()
	ofRasa, ofNeutral := rasa.Format.NewDecoder(), neutral.Format.NewDecoder()
	events := make([]*conversation.Event, len(bodies))
	for i, b := range bodies {
		d := ofRasa
		if neutralBody(b) {
			d = ofNeutral
		}
		e, rej := d.Decode(b, wire.Intake{Assistant: "default", Environment: "production"}, time.Now())
		if rej != nil {
			t.Fatalf("%s: %v", b, rej)
		}
		events[i] = e
	}
	return events
}

// realStream returns the first events of the shared conversations.
func realStream(t testing.TB, n int) []string {
	t.Helper()
	var out []string
	lines := bufio.NewScanner(openGzip(t, shared(t, "data/conversations.ndjson.gz")))
	lines.Buffer(nil, 1<<20)
	for len(out) < n && lines.Scan() {
		out = append(out, lines.Text())
	}
	return out
}

// deliver stores bodies in batches of random size by several writers at once.
func deliver(t testing.TB, pool *pgxpool.Pool, r *rand.Rand, bodies []string, most, writers int) {
	t.Helper()
	w := ingest.NewWriter(pool, quiet)
	src := openSource(t, w)
	var g errgroup.Group
	g.SetLimit(writers)
	for events := decodeAll(t, bodies); len(events) > 0; {
		n := min(1+r.IntN(most), len(events))
		batch := events[:n]
		events = events[n:]
		g.Go(func() error {
			_, err := w.Store(context.Background(), src, batch)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestConvergence holds that the tables are a function of the set of events: whatever the split into
// batches, the order of arrival, the copies and the number of writers.
func TestConvergence(t *testing.T) {
	t.Parallel()
	for _, stream := range []struct {
		name   string
		bodies func(t testing.TB, r *rand.Rand) []string
		runs   int
		cuts   conversation.CutRule
	}{
		{"generated", func(_ testing.TB, r *rand.Rand) []string { return generated(r, 6, 150) }, 8, conversation.CutAsTold},
		{"cut by silence", func(_ testing.TB, r *rand.Rand) []string { return slower(t, generated(r, 6, 150), 4) }, 4, conversation.CutByIdle},
		{"real", func(t testing.TB, _ *rand.Rand) []string { return realStream(t, 2000) }, 2, conversation.CutAsTold},
		{"neutral", neutralStream(false), 6, conversation.CutAsTold},
		{"neutral, coarse", neutralStream(true), 6, conversation.CutAsTold},
		{"neutral, cut by silence", neutralStream(true), 4, conversation.CutByIdle},
		{"neutral, cut by status", neutralStream(false), 4, conversation.CutByStatus},
	} {
		for run := range stream.runs {
			seed := uint64(run + 1)
			t.Run(fmt.Sprintf("%s/%d", stream.name, seed), func(t *testing.T) {
				t.Parallel()
				r := newRand(seed)
				bodies := stream.bodies(t, r)
				database := func() *pgxpool.Pool {
					pool := dbtest.Pool(t)
					cutBy(t, pool, "gen-bot", stream.cuts)
					if run == 0 {
						mark(t, pool, "gen-bot")
					}
					return pool
				}
				clean := database()
				deliver(t, clean, r, bodies, 1, 1)
				want := dbtest.Dump(t, clean)
				slices.Sort(bodies)
				for _, way := range []struct {
					name    string
					change  func([]string) []string
					most    int
					writers int
				}{
					{"one batch", func(b []string) []string { return b }, len(bodies), 1},
					{"any order", func(b []string) []string {
						r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
						return b
					}, 300, 1},
					{"backwards with copies", func(b []string) []string {
						slices.Reverse(b)
						return append(b, b[:len(b)/2]...)
					}, 500, 1},
					{"four writers, any order, copies", func(b []string) []string {
						b = append(b, b[:len(b)/3]...)
						r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
						return b
					}, 200, 4},
				} {
					pool := database()
					deliver(t, pool, r, way.change(slices.Clone(bodies)), way.most, way.writers)
					if got := dbtest.Dump(t, pool); got != want {
						t.Fatalf("%s: the tables differ:\n%s", way.name, firstDifference(want, got))
					}
					deliver(t, pool, r, bodies, 400, 1)
					if got := dbtest.Dump(t, pool); got != want {
						t.Fatalf(
							"%s: the same events again changed the tables:\n%s", way.name, firstDifference(want, got),
						)
					}
				}
			})
		}
	}
}

func neutralStream(coarse bool) func(t testing.TB, r *rand.Rand) []string {
	return func(_ testing.TB, r *rand.Rand) []string { return neutralEvents(r, 6, 120, coarse) }
}

// cutBy has conversations of an assistant begin by a rule, silence of a minute among them.
func cutBy(t testing.TB, pool *pgxpool.Pool, assistant string, rule conversation.CutRule) {
	t.Helper()
	if rule == conversation.CutAsTold {
		return
	}
	x := conversation.DefaultSettings()
	x.CutBy, x.IdleMinutes = rule, 1
	if _, err := pool.Exec(t.Context(), `insert into assistants (id, name, settings) values ($1, $2, $3)
		on conflict (id) do update set settings = excluded.settings`,
		conversation.SmallID("assistant", assistant), assistant, x); err != nil {
		t.Fatal(err)
	}
}

// mark has the conversations of an assistant looked through for markers of each kind.
func mark(t testing.TB, pool *pgxpool.Pool, assistant string) {
	t.Helper()
	all, err := marker.Parse([]byte(`
heard: {at_least_once: [{intent: greet}]}
lost: {and: [{slot_was_set: csat_score}, {not_action: action_listen}]}
answered: {seq: [{intent: greet}, {at_least_one_not: [{action: action_listen}, {slot_was_not_set: csat_score}]}]}
unheard: {never: [{intent: greet}]}
unrated: {never: [{slot_was_set: csat_score}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := queries.SetPatterns(t.Context(), tx, assistant, all, conversation.UUID{}, time.Unix(0, 0))
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// slower returns bodies between whose times so many times as much lies.
func slower(t testing.TB, bodies []string, times float64) []string {
	t.Helper()
	at := regexp.MustCompile(`"timestamp":([0-9.e+]+)`)
	for i, b := range bodies {
		bodies[i] = at.ReplaceAllStringFunc(b, func(m string) string {
			n, err := strconv.ParseFloat(strings.TrimPrefix(m, `"timestamp":`), 64)
			if err != nil {
				t.Fatal(err)
			}
			return `"timestamp":` + strconv.FormatFloat(1767261600+(n-1767261600)*times, 'f', -1, 64)
		})
	}
	return bodies
}

// firstDifference shows the first lines that differ, with their table.
func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	table := ""
	for i := range min(len(a), len(b)) {
		if strings.HasPrefix(a[i], "==") {
			table = a[i]
		}
		if a[i] != b[i] {
			return fmt.Sprintf("%s\nwant %s\n got %s", table, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines against %d", len(a), len(b))
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }
