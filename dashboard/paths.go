package dashboard

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"turnwise/metric"
	"turnwise/queries"
)

// PathEdge is a step of paths with how many conversations went it.
type PathEdge struct {
	Path  []string
	End   bool
	Count Value
}

// Way is the paths in one direction.
type Way struct {
	ID, Title, Nothing string
	Begun              Value
	Edges              []PathEdge
	More               int // steps that are not shown
}

// Paths is the model of where conversations go from a flow.
type Paths struct {
	Bar           FilterBar
	Name, Flow    string
	After, Before Way
}

// FunnelRow is a step of a funnel.
type FunnelRow struct {
	Step     string
	Count    Value
	OfFirst  metric.Rate
	OfBefore *metric.Rate
}

// Funnel is the model of a funnel through flows.
type Funnel struct {
	Bar     FilterBar
	Flows   []string
	Steps   []string
	Strict  bool
	Minutes int
	Rows    []FunnelRow
}

// pathDepth is how many flows further paths are followed, and edgesDrawn how many of their steps are shown.
const (
	pathDepth  = 3
	edgesDrawn = 60
)

// PathsNeeds is what the page counts.
var PathsNeeds = Needs{}

// Paths is where conversations go from a flow, and where they come from.
func (f *Figures) Paths(ctx context.Context, flow string) (m Paths, err error) {
	m = Paths{Bar: f.bar, Name: flow, Flow: f.flowPage(flow)}
	m.Bar.Compares, m.Bar.Buckets = nil, nil
	starts, err := queries.FlowStarts(ctx, f.viewer.Pool, f.Filter, flow, f.Now, f.Zone)
	if err != nil {
		return m, err
	}
	m.After = f.way(starts, flow, false)
	m.Before = f.way(starts, flow, true)
	return m, nil
}

// way draws paths in one direction.
func (f *Figures) way(starts [][]metric.Start, flow string, back bool) Way {
	edges, begun := metric.Paths(starts, flow, back, pathDepth)
	out := Way{ID: "after", Title: "What comes after", Nothing: "ended here"}
	if back {
		out = Way{ID: "before", Title: "What came before", Nothing: "began here"}
	}
	path := func(p metric.PathFilter) string {
		if !f.links || len(f.Filter.Path.Steps) > 0 {
			return ""
		}
		filter := f.Filter
		filter.Path = p
		return Address(filter)
	}
	out.Begun = Count(begun, path(metric.PathFilter{Steps: []string{flow}, Strict: true}))
	out.More = max(0, len(edges)-edgesDrawn)
	for _, e := range edges[:min(len(edges), edgesDrawn)] {
		p := metric.PathFilter{Steps: e.Path, Strict: true, Back: back, End: e.End}
		out.Edges = append(out.Edges, PathEdge{Path: e.Path, End: e.End, Count: Count(e.N, path(p))})
	}
	return out
}

// funnelSteps is how many steps the form of a funnel offers.
const funnelSteps = 8

// FunnelNeeds is what the page counts.
var FunnelNeeds = Needs{flows: true}

// Funnel is how far conversations go through the flows that the user names.
func (f *Figures) Funnel(ctx context.Context, steps []string) (m Funnel, err error) {
	p := metric.PathFilter{Strict: f.Own.Get("strict") == "yes"}
	for _, v := range steps {
		if v = strings.TrimSpace(v); v != "" && len(p.Steps) < funnelSteps {
			p.Steps = append(p.Steps, v)
		}
	}
	f.Own["step"] = p.Steps
	if v := f.Own.Get("minutes"); v != "" {
		if p.Minutes, err = strconv.Atoi(v); err != nil || p.Minutes < 0 || p.Minutes > 100000 {
			return m, &metric.InputError{Field: "minutes", Msg: "is a number of minutes up to 100,000"}
		}
	}
	choices := make([]string, 0, len(f.flows))
	for _, row := range f.flowRows() {
		choices = append(choices, row.Flow)
	}
	m = Funnel{Bar: f.bar, Flows: choices, Strict: p.Strict, Minutes: p.Minutes, Steps: p.Steps}
	m.Bar.Compares, m.Bar.Buckets = nil, nil
	for len(m.Steps) < funnelSteps {
		m.Steps = append(m.Steps, "")
	}
	if len(p.Steps) >= 2 {
		if m.Rows, err = f.funnelRows(ctx, p); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (f *Figures) funnelRows(ctx context.Context, p metric.PathFilter) (rows []FunnelRow, err error) {
	starts, err := queries.FlowStarts(ctx, f.viewer.Pool, f.Filter, p.Steps[0], f.Now, f.Zone)
	if err != nil {
		return nil, err
	}
	reached := make([]int64, len(p.Steps)+1)
	for _, x := range starts {
		reached[p.Reached(x)]++
	}
	for i := len(reached) - 2; i >= 0; i-- {
		reached[i] += reached[i+1]
	}
	for i, step := range p.Steps {
		prefix := p
		if prefix.Steps = slices.Clone(p.Steps[:i+1]); i == 0 {
			prefix.Minutes = 0
		}
		row := FunnelRow{
			Step: fmt.Sprintf("%d. %s", i+1, step), Count: Count(reached[i+1], ""),
			OfFirst: metric.Rate{Of: reached[i+1], Among: reached[1]},
		}
		if f.links && len(f.Filter.Path.Steps) == 0 {
			filter := f.Filter
			filter.Path = prefix
			row.Count.Link = Address(filter)
		}
		if i > 0 {
			row.OfBefore = &metric.Rate{Of: reached[i+1], Among: reached[i]}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// pathsPage is where the paths of a flow are shown.
func (f *Figures) pathsPage(flow string) string {
	q := f.Question
	q.Path, q.Own = "/paths", url.Values{"of": {flow}}
	return q.Address()
}
