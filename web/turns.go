package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// turnsSize is how many turns one page of their list shows.
const turnsSize = 50

// fewOfTurns is up to how many conversations their turns are looked up one by one.
const fewOfTurns = 3000

// turns answers GET /turns: the turns of a filter that took longer than a time, the slowest first.
func (s *server) turns(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Turns", "Latency")
	if done, err := s.canonical(w, r); done || err != nil {
		return err
	}
	q, err := s.viewer(r.Context()).Question(r.Context(), r.URL.Path, r.URL.Query(), false)
	if err != nil {
		return err
	}
	at, err := skipped(r)
	if err != nil {
		return err
	}
	m := views.Turns{Page: page}
	list, choices, err := s.askTurns(r.Context(), &m, q, at)
	if err != nil {
		return err
	}
	m.Bar = s.viewer(r.Context()).Bar(q, choices)
	m.Bar.FindID = false
	m.Heading = dashboard.TurnsHeading(q.Filter)
	link := func(after int) string {
		v := q.Query()
		if after > 0 {
			v.Set("after", strconv.Itoa(after))
		}
		return "/turns?" + v.Encode()
	}
	if at > 0 {
		m.Before = link(max(0, at-turnsSize))
	}
	if len(list) > turnsSize {
		list = list[:turnsSize]
		m.After = link(at + turnsSize)
	}
	if m.Rows, err = s.turnRows(r.Context(), list); err != nil {
		return err
	}
	shownRows(r.Context(), len(m.Rows))
	return s.renderEither(w, r, views.TurnsPage(m), views.TurnsView(m))
}

// askTurns reads the turns of the page, how many there are, and what filters offer, at once.
func (s *server) askTurns(
	of context.Context, m *views.Turns, q dashboard.Question, at int,
) (list []queries.ListedTurn, choices queries.Choices, err error) {
	db, err := s.viewer(of).Shown(of)
	if err != nil {
		return nil, choices, err
	}
	g, ctx := errgroup.WithContext(of)
	g.Go(func() (err error) {
		all := q.Filter
		all.Turns, all.ResponseOver, all.ResponseUpTo = metric.TurnFilter{}, 0, 0
		n, _, err := s.viewer(ctx).Total(ctx, all, q.Now)
		if err == nil {
			list, err = queries.Turns(ctx, db, q.Filter, n <= fewOfTurns, at, turnsSize+1, q.Now, s.Zone)
		}
		return err
	})
	g.Go(func() (err error) {
		m.Total, err = s.viewer(ctx).TotalTurns(ctx, q)
		return err
	})
	g.Go(func() (err error) {
		choices, err = s.viewer(ctx).Choices(ctx)
		return err
	})
	err = g.Wait()
	return list, choices, err
}

// skipped is how many turns stand before those of the page.
func skipped(r *http.Request) (n int, err error) {
	v := r.URL.Query().Get("after")
	if v == "" {
		return 0, nil
	}
	if n, err = strconv.Atoi(v); err != nil || n < 0 || n > 5000 {
		return 0, &metric.InputError{Field: "after", Msg: "is a number up to 5,000: narrow the filter to see more"}
	}
	return n, nil
}

func (s *server) turnRows(ctx context.Context, list []queries.ListedTurn) (rows []views.TurnRow, err error) {
	ids := make([]conversation.UUID, len(list))
	for i, t := range list {
		ids[i] = t.ConversationID
	}
	hide, err := s.viewer(ctx).Hiding(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		t.Text = format.Shorten(hide(t.ConversationID, t.Text), 200)
		rows = append(rows, views.TurnRow{
			Link: "/conversations/" + t.ConversationID.String() + "?" +
				url.Values{"m": {t.MessageID.String()}}.Encode() + "#m-" + t.MessageID.String(),
			At: t.At, MS: t.ResponseMS, Confidence: t.Confidence, Source: t.ResponseSource,
			Understanding: t.UnderstandingMS, Prediction: t.PredictionMS, Intent: t.Intent, Text: t.Text,
			Assistant: t.Assistant, Channel: t.Channel, Version: t.Version,
		})
	}
	return rows, nil
}
