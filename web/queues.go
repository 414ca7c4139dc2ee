package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/views"
)

// reviewPage answers GET /review: what there is to do.
func (s *server) reviewPage(w http.ResponseWriter, r *http.Request) error {
	m := views.ReviewPageModel{Page: s.page(r, "Review", "Review")}
	u, _ := accountOf(r.Context())
	m.Lead = m.Rights[access.ManageReviews]
	all, err := work.Queues(r.Context(), s.Pool, u.ID, m.Lead)
	if err != nil {
		return err
	}
	for _, q := range all {
		if s.viewer(r.Context()).MayQueue(r.Context(), q) {
			m.Queues = append(m.Queues, queueRow(q))
		}
	}
	db, err := s.viewer(r.Context()).Shown(r.Context())
	if err != nil {
		return err
	}
	mentions, err := work.Mentions(r.Context(), db, u.ID)
	if err != nil {
		return err
	}
	ids := make([]conversation.UUID, len(mentions))
	for i, x := range mentions {
		ids[i] = x.ConversationID
	}
	hide, err := s.viewer(r.Context()).Hiding(r.Context(), ids)
	if err != nil {
		return err
	}
	for _, x := range mentions {
		link := "/conversations/" + x.ConversationID.String()
		if x.MessageID != nil {
			link += "?m=" + x.MessageID.String()
		}
		m.Mentions = append(m.Mentions, views.MentionRow{
			By: x.By, Text: hide(x.ConversationID, x.Text), At: x.CreatedAt, Link: link, New: x.SeenAt == nil,
		})
	}
	bulk, err := work.LastBulks(r.Context(), s.Pool, u.ID)
	if err != nil {
		return err
	}
	for _, b := range bulk {
		m.Bulk = append(m.Bulk, views.BulkRow{
			Link: "/acts/" + b.ID.String(), Words: b.Words, Changed: int64(b.Changed), At: b.CreatedAt,
			Ended: b.EndedAt != nil, Undone: b.Undo,
		})
	}
	return s.render(w, r, http.StatusOK, views.ReviewPage(m))
}

func queueRow(q work.Queue) views.QueueRow {
	row := views.QueueRow{
		ID: q.ID.String(), Name: q.Name, By: q.By, Schedule: q.Schedule, NextAt: q.NextAt, Items: q.Items,
		Reviewed: q.Reviewed, Skipped: q.Skipped, Open: q.Open, MineOpen: q.MineOpen, MineDone: q.MineDone,
		MineGoal: q.MineGoal,
		Assigned: q.Assigned(), Closed: q.ClosedAt != nil,
	}
	row.List = "/conversations?" + url.Values{
		"queue": {q.ID.String()}, "range": {strconv.Itoa(metric.MaxDays) + "d"},
	}.Encode()
	return row
}

// queue answers GET /queues/{id}.
func (s *server) queue(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	q, err := s.viewer(r.Context()).QueueByID(r.Context(), id)
	if err != nil {
		return err
	}
	m := views.QueuePageModel{
		Page: s.page(r, q.Name, "Review"), Queue: queueRow(q), Done: r.URL.Query().Get("done") != "" && q.MineOpen == 0,
		Waiting: r.URL.Query().Get("done") != "" && q.MineOpen > 0,
	}
	m.Lead = m.Rights[access.ManageReviews]
	m.Rule = s.ruleWords(r.Context(), q)
	if err := s.queueReviewers(r.Context(), &m, q); err != nil {
		return err
	}
	draws, err := work.QueueDraws(r.Context(), s.Pool, id)
	if err != nil {
		return err
	}
	for _, d := range draws {
		m.Draws = append(m.Draws, views.DrawRow{
			Due: d.DueAt, Drawn: d.DrawnAt, Seed: d.Seed, Population: int64(d.Population), Picked: int64(d.Picked),
		})
	}
	if err := s.queueItems(r, &m, id); err != nil {
		return err
	}
	if !q.Assigned() && q.Items > 0 {
		m.Mix = "/queues/" + q.ID.String() + "/mix"
	}
	return s.render(w, r, http.StatusOK, views.QueuePage(m))
}

// queueReviewers sets who works on a queue, and how far they are.
func (s *server) queueReviewers(ctx context.Context, m *views.QueuePageModel, q work.Queue) error {
	people, err := work.QueueReviewers(ctx, s.Pool, q.ID, m.Now)
	if err != nil {
		return err
	}
	for _, p := range people {
		row := views.ReviewerRow{
			Name: p.Name, Share: p.Share, Goal: int64(p.Goal), Open: p.Open, Done: p.Done, Skipped: p.Skipped,
			Claimed: p.Claimed,
		}
		if p.MedianS != nil {
			row.Median = format.Span(time.Duration(*p.MedianS * float64(time.Second)))
		}
		f := metric.Filter{
			Range:  metric.Range{Days: metric.MaxDays},
			Review: metric.ReviewFilter{Queue: q.ID.String(), Reviewers: []string{p.AccountID.String()}},
		}
		row.Link = dashboard.Address(f)
		m.Reviewers = append(m.Reviewers, row)
	}
	return nil
}

// queueItems sets a page of what a queue holds.
func (s *server) queueItems(r *http.Request, m *views.QueuePageModel, id conversation.UUID) error {
	after, err := parseItem(r.URL.Query().Get("after"))
	if err != nil {
		return err
	}
	db, err := s.viewer(r.Context()).Shown(r.Context())
	if err != nil {
		return err
	}
	items, err := work.QueueItems(r.Context(), db, id, after, limitsOf(r.Context()), pageSize+1, m.Now)
	if err != nil {
		return err
	}
	if len(items) > pageSize {
		last := items[pageSize-1]
		m.More = fmt.Sprintf("/queues/%s?after=%d.%d.%s", id, last.Place, last.SenderID, last.ID)
		items = items[:pageSize]
	}
	ids := make([]conversation.UUID, len(items))
	for i, x := range items {
		ids[i] = x.ID
	}
	hide, err := s.viewer(r.Context()).Hiding(r.Context(), ids)
	if err != nil {
		return err
	}
	for _, x := range items {
		row := views.ItemRow{
			Place: x.Place, Why: x.Why, For: x.For, Holder: x.Holder, Ended: x.Ended, EndedBy: x.EndedBy,
			EndedAt: x.EndedAt, Reason: x.Reason, Link: "/conversations/" + x.ID.String(), Started: x.StartedAt,
			Text: "the conversation is gone",
		}
		if x.FirstText != nil {
			row.Text = cmp.Or(hide(x.ID, *x.FirstText), "no words of the user")
		}
		m.Items = append(m.Items, row)
	}
	return nil
}

// queueMix answers GET /queues/{id}/mix: what was drawn beside what it was drawn from.
func (s *server) queueMix(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	q, err := s.viewer(r.Context()).QueueByID(r.Context(), id)
	if err != nil {
		return err
	}
	all, err := s.mix(r, q)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.MixView(all))
}

// parseItem reads a place in a queue; "" is its beginning.
func parseItem(text string) (at work.Item, err error) {
	at.Place, at.SenderID = -1, math.MinInt64
	if text == "" {
		return at, nil
	}
	if _, err := fmt.Sscanf(strings.ReplaceAll(text, ".", " "), "%d %d", &at.Place, &at.SenderID); err != nil {
		return at, &metric.InputError{Field: "after", Msg: "is no place in this queue"}
	}
	at.ID, _ = conversation.ParseUUID(text[strings.LastIndexByte(text, '.')+1:])
	return at, nil
}

// ruleWords say what a queue draws.
func (s *server) ruleWords(ctx context.Context, q work.Queue) (words []string) {
	if q.Assigned() {
		return []string{"Conversations that somebody gave to a colleague."}
	}
	f, err := q.Filter(s.Zone)
	if err != nil {
		return []string{
			"The filter of this queue can no longer be used: " + err.Error() +
				". Nothing is drawn until it is changed.",
		}
	}
	ask := dashboard.Question{Path: "/conversations", Filter: f, Now: s.Now(), Zone: s.Zone}
	name, _ := dashboard.RangeWords(ask)
	words = append(words, "From: "+name)
	for _, c := range ask.Chips(s.viewer(ctx).Bar(ask, queries.Choices{}).Choices) {
		words = append(words, strings.Join(strings.Fields(c.Label+" "+c.Verb+" "+c.Value), " "))
	}
	switch {
	case q.Count > 0:
		words = append(words, format.Plural(int64(q.Count), "conversation", "conversations"))
	case q.Percent > 0:
		words = append(words, strconv.FormatFloat(q.Percent, 'f', -1, 64)+"% of them")
	default:
		words = append(words, "all of them")
	}
	for _, x := range q.Shares {
		if is, ok := metric.ParseCondition(x.Is); ok {
			words = append(words, strconv.FormatFloat(x.Percent, 'f', -1, 64)+"% "+shareName(is))
		}
	}
	return append(words, "seed "+strconv.FormatInt(q.Seed, 10))
}

// mix compares what was drawn with what it was drawn from, by channel, version and outcome.
func (s *server) mix(r *http.Request, q work.Queue) (all []views.MixTable, err error) {
	f, err := q.Filter(s.Zone)
	if err != nil {
		return nil, nil //nolint:nilerr // the rule says so already
	}
	if f, err = queries.Survivors(r.Context(), s.Pool, f); err != nil {
		return nil, err
	}
	asOf := s.Now()
	draws, err := work.QueueDraws(r.Context(), s.Pool, q.ID)
	if err != nil {
		return nil, err
	}
	if len(draws) > 0 { // a range of days ended then
		asOf = draws[0].DueAt
	}
	drawn := metric.Filter{Range: metric.Range{Days: metric.MaxDays}, Review: metric.ReviewFilter{Queue: q.ID.String()}}
	for _, by := range []string{"channel", "version", "outcome"} {
		sample, err := work.MixOf(r.Context(), s.Pool, drawn, by, s.Now(), s.Zone)
		if err != nil {
			return nil, err
		}
		whole, err := work.MixOf(r.Context(), s.Pool, f, by, asOf, s.Zone)
		if err != nil {
			return nil, err
		}
		t := views.MixTable{Name: by}
		var a, b int64
		for _, n := range sample {
			a += n
		}
		for _, n := range whole {
			b += n
		}
		names := maps.Clone(whole)
		maps.Copy(names, sample)
		for _, name := range slices.SortedFunc(
			maps.Keys(names),
			func(x, y string) int { return cmp.Or(cmp.Compare(whole[y], whole[x]), cmp.Compare(x, y)) },
		) {
			row := views.MixRow{
				Name: metric.NameOf(name), Sample: metric.Rate{Of: sample[name], Among: a},
				Whole: metric.Rate{Of: whole[name], Among: b},
			}
			if by == "outcome" {
				row.Name = metric.OutcomeName(name)
			}
			t.Rows = append(t.Rows, row)
		}
		all = append(all, t)
	}
	return all, nil
}

// nextItem answers POST /queues/{id}/next: takes the next item.
func (s *server) nextItem(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	u, _ := accountOf(r.Context())
	if _, err := s.viewer(r.Context()).QueueByID(r.Context(), id); err != nil && len(u.Assistants) > 0 {
		return err
	}
	return s.next(w, r, id, u)
}

// replaceItem answers POST /queues/{id}/replace.
func (s *server) replaceItem(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	id, err1 := conversation.ParseUUID(chi.URLParam(r, "id"))
	of, err2 := conversation.ParseUUID(r.PostFormValue("conversation"))
	if err1 != nil || err2 != nil {
		return queries.ErrNotFound
	}
	reason := strings.Join(strings.Fields(r.PostFormValue("reason")), " ")
	if reason == "" || len(reason) > 800 || strings.ToValidUTF8(reason, "") != reason ||
		strings.ContainsRune(reason, 0) {
		return &metric.InputError{Field: "reason", Msg: "has 1 to 200 characters"}
	}
	u, _ := accountOf(ctx)
	q, err := s.viewer(ctx).QueueByID(ctx, id)
	if err != nil {
		return err
	}
	place, _, err := queries.FindConversation(ctx, s.Pool, of)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		may, err := work.MayEnd(ctx, tx, id, u.ID, place, s.Now())
		if err != nil {
			return err
		}
		if !may {
			return &metric.InputError{Field: "conversation", Msg: "was taken by a colleague meanwhile"}
		}
		_, err = work.Replace(ctx, tx, q, place, u.ID, reason, s.Now(), s.Zone)
		return err
	})
	if errors.Is(err, queries.ErrConflict) {
		return &metric.InputError{Field: "conversation", Msg: "is done already"}
	}
	if err != nil {
		return err
	}
	return s.next(w, r, id, u)
}

// closeQueue answers POST /queues/{id}/close.
func (s *server) closeQueue(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	if _, err := s.viewer(r.Context()).QueueByID(r.Context(), id); err != nil {
		return err
	}
	if err := work.CloseQueue(r.Context(), s.Pool, id, s.Now()); err != nil {
		return err
	}
	http.Redirect(w, r, "/review", http.StatusSeeOther)
	return nil
}
