package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/jobs"
	"turnwise/queries"
)

// search fills a database, indexes its words, and measures searches and reviewing.
func (b *bench) search(conversations int) error {
	u, drop, err := b.fresh("bench_search")
	if err != nil {
		return err
	}
	defer func() { _ = drop() }() // the cluster may go too
	pool, err := queries.Open(b.ctx, u, 10)
	if err != nil {
		return err
	}
	defer pool.Close()
	viewers, err := queries.OpenForPages(b.ctx, u, 10)
	if err != nil {
		return err
	}
	defer viewers.Close()
	begun := time.Now()
	before, err := b.cpu()
	if err != nil {
		return err
	}
	counts, err := b.fill(pool, conversations, 1000)
	if err != nil {
		return err
	}
	filled, err := b.cpu()
	if err != nil {
		return err
	}
	b.note("filling", float64(counts.Stored)/time.Since(begun).Seconds(), "events/s", "")
	begun = time.Now()
	if err := jobs.IndexTexts(b.ctx, pool); err != nil {
		return err
	}
	indexed, err := b.cpu()
	if err != nil {
		return err
	}
	b.note("indexing", float64(conversations)/time.Since(begun).Seconds(), "conv/s", "")
	ingest, index := filled.since(before), indexed.since(filled)
	b.note(
		"CPU of indexing over that of ingest", (index.program+index.database)/(ingest.program+ingest.database), "ratio",
		"< 0.20",
	)
	if err := b.rollups(pool); err != nil {
		return err
	}
	if _, err := pool.Exec(b.ctx, "vacuum analyze"); err != nil {
		return err
	}
	return b.searches(viewers)
}

// searchGroups are searches, and what is wanted of them.
var searchGroups = []struct {
	name, goal string
	queries    []string
}{
	{
		"search, rare words", "< 50",
		[]string{"ersatzteil", "wombat", "mortgage specialist", "4471", "kein warmes wasser"},
	},
	{"search, medium words", "< 50", []string{"neighbour", "balance", "Wasserhahn", "block card", "مرحبا"}},
	{"search, common words", "< 50", []string{"the", "card", "parcel", "is", "please card", "荷物"}},
	{
		"search, phrases", "< 50",
		[]string{`"block my card"`, `"where is my parcel"`, `"is there anything else"`, `"the last four digits"`},
	},
	{
		"search, beginnings, exclusion, mistyped", "< 50",
		[]string{"transf*", "parcel -broken", "parcle", "mortgge", "card OR parcel"},
	},
	{
		"search within filters", "< 100",
		[]string{
			"card&range=28d&csat=UNSATISFIED", "parcel&range=90d&channel=telegram",
			"the&range=7d&outcome=abandoned", "balance&review=unreviewed&range=28d", "is&escalated=yes&range=365d",
			"card&flow=block_card&version=harbour-4.3",
		},
	},
}

// searches asks for rare, medium and common words, phrases and combinations, and reviews.
func (b *bench) searches(pool *pgxpool.Pool) error {
	client, base, stop, err := b.site(pool)
	if err != nil {
		return err
	}
	defer stop()
	for _, group := range searchGroups {
		var times []float64
		worst := map[string]float64{}
		for range 5 {
			for _, i := range rand.Perm(len(group.queries)) {
				text, rest, _ := strings.Cut(group.queries[i], "&")
				_, ms, err := get(client, base+"/conversations?q="+url.QueryEscape(text)+"&"+rest)
				if err != nil {
					return err
				}
				times = append(times, ms)
				worst[group.queries[i]] = max(worst[group.queries[i]], ms)
			}
		}
		slices.Sort(times)
		b.note(group.name+", p50", times[len(times)/2], "ms", "")
		b.note(group.name+", p95", times[len(times)*95/100], "ms", group.goal)
		for q, ms := range worst {
			if ms > times[len(times)*80/100] {
				fmt.Printf("   %8.1f ms  %s\n", ms, q)
			}
		}
	}
	return b.reviewing(client, base)
}

var item = regexp.MustCompile(`/conversations/([0-9a-f-]{36})\?in=([0-9a-f-]{36})`)

// reviewing measures "reviewed and next": the form, the claim of the next item, and its page.
func (b *bench) reviewing(client *http.Client, base string) error {
	begun := time.Now()
	resp, err := client.PostForm(base+"/queues", url.Values{
		"name": {fmt.Sprint("bench ", time.Now().UnixNano())}, "query": {"range=90d"}, "count": {"200"}, "seed": {"7"},
		"zone": {"UTC"},
	})
	if err != nil {
		return err
	}
	resp.Body.Close()
	b.note("making a queue of 200", float64(time.Since(begun).Milliseconds()), "ms", "")
	queue := resp.Request.URL.Path
	if resp, err = client.PostForm(base+queue+"/next", nil); err != nil {
		return err
	}
	resp.Body.Close()
	var times []float64
	for range 150 {
		m := item.FindStringSubmatch(resp.Request.URL.String())
		if m == nil {
			return fmt.Errorf("reviewing leads to %s, %s", resp.Request.URL, resp.Status)
		}
		begun := time.Now()
		if resp, err = client.PostForm(
			base+"/conversations/"+m[1]+"/review", url.Values{"in": {m[2]}, "reviewed": {"yes"}},
		); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		times = append(times, float64(time.Since(begun).Microseconds())/1000)
	}
	slices.Sort(times)
	b.note("reviewed and next, p50", times[len(times)/2], "ms", "")
	b.note("reviewed and next, p95", times[len(times)*95/100], "ms", "< 50")
	return nil
}
