package web

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

func (s *server) adminModel(r *http.Request) (views.Admin, error) {
	m := views.Admin{
		Page: s.page(r, "Admin", "Admin"), IngestURL: s.URL + "/api/v1/ingest/rasa", SiteURL: s.URL,
		Once: queries.NewID().String(),
	}
	tokens, err := queries.Tokens(r.Context(), s.Pool)
	if err != nil {
		return m, err
	}
	for _, t := range tokens {
		m.Tokens = append(m.Tokens, views.TokenRow{
			ID: t.ID, Name: t.Name, Prefix: t.Prefix, Role: strings.Join(t.Roles, ", "), Only: t.Assistants, Assistant: t.Assistant,
			Always: t.Always, Environment: t.Environment,
			CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy, Expires: t.ExpiresAt, LastUsed: t.LastUsedAt,
			Revoked: t.RevokedAt,
		})
	}
	brokers, err := s.brokers(r.Context(), m.Now)
	if err != nil {
		return m, err
	}
	m.Brokers = slices.SortedFunc(
		maps.Values(brokers), func(a, b *views.Broker) int { return strings.Compare(a.Name, b.Name) },
	)
	choices, err := s.viewer(r.Context()).Choices(r.Context())
	m.Assistants = choices.Assistants
	return m, err
}

// admin answers GET /admin.
func (s *server) admin(w http.ResponseWriter, r *http.Request) error {
	m, err := s.adminModel(r)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.AdminPage(m))
}

// makeToken answers POST /admin/tokens. The answer shows the secret, so it is no redirect.
func (s *server) makeToken(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	u, _ := accountOf(r.Context())
	t := access.Token{
		Name: p("name"), Roles: strings.Split(cmp.Or(p("role"), "ingest"), ","), Assistant: p("assistant"), Always: p("always") == "yes",
		Environment: p("environment"), CreatedBy: u.Email, CreatedAt: s.Now(),
	}
	if once, err := conversation.ParseUUID(p("once")); err == nil { // the page that is loaded again makes none again
		t.ID = once
	}
	for _, a := range r.PostForm["only"] {
		if a != "" && len(a) <= 200 {
			t.Assistants = append(t.Assistants, a)
		}
	}
	if n, err := strconv.ParseInt(p("most_events"), 10, 32); err == nil || p("most_events") != "" {
		most := int32(n) // 0 is refused
		t.MostEvents = &most
	}
	if n, err := strconv.ParseInt(p("most_mb"), 10, 32); err == nil || p("most_mb") != "" {
		most := n << 20 // likewise
		t.MostBytes = &most
	}
	days, bad := 0, error(nil)
	if p("days") != "" {
		if days, bad = strconv.Atoi(p("days")); bad != nil || days == 0 {
			days = -1
		}
	}
	secret, ctx := "", r.Context()
	var denied error
	if t.Roles[0] != "ingest" && !slices.Equal(t.Roles, []string{"analytics_viewer"}) && !may(ctx, access.SeeTranscripts) {
		denied = &metric.InputError{Field: "role", Msg: "would read conversations, which you may not"}
	}
	err := s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		if denied != nil {
			return d, denied
		}
		secret, err = queries.NewToken(ctx, tx, t, days)
		return deed{act: queries.AuditTokenMade, name: t.Name, after: t.Audit(days)}, err
	})
	var input *metric.InputError
	if err != nil && !errors.As(err, &input) {
		return err
	}
	m, err := s.adminModel(r)
	if err != nil {
		return err
	}
	if input != nil {
		m.Form, m.Error = views.TokenForm{
			Name: t.Name, Role: p("role"), Only: t.Assistants, Assistant: t.Assistant, Always: t.Always,
			Environment: t.Environment, Days: p("days"), MostEvents: p("most_events"), MostMB: p("most_mb"),
		}, input.Error()
		return s.render(w, r, http.StatusUnprocessableEntity, views.AdminPage(m))
	}
	m.Secret, m.SecretReads = secret, t.Roles[0] != "ingest"
	return s.render(w, r, http.StatusOK, views.AdminPage(m))
}

// revokeToken answers POST /admin/tokens/{id}/revoke.
func (s *server) revokeToken(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	ctx := r.Context()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		name, err := queries.RevokeToken(ctx, tx, id, s.Now())
		return deed{act: queries.AuditTokenRevoked, id: id.String(), name: name}, err
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/admin", http.StatusSeeOther)
	return nil
}
