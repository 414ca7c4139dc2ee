package web

import (
	"net/http"
	"net/url"

	"golang.org/x/sync/errgroup"

	"turnwise/dashboard"
	"turnwise/mask"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// usersSize is how many people one page of their list shows.
const usersSize = 50

// listUsers answers GET /users/list: the people with conversations of a filter, who came last first.
func (s *server) listUsers(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Users", "Users")
	if done, err := s.canonical(w, r); done || err != nil {
		return err
	}
	q, err := s.viewer(r.Context()).Question(r.Context(), r.URL.Path, r.URL.Query(), false)
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
	m := views.UserList{Page: page, Heading: dashboard.UsersHeading(q.Filter)}
	var choices queries.Choices
	var list []queries.EndUser
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		// The way to the next page needs their names as they are; they are masked below.
		list, err = queries.EndUsers(ctx, queries.Clear(s.Pool), q.Filter, at, usersSize+1, q.Now, s.Zone)
		return err
	})
	g.Go(func() (err error) {
		m.Total, err = queries.CountEndUsers(ctx, s.Pool, q.Filter, q.Now, s.Zone)
		return err
	})
	g.Go(func() (err error) {
		choices, err = s.viewer(ctx).Choices(ctx)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	frozen, err := queries.FrozenBefore(r.Context(), s.Pool, q.Filter, q.Now, s.Zone)
	if err != nil {
		return err
	}
	m.How = dashboard.FrozenWords(page.Dates, frozen, true)
	m.Bar = s.viewer(r.Context()).Bar(q, choices)
	if at != nil {
		m.First = q.Address()
	}
	if len(list) > usersSize {
		list = list[:usersSize]
		last := list[usersSize-1]
		v := q.Query()
		v.Set("page", metric.UserCursor(last.LastAt.UnixMicro(), last.Person).String())
		m.After = "/users/list?" + v.Encode()
	}
	m.Rows = userRows(list, masker)
	shownRows(r.Context(), len(m.Rows))
	return s.renderEither(w, r, views.UserListPage(m), views.UserListView(m))
}

func userRows(list []queries.EndUser, masker *mask.Masker) (rows []views.EndUserRow) {
	for _, u := range list {
		row := views.EndUserRow{
			Name: u.UserID, Assistant: u.Assistant, Conversations: u.Conversations, FirstAt: u.FirstAt,
			LastAt: u.LastAt,
		}
		if row.Name == "" {
			row.Name = u.SenderKey
		}
		row.Link = "/conversations?" + url.Values{"id": {row.Name}, "assistant": {u.Assistant}}.Encode()
		if masked := masker.Shown(row.Name); masked != row.Name {
			row.Name, row.Link = masked, "" // the address would name the person
		}
		rows = append(rows, row)
	}
	return rows
}
