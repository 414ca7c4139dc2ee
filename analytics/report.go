package analytics

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"turnwise/dashboard"
	"turnwise/metric"
)

// ReportTypes are what reports are about.
var ReportTypes = []string{"usage", "conversations", "engagement", "agents", "nlp", "performance", "custom"}

// ReportFormats are how reports are written.
var ReportFormats = []string{"pdf", "csv", "xlsx", "json", "html"}

// Report asks for a report.
type Report struct {
	Type    string
	Title   string
	Metrics []string // names of measures, of a custom one
	Charts  bool     // with charts; else as tables
}

// Made is a report with its figures.
type Made struct {
	Page   dashboard.Document // as pages, sheets and pictures have it
	Result any                // as JSON
	Rows   []Row              // as a plain table: every figure of it
}

// Row is a figure of a report.
type Row struct {
	Measure, Group string
	Start, End     string // of the stretch, in the report's zone; "" for the whole range
	Unit           string
	Value          string // "" for none
	N              int64
}

// content says what a type of report shows, by names of measures.
type content struct {
	cards  []string
	charts [][]string // over time, each together
	groups []grouped
}

// grouped is a table of measures told apart.
type grouped struct {
	by       string
	measures []string
}

const gb = "general_bots."

var contents = map[string]content{
	"usage": {
		[]string{"conversations", gb + "messages", "active_users", "new_users"},
		[][]string{{"conversations"}, {gb + "user_messages", gb + "bot_messages", gb + "agent_messages"}, {"returning_users", "new_users"}},
		[]grouped{{dashboard.ByChannel, []string{"conversations", gb + "messages"}}, {dashboard.ByAssistant, []string{"conversations"}}},
	},
	"conversations": {
		[]string{"conversations", gb + "handed_over", gb + "containment_rate", gb + "abandonment_rate", gb + "resolution_rate", gb + "duration_median", gb + "duration_mean"},
		[][]string{{gb + "bot_only", gb + "handed_over"}, {gb + "containment_rate", gb + "resolution_rate"}, {gb + "duration_median", gb + "duration_mean"}},
		[]grouped{{dashboard.ByChannel, []string{"conversations", gb + "containment_rate", gb + "handover_rate", gb + "resolution_rate"}}},
	},
	"engagement": {
		[]string{"active_users", "new_users", "returning_users", "conversations_per_user", gb + "bounce_rate", gb + "csat_rate", gb + "avg_score", gb + "nps"},
		[][]string{{"returning_users", "new_users"}, {gb + "bounce_rate", gb + "csat_rate"}},
		[]grouped{{dashboard.ByChannel, []string{"conversations", gb + "bounce_rate"}}},
	},
	"agents": {
		[]string{gb + "handed_over", gb + "handover_rate", gb + "abandoned", gb + "abandonment_rate", gb + "agent_messages"},
		[][]string{{gb + "handed_over", gb + "abandoned"}},
		nil,
	},
	"nlp": {
		[]string{"user_turns", "fallback_rate", "low_confidence_rate"},
		nil,
		[]grouped{{dashboard.ByIntent, []string{"user_turns", "fallback_rate", "low_confidence_rate"}}},
	},
	"performance": {
		[]string{"answered_turns", "response_time_p50", "response_time_p95", "response_time_p99", "response_time_mean"},
		[][]string{{"response_time_p50", "response_time_p95", "response_time_p99"}},
		[]grouped{
			{dashboard.ByChannel, []string{"answered_turns", "response_time_p50", "response_time_p95"}},
			{dashboard.ByAssistant, []string{"answered_turns", "response_time_p50", "response_time_p95"}},
		},
	},
}

// contentOf is what a report shows. A custom one has a chart of each measure that can be told over time, and a table of
// each that is told by groups alone.
func contentOf(r Report) (c content) {
	if r.Type != "custom" {
		return contents[r.Type]
	}
	for _, name := range r.Metrics {
		m, ok := dashboard.MeasureNamed(name)
		switch {
		case !ok:
		case m.Grouped:
			c.groups = append(c.groups, grouped{m.Groups[0], []string{name}})
		default:
			c.cards = append(c.cards, name)
			if m.Over {
				c.charts = append(c.charts, []string{name})
			}
		}
	}
	return c
}

// making makes one report.
type making struct {
	Question
	made   *Made
	custom bool
	answer map[string]dashboard.MeasureAnswer
}

// Make makes a report; far is told how far it is, from 0 to 1.
func (q Question) Make(ctx context.Context, r Report, far func(done float64)) (m Made, err error) {
	m.Page = dashboard.Document{Name: "report", Page: r.Title, Filter: q.filter}
	k := &making{q, &m, r.Type == "custom", map[string]dashboard.MeasureAnswer{}}
	what := contentOf(r)
	steps, done := 1+len(what.cards)+len(what.charts)+len(what.groups), 0
	step := func() { done++; far(float64(done) / float64(steps)) }
	for _, name := range what.cards {
		if err := k.card(ctx, name); err != nil {
			return m, err
		}
		step()
	}
	for _, names := range what.charts {
		if err := k.chart(ctx, names); err != nil {
			return m, err
		}
		step()
	}
	for _, g := range what.groups {
		if err := k.table(ctx, g); err != nil {
			return m, err
		}
		step()
	}
	if m.Result, err = k.result(ctx, r); err != nil {
		return m, err
	}
	if !r.Charts {
		for _, c := range m.Page.Charts {
			m.Page.Tables = append(m.Page.Tables, asTable(&c))
		}
		m.Page.Charts = nil
	}
	return m, nil
}

// titleOf is what a measure is called: in a report whose measures are all defined as that API does, without saying so.
func (k *making) titleOf(m *dashboard.Measure) string {
	if k.custom {
		return m.Title
	}
	return strings.TrimSuffix(m.Title, " (General Bots)")
}

// ask asks for a measure.
func (k *making) ask(ctx context.Context, name, group string, bucket metric.Bucket) (dashboard.MeasureAnswer, error) {
	key := name + " " + group + " " + string(bucket)
	if a, ok := k.answer[key]; ok {
		return a, nil
	}
	m, _ := dashboard.MeasureNamed(name) // it was checked
	a, err := k.Measure(ctx, dashboard.Asked{Measure: m, Group: group, Bucket: bucket}, k.filter.Query())
	if err != nil {
		return a, err
	}
	k.answer[key] = a
	if a.Total != nil && group == "" && bucket == "" {
		k.row(&a.Measure, a.Total)
	}
	for i := range a.Rows {
		k.row(&a.Measure, &a.Rows[i])
	}
	return a, nil
}

// row adds a figure to the plain table.
func (k *making) row(m *dashboard.Measure, r *dashboard.MeasureRow) {
	out := Row{Measure: m.Name, Group: r.Group, Unit: string(m.Unit), N: r.Figure.N}
	if m.Unit == dashboard.Percents {
		out.Unit = "ratio"
	}
	if r.Span != nil {
		out.Start, out.End = r.Span.From.In(k.Zone).Format(time.RFC3339), r.Span.Until.In(k.Zone).Format(time.RFC3339)
	}
	if !r.Figure.None {
		out.Value = strconv.FormatFloat(r.Figure.V, 'f', -1, 64)
	}
	k.made.Rows = append(k.made.Rows, out)
}

// card adds a headline figure.
func (k *making) card(ctx context.Context, name string) error {
	a, err := k.ask(ctx, name, "", "")
	if err != nil {
		return err
	}
	f := a.Total.Figure
	c := dashboard.Card{Name: k.titleOf(&a.Measure), Formula: a.Measure.Definition, Value: f.Value, Rate: f.Rate}
	if f.Rate != nil {
		c.Base = dashboard.Note{Text: "n " + strconv.FormatInt(f.N, 10), N: f.N}
	}
	k.made.Page.Cards = append(k.made.Page.Cards, c)
	if name == "conversations" {
		k.made.Page.Empty = f.V == 0
	}
	return nil
}

// colors are those of the series of a chart.
var colors = []string{"--c-1", "--c-2", "--c-3", "--c-4"}

// chart adds measures over time.
func (k *making) chart(ctx context.Context, names []string) error {
	var c dashboard.Chart
	for i, name := range names {
		a, err := k.ask(ctx, name, "", k.Bucket)
		if err != nil {
			return err
		}
		if i == 0 {
			spans := k.spans()
			c = dashboard.Chart{
				ID: "chart" + strconv.Itoa(len(k.made.Page.Charts)), Kind: dashboard.Lines, Unit: a.Measure.Unit,
				X: dashboard.Ticks(k.Dates, spans, k.Bucket), First: string(k.Bucket), Quiet: "by the " + string(k.Bucket),
				Title: k.titleOf(&a.Measure),
			}
			if c.Unit == dashboard.Counts {
				c.Kind = dashboard.Stacked
			}
		} else {
			c.Title += " · " + k.titleOf(&a.Measure)
		}
		s := dashboard.Series{Name: k.titleOf(&a.Measure), Color: colors[i%len(colors)]}
		for _, r := range a.Rows {
			s.Values = append(s.Values, r.Figure.Value)
		}
		c.Series = append(c.Series, s)
	}
	k.made.Page.Charts = append(k.made.Page.Charts, c)
	return nil
}

// table adds measures by a group.
func (k *making) table(ctx context.Context, g grouped) error {
	b := dashboard.Breakdown{Title: map[string]string{
		dashboard.ByChannel: "Channel", dashboard.ByAssistant: "Assistant", dashboard.ByIntent: "Intent",
		dashboard.ByFlow: "Flow", dashboard.ByMarker: "Marker",
	}[g.by]}
	for i, name := range g.measures {
		a, err := k.ask(ctx, name, g.by, "")
		if err != nil {
			return err
		}
		b.Head = append(b.Head, k.titleOf(&a.Measure))
		for _, r := range a.Rows {
			at := slices.IndexFunc(b.Rows, func(x dashboard.BreakdownRow) bool { return x.Name == r.Group })
			if at < 0 {
				at = len(b.Rows)
				b.Rows = append(b.Rows, dashboard.BreakdownRow{Name: r.Group})
			}
			for len(b.Rows[at].Values) < i {
				b.Rows[at].Values = append(b.Rows[at].Values, dashboard.Unknown())
			}
			b.Rows[at].Values = append(b.Rows[at].Values, r.Figure.Value)
		}
	}
	for i := range b.Rows {
		for len(b.Rows[i].Values) < len(b.Head) {
			b.Rows[i].Values = append(b.Rows[i].Values, dashboard.Unknown())
		}
	}
	k.made.Page.Tables = append(k.made.Page.Tables, b)
	return nil
}

// asTable is a chart as a table.
func asTable(c *dashboard.Chart) dashboard.Breakdown {
	b := dashboard.Breakdown{Title: c.First}
	for _, s := range c.Series {
		b.Head = append(b.Head, s.Name)
	}
	for i, x := range c.X {
		row := dashboard.BreakdownRow{Name: x.Long}
		for _, s := range c.Series {
			row.Values = append(row.Values, s.Values[i])
		}
		b.Rows = append(b.Rows, row)
	}
	return b
}

// result is the report as JSON: what the endpoints of the same name answer, else its figures.
func (k *making) result(ctx context.Context, r Report) (any, error) {
	switch r.Type {
	case "usage":
		return k.Usage(ctx)
	case "conversations":
		return k.conversations(ctx)
	case "engagement":
		return k.engagement(ctx)
	case "agents":
		a, err := k.Agents(ctx)
		if err == nil {
			k.agents(&a)
		}
		return a, err
	}
	common, err := k.common(ctx)
	return Figures{common, k.made.Rows}, err
}

// Figures are the result of a report that no endpoint answers.
type Figures struct {
	Common
	Data []Row `json:"data"`
}

// MarshalJSON writes the figure with numbers as such.
func (r Row) MarshalJSON() ([]byte, error) {
	out := map[string]any{"measure": r.Measure, "unit": r.Unit, "n": r.N, "value": nil}
	if r.Value != "" {
		out["value"] = json.Number(r.Value)
	}
	for name, text := range map[string]string{"group": r.Group, "start": r.Start, "end": r.End} {
		if text != "" {
			out[name] = text
		}
	}
	return json.Marshal(out)
}

// ConversationsReport is the result of a report about conversations.
type ConversationsReport struct {
	Conversations
	Volume     []VolumeRow `json:"volume"`
	Duration   Durations   `json:"duration"`
	Resolution Resolution  `json:"resolution"`
}

func (k *making) conversations(ctx context.Context) (out ConversationsReport, err error) {
	if out.Conversations, err = k.Conversations(ctx); err != nil {
		return out, err
	}
	volume, err := k.Volume(ctx)
	if err != nil {
		return out, err
	}
	out.Volume = volume.Data
	if out.Duration, err = k.Durations(ctx); err != nil {
		return out, err
	}
	out.Resolution, err = k.Resolution(ctx)
	return out, err
}

// EngagementReport is the result of a report about engagement.
type EngagementReport struct {
	Engagement
	Satisfaction Satisfaction `json:"satisfaction"`
}

func (k *making) engagement(ctx context.Context) (out EngagementReport, err error) {
	if out.Engagement, err = k.Engagement(ctx); err == nil {
		out.Satisfaction, err = k.Satisfaction(ctx)
	}
	return out, err
}

// agents adds what live chat tells to the page and the plain table.
func (k *making) agents(a *Agents) {
	seconds := func(v *float64) dashboard.Value {
		if v == nil {
			return dashboard.Value{None: true, Unit: dashboard.Times}
		}
		return dashboard.Duration(1000**v, "", 0)
	}
	add := func(measure, group string, v *float64, n int64) {
		row := Row{Measure: measure, Group: group, Unit: "seconds", N: n}
		if v != nil {
			row.Value = strconv.FormatFloat(*v, 'f', -1, 64)
		}
		k.made.Rows = append(k.made.Rows, row)
	}
	for _, x := range []struct {
		name, title string
		t           Times
	}{{"wait", "Wait", a.Waits}, {"first_response", "First response", a.FirstResponse}} {
		k.made.Page.Cards = append(
			k.made.Page.Cards,
			dashboard.Card{Name: x.title + ", median", Formula: "over " + strconv.FormatInt(x.t.Count, 10), Value: seconds(x.t.MedianSeconds)},
			dashboard.Card{Name: x.title + ", p90", Formula: "over " + strconv.FormatInt(x.t.Count, 10), Value: seconds(x.t.P90Seconds)},
		)
		add(x.name+"_mean", "", x.t.AvgSeconds, x.t.Count)
		add(x.name+"_median", "", x.t.MedianSeconds, x.t.Count)
		add(x.name+"_p90", "", x.t.P90Seconds, x.t.Count)
	}
	table := dashboard.Breakdown{Title: "Agent", Head: []string{"Conversations", "Messages", "First response, median", "Handling, median"}}
	for _, x := range a.Desk {
		table.Rows = append(table.Rows, dashboard.BreakdownRow{Name: x.AgentID, Values: []dashboard.Value{
			dashboard.Count(x.Conversations, ""), dashboard.Count(x.Messages, ""), seconds(x.FirstResponse.MedianSeconds),
			seconds(x.Handling.MedianSeconds),
		}})
		add("first_response_median", x.AgentID, x.FirstResponse.MedianSeconds, x.FirstResponse.Count)
		add("handling_median", x.AgentID, x.Handling.MedianSeconds, x.Handling.Count)
	}
	k.made.Page.Tables = append(k.made.Page.Tables, table)
}
