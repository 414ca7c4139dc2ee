package web

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/a-h/templ"
	"golang.org/x/sync/errgroup"

	"turnwise/access"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// figures are the answer to a question, by bucket and as a whole.
type figures struct {
	question
	page    views.Page
	used    metric.Bucket
	spans   []metric.Span
	points  []metric.Tally // by span
	whole   metric.Tally
	sums    map[queries.Dimensions]*metric.Tally
	flows   metric.FlowTally
	trend   []metric.FlowTally // by span: one flow; nil where it did not run
	words   metric.IntentTally
	hours   [7]metric.HourLatency // by weekday, from Monday on
	users   metric.Users
	cells   []queries.Cell
	before  *figures // of the range compared with
	markers []views.Marker
	notes   views.ChartNotes
	bar     views.FilterBar
	took    time.Duration
	facts   bool
	links   bool       // the user may see the lists behind figures
	frozen  *time.Time // conversations before may have been deleted; nil: none of the range
}

// counted says what a page needs beside conversations.
type counted struct {
	flows, steps, times, hours, parts, words, users bool
	flow                                            string // over time
}

// readFigures answers the question of the address for a page of charts. done tells that the answer was given: a
// better address, or what is wrong with this one.
func (s *server) readFigures(w http.ResponseWriter, r *http.Request, page views.Page, what counted, own ...string) (f *figures, done bool, err error) {
	if done, err = s.canonical(w, r); done {
		return nil, true, nil
	}
	var q question
	if err == nil {
		if q, err = s.parseQuestion(r, true, append(own, "rows")...); err == nil {
			q.most, err = mostRows(q.own.Get("rows"))
		}
	}
	var input *metric.InputError
	if errors.As(err, &input) {
		s.message(w, r, http.StatusBadRequest, views.Message{Page: page, Heading: "This filter cannot be used", Text: input.Error(), Back: templ.SafeURL(r.URL.Path), BackText: "Show the last 28 days"})
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	if q.filter.Range.Days == metric.MaxDays {
		if err := s.sinceFirst(r, &q); err != nil {
			return nil, false, err
		}
	}
	f, err = s.askFigures(r.Context(), q, page, what)
	return f, false, err
}

// sinceFirst has the charts of all time begin with the first conversation; unless it is asked for, nothing lies before to compare with.
func (s *server) sinceFirst(r *http.Request, q *question) error {
	first, err := queries.FirstCounted(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	q.filter.Range = metric.Range{From: metric.DayOf(first.In(s.Zone), s.Zone), Until: metric.AddDays(metric.DayOf(q.now.In(s.Zone), s.Zone), 1, s.Zone)}
	if !q.filter.Range.From.Before(q.filter.Range.Until) { // a clock is ahead
		q.filter.Range.Until = metric.AddDays(q.filter.Range.From, 1, s.Zone)
	}
	if r.URL.Query().Get("compare") == "" {
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
func cut[Row any](f *figures, rows []Row) ([]Row, views.Cut) {
	if f.most == 0 || len(rows) <= f.most {
		return rows, views.Cut{}
	}
	q := f.question
	q.own = maps.Clone(q.own)
	q.own.Set("rows", "all")
	return rows[:f.most], views.Cut{Shown: f.most, Rows: len(rows), All: q.address()}
}

// askFigures answers a question for a page of charts.
func (s *server) askFigures(of context.Context, q question, page views.Page, what counted) (*figures, error) {
	q.now = page.Now
	f := &figures{question: q, page: page, links: page.Rights[access.SeeTranscripts]}
	var choices queries.Choices
	var releases []queries.Release
	var notes []queries.ChartNote
	var changed []queries.SuccessCriteria
	user, _ := userOf(of)
	from, until := q.filter.Range.Bounds(q.now, q.zone)
	f.used = q.bucket.In(from, until)
	db, err := s.shown(of)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(of)
	if until.Sub(from) > longRange*24*time.Hour {
		g.SetLimit(1) // one thing after another: others ask too
	}
	g.Go(func() error { return f.count(ctx, s, what) })
	if q.compare != "" {
		f.before = &figures{question: q, used: f.used}
		f.before.filter.Range = q.compare.Of(q.filter.Range, q.now, q.zone)
		before := what // only what is set beside the figures
		before.steps, before.hours, before.parts, before.flow = false, false, false, ""
		g.Go(func() error { return f.before.count(ctx, s, before) })
	}
	g.Go(func() (err error) {
		choices, err = s.choices(ctx)
		return err
	})
	g.Go(func() (err error) {
		f.frozen, err = queries.FrozenBefore(ctx, s.Pool, q.filter, q.now, q.zone)
		return err
	})
	g.Go(func() (err error) {
		releases, err = queries.Releases(ctx, s.Pool, from, until)
		return err
	})
	g.Go(func() (err error) {
		changed, err = queries.CriteriaActivated(ctx, s.Pool, from, until)
		return err
	})
	g.Go(func() (err error) {
		notes, err = queries.ChartNotes(ctx, db, user.ID, from, until)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	f.bar = s.bar(q, page, choices)
	if f.whole.Count(metric.All) == 0 {
		if f.bar.Newest, err = s.newest(of, q, user.Assistants); err != nil {
			return nil, err
		}
	}
	f.mark(releases)
	for _, c := range changed {
		if f.of(c.Assistant) {
			f.markers = append(f.markers, views.Marker{At: f.spanOf(*c.ActivatedAt), Name: "criteria, " + c.ActivatedBy})
		}
	}
	f.notes.Assistants = choices.Assistants
	f.note(notes, user)
	f.bar.Notes = &f.notes
	if name := strings.TrimPrefix(q.path, "/"); isDocument(name) {
		v := q.query()
		f.bar.Document, f.bar.DocumentQuery, f.bar.DocumentPage = "/documents/"+name+"?", v.Encode(), true
		if len(v) > 0 {
			f.bar.Document += v.Encode() + "&"
		}
	}
	return f, nil
}

// count asks for the figures and sorts them into buckets.
func (f *figures) count(ctx context.Context, s *server, what counted) error {
	from, until := f.filter.Range.Bounds(f.now, f.zone)
	got, err := queries.CountFigures(ctx, s.Pool, queries.Question{Filter: f.filter, Fine: f.used == metric.ByHour, Flows: what.flows, Steps: what.steps, Flow: what.flow, Times: what.times, Hours: what.hours, Parts: what.parts, Words: what.words, Users: what.users, Now: f.now, Grid: s.grid})
	if err != nil {
		return err
	}
	f.spans = f.used.Spans(from, until, f.zone)
	f.points = make([]metric.Tally, len(f.spans))
	f.sums = map[queries.Dimensions]*metric.Tally{}
	f.cells, f.flows, f.words, f.hours, f.took, f.facts = got.Cells, got.Flows, got.Words, got.Hours, got.Took, got.Facts
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
		if err := f.exact(ctx, s, from, until); err != nil {
			return err
		}
	}
	for _, t := range f.sums {
		f.whole.Merge(t)
	}
	if what.users {
		f.users = metric.CountUsers(got.Users, f.spans, metric.WholeWeeks(from, until, f.now, f.zone))
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

// exact has the percentiles of a single day that is shown by the hour exact, as they are wherever else the day is shown: from hours they could only
// be added up from classes.
func (f *figures) exact(ctx context.Context, s *server, from, until time.Time) error {
	if !from.Equal(metric.DayOf(from, f.zone)) || !until.Equal(metric.AddDays(from, 1, f.zone)) {
		return nil
	}
	q := queries.Question{Filter: f.filter, Times: true, Ended: true, Now: f.now, Grid: s.grid}
	if until.After(f.now) {
		q.Facts, q.Most = true, mostExact
	}
	day, err := queries.CountFigures(ctx, s.Pool, q)
	if errors.Is(err, queries.ErrTooMany) {
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
func (f *figures) spanOf(at time.Time) int {
	return max(0, sort.Search(len(f.spans), func(i int) bool { return f.spans[i].From.After(at) })-1)
}

// mark sets the markers of releases.
func (f *figures) mark(releases []queries.Release) {
	for _, r := range releases {
		if f.of(r.Assistant) {
			f.markers = append(f.markers, views.Marker{At: f.spanOf(r.At), Name: r.Name})
		}
	}
}

// link returns the address of the list of those conversations of the filter that meet the condition; "" for who may
// not see it.
func (f *figures) link(filter metric.Filter, is metric.Condition) string {
	if !f.links {
		return ""
	}
	return address(filter.That(is))
}

// at returns the filter narrowed to a span.
func (f *figures) at(i int) metric.Filter {
	return f.filter.Within(f.spans[i].From.In(f.zone), f.spans[i].Until.In(f.zone))
}

// rate is a measure's value within a filter.
func (f *figures) rate(t *metric.Tally, filter metric.Filter, m metric.Measure, base string) views.Value {
	return views.RateValue(t.Rate(m), f.link(filter, m.Of), f.link(filter, m.Among), base)
}

// rateSeries draws a measure over time.
func (f *figures) rateSeries(m metric.Measure, name, color, base string) views.Series {
	s := views.Series{Name: name, Color: color}
	for i := range f.points {
		v := f.rate(&f.points[i], f.at(i), m, base)
		v.Soft = m.Of == metric.Durable && f.spans[i].Until.After(f.now.AddDate(0, 0, -metric.DurableDays))
		s.Values = append(s.Values, v)
	}
	return s
}

// percentileSeries draws a percentile of the response times over time.
func (f *figures) percentileSeries(p float64, name, color string) views.Series {
	s := views.Series{Name: name, Color: color}
	for i := range f.points {
		s.Values = append(s.Values, f.percentile(&f.points[i].Response, f.at(i), p))
	}
	return s
}

// percentile is a percentile's value, which opens the list of the turns that took longer.
func (f *figures) percentile(l *metric.Latency, filter metric.Filter, p float64) views.Value {
	ms, ok := l.Percentile(p)
	if !ok {
		return views.Value{None: true, Text: "–", Base: "turns", From: f.turns(filter, 0)}
	}
	bound, above := l.Above(ms)
	return views.Value{V: ms, Text: format.Millis(ms), Link: f.turns(filter, bound), N: above, Base: "turns", Of: l.N, From: f.turns(filter, 0), Few: l.N < metric.FewFrom}
}

// turns returns the address of the list of the turns that took longer than that; 0 means all with a response time.
func (f *figures) turns(filter metric.Filter, slower float64) string {
	if !f.links {
		return ""
	}
	filter.Slower = slower
	return listAddress("/turns", filter)
}

// ticks are the chart's places in time.
func (f *figures) ticks() []views.Tick { return f.page.Ticks(f.spans, f.used) }

// overTime returns a chart of the range with nothing in it yet.
func (f *figures) overTime(id, title, quiet string, kind views.ChartKind, unit views.Unit) views.Chart {
	return views.Chart{ID: id, Title: title, Quiet: quiet, Kind: kind, Unit: unit, X: f.ticks(), Markers: f.markers, First: strings.ToUpper(string(f.used)[:1]) + string(f.used)[1:]}
}

// when narrows the filter to an hour of a weekday; ok is false when the filter leaves that out.
func (f *figures) when(weekday, hour int) (filter metric.Filter, ok bool) {
	filter = f.filter
	ok = (len(filter.Weekdays) == 0 || slices.Contains(filter.Weekdays, weekday)) && (len(filter.Hours) == 0 || slices.Contains(filter.Hours, hour))
	filter.Weekdays, filter.Hours = []int{weekday}, []int{hour}
	return filter, ok
}

// heat draws counts by weekday and hour.
func (f *figures) heat(id, title, quiet string) views.Chart {
	var counts [7][24]int64
	for _, c := range f.cells {
		day := isoWeekday(c.At.In(f.zone)) - 1
		for h, n := range c.Tally.Hours {
			counts[day][h] += n
		}
	}
	c := views.Chart{ID: id, Title: title, Quiet: quiet, Kind: views.Heat, Unit: views.Counts, First: "Hour"}
	for h := range 24 {
		c.X = append(c.X, views.HourTick(h))
	}
	for d := range 7 {
		s := views.Series{Name: weekdays[d]}
		for h := range 24 {
			filter, link := f.when(d+1, h)
			if link {
				s.Values = append(s.Values, views.CountValue(counts[d][h], f.link(filter, metric.All)))
			} else {
				s.Values = append(s.Values, views.Value{None: true, Text: "–"})
			}
		}
		c.Series = append(c.Series, s)
	}
	return c
}

// how says how the figures came about, when that is worth a word.
func (f *figures) how() (text string) {
	if f.facts && f.took >= 100*time.Millisecond {
		text = "This filter is counted from the conversations themselves, which took " + format.Span(f.took) + ". "
	}
	return strings.TrimSpace(text + frozenWords(f.page, f.frozen, f.facts))
}

// frozenWords says what figures of a time before which conversations may have been deleted are; "" without one.
func frozenWords(page views.Page, frozen *time.Time, facts bool) string {
	switch {
	case frozen == nil:
		return ""
	case facts:
		return "Conversations before " + page.Day(*frozen) + " may have been deleted by retention: this filter counts what is left of them."
	}
	return "Conversations before " + page.Day(*frozen) + " may have been deleted by retention: figures keep counting them, lists hold what is left."
}

// figurePages lists the pages to which a question can be carried.
func (f *figures) other(path string) string {
	q := f.question
	q.path, q.own = path, url.Values{}
	return q.address()
}
