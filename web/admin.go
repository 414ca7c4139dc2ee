package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// NewToken makes and stores a token; the returned secret is not to be had again.
func NewToken(ctx context.Context, db queries.DB, name, assistant, environment, by string, now time.Time) (secret string, err error) {
	for field, v := range map[string]string{"name": name, "assistant": assistant} {
		if v == "" || len(v) > 200 {
			return "", &metric.InputError{Field: field, Msg: "is needed, and at most 200 characters long"}
		}
	}
	if len(environment) > 100 {
		return "", &metric.InputError{Field: "environment", Msg: "is longer than 100 characters"}
	}
	prefix := "tw_" + strings.ToLower(rand.Text()[:8])
	secret = prefix + "." + rand.Text()
	sum := sha256.Sum256([]byte(secret))
	return secret, queries.AddToken(ctx, db, queries.Token{
		ID: queries.NewID(), Prefix: prefix, Hash: sum[:], Name: name, Assistant: assistant, Environment: environment, CreatedAt: now, CreatedBy: by,
	})
}

func (s *server) adminModel(r *http.Request) (views.Admin, error) {
	m := views.Admin{Page: s.page(r, "Admin", "Admin"), IngestURL: s.URL + "/api/v1/ingest/rasa"}
	tokens, err := queries.Tokens(r.Context(), s.Pool)
	if err != nil {
		return m, err
	}
	for _, t := range tokens {
		m.Tokens = append(m.Tokens, views.TokenRow{
			ID: t.ID, Name: t.Name, Prefix: t.Prefix, Assistant: t.Assistant, Environment: t.Environment,
			CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy, LastUsed: t.LastUsedAt, Revoked: t.RevokedAt,
		})
	}
	brokers, err := s.brokers(r.Context(), m.Now)
	if err != nil {
		return m, err
	}
	m.Brokers = slices.SortedFunc(maps.Values(brokers), func(a, b *views.Broker) int { return strings.Compare(a.Name, b.Name) })
	users, err := queries.Users(r.Context(), s.Pool)
	for _, u := range users {
		m.Users = append(m.Users, views.UserRow{Email: u.Email, Name: u.Name, Role: u.Role, Disabled: u.Disabled, LastSeen: u.LastSeenAt})
	}
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
	name, assistant, environment := strings.TrimSpace(r.PostFormValue("name")), strings.TrimSpace(r.PostFormValue("assistant")), strings.TrimSpace(r.PostFormValue("environment"))
	u, _ := userOf(r.Context())
	secret := ""
	err := s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		secret, err = NewToken(r.Context(), tx, name, assistant, environment, u.Email, s.Now())
		return deed{act: queries.AuditTokenMade, name: name, after: map[string]any{"assistant": assistant, "environment": environment}}, err
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
		m.Name, m.Assistant, m.Environment, m.Error = name, assistant, environment, input.Error()
		return s.render(w, r, http.StatusUnprocessableEntity, views.AdminPage(m))
	}
	m.Secret = secret
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
