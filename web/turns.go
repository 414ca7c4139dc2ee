package web

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
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
	q, err := s.parseQuestion(r, false)
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
	db, err := s.shown(r.Context())
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		of := q.filter
		of.Turns, of.Slower, of.Faster = metric.TurnFilter{}, 0, 0
		n, _, err := s.total(ctx, of, q.now)
		if err == nil {
			list, err = queries.Turns(ctx, db, q.filter, n <= fewOfTurns, at, turnsSize+1, q.now, s.Zone)
		}
		return err
	})
	g.Go(func() (err error) {
		m.Total, err = s.totalTurns(r, q)
		return err
	})
	g.Go(func() (err error) {
		choices, err = s.choices(ctx)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	m.Bar = s.bar(q, page, choices)
	m.Bar.FindID = false
	m.Heading = turnsHeading(q.filter)
	link := func(after int) string {
		v := q.query()
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
	hide, err := s.hiding(r.Context(), ids)
	if err != nil {
		return err
	}
	for _, t := range list {
		t.Text = format.Shorten(hide(t.ConversationID, t.Text), 200)
		m.Rows = append(m.Rows, views.TurnRow{
			Link: "/conversations/" + t.ConversationID.String() + "?" + url.Values{"m": {t.MessageID.String()}}.Encode() + "#m-" + t.MessageID.String(),
			At:   t.At, MS: t.ResponseMS, Confidence: t.Confidence, Source: t.ResponseSource, Understanding: t.UnderstandingMS, Prediction: t.PredictionMS, Intent: t.Intent, Text: t.Text,
			Assistant: t.Assistant, Channel: t.Channel, Version: t.Version,
		})
	}
	shownRows(r.Context(), len(m.Rows))
	return s.renderEither(w, r, views.TurnsPage(m), views.TurnsView(m))
}

// turnsHeading says which turns the list holds.
func turnsHeading(f metric.Filter) string {
	words := "Turns with a response time"
	if t := f.Turns; t != (metric.TurnFilter{}) {
		if words = "Turns"; t == (metric.TurnFilter{Flow: t.Flow, Action: t.Action}) {
			words = "Turns with a response time"
		}
		if t.Flow != "" {
			words += " in " + t.Flow
		}
		if t.Action != "" {
			words += " answered by " + t.Action
		}
		if t.Intent != "" {
			words += " with the intent " + t.Intent
		}
		if t.Part != "" {
			words += " whose " + t.Part + " was told"
		}
		if t.Over > 0 {
			words += ", of more than " + format.Millis(t.Over)
		}
		if t.Unsure {
			words += " of low confidence"
		}
		if t.Fallback {
			words += " that were not understood"
		}
	}
	switch {
	case f.Slower > 0 && f.Faster > 0:
		words = "Turns answered after " + format.Millis(f.Slower) + " to " + format.Millis(f.Faster)
	case f.Slower > 0:
		words = "Turns answered after more than " + format.Millis(f.Slower)
	case f.Faster > 0:
		words = "Turns answered within " + format.Millis(f.Faster)
	}
	return words
}

// totalTurns counts the turns: by the rollups where they know.
func (s *server) totalTurns(r *http.Request, q question) (int64, error) {
	f := q.filter
	plain := f
	plain.Slower, plain.Faster = 0, 0
	known := func(ms float64) bool { return ms == 0 || metric.NearBound(ms) == ms }
	if !plain.Plain() || !known(f.Slower) || !known(f.Faster) {
		return queries.CountTurns(r.Context(), s.Pool, f, q.now, s.Zone)
	}
	figures, err := queries.CountFigures(r.Context(), s.Pool, queries.Question{Filter: plain, Times: true, Now: q.now, Grid: s.grid})
	if err != nil {
		return 0, err
	}
	var l metric.Latency
	for _, c := range figures.Cells {
		l.Merge(&c.Tally.Response)
	}
	return l.Within(f.Slower, cmp.Or(f.Faster, 1e12)), nil
}
