package web

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"turnwise/metric"
	"turnwise/queries"
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
	f := q.filter
	m := views.ReportsModel{Page: page}
	choices, err := queries.FilterChoices(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	frozen, err := queries.FrozenBefore(r.Context(), s.Pool, f, page.Now, s.Zone)
	if err != nil {
		return err
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
		all, err := queries.CoverageOf(r.Context(), s.Pool, f, by, page.Now, s.Zone)
		if err != nil {
			return err
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
				to.Outcomes, c.Name = []string{name}, views.OutcomeName(name)
			}
			t.Rows = append(t.Rows, row(c, to))
		}
		m.Tables = append(m.Tables, t)
	}
	people, err := queries.ReviewersOf(r.Context(), s.Pool, f, page.Now, s.Zone)
	if err != nil {
		return err
	}
	for _, p := range people {
		to, link := f, ""
		if id := p.UserID.String(); len(f.Work.Reviewers) == 0 || slices.Equal(f.Work.Reviewers, []string{id}) { // a filter holds one or another, not both
			to.Work.Reviewers = []string{id}
			link = address(to)
		}
		m.Reviewers = append(m.Reviewers, views.ReviewerReport{Name: p.Name, Reviewed: views.CountValue(p.Reviewed, link), Rating: p.Rating, Rated: p.Rated, MedianS: p.MedianS, Timed: p.Timed})
	}
	return s.tagReport(w, r, q, m)
}

// tagReport adds the tags over time.
func (s *server) tagReport(w http.ResponseWriter, r *http.Request, q question, m views.ReportsModel) error {
	from, until := q.filter.Range.Bounds(m.Now, s.Zone)
	used := q.bucket.In(from, until)
	spans := used.Spans(from, until, s.Zone)
	starts := make([]time.Time, len(spans))
	for i, x := range spans {
		starts[i] = x.From
	}
	tags, err := queries.TagsOverTime(r.Context(), s.Pool, q.filter, starts, m.Now, s.Zone)
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
	return s.renderEither(w, r, views.ReportsPage(m), views.ReportsView(m))
}
