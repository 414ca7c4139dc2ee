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

// Usage is the answer of /usage.
type Usage struct {
	Common
	TotalConversations         int64          `json:"total_conversations" doc:"That began in the range."`
	TotalMessages              int64          `json:"total_messages" doc:"Of user, bot and agents, in these conversations."`
	UserMessages               int64          `json:"user_messages"`
	BotMessages                int64          `json:"bot_messages"`
	AgentMessages              int64          `json:"agent_messages" doc:"Of human agents."`
	ActiveUsers                int64          `json:"active_users" doc:"Users who wrote in these conversations, each once."`
	NewUsers                   int64          `json:"new_users" doc:"Of them, those whose first conversation ever lies in the range."`
	ActiveBots                 int64          `json:"active_bots" doc:"Assistants with at least one of these conversations."`
	AvgMessagesPerConversation *float64       `json:"avg_messages_per_conversation"`
	Channels                   []ChannelUsage `json:"channels" doc:"The channel with most conversations first."`
	Data                       []UsageRow     `json:"data,omitempty" doc:"By group_by, where that is given."`
}

// ChannelUsage is the usage of a channel.
type ChannelUsage struct {
	Channel       string `json:"channel"`
	Conversations int64  `json:"conversations"`
	Messages      int64  `json:"messages"`
	ActiveUsers   int64  `json:"active_users"`
}

// UsageRow is the usage in a stretch of time. Which of the first members are there depends on its length.
type UsageRow struct {
	Date          string     `json:"date,omitempty" format:"date"`
	Month         string     `json:"month,omitempty" doc:"Such as 2026-11."`
	StartDate     string     `json:"start_date,omitempty" format:"date"`
	EndDate       string     `json:"end_date,omitempty" format:"date"`
	Start         *time.Time `json:"start,omitempty"`
	End           *time.Time `json:"end,omitempty" doc:"Exclusive."`
	Conversations int64      `json:"conversations"`
	Messages      int64      `json:"messages"`
	UserMessages  int64      `json:"user_messages"`
	BotMessages   int64      `json:"bot_messages"`
	AgentMessages int64      `json:"agent_messages"`
	ActiveUsers   int64      `json:"active_users"`
	NewUsers      int64      `json:"new_users"`
	Complete      bool       `json:"complete" doc:"false: the stretch is not over yet."`
}

// UsageSeries is the answer of /usage/daily and /usage/monthly.
type UsageSeries struct {
	Common
	Totals UsageTotals `json:"totals"`
	Data   []UsageRow  `json:"data" doc:"Ascending, without gaps."`
}

// UsageTotals are those of the whole range: a user counts once.
type UsageTotals struct {
	Conversations int64 `json:"conversations"`
	Messages      int64 `json:"messages"`
	ActiveUsers   int64 `json:"active_users"`
	NewUsers      int64 `json:"new_users"`
}

// usage is what the answers about usage are made of.
type usage struct {
	common   Common
	counted  counted
	by       []metric.Volume
	all      metric.Volume
	channels map[string]*metric.Volume
}

func (q Question) usage(ctx context.Context) (u usage, err error) {
	g, inner := together(ctx)
	g.Go(func() (err error) { u.common, err = q.common(inner); return err })
	g.Go(func() (err error) { u.counted, err = q.count(inner); return err })
	g.Go(func() (err error) { u.by, u.channels, err = q.volumes(inner); return err })
	err = g.Wait()
	u.all = sum(u.by)
	return u, err
}

// Usage answers /usage.
func (q Question) Usage(ctx context.Context) (a Usage, err error) {
	u, err := q.usage(ctx)
	if err != nil {
		return a, err
	}
	writers, err := queries.WritersByChannel(ctx, q.Pool, q.filter, q.Now, q.Zone)
	if err != nil {
		return a, err
	}
	a = Usage{
		Common: u.common, TotalConversations: u.counted.all, TotalMessages: u.all.Messages(),
		UserMessages: u.all.UserMessages, BotMessages: u.all.BotMessages, AgentMessages: u.all.AgentMessages,
		ActiveUsers: u.counted.users.All, NewUsers: u.counted.users.New, ActiveBots: int64(u.counted.bots),
		AvgMessagesPerConversation: each(u.all.Messages(), u.all.Conversations), Channels: []ChannelUsage{},
	}
	for _, name := range slices.Sorted(maps.Keys(u.channels)) {
		v := u.channels[name]
		a.Channels = append(a.Channels, ChannelUsage{channelName(name), v.Conversations, v.Messages(), writers[name]})
	}
	slices.SortStableFunc(a.Channels, func(a, b ChannelUsage) int { return cmp.Compare(b.Conversations, a.Conversations) })
	if q.Bucket != "" {
		a.Data = q.usageRows(&u, q.Bucket == metric.ByDay)
	}
	return a, nil
}

// UsageSeries answers /usage/daily and /usage/monthly, by the question's bucket.
func (q Question) UsageSeries(ctx context.Context) (a UsageSeries, err error) {
	u, err := q.usage(ctx)
	return UsageSeries{
		u.common,
		UsageTotals{u.counted.all, u.all.Messages(), u.counted.users.All, u.counted.users.New},
		q.usageRows(&u, true),
	}, err
}

// usageRows are the stretches; dates: days and months are named by their dates.
func (q Question) usageRows(u *usage, dates bool) []UsageRow {
	rows := []UsageRow{}
	for i, s := range q.spans() {
		if len(u.by) == 0 {
			break // it failed
		}
		v := u.by[i]
		r := UsageRow{
			Conversations: u.counted.conversations[i], Messages: v.Messages(), UserMessages: v.UserMessages,
			BotMessages: v.BotMessages, AgentMessages: v.AgentMessages, Complete: q.over(s),
		}
		if len(u.counted.users.Spans) > 0 {
			r.ActiveUsers, r.NewUsers = u.counted.users.Spans[i].All, u.counted.users.Spans[i].New
		}
		from, until := s.From.In(q.Zone), s.Until.In(q.Zone)
		switch {
		case dates && q.Bucket == metric.ByMonth:
			r.Month, r.StartDate = from.Format("2006-01"), from.Format(time.DateOnly)
			r.EndDate = until.Add(-time.Nanosecond).Format(time.DateOnly)
		case dates:
			r.Date = from.Format(time.DateOnly)
		default:
			r.Start, r.End = &from, &until
		}
		rows = append(rows, r)
	}
	return rows
}
