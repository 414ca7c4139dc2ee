// Package charts turns charts of a dashboard into options of ECharts, by go-echarts: data alone, without functions.
// Colours are names of tokens such as --ink, which whoever draws replaces, and formatters are names of texts that come
// with the option.
package charts

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"turnwise/dashboard"
	"turnwise/format"
	"turnwise/metric"
)

// Drawing is all that static/charts.js needs to draw a chart and to follow what is done to it.
type Drawing struct {
	Kind   dashboard.ChartKind `json:"kind"`
	Option map[string]any      `json:"option"`

	Tips   []string    `json:"tips,omitempty"`   // what stands beside a place of the lower axis
	Labels []string    `json:"labels,omitempty"` // of the axis of values, from its least on
	Spans  [][2]string `json:"spans,omitempty"`  // from and until of each place, for zooming
	Series []string    `json:"series,omitempty"` // in the order of the table's columns
	Based  bool        `json:"based,omitempty"`  // each column of the table has its base beside it
}

const fontFamily = `"IBM Plex Sans", system-ui, sans-serif`

// The names of texts that a drawing brings for functions that JSON cannot hold.
const (
	useTips   = "@tips"   // Tips, by the place
	useTip    = "@tip"    // the item's own
	useText   = "@text"   // likewise, as a label
	useLabels = "@labels" // Labels
)

// Draw returns how a chart is drawn.
func Draw(c *dashboard.Chart) Drawing {
	if c.Kind == dashboard.Heat {
		return heat(c)
	}
	d := Drawing{Kind: c.Kind, Series: names(c), Based: c.HasBase()}
	for i, x := range c.X {
		d.Tips = append(d.Tips, tip(c, i))
		if x.From != "" {
			d.Spans = append(d.Spans, [2]string{x.From, x.Until})
		}
	}
	low, high := extent(c)
	scale := scaleOf(low, high, c)
	d.Labels = scale.labels
	if c.Kind == dashboard.Stacked {
		d.Option = bars(c, scale)
	} else {
		d.Option = lines(c, scale)
	}
	return d
}

func names(c *dashboard.Chart) (all []string) {
	for _, s := range c.Series {
		all = append(all, s.Name)
	}
	return all
}

// tip is what stands beside a place of the lower axis.
func tip(c *dashboard.Chart, i int) string {
	x := c.X[i]
	text := x.Long
	if x.Unfinished {
		text += " · unfinished"
	}
	for _, s := range c.Series {
		v := s.Values[i]
		text += "\n" + s.Name + "  " + v.Text()
		if v.Of > 0 {
			text += "  (n " + format.Count(v.Of) + ")"
		}
		if v.Soft {
			text += " · not final"
		}
	}
	if b := c.Before; b != nil && i < len(b.Values) && !b.Values[i].None {
		v := b.Values[i]
		v.Unit = c.Unit
		text += "\n" + b.Name + "  " + v.Text()
	}
	for _, m := range c.Markers {
		if m.At == i {
			text += "\n| " + m.Name
		}
	}
	return text
}

// early tells of a value of a line that so little is known yet that it says nothing: it would draw the line to 0 every
// morning, and set the axis. Its table has it.
func early(v dashboard.Value, i int, x []dashboard.Tick) bool {
	return i < len(x) && x[i].Unfinished && v.Of < metric.FewFrom
}

// drawn returns what is drawn of a value; nil for nothing.
func drawn(c *dashboard.Chart, v dashboard.Value, i int) any {
	if v.None || c.Unit != dashboard.Counts && early(v, i, c.X) {
		return nil
	}
	return math.Round(v.V*1e6) / 1e6
}

// extent is what the axis of values must hold.
func extent(c *dashboard.Chart) (low, high float64) {
	low = math.Inf(1)
	see := func(v any) {
		if f, ok := v.(float64); ok {
			low, high = min(low, f), max(high, f)
		}
	}
	sums := make([]float64, len(c.X))
	for _, s := range c.Series {
		for i, v := range s.Values {
			f := drawn(c, v, i)
			if n, ok := f.(float64); ok && c.Kind == dashboard.Stacked {
				sums[i] += n
			} else {
				see(f)
			}
		}
	}
	if c.Kind == dashboard.Stacked {
		for _, sum := range sums {
			see(sum)
		}
	}
	if c.Before != nil {
		for _, v := range c.Before.Values {
			if !v.None {
				see(v.V)
			}
		}
	}
	if math.IsInf(low, 1) {
		low = 0
	}
	return low, high
}

// scale is the axis of values.
type scale struct {
	min, max, step float64
	labels         []string
}

// parts is about how many parts an axis has.
const parts = 4

// scaleOf divides the axis into round parts. Counts and times begin at 0; shares begin where they are, and end at 1.
func scaleOf(low, high float64, c *dashboard.Chart) scale {
	if c.Kind == dashboard.Stacked || c.Unit == dashboard.Times {
		low = 0
	}
	if high <= low {
		high = low + map[dashboard.Unit]float64{
			dashboard.Counts: parts, dashboard.Percents: .04, dashboard.Times: 100,
		}[c.Unit]
	}
	step := round((high - low) / parts)
	if c.Unit == dashboard.Counts {
		step = max(1, step)
	}
	s := scale{min: math.Floor(low/step+1e-9) * step, max: math.Ceil(high/step-1e-9) * step, step: step}
	if c.Unit == dashboard.Percents {
		s.max = min(s.max, max(1, s.min+step))
		s.min = max(0, s.min)
	}
	for i := 0; s.min+float64(i)*step <= s.max+step/1e3; i++ {
		s.labels = append(s.labels, axisText(c.Unit, s.min+float64(i)*step))
	}
	return s
}

// round returns a number of one digit, or 25, near x.
func round(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	switch f := x / power; {
	case f < 1.5:
		return power
	case f < 2.3:
		return 2 * power
	case f < 4:
		return 2.5 * power
	case f < 7:
		return 5 * power
	}
	return 10 * power
}

func axisText(unit dashboard.Unit, v float64) string {
	switch unit {
	case dashboard.Percents:
		if p := v * 100; math.Abs(p-math.Round(p)) > 1e-6 {
			return format.Decimal(p, 1) + "%"
		}
		return format.Decimal(v*100, 0) + "%"
	case dashboard.Times:
		return format.Millis(v)
	default: // counts
	}
	if v >= 10000 {
		places := 1
		if math.Mod(v, 1000) == 0 {
			places = 0
		}
		return format.Decimal(v/1000, places) + "k"
	}
	return format.Count(int64(math.Round(v)))
}

// plain returns an option as JSON has it, without what go-echarts adds of its own, and with what it lacks.
func plain(option map[string]any, more ...lack) map[string]any {
	for _, k := range []string{"title", "legend", "toolbox", "color"} {
		delete(option, k)
	}
	text, err := json.Marshal(option)
	if err != nil {
		panic("charts: " + err.Error()) // numbers and texts alone
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		panic("charts: " + err.Error())
	}
	for _, x := range slices.Concat(always, more) {
		x.into(out)
	}
	return out
}

func label(color string, size int) *opts.AxisLabel {
	return &opts.AxisLabel{Color: color, FontSize: size}
}

var no, yes = opts.Bool(false), opts.Bool(true)

// besideLines is the room at the right of lines, in pixels, in which their names stand.
func besideLines(c *dashboard.Chart) string {
	const (
		least, most = 78, 150
		letter, gap = 5.8, 12 // of the labels' font
	)
	longest := 0
	for _, s := range c.Series {
		longest = max(longest, utf8.RuneCountInString(s.Name))
	}
	return strconv.Itoa(min(most, max(least, int(gap+letter*float64(longest)))))
}

// axes are those of charts over time.
func axes(c *dashboard.Chart, s scale) []charts.GlobalOpts {
	x := make([]string, len(c.X))
	for i, t := range c.X {
		x[i] = t.Label
	}
	below := label("--ink-3", 11)
	below.HideOverlap, below.Margin = yes, 8
	beside := label("--ink-3", 11)
	beside.Formatter = useLabels
	pointer := "line"
	right, top := besideLines(c), "10"
	if c.Kind == dashboard.Stacked {
		pointer, right = "shadow", "8"
	}
	if len(c.Markers) > 0 {
		top = "24"
	}
	return []charts.GlobalOpts{
		charts.WithAnimation(false),
		charts.WithGridOpts(opts.Grid{Left: "8", Right: right, Top: top, Bottom: "4", ContainLabel: yes}),
		charts.WithTooltipOpts(opts.Tooltip{
			Trigger: "axis", BackgroundColor: "--raised", BorderColor: "--line-strong", Formatter: useTips,
			AxisPointer: &opts.AxisPointer{Type: pointer},
		}),
		charts.WithXAxisOpts(opts.XAxis{
			Type: "category", Data: x, AxisTick: &opts.AxisTick{Show: no}, AxisLine: &opts.AxisLine{
				LineStyle: &opts.LineStyle{Color: "--line-strong"},
			}, AxisLabel: below,
		}),
		charts.WithYAxisOpts(opts.YAxis{
			Type: "value", Min: s.min, Max: s.max, AxisLabel: beside, SplitLine: &opts.SplitLine{
				LineStyle: &opts.LineStyle{Color: "--line"},
			},
		}),
	}
}

// overTime draws the period that is compared with and what happened, over the series.
func overTime(c *dashboard.Chart, chart *charts.RectChart, s scale, more []lack) map[string]any {
	if b := c.Before; b != nil {
		data := make([]any, min(len(b.Values), len(c.X)))
		for i := range data {
			if !b.Values[i].None {
				data[i] = b.Values[i].V
			}
		}
		line := charts.NewLine()
		line.AddSeries(
			b.Name, nil, charts.WithLineChartOpts(opts.LineChart{Step: "middle", Symbol: "none"}),
			charts.WithLineStyleOpts(opts.LineStyle{Color: "--c-compare", Width: 1.25, Type: "dotted"}),
		)
		line.MultiSeries[0].Data = data
		chart.Overlap(line)
		at := len(chart.MultiSeries) - 1
		more = append(
			more, lack{opts: "series", at: at, path: "silent", value: true},
			lack{opts: "series", at: at, path: "z", value: 5},
			lack{opts: "series", at: at, path: "emphasis.disabled", value: true},
		)
	}
	if len(c.Markers) > 0 && len(chart.MultiSeries) > 0 {
		var data []any
		for _, m := range markers(c) {
			data = append(data, markLine{opts.MarkLineNameXAxisItem{XAxis: m.at}, m.name, &markLabel{
				opts.Label{
					Show: opts.Bool(m.name != ""), Formatter: useText, Align: m.align, Color: "--ink-3", FontSize: 11,
					Position: "end",
				}, 4,
			}})
		}
		chart.MultiSeries[0].MarkLines = &opts.MarkLines{Data: data, MarkLineStyle: opts.MarkLineStyle{
			Symbol: []string{"none", "none"}, LineStyle: &opts.LineStyle{Color: "--c-marker", Type: "solid", Width: 1},
		}}
		more = append(
			more, lack{opts: "series", at: 0, path: "markLine.silent", value: true},
			lack{opts: "series", at: 0, path: "markLine.animation", value: false},
		)
	}
	more = append(more, gridLacks...)
	more = append(more, lack{opts: "yAxis", path: "interval", value: s.step}, lack{
		opts: "xAxis", path: "boundaryGap", value: c.Kind == dashboard.Stacked,
	})
	return plain(chart.JSON(), more...)
}

// markLine is something that happened, with what go-echarts has no place for.
type markLine struct {
	opts.MarkLineNameXAxisItem
	Text  string     `json:"text"`
	Label *markLabel `json:"label,omitempty"`
}

type markLabel struct {
	opts.Label
	Distance int `json:"distance"`
}

type marker struct {
	at          int
	name, align string
}

// markers are what happened at each place. Names that would stand on the one before are left to what stands beside the
// place; at the edges they stand beside their line.
func markers(c *dashboard.Chart) (all []marker) {
	const wide, narrow, letter, most = 900, 400, 6.5, 24 // pixels, about, and letters
	plot := float64(narrow)
	if c.Wide {
		plot = wide
	}
	by := map[int][]string{}
	for _, m := range c.Markers {
		by[m.At] = append(by[m.At], m.Name)
	}
	each, free := plot/max(1, float64(len(c.X)-1)), math.Inf(-1)
	for _, at := range slices.Sorted(maps.Keys(by)) {
		m := marker{at: at, name: by[at][0], align: "center"}
		if n := len(by[at]); n > 1 {
			m.name = format.Count(n) + " events"
		}
		m.name = format.Shorten(m.name, most-1)
		width, x := float64(utf8.RuneCountInString(m.name))*letter, float64(at)*each
		from := x - width/2
		switch {
		case x < width/2:
			m.align, from = "left", x
		case x > plot-width/2:
			m.align, from = "right", x-width
		}
		if from < free {
			m.name = ""
		} else {
			free = from + width + 8
		}
		all = append(all, m)
	}
	return all
}
