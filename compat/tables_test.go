package compat_test

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"turnwise/compat"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// internal are views that no document knows.
var internal = []string{"rasa_studio.releases", "a8.chats", "sentione.sessions"}

// TestColumns: the tables have the documented columns in their order with their types and what they mean, and no others.
func TestColumns(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	apply(t, pool)
	for _, schema := range queries.VendorSchemas {
		rows, _ := pool.Query(t.Context(), `
select c.relname, coalesce(obj_description(c.oid, 'pg_class'), ''), a.attname, format_type(a.atttypid, a.atttypmod),
	coalesce(col_description(c.oid, a.attnum), '')
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
where c.relnamespace = to_regnamespace($1) and c.relkind = 'v'
order by 1, a.attnum`, schema)
		var found []compat.Table
		var table, of string
		var c compat.Column
		if _, err := pgx.ForEachRow(rows, []any{&table, &of, &c.Name, &c.Type, &c.Meaning}, func() error {
			if slices.Contains(internal, schema+"."+table) {
				return nil
			}
			if len(found) == 0 || found[len(found)-1].Name != table {
				found = append(found, compat.Table{Name: table, Meaning: of})
			}
			x := &found[len(found)-1]
			x.Columns = append(x.Columns, c)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want := tables(t, schema)
		if len(found) != len(want) {
			t.Errorf("%s has %d tables, not %d", schema, len(found), len(want))
		}
		for _, w := range want {
			i := slices.IndexFunc(found, func(x compat.Table) bool { return x.Name == w.Name })
			if i < 0 {
				t.Errorf("%s.%s is missing", schema, w.Name)
				continue
			}
			if found[i].Meaning != w.Meaning || len(found[i].Columns) != len(w.Columns) {
				t.Errorf("%s.%s: %q with %d columns, not %q with %d", schema, w.Name, found[i].Meaning, len(found[i].Columns), w.Meaning, len(w.Columns))
				continue
			}
			for n, c := range w.Columns {
				c.Null = false
				if found[i].Columns[n] != c {
					t.Errorf("%s.%s: %+v, not %+v", schema, w.Name, found[i].Columns[n], c)
				}
			}
		}
	}
}

func reference(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "shared", "reference", name))
	if err != nil {
		t.Skip("SKIPPED: ", err)
	}
	return string(text)
}

// Where the tables differ from what Rasa Pro documents.
var deviations = map[string]string{
	"rasa_user_message.channel": "", // an older page of theirs groups by it
}

// TestRasaProDocument: our list of Rasa Pro's tables is the documented one.
func TestRasaProDocument(t *testing.T) {
	t.Parallel()
	text := reference(t, "rasa-pro-analytics-data-structure.txt")
	head := regexp.MustCompile(`^([a-z_]+) [A-Za-z]`)
	documented := map[string][]compat.Column{}
	lines := strings.Split(text, "\n")
	table := ""
	for i, line := range lines {
		if strings.HasPrefix(line, "rasa_") && !strings.Contains(line, " ") {
			table = line
		}
		if strings.HasPrefix(line, "Internal Tables") {
			break
		}
		if m := head.FindStringSubmatch(line); m != nil && m[1] != "an" && table != "" && lines[i-1] == "" {
			documented[table] = append(documented[table], compat.Column{Name: m[1]})
		}
		if typ, ok := strings.CutPrefix(strings.TrimSpace(line), "• Type: "); ok {
			c := &documented[table][len(documented[table])-1]
			switch {
			case strings.HasSuffix(c.Name, "sequence_number"):
				c.Type = "bigint" // ours are microseconds
			case typ == "varchar()":
				c.Type = "character varying"
			case strings.HasPrefix(typ, "varchar"):
				c.Type = "character varying" + strings.TrimPrefix(typ, "varchar")
			default:
				c.Type = map[string]string{"DateTime": "timestamp without time zone", "Integer": "bigint", "integer": "integer", "Float": "double precision", "boolean": "boolean"}[typ]
			}
		}
	}
	for _, w := range tables(t, "rasa_pro") {
		cols, ok := documented[w.Name]
		if !ok && (w.Name == "_rasa_raw_event" || w.Name == "alembic_version") {
			continue
		}
		var ours []compat.Column
		for _, c := range w.Columns {
			if _, ok := deviations[w.Name+"."+c.Name]; !ok {
				ours = append(ours, c)
			}
		}
		if len(cols) != len(ours) {
			t.Errorf("%s has %d columns, documented are %d", w.Name, len(ours), len(cols))
			continue
		}
		for i, c := range ours {
			if cols[i].Type == "" { // two ids have none
				cols[i].Type = "character varying(36)"
			}
			if c.Name != cols[i].Name || c.Type != cols[i].Type {
				t.Errorf("%s.%s is %s, documented is %s %s", w.Name, c.Name, c.Type, cols[i].Name, cols[i].Type)
			}
		}
		delete(documented, w.Name)
	}
	for name := range documented {
		t.Errorf("%s is missing", name)
	}
}

// TestRasaStudioDocument: our list of Rasa Studio's tables is the documented one.
func TestRasaStudioDocument(t *testing.T) {
	t.Parallel()
	text := reference(t, "rasa-studio-analytics-database.txt")
	n := 0
	for _, table := range tables(t, "rasa_studio") {
		_, part, ok := strings.Cut(text, "\n"+table.Name+"\n")
		if !ok {
			continue // referred to, and not documented
		}
		part, _, _ = strings.Cut(part, "\n\n")
		for _, c := range table.Columns {
			_, line, there := strings.Cut(part, "\n"+c.Name+" | ")
			line, _, _ = strings.Cut(line, "\n")
			words := strings.Split(line, " | ")
			if !there || (len(words) > 2) != c.Null {
				t.Errorf("%s.%s: %q is documented", table.Name, c.Name, line)
			}
			n++
		}
	}
	if n != 57 {
		t.Errorf("%d columns are documented", n)
	}
}

// TestA8Document: our list of A8Chat's tables is the documented one, and one column that has no name there.
func TestA8Document(t *testing.T) {
	t.Parallel()
	text := reference(t, "a8-analytics-database.txt")
	titles := map[string]string{
		"User Table": "user", "Chat State Table": "chat_state", "Bot Messages Table": "bot_messages", "User Message Details": "user_message_details",
		"User Activities": "user_activities", "Event Metrics": "event_metrics", "Agent Activities": "agent_activities", "A8Bot NLP": "a8bot_nlp",
		"Agent Sessions": "agent_sessions", "Agent Message Details": "agent_message_details", "Messages": "messages",
	}
	documented := map[string][]string{}
	table, n := "", 0
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := titles[line]; ok {
			table = name
		}
		column, ok := strings.CutPrefix(line, "  • ")
		column = strings.ToLower(strings.TrimSpace(strings.TrimSuffix(strings.SplitN(column+" ", " - ", 2)[0], "- ")))
		if column = strings.TrimSpace(strings.TrimSuffix(column, "-")); ok && table != "" && !strings.Contains(column, " ") {
			documented[table] = append(documented[table], column)
			n++
		}
	}
	if n != 119 {
		t.Errorf("%d columns are documented, not 119", n)
	}
	for _, x := range tables(t, "a8") {
		name := cmp.Or(x.Like, x.Name)
		var ours []string
		for _, c := range x.Columns {
			if name+"."+c.Name != "chat_state.triggered_by_bot" {
				ours = append(ours, c.Name)
			}
		}
		want := slices.Clone(documented[name])
		slices.Sort(want)
		slices.Sort(ours)
		if !slices.Equal(ours, want) {
			t.Errorf("%s has\n%v, documented are\n%v", x.Name, ours, want)
		}
	}
}
