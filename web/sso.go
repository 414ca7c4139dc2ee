package web

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-chi/httprate"
	"github.com/jackc/pgx/v5"
	"golang.org/x/oauth2"

	"turnwise/access"
	"turnwise/queries"
	"turnwise/views"
)

// SSO is sign-in by an OpenID Connect provider: authorization code with PKCE, state and nonce. A user is known by
// issuer and subject, never by address alone.
type SSO struct {
	Issuer, ClientID, Secret string
	Name                     string      // as the button has it
	Scopes                   []string    // beside openid, email and profile
	Groups                   string      // claim that lists the groups
	Roles                    []GroupRole // which groups have which role; the mightiest that fits counts
	Role                     string      // of who is in none of them; "" for nobody
	// addresses of new users count though the provider does not say that it checked them
	TrustEmail bool
	Only       bool // passwords are off

	mu       sync.Mutex
	provider *oidc.Provider
	failed   error // of the last discovery
	failedAt time.Time
}

// GroupRole gives a role to a group.
type GroupRole struct{ Group, Role string }

// ssoPatience bounds a conversation with the provider.
const ssoPatience = 15 * time.Second

// discover asks the provider about itself, until it has answered once.
func (o *SSO) discover(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed != nil && time.Since(o.failedAt) < ssoPatience {
		return nil, o.failed
	}
	if o.provider == nil {
		// it keeps the context for the keys it fetches later
		p, err := oidc.NewProvider(context.WithoutCancel(ctx), o.Issuer)
		if err != nil {
			o.failed, o.failedAt = err, time.Now()
			return nil, err
		}
		o.provider, o.failed = p, nil
	}
	return o.provider, nil
}

func (o *SSO) config(p *oidc.Provider, url string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: o.ClientID, ClientSecret: o.Secret, Endpoint: p.Endpoint(), RedirectURL: url + "/login/callback",
		Scopes: append([]string{oidc.ScopeOpenID, "email", "profile"}, o.Scopes...),
	}
}

// roleOf returns what role groups give, and whether they are what decides.
func (o *SSO) roleOf(groups []string) (role string, decided bool) {
	role = o.Role
	for _, m := range o.Roles {
		if slices.Contains(groups, m.Group) && slices.Index(access.Roles, m.Role) > slices.Index(access.Roles, role) {
			role = m.Role
		}
	}
	return role, len(o.Roles) > 0
}

// ssoAsked is what a session holds while the provider is asked.
type ssoAsked struct{ State, Nonce, Verifier, Next string }

const (
	ssoKey   = "sso"
	notBegun = "This sign-in was not begun here, or twice. Begin again."
)

var ssoClient = &http.Client{Timeout: ssoPatience}

// ssoBegin answers GET /login/sso: the browser goes to the provider.
func (s *server) ssoBegin(w http.ResponseWriter, r *http.Request) error {
	if s.SSO == nil {
		return queries.ErrNotFound
	}
	if s.byAddress.OnLimit(w, r, "sso "+httprate.CanonicalizeIP(s.address(r))) {
		return s.showLogin(w, r, http.StatusTooManyRequests, views.Login{Error: triedTooOften})
	}
	ctx := oidc.ClientContext(r.Context(), ssoClient)
	p, err := s.SSO.discover(ctx)
	if err != nil {
		s.Log.ErrorContext(ctx, "the provider of single sign-on does not answer", "issuer", s.SSO.Issuer, "error", err)
		return s.ssoRefused(w, r, "The sign-in service does not answer. Try again later.")
	}
	asked := ssoAsked{
		State: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier(),
		Next: local(r.URL.Query().Get("next")),
	}
	text, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	s.sessions.Put(ctx, ssoKey, string(text))
	http.Redirect(
		w, r,
		s.SSO.config(p, s.URL).AuthCodeURL(
			asked.State, oidc.Nonce(asked.Nonce), oauth2.S256ChallengeOption(asked.Verifier),
		),
		http.StatusSeeOther,
	)
	return nil
}

func (s *server) ssoRefused(w http.ResponseWriter, r *http.Request, why string) error {
	if err := s.auditedAs(r, queries.Actor{Address: s.address(r)}, func(pgx.Tx) (deed, error) {
		return deed{act: queries.AuditSignInFailed, after: map[string]any{"by": "single sign-on", "why": why}}, nil
	}); err != nil {
		return err
	}
	return s.showLogin(w, r, http.StatusForbidden, views.Login{Error: why})
}

// ssoEnd answers GET /login/callback, to which the provider sends the browser back.
func (s *server) ssoEnd(w http.ResponseWriter, r *http.Request) error {
	if s.SSO == nil {
		return queries.ErrNotFound
	}
	ctx := oidc.ClientContext(r.Context(), ssoClient)
	var asked ssoAsked
	q := r.URL.Query()
	kept := s.sessions.PopString(ctx, ssoKey)
	if kept == "" { // nobody's attempt: nothing to write down
		return s.showLogin(w, r, http.StatusForbidden, views.Login{Error: notBegun})
	}
	if err := json.Unmarshal([]byte(kept), &asked); err != nil || subtle.ConstantTimeCompare(
		[]byte(asked.State), []byte(q.Get("state")),
	) != 1 {
		return s.ssoRefused(w, r, notBegun)
	}
	if q.Get("error") != "" {
		return s.ssoRefused(w, r, "The sign-in service refused it.")
	}
	claims, err := s.ssoClaims(ctx, q.Get("code"), asked)
	if err != nil {
		s.Log.WarnContext(ctx, "single sign-on failed", "error", err)
		return s.ssoRefused(w, r, "The sign-in service's answer could not be checked. The server's log says why.")
	}
	u, why, err := s.ssoUser(r, claims)
	if err != nil {
		return err
	}
	if why != "" {
		return s.ssoRefused(w, r, why)
	}
	return s.welcome(w, r, u, "single sign-on", local(asked.Next))
}

// ssoClaims are what the provider says of who signs in.
type ssoClaims struct {
	Subject  string
	Email    string
	Verified bool
	Name     string
	Groups   []string
}

func (s *server) ssoClaims(ctx context.Context, code string, asked ssoAsked) (c ssoClaims, err error) {
	p, err := s.SSO.discover(ctx)
	if err != nil {
		return c, err
	}
	token, err := s.SSO.config(p, s.URL).Exchange(ctx, code, oauth2.VerifierOption(asked.Verifier))
	if err != nil {
		return c, fmt.Errorf("exchange of the code: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.VerifierContext(ctx, &oidc.Config{ClientID: s.SSO.ClientID, Now: s.Now}).Verify(ctx, raw)
	if err != nil {
		return c, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(asked.Nonce)) != 1 {
		return c, errors.New("the nonce is another one")
	}
	all := map[string]any{}
	if err := id.Claims(&all); err != nil {
		return c, err
	}
	c.Subject = id.Subject
	c.Email, _ = all["email"].(string)
	if c.Name, _ = all["name"].(string); c.Name == "" {
		c.Name, _ = all["preferred_username"].(string)
	}
	switch v := all["email_verified"].(type) { // some send it as text
	case bool:
		c.Verified = v
	case string:
		c.Verified = v == "true"
	}
	switch v := all[s.SSO.Groups].(type) {
	case string:
		c.Groups = strings.Fields(strings.ReplaceAll(v, ",", " "))
	case []any:
		for _, g := range v {
			if g, ok := g.(string); ok {
				c.Groups = append(c.Groups, g)
			}
		}
	}
	return c, nil
}

// ssoUser finds or makes the user, with the role that the groups give now; or says why there is none.
func (s *server) ssoUser(r *http.Request, c ssoClaims) (u access.Account, why string, err error) {
	ctx := r.Context()
	role, decided := s.SSO.roleOf(c.Groups)
	u, err = queries.AccountBySubject(ctx, s.Pool, s.SSO.Issuer, c.Subject)
	found := err == nil
	if errors.Is(err, queries.ErrNotFound) && c.Email != "" {
		u, err = queries.AccountByEmail(ctx, s.Pool, c.Email)
	}
	switch {
	case err != nil && !errors.Is(err, queries.ErrNotFound):
		return u, "", err
	case err == nil && u.Disabled:
		return u, "You are shut out here. Ask an admin.", nil
	case decided && role == "":
		return u, "None of your groups may sign in here. Ask an admin.", nil
	case err == nil && !found && (u.Subject != nil || !c.Verified):
		return u, "There is a user with your address who signs in otherwise. Ask an admin.", nil
	case err != nil && role == "":
		return u, "You are no user here yet. Ask an admin.", nil
	case err != nil && c.Email == "":
		return u, "The sign-in service did not tell your address.", nil
	case err != nil && !c.Verified && !s.SSO.TrustEmail:
		return u, "The sign-in service has not checked your address.", nil
	}
	if err != nil { // somebody new
		name := strings.Join(strings.Fields(c.Name), " ")
		if checkName(name) != nil {
			name = c.Email
		}
		u = access.Account{
			ID: queries.NewID(), Email: c.Email, Name: name, Role: role, Issuer: &s.SSO.Issuer, Subject: &c.Subject,
			CreatedAt: s.Now(),
		}
		err = s.auditedAs(r, ssoActor(s.address(r)), func(tx pgx.Tx) (deed, error) {
			return deed{
				act: queries.AuditAccountMade, id: u.ID.String(), name: u.Email, after: userDeed(u),
			}, queries.AddAccount(ctx, tx, u)
		})
		return u, "", err
	}
	was := u
	if u.Issuer, u.Subject = &s.SSO.Issuer, &c.Subject; decided {
		u.Role = role // what limits the user stays, also of one who is an admin for a while
	}
	if found && was.Role == u.Role {
		return u, "", nil
	}
	err = s.auditedAs(r, ssoActor(s.address(r)), func(tx pgx.Tx) (deed, error) {
		return deed{
			act: queries.AuditAccountChanged, id: u.ID.String(), name: u.Email, before: userDeed(was),
			after: userDeed(u),
		}, queries.ChangeAccount(ctx, tx, u)
	})
	if errors.Is(err, queries.ErrLastAdmin) {
		s.Log.WarnContext(ctx, "the groups of the last admin make him none; he stays one")
		return was, "", nil
	}
	return u, "", err
}

func ssoActor(address string) queries.Actor {
	return queries.Actor{Name: "single sign-on", Address: address}
}
