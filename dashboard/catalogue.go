package dashboard

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/access"
	"turnwise/metric"
	"turnwise/queries"
)

// Asked is a question about a measure.
type Asked struct {
	Measure Measure
	Group   string        // "": not told apart
	Bucket  metric.Bucket // "": not over time
}

// MeasureRow is a group, a stretch of time, or a group in a stretch.
type MeasureRow struct {
	Group  string // "" where it is not told apart
	Span   *metric.Span
	Over   bool // nothing more can begin in the stretch
	Filter metric.Filter
	Figure Figure
	Before *Figure // nil: compared with nothing, or it was not there
}

// MeasureAnswer answers a question about a measure.
type MeasureAnswer struct {
	Asked
	Filter  metric.Filter
	Range   metric.Span
	Before  *metric.Span // compared with
	Frozen  *time.Time   // conversations before may have been deleted by retention; nil: none of the range
	Facts   bool         // counted from conversations, where deleted ones are left out
	Total   *MeasureRow  // nil for a measure that is there by groups alone
	Rows    []MeasureRow // groups: the one with most first; else in time's order
	Dropped int          // groups that are too many to be told
}

// mostGroups is how many groups are told, mostTold how many rows where they are told over time.
const (
	mostGroups = 1000
	mostTold   = 20000
)

// Measure answers a question about a measure; the address says the range, the filter, and what to compare with: nothing,
// where it does not say.
func (v Viewer) Measure(ctx context.Context, asked Asked, query url.Values) (a MeasureAnswer, err error) {
	a.Asked = asked
	m := &asked.Measure
	switch {
	case asked.Group != "" && !slices.Contains(m.Groups, asked.Group):
		return a, &metric.InputError{Field: "group", Msg: "for " + m.Name + " must be " + cmp.Or(strings.Join(m.Groups, ", "), "left out: it cannot be grouped")}
	case m.Grouped && asked.Group == "":
		return a, &metric.InputError{Field: "group", Msg: "is needed for " + m.Name + ": add group=" + m.Groups[0]}
	case asked.Bucket != "" && (!m.Over || asked.Group != "" && !slices.Contains(byDimension, asked.Group)):
		return a, &metric.InputError{Field: "bucket", Msg: "cannot be used: " + m.Name + " is not available over time" + map[bool]string{true: " by " + asked.Group}[m.Over]}
	}
	query = maps.Clone(query)
	if query.Get("compare") == "" {
		query.Set("compare", "no")
	}
	query.Del("bucket")
	q, err := v.asked(ctx, "/figures", query)
	if err != nil {
		return a, err
	}
	q.Bucket = asked.Bucket
	f := &Figures{Question: q, viewer: v, links: v.Rights[access.SeeTranscripts]}
	from, until := q.Filter.Range.Bounds(q.Now, q.Zone)
	f.used = q.Bucket.In(from, until)
	if asked.Bucket != "" && f.used != asked.Bucket {
		return a, &metric.InputError{Field: "bucket", Msg: "makes more than 800 stretches of this range: ask for longer ones"}
	}
	a.Filter, a.Range = q.Filter, metric.Span{From: from, Until: until}
	var rows, before []part
	var names queries.DimensionNames
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(2)
	g.Go(func() (err error) {
		a.Frozen, err = queries.FrozenBefore(inner, v.Pool, q.Filter, q.Now, q.Zone)
		return err
	})
	g.Go(func() error { return f.count(inner, m.needs) })
	if q.compare != "" {
		f.before = f.compared()
		f.before.links = f.links
		bf, bu := f.before.Filter.Range.Bounds(q.Now, q.Zone)
		a.Before = &metric.Span{From: bf, Until: bu}
		g.Go(func() error { return f.before.count(inner, m.needs) })
	}
	g.Go(func() (err error) { names, err = queries.NamesOfDimensions(inner, v.Pool); return err })
	if err := g.Wait(); err != nil {
		return a, err
	}
	a.Facts = f.facts || m.apart != (apart{})
	if rows, err = f.parts(ctx, &asked, names); err != nil {
		return a, err
	}
	if f.before != nil {
		if before, err = f.before.parts(ctx, &asked, names); err != nil {
			return a, err
		}
	}
	a.fill(f, rows, before)
	return a, nil
}

// fill sets the values of the parts, each with what it is compared with.
func (a *MeasureAnswer) fill(f *Figures, rows, before []part) {
	m := &a.Measure
	type key struct {
		group string
		place int
		whole bool
	}
	keyOf := func(p *part) key { return key{p.group, p.place, p.span == nil} }
	by := map[key]*part{}
	for j := range before {
		by[keyOf(&before[j])] = &before[j]
	}
	here := map[string]bool{}
	for i := range rows {
		here[rows[i].group] = true
	}
	for j := range before { // groups that are gone are what one looks for
		if b := &before[j]; b.span == nil && b.group != "" && !here[b.group] {
			gone := part{
				group: b.group, filter: b.filter, tally: new(metric.Tally), flow: new(metric.FlowCount),
				intent: new(metric.IntentCount), marker: new(metric.MarkerCount),
			}
			gone.filter.Range = f.Filter.Range
			rows = append(rows, gone)
		}
	}
	for i := range rows {
		p := &rows[i]
		row := MeasureRow{Group: p.group, Span: p.span, Filter: p.filter, Figure: m.value(f, p)}
		if row.Over = !a.Range.Until.After(f.Now); p.span != nil {
			row.Over = !f.used.End(p.span.From, f.Zone).After(f.Now)
		}
		if b := by[keyOf(p)]; b != nil {
			was := m.value(f.before, b)
			row.Before = &was
		}
		if i == 0 && !m.Grouped {
			a.Total = &row
			continue
		}
		a.Rows = append(a.Rows, row)
	}
	if a.Bucket == "" && a.Group != "" {
		slices.SortStableFunc(a.Rows, func(x, y MeasureRow) int { return cmp.Compare(y.Figure.N, x.Figure.N) })
	}
	a.Dropped = f.dropped
	if len(a.Rows) > mostGroups && a.Bucket == "" {
		a.Dropped = len(a.Rows) - mostGroups
		a.Rows = a.Rows[:mostGroups]
	}
}

// parts are what the values of an answer are made of: first the whole range, unless there is none of it.
func (f *Figures) parts(ctx context.Context, asked *Asked, names queries.DimensionNames) (all []part, err error) {
	m := &asked.Measure
	if !m.Grouped {
		all = append(all, part{filter: f.Filter, tally: &f.whole, active: f.users.Active, intent: f.words.Whole()})
	}
	switch {
	case slices.Contains(byDimension, asked.Group):
		all = append(all, f.dimensionParts(asked, names)...)
	case asked.Group == ByFlow:
		for _, flow := range slices.Sorted(maps.Keys(f.flows)) {
			if f.flows[flow].Count(metric.FlowTouched) > 0 {
				of := f.Filter.InFlow(metric.FlowFilter{Flow: flow})
				all = append(all, part{group: flow, filter: of, flow: f.flows[flow]})
			}
		}
	case asked.Group == ByIntent:
		for _, intent := range slices.Sorted(maps.Keys(f.words.Intents)) {
			of := f.Filter
			of.Turns = metric.TurnFilter{Intent: cmp.Or(intent, metric.Unknown)}
			all = append(all, part{group: metric.NameOf(intent), filter: of, intent: f.words.Intents[intent]})
		}
	case asked.Group == ByMarker:
		if all, err = f.markerParts(ctx, all); err != nil {
			return nil, err
		}
	case asked.Bucket != "":
		for i := range f.spans {
			p := part{span: &f.spans[i], place: i, filter: f.at(i), tally: &f.points[i]}
			if len(f.users.Spans) > 0 {
				p.active = f.users.Spans[i]
			}
			all = append(all, p)
		}
	}
	if m.apart != (apart{}) {
		return f.counted(ctx, asked, all)
	}
	return all, nil
}

// markerParts adds the markers that are looked for.
func (f *Figures) markerParts(ctx context.Context, all []part) ([]part, error) {
	patterns, err := queries.Patterns(ctx, f.viewer.Pool, "")
	if err != nil {
		return nil, err
	}
	places := map[string]int{}
	for _, p := range patterns {
		if !p.Active || !f.of(p.Assistant) {
			continue
		}
		i, ok := places[p.Name]
		if !ok {
			i = len(all)
			places[p.Name] = i
			of := f.Filter
			of.Markers = append(slices.Clone(of.Markers), p.Name)
			all = append(all, part{group: p.Name, filter: of, marker: &metric.MarkerCount{}})
		}
		if c := f.found[p.ID]; c != nil {
			all[i].marker.Merge(c)
		}
	}
	return all, nil
}

// dimensionParts are the values of a dimension, over time where that is asked for.
func (f *Figures) dimensionParts(asked *Asked, names queries.DimensionNames) (all []part) {
	d := dimensionOf(asked.Group)
	type place struct {
		name string
		span int // -1: the whole range
	}
	sums := map[place]*metric.Tally{}
	add := func(name string, span int, t *metric.Tally) {
		k := place{name, span}
		if sums[k] == nil {
			sums[k] = new(metric.Tally)
		}
		sums[k].Merge(t)
	}
	if asked.Bucket == "" {
		for dims, t := range f.sums {
			add(d.name(names, dims), -1, t)
		}
	} else {
		found := map[string]int64{} // conversations of each
		for _, c := range f.cells {
			found[d.name(names, c.Dimensions)] += c.Tally.Count(metric.All)
		}
		shown := f.largest(found)
		for _, c := range f.cells {
			if name := d.name(names, c.Dimensions); shown[name] {
				add(name, f.spanOf(c.At), c.Tally)
			}
		}
		for name := range shown {
			for i := range f.spans { // empty stretches are there too
				if sums[place{name, i}] == nil {
					sums[place{name, i}] = new(metric.Tally)
				}
			}
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.span, b.span))
	}) {
		p := part{group: metric.NameOf(k.name), filter: f.Filter, tally: sums[k]}
		if k.span < 0 && p.tally.Count(metric.All) == 0 {
			continue
		}
		if k.span >= 0 {
			p.span, p.place, p.filter = &f.spans[k.span], k.span, f.at(k.span)
		}
		d.to(&p.filter, cmp.Or(k.name, metric.Unknown))
		all = append(all, p)
	}
	return all
}

// largest are the groups with most conversations, as many as make no more than mostTold rows over time.
func (f *Figures) largest(found map[string]int64) map[string]bool {
	names := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(cmp.Compare(found[b], found[a]), cmp.Compare(a, b))
	})
	f.dropped = max(0, len(names)-max(1, mostTold/len(f.spans)))
	shown := map[string]bool{}
	for _, name := range names[:len(names)-f.dropped] {
		shown[name] = true
	}
	return shown
}

// groupAt is a channel in a stretch of time.
type groupAt struct {
	group string
	place int
}

// placesOf are the parts beside the whole in which each volume counts.
func (f *Figures) placesOf(all []part, rows []queries.VolumeAt) map[groupAt][]int {
	of := map[groupAt][]int{}
	for i := range rows {
		of[groupAt{metric.NameOf(rows[i].Channel), int(rows[i].Stretch)}] = nil
	}
	exact := map[groupAt]int{} // parts by what they are of; -1 and "" stand for all
	for j := 1; j < len(all); j++ {
		k := groupAt{all[j].group, all[j].place}
		if all[j].span == nil {
			k.place = -1
		}
		exact[k] = j
	}
	for k := range of {
		for _, x := range []groupAt{k, {k.group, -1}, {"", k.place}} {
			if j, ok := exact[x]; ok {
				of[k] = append(of[k], j)
			}
		}
	}
	return of
}

// counted adds what is counted from the conversations themselves.
func (f *Figures) counted(ctx context.Context, asked *Asked, all []part) ([]part, error) {
	spans, v := f.spans, f.viewer
	if asked.Measure.apart.volumes {
		rows, err := queries.Volumes(ctx, v.Pool, f.Filter, spans, f.Now, f.Zone)
		if err != nil {
			return nil, err
		}
		by := f.placesOf(all, rows)
		for i := range rows {
			r := &rows[i]
			all[0].volume.Add(&r.Volume) // the whole range
			for _, j := range by[groupAt{metric.NameOf(r.Channel), int(r.Stretch)}] {
				all[j].volume.Add(&r.Volume)
			}
		}
	}
	if asked.Measure.apart.answers {
		rows, err := queries.Answers(ctx, v.Pool, f.Filter, spans, f.Now, f.Zone)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			all[0].answers.Add(r.Kind, r.Score)
			if len(all) > 1 {
				all[1+r.Stretch].answers.Add(r.Kind, r.Score)
			}
		}
	}
	if asked.Measure.apart.durations {
		by, err := queries.Durations(ctx, v.Pool, f.Filter, spans, f.Now, f.Zone)
		if err != nil {
			return nil, err
		}
		for i, seconds := range by {
			all[0].seconds = append(all[0].seconds, seconds...)
			if len(all) > 1 {
				all[1+i].seconds = seconds
			}
		}
	}
	return all, nil
}
