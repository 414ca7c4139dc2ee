package dashboard

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
)

// Overview is the model of the first page.
type Overview struct {
	Bar                                       FilterBar
	How                                       string
	Any, AnyData                              bool
	Cards                                     []Card
	Volume, Outcomes, Response, CSAT, Busiest Chart
	Flows                                     []FlowRow
	Reasons                                   []Reason
	Markers                                   []MarkerRow
	Tables                                    []Breakdown
	AllFlows                                  string
	Attention                                 []Attention
}

// Attention is something to look at.
type Attention struct{ Icon, Text, More, Link string }

// OverviewNeeds is what the page counts.
var OverviewNeeds = Needs{flows: true, steps: true, times: true, found: true}

// Overview is what the first page shows.
func (f *Figures) Overview(ctx context.Context) (m Overview, err error) {
	m = Overview{Bar: f.bar, How: f.how(), Any: f.whole.Count(metric.All) > 0}
	if !m.Any {
		if m.AnyData, err = queries.HasConversations(ctx, f.viewer.Pool); err != nil {
			return m, err
		}
	}
	m.Cards = f.cards()
	m.Volume = f.volume()
	m.Outcomes = f.overTime("outcomes", "Containment, resolution, durable", "of engaged, ended", Lines, Percents)
	m.Outcomes.Series = []Series{
		f.rateSeries(metric.Containment, "Containment", "--c-containment", "engaged, ended"),
		f.rateSeries(metric.Resolution, "Resolution", "--c-resolution", "engaged, ended"),
		f.rateSeries(metric.DurableShare, "Durable", "--c-durable", "engaged, ended"),
	}
	if f.whole.Count(metric.Judged) > 0 {
		m.Outcomes.Title, m.Outcomes.Quiet = "Containment, resolution, durable, success", "of engaged, ended; of judged"
		m.Outcomes.Series = append(m.Outcomes.Series, f.rateSeries(metric.SuccessRate, "Success", "--c-2", "judged"))
	}
	m.Outcomes.Main, m.Outcomes.Foot = "Resolution", "Durable stays dotted for 7 days: people may still come back."
	m.Response = f.responseOverTime()
	m.CSAT = f.overTime("csat", "CSAT", "satisfied of rated", Lines, Percents)
	m.CSAT.Series = []Series{f.rateSeries(metric.CSAT, "CSAT", "--c-sat", "rated")}
	m.CSAT.Main = "CSAT"
	m.Busiest = f.heat("busiest", "Busiest hours", "start, "+f.viewer.Zone.String())
	m.Flows = f.losers()
	m.AllFlows = f.other("/flows")
	if m.Attention, err = f.attention(ctx); err != nil {
		return m, err
	}
	m.Reasons = f.reasons()
	if m.Markers, err = f.markerRows(ctx); err != nil {
		return m, err
	}
	names, err := queries.NamesOfDimensions(ctx, f.viewer.Pool)
	if err != nil {
		return m, err
	}
	m.Tables = f.breakdowns(names, []string{
		"Conversations", "Containment", "Resolution", "Durable so far", "CSAT", "p95",
	}, func(t *metric.Tally, filter metric.Filter) []Value {
		return []Value{
			Count(
				t.Count(metric.All), f.link(filter, metric.All),
			), f.rate(
				t, filter, metric.Containment, "engaged, ended",
			), f.rate(t, filter, metric.Resolution, "engaged, ended"),
			f.rate(
				t, filter, metric.DurableShare, "engaged, ended",
			), f.rate(t, filter, metric.CSAT, "rated"), f.percentile(&t.Response, filter, 0.95),
		}
	})
	return m, nil
}

// responseOverTime draws the percentiles of the response time.
func (f *Figures) responseOverTime() Chart {
	c := f.overTime("response", "Response time", "of answered turns", Lines, Times)
	c.Series = []Series{
		f.percentileSeries(0.5, "p50", "--c-p50"),
		f.percentileSeries(0.95, "p95", "--c-p95"),
		f.percentileSeries(0.99, "p99", "--c-p99"),
	}
	c.Main = "p95"
	return c
}

// cards are the headline figures.
func (f *Figures) cards() []Card {
	t := &f.whole
	all := Card{
		Name: "Conversations", Value: Count(t.Count(metric.All), f.link(f.Filter, metric.All)),
		Formula: "all conversations that began in the range",
	}
	engaged := f.rate(t, f.Filter, metric.Engagement, "")
	all.Base = Note{Text: format.Count(engaged.N) + " engaged", Link: engaged.Link, N: engaged.N}
	all.Beside = engaged.Text()
	if f.before != nil {
		all.Delta = CountDelta(t.Count(metric.All), f.before.whole.Count(metric.All))
	}
	cards := []Card{all}
	for _, m := range []struct {
		measure metric.Measure
		base    string
	}{
		{metric.Containment, "engaged, ended"}, {metric.Resolution, "engaged, ended"},
	} {
		cards = append(cards, f.rateCard(m.measure, m.base))
	}
	cards = append(cards, f.durableCard())
	if t.Count(metric.Judged) > 0 {
		c := f.rateCard(metric.SuccessRate, "judged")
		c.Beside = format.Percent(metric.Rate{Of: t.Count(metric.Judged), Among: t.Count(metric.All)}) + " of all"
		cards = append(cards, c)
	}
	return append(cards, f.percentileCard(0.95, "Response time, p95"), f.rateCard(metric.CSAT, "rated"))
}

// rateCard is a measure over the whole range.
func (f *Figures) rateCard(m metric.Measure, base string) Card {
	rate := f.whole.Rate(m)
	c := Card{
		Name: m.Name, Formula: m.Formula + ": " + format.Count(rate.Of) + " ÷ " + format.Count(rate.Among),
		Value: f.rate(&f.whole, f.Filter, m, base), Rate: &rate,
	}
	c.Base = Note{Text: "n " + format.Count(rate.Among) + " " + base, Link: f.link(f.Filter, m.Among), N: rate.Among}
	if f.before != nil {
		c.Delta = RateDelta(rate, f.before.whole.Rate(m), m.LessIs)
	}
	return c
}

// durableCard is durable resolution of those conversations from which people have had their days to come back.
func (f *Figures) durableCard() Card {
	ripe := metric.AddDays(f.Now, -metric.DurableDays, f.Zone)
	from, until := f.Filter.Range.Bounds(f.Now, f.Zone)
	if !ripe.Before(until) {
		return f.rateCard(metric.DurableShare, "engaged, ended")
	}
	only := *f
	only.Filter, only.whole = f.Filter.Within(from, ripe), metric.Tally{}
	if !from.Before(ripe) {
		c := Card{Name: metric.DurableShare.Name, Formula: metric.DurableShare.Formula, Value: Unknown()}
		c.Base = Note{Text: "people may still come back"}
		return c
	}
	for _, c := range f.cells {
		if c.At.Before(ripe) {
			only.whole.MergeCounts(c.Tally)
		}
	}
	c := only.rateCard(metric.DurableShare, "ended, to "+f.viewer.Day(ripe.Add(-time.Hour)))
	return c
}

// percentileCard is a percentile of the response times over the whole range.
func (f *Figures) percentileCard(p float64, name string) Card {
	l := &f.whole.Response
	c := Card{
		Name: name, Formula: "time from the message to the answer, over turns that the assistant answered",
		Value: f.percentile(l, f.Filter, p),
	}
	c.Base = Note{Text: "n " + format.Count(l.N) + " turns", Link: f.turns(f.Filter, 0), N: l.N}
	if p50, ok := l.Percentile(0.5); ok {
		c.Beside = "p50 " + format.Millis(p50)
	}
	if f.before != nil {
		c.Delta = TimeDelta(l, &f.before.whole.Response, p)
	}
	return c
}

// volume draws conversations by outcome.
func (f *Figures) volume() Chart {
	c := f.overTime("volume", "Conversations by outcome", format.BucketName(f.used)+", by start", Stacked, Counts)
	c.Wide = true
	total := f.whole.Count(metric.All)
	for _, o := range []struct {
		is          metric.Condition
		name, color string
	}{
		{metric.Confirmed, "Resolved, confirmed", "--c-confirmed"},
		{metric.Assumed, "assumed", "--c-assumed"},
		{metric.HandedOff, "Escalated", "--c-escalated"},
		{metric.Abandoned, "Abandoned", "--c-abandoned"},
		{metric.Open, "Open", "--c-open"},
		{metric.EndedNotEngaged, "Not engaged", "--c-none"},
	} {
		n := f.whole.Count(o.is)
		s := Series{
			Name: o.name, Color: o.color, Link: f.link(f.Filter, o.is), N: n,
			Share: format.Percent(metric.Rate{Of: n, Among: total}),
		}
		for i := range f.points {
			s.Values = append(s.Values, Count(f.points[i].Count(o.is), f.link(f.at(i), o.is)))
		}
		c.Series = append(c.Series, s)
	}
	if f.before != nil {
		c.Before = &Series{Name: "Compared", Color: "--c-compare"}
		for i := range min(len(f.points), len(f.before.points)) {
			c.Before.Values = append(c.Before.Values, Value{V: float64(f.before.points[i].Count(metric.All))})
		}
	}
	return c
}

// reasons are those of escalations, the most frequent first.
func (f *Figures) reasons() (all []Reason) {
	total := f.whole.Count(metric.Escalated)
	for _, reason := range slices.Sorted(maps.Keys(f.whole.Reasons)) {
		n := f.whole.Reasons[reason]
		if n == 0 {
			continue
		}
		filter := f.Filter
		filter.Reasons = []string{reason}
		all = append(all, Reason{
			Name: reason, Count: Count(n, f.link(filter, metric.Escalated)), Share: metric.Rate{Of: n, Among: total},
		})
	}
	slices.SortStableFunc(all, func(a, b Reason) int { return cmp.Compare(b.Count.N, a.Count.N) })
	return all
}

// manySilent is how many assistants without a hand-off signal are named one by one.
const manySilent = 3

// attention lists what somebody should look at, the worst first.
func (f *Figures) attention(ctx context.Context) ([]Attention, error) {
	_, until := f.Filter.Range.Bounds(f.Now, f.Zone)
	if until.After(f.Now) {
		until = f.Now
	}
	silent, err := f.silent(ctx, until)
	if err != nil {
		return nil, err
	}
	aside, err := f.rejected(ctx)
	if err != nil {
		return nil, err
	}
	all := append(silent, aside...)
	if f.before == nil {
		return all, nil
	}
	return append(all, f.worse()...), nil
}

// silent tells which assistants hand over nothing.
func (f *Figures) silent(ctx context.Context, until time.Time) (all []Attention, err error) {
	silent, err := queries.SilentAssistants(ctx, f.viewer.Pool, until, f.Now)
	if err != nil {
		return nil, err
	}
	silent = slices.DeleteFunc(silent, func(x queries.Silent) bool {
		return len(f.Filter.Assistants) > 0 && !slices.Contains(f.Filter.Assistants, x.Assistant)
	})
	if len(silent) > manySilent {
		all = append(all, Attention{
			Icon: "headset", Text: "No hand-off signal from " + format.Count(int64(len(silent))) +
				" assistants for 30 days", Link: "/health",
			More: "Each of their conversations counts as contained, which cannot be trusted.",
		})
		silent = nil
	}
	for _, x := range silent {
		all = append(all, Attention{
			Icon: "headset", Text: "No hand-off signal from " + x.Assistant + " for 30 days", Link: "/health",
			More: "It handed over none of " + format.SilentCount(x.Conversations) +
				". If people do take over conversations, its containment cannot be trusted.",
		})
	}
	return all, nil
}

// rejected tells that events are set aside.
func (f *Figures) rejected(ctx context.Context) (all []Attention, err error) {
	rejected, err := queries.RejectedReasons(ctx, f.viewer.Pool)
	if err != nil {
		return nil, err
	}
	var n int64
	for _, x := range rejected {
		n += x.Bodies
	}
	if n > 0 {
		all = append(all, Attention{
			Icon: "alert-triangle", Text: format.Plural(n, "event is", "events are") + " set aside",
			More: "They could not be stored; mend and replay them under Data health.", Link: "/health",
		})
	}
	return all, nil
}

// worse tells what is worse than in the range that it is compared with, beyond chance.
func (f *Figures) worse() (all []Attention) {
	for _, flow := range slices.Sorted(maps.Keys(f.flows)) {
		c, was := f.flows[flow], f.before.flows[flow]
		if was == nil {
			continue
		}
		now, then := c.Completion(), was.Completion()
		if d, ok := now.Minus(then); ok && d.High < -0.02 && !now.Few() && !then.Few() {
			all = append(all, Attention{
				Icon: "arrows-split", Text: flow + " completes " + format.Percent(now) + ", was " +
					format.Percent(then), Link: f.flowPage(flow),
				More: "n " + format.Count(now.Among) + " started",
			})
		}
	}
	if now, before := f.whole.Response, f.before.whole.Response; now.N > 0 && before.N > 0 {
		low, _, _ := now.Interval(0.95)
		_, high, _ := before.Interval(0.95)
		if low > 1.1*high {
			a, _ := now.Percentile(0.95)
			b, _ := before.Percentile(0.95)
			all = append(all, Attention{
				Icon: "clock", Text: "p95 of the response time is " + format.Millis(a) + ", was " + format.Millis(b),
				More: "n " + format.Count(now.N) + " turns", Link: f.other("/latency"),
			})
		}
	}
	if now, then := f.whole.Rate(metric.CSAT), f.before.whole.Rate(metric.CSAT); !now.Few() && !then.Few() {
		if d, ok := now.Minus(then); ok && d.High < -0.02 {
			all = append(all, Attention{
				Icon: "mood-smile", Text: "CSAT is " + format.Percent(now) + ", was " + format.Percent(then),
				More: "n " + format.Count(now.Among) + " rated", Link: f.other("/csat"),
			})
		}
	}
	return all
}
