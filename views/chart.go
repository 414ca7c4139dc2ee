package views

import (
	"math"
	"strings"
	"time"

	"turnwise/format"
	"turnwise/metric"
)

// Chart is a picture of figures with the table of the same figures. The script static/charts.js draws it from its
// spec, here and wherever pictures are made.
type Chart struct {
	ID, Title, Quiet string
	Foot             string // what is odd about these data
	Kind             ChartKind
	Unit             Unit
	Main             string // series that is drawn boldest
	X                []Tick
	Series           []Series
	Before           *Series // of the compared period, drawn as a grey step line
	Markers          []Marker
	First            string // head of the table's first column
	Wide             bool
}

// ChartKind is how a chart looks.
type ChartKind string

// The kinds of charts.
const (
	Stacked ChartKind = "stack" // bars of counts, one on the other
	Lines   ChartKind = "lines"
	Heat    ChartKind = "heat" // a row a series, a column a tick
)

// Unit is how values are written.
type Unit string

// The units.
const (
	Counts   Unit = "count"
	Percents Unit = "percent" // of shares from 0 to 1
	Times    Unit = "ms"
)

// Tick is a place on the chart's lower axis.
type Tick struct {
	Label, Long string
	Unfinished  bool
	From, Until string // of its stretch of time, for zooming; "" when it is none
}

// Series is what a chart draws in one colour.
type Series struct {
	Name, Color string // the colour's token
	Values      []Value
	Link        string // to all its conversations
	Share       string // of the whole
	N           int64
}

// Value is a figure, with the list that it opens.
type Value struct {
	V    float64
	None bool // nothing to divide by, or nothing measured
	Text string
	Link string // "" for nobody's eyes
	N    int64  // how many the list holds
	Base string // of a rate, in words; "" for a count
	Of   int64  // the base's number
	From string // link to the base
	Few  bool   // too few to trust
	Word bool   // it is its text, no number
	Soft bool   // not final yet, as people may still come back
}

// Marker is something that happened: a release, a change.
type Marker struct {
	At   int // index of the tick
	Name string
}

// CountValue is a count of conversations.
func CountValue(n int64, link string) Value {
	return Value{V: float64(n), Text: format.Count(n), Link: link, N: n}
}

// RateValue is a rate with the links to those it counts and to its base.
func RateValue(r metric.Rate, of, among, base string) Value {
	v, ok := r.Value()
	if !ok {
		return Value{None: true, Text: format.None, Base: base, From: among}
	}
	return Value{V: v, Text: format.Percent(r), Link: of, N: r.Of, Base: base, Of: r.Among, From: among, Few: r.Few()}
}

// spec is what the script draws.
type spec struct {
	Kind    ChartKind    `json:"kind"`
	Unit    Unit         `json:"unit"`
	Main    string       `json:"main,omitempty"`
	X       []specTick   `json:"x"`
	Series  []specSeries `json:"series"`
	Before  *specSeries  `json:"before,omitempty"`
	Markers []specMarker `json:"markers,omitempty"`
	Signs   string       `json:"signs"` // see NumberSigns
	Wide    bool         `json:"wide,omitempty"`
}

type specTick struct {
	Label      string `json:"label"`
	Long       string `json:"long"`
	Unfinished bool   `json:"unfinished,omitempty"`
	From       string `json:"from,omitempty"`
	Until      string `json:"until,omitempty"`
}

type specSeries struct {
	Name   string     `json:"name"`
	Color  string     `json:"color"`
	Values []*float64 `json:"values"`
	N      []int64    `json:"n,omitempty"`
	Few    []int      `json:"few,omitempty"` // indexes
	Soft   []int      `json:"soft,omitempty"`
}

type specMarker struct {
	At   int    `json:"at"`
	Name string `json:"name"`
}

// early tells of a value of a line that so little is known yet that it says nothing: it would draw the line to 0 every morning, and set the axis.
// Its table has it.
func early(v Value, i int, x []Tick) bool {
	return i < len(x) && x[i].Unfinished && v.Of < metric.FewFrom
}

func (s *Series) spec(unit Unit, x []Tick) specSeries {
	out := specSeries{Name: s.Name, Color: s.Color, Values: make([]*float64, len(s.Values))}
	for i, v := range s.Values {
		v.None = v.None || unit != Counts && early(v, i, x)
		if !v.None {
			value := math.Round(v.V*1e6) / 1e6
			out.Values[i] = &value
		}
		if unit != Counts {
			n := v.Of
			out.N = append(out.N, n)
		}
		if v.Few && !v.None {
			out.Few = append(out.Few, i)
		}
		if v.Soft {
			out.Soft = append(out.Soft, i)
		}
	}
	return out
}

// Spec returns what the script draws, to be written as JSON.
func (c *Chart) Spec() any { return c.spec() }

func (c *Chart) spec() spec {
	out := spec{Kind: c.Kind, Unit: c.Unit, Main: c.Main, Wide: c.Wide, Signs: format.NumberSigns()}
	for _, x := range c.X {
		out.X = append(out.X, specTick(x))
	}
	for i := range c.Series {
		out.Series = append(out.Series, c.Series[i].spec(c.Unit, c.X))
	}
	if c.Before != nil {
		before := c.Before.spec(c.Unit, nil)
		out.Before = &before
	}
	for _, m := range c.Markers {
		out.Markers = append(out.Markers, specMarker(m))
	}
	return out
}

// Drawn tells whether there is anything to draw.
func (c *Chart) Drawn() bool {
	for _, s := range c.Series {
		for _, v := range s.Values {
			if !v.None && (v.V != 0 || c.Unit != Counts) {
				return true
			}
		}
	}
	return false
}

// rates tells whether the values have a base.
func (c *Chart) rates() bool {
	for _, s := range c.Series {
		for _, v := range s.Values {
			if v.Base != "" {
				return true
			}
		}
	}
	return false
}

// Ticks are those of buckets of time.
func (p Page) Ticks(spans []metric.Span, b metric.Bucket) []Tick {
	ticks := make([]Tick, len(spans))
	for i, s := range spans {
		from, last := s.From.In(p.Zone), s.Until.Add(-time.Second).In(p.Zone)
		t := Tick{Unfinished: s.Unfinished(p.Now), Label: from.Format("2 Jan"), Long: from.Format("Mon 2 Jan 2006")}
		switch b {
		case metric.ByHour:
			t.Label, t.Long = from.Format("15:04"), from.Format("Mon 2 Jan 2006, 15:04 MST")
		case metric.ByWeek:
			t.Long = from.Format("2 Jan") + " – " + last.Format("2 Jan 2006")
		case metric.ByMonth:
			t.Label, t.Long = from.Format("Jan 06"), from.Format("January 2006")
		case metric.ByDay:
		}
		t.From, t.Until = from.Format(time.RFC3339), s.Until.In(p.Zone).Format(time.RFC3339)
		if s.From.Equal(metric.DayOf(s.From, p.Zone)) && s.Until.Equal(metric.DayOf(s.Until, p.Zone)) {
			t.From, t.Until = from.Format(time.DateOnly), last.Format(time.DateOnly)
		}
		ticks[i] = t
	}
	return ticks
}

// swatchOf returns the class of a series' colour.
func swatchOf(color string) string { return "k" + strings.TrimPrefix(color, "-") }

// drawing is a page with charts.
func (p Page) drawing() Page {
	p.Charts = true
	return p
}
