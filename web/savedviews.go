package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

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

// openView sends an address that names nothing but a saved view to the filter that it keeps. A view that can no longer
// be read as it was saved is refused, not widened.
func (s *server) openView(w http.ResponseWriter, r *http.Request) (done bool, err error) {
	q := r.URL.Query()
	id := q.Get("view")
	if id == "" || len(q) > 1 {
		return false, nil
	}
	u, _ := accountOf(r.Context())
	key, err := conversation.ParseUUID(id)
	if err != nil {
		return false, queries.ErrNotFound
	}
	v, err := queries.SavedViewByID(r.Context(), s.Pool, key, u.ID)
	if err == nil && !s.viewer(r.Context()).MayView(r.Context(), v) {
		err = queries.ErrNotFound
	}
	if err != nil {
		return false, err
	}
	f, err := work.KeptFilter(v.Query, s.Zone)
	if err != nil {
		s.message(w, r, http.StatusConflict, views.Message{
			Page: s.page(r, v.Name, "Conversations"), Heading: "This view no longer applies", Text: "“" + v.Name +
				"” cannot be read as it was saved: " + err.Error() + ". Nothing is shown in its place.",
			Back: "/conversations", BackText: "To the conversations",
		})
		return true, nil //nolint:nilerr // the page says it
	}
	// the address would tell what was searched for
	if err := s.viewer(r.Context()).MayAsk(r.Context(), f.Text, f.ID); err != nil {
		return false, err
	}
	kept := f.Query()
	kept.Set("view", id)
	if v.Oldest {
		kept.Set("order", "oldest")
	}
	if len(v.Columns) > 0 {
		kept.Set("cols", strings.Join(v.Columns, ","))
	}
	http.Redirect(w, r, "/conversations?"+kept.Encode(), http.StatusSeeOther)
	return true, nil
}

// keptView reads what a form keeps.
func (s *server) keptView(r *http.Request) (v queries.SavedView, err error) {
	kept, err := url.ParseQuery(r.PostFormValue("query"))
	if err != nil {
		return v, &metric.InputError{Field: "query", Msg: "is no filter"}
	}
	f, err := s.viewer(r.Context()).Filter(r.Context(), kept)
	if err != nil {
		return v, err
	}
	v.Query = f.Encode()
	v.Oldest = r.PostFormValue("order") == "oldest"
	if c := r.PostFormValue("columns"); c != "" {
		v.Columns = chosenColumns(c)
	} else {
		v.Columns = []string{}
	}
	return v, nil
}

// addView answers POST /views.
func (s *server) addView(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	u, _ := accountOf(r.Context())
	v, err := s.keptView(r)
	if err != nil {
		return err
	}
	v.ID, v.AccountID, v.CreatedAt, v.Name = queries.NewID(), u.ID, s.Now(), strings.Join(
		strings.Fields(r.PostFormValue("name")), " ",
	)
	v.Shared = r.PostFormValue("shared") != "" && u.Rights()[access.ShareViews]
	if err := named(v.Name, 80); err != nil {
		return err
	}
	if err := queries.AddSavedView(r.Context(), s.Pool, v); errors.Is(err, queries.ErrConflict) {
		return &metric.InputError{Field: "name", Msg: "is that of another view of yours"}
	} else if err != nil {
		return err
	}
	http.Redirect(w, r, "/conversations?view="+v.ID.String(), http.StatusSeeOther)
	return nil
}

// named checks a name that people give.
func named(name string, most int) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > most || !utf8.ValidString(name) ||
		strings.ContainsRune(name, 0) {
		return &metric.InputError{Field: "name", Msg: "has 1 to " + format.Count(most) + " characters"}
	}
	return nil
}

// changeView answers POST /views/{id}.
func (s *server) changeView(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	u, _ := accountOf(r.Context())
	v, err := s.keptView(r)
	if err != nil {
		return err
	}
	if v.ID, err = conversation.ParseUUID(chi.URLParam(r, "id")); err != nil {
		return queries.ErrNotFound
	}
	v.AccountID = u.ID
	if err := s.reachView(r.Context(), v.ID); err != nil {
		return err
	}
	if err := queries.ChangeSavedView(r.Context(), s.Pool, v, u.Rights()[access.ShareViews]); err != nil {
		return err
	}
	http.Redirect(w, r, "/conversations?view="+v.ID.String(), http.StatusSeeOther)
	return nil
}

// reachView refuses a view that who asks may not see.
func (s *server) reachView(ctx context.Context, id conversation.UUID) error {
	u, _ := accountOf(ctx)
	v, err := queries.SavedViewByID(ctx, s.Pool, id, u.ID)
	if err == nil && !s.viewer(ctx).MayView(ctx, v) {
		err = queries.ErrNotFound
	}
	return err
}

// deleteView answers POST /views/{id}/delete.
func (s *server) deleteView(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	u, _ := accountOf(r.Context())
	if err := s.reachView(r.Context(), id); err != nil {
		return err
	}
	ctx := r.Context()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{act: queries.AuditViewDeleted, id: id.String()}, queries.DeleteSavedView(
			ctx, tx, id, u.ID, u.Rights()[access.ShareViews],
		)
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/conversations", http.StatusSeeOther)
	return nil
}
