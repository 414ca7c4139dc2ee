package charts

import (
	"math"
	"slices"
	"strconv"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"turnwise/dashboard"
	"turnwise/format"
)

// heatSteps is how many shades there are.
const heatSteps = 8

// heat draws a row a series and a column a place, darker the more.
func heat(c *dashboard.Chart) Drawing {
	d := Drawing{Kind: c.Kind, Series: names(c), Based: c.HasBase()}
	data := heatCells(c)
	chart := charts.NewHeatMap()
	above, beside := label("--ink-3", 11), label("--ink-3", 11)
	x := make([]string, len(c.X))
	for i, t := range c.X {
		x[i] = t.Label
	}
	hidden := &opts.AxisLine{Show: no}
	chart.SetGlobalOptions(
		charts.WithAnimation(false),
		charts.WithGridOpts(opts.Grid{Left: "36", Right: "6", Top: "20", Bottom: "4"}),
		charts.WithTooltipOpts(opts.Tooltip{
			BackgroundColor: "--raised", BorderColor: "--line-strong", Formatter: useTip,
		}),
		charts.WithXAxisOpts(opts.XAxis{
			Type: "category", Position: "top", Data: x, AxisLine: hidden, AxisTick: &opts.AxisTick{Show: no},
			AxisLabel: above,
		}),
		charts.WithYAxisOpts(opts.YAxis{
			Type: "category", Inverse: yes, Data: names(c), AxisLine: hidden, AxisLabel: beside,
		}),
	)
	chart.AddSeries(
		c.Title, nil, charts.WithItemStyleOpts(opts.ItemStyle{BorderColor: "--surface", BorderWidth: 1.5}),
		charts.WithEmphasisOpts(opts.Emphasis{ItemStyle: &opts.ItemStyle{BorderColor: "--ink"}}),
	)
	chart.MultiSeries[0].Data = data
	d.Option = plain(chart.JSON(),
		lack{
			opts: "xAxis", path: "axisLabel.interval", value: 5, text: true,
		}, lack{opts: "yAxis", path: "axisTick.show", value: false},
		lack{opts: "series", path: "cursor", value: "pointer"})
	return d
}

// heatCells are the cells of a heat map, each in the colour of its value.
func heatCells(c *dashboard.Chart) (data []heatDatum) {
	var values []float64
	for y, s := range c.Series {
		for x, v := range s.Values {
			if v.None {
				continue
			}
			f := math.Round(v.V*1e6) / 1e6
			tip := s.Name + " " + c.X[x].Long + "\n" + v.Text()
			if v.Of > 0 {
				tip += "  (n " + format.Count(v.Of) + ")"
			}
			data, values = append(data, heatDatum{
				HeatMapData: opts.HeatMapData{Value: [3]float64{float64(x), float64(y), f}}, Tip: tip,
			}), append(values, f)
		}
	}
	most := 1e-9
	if n := len(values); n > 0 {
		sorted := slices.Sorted(slices.Values(values))
		most = max(most, sorted[n-1])
		if c.Unit == dashboard.Times { // one slow hour must not pale all others
			most = max(1e-9, sorted[n*95/100])
		}
	}
	for i := range data {
		step := int(math.Round(min(1, values[i]/most) * (heatSteps - 1)))
		data[i].ItemStyle = &opts.ItemStyle{Color: "--heat-" + strconv.Itoa(step)}
	}
	return data
}

// heatDatum is a field of a heat map with what stands beside it.
type heatDatum struct {
	opts.HeatMapData
	ItemStyle *opts.ItemStyle `json:"itemStyle,omitempty"`
	Tip       string          `json:"tip"`
}
