package metric

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"turnwise/conversation"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values []float64
		p      float64
		want   float64
	}{
		{[]float64{3}, 0.95, 3}, {[]float64{4, 1}, 0.5, 2.5}, {
			[]float64{1, 2, 3, 4}, 0.95, 3.8499999999999996,
		}, {[]float64{5, 1, 3}, 1, 5}, {[]float64{5, 1, 3}, 0, 1},
	} {
		if got, ok := Percentile(tt.values, tt.p); !ok || got != tt.want {
			t.Errorf("%v at %v: got %v, want %v", tt.values, tt.p, got, tt.want)
		}
	}
	if _, ok := Percentile(nil, 0.5); ok {
		t.Error("no values have a percentile")
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 25, 23, 30, 0, 0, time.UTC) // the 26th in Berlin, a day after its 25 hours
	from, until := Range{Days: 2}.Bounds(now, zone)
	if want := time.Date(2026, 10, 25, 0, 0, 0, 0, zone); !from.Equal(want) || until.Sub(from) != 49*time.Hour {
		t.Errorf("got %v to %v", from, until)
	}
	before, end := Range{Days: 2}.Shift(-1, now, zone).Bounds(now, zone)
	if !end.Equal(from) || !before.Equal(time.Date(2026, 10, 23, 0, 0, 0, 0, zone)) {
		t.Errorf("the range before: %v to %v", before, end)
	}
}

func TestParseFilter(t *testing.T) {
	t.Parallel()
	for query, field := range map[string]string{
		"range=0d": "range", "range=28": "range", "range=99999d": "range", "from=2026-11-01": "until", "from=2026-11-02&until=2026-11-01": "until", "from=1980-01-01&until=1981-01-01": "from",
		"outcome=good": "outcome", "csat=5": "csat", "users=all": "users", "met=2026-11-02": "met", "escalated=maybe": "escalated", "id=" + strings.Repeat("x", 4200): "id", "flow=%00": "flow", "channel=%ff": "channel",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseFilter(q, time.UTC); err == nil ||
			err.(*InputError).Field != field { //nolint:errorlint,forcetypeassert // no other kind comes
			t.Errorf("%s: got %v, want an error of %s", query, err, field)
		}
	}
	full := Filter{
		Range: Range{
			From: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC),
		}, Assistants: []string{"a", "b&c"}, Environments: []string{"prod"},
		Channels: []string{"web"}, Versions: []string{"1 2"}, Outcomes: []string{"open", "escalated"}, Ratings: []string{"SATISFIED"}, Escalated: "no", ID: "x", Reasons: []string{"r"}, Is: []Condition{Resolved, Escalated}, Judged: []JudgedBy{{3, Failure}}, Turns: TurnFilter{Intent: "greet", Unsure: true, Fallback: true, Untimed: true, Flow: "f", Action: "utter_ok", Part: "prediction", Over: 1.25}, Commands: []string{"clarify"}, Path: PathFilter{Steps: []string{"a b", "c"}, Strict: true, Back: true, End: true, Minutes: 5}, CannotHandle: []string{"x"}, Weekdays: []int{1, 7}, Hours: []int{0, 23}, ResponseOver: 1.5, ResponseUpTo: Bound(7), Users: ReturningUsers, FirstSeen: Range{From: time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC), Until: time.Date(2025, 1, 9, 0, 0, 0, 0, time.UTC)},
		Not: Excluded{Assistants: []string{"n"}, Versions: []string{"v"}}, Flows: []FlowFilter{
			{Flow: "f"}, {Flow: "g h/|", How: FlowMissed}, {Flow: "a b", Stopped: "s t"}, {Flow: "a", Visited: "ü"},
		},
	}
	for _, f := range []Filter{
		full,
		{Range: Range{Days: 28}},
		{Range: Range{Days: 7}, Flows: []FlowFilter{{Flow: "ü"}}},
		{
			Range: Range{
				From: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC), Until: time.Date(2026, 1, 2, 4, 30, 0, 0, time.UTC),
			},
		},
	} {
		got, err := ParseFilter(f.Query(), time.UTC)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("written and read again: %+v, %v; want %+v", got, err, f)
		}
		if a, b := f.Encode(), f.Query().Encode(); a != b {
			t.Errorf("as text %s, want %s", a, b)
		}
	}
}

func TestConditioned(t *testing.T) {
	t.Parallel()
	f := Filter{Channels: []string{"web"}, Ratings: []string{"SATISFIED"}, Outcomes: []string{"abandoned"}}
	if got := f.Normalized(); !reflect.DeepEqual(got, Filter{
		Channels: []string{"web"}, Is: []Condition{Satisfied, Abandoned},
	}) || f.Ratings == nil {
		t.Errorf("%+v of %+v", got, f)
	}
	if f = (Filter{Ratings: []string{"SATISFIED", "UNSATISFIED"}}); !reflect.DeepEqual(f.Normalized(), f) {
		t.Errorf("%+v", f.Normalized())
	}
}

func TestCursor(t *testing.T) {
	t.Parallel()
	c := Cursor{At: 1785800010250000, ID: conversation.UUID{1, 2, 3}, Newer: true}
	if got, err := ParseCursor(c.String()); err != nil || *got != c {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, s := range []string{
		"x", "older.1", "older.x.00000000-0000-0000-0000-000000000000",
		"sideways.1.00000000-0000-0000-0000-000000000000", "older.-1.00000000-0000-0000-0000-000000000000",
	} {
		if _, err := ParseCursor(s); err == nil {
			t.Errorf("%q is read as a place", s)
		}
	}
}

// Known answers: Wilson's interval of 8 in 10; Newcombe's example of 56 in 70 against 48 in 80.
func TestIntervals(t *testing.T) {
	t.Parallel()
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 5e-5 {
			t.Errorf("%s: %.5f, want %.5f", what, got, want)
		}
	}
	low, high := Rate{8, 10}.Interval()
	near("low", low, 0.4902)
	near("high", high, 0.9433)
	if low, high = (Rate{0, 0}).Interval(); low != 0 || high != 1 {
		t.Errorf("of nothing: %v to %v", low, high)
	}
	d, ok := Rate{56, 70}.Minus(Rate{48, 80})
	if !ok || !d.Clear() {
		t.Errorf("%+v, %t", d, ok)
	}
	near("difference", d.Value, 0.2)
	near("its low", d.Low, 0.0524)
	near("its high", d.High, 0.3339)
	if _, ok := (Rate{1, 2}).Minus(Rate{}); ok {
		t.Error("there is a difference from nothing")
	}
	// The median of 1 to 100 against that of 101 to 200: by ranks 40.2 to 59.8 of 99 and the same a hundred later, so
	// 100 ± 13.86, give or take the percent of a class.
	values := make([]float64, 100)
	for i := range values {
		values[i] = float64(i + 1)
	}
	early := NewLatency(slices.Clone(values))
	for i := range values {
		values[i] += 100
	}
	late := NewLatency(values)
	if d, ok = late.Minus(&early, 0.5); !ok || d.Value != 100 || !d.Clear() || math.Abs(d.Low-86.1) > 2 ||
		math.Abs(d.High-113.9) > 2 {
		t.Errorf("of medians: %+v, %t", d, ok)
	}
	if d, _ = early.Minus(&early, 0.5); d.Clear() {
		t.Errorf("of the same: %+v", d)
	}
	if _, ok = early.Minus(new(Latency), 0.5); ok {
		t.Error("there is a difference from no values")
	}
	// Better on each channel, worse in all, as the mix differs.
	a, b := map[string]Rate{
		"web": {90, 100}, "phone": {300, 900},
	}, map[string]Rate{"web": {760, 900}, "phone": {25, 100}}
	if d, _ := (Rate{390, 1000}).Minus(Rate{785, 1000}); !d.Clear() || d.Value > 0 {
		t.Errorf("in all: %+v", d)
	}
	adjusted, covered, ok := Adjusted(a, b)
	if !ok || covered != 1 || adjusted.Value <= 0 {
		t.Errorf("adjusted: %+v, %v, %t", adjusted, covered, ok)
	}
	near("adjusted", adjusted.Value, 0.5*(0.9-760.0/900)+0.5*(300.0/900-0.25))
	if _, covered, ok := Adjusted(map[string]Rate{"a": {1, 2}}, map[string]Rate{"b": {1, 2}}); ok || covered != 0 {
		t.Error("nothing in common can be compared")
	}
}

// What comes into a node goes out of it, and a strict funnel is the path.
func TestPaths(t *testing.T) {
	t.Parallel()
	way := func(flows string) (starts []Start) {
		for i, f := range strings.Fields(flows) {
			starts = append(starts, Start{f, float64(60 * i)})
		}
		return starts
	}
	all := [][]Start{way("a b c"), way("a a b"), way("x a c b"), way("a"), way("b a b c d"), way("c")}
	edges, begun := Paths(all, "a", false, 3)
	if begun != 5 {
		t.Errorf("%d begun", begun)
	}
	in, out := map[string]int64{"a": begun}, map[string]int64{}
	for _, e := range edges {
		to, from := strings.Join(e.Path, " "), strings.Join(e.Path[:len(e.Path)-1], " ")
		if e.End {
			out[to] += e.N
			continue
		}
		in[to] += e.N
		out[from] += e.N
		n := int64(0)
		for _, starts := range all {
			if (PathFilter{Steps: e.Path, Strict: true}).Reached(starts) == len(e.Path) {
				n++
			}
		}
		if n != e.N {
			t.Errorf("path %s: %d, strict funnel %d", to, e.N, n)
		}
	}
	for node, n := range in {
		if strings.Count(node, " ") < 3 && out[node] != n {
			t.Errorf("%q: %d in, %d out", node, n, out[node])
		}
	}
	for _, tt := range []struct {
		p    PathFilter
		way  string
		want int
	}{
		{PathFilter{Steps: []string{"a", "b"}}, "a c b", 2},
		{PathFilter{Steps: []string{"a", "b"}, Strict: true}, "a c b", 1},
		{PathFilter{Steps: []string{"a", "b"}, Strict: true}, "a a b", 2},
		{PathFilter{Steps: []string{"a", "b", "c"}}, "b a c b", 2},
		{PathFilter{Steps: []string{"a", "a"}}, "a b a", 2},
		{PathFilter{Steps: []string{"a", "b"}, Minutes: 1}, "a c b", 1},
		{PathFilter{Steps: []string{"a", "b"}, Minutes: 2}, "a c b", 2},
		{PathFilter{Steps: []string{"z"}}, "a", 0},
	} {
		if got := tt.p.Reached(way(tt.way)); got != tt.want {
			t.Errorf("%s on %s: %d, want %d", tt.p.Words(), tt.way, got, tt.want)
		}
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	l := NewLatency([]float64{math.Inf(1), -5, 0, 1, 1.5, 100, 101, 1e9})
	if bound, n := l.Above(100); n != 3 || bound < 100 || bound > 101 {
		t.Errorf("%d above %v", n, bound)
	}
	if n := l.Within(0, 1e13); n != 8 {
		t.Errorf("%d within all", n)
	}
	values := make([]float64, 5000)
	for i := range values {
		values[i] = math.Exp(float64(i)/500) * 3
	}
	var merged, packed Latency
	for i := 0; i < len(values); i += 50 {
		part := NewLatency(append([]float64(nil), values[i:i+50]...))
		merged.Merge(&part)
	}
	packed.read(&reader{b: merged.append(nil)})
	for _, p := range []float64{0, 0.5, 0.95, 0.99, 1} {
		want, _ := Percentile(values, p)
		a, _ := merged.Percentile(p)
		b, _ := packed.Percentile(p)
		if math.Abs(a-want) > 0.01*want || a != b {
			t.Errorf("p%v: %v, packed %v, want %v", p, a, b, want)
		}
	}
}

// Days that begin at one, as clocks are put forward at midnight, are compared whole.
func TestCompare(t *testing.T) {
	t.Parallel()
	santiago, err := time.LoadLocation("America/Santiago")
	if err != nil {
		t.Fatal(err)
	}
	day := func(m time.Month, d int) time.Time { return Midnight(2026, m, d, santiago) }
	now := day(12, 1)
	if got, want := WithPrevious.Of(
		Range{From: day(9, 6), Until: day(9, 13)}, now, santiago,
	), (Range{From: day(8, 30), Until: day(9, 6)}); !got.From.Equal(want.From) || !got.Until.Equal(want.Until) {
		t.Errorf("%v to %v, want %v to %v", got.From, got.Until, want.From, want.Until)
	}
	if h := day(9, 6).Hour(); h != 1 {
		t.Errorf("6 September begins at %d", h)
	}
	now = day(11, 20).Add(15*time.Hour + 30*time.Minute)
	for c, want := range map[Compare][2]time.Time{
		WithPrevious: {
			day(11, 6), day(11, 13).Add(15*time.Hour + 30*time.Minute),
		}, WithWeekdays: {day(11, 7), day(11, 13).Add(15*time.Hour + 30*time.Minute)},
	} {
		if got := c.Of(
			Range{Days: 7}, now, santiago,
		); c == WithWeekdays && !got.Until.Equal(want[1]) || c == WithPrevious && (!got.Until.Equal(want[1]) ||
			!got.From.Equal(day(11, 7))) {
			t.Errorf("%s: %v to %v", c, got.From, got.Until)
		}
	}
}

func TestTyped(t *testing.T) {
	t.Parallel()
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	for text, want := range map[string]Range{
		"today": {Days: 1}, " 14 Days ": {Days: 14}, "3w": {Days: 21}, "last 2 months": {Days: 60}, "yesterday": {Moving: Yesterday},
		"last week": {Moving: LastWeek}, "This  Month": {Moving: ThisMonth}, "last month": {Moving: LastMonth},
		"2026-02": {From: day(2026, 2, 1), Until: day(2026, 3, 1)}, "oct 2026": {
			From: day(2026, 10, 1), Until: day(2026, 11, 1),
		}, "2025": {From: day(2025, 1, 1), Until: day(2026, 1, 1)},
		"2026-10-05..2026-10-12": {
			From: day(2026, 10, 5), Until: day(2026, 10, 13),
		}, "2026-09 to 2026-10": {
			From: day(2026, 9, 1), Until: day(2026, 11, 1),
		}, "1 Feb 2026": {From: day(2026, 2, 1), Until: day(2026, 2, 2)},
	} {
		if got, err := ParseTyped(text, time.UTC); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "gestern", "0 days", "2026-10-12..2026-10-05", "99999d", "1812"} {
		if got, err := ParseTyped(text, time.UTC); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

// Ann comes in the first week, in the same bucket twice, and in the third; Bob was there before the range; Cid only
// looks in the second week and writes in the third.
func TestUsers(t *testing.T) {
	at := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) } // the 2nd is a Monday
	visit := func(person int64, first time.Time, wrote bool) Visit {
		return Visit{Person: person, First: first.Add(10 * time.Hour).Unix(), Wrote: wrote}
	}
	days := []VisitsAt{
		{At: at(17), Visits: Visits{visit(1, at(2), true), visit(3, at(10), true)}},
		{At: at(2), Visits: Visits{visit(1, at(2), true), visit(2, at(1).AddDate(-1, 0, 0), true)}},
		{At: at(3), Visits: Visits{visit(1, at(2), true)}},
		{At: at(10), Visits: Visits{visit(3, at(10), false)}},
	}
	for i := range days {
		b := days[i].Pack(days[i].At)
		got, err := Visits(nil).AppendPacked(b, days[i].At)
		if err != nil || !slices.Equal(got, days[i].Visits) {
			t.Errorf("%v is unpacked as %v, %v", days[i].Visits, got, err)
		}
		for n := range b {
			// nothing but the form is a packing of nobody
			if _, err := Visits(nil).AppendPacked(b[:n], days[i].At); err == nil && n != 1 {
				t.Errorf("%d of %d bytes are read without an error", n, len(b))
			}
		}
	}
	weeks := WholeWeeks(at(2), at(25), at(24), time.UTC)
	got := CountUsers(days, ByWeek.Spans(at(2), at(25), time.UTC), weeks)
	want := Users{
		Active: Active{All: 3, New: 2},
		Spans:  []Active{{All: 2, New: 1}, {}, {All: 2}, {}},
		Cohorts: []Cohort{
			{
				Week: weeks[0], Size: 1, Active: []int64{1, 0, 1},
			}, {Week: weeks[1], Size: 1, Active: []int64{0, 1}}, {Week: weeks[2], Active: []int64{0}},
		},
	}
	if !reflect.DeepEqual(got, want) || len(weeks) != 3 {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

// Counting many people is counting them as sets.
func TestManyUsers(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	from, until := time.Date(2026, 9, 9, 0, 0, 0, 0, berlin), time.Date(2026, 11, 20, 0, 0, 0, 0, berlin)
	people := make([]Visit, 1000)
	for i := range people {
		people[i].Person, people[i].First = r.Int64(), from.Add(time.Duration(r.IntN(100*24)-20*24)*time.Hour).Unix()
		if i%2 == 0 { // numbers that follow each other, and the least
			people[i].Person = int64(i/2) - 250
		}
	}
	var days []VisitsAt
	for at := from; at.Before(until); at = AddDays(at, 1, berlin) {
		for range 2 { // assistants
			of := VisitsAt{At: at}
			for range r.IntN(80) {
				v := people[r.IntN(len(people))]
				if v.Wrote = r.IntN(3) > 0; v.First < AddDays(at, 1, berlin).Unix() {
					of.Visits = append(of.Visits, v)
				}
			}
			days = append(days, of)
		}
	}
	spans, weeks := ByWeek.Spans(from, until, berlin), WholeWeeks(from, until, until, berlin)
	in := func(s Span, at time.Time) bool { return !at.Before(s.From) && at.Before(s.Until) }
	want := Users{Spans: make([]Active, len(spans)), Cohorts: make([]Cohort, len(weeks))}
	for i, w := range weeks {
		want.Cohorts[i] = Cohort{Week: w, Active: make([]int64, len(weeks)-i)}
	}
	seen := map[string]bool{}
	once := func(person int64, set string, n int) bool {
		key := fmt.Sprint(person, set, n)
		defer func() { seen[key] = true }()
		return !seen[key]
	}
	for _, d := range days {
		for _, v := range d.Visits {
			first := time.Unix(v.First, 0)
			if v.Wrote && once(v.Person, "all", 0) {
				want.add(!first.Before(from))
			}
			for i, s := range spans {
				if v.Wrote && in(s, d.At) && once(v.Person, "span", i) {
					want.Spans[i].add(!first.Before(s.From))
				}
			}
			for i, w := range weeks {
				if !in(w, first) {
					continue
				}
				if once(v.Person, "met", i) {
					want.Cohorts[i].Size++
				}
				for j, later := range weeks[i:] {
					if v.Wrote && in(later, d.At) && once(v.Person, "week", i+j) {
						want.Cohorts[i].Active[j]++
					}
				}
			}
		}
	}
	r.Shuffle(len(days), func(i, j int) { days[i], days[j] = days[j], days[i] })
	if got := CountUsers(days, spans, weeks); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

// A range that somebody types beside a search is that range, also when it is the usual one.
func TestTypedBesideSearch(t *testing.T) {
	t.Parallel()
	q, _ := url.ParseQuery("q=refund&typed=28+days")
	out, typed, err := Canonical(q, time.Date(2026, 10, 27, 9, 0, 0, 0, time.UTC), time.UTC)
	if err != nil || !typed {
		t.Fatal(out, typed, err)
	}
	f, err := ParseFilter(out, time.UTC)
	if err != nil || f.Range.Days != 28 || f.Text != "refund" {
		t.Errorf("%s is read as %+v, %v", out.Encode(), f.Range, err)
	}
	again, err := url.ParseQuery(f.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if g, err := ParseFilter(again, time.UTC); err != nil || g.Encode() != f.Encode() || g.Range != f.Range {
		t.Errorf("%s becomes %s, %v", f.Encode(), g.Encode(), err)
	}
	if f, _ := ParseFilter(url.Values{"q": {"refund"}}, time.UTC); f.Range.Days != MaxDays || f.Encode() != "q=refund" {
		t.Errorf("a search without a range: %s", f.Encode())
	}
}

// TestWeeksBegin is not parallel: the day holds for the whole process.
func TestWeeksBegin(t *testing.T) {
	defer WeeksBegin(time.Monday)
	sunday := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	for day, want := range map[time.Weekday]int{time.Monday: 16, time.Sunday: 22, time.Saturday: 21} {
		WeeksBegin(day)
		if got := ByWeek.Start(sunday, time.UTC); got.Day() != want || got.Hour() != 0 {
			t.Errorf("weeks that begin on %s: the week of Sunday 22 begins on %s", day, got)
		}
	}
}
