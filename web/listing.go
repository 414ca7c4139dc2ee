package web

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/search"
	"turnwise/views"
)

// listing makes one page of the list of conversations.
type listing struct {
	*server
	dashboard.Question
	at     *metric.Cursor
	first  bool         // the first page
	oldest bool         // the oldest stand first
	words  search.Query // what is searched for
	user   access.Account
	err    error

	list       []queries.ListedConversation
	choices    queries.Choices
	tags       []work.Tag
	colleagues []work.Colleague
	saved      []queries.SavedView
	worked     map[conversation.UUID]work.Worked
	excerpts   map[conversation.UUID]queries.Excerpt
}

// excerptLength is how many characters of a message the list shows around a hit.
const excerptLength = 110

// read sets the model. It tells whether it could; err says why not.
func (l *listing) read(
	m *views.Conversations, ctx context.Context,
) bool { //nolint:revive // the model is what it is about
	m.Heading = dashboard.ListHeading(l.Filter)
	for _, step := range []func(ctx context.Context, m *views.Conversations) error{
		l.ask, l.nameQueue, l.hide, l.fill,
	} {
		if l.err = step(ctx, m); l.err != nil {
			return false
		}
	}
	return true
}

// ask reads what the page shows, at once.
func (l *listing) ask(ctx context.Context, m *views.Conversations) error {
	db, err := l.viewer(ctx).Shown(ctx)
	if err != nil {
		return err
	}
	m.Masked = db.Masks()
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error { return l.askList(inner, m, db) })
	g.Go(func() (err error) {
		l.choices, err = l.server.viewer(inner).Choices(inner)
		return err
	})
	g.Go(func() (err error) {
		l.saved, err = queries.SavedViews(inner, db, l.user.ID)
		l.saved = slices.DeleteFunc(
			l.saved, func(v queries.SavedView) bool { return !l.viewer(inner).MayView(inner, v) },
		)
		return err
	})
	g.Go(func() (err error) {
		l.tags, err = work.TagChoices(inner, db, "", limitsOf(inner))
		return err
	})
	g.Go(func() (err error) {
		l.colleagues, err = work.Colleagues(inner, l.Pool)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if m.AnyData = m.Total > 0; !m.AnyData {
		m.AnyData, err = queries.HasConversations(ctx, l.Pool)
	}
	return err
}

// askList reads the conversations of the page, and how many there are.
func (l *listing) askList(ctx context.Context, m *views.Conversations, db queries.Sight) (err error) {
	f := l.Filter
	if m.Frozen, err = queries.FrozenBefore(ctx, l.Pool, f, m.Now, l.Zone); err != nil {
		return err
	}
	if f.Text != "" {
		if m.TextsBefore, err = l.viewer(ctx).TextsBefore(ctx, f, m.Now); err != nil {
			return err
		}
		var n int
		l.list, n, err = queries.Searched(ctx, db, f, l.at, pageSize+1, dashboard.CountUpTo+1, m.Now, l.Zone)
		m.Total, m.More, m.Counting = int64(min(n, dashboard.CountUpTo)), n > dashboard.CountUpTo,
			n == queries.Uncounted
		if m.Counting {
			m.Total = int64(len(l.list))
		}
	} else if m.Total, m.More, err = l.viewer(ctx).TotalOf(ctx, f, m.Frozen != nil, m.Now); err == nil {
		l.list, err = queries.Conversations(
			ctx, db, f, l.at, m.Total <= fewConversations, pageSize+1, m.Now, l.Zone,
		)
	}
	if err != nil {
		return err
	}
	if l.worked, err = work.WorkedOn(ctx, l.Pool, l.list); err != nil || len(l.words.Terms) == 0 {
		return err
	}
	l.excerpts, err = queries.Excerpts(ctx, db, l.words, l.list, excerptLength)
	return err
}

// nameQueue reads the name of the queue that the list is narrowed to.
func (l *listing) nameQueue(ctx context.Context, _ *views.Conversations) error {
	key, err := conversation.ParseUUID(l.Filter.Review.Queue)
	if err != nil {
		return nil //nolint:nilerr // to none
	}
	q, err := l.viewer(ctx).QueueByID(ctx, key)
	if errors.Is(err, queries.ErrNotFound) {
		return nil
	}
	l.QueueName = q.Name
	return err
}

// fill sets the model from what was read.
func (l *listing) fill(ctx context.Context, m *views.Conversations) (err error) {
	f := l.Filter
	l.turnPages(m)
	l.columns(m)
	l.views(m)
	m.Bar = l.viewer(ctx).Bar(l.Question, l.choices)
	if len(l.list) == 0 && m.AnyData && l.at == nil {
		if m.Bar.Newest, err = l.viewer(ctx).Newest(ctx, l.Question); err != nil {
			return err
		}
	}
	m.Bulk = views.BulkChoice{
		Query: f.Encode(), Total: m.Total, More: m.More || m.Counting, Most: work.MostBulk,
		Lead: m.Rights[access.ManageReviews],
	}
	for _, t := range l.tags {
		m.Bulk.Tags = append(m.Bulk.Tags, views.TagChoice{
			ID: t.ID.String(), Name: t.Name, Assistant: t.Assistant, Color: t.Color,
		})
	}
	for _, c := range l.colleagues {
		m.Bulk.Colleagues = append(m.Bulk.Colleagues, views.Person{ID: c.ID.String(), Name: c.Name})
	}
	m.Strip = "/conversations/volume?" + f.Encode()
	if m.Counting {
		m.Count = "/conversations/total?" + f.Encode()
	}
	typed, _ := search.Parse(f.Text)
	for i, t := range l.words.Terms {
		for _, p := range t.Any[len(typed.Terms[i].Any):] {
			m.Searched = append(m.Searched, p.Words[0])
		}
	}
	return nil
}

// hide masks what the conversations tell of slots that are masked by name.
func (l *listing) hide(ctx context.Context, m *views.Conversations) error {
	if !m.Masked {
		return nil
	}
	ids := make([]conversation.UUID, len(l.list))
	for i, c := range l.list {
		ids[i] = c.ID
	}
	hide, err := l.viewer(ctx).Hiding(ctx, ids)
	if err != nil {
		return err
	}
	for i := range l.list {
		l.list[i].FirstText = hide(l.list[i].ID, l.list[i].FirstText)
	}
	for id, x := range l.excerpts {
		if text := hide(id, x.Text); text != x.Text {
			x.Text, x.Hits = text, nil
			l.excerpts[id] = x
		}
	}
	return nil
}

// turnPages sets the rows and the addresses of the pages around them; the list has one row more than a page when
// there is more in its direction.
func (l *listing) turnPages(m *views.Conversations) {
	list, at := l.list, l.at
	more := len(list) > pageSize
	hasNewer, hasOlder := at != nil, more
	if at != nil && at.Newer {
		hasNewer, hasOlder = more, !l.first
		if more {
			list = list[1:]
		}
	} else if more {
		list = list[:pageSize]
	}
	link := func(c queries.ListedConversation, newer bool) string {
		q := l.Query()
		q.Set("page", metric.Cursor{At: c.StartedAt.UnixMicro(), ID: c.ID, Newer: newer}.String())
		return "/conversations?" + q.Encode()
	}
	if len(list) > 0 && hasNewer {
		m.Newer = link(list[0], true)
	}
	if len(list) > 0 && hasOlder {
		m.Older = link(list[len(list)-1], false)
	}
	back := l.Query()
	if !l.first {
		back.Set("page", at.String())
	}
	from := url.Values{}
	if q := back.Encode(); q != "" {
		from.Set("back", q)
	}
	if l.Filter.Text != "" {
		from.Set("q", l.Filter.Text)
	}
	for _, c := range list {
		m.Rows = append(m.Rows, l.row(c, from, m.Now))
	}
	turned := "oldest"
	if m.Oldest = l.oldest; l.oldest {
		slices.Reverse(m.Rows)
		turned = ""
	}
	m.Turned = l.Owning("order", turned).Address()
}

// row is a conversation of the list; from is where its page leads back to.
func (l *listing) row(c queries.ListedConversation, from url.Values, now time.Time) views.ConversationRow {
	r := views.ConversationRow{
		ID: c.ID, StartedAt: c.StartedAt, Length: c.ActiveAt.Sub(c.StartedAt),
		Outcome:   queries.OutcomeAt(c.Outcome, c.ClosesAt, now),
		FirstText: c.FirstText, Stripped: c.Removed > 0, Assistant: c.Assistant, Environment: c.Environment,
		Channel: c.Channel, Version: c.Version,
		Flows: c.Flows, Messages: c.UserMessages, Turns: c.Turns, MedianMS: c.ResponseMedianMS, CSAT: c.CSAT,
		Escalated: c.Escalated,
	}
	to := from
	if x, ok := l.excerpts[c.ID]; ok {
		r.Hit = &views.Hit{Message: x.Message, Text: x.Text, Spans: x.Hits}
		to = url.Values{"m": {x.Message.String()}}
		for k, v := range from {
			to[k] = v
		}
	}
	r.Link = "/conversations/" + c.ID.String()
	if q := to.Encode(); q != "" {
		r.Link += "?" + q
	}
	if x, ok := l.worked[c.ID]; ok {
		r.Work = views.RowWork{State: x.State, Rating: x.Rating, Notes: x.Notes}
		for i, name := range x.Tags {
			r.Work.Tags = append(r.Work.Tags, views.TagMark{Name: name, Color: x.Colors[i]})
		}
	}
	return r
}

// chosenColumns reads which columns are shown, in their order; what is not known is left out, and the first message
// always stands. None were chosen when there are none.
func chosenColumns(text string) (keys []string) {
	for _, k := range strings.Split(text, ",") {
		if slices.ContainsFunc(
			views.Columns, func(c views.Column) bool { return c.Key == k },
		) && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	if len(keys) > 0 && !slices.Contains(keys, "first") {
		keys = append([]string{"first"}, keys...)
	}
	return keys
}

// columns sets those that are shown, and the addresses that change them.
func (l *listing) columns(m *views.Conversations) {
	keys, usual := chosenColumns(l.Own.Get("cols")), views.DefaultColumns
	if l.Filter.Text != "" {
		usual = views.SearchColumns
	}
	if len(keys) == 0 {
		keys = usual
	}
	to := func(keys []string) string {
		q := l.Owning("cols", strings.Join(keys, ","))
		if slices.Equal(keys, usual) {
			q = l.Owning("cols", "")
		}
		return q.Address()
	}
	by := map[string]views.Column{}
	for _, c := range views.Columns {
		by[c.Key] = c
	}
	for i, k := range keys {
		c := by[k]
		c.Shown = true
		c.Toggle = to(slices.DeleteFunc(slices.Clone(keys), func(x string) bool { return x == k }))
		if i > 0 {
			moved := slices.Clone(keys)
			moved[i-1], moved[i] = moved[i], moved[i-1]
			c.Left = to(moved)
		}
		m.Columns = append(m.Columns, c)
	}
	for _, c := range views.Columns {
		if !slices.Contains(keys, c.Key) {
			c.Toggle = to(append(slices.Clone(keys), c.Key))
			m.Hidden = append(m.Hidden, c)
		}
	}
	if !slices.Equal(keys, usual) {
		m.Default = to(usual)
	}
}

// views sets the menu of saved views, and what the filter asks for that is no longer there.
func (l *listing) views(m *views.Conversations) {
	v := &m.Views
	v.Query, v.Columns, v.Order, v.MayShare = l.Filter.Encode(), l.Own.Get("cols"), l.Own.Get("order"),
		m.Rights[access.ShareViews]
	for _, x := range l.saved {
		link := views.ViewLink{
			ID: x.ID.String(), Name: x.Name, By: x.By, Shared: x.Shared, Link: "/conversations?view=" + x.ID.String(),
		}
		link.Mine = x.AccountID == l.user.ID || x.Shared && m.Rights[access.ShareViews]
		if link.Current = link.ID == l.Own.Get("view"); link.Current {
			v.Current = &link
			v.Changed = x.Query != v.Query || strings.Join(x.Columns, ",") != v.Columns || x.Oldest != l.oldest
		}
		v.All = append(v.All, link)
	}
	gone := func(kind string, asked, there []string) {
		for _, a := range asked {
			if a != metric.Unknown && !slices.ContainsFunc(
				there, func(t string) bool { return strings.EqualFold(a, t) },
			) {
				v.Missing = append(
					v.Missing, "There is no "+kind+" “"+a+"” any more, so that part of the filter matches nothing.",
				)
			}
		}
	}
	f := l.Filter
	gone("tag", append(slices.Clone(f.Review.Tags), f.Review.NoTags...), l.choices.Tags)
	gone("marker", append(slices.Clone(f.Markers), f.NoMarkers...), l.choices.Markers)
	if len(l.choices.Assistants) < 500 {
		gone("assistant", f.Assistants, l.choices.Assistants)
	}
	for _, id := range f.Review.Reviewers {
		if l.choices.Reviewers[id] == "" {
			v.Missing = append(v.Missing, "A reviewer of this filter is gone, so that part of it matches nothing.")
		}
	}
	if f.Review.Queue != "" && l.QueueName == "" {
		v.Missing = append(v.Missing, "The queue of this filter is gone, so that it matches nothing.")
	}
}
