package web

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"turnwise/conversation"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// rejectedPage is how many rejected events a page shows, rejectedBatch how many are read at once by what
// takes all of them.
const (
	rejectedPage  = 100
	rejectedBatch = 500
)

func parseRejected(q url.Values) (f queries.RejectedFilter, err error) {
	if v := q.Get("source"); v != "" {
		if f.Source, err = strconv.ParseInt(v, 10, 64); err != nil {
			return f, &metric.InputError{Field: "source", Msg: "is no source"}
		}
	}
	f.Code, f.Detail = q.Get("code"), q.Get("detail")
	switch f.State = q.Get("state"); f.State {
	case "", "open", "replayed", "discarded":
	default:
		return f, &metric.InputError{Field: "state", Msg: "is none of open, replayed, discarded"}
	}
	if v := q.Get("page"); v != "" {
		at, id, _ := strings.Cut(v, ".")
		micros, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return f, &metric.InputError{Field: "page", Msg: "is no place in this list"}
		}
		f.Before = time.UnixMicro(micros)
		if f.BeforeID, err = conversation.ParseUUID(id); err != nil {
			return f, &metric.InputError{Field: "page", Msg: "is no place in this list"}
		}
	}
	return f, nil
}

func rejectedQuery(f queries.RejectedFilter) url.Values {
	q := url.Values{}
	if f.Source != 0 {
		q.Set("source", strconv.FormatInt(f.Source, 10))
	}
	if f.State != "" && f.State != "open" {
		q.Set("state", f.State)
	}
	if f.Code != "" {
		q.Set("code", f.Code)
	}
	if f.Detail != "" {
		q.Set("detail", f.Detail)
	}
	return q
}

// rejected answers GET /rejected.
func (s *server) rejected(w http.ResponseWriter, r *http.Request) error {
	f, err := parseRejected(r.URL.Query())
	if err != nil {
		return err
	}
	list, err := queries.RejectedEvents(r.Context(), s.bodies(), f, rejectedPage+1)
	if err != nil {
		return err
	}
	m := views.Rejected{Page: s.page(r, "Rejected events", "Data health"), Done: doneWords(r.URL.Query())}
	q := rejectedQuery(f)
	if len(q) > 0 {
		m.Query = "?" + q.Encode()
	}
	m.Download = "/rejected/download" + m.Query
	if len(list) > rejectedPage {
		list = list[:rejectedPage]
		last := list[len(list)-1]
		q.Set("page", fmt.Sprintf("%d.%s", last.LastAt.UnixMicro(), last.ID))
		m.Older = "/rejected?" + q.Encode()
	}
	for _, x := range list {
		m.Rows = append(m.Rows, rejectedRow(x))
	}
	choices, err := queries.RejectedChoices(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	m.State, m.Code, m.Detail = cmp.Or(f.State, "open"), f.Code, f.Detail
	if f.Source != 0 {
		m.Source = strconv.FormatInt(f.Source, 10)
	}
	for _, c := range choices {
		source := [2]string{strconv.FormatInt(c.ID, 10), c.Name}
		if n := len(m.Sources); n == 0 || m.Sources[n-1] != source {
			m.Sources = append(m.Sources, source)
		}
		m.Codes = append(m.Codes, c.Code)
	}
	slices.Sort(m.Codes)
	m.Codes = slices.Compact(m.Codes)
	return s.render(w, r, http.StatusOK, views.RejectedPage(m))
}

// bodies shows rejected events as they are kept: who mends them must see what came. What may be masked before it is
// stored is masked in them already.
func (s *server) bodies() queries.Sight { return queries.Clear(s.Pool) }

func rejectedRow(x queries.RejectedEvent) views.RejectedRow {
	return views.RejectedRow{
		ID: x.ID, LastAt: x.LastAt, Source: x.Source, Position: x.Position, Code: x.Code, Detail: x.Detail,
		Sample: strings.ToValidUTF8(string(x.Body[:min(len(x.Body), 200)]), "�"), Seen: x.Seen, Size: x.Size,
	}
}

// doneWords says what the page before did.
func doneWords(q url.Values) string {
	n, err := strconv.Atoi(q.Get("done"))
	failed, _ := strconv.Atoi(q.Get("failed")) // absent: none
	switch {
	case err != nil || n < 0 || failed < 0:
		return ""
	case failed > 0:
		return fmt.Sprintf(
			"%s done; %s could not be stored this time either and stay here.", format.Count(n), format.Count(failed),
		)
	}
	return format.Count(n) + " done."
}

func (s *server) rejectedByURL(r *http.Request) (queries.RejectedEvent, error) {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.RejectedEvent{}, queries.ErrNotFound
	}
	return queries.RejectedEventByID(r.Context(), s.bodies(), id)
}

func whole(x queries.RejectedEvent) bool { return int(x.Size) == len(x.Body) }

// rejectedOne answers GET /rejected/{id}.
func (s *server) rejectedOne(w http.ResponseWriter, r *http.Request) error {
	x, err := s.rejectedByURL(r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.RejectedOnePage(s.rejectedModel(r, x)))
}

func (s *server) rejectedModel(r *http.Request, x queries.RejectedEvent) views.RejectedOne {
	m := views.RejectedOne{Page: s.page(r, "Rejected event", "Data health"), Row: rejectedRow(x), State: x.State}
	m.Whole = whole(x) && utf8.Valid(x.Body) && len(x.Body) <= 1<<20
	m.Body = strings.ToValidUTF8(string(x.Body[:min(len(x.Body), 1<<20)]), "�")
	if at := int(x.ByteOffset); at >= 0 && at <= len(x.Body) {
		m.Place = place(x.Body, at)
	}
	return m
}

// place cuts out what stands around the byte at which reading stopped.
func place(body []byte, at int) *views.Place {
	const around = 100
	text := func(from, until int) string { return strings.ToValidUTF8(string(body[from:until]), "�") }
	p := &views.Place{Line: 1 + bytes.Count(body[:at], []byte{'\n'}), Offset: at}
	p.Column = 1 + utf8.RuneCount(body[bytes.LastIndexByte(body[:at], '\n')+1:at])
	from := max(0, at-around)
	for from > 0 && !utf8.RuneStart(body[from]) {
		from--
	}
	p.Before, p.Cut = text(from, at), from > 0
	if at < len(body) {
		_, size := utf8.DecodeRune(body[at:])
		p.At, p.After = text(at, at+size), text(at+size, min(len(body), at+size+around))
	}
	return p
}

// rejectedBody answers GET /rejected/{id}/body with the bytes as they came.
func (s *server) rejectedBody(w http.ResponseWriter, r *http.Request) error {
	x, err := s.rejectedByURL(r)
	if err != nil {
		return err
	}
	if err := s.noted(r, deed{act: queries.AuditRejectedFetched, id: x.ID.String()}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="rejected-`+x.ID.String()+`.json"`)
	_, _ = w.Write(x.Body) // the client may be gone
	return nil
}

// each calls do with all open rejected events of a filter.
func (s *server) each(r *http.Request, f queries.RejectedFilter, do func(queries.RejectedEvent) error) error {
	for {
		list, err := queries.RejectedEvents(r.Context(), s.bodies(), f, rejectedBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, x := range list {
			if err := do(x); err != nil {
				return err
			}
		}
		last := list[len(list)-1]
		f.Before, f.BeforeID = last.LastAt, last.ID
	}
}

// downloadRejected answers GET /rejected/download: a JSON object a line, the body in base64.
func (s *server) downloadRejected(w http.ResponseWriter, r *http.Request) error {
	f, err := parseRejected(r.URL.Query())
	if err != nil {
		return err
	}
	if err := s.noted(r, deed{
		act: queries.AuditRejectedFetched, after: map[string]any{"filter": rejectedQuery(f).Encode()},
	}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Content-Disposition", `attachment; filename="rejected.ndjson"`)
	out := json.NewEncoder(w)
	ctx := r.Context()
	err = s.each(r, f, func(x queries.RejectedEvent) error {
		x, err := queries.RejectedEventByID(ctx, s.bodies(), x.ID)
		if err != nil {
			return err
		}
		return out.Encode(map[string]any{
			"id": x.ID, "source": x.Source, "position": x.Position, "code": x.Code, "detail": x.Detail,
			"first_at": x.FirstAt, "last_at": x.LastAt,
			"seen": x.Seen, "size": x.Size, "body_base64": base64.StdEncoding.EncodeToString(x.Body),
		})
	})
	if err != nil {
		s.Log.ErrorContext(ctx, "a download broke off", "error", err)
		panic(http.ErrAbortHandler) // the file must not look whole
	}
	return nil
}

func (s *server) settle(r *http.Request, x queries.RejectedEvent, state string) error {
	u, _ := accountOf(r.Context())
	err := queries.SettleRejected(r.Context(), s.Pool, x.ID, state, u.Email, s.Now())
	if errors.Is(err, queries.ErrNotFound) {
		return nil // settled by somebody else meanwhile
	}
	return err
}

// replayOne answers POST /rejected/{id}/replay with a mended body.
func (s *server) replayOne(w http.ResponseWriter, r *http.Request) error {
	x, err := s.rejectedByURL(r)
	if err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<20)
	if err := r.ParseForm(); err != nil {
		return &metric.InputError{Field: "body", Msg: "is too large"}
	}
	body := strings.TrimSpace(strings.ReplaceAll(r.PostForm.Get("body"), "\r\n", "\n"))
	err = s.Replay(r.Context(), x, []byte(body))
	var input *metric.InputError
	if errors.As(err, &input) {
		m := s.rejectedModel(r, x)
		m.Body, m.Error = body, "It cannot be stored yet: "+input.Msg
		return s.render(w, r, http.StatusUnprocessableEntity, views.RejectedOnePage(m))
	}
	if err != nil {
		return err
	}
	if err := s.settle(r, x, "replayed"); err != nil {
		return err
	}
	if err := s.noted(r, deed{
		act: queries.AuditRejectedReplayed, id: x.ID.String(),
		after: map[string]any{"mended": body != strings.TrimSpace(string(x.Body))},
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/rejected?done=1", http.StatusSeeOther)
	return nil
}

// discardOne answers POST /rejected/{id}/discard.
func (s *server) discardOne(w http.ResponseWriter, r *http.Request) error {
	x, err := s.rejectedByURL(r)
	if err != nil {
		return err
	}
	if err := s.settle(r, x, "discarded"); err != nil {
		return err
	}
	if err := s.noted(r, deed{act: queries.AuditRejectedDiscarded, id: x.ID.String()}); err != nil {
		return err
	}
	http.Redirect(w, r, "/rejected?done=1", http.StatusSeeOther)
	return nil
}

// replayMany answers POST /rejected/replay: all of the list as they are.
func (s *server) replayMany(w http.ResponseWriter, r *http.Request) error {
	f, err := parseRejected(r.URL.Query())
	if err != nil {
		return err
	}
	done, failed := 0, 0
	err = s.each(r, f, func(x queries.RejectedEvent) error {
		x, err := queries.RejectedEventByID(r.Context(), s.bodies(), x.ID)
		if err != nil {
			return err
		}
		var input *metric.InputError
		if !whole(x) {
			failed++
			return nil
		}
		if err := s.Replay(r.Context(), x, x.Body); errors.As(err, &input) {
			failed++
			return nil
		} else if err != nil {
			return err
		}
		done++
		return s.settle(r, x, "replayed")
	})
	if err != nil {
		return err
	}
	if err := s.noted(r, deed{
		act:   queries.AuditRejectedReplayed,
		after: map[string]any{"filter": rejectedQuery(f).Encode(), "done": done, "failed": failed},
	}); err != nil {
		return err
	}
	s.backToRejected(w, r, f, done, failed)
	return nil
}

// discardMany answers POST /rejected/discard.
func (s *server) discardMany(w http.ResponseWriter, r *http.Request) error {
	f, err := parseRejected(r.URL.Query())
	if err != nil {
		return err
	}
	done := 0
	err = s.each(r, f, func(x queries.RejectedEvent) error {
		done++
		return s.settle(r, x, "discarded")
	})
	if err != nil {
		return err
	}
	if err := s.noted(r, deed{
		act: queries.AuditRejectedDiscarded, after: map[string]any{"filter": rejectedQuery(f).Encode(), "done": done},
	}); err != nil {
		return err
	}
	s.backToRejected(w, r, f, done, 0)
	return nil
}

func (s *server) backToRejected(w http.ResponseWriter, r *http.Request, f queries.RejectedFilter, done, failed int) {
	q := rejectedQuery(f)
	q.Set("done", strconv.Itoa(done))
	if failed > 0 {
		q.Set("failed", strconv.Itoa(failed))
	}
	http.Redirect(w, r, "/rejected?"+q.Encode(), http.StatusSeeOther)
}
