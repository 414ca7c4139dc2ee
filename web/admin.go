package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// NewToken makes and stores a token, in force for so many days, 0 for ever; the returned secret is not to be had again.
func NewToken(ctx context.Context, db queries.DB, t queries.Token, days int) (secret string, err error) {
	slices.Sort(t.Assistants)
	t.Assistants = slices.Compact(t.Assistants)
	if t.Role != "ingest" {
		t.Assistant, t.Environment = "", ""
	}
	switch {
	case t.Name == "" || len(t.Name) > 200:
		return "", &metric.InputError{Field: "name", Msg: "is needed, and at most 200 characters long"}
	case !slices.Contains(TokenRoles, t.Role):
		return "", &metric.InputError{Field: "role", Msg: "is one of " + strings.Join(TokenRoles, ", ")}
	case t.Role == "ingest" && (t.Assistant == "" || len(t.Assistant) > 200):
		return "", &metric.InputError{Field: "assistant", Msg: "is needed, and at most 200 characters long"}
	case t.Role == "admin" && len(t.Assistants) > 0:
		return "", &metric.InputError{Field: "assistants", Msg: "an admin's token reads all of them; limit another role"}
	case len(t.Environment) > 100:
		return "", &metric.InputError{Field: "environment", Msg: "is longer than 100 characters"}
	case t.Role == "ingest" && len(t.Assistants) > 0 && !slices.Contains(t.Assistants, t.Assistant):
		return "", &metric.InputError{Field: "assistant", Msg: "is not one of those that the token is limited to"}
	case t.MostEvents != nil && *t.MostEvents < 1, t.MostBytes != nil && *t.MostBytes < 1:
		return "", &metric.InputError{Field: "a minute", Msg: "takes a number from 1 on; empty: any number"}
	case t.Role != "ingest" && (t.MostEvents != nil || t.MostBytes != nil):
		return "", &metric.InputError{Field: "a minute", Msg: "is for tokens that send"}
	case days < 0 || days > 3650:
		return "", &metric.InputError{Field: "days", Msg: "is a number from 1 to 3,650; empty: for ever"}
	}
	if days > 0 {
		at := t.CreatedAt.AddDate(0, 0, days)
		t.ExpiresAt = &at
	}
	if t.ID == (conversation.UUID{}) {
		t.ID = queries.NewID()
	}
	t.Prefix = "tw_" + strings.ToLower(rand.Text()[:8])
	secret = t.Prefix + "." + rand.Text()
	sum := sha256.Sum256([]byte(secret))
	t.Hash = sum[:]
	if err = queries.AddToken(ctx, db, t); errors.Is(err, queries.ErrConflict) {
		err = &metric.InputError{Field: "token", Msg: "it was made already, and its secret shown then; if that is lost, revoke it and make another one"}
	}
	return secret, err
}

// TokenDeed is what the audit log tells of a token.
func TokenDeed(t queries.Token, days int) map[string]any {
	d := map[string]any{"role": t.Role}
	if t.Role == "ingest" {
		d["assistant"], d["environment"] = t.Assistant, t.Environment
		if t.Always {
			d["always"] = true
		}
		if t.MostEvents != nil {
			d["events_a_minute"] = *t.MostEvents
		}
		if t.MostBytes != nil {
			d["bytes_a_minute"] = *t.MostBytes
		}
	}
	if len(t.Assistants) > 0 {
		d["only"] = t.Assistants
	}
	if days > 0 {
		d["days"] = days
	}
	return d
}

func (s *server) adminModel(r *http.Request) (views.Admin, error) {
	m := views.Admin{Page: s.page(r, "Admin", "Admin"), IngestURL: s.URL + "/api/v1/ingest/rasa", SiteURL: s.URL, Once: queries.NewID().String()}
	tokens, err := queries.Tokens(r.Context(), s.Pool)
	if err != nil {
		return m, err
	}
	for _, t := range tokens {
		m.Tokens = append(m.Tokens, views.TokenRow{
			ID: t.ID, Name: t.Name, Prefix: t.Prefix, Role: t.Role, Only: t.Assistants, Assistant: t.Assistant, Always: t.Always, Environment: t.Environment,
			CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy, Expires: t.ExpiresAt, LastUsed: t.LastUsedAt, Revoked: t.RevokedAt,
		})
	}
	brokers, err := s.brokers(r.Context(), m.Now)
	if err != nil {
		return m, err
	}
	m.Brokers = slices.SortedFunc(maps.Values(brokers), func(a, b *views.Broker) int { return strings.Compare(a.Name, b.Name) })
	choices, err := s.choices(r.Context())
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
	u, _ := userOf(r.Context())
	t := queries.Token{Name: p("name"), Role: cmp.Or(p("role"), "ingest"), Assistant: p("assistant"), Always: p("always") == "yes", Environment: p("environment"), CreatedBy: u.Email, CreatedAt: s.Now()}
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
	if t.Role != "ingest" && t.Role != "analytics_viewer" && !may(ctx, views.SeeTranscripts) {
		denied = &metric.InputError{Field: "role", Msg: "would read conversations, which you may not"}
	}
	err := s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		if denied != nil {
			return d, denied
		}
		secret, err = NewToken(ctx, tx, t, days)
		return deed{act: queries.AuditTokenMade, name: t.Name, after: TokenDeed(t, days)}, err
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
		m.Form, m.Error = views.TokenForm{Name: t.Name, Role: t.Role, Only: t.Assistants, Assistant: t.Assistant, Always: t.Always, Environment: t.Environment, Days: p("days"), MostEvents: p("most_events"), MostMB: p("most_mb")}, input.Error()
		return s.render(w, r, http.StatusUnprocessableEntity, views.AdminPage(m))
	}
	m.Secret, m.SecretReads = secret, t.Role != "ingest"
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
