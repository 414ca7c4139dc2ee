package api

import (
	"net/url"
	"strings"
	"time"

	"turnwise/access"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
)

// MeasureList is the answer of /measures.
type MeasureList struct {
	Data []Measure `json:"data"`
}

// Measure is a figure that can be asked for.
type Measure struct {
	Name        string   `json:"name"`
	Title       string   `json:"title"`
	Definition  string   `json:"definition"`
	Unit        string   `json:"unit" enum:"count,ratio,milliseconds,number" doc:"ratio: from 0 to 1."`
	Numerator   *string  `json:"numerator" doc:"Of a ratio or a mean; null: it is none."`
	Denominator *string  `json:"denominator"`
	Groups      []string `json:"groups" doc:"Dimensions you can group by."`
	OnlyGrouped bool     `json:"only_grouped" doc:"It is available only with a group."`
	OverTime    bool     `json:"over_time" doc:"You can ask for it with a bucket."`
}

// FigureAnswer is the answer of /figures.
type FigureAnswer struct {
	Measure      Measure     `json:"measure"`
	Range        FigureRange `json:"range"`
	Compare      *Compared   `json:"compare" doc:"null: with nothing."`
	Filter       string      `json:"filter" doc:"As it stands in addresses."`
	Group        *string     `json:"group"`
	Bucket       *string     `json:"bucket"`
	CompleteFrom *time.Time  `json:"complete_from" doc:"Conversations before may have been deleted by retention. null: none of the range."`
	CountedFrom  string      `json:"counted_from" enum:"rollups,conversations" doc:"rollups keep counting conversations that retention deleted."`
	Total        *FigureRow  `json:"total" doc:"null for measures that are available only with a group."`
	Data         []FigureRow `json:"data"`
	Omitted      int         `json:"omitted" doc:"Number of groups left out."`
}

// FigureRange is a range of time.
type FigureRange struct {
	From     time.Time `json:"from"`
	Until    time.Time `json:"until" doc:"Exclusive."`
	Timezone string    `json:"timezone"`
}

// Compared is what a range is compared with.
type Compared struct {
	With  string    `json:"with" enum:"previous,weekdays,year"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until" doc:"Exclusive."`
}

// FigureRow is a figure: of the range, a group, a stretch, or a group in a stretch.
type FigureRow struct {
	Group    *string    `json:"group,omitempty"`
	Start    *time.Time `json:"start,omitempty"`
	End      *time.Time `json:"end,omitempty" doc:"Exclusive."`
	Filter   *string    `json:"filter,omitempty" doc:"Of a group: the filter that selects it, as it stands in addresses."`
	Complete bool       `json:"complete" doc:"false: the range or stretch is not over, or people may still come back."`
	Figure
	Before *Figure `json:"before" doc:"Of the range that is compared with; null: of none."`
}

// Figure is a value.
type Figure struct {
	Value       *float64  `json:"value" doc:"null: there is nothing to divide by, or nothing was measured."`
	N           int64     `json:"n" doc:"Conversations, turns or users that it is of; of a ratio those of the denominator."`
	Numerator   *int64    `json:"numerator" doc:"Of a ratio."`
	Denominator *int64    `json:"denominator"`
	Interval    []float64 `json:"interval" doc:"Of 95 %: lower and upper end; empty: there is none."`
	Few         bool      `json:"few" doc:"n is below 30, so the figure may be chance."`
	Link        *string   `json:"link" doc:"Page with the list of what is counted; null: there is none, or not for this token."`
	LinkCount   *int64    `json:"link_count" doc:"How many that list holds."`
	APILink     *string   `json:"api_link" doc:"The same list as data, where it is one of conversations."`
}

var units = map[dashboard.Unit]string{
	dashboard.Counts: "count", dashboard.Percents: "ratio", dashboard.Times: "milliseconds", dashboard.Decimals: "number",
}

// catalogue are the routes of figures and of conversations.
func catalogue() []route {
	var names, buckets, compare []string
	for _, m := range dashboard.Measures() {
		names = append(names, m.Name)
	}
	for _, b := range metric.Buckets {
		buckets = append(buckets, string(b))
	}
	for _, c := range metric.Comparisons {
		compare = append(compare, string(c))
	}
	return append([]route{
		{
			method: "GET", path: "/measures", id: "listMeasures", group: "Figures", summary: "List measures",
			right: access.SeeFigures, answer: MeasureList{}, handle: listMeasures,
		},
		{
			method: "GET", path: "/figures", id: "getFigures", group: "Figures", summary: "Query a measure, by group and over time",
			doc:   "The same figures as on the pages.",
			right: access.SeeFigures, filter: true,
			params: []param{
				{name: "measure", kind: word, among: names, needed: true, doc: "As /measures lists them."},
				{name: "group", kind: word, among: dashboard.Groups, doc: "Dimension to group by."},
				{name: "bucket", kind: word, among: buckets, doc: "Return a series of such stretches."},
				{name: "compare", kind: word, among: append(compare, "no"), doc: "Range to compare with; default: no. A range that is not over is compared with as much of the earlier one."},
				zoned,
			},
			answer: FigureAnswer{}, handle: getFigures,
		},
	}, readers()...)
}

func describe(m *dashboard.Measure) Measure {
	out := Measure{
		Name: m.Name, Title: m.Title, Definition: m.Definition, Unit: units[m.Unit], Groups: append([]string{}, m.Groups...),
		OnlyGrouped: m.Grouped, OverTime: m.Over,
	}
	if m.Denominator != "" {
		out.Numerator, out.Denominator = &m.Numerator, &m.Denominator
	}
	return out
}

// listMeasures answers GET /measures.
func listMeasures(*call) (any, error) {
	list := MeasureList{}
	for _, m := range dashboard.Measures() {
		list.Data = append(list.Data, describe(&m))
	}
	return list, nil
}

// getFigures answers GET /figures.
func getFigures(c *call) (any, error) {
	query := c.query()
	query.Set("compare", c.values["compare"])
	for _, name := range []string{"q", "only", "person", "id"} { // what was said, and by whom
		if query.Has(name) {
			c.Read(c.r, c.account, queries.AuditListRead, "", -1)
			break
		}
	}
	return c.figures(c.values["measure"], c.values["group"], c.values["bucket"], query)
}

// figures answers a question about a measure; the query holds the filter and what to compare with.
func (c *call) figures(measure, group, bucket string, query url.Values) (out FigureAnswer, err error) {
	m, _ := dashboard.MeasureNamed(measure) // it is one of the names
	if err := c.known(query); err != nil {
		return out, err
	}
	a, err := c.viewer().Measure(c.ctx, dashboard.Asked{Measure: m, Group: group, Bucket: metric.Bucket(bucket)}, query)
	if err != nil {
		return out, err
	}
	out = FigureAnswer{
		Measure: describe(&a.Measure), Filter: a.Filter.Encode(), CountedFrom: "rollups", Data: []FigureRow{},
		Range:   FigureRange{a.Range.From.In(c.zone), a.Range.Until.In(c.zone), c.zone.String()},
		Omitted: a.Dropped,
	}
	if a.Facts {
		out.CountedFrom = "conversations"
	}
	if a.Group != "" {
		out.Group = &a.Group
	}
	if bucket != "" {
		out.Bucket = &bucket
	}
	if a.Before != nil {
		out.Compare = &Compared{query.Get("compare"), a.Before.From.In(c.zone), a.Before.Until.In(c.zone)}
	}
	if a.Frozen != nil {
		at := a.Frozen.In(c.zone)
		out.CompleteFrom = &at
	}
	if a.Total != nil {
		row := c.row(a.Total)
		out.Total = &row
	}
	for i := range a.Rows {
		out.Data = append(out.Data, c.row(&a.Rows[i]))
	}
	return out, nil
}

func (c *call) row(r *dashboard.MeasureRow) FigureRow {
	out := FigureRow{Complete: r.Over && !r.Figure.Soft, Figure: c.figure(&r.Figure)}
	if r.Group != "" {
		out.Group = &r.Group
		if f := r.Filter.Encode(); f != "" {
			out.Filter = &f
		}
	}
	if r.Span != nil {
		from, until := r.Span.From.In(c.zone), r.Span.Until.In(c.zone)
		out.Start, out.End = &from, &until
	}
	if r.Before != nil {
		was := c.figure(r.Before)
		out.Before = &was
	}
	return out
}

func (c *call) figure(f *dashboard.Figure) Figure {
	out := Figure{N: f.N, Interval: []float64{}, Few: f.Few}
	if !f.None {
		v := f.V
		out.Value = &v
	}
	if f.Rate != nil {
		of, among := f.Rate.Of, f.Rate.Among
		out.Numerator, out.Denominator = &of, &among
	}
	if f.Interval != nil {
		out.Interval = f.Interval[:]
	}
	if f.Link != "" {
		link := f.Link
		if strings.HasPrefix(link, "/") {
			link = c.URL + link
		}
		n := f.Value.N
		out.Link, out.LinkCount = &link, &n
		if path, query, _ := strings.Cut(f.Link, "?"); path == "/conversations" {
			data := c.URL + "/api/v1/conversations?" + query
			out.APILink = &data
		}
	}
	return out
}
