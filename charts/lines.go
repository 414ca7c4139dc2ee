package charts

import (
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"turnwise/dashboard"
)

// lineDatum is a point of a line with what go-echarts has no place for.
type lineDatum struct {
	opts.LineData
	SymbolSize int             `json:"symbolSize"`
	ItemStyle  *opts.ItemStyle `json:"itemStyle,omitempty"`
}

// lines draws shares and times. What is not final yet is dotted, from the last firm point on, so that the line is one.
func lines(c *dashboard.Chart, s scale) map[string]any {
	chart := charts.NewLine()
	chart.SetGlobalOptions(axes(c, s)...)
	var more []lack
	for _, series := range c.Series {
		l := line{Series: series, c: c, values: make([]any, len(series.Values))}
		last := -1
		for i, v := range series.Values {
			if l.values[i] = drawn(c, v, i); l.values[i] != nil {
				last = i
			}
		}
		firm, tail := make([]any, len(l.values)), make([]any, len(l.values))
		for i := range l.values {
			if !l.loose(i) {
				firm[i] = l.point(i)
			}
			if l.loose(i) || l.loose(i+1) {
				tail[i] = l.point(i)
			}
		}
		more = append(more, l.add(chart, firm, "", !l.loose(last))...)
		if slices.ContainsFunc(tail, func(v any) bool { return v != nil }) {
			more = append(more, l.add(chart, tail, "dotted", l.loose(last))...)
		}
	}
	return overTime(c, &chart.RectChart, s, more)
}

// line is one of a chart: firm, and dotted where it may change yet.
type line struct {
	dashboard.Series
	c      *dashboard.Chart
	values []any // what is drawn; nil leaves a gap
}

// loose tells whether a value may change yet.
func (l *line) loose(i int) bool {
	return i >= 0 && i < len(l.values) && (l.c.X[i].Unfinished || l.Values[i].Soft)
}

// point is how a value is drawn: hollow where it is of few, with a dot where it stands alone or there is room.
func (l *line) point(i int) any {
	if l.values[i] == nil {
		return nil
	}
	p := lineDatum{
		LineData:  opts.LineData{Value: l.values[i], Symbol: "circle"},
		ItemStyle: &opts.ItemStyle{Color: l.Color},
	}
	alone := (i == 0 || l.values[i-1] == nil) && (i+1 == len(l.values) || l.values[i+1] == nil)
	switch {
	case l.Values[i].Few:
		p.SymbolSize, p.ItemStyle = 7, &opts.ItemStyle{Color: "--surface", BorderColor: "--ink-3", BorderWidth: 1.5}
	case alone || len(l.c.X) <= 31:
		p.SymbolSize = 4
	}
	return p
}

// add adds one of its two parts, and returns what go-echarts has no words for.
func (l *line) add(chart *charts.Line, data []any, kind string, labelled bool) (more []lack) {
	width, z := float32(1.5), 3
	if l.Name == l.c.Main {
		width, z = 2.25, 4
	}
	chart.AddSeries(
		l.Name, nil, charts.WithLineChartOpts(opts.LineChart{Symbol: "circle", ShowSymbol: yes, ConnectNulls: no}),
		charts.WithLineStyleOpts(opts.LineStyle{Color: l.Color, Width: width, Type: kind}),
		charts.WithItemStyleOpts(opts.ItemStyle{Color: l.Color}),
		charts.WithLabelLayoutOpts(opts.LabelLayout{MoveOverlap: "shiftY"}),
	)
	at := len(chart.MultiSeries) - 1
	chart.MultiSeries[at].Data = data
	lacks := func(path string, value any) {
		more = append(more, lack{opts: "series", at: at, path: path, value: value})
	}
	lacks("z", z)
	lacks("cursor", "pointer")
	lacks("emphasis.disabled", true)
	lacks("showAllSymbol", true)
	if labelled {
		lacks("endLabel", map[string]any{
			"show": true, "color": "--ink-2", "fontSize": 11, "distance": 6, "formatter": "{a}",
		})
	}
	return more
}
