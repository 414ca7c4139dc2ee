package web

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-chi/chi/v5"

	"turnwise/queries"
	"turnwise/report"
	"turnwise/views"
)

// documentPages are the pages that can be taken out as documents: what each counts, and how it becomes one.
var documentPages = map[string]struct {
	title string
	needs counted
	make  func(ctx context.Context, s *server, f *figures, d *report.Document) error
}{
	"overview": {"Overview", overviewNeeds, func(ctx context.Context, s *server, f *figures, d *report.Document) error {
		m, err := s.overviewModel(ctx, f)
		d.Cards, d.Empty = m.Cards, !m.Any
		d.Charts = []views.Chart{m.Volume, m.Outcomes, m.Response, m.CSAT, m.Busiest}
		d.Tables = append([]views.Breakdown{flowTable("Flows that lose most", m.Flows), reasonTable("Why conversations are escalated", m.Reasons)}, m.Tables...)
		return err
	}},
	"latency": {"Latency", latencyNeeds, func(ctx context.Context, s *server, f *figures, d *report.Document) error {
		m, err := s.latencyModel(ctx, f)
		d.Cards, d.Empty = m.Cards, !m.Any
		d.Charts, d.Tables = []views.Chart{m.Time, m.Histogram, m.Heat}, m.Tables
		parts := views.Breakdown{Title: "Where the time goes", Head: []string{"Turns", "p50", "p95", "p99"}}
		for _, x := range m.Parts {
			parts.Rows = append(parts.Rows, views.BreakdownRow{Name: x.Name, Values: append([]views.Value{x.Turns}, x.Percentiles...)})
		}
		d.Tables = append(d.Tables, parts)
		return err
	}},
	"csat": {"CSAT", csatNeeds, func(ctx context.Context, s *server, f *figures, d *report.Document) error {
		m, err := s.csatModel(ctx, f)
		d.Cards, d.Empty = m.Cards, !m.Any
		d.Charts, d.Tables = []views.Chart{m.Time, m.Rate, m.Votes}, m.Tables
		return err
	}},
	"flows": {"Flows", flowsNeeds, func(ctx context.Context, s *server, f *figures, d *report.Document) error {
		m, err := s.flowsModel(ctx, f)
		d.Empty = len(m.Rows) == 0
		d.Tables = []views.Breakdown{flowTable("Flow", m.Rows)}
		return err
	}},
	"intents": {"Intents", intentsNeeds, func(ctx context.Context, s *server, f *figures, d *report.Document) error {
		m, err := s.intentsModel(ctx, f)
		d.Cards, d.Empty = m.Cards, !m.Any
		table := views.Breakdown{Title: "Intent", Head: []string{"Turns", "Low confidence", "Not understood"}}
		for _, r := range m.Rows {
			table.Rows = append(table.Rows, views.BreakdownRow{Name: r.Intent, Values: []views.Value{r.Turns, r.Unsure, r.Fallback}})
		}
		d.Tables = []views.Breakdown{table, reasonTable("Command", m.Commands)}
		return err
	}},
	"users": {"Users", usersNeeds, func(ctx context.Context, s *server, f *figures, d *report.Document) error {
		m, err := s.usersModel(ctx, f)
		d.Cards, d.Empty = m.Cards, !m.Any
		if !d.Empty {
			d.Charts = []views.Chart{m.Time}
		}
		table := views.Breakdown{Title: "Week of", Head: []string{"First came"}}
		for _, c := range m.Cohorts {
			for len(table.Head) <= len(c.Weeks) {
				table.Head = append(table.Head, fmt.Sprintf("Week %d", len(table.Head)-1))
			}
			row := views.BreakdownRow{Name: c.Week, Values: append([]views.Value{c.Size}, c.Weeks...)}
			for len(row.Values) < len(table.Head) {
				row.Values = append(row.Values, views.Value{None: true})
			}
			table.Rows = append(table.Rows, row)
		}
		d.Tables = []views.Breakdown{table}
		return err
	}},
}

// flowTable is the table of flows as documents have it.
func flowTable(title string, rows []views.FlowRow) views.Breakdown {
	b := views.Breakdown{Title: title, Head: []string{"Started", "Completed", "Completion", "Not completed", "Cancelled", "Left inside", "Escalated", "Median time", "Most stop at"}}
	for _, r := range rows {
		rate := views.RateValue(r.Rate, "", "", "started")
		stop := views.Value{Word: true}
		if len(r.Steps) > 0 {
			stop.Text = r.Steps[0].Step
		}
		b.Rows = append(b.Rows, views.BreakdownRow{Name: r.Flow, Values: []views.Value{r.Started, views.CountValue(r.Finished.N, ""), rate, r.Missed, r.Cancelled, r.Lost, r.Escalated, r.Took, stop}})
	}
	return b
}

func reasonTable(title string, all []views.Reason) views.Breakdown {
	b := views.Breakdown{Title: title, Head: []string{"Conversations", "Share"}}
	for _, x := range all {
		b.Rows = append(b.Rows, views.BreakdownRow{Name: x.Name, Values: []views.Value{x.Count, views.RateValue(x.Share, "", "", "of all")}})
	}
	return b
}

// document makes a page of charts into a document, as the user of the context sees it. An *metric.InputError says what is wrong with
// the query.
func (s *server) document(r *http.Request, name string) (report.Document, error) {
	ctx := r.Context()
	of, ok := documentPages[name]
	if !ok {
		return report.Document{}, queries.ErrNotFound
	}
	page := s.page(r, of.title, "")
	at := *r
	at.URL = &url.URL{Path: "/" + name, RawQuery: r.URL.RawQuery}
	q, err := s.parseQuestion(&at, true)
	if err != nil {
		return report.Document{}, err
	}
	f, err := s.askFigures(ctx, q, page, of.needs)
	if err != nil {
		return report.Document{}, err
	}
	criteria, err := report.CriteriaWords(ctx, s.Pool, f.filter)
	if err != nil {
		return report.Document{}, err
	}
	d := report.Document{Head: report.NewHead(of.title, report.FilterWords(f.filter), criteria, page.Name, f.filter, page.Now, s.Zone), Name: name}
	d.Link = s.URL + f.address()
	words, dates := rangeWords(f.question, page)
	d.Range = joinRange(words, dates)
	if f.before != nil {
		was := *f.before
		words, dates := rangeWords(was.question, page)
		d.Before = "compared with " + cmp.Or(dates, words)
	}
	return d, of.make(ctx, s, f, &d)
}

// joinRange writes a range in its words and its dates, as far as there are both.
func joinRange(words, dates string) string {
	if dates == "" {
		return words
	}
	return words + ", " + dates
}

// downloadDocument answers GET /documents/{page}: a page of charts as a file.
func (s *server) downloadDocument(w http.ResponseWriter, r *http.Request) error {
	d, err := s.document(r, chi.URLParam(r, "page"))
	if err != nil {
		return err
	}
	return s.attachDocument(w, r, &d)
}

// attachDocument answers with a document as the file that the query asks for.
func (s *server) attachDocument(w http.ResponseWriter, r *http.Request, d *report.Document) error {
	var b bytes.Buffer
	kind, end, err := d.WriteAs(r.Context(), &b, r.URL.Query().Get("as"), s.Now())
	if err != nil {
		return err
	}
	return s.attach(w, r, kind, d.Name+"_"+s.Now().In(s.Zone).Format("2006-01-02")+end, b.Bytes())
}

func isDocument(name string) bool { return slices.Contains(documentNames, name) }

// documentNames stands apart from documentPages, whose functions ask for it.
var documentNames = []string{"csat", "flows", "intents", "latency", "overview", "users"}

// DocumentPages lists the pages that can be taken out as documents.
func DocumentPages() []string { return documentNames }
