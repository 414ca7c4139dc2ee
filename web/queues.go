package web

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// shareChoices are the conditions of which a queue may draw its shares.
var shareChoices = []metric.Condition{metric.All, metric.Unsatisfied, metric.Escalated, metric.Abandoned, metric.Failed, metric.Assumed, metric.Satisfied}

func shareName(is metric.Condition) string {
	if is == metric.All {
		return "random"
	}
	return strings.ReplaceAll(is.String(), "-", " ")
}

// reviewPage answers GET /review: what there is to do.
func (s *server) reviewPage(w http.ResponseWriter, r *http.Request) error {
	m := views.ReviewPageModel{Page: s.page(r, "Review", "Review")}
	u, _ := userOf(r.Context())
	m.Lead = m.Rights[views.Lead]
	all, err := queries.Queues(r.Context(), s.Pool, u.ID, m.Lead)
	if err != nil {
		return err
	}
	for _, q := range all {
		m.Queues = append(m.Queues, queueRow(q))
	}
	mentions, err := queries.Mentions(r.Context(), s.Pool, u.ID)
	if err != nil {
		return err
	}
	for _, x := range mentions {
		link := "/conversations/" + x.ConversationID.String()
		if x.MessageID != nil {
			link += "?m=" + x.MessageID.String()
		}
		m.Mentions = append(m.Mentions, views.MentionRow{By: x.By, Text: x.Text, At: x.CreatedAt, Link: link, New: x.SeenAt == nil})
	}
	bulk, err := queries.LastBulks(r.Context(), s.Pool, u.ID)
	if err != nil {
		return err
	}
	for _, b := range bulk {
		m.Bulk = append(m.Bulk, views.BulkRow{Link: "/acts/" + b.ID.String(), Words: b.Words, Changed: int64(b.Changed), At: b.CreatedAt, Ended: b.EndedAt != nil, Undone: b.Undo})
	}
	return s.render(w, r, http.StatusOK, views.ReviewPage(m))
}

func queueRow(q queries.Queue) views.QueueRow {
	row := views.QueueRow{
		ID: q.ID.String(), Name: q.Name, By: q.By, Schedule: q.Schedule, NextAt: q.NextAt, Items: q.Items, Reviewed: q.Reviewed, Skipped: q.Skipped, Open: q.Open, MineOpen: q.MineOpen, MineDone: q.MineDone, MineGoal: q.MineGoal,
		Assigned: q.Assigned(), Closed: q.ClosedAt != nil,
	}
	row.List = "/conversations?" + url.Values{"queue": {q.ID.String()}, "range": {strconv.Itoa(metric.MaxDays) + "d"}}.Encode()
	return row
}

// queue answers GET /queues/{id}.
func (s *server) queue(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	u, _ := userOf(r.Context())
	q, err := queries.QueueByID(r.Context(), s.Pool, id, u.ID)
	if err != nil {
		return err
	}
	m := views.QueuePageModel{Page: s.page(r, q.Name, "Review"), Queue: queueRow(q), Done: r.URL.Query().Get("done") != "" && q.MineOpen == 0, Waiting: r.URL.Query().Get("done") != "" && q.MineOpen > 0}
	m.Lead = m.Rights[views.Lead]
	m.Rule = s.ruleWords(q)
	people, err := queries.QueueReviewers(r.Context(), s.Pool, id, m.Now)
	if err != nil {
		return err
	}
	for _, p := range people {
		row := views.ReviewerRow{Name: p.Name, Share: p.Share, Goal: int64(p.Goal), Open: p.Open, Done: p.Done, Skipped: p.Skipped, Claimed: p.Claimed}
		if p.MedianS != nil {
			row.Median = views.Span(time.Duration(*p.MedianS * float64(time.Second)))
		}
		f := metric.Filter{Range: metric.Range{Days: metric.MaxDays}, Work: metric.WorkFilter{Queue: q.ID.String(), Reviewers: []string{p.UserID.String()}}}
		row.Link = address(f)
		m.Reviewers = append(m.Reviewers, row)
	}
	draws, err := queries.QueueDraws(r.Context(), s.Pool, id)
	if err != nil {
		return err
	}
	for _, d := range draws {
		m.Draws = append(m.Draws, views.DrawRow{Due: d.DueAt, Drawn: d.DrawnAt, Seed: d.Seed, Population: int64(d.Population), Picked: int64(d.Picked)})
	}
	after, err := parseItem(r.URL.Query().Get("after"))
	if err != nil {
		return err
	}
	items, err := queries.QueueItems(r.Context(), s.Pool, id, after, pageSize+1, m.Now)
	if err != nil {
		return err
	}
	if len(items) > pageSize {
		last := items[pageSize-1]
		m.More = fmt.Sprintf("/queues/%s?after=%d.%d.%s", id, last.Place, last.SenderID, last.ID)
		items = items[:pageSize]
	}
	for _, x := range items {
		row := views.ItemRow{Place: x.Place, Why: x.Why, For: x.For, Holder: x.Holder, Ended: x.Ended, EndedBy: x.EndedBy, EndedAt: x.EndedAt, Reason: x.Reason, Link: "/conversations/" + x.ID.String(), Started: x.StartedAt, Text: "the conversation is gone"}
		if x.FirstText != nil {
			row.Text = cmp.Or(*x.FirstText, "no words of the user")
		}
		m.Items = append(m.Items, row)
	}
	if !q.Assigned() && q.Items > 0 {
		m.Mix = "/queues/" + q.ID.String() + "/mix"
	}
	return s.render(w, r, http.StatusOK, views.QueuePage(m))
}

// queueMix answers GET /queues/{id}/mix: what was drawn beside what it was drawn from.
func (s *server) queueMix(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	u, _ := userOf(r.Context())
	q, err := queries.QueueByID(r.Context(), s.Pool, id, u.ID)
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
func parseItem(text string) (at queries.Item, err error) {
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
func (s *server) ruleWords(q queries.Queue) (words []string) {
	if q.Assigned() {
		return []string{"Conversations that somebody gave to a colleague."}
	}
	f, err := q.Filter(s.Zone)
	if err != nil {
		return []string{"The filter of this queue can no longer be used: " + err.Error() + ". Nothing is drawn until it is changed."}
	}
	ask := question{path: "/conversations", filter: f, now: s.Now(), zone: s.Zone}
	name, _ := rangeWords(ask, views.Page{Zone: s.Zone, Now: s.Now()})
	words = append(words, "From: "+name)
	for _, c := range ask.chips(s.bar(ask, views.Page{Zone: s.Zone, Now: s.Now()}, queries.Choices{}).Choices) {
		words = append(words, strings.Join(strings.Fields(c.Label+" "+c.Verb+" "+c.Value), " "))
	}
	switch {
	case q.Count > 0:
		words = append(words, views.Plural(int64(q.Count), "conversation", "conversations"))
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
func (s *server) mix(r *http.Request, q queries.Queue) (all []views.MixTable, err error) {
	f, err := q.Filter(s.Zone)
	if err != nil {
		return nil, nil //nolint:nilerr // the rule says so already
	}
	asOf := s.Now()
	draws, err := queries.QueueDraws(r.Context(), s.Pool, q.ID)
	if err != nil {
		return nil, err
	}
	if len(draws) > 0 { // a range of days ended then
		asOf = draws[0].DueAt
	}
	drawn := metric.Filter{Range: metric.Range{Days: metric.MaxDays}, Work: metric.WorkFilter{Queue: q.ID.String()}}
	for _, by := range []string{"channel", "version", "outcome"} {
		sample, err := queries.MixOf(r.Context(), s.Pool, drawn, by, s.Now(), s.Zone)
		if err != nil {
			return nil, err
		}
		whole, err := queries.MixOf(r.Context(), s.Pool, f, by, asOf, s.Zone)
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
		for _, name := range slices.SortedFunc(maps.Keys(names), func(x, y string) int { return cmp.Or(cmp.Compare(whole[y], whole[x]), cmp.Compare(x, y)) }) {
			row := views.MixRow{Name: cmp.Or(name, metric.NotTold), Sample: metric.Rate{Of: sample[name], Among: a}, Whole: metric.Rate{Of: whole[name], Among: b}}
			if by == "outcome" {
				row.Name = views.OutcomeName(name)
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
	u, _ := userOf(r.Context())
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
	if reason == "" || len(reason) > 800 || strings.ToValidUTF8(reason, "") != reason || strings.ContainsRune(reason, 0) {
		return &metric.InputError{Field: "reason", Msg: "has 1 to 200 characters"}
	}
	u, _ := userOf(ctx)
	q, err := queries.QueueByID(ctx, s.Pool, id, u.ID)
	if err != nil {
		return err
	}
	place, _, err := queries.PlaceOf(ctx, s.Pool, of)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		may, err := queries.MayEnd(ctx, tx, id, u.ID, place, s.Now())
		if err != nil {
			return err
		}
		if !may {
			return &metric.InputError{Field: "conversation", Msg: "was taken by a colleague meanwhile"}
		}
		_, err = queries.Replace(ctx, tx, q, place, u.ID, reason, s.Now(), s.Zone)
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

// editQueue answers GET /queues/edit: makes a queue of a filter, or changes one.
func (s *server) editQueue(w http.ResponseWriter, r *http.Request) error {
	u, _ := userOf(r.Context())
	m := views.QueueForm{Page: s.page(r, "Queue", "Review"), Count: "40", Seed: strconv.Itoa(rand.IntN(1_000_000)), Zone: s.Zone.String(), Query: r.URL.Query().Get("query"), Shares: map[string]string{}, People: map[string]views.ReviewerShare{}}
	if v := r.URL.Query().Get("of"); v != "" {
		id, err := conversation.ParseUUID(v)
		if err != nil {
			return queries.ErrNotFound
		}
		q, err := queries.QueueByID(r.Context(), s.Pool, id, u.ID)
		if err != nil || q.Assigned() || q.ClosedAt != nil {
			return cmp.Or(err, queries.ErrNotFound)
		}
		m.ID, m.Name, m.Query, m.Seed, m.Schedule, m.Zone, m.Revision = q.ID.String(), q.Name, q.Query, strconv.FormatInt(q.Seed, 10), q.Schedule, cmp.Or(q.Zone, m.Zone), q.Revision
		m.Count, m.Percent = "", ""
		if q.Count > 0 {
			m.Count = strconv.Itoa(int(q.Count))
		}
		if q.Percent > 0 {
			m.Percent = strconv.FormatFloat(q.Percent, 'f', -1, 64)
		}
		for _, x := range q.Shares {
			m.Shares[x.Is] = strconv.FormatFloat(x.Percent, 'f', -1, 64)
		}
		people, err := queries.QueueReviewers(r.Context(), s.Pool, id, m.Now)
		if err != nil {
			return err
		}
		for _, p := range people {
			m.People[p.UserID.String()] = views.ReviewerShare{Share: strconv.Itoa(int(p.Share)), Goal: strconv.Itoa(int(p.Goal)), In: true}
		}
	}
	return s.queueForm(w, r, http.StatusOK, m)
}

// queueForm fills in what the form offers.
func (s *server) queueForm(w http.ResponseWriter, r *http.Request, status int, m views.QueueForm) error {
	people, err := queries.Colleagues(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	for _, p := range people {
		m.Colleagues = append(m.Colleagues, views.Person{ID: p.ID.String(), Name: p.Name})
	}
	for _, is := range shareChoices {
		m.Choices = append(m.Choices, [2]string{is.String(), shareName(is)})
	}
	if kept, err := url.ParseQuery(m.Query); err == nil {
		if f, err := metric.ParseFilter(kept, s.Zone); err == nil {
			m.Rule = s.ruleWords(queries.Queue{Query: f.Encode(), ID: queries.NewID()})
			m.Rule = m.Rule[:len(m.Rule)-2]
			m.Total, m.More, err = s.total(r.Context(), f, m.Now)
			if err != nil {
				return err
			}
			m.List = address(f)
		}
	}
	return s.render(w, r, status, views.QueueFormPage(m))
}

// saveQueue answers POST /queues.
func (s *server) saveQueue(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	u, _ := userOf(ctx)
	if err := r.ParseForm(); err != nil {
		return &metric.InputError{Field: "form", Msg: "is too large"}
	}
	q, people, err := s.parseQueue(r)
	if err == nil {
		err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			if err := queries.SaveQueue(ctx, tx, q, people, u.ID); err != nil {
				return err
			}
			if q.Schedule != "" {
				return nil
			}
			saved, err := queries.QueueByID(ctx, tx, q.ID, u.ID)
			if err != nil {
				return err
			}
			due := saved.CreatedAt
			if r.PostFormValue("again") != "" {
				due = s.Now()
			}
			_, _, err = queries.Draw(ctx, tx, saved, due, s.Now(), s.Zone)
			return err
		})
	}
	if errors.Is(err, queries.ErrConflict) {
		err = &metric.InputError{Field: "name", Msg: "is that of another queue, or somebody changed this one meanwhile: open it again"}
	}
	var input *metric.InputError
	if errors.As(err, &input) {
		m := views.QueueForm{
			Page: s.page(r, "Queue", "Review"), Error: input.Error(), ID: r.PostFormValue("id"), Name: r.PostFormValue("name"), Query: r.PostFormValue("query"), Count: r.PostFormValue("count"), Percent: r.PostFormValue("percent"),
			Seed: r.PostFormValue("seed"), Schedule: r.PostFormValue("schedule"), Zone: r.PostFormValue("zone"), Shares: map[string]string{}, People: map[string]views.ReviewerShare{}, Revision: q.Revision,
		}
		for _, is := range shareChoices {
			m.Shares[is.String()] = r.PostFormValue("share." + is.String())
		}
		for _, id := range r.PostForm["person"] {
			m.People[id] = views.ReviewerShare{In: true, Share: r.PostFormValue("part." + id), Goal: r.PostFormValue("goal." + id)}
		}
		return s.queueForm(w, r, http.StatusUnprocessableEntity, m)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/queues/"+q.ID.String(), http.StatusSeeOther)
	return nil
}

// number reads a number of a form; "" is 0.
func number(r *http.Request, name string, most float64) (float64, error) {
	text := strings.TrimSpace(r.PostFormValue(name))
	if text == "" {
		return 0, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(v >= 0 && v <= most) {
		return 0, &metric.InputError{Field: strings.SplitN(name, ".", 2)[0], Msg: "is a number from 0 to " + strconv.FormatFloat(most, 'f', -1, 64)}
	}
	return v, nil
}

func (s *server) parseQueue(r *http.Request) (q queries.Queue, people []queries.QueueReviewer, err error) {
	q = queries.Queue{ID: queries.NewID(), Name: strings.Join(strings.Fields(r.PostFormValue("name")), " "), CreatedAt: s.Now(), Zone: strings.TrimSpace(r.PostFormValue("zone"))}
	if id := r.PostFormValue("id"); id != "" {
		if q.ID, err = conversation.ParseUUID(id); err != nil {
			return q, nil, queries.ErrNotFound
		}
		n, err := strconv.Atoi(r.PostFormValue("revision"))
		if err != nil || n < 1 {
			return q, nil, &metric.InputError{Field: "revision", Msg: "is missing: open the queue again"}
		}
		q.Revision = int32(n)
	}
	if err := named(q.Name, 80); err != nil {
		return q, nil, err
	}
	kept, err := url.ParseQuery(r.PostFormValue("query"))
	if err != nil {
		return q, nil, &metric.InputError{Field: "query", Msg: "is no filter"}
	}
	f, err := metric.ParseFilter(kept, s.Zone)
	if err != nil {
		return q, nil, err
	}
	q.Query = f.Encode()
	count, err := number(r, "count", queries.MostDrawn)
	if err != nil {
		return q, nil, err
	}
	if q.Percent, err = number(r, "percent", 100); err != nil {
		return q, nil, err
	}
	if q.Count = int32(count); q.Count > 0 && q.Percent > 0 {
		return q, nil, &metric.InputError{Field: "count", Msg: "and percent do not go together: one of them says how many"}
	}
	if q.Seed, err = strconv.ParseInt(strings.TrimSpace(r.PostFormValue("seed")), 10, 64); err != nil {
		return q, nil, &metric.InputError{Field: "seed", Msg: "is a whole number"}
	}
	sum := 0.0
	for _, is := range shareChoices {
		part, err := number(r, "share."+is.String(), 100)
		if err != nil {
			return q, nil, err
		}
		if part > 0 {
			q.Shares = append(q.Shares, queries.Share{Is: is.String(), Percent: part})
			sum += part
		}
	}
	if len(q.Shares) > 0 && (sum < 99.9 || sum > 100.1) {
		return q, nil, &metric.InputError{Field: "shares", Msg: fmt.Sprintf("add up to %s%%, not to 100%%", strconv.FormatFloat(sum, 'f', -1, 64))}
	}
	if text := strings.TrimSpace(r.PostFormValue("schedule")); text != "" {
		when, err := metric.ParseSchedule(text)
		if err != nil {
			return q, nil, err
		}
		q.Schedule = when.String()
		if q.NextAt, err = queries.NextDraw(q, s.Now(), s.Zone); err != nil {
			return q, nil, err
		}
	}
	for _, v := range r.PostForm["person"] {
		id, err := conversation.ParseUUID(v)
		if err != nil {
			return q, nil, &metric.InputError{Field: "person", Msg: "is nobody"}
		}
		share, err := number(r, "part."+v, 100)
		if err != nil {
			return q, nil, err
		}
		goal, err := number(r, "goal."+v, 10000)
		if err != nil {
			return q, nil, err
		}
		people = append(people, queries.QueueReviewer{UserID: id, Share: int32(share), Goal: int32(goal)})
	}
	return q, people, nil
}

// closeQueue answers POST /queues/{id}/close.
func (s *server) closeQueue(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	if err := queries.CloseQueue(r.Context(), s.Pool, id, s.Now()); err != nil {
		return err
	}
	http.Redirect(w, r, "/review", http.StatusSeeOther)
	return nil
}
