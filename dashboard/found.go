package dashboard

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"turnwise/metric"
	"turnwise/queries"
)

// MarkerRow is one of Rasa's markers, with where it was found.
type MarkerRow struct {
	Name, Description          string
	Found                      Value // conversations
	Share                      metric.Rate
	Places                     Value
	Mean, Median, Fewest, Most Value // messages of the user before a place
}

// markerRows are the markers that are looked for, the most frequent first.
func (f *Figures) markerRows(ctx context.Context) (rows []MarkerRow, err error) {
	patterns, err := queries.Patterns(ctx, f.viewer.Pool, "")
	if err != nil {
		return nil, err
	}
	counts := map[string]*metric.MarkerCount{}
	for _, p := range patterns {
		if !p.Active || !f.of(p.Assistant) {
			continue
		}
		if counts[p.Name] == nil {
			counts[p.Name] = &metric.MarkerCount{}
			rows = append(rows, MarkerRow{Name: p.Name, Description: p.Description})
		}
		if c := f.found[p.ID]; c != nil {
			counts[p.Name].Merge(c)
		}
	}
	for i := range rows {
		r, c := &rows[i], counts[rows[i].Name]
		filter := f.Filter
		if !slices.Contains(filter.Markers, r.Name) {
			filter.Markers = append(slices.Clone(filter.Markers), r.Name)
		}
		r.Found = Count(c.Conversations, f.link(filter, metric.All))
		r.Share = metric.Rate{Of: c.Conversations, Among: f.whole.Count(metric.All)}
		r.Places = Count(c.Places(), "")
		r.Mean, r.Median, r.Fewest, r.Most = Unknown(), Unknown(), Unknown(), Unknown()
		if mean, median, fewest, most, ok := c.Preceding(); ok {
			r.Mean, r.Median = Value{V: mean, Unit: Decimals}, Value{V: median, Unit: Decimals}
			r.Fewest, r.Most = Count(int64(fewest), ""), Count(int64(most), "")
		}
	}
	slices.SortStableFunc(rows, func(a, b MarkerRow) int {
		return cmp.Or(cmp.Compare(b.Found.N, a.Found.N), strings.Compare(a.Name, b.Name))
	})
	return rows, nil
}

// markerTable is their table in documents.
func markerTable(rows []MarkerRow) Breakdown {
	b := Breakdown{
		Title: "Markers", Head: []string{"Conversations", "Share", "Times", "Messages before: mean", "median", "fewest", "most"},
	}
	for _, x := range rows {
		b.Rows = append(b.Rows, BreakdownRow{Name: x.Name, Values: []Value{
			x.Found, Rate(x.Share, "", "", "of all"), x.Places, x.Mean, x.Median, x.Fewest, x.Most,
		}})
	}
	return b
}
