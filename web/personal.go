package web

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
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
	p, err := queries.LoadPseudonyms(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	if err := s.noted(r, deed{
		act: queries.AuditPersonFound, name: p.Of(who), after: map[string]any{"senders": len(of)},
	}); err != nil {
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
	of, err = queries.Person(r.Context(), queries.Clear(s.Pool), who)
	return who, of, err
}

func (s *server) showPersonal(
	w http.ResponseWriter, r *http.Request, status int, m views.Personal, of []queries.Subject,
) error {
	ctx := r.Context()
	m.Page = s.page(r, "Personal data", "Admin")
	since := m.Now
	for _, x := range of {
		m.Senders = append(m.Senders, views.PersonSender{
			Assistant: x.Assistant, Key: x.SenderKey, UserID: x.UserID, Conversations: x.Conversations, First: x.First,
			Last: x.Last, Held: x.Held, ID: strconv.FormatInt(x.SenderID, 10), Shared: len(x.Users),
		})
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
	if of = chosen(r, of); err == nil && len(of) == 0 {
		err = queries.ErrNotFound
	}
	if err != nil {
		return err
	}
	p, err := queries.LoadPseudonyms(ctx, s.Pool)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := report.WritePerson(ctx, s.Pool, &b, of, s.Now(), s.Zone); err != nil {
		return err
	}
	if err := s.noted(r, deed{
		act: queries.AuditPersonExported, name: p.Of(who), after: map[string]any{"senders": len(of)},
	}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="`+p.Of(who)+`.zip"`)
	_, _ = w.Write(b.Bytes()) // the client may be gone
	return nil
}

// chosen are the senders that the form ticks; those that others share too are not, unless somebody says so.
func chosen(r *http.Request, of []queries.Subject) (some []queries.Subject) {
	for _, x := range of {
		if slices.Contains(r.PostForm["sender"], strconv.FormatInt(x.SenderID, 10)) {
			some = append(some, x)
		}
	}
	return some
}

// namesOf are the keys and ids that name the person: those of the senders but for the ids of others who share them, and
// what was typed.
func namesOf(who string, of []queries.Subject) (names []string) {
	names = append(names, who)
	for _, x := range of {
		names = append(names, x.SenderKey)
		if len(x.Users) == 1 {
			names = append(names, x.Users[0])
		}
		names = append(names, x.Aliases...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// erasePerson answers POST /admin/personal/erase.
func (s *server) erasePerson(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	who, of, err := s.personOf(w, r)
	if err != nil {
		return err
	}
	m, all := views.Personal{Who: who, Asked: true}, of
	of = chosen(r, of)
	reason := strings.Join(strings.Fields(r.PostFormValue("reason")), " ")
	if m.Error = eraseTrouble(r, who, of, reason); m.Error != "" {
		return s.showPersonal(w, r, http.StatusUnprocessableEntity, m, all)
	}
	p, err := queries.LoadPseudonyms(ctx, s.Pool)
	if err != nil {
		return err
	}
	u, _ := accountOf(ctx)
	e := queries.Erasure{ID: queries.NewID(), Person: p.Of(who), At: s.Now(), Reason: reason}
	if err := s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		d = deed{
			act: queries.AuditPersonErased, id: e.ID.String(), name: e.Person,
			after: map[string]any{"senders": len(of), "why": reason},
		}
		e.Removed, e.Kept, err = queries.Erase(
			ctx, tx,
			queries.Erasing{Of: of, Names: namesOf(who, of), Word: e.Person, Notes: r.PostFormValue("notes") != ""},
			e.At,
		)
		if err != nil {
			return d, err
		}
		return d, queries.KeepErasure(ctx, tx, e, u.ID)
	}); errors.Is(err, queries.ErrConflict) {
		m.Error = "A legal hold came between: nothing was erased."
		return s.showPersonal(w, r, http.StatusUnprocessableEntity, m, all)
	} else if err != nil {
		return err
	}
	for after := "-"; after != ""; { // words that nobody says any more
		if after, err = queries.SweepWords(ctx, s.Pool, strings.TrimPrefix(after, "-")); err != nil {
			s.Log.ErrorContext(
				ctx, "a person is erased, but the vocabulary of search is not swept; erase again to do so", "error",
				err,
			)
			break
		}
	}
	http.Redirect(w, r, "/admin/personal/erasures/"+e.ID.String(), http.StatusSeeOther)
	return nil
}

// eraseTrouble says why a person is not erased as asked; "" where nothing is in the way.
func eraseTrouble(r *http.Request, who string, of []queries.Subject, reason string) string {
	switch {
	case len(of) == 0:
		return "Choose of which senders: none is ticked, or somebody was faster."
	case slices.ContainsFunc(of, func(x queries.Subject) bool { return x.Held }):
		return "A legal hold keeps conversations of this person. Release it under Retention first."
	case reason == "" || len(reason) > 300 || !utf8.ValidString(reason) || strings.ContainsRune(reason, 0):
		return "Say why, in at most 300 bytes."
	case slices.ContainsFunc(
		of, func(x queries.Subject) bool { return holds(reason, x.SenderKey) || holds(reason, x.UserID) },
	):
		return "The reason stays: it must not name the person."
	case strings.TrimSpace(r.PostFormValue("again")) != who:
		return "What you typed again is not the same: nothing was erased."
	}
	return ""
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
	return s.render(
		w, r, http.StatusOK,
		views.ErasurePage(views.ErasureModel{
			Page: s.page(r, "Certificate of erasure", "Admin"), ErasureRow: erasureRow(e),
		}),
	)
}
