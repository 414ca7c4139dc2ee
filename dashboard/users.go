package dashboard

import (
	"context"
	"strconv"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
)

// Users is the model of the page of people.
type Users struct {
	Bar          FilterBar
	How          string
	Any, AnyData bool
	Cards        []Card
	Time         Chart
	Cohorts      []Cohort
}

// WeekName is the heading of a column of cohorts: of those who came back so many weeks after their first.
func WeekName(n int) string {
	if n == 0 {
		return "That week"
	}
	return "+" + strconv.Itoa(n)
}

// Cohort are the people who came first in a week: how many of them wrote in it and in the weeks after.
type Cohort struct {
	Week  string // its first day
	Size  Value
	Weeks []Value
}

// UsersNeeds is what the page counts.
var UsersNeeds = Needs{users: true}

// Users are the people who come.
func (f *Figures) Users(ctx context.Context) (m Users, err error) {
	m = Users{Bar: f.bar, How: f.how(), Any: f.whole.Count(metric.All) > 0}
	if !m.Any {
		if m.AnyData, err = queries.HasConversations(ctx, f.viewer.Pool); err != nil {
			return m, err
		}
		return m, nil
	}
	u := &f.users
	card := func(name, formula string, n, before int64, link string) Card {
		c := Card{Name: name, Formula: formula, Value: Count(n, link)}
		if f.before != nil {
			c.Delta = CountDelta(n, before)
		}
		return c
	}
	var before metric.Active
	if f.before != nil {
		before = f.before.users.Active
	}
	m.Cards = []Card{
		card(
			"Active", "people who wrote in a conversation that began in the range", u.All, before.All,
			f.people(f.Filter, ""),
		),
		card(
			"New", "active, and their first conversation ever with the assistant began in the range", u.New, before.New,
			f.people(f.Filter, metric.NewUsers),
		),
		card(
			"Returning", "active, and their first conversation ever with the assistant began before the range",
			u.Returning(), before.Returning(), f.people(f.Filter, metric.ReturningUsers),
		),
	}
	if engaged := f.whole.Count(metric.Engaged); u.All > 0 {
		each := float64(engaged) / float64(u.All)
		m.Cards = append(m.Cards, Card{
			Name: "Conversations each", Formula: "engaged conversations ÷ active users: " + format.Count(engaged) +
				" ÷ " + format.Count(u.All),
			Value: Value{V: each, Unit: Decimals, Link: f.link(f.Filter, metric.Engaged), N: engaged},
			Base:  Note{Text: "n " + format.Count(u.All) + " active", Link: f.people(f.Filter, ""), N: u.All},
		})
	}
	m.Time = f.usersOverTime()
	m.Cohorts = f.cohorts()
	return m, nil
}

// usersOverTime are the people who were active, by whether they came before.
func (f *Figures) usersOverTime() Chart {
	u := &f.users
	chart := f.overTime("users", "Active users", format.BucketName(f.used), Stacked, Counts)
	chart.Wide, chart.Foot = true, "A user who comes in several of them counts in each, so the bars do not add "+
		"up to the range."
	for _, x := range []struct {
		name, color, which string
		n                  func(metric.Active) int64
	}{
		{"Returning", "--c-1", metric.ReturningUsers, metric.Active.Returning},
		{"New", "--c-2", metric.NewUsers, func(a metric.Active) int64 { return a.New }},
	} {
		n := x.n(u.Active)
		series := Series{
			Name: x.name, Color: x.color, Link: f.people(f.Filter, x.which), N: n,
			Share: format.Percent(metric.Rate{Of: n, Among: u.All}),
		}
		for i, a := range u.Spans {
			series.Values = append(series.Values, Count(x.n(a), f.people(f.at(i), x.which)))
		}
		chart.Series = append(chart.Series, series)
	}
	return chart
}

// cohorts are the people by the week of their first conversation, and how many of them wrote in the weeks after.
func (f *Figures) cohorts() (all []Cohort) {
	_, until := f.Filter.Range.Bounds(f.Now, f.Zone)
	for _, c := range f.users.Cohorts {
		if c.Size == 0 {
			continue
		}
		of := f.Filter.Within(c.Week.From.In(f.Zone), until.In(f.Zone))
		of.FirstSeen = metric.Range{From: c.Week.From.In(f.Zone), Until: c.Week.Until.In(f.Zone)}
		row := Cohort{Week: f.viewer.Day(c.Week.From), Size: Count(c.Size, f.peopleOf(of))}
		for k, n := range c.Active {
			week := f.users.Cohorts[len(f.users.Cohorts)-len(c.Active)+k].Week
			in := of.Within(week.From.In(f.Zone), week.Until.In(f.Zone)).With(metric.Engaged)
			row.Weeks = append(
				row.Weeks, Rate(metric.Rate{Of: n, Among: c.Size}, f.peopleOf(in), row.Size.Link, "met in this week"),
			)
		}
		all = append(all, row)
	}
	return all
}

// people returns the address of the list of those who wrote: all, the new or the returning.
func (f *Figures) people(filter metric.Filter, which string) string {
	filter.Users = which
	return f.peopleOf(filter.With(metric.Engaged))
}

func (f *Figures) peopleOf(filter metric.Filter) string {
	if !f.links {
		return ""
	}
	return listAddress("/users/list", filter)
}
