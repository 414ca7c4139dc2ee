package dashboard

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// CountUpTo is where counting ends.
const CountUpTo = 10000

// Total returns how many conversations the filter has, as totalOf counts them.
func (v Viewer) Total(ctx context.Context, f metric.Filter, now time.Time) (n int64, more bool, err error) {
	frozen, err := queries.FrozenBefore(ctx, v.Pool, f, now, v.Zone)
	if err != nil {
		return 0, false, err
	}
	return v.TotalOf(ctx, f, frozen != nil, now)
}

// TotalOf returns how many conversations the filter has: from the rollups where they know, are not far behind and do
// not still count what was deleted, else counted up to countUpTo, beyond which more is set.
func (v Viewer) TotalOf(
	ctx context.Context, f metric.Filter, frozen bool, now time.Time,
) (n int64, more bool, err error) {
	asked := f
	f = f.Normalized()
	plain := f
	plain.Is, plain.Weekdays, plain.Hours, plain.Flows = nil, nil, nil, nil
	apart := len(f.Is) + len(f.Hours) + len(f.Flows) // rollups know one at a time
	flow := len(f.Flows) > 0 && f.Flows[0].Visited+f.Flows[0].Stopped == "" && len(f.Weekdays) == 0
	if !frozen && plain.FromRollups() && (apart == 0 || apart == 1 && (flow || len(f.Flows) == 0) || len(f.Is)+
		len(f.Flows) == 0) {
		q := figures.Question{
			Filter: plain, Flows: flow, Ended: len(f.Is)+len(f.Flows) == 0, Most: CountUpTo, Now: now, Grid: v.Grid,
		}
		counted, err := figures.Count(ctx, v.Pool, q)
		switch {
		case err == nil:
			return v.rolledUp(&counted, f), false, nil
		case errors.Is(err, figures.ErrTooMany) && apart+len(f.Weekdays) == 0: // so many of them alone
			return CountUpTo, true, nil
		case !errors.Is(err, figures.ErrTooMany) && !errors.Is(err, figures.ErrBehind):
			return 0, false, err
		}
	}
	all, err := queries.CountConversations(ctx, v.Pool, asked, CountUpTo+1, now, v.Zone)
	return int64(min(all, CountUpTo)), all > CountUpTo, err
}

// rolledUp is the number of the filter's conversations, which the answer holds without what rollups tell apart.
func (v Viewer) rolledUp(answer *figures.Answer, f metric.Filter) (n int64) {
	if len(f.Flows) > 0 {
		if c := answer.Flows[f.Flows[0].Flow]; c != nil {
			n = c.Count(f.Flows[0].How)
		}
		return n
	}
	for _, c := range answer.Cells {
		if len(f.Weekdays) > 0 && !slices.Contains(f.Weekdays, isoWeekday(c.At.In(v.Zone))) {
			continue
		}
		switch {
		case len(f.Hours) > 0:
			for _, h := range f.Hours {
				n += c.Tally.Hours[h]
			}
		case len(f.Is) > 0:
			n += c.Tally.Count(f.Is[0])
		default:
			n += c.Tally.Count(metric.All)
		}
	}
	return n
}

func isoWeekday(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

// Address returns where the list of a filter's conversations stands.
func Address(f metric.Filter) string { return listAddress("/conversations", f) }

// listAddress returns where a list shows what a filter means.
func listAddress(path string, f metric.Filter) string {
	if q := f.Encode(); q != "" {
		return path + "?" + q
	}
	return path
}

// TotalTurns counts the turns: by the rollups where they know.
func (v Viewer) TotalTurns(ctx context.Context, q Question) (int64, error) {
	f := q.Filter
	plain := f
	plain.ResponseOver, plain.ResponseUpTo = 0, 0
	known := func(ms float64) bool { return ms == 0 || metric.NearBound(ms) == ms }
	if !plain.FromRollups() || !known(f.ResponseOver) || !known(f.ResponseUpTo) {
		return queries.CountTurns(ctx, v.Pool, f, q.Now, v.Zone)
	}
	counted, err := figures.Count(ctx, v.Pool, figures.Question{Filter: plain, Times: true, Now: q.Now, Grid: v.Grid})
	if err != nil {
		return 0, err
	}
	var l metric.Latency
	for _, c := range counted.Cells {
		l.Merge(&c.Tally.Response)
	}
	return l.Within(f.ResponseOver, cmp.Or(f.ResponseUpTo, 1e12)), nil
}

// Newest tells, where a question's range holds nothing, of which day the newest conversation is that its filter
// matches, or without the filter any; nil where there is none at all.
func (v Viewer) Newest(ctx context.Context, q Question) (*Newest, error) {
	all := metric.Range{Days: metric.MaxDays}
	narrowed := q.Filter
	narrowed.Range = all
	for i, f := range []metric.Filter{narrowed, metric.Filter{Range: all}.LimitTo(v.User.Assistants)} {
		list, err := queries.Conversations(ctx, queries.Clear(v.Pool), f, nil, true, 1, q.Now, q.Zone)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			continue
		}
		day := metric.DayOf(list[0].StartedAt.In(q.Zone), q.Zone)
		f.Range = metric.Range{From: day, Until: metric.AddDays(day, 1, q.Zone)}
		return &Newest{Day: day.Format("2 Jan 2006"), Link: q.with(f).Address(), Unfiltered: i == 1}, nil
	}
	return nil, nil
}
