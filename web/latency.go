package web

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// latency answers GET /latency.
func (s *server) latency(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Latency", "Latency")
	f, done, err := s.readFigures(w, r, page, counted{times: true, hours: true, words: true})
	if done || err != nil {
		return err
	}
	m := views.Latency{Page: page, Bar: f.bar, How: f.how(), Any: f.whole.Response.N > 0, AnyData: f.whole.Count(metric.All) > 0}
	for _, c := range []struct {
		p    float64
		name string
	}{{0.5, "p50"}, {0.95, "p95"}, {0.99, "p99"}} {
		card := f.percentileCard(c.p, c.name)
		card.Beside = ""
		card.Base = views.Value{Text: views.Count(card.Value.N) + " turns took longer", Link: card.Value.Link, N: card.Value.N}
		m.Cards = append(m.Cards, card)
	}
	mean := views.Card{Name: "Mean", Formula: "sum of the response times ÷ turns that the assistant answered", Value: views.Value{None: true, Text: "–"}}
	if ms, ok := f.whole.Response.Mean(); ok {
		mean.Value = views.Value{V: ms, Text: views.Millis(ms), Link: f.turns(f.filter, 0), N: f.whole.Response.N}
	}
	mean.Base = views.Value{Text: "n " + views.Count(f.whole.Response.N) + " turns", Link: f.turns(f.filter, 0), N: f.whole.Response.N}
	m.Cards = append(m.Cards, mean)
	m.Time = f.responseOverTime()
	m.Time.Wide = true
	m.Histogram = f.histogram()
	names, err := queries.NamesOfDimensions(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	m.Tables = f.breakdowns(names, []string{"Turns", "p50", "p95", "p99", "Mean"}, func(t *metric.Tally, filter metric.Filter) []views.Value {
		return f.latencyValues(&t.Response, filter)
	})
	m.Heat = f.latencyHeat()
	m.Tables = append(m.Tables, f.latencyByFlow())
	m.Parts = f.latencyParts()
	if p99, ok := f.whole.Response.Percentile(0.99); ok && f.links {
		bound, _ := f.whole.Response.Above(p99)
		m.Slowest = f.turns(f.filter, bound)
	}
	return s.renderEither(w, r, views.LatencyPage(m), views.LatencyView(m))
}

// edges divide response times into classes that people can read, in milliseconds.
var edges = []float64{0, 100, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 4000, 5000, 7500, 10000, 20000}

// histogram draws how many turns took how long.
func (f *figures) histogram() views.Chart {
	c := views.Chart{ID: "histogram", Title: "How long answers take", Quiet: "turns by response time", Kind: views.Stacked, Unit: views.Counts, First: "Response time"}
	s := views.Series{Name: "Turns", Color: "--c-p95", Link: f.turns(f.filter, 0), N: f.whole.Response.N}
	for i, low := range edges {
		filter, high := f.filter, 0.0
		t := views.Tick{Label: "> " + views.Millis(low), Long: "over " + views.Millis(low)}
		if i+1 < len(edges) {
			high = edges[i+1]
			t = views.Tick{Label: views.Millis(high), Long: views.Millis(low) + " – " + views.Millis(high)}
		}
		n := f.whole.Response.Within(low, cmp.Or(high, 1e12))
		filter.Faster = metric.NearBound(high)
		c.X = append(c.X, t)
		s.Values = append(s.Values, views.CountValue(n, f.turns(filter, metric.NearBound(low))))
	}
	c.Series = []views.Series{s}
	return c
}

// latencyByFlow are response times by the flow on top of the stack when the turn ended.
func (f *figures) latencyByFlow() views.Breakdown {
	b := views.Breakdown{Title: "Flow", Head: []string{"Turns", "p50", "p95", "p99", "Mean"}}
	for flow, l := range f.words.ByFlow {
		filter := f.filter
		filter.Turns.Flow = cmp.Or(flow, metric.NotTold)
		row := views.BreakdownRow{Name: flow, N: l.N, Values: f.latencyValues(l, filter)}
		if row.Link = f.flowPage(flow); !conversation.UserFlow(flow) {
			row.Link = ""
		}
		b.Rows = append(b.Rows, row)
	}
	slices.SortFunc(b.Rows, func(a, c views.BreakdownRow) int { return cmp.Or(cmp.Compare(c.N, a.N), cmp.Compare(a.Name, c.Name)) })
	return b
}

// latencyValues are the figures of response times in tables.
func (f *figures) latencyValues(l *metric.Latency, filter metric.Filter) []views.Value {
	mean := views.Value{None: true, Text: "–"}
	if ms, ok := l.Mean(); ok {
		mean = views.Value{V: ms, Text: views.Millis(ms), Link: f.turns(filter, 0), N: l.N}
	}
	return []views.Value{
		{V: float64(l.N), Text: views.Count(l.N), Link: f.turns(filter, 0), N: l.N},
		f.percentile(l, filter, 0.5), f.percentile(l, filter, 0.95), f.percentile(l, filter, 0.99), mean,
	}
}

// latencyParts are understanding and prediction apart, of the turns of which the platform told them.
func (f *figures) latencyParts() (all []views.LatencyPart) {
	for _, x := range []struct {
		name string
		l    *metric.Latency
	}{{"Understanding", &f.words.Understanding}, {"Prediction", &f.words.Prediction}} {
		part := views.LatencyPart{Name: x.name, N: x.l.N}
		for _, p := range []float64{0.5, 0.95, 0.99} {
			text := "–"
			if ms, ok := x.l.Percentile(p); ok {
				text = views.Millis(ms)
			}
			part.Percentiles = append(part.Percentiles, text)
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
	var all [7]metric.HourLatency
	for _, cell := range f.cells {
		if cell.Hours != nil {
			all[isoWeekday(cell.At.In(f.zone))-1].Merge(cell.Hours)
		}
	}
	for d := range 7 {
		row := views.Series{Name: weekdays[d]}
		for h := range 24 {
			filter, _ := f.when(d+1, h)
			row.Values = append(row.Values, f.percentile(&all[d][h], filter, 0.95))
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
		for _, c := range f.cells {
			name := d.name(c.Dimensions)
			if sums[name] == nil {
				sums[name] = new(metric.Tally)
			}
			sums[name].Merge(c.Tally)
		}
		if len(sums) < 2 {
			continue
		}
		b := views.Breakdown{Title: d.title, Head: head}
		for name, t := range sums {
			if t.Count(metric.All) == 0 {
				continue
			}
			filter := f.filter
			d.to(&filter, cmp.Or(name, metric.NotTold))
			b.Rows = append(b.Rows, views.BreakdownRow{Name: name, N: t.Count(metric.All), Link: f.with(filter).address(), Values: values(t, filter)})
		}
		slices.SortFunc(b.Rows, func(a, c views.BreakdownRow) int { return cmp.Or(cmp.Compare(c.N, a.N), cmp.Compare(a.Name, c.Name)) })
		all = append(all, b)
	}
	return all
}

// turnsSize is how many turns one page of their list shows.
const turnsSize = 50

// turns answers GET /turns: the turns of a filter that took longer than a time, the slowest first.
func (s *server) turns(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Turns", "Latency")
	if done, err := s.canonical(w, r); done || err != nil {
		return err
	}
	q, err := s.parseQuestion(r, false)
	if err != nil {
		return err
	}
	at := 0
	if v := r.URL.Query().Get("after"); v != "" {
		if at, err = strconv.Atoi(v); err != nil || at < 0 || at > 5000 {
			return &metric.InputError{Field: "after", Msg: "is a number up to 5,000: narrow the filter to see more"}
		}
	}
	m := views.Turns{Page: page}
	var choices queries.Choices
	var list []queries.ListedTurn
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		list, err = queries.Turns(ctx, s.Pool, q.filter, at, turnsSize+1, q.now, s.Zone)
		return err
	})
	g.Go(func() (err error) {
		m.Total, err = s.totalTurns(r, q)
		return err
	})
	g.Go(func() (err error) {
		choices, err = queries.FilterChoices(ctx, s.Pool)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	m.Bar = s.bar(q, page, choices)
	m.Bar.FindID = false
	m.Heading = turnsHeading(q.filter)
	link := func(after int) string {
		v := q.query()
		if after > 0 {
			v.Set("after", strconv.Itoa(after))
		}
		return "/turns?" + v.Encode()
	}
	if at > 0 {
		m.Before = link(max(0, at-turnsSize))
	}
	if len(list) > turnsSize {
		list = list[:turnsSize]
		m.After = link(at + turnsSize)
	}
	for _, t := range list {
		m.Rows = append(m.Rows, views.TurnRow{
			Link: "/conversations/" + t.ConversationID.String() + "?" + url.Values{"m": {t.MessageID.String()}}.Encode() + "#m-" + t.MessageID.String(),
			At:   t.At, MS: t.ResponseMS, Confidence: t.Confidence, Source: t.ResponseSource, Understanding: t.UnderstandingMS, Prediction: t.PredictionMS, Intent: t.Intent, Text: t.Text,
			Assistant: t.Assistant, Channel: t.Channel, Version: t.Version,
		})
	}
	return s.renderEither(w, r, views.TurnsPage(m), views.TurnsView(m))
}

// turnsHeading says which turns the list holds.
func turnsHeading(f metric.Filter) string {
	words := "Turns with a response time"
	if t := f.Turns; t != (metric.TurnFilter{}) {
		if words = "Turns"; t == (metric.TurnFilter{Flow: t.Flow}) {
			words = "Turns with a response time"
		}
		if t.Flow != "" {
			words += " in " + t.Flow
		}
		if t.Intent != "" {
			words += " with the intent " + t.Intent
		}
		if t.Unsure {
			words += " of low confidence"
		}
		if t.Fallback {
			words += " that were not understood"
		}
	}
	switch {
	case f.Slower > 0 && f.Faster > 0:
		words = "Turns answered after " + views.Millis(f.Slower) + " to " + views.Millis(f.Faster)
	case f.Slower > 0:
		words = "Turns answered after more than " + views.Millis(f.Slower)
	case f.Faster > 0:
		words = "Turns answered within " + views.Millis(f.Faster)
	}
	return words
}

// totalTurns counts the turns: by the rollups where they know.
func (s *server) totalTurns(r *http.Request, q question) (int64, error) {
	f := q.filter
	plain := f
	plain.Slower, plain.Faster = 0, 0
	known := func(ms float64) bool { return ms == 0 || metric.NearBound(ms) == ms }
	if !plain.Plain() || !known(f.Slower) || !known(f.Faster) {
		return queries.CountTurns(r.Context(), s.Pool, f, q.now, s.Zone)
	}
	figures, err := queries.CountFigures(r.Context(), s.Pool, queries.Question{Filter: plain, Times: true, Now: q.now, Grid: s.grid})
	if err != nil {
		return 0, err
	}
	var l metric.Latency
	for _, c := range figures.Cells {
		l.Merge(&c.Tally.Response)
	}
	return l.Within(f.Slower, cmp.Or(f.Faster, 1e12)), nil
}

// csat answers GET /csat.
func (s *server) csat(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "CSAT", "CSAT")
	f, done, err := s.readFigures(w, r, page, counted{})
	if done || err != nil {
		return err
	}
	t := &f.whole
	m := views.CSAT{Page: page, Bar: f.bar, How: f.how(), Any: t.Count(metric.Asked) > 0, AnyData: t.Count(metric.All) > 0}
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
	m.Votes = f.overTime("votes", "Ratings", views.BucketName(f.used), views.Stacked, views.Counts)
	m.Votes.Wide = true
	for _, v := range []struct {
		is          metric.Condition
		name, color string
	}{{metric.Satisfied, "Satisfied", "--c-sat"}, {metric.Unsatisfied, "Not satisfied", "--c-unsat"}, {metric.Unanswered, "No answer", "--c-none"}} {
		series := views.Series{Name: v.name, Color: v.color, Link: f.link(f.filter, v.is), N: t.Count(v.is), Share: views.Percent(metric.Rate{Of: t.Count(v.is), Among: t.Count(metric.Asked)})}
		for i := range f.points {
			series.Values = append(series.Values, views.CountValue(f.points[i].Count(v.is), f.link(f.at(i), v.is)))
		}
		m.Votes.Series = append(m.Votes.Series, series)
	}
	names, err := queries.NamesOfDimensions(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	m.Tables = f.breakdowns(names, []string{"CSAT", "Rated", "Response rate", "Asked"}, func(t *metric.Tally, filter metric.Filter) []views.Value {
		return []views.Value{
			f.rate(t, filter, metric.CSAT, "rated"), views.CountValue(t.Count(metric.Rated), f.link(filter, metric.Rated)),
			f.rate(t, filter, metric.ResponseRate, "asked"), views.CountValue(t.Count(metric.Asked), f.link(filter, metric.Asked)),
		}
	})
	return s.renderEither(w, r, views.CSATPage(m), views.CSATView(m))
}

// flows answers GET /flows.
func (s *server) flows(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Flows", "Flows")
	f, done, err := s.readFigures(w, r, page, counted{flows: true}, "sort")
	if done || err != nil {
		return err
	}
	m := views.Flows{Page: page, Bar: f.bar, How: f.how(), AnyData: f.whole.Count(metric.All) > 0, Rows: f.flowRows(), Sort: f.own.Get("sort")}
	key, ok := flowOrders[m.Sort]
	if !ok {
		m.Sort, key = "started", flowOrders["started"]
	}
	slices.SortStableFunc(m.Rows, func(a, b views.FlowRow) int { return cmp.Or(cmp.Compare(key(b), key(a)), cmp.Compare(a.Flow, b.Flow)) })
	m.Orders, m.Funnel = map[string]string{}, f.other("/funnel")
	for name := range flowOrders {
		q := f.question
		q.own = url.Values{"sort": {name}}
		m.Orders[name] = q.address()
	}
	return s.renderEither(w, r, views.FlowsPage(m), views.FlowsView(m))
}

// flowOrders are what the table of flows can be ordered by, the most first.
var flowOrders = map[string]func(views.FlowRow) float64{
	"started":     func(r views.FlowRow) float64 { return r.Started.V },
	"completed":   func(r views.FlowRow) float64 { v, _ := r.Rate.Value(); return v },
	"missed":      func(r views.FlowRow) float64 { return r.Missed.V },
	"cancelled":   func(r views.FlowRow) float64 { return r.Stopped.V },
	"lost":        func(r views.FlowRow) float64 { return r.Lost.V },
	"interrupted": func(r views.FlowRow) float64 { return r.Interrupted.V },
	"escalated":   func(r views.FlowRow) float64 { return r.Escalated.V },
}

// flow answers GET /flow?of=…: one flow.
func (s *server) flow(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("of")
	if name == "" {
		return queries.ErrNotFound
	}
	page := s.page(r, name, "Flows")
	f, done, err := s.readFigures(w, r, page, counted{flows: true}, "of")
	if done || err != nil {
		return err
	}
	m := views.Flow{Page: page, Bar: f.bar, How: f.how(), Name: name, All: f.other("/flows"), AnyData: f.whole.Count(metric.All) > 0}
	if c := f.flows[name]; c == nil || c.Count(metric.FlowTouched) == 0 {
		return s.renderEither(w, r, views.FlowPage(m), views.FlowView(m))
	}
	m.Row, m.Any, m.Paths = f.flowRow(name), true, f.pathsPage(name)
	m.Cards = f.flowCards(m.Row)
	steps := f.flows[name].Steps
	most := int64(1)
	for _, v := range steps {
		most = max(most, v.N)
	}
	order := slices.SortedFunc(maps.Keys(steps), func(a, b string) int {
		return cmp.Or(cmp.Compare(steps[a].Before(), steps[b].Before()), cmp.Compare(a, b))
	})
	for _, step := range order {
		n := steps[step].N
		row := views.FunnelStep{Step: step, Came: views.CountValue(n, ""), Stopped: f.stopped(name, step), Share: metric.Rate{Of: n, Among: most}}
		if f.links {
			row.Came.Link = address(f.filter.InFlow(metric.FlowFilter{Flow: name, Visited: step}))
		}
		m.Steps = append(m.Steps, row)
	}
	return s.renderEither(w, r, views.FlowPage(m), views.FlowView(m))
}

// flowCards are a flow's headline figures.
func (f *figures) flowCards(r views.FlowRow) []views.Card {
	rate := r.Rate
	done := views.Card{Name: "Completed", Formula: "started and completed ÷ started", Value: r.Finished, Rate: &rate, Delta: r.Delta}
	done.Base = views.Value{Text: "n " + views.Count(r.Started.N) + " started", Link: r.Started.Link, N: r.Started.N}
	return []views.Card{
		{Name: "Started", Value: r.Started},
		done,
		{Name: "Cancelled", Formula: "cancelled and never completed", Value: r.Stopped},
		{Name: "Left inside", Formula: "the conversation ended inside the flow", Value: r.Lost},
		{Name: "Escalated inside", Value: r.Escalated},
		{Name: "Median time", Formula: "from start to end of the completed runs", Value: r.Took},
	}
}
