package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/report"
	"turnwise/views"
)

// reports answers GET /review/reports.
func (s *server) reports(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Review reports", "Review")
	if done, err := s.canonical(w, r); done || err != nil {
		return err
	}
	q, err := s.viewer(r.Context()).Question(r.Context(), r.URL.Path, r.URL.Query(), true)
	if err != nil {
		return err
	}
	m, err := s.reportsModel(r.Context(), q, page)
	if err != nil {
		return err
	}
	m.Bar.Document = "/review/reports/file?"
	if v := q.Query(); len(v) > 0 {
		m.Bar.Document += v.Encode() + "&"
	}
	return s.renderEither(w, r, views.ReportsPage(m), views.ReportsView(m))
}

// reportsFile answers GET /review/reports/file: the page as a file.
func (s *server) reportsFile(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Review reports", "Review")
	q, err := s.viewer(r.Context()).Question(r.Context(), "/review/reports", r.URL.Query(), true)
	if err != nil {
		return err
	}
	m, err := s.reportsModel(r.Context(), q, page)
	if err != nil {
		return err
	}
	d := dashboard.Document{
		Name: "review-reports", Page: "Review reports", Filter: q.Filter,
		Range: dashboard.JoinRange(dashboard.RangeWords(q)), Address: q.Address(), Empty: m.All.All.N == 0,
	}
	d.Cards = m.Cards()
	if m.AnyTags {
		d.Charts = []dashboard.Chart{m.Tags}
	}
	for _, t := range m.Tables {
		b := dashboard.Breakdown{
			Title: "Coverage by " + t.Name, Head: []string{"Coverage", "Reviewed", "In part", "All"},
		}
		for _, x := range t.Rows {
			b.Rows = append(b.Rows, dashboard.BreakdownRow{
				Name: x.Name, Values: []dashboard.Value{x.Rate, x.Reviewed, x.Partial, x.All},
			})
		}
		d.Tables = append(d.Tables, b)
	}
	people := dashboard.Breakdown{Title: "Reviewers", Head: []string{"Reviewed", "Mean rating", "Median time"}}
	for _, p := range m.Reviewers {
		rating, took := dashboard.Value{None: true}, dashboard.Value{None: true}
		if p.Rating != nil {
			rating = dashboard.Value{V: *p.Rating, Unit: dashboard.Decimals, N: p.Rated}
		}
		if p.MedianS != nil {
			took = dashboard.Value{V: *p.MedianS * 1000, Unit: dashboard.Times, N: p.Timed, Base: "timed"}
		}
		people.Rows = append(people.Rows, dashboard.BreakdownRow{
			Name: p.Name, Values: []dashboard.Value{p.Reviewed, rating, took},
		})
	}
	d.Tables = append(d.Tables, people)
	made, err := report.NewDocument(r.Context(), s.viewer(r.Context()), d, s.URL)
	if err != nil {
		return err
	}
	return s.attachDocument(w, r, &made)
}

// reportsModel is what reviewers did to the conversations of a question.
func (s *server) reportsModel(
	ctx context.Context, q dashboard.Question, page views.Page,
) (m views.ReportsModel, err error) {
	f := q.Filter
	m.Page = page
	choices, err := s.viewer(ctx).Choices(ctx)
	if err != nil {
		return m, err
	}
	frozen, err := queries.FrozenBefore(ctx, s.Pool, f, page.Now, s.Zone)
	if err != nil {
		return m, err
	}
	m.How = dashboard.FrozenWords(page.Dates, frozen, !f.FromRollups())
	m.Bar = s.viewer(ctx).Bar(q, choices)
	m.Bar.Compares = nil
	if err := s.coverageTables(ctx, &m, f); err != nil {
		return m, err
	}
	people, err := work.ReviewersOf(ctx, s.Pool, f, page.Now, s.Zone)
	if err != nil {
		return m, err
	}
	for _, p := range people {
		to, link := f, ""
		// a filter holds one or another, not both
		if id := p.AccountID.String(); len(f.Review.Reviewers) == 0 || slices.Equal(f.Review.Reviewers, []string{id}) {
			to.Review.Reviewers = []string{id}
			link = dashboard.Address(to)
		}
		m.Reviewers = append(m.Reviewers, views.ReviewerReport{
			Name: p.Name, Reviewed: dashboard.Count(p.Reviewed, link), Rating: p.Rating, Rated: p.Rated,
			MedianS: p.MedianS, Timed: p.Timed,
		})
	}
	return m, s.tagReport(ctx, q, &m)
}

// coverageRow tells how much of the conversations of a filter is reviewed.
func coverageRow(c work.Coverage, f metric.Filter) views.CoverageRow {
	states := func(f metric.Filter, state string) string {
		if len(f.Review.States) > 0 && !slices.Contains(f.Review.States, state) {
			return "" // there are none
		}
		f.Review.States = []string{state}
		return dashboard.Address(f)
	}
	return views.CoverageRow{
		Name: c.Name, All: dashboard.Count(c.All, dashboard.Address(f)), Partial: dashboard.Count(
			c.Partial, states(f, metric.PartiallyReviewed),
		),
		Rate: dashboard.Rate(
			metric.Rate{Of: c.Reviewed, Among: c.All}, states(f, metric.Reviewed), dashboard.Address(f),
			"conversations",
		), Reviewed: dashboard.Count(c.Reviewed, states(f, metric.Reviewed)),
	}
}

// coverageTables sets how much is reviewed: of all, and by what they differ in.
func (s *server) coverageTables(ctx context.Context, m *views.ReportsModel, f metric.Filter) error {
	for _, by := range []string{"", "assistant", "channel", "outcome"} {
		all, err := work.CoverageOf(ctx, s.Pool, f, by, m.Now, s.Zone)
		if err != nil {
			return err
		}
		if by == "" && len(all) > 0 {
			m.All = coverageRow(all[0], f)
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
				to.Channels, c.Name = []string{metric.Unknown}, metric.NameOf(name)
			case by == "channel":
				to.Channels = []string{name}
			default:
				to.Outcomes, c.Name = []string{name}, metric.OutcomeName(name)
			}
			t.Rows = append(t.Rows, coverageRow(c, to))
		}
		m.Tables = append(m.Tables, t)
	}
	return nil
}

// tagReport adds the tags over time.
func (s *server) tagReport(ctx context.Context, q dashboard.Question, m *views.ReportsModel) error {
	from, until := q.Filter.Range.Bounds(m.Now, s.Zone)
	used := q.Bucket.In(from, until)
	spans := used.Spans(from, until, s.Zone)
	starts := make([]time.Time, len(spans))
	for i, x := range spans {
		starts[i] = x.From
	}
	tags, err := work.TagsOverTime(ctx, s.Pool, q.Filter, starts, m.Now, s.Zone)
	if err != nil {
		return err
	}
	c := dashboard.Chart{
		ID: "tags", Title: "Tags", Quiet: "conversations that have a tag, by their start", Kind: dashboard.Stacked,
		Unit: dashboard.Counts, X: dashboard.Ticks(m.Dates, spans, used), First: "Start", Wide: true,
	}
	for i, t := range tags {
		color := "--c-other"
		if i < 6 {
			color = "--c-" + strconv.Itoa(i+1)
		}
		link := func(f metric.Filter) string {
			if len(f.Review.Tags) > 0 && !slices.Equal(f.Review.Tags, []string{t.Name}) {
				return "" // a filter holds one or another, not both
			}
			f.Review.Tags = []string{t.Name}
			return dashboard.Address(f)
		}
		series := dashboard.Series{Name: t.Name, Color: color, Link: link(q.Filter), N: t.Sum}
		for k, n := range t.Spans {
			series.Values = append(
				series.Values,
				dashboard.Count(n, link(q.Filter.Within(spans[k].From.In(s.Zone), spans[k].Until.In(s.Zone)))),
			)
		}
		c.Series = append(c.Series, series)
	}
	m.Tags, m.AnyTags = c, len(tags) > 0
	return nil
}
