package web

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"turnwise/conversation"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// latency answers GET /latency.
func (s *server) latency(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Latency", "Latency")
	f, done, err := s.readFigures(w, r, page, latencyNeeds)
	if done || err != nil {
		return err
	}
	m, err := s.latencyModel(r.Context(), f)
	if err != nil {
		return err
	}
	return s.renderEither(w, r, views.LatencyPage(m), views.LatencyView(m))
}

// latencyNeeds is what the page counts.
var latencyNeeds = counted{times: true, hours: true, parts: true}

func (s *server) latencyModel(ctx context.Context, f *figures) (m views.Latency, err error) {
	m = views.Latency{Page: f.page, Bar: f.bar, How: f.how(), Any: f.whole.Response.N > 0, AnyData: f.whole.Count(metric.All) > 0}
	for _, c := range []struct {
		p    float64
		name string
	}{{0.5, "p50"}, {0.95, "p95"}, {0.99, "p99"}} {
		card := f.percentileCard(c.p, c.name)
		card.Beside = ""
		card.Base = views.Value{Text: format.Count(card.Value.N) + " turns took longer", Link: card.Value.Link, N: card.Value.N}
		m.Cards = append(m.Cards, card)
	}
	mean := views.Card{Name: "Mean", Formula: "sum of the response times ÷ turns that the assistant answered", Value: views.Value{None: true, Text: "–"}}
	if ms, ok := f.whole.Response.Mean(); ok {
		mean.Value = views.Value{V: ms, Text: format.Millis(ms), Link: f.turns(f.filter, 0), N: f.whole.Response.N}
	}
	mean.Base = views.Value{Text: "n " + format.Count(f.whole.Response.N) + " turns", Link: f.turns(f.filter, 0), N: f.whole.Response.N}
	m.Cards = append(m.Cards, mean)
	m.Time = f.responseOverTime()
	m.Time.Wide = true
	m.Histogram = f.histogram()
	names, err := queries.NamesOfDimensions(ctx, s.Pool)
	if err != nil {
		return m, err
	}
	m.Tables = f.breakdowns(names, []string{"Turns", "p50", "p95", "p99", "Mean"}, func(t *metric.Tally, filter metric.Filter) []views.Value {
		return f.latencyValues(&t.Response, filter)
	})
	m.Heat = f.latencyHeat()
	m.Tables = append(m.Tables, f.latencyBy("Flow", f.words.ByFlow, func(t *metric.TurnFilter, flow string) { t.Flow = flow }), f.latencyBy("Action", f.words.ByAction, func(t *metric.TurnFilter, action string) { t.Action = action }))
	m.Parts = f.latencyParts()
	if p99, ok := f.whole.Response.Percentile(0.99); ok && f.links {
		bound, _ := f.whole.Response.Above(p99)
		m.Slowest = f.turns(f.filter, bound)
	}
	return m, nil
}

// edges divide response times into classes that people can read, in milliseconds; the nearest bounds by which they are counted are printed.
var edges = []float64{0, 100, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 4000, 5000, 7500, 10000, 20000}

// histogram draws how many turns took how long.
func (f *figures) histogram() views.Chart {
	c := views.Chart{ID: "histogram", Title: "How long answers take", Quiet: "turns by response time", Kind: views.Stacked, Unit: views.Counts, First: "Response time"}
	s := views.Series{Name: "Turns", Color: "--c-p95", Link: f.turns(f.filter, 0), N: f.whole.Response.N}
	for i, low := range edges {
		filter, high := f.filter, 0.0
		low = metric.NearBound(low) // what is counted: the printed bounds are these
		t := views.Tick{Label: "> " + format.Bound(low), Long: "over " + format.Bound(low)}
		if i+1 < len(edges) {
			high = metric.NearBound(edges[i+1])
			t = views.Tick{Label: format.Bound(high), Long: format.Bound(low) + " – " + format.Bound(high)}
		}
		n := f.whole.Response.Within(low, cmp.Or(high, 1e12))
		filter.Faster = high
		c.X = append(c.X, t)
		s.Values = append(s.Values, views.CountValue(n, f.turns(filter, low)))
	}
	c.Series = []views.Series{s}
	return c
}

// latencyBy are response times by what a turn has, such as the flow on top of the stack when it ended.
func (f *figures) latencyBy(title string, by map[string]*metric.Latency, to func(*metric.TurnFilter, string)) views.Breakdown {
	b := views.Breakdown{Title: title, Head: []string{"Turns", "p50", "p95", "p99", "Mean"}}
	most := slices.SortedFunc(maps.Keys(by), func(a, c string) int { return cmp.Or(cmp.Compare(by[c].N, by[a].N), cmp.Compare(a, c)) })
	most, b.Cut = cut(f, most)
	for _, name := range most {
		filter, l := f.filter, by[name]
		to(&filter.Turns, cmp.Or(name, metric.NotTold))
		row := views.BreakdownRow{Name: name, N: l.N, Values: f.latencyValues(l, filter)}
		if title == "Flow" && conversation.UserFlow(name) {
			row.Link = f.flowPage(name)
		}
		b.Rows = append(b.Rows, row)
	}
	return b
}

// latencyValues are the figures of response times in tables.
func (f *figures) latencyValues(l *metric.Latency, filter metric.Filter) []views.Value {
	mean := views.Value{None: true, Text: "–"}
	if ms, ok := l.Mean(); ok {
		mean = views.Value{V: ms, Text: format.Millis(ms), Link: f.turns(filter, 0), N: l.N}
	}
	return []views.Value{
		{V: float64(l.N), Text: format.Count(l.N), Link: f.turns(filter, 0), N: l.N},
		f.percentile(l, filter, 0.5), f.percentile(l, filter, 0.95), f.percentile(l, filter, 0.99), mean,
	}
}

// latencyParts are understanding and prediction apart, of the turns of which the platform told them.
func (f *figures) latencyParts() (all []views.LatencyPart) {
	for i, l := range []*metric.Latency{&f.words.Understanding, &f.words.Prediction} {
		name := metric.Parts[i]
		link := func(over float64) string {
			filter := f.filter
			filter.Turns.Part, filter.Turns.Over = name, over
			return f.turns(filter, 0)
		}
		part := views.LatencyPart{Name: strings.ToUpper(name[:1]) + name[1:], Turns: views.CountValue(l.N, link(0))}
		for _, p := range []float64{0.5, 0.95, 0.99} {
			v := views.Value{None: true, Text: "–"}
			if ms, ok := l.Percentile(p); ok {
				bound, above := l.Above(ms)
				v = views.Value{V: ms, Text: format.Millis(ms), Link: link(bound), N: above, Base: "turns", Of: l.N, From: link(0), Few: l.N < metric.FewFrom}
			}
			part.Percentiles = append(part.Percentiles, v)
		}
		all = append(all, part)
	}
	return all
}

// latencyHeat draws p95 by weekday and hour.
func (f *figures) latencyHeat() views.Chart {
	c := views.Chart{ID: "heat", Title: "p95 by hour and weekday", Quiet: "start of the conversation, " + f.zone.String(), Kind: views.Heat, Unit: views.Times, First: "Hour"}
	for h := range 24 {
		c.X = append(c.X, views.HourTick(h))
	}
	for d := range 7 {
		row := views.Series{Name: weekdays[d]}
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
func (f *figures) breakdowns(names queries.DimensionNames, head []string, values func(t *metric.Tally, filter metric.Filter) []views.Value) (all []views.Breakdown) {
	for _, d := range []struct {
		title string
		name  func(queries.Dimensions) string
		to    func(*metric.Filter, string)
	}{
		{"Assistant", func(d queries.Dimensions) string { return names.Assistants[d.Assistant] }, func(f *metric.Filter, v string) { f.Assistants = []string{v} }},
		{"Channel", func(d queries.Dimensions) string { return names.Channels[d.Channel] }, func(f *metric.Filter, v string) { f.Channels = []string{v} }},
		{"Version", func(d queries.Dimensions) string { return names.Versions[d.Version] }, func(f *metric.Filter, v string) { f.Versions = []string{v} }},
		{"Environment", func(d queries.Dimensions) string { return names.Environments[d.Environment] }, func(f *metric.Filter, v string) { f.Environments = []string{v} }},
	} {
		sums := map[string]*metric.Tally{}
		for dimensions, t := range f.sums {
			name := d.name(dimensions)
			if sums[name] == nil {
				sums[name] = new(metric.Tally)
			}
			sums[name].Merge(t)
		}
		if len(sums) < 2 {
			continue
		}
		maps.DeleteFunc(sums, func(_ string, t *metric.Tally) bool { return t.Count(metric.All) == 0 })
		b := views.Breakdown{Title: d.title, Head: head}
		most := slices.SortedFunc(maps.Keys(sums), func(a, c string) int {
			return cmp.Or(cmp.Compare(sums[c].Count(metric.All), sums[a].Count(metric.All)), cmp.Compare(a, c))
		})
		most, b.Cut = cut(f, most)
		for _, name := range most {
			filter := f.filter
			d.to(&filter, cmp.Or(name, metric.NotTold))
			b.Rows = append(b.Rows, views.BreakdownRow{Name: name, N: sums[name].Count(metric.All), Link: f.with(filter).address(), Values: values(sums[name], filter)})
		}
		all = append(all, b)
	}
	return all
}
