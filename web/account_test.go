package web_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pquerna/otp/totp"

	"turnwise/access"
	"turnwise/jobs"
	"turnwise/jobs/posttest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/secret"
	"turnwise/web"
)

// office is a site with a key, and a clock that a test sets.
type office struct {
	t    *testing.T
	pool *pgxpool.Pool
	url  string
	now  time.Time
}

func newOffice(t *testing.T, sso *web.SSO) *office {
	t.Helper()
	o := &office{t: t, pool: dbtest.Pool(t), now: time.Now()}
	addUsers(t, o.pool)
	box, err := secret.NewBox("a key of the test, long enough")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	o.url = server.URL
	queue, err := jobs.NewQueue(o.pool)
	if err != nil {
		t.Fatal(err)
	}
	handler, stop := web.New(web.Config{
		Pool: o.pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, URL: server.URL,
		Ingest: http.NotFoundHandler(), Box: box, SSO: sso, Jobs: queue, Now: func() time.Time { return o.now },
	})
	mux.Handle("/", handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	return o
}

// post sends a form; it returns the status, where it leads and the page.
func (o *office) post(c *http.Client, path string, form ...string) (int, string, string) {
	o.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	resp, err := c.PostForm(o.url+path, values)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(b)
}

func (o *office) get(c *http.Client, path string) (int, string) {
	o.t.Helper()
	status, body, _ := get(o.t, c, "GET", o.url+path)
	return status, body
}

func (o *office) user(email string) access.Account {
	o.t.Helper()
	u, err := queries.AccountByEmail(o.t.Context(), o.pool, email)
	if err != nil {
		o.t.Fatal(err)
	}
	return u
}

var secretShown = regexp.MustCompile(`<p class="secret mono">([^<]+)</p>`)

// shown returns what a page shows once.
func (o *office) shown(page string) string {
	o.t.Helper()
	found := secretShown.FindStringSubmatch(page)
	if found == nil {
		o.t.Fatalf("nothing is shown:\n%.2000s", page)
	}
	return found[1]
}

// TestInvitation: somebody is invited by link and mail, chooses a password, gets what was given, and loses it with the
// next click.
func TestInvitation(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	admin := signIn(t, o.url, "admin")
	post := posttest.New(t)
	host, port, _ := strings.Cut(post.Address, ":")
	if status, _, body := o.post(
		admin, "/admin/mail", "host", host, "port", port, "security", "none", "from", "turnwise@example.org", "sender",
		"Turnwise",
	); status != 303 {
		t.Fatalf("mail: %d %s", status, body)
	}
	for _, bad := range [][]string{
		{"email", "nobody"},
		{"email", "admin@example.org"},
		{"email", "a@example.org", "role", "king"},
		{"email", "a@example.org", "role", "admin", "assistants", "shop"},
	} {
		if status, _, body := o.post(
			admin, "/admin/users", append(bad, "role", "viewer")...,
		); status != 422 || !strings.Contains(body, `role="alert"`) {
			t.Errorf("%v: %d", bad, status)
		}
	}
	status, _, body := o.post(
		admin, "/admin/users", "email", "ann@example.org", "name", "Ann", "role", "viewer", "transcripts", "yes",
	)
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	link := o.shown(body)
	if letters := post.Letters(); len(letters) != 1 || letters[0].To != "ann@example.org" || !strings.Contains(
		strings.ReplaceAll(string(letters[0].Body), "=\r\n", ""), link,
	) {
		t.Errorf("letters: %q", letters)
	}
	if _, page := o.get(admin, "/admin/users"); strings.Contains(page, link) {
		t.Error("the link is shown twice")
	}
	path := strings.TrimPrefix(link, o.url)
	ann := client(t)
	if status, page := o.get(ann, path); status != 200 || !strings.Contains(page, "ann@example.org") {
		t.Errorf("the invitation: %d", status)
	}
	for _, bad := range []string{
		"short", "ANN@example.org", "password1234", "annexample12", "aaaaaaaaaaaaaa", "abcabcabcabcabc", "123456789012",
		"Turnwise2024", strings.Repeat("x", 1025),
	} {
		if status, _, _ := o.post(ann, path, "name", "Ann Example", "password", bad); status != 422 {
			t.Errorf("the password %q is taken", bad)
		}
	}
	if status, to, page := o.post(
		ann, path, "name", "Ann Example", "password", "four words that are long",
	); status != 303 || to != "/" {
		t.Fatalf("%d %s %.1000s", status, to, page)
	}
	if status, _ := o.get(ann, "/conversations"); status != 200 {
		t.Errorf("a viewer who was given the right reads no conversations: %d", status)
	}
	if status, _ := o.get(ann, "/review"); status != 403 {
		t.Errorf("a viewer reviews: %d", status)
	}
	if status, page := o.get(client(t), path); status != 404 || !strings.Contains(page, "no longer works") {
		t.Errorf("the link works twice: %d", status)
	}
	u := o.user("ann@example.org")
	if u.Name != "Ann Example" || u.Transcripts == nil || !*u.Transcripts {
		t.Errorf("%+v", u)
	}
	keep := func(form ...string) (int, string) {
		u := o.user("ann@example.org")
		status, _, body := o.post(
			admin, "/admin/users/"+u.ID.String(), append(form, "name", u.Name, "revision", "0", "revision", "")...,
		)
		return status, body
	}
	if status, _ := keep("role", "reviewer"); status != 422 {
		t.Errorf("a stale form is kept: %d", status)
	}
	change := func(form ...string) {
		t.Helper()
		u := o.user("ann@example.org")
		if status, _, body := o.post(
			admin, "/admin/users/"+u.ID.String(),
			append(form, "name", u.Name, "revision", string(rune('0'+u.Revision)))...,
		); status != 303 {
			t.Fatalf("%v: %d %.3000s", form, status, body)
		}
	}
	change("role", "reviewer", "transcripts", "no")
	for path, want := range map[string]int{
		"/conversations": 403, "/review": 403, "/overview": 200, "/users/list": 403, "/turns": 403,
	} {
		if status, _ := o.get(ann, path); status != want {
			t.Errorf("a reviewer who may not read: %s gives %d", path, status)
		}
	}
	// Another link for the password ends the sessions once it is used, not before; the older link is void.
	_, _, body = o.post(admin, "/admin/users/"+u.ID.String()+"/link")
	first := strings.TrimPrefix(o.shown(body), o.url)
	_, _, body = o.post(admin, "/admin/users/"+u.ID.String()+"/link")
	second := strings.TrimPrefix(o.shown(body), o.url)
	if status, _ := o.get(ann, first); status != 404 {
		t.Errorf("the older link is in force: %d", status)
	}
	if status, _ := o.get(ann, "/overview"); status != 200 {
		t.Errorf("signed out by a link that nobody used: %d", status)
	}
	o.now = o.now.Add(6 * 24 * time.Hour)
	other := client(t)
	if status, _, _ := o.post(other, second, "password", "other words that are long"); status != 303 {
		t.Errorf("the link after six days: %d", status)
	}
	if status, _ := o.get(ann, "/overview"); status != 303 {
		t.Errorf("signed in with the password of before: %d", status)
	}
	if status, _ := o.get(other, "/overview"); status != 200 {
		t.Errorf("not signed in with the new one: %d", status)
	}
	change("role", "reviewer", "disabled", "yes")
	if status, _ := o.get(other, "/overview"); status != 303 {
		t.Errorf("who is disabled goes on: %d", status)
	}
	// The link of an invitation expires.
	_, _, body = o.post(signIn(t, o.url, "admin"), "/admin/users", "email", "bob@example.org", "role", "viewer")
	late := strings.TrimPrefix(o.shown(body), o.url)
	o.now = o.now.Add(7*24*time.Hour + time.Minute)
	if status, _ := o.get(client(t), late); status != 404 {
		t.Errorf("the invitation after a week: %d", status)
	}
}

// TestLastAdmin: nobody takes the last admin away, by role, by disabling or both at once.
func TestLastAdmin(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	admin := signIn(t, o.url, "admin")
	u := o.user("admin@example.org")
	for _, form := range [][]string{{"role", "viewer"}, {"role", "admin", "disabled", "yes"}} {
		if status, _, body := o.post(
			admin, "/admin/users/"+u.ID.String(), append(form, "name", "x", "revision", "1")...,
		); status != 422 || !strings.Contains(body, "last admin") {
			t.Errorf("%v: %d", form, status)
		}
	}
	if err := change(t, o.pool, "viewer@example.org", func(u *access.Account) { u.Role = "admin" }); err != nil {
		t.Fatal(err)
	}
	// Two admins take the right from each other at the same time: one of them stays.
	other := o.user("viewer@example.org")
	second := signIn(t, o.url, "viewer")
	results := make(chan int, 2)
	for c, of := range map[*http.Client]access.Account{admin: other, second: u} {
		go func() {
			resp, err := c.PostForm(o.url+"/admin/users/"+of.ID.String(), url.Values{
				"role": {"viewer"}, "name": {"x"}, "revision": {string(rune('0' + of.Revision))},
			})
			if err != nil {
				results <- 0
				return
			}
			resp.Body.Close()
			results <- resp.StatusCode
		}()
	}
	got := []int{<-results, <-results}
	slices.Sort(got)
	if got[0] != 303 || got[1] == 303 {
		t.Errorf("answers %v", got)
	}
	users, err := queries.Accounts(t.Context(), o.pool)
	if err != nil || !slices.ContainsFunc(
		users, func(u access.Account) bool { return u.Role == "admin" && !u.Disabled },
	) {
		t.Errorf("no admin is left: %v", err)
	}
}

// TestSecondFactor: it is set up with a code, asked for after the password, takes no code twice, and recovery codes
// once each; neither a new password nor a link goes around it.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	c := signIn(t, o.url, "reviewer")
	if status, _, _ := o.post(c, "/account/second", "current", "wrong"); status != 422 {
		t.Error("set up without the password")
	}
	_, _, page := o.post(c, "/account/second", "current", password)
	key := o.shown(page)
	if !strings.Contains(page, "data:image/png;base64,") {
		t.Error("no picture of the key")
	}
	code := func() string {
		t.Helper()
		s, err := totp.GenerateCode(key, o.now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if status, _, _ := o.post(c, "/account/second/keep", "code", "000000"); status != 422 {
		t.Error("a wrong code is taken")
	}
	shown := code()
	status, _, page := o.post(c, "/account/second/keep", "code", shown[:3]+" "+shown[3:]) // as phones write it
	codes := regexp.MustCompile(`<li>([A-Z0-9-]{19})</li>`).FindAllStringSubmatch(page, -1)
	if status != 200 || len(codes) != 10 {
		t.Fatalf("%d, %d codes", status, len(codes))
	}
	u := o.user("reviewer@example.org")
	if u.SecondFactor == nil || strings.Contains(string(u.SecondFactor), key) {
		t.Error("the secret is not sealed")
	}
	begin := func() *http.Client {
		t.Helper()
		c := client(t)
		if status, to, _ := o.post(
			c, "/login", "email", "reviewer@example.org", "password", password, "next", "/review",
		); status != 303 || to != "/login/code" {
			t.Fatalf("%d to %s", status, to)
		}
		if status, _ := o.get(c, "/overview"); status != 303 {
			t.Fatalf("the password alone lets in: %d", status)
		}
		return c
	}
	half := begin()
	if status, _, _ := o.post(half, "/login/code", "code", code()); status != 422 {
		t.Error("the code of the setting-up is taken again")
	}
	o.now = o.now.Add(30 * time.Second)
	if status, to, _ := o.post(half, "/login/code", "code", code()); status != 303 || to != "/review" {
		t.Errorf("the next code: %d to %s", status, to)
	}
	if status, _ := o.get(half, "/overview"); status != 200 {
		t.Error("not signed in after the code")
	}
	replay := begin()
	if status, _, _ := o.post(replay, "/login/code", "code", code()); status != 422 {
		t.Error("a code is taken twice")
	}
	if status, _, _ := o.post(replay, "/login/code", "code", strings.ToLower(codes[0][1])); status != 303 {
		t.Error("a recovery code is not taken")
	}
	again := begin()
	if status, _, _ := o.post(again, "/login/code", "code", codes[0][1]); status != 422 {
		t.Error("a recovery code is taken twice")
	}
	o.now = o.now.Add(6 * time.Minute)
	if status, to, _ := o.post(again, "/login/code", "code", codes[1][1]); status != 303 || to != "/login" {
		t.Errorf("after six minutes the password still counts: %d to %s", status, to)
	}
	// A link for another password asks for the code too.
	admin := signIn(t, o.url, "admin")
	_, _, page = o.post(admin, "/admin/users/"+u.ID.String()+"/link")
	fresh := client(t)
	if status, to, _ := o.post(
		fresh, strings.TrimPrefix(o.shown(page), o.url), "password", "another four words here",
	); status != 303 || to != "/login/code" {
		t.Errorf("a link goes around the second factor: %d to %s", status, to)
	}
	if status, _ := o.get(fresh, "/overview"); status != 303 {
		t.Error("the link alone lets in")
	}
	// An admin helps who lost everything.
	if status, _, _ := o.post(admin, "/admin/users/"+u.ID.String()+"/second"); status != 303 {
		t.Error("it cannot be removed")
	}
	if status, to, _ := o.post(
		client(t), "/login", "email", "reviewer@example.org", "password", "another four words here",
	); status != 303 || to != "/" {
		t.Errorf("after it was removed: %d to %s", status, to)
	}
}

// TestSessions: a user sees where he is signed in and ends it; a new password ends the others; idle and old sessions
// are over.
func TestSessions(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	one, two, three := signIn(t, o.url, "reviewer"), signIn(t, o.url, "reviewer"), signIn(t, o.url, "reviewer")
	signed := func(c *http.Client) bool {
		status, _ := o.get(c, "/overview")
		return status == 200
	}
	_, page := o.get(one, "/account")
	ids := regexp.MustCompile(`name="id" value="([0-9a-f-]{36})"`).FindAllStringSubmatch(page, -1)
	if len(ids) != 2 {
		t.Fatalf("%d others are listed", len(ids))
	}
	if status, _, _ := o.post(
		one, "/account/sessions/end", "id", ids[0][1],
	); status != 303 || signed(two) == signed(three) || !signed(one) {
		t.Error("not exactly that session is ended")
	}
	stranger := signIn(t, o.url, "viewer")
	if status, _, _ := o.post(stranger, "/account/sessions/end", "id", ids[1][1]); status != 404 {
		t.Errorf("a stranger ends it: %d", status)
	}
	if status, _, _ := o.post(one, "/account/sessions/end"); status != 303 || signed(two) || signed(three) ||
		!signed(one) {
		t.Error("the others are not ended")
	}
	two = signIn(t, o.url, "reviewer")
	if status, _, body := o.post(
		one, "/account/password", "current", "wrong", "password", "another four words here",
	); status != 422 || !strings.Contains(body, "that is not it") {
		t.Errorf("changed without the old one: %d", status)
	}
	if status, _, body := o.post(
		one, "/account/password", "current", password, "password", "another four words here",
	); status != 303 {
		t.Errorf("%d %s", status, body)
	}
	if signed(two) || !signed(one) {
		t.Error("after another password: the others go on, or the own is over")
	}
	admin := signIn(t, o.url, "admin")
	if status, _, _ := o.post(admin, "/admin/users/sessions"); status != 303 || signed(one) || !signed(admin) {
		t.Error("everybody but the admin is signed out: not so")
	}
	if status, _, _ := o.post(admin, "/logout"); status != 303 || signed(admin) {
		t.Error("signed in after signing out")
	}
	left, err := queries.Sessions(t.Context(), o.pool, o.user("admin@example.org").ID, time.Time{})
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestOwnRights: an admin who may not read conversations makes no token that does, and gives no right to himself.
func TestOwnRights(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	no := false
	if err := change(
		t, o.pool, "supervisor@example.org", func(u *access.Account) { u.Role, u.Transcripts = "admin", &no },
	); err != nil {
		t.Fatal(err)
	}
	c := signIn(t, o.url, "supervisor")
	once := []string{"name", "once", "role", "ingest", "assistant", "x", "once", queries.NewID().String()}
	for _, want := range []int{200, 422} { // the page is loaded again
		if status, _, _ := o.post(signIn(t, o.url, "admin"), "/admin/tokens", once...); status != want {
			t.Errorf("a token is made once: %d, want %d", status, want)
		}
	}
	for role, want := range map[string]int{
		"admin": 422, "analytics_admin": 422, "analytics_viewer": 200, "ingest": 200,
	} {
		if status, _, _ := o.post(
			c, "/admin/tokens", "name", "a token", "role", role, "assistant", "x",
		); status != want {
			t.Errorf("a token as %s: %d", role, status)
		}
	}
	u := o.user("supervisor@example.org")
	path := "/admin/users/" + u.ID.String()
	form := []string{"name", "Sue", "role", "admin", "revision", strconv.Itoa(int(u.Revision))}
	if status, _, body := o.post(
		c, path, append(form, "transcripts", "yes")...,
	); status != 422 || !strings.Contains(body, "ask another admin") {
		t.Errorf("an admin gives himself conversations: %d", status)
	}
	if _, body := o.get(c, path); !strings.Contains(body, "a token, a token") {
		t.Error("the user's page does not name the tokens that the user made")
	}
	if status, _, body := o.post(c, path, append(form, "transcripts", "no")...); status != 303 {
		t.Errorf("an admin changes his name: %d %.300s", status, body)
	}
	if status, _, _ := o.post(
		signIn(t, o.url, "admin"), path, "name", "Sue", "role", "admin", "revision", strconv.Itoa(int(u.Revision)+1),
		"transcripts", "yes",
	); status != 303 {
		t.Errorf("another admin gives them: %d", status)
	}
}

// TestReadingTokens: a program reads what its role and limits allow, and changes nothing; expired and revoked ones are
// refused.
func TestReadingTokens(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	make := func(role string, days int) string {
		t.Helper()
		secret, err := queries.NewToken(
			t.Context(), o.pool,
			access.Token{Name: role, Role: role, Assistant: "x", CreatedBy: "test", CreatedAt: o.now}, days,
		)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	secrets := map[string]string{}
	for _, role := range access.TokenRoles {
		secrets[role] = make(role, 0)
	}
	want := map[string]map[string]int{
		"ingest": {"/overview": 403, "/conversations": 403, "/admin": 403, "/account": 403},
		"analytics_viewer": {
			"/overview": 200, "/conversations": 403, "/admin": 403, "/account": 403, "/documents/overview?as=csv": 200,
			"/rows?grain=conversation&format=csv": 403,
		},
		"analytics_admin": {
			"/overview": 200, "/conversations": 200, "/admin": 403, "/account": 403,
			"/rows?grain=message&format=jsonl": 200, "/review": 403,
		},
		"admin": {"/overview": 200, "/conversations": 200, "/admin": 200, "/account": 403},
	}
	if _, body, head := get(t, client(t), "GET", o.url+"/admin", "Authorization", "Bearer "+secrets["analytics_viewer"]); head.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, `"status":403`) {
		t.Errorf("a program is answered %s", body)
	}
	for role, paths := range want {
		for path, status := range paths {
			if got, body, _ := get(
				t, client(t), "GET", o.url+path, "Authorization", "Bearer "+secrets[role],
			); got != status {
				t.Errorf("%s as %s: %d, want %d: %.300s", path, role, got, status, body)
			}
		}
		if got, _, _ := get(
			t, client(t), "POST", o.url+"/admin/users/sessions", "Authorization", "Bearer "+secrets[role],
		); got != 403 {
			t.Errorf("a token of %s changes something: %d", role, got)
		}
	}
	for _, bad := range []string{
		"", "x", "tw_aaaaaaaa.BBBB", secrets["admin"] + "x", strings.Split(secrets["admin"], ".")[0] + ".", "\x01.\xff",
		strings.Repeat("x", 10_000) + ".",
	} {
		if got, _, _ := get(
			t, client(t), "GET", o.url+"/overview", "Authorization",
			"Bearer "+strings.ToValidUTF8(strings.ReplaceAll(bad, "\x01", ""), ""),
		); got != 401 {
			t.Errorf("%.40q: %d", bad, got)
		}
	}
	soon := make("analytics_viewer", 1)
	if got, _, _ := get(t, client(t), "GET", o.url+"/overview", "Authorization", "Bearer "+soon); got != 200 {
		t.Errorf("on its only day: %d", got)
	}
	o.now = o.now.Add(24*time.Hour + time.Second)
	if got, _, _ := get(t, client(t), "GET", o.url+"/overview", "Authorization", "Bearer "+soon); got != 401 {
		t.Errorf("after its only day: %d", got)
	}
}
