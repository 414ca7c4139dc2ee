package web

import (
	"context"
	"net/http"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// csat answers GET /csat.
func (s *server) csat(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "CSAT", "CSAT")
	f, done, err := s.readFigures(w, r, page, csatNeeds)
	if done || err != nil {
		return err
	}
	m, err := s.csatModel(r.Context(), f)
	if err != nil {
		return err
	}
	return s.renderEither(w, r, views.CSATPage(m), views.CSATView(m))
}

// csatNeeds is what the page counts.
var csatNeeds = counted{}

func (s *server) csatModel(ctx context.Context, f *figures) (m views.CSAT, err error) {
	t := &f.whole
	m = views.CSAT{Page: f.page, Bar: f.bar, How: f.how(), Any: t.Count(metric.Asked) > 0, AnyData: t.Count(metric.All) > 0}
	count := func(name string, is metric.Condition) views.Card {
		c := views.Card{Name: name, Value: views.CountValue(t.Count(is), f.link(f.filter, is))}
		if f.before != nil {
			c.Delta = views.CountDelta(t.Count(is), f.before.whole.Count(is))
		}
		return c
	}
	m.Cards = []views.Card{f.rateCard(metric.CSAT, "rated"), f.rateCard(metric.ResponseRate, "asked"), count("Satisfied", metric.Satisfied), count("Not satisfied", metric.Unsatisfied), count("No answer", metric.Unanswered)}
	m.Time = f.overTime("csat", "CSAT", "satisfied of rated", views.Lines, views.Percents)
	m.Time.Series = []views.Series{f.rateSeries(metric.CSAT, "CSAT", "--c-sat", "rated")}
	m.Time.Main, m.Time.Foot = "CSAT", "Hollow points: fewer than 30 ratings."
	m.Rate = f.overTime("responses", "Response rate", "rated of asked", views.Lines, views.Percents)
	m.Rate.Series = []views.Series{f.rateSeries(metric.ResponseRate, "Rated", "--c-1", "asked")}
	m.Rate.Main = "Rated"
	m.Votes = f.overTime("votes", "Ratings", format.BucketName(f.used), views.Stacked, views.Counts)
	m.Votes.Wide = true
	for _, v := range []struct {
		is          metric.Condition
		name, color string
	}{{metric.Satisfied, "Satisfied", "--c-sat"}, {metric.Unsatisfied, "Not satisfied", "--c-unsat"}, {metric.Unanswered, "No answer", "--c-none"}} {
		series := views.Series{Name: v.name, Color: v.color, Link: f.link(f.filter, v.is), N: t.Count(v.is), Share: format.Percent(metric.Rate{Of: t.Count(v.is), Among: t.Count(metric.Asked)})}
		for i := range f.points {
			series.Values = append(series.Values, views.CountValue(f.points[i].Count(v.is), f.link(f.at(i), v.is)))
		}
		m.Votes.Series = append(m.Votes.Series, series)
	}
	names, err := queries.NamesOfDimensions(ctx, s.Pool)
	if err != nil {
		return m, err
	}
	m.Tables = f.breakdowns(names, []string{"CSAT", "Rated", "Response rate", "Asked"}, func(t *metric.Tally, filter metric.Filter) []views.Value {
		return []views.Value{
			f.rate(t, filter, metric.CSAT, "rated"), views.CountValue(t.Count(metric.Rated), f.link(filter, metric.Rated)),
			f.rate(t, filter, metric.ResponseRate, "asked"), views.CountValue(t.Count(metric.Asked), f.link(filter, metric.Asked)),
		}
	})
	return m, nil
}
