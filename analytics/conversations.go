package analytics

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"turnwise/metric"
	"turnwise/queries"
)

// Conversations is the answer of /conversations.
type Conversations struct {
	Common
	Total                 int64                  `json:"total"`
	Ended                 int64                  `json:"ended" doc:"By an end that was told, or by idleness as set for the assistant."`
	Active                int64                  `json:"active" doc:"total less ended."`
	BotOnly               int64                  `json:"bot_only" doc:"Never handed over to a human agent."`
	HandedOver            int64                  `json:"handed_over"`
	Abandoned             int64                  `json:"abandoned" doc:"Handed over, and ended before an agent wrote."`
	ContainmentRate       *float64               `json:"containment_rate" doc:"bot_only of total."`
	HandoverRate          *float64               `json:"handover_rate" doc:"handed_over of total."`
	AbandonmentRate       *float64               `json:"abandonment_rate" doc:"abandoned of handed_over."`
	ResolutionRate        *float64               `json:"resolution_rate" doc:"As /conversations/resolution has it."`
	AvgMessages           *float64               `json:"avg_messages"`
	AvgUserMessages       *float64               `json:"avg_user_messages"`
	AvgDurationSeconds    *float64               `json:"avg_duration_seconds" doc:"From the first message to the last, of ended conversations."`
	MedianDurationSeconds *float64               `json:"median_duration_seconds"`
	Channels              []ChannelConversations `json:"channels"`
}

// ChannelConversations counts those of a channel.
type ChannelConversations struct {
	Channel       string `json:"channel"`
	Conversations int64  `json:"conversations"`
}

// Conversations answers /conversations.
func (q Question) Conversations(ctx context.Context) (a Conversations, err error) {
	q.Bucket = ""
	var by []metric.Volume
	var channels map[string]*metric.Volume
	var durations [][]float64
	g, inner := together(ctx)
	g.Go(func() (err error) { a.Common, err = q.common(inner); return err })
	g.Go(func() (err error) { by, channels, err = q.volumes(inner); return err })
	g.Go(func() (err error) { durations, err = q.durations(inner); return err })
	if err := g.Wait(); err != nil {
		return a, err
	}
	v := sum(by)
	seconds := slices.Concat(durations...)
	a.Total, a.Ended, a.Active, a.BotOnly, a.HandedOver = v.Conversations, v.Ended, v.Active(), v.BotOnly(), v.HandedOver
	a.Abandoned, a.ContainmentRate, a.HandoverRate = v.Abandoned, share(v.Containment()), share(v.Handover())
	a.AbandonmentRate, a.ResolutionRate = share(v.Abandonment()), share(v.Resolution())
	a.AvgMessages, a.AvgUserMessages = each(v.Messages(), v.Conversations), each(v.UserMessages, v.Conversations)
	a.AvgDurationSeconds, a.MedianDurationSeconds = mean(seconds), percentile(seconds, 0.5)
	a.Channels = []ChannelConversations{}
	for _, name := range slices.Sorted(maps.Keys(channels)) {
		a.Channels = append(a.Channels, ChannelConversations{channelName(name), channels[name].Conversations})
	}
	slices.SortStableFunc(
		a.Channels, func(a, b ChannelConversations) int { return cmp.Compare(b.Conversations, a.Conversations) },
	)
	return a, nil
}

func (q Question) durations(ctx context.Context) ([][]float64, error) {
	return queries.Durations(ctx, q.Pool, q.filter, q.spans(), q.Now, q.Zone)
}

// Volume is the answer of /conversations/volume.
type Volume struct {
	Common
	Total int64       `json:"total"`
	Peak  *Peak       `json:"peak" doc:"The stretch with most conversations; null where there are none."`
	Data  []VolumeRow `json:"data"`
}

// Peak is the busiest stretch.
type Peak struct {
	Start         time.Time `json:"start"`
	Conversations int64     `json:"conversations"`
}

// VolumeRow is a stretch.
type VolumeRow struct {
	Stretch
	Conversations int64 `json:"conversations"`
	Messages      int64 `json:"messages"`
	ActiveUsers   int64 `json:"active_users"`
	Completeness
}

// Stretch is the first members of a row.
type Stretch struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end" doc:"Exclusive."`
}

// Completeness is the last member of a row.
type Completeness struct {
	Complete bool `json:"complete" doc:"false: the stretch is not over yet."`
}

func (q Question) stretch(s metric.Span) (Stretch, Completeness) {
	return Stretch{s.From.In(q.Zone), s.Until.In(q.Zone)}, Completeness{q.over(s)}
}

// Volume answers /conversations/volume.
func (q Question) Volume(ctx context.Context) (a Volume, err error) {
	u, err := q.usage(ctx)
	if err != nil {
		return a, err
	}
	a.Common, a.Total, a.Data = u.common, u.counted.all, []VolumeRow{}
	for i, s := range q.spans() {
		r := VolumeRow{Conversations: u.counted.conversations[i], Messages: u.by[i].Messages()}
		r.ActiveUsers = u.counted.users.Spans[i].All
		r.Stretch, r.Completeness = q.stretch(s)
		if r.Conversations > 0 && (a.Peak == nil || r.Conversations > a.Peak.Conversations) {
			a.Peak = &Peak{r.Start, r.Conversations}
		}
		a.Data = append(a.Data, r)
	}
	return a, nil
}

// Durations is the answer of /conversations/duration.
type Durations struct {
	Common
	Count         int64         `json:"count" doc:"Ended conversations in which something was said."`
	AvgSeconds    *float64      `json:"avg_seconds"`
	MedianSeconds *float64      `json:"median_seconds"`
	P90Seconds    *float64      `json:"p90_seconds"`
	P95Seconds    *float64      `json:"p95_seconds"`
	MinSeconds    *float64      `json:"min_seconds"`
	MaxSeconds    *float64      `json:"max_seconds"`
	Histogram     []Bar         `json:"histogram"`
	Data          []DurationRow `json:"data"`
}

// Bar is a class of durations.
type Bar struct {
	FromSeconds float64  `json:"from_seconds"`
	ToSeconds   *float64 `json:"to_seconds" doc:"Exclusive; null: open."`
	Count       int64    `json:"count"`
}

// DurationRow is a stretch.
type DurationRow struct {
	Stretch
	Count         int64    `json:"count"`
	AvgSeconds    *float64 `json:"avg_seconds"`
	MedianSeconds *float64 `json:"median_seconds"`
	Completeness
}

// durationEdges are the lower ends of the classes of durations, in seconds.
var durationEdges = []float64{0, 30, 60, 120, 300, 600, 1800, 3600}

// Durations answers /conversations/duration.
func (q Question) Durations(ctx context.Context) (a Durations, err error) {
	if a.Common, err = q.common(ctx); err != nil {
		return a, err
	}
	by, err := q.durations(ctx)
	if err != nil {
		return a, err
	}
	all := slices.Sorted(slices.Values(slices.Concat(by...)))
	a.Count, a.AvgSeconds, a.MedianSeconds = int64(len(all)), mean(all), percentile(all, 0.5)
	a.P90Seconds, a.P95Seconds = percentile(all, 0.9), percentile(all, 0.95)
	a.MinSeconds, a.MaxSeconds, a.Data = percentile(all, 0), percentile(all, 1), []DurationRow{}
	for i, from := range durationEdges {
		b, last := Bar{FromSeconds: from}, len(all)
		if i+1 < len(durationEdges) {
			b.ToSeconds = &durationEdges[i+1]
			last, _ = slices.BinarySearch(all, *b.ToSeconds)
		}
		first, _ := slices.BinarySearch(all, from)
		b.Count = int64(last - first)
		a.Histogram = append(a.Histogram, b)
	}
	for i, s := range q.spans() {
		r := DurationRow{Count: int64(len(by[i])), AvgSeconds: mean(by[i]), MedianSeconds: percentile(by[i], 0.5)}
		r.Stretch, r.Completeness = q.stretch(s)
		a.Data = append(a.Data, r)
	}
	return a, nil
}

// Resolution is the answer of /conversations/resolution.
type Resolution struct {
	Common
	Resolutions
	CoverageRate *float64        `json:"coverage_rate" doc:"Resolved, unresolved and escalated of total."`
	Data         []ResolutionRow `json:"data"`
}

// Resolutions counts conversations by what was told of them last.
type Resolutions struct {
	Total          int64    `json:"total"`
	Resolved       int64    `json:"resolved"`
	Unresolved     int64    `json:"unresolved"`
	Escalated      int64    `json:"escalated" doc:"Told so, or handed over and nothing told."`
	Pending        int64    `json:"pending"`
	Unknown        int64    `json:"unknown" doc:"Nothing was told: it is never guessed from silence."`
	ResolutionRate *float64 `json:"resolution_rate" doc:"resolved of resolved, unresolved and escalated."`
}

// ResolutionRow is a stretch.
type ResolutionRow struct {
	Stretch
	Resolutions
	Completeness
}

func resolutions(v *metric.Volume) Resolutions {
	return Resolutions{
		v.Conversations, v.Resolved, v.Unresolved, v.Escalated, v.Pending, v.Unknown(), share(v.Resolution()),
	}
}

// Resolution answers /conversations/resolution.
func (q Question) Resolution(ctx context.Context) (a Resolution, err error) {
	if a.Common, err = q.common(ctx); err != nil {
		return a, err
	}
	by, _, err := q.volumes(ctx)
	if err != nil {
		return a, err
	}
	v := sum(by)
	a.Resolutions, a.CoverageRate, a.Data = resolutions(&v), share(v.Coverage()), []ResolutionRow{}
	for i, s := range q.spans() {
		r := ResolutionRow{Resolutions: resolutions(&by[i])}
		r.Stretch, r.Completeness = q.stretch(s)
		a.Data = append(a.Data, r)
	}
	return a, nil
}
