package web

import (
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"

	"turnwise/conversation"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/views"
)

// reportFile answers GET /files/{run}/{key}, which needs no login: the address cannot be guessed, stands in the mail
// instead of a file that is too large for it, and expires.
func (s *server) reportFile(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	id, err := conversation.ParseUUID(chi.URLParam(r, "run"))
	if err != nil {
		return queries.ErrNotFound
	}
	run, err := queries.RunByID(ctx, s.Pool, id)
	if err != nil {
		return err
	}
	key := chi.URLParam(r, "key")
	n := slices.IndexFunc(run.Files, func(f queries.ReportFile) bool { return len(key) > 20 && f.Key == key })
	if n < 0 || run.Files[n].Role != "attachment" || run.EndedAt != nil && s.Now().Sub(*run.EndedAt) > jobs.FilesLast {
		return queries.ErrNotFound
	}
	f := run.Files[n]
	if err := s.noted(r, deed{act: queries.AuditExportFetched, id: id.String(), name: f.Name}); err != nil {
		return err
	}
	return s.sendParts(
		w, r, f.Kind, f.Name, f.Size,
		func(part int) ([]byte, error) { return queries.ReportPart(ctx, s.Pool, id, n, part) },
	)
}

// unsubscribe answers GET and POST /unsubscribe/{token}, which need no login.
func (s *server) unsubscribe(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	token, err := conversation.ParseUUID(chi.URLParam(r, "token"))
	if err != nil {
		return queries.ErrNotFound
	}
	x, err := queries.SubscriptionByToken(ctx, s.Pool, token)
	if err != nil {
		return err
	}
	m := views.Unsubscribe{
		Page: s.page(r, "Unsubscribe", ""), Report: x.Name, Recipient: x.Recipient, Token: token.String(),
		Done: r.Method == http.MethodPost,
	}
	if m.Done {
		if err := queries.Unsubscribe(ctx, s.Pool, x, s.Now()); err != nil {
			return err
		}
	}
	return s.render(w, r, http.StatusOK, views.UnsubscribePage(m))
}
