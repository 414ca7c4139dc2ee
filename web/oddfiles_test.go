package web_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"

	"turnwise/ingest/brokertest"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// badBodies are the events of ../shared/bad-inputs, as far as that is here.
func badBodies(t *testing.T) (bodies []string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join("..", "..", "shared", "bad-inputs", "*.ndjson"))
	if len(files) == 0 {
		t.Log("SKIPPED in part: ../shared/bad-inputs is not here")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var x struct{ Events []string }
			if err := json.Unmarshal(line, &x); err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, x.Events...)
		}
	}
	return bodies
}

// TestOddFiles holds that no stored value breaks a file or a page off: events with odd numbers in every field, and bad
// inputs, in every grain and format.
func TestOddFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	server, pool := site(t, nil)
	bodies := append(append(brokertest.OddNumbers(), brokertest.OddTimes()...), badBodies(t)...)
	i := 0
	feed(t, pool, func() ([]byte, bool) {
		if i++; i > len(bodies) {
			return nil, false
		}
		return []byte(bodies[i-1]), true
	})
	if err := jobs.RollUp(t.Context(), pool, figures.NewGrid(time.UTC), -time.Second, time.Now); err != nil {
		t.Fatal(err)
	}
	if err := jobs.IndexTexts(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	c := signIn(t, server.URL, "admin")
	all := "range=36525d"
	for _, grain := range queries.Grains {
		rows := -1
		for _, format := range []string{"jsonl", "csv", "xlsx", "parquet"} {
			status, body, _ := get(t, c, "GET", server.URL+"/rows?"+all+"&grain="+string(grain)+"&format="+format)
			n, err := 0, error(nil)
			switch format {
			case "jsonl":
				lines := bufio.NewScanner(strings.NewReader(body))
				lines.Buffer(nil, 64<<20)
				for ; lines.Scan(); n++ {
					var row map[string]any
					if err = json.Unmarshal(lines.Bytes(), &row); err != nil {
						break
					}
				}
			case "csv":
				r := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff")))
				r.FieldsPerRecord = -1
				var lines [][]string
				if lines, err = r.ReadAll(); err == nil {
					n = len(lines)
				}
			case "xlsx":
				var f *excelize.File
				if f, err = excelize.OpenReader(strings.NewReader(body)); err == nil {
					n = len(f.GetSheetList())
					f.Close()
				}
			case "parquet":
				var f *parquet.File
				if f, err = parquet.OpenFile(strings.NewReader(body), int64(len(body))); err == nil {
					n = int(f.NumRows())
				}
			}
			if status != 200 || err != nil || n == 0 {
				t.Errorf("%s as %s: %d, %d rows, %v", grain, format, status, n, err)
			}
			if format == "jsonl" {
				rows = n
			} else if format == "parquet" && n != rows-1 { // a head stands above the rows
				t.Errorf("%s: %d rows in Parquet, %d in JSON Lines", grain, n, rows)
			}
		}
	}
	for _, page := range []string{
		"overview", "flows", "latency", "csat", "intents", "users", "compare", "conversations", "turns", "users/list",
		"health", "rejected",
	} {
		query := "?" + all
		if page == "health" || page == "rejected" {
			query = ""
		}
		if status, body, _ := get(
			t, c, "GET", server.URL+"/"+page+query,
		); status != 200 || !strings.Contains(body, "</html>") {
			t.Errorf("%s: %d, %d bytes", page, status, len(body))
		}
	}
	for _, page := range []string{"overview", "latency", "csat", "flows", "intents", "users"} {
		for _, as := range []string{"xlsx", "csv", "pdf"} {
			if status, body, _ := get(
				t, c, "GET", server.URL+"/documents/"+page+"?"+all+"&as="+as,
			); status != 200 || len(body) < 100 {
				t.Errorf("%s as %s: %d, %d bytes", page, as, status, len(body))
			}
		}
	}
	list, err := queries.Conversations(
		t.Context(), queries.Clear(pool), metric.Filter{Range: metric.Range{Days: metric.MaxDays}}, nil, true, 300, time.Now(),
		time.UTC,
	)
	if err != nil || len(list) == 0 {
		t.Fatalf("%d conversations, %v", len(list), err)
	}
	for _, x := range list {
		for _, view := range []string{"", "?view=builder"} {
			if status, body, _ := get(
				t, c, "GET", server.URL+"/conversations/"+x.ID.String()+view,
			); status != 200 || !strings.Contains(body, "</html>") {
				t.Errorf("%s%s: %d", x.ID, view, status)
			}
		}
	}
}
