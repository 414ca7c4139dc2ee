package web_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/demo"
	"turnwise/format"
	"turnwise/ingest"
	"turnwise/ingest/file"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
	"turnwise/web"
)

// crawler follows every figure of every page of charts to the list that it opens.
type crawler struct {
	t     *testing.T
	c     *http.Client
	url   string
	lists map[string]int64 // by address: how many it says to hold
	n     int
}

var (
	anchor = regexp.MustCompile(
		`<a\s+(?:class="link"\s+)?href="([^"]*)"\s+data-n="(\d+)"(?:\s+data-of="(\d+)")?\s*>([^<]*)</a>`,
	)
	anyLink  = regexp.MustCompile(`<a[^>]* href="(/(?:flow|paths)\?[^"]*)"`)
	numCell  = regexp.MustCompile(`(?s)<td class="(num[^"]*)"[^>]*>(.*?)</td>`)
	heldText = regexp.MustCompile(`data-total="(\d+)">([^<]*)<`)
	tag      = regexp.MustCompile(`<[^>]*>`)
)

// page reads a page of charts and follows its figures.
func (k *crawler) page(path string) (body string) {
	k.t.Helper()
	status, body, _ := get(k.t, k.c, "GET", k.url+path)
	if status != 200 {
		k.t.Fatalf("%s: %d %.300s", path, status, body)
	}
	for _, m := range anchor.FindAllStringSubmatch(body, -1) {
		n, _ := strconv.ParseInt(m[2], 10, 64)
		k.n++
		if held := k.list(html.UnescapeString(m[1])); held != n {
			k.t.Errorf(
				"%s: the figure %q counts %d, its list %s holds %d", path, strings.TrimSpace(m[4]), n, m[1], held,
			)
		}
		if text := strings.TrimSpace(m[4]); m[3] != "" && strings.HasSuffix(text, "%") {
			of, _ := strconv.ParseInt(m[3], 10, 64)
			if want := format.Percent(metric.Rate{Of: n, Among: of}); want != text {
				k.t.Errorf("%s: %d of %d is shown as %s, not %s", path, n, of, text, want)
			}
		}
	}
	for _, m := range numCell.FindAllStringSubmatch(body, -1) {
		text := strings.TrimSpace(tag.ReplaceAllString(m[2], ""))
		if !strings.Contains(m[1], "plain") && text != "–" && text != "" && !strings.Contains(m[2], "data-n=") {
			k.t.Errorf("%s: the figure %q has no list", path, text)
		}
	}
	return body
}

// list returns how many conversations or turns the list under an address says to hold, and checks it against its rows
// when all are on one page.
func (k *crawler) list(path string) int64 {
	if n, ok := k.lists[path]; ok {
		return n
	}
	status, body, _ := get(k.t, k.c, "GET", k.url+path)
	m := heldText.FindStringSubmatch(body)
	if status != 200 || m == nil {
		k.t.Fatalf("%s: %d %.300s", path, status, body)
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	if strings.Contains(m[2], "more than") {
		n = -1
	}
	if rows := int64(strings.Count(body, "<tr data-row>")); rows != min(n, 50) {
		k.t.Errorf("%s says %d and shows %d", path, n, rows)
	}
	k.lists[path] = n
	return n
}

func feed(t *testing.T, pool *pgxpool.Pool, next func() ([]byte, bool)) {
	t.Helper()
	feedInto(t, pool, "production", next)
}

// feedInto does so as of an environment.
func feedInto(t *testing.T, pool *pgxpool.Pool, environment string, next func() ([]byte, bool)) {
	t.Helper()
	w := ingest.NewWriter(pool, slog.New(slog.DiscardHandler))
	src, err := w.Open(t.Context(), ingest.Source{
		Name: "test", Kind: "file", Assistant: "default", Environment: environment,
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
	if err := figures.LinkPersons(t.Context(), pool); err != nil { // as the job does a moment later
		t.Fatal(err)
	}
}

// untimed are conversations of which question and answer have one time.
func untimed(now time.Time) func() ([]byte, bool) {
	i := 0
	return func() ([]byte, bool) {
		i++
		at := now.Add(-time.Duration(i/2) * 7 * time.Hour).Unix()
		if i%2 == 0 {
			return fmt.Appendf(nil, `{"sender_id":"untimed-%d","event":"user","timestamp":%d,"text":"hello","message_id":"u%d","input_channel":"web"}`, i/2, at, i), i < 20
		}
		return fmt.Appendf(nil, `{"sender_id":"untimed-%d","event":"bot","timestamp":%d,"text":"Hi."}`, i/2, at), i < 20
	}
}

// TestCrawl follows every figure: in zones with and without half hours, across both changes of the clocks, by the
// hour, the day and the week, with and without filters, rolled up and not.
func TestCrawl(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	spring, autumn := time.Date(2026, 3, 31, 15, 20, 0, 0, time.UTC), time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	var shared *os.File
	if f, err := os.Open(filepath.Join("..", "..", "shared", "data", "conversations.ndjson.gz")); err == nil {
		shared = f
		f.Close()
	}
	for _, tt := range []struct {
		zone   string
		now    time.Time
		shared bool
		query  string
	}{
		{"UTC", autumn, false, "range=4d"},
		{"Europe/Berlin", autumn, false, "range=4d"},
		{"Europe/Berlin", autumn, false, "from=2026-10-25&until=2026-10-25&bucket=hour"},
		{"Europe/Berlin", spring, false, "from=2026-03-29&until=2026-03-29&bucket=hour"},
		{"Asia/Kolkata", autumn, false, "range=4d&channel.not=rest"},
		{"America/St_Johns", autumn, false, "range=3d&outcome=escalated&outcome=abandoned&outcome=open"},
		{"Europe/Berlin", time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC), true, "range=90d&bucket=week"},
		{
			"America/St_Johns", time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC), true,
			"from=2026-08-10&until=2026-08-23&flow=check_balance",
		},
	} {
		t.Run(fmt.Sprint(tt.zone, " ", tt.query), func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			pool := dbtest.Pool(t)
			if tt.shared {
				if shared == nil {
					t.Skip("SKIPPED: ../shared/data is not here")
				}
				f, err := os.Open(shared.Name())
				if err != nil {
					t.Fatal(err)
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
			} else {
				feed(t, pool, demo.New(demo.Options{Conversations: 160, Days: 5, Until: tt.now, Seed: 7}).Next)
			}
			feed(t, pool, untimed(tt.now))
			if err := jobs.RollUp(
				t.Context(), pool, figures.NewGrid(zone), -time.Second, func() time.Time { return tt.now },
			); err != nil {
				t.Fatal(err)
			}
			if !tt.shared {
				// not rolled up
				feed(t, pool, demo.New(demo.Options{Conversations: 40, Days: 5, Until: tt.now, Seed: 8}).Next)
			}
			addUsers(t, pool)
			handler, stop := web.New(web.Config{
				Pool: pool, Log: slog.New(slog.DiscardHandler), Zone: zone, URL: "http://localhost",
				Ingest: http.NotFoundHandler(), Now: func() time.Time { return tt.now },
			})
			server := httptest.NewServer(handler)
			t.Cleanup(func() {
				server.Close()
				stop()
			})
			k := &crawler{t: t, c: signIn(t, server.URL, "reviewer"), url: server.URL, lists: map[string]int64{}}
			for _, page := range []string{
				"/overview", "/latency", "/csat", "/flows", "/compare", "/intents", "/users", "/review/reports",
			} {
				body := k.page(page + "?" + tt.query)
				for i, m := range anyLink.FindAllStringSubmatch(body, -1) {
					if i < 3 {
						inner := k.page(html.UnescapeString(m[1]))
						if way := anyLink.FindAllStringSubmatch(inner, -1); page == "/flows" && len(way) > 0 {
							for _, x := range way {
								if strings.HasPrefix(x[1], "/paths") {
									k.page(html.UnescapeString(x[1]))
								}
							}
						}
					}
				}
			}
			for _, funnel := range []string{
				"&step=check_balance&step=transfer_money&strict=yes",
				"&step=check_balance&step=transfer_money&step=block_card&minutes=3",
				"&step=track_parcel&step=change_delivery",
				"&step=get_weather&step=find_events&step=buy_event_tickets&minutes=30",
			} {
				k.page("/funnel?" + tt.query + funnel)
			}
			if k.n < 100 {
				t.Errorf("only %d figures were followed", k.n)
			}
			t.Logf("%d figures, %d lists", k.n, len(k.lists))
			// Who may not read conversations sees the same pages without a way to them.
			viewer := signIn(t, server.URL, "viewer")
			for _, page := range []string{
				"/overview", "/latency", "/csat", "/flows", "/compare", "/intents", "/users",
			} {
				_, body, _ := get(t, viewer, "GET", server.URL+page+"?"+tt.query)
				if strings.Contains(
					body, `href="/conversations?`,
				) || strings.Contains(body, `/turns`) || strings.Contains(body, `/users/list`) ||
					strings.Contains(body, "data-n=") {
					t.Errorf("%s shows a viewer the way to conversations", page)
				}
			}
		})
	}
}
