package web

import (
	"context"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// newest tells, where a question's range holds nothing, of which day the newest conversation is that its filter matches, or without the filter any;
// nil where there is none at all.
func (s *server) newest(ctx context.Context, q question, limits []string) (*views.Newest, error) {
	all := metric.Range{Days: metric.MaxDays}
	narrowed := q.filter
	narrowed.Range = all
	for i, f := range []metric.Filter{narrowed, metric.Filter{Range: all}.LimitTo(limits)} {
		list, err := queries.Conversations(ctx, s.Pool, f, nil, true, 1, q.now, q.zone)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			continue
		}
		day := metric.DayOf(list[0].StartedAt.In(q.zone), q.zone)
		f.Range = metric.Range{From: day, Until: metric.AddDays(day, 1, q.zone)}
		return &views.Newest{Day: day.Format("2 Jan 2006"), Link: q.with(f).address(), Unfiltered: i == 1}, nil
	}
	return nil, nil
}
