package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/views"
)

// undoFor is how long the last act is offered to be undone.
const undoFor = 12 * time.Hour

// reviewing is one conversation, and who reviews it.
type reviewing struct {
	*server
	db     queries.Sight // as the user sees the conversation
	page   views.Page
	user   access.Account
	place  queries.ConversationKey
	events int32
	shown  int32             // events that there were when the user's page was made
	of     string            // its assistant
	in     conversation.UUID // the queue that is worked through; zero for none
	linked *conversation.UUID
	work   work.Work
}

// panel reads what was made of the conversation.
func (v *reviewing) panel(ctx context.Context) (m views.WorkPanel, err error) {
	if v.work, err = work.WorkOf(ctx, v.db, v.place, v.events, v.user.ID); err != nil {
		return m, err
	}
	w := v.work
	m = views.WorkPanel{
		Page: v.page, ID: v.place.ID, Action: "/conversations/" + v.place.ID.String(),
		May: v.page.Rights[access.Review], State: w.State, Rating: w.Own.Rating, ReviewedAt: w.ReviewedAt, By: w.By,
		Later: w.Later,
	}
	m.Events = v.events
	m.Mine = w.Own.ReviewedAt != nil && w.Own.Events == v.events
	if v.linked != nil {
		m.Linked = v.linked.String()
		m.LinkedAt = conversation.EventTime(*v.linked)
	}
	for _, o := range w.Others {
		m.Others = append(m.Others, views.OtherReview{By: o.By, Rating: o.Rating, At: o.ReviewedAt})
	}
	choices, err := work.TagChoices(ctx, v.Pool, v.of, limitsOf(ctx))
	if err != nil {
		return m, err
	}
	for _, t := range choices {
		has := slices.ContainsFunc(w.Tags, func(x work.Tag) bool { return x.ID == t.ID })
		m.Tags = append(m.Tags, views.TagChoice{
			ID: t.ID.String(), Name: t.Name, Assistant: t.Assistant, Description: t.Description, Color: t.Color,
			Has: has,
		})
	}
	if m.Notes, err = v.notes(ctx, m.Action); err != nil {
		return m, err
	}
	for _, h := range w.History {
		m.History = append(m.History, views.HistoryRow{
			By: h.By, Words: actWords(h.Kind, h.Name, h.Was, h.Became), At: h.At, Undone: h.UndoneAt != nil,
		})
	}
	if m.May {
		err = v.ways(ctx, &m)
	}
	return m, err
}

// notes are those of the conversation, as the user sees them.
func (v *reviewing) notes(ctx context.Context, action string) (rows []views.NoteRow, err error) {
	raw := map[conversation.UUID]string{}
	if v.db.Masks() { // who changed what he sees would keep the masks
		clear, err := work.WorkOf(ctx, queries.Clear(v.Pool), v.place, v.events, v.user.ID)
		if err != nil {
			return nil, err
		}
		for _, n := range clear.Notes {
			raw[n.ID] = n.Text
		}
	}
	for _, n := range v.work.Notes {
		row := views.NoteRow{
			ID: n.ID.String(), By: n.By, Text: n.Text, Markdown: views.ParseMarkdown(n.Text), At: n.CreatedAt,
			Edited: n.EditedAt != nil, Mine: n.AccountID == v.user.ID && (len(raw) == 0 || raw[n.ID] == n.Text),
			Revision: n.Revision,
		}
		if n.MessageID != nil {
			row.Message = n.MessageID.String()
			row.MessageLink = action + "?m=" + row.Message
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// ways sets to whom the conversation may be handed, what may be undone, and where the user stands in a queue.
func (v *reviewing) ways(ctx context.Context, m *views.WorkPanel) error {
	colleagues, err := work.Colleagues(ctx, v.Pool)
	if err != nil {
		return err
	}
	for _, c := range colleagues {
		m.Colleagues = append(m.Colleagues, views.Person{ID: c.ID.String(), Name: c.Name})
	}
	within := v.place.ID
	if v.in != (conversation.UUID{}) {
		within = conversation.UUID{}
	}
	last, err := work.LastActOf(ctx, v.Pool, v.user.ID, within, v.page.Now.Add(-undoFor))
	if err == nil {
		m.Undo = &views.UndoChoice{ID: last.ID.String(), Words: actWords(last.Kind, last.Tag, last.Was, last.Became)}
	} else if !errors.Is(err, queries.ErrNotFound) {
		return err
	}
	if v.in == (conversation.UUID{}) {
		return nil
	}
	m.In = v.in.String()
	m.Queue, err = v.progress(ctx)
	return err
}

// progress tells where the user stands in the queue.
func (v *reviewing) progress(ctx context.Context) (*views.QueueProgress, error) {
	item, err := work.ItemOf(ctx, v.Pool, v.in, v.place)
	if errors.Is(err, queries.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	q, err := v.viewer(ctx).QueueByID(ctx, v.in)
	if err != nil {
		return nil, err
	}
	p := &views.QueueProgress{
		ID: q.ID.String(), Name: q.Name, Why: item.Why, Done: q.Reviewed + q.Skipped, Items: q.Items, Mine: q.MineDone,
		MineGoal: q.MineGoal,
	}
	people, err := work.QueueReviewers(ctx, v.Pool, v.in, v.page.Now)
	if err != nil {
		return nil, err
	}
	rest := q.MineOpen
	for _, r := range people {
		if r.AccountID != v.user.ID {
			continue
		}
		if r.Share > 0 && p.MineGoal == 0 {
			p.MineGoal, rest = q.MineDone+r.Open, r.Open
		} else if p.MineGoal > 0 {
			rest = max(0, p.MineGoal-q.MineDone)
		}
		if r.MedianS != nil && rest > 0 {
			p.Left = format.Span(
				time.Duration(*r.MedianS*float64(rest)*float64(time.Second)).Round(time.Minute) + time.Minute,
			)
		}
	}
	switch {
	case item.Ended != "":
		p.Held = "This one is done: " + item.Ended + "."
	case item.ClaimedBy != nil && *item.ClaimedBy != v.user.ID && item.ClaimedUntil.After(v.page.Now):
		p.Held = "A colleague has taken this one meanwhile. What you say is kept, but the next one is yours."
	}
	return p, nil
}

// actWords say what an act did.
func actWords(kind, name, was, became string) string {
	switch work.ActKind(kind) {
	case work.ActTag:
		if name == "" {
			name = "a tag that is gone"
		}
		if became == "" {
			return "removed " + name
		}
		return "tagged " + name
	case work.ActMark:
		if became == "" {
			return "took a mark from a message"
		}
		return "marked a message " + became
	case work.ActNote:
		switch {
		case became == "":
			return "deleted a note"
		case was == "":
			return "wrote a note"
		}
		return "edited a note"
	case work.ActQueue:
		if became == "" {
			return "put back into a queue"
		}
		return became + " in a queue"
	case work.ActReview:
		a, b := work.ParseReview(was), work.ParseReview(became)
		switch {
		case b.ReviewedAt != nil && (a.ReviewedAt == nil || !a.ReviewedAt.Equal(*b.ReviewedAt)):
			return "marked it as reviewed"
		case a.ReviewedAt != nil && b.ReviewedAt == nil:
			return "marked it as not reviewed"
		case b.Rating == 0:
			return "took back a rating"
		}
		return fmt.Sprintf("rated %d of 5", b.Rating)
	}
	return kind
}

// tools are the marks on messages.
func (v *reviewing) tools(id conversation.UUID) views.MessageTools {
	t := views.MessageTools{
		ID: id.String(), Action: "/conversations/" + v.place.ID.String() + "/marks", May: v.page.Rights[access.Review],
	}
	for _, m := range v.work.Marks {
		if m.MessageID != id {
			continue
		}
		if m.AccountID == v.user.ID {
			t.Mine = m.Mark
		} else {
			t.Marks = append(t.Marks, m.By+": "+m.Mark)
		}
	}
	for _, n := range v.work.Notes {
		if n.MessageID != nil && *n.MessageID == id {
			t.Notes++
		}
	}
	return t
}

// reviewing is the work of who asks on a conversation.
func (s *server) reviewing(r *http.Request, c opened, page views.Page) *reviewing {
	v := &reviewing{server: s, db: c.DB, page: page, place: c.Key(), events: c.Events, of: c.Assistant}
	v.user, _ = accountOf(r.Context())
	return v
}

// reviewOf reads which conversation a form is about.
func (s *server) reviewOf(w http.ResponseWriter, r *http.Request) (v *reviewing, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return nil, queries.ErrNotFound
	}
	if err := r.ParseForm(); err != nil {
		return nil, &metric.InputError{Field: "form", Msg: "is too large"}
	}
	c, err := s.open(r.Context(), id)
	if err != nil {
		return nil, err
	}
	v = s.reviewing(r, c, s.page(r, "Conversation", "Conversations"))
	v.shown = c.Events
	if n, err := strconv.Atoi(r.PostFormValue("events")); err == nil {
		v.shown = min(v.shown, int32(n))
	}
	if in := r.PostFormValue("in"); in != "" {
		if v.in, err = conversation.ParseUUID(in); err != nil {
			return nil, queries.ErrNotFound
		}
		if err := work.KeepClaim(r.Context(), s.Pool, v.in, v.user.ID, v.place, s.Now()); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// act is an act of the user on the conversation.
func (v *reviewing) act(kind work.ActKind, value string) work.Act {
	return work.Act{ID: queries.NewID(), Place: v.place, User: v.user.ID, Kind: kind, Value: value, At: v.Now()}
}

// answer shows the panel after an act: itself to htmx, else by way of the page.
func (v *reviewing) answer(
	w http.ResponseWriter, r *http.Request, about *conversation.UUID, trouble, draft string,
) error {
	status := http.StatusOK
	if trouble != "" {
		status = http.StatusUnprocessableEntity
	}
	if trouble == "" && r.Header.Get("HX-Request") != "true" {
		to := "/conversations/" + v.place.ID.String()
		q := url.Values{}
		if v.in != (conversation.UUID{}) {
			q.Set("in", v.in.String())
		}
		if about != nil {
			q.Set("m", about.String())
		}
		if len(q) > 0 {
			to += "?" + q.Encode()
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
	m, err := v.panel(r.Context())
	if err != nil {
		return err
	}
	m.Error, m.Draft = trouble, draft
	if about != nil {
		t := v.tools(*about)
		m.OnMessage = &t
	}
	if r.Header.Get("HX-Request") != "true" {
		return v.render(w, r, status, views.WorkPage(m))
	}
	return v.render(w, r, status, views.WorkView(m))
}

// do acts in one transaction.
func (v *reviewing) do(ctx context.Context, acts ...work.Act) error {
	return pgx.BeginFunc(ctx, v.Pool, func(tx pgx.Tx) error {
		for _, a := range acts {
			if _, err := work.ApplyReviewAction(ctx, tx, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// review answers POST /conversations/{id}/review: rates, marks as reviewed, skips.
func (s *server) review(w http.ResponseWriter, r *http.Request) error {
	v, err := s.reviewOf(w, r)
	if err != nil {
		return err
	}
	if v.in != (conversation.UUID{}) && (r.PostFormValue("reviewed") == "yes" || r.PostFormValue("skip") != "") {
		return v.endItem(w, r)
	}
	rating := 0
	if text := r.PostFormValue("rating"); text != "" {
		if rating, err = strconv.Atoi(text); err != nil || rating < 1 || rating > 5 {
			return &metric.InputError{Field: "rating", Msg: "is from 1 to 5"}
		}
	}
	a := v.act(work.ActReview, "")
	a.Change = func(own work.Review) work.Review {
		switch {
		case rating > 0 && own.Rating == rating:
			own.Rating = 0 // pressed again
		case rating > 0:
			own.Rating = rating
		}
		switch r.PostFormValue("reviewed") {
		case "yes":
			own = v.reviewed(own)
		case "no":
			own.ReviewedAt, own.Events = nil, 0
		}
		return own
	}
	if err := v.do(r.Context(), a); err != nil {
		return err
	}
	return v.answer(w, r, nil, "", "")
}

// reviewed marks as reviewed what the user was shown: events that came meanwhile make it partial at once.
func (v *reviewing) reviewed(own work.Review) work.Review {
	now := v.Now()
	own.ReviewedAt, own.Events = &now, v.shown
	return own
}

// endItem ends an item of a queue and goes on to the next. The review is kept also when somebody else has taken the
// item meanwhile.
func (v *reviewing) endItem(w http.ResponseWriter, r *http.Request) error {
	ctx, now := r.Context(), v.Now()
	item := v.act(work.ActQueue, "skipped")
	item.Subject, item.Batch = v.in, queries.NewID()
	acts := []work.Act{item}
	if r.PostFormValue("reviewed") == "yes" {
		acts[0].Value = "reviewed"
		mark := v.act(work.ActReview, "")
		mark.Batch, mark.Change = item.Batch, v.reviewed
		acts = append(acts, mark)
	}
	err := pgx.BeginFunc(ctx, v.Pool, func(tx pgx.Tx) error {
		if err := work.LockConversation(ctx, tx, v.place); err != nil {
			return err
		}
		may, err := work.MayEnd(ctx, tx, v.in, v.user.ID, v.place, now)
		if err != nil {
			return err
		}
		if !may {
			acts = acts[1:]
		}
		for _, a := range acts {
			if _, err := work.ApplyReviewAction(ctx, tx, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return v.next(w, r, v.in, v.user)
}

// next sends a reviewer to the next item of a queue, or to the queue's page when there is none.
func (s *server) next(w http.ResponseWriter, r *http.Request, queue conversation.UUID, u access.Account) error {
	item, err := work.Claim(r.Context(), s.Pool, queue, u.ID, u.Assistants, s.Now())
	to := "/conversations/" + item.ID.String() + "?in=" + queue.String()
	if errors.Is(err, queries.ErrNotFound) {
		to = "/queues/" + queue.String() + "?done=yes"
	} else if err != nil {
		return err
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
