package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/search"
	"turnwise/views"
)

// pageSize is how many conversations one page of the list shows; countUpTo is where counting ends. Up to
// fewConversations they are found first and ordered after.
const (
	pageSize         = 50
	countUpTo        = 10000
	fewConversations = 500
)

// conversations answers GET /conversations, as a page or as its list alone.
func (s *server) conversations(w http.ResponseWriter, r *http.Request) error {
	m := views.Conversations{Page: s.page(r, "Conversations", "Conversations"), Heading: "Conversations", IngestURL: s.URL + "/api/v1/ingest/rasa"}
	if done, err := s.openView(w, r); done || err != nil {
		return err
	}
	done, err := s.canonical(w, r)
	if done {
		return nil
	}
	var q question
	var at *metric.Cursor
	if err == nil {
		q, err = s.parseQuestion(r, false, "cols", "view", "order")
	}
	if err == nil {
		at, err = metric.ParseCursor(r.URL.Query().Get("page"))
	}
	if err == nil {
		err = checkListing(q.own)
	}
	var words search.Query
	if err == nil {
		words, err = s.search(r.Context(), q.filter.Text)
	}
	var input *metric.InputError
	if errors.As(err, &input) {
		m.Error = input.Error()
		q = question{path: "/conversations", filter: metric.Filter{Range: metric.Range{Days: metric.DefaultDays}}, now: m.Now, zone: s.Zone}
		m.Bar = s.bar(q, m.Page, queries.Choices{})
		return s.render(w, r, http.StatusBadRequest, views.ConversationsPage(m))
	}
	if err != nil {
		return err
	}
	q.now = m.Now
	l := &listing{server: s, question: q, at: at, words: words}
	if l.oldest = q.own.Get("order") == "oldest"; l.oldest && at == nil {
		l.at, l.first = &metric.Cursor{Newer: true}, true
	} else {
		l.first = at == nil
	}
	if l.user, _ = userOf(r.Context()); !l.read(&m, r.Context()) {
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

// listHeading says what the list holds, in the words of the figure that opens it.
func listHeading(f metric.Filter) string {
	words := "Conversations"
	if n := len(f.Is); n > 0 {
		words = f.Is[n-1].Words()
	}
	for _, x := range f.Flows {
		if x.How != metric.FlowTouched || x.Visited+x.Stopped != "" {
			words += ", " + x.Words()
		}
	}
	return words
}

// total returns how many conversations the filter has, as totalOf counts them.
func (s *server) total(ctx context.Context, f metric.Filter, now time.Time) (n int64, more bool, err error) {
	frozen, err := queries.FrozenBefore(ctx, s.Pool, f, now, s.Zone)
	if err != nil {
		return 0, false, err
	}
	return s.totalOf(ctx, f, frozen != nil, now)
}

// totalOf returns how many conversations the filter has: from the rollups where they know, are not far behind and do not still
// count what was deleted, else counted up to countUpTo, beyond which more is set.
func (s *server) totalOf(ctx context.Context, f metric.Filter, frozen bool, now time.Time) (n int64, more bool, err error) {
	asked := f
	f = f.Conditioned()
	plain := f
	plain.Is, plain.Weekdays, plain.Hours, plain.Flows = nil, nil, nil, nil
	apart := len(f.Is) + len(f.Hours) + len(f.Flows) // rollups know one at a time
	flow := len(f.Flows) > 0 && f.Flows[0].Visited+f.Flows[0].Stopped == "" && len(f.Weekdays) == 0
	if !frozen && plain.Plain() && (apart == 0 || apart == 1 && (flow || len(f.Flows) == 0) || len(f.Is)+len(f.Flows) == 0) {
		q := queries.Question{Filter: plain, Flows: flow, Ended: len(f.Is)+len(f.Flows) == 0, Most: countUpTo, Now: now, Grid: s.grid}
		figures, err := queries.CountFigures(ctx, s.Pool, q)
		switch {
		case err == nil:
			return s.rolledUp(&figures, f), false, nil
		case errors.Is(err, queries.ErrTooMany) && apart+len(f.Weekdays) == 0: // so many of them alone
			return countUpTo, true, nil
		case !errors.Is(err, queries.ErrTooMany) && !errors.Is(err, queries.ErrBehind):
			return 0, false, err
		}
	}
	counted, err := queries.CountConversations(ctx, s.Pool, asked, countUpTo+1, now, s.Zone)
	return int64(min(counted, countUpTo)), counted > countUpTo, err
}

// rolledUp is the number of the filter's conversations, of which the figures are without what rollups tell apart.
func (s *server) rolledUp(figures *queries.Figures, f metric.Filter) (n int64) {
	if len(f.Flows) > 0 {
		if c := figures.Flows[f.Flows[0].Flow]; c != nil {
			n = c.Count(f.Flows[0].How)
		}
		return n
	}
	for _, c := range figures.Cells {
		if len(f.Weekdays) > 0 && !slices.Contains(f.Weekdays, isoWeekday(c.At.In(s.Zone))) {
			continue
		}
		switch {
		case len(f.Hours) > 0:
			for _, h := range f.Hours {
				n += c.Tally.Hours[h]
			}
		case len(f.Is) > 0:
			n += c.Tally.Count(f.Is[0])
		default:
			n += c.Tally.Count(metric.All)
		}
	}
	return n
}

func isoWeekday(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

func address(f metric.Filter) string { return listAddress("/conversations", f) }

// listAddress returns where a list shows what a filter means.
func listAddress(path string, f metric.Filter) string {
	if q := f.Encode(); q != "" {
		return path + "?" + q
	}
	return path
}
