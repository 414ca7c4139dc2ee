package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// pathDepth is how many flows further paths are followed, and edgesDrawn how many of their steps are shown.
const (
	pathDepth  = 3
	edgesDrawn = 60
)

// paths answers GET /paths?of=…: where conversations go from a flow, and where they come from.
func (s *server) paths(w http.ResponseWriter, r *http.Request) error {
	flow := r.URL.Query().Get("of")
	if flow == "" {
		return queries.ErrNotFound
	}
	page := s.page(r, "Paths of "+flow, "Flows")
	f, done, err := s.readFigures(w, r, page, counted{}, "of")
	if done || err != nil {
		return err
	}
	m := views.Paths{Page: page, Bar: f.bar, Name: flow, Flow: f.flowPage(flow)}
	m.Bar.Compares, m.Bar.Buckets = nil, nil
	starts, err := queries.FlowStarts(r.Context(), s.Pool, f.filter, flow, f.now, f.zone)
	if err != nil {
		return err
	}
	m.After = f.way(starts, flow, false)
	m.Before = f.way(starts, flow, true)
	return s.renderEither(w, r, views.PathsPage(m), views.PathsView(m))
}

// way draws paths in one direction.
func (f *figures) way(starts [][]metric.Start, flow string, back bool) views.Way {
	edges, begun := metric.Paths(starts, flow, back, pathDepth)
	out := views.Way{ID: "after", Title: "What comes after", Nothing: "ended here"}
	if back {
		out = views.Way{ID: "before", Title: "What came before", Nothing: "began here"}
	}
	path := func(p metric.PathFilter) string {
		if !f.links || len(f.filter.Path.Steps) > 0 {
			return ""
		}
		filter := f.filter
		filter.Path = p
		return address(filter)
	}
	out.Begun = views.CountValue(begun, path(metric.PathFilter{Steps: []string{flow}, Strict: true}))
	out.More = max(0, len(edges)-edgesDrawn)
	for _, e := range edges[:min(len(edges), edgesDrawn)] {
		p := metric.PathFilter{Steps: e.Path, Strict: true, Back: back, End: e.End}
		out.Edges = append(out.Edges, views.PathEdge{Path: e.Path, End: e.End, Count: views.CountValue(e.N, path(p))})
	}
	return out
}

// funnelSteps is how many steps the form of a funnel offers.
const funnelSteps = 8

// funnel answers GET /funnel: how far conversations go through flows that the user names.
func (s *server) funnel(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Funnel", "Flows")
	f, done, err := s.readFigures(w, r, page, counted{flows: true}, "strict", "minutes")
	if done || err != nil {
		return err
	}
	p := metric.PathFilter{Strict: f.own.Get("strict") == "yes"}
	for _, v := range r.URL.Query()["step"] {
		if v = strings.TrimSpace(v); v != "" && len(p.Steps) < funnelSteps {
			p.Steps = append(p.Steps, v)
		}
	}
	f.own["step"] = p.Steps
	if v := f.own.Get("minutes"); v != "" {
		if p.Minutes, err = strconv.Atoi(v); err != nil || p.Minutes < 0 || p.Minutes > 100000 {
			return &metric.InputError{Field: "minutes", Msg: "is a number of minutes up to 100,000"}
		}
	}
	choices := make([]string, 0, len(f.flows))
	for _, row := range f.flowRows() {
		choices = append(choices, row.Flow)
	}
	m := views.Funnel{Page: page, Bar: f.bar, Flows: choices, Strict: p.Strict, Minutes: p.Minutes, Steps: p.Steps}
	m.Bar.Compares, m.Bar.Buckets = nil, nil
	for len(m.Steps) < funnelSteps {
		m.Steps = append(m.Steps, "")
	}
	if len(p.Steps) >= 2 {
		if m.Rows, err = f.funnelRows(r, s, p); err != nil {
			return err
		}
	}
	return s.renderEither(w, r, views.FunnelPage(m), views.FunnelView(m))
}

func (f *figures) funnelRows(r *http.Request, s *server, p metric.PathFilter) (rows []views.FunnelRow, err error) {
	starts, err := queries.FlowStarts(r.Context(), s.Pool, f.filter, p.Steps[0], f.now, f.zone)
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
		row := views.FunnelRow{Step: fmt.Sprintf("%d. %s", i+1, step), Count: views.CountValue(reached[i+1], ""), OfFirst: metric.Rate{Of: reached[i+1], Among: reached[1]}}
		if f.links && len(f.filter.Path.Steps) == 0 {
			filter := f.filter
			filter.Path = prefix
			row.Count.Link = address(filter)
		}
		if i > 0 {
			row.OfBefore = &metric.Rate{Of: reached[i+1], Among: reached[i]}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// pathsPage is where the paths of a flow are shown.
func (f *figures) pathsPage(flow string) string {
	q := f.question
	q.path, q.own = "/paths", url.Values{"of": {flow}}
	return q.address()
}
