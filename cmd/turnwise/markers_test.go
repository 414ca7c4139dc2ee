package main

import (
	"os"
	"strings"
	"testing"

	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestMarkers: markers are found in conversations that come, and after an upload in those that are stored; what the
// statistics say is what the code of rasa evaluate markers (Rasa 3.6) says of the same conversations, but that it is made to
// heed the words of negation and to begin each sequence anew with its session (testdata/markers holds both of
// its files).
func TestMarkers(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	do := func(args ...string) string {
		t.Helper()
		out, err := turnwise(t, append([]string{"--database-url", url}, args...)...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return out
	}
	right := func(why string) {
		t.Helper()
		for file, args := range map[string][]string{"overall.csv": nil, "per-session.csv": {"--per-session"}} {
			want, err := os.ReadFile("testdata/markers/" + file)
			if err != nil {
				t.Fatal(err)
			}
			got := do(append([]string{"markers", "statistics", "--assistant", "bistro"}, args...)...)
			if got != string(want) {
				a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
				for i := range max(len(a), len(b)) {
					if i >= len(a) || i >= len(b) || a[i] != b[i] {
						t.Errorf("%s: %s, line %d: %q, not %q", why, file, i+1, a[min(i, len(a)-1)], b[min(i, len(b)-1)])
						break
					}
				}
			}
		}
	}
	upload := func(path, want string) {
		t.Helper()
		if got := do("markers", "upload", "--assistant", "bistro", path); !strings.HasPrefix(got, "bistro: "+want) {
			t.Errorf("it says %q", got)
		}
	}
	do("migrate")
	upload("testdata/markers", "6 added, 0 changed, 0 ended, 0 as they were.")
	do("import", "testdata/markers/events.ndjson")
	right("as they come")

	other := write(t, "other.yml", []byte("booked: {intent: book_table}\nrated: {slot_was_set: csat_score}\n"))
	if out, err := turnwise(t, "--database-url", url, "markers", "upload", "--assistant", "bistro", other); err == nil ||
		!strings.Contains(out+err.Error(), "being recalculated") {
		t.Errorf("while stored conversations are still to be looked through: %v\n%s", err, out)
	}
	do("rebuild")
	pool, err := queries.Open(t.Context(), url, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	ended := func() {
		t.Helper()
		if _, err := pool.Exec(t.Context(), "update fold_runs set ended_at = now()"); err != nil {
			t.Fatal(err)
		}
	}
	ended()
	upload(other, "1 added, 1 changed, 5 ended, 0 as they were.")
	ended()
	if got := do("markers", "list"); strings.Count(got, "\n") != 7 || !strings.Contains(got, `bistro  booked  on  {"intent":"book_table"}`) ||
		!strings.Contains(got, "bistro  lost  off  ") {
		t.Errorf("the list:\n%s", got)
	}
	upload("testdata/markers/markers.yml", "5 added, 1 changed, 1 ended, 0 as they were.")
	ended()
	upload("testdata/markers/markers.yml", "0 added, 0 changed, 0 ended, 6 as they were.")
	do("rebuild")
	right("as they are stored")

	ended()
	file := write(t, "settings.yml", []byte(do("settings", "export")))
	do("settings", "apply", "--dry-run", file) // nothing would change
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := write(t, "changed.yml", []byte(strings.Replace(string(text), "intent: never_said", "intent: said", 1)))
	if got := do("settings", "apply", changed); !strings.Contains(got, "1 settings changed") {
		t.Errorf("the settings file: %s", got)
	}
	if got := do("markers", "list"); !strings.Contains(got, `bistro  nobody  on  {"intent":"said"}`) {
		t.Errorf("the list after it:\n%s", got)
	}
	if out, err := turnwise(t, "--database-url", url, "settings", "apply", file); err == nil || !strings.Contains(out+err.Error(), "recalculated") {
		t.Errorf("while conversations are looked through: %v\n%s", err, out)
	}

	for _, bad := range []string{"booked: {any: [x]}", "and: {intent: x}", "- x"} {
		file := write(t, "bad.yml", []byte(bad))
		if out, err := turnwise(t, "--database-url", url, "markers", "upload", file); err == nil {
			t.Errorf("%s is taken:\n%s", bad, out)
		}
	}
	if out, err := turnwise(t, "--database-url", url, "markers", "upload", "testdata/markers/markers.yml", "testdata/markers"); err == nil {
		t.Errorf("a marker of two files is taken:\n%s", out)
	}
}
