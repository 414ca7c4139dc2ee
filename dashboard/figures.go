package dashboard

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/access"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// Figures are the answer to a question, by bucket and as a whole.
type Figures struct {
	Question
	viewer  Viewer
	used    metric.Bucket
	spans   []metric.Span
	points  []metric.Tally // by span
	whole   metric.Tally
	sums    map[figures.Dimensions]*metric.Tally
	flows   metric.FlowTally
	trend   []metric.FlowTally // by span: one flow; nil where it did not run
	words   metric.IntentTally
	hours   [7]metric.HourLatency // by weekday, from Monday on
	users   metric.Users
	found   metric.MarkerTally
	cells   []figures.Cell
	before  *Figures // of the range compared with
	markers []Marker
	notes   ChartNotes
	bar     FilterBar
	took    time.Duration
	facts   bool
	links   bool       // the user may see the lists behind figures
	dropped int        // groups of a measure that are too many to be told over time
	frozen  *time.Time // conversations before may have been deleted; nil: none of the range
}

// Needs says what a page needs beside conversations.
type Needs struct {
	flows, steps, times, hours, parts, words, users, found bool
	flow                                                   string // over time
}

// Figures answers the question of an address of a page of charts.
func (v Viewer) Figures(
	ctx context.Context, path string, query url.Values, what Needs, own ...string,
) (*Figures, error) {
	q, err := v.asked(ctx, path, query, append(own, "rows")...)
	if err != nil {
		return nil, err
	}
	if q.most, err = mostRows(q.Own.Get("rows")); err != nil {
		return nil, err
	}
	return v.askFigures(ctx, q, what)
}

// asked reads the question of an address of a page of charts.
func (v Viewer) asked(ctx context.Context, path string, query url.Values, own ...string) (Question, error) {
	q, err := v.Question(ctx, path, query, true, own...)
	if err == nil && q.Filter.Range.Days == metric.MaxDays {
		err = v.sinceFirst(ctx, &q, query.Get("compare") != "")
	}
	return q, err
}

// sinceFirst has the charts of all time begin with the first conversation; unless it is asked for, nothing lies before
// to compare with.
func (v Viewer) sinceFirst(ctx context.Context, q *Question, compared bool) error {
	first, err := queries.FirstCounted(ctx, v.Pool)
	if err != nil {
		return err
	}
	q.Filter.Range = metric.Range{
		From:  metric.DayOf(first.In(v.Zone), v.Zone),
		Until: metric.AddDays(metric.DayOf(q.Now.In(v.Zone), v.Zone), 1, v.Zone),
	}
	if !q.Filter.Range.From.Before(q.Filter.Range.Until) { // a clock is ahead
		q.Filter.Range.Until = metric.AddDays(q.Filter.Range.From, 1, v.Zone)
	}
	if !compared {
		q.compare = ""
	}
	return nil
}

// tableRows is how many rows a table of a page shows before it is cut, with a link to all of them.
const tableRows = 100

// mostRows reads how many rows tables show.
func mostRows(text string) (most int, err error) {
	switch text {
	case "":
		return tableRows, nil
	case "all":
		return 0, nil
	}
	return 0, &metric.InputError{Field: "rows", Msg: "is all, or not there"}
}

// cut cuts a table that is long. What is left out is behind the link.
func cut[Row any](f *Figures, rows []Row) ([]Row, Cut) {
	if f.most == 0 || len(rows) <= f.most {
		return rows, Cut{}
	}
	q := f.Question
	q.Own = maps.Clone(q.Own)
	q.Own.Set("rows", "all")
	return rows[:f.most], Cut{Shown: f.most, Rows: len(rows), All: q.Address()}
}

// LongRange is from how many days on charts are dear.
const LongRange = 400

// askFigures answers a question for a page of charts.
func (v Viewer) askFigures(of context.Context, q Question, what Needs) (*Figures, error) {
	f := &Figures{Question: q, viewer: v, links: v.Rights[access.SeeTranscripts]}
	var choices queries.Choices
	var releases []queries.Release
	var notes []queries.ChartNote
	var changed []queries.SuccessCriteria
	user := v.User
	from, until := q.Filter.Range.Bounds(q.Now, q.Zone)
	f.used = q.Bucket.In(from, until)
	db, err := v.Shown(of)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(of)
	if until.Sub(from) > LongRange*24*time.Hour {
		g.SetLimit(1) // one thing after another: others ask too
	}
	g.Go(func() error { return f.count(ctx, what) })
	if q.compare != "" {
		f.before = f.compared()
		g.Go(func() error { return f.before.count(ctx, what.beside()) })
	}
	g.Go(func() (err error) {
		choices, err = v.Choices(ctx)
		return err
	})
	g.Go(func() (err error) {
		f.frozen, err = queries.FrozenBefore(ctx, v.Pool, q.Filter, q.Now, q.Zone)
		return err
	})
	g.Go(func() (err error) {
		releases, err = queries.Releases(ctx, v.Pool, from, until)
		return err
	})
	g.Go(func() (err error) {
		changed, err = queries.CriteriaActivated(ctx, v.Pool, from, until)
		return err
	})
	g.Go(func() (err error) {
		notes, err = queries.ChartNotes(ctx, db, user.ID, from, until)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	f.bar = v.Bar(q, choices)
	if f.whole.Count(metric.All) == 0 {
		if f.bar.Newest, err = v.Newest(of, q); err != nil {
			return nil, err
		}
	}
	f.mark(releases)
	f.markCriteria(changed)
	f.notes.Assistants = choices.Assistants
	f.note(notes, user)
	f.bar.Notes = &f.notes
	f.offerDocument()
	return f, nil
}

// compared are the figures of the range that the question compares with, not yet counted.
func (f *Figures) compared() *Figures {
	b := &Figures{Question: f.Question, viewer: f.viewer, used: f.used}
	b.Filter.Range = f.compare.Of(f.Filter.Range, f.Now, f.Zone)
	return b
}

// beside is what is needed of figures that are set beside others.
func (n Needs) beside() Needs {
	n.steps, n.hours, n.parts, n.found, n.flow = false, false, false, false, ""
	return n
}

// markCriteria marks when success criteria changed.
func (f *Figures) markCriteria(changed []queries.SuccessCriteria) {
	for _, c := range changed {
		if f.of(c.Assistant) {
			f.markers = append(f.markers, Marker{At: f.spanOf(*c.ActivatedAt), Name: "criteria, " + c.ActivatedBy})
		}
	}
}

// offerDocument has the page offered as a document, where it is one.
func (f *Figures) offerDocument() {
	name := strings.TrimPrefix(f.Path, "/")
	if !isDocument(name) {
		return
	}
	v := f.Query()
	f.bar.Document, f.bar.DocumentQuery, f.bar.DocumentPage = "/documents/"+name+"?", v.Encode(), true
	if len(v) > 0 {
		f.bar.Document += v.Encode() + "&"
	}
}

// count asks for the figures and sorts them into buckets.
func (f *Figures) count(ctx context.Context, what Needs) error {
	from, until := f.Filter.Range.Bounds(f.Now, f.Zone)
	got, err := figures.Count(ctx, f.viewer.Pool, figures.Question{
		Filter: f.Filter, Fine: f.used == metric.ByHour, Flows: what.flows, Steps: what.steps, Flow: what.flow,
		Times: what.times, Hours: what.hours, Parts: what.parts, Intents: what.words, Users: what.users, Markers: what.found,
		Now: f.Now, Grid: f.viewer.Grid,
	})
	if err != nil {
		return err
	}
	f.spans = f.used.Spans(from, until, f.Zone)
	f.points = make([]metric.Tally, len(f.spans))
	f.sums = map[figures.Dimensions]*metric.Tally{}
	f.cells, f.flows, f.words, f.hours, f.found = got.Cells, got.Flows, got.Intents, got.Hours, got.Markers
	f.took, f.facts = got.Took, got.Facts
	for _, c := range got.Cells {
		f.points[f.spanOf(c.At)].Merge(c.Tally)
		sum := f.sums[c.Dimensions]
		if sum == nil {
			sum = new(metric.Tally)
			f.sums[c.Dimensions] = sum
		}
		sum.Merge(c.Tally)
	}
	if what.times && f.used == metric.ByHour {
		if err := f.exact(ctx, from, until); err != nil {
			return err
		}
	}
	for _, t := range f.sums {
		f.whole.Merge(t)
	}
	if what.users {
		f.users = metric.CountUsers(got.Users, f.spans, metric.WholeWeeks(from, until, f.Now, f.Zone))
	}
	f.trend = make([]metric.FlowTally, len(f.spans))
	for at, t := range got.Trend {
		i := f.spanOf(at)
		if f.trend[i] == nil {
			f.trend[i] = metric.FlowTally{}
		}
		f.trend[i].Merge(t)
	}
	return nil
}

// mostExact is how many conversations of a day that is not over are looked at for exact percentiles.
const mostExact = 5000

// exact has the percentiles of a single day that is shown by the hour exact, as they are wherever else the day is
// shown: from hours they could only be added up from classes.
func (f *Figures) exact(ctx context.Context, from, until time.Time) error {
	if !from.Equal(metric.DayOf(from, f.Zone)) || !until.Equal(metric.AddDays(from, 1, f.Zone)) {
		return nil
	}
	q := figures.Question{Filter: f.Filter, Times: true, Ended: true, Now: f.Now, Grid: f.viewer.Grid}
	if until.After(f.Now) {
		q.Facts, q.Most = true, mostExact
	}
	day, err := figures.Count(ctx, f.viewer.Pool, q)
	if errors.Is(err, figures.ErrTooMany) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range day.Cells {
		if sum := f.sums[c.Dimensions]; sum != nil && sum.Response.N == c.Tally.Response.N {
			sum.Response = c.Tally.Response
		}
	}
	return nil
}

// spanOf returns the index of the span in which a cell's start lies. A cell may begin before its range does.
func (f *Figures) spanOf(at time.Time) int {
	return max(0, sort.Search(len(f.spans), func(i int) bool { return f.spans[i].From.After(at) })-1)
}

// mark sets the markers of releases.
func (f *Figures) mark(releases []queries.Release) {
	for _, r := range releases {
		if f.of(r.Assistant) {
			f.markers = append(f.markers, Marker{At: f.spanOf(r.At), Name: r.Name})
		}
	}
}

// link returns the address of the list of those conversations of the filter that meet the condition; "" for who may
// not see it.
func (f *Figures) link(filter metric.Filter, is metric.Condition) string {
	if !f.links {
		return ""
	}
	return Address(filter.With(is))
}

// at returns the filter narrowed to a span.
func (f *Figures) at(i int) metric.Filter {
	return f.Filter.Within(f.spans[i].From.In(f.Zone), f.spans[i].Until.In(f.Zone))
}

// rate is a measure's value within a filter.
func (f *Figures) rate(t *metric.Tally, filter metric.Filter, m metric.Measure, base string) Value {
	return Rate(t.Rate(m), f.link(filter, m.Of), f.link(filter, m.Among), base)
}

// rateSeries draws a measure over time.
func (f *Figures) rateSeries(m metric.Measure, name, color, base string) Series {
	s := Series{Name: name, Color: color}
	for i := range f.points {
		v := f.rate(&f.points[i], f.at(i), m, base)
		v.Soft = m.Of == metric.Durable && f.spans[i].Until.After(f.Now.AddDate(0, 0, -metric.DurableDays))
		s.Values = append(s.Values, v)
	}
	return s
}

// percentileSeries draws a percentile of the response times over time.
func (f *Figures) percentileSeries(p float64, name, color string) Series {
	s := Series{Name: name, Color: color}
	for i := range f.points {
		s.Values = append(s.Values, f.percentile(&f.points[i].Response, f.at(i), p))
	}
	return s
}

// percentile is a percentile's value, which opens the list of the turns that took longer.
func (f *Figures) percentile(l *metric.Latency, filter metric.Filter, p float64) Value {
	ms, ok := l.Percentile(p)
	if !ok {
		return Value{None: true, Base: "turns", From: f.turns(filter, 0)}
	}
	bound, above := l.Above(ms)
	return Value{
		V: ms, Unit: Times, Link: f.turns(filter, bound), N: above, Base: "turns", Of: l.N, From: f.turns(filter, 0),
		Few: l.N < metric.FewFrom,
	}
}

// turns returns the address of the list of the turns that took longer than that; 0 means all with a response time.
func (f *Figures) turns(filter metric.Filter, slower float64) string {
	if !f.links {
		return ""
	}
	filter.ResponseOver = slower
	return listAddress("/turns", filter)
}

// ticks are the chart's places in time.
func (f *Figures) ticks() []Tick { return Ticks(f.viewer.Dates, f.spans, f.used) }

// overTime returns a chart of the range with nothing in it yet.
func (f *Figures) overTime(id, title, quiet string, kind ChartKind, unit Unit) Chart {
	return Chart{
		ID: id, Title: title, Quiet: quiet, Kind: kind, Unit: unit, X: f.ticks(), Markers: f.markers,
		First: strings.ToUpper(string(f.used)[:1]) + string(f.used)[1:],
	}
}

// when narrows the filter to an hour of a weekday; ok is false when the filter leaves that out.
func (f *Figures) when(weekday, hour int) (filter metric.Filter, ok bool) {
	filter = f.Filter
	ok = (len(filter.Weekdays) == 0 || slices.Contains(filter.Weekdays, weekday)) && (len(filter.Hours) == 0 ||
		slices.Contains(filter.Hours, hour))
	filter.Weekdays, filter.Hours = []int{weekday}, []int{hour}
	return filter, ok
}

// heat draws counts by weekday and hour.
func (f *Figures) heat(id, title, quiet string) Chart {
	var counts [7][24]int64
	for _, c := range f.cells {
		day := isoWeekday(c.At.In(f.Zone)) - 1
		for h, n := range c.Tally.Hours {
			counts[day][h] += n
		}
	}
	c := Chart{ID: id, Title: title, Quiet: quiet, Kind: Heat, Unit: Counts, First: "Hour"}
	for h := range 24 {
		c.X = append(c.X, HourTick(h))
	}
	for d := range 7 {
		s := Series{Name: weekdays[d]}
		for h := range 24 {
			filter, link := f.when(d+1, h)
			if link {
				s.Values = append(s.Values, Count(counts[d][h], f.link(filter, metric.All)))
			} else {
				s.Values = append(s.Values, Unknown())
			}
		}
		c.Series = append(c.Series, s)
	}
	return c
}

// how says how the figures came about, when that is worth a word.
func (f *Figures) how() (text string) {
	if f.facts && f.took >= 100*time.Millisecond {
		text = "This filter is counted from the conversations themselves, which took " + format.Span(f.took) + ". "
	}
	return strings.TrimSpace(text + FrozenWords(f.viewer.Dates, f.frozen, f.facts))
}

// FrozenWords says what figures of a time before which conversations may have been deleted are; "" without one.
func FrozenWords(page format.Dates, frozen *time.Time, facts bool) string {
	switch {
	case frozen == nil:
		return ""
	case facts:
		return "Conversations before " + page.Day(*frozen) +
			" may have been deleted by retention: this filter counts what is left of them."
	}
	return "Conversations before " + page.Day(*frozen) +
		" may have been deleted by retention: figures keep counting them, lists hold what is left."
}

// figurePages lists the pages to which a question can be carried.
func (f *Figures) other(path string) string {
	q := f.Question
	q.Path, q.Own = path, url.Values{}
	return q.Address()
}
