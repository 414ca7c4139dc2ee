package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/views"
)

// transcriptSize is how many messages are loaded at once.
const transcriptSize = 100

// transcript answers GET /conversations/{id}: the page, or a stretch of it.
func (s *server) transcript(w http.ResponseWriter, r *http.Request) error {
	id, window, err := parseTranscript(r)
	if err != nil {
		return err
	}
	c, err := s.open(r.Context(), id)
	if errors.Is(err, queries.ErrNotFound) {
		return s.noConversation(w, r)
	}
	if err != nil {
		return err
	}
	t, err := c.read(r.Context(), &window)
	if err != nil {
		return err
	}
	m := views.Transcript{
		Page: s.page(r, "Conversation", "Conversations"), ID: c.ID, StartedAt: c.StartedAt, Channel: c.Channel,
		View: "business", Back: s.back(r), Removed: c.Removed, Resumed: c.Resumed, Revealed: c.Revealed,
	}
	m.Here, m.Masked = r.URL.RawQuery, c.Masker != nil
	if r.URL.Query().Get("view") == "builder" {
		m.View = "builder"
	}
	words, err := s.viewer(r.Context()).Search(r.Context(), r.URL.Query().Get("q"))
	if err != nil {
		return err
	}
	m.Query = r.URL.Query().Get("q")
	v := s.reviewing(r, c, m.Page)
	v.linked = window.Message
	v.in, _ = conversation.ParseUUID(r.URL.Query().Get("in"))
	if m.Work, err = v.panel(r.Context()); err != nil {
		return err
	}
	m.In = m.Work.In
	m.Outcome = queries.OutcomeAt(c.Outcome, c.ClosesAt, m.Now)
	m.Heading = heading(c.ConversationFacts)
	m.Alike = alike(c.ConversationFacts, m.Outcome)
	m.Title = m.Heading
	m.Lines = lines(m.Page, c.ConversationFacts, t, window.Message)
	for i := range m.Lines {
		if l := &m.Lines[i]; l.Kind == "message" {
			l.Tools = v.tools(l.ID)
			l.Hits = words.Hits(l.Text)
		}
	}
	// Without htmx a stretch is a page of its own, with ways on in both directions.
	alone := r.Header.Get("HX-Request") != "true" || r.Header.Get("HX-History-Restore-Request") == "true"
	stretch(&m, t, window, alone)
	if alone {
		if err := s.besides(r, &m, c); err != nil {
			return err
		}
		if err := work.MarkMentionsRead(r.Context(), s.Pool, v.place, v.user.ID, m.Now); err != nil {
			return err
		}
	}
	return s.renderEither(w, r, views.TranscriptPage(m), views.TranscriptLines(m))
}

// stretch sets the ways to what stands before and after the messages that are shown.
func stretch(m *views.Transcript, t queries.Transcript, window queries.Window, alone bool) {
	around := func(name string, seq int64) string {
		return m.Address(url.Values{name: {strconv.FormatInt(seq, 10)}, "view": {m.View}})
	}
	if t.From != 0 && window.After == 0 {
		m.Before = around("before", t.From)
	}
	if t.Until != 0 && window.Before == 0 {
		m.After = around("after", t.Until)
	}
	if alone && window.After != 0 {
		m.Before = around("before", window.After)
	}
	if alone && window.Before != 0 {
		m.After = around("after", window.Before)
	}
}

// read reads the stretch of the conversation that a window shows. A message that is gone is no reason to show nothing.
func (c opened) read(ctx context.Context, window *queries.Window) (queries.Transcript, error) {
	t, err := queries.LoadTranscript(ctx, c.DB, c.ConversationFacts, *window)
	if window.Message != nil && errors.Is(err, queries.ErrNotFound) {
		window.Message = nil
		t, err = queries.LoadTranscript(ctx, c.DB, c.ConversationFacts, *window)
	}
	if err == nil {
		c.Transcript(&t)
	}
	return t, err
}

// besides sets what stands beside the messages: facts, earlier conversations, the ways to the next ones.
func (s *server) besides(r *http.Request, m *views.Transcript, c opened) error {
	ctx := r.Context()
	others, err := s.viewer(ctx).Shown(ctx) // what is revealed is this conversation alone
	if err != nil {
		return err
	}
	earlier, err := queries.EarlierConversations(ctx, others, c.ConversationFacts, limitsOf(ctx))
	if err != nil {
		return err
	}
	ids := make([]conversation.UUID, len(earlier))
	for i, e := range earlier {
		ids[i] = e.ID
	}
	hide, err := s.viewer(ctx).Hiding(ctx, ids)
	if err != nil {
		return err
	}
	for i, e := range earlier {
		earlier[i].FirstText = hide(e.ID, e.FirstText)
	}
	s.transcriptFacts(m, c.ConversationFacts)
	addEarlier(m, c, earlier)
	return s.neighbours(r, m, c.ConversationFacts)
}

func parseTranscript(r *http.Request) (id conversation.UUID, window queries.Window, err error) {
	window.Limit = transcriptSize
	if id, err = conversation.ParseUUID(chi.URLParam(r, "id")); err != nil {
		return id, window, queries.ErrNotFound
	}
	q := r.URL.Query()
	if m := q.Get("m"); m != "" {
		message, err := conversation.ParseUUID(m)
		if err != nil {
			return id, window, &metric.InputError{Field: "m", Msg: "is no message"}
		}
		window.Message = &message
	}
	for name, into := range map[string]*int64{"before": &window.Before, "after": &window.After} {
		if v := q.Get(name); v != "" {
			if *into, err = strconv.ParseInt(v, 10, 64); err != nil || *into <= 0 {
				return id, window, &metric.InputError{Field: name, Msg: "is no place in this conversation"}
			}
		}
	}
	return id, window, nil
}

// back is the query of the list one came from, read and written again so that nothing foreign passes.
func (s *server) back(r *http.Request) string {
	q, err := url.ParseQuery(r.URL.Query().Get("back"))
	if err != nil {
		return ""
	}
	f, err := s.viewer(r.Context()).Filter(r.Context(), q)
	if err != nil {
		return ""
	}
	at, err := metric.ParseCursor(q.Get("page"))
	if err != nil {
		return ""
	}
	out := f.Query()
	if at != nil {
		out.Set("page", at.String())
	}
	if e := out.Encode(); e != "" {
		return "?" + e
	}
	return ""
}

// neighbourWait is how long a transcript waits for the way to the next conversation.
const neighbourWait = 40 * time.Millisecond

// neighbours sets the ways to the next and the previous conversation of the list one came from.
func (s *server) neighbours(r *http.Request, m *views.Transcript, c queries.ConversationFacts) error {
	back := r.URL.Query().Get("back")
	kept, err := url.ParseQuery(back)
	if err != nil || !r.URL.Query().Has("back") || m.In != "" {
		return nil //nolint:nilerr // no list, no neighbours
	}
	f, err := s.viewer(r.Context()).Filter(r.Context(), kept)
	if err != nil {
		return nil //nolint:nilerr // the same
	}
	ctx := r.Context()
	for _, newer := range []bool{true, false} {
		var list []queries.ListedConversation
		err := queries.Within(ctx, s.Pool, neighbourWait, func(db queries.DB) (err error) {
			list, err = queries.Conversations(
				ctx, queries.Clear(db), f, &metric.Cursor{At: c.StartedAt.UnixMicro(), ID: c.ID, Newer: newer}, false,
				1, m.Now,
				s.Zone,
			)
			return err
		})
		if errors.Is(err, queries.ErrSlow) {
			continue // a list that has few: the way on is by the list itself
		}
		if err != nil {
			return err
		}
		if len(list) == 0 {
			continue
		}
		q := url.Values{"back": {back}}
		if m.Query != "" {
			q.Set("q", m.Query)
		}
		to := "/conversations/" + list[0].ID.String() + "?" + q.Encode()
		if newer {
			m.Newer = to
		} else {
			m.Older = to
		}
	}
	return nil
}

// noConversation says that there is none of an address, and that it may have been deleted where conversations are.
func (s *server) noConversation(w http.ResponseWriter, r *http.Request) error {
	m := views.Message{
		Page: s.page(r, "Not found", ""), Heading: "Not found", Text: "There is no conversation of this address.",
		Back: "/conversations", BackText: "To the conversations",
	}
	frozen, err := queries.FrozenBefore(
		r.Context(), s.Pool, metric.Filter{Range: metric.Range{Days: metric.MaxDays}}, m.Now, s.Zone,
	)
	if err != nil {
		return err
	}
	if frozen != nil {
		m.Text += " Retention may have deleted it: it deletes conversations some time after they ended."
	}
	s.message(w, r, http.StatusNotFound, m)
	return nil
}
