package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
	"turnwise/views"
)

// personal answers GET and POST /admin/personal: finds a person, who never stands in an address.
func (s *server) personal(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodGet {
		return s.showPersonal(w, r, http.StatusOK, views.Personal{}, nil)
	}
	who, of, err := s.personOf(w, r)
	if err != nil {
		return err
	}
	if err := s.noted(r, deed{act: queries.AuditPersonFound, name: queries.Pseudonym(who), after: map[string]any{"senders": len(of)}}); err != nil {
		return err
	}
	return s.showPersonal(w, r, http.StatusOK, views.Personal{Who: who, Asked: true}, of)
}

// personOf reads of whom a form is.
func (s *server) personOf(w http.ResponseWriter, r *http.Request) (who string, of []queries.Subject, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	who = strings.TrimSpace(r.PostFormValue("who"))
	if len(who) > 1000 || !utf8.ValidString(who) || strings.ContainsRune(who, 0) {
		return who, nil, &metric.InputError{Field: "person", Msg: "is a sender key or a user id"}
	}
	of, err = queries.Person(r.Context(), s.Pool, who)
	return who, of, err
}

func (s *server) showPersonal(w http.ResponseWriter, r *http.Request, status int, m views.Personal, of []queries.Subject) error {
	ctx := r.Context()
	m.Page = s.page(r, "Personal data", "Admin")
	since := m.Now
	for _, x := range of {
		m.Senders = append(m.Senders, views.PersonSender{Assistant: x.Assistant, Key: x.SenderKey, UserID: x.UserID, Conversations: x.Conversations, First: x.First, Last: x.Last, Held: x.Held})
		m.Held = m.Held || x.Held
		if x.First != nil && x.First.Before(since) {
			since = *x.First
		}
	}
	var err error
	if m.Files, err = queries.FilesSince(ctx, s.Pool, since); err != nil {
		return err
	}
	all, err := queries.Erasures(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, e := range all {
		m.Erasures = append(m.Erasures, erasureRow(e))
	}
	return s.render(w, r, status, views.PersonalPage(m))
}

func erasureRow(e queries.Erasure) views.ErasureRow {
	row := views.ErasureRow{ID: e.ID.String(), Person: e.Person, By: e.By, Reason: e.Reason, At: e.At, Kept: e.Kept}
	for _, table := range slices.Sorted(maps.Keys(e.Removed)) {
		row.Removed = append(row.Removed, views.NamedCount{Name: table, N: e.Removed[table]})
	}
	return row
}

// exportPerson answers POST /admin/personal/export.
func (s *server) exportPerson(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	who, of, err := s.personOf(w, r)
	if err == nil && len(of) == 0 {
		err = queries.ErrNotFound
	}
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := report.WritePerson(ctx, s.Pool, &b, of, s.Now(), s.Zone); err != nil {
		return err
	}
	if err := s.noted(r, deed{act: queries.AuditPersonExported, name: queries.Pseudonym(who), after: map[string]any{"senders": len(of)}}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="`+queries.Pseudonym(who)+`.zip"`)
	_, _ = w.Write(b.Bytes()) // the client may be gone
	return nil
}

// nobodyElses is how long a key or an id is at least, in characters, so that what holds it is taken for the person's wherever it stands.
const nobodyElses = 6

// namesOf are the strings by which a person is found in what is no table of senders: as they stand in JSON or, if long enough, anywhere;
// and in addresses.
func namesOf(of []queries.Subject) (names, encoded []string, err error) {
	for _, x := range of {
		for _, name := range []string{x.SenderKey, x.UserID} {
			if name == "" {
				continue
			}
			quoted, err := json.Marshal(name)
			if err != nil {
				return nil, nil, err
			}
			names = append(names, string(quoted))
			if utf8.RuneCountInString(name) >= nobodyElses {
				names = append(names, name)
			}
			for _, field := range []string{"id=", "q="} {
				encoded = append(encoded, field+url.QueryEscape(name))
			}
		}
	}
	slices.Sort(names)
	slices.Sort(encoded)
	return slices.Compact(names), slices.Compact(encoded), nil
}

// erasePerson answers POST /admin/personal/erase.
func (s *server) erasePerson(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	who, of, err := s.personOf(w, r)
	if err != nil {
		return err
	}
	m := views.Personal{Who: who, Asked: true}
	reason := strings.Join(strings.Fields(r.PostFormValue("reason")), " ")
	switch {
	case len(of) == 0:
		m.Error = "Nobody is known by this: perhaps somebody was faster."
	case slices.ContainsFunc(of, func(x queries.Subject) bool { return x.Held }):
		m.Error = "A legal hold keeps conversations of this person. Release it under Retention first."
	case reason == "" || len(reason) > 300 || !utf8.ValidString(reason) || strings.ContainsRune(reason, 0):
		m.Error = "Say why, in at most 300 bytes."
	case slices.ContainsFunc(of, func(x queries.Subject) bool { return holds(reason, x.SenderKey) || holds(reason, x.UserID) }):
		m.Error = "The reason stays: it must not name the person."
	case strings.TrimSpace(r.PostFormValue("again")) != who:
		m.Error = "What you typed again is not the same: nothing was erased."
	}
	if m.Error != "" {
		return s.showPersonal(w, r, http.StatusUnprocessableEntity, m, of)
	}
	names, encoded, err := namesOf(of)
	if err != nil {
		return err
	}
	u, _ := userOf(ctx)
	e := queries.Erasure{ID: queries.NewID(), Person: queries.Pseudonym(who), At: s.Now(), Reason: reason}
	if err := s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		d = deed{act: queries.AuditPersonErased, id: e.ID.String(), name: e.Person, after: map[string]any{"senders": len(of), "why": reason}}
		e.Removed, e.Kept, err = queries.Erase(ctx, tx, queries.Erasing{Of: of, Strings: names, Encoded: encoded, Notes: r.PostFormValue("notes") != ""}, e.At)
		if err != nil {
			return d, err
		}
		return d, queries.KeepErasure(ctx, tx, e, u.ID)
	}); err != nil {
		return err
	}
	for after := "-"; after != ""; { // words that nobody says any more
		if after, err = queries.SweepWords(ctx, s.Pool, strings.TrimPrefix(after, "-")); err != nil {
			return fmt.Errorf("the person is erased, but words of search stay until the next run of retention: %w", err)
		}
	}
	http.Redirect(w, r, "/admin/personal/erasures/"+e.ID.String(), http.StatusSeeOther)
	return nil
}

func holds(text, name string) bool { return len(name) >= 3 && strings.Contains(text, name) }

// erasure answers GET /admin/personal/erasures/{id}: the certificate.
func (s *server) erasure(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	e, err := queries.ErasureByID(r.Context(), s.Pool, id)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.ErasurePage(views.ErasureModel{Page: s.page(r, "Certificate of erasure", "Admin"), ErasureRow: erasureRow(e)}))
}
