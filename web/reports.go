package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
	"turnwise/views"
)

// reports answers GET /review/reports.
func (s *server) reports(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Review reports", "Review")
	if done, err := s.canonical(w, r); done || err != nil {
		return err
	}
	q, err := s.parseQuestion(r, true)
	if err != nil {
		return err
	}
	m, err := s.reportsModel(r.Context(), q, page)
	if err != nil {
		return err
	}
	m.Bar.Document = "/review/reports/file?"
	if v := q.query(); len(v) > 0 {
		m.Bar.Document += v.Encode() + "&"
	}
	return s.renderEither(w, r, views.ReportsPage(m), views.ReportsView(m))
}

// reportsFile answers GET /review/reports/file: the page as a file.
func (s *server) reportsFile(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Review reports", "Review")
	at := *r
	at.URL = &url.URL{Path: "/review/reports", RawQuery: r.URL.RawQuery}
	q, err := s.parseQuestion(&at, true)
	if err != nil {
		return err
	}
	m, err := s.reportsModel(r.Context(), q, page)
	if err != nil {
		return err
	}
	criteria, err := report.CriteriaWords(r.Context(), s.Pool, q.filter)
	if err != nil {
		return err
	}
	d := report.Document{Head: report.NewHead("Review reports", report.FilterWords(q.filter), criteria, page.Name, q.filter, page.Now, s.Zone), Name: "review-reports", Link: s.URL + q.address(), Empty: m.All.All.N == 0}
	words, dates := rangeWords(q, page)
	d.Range = joinRange(words, dates)
	d.Cards = m.Cards()
	if m.AnyTags {
		d.Charts = []views.Chart{m.Tags}
	}
	for _, t := range m.Tables {
		b := views.Breakdown{Title: "Coverage by " + t.Name, Head: []string{"Coverage", "Reviewed", "In part", "All"}}
		for _, x := range t.Rows {
			b.Rows = append(b.Rows, views.BreakdownRow{Name: x.Name, Values: []views.Value{x.Rate, x.Reviewed, x.Partial, x.All}})
		}
		d.Tables = append(d.Tables, b)
	}
	people := views.Breakdown{Title: "Reviewers", Head: []string{"Reviewed", "Mean rating", "Median time"}}
	for _, p := range m.Reviewers {
		rating, took := views.Value{None: true}, views.Value{None: true}
		if p.Rating != nil {
			rating = views.Value{V: *p.Rating, Text: format.Decimal(*p.Rating, 2), N: p.Rated}
		}
		if p.MedianS != nil {
			took = views.Value{V: *p.MedianS * 1000, Text: format.Millis(*p.MedianS * 1000), N: p.Timed, Base: "timed"}
		}
		people.Rows = append(people.Rows, views.BreakdownRow{Name: p.Name, Values: []views.Value{p.Reviewed, rating, took}})
	}
	d.Tables = append(d.Tables, people)
	return s.attachDocument(w, r, &d)
}

// reportsModel is what reviewers did to the conversations of a question.
func (s *server) reportsModel(ctx context.Context, q question, page views.Page) (m views.ReportsModel, err error) {
	f := q.filter
	m.Page = page
	choices, err := s.choices(ctx)
	if err != nil {
		return m, err
	}
	frozen, err := queries.FrozenBefore(ctx, s.Pool, f, page.Now, s.Zone)
	if err != nil {
		return m, err
	}
	m.How = frozenWords(page, frozen, !f.Plain())
	m.Bar = s.bar(q, page, choices)
	m.Bar.Compares = nil
	states := func(f metric.Filter, state string) string {
		if len(f.Work.States) > 0 && !slices.Contains(f.Work.States, state) {
			return "" // there are none
		}
		f.Work.States = []string{state}
		return address(f)
	}
	row := func(c queries.Coverage, f metric.Filter) views.CoverageRow {
		return views.CoverageRow{
			Name: c.Name, All: views.CountValue(c.All, address(f)), Partial: views.CountValue(c.Partial, states(f, metric.PartiallyReviewed)),
			Rate: views.RateValue(metric.Rate{Of: c.Reviewed, Among: c.All}, states(f, metric.Reviewed), address(f), "conversations"), Reviewed: views.CountValue(c.Reviewed, states(f, metric.Reviewed)),
		}
	}
	for _, by := range []string{"", "assistant", "channel", "outcome"} {
		all, err := queries.CoverageOf(ctx, s.Pool, f, by, page.Now, s.Zone)
		if err != nil {
			return m, err
		}
		if by == "" && len(all) > 0 {
			m.All = row(all[0], f)
		}
		if by == "" || len(all) == 0 {
			continue
		}
		t := views.CoverageTable{Name: by}
		for _, c := range all {
			to := f
			switch name := c.Name; {
			case by == "assistant":
				to.Assistants = []string{name}
			case by == "channel" && name == "":
				to.Channels, c.Name = []string{metric.NotTold}, metric.NotTold
			case by == "channel":
				to.Channels = []string{name}
			default:
				to.Outcomes, c.Name = []string{name}, format.OutcomeName(name)
			}
			t.Rows = append(t.Rows, row(c, to))
		}
		m.Tables = append(m.Tables, t)
	}
	people, err := queries.ReviewersOf(ctx, s.Pool, f, page.Now, s.Zone)
	if err != nil {
		return m, err
	}
	for _, p := range people {
		to, link := f, ""
		if id := p.UserID.String(); len(f.Work.Reviewers) == 0 || slices.Equal(f.Work.Reviewers, []string{id}) { // a filter holds one or another, not both
			to.Work.Reviewers = []string{id}
			link = address(to)
		}
		m.Reviewers = append(m.Reviewers, views.ReviewerReport{Name: p.Name, Reviewed: views.CountValue(p.Reviewed, link), Rating: p.Rating, Rated: p.Rated, MedianS: p.MedianS, Timed: p.Timed})
	}
	return m, s.tagReport(ctx, q, &m)
}

// tagReport adds the tags over time.
func (s *server) tagReport(ctx context.Context, q question, m *views.ReportsModel) error {
	from, until := q.filter.Range.Bounds(m.Now, s.Zone)
	used := q.bucket.In(from, until)
	spans := used.Spans(from, until, s.Zone)
	starts := make([]time.Time, len(spans))
	for i, x := range spans {
		starts[i] = x.From
	}
	tags, err := queries.TagsOverTime(ctx, s.Pool, q.filter, starts, m.Now, s.Zone)
	if err != nil {
		return err
	}
	c := views.Chart{ID: "tags", Title: "Tags", Quiet: "conversations that have a tag, by their start", Kind: views.Stacked, Unit: views.Counts, X: m.Ticks(spans, used), First: "Start", Wide: true}
	for i, t := range tags {
		color := "--c-other"
		if i < 6 {
			color = "--c-" + strconv.Itoa(i+1)
		}
		link := func(f metric.Filter) string {
			if len(f.Work.Tags) > 0 && !slices.Equal(f.Work.Tags, []string{t.Name}) {
				return "" // a filter holds one or another, not both
			}
			f.Work.Tags = []string{t.Name}
			return address(f)
		}
		series := views.Series{Name: t.Name, Color: color, Link: link(q.filter), N: t.Sum}
		for k, n := range t.Spans {
			series.Values = append(series.Values, views.CountValue(n, link(q.filter.Within(spans[k].From.In(s.Zone), spans[k].Until.In(s.Zone)))))
		}
		c.Series = append(c.Series, series)
	}
	m.Tags, m.AnyTags = c, len(tags) > 0
	return nil
}
