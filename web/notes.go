package web

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// longestNote is how many characters a note on a chart has at most.
const longestNote = 200

// addNote answers POST /notes: a mark on the charts.
func (s *server) addNote(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	u, _ := accountOf(r.Context())
	n := queries.ChartNote{
		ID: queries.NewID(), Text: strings.Join(strings.Fields(r.PostFormValue("text")), " "),
		Assistant: r.PostFormValue("assistant"), AccountID: u.ID, CreatedAt: s.Now(),
	}
	n.Shared = r.PostFormValue("shared") != "" && u.Rights()[access.ShareNotes]
	var err error
	if n.At, err = time.ParseInLocation("2006-01-02T15:04", r.PostFormValue("at"), s.Zone); err != nil {
		return &metric.InputError{Field: "at", Msg: "is a date and a time"}
	}
	if size := utf8.RuneCountInString(n.Text); size == 0 || size > longestNote || !utf8.ValidString(n.Text) ||
		strings.ContainsRune(n.Text, 0) {
		return &metric.InputError{Field: "text", Msg: "has 1 to 200 characters"}
	}
	if len(n.Assistant) > 1024 || !utf8.ValidString(n.Assistant) || strings.ContainsRune(n.Assistant, 0) {
		return &metric.InputError{Field: "assistant", Msg: "is no assistant"}
	}
	if !mayOf(r.Context(), n.Assistant) {
		return &metric.InputError{Field: "assistant", Msg: "is not one of yours"}
	}
	if err := queries.AddChartNote(r.Context(), s.Pool, n); err != nil {
		return err
	}
	http.Redirect(w, r, local(r.PostFormValue("back")), http.StatusSeeOther)
	return nil
}

// deleteNote answers POST /notes/{id}/delete.
func (s *server) deleteNote(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	u, _ := accountOf(r.Context())
	if err := queries.DeleteChartNote(r.Context(), s.Pool, id, u.ID, u.Rights()[access.Administer]); err != nil {
		return err
	}
	http.Redirect(w, r, local(r.PostFormValue("back")), http.StatusSeeOther)
	return nil
}
