package charts

import "strings"

// lack is a key that ECharts knows and go-echarts has no place for; TestLacks tells when it has.
type lack struct {
	opts  string // the part of the option: "", tooltip, grid, xAxis, yAxis or series
	at    int    // of a list
	path  string // within
	value any
	text  bool // go-echarts has a place for it, but for texts alone
}

// always is lacking in every chart.
var always = []lack{
	{path: "textStyle.fontFamily", value: fontFamily},
	{path: "textStyle.fontSize", value: 11},
	{path: "textStyle.color", value: "--ink-3"},
	{opts: "tooltip", path: "renderMode", value: "richText"},
	{opts: "tooltip", path: "confine", value: true},
	{opts: "tooltip", path: "borderWidth", value: 1},
	{opts: "tooltip", path: "textStyle.color", value: "--ink"},
	{opts: "tooltip", path: "textStyle.fontFamily", value: fontFamily},
	{opts: "tooltip", path: "textStyle.fontSize", value: 12},
}

// gridLacks are lacking in charts over time.
var gridLacks = []lack{
	{opts: "tooltip", path: "axisPointer.lineStyle.color", value: "--line-strong"},
	{opts: "tooltip", path: "axisPointer.shadowStyle.color", value: "--line"},
	{opts: "tooltip", path: "axisPointer.shadowStyle.opacity", value: .5},
	{opts: "grid", path: "outerBoundsMode", value: "same"},
	{opts: "grid", path: "outerBoundsContain", value: "axisLabel"},
}

// noted is told of each that is set; for tests.
var noted func(lack)

// into sets the key in an option.
func (l lack) into(option map[string]any) {
	if noted != nil {
		noted(l)
	}
	at := option
	if l.opts != "" {
		switch part := option[l.opts].(type) {
		case map[string]any:
			at = part
		case []any:
			if l.at >= len(part) {
				return
			}
			at, _ = part[l.at].(map[string]any)
		default:
			at = map[string]any{}
			option[l.opts] = at
		}
	}
	keys := strings.Split(l.path, ".")
	for _, k := range keys[:len(keys)-1] {
		inner, ok := at[k].(map[string]any)
		if !ok {
			inner = map[string]any{}
			at[k] = inner
		}
		at = inner
	}
	at[keys[len(keys)-1]] = l.value
}
