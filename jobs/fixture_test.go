package jobs_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

// Answers computed by hand, over the night in which the clocks of Berlin are put back.
func TestByHand(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	berlin := zone(t, "Europe/Berlin")
	day := func(d int, hour, minute int) time.Time { return time.Date(2026, 10, d, hour, minute, 0, 0, berlin) }
	var bodies []string
	add := func(sender, user string, at time.Time, typ, more string) {
		bodies = append(
			bodies,
			fmt.Sprintf(
				`{"sender_id":%q,"event":%q,"timestamp":%.6f,"metadata":{"assistant_id":"bank"}%s}`, sender, typ,
				float64(at.UnixMicro())/1e6, more,
			),
		)
	}
	says := func(sender, user string, at time.Time) {
		add(sender, user, at, "user", fmt.Sprintf(`,"text":"hello","user_id":%q,"input_channel":"web"`, user))
	}
	answers := func(sender string, at time.Time, text string) {
		add(sender, "", at, "bot", fmt.Sprintf(`,"text":%q`, text))
	}
	s := time.Second
	// Ann completes a transfer on the 20th and says to be satisfied; three days later, by another sender, she comes
	// back and leaves a question open.
	at := day(20, 10, 0)
	says("a1", "ann", at)
	add("a1", "", at.Add(s), "flow_started", `,"flow_id":"transfer"`)
	answers("a1", at.Add(2*s), "Done.")
	add("a1", "", at.Add(3*s), "flow_completed", `,"flow_id":"transfer"`)
	add("a1", "", at.Add(4*s), "slot", `,"name":"csat_score","value":"satisfied"`)
	at = day(23, 10, 0)
	says("a2", "ann", at)
	add("a2", "", at.Add(s), "flow_started", `,"flow_id":"transfer"`)
	answers("a2", at.Add(4*s), "How much?")
	add("a2", "", at.Add(5*s), "flow_cancelled", `,"flow_id":"transfer"`)
	// Bob is handed over inside the flow, and not satisfied.
	at = day(24, 23, 50)
	says("b", "bob", at)
	add("b", "", at.Add(s), "flow_started", `,"flow_id":"transfer"`)
	answers("b", at.Add(6*s), "A colleague will help.")
	add("b", "", at.Add(7*s), "action", `,"name":"action_human_handoff"`)
	add("b", "", at.Add(8*s), "slot", `,"name":"csat_score","value":"unsatisfied"`)
	// In the hour that comes twice: nobody writes the first time, Cid gets an answer the second time.
	// 02:30 both
	first, second := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC)
	answers("c0", first, "News.")
	says("c", "cid", second)
	answers("c", second.Add(s), "It is open until six.")
	// Cid comes back eight days after: that was durable. Still open.
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, berlin)
	says("c2", "cid", now.Add(-5*time.Minute))
	store := func() {
		i := 0
		feed(t, pool, func() ([]byte, bool) {
			if i == len(bodies) {
				return nil, false
			}
			i++
			return []byte(bodies[i-1]), true
		})
		bodies = nil
		if err := figures.LinkPersons(t.Context(), pool); err != nil { // as the job does a moment later
			t.Fatal(err)
		}
	}
	store()
	g := figures.NewGrid(berlin)
	check := func(what string, f metric.Filter, want map[metric.Condition]int64) *metric.Tally {
		t.Helper()
		got, err := figures.Count(t.Context(), pool, figures.Question{
			Filter: f, Flows: true, Times: true, Now: now, Grid: g,
		})
		if err != nil {
			t.Fatal(err)
		}
		var sum metric.Tally
		for _, c := range got.Cells {
			sum.Merge(c.Tally)
		}
		for is, n := range want {
			if sum.Count(is) != n {
				t.Errorf("%s: %d are %v, want %d", what, sum.Count(is), is, n)
			}
		}
		return &sum
	}
	all := metric.Filter{Range: metric.Range{From: day(1, 0, 0), Until: time.Date(2026, 12, 1, 0, 0, 0, 0, berlin)}}
	for _, rolled := range []bool{false, true} {
		if rolled {
			rollUp(t, pool, g, now)
		}
		sum := check("all", all, map[metric.Condition]int64{
			metric.All: 6, metric.Engaged: 5, metric.Ended: 4, metric.Contained: 3, metric.Confirmed: 1, metric.Assumed: 1, metric.Resolved: 2, metric.Durable: 1, metric.HandedOff: 1,
			metric.Abandoned: 1, metric.Open: 1, metric.EndedNotEngaged: 1, metric.Escalated: 1, metric.Satisfied: 1, metric.Unsatisfied: 1, metric.Rated: 2, metric.Asked: 2, metric.Judged: 0,
		})
		if r := sum.Rate(metric.DurableShare); r != (metric.Rate{Of: 1, Among: 4}) {
			t.Errorf("durable: %+v", r)
		}
		if ms, ok := sum.Response.Mean(); !ok || math.Abs(ms-3250) > 0.01 || sum.Response.N != 4 { // 2, 4, 6 and 1 s
			t.Errorf("mean %v of %d", ms, sum.Response.N)
		}
		if sum.Hours[2] != 2 || sum.Hours[10] != 2 || sum.Hours[23] != 1 {
			t.Errorf("by hour: %v", sum.Hours)
		}
		check(
			"the day of 25 hours", all.Within(day(25, 0, 0), day(26, 0, 0)),
			map[metric.Condition]int64{metric.All: 2, metric.Engaged: 1},
		)
		check(
			"the hour, first time", all.Within(first.Add(-30*time.Minute), second.Add(-30*time.Minute)),
			map[metric.Condition]int64{metric.All: 1, metric.Engaged: 0},
		)
		check(
			"the hour, second time", all.Within(second.Add(-30*time.Minute), second.Add(30*time.Minute)),
			map[metric.Condition]int64{metric.All: 1, metric.Engaged: 1},
		)
		check(
			"the day before", all.Within(day(24, 0, 0), day(25, 0, 0)),
			map[metric.Condition]int64{metric.All: 1, metric.Escalated: 1},
		)
	}
	// Cid comes back within the days after all: what was counted before must be counted again, and only that.
	at = day(31, 9, 0)
	says("c3", "cid", at)
	answers("c3", at.Add(s), "Yes, today too.")
	store()
	want := map[metric.Condition]int64{metric.All: 2, metric.Resolved: 1, metric.Durable: 0}
	check("after the return", all.Within(day(25, 0, 0), day(26, 0, 0)), want)
	rollUp(t, pool, g, now)
	check("after the return, counted", all.Within(day(25, 0, 0), day(26, 0, 0)), want)
	// Ann had been there before, as we learn late: she is new no more, whatever was counted.
	users := func(what string, from, until time.Time, want metric.Active) {
		t.Helper()
		got, err := figures.Count(t.Context(), pool, figures.Question{
			Filter: all.Within(from, until), Users: true, Now: now, Grid: g,
		})
		if err != nil {
			t.Fatal(err)
		}
		if u := metric.CountUsers(got.Users, []metric.Span{{From: from, Until: until}}, nil); u.Active != want {
			t.Errorf("%s: %+v, want %+v", what, u.Active, want)
		}
	}
	users("october, from the 20th", day(20, 0, 0), day(32, 0, 0), metric.Active{All: 3, New: 3})
	users("from the 23rd", day(23, 0, 0), day(32, 0, 0), metric.Active{All: 3, New: 2})
	at = day(18, 9, 0)
	says("a0", "ann", at)
	answers("a0", at.Add(s), "Here you are.")
	store()
	for _, what := range []string{"Ann came before", "Ann came before, counted"} {
		users(what, day(20, 0, 0), day(32, 0, 0), metric.Active{All: 3, New: 2})
		rollUp(t, pool, g, now)
	}
	bodies = append(
		bodies,
		fmt.Sprintf(
			`{"sender_id":"b","event":"slot","timestamp":%.6f,"metadata":{"assistant_id":"bank"},"name":"city","value":"Z\u00fcrich"}`,
			float64(day(24, 23, 51).UnixMicro())/1e6,
		),
	)
	store()
	for _, tt := range []struct {
		rules          metric.Criteria
		judged, succed int64
	}{
		{metric.Criteria{Included: []string{"transfer"}}, 3, 1},
		{metric.Criteria{Included: []string{"transfer"}, Started: true}, 3, 3},
		{metric.Criteria{Included: []string{"transfer"}, ReturnDays: 7}, 3, 0}, // Ann came back after three days
		{metric.Criteria{Included: []string{"transfer"}, ReturnDays: 2}, 3, 1},
		{metric.Criteria{Included: []string{"transfer", "other"}}, 3, 0},
		{metric.Criteria{Included: []string{"transfer", "other"}, Any: true}, 3, 1},
		{metric.Criteria{Included: []string{"transfer"}, Started: true, Satisfied: true}, 3, 1},
		{
			metric.Criteria{
				Included: []string{"transfer"}, Started: true, Slot: "csat_score", SlotValue: "unsatisfied",
			},
			3, 1,
		},
		{metric.Criteria{Included: []string{"transfer"}, Started: true, Slot: "city", SlotValue: "Zürich"}, 3, 1},
		{metric.Criteria{Included: []string{"other"}, Excluded: []string{"transfer"}}, 0, 0},
		{metric.Criteria{}, 0, 0},
	} {
		id, err := queries.DraftCriteria(t.Context(), pool, "bank", tt.rules, "ann", now)
		if err == nil {
			err = pgx.BeginFunc(
				t.Context(), pool,
				func(tx pgx.Tx) error { return queries.ActivateCriteria(t.Context(), tx, id, "ann", now) },
			)
		}
		if err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("%+v", tt.rules), all, map[metric.Condition]int64{
			metric.Judged: tt.judged, metric.Succeeded: tt.succed, metric.Failed: tt.judged - tt.succed,
		})
	}
}
