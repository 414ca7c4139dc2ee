package charts

import (
	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"turnwise/dashboard"
)

// barDatum is a bar with what go-echarts has no place for.
type barDatum struct {
	opts.BarData
	ItemStyle *itemStyle `json:"itemStyle,omitempty"`
}

type itemStyle struct {
	opts.ItemStyle
	BorderType string `json:"borderType,omitempty"`
}

// bars draws counts, one on the other.
func bars(c *dashboard.Chart, s scale) map[string]any {
	chart := charts.NewBar()
	chart.SetGlobalOptions(axes(c, s)...)
	gap := "22%"
	if len(c.X) > 60 {
		gap = "12%"
	}
	for _, series := range c.Series {
		hollow := series.Color == "--c-open"
		style, opacity := opts.ItemStyle{Color: series.Color}, float32(.3)
		if hollow {
			style, opacity = opts.ItemStyle{Color: "--surface", BorderColor: series.Color, BorderWidth: 1}, .15
		}
		data := make([]barDatum, len(series.Values))
		for i, v := range series.Values {
			data[i].Value = drawn(c, v, i)
			if c.X[i].Unfinished {
				data[i].ItemStyle = &itemStyle{
					opts.ItemStyle{
						Color: series.Color, Opacity: opts.Float(opacity), BorderColor: series.Color, BorderWidth: 1,
					},
					"dotted",
				}
			}
		}
		chart.AddSeries(
			series.Name, nil, charts.WithBarChartOpts(opts.BarChart{Stack: "all", BarCategoryGap: gap}),
			charts.WithItemStyleOpts(style),
		)
		last := &chart.MultiSeries[len(chart.MultiSeries)-1]
		last.Data, last.BarMaxWidth = data, "44"
	}
	var more []lack
	for i := range c.Series {
		more = append(more, lack{opts: "series", at: i, path: "cursor", value: "pointer"})
	}
	return overTime(c, &chart.RectChart, s, more)
}
