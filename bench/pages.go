package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/queries"
	"turnwise/web"
)

// large fills a database, measures pages at a tenth and at the whole, and ingest on top of what is there.
func (b *bench) large(conversations int, pages, store bool) error {
	url, drop, err := b.fresh("bench_large")
	if err != nil {
		return err
	}
	defer func() { _ = drop() }() // the cluster may go too
	pool, err := queries.Open(b.ctx, url, 10)
	if err != nil {
		return err
	}
	defer pool.Close()
	viewers, err := queries.OpenForPages(b.ctx, url, 10)
	if err != nil {
		return err
	}
	defer viewers.Close()
	var small, big float64
	var charts [2][2]float64
	for i, n := range []int{conversations / 10, conversations - conversations/10} {
		begun := time.Now()
		counts, err := b.fill(pool, n, uint64(1000+i))
		if err != nil {
			return err
		}
		b.note(
			fmt.Sprintf("filling with %d conversations", n), float64(counts.Stored)/time.Since(begun).Seconds(),
			"events/s", "",
		)
		if err := b.rollups(pool); err != nil {
			return err
		}
		if _, err := pool.Exec(b.ctx, "vacuum analyze"); err != nil {
			return err
		}
		if !pages {
			continue
		}
		if charts[i], err = b.charts(viewers, fmt.Sprintf("%d conversations: ", n+i*(conversations/10))); err != nil {
			return err
		}
		p95, err := b.pages(viewers, fmt.Sprintf("%d conversations: ", n+i*(conversations/10)))
		if err != nil {
			return err
		}
		small, big = big, p95
	}
	if pages {
		b.note("pages, p95 of the large over the small database", big/small, "ratio", "<= 1.2")
		b.note("charts over 90 days, p95 of the large over the small", charts[1][0]/charts[0][0], "ratio", "<= 1.2")
		b.note("charts over 395 days, p95 of the large over the small", charts[1][1]/charts[0][1], "ratio", "<= 1.2")
		if err := b.raw(viewers); err != nil {
			return err
		}
	}
	if !store {
		return nil
	}
	return b.onTop(pool)
}

// days is how long the history of the large database is: 13 months.
const days = 395

func (b *bench) fill(pool *pgxpool.Pool, conversations int, seed uint64) (ingest.Counts, error) {
	g := demo.New(demo.Options{Conversations: conversations, Days: days, Until: time.Now(), Seed: seed})
	w := ingest.NewWriter(pool, b.log)
	src, err := w.Open(b.ctx, ingest.Source{Name: "fill", Kind: "demo", Assistant: "bench", Environment: "production"})
	if err != nil {
		return ingest.Counts{}, err
	}
	return w.Run(b.ctx, src, ingest.Bodies(func() (ingest.Body, error) {
		body, ok := g.Next()
		if !ok {
			return ingest.Body{}, io.EOF
		}
		return ingest.Body{Bytes: body}, nil
	}), ingest.Options{})
}

// onTop measures the whole way into tables that hold much already against empty ones, in turns.
func (b *bench) onTop(pool *pgxpool.Pool) error {
	var empty, full []float64
	for i := range b.reps {
		all, err := newCorpus(b.events, uint64(500+i))
		if err != nil {
			return err
		}
		defer all.close()
		url, drop, err := b.fresh("bench")
		if err != nil {
			return err
		}
		p, err := queries.Open(b.ctx, url, 8)
		if err != nil {
			return err
		}
		rate, _, err := b.store(p, all.each, 2, 5000)
		p.Close()
		if err != nil {
			return err
		}
		empty = append(empty, rate)
		if err := drop(); err != nil {
			return err
		}
		if rate, _, err = b.store(pool, all.each, 2, 5000); err != nil {
			return err
		}
		full = append(full, rate)
	}
	var events float64
	if err := pool.QueryRow(b.ctx, `select count(*) from events`).Scan(&events); err != nil {
		return err
	}
	b.note(fmt.Sprintf("the whole way with %.1f M events present", events/1e6), median(full), "events/s", "")
	b.note("the same over empty tables", median(full)/median(empty), "ratio", ">= 0.85")
	return nil
}

var hrefs = regexp.MustCompile(`href="(/conversations/[0-9a-f-]{36})`)

// pages asks for lists of every filter at several depths and for transcripts, and returns the p95.
func (b *bench) pages(pool *pgxpool.Pool, name string) (float64, error) {
	client, base, stop, err := b.site(pool)
	if err != nil {
		return 0, err
	}
	defer stop()
	lists := listPaths()
	first, _, err := get(client, base+"/conversations?range=90d")
	if err != nil {
		return 0, err
	}
	var transcripts []string
	for _, m := range hrefs.FindAllStringSubmatch(first, 40) {
		transcripts = append(transcripts, m[1], m[1]+"?view=builder")
	}
	var all []float64
	slowest := map[string]float64{}
	for _, group := range []struct {
		name  string
		paths []string
	}{{"lists", lists}, {"transcripts", transcripts}} {
		var times []float64
		for range 5 {
			rand.Shuffle(
				len(group.paths), func(i, j int) { group.paths[i], group.paths[j] = group.paths[j], group.paths[i] },
			)
			for _, p := range group.paths {
				_, ms, err := get(client, base+p)
				if err != nil {
					return 0, err
				}
				times = append(times, ms)
				slowest[p] = max(slowest[p], ms)
			}
		}
		slices.Sort(times)
		b.note(name+group.name+", p50", times[len(times)/2], "ms", "")
		b.note(name+group.name+", p95", times[len(times)*95/100], "ms", "< 30")
		all = append(all, times...)
	}
	slices.Sort(all)
	if os.Getenv("TURNWISE_BENCH_SLOWEST") != "" {
		paths := make([]string, 0, len(slowest))
		for p := range slowest {
			paths = append(paths, p)
		}
		slices.SortFunc(paths, func(a, c string) int { return int(slowest[c] - slowest[a]) })
		for _, p := range paths[:min(15, len(paths))] {
			fmt.Printf("   %8.1f ms  %s\n", slowest[p], p)
		}
	}
	return all[len(all)*95/100], nil
}

// get asks for a page, and returns it and how many milliseconds it took.
func get(client *http.Client, address string) (string, float64, error) {
	begun := time.Now()
	resp, err := client.Get(address)
	if err != nil {
		return "", 0, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", address, resp.Status)
	}
	return string(body), float64(time.Since(begun).Microseconds()) / 1000, err
}

// listPaths are lists, at their beginning and deep within.
func listPaths() (lists []string) {
	for _, f := range []string{
		"", "range=90d", "range=7d", "range=1d", "assistant=harbour-bank", "range=90d&channel=rest",
		"range=90d&channel=audiocodes", "range=90d&version=harbour-4.3",
		"range=90d&escalated=yes", "range=90d&csat=UNSATISFIED", "range=90d&csat=UNSATISFIED&channel=whatsapp",
		"range=90d&outcome=abandoned&channel=rest",
		"range=90d&flow=dispute_charge", "range=90d&flow=mortgage_appointment_with_a_specialist_for_first_time_buyers&csat=UNSATISFIED", "range=90d&flow=no_such_flow",
		"range=90d&environment=production", "range=90d&id=nobody", "outcome=open",
		"range=90d&version=harbour-4.3&channel=facebook",
		"range=90d&assistant=parcel-desk&assistant=harbour-bank&csat=SATISFIED",
	} {
		lists = append(lists, "/conversations?"+f)
		for _, days := range []int{20, 45, 80} { // deep places
			at := time.Now().AddDate(0, 0, -days).UnixMicro()
			lists = append(
				lists,
				fmt.Sprintf(
					"/conversations?%s&page=older.%d.80000000-0000-4000-8000-000000000000",
					strings.Replace(f, "range=1d", "range=90d", 1), at,
				),
			)
		}
	}
	for _, f := range []string{
		"range=90d", "range=90d&assistant=harbour-bank", "range=7d&channel=rest", "range=90d&version=harbour-4.3",
	} {
		lists = append(lists, "/turns?"+f)
	}
	return lists
}

// site serves the pages in this process and signs in.
func (b *bench) site(pool *pgxpool.Pool) (*http.Client, string, func(), error) {
	handler, stopSite := web.New(web.Config{
		Pool: pool, Log: b.log, Zone: time.UTC, URL: "http://localhost", Ingest: http.NotFoundHandler(),
	})
	server := httptest.NewServer(handler)
	stop := func() {
		server.Close()
		stopSite()
	}
	hash, err := access.HashPassword("a password of the bench")
	if err == nil {
		err = queries.AddAccount(context.WithoutCancel(b.ctx), pool, access.Account{
			ID: queries.NewID(), Email: "bench@example.org", Name: "bench", Role: "admin", PasswordHash: hash,
			CreatedAt: time.Now(),
		})
	}
	if err != nil && err != queries.ErrConflict { //nolint:errorlint // returned as it is
		stop()
		return nil, "", nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, "", nil, err
	}
	client := &http.Client{Jar: jar}
	resp, err := client.PostForm(server.URL+"/login", url.Values{
		"email": {"bench@example.org"}, "password": {"a password of the bench"},
	})
	if err != nil {
		return nil, "", nil, err
	}
	resp.Body.Close()
	return client, server.URL, stop, nil
}
