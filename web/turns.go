package web

import (
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
	at := 0
	if v := r.URL.Query().Get("after"); v != "" {
		if at, err = strconv.Atoi(v); err != nil || at < 0 || at > 5000 {
			return &metric.InputError{Field: "after", Msg: "is a number up to 5,000: narrow the filter to see more"}
		}
	}
	m := views.Turns{Page: page}
	var choices queries.Choices
	var list []queries.ListedTurn
	db, err := s.viewer(r.Context()).Shown(r.Context())
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		of := q.Filter
		of.Turns, of.ResponseOver, of.ResponseUpTo = metric.TurnFilter{}, 0, 0
		n, _, err := s.viewer(ctx).Total(ctx, of, q.Now)
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
	if err := g.Wait(); err != nil {
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
	ids := make([]conversation.UUID, len(list))
	for i, t := range list {
		ids[i] = t.ConversationID
	}
	hide, err := s.viewer(r.Context()).Hiding(r.Context(), ids)
	if err != nil {
		return err
	}
	for _, t := range list {
		t.Text = format.Shorten(hide(t.ConversationID, t.Text), 200)
		m.Rows = append(m.Rows, views.TurnRow{
			Link: "/conversations/" + t.ConversationID.String() + "?" +
				url.Values{"m": {t.MessageID.String()}}.Encode() + "#m-" + t.MessageID.String(),
			At: t.At, MS: t.ResponseMS, Confidence: t.Confidence, Source: t.ResponseSource,
			Understanding: t.UnderstandingMS, Prediction: t.PredictionMS, Intent: t.Intent, Text: t.Text,
			Assistant: t.Assistant, Channel: t.Channel, Version: t.Version,
		})
	}
	shownRows(r.Context(), len(m.Rows))
	return s.renderEither(w, r, views.TurnsPage(m), views.TurnsView(m))
}
