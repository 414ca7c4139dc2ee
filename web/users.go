package web

import (
	"context"
	"net/http"
	"net/url"

	"golang.org/x/sync/errgroup"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// users answers GET /users: how many people come, how many of them are new, and whether they come again.
func (s *server) users(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Users", "Users")
	f, done, err := s.readFigures(w, r, page, usersNeeds)
	if done || err != nil {
		return err
	}
	m, err := s.usersModel(r.Context(), f)
	if err != nil {
		return err
	}
	return s.renderEither(w, r, views.UsersPage(m), views.UsersView(m))
}

// usersNeeds is what the page counts.
var usersNeeds = counted{users: true}

func (s *server) usersModel(ctx context.Context, f *figures) (m views.Users, err error) {
	m = views.Users{Page: f.page, Bar: f.bar, How: f.how(), Any: f.whole.Count(metric.All) > 0}
	if !m.Any {
		if m.AnyData, err = queries.HasConversations(ctx, s.Pool); err != nil {
			return m, err
		}
		return m, nil
	}
	u := &f.users
	card := func(name, formula string, n, before int64, link string) views.Card {
		c := views.Card{Name: name, Formula: formula, Value: views.CountValue(n, link)}
		if f.before != nil {
			c.Delta = views.CountDelta(n, before)
		}
		return c
	}
	var before metric.Active
	if f.before != nil {
		before = f.before.users.Active
	}
	m.Cards = []views.Card{
		card("Active", "people who wrote in a conversation that began in the range", u.All, before.All, f.people(f.filter, "")),
		card("New", "active, and their first conversation ever with the assistant began in the range", u.New, before.New, f.people(f.filter, metric.NewUsers)),
		card("Returning", "active, and their first conversation ever with the assistant began before the range", u.Returning(), before.Returning(), f.people(f.filter, metric.ReturningUsers)),
	}
	if engaged := f.whole.Count(metric.Engaged); u.All > 0 {
		each := float64(engaged) / float64(u.All)
		m.Cards = append(m.Cards, views.Card{
			Name: "Conversations each", Formula: "engaged conversations ÷ active users: " + format.Count(engaged) + " ÷ " + format.Count(u.All),
			Value: views.Value{V: each, Text: format.Decimal(each, 2), Link: f.link(f.filter, metric.Engaged), N: engaged},
			Base:  views.Value{Text: "n " + format.Count(u.All) + " active", Link: f.people(f.filter, ""), N: u.All},
		})
	}
	m.Time = f.overTime("users", "Active users", format.BucketName(f.used), views.Stacked, views.Counts)
	m.Time.Wide, m.Time.Foot = true, "A user who comes in several of them counts in each, so the bars do not add up to the range."
	for _, x := range []struct {
		name, color, which string
		n                  func(metric.Active) int64
	}{
		{"Returning", "--c-1", metric.ReturningUsers, metric.Active.Returning},
		{"New", "--c-2", metric.NewUsers, func(a metric.Active) int64 { return a.New }},
	} {
		n := x.n(u.Active)
		series := views.Series{Name: x.name, Color: x.color, Link: f.people(f.filter, x.which), N: n, Share: format.Percent(metric.Rate{Of: n, Among: u.All})}
		for i, a := range u.Spans {
			series.Values = append(series.Values, views.CountValue(x.n(a), f.people(f.at(i), x.which)))
		}
		m.Time.Series = append(m.Time.Series, series)
	}
	m.Cohorts = f.cohorts()
	return m, nil
}

// cohorts are the people by the week of their first conversation, and how many of them wrote in the weeks after.
func (f *figures) cohorts() (all []views.Cohort) {
	_, until := f.filter.Range.Bounds(f.now, f.zone)
	for _, c := range f.users.Cohorts {
		if c.Size == 0 {
			continue
		}
		of := f.filter.Within(c.Week.From.In(f.zone), until.In(f.zone))
		of.Met = metric.Range{From: c.Week.From.In(f.zone), Until: c.Week.Until.In(f.zone)}
		row := views.Cohort{Week: f.page.Day(c.Week.From), Size: views.CountValue(c.Size, f.peopleOf(of))}
		for k, n := range c.Active {
			week := f.users.Cohorts[len(f.users.Cohorts)-len(c.Active)+k].Week
			in := of.Within(week.From.In(f.zone), week.Until.In(f.zone)).That(metric.Engaged)
			row.Weeks = append(row.Weeks, views.RateValue(metric.Rate{Of: n, Among: c.Size}, f.peopleOf(in), row.Size.Link, "met in this week"))
		}
		all = append(all, row)
	}
	return all
}

// people returns the address of the list of those who wrote: all, the new or the returning.
func (f *figures) people(filter metric.Filter, which string) string {
	filter.Users = which
	return f.peopleOf(filter.That(metric.Engaged))
}

func (f *figures) peopleOf(filter metric.Filter) string {
	if !f.links {
		return ""
	}
	return listAddress("/users/list", filter)
}

// usersSize is how many people one page of their list shows.
const usersSize = 50

// listUsers answers GET /users/list: the people with conversations of a filter, who came last first.
func (s *server) listUsers(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Users", "Users")
	if done, err := s.canonical(w, r); done || err != nil {
		return err
	}
	q, err := s.parseQuestion(r, false)
	if err != nil {
		return err
	}
	at, err := metric.ParseCursor(r.URL.Query().Get("page"))
	if err != nil {
		return err
	}
	masker, err := queries.DisplayMask(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	page.Masked = masker != nil
	m := views.UserList{Page: page, Heading: usersHeading(q.filter)}
	var choices queries.Choices
	var list []queries.EndUser
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		list, err = queries.EndUsers(ctx, s.Pool, q.filter, at, usersSize+1, q.now, s.Zone)
		return err
	})
	g.Go(func() (err error) {
		m.Total, err = queries.CountEndUsers(ctx, s.Pool, q.filter, q.now, s.Zone)
		return err
	})
	g.Go(func() (err error) {
		choices, err = s.choices(ctx)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	frozen, err := queries.FrozenBefore(r.Context(), s.Pool, q.filter, q.now, s.Zone)
	if err != nil {
		return err
	}
	m.How = frozenWords(page, frozen, true)
	m.Bar = s.bar(q, page, choices)
	if at != nil {
		m.First = q.address()
	}
	if len(list) > usersSize {
		list = list[:usersSize]
		last := list[usersSize-1]
		v := q.query()
		v.Set("page", metric.UserCursor(last.LastAt.UnixMicro(), last.Person).String())
		m.After = "/users/list?" + v.Encode()
	}
	for _, u := range list {
		row := views.EndUserRow{Name: u.UserID, Assistant: u.Assistant, Conversations: u.Conversations, FirstAt: u.FirstAt, LastAt: u.LastAt}
		if row.Name == "" {
			row.Name = u.SenderKey
		}
		row.Link = "/conversations?" + url.Values{"id": {row.Name}, "assistant": {u.Assistant}}.Encode()
		if masked := masker.Shown(row.Name); masked != row.Name {
			row.Name, row.Link = masked, "" // the address would name the person
		}
		m.Rows = append(m.Rows, row)
	}
	shownRows(r.Context(), len(m.Rows))
	return s.renderEither(w, r, views.UserListPage(m), views.UserListView(m))
}

// usersHeading says which people the list holds.
func usersHeading(f metric.Filter) string {
	words := "Users"
	switch f.Users {
	case metric.NewUsers:
		words = "New users"
	case metric.ReturningUsers:
		words = "Returning users"
	}
	if f.Met != (metric.Range{}) {
		words += " met from " + f.Met.From.Format("2 Jan") + " to " + f.Met.Until.AddDate(0, 0, -1).Format("2 Jan 2006")
	}
	return words
}
