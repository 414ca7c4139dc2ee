package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"turnwise/queries/dbtest"
)

// TestHistory imports the same events as stores, brokers and frameworks give them: what the first brought, every other
// knows. What cannot be read says what to do.
func TestHistory(t *testing.T) {
	t.Parallel()
	const folder = "../../../shared/findings/cases"
	files, err := filepath.Glob(filepath.Join(folder, "02*"))
	if err != nil || len(files) == 0 {
		fmt.Fprintln(os.Stderr, "\n*** "+t.Name()+": SKIPPED: there is no "+folder+"\n")
		t.Skip("there is no ", folder)
	}
	url := dbtest.URL(t)
	words := map[string]string{ // of those that are not read as they are
		"02e": "--sender KEY", "02r": "json.dumps",
	}
	own := map[string]bool{"02u": true, "02v": true} // other senders, or other times
	counts := regexp.MustCompile(`stored\s+(\d+)\nalready known\s+(\d+)\nrevised\s+0\nrejected\s+0\n`)
	known := 0
	for i, file := range files {
		name := filepath.Base(file)[:3]
		out, err := turnwise(t, "--database-url", url, "import", "--assistant", "one", file)
		if want := words[name]; want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
			continue
		}
		m := counts.FindStringSubmatch(out)
		if err != nil || m == nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		if stored := m[1] != "0"; stored != (i == 0 || own[name]) {
			t.Errorf("%s stored %s, %s were known", name, m[1], m[2])
		}
		if m[2] != "0" {
			known++
		}
	}
	if known < 12 {
		t.Errorf("only %d files told what is known", known)
	}
	if out, err := turnwise(
		t, "--database-url", url, "import", "--assistant", "one", "--sender", "somebody",
		filepath.Join(folder, "02e-data-column.ndjson"),
	); err != nil || !strings.Contains(out, "stored         22") {
		t.Errorf("with a sender: %v\n%s", err, out)
	}
}
