package views

import (
	"math"
	"strings"

	"turnwise/dashboard"
	"turnwise/format"
	"turnwise/metric"
)

// spec is what the script draws.
type spec struct {
	Kind    dashboard.ChartKind `json:"kind"`
	Unit    dashboard.Unit      `json:"unit"`
	Main    string              `json:"main,omitempty"`
	X       []specTick          `json:"x"`
	Series  []specSeries        `json:"series"`
	Before  *specSeries         `json:"before,omitempty"`
	Markers []specMarker        `json:"markers,omitempty"`
	Signs   string              `json:"signs"` // see NumberSigns
	Wide    bool                `json:"wide,omitempty"`
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
func early(v dashboard.Value, i int, x []dashboard.Tick) bool {
	return i < len(x) && x[i].Unfinished && v.Of < metric.FewFrom
}

func seriesSpec(s *dashboard.Series, unit dashboard.Unit, x []dashboard.Tick) specSeries {
	out := specSeries{Name: s.Name, Color: s.Color, Values: make([]*float64, len(s.Values))}
	for i, v := range s.Values {
		v.None = v.None || unit != dashboard.Counts && early(v, i, x)
		if !v.None {
			value := math.Round(v.V*1e6) / 1e6
			out.Values[i] = &value
		}
		if unit != dashboard.Counts {
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

// ChartSpec returns what the script draws, to be written as JSON.
func ChartSpec(c *dashboard.Chart) any {
	out := spec{Kind: c.Kind, Unit: c.Unit, Main: c.Main, Wide: c.Wide, Signs: format.NumberSigns()}
	for _, x := range c.X {
		out.X = append(out.X, specTick(x))
	}
	for i := range c.Series {
		out.Series = append(out.Series, seriesSpec(&c.Series[i], c.Unit, c.X))
	}
	if c.Before != nil {
		before := seriesSpec(c.Before, c.Unit, nil)
		out.Before = &before
	}
	for _, m := range c.Markers {
		out.Markers = append(out.Markers, specMarker(m))
	}
	return out
}

// swatchOf returns the class of a series' colour.
func swatchOf(color string) string { return "k" + strings.TrimPrefix(color, "-") }

// drawing is a page with charts.
func (p Page) drawing() Page {
	p.Charts = true
	return p
}
