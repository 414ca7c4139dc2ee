package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"turnwise/access"
	"turnwise/queries"
)

// bearer adds a token to requests.
type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

// api measures the JSON API over a large database: figures against the pages of the same filters, in turns, what is
// counted from conversations, realtime, and 50 programs at once.
func (b *bench) api(conversations int) error {
	address, drop, err := b.fresh("bench_api")
	if err != nil {
		return err
	}
	defer func() { _ = drop() }() // the cluster may go too
	pool, err := queries.Open(b.ctx, address, 10)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := b.fill(pool, conversations, 5); err != nil {
		return err
	}
	if err := b.rollups(pool); err != nil {
		return err
	}
	if _, err := pool.Exec(b.ctx, "vacuum analyze"); err != nil {
		return err
	}
	viewers, err := queries.OpenForPages(b.ctx, address, 12)
	if err != nil {
		return err
	}
	defer viewers.Close()
	people, base, stop, err := b.site(viewers)
	if err != nil {
		return err
	}
	defer stop()
	token, err := queries.NewToken(b.ctx, pool, access.Token{
		Name: "bench", Role: "admin", Roles: []string{"admin", "analytics_admin", "analytics_viewer"}, CreatedAt: time.Now(),
	}, 0)
	if err != nil {
		return err
	}
	programs := &http.Client{Transport: bearer{token}}
	asked, err := b.figuresBesidePages(people, programs, base)
	if err != nil {
		return err
	}
	var live []float64
	for range 300 {
		_, ms, err := get(programs, base+"/api/v1/analytics/realtime")
		if err != nil {
			return err
		}
		live = append(live, ms)
	}
	b.percentile("realtime, p95", live, "< 10")
	return b.manyPrograms(programs, base, append(asked,
		"/api/v1/analytics/realtime", "/api/v1/analytics/usage?days=30", "/api/v1/conversations?range=90d&outcome=abandoned",
		"/api/v1/measures",
	))
}

func (b *bench) percentile(name string, times []float64, goal string) float64 {
	slices.Sort(times)
	p95 := times[len(times)*95/100]
	b.note(name, p95, "ms", goal)
	return p95
}

var apiFilters = []string{"", "&assistant=harbour-bank", "&channel=rest&channel=whatsapp", "&version=harbour-4.3"}

// figuresBesidePages asks for every measure and for the pages, with the same filters, and returns what rollups answer.
func (b *bench) figuresBesidePages(people, programs *http.Client, base string) (rolled []string, err error) {
	text, _, err := get(programs, base+"/api/v1/measures")
	if err != nil {
		return nil, err
	}
	var all struct {
		Data []struct {
			Name        string
			Groups      []string
			OnlyGrouped bool `json:"only_grouped"`
			OverTime    bool `json:"over_time"`
		}
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, err
	}
	var counted []string
	for _, m := range all.Data {
		q := url.Values{"measure": {m.Name}, "range": {"90d"}}
		if m.OnlyGrouped {
			q.Set("group", m.Groups[0])
		} else if m.OverTime {
			q.Set("bucket", "day")
		}
		at := "/api/v1/figures?" + q.Encode()
		text, _, err := get(programs, base+at)
		if err != nil {
			return nil, err
		}
		var a struct {
			From string `json:"counted_from"`
		}
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			return nil, err
		}
		if a.From == "rollups" {
			rolled = append(rolled, at)
		} else {
			counted = append(counted, at)
		}
	}
	var paths []string
	for _, f := range apiFilters {
		for _, p := range []string{"/overview", "/latency", "/csat", "/flows", "/intents", "/users"} {
			paths = append(paths, p+"?range=90d"+f)
		}
		for _, at := range rolled {
			paths = append(paths, at+f)
		}
	}
	var pages, figures []float64
	slowest := map[string]float64{}
	for range 4 {
		rand.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
		for _, p := range paths {
			client, to := people, &pages
			if p[:4] == "/api" {
				client, to = programs, &figures
			}
			_, ms, err := get(client, base+p)
			if err != nil {
				return nil, err
			}
			*to = append(*to, ms)
			slowest[p] = max(slowest[p], ms)
		}
	}
	var slow []float64
	for range 3 {
		for _, at := range counted {
			_, ms, err := get(programs, base+at)
			if err != nil {
				return nil, err
			}
			slow = append(slow, ms)
			slowest[at] = max(slowest[at], ms)
		}
	}
	page := b.percentile("pages of 90 days beside the API, p95", pages, "")
	api := b.percentile(fmt.Sprintf("figures that rollups answer, p95 (%d measures)", len(rolled)), figures, "")
	b.note("the same over the pages", api/page, "ratio", "<= 1")
	if len(slow) > 0 {
		b.note(fmt.Sprintf("figures counted from conversations, longest (%d measures)", len(counted)), slices.Max(slow), "ms", "< 20000")
	}
	if os.Getenv("TURNWISE_BENCH_SLOWEST") != "" {
		names := make([]string, 0, len(slowest))
		for p := range slowest {
			names = append(names, p)
		}
		slices.SortFunc(names, func(a, c string) int { return int(slowest[c] - slowest[a]) })
		for _, p := range names[:min(25, len(names))] {
			fmt.Printf("   %8.1f ms  %s\n", slowest[p], p)
		}
	}
	return rolled, nil
}

// manyPrograms has 50 programs ask at once for a while.
func (b *bench) manyPrograms(programs *http.Client, base string, paths []string) error {
	const clients, asks = 50, 20
	var mu sync.Mutex
	var times []float64
	failed := 0
	var g sync.WaitGroup
	begun := time.Now()
	for range clients {
		g.Go(func() {
			for range asks {
				at := time.Now()
				resp, err := programs.Get(base + paths[rand.IntN(len(paths))])
				ok := err == nil && resp.StatusCode == http.StatusOK
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				mu.Lock()
				if times = append(times, float64(time.Since(at).Microseconds())/1000); !ok || err != nil {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	g.Wait()
	b.note("50 programs at once, answers", float64(clients*asks)/time.Since(begun).Seconds(), "a second", "")
	b.percentile("50 programs at once, p95", times, "")
	b.note("50 programs at once, answers that failed", float64(failed), "of 1000", "0")
	return nil
}
