package api

import (
	"context"
	"time"

	"turnwise/analytics"
	"turnwise/metric"
)

// The roles that General Bots' API asks for, literally.
var (
	viewers = []string{"analytics_viewer", "admin"}
)

// Bounds of what may be asked for.
const (
	mostDays    = 1100 // of a range
	mostHourly  = 31   // days of a range that is divided into hours
	usualDays   = 30
	usualMonths = 12
)

var periods = []string{"today", "week", "month", "year"}

// of are the parameters that narrow a question.
var of = []param{
	{name: "bot_id", kind: uuid, doc: "This assistant alone; GET /api/v1/bots lists them."},
	{name: "user_id", kind: uuid, doc: "This user alone, by the id that /api/v1/conversations tells."},
}

// ranged are the parameters of a question about a range; groups are those that it may be divided into.
func ranged(groups ...string) []param {
	all := []param{
		{name: "start_date", kind: date, doc: "First day, or a time. Without an offset it is one of timezone. Alone: until now."},
		{name: "end_date", kind: date, doc: "Last day, which is included, or a time, which is not. Alone: the 30 days before."},
		{name: "days", kind: number, least: 1, most: mostDays, doc: "The last so many days, today included."},
		{name: "period", kind: word, among: periods, doc: "From the start of the day, week, month or year until now."},
		{name: "group_by", kind: word, among: groups, doc: "Into which stretches the range is divided; hour for at most 31 days."},
		{name: "timezone", kind: zone, doc: "IANA name of the zone in which days begin; default: that of the workspace."},
	}
	return append(all, of...)
}

// ask reads a question about a range: that of the last days, or what usual says, unless the request tells one. by
// divides it where the request does not say how; nil: it is left undivided.
func (c *call) ask(usual func(c *call) (from, until time.Time), by division) (faults []Fault) {
	q := &c.asked
	*q = analytics.Question{
		Viewer: c.viewer(), Bucket: metric.Bucket(c.values["group_by"]), Bot: c.ids["bot_id"], User: c.ids["user_id"],
	}
	if q.From, q.Until, faults = c.rangeOf(usual); len(faults) > 0 || q.From.IsZero() {
		return faults
	}
	if q.Bucket == metric.ByHour && q.Until.After(q.From.In(c.zone).AddDate(0, 0, mostHourly)) {
		return []Fault{{
			Parameter: "group_by", Code: rangeTooLong, Detail: "group_by may be hour for ranges of at most 31 days.",
		}}
	}
	if q.Bucket == "" && by != nil {
		q.Bucket = by(q.From, q.Until)
	}
	return nil
}

// rangeOf reads the range; none where one of its ends is no date.
func (c *call) rangeOf(usual func(c *call) (from, until time.Time)) (from, until time.Time, faults []Fault) {
	dates := c.given["start_date"] || c.given["end_date"]
	if dates && (c.given["days"] || c.given["period"]) || c.given["days"] && c.given["period"] {
		for _, name := range []string{"start_date", "end_date", "days", "period"} {
			if c.given[name] {
				faults = append(faults, Fault{
					Parameter: name, Code: conflict,
					Detail: "Only one of start_date with end_date, days, or period may be given.",
				})
			}
		}
		return from, until, faults
	}
	switch days, period := c.numbers["days"], c.values["period"]; {
	case dates:
		return c.between(c.values["start_date"], c.values["end_date"])
	case days > 0:
		return metric.AddDays(c.now, 1-days, c.zone), metric.AddDays(c.now, 1, c.zone), nil
	case period == "year":
		return metric.Midnight(c.now.In(c.zone).Year(), time.January, 1, c.zone), c.now, nil
	case period != "":
		by := map[string]metric.Bucket{"today": metric.ByDay, "week": metric.ByWeek, "month": metric.ByMonth}[period]
		return by.Start(c.now, c.zone), c.now, nil
	case c.given["days"] || c.given["period"]: // it is wrong
		return from, until, nil
	}
	from, until = usual(c)
	return from, until, nil
}

// between reads a range by its ends.
func (c *call) between(start, end string) (from, until time.Time, faults []Fault) {
	if c.given["start_date"] && start == "" || c.given["end_date"] && end == "" { // it is wrong
		return from, until, nil
	}
	until, name := c.now, "start_date"
	if end != "" {
		at, isDate, _ := parseDate(end, c.zone) // it was read once
		if until = at; isDate {
			until = metric.AddDays(at, 1, c.zone)
		}
		name = "end_date"
	}
	from = metric.Before(until, usualDays, c.zone)
	if start != "" {
		from, _, _ = parseDate(start, c.zone)
	}
	switch {
	case !from.Before(until):
		faults = append(faults, Fault{
			Parameter: name, Code: startNotBefore, Detail: "The range must begin before it ends.",
		})
	case until.After(from.In(c.zone).AddDate(0, 0, mostDays)), from.Year() < 1970, until.Year() > 2200:
		faults = append(faults, Fault{
			Parameter: name, Code: rangeTooLong, Detail: "A range lies between 1970 and 2200 and has at most 1100 days.",
		})
	}
	return from, until, faults
}

// division says into which stretches a range is divided.
type division func(from, until time.Time) metric.Bucket

// lastDays are the last days, today included.
func lastDays(c *call) (from, until time.Time) {
	return metric.AddDays(c.now, 1-usualDays, c.zone), metric.AddDays(c.now, 1, c.zone)
}

// lastMonths are the last months, this one included.
func lastMonths(c *call) (from, until time.Time) {
	l := c.now.In(c.zone)
	return metric.Midnight(l.Year(), l.Month()+1-usualMonths, 1, c.zone), metric.Midnight(l.Year(), l.Month()+1, 1, c.zone)
}

// suiting divides a range into stretches that suit its length.
func suiting(from, until time.Time) metric.Bucket {
	const day = 24 * time.Hour
	switch length := until.Sub(from); {
	case length <= 2*day+time.Hour:
		return metric.ByHour
	case length <= 92*day+time.Hour:
		return metric.ByDay
	case length <= 366*day+time.Hour:
		return metric.ByWeek
	}
	return metric.ByMonth
}

// about makes a handler of a question about a range.
func about[A any](answer func(q analytics.Question, ctx context.Context) (A, error)) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		q, err := analytics.Ask(c.ctx, c.asked)
		if err != nil {
			return nil, err
		}
		return answer(q, c.ctx)
	}
}

// always divides into the same stretches.
func always(b metric.Bucket) division {
	return func(time.Time, time.Time) metric.Bucket { return b }
}

// mostCohorts is how many stretches cohorts are followed over.
var mostCohorts = map[metric.Bucket]int{metric.ByDay: 31, metric.ByWeek: 26, metric.ByMonth: 24}

// askCohorts reads a question about cohorts.
func askCohorts(c *call) []Fault {
	faults := c.ask(lastDays, always(metric.ByWeek))
	if c.given["user_id"] {
		faults = append(faults, Fault{
			Parameter: "user_id", Code: conflict, Detail: "Cohorts are of all users: leave user_id out.",
		})
	}
	q := &c.asked
	if len(faults) == 0 && !q.From.IsZero() { // cohorts are of whole stretches
		q.From, q.Until = q.Bucket.Start(q.From, c.zone), q.Bucket.End(q.Until.Add(-time.Nanosecond), c.zone)
	}
	if len(faults) == 0 && !q.From.IsZero() && len(q.Bucket.Spans(q.From, q.Until, c.zone)) > mostCohorts[q.Bucket] {
		faults = append(faults, Fault{
			Parameter: "group_by", Code: rangeTooLong,
			Detail: "Cohorts are followed over at most 31 days, 26 weeks or 24 months: ask for a shorter range or longer stretches.",
		})
	}
	return faults
}

// live makes a handler of a question about this moment.
func live[A any](answer func(q analytics.Question, ctx context.Context) (A, error)) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		q, err := analytics.Ask(c.ctx, analytics.Question{
			Viewer: c.viewer(), From: c.now, Until: c.now, Bot: c.ids["bot_id"],
		})
		if err != nil {
			return nil, err
		}
		return answer(q, c.ctx)
	}
}

// asking makes a check of a question about a range.
func asking(usual func(c *call) (from, until time.Time), by division) func(c *call) []Fault {
	return func(c *call) []Fault { return c.ask(usual, by) }
}

// generalBots are the routes of General Bots' analytics API, but for those of reports.
func generalBots() []route {
	all := []string{"hour", "day", "week", "month"}
	usage, conversations, engagement := "Usage", "Conversations", "Engagement"
	get := func(path, id, group, summary string, groups []string, check func(c *call) []Fault, answer any, handle func(c *call) (any, error)) route {
		return route{
			method: "GET", path: "/analytics" + path, id: id, group: group, summary: summary, roles: viewers,
			params: ranged(groups...), check: check, answer: answer, handle: handle,
		}
	}
	whole, divided := asking(lastDays, nil), asking(lastDays, suiting)
	realtime := func(path, id, summary string, answer any, handle func(c *call) (any, error)) route {
		return route{
			method: "GET", path: "/analytics/realtime" + path, id: id, group: "Realtime", summary: summary, roles: viewers,
			params: of[:1], answer: answer, handle: handle, quick: true,
		}
	}
	return []route{
		get("/usage", "getUsage", usage, "How much the assistants are used", all, whole, analytics.Usage{}, about(analytics.Question.Usage)),
		get("/usage/daily", "getDailyUsage", usage, "Usage by the day", all[1:2], asking(lastDays, always(metric.ByDay)), analytics.UsageSeries{}, about(analytics.Question.UsageSeries)),
		get("/usage/monthly", "getMonthlyUsage", usage, "Usage by the month; default: the last 12", all[3:], asking(lastMonths, always(metric.ByMonth)), analytics.UsageSeries{}, about(analytics.Question.UsageSeries)),
		get("/conversations", "getConversationMetrics", conversations, "How conversations went", all, whole, analytics.Conversations{}, about(analytics.Question.Conversations)),
		get("/conversations/volume", "getConversationVolume", conversations, "Conversations over time", all, divided, analytics.Volume{}, about(analytics.Question.Volume)),
		get("/conversations/duration", "getConversationDuration", conversations, "How long conversations took", all, divided, analytics.Durations{}, about(analytics.Question.Durations)),
		get("/conversations/resolution", "getConversationResolution", conversations, "Whether conversations were resolved", all, divided, analytics.Resolution{}, about(analytics.Question.Resolution)),
		get("/engagement", "getEngagement", engagement, "How users come and stay", all, divided, analytics.Engagement{}, about(analytics.Question.Engagement)),
		get("/engagement/retention", "getRetention", engagement, "How many users come back", all[1:], askCohorts, analytics.Retention{}, about(analytics.Question.Retention)),
		get("/engagement/satisfaction", "getSatisfaction", engagement, "How satisfied users are", all, divided, analytics.Satisfaction{}, about(analytics.Question.Satisfaction)),
		realtime("", "getRealtime", "What goes on now", analytics.Realtime{}, live(analytics.Question.Realtime)),
		realtime("/active", "getActiveSessions", "Conversations that go on now", analytics.Active{}, live(analytics.Question.Active)),
	}
}
