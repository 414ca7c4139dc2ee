package compat_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"turnwise/ingest"
	"turnwise/ingest/neutral"

	"github.com/jackc/pgx/v5"
)

// TestIndexes: a conversation's rows by its id, a row by its own and those of a day are found by indexes.
func TestIndexes(t *testing.T) {
	t.Parallel()
	pool := studied(t)
	store(t, pool)
	sample, err := os.ReadFile(filepath.Join("..", "ingest", "testdata", "everything.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var many []string
	for n := range 300 {
		text := strings.NewReplacer("2026-11-20", fmt.Sprintf("2026-08-%02d", 1+n%28)).Replace(string(sample))
		text = regexp.MustCompile(`"(e|c|u|i|as|a|st|ag)-?\d+"`).ReplaceAllString(text, fmt.Sprintf(`"$1-many-%d"`, n))
		many = append(many, strings.Split(strings.TrimSpace(text), "\n")...)
	}
	put(t, pool, ingest.Source{Name: "neutral", Kind: "http", Assistant: "default", Format: neutral.Format}, many...)
	if _, err := pool.Exec(t.Context(), "vacuum analyze"); err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off"); err != nil {
		t.Fatal(err)
	}
	rows, _ := conn.Query(t.Context(), `
select i.relname from pg_class i join pg_index x on x.indexrelid = i.oid join pg_class c on c.oid = x.indrelid where c.reltuples < 250
union all select 'conversations_test' union all select 'journals_pkey'`)
	small, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	whole := regexp.MustCompile(`Index(?: Only)? Scan (?:using|on) (\S+)`)
	scan := regexp.MustCompile(`Seq Scan on (\S+)`)
	for _, x := range []struct{ schema, column, value string }{
		{"rasa_pro", "id", "31a66194-c5b1-42bb-a727-cf2d941417f1"},
		{"rasa_pro", "session_id", "31a66194-c5b1-42bb-a727-cf2d941417f1"},
		{"rasa_pro", "sender_id", "31a66194-c5b1-42bb-a727-cf2d941417f1"},
		{"rasa_pro", "timestamp", ""},
		{"rasa_pro", "inserted_at", ""},
		{"rasa_pro", "first_seen", ""},
		{"a8", "chat_id", "c-1"},
		{"a8", "time", ""},
		{"sentione", "session_id", "c-1"},
		{"sentione", "created_at", ""},
		{"rasa_studio", "conversationId", "31a66194-c5b1-42bb-a727-cf2d941417f1"},
		{"rasa_studio", "startDate", ""},
	} {
		for _, table := range tables(t, x.schema) {
			switch table.Name + "." + x.column {
			case "rasa_session_slot_state.id", "rasa_session_slot_state.timestamp": // made of the session and of resets
				continue
			case "rasa_flow_status.id": // of so few rows all flows may be read, which have an index of their own
				continue
			}
			for _, c := range table.Columns {
				if c.Name != x.column {
					continue
				}
				where := fmt.Sprintf("%q = '%s'", c.Name, x.value)
				if x.value == "" {
					where = fmt.Sprintf("%q >= '2026-08-20' and %[1]q < '2026-08-21'", c.Name)
				}
				sql := fmt.Sprintf("explain (costs off) select * from %s where %s", pgx.Identifier{x.schema, table.Name}.Sanitize(), where)
				rows, _ := conn.Query(t.Context(), sql)
				lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
				if err != nil {
					t.Errorf("%s: %v", sql, err)
					continue
				}
				plan := strings.Join(lines, "\n")
				for _, m := range scan.FindAllStringSubmatch(plan, -1) {
					switch m[1] {
					case "versions", "environments", "channels", "assistants": // small
					default:
						t.Errorf("%s reads all of %s:\n%s", sql, m[1], plan)
					}
				}
				for i, line := range lines {
					if strings.Contains(line, "Bitmap") && x.value == "" { // of so few conversations all may be read
						continue
					}
					if m := whole.FindStringSubmatch(line); m != nil && !slices.Contains(small, m[1]) && (i+1 == len(lines) || !strings.Contains(lines[i+1], "Index Cond")) {
						t.Errorf("%s reads all of %s:\n%s", sql, m[1], plan)
					}
				}
			}
		}
	}
}
