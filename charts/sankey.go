package charts

import (
	"strconv"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"turnwise/dashboard"
	"turnwise/format"
)

// nodeDatum and linkDatum are parts of a flow of conversations with what stands beside them.
type (
	nodeDatum struct {
		opts.SankeyNode
		Text string `json:"text"`
		Tip  string `json:"tip"`
	}
	linkDatum struct {
		opts.SankeyLink
		Row int    `json:"row"` // of the table
		Tip string `json:"tip"`
	}
)

// Paths returns how paths in one direction are drawn.
func Paths(w *dashboard.Way) Drawing {
	back := w.ID == "before"
	var nodes []nodeDatum
	var links []linkDatum
	index, colors, deepest := map[string]int{}, map[string]string{}, 0
	node := func(name, label string, depth int, end bool) {
		if _, ok := index[name]; ok {
			return
		}
		color := "--c-other"
		if !end {
			if colors[label] == "" {
				colors[label] = "--c-" + strconv.Itoa(len(colors)%6+1)
			}
			color = colors[label]
		}
		index[name], deepest = len(nodes), max(deepest, depth)
		nodes = append(nodes, nodeDatum{
			SankeyNode: opts.SankeyNode{Name: name, Depth: &depth, ItemStyle: &opts.ItemStyle{Color: color}},
			Text:       label,
		})
	}
	came, left := map[string]float64{}, map[string]float64{}
	for i, e := range w.Edges {
		last, depth := e.Path[len(e.Path)-1], len(e.Path)-1
		target := strings.Join(e.Path, " → ")
		source := strings.Join(e.Path[:max(1, len(e.Path)-1)], " → ")
		from, to := "", last
		if e.End {
			source, target, depth = target, target+" → .", depth+1
			from, to = last, w.Nothing
		} else {
			from = e.Path[len(e.Path)-2]
		}
		node(source, from, depth-1, false)
		node(target, to, depth, e.End)
		left[source], came[target] = left[source]+e.Count.V, came[target]+e.Count.V
		x := linkDatum{
			SankeyLink: opts.SankeyLink{Source: source, Target: target, Value: float32(e.Count.V)}, Row: i,
			Tip: from + " → " + to + "\n" + format.Count(int64(e.Count.V)),
		}
		if back {
			x.Source, x.Target, x.Tip = target, source, to+" → "+from+"\n"+format.Count(int64(e.Count.V))
		}
		links = append(links, x)
	}
	for i := range nodes {
		n := &nodes[i]
		if back {
			*n.Depth = deepest - *n.Depth
		}
		n.Tip = n.Text + "\n" + format.Count(int64(max(came[n.Name], left[n.Name])))
	}
	return drawPaths(nodes, links)
}

func drawPaths(nodes []nodeDatum, links []linkDatum) Drawing {
	chart := charts.NewSankey()
	chart.SetGlobalOptions(
		charts.WithAnimation(false),
		charts.WithTooltipOpts(opts.Tooltip{
			BackgroundColor: "--raised", BorderColor: "--line-strong", Formatter: useTip,
		}),
	)
	chart.AddSeries("", nil, nil, charts.WithLabelOpts(opts.Label{
		Show: yes, Color: "--ink-2", FontSize: 11, Formatter: useText,
	}),
		charts.WithLineStyleOpts(opts.LineStyle{
			Color: "source", Opacity: opts.Float(.22), Curveness: .5,
		}), charts.WithEmphasisOpts(opts.Emphasis{Focus: "adjacency"}))
	s := &chart.MultiSeries[0]
	s.Data, s.Links, s.Left, s.Right, s.Top, s.Bottom, s.Draggable = nodes, links, "4", "130", "8", "8", no
	s.NodeWidth, s.NodeGap = opts.Int(10), opts.Int(8)
	return Drawing{Kind: "sankey", Option: plain(chart.JSON(),
		lack{opts: "series", path: "label.width", value: 120}, lack{
			opts: "series", path: "label.overflow", value: "truncate",
		})}
}
