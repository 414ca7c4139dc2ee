package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/metric"
	"turnwise/queries"
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
	done, err := s.canonical(w, r)
	if done {
		return nil
	}
	var q question
	var at *metric.Cursor
	if err == nil {
		q, err = s.parseQuestion(r, false)
	}
	if err == nil {
		at, err = metric.ParseCursor(r.URL.Query().Get("page"))
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
	f := q.filter
	q.now = m.Now
	m.Heading = listHeading(f)
	var list []queries.ListedConversation
	var choices queries.Choices
	var total int64
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		if total, m.More, err = s.total(ctx, f, m.Now); err != nil {
			return err
		}
		list, err = queries.Conversations(ctx, s.Pool, f, at, total <= fewConversations, pageSize+1, m.Now, s.Zone)
		return err
	})
	g.Go(func() (err error) {
		choices, err = queries.FilterChoices(ctx, s.Pool)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	m.Total = total
	if m.AnyData = m.Total > 0; !m.AnyData {
		if m.AnyData, err = queries.HasConversations(r.Context(), s.Pool); err != nil {
			return err
		}
	}
	s.turnPages(&m, f, list, at)
	m.Bar = s.bar(q, m.Page, choices)
	year := f
	year.Range = metric.Range{Days: 365}
	m.Year = address(year)
	return s.renderEither(w, r, views.ConversationsPage(m), views.ConversationsView(m))
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

// total returns how many conversations the filter has: from the rollups where they know and are not far behind, else
// counted up to countUpTo, beyond which more is set.
func (s *server) total(ctx context.Context, f metric.Filter, now time.Time) (n int64, more bool, err error) {
	asked := f
	f = f.Conditioned()
	plain := f
	plain.Is, plain.Weekdays, plain.Hours, plain.Flows = nil, nil, nil, nil
	apart := len(f.Is) + len(f.Hours) + len(f.Flows) // rollups know one at a time
	flow := len(f.Flows) > 0 && f.Flows[0].Visited+f.Flows[0].Stopped == "" && len(f.Weekdays) == 0
	if plain.Plain() && (apart == 0 || apart == 1 && (flow || len(f.Flows) == 0) || len(f.Is)+len(f.Flows) == 0) {
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

// turnPages sets the rows and the addresses of the pages around them; list has one row more than a page when
// there is more in its direction.
func (s *server) turnPages(m *views.Conversations, f metric.Filter, list []queries.ListedConversation, at *metric.Cursor) {
	more := len(list) > pageSize
	hasNewer, hasOlder := at != nil, more
	if at != nil && at.Newer {
		hasNewer, hasOlder = more, true
		if more {
			list = list[1:]
		}
	} else if more {
		list = list[:pageSize]
	}
	link := func(c queries.ListedConversation, newer bool) string {
		q := f.Query()
		q.Set("page", metric.Cursor{At: c.StartedAt.UnixMicro(), ID: c.ID, Newer: newer}.String())
		return "/conversations?" + q.Encode()
	}
	if len(list) > 0 && hasNewer {
		m.Newer = link(list[0], true)
	}
	if len(list) > 0 && hasOlder {
		m.Older = link(list[len(list)-1], false)
	}
	back := f.Query()
	if at != nil {
		back.Set("page", at.String())
	}
	if q := back.Encode(); q != "" {
		m.List = "?" + url.Values{"back": {q}}.Encode()
	}
	for _, c := range list {
		m.Rows = append(m.Rows, views.ConversationRow{
			ID: c.ID, StartedAt: c.StartedAt, Length: c.ActiveAt.Sub(c.StartedAt), Outcome: shownOutcome(c.Outcome, c.ClosesAt, m.Now),
			FirstText: c.FirstText, Assistant: c.Assistant, Environment: c.Environment, Channel: c.Channel, Version: c.Version,
			Flows: c.Flows, Messages: c.UserMessages, MedianMS: c.ResponseMedianMS, CSAT: c.CSAT, Escalated: c.Escalated,
		})
	}
}

// shownOutcome is open while the conversation is not closed.
func shownOutcome(outcome string, closes, now time.Time) string {
	if closes.After(now) {
		return metric.OutcomeOpen
	}
	return outcome
}

func address(f metric.Filter) string {
	if q := f.Encode(); q != "" {
		return "/conversations?" + q
	}
	return "/conversations"
}
