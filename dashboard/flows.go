package dashboard

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"turnwise/format"
	"turnwise/metric"
)

// Flows is the model of the table of flows.
type Flows struct {
	Bar     FilterBar
	How     string
	AnyData bool
	Rows    []FlowRow
	Sort    string
	Orders  map[string]string // addresses by order
	Funnel  string
	Cut     Cut
}

// FunnelStep is a step of a flow with how many came to it and how many stopped there.
type FunnelStep struct {
	Step          string
	Came, Stopped Value
	Share         metric.Rate
}

// Flow is the model of one flow's page.
type Flow struct {
	Bar          FilterBar
	How          string
	Name, All    string
	Paths        string
	Any, AnyData bool
	Row          FlowRow
	Cards        []Card
	Steps        []FunnelStep

	Started, Completion Chart // over time
}

// FlowRow is a row of the table of flows.
type FlowRow struct {
	Flow, Page                            string
	Started, Completed, Finished, Stopped Value
	Cancelled, Lost, Open, Missed         Value
	Interrupted, Resumed, Escalated       Value
	Rate                                  metric.Rate
	Was                                   *metric.Rate
	Delta                                 Delta
	Took                                  Value // median of the completed runs
	Steps                                 []FlowStep
}

// FlowStep is where conversations stopped.
type FlowStep struct {
	Step    string
	Stopped Value
}

// FlowsNeeds is what the page counts.
var FlowsNeeds = Needs{flows: true, steps: true}

// Flows is the table of flows.
func (f *Figures) Flows(ctx context.Context) (m Flows, err error) {
	m = Flows{
		Bar: f.bar, How: f.how(), AnyData: f.whole.Count(metric.All) > 0, Rows: f.flowRows(), Sort: f.Own.Get("sort"),
	}
	if m.Sort == "" {
		m.Sort = "started"
	}
	key, ok := flowOrders[m.Sort]
	if !ok {
		return m, &metric.InputError{
			Field: "sort", Msg: "is one of " + strings.Join(slices.Sorted(maps.Keys(flowOrders)), ", "),
		}
	}
	slices.SortStableFunc(m.Rows, func(a, b FlowRow) int {
		return cmp.Or(cmp.Compare(key(b), key(a)), cmp.Compare(a.Flow, b.Flow))
	})
	m.Rows, m.Cut = cut(f, m.Rows)
	m.Orders, m.Funnel = map[string]string{}, f.other("/funnel")
	for name := range flowOrders {
		q := f.Question
		q.Own = url.Values{"sort": {name}}
		m.Orders[name] = q.Address()
	}
	return m, nil
}

// flowOrders are what the table of flows can be ordered by, the most first.
var flowOrders = map[string]func(FlowRow) float64{
	"started":     func(r FlowRow) float64 { return r.Started.V },
	"completed":   func(r FlowRow) float64 { v, _ := r.Rate.Value(); return v },
	"missed":      func(r FlowRow) float64 { return r.Missed.V },
	"cancelled":   func(r FlowRow) float64 { return r.Cancelled.V },
	"lost":        func(r FlowRow) float64 { return r.Lost.V },
	"interrupted": func(r FlowRow) float64 { return r.Interrupted.V },
	"escalated":   func(r FlowRow) float64 { return r.Escalated.V },
}

// FlowNeeds is what the page of one flow counts.
func FlowNeeds(name string) Needs { return Needs{flows: true, steps: true, flow: name} }

// Flow is one flow.
func (f *Figures) Flow(name string) Flow {
	m := Flow{Bar: f.bar, How: f.how(), Name: name, All: f.other("/flows"), AnyData: f.whole.Count(metric.All) > 0}
	if c := f.flows[name]; c == nil || c.Count(metric.FlowTouched) == 0 {
		return m
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
		row := FunnelStep{
			Step: step, Came: Count(n, ""), Stopped: f.stopped(name, step), Share: metric.Rate{Of: n, Among: most},
		}
		if f.links {
			row.Came.Link = Address(f.Filter.InFlow(metric.FlowFilter{Flow: name, Visited: step}))
		}
		m.Steps = append(m.Steps, row)
	}
	return m
}

// flowCards are a flow's headline figures.
func (f *Figures) flowCards(r FlowRow) []Card {
	rate := r.Rate
	done := Card{
		Name: "Completion", Formula: "started and completed ÷ started", Value: r.Finished, Rate: &rate, Delta: r.Delta,
	}
	done.Base = Note{Text: "n " + format.Count(r.Started.N) + " started", Link: r.Started.Link, N: r.Started.N}
	return []Card{
		{Name: "Started", Value: r.Started},
		done,
		{Name: "Cancelled", Formula: "cancelled at least once", Value: r.Cancelled},
		{Name: "Left inside", Formula: "the conversation ended inside the flow", Value: r.Lost},
		{Name: "Escalated inside", Value: r.Escalated},
		{Name: "Median time", Formula: "from start to end of the completed runs", Value: r.Took},
	}
}

// flowOverTime draws how often a flow was started, by how it went on, and its completion.
func (f *Figures) flowOverTime(name string) (started, completion Chart) {
	started = f.overTime(
		"flow-started", "Conversations that started it", format.BucketName(f.used)+", by how it went on", Stacked,
		Counts,
	)
	completion = f.overTime("flow-completion", "Completion", "started and completed ÷ started", Lines, Percents)
	rate := Series{Name: "Completion", Color: "--c-resolution"}
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
		{metric.FlowFinished, "Completed", "--c-confirmed"}, {
			metric.FlowMissed, "Not completed", "--c-abandoned",
		}, {metric.FlowOpen, "Open", "--c-open"},
	} {
		n := f.flows[name].Count(x.how)
		s := Series{
			Name: x.name, Color: x.color, Link: f.flowLink(f.Filter, name, x.how), N: n,
			Share: format.Percent(metric.Rate{Of: n, Among: f.flows[name].Count(metric.FlowStarted)}),
		}
		for i := range f.spans {
			s.Values = append(s.Values, Count(of(i).Count(x.how), f.flowLink(f.at(i), name, x.how)))
		}
		started.Series = append(started.Series, s)
	}
	for i := range f.spans {
		rate.Values = append(
			rate.Values,
			Rate(
				of(i).Completion(), f.flowLink(f.at(i), name, metric.FlowFinished),
				f.flowLink(f.at(i), name, metric.FlowStarted), "started",
			),
		)
	}
	completion.Series, completion.Main = []Series{rate}, "Completed"
	return started, completion
}

// losers are the flows that most conversations began and did not complete.
func (f *Figures) losers() []FlowRow {
	rows := f.flowRows()
	slices.SortFunc(rows, func(a, b FlowRow) int {
		return cmp.Or(cmp.Compare(b.Missed.N, a.Missed.N), cmp.Compare(a.Flow, b.Flow))
	})
	return rows[:min(len(rows), 8)]
}

// flowRows are the rows of the table of flows, by name.
func (f *Figures) flowRows() (rows []FlowRow) {
	for _, flow := range slices.Sorted(maps.Keys(f.flows)) {
		if f.flows[flow].Count(metric.FlowTouched) > 0 {
			rows = append(rows, f.flowRow(flow))
		}
	}
	return rows
}

// flowLink opens the list of the conversations that did that in the flow.
func (f *Figures) flowLink(filter metric.Filter, flow string, how metric.FlowCondition) string {
	if !f.links {
		return ""
	}
	return Address(filter.InFlow(metric.FlowFilter{Flow: flow, How: how}))
}

func (f *Figures) flowRow(flow string) FlowRow {
	c := f.flows[flow]
	count := func(how metric.FlowCondition) Value {
		return Count(c.Count(how), f.flowLink(f.Filter, flow, how))
	}
	rate := c.Completion()
	row := FlowRow{
		Flow: flow, Page: f.flowPage(flow), Started: count(metric.FlowStarted), Completed: count(metric.FlowCompleted),
		Stopped: count(metric.FlowStopped), Cancelled: count(metric.FlowCancelled),
		Lost: count(metric.FlowLost), Open: count(metric.FlowOpen), Interrupted: count(metric.FlowInterrupted),
		Resumed: count(metric.FlowResumed), Escalated: count(metric.FlowEscalated),
		Rate: rate, Finished: Rate(
			rate, f.flowLink(f.Filter, flow, metric.FlowFinished), f.flowLink(f.Filter, flow, metric.FlowStarted),
			"started",
		), Missed: count(metric.FlowMissed),
	}
	row.Took = Unknown()
	if ms, ok := c.Time.Percentile(0.5); ok {
		row.Took = Duration(ms, row.Completed.Link, row.Completed.N)
	}
	steps := slices.Sorted(maps.Keys(c.LastSteps))
	slices.SortStableFunc(steps, func(a, b string) int { return cmp.Compare(c.LastSteps[b], c.LastSteps[a]) })
	for _, step := range steps {
		if step == "" {
			continue
		}
		row.Steps = append(row.Steps, FlowStep{Step: step, Stopped: f.stopped(flow, step)})
	}
	if f.before != nil && f.before.flows[flow] != nil {
		was := f.before.flows[flow].Completion()
		row.Was = &was
		row.Delta = RateDelta(rate, was, false)
	}
	return row
}

// stopped counts the conversations that did not complete a flow and were last at a step of it.
func (f *Figures) stopped(flow, step string) Value {
	v := Count(f.flows[flow].LastSteps[step], "")
	if f.links {
		v.Link = Address(f.Filter.InFlow(metric.FlowFilter{Flow: flow, Stopped: step}))
	}
	return v
}

func (f *Figures) flowPage(flow string) string {
	q := f.Question
	q.Path, q.Own = "/flow", url.Values{"of": {flow}}
	return q.Address()
}
