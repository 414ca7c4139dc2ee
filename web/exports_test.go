package web_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/demo"
	"turnwise/ingest/file"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
	"turnwise/web"
)

// exportSite serves a database with a supervisor, at a time.
func exportSite(t *testing.T, pool *pgxpool.Pool, zone *time.Location, now time.Time) (*http.Client, string) {
	t.Helper()
	addUsers(t, pool)
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		t.Fatal(err)
	}
	handler, stop := web.New(web.Config{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Zone: zone, URL: "http://localhost",
		Ingest: http.NotFoundHandler(), Jobs: queue, Now: func() time.Time { return now },
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	return signIn(t, server.URL, "supervisor"), server.URL
}

// fetch asks for an export and returns the file, made at once or by a job.
func fetch(t *testing.T, c *http.Client, pool *pgxpool.Pool, base string, zone *time.Location, form url.Values) []byte {
	t.Helper()
	resp, err := c.PostForm(base+"/exports", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusSeeOther {
		at := resp.Header.Get("Location")
		id, err := conversation.ParseUUID(strings.TrimPrefix(at, "/exports/"))
		if err != nil {
			t.Fatal(err)
		}
		if err := jobs.Export(t.Context(), pool, id, zone, time.Now); err != nil {
			t.Fatal(err)
		}
		status, text, _ := get(t, c, "GET", base+at+"/file")
		if status != 200 {
			t.Fatalf("%s: %d %.200s", at, status, text)
		}
		return []byte(text)
	}
	if resp.StatusCode != 200 {
		t.Fatalf("%v: %d %.300s", form, resp.StatusCode, body)
	}
	return body
}

// table is a file read back: the rows by column, as text.
type table []map[string]string

func readCSV(t *testing.T, b []byte) (head map[string]string, all table) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff"))))
	r.FieldsPerRecord = -1
	lines, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	head = map[string]string{}
	for len(lines) > 0 && strings.HasPrefix(lines[0][0], "# ") {
		head[strings.TrimPrefix(lines[0][0], "# ")] = strings.Join(lines[0][1:], "")
		lines = lines[1:]
	}
	for _, l := range lines[1:] {
		row := map[string]string{}
		for i, v := range l {
			row[lines[0][i]] = v
		}
		all = append(all, row)
	}
	return head, all
}

func (all table) count(column, value string) (n int64) {
	for _, r := range all {
		if r[column] == value {
			n++
		}
	}
	return n
}

func (all table) sum(t *testing.T, column string) (sum float64) {
	t.Helper()
	for _, r := range all {
		if r[column] == "" {
			continue
		}
		v, err := strconv.ParseFloat(r[column], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// TestExportEqualsFigures adds up the rows of files and compares them with the figures of the same filter.
func TestExportEqualsFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, fill := range map[string]func(t *testing.T, pool *pgxpool.Pool){
		"fixture": func(t *testing.T, pool *pgxpool.Pool) {
			feed(t, pool, demo.New(demo.Options{Conversations: 300, Days: 5, Until: now, Seed: 5}).Next)
		},
		"shared": func(t *testing.T, pool *pgxpool.Pool) {
			f, err := os.Open(filepath.Join("..", "..", "shared", "data", "conversations.ndjson.gz"))
			if err != nil {
				t.Skip("SKIPPED: ../shared/data is not here")
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			split := file.NewSplitter(z)
			feed(t, pool, func() ([]byte, bool) {
				it, err := split.Next()
				return it.Body, err == nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := dbtest.Pool(t)
			fill(t, pool)
			c, base := exportSite(t, pool, berlin, now)
			for _, query := range []string{
				"range=180d", "range=180d&outcome=escalated&outcome=open", "range=180d&is=contained",
				"range=180d&csat=UNSATISFIED", "from=2026-10-25&until=2026-10-25", "range=180d&flow=check_balance",
			} {
				kept, err := url.ParseQuery(query)
				if err != nil {
					t.Fatal(err)
				}
				f, err := metric.ParseFilter(kept, berlin)
				if err != nil {
					t.Fatal(err)
				}
				counted, err := figures.Count(t.Context(), pool, figures.Question{
					Filter: f, Times: true, Now: now, Grid: figures.NewGrid(berlin),
				})
				if err != nil {
					t.Fatal(err)
				}
				var sum metric.Tally
				for _, cell := range counted.Cells {
					sum.Merge(cell.Tally)
				}
				form := url.Values{"query": {query}, "grain": {"conversation"}, "format": {"csv"}}
				head, rows := readCSV(t, fetch(t, c, pool, base, berlin, form))
				if head["Time zone"] != "Europe/Berlin" || head["Made by"] != "supervisor" || head["Range"] == "" ||
					head["Success criteria"] == "" {
					t.Errorf("%s: the file says of itself %v", query, head)
				}
				for is, n := range map[metric.Condition]int64{
					metric.All: int64(len(rows)), metric.Engaged: rows.count("engaged", "true"), metric.Contained: rows.count("contained", "true"), metric.Resolved: rows.count("resolved", "true"),
					metric.Durable: rows.count("durable", "true"), metric.Escalated: rows.count("escalated", "true"), metric.Open: rows.count("outcome", "open"), metric.Abandoned: rows.count("outcome", "abandoned"),
					metric.Satisfied: rows.count("csat", "SATISFIED"), metric.Unanswered: rows.count("csat", "UNANSWERED"), metric.Succeeded: rows.count("success", "true"),
				} {
					if n != sum.Count(is) {
						t.Errorf("%s: %d rows are %v, the figure is %d", query, n, is, sum.Count(is))
					}
				}
				form.Set("grain", "turn")
				_, turns := readCSV(t, fetch(t, c, pool, base, berlin, form))
				var answered int64
				for _, r := range turns {
					if r["response_ms"] != "" {
						answered++
					}
					if (r["response_ms"] == "") != slices.Contains(
						[]string{"platform", "by_human", "unanswered", "beyond", "impossible"}, r["not_counted"],
					) {
						t.Fatalf(
							"%s: a turn that took %q ms is not counted for %q", query, r["response_ms"],
							r["not_counted"],
						)
					}
				}
				if float64(len(turns)) != rows.sum(t, "turns") {
					t.Errorf("%s: %d turns, the conversations say %v", query, len(turns), rows.sum(t, "turns"))
				}
				if answered != sum.Response.N || int64(rows.sum(t, "responses")) != sum.Response.N {
					t.Errorf(
						"%s: %d turns and %v of the conversations have a response time, the figure is %d", query,
						answered, rows.sum(t, "responses"), sum.Response.N,
					)
				}
				if mean, ok := sum.Response.Mean(); ok && turns.sum(t, "response_ms")/float64(answered)/mean-1 > 1e-9 {
					t.Errorf(
						"%s: the mean of the turns is %v, the figure %v", query,
						turns.sum(t, "response_ms")/float64(answered), mean,
					)
				}
				form.Set("grain", "message")
				_, messages := readCSV(t, fetch(t, c, pool, base, berlin, form))
				if float64(len(messages)) < rows.sum(t, "user_messages")+rows.sum(t, "bot_messages") ||
					messages.count("author", "assistant") != int64(rows.sum(t, "bot_messages")) {
					t.Errorf(
						"%s: %d messages, %d of the assistant; the conversations say %v", query, len(messages),
						messages.count("author", "assistant"), rows.sum(t, "bot_messages"),
					)
				}
				form.Set("grain", "event")
				_, events := readCSV(t, fetch(t, c, pool, base, berlin, form))
				if float64(len(events)) != rows.sum(t, "events") {
					t.Errorf("%s: %d events, the conversations say %v", query, len(events), rows.sum(t, "events"))
				}
				for _, e := range events[:min(200, len(events))] {
					var body struct{ Event string }
					if err := json.Unmarshal(
						[]byte(strings.TrimPrefix(e["body"], "'")), &body,
					); err != nil || body.Event != e["type"] {
						t.Fatalf("%s: the body of a %s is %.100s", query, e["type"], e["body"])
					}
				}
				same(t, query, rows, func(format string) []byte {
					return fetch(t, c, pool, base, berlin, url.Values{
						"query": {query}, "grain": {"conversation"}, "format": {format},
					})
				}, berlin)
			}
		})
	}
}

// same reads the other formats back, whose rows must be those of the CSV.
func same(t *testing.T, query string, rows table, made func(format string) []byte, zone *time.Location) {
	t.Helper()
	book, err := excelize.OpenReader(bytes.NewReader(made("xlsx")))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	sheet, err := book.GetRows("Data", excelize.Options{RawCellValue: true})
	if err != nil || len(sheet) != len(rows)+1 {
		t.Fatalf("%s: the sheet has %d rows, %v; want %d", query, len(sheet), err, len(rows)+1)
	}
	lines := strings.Split(strings.TrimSpace(string(made("jsonl"))), "\n")
	if len(lines) != len(rows)+1 || !strings.HasPrefix(lines[0], `{"about":`) {
		t.Fatalf("%s: %d lines, the first %.80s", query, len(lines), lines[0])
	}
	type parquetRow struct {
		ID       string     `parquet:"conversation_id"`
		Started  *time.Time `parquet:"started_at,optional,timestamp(microsecond)"`
		Outcome  string     `parquet:"outcome"`
		Messages int64      `parquet:"user_messages"`
		Flows    []string   `parquet:"flows"`
		Durable  *bool      `parquet:"durable,optional"`
	}
	b := made("parquet")
	read, err := parquet.Read[parquetRow](bytes.NewReader(b), int64(len(b)))
	if err != nil || len(read) != len(rows) {
		t.Fatalf("%s: %d rows of Parquet, %v; want %d", query, len(read), err, len(rows))
	}
	column := map[string]int{}
	if len(sheet) > 0 {
		for i, name := range sheet[0] {
			column[name] = i
		}
	}
	for i, r := range rows {
		cell := func(name string) string {
			if column[name] < len(sheet[i+1]) {
				return sheet[i+1][column[name]]
			}
			return ""
		}
		var j struct {
			ID       string    `json:"conversation_id"`
			Started  time.Time `json:"started_at"`
			Outcome  string    `json:"outcome"`
			Messages int64     `json:"user_messages"`
			Flows    []string  `json:"flows"`
			Durable  *bool     `json:"durable"`
		}
		if err := json.Unmarshal([]byte(lines[i+1]), &j); err != nil {
			t.Fatal(err)
		}
		p := read[i]
		started, err := time.Parse(time.RFC3339, r["started_at"])
		if err != nil {
			t.Fatal(err)
		}
		days, err := strconv.ParseFloat(cell("started_at"), 64)
		if err != nil {
			t.Fatal(err)
		}
		local := started.In(zone)
		wall := time.Date(
			local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC,
		)
		if d := excelTime(days).Sub(wall); d < -time.Second || d > time.Second {
			t.Errorf("%s: the sheet says %s, the CSV %s", query, excelTime(days), r["started_at"])
		}
		flows := strings.Join(j.Flows, "; ")
		if j.ID != r["conversation_id"] || p.ID != j.ID || cell("conversation_id") != j.ID ||
			j.Outcome != r["outcome"] || p.Outcome != j.Outcome || cell("outcome") != j.Outcome ||
			fmt.Sprint(j.Messages) != r["user_messages"] || p.Messages != j.Messages ||
			cell("user_messages") != r["user_messages"] || flows != r["flows"] ||
			strings.Join(p.Flows, "; ") != flows ||
			j.Started.Sub(started).Abs() > time.Millisecond || p.Started == nil || !p.Started.Equal(j.Started) ||
			(p.Durable == nil) != (r["durable"] == "") || (j.Durable == nil) != (r["durable"] == "") {
			t.Fatalf("%s: row %d is %v, %v, %+v, %+v", query, i, r, sheet[i+1], j, p)
		}
	}
}

// excelTime reads a date of a sheet: days since the last of 1899.
func excelTime(days float64) time.Time {
	return time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC).Add(time.Duration(days * 24 * float64(time.Hour)))
}

// TestExportInBackground: a large file is made by a job, once, however many workers come and whichever of them dies;
// only who asked for it and admins may have it, until it expires.
func TestExportInBackground(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	pool := dbtest.Pool(t)
	feed(t, pool, demo.New(demo.Options{Conversations: 2300, Days: 9, Until: now, Seed: 5}).Next)
	c, base := exportSite(t, pool, time.UTC, now)
	ask := func() (at string, id conversation.UUID) {
		t.Helper()
		resp, err := c.PostForm(base+"/exports", url.Values{
			"query": {"range=30d"}, "grain": {"conversation"}, "format": {"csv"},
		})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		at = resp.Header.Get("Location")
		if id, err = conversation.ParseUUID(strings.TrimPrefix(at, "/exports/")); err != nil || resp.StatusCode != 303 {
			t.Fatalf("%d %s", resp.StatusCode, at)
		}
		return at, id
	}
	at, id := ask()
	if _, body, _ := get(t, c, "GET", base+at); !strings.Contains(body, "being made") {
		t.Errorf("before: %.300s", body)
	}
	if status, _, _ := get(t, c, "GET", base+at+"/file"); status != 404 {
		t.Errorf("a file that is not made yet: %d", status)
	}
	// A worker that died halfway left a part; one that is alive keeps the others away.
	died := time.Now().Add(-time.Minute)
	var claim queries.ExportClaim
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) (err error) {
		claim, err = queries.ClaimExport(t.Context(), tx, id, died, died.Add(-time.Minute))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := claim.Part(t.Context(), pool, 0, []byte("half a file")); err != nil {
		t.Fatal(err)
	}
	if err := claim.Beat(t.Context(), pool, 1, 1, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Export(t.Context(), pool, id, time.UTC, time.Now); !errors.Is(err, queries.ErrNotFound) {
		t.Errorf("a second worker: %v", err)
	}
	if err := claim.Beat(t.Context(), pool, 1, 1, died); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Export(t.Context(), pool, id, time.UTC, time.Now); err != nil {
		t.Fatal(err)
	}
	if err := claim.Part(t.Context(), pool, 9, []byte("late")); !errors.Is(err, queries.ErrNotFound) {
		t.Errorf("a part of the dead worker is taken: %v", err)
	}
	// One that ends each server that is at it is not begun for ever.
	_, deadly := ask()
	if _, err := pool.Exec(t.Context(), `update exports set deaths = 18 where id = $1`, [16]byte(deadly)); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := jobs.Export(t.Context(), pool, deadly, time.UTC, time.Now); err != nil {
			break
		}
		if _, err := pool.Exec(
			t.Context(),
			`update exports set state = 'running', alive_at = now() - interval '1 hour' where id = $1 and error = ''`,
			[16]byte(deadly),
		); err != nil {
			t.Fatal(err)
		}
	}
	if e, err := queries.ExportByID(t.Context(), pool, deadly); err != nil || e.State != queries.ExportFailed ||
		!strings.Contains(e.Error, "ended twenty times") {
		t.Errorf("a deadly one: %+v, %v", e, err)
	}
	_, file, header := get(t, c, "GET", base+at+"/file")
	_, rows := readCSV(t, []byte(file))
	if len(rows) < 2001 || header.Get("Content-Length") != fmt.Sprint(len(file)) || !strings.Contains(
		header.Get("Content-Disposition"), `filename="conversations_2026-10-27_0917.csv"`,
	) {
		t.Errorf("%d rows, %v", len(rows), header)
	}
	if _, body, _ := get(t, c, "GET", base+at); !strings.Contains(body, "The file is ready") {
		t.Errorf("after: %.300s", body)
	}
	hash, err := access.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	if err := queries.AddAccount(t.Context(), pool, access.Account{
		ID: queries.NewID(), Email: "other@example.org", Name: "other", Role: "supervisor", PasswordHash: hash,
		CreatedAt: now,
	}); err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]int{"other": 404, "admin": 200, "reviewer": 403} {
		if status, _, _ := get(t, signIn(t, base, role), "GET", base+at+"/file"); status != want {
			t.Errorf("%s: %d", role, status)
		}
	}
	if err := queries.ForgetExports(t.Context(), pool, time.Now().AddDate(0, 0, 8)); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := get(t, c, "GET", base+at+"/file"); status != 404 {
		t.Errorf("an expired file: %d", status)
	}
	// One that is cancelled is not made.
	at, id = ask()
	if resp, err := c.PostForm(base+at+"/cancel", nil); err != nil || resp.StatusCode != 303 {
		t.Fatal(err)
	}
	if err := jobs.Export(t.Context(), pool, id, time.UTC, time.Now); !errors.Is(err, queries.ErrNotFound) {
		t.Errorf("a cancelled one: %v", err)
	}
	var left int64
	if err := pool.QueryRow(t.Context(), `select count(*) from export_parts`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d parts are left, %v", left, err)
	}
}

// TestOtherFiles: people, a selection of the list and review reports can be taken out as well, and are what the pages
// say.
func TestOtherFiles(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	pool := dbtest.Pool(t)
	feed(t, pool, demo.New(demo.Options{Conversations: 2300, Days: 40, Until: now.Add(-3 * time.Hour), Seed: 5}).Next)
	c, base := exportSite(t, pool, time.UTC, now)
	total := regexp.MustCompile(`data-total="(\d+)"`)
	for _, query := range []string{
		"range=40d", "range=20d&users=new&is=engaged", "range=20d&users=returning&is=engaged&assistant=harbour-bank",
	} {
		_, page, _ := get(t, c, "GET", base+"/users/list?"+query)
		m := total.FindStringSubmatch(page)
		if m == nil || !strings.Contains(page, `value="user"`) {
			t.Fatalf("%s: %.300s", query, page)
		}
		_, all := readCSV(
			t, fetch(t, c, pool, base, time.UTC, url.Values{"query": {query}, "grain": {"user"}, "format": {"csv"}}),
		)
		if strconv.Itoa(len(all)) != m[1] || len(all) < 5 {
			t.Errorf("%s: %d rows, the list has %s", query, len(all), m[1])
		}
		people := map[string]bool{}
		for _, r := range all {
			people[r["assistant"]+"\x00"+cmp.Or(r["user_id"], r["sender_key"])] = true
		}
		if len(people) != len(all) {
			t.Errorf("%s: %d people in %d rows", query, len(people), len(all))
		}
		if query == "range=40d" {
			_, list, _ := get(t, c, "GET", base+"/conversations?"+query)
			if n := total.FindStringSubmatch(list); n == nil || strconv.Itoa(int(all.sum(t, "conversations"))) != n[1] {
				t.Errorf("people have %v conversations, the list %v", all.sum(t, "conversations"), n)
			}
		}
	}
	// A selection.
	_, list, _ := get(t, c, "GET", base+"/conversations?range=40d")
	conversations := total.FindStringSubmatch(list)[1]
	ids := regexp.MustCompile(`name="c" value="([0-9a-f-]{36})"`).FindAllStringSubmatch(list, 3)
	form := url.Values{"do": {"only"}, "query": {"range=40d"}}
	for _, m := range ids {
		form.Add("c", m[1])
	}
	resp, err := c.PostForm(base+"/conversations/act", form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	at := resp.Header.Get("Location")
	_, list, _ = get(t, c, "GET", base+at)
	if m := total.FindStringSubmatch(list); resp.StatusCode != 303 || m == nil || m[1] != "3" || !strings.Contains(
		list, "3 conversations that were chosen",
	) {
		t.Errorf("the selection %s: %d, %v", at, resp.StatusCode, m)
	}
	_, query, _ := strings.Cut(at, "?")
	_, all := readCSV(
		t,
		fetch(t, c, pool, base, time.UTC, url.Values{"query": {query}, "grain": {"conversation"}, "format": {"csv"}}),
	)
	for _, m := range ids {
		if len(all) != 3 || all.count("conversation_id", m[1]) != 1 {
			t.Errorf("%s is %d times among %d rows", m[1], all.count("conversation_id", m[1]), len(all))
		}
	}
	if status, _, _ := get(t, c, "GET", base+"/conversations?only=x"); status != 400 {
		t.Errorf("a wrong id: %d", status)
	}
	// Review reports.
	if _, err := pool.Exec(
		t.Context(),
		`insert into review_states (sender_id, conversation_id, touched_at, reviewed_at, events) select sender_id, id, last_at, last_at, events from conversations order by started_at desc limit 77`,
	); err != nil {
		t.Fatal(err)
	}
	_, page, _ := get(t, c, "GET", base+"/review/reports?range=40d")
	if !strings.Contains(
		html.UnescapeString(page), "/review/reports/file?range=40d&as=xlsx",
	) || strings.Contains(page, "/reports/edit?page=review") {
		t.Error("review reports have no way to their file, or one to a schedule")
	}
	for _, as := range []string{"xlsx", "csv", "pdf"} {
		status, file, header := get(t, c, "GET", base+"/review/reports/file?range=40d&as="+as)
		if status != 200 || len(file) < 1000 || !strings.Contains(
			header.Get("Content-Disposition"), "review-reports_2026-10-27",
		) {
			t.Fatalf("%s: %d, %d bytes, %v", as, status, len(file), header)
		}
		if as == "xlsx" {
			x, err := excelize.OpenReader(strings.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			rows, err := x.GetRows("Coverage by channel", excelize.Options{RawCellValue: true})
			if err != nil {
				t.Fatalf("%v: %v", x.GetSheetList(), err)
			}
			sum := map[string]float64{}
			for _, r := range rows[1:] {
				for i, name := range rows[0] {
					if i < len(r) {
						v, _ := strconv.ParseFloat(r[i], 64)
						sum[name] += v
					}
				}
			}
			if sum["Reviewed"] != 77 || strconv.Itoa(int(sum["All"])) != conversations {
				t.Errorf("sums %v of %s", sum, conversations)
			}
			x.Close()
		}
	}
}
