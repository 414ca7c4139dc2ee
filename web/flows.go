package web

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// flows answers GET /flows.
func (s *server) flows(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Flows", "Flows")
	f, done, err := s.readFigures(w, r, page, flowsNeeds, "sort")
	if done || err != nil {
		return err
	}
	m, err := s.flowsModel(r.Context(), f)
	if err != nil {
		return err
	}
	return s.renderEither(w, r, views.FlowsPage(m), views.FlowsView(m))
}

// flowsNeeds is what the page counts.
var flowsNeeds = counted{flows: true, steps: true}

func (s *server) flowsModel(ctx context.Context, f *figures) (m views.Flows, err error) {
	m = views.Flows{Page: f.page, Bar: f.bar, How: f.how(), AnyData: f.whole.Count(metric.All) > 0, Rows: f.flowRows(), Sort: f.own.Get("sort")}
	if m.Sort == "" {
		m.Sort = "started"
	}
	key, ok := flowOrders[m.Sort]
	if !ok {
		return m, &metric.InputError{Field: "sort", Msg: "is one of " + strings.Join(slices.Sorted(maps.Keys(flowOrders)), ", ")}
	}
	slices.SortStableFunc(m.Rows, func(a, b views.FlowRow) int { return cmp.Or(cmp.Compare(key(b), key(a)), cmp.Compare(a.Flow, b.Flow)) })
	m.Rows, m.Cut = cut(f, m.Rows)
	m.Orders, m.Funnel = map[string]string{}, f.other("/funnel")
	for name := range flowOrders {
		q := f.question
		q.own = url.Values{"sort": {name}}
		m.Orders[name] = q.address()
	}
	return m, nil
}

// flowOrders are what the table of flows can be ordered by, the most first.
var flowOrders = map[string]func(views.FlowRow) float64{
	"started":     func(r views.FlowRow) float64 { return r.Started.V },
	"completed":   func(r views.FlowRow) float64 { v, _ := r.Rate.Value(); return v },
	"missed":      func(r views.FlowRow) float64 { return r.Missed.V },
	"cancelled":   func(r views.FlowRow) float64 { return r.Cancelled.V },
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
	f, done, err := s.readFigures(w, r, page, counted{flows: true, steps: true, flow: name}, "of")
	if done || err != nil {
		return err
	}
	m := views.Flow{Page: page, Bar: f.bar, How: f.how(), Name: name, All: f.other("/flows"), AnyData: f.whole.Count(metric.All) > 0}
	if c := f.flows[name]; c == nil || c.Count(metric.FlowTouched) == 0 {
		return s.renderEither(w, r, views.FlowPage(m), views.FlowView(m))
	}
	m.Row, m.Any, m.Paths = f.flowRow(name), true, f.pathsPage(name)
	m.Cards = f.flowCards(m.Row)
	m.Started, m.Completion = f.flowOverTime(name)
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
	done := views.Card{Name: "Completion", Formula: "started and completed ÷ started", Value: r.Finished, Rate: &rate, Delta: r.Delta}
	done.Base = views.Value{Text: "n " + format.Count(r.Started.N) + " started", Link: r.Started.Link, N: r.Started.N}
	return []views.Card{
		{Name: "Started", Value: r.Started},
		done,
		{Name: "Cancelled", Formula: "cancelled at least once", Value: r.Cancelled},
		{Name: "Left inside", Formula: "the conversation ended inside the flow", Value: r.Lost},
		{Name: "Escalated inside", Value: r.Escalated},
		{Name: "Median time", Formula: "from start to end of the completed runs", Value: r.Took},
	}
}

// flowOverTime draws how often a flow was started, by how it went on, and its completion.
func (f *figures) flowOverTime(name string) (started, completion views.Chart) {
	started = f.overTime("flow-started", "Conversations that started it", format.BucketName(f.used)+", by how it went on", views.Stacked, views.Counts)
	completion = f.overTime("flow-completion", "Completion", "started and completed ÷ started", views.Lines, views.Percents)
	rate := views.Series{Name: "Completion", Color: "--c-resolution"}
	of := func(i int) *metric.FlowCount {
		if c := f.trend[i][name]; c != nil {
			return c
		}
		return new(metric.FlowCount)
	}
	for _, x := range []struct {
		how         metric.FlowCondition
		name, color string
	}{
		{metric.FlowFinished, "Completed", "--c-confirmed"}, {metric.FlowMissed, "Not completed", "--c-abandoned"}, {metric.FlowOpen, "Open", "--c-open"},
	} {
		n := f.flows[name].Count(x.how)
		s := views.Series{Name: x.name, Color: x.color, Link: f.flowLink(f.filter, name, x.how), N: n, Share: format.Percent(metric.Rate{Of: n, Among: f.flows[name].Count(metric.FlowStarted)})}
		for i := range f.spans {
			s.Values = append(s.Values, views.CountValue(of(i).Count(x.how), f.flowLink(f.at(i), name, x.how)))
		}
		started.Series = append(started.Series, s)
	}
	for i := range f.spans {
		rate.Values = append(rate.Values, views.RateValue(of(i).Completion(), f.flowLink(f.at(i), name, metric.FlowFinished), f.flowLink(f.at(i), name, metric.FlowStarted), "started"))
	}
	completion.Series, completion.Main = []views.Series{rate}, "Completed"
	return started, completion
}

// losers are the flows that most conversations began and did not complete.
func (f *figures) losers() []views.FlowRow {
	rows := f.flowRows()
	slices.SortFunc(rows, func(a, b views.FlowRow) int {
		return cmp.Or(cmp.Compare(b.Missed.N, a.Missed.N), cmp.Compare(a.Flow, b.Flow))
	})
	return rows[:min(len(rows), 8)]
}

// flowRows are the rows of the table of flows, by name.
func (f *figures) flowRows() (rows []views.FlowRow) {
	for _, flow := range slices.Sorted(maps.Keys(f.flows)) {
		if f.flows[flow].Count(metric.FlowTouched) > 0 {
			rows = append(rows, f.flowRow(flow))
		}
	}
	return rows
}

// flowLink opens the list of the conversations that did that in the flow.
func (f *figures) flowLink(filter metric.Filter, flow string, how metric.FlowCondition) string {
	if !f.links {
		return ""
	}
	return address(filter.InFlow(metric.FlowFilter{Flow: flow, How: how}))
}

func (f *figures) flowRow(flow string) views.FlowRow {
	c := f.flows[flow]
	count := func(how metric.FlowCondition) views.Value {
		return views.CountValue(c.Count(how), f.flowLink(f.filter, flow, how))
	}
	rate := c.Completion()
	row := views.FlowRow{
		Flow: flow, Page: f.flowPage(flow), Started: count(metric.FlowStarted), Completed: count(metric.FlowCompleted), Stopped: count(metric.FlowStopped), Cancelled: count(metric.FlowCancelled),
		Lost: count(metric.FlowLost), Open: count(metric.FlowOpen), Interrupted: count(metric.FlowInterrupted), Resumed: count(metric.FlowResumed), Escalated: count(metric.FlowEscalated),
		Rate: rate, Finished: views.RateValue(rate, f.flowLink(f.filter, flow, metric.FlowFinished), f.flowLink(f.filter, flow, metric.FlowStarted), "started"), Missed: count(metric.FlowMissed),
	}
	row.Took = views.Value{None: true, Text: "–"}
	if ms, ok := c.Time.Percentile(0.5); ok {
		row.Took = views.Value{V: ms, Text: format.Millis(ms), Link: row.Completed.Link, N: row.Completed.N}
	}
	steps := slices.Sorted(maps.Keys(c.LastSteps))
	slices.SortStableFunc(steps, func(a, b string) int { return cmp.Compare(c.LastSteps[b], c.LastSteps[a]) })
	for _, step := range steps {
		if step == "" {
			continue
		}
		row.Steps = append(row.Steps, views.FlowStep{Step: step, Stopped: f.stopped(flow, step)})
	}
	if f.before != nil && f.before.flows[flow] != nil {
		was := f.before.flows[flow].Completion()
		row.Was = &was
		row.Delta = views.RateDelta(rate, was, false)
	}
	return row
}

// stopped counts the conversations that did not complete a flow and were last at a step of it.
func (f *figures) stopped(flow, step string) views.Value {
	v := views.CountValue(f.flows[flow].LastSteps[step], "")
	if f.links {
		v.Link = address(f.filter.InFlow(metric.FlowFilter{Flow: flow, Stopped: step}))
	}
	return v
}

func (f *figures) flowPage(flow string) string {
	q := f.question
	q.path, q.own = "/flow", url.Values{"of": {flow}}
	return q.address()
}
