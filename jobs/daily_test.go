package jobs_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/demo"
	"turnwise/metric"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

// TestDaily: the plain columns of days are the figures of pages, to the last digit; those of frozen days stay, and come
// for days that were frozen before there were any.
func TestDaily(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	ctx := t.Context()
	berlin := zone(t, "Europe/Berlin")
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	g := figures.NewGrid(berlin)
	generate(t, pool, demo.Options{Conversations: 400, Days: 20, Until: now.Add(-3 * time.Hour), Seed: 5})
	rollUp(t, pool, g, now)
	type daily struct {
		Day                                                         time.Time
		Assistant, Environment, Channel, Version                    string
		Conversations, Engaged, Resolved, Durable, Rated, Satisfied int64
		Responses                                                   int64
		P50, P95, P99, Mean                                         *float64
		FirstAt, LastAt                                             *time.Time
	}
	read := func() []daily {
		t.Helper()
		rows, _ := pool.Query(ctx, `
select d.day, a.name as assistant, coalesce(e.name, '') as environment, coalesce(h.name, '') as channel, coalesce(nullif(v.model_name, ''), v.model_id, '') as version,
	d.conversations, d.engaged, d.resolved, d.durable, d.rated, d.satisfied, d.responses, d.response_p50_ms as p50, d.response_p95_ms as p95, d.response_p99_ms as p99, d.response_mean_ms as mean, d.first_at, d.last_at
from daily_figures d
join assistants a on a.id = d.assistant_id
left join environments e on e.id = d.environment_id
left join channels h on h.id = d.channel_id
left join versions v on v.id = d.version_id
order by 1, 2, 3, 4, 5`)
		all, err := pgx.CollectRows(rows, pgx.RowToStructByName[daily])
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	same := func(what string, a *float64, ok bool, ms float64) {
		t.Helper()
		if ok != (a != nil) || ok && (*a < ms-1e-6 || *a > ms+1e-6) {
			t.Errorf("%s: %v, want %v", what, a, ms)
		}
	}
	all := read()
	if len(all) < 50 {
		t.Fatalf("%d rows", len(all))
	}
	for _, d := range all {
		from := time.Date(d.Day.Year(), d.Day.Month(), d.Day.Day(), 0, 0, 0, 0, berlin)
		f := metric.Filter{
			Range: metric.Range{From: from, Until: metric.AddDays(from, 1, berlin)}, Assistants: []string{d.Assistant},
			Environments: []string{d.Environment}, Channels: []string{d.Channel}, Versions: []string{d.Version},
		}
		for _, values := range []*[]string{&f.Environments, &f.Channels, &f.Versions} {
			if (*values)[0] == "" {
				(*values)[0] = metric.Unknown
			}
		}
		got, err := figures.Count(ctx, pool, figures.Question{
			Filter: f, Times: true, Facts: true, Ended: true, Now: now, Grid: g,
		})
		if err != nil {
			t.Fatal(err)
		}
		var sum metric.Tally
		for _, c := range got.Cells {
			sum.Merge(c.Tally)
		}
		for is, n := range map[metric.Condition]int64{
			metric.All: d.Conversations, metric.Engaged: d.Engaged, metric.Resolved: d.Resolved,
			metric.Durable: d.Durable, metric.Rated: d.Rated, metric.Satisfied: d.Satisfied,
		} {
			if sum.Count(is) != n {
				t.Errorf("%v: %d are %v, want %d", d, n, is, sum.Count(is))
			}
		}
		if d.Responses != sum.Response.N {
			t.Errorf("%v: %d responses, want %d", d, d.Responses, sum.Response.N)
		}
		for p, v := range map[float64]*float64{.5: d.P50, .95: d.P95, .99: d.P99} {
			ms, ok := sum.Response.Percentile(p)
			same("a percentile", v, ok, ms)
		}
		mean, ok := sum.Response.Mean()
		same("the mean", d.Mean, ok, mean)
		if d.FirstAt == nil || d.FirstAt.Before(from) || d.LastAt.Before(*d.FirstAt) {
			t.Errorf("first and last of %v: %v %v", d.Day, d.FirstAt, d.LastAt)
		}
	}
	flows := func() (text string) {
		t.Helper()
		if err := pool.QueryRow(
			ctx,
			`select string_agg(concat_ws(' ', day, assistant_id, flow, started, completed, missed, lost, runs, run_p50_ms, run_p95_ms), e'\n' order by day, assistant_id, flow) from daily_flow_figures`,
		).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	var differ int
	if err := pool.QueryRow(ctx, `
with facts as (
	select (c.started_at at time zone 'Europe/Berlin')::date as day, c.assistant_id, r.flow_id as flow,
		count(distinct c.id) filter (where r.starts > 0) as started, count(distinct c.id) filter (where r.status = 'completed') as completed,
		count(*) filter (where r.status = 'completed' and r.ended_at >= r.started_at) as runs
	from conversations c
	join flow_runs r on r.sender_id = c.sender_id and r.conversation_id = c.id
	where r.flow_id <> '' and r.flow_id not like 'pattern\_%'
	group by 1, 2, 3
)
select count(*) from facts f full join daily_flow_figures d using (day, assistant_id, flow) where (f.started, f.completed, f.runs) is distinct from (d.started, d.completed, d.runs)`).Scan(&differ); err != nil || differ > 0 {
		t.Errorf("%d flows of days differ from the facts: %v", differ, err)
	}
	rows, _ := pool.Query(ctx, `
select d.run_p95_ms, array_agg(extract(epoch from r.ended_at - r.started_at)::double precision * 1000)
from daily_flow_figures d
join conversations c on c.assistant_id = d.assistant_id and (c.started_at at time zone 'Europe/Berlin')::date = d.day
join flow_runs r on r.sender_id = c.sender_id and r.conversation_id = c.id and r.flow_id = d.flow and r.status = 'completed' and r.ended_at >= r.started_at
group by d.day, d.assistant_id, d.flow, d.run_p95_ms`)
	var p95 *float64
	var took []float64
	if _, err := pgx.ForEachRow(rows, []any{&p95, &took}, func() error {
		l := metric.NewLatency(took)
		ms, ok := l.Percentile(.95)
		same("p95 of runs", p95, ok, ms)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// Frozen before there were columns: what is packed is all there is.
	flowsBefore := flows()
	if _, err := pool.Exec(ctx, `
insert into final_figures (assistant_id, before) select id, timestamptz '2026-11-01' from assistants`); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`delete from conversations`, `delete from flow_runs`, `delete from daily_figures`,
		`delete from daily_flow_figures`, `update rollup_state set daily_filled = false`,
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	rollUp(t, pool, g, now)
	again := read()
	if len(again) != len(all) {
		t.Fatalf("%d rows of frozen days, want %d", len(again), len(all))
	}
	for i, d := range again {
		was := all[i]
		if d.FirstAt != nil || d.Conversations != was.Conversations || d.Durable != was.Durable ||
			(d.P95 == nil) != (was.P95 == nil) || d.P95 != nil && *d.P95 != *was.P95 {
			t.Errorf("of a frozen day %+v, want %+v", d, was)
		}
	}
	if n := len(flows()); n == 0 || len(flowsBefore) == 0 {
		t.Error("no flows of frozen days")
	}
}
