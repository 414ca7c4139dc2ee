package analytics

import (
	"context"
	"fmt"
	"slices"
	"time"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// Engagement is the answer of /engagement.
type Engagement struct {
	Common
	ActiveUsers          int64           `json:"active_users" doc:"Users who wrote, each once."`
	NewUsers             int64           `json:"new_users"`
	ReturningUsers       int64           `json:"returning_users" doc:"active_users less new_users."`
	DailyActiveUsersAvg  *float64        `json:"daily_active_users_avg" doc:"Over the days of the range that have begun."`
	WeeklyActiveUsers    int64           `json:"weekly_active_users" doc:"In the 7 days before the end of the range."`
	MonthlyActiveUsers   int64           `json:"monthly_active_users" doc:"In the 30 days before the end of the range."`
	Stickiness           *float64        `json:"stickiness" doc:"Active users of a day, on average over these 30 days, of monthly_active_users."`
	ConversationsPerUser *float64        `json:"conversations_per_user"`
	MessagesPerUser      *float64        `json:"messages_per_user" doc:"Messages of users."`
	AvgDurationSeconds   *float64        `json:"avg_duration_seconds"`
	BounceRate           *float64        `json:"bounce_rate" doc:"Conversations with at most one message of the user, of all."`
	Data                 []EngagementRow `json:"data"`
}

// EngagementRow is a stretch.
type EngagementRow struct {
	Stretch
	ActiveUsers    int64 `json:"active_users"`
	NewUsers       int64 `json:"new_users"`
	ReturningUsers int64 `json:"returning_users"`
	Completeness
}

// Of active users.
const (
	weekDays  = 7
	monthDays = 30
)

// Engagement answers /engagement.
func (q Question) Engagement(ctx context.Context) (a Engagement, err error) {
	var users, week, month counted
	var daily, monthly *float64
	var by []metric.Volume
	var durations [][]float64
	ago := func(days int) time.Time { return metric.Before(q.Until, days, q.Zone) }
	g, inner := together(ctx)
	g.Go(func() (err error) { a.Common, err = q.common(inner); return err })
	g.Go(func() (err error) { users, err = q.count(inner); return err })
	g.Go(func() (err error) { _, daily, err = q.daily(inner, q.From); return err })
	g.Go(func() (err error) { week, err = q.within(ago(weekDays), q.Until).count(inner); return err })
	g.Go(func() (err error) { month, monthly, err = q.daily(inner, ago(monthDays)); return err })
	g.Go(func() (err error) { by, _, err = q.volumes(inner); return err })
	g.Go(func() (err error) { durations, err = q.within(q.From, q.Until).durations(inner); return err })
	if err := g.Wait(); err != nil {
		return a, err
	}
	v := sum(by)
	u := users.users.Active
	a.ActiveUsers, a.NewUsers, a.ReturningUsers = u.All, u.New, u.Returning()
	a.DailyActiveUsersAvg, a.WeeklyActiveUsers, a.MonthlyActiveUsers = daily, week.users.All, month.users.All
	if monthly != nil {
		a.Stickiness = number(*monthly/float64(max(month.users.All, 1)), month.users.All > 0)
	}
	a.ConversationsPerUser, a.MessagesPerUser = each(users.all, u.All), each(v.UserMessages, u.All)
	a.AvgDurationSeconds, a.BounceRate, a.Data = mean(slices.Concat(durations...)), share(v.Bounce()), []EngagementRow{}
	for i, s := range q.spans() {
		x := users.users.Spans[i]
		r := EngagementRow{ActiveUsers: x.All, NewUsers: x.New, ReturningUsers: x.Returning()}
		r.Stretch, r.Completeness = q.stretch(s)
		a.Data = append(a.Data, r)
	}
	return a, nil
}

// daily counts from a time to the end of the range, by the day: the users, and how many of them were active on a day,
// on average over the days that have begun; nil where none has.
func (q Question) daily(ctx context.Context, from time.Time) (c counted, avg *float64, err error) {
	q = q.within(from, q.Until)
	q.Bucket = metric.ByDay
	if c, err = q.count(ctx); err != nil {
		return c, nil, err
	}
	var days, active int64
	for i, s := range q.spans() {
		if s.From.Before(q.Now) {
			days++
			active += c.users.Spans[i].All
		}
	}
	return c, each(active, days), nil
}

// Retention is the answer of /engagement/retention.
type Retention struct {
	Common
	Granularity  string     `json:"granularity" enum:"day,week,month"`
	Cohorts      []Cohort   `json:"cohorts"`
	AverageRates []*float64 `json:"average_rates" doc:"By how many stretches later, weighted by the cohorts' sizes."`
}

// Cohort are the users whose first conversation ever lies in a stretch.
type Cohort struct {
	Cohort   string     `json:"cohort" doc:"Such as 2026-W45, 2026-11 or 2026-11-15."`
	Start    string     `json:"start" format:"date"`
	Size     int64      `json:"size"`
	Retained []int64    `json:"retained" doc:"Of them, those with a conversation so many stretches later. Stretches that are not over are left out."`
	Rates    []*float64 `json:"rates"`
}

// Retention answers /engagement/retention.
func (q Question) Retention(ctx context.Context) (a Retention, err error) {
	if a.Common, err = q.common(ctx); err != nil {
		return a, err
	}
	got, err := figures.Count(ctx, q.Pool, figures.Question{
		Filter: q.filter, Fine: !q.whole(), Users: true, Ended: true, Now: q.Now, Grid: q.Grid,
	})
	if err != nil {
		return a, err
	}
	spans := slices.DeleteFunc(q.spans(), func(s metric.Span) bool { return !q.over(s) })
	a.Granularity, a.Cohorts, a.AverageRates = string(q.Bucket), []Cohort{}, []*float64{}
	kept, sizes := make([]int64, len(spans)), make([]int64, len(spans))
	for i, c := range metric.Cohorts(got.Users, spans) {
		from := spans[i].From.In(q.Zone)
		row := Cohort{Cohort: q.cohortName(from), Start: from.Format(time.DateOnly), Size: c.Size, Retained: c.Active}
		for k, n := range c.Active {
			row.Rates = append(row.Rates, share(metric.Rate{Of: n, Among: c.Size}))
			kept[k] += n
			sizes[k] += c.Size
		}
		a.Cohorts = append(a.Cohorts, row)
	}
	for k := range spans {
		a.AverageRates = append(a.AverageRates, share(metric.Rate{Of: kept[k], Among: sizes[k]}))
	}
	return a, nil
}

// cohortName names a stretch by its start.
func (q Question) cohortName(from time.Time) string {
	switch {
	case q.Bucket == metric.ByMonth:
		return from.Format("2006-01")
	case q.Bucket == metric.ByWeek && metric.WeekBegins() == time.Monday:
		year, week := from.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	}
	return from.Format(time.DateOnly)
}

// Satisfaction is the answer of /engagement/satisfaction.
type Satisfaction struct {
	Common
	Scores
	ConversationsRated int64             `json:"conversations_rated"`
	ResponseRate       *float64          `json:"response_rate" doc:"Ended conversations that were rated, of all that ended."`
	Scale              Scale             `json:"scale" doc:"Other scales are stretched to this."`
	Distribution       []ScoreCount      `json:"distribution"`
	Thumbs             Thumbs            `json:"thumbs"`
	NPS                *float64          `json:"nps" doc:"From -100 to 100, of answers of the kind nps."`
	Data               []SatisfactionRow `json:"data"`
}

// Scores sum up scores from 1 to 5.
type Scores struct {
	Responses int64    `json:"responses"`
	AvgScore  *float64 `json:"avg_score"`
	CSATRate  *float64 `json:"csat_rate" doc:"Scores of 4 and 5, of the responses."`
}

// Scale is what scores lie between.
type Scale struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// ScoreCount is how often a score was given.
type ScoreCount struct {
	Score int   `json:"score"`
	Count int64 `json:"count"`
}

// Thumbs counts thumbs.
type Thumbs struct {
	Up   int64 `json:"up"`
	Down int64 `json:"down"`
}

// SatisfactionRow is a stretch.
type SatisfactionRow struct {
	Stretch
	Scores
	Completeness
}

func scores(s *metric.Satisfaction) Scores {
	return Scores{s.Responses, number(s.Average()), share(s.CSAT())}
}

// Satisfaction answers /engagement/satisfaction.
func (q Question) Satisfaction(ctx context.Context) (a Satisfaction, err error) {
	if a.Common, err = q.common(ctx); err != nil {
		return a, err
	}
	spans := q.spans()
	answers, err := queries.Answers(ctx, q.Pool, q.filter, spans, q.Now, q.Zone)
	if err != nil {
		return a, err
	}
	by, _, err := q.volumes(ctx)
	if err != nil {
		return a, err
	}
	all, rated, parts := metric.Satisfaction{}, map[queries.ConversationKey]bool{}, make([]metric.Satisfaction, len(spans))
	for _, x := range answers {
		all.Add(x.Kind, x.Score)
		parts[x.Stretch].Add(x.Kind, x.Score)
		if x.Kind == "csat" {
			rated[queries.ConversationKey{SenderID: x.Sender, ID: conversation.UUID(x.ID)}] = x.Ended
		}
	}
	v := sum(by)
	a.Scores, a.ConversationsRated, a.Scale = scores(&all), int64(len(rated)), Scale{1, 5}
	responded := metric.Rate{Among: v.Ended}
	for _, ended := range rated {
		if ended {
			responded.Of++
		}
	}
	a.ResponseRate, a.Thumbs = share(responded), Thumbs{all.Up, all.Down}
	a.NPS, a.Data = number(all.NPS()), []SatisfactionRow{}
	for i, n := range all.Scores {
		a.Distribution = append(a.Distribution, ScoreCount{i + 1, n})
	}
	for i, s := range spans {
		r := SatisfactionRow{Scores: scores(&parts[i])}
		r.Stretch, r.Completeness = q.stretch(s)
		a.Data = append(a.Data, r)
	}
	return a, nil
}
