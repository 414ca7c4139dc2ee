package web

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// overview answers GET /overview.
func (s *server) overview(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Overview", "Overview")
	f, done, err := s.readFigures(w, r, page, overviewNeeds)
	if done || err != nil {
		return err
	}
	m, err := s.overviewModel(r.Context(), f)
	if err != nil {
		return err
	}
	return s.renderEither(w, r, views.OverviewPage(m), views.OverviewView(m))
}

// overviewNeeds is what the page counts.
var overviewNeeds = counted{flows: true, steps: true, times: true}

func (s *server) overviewModel(ctx context.Context, f *figures) (m views.Overview, err error) {
	m = views.Overview{Page: f.page, Bar: f.bar, How: f.how(), Any: f.whole.Count(metric.All) > 0}
	if !m.Any {
		if m.AnyData, err = queries.HasConversations(ctx, s.Pool); err != nil {
			return m, err
		}
	}
	m.Cards = f.cards()
	m.Volume = f.volume()
	m.Outcomes = f.overTime("outcomes", "Containment, resolution, durable", "of engaged, ended", views.Lines, views.Percents)
	m.Outcomes.Series = []views.Series{
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
	m.CSAT = f.overTime("csat", "CSAT", "satisfied of rated", views.Lines, views.Percents)
	m.CSAT.Series = []views.Series{f.rateSeries(metric.CSAT, "CSAT", "--c-sat", "rated")}
	m.CSAT.Main = "CSAT"
	m.Busiest = f.heat("busiest", "Busiest hours", "start, "+s.Zone.String())
	m.Flows = f.losers()
	m.AllFlows = f.other("/flows")
	if m.Attention, err = s.attention(ctx, f); err != nil {
		return m, err
	}
	m.Reasons = f.reasons()
	names, err := queries.NamesOfDimensions(ctx, s.Pool)
	if err != nil {
		return m, err
	}
	m.Tables = f.breakdowns(names, []string{"Conversations", "Containment", "Resolution", "Durable so far", "CSAT", "p95"}, func(t *metric.Tally, filter metric.Filter) []views.Value {
		return []views.Value{
			views.CountValue(t.Count(metric.All), f.link(filter, metric.All)), f.rate(t, filter, metric.Containment, "engaged, ended"), f.rate(t, filter, metric.Resolution, "engaged, ended"),
			f.rate(t, filter, metric.DurableShare, "engaged, ended"), f.rate(t, filter, metric.CSAT, "rated"), f.percentile(&t.Response, filter, 0.95),
		}
	})
	return m, nil
}

// responseOverTime draws the percentiles of the response time.
func (f *figures) responseOverTime() views.Chart {
	c := f.overTime("response", "Response time", "of answered turns", views.Lines, views.Times)
	c.Series = []views.Series{
		f.percentileSeries(0.5, "p50", "--c-p50"),
		f.percentileSeries(0.95, "p95", "--c-p95"),
		f.percentileSeries(0.99, "p99", "--c-p99"),
	}
	c.Main = "p95"
	return c
}

// cards are the headline figures.
func (f *figures) cards() []views.Card {
	t := &f.whole
	all := views.Card{Name: "Conversations", Value: views.CountValue(t.Count(metric.All), f.link(f.filter, metric.All)), Formula: "all conversations that began in the range"}
	engaged := f.rate(t, f.filter, metric.Engagement, "")
	all.Base = views.Value{Text: format.Count(engaged.N) + " engaged", Link: engaged.Link, N: engaged.N}
	all.Beside = engaged.Text
	if f.before != nil {
		all.Delta = views.CountDelta(t.Count(metric.All), f.before.whole.Count(metric.All))
	}
	cards := []views.Card{all}
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
func (f *figures) rateCard(m metric.Measure, base string) views.Card {
	rate := f.whole.Rate(m)
	c := views.Card{Name: m.Name, Formula: m.Formula + ": " + format.Count(rate.Of) + " ÷ " + format.Count(rate.Among), Value: f.rate(&f.whole, f.filter, m, base), Rate: &rate}
	c.Base = views.Value{Text: "n " + format.Count(rate.Among) + " " + base, Link: f.link(f.filter, m.Among), N: rate.Among}
	if f.before != nil {
		c.Delta = views.RateDelta(rate, f.before.whole.Rate(m), m.LessIs)
	}
	return c
}

// durableCard is durable resolution of those conversations from which people have had their days to come back.
func (f *figures) durableCard() views.Card {
	ripe := metric.AddDays(f.now, -metric.DurableDays, f.zone)
	from, until := f.filter.Range.Bounds(f.now, f.zone)
	if !ripe.Before(until) {
		return f.rateCard(metric.DurableShare, "engaged, ended")
	}
	only := *f
	only.filter, only.whole = f.filter.Within(from, ripe), metric.Tally{}
	if !from.Before(ripe) {
		c := views.Card{Name: metric.DurableShare.Name, Formula: metric.DurableShare.Formula, Value: views.Value{None: true, Text: "–"}}
		c.Base = views.Value{Text: "people may still come back"}
		return c
	}
	for _, c := range f.cells {
		if c.At.Before(ripe) {
			only.whole.MergeCounts(c.Tally)
		}
	}
	c := only.rateCard(metric.DurableShare, "ended, to "+f.page.Day(ripe.Add(-time.Hour)))
	return c
}

// percentileCard is a percentile of the response times over the whole range.
func (f *figures) percentileCard(p float64, name string) views.Card {
	l := &f.whole.Response
	c := views.Card{Name: name, Formula: "time from the message to the answer, over turns that the assistant answered", Value: f.percentile(l, f.filter, p)}
	c.Base = views.Value{Text: "n " + format.Count(l.N) + " turns", Link: f.turns(f.filter, 0), N: l.N}
	if p50, ok := l.Percentile(0.5); ok {
		c.Beside = "p50 " + format.Millis(p50)
	}
	if f.before != nil {
		c.Delta = views.TimeDelta(l, &f.before.whole.Response, p)
	}
	return c
}

// volume draws conversations by outcome.
func (f *figures) volume() views.Chart {
	c := f.overTime("volume", "Conversations by outcome", format.BucketName(f.used)+", by start", views.Stacked, views.Counts)
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
		{metric.NotEngaged, "Not engaged", "--c-none"},
	} {
		n := f.whole.Count(o.is)
		s := views.Series{Name: o.name, Color: o.color, Link: f.link(f.filter, o.is), N: n, Share: format.Percent(metric.Rate{Of: n, Among: total})}
		for i := range f.points {
			s.Values = append(s.Values, views.CountValue(f.points[i].Count(o.is), f.link(f.at(i), o.is)))
		}
		c.Series = append(c.Series, s)
	}
	if f.before != nil {
		c.Before = &views.Series{Name: "Compared", Color: "--c-compare"}
		for i := range min(len(f.points), len(f.before.points)) {
			c.Before.Values = append(c.Before.Values, views.Value{V: float64(f.before.points[i].Count(metric.All))})
		}
	}
	return c
}

// reasons are those of escalations, the most frequent first.
func (f *figures) reasons() (all []views.Reason) {
	total := f.whole.Count(metric.Escalated)
	for _, reason := range slices.Sorted(maps.Keys(f.whole.Reasons)) {
		n := f.whole.Reasons[reason]
		if n == 0 {
			continue
		}
		filter := f.filter
		filter.Reasons = []string{reason}
		all = append(all, views.Reason{Name: reason, Count: views.CountValue(n, f.link(filter, metric.Escalated)), Share: metric.Rate{Of: n, Among: total}})
	}
	slices.SortStableFunc(all, func(a, b views.Reason) int { return cmp.Compare(b.Count.N, a.Count.N) })
	return all
}

// manySilent is how many assistants without a hand-off signal are named one by one.
const manySilent = 3

// attention lists what somebody should look at, the worst first.
func (s *server) attention(ctx context.Context, f *figures) (all []views.Attention, err error) {
	_, until := f.filter.Range.Bounds(f.now, f.zone)
	if until.After(f.now) {
		until = f.now
	}
	silent, err := queries.SilentAssistants(ctx, s.Pool, until, f.now)
	if err != nil {
		return nil, err
	}
	silent = slices.DeleteFunc(silent, func(x queries.Silent) bool {
		return len(f.filter.Assistants) > 0 && !slices.Contains(f.filter.Assistants, x.Assistant)
	})
	if len(silent) > manySilent {
		all = append(all, views.Attention{
			Icon: "headset", Text: "No hand-off signal from " + format.Count(int64(len(silent))) + " assistants for 30 days", Link: "/health",
			More: "Each of their conversations counts as contained, which cannot be trusted.",
		})
		silent = nil
	}
	for _, x := range silent {
		all = append(all, views.Attention{
			Icon: "headset", Text: "No hand-off signal from " + x.Assistant + " for 30 days", Link: "/health",
			More: "It handed over none of " + format.SilentCount(x.Conversations) + ". If people do take over conversations, its containment cannot be trusted.",
		})
	}
	rejected, err := queries.RejectedReasons(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	var n int64
	for _, x := range rejected {
		n += x.Bodies
	}
	if n > 0 {
		all = append(all, views.Attention{Icon: "alert-triangle", Text: format.Plural(n, "event is", "events are") + " set aside", More: "They could not be stored; mend and replay them under Data health.", Link: "/health"})
	}
	if f.before == nil {
		return all, nil
	}
	for _, flow := range slices.Sorted(maps.Keys(f.flows)) {
		c, was := f.flows[flow], f.before.flows[flow]
		if was == nil {
			continue
		}
		now, then := c.Completion(), was.Completion()
		if d, ok := now.Minus(then); ok && d.High < -0.02 && !now.Few() && !then.Few() {
			all = append(all, views.Attention{
				Icon: "arrows-split", Text: flow + " completes " + format.Percent(now) + ", was " + format.Percent(then), Link: f.flowPage(flow),
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
			all = append(all, views.Attention{Icon: "clock", Text: "p95 of the response time is " + format.Millis(a) + ", was " + format.Millis(b), More: "n " + format.Count(now.N) + " turns", Link: f.other("/latency")})
		}
	}
	if now, then := f.whole.Rate(metric.CSAT), f.before.whole.Rate(metric.CSAT); !now.Few() && !then.Few() {
		if d, ok := now.Minus(then); ok && d.High < -0.02 {
			all = append(all, views.Attention{Icon: "mood-smile", Text: "CSAT is " + format.Percent(now) + ", was " + format.Percent(then), More: "n " + format.Count(now.Among) + " rated", Link: f.other("/csat")})
		}
	}
	return all, nil
}
