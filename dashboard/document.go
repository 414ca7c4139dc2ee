package dashboard

import (
	"cmp"
	"context"
	"net/url"
	"slices"

	"turnwise/metric"
	"turnwise/queries"
)

// Document is a page of figures as it was at a moment.
type Document struct {
	Name    string // of its page in addresses
	Page    string // what the page is called
	Filter  metric.Filter
	Range   string // in words
	Before  string // what it is compared with, in words; "" for nothing
	Address string // of the page
	Empty   bool   // nothing began in the range
	Cards   []Card
	Charts  []Chart
	Tables  []Breakdown
}

// documentPages are the pages that can be taken out as documents: what each counts, and how it becomes one.
var documentPages = map[string]struct {
	title string
	needs Needs
	make  func(ctx context.Context, f *Figures, d *Document) error
}{
	"overview": {"Overview", OverviewNeeds, func(ctx context.Context, f *Figures, d *Document) error {
		m, err := f.Overview(ctx)
		d.Cards, d.Empty = m.Cards, !m.Any
		d.Charts = []Chart{m.Volume, m.Outcomes, m.Response, m.CSAT, m.Busiest}
		d.Tables = append(
			[]Breakdown{
				flowTable("Flows that lose most", m.Flows), reasonTable("Why conversations are escalated", m.Reasons),
			},
			m.Tables...,
		)
		if len(m.Markers) > 0 {
			d.Tables = append(d.Tables, markerTable(m.Markers))
		}
		return err
	}},
	"latency": {"Latency", LatencyNeeds, func(ctx context.Context, f *Figures, d *Document) error {
		m, err := f.Latency(ctx)
		d.Cards, d.Empty = m.Cards, !m.Any
		d.Charts, d.Tables = []Chart{m.Time, m.Histogram, m.Heat}, m.Tables
		parts := Breakdown{Title: "Where the time goes", Head: []string{"Turns", "p50", "p95", "p99"}}
		for _, x := range m.Parts {
			parts.Rows = append(parts.Rows, BreakdownRow{
				Name: x.Name, Values: append([]Value{x.Turns}, x.Percentiles...),
			})
		}
		d.Tables = append(d.Tables, parts)
		return err
	}},
	"csat": {"CSAT", CSATNeeds, func(ctx context.Context, f *Figures, d *Document) error {
		m, err := f.CSAT(ctx)
		d.Cards, d.Empty = m.Cards, !m.Any
		d.Charts, d.Tables = []Chart{m.Time, m.Rate, m.Votes}, m.Tables
		return err
	}},
	"flows": {"Flows", FlowsNeeds, func(ctx context.Context, f *Figures, d *Document) error {
		m, err := f.Flows(ctx)
		d.Empty = len(m.Rows) == 0
		d.Tables = []Breakdown{flowTable("Flow", m.Rows)}
		return err
	}},
	"intents": {"Intents", IntentsNeeds, func(ctx context.Context, f *Figures, d *Document) error {
		m, err := f.Intents(ctx)
		d.Cards, d.Empty = m.Cards, !m.Any
		table := Breakdown{Title: "Intent", Head: []string{"Turns", "Low confidence", "Not understood"}}
		for _, r := range m.Rows {
			table.Rows = append(table.Rows, BreakdownRow{
				Name: r.Intent, Values: []Value{r.Turns, r.Unsure, r.Fallback},
			})
		}
		d.Tables = []Breakdown{table, reasonTable("Command", m.Commands)}
		return err
	}},
	"users": {"Users", UsersNeeds, func(ctx context.Context, f *Figures, d *Document) error {
		m, err := f.Users(ctx)
		d.Cards, d.Empty = m.Cards, !m.Any
		if !d.Empty {
			d.Charts = []Chart{m.Time}
		}
		table := Breakdown{Title: "Week of", Head: []string{"First came"}}
		for _, c := range m.Cohorts {
			for len(table.Head) <= len(c.Weeks) {
				table.Head = append(table.Head, WeekName(len(table.Head)-1))
			}
			row := BreakdownRow{Name: c.Week, Values: append([]Value{c.Size}, c.Weeks...)}
			for len(row.Values) < len(table.Head) {
				row.Values = append(row.Values, Value{None: true})
			}
			table.Rows = append(table.Rows, row)
		}
		d.Tables = []Breakdown{table}
		return err
	}},
}

// flowTable is the table of flows as documents have it.
func flowTable(title string, rows []FlowRow) Breakdown {
	b := Breakdown{
		Title: title,
		Head: []string{
			"Started", "Completed", "Completion", "Not completed", "Cancelled", "Left inside", "Escalated",
			"Median time", "Most stop at",
		},
	}
	for _, r := range rows {
		rate := Rate(r.Rate, "", "", "started")
		stop := Value{Unit: Words}
		if len(r.Steps) > 0 {
			stop.Word = r.Steps[0].Step
		}
		b.Rows = append(b.Rows, BreakdownRow{
			Name: r.Flow,
			Values: []Value{
				r.Started, Count(r.Finished.N, ""), rate, r.Missed, r.Cancelled, r.Lost, r.Escalated, r.Took, stop,
			},
		})
	}
	return b
}

func reasonTable(title string, all []Reason) Breakdown {
	b := Breakdown{Title: title, Head: []string{"Conversations", "Share"}}
	for _, x := range all {
		b.Rows = append(b.Rows, BreakdownRow{Name: x.Name, Values: []Value{x.Count, Rate(x.Share, "", "", "of all")}})
	}
	return b
}

// Document makes a page of charts into a document, as the viewer sees it. An *metric.InputError says what is wrong with
// the query.
func (v Viewer) Document(ctx context.Context, name string, query url.Values) (d Document, err error) {
	of, ok := documentPages[name]
	if !ok {
		return d, queries.ErrNotFound
	}
	q, err := v.asked(ctx, "/"+name, query)
	if err != nil {
		return d, err
	}
	f, err := v.askFigures(ctx, q, of.needs)
	if err != nil {
		return d, err
	}
	d = Document{
		Name: name, Page: of.title, Filter: f.Filter, Address: f.Address(), Range: JoinRange(RangeWords(f.Question)),
	}
	if f.before != nil {
		words, dates := RangeWords(f.before.Question)
		d.Before = "compared with " + cmp.Or(dates, words)
	}
	return d, of.make(ctx, f, &d)
}

// DocumentTitle is what a page that can be taken out as a document is called, "" for others.
func DocumentTitle(name string) string { return documentPages[name].title }

// JoinRange writes a range in its words and its dates, as far as there are both.
func JoinRange(words, dates string) string {
	if dates == "" {
		return words
	}
	return words + ", " + dates
}

func isDocument(name string) bool { return slices.Contains(documentNames, name) }

// documentNames stands apart from documentPages, whose functions ask for it.
var documentNames = []string{"csat", "flows", "intents", "latency", "overview", "users"}

// DocumentPages lists the pages that can be taken out as documents.
func DocumentPages() []string { return documentNames }
