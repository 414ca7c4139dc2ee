package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/jobs"
	"turnwise/queries/figures"
)

// rawQueries are what people ask of the events themselves, in the manner of the examples that Rasa's documentation has
// for its analytics tables: sessions, user messages and hand-offs by day, and response times.
var rawQueries = []struct{ name, sql string }{
	{"conversations, escalated and containment by day", `
select date_trunc('day', at) as day, count(*), count(*) filter (where engaged), count(*)
	filter (where engaged and escalated)
from (
	select conversation_id, min(at) as at, bool_or(type = 'user') as engaged, bool_or(type = 'action'
		and name in ('action_human_handoff', 'action_handoff_metric')) as escalated
	from events
	where at >= now() - $1 * interval '1 day'
	group by conversation_id
) as c
group by 1`},
	{"response time by day", `
select date_trunc('day', at) as day, percentile_cont(array[0.5, 0.95, 0.99]) within group (order by ms)
from (
	select at, 1000 * extract(epoch from lead(at) over (partition by sender_id, conversation_id
		order by seq) - at)::float8 as ms, type, lead(type) over (partition by sender_id, conversation_id
			order by seq) as next
	from events
	where at >= now() - $1 * interval '1 day' and type in ('user', 'bot')
) as t
where type = 'user' and next = 'bot'
group by 1`},
}

// charts measures the pages of charts over 90 days and 13 months, and returns the p95 of both.
func (b *bench) charts(pool *pgxpool.Pool, name string) (p95 [2]float64, err error) {
	client, base, stop, err := b.site(pool)
	if err != nil {
		return p95, err
	}
	defer stop()
	for i, r := range []struct {
		days int
		goal string
	}{{90, "< 50"}, {395, "< 150"}} {
		var times []float64
		slowest := map[string]float64{}
		for range 6 {
			paths := []string{}
			for _, page := range []string{
				"/overview", "/latency", "/csat", "/flows", "/flow?of=dispute_charge", "/intents", "/users", "/compare",
			} {
				for _, filter := range []string{
					"", "&assistant=harbour-bank", "&channel=rest&channel=whatsapp", "&channel.not=rest",
					"&version=harbour-4.3", "&compare=no",
				} {
					sep := "?"
					if page == "/flow?of=dispute_charge" {
						sep = "&"
					}
					paths = append(paths, fmt.Sprintf("%s%srange=%dd%s", page, sep, r.days, filter))
				}
			}
			rand.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
			for _, p := range paths {
				ms, err := b.fetch(client, base+p)
				if err != nil {
					return p95, err
				}
				times = append(times, ms)
				slowest[p] = max(slowest[p], ms)
			}
		}
		slices.Sort(times)
		p95[i] = times[len(times)*95/100]
		b.note(fmt.Sprintf("%scharts over %d days, p50", name, r.days), times[len(times)/2], "ms", "")
		b.note(fmt.Sprintf("%scharts over %d days, p95", name, r.days), p95[i], "ms", r.goal)
		if os.Getenv("TURNWISE_BENCH_SLOWEST") != "" {
			for p, ms := range slowest {
				fmt.Printf("   %8.1f ms  %s\n", ms, p)
			}
		}
	}
	return p95, nil
}

func (b *bench) fetch(client *http.Client, address string) (ms float64, err error) {
	begun := time.Now()
	resp, err := client.Get(address)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	buf := make([]byte, 64<<10)
	for {
		m, err := resp.Body.Read(buf)
		n += int64(m)
		if err != nil {
			break
		}
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", address, resp.Status)
	}
	return float64(time.Since(begun).Microseconds()) / 1000, nil
}

// raw measures the same questions asked of the events, beside the page that answers them.
func (b *bench) raw(pool *pgxpool.Pool) error {
	client, base, stop, err := b.site(pool)
	if err != nil {
		return err
	}
	defer stop()
	sum := 0.0
	for _, q := range rawQueries {
		begun := time.Now()
		if _, err := pool.Exec(b.ctx, q.sql, 395); err != nil {
			return err
		}
		ms := float64(time.Since(begun).Milliseconds())
		b.note("from raw events: "+q.name, ms, "ms", "")
		sum += ms
	}
	var times []float64
	for range 9 {
		ms, err := b.fetch(client, base+"/overview?range=395d&compare=no")
		if err != nil {
			return err
		}
		times = append(times, ms)
	}
	b.note("both queries over Overview with all its charts", sum/median(times), "ratio", ">= 100")
	return nil
}

// rollups measures counting everything again, and one day.
func (b *bench) rollups(pool *pgxpool.Pool) error {
	g := figures.NewGrid(time.UTC)
	if err := figures.PrepareRollups(b.ctx, pool, g); err != nil {
		return err
	}
	if err := figures.RebuildRollups(b.ctx, pool); err != nil {
		return err
	}
	begun := time.Now()
	if err := figures.LinkPersons(b.ctx, pool); err != nil {
		return err
	}
	b.note("finding who came again, of all that is new", time.Since(begun).Seconds(), "s", "")
	begun = time.Now()
	if err := jobs.RollUp(b.ctx, pool, g, -time.Second, time.Now); err != nil {
		return err
	}
	all := time.Since(begun).Seconds()
	b.note("counting all rollups again", all, "s", "< 60")
	var days []float64
	for i := range 9 {
		if _, err := pool.Exec(b.ctx, `insert into dirty_hours (hour, assistant_id, shard)
	select distinct date_trunc('hour', started_at, 'UTC'), assistant_id, 0 from conversations
			where started_at >= date_trunc('day', now() - $1 * interval '1 day') and started_at < date_trunc('day',
				now() - $1 * interval '1 day') + interval '1 day'`, 10+30*i); err != nil {
			return err
		}
		begun = time.Now()
		if err := jobs.RollUp(b.ctx, pool, g, -time.Second, time.Now); err != nil {
			return err
		}
		days = append(days, time.Since(begun).Seconds())
	}
	b.note("one day over all", median(days)/all, "ratio", "< 0.02")
	return nil
}
