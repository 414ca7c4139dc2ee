package compat_test

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/ingest"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

// rows are those of every table of every schema, but for when something was counted.
func rows(t *testing.T, pool *pgxpool.Pool) map[string]string {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }
	if err := jobs.RollUp(t.Context(), pool, figures.NewGrid(time.UTC), -time.Second, now); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, schema := range queries.VendorSchemas {
		for _, table := range tables(t, schema) {
			var columns []string
			for _, c := range table.Columns {
				// When something was counted, and by what it was told from others, is another in each database.
				if c.Name != "createdAt" && c.Name != "updatedAt" && c.Name != "pattern_id" && (table.Name != "rasa_pattern" || c.Name != "id") {
					columns = append(columns, fmt.Sprintf("%q", c.Name))
				}
			}
			name := pgx.Identifier{schema, table.Name}.Sanitize()
			all[name] = one(t, pool, fmt.Sprintf("select string_agg(x, chr(10) order by x) from (select row(%s)::text as x from %s) as x", strings.Join(columns, ", "), name))
		}
	}
	return all
}

// differ tells of tables that have other rows.
func differ(t *testing.T, why string, got, want map[string]string) {
	t.Helper()
	for table, w := range want {
		if got[table] == w {
			continue
		}
		a, b := strings.Split(got[table], "\n"), strings.Split(w, "\n")
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				t.Errorf("%s: %s has %d rows, not %d; the first other one:\n%.400s\nnot\n%.400s", why, table, len(a), len(b), a[min(i, len(a)-1)], b[min(i, len(b)-1)])
				break
			}
		}
	}
}

// TestRebuild: a rebuild changes no row of any table, and neither does the order in which events came.
func TestRebuild(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join("..", "..", "shared", "data", "conversations.ndjson.gz"))
	if err != nil {
		t.Skip("SKIPPED: ", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	source := ingest.Source{Name: "test", Kind: "file", Assistant: "default", Environment: "production"}
	senders, assistants := map[string]bool{}, map[string]bool{}
	for lines := bufio.NewScanner(z); lines.Scan(); {
		var e struct {
			Sender   string `json:"sender_id"`
			Metadata struct {
				Assistant string `json:"assistant_id"`
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if senders[e.Sender] || len(senders) < 30 {
			senders[e.Sender] = true
			assistants[cmp.Or(e.Metadata.Assistant, source.Assistant)] = true
			bodies = append(bodies, lines.Text())
		}
	}
	const markers = `
silent: {never: [{intent: goodbye}]}
listening: {and: [{action: action_listen}, {not: [{slot_was_set: none}]}]}
answered: {seq: [{not_action: action_listen}, {action: action_listen}]}
started: {at_least_once: [{action: action_listen}]}
`
	pool := dbtest.Pool(t)
	for _, name := range slices.Sorted(maps.Keys(assistants)) {
		mark(t, pool, name, markers)
	}
	store(t, pool)
	put(t, pool, source, bodies...)
	apply(t, pool)
	before := rows(t, pool)
	for table, text := range before {
		if text == "" && !strings.Contains(table, "SuccessCriteria") {
			t.Errorf("%s has no rows", table)
		}
	}
	if err := ingest.NewWriter(pool, slog.New(slog.DiscardHandler)).Rebuild(t.Context(), "", func(int) {}); err != nil {
		t.Fatal(err)
	}
	differ(t, "a rebuild", rows(t, pool), before)

	other := dbtest.Pool(t)
	for _, name := range slices.Sorted(maps.Keys(assistants)) {
		mark(t, other, name, markers)
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	mixed := slices.Clone(bodies)
	r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	store(t, other)
	for part := range slices.Chunk(mixed, 500+r.IntN(1000)) {
		put(t, other, source, part...)
	}
	put(t, other, source, mixed[:len(mixed)/3]...) // some again
	apply(t, other)
	differ(t, fmt.Sprint("another order, seed ", seed), rows(t, other), before)
}
