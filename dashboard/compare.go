package dashboard

import (
	"cmp"
	"context"
	"slices"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// ComparisonRow is a measure of two groups.
type ComparisonRow struct {
	Name, Formula        string
	A, B                 Value
	Difference, Adjusted Delta
	Covered              float64 // the share of conversations that the adjusted difference rests on
}

// Comparison is the model of two groups side by side.
type Comparison struct {
	Bar     FilterBar
	How     string
	By      string
	Strata  string // what the difference is adjusted for
	Kinds   [][2]string
	Values  []string
	A, B    string
	Swap    string // the same the other way round
	AnyData bool
	Rows    []ComparisonRow
}

// dimension is what two groups of conversations can differ in.
type dimension struct {
	key, label string
	title      string // of tables
	name       func(queries.DimensionNames, figures.Dimensions) string
	to         func(f *metric.Filter, value string)
	strata     string // the mix that the comparison is adjusted for
}

var dimensions = []dimension{
	{
		ByVersion, "Versions", "Version",
		func(n queries.DimensionNames, d figures.Dimensions) string { return n.Versions[d.Version] },
		func(f *metric.Filter, v string) { f.Versions = []string{v} }, "channel",
	},
	{
		ByChannel, "Channels", "Channel",
		func(n queries.DimensionNames, d figures.Dimensions) string { return n.Channels[d.Channel] },
		func(f *metric.Filter, v string) { f.Channels = []string{v} }, "version",
	},
	{
		ByEnvironment, "Environments", "Environment",
		func(n queries.DimensionNames, d figures.Dimensions) string { return n.Environments[d.Environment] },
		func(f *metric.Filter, v string) { f.Environments = []string{v} }, "channel",
	},
	{
		ByAssistant, "Assistants", "Assistant",
		func(n queries.DimensionNames, d figures.Dimensions) string { return n.Assistants[d.Assistant] },
		func(f *metric.Filter, v string) { f.Assistants = []string{v} }, "channel",
	},
}

func dimensionOf(key string) dimension {
	for _, d := range dimensions {
		if d.key == key {
			return d
		}
	}
	return dimensions[0]
}

// group is one side of a comparison.
type group struct {
	name   string
	filter metric.Filter
	of     int32 // its assistant
	whole  metric.Tally
	strata map[string]*metric.Tally
}

// CompareNeeds is what the page counts.
var CompareNeeds = Needs{times: true}

// Comparison are two groups side by side.
func (f *Figures) Comparison(ctx context.Context) (m Comparison, err error) {
	names, err := queries.NamesOfDimensions(ctx, f.viewer.Pool)
	if err != nil {
		return m, err
	}
	by := dimensionOf(f.Own.Get("by"))
	m = Comparison{Bar: f.bar, How: f.how(), By: by.key, Strata: by.strata, AnyData: f.whole.Count(metric.All) > 0}
	m.Bar.Compares, m.Bar.Buckets = nil, nil
	for _, d := range dimensions {
		m.Kinds = append(m.Kinds, [2]string{d.key, d.label})
	}
	groups := f.groups(by, names)
	for _, g := range groups {
		m.Values = append(m.Values, g.name)
	}
	if len(groups) < 2 {
		return m, nil
	}
	pick := func(wanted string, other *group) *group {
		i := slices.IndexFunc(groups, func(g *group) bool { return g.name == wanted })
		if i < 0 {
			i = slices.IndexFunc(
				groups, func(g *group) bool { return g != other && (other == nil || g.of == other.of) },
			)
		}
		if i < 0 { // of another assistant, then
			i = slices.IndexFunc(groups, func(g *group) bool { return g != other })
		}
		return groups[i]
	}
	a := pick(f.Own.Get("a"), nil)
	b := pick(f.Own.Get("b"), a)
	if by.key == "version" && f.Own.Get("a") == "" && f.Own.Get("b") == "" {
		ages, err := queries.VersionAges(ctx, f.viewer.Pool)
		if err != nil {
			return m, err
		}
		if ages[b.name].Before(ages[a.name]) { // the older one first: what is asked is whether the newer is better
			a, b = b, a
		}
	}
	m.A, m.B = a.name, b.name
	m.Swap = f.Owning("by", by.key).Owning("a", b.name).Owning("b", a.name).Address()
	m.Rows = f.compareRows(a, b)
	return m, nil
}

// groups are the values of a dimension with their figures, the most frequent first.
func (f *Figures) groups(by dimension, names queries.DimensionNames) []*group {
	strata := dimensionOf(by.strata)
	found := map[string]*group{}
	for d, t := range f.sums {
		name := cmp.Or(by.name(names, d), metric.Unknown)
		g := found[name]
		if g == nil {
			g = &group{name: name, of: d.Assistant, filter: f.Filter, strata: map[string]*metric.Tally{}}
			by.to(&g.filter, name)
			found[name] = g
		}
		g.whole.Merge(t)
		stratum := strata.name(names, d)
		if g.strata[stratum] == nil {
			g.strata[stratum] = new(metric.Tally)
		}
		g.strata[stratum].Merge(t)
	}
	var all []*group
	for _, g := range found {
		if g.whole.Count(metric.All) > 0 {
			all = append(all, g)
		}
	}
	slices.SortFunc(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.whole.Count(metric.All), a.whole.Count(metric.All)), cmp.Compare(a.name, b.name))
	})
	return all
}

// compareRows are the measures of two groups with their differences.
func (f *Figures) compareRows(a, b *group) []ComparisonRow {
	rows := []ComparisonRow{{
		Name: "Conversations",
		A: Count(
			a.whole.Count(metric.All), f.link(a.filter, metric.All),
		), B: Count(b.whole.Count(metric.All), f.link(b.filter, metric.All)),
	}}
	for _, m := range []struct {
		measure metric.Measure
		base    string
	}{
		{metric.Engagement, "conversations"},
		{metric.Containment, "engaged, ended"},
		{metric.Resolution, "engaged, ended"},
		{metric.DurableShare, "engaged, ended"},
		{metric.EscalationRate, "engaged"},
		{metric.Abandonment, "engaged, ended"},
		{metric.CSAT, "rated"},
		{metric.ResponseRate, "asked"},
	} {
		row := ComparisonRow{
			Name: m.measure.Name, Formula: m.measure.Formula, A: f.rate(&a.whole, a.filter, m.measure, m.base),
			B: f.rate(&b.whole, b.filter, m.measure, m.base),
		}
		if d, ok := b.whole.Rate(m.measure).Minus(a.whole.Rate(m.measure)); ok {
			row.Difference = RateDifference(d, m.measure.LessIs)
		}
		strata := func(g *group) map[string]metric.Rate {
			all := map[string]metric.Rate{}
			for k, t := range g.strata {
				all[k] = t.Rate(m.measure)
			}
			return all
		}
		if d, covered, ok := metric.Adjusted(strata(b), strata(a)); ok {
			row.Adjusted = RateDifference(d, m.measure.LessIs)
			row.Covered = covered
		}
		rows = append(rows, row)
	}
	for _, p := range []struct {
		p    float64
		name string
	}{{0.5, "Response time, p50"}, {0.95, "Response time, p95"}} {
		row := ComparisonRow{
			Name: p.name, A: f.percentile(&a.whole.Response, a.filter, p.p),
			B: f.percentile(&b.whole.Response, b.filter, p.p),
		}
		row.Difference = TimeDifference(&b.whole.Response, &a.whole.Response, p.p)
		rows = append(rows, row)
	}
	return rows
}
