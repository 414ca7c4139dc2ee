package dashboard

import (
	"context"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
)

// CSAT is the model of the page of ratings.
type CSAT struct {
	Bar               FilterBar
	How               string
	Any, AnyData      bool
	Cards             []Card
	Time, Rate, Votes Chart
	Tables            []Breakdown
}

// CSATNeeds is what the page counts.
var CSATNeeds = Needs{}

// CSAT is what the page of ratings shows.
func (f *Figures) CSAT(ctx context.Context) (m CSAT, err error) {
	t := &f.whole
	m = CSAT{Bar: f.bar, How: f.how(), Any: t.Count(metric.Asked) > 0, AnyData: t.Count(metric.All) > 0}
	count := func(name string, is metric.Condition) Card {
		c := Card{Name: name, Value: Count(t.Count(is), f.link(f.Filter, is))}
		if f.before != nil {
			c.Delta = CountDelta(t.Count(is), f.before.whole.Count(is))
		}
		return c
	}
	m.Cards = []Card{
		f.rateCard(metric.CSAT, "rated"), f.rateCard(metric.ResponseRate, "asked"),
		count("Satisfied", metric.Satisfied), count("Not satisfied", metric.Unsatisfied),
		count("No answer", metric.Unanswered),
	}
	m.Time = f.overTime("csat", "CSAT", "satisfied of rated", Lines, Percents)
	m.Time.Series = []Series{f.rateSeries(metric.CSAT, "CSAT", "--c-sat", "rated")}
	m.Time.Main, m.Time.Foot = "CSAT", "Hollow points: fewer than 30 ratings."
	m.Rate = f.overTime("responses", "Response rate", "rated of asked", Lines, Percents)
	m.Rate.Series = []Series{f.rateSeries(metric.ResponseRate, "Rated", "--c-1", "asked")}
	m.Rate.Main = "Rated"
	m.Votes = f.overTime("votes", "Ratings", format.BucketName(f.used), Stacked, Counts)
	m.Votes.Wide = true
	for _, v := range []struct {
		is          metric.Condition
		name, color string
	}{
		{metric.Satisfied, "Satisfied", "--c-sat"},
		{metric.Unsatisfied, "Not satisfied", "--c-unsat"},
		{metric.Unanswered, "No answer", "--c-none"},
	} {
		series := Series{
			Name: v.name, Color: v.color, Link: f.link(f.Filter, v.is), N: t.Count(v.is),
			Share: format.Percent(metric.Rate{Of: t.Count(v.is), Among: t.Count(metric.Asked)}),
		}
		for i := range f.points {
			series.Values = append(series.Values, Count(f.points[i].Count(v.is), f.link(f.at(i), v.is)))
		}
		m.Votes.Series = append(m.Votes.Series, series)
	}
	names, err := queries.NamesOfDimensions(ctx, f.viewer.Pool)
	if err != nil {
		return m, err
	}
	m.Tables = f.breakdowns(names, []string{
		"CSAT", "Rated", "Response rate", "Asked",
	}, func(t *metric.Tally, filter metric.Filter) []Value {
		return []Value{
			f.rate(t, filter, metric.CSAT, "rated"), Count(t.Count(metric.Rated), f.link(filter, metric.Rated)),
			f.rate(t, filter, metric.ResponseRate, "asked"), Count(t.Count(metric.Asked), f.link(filter, metric.Asked)),
		}
	})
	return m, nil
}
