package dashboard

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"turnwise/conversation"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
)

// Latency is the model of the page of response times.
type Latency struct {
	Bar                   FilterBar
	How                   string
	Any, AnyData          bool
	Cards                 []Card
	Time, Histogram, Heat Chart
	Tables                []Breakdown
	Parts                 []LatencyPart
	Slowest               string // list of the slowest turns; "" for none
}

// LatencyPart is a part of the response times.
type LatencyPart struct {
	Name        string
	Turns       Value
	Percentiles []Value // p50, p95, p99
}

// LatencyNeeds is what the page counts.
var LatencyNeeds = Needs{times: true, hours: true, parts: true}

// Latency is what the page of response times shows.
func (f *Figures) Latency(ctx context.Context) (m Latency, err error) {
	m = Latency{Bar: f.bar, How: f.how(), Any: f.whole.Response.N > 0, AnyData: f.whole.Count(metric.All) > 0}
	for _, c := range []struct {
		p    float64
		name string
	}{{0.5, "p50"}, {0.95, "p95"}, {0.99, "p99"}} {
		card := f.percentileCard(c.p, c.name)
		card.Beside = ""
		card.Base = Note{
			Text: format.Count(card.Value.N) + " turns took longer", Link: card.Value.Link, N: card.Value.N,
		}
		m.Cards = append(m.Cards, card)
	}
	mean := Card{
		Name: "Mean", Formula: "sum of the response times ÷ turns that the assistant answered", Value: Unknown(),
	}
	if ms, ok := f.whole.Response.Mean(); ok {
		mean.Value = Duration(ms, f.turns(f.Filter, 0), f.whole.Response.N)
	}
	mean.Base = Note{
		Text: "n " + format.Count(f.whole.Response.N) + " turns", Link: f.turns(f.Filter, 0), N: f.whole.Response.N,
	}
	m.Cards = append(m.Cards, mean)
	if n := f.whole.Untimed; n > 0 {
		filter := f.Filter
		filter.Turns.Untimed = true
		m.Cards = append(m.Cards, Card{
			Name: "Not timed", Formula: "turns that the assistant answered, but whose times are equal or too coarse to tell how long it took",
			Value: Count(n, f.turns(filter, 0)), Base: Note{Text: "left out of all response times", N: n},
		})
	}
	m.Time = f.responseOverTime()
	m.Time.Wide = true
	m.Histogram = f.histogram()
	names, err := queries.NamesOfDimensions(ctx, f.viewer.Pool)
	if err != nil {
		return m, err
	}
	m.Tables = f.breakdowns(names, []string{
		"Turns", "p50", "p95", "p99", "Mean",
	}, func(t *metric.Tally, filter metric.Filter) []Value {
		return f.latencyValues(&t.Response, filter)
	})
	m.Heat = f.latencyHeat()
	m.Tables = append(
		m.Tables, f.latencyBy("Flow", f.words.ByFlow, func(t *metric.TurnFilter, flow string) { t.Flow = flow }),
		f.latencyBy("Action", f.words.ByAction, func(t *metric.TurnFilter, action string) { t.Action = action }),
	)
	m.Parts = f.latencyParts()
	if p99, ok := f.whole.Response.Percentile(0.99); ok && f.links {
		bound, _ := f.whole.Response.Above(p99)
		m.Slowest = f.turns(f.Filter, bound)
	}
	return m, nil
}

// edges divide response times into classes that people can read, in milliseconds; the nearest bounds by which they are
// counted are printed.
var edges = []float64{0, 100, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 4000, 5000, 7500, 10000, 20000}

// histogram draws how many turns took how long.
func (f *Figures) histogram() Chart {
	c := Chart{
		ID: "histogram", Title: "How long answers take", Quiet: "turns by response time", Kind: Stacked, Unit: Counts,
		First: "Response time",
	}
	s := Series{Name: "Turns", Color: "--c-p95", Link: f.turns(f.Filter, 0), N: f.whole.Response.N}
	for i, low := range edges {
		filter, high := f.Filter, 0.0
		low = metric.NearBound(low) // what is counted: the printed bounds are these
		t := Tick{Label: "> " + format.Bound(low), Long: "over " + format.Bound(low)}
		if i+1 < len(edges) {
			high = metric.NearBound(edges[i+1])
			t = Tick{Label: format.Bound(high), Long: format.Bound(low) + " – " + format.Bound(high)}
		}
		n := f.whole.Response.Within(low, cmp.Or(high, 1e12))
		filter.ResponseUpTo = high
		c.X = append(c.X, t)
		s.Values = append(s.Values, Count(n, f.turns(filter, low)))
	}
	c.Series = []Series{s}
	return c
}

// latencyBy are response times by what a turn has, such as the flow on top of the stack when it ended.
func (f *Figures) latencyBy(
	title string, by map[string]*metric.Latency, to func(*metric.TurnFilter, string),
) Breakdown {
	b := Breakdown{Title: title, Head: []string{"Turns", "p50", "p95", "p99", "Mean"}}
	most := slices.SortedFunc(
		maps.Keys(by), func(a, c string) int { return cmp.Or(cmp.Compare(by[c].N, by[a].N), cmp.Compare(a, c)) },
	)
	most, b.Cut = cut(f, most)
	for _, name := range most {
		filter, l := f.Filter, by[name]
		to(&filter.Turns, cmp.Or(name, metric.Unknown))
		row := BreakdownRow{Name: name, N: l.N, Values: f.latencyValues(l, filter)}
		if title == "Flow" && conversation.UserFlow(name) {
			row.Link = f.flowPage(name)
		}
		b.Rows = append(b.Rows, row)
	}
	return b
}

// latencyValues are the figures of response times in tables.
func (f *Figures) latencyValues(l *metric.Latency, filter metric.Filter) []Value {
	mean := Unknown()
	if ms, ok := l.Mean(); ok {
		mean = Duration(ms, f.turns(filter, 0), l.N)
	}
	return []Value{
		Count(l.N, f.turns(filter, 0)),
		f.percentile(l, filter, 0.5), f.percentile(l, filter, 0.95), f.percentile(l, filter, 0.99), mean,
	}
}

// latencyParts are understanding and prediction apart, of the turns of which the platform told them.
func (f *Figures) latencyParts() (all []LatencyPart) {
	for i, l := range []*metric.Latency{&f.words.Understanding, &f.words.Prediction} {
		name := metric.Parts[i]
		link := func(over float64) string {
			filter := f.Filter
			filter.Turns.Part, filter.Turns.Over = name, over
			return f.turns(filter, 0)
		}
		part := LatencyPart{Name: strings.ToUpper(name[:1]) + name[1:], Turns: Count(l.N, link(0))}
		for _, p := range []float64{0.5, 0.95, 0.99} {
			v := Unknown()
			if ms, ok := l.Percentile(p); ok {
				bound, above := l.Above(ms)
				v = Value{
					V: ms, Unit: Times, Link: link(bound), N: above, Base: "turns", Of: l.N, From: link(0),
					Few: l.N < metric.FewFrom,
				}
			}
			part.Percentiles = append(part.Percentiles, v)
		}
		all = append(all, part)
	}
	return all
}

// latencyHeat draws p95 by weekday and hour.
func (f *Figures) latencyHeat() Chart {
	c := Chart{
		ID: "heat", Title: "p95 by hour and weekday", Quiet: "start of the conversation, " + f.Zone.String(),
		Kind: Heat, Unit: Times, First: "Hour",
	}
	for h := range 24 {
		c.X = append(c.X, HourTick(h))
	}
	for d := range 7 {
		row := Series{Name: weekdays[d]}
		for h := range 24 {
			filter, _ := f.when(d+1, h)
			row.Values = append(row.Values, f.percentile(&f.hours[d][h], filter, 0.95))
		}
		c.Series = append(c.Series, row)
	}
	return c
}

var weekdays = [...]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

// breakdowns are tables of values by assistant, channel, version and environment.
func (f *Figures) breakdowns(
	names queries.DimensionNames, head []string, values func(t *metric.Tally, filter metric.Filter) []Value,
) (all []Breakdown) {
	for _, key := range []string{ByAssistant, ByChannel, ByVersion, ByEnvironment} {
		d := dimensionOf(key)
		sums := map[string]*metric.Tally{}
		for at, t := range f.sums {
			name := d.name(names, at)
			if sums[name] == nil {
				sums[name] = new(metric.Tally)
			}
			sums[name].Merge(t)
		}
		if len(sums) < 2 {
			continue
		}
		maps.DeleteFunc(sums, func(_ string, t *metric.Tally) bool { return t.Count(metric.All) == 0 })
		b := Breakdown{Title: d.title, Head: head}
		most := slices.SortedFunc(maps.Keys(sums), func(a, c string) int {
			return cmp.Or(cmp.Compare(sums[c].Count(metric.All), sums[a].Count(metric.All)), cmp.Compare(a, c))
		})
		most, b.Cut = cut(f, most)
		for _, name := range most {
			filter := f.Filter
			d.to(&filter, cmp.Or(name, metric.Unknown))
			b.Rows = append(b.Rows, BreakdownRow{
				Name: name, N: sums[name].Count(metric.All), Link: f.with(filter).Address(),
				Values: values(sums[name], filter),
			})
		}
		all = append(all, b)
	}
	return all
}
