package web_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"html"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"turnwise/dashboard"
	"turnwise/demo"
	"turnwise/metric"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

// TestDocuments takes every page out in every format: the numbers in the files are those on the page.
// It is not parallel: drawing charts keeps both cores busy, and the race detector makes it slow.
func TestDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	pool := dbtest.Pool(t)
	feed(t, pool, demo.New(demo.Options{Conversations: 700, Days: 20, Until: now, Seed: 5}).Next)
	c, base := exportSite(t, pool, time.UTC, now)
	f := metric.Filter{Range: metric.Range{Days: 12}}
	counted, err := figures.Count(t.Context(), pool, figures.Question{
		Filter: f, Flows: true, Now: now, Grid: figures.NewGrid(time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	var sum metric.Tally
	for _, cell := range counted.Cells {
		sum.Merge(cell.Tally)
	}
	days := 0
	for _, page := range dashboard.DocumentPages() {
		_, body, _ := get(t, c, "GET", base+"/"+page+"?range=12d")
		if !strings.Contains(html.UnescapeString(body), `/documents/`+page+`?range=12d&as=pdf`) {
			t.Errorf("%s has no way to its file", page)
		}
		_, file, header := get(t, c, "GET", base+"/documents/"+page+"?range=12d&as=csv")
		z, err := zip.NewReader(strings.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatalf("%s: %v, %v", page, err, header)
		}
		_, book, _ := get(t, c, "GET", base+"/documents/"+page+"?range=12d&as=xlsx")
		x, err := excelize.OpenReader(strings.NewReader(book))
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		tables := map[string][][]string{}
		for _, entry := range z.File {
			if entry.Name == "About.txt" {
				continue
			}
			r, err := entry.Open()
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if _, err := b.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(entry.Name, ".csv")
			if tables[name], err = csv.NewReader(
				bytes.NewReader(bytes.TrimPrefix(b.Bytes(), []byte("\ufeff"))),
			).ReadAll(); err != nil {
				t.Fatal(err)
			}
			// The workbook has the same cells.
			sheet := name
			if r := []rune(name); len(r) > 28 {
				sheet = string(r[:28])
			}
			rows, err := x.GetRows(sheet, excelize.Options{RawCellValue: true})
			if err != nil {
				t.Fatalf("%s: %v", page, err)
			}
			for i, row := range tables[name] {
				for j, v := range row {
					var got string
					if i < len(rows) && j < len(rows[i]) {
						got = rows[i][j]
					}
					if day, err := time.Parse(time.DateOnly, v); err == nil {
						days++
						serial, err := strconv.ParseFloat(got, 64)
						if at, _ := excelize.ExcelDateToTime(serial, false); err != nil || !at.Equal(day) {
							t.Errorf("%s, %s, row %d: the workbook has %q for the day %s", page, name, i, got, v)
						}
						continue
					}
					a, err1 := strconv.ParseFloat(v, 64)
					b, err2 := strconv.ParseFloat(got, 64)
					if got != v && (err1 != nil || err2 != nil || a-b > 1e-9 || b-a > 1e-9) {
						t.Errorf("%s, %s, row %d: the workbook has %q, the CSV %q", page, name, i, got, v)
					}
				}
			}
		}
		total := func(name string, column int) (n float64) {
			rows := tables[name]
			if len(rows) == 0 {
				t.Fatalf("%s has no %s: %v", page, name, len(tables))
			}
			for _, r := range rows[1:] {
				v, err := strconv.ParseFloat(r[column], 64)
				if err != nil {
					t.Fatal(err)
				}
				n += v
			}
			return n
		}
		switch page {
		case "overview":
			if n := total(
				"Conversations by outcome", 1,
			) + total(
				"Conversations by outcome", 2,
			) + total(
				"Conversations by outcome", 3,
			) + total(
				"Conversations by outcome", 4,
			) + total(
				"Conversations by outcome", 5,
			) + total("Conversations by outcome", 6); int64(n) != sum.Count(metric.All) {
				t.Errorf("the file has %v conversations by outcome, the figure is %d", n, sum.Count(metric.All))
			}
			if rows := tables["Figures"]; rows[1][1] != strconv.FormatInt(sum.Count(metric.All), 10) ||
				rows[2][2] != strconv.FormatInt(
					sum.Count(metric.Contained), 10,
				) || rows[2][3] != strconv.FormatInt(sum.Count(metric.Ended), 10) {
				t.Errorf("figures of the file: %v", rows)
			}
		case "flows":
			for _, r := range tables["Flow"][1:] {
				if want := counted.Flows[r[0]]; want == nil || r[1] != strconv.FormatInt(
					want.Count(metric.FlowStarted), 10,
				) || r[2] != strconv.FormatInt(want.Count(metric.FlowFinished), 10) {
					t.Errorf("flow %v", r)
				}
			}
		case "csat":
			if n := total("Ratings", 1); int64(n) != sum.Count(metric.Satisfied) {
				t.Errorf("the file has %v satisfied, the figure is %d", n, sum.Count(metric.Satisfied))
			}
		}
		if page == "latency" || page == "csat" || page == "intents" { // drawing takes the race detector long
			continue
		}
		for _, query := range []string{"range=12d&as=pdf", "from=2031-01-01&until=2031-01-02&as=pdf"} {
			_, pdf, header := get(t, c, "GET", base+"/documents/"+page+"?"+query)
			if !strings.HasPrefix(pdf, "%PDF-") || header.Get("Content-Type") != "application/pdf" {
				t.Errorf("%s?%s: %.80q", page, query, pdf)
			}
			if dir := os.Getenv("TURNWISE_SCREENSHOTS"); dir != "" {
				if err := os.WriteFile(
					filepath.Join(dir, "document-"+page+"-"+query[:4]+".pdf"), []byte(pdf), 0o600,
				); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if days < 24 {
		t.Errorf("%d days in the files", days)
	}
	if status, body, _ := get(
		t, c, "GET", base+"/documents/overview?as=doc",
	); status != 400 || !strings.Contains(body, "is one of pdf") {
		t.Errorf("%d %.200s", status, body)
	}
	viewer := signIn(t, base, "viewer")
	if status, _, _ := get(t, viewer, "GET", base+"/documents/overview?as=xlsx"); status != 200 {
		t.Errorf("a viewer: %d", status)
	}
}
