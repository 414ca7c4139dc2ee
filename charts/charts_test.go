package charts

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	gocharts "github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"turnwise/dashboard"
	"turnwise/metric"
)

// TestEarly holds that an unfinished bucket of which little is known neither draws a line nor sets the axis, and that
// others do.
func TestEarly(t *testing.T) {
	t.Parallel()
	rate := func(of, among int64) dashboard.Value {
		return dashboard.Rate(metric.Rate{Of: of, Among: among}, "", "", "conversations")
	}
	for _, tt := range []struct {
		name       string
		value      dashboard.Value
		unfinished bool
		unit       dashboard.Unit
		drawn      bool
	}{
		{"one conversation today", rate(0, 1), true, dashboard.Percents, false},
		{"29 today", rate(20, 29), true, dashboard.Percents, false},
		{"30 today", rate(20, 30), true, dashboard.Percents, true},
		{"one conversation on a day that is over", rate(0, 1), false, dashboard.Percents, true},
		{"two turns today", dashboard.Value{V: 571, Of: 2}, true, dashboard.Times, false},
		{"30 turns today", dashboard.Value{V: 571, Of: 30}, true, dashboard.Times, true},
		{"a count", dashboard.Count(1, ""), true, dashboard.Counts, true},
	} {
		c := dashboard.Chart{
			Kind: dashboard.Lines, Unit: tt.unit, X: []dashboard.Tick{{}, {Unfinished: tt.unfinished}},
			Series: []dashboard.Series{{Name: "s", Values: []dashboard.Value{rate(80, 100), tt.value}}},
		}
		if got := drawn(&c, c.Series[0].Values[1], 1) != nil; got != tt.drawn {
			t.Errorf("%s: drawn %v, want %v", tt.name, got, tt.drawn)
		}
	}
}

// TestOptions draws a chart of every kind and looks at what is drawn where it matters.
func TestOptions(t *testing.T) {
	t.Parallel()
	x := []dashboard.Tick{
		{Label: "1 Nov", Long: "Sun 1 Nov 2026", From: "2026-11-01", Until: "2026-11-01"},
		{Label: "2 Nov", Long: "Mon 2 Nov 2026", From: "2026-11-02", Until: "2026-11-02"},
		{Label: "3 Nov", Long: "Tue 3 Nov 2026", Unfinished: true},
	}
	counts := []dashboard.Value{dashboard.Count(3, ""), dashboard.Count(45914, ""), dashboard.Count(1, "")}
	stack := Draw(&dashboard.Chart{
		Kind: dashboard.Stacked, Unit: dashboard.Counts, X: x, Series: []dashboard.Series{
			{Name: "Open", Color: "--c-open", Values: counts}, {Name: "Others", Color: "--c-1", Values: counts},
		},
		Before: &dashboard.Series{Name: "Compared", Values: counts}, Markers: []dashboard.Marker{
			{At: 1, Name: "@tips"}, {At: 1, Name: "--ink"},
		},
	})
	if got := stack.Tips[1]; got != "Mon 2 Nov 2026\nOpen  45,914\nOthers  45,914\nCompared  45,914\n| @tips\n| --ink" {
		t.Errorf("beside a bar stands %q", got)
	}
	if got := stack.Labels[len(stack.Labels)-1]; got != "100k" {
		t.Errorf("the axis ends at %q: %v", got, stack.Labels)
	}
	text, err := json.Marshal(stack.Option)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"borderType":"dotted"`, `"stack":"all"`, `"interval":20000`, `"formatter":"@tips"`, `"text":"2 events"`,
		`"type":"line"`, `"animation":false`, `"confine":true`,
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	for _, never := range []string{"function", "__f__", `"legend"`, `"toolbox"`} {
		if bytes.Contains(text, []byte(never)) {
			t.Errorf("%s is in %s", never, text)
		}
	}
	heat := Draw(&dashboard.Chart{
		Kind: dashboard.Heat, Unit: dashboard.Counts, X: x,
		Series: []dashboard.Series{
			{
				Name:   "Mon",
				Values: []dashboard.Value{dashboard.Count(0, ""), dashboard.Count(7, ""), dashboard.Unknown()},
			},
		},
	})
	text, _ = json.Marshal(heat.Option)
	if !bytes.Contains(text, []byte(`"--heat-7"`)) || bytes.Count(text, []byte(`"tip"`)) != 2 {
		t.Errorf("a heat map is %s", text)
	}
}

// TestScale has axes at their bounds.
func TestScale(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		low, high float64
		kind      dashboard.ChartKind
		unit      dashboard.Unit
		want      string
	}{
		{0, 0, dashboard.Stacked, dashboard.Counts, "0 1 2 3 4"},
		{0, 1, dashboard.Stacked, dashboard.Counts, "0 1"},
		{0, 37, dashboard.Stacked, dashboard.Counts, "0 10 20 30 40"},
		{0, 1000, dashboard.Stacked, dashboard.Counts, "0 250 500 750 1,000"},
		{.7, .93, dashboard.Lines, dashboard.Percents, "70% 75% 80% 85% 90% 95%"},
		{1, 1, dashboard.Lines, dashboard.Percents, "100% 101%"},
		{.5, 1, dashboard.Lines, dashboard.Percents, "50% 60% 70% 80% 90% 100%"},
		{0, 0, dashboard.Lines, dashboard.Percents, "0% 1% 2% 3% 4%"},
		{400, 2900, dashboard.Lines, dashboard.Times, "0 ms 1.0 s 2.0 s 3.0 s"},
	} {
		s := scaleOf(tt.low, tt.high, &dashboard.Chart{Kind: tt.kind, Unit: tt.unit})
		if got := strings.Join(s.labels, " "); got != tt.want {
			t.Errorf("%v to %v: %s, want %s", tt.low, tt.high, got, tt.want)
		}
	}
}

// TestLacks tells when go-echarts has a place for what is merged into its options. It is not parallel: it listens to
// all that is drawn.
func TestLacks(t *testing.T) {
	chart := &dashboard.Chart{
		Kind: dashboard.Lines, Unit: dashboard.Percents, Main: "a", X: []dashboard.Tick{{}, {}},
		Before: &dashboard.Series{Values: make([]dashboard.Value, 2)}, Markers: []dashboard.Marker{{}},
		Series: []dashboard.Series{{Name: "a", Values: make([]dashboard.Value, 2)}},
	}
	of := map[string]reflect.Type{
		"tooltip": reflect.TypeFor[opts.Tooltip](), "grid": reflect.TypeFor[opts.Grid](), "xAxis": reflect.TypeFor[opts.XAxis](), "yAxis": reflect.TypeFor[opts.YAxis](), "series": reflect.TypeFor[gocharts.SingleSeries](),
	}
	seen := 0
	noted = func(l lack) {
		seen++
		if at, ok := of[l.opts]; ok && !l.text && has(at, strings.Split(l.path, ".")) {
			t.Errorf("go-echarts has %s.%s now: set it there", l.opts, l.path)
		}
	}
	defer func() { noted = nil }()
	Draw(chart)
	chart.Kind, chart.Unit = dashboard.Stacked, dashboard.Counts
	Draw(chart)
	chart.Kind = dashboard.Heat
	Draw(chart)
	Paths(&dashboard.Way{Edges: []dashboard.PathEdge{{Path: []string{"a", "b"}}}})
	if seen < 20 {
		t.Errorf("only %d were looked at", seen)
	}
	if f, _ := reflect.TypeFor[opts.AxisLabel]().FieldByName("Interval"); f.Type.Kind() != reflect.String {
		t.Error("go-echarts takes numbers for axisLabel.interval now: set it there")
	}
	for datum, path := range map[reflect.Type]string{
		reflect.TypeFor[opts.LineData](): "itemStyle", reflect.TypeFor[opts.ItemStyle](): "borderType", reflect.TypeFor[opts.HeatMapData](): "itemStyle", reflect.TypeFor[opts.Label](): "distance",
		reflect.TypeFor[opts.MarkLineNameXAxisItem](): "label",
	} {
		if has(datum, []string{path}) {
			t.Errorf("go-echarts has %s of %s now: our own type can go", path, datum)
		}
	}
}

// has tells whether a type writes a key.
func has(t reflect.Type, path []string) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && has(f.Type, path) {
			return true
		}
		if name == path[0] {
			return len(path) == 1 || has(f.Type, path[1:])
		}
	}
	return false
}
