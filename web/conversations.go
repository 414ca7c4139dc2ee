package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/search"
	"turnwise/views"
)

// pageSize is how many conversations one page of the list shows; up to
// fewConversations they are found first and ordered after.
const (
	pageSize         = 50
	fewConversations = 500
)

// conversations answers GET /conversations, as a page or as its list alone.
func (s *server) conversations(w http.ResponseWriter, r *http.Request) error {
	m := views.Conversations{
		Page: s.page(r, "Conversations", "Conversations"), Heading: "Conversations",
		IngestURL: s.URL + "/api/v1/ingest/rasa",
	}
	if done, err := s.openView(w, r); done || err != nil {
		return err
	}
	done, err := s.canonical(w, r)
	if done {
		return nil
	}
	var q dashboard.Question
	var at *metric.Cursor
	if err == nil {
		q, err = s.viewer(r.Context()).Question(r.Context(), r.URL.Path, r.URL.Query(), false, "cols", "view", "order")
	}
	if err == nil {
		at, err = metric.ParseCursor(r.URL.Query().Get("page"))
	}
	if err == nil {
		err = checkListing(q.Own)
	}
	var words search.Query
	if err == nil {
		words, err = s.viewer(r.Context()).Search(r.Context(), q.Filter.Text)
	}
	var input *metric.InputError
	if errors.As(err, &input) {
		m.Error = input.Error()
		q = dashboard.Question{
			Path: "/conversations", Filter: metric.Filter{Range: metric.Range{Days: metric.DefaultDays}}, Now: m.Now,
			Zone: s.Zone,
		}
		m.Bar = s.viewer(r.Context()).Bar(q, queries.Choices{})
		return s.render(w, r, http.StatusBadRequest, views.ConversationsPage(m))
	}
	if err != nil {
		return err
	}
	q.Now = m.Now
	l := &listing{server: s, Question: q, at: at, words: words}
	if l.oldest = q.Own.Get("order") == "oldest"; l.oldest && at == nil {
		l.at, l.first = &metric.Cursor{Newer: true}, true
	} else {
		l.first = at == nil
	}
	if l.user, _ = accountOf(r.Context()); !l.read(&m, r.Context()) {
		return l.err
	}
	shownRows(r.Context(), len(m.Rows))
	return s.renderEither(w, r, views.ConversationsPage(m), views.ConversationsView(m))
}

// checkListing refuses an order and columns that are not known.
func checkListing(own url.Values) error {
	if o := own.Get("order"); o != "" && o != "oldest" && o != "newest" {
		return &metric.InputError{Field: "order", Msg: "is one of newest, oldest"}
	}
	for k := range strings.SplitSeq(own.Get("cols"), ",") {
		if k != "" && !slices.ContainsFunc(views.Columns, func(c views.Column) bool { return c.Key == k }) {
			return &metric.InputError{Field: "cols", Msg: "are some of the columns that the list offers"}
		}
	}
	return nil
}
