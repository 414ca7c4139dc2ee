// Package analytics answers what General Bots documents as its analytics API: usage, conversations, engagement and what
// goes on now, as the members of its answers. Members that mean what a measure of the pages means are that measure.
package analytics

import (
	"context"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// Question is what is asked, by whom, in which time zone.
type Question struct {
	dashboard.Viewer
	From, Until time.Time          // Until exclusive
	Bucket      metric.Bucket      // into which the range is divided; "": not at all
	Bot         *conversation.UUID // of this assistant alone
	User        *conversation.UUID // of this user alone

	filter metric.Filter
}

// Ask prepares a question; an assistant that there is not, or that who asks may not see, is queries.ErrNotFound.
func Ask(ctx context.Context, q Question) (Question, error) {
	if q.Bot != nil {
		name, err := q.botName(ctx, *q.Bot)
		if err != nil {
			return q, err
		}
		q.filter.Assistants = []string{name}
	}
	if q.User != nil {
		q.filter.Person = q.User.String()
	}
	q.filter.Range = metric.Range{From: q.From.In(q.Zone), Until: q.Until.In(q.Zone)}
	q.filter = q.filter.LimitTo(q.Viewer.User.Assistants)
	q.Grid = figures.NewGrid(q.Zone)
	return q, nil
}

func (q *Question) botName(ctx context.Context, id conversation.UUID) (string, error) {
	f, err := queries.Survivors(ctx, q.Pool, metric.Filter{Assistants: []string{id.String()}})
	switch limits := q.Viewer.User.Assistants; {
	case err != nil:
		return "", err
	case len(f.Assistants) != 1 || f.Assistants[0] == id.String() ||
		limits != nil && !slices.Contains(limits, f.Assistants[0]):
		return "", queries.ErrNotFound
	}
	return f.Assistants[0], nil
}

// Common are the members of every answer about a range.
type Common struct {
	Period      Period    `json:"period" doc:"What the answer is about."`
	Filters     Filters   `json:"filters" doc:"What it is narrowed to."`
	GeneratedAt time.Time `json:"generated_at"`
	// CompleteFrom is not null where retention may have deleted conversations of the range.
	CompleteFrom *time.Time `json:"complete_from" doc:"Conversations before may have been deleted by retention. Conversations and users still count them, unless another time zone than the workspace's or a user is asked for; other figures leave them out. null: none of the range."`
}

// Period is a range of time.
type Period struct {
	Start    time.Time `json:"start"`
	End      time.Time `json:"end" doc:"Exclusive."`
	Timezone string    `json:"timezone" doc:"IANA name of the zone in which days begin."`
	GroupBy  *string   `json:"group_by" enum:"hour,day,week,month"`
}

// Filters are what an answer is narrowed to.
type Filters struct {
	BotID  *string `json:"bot_id" format:"uuid"`
	UserID *string `json:"user_id" format:"uuid"`
}

// common are those members.
func (q Question) common(ctx context.Context) (c Common, err error) {
	c = Common{
		Period:      Period{Start: q.From.In(q.Zone), End: q.Until.In(q.Zone), Timezone: q.Zone.String()},
		GeneratedAt: q.Now.In(q.Zone).Truncate(time.Millisecond),
	}
	if q.Bucket != "" {
		by := string(q.Bucket)
		c.Period.GroupBy = &by
	}
	for id, into := range map[*conversation.UUID]**string{q.Bot: &c.Filters.BotID, q.User: &c.Filters.UserID} {
		if id != nil {
			text := id.String()
			*into = &text
		}
	}
	c.CompleteFrom, err = queries.FrozenBefore(ctx, q.Pool, q.filter, q.Now, q.Zone)
	if err == nil && c.CompleteFrom != nil {
		at := c.CompleteFrom.In(q.Zone)
		c.CompleteFrom = &at
	}
	return c, err
}

// spans are the stretches into which the range is divided.
func (q Question) spans() []metric.Span {
	if q.Bucket == "" {
		return []metric.Span{{From: q.From, Until: q.Until}}
	}
	return q.Bucket.Spans(q.From, q.Until, q.Zone)
}

// over tells whether nothing more can begin in the stretch's bucket.
func (q Question) over(s metric.Span) bool { return !q.Bucket.End(s.From, q.Zone).After(q.Now) }

// within is the question for another range, not divided.
func (q Question) within(from, until time.Time) Question {
	q.From, q.Until, q.Bucket = from, until, ""
	q.filter = q.filter.Within(from.In(q.Zone), until.In(q.Zone))
	return q
}

// counted are the conversations and people of the range as the pages count them.
type counted struct {
	conversations []int64 // by stretch
	all           int64
	users         metric.Users
	bots          int // assistants with conversations
}

// count counts as the pages do: from rollups where these know.
func (q Question) count(ctx context.Context) (c counted, err error) {
	spans := q.spans()
	c.conversations = make([]int64, len(spans))
	if len(spans) == 0 || !spans[0].From.Before(q.Until) {
		return c, nil
	}
	fine := q.Bucket == metric.ByHour || !q.whole()
	got, err := figures.Count(ctx, q.Pool, figures.Question{
		Filter: q.filter, Fine: fine, Users: true, Ended: true, Now: q.Now, Grid: q.Grid,
	})
	if err != nil {
		return c, err
	}
	bots := map[int32]bool{}
	for _, cell := range got.Cells {
		n := cell.Tally.Count(metric.All)
		c.conversations[spanOf(spans, cell.At)] += n
		c.all += n
		if n > 0 {
			bots[cell.Assistant] = true
		}
	}
	c.bots = len(bots)
	c.users = metric.CountUsers(got.Users, spans, nil)
	return c, nil
}

// whole tells whether the range begins and ends with days.
func (q Question) whole() bool {
	return q.From.Equal(metric.DayOf(q.From, q.Zone)) && q.Until.Equal(metric.DayOf(q.Until, q.Zone))
}

// spanOf is the stretch in which a cell's start lies; a cell may begin before the range does.
func spanOf(spans []metric.Span, at time.Time) int {
	i, _ := slices.BinarySearchFunc(spans, at, func(s metric.Span, t time.Time) int {
		if s.From.After(t) {
			return 1
		}
		return -1
	})
	return max(0, i-1)
}

// volumes are the conversations by stretch, and by channel.
func (q Question) volumes(ctx context.Context) (by []metric.Volume, channels map[string]*metric.Volume, err error) {
	spans := q.spans()
	rows, err := queries.Volumes(ctx, q.Pool, q.filter, spans, q.Now, q.Zone)
	if err != nil {
		return nil, nil, err
	}
	by, channels = make([]metric.Volume, len(spans)), map[string]*metric.Volume{}
	for i := range rows {
		r := &rows[i]
		by[r.Stretch].Add(&r.Volume)
		if channels[r.Channel] == nil {
			channels[r.Channel] = new(metric.Volume)
		}
		channels[r.Channel].Add(&r.Volume)
	}
	return by, channels, nil
}

// sum adds up volumes.
func sum(all []metric.Volume) (v metric.Volume) {
	for i := range all {
		v.Add(&all[i])
	}
	return v
}

// places is to how many decimals numbers are rounded.
const places = 1e4

func rounded(v float64) float64 { return math.Round(v*places) / places }

// number is a number that there may be none of.
func number(v float64, ok bool) *float64 {
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	v = rounded(v)
	return &v
}

// share is a rate as a number from 0 to 1; nil where there is nothing to divide by.
func share(r metric.Rate) *float64 { return number(r.Value()) }

// each is how many there are for each of others; nil for none.
func each(n, of int64) *float64 { return number(float64(n)/float64(max(of, 1)), of > 0) }

// mean is the mean of values; nil for none.
func mean(values []float64) *float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return number(total/float64(max(len(values), 1)), len(values) > 0)
}

// percentile is one of values; nil for none.
func percentile(values []float64, p float64) *float64 { return number(metric.Percentile(values, p)) }

// channelName is a channel as answers name it.
func channelName(name string) string {
	if name == "" {
		return "unknown"
	}
	return name
}

// atOnce is how many statements of an answer run at once: pages need connections too.
const atOnce = 2

func together(ctx context.Context) (*errgroup.Group, context.Context) {
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	return g, inner
}
