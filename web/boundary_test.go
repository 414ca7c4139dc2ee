package web_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

// TestBoundaries: a conversation at midnight belongs to the day that begins then, and one exactly at a range's end to
// none that ends there; for figures, read from facts and from sums of days, lists, files and pages alike, on days of
// 23, 24 and 25 hours too.
func TestBoundaries(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 30, 12, 0, 0, 0, berlin)
	days := []time.Time{
		time.Date(2026, 3, 29, 0, 0, 0, 0, berlin), time.Date(2026, 10, 20, 0, 0, 0, 0, berlin),
		time.Date(2026, 10, 25, 0, 0, 0, 0, berlin),
	}
	var bodies []string
	talk := func(at time.Time) {
		for i, event := range []string{"user", "bot"} {
			bodies = append(
				bodies,
				fmt.Sprintf(
					`{"sender_id":"s%d","event":%q,"text":"Hello.","timestamp":%.6f,"metadata":{"assistant_id":"shop"}}`,
					at.UnixMicro(), event, float64(at.UnixMicro())/1e6+float64(i),
				),
			)
		}
	}
	for _, day := range days {
		for _, midnight := range []time.Time{day, metric.AddDays(day, 1, berlin)} {
			talk(midnight.Add(-time.Microsecond))
			talk(midnight)
			talk(midnight.Add(time.Microsecond))
		}
	}
	at := time.Date(2026, 10, 22, 13, 30, 0, 0, berlin) // inside a day
	for _, edge := range []time.Time{at, at.Add(time.Hour)} {
		talk(edge.Add(-time.Microsecond))
		talk(edge)
	}
	feed(t, pool, func() ([]byte, bool) {
		if len(bodies) == 0 {
			return nil, false
		}
		b := bodies[0]
		bodies = bodies[1:]
		return []byte(b), true
	})
	c, base := exportSite(t, pool, berlin, now)
	count := func(f metric.Filter) {
		t.Helper()
		const want = 3 // at the start, after it, and before the end
		query := f.Encode()
		list, err := queries.Conversations(t.Context(), queries.Clear(pool), f, nil, false, 50, now, berlin)
		if err != nil || len(list) != want {
			t.Errorf("%s: listed %d, %v", query, len(list), err)
		}
		from, until := f.Range.Bounds(now, berlin)
		for _, x := range list {
			if x.StartedAt.Before(from) || !x.StartedAt.Before(until) {
				t.Errorf("%s: lists one of %s", query, x.StartedAt)
			}
		}
		if n, err := queries.CountConversations(t.Context(), pool, f, 100, now, berlin); err != nil || n != want {
			t.Errorf("%s: counted %d, %v", query, n, err)
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
		if n, turns := sum.Count(metric.All), sum.Response.Within(0, 1e12); n != want || turns != want {
			t.Errorf("%s: the figures are of %d conversations and %d turns", query, n, turns)
		}
		for _, grain := range []string{"conversation", "turn"} {
			_, rows := readCSV(
				t, fetch(t, c, pool, base, berlin, url.Values{"query": {query}, "grain": {grain}, "format": {"csv"}}),
			)
			if len(rows) != want {
				t.Errorf("%s: a file of %d rows, by %s", query, len(rows), grain)
			}
		}
		_, page, _ := get(t, c, "GET", base+"/conversations?"+query)
		if n := strings.Count(page, "<tr data-row"); n != want {
			t.Errorf("%s: a page of %d rows", query, n)
		}
		_, page, _ = get(t, c, "GET", base+"/overview?"+query)
		if got := figuresOf(page); len(got) == 0 || !strings.HasPrefix(got[0], "3/") {
			t.Errorf("%s: the overview shows %v", query, got)
		}
	}
	all := func() {
		t.Helper()
		for _, day := range days {
			count(metric.Filter{Range: metric.Range{From: day, Until: metric.AddDays(day, 1, berlin)}})
		}
	}
	all()
	half := metric.Filter{Range: metric.Range{From: at, Until: at.Add(time.Hour)}}
	if list, err := queries.Conversations(
		t.Context(), queries.Clear(pool), half, nil, false, 50, now, berlin,
	); err != nil || len(list) != 2 {
		t.Errorf("%s: listed %d, %v", half.Encode(), len(list), err)
	}
	if err := jobs.RollUp(
		t.Context(), pool, figures.NewGrid(berlin), -time.Second, func() time.Time { return now },
	); err != nil {
		t.Fatal(err)
	}
	all()
}
