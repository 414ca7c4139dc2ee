package web

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/schedule"
	"turnwise/views"
)

// shareChoices are the conditions of which a queue may draw its shares.
var shareChoices = []metric.Condition{
	metric.All, metric.Unsatisfied, metric.Escalated, metric.Abandoned, metric.Failed, metric.Assumed, metric.Satisfied,
}

func shareName(is metric.Condition) string {
	if is == metric.All {
		return "random"
	}
	return strings.ReplaceAll(is.String(), "-", " ")
}

// editQueue answers GET /queues/edit: makes a queue of a filter, or changes one.
func (s *server) editQueue(w http.ResponseWriter, r *http.Request) error {
	m := views.QueueForm{
		Page: s.page(r, "Queue", "Review"), Count: "40", Seed: strconv.Itoa(rand.IntN(1_000_000)),
		Zone: s.Zone.String(), Query: r.URL.Query().Get("query"), Shares: map[string]string{},
		People: map[string]views.ReviewerShare{},
	}
	if v := r.URL.Query().Get("of"); v != "" {
		id, err := conversation.ParseUUID(v)
		if err != nil {
			return queries.ErrNotFound
		}
		q, err := s.viewer(r.Context()).QueueByID(r.Context(), id)
		if err != nil || q.Assigned() || q.ClosedAt != nil {
			return cmp.Or(err, queries.ErrNotFound)
		}
		m.ID, m.Name, m.Query, m.Seed, m.Schedule, m.Zone, m.Revision = q.ID.String(), q.Name, q.Query,
			strconv.FormatInt(q.Seed, 10), q.Schedule, cmp.Or(q.Zone, m.Zone), q.Revision
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
		people, err := work.QueueReviewers(r.Context(), s.Pool, id, m.Now)
		if err != nil {
			return err
		}
		for _, p := range people {
			m.People[p.AccountID.String()] = views.ReviewerShare{
				Share: strconv.Itoa(int(p.Share)), Goal: strconv.Itoa(int(p.Goal)), In: true,
			}
		}
	}
	return s.queueForm(w, r, http.StatusOK, m)
}

// queueForm fills in what the form offers.
func (s *server) queueForm(w http.ResponseWriter, r *http.Request, status int, m views.QueueForm) error {
	people, err := work.Colleagues(r.Context(), s.Pool)
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
		if f, err := s.viewer(r.Context()).Filter(r.Context(), kept); err == nil {
			m.Rule = s.ruleWords(r.Context(), work.Queue{Query: f.Encode(), ID: queries.NewID()})
			m.Rule = m.Rule[:len(m.Rule)-2]
			m.Total, m.More, err = s.viewer(r.Context()).Total(r.Context(), f, m.Now)
			if err != nil {
				return err
			}
			m.List = dashboard.Address(f)
		}
	}
	return s.render(w, r, status, views.QueueFormPage(m))
}

// saveQueue answers POST /queues.
func (s *server) saveQueue(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	u, _ := accountOf(ctx)
	if err := r.ParseForm(); err != nil {
		return &metric.InputError{Field: "form", Msg: "is too large"}
	}
	q, people, err := s.parseQueue(r)
	if err == nil && q.Revision > 0 { // it was there before
		_, err = s.viewer(ctx).QueueByID(ctx, q.ID)
	}
	if err == nil {
		err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			if err := work.SaveQueue(ctx, tx, q, people, u.ID); err != nil {
				return err
			}
			if q.Schedule != "" {
				return nil
			}
			saved, err := work.QueueByID(ctx, tx, q.ID, u.ID)
			if err != nil {
				return err
			}
			due := saved.CreatedAt
			if r.PostFormValue("again") != "" {
				due = s.Now()
			}
			_, _, err = work.Draw(ctx, tx, saved, due, s.Now(), s.Zone)
			return err
		})
	}
	if errors.Is(err, queries.ErrConflict) {
		err = &metric.InputError{
			Field: "name", Msg: "is that of another queue, or somebody changed this one meanwhile: open it again",
		}
	}
	var input *metric.InputError
	if errors.As(err, &input) {
		m := queueAsTyped(r)
		m.Page, m.Error, m.Revision = s.page(r, "Queue", "Review"), input.Error(), q.Revision
		return s.queueForm(w, r, http.StatusUnprocessableEntity, m)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/queues/"+q.ID.String(), http.StatusSeeOther)
	return nil
}

// queueAsTyped is the form as it was sent.
func queueAsTyped(r *http.Request) views.QueueForm {
	m := views.QueueForm{
		ID: r.PostFormValue("id"), Name: r.PostFormValue("name"), Query: r.PostFormValue("query"),
		Count: r.PostFormValue("count"), Percent: r.PostFormValue("percent"), Seed: r.PostFormValue("seed"),
		Schedule: r.PostFormValue("schedule"), Zone: r.PostFormValue("zone"), Shares: map[string]string{},
		People: map[string]views.ReviewerShare{},
	}
	for _, is := range shareChoices {
		m.Shares[is.String()] = r.PostFormValue("share." + is.String())
	}
	for _, id := range r.PostForm["person"] {
		m.People[id] = views.ReviewerShare{
			In: true, Share: r.PostFormValue("part." + id), Goal: r.PostFormValue("goal." + id),
		}
	}
	return m
}

// number reads a number of a form; "" is 0.
func number(r *http.Request, name string, most float64) (float64, error) {
	text := strings.TrimSpace(r.PostFormValue(name))
	if text == "" {
		return 0, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(v >= 0 && v <= most) {
		return 0, &metric.InputError{
			Field: strings.SplitN(name, ".", 2)[0],
			Msg:   "is a number from 0 to " + strconv.FormatFloat(most, 'f', -1, 64),
		}
	}
	return v, nil
}

func (s *server) parseQueue(r *http.Request) (q work.Queue, people []work.QueueReviewer, err error) {
	q = work.Queue{
		ID: queries.NewID(), Name: strings.Join(strings.Fields(r.PostFormValue("name")), " "), CreatedAt: s.Now(),
		Zone: strings.TrimSpace(r.PostFormValue("zone")),
	}
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
	f, err := s.viewer(r.Context()).Filter(r.Context(), kept)
	if err != nil {
		return q, nil, err
	}
	q.Query = f.Encode()
	count, err := number(r, "count", work.MostDrawn)
	if err != nil {
		return q, nil, err
	}
	if q.Percent, err = number(r, "percent", 100); err != nil {
		return q, nil, err
	}
	if q.Count = int32(count); q.Count > 0 && q.Percent > 0 {
		return q, nil, &metric.InputError{
			Field: "count", Msg: "and percent do not go together: one of them says how many",
		}
	}
	if q.Seed, err = strconv.ParseInt(strings.TrimSpace(r.PostFormValue("seed")), 10, 64); err != nil {
		return q, nil, &metric.InputError{Field: "seed", Msg: "is a whole number"}
	}
	if q.Shares, err = parseShares(r); err != nil {
		return q, nil, err
	}
	if text := strings.TrimSpace(r.PostFormValue("schedule")); text != "" {
		when, err := schedule.Parse(text)
		if err != nil {
			return q, nil, err
		}
		q.Schedule = when.String()
		if q.NextAt, err = work.NextDraw(q, s.Now(), s.Zone); err != nil {
			return q, nil, err
		}
	}
	people, err = parseReviewers(r)
	return q, people, err
}

// parseShares reads of which conversations a queue draws how many.
func parseShares(r *http.Request) (all []work.Share, err error) {
	sum := 0.0
	for _, is := range shareChoices {
		part, err := number(r, "share."+is.String(), 100)
		if err != nil {
			return nil, err
		}
		if part > 0 {
			all = append(all, work.Share{Is: is.String(), Percent: part})
			sum += part
		}
	}
	if len(all) > 0 && (sum < 99.9 || sum > 100.1) {
		return nil, &metric.InputError{
			Field: "shares", Msg: fmt.Sprintf("add up to %s%%, not to 100%%", strconv.FormatFloat(sum, 'f', -1, 64)),
		}
	}
	return all, nil
}

// parseReviewers reads who works on a queue.
func parseReviewers(r *http.Request) (people []work.QueueReviewer, err error) {
	for _, v := range r.PostForm["person"] {
		id, err := conversation.ParseUUID(v)
		if err != nil {
			return nil, &metric.InputError{Field: "person", Msg: "is nobody"}
		}
		share, err := number(r, "part."+v, 100)
		if err != nil {
			return nil, err
		}
		goal, err := number(r, "goal."+v, 10000)
		if err != nil {
			return nil, err
		}
		people = append(people, work.QueueReviewer{AccountID: id, Share: int32(share), Goal: int32(goal)})
	}
	return people, nil
}
