package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/oauth2-proxy/mockoidc"

	"turnwise/access"
	"turnwise/queries"
	"turnwise/web"
)

// provider is a real OpenID Connect provider, in this process, which checks PKCE.
func provider(t *testing.T) (*mockoidc.MockOIDC, *web.SSO) {
	t.Helper()
	m, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown() })
	c := m.Config()
	return m, &web.SSO{
		Issuer: c.Issuer, ClientID: c.ClientID, Secret: c.ClientSecret, Name: "the company", Groups: "groups",
		Scopes: []string{"groups"},
	}
}

// through goes to the provider and back; it returns the last answer.
func (o *office) through(c *http.Client, change func(back *url.URL)) (int, string, string) {
	o.t.Helper()
	status, _, h := get(o.t, c, "GET", o.url+"/login/sso?next=/csat")
	if status != 303 || !strings.Contains(
		h.Get("Location"), "code_challenge_method=S256",
	) || !strings.Contains(h.Get("Location"), "nonce=") {
		o.t.Fatalf("the way to the provider: %d %s", status, h.Get("Location"))
	}
	_, _, h = get(o.t, client(o.t), "GET", h.Get("Location"))
	back, err := url.Parse(h.Get("Location"))
	if err != nil {
		o.t.Fatal(err)
	}
	if change != nil {
		change(back)
	}
	status, body, h := get(o.t, c, "GET", back.String())
	return status, h.Get("Location"), body
}

// TestSSO: who the provider says becomes a user, by issuer and subject, with the role of the groups at that time;
// nobody takes another's place.
func TestSSO(t *testing.T) {
	t.Parallel()
	m, sso := provider(t)
	sso.Roles = []web.GroupRole{
		{Group: "staff", Role: "viewer"}, {Group: "leads", Role: "supervisor"}, {Group: "it", Role: "admin"},
	}
	o := newOffice(t, sso)
	as := func(subject, email string, verified bool, groups ...string) {
		m.QueueUser(&mockoidc.MockUser{Subject: subject, Email: email, EmailVerified: verified, Groups: groups})
	}
	if _, page := o.get(client(t), "/login"); !strings.Contains(
		page, "Sign in with the company",
	) || !strings.Contains(page, `name="password"`) {
		t.Error("the page of sign-in offers not both ways")
	}
	as("s1", "ann@corp.example", true, "staff", "leads", "other")
	ann := client(t)
	if status, to, body := o.through(ann, nil); status != 303 || to != "/csat" {
		t.Fatalf("%d to %s %.2000s", status, to, body)
	}
	u := o.user("ann@corp.example")
	if u.Role != "supervisor" || u.Subject == nil || *u.Subject != "s1" || u.PasswordHash != "" {
		t.Errorf("%+v", u)
	}
	if status, _ := o.get(ann, "/conversations"); status != 200 {
		t.Errorf("signed in, but: %d", status)
	}
	// The address may change: the subject counts. So do the groups, each time.
	as("s1", "ann.new@corp.example", false, "staff")
	if status, _, _ := o.through(client(t), nil); status != 303 || o.user("ann@corp.example").Role != "viewer" {
		t.Errorf("again: %d as %s", status, o.user("ann@corp.example").Role)
	}
	if status, _ := o.get(ann, "/conversations"); status != 403 {
		t.Errorf("the role of before counts: %d", status)
	}
	for name, tt := range map[string]struct {
		queue  func()
		change func(*url.URL)
		want   string
	}{
		"no group that counts": {
			func() { as("s2", "bob@corp.example", true, "guests") }, nil, "None of your groups",
		},
		"the address of a user": {
			func() { as("s3", "admin@example.org", false, "it") }, nil, "signs in otherwise",
		},
		"the address of another subject": {
			func() { as("s4", "ann@corp.example", true, "it") }, nil, "signs in otherwise",
		},
		"no address": {func() { as("s5", "", true, "it") }, nil, "did not tell your address"},
		"another state": {
			func() { as("s6", "eve@corp.example", true, "it") }, func(u *url.URL) { set(u, "state", "forged") },
			"not begun here",
		},
		"no state": {
			func() { as("s6", "eve@corp.example", true, "it") }, func(u *url.URL) { set(u, "state", "") },
			"not begun here",
		},
		"a forged code": {
			func() { as("s6", "eve@corp.example", true, "it") }, func(u *url.URL) { set(u, "code", "forged") },
			"could not be checked",
		},
		"refused": {
			func() { as("s6", "eve@corp.example", true, "it") }, func(u *url.URL) { set(u, "error", "access_denied") },
			"refused",
		},
	} {
		tt.queue()
		c := client(t)
		if status, _, body := o.through(c, tt.change); status != 403 || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %.3000s", name, status, body)
		}
		if status, _ := o.get(c, "/overview"); status != 303 {
			t.Errorf("%s: signed in", name)
		}
	}
	// The answer for one browser does not sign another in.
	as("s1", "ann@corp.example", true, "staff")
	victim := client(t)
	if _, _, body := o.through(client(t), func(u *url.URL) {
		if status, page := o.get(victim, u.RequestURI()); status != 403 || !strings.Contains(page, "not begun here") {
			t.Errorf("an answer for another browser: %d", status)
		}
	}); strings.Contains(body, "went wrong") {
		t.Error(body)
	}
	// A user with a password who has this address, as the provider has checked, signs in by it from now on.
	as("s7", "Reviewer@example.org", true, "leads")
	if status, _, _ := o.through(client(t), nil); status != 303 {
		t.Errorf("linked: %d", status)
	}
	if u := o.user("reviewer@example.org"); u.Subject == nil || *u.Subject != "s7" || u.Role != "supervisor" {
		t.Errorf("%+v", u)
	}
	// Groups that make an admin of somebody, and take that back, take no limit away.
	if err := change(
		t, o.pool, "reviewer@example.org", func(u *access.Account) { u.Assistants = []string{"only-this"} },
	); err != nil {
		t.Fatal(err)
	}
	for group, role := range map[string]string{"it": "admin", "staff": "viewer"} {
		as("s7", "reviewer@example.org", true, group)
		if status, _, _ := o.through(client(t), nil); status != 303 {
			t.Errorf("in %s: %d", group, status)
		}
		if u := o.user("reviewer@example.org"); u.Role != role || !slices.Equal(u.Assistants, []string{"only-this"}) {
			t.Errorf("in %s: %s of %v", group, u.Role, u.Assistants)
		}
	}
	if err := change(t, o.pool, "reviewer@example.org", func(u *access.Account) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	as("s7", "reviewer@example.org", true, "it")
	if status, _, body := o.through(client(t), nil); status != 403 || !strings.Contains(body, "shut out") {
		t.Errorf("who is disabled: %d", status)
	}
	// The groups do not take the last admin away.
	as("s8", "admin@example.org", true, "staff")
	if status, _, _ := o.through(client(t), nil); status != 303 || o.user("admin@example.org").Role != "admin" {
		t.Errorf("the last admin: %d as %s", status, o.user("admin@example.org").Role)
	}
}

func set(u *url.URL, name, value string) {
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
}

// TestSSOOnly: with passwords off, every way in by a password is shut, and a link of the command line is the way in
// that stays.
func TestSSOOnly(t *testing.T) {
	t.Parallel()
	_, sso := provider(t)
	o := newOffice(t, sso)
	admin := signIn(t, o.url, "admin")
	reviewer := signIn(t, o.url, "reviewer")
	u := o.user("reviewer@example.org")
	link := func(kind string) (key string) {
		t.Helper()
		if err := pgx.BeginFunc(t.Context(), o.pool, func(tx pgx.Tx) (err error) {
			key, err = queries.NewLink(t.Context(), tx, u.ID, kind, o.now)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return "/welcome/" + key
	}
	invitation, another := link(access.LinkInvitation), link(access.LinkPassword)
	sso.Only = true
	for name, tt := range map[string]struct {
		c    *http.Client
		path string
		form []string
		want int
	}{
		"sign in": {
			client(t), "/login", []string{"email", "reviewer@example.org", "password", password}, 403,
		},
		"invitation": {
			client(t), invitation, []string{"name", "x", "password", "four words that are long"}, 404,
		},
		"link": {client(t), another, []string{"password", "four words that are long"}, 404},
		"own password": {
			reviewer, "/account/password", []string{"current", password, "password", "four words that are long"}, 404,
		},
		"a link by the admin": {admin, "/admin/users/" + u.ID.String() + "/link", nil, 404},
	} {
		if status, _, _ := o.post(tt.c, tt.path, tt.form...); status != tt.want {
			t.Errorf("%s: %d, want %d", name, status, tt.want)
		}
	}
	if o.user("reviewer@example.org").PasswordHash != u.PasswordHash {
		t.Error("a password was set")
	}
	if _, page := o.get(client(t), "/login"); strings.Contains(page, `name="password"`) ||
		!strings.Contains(page, "Sign in with") {
		t.Error("the page of sign-in asks for a password")
	}
	if status, _, body := o.post(
		admin, "/admin/users", "email", "new@example.org", "role", "viewer",
	); status != 200 || strings.Contains(body, "/welcome/") {
		t.Errorf("somebody is invited by a link: %d", status)
	}
	way := link(access.LinkSignIn)
	lost := client(t)
	if status, _ := o.get(lost, way); status != 200 {
		t.Errorf("the link of the command line: %d", status)
	}
	if status, _ := o.get(lost, "/overview"); status != 303 {
		t.Error("looking at the link signs in")
	}
	if status, _, _ := o.post(lost, way); status != 303 {
		t.Errorf("the link of the command line: %d", status)
	}
	if status, _ := o.get(lost, "/overview"); status != 200 {
		t.Errorf("not signed in: %d", status)
	}
	if status, _, _ := o.post(client(t), way); status != 404 {
		t.Errorf("the link works twice: %d", status)
	}
}
