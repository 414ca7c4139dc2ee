package web_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/web"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	try := func(c *http.Client, email, pass, next string, header ...string) *http.Response {
		req, err := http.NewRequestWithContext(
			t.Context(), "POST", server.URL+"/login",
			strings.NewReader(url.Values{"email": {email}, "password": {pass}, "next": {next}}.Encode()),
		)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	for _, tt := range []struct {
		name, email, pass string
		want              int
	}{
		{"right", "reviewer@example.org", password, 303},
		{"capitals in the address", "Reviewer@Example.org", password, 303},
		{"wrong password", "reviewer@example.org", "wrong", 422},
		{"unknown", "nobody@example.org", password, 422},
		{"empty", "", "", 422},
	} {
		if got := try(client(t), tt.email, tt.pass, "").StatusCode; got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := try(
		client(t), "admin@example.org", password, "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site",
	).StatusCode; got != 403 {
		t.Errorf("a form of another site: %d", got)
	}
	for next, want := range map[string]string{
		"/health?x=1": "/health?x=1", "//evil.example": "/", "https://evil.example/": "/", "/\\evil.example": "/",
		"": "/",
	} {
		if got := try(client(t), "supervisor@example.org", password, next).Header.Get("Location"); got != want {
			t.Errorf("next %q leads to %q, want %q", next, got, want)
		}
	}
	// A user who is shut out, or whose password or role changed, notices with the next request.
	c := signIn(t, server.URL, "admin")
	steps := []struct {
		change func() error
		path   string
		want   int
	}{
		{func() error { return nil }, "/admin", 200},
		{func() error {
			return change(t, pool, "viewer@example.org", func(u *access.Account) { u.Role = "admin" })
		}, "/admin", 200},
		{func() error {
			return change(t, pool, "admin@example.org", func(u *access.Account) { u.Role = "viewer" })
		}, "/admin", 403},
		{func() error {
			return change(t, pool, "admin@example.org", func(u *access.Account) { u.Disabled = true })
		}, "/health", 303},
		{func() error {
			return change(t, pool, "admin@example.org", func(u *access.Account) { u.Disabled = false })
		}, "/health", 200},
		{func() error {
			u, err := queries.AccountByEmail(t.Context(), pool, "admin@example.org")
			if err != nil {
				return err
			}
			return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				return queries.SetPassword(t.Context(), tx, u.ID, "x$y$z$another-hash-altogether")
			})
		}, "/health", 303},
	}
	for i, s := range steps {
		if err := s.change(); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := get(t, c, "GET", server.URL+s.path); got != s.want {
			t.Errorf("step %d: %s gives %d, want %d", i, s.path, got, s.want)
		}
	}
	limited := false
	for range 12 {
		limited = limited || try(client(t), "victim@example.org", "guess", "").StatusCode == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("twelve guesses in a row are let through")
	}
	reviewer := signIn(t, server.URL, "reviewer")
	if got, _, _ := get(t, reviewer, "POST", server.URL+"/logout"); got != 303 {
		t.Errorf("sign out: %d", got)
	}
	if got, _, _ := get(t, reviewer, "GET", server.URL+"/health"); got != 303 {
		t.Errorf("after signing out: %d", got)
	}
}

// TestUnknownUser: an address that nobody has costs the same time as one that somebody has, with the same answer.
// Without the hash that unknown ones are compared with, it would be some fifty times faster.
func TestUnknownUser(t *testing.T) {
	s, _ := site(t, nil)
	took := map[bool][]float64{}
	answers := map[string]bool{}
	try := func(email string) {
		c := client(t)
		begun := time.Now()
		resp, err := c.PostForm(s.URL+"/login", url.Values{"email": {email}, "password": {"not the password at all"}})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		known := !strings.HasPrefix(email, "nobody")
		took[known] = append(took[known], float64(time.Since(begun)))
		answers[fmt.Sprint(resp.StatusCode, strings.ReplaceAll(string(body), email, ""))] = true
	}
	roles := []string{"viewer", "reviewer", "supervisor", "admin"}
	for i := range 12 {
		try(roles[i%4] + "@example.org")
		try(fmt.Sprintf("nobody%d@example.org", i))
	}
	known, _ := metric.Percentile(took[true], 0.5)
	unknown, _ := metric.Percentile(took[false], 0.5)
	if ratio := unknown / known; ratio < 0.5 || ratio > 2 {
		t.Errorf("an unknown address takes %.2f of the time", ratio)
	}
	if len(answers) != 1 {
		t.Errorf("%d answers", len(answers))
	}
}

// TestGuesses holds that guessing the password of an account from many addresses comes to an end, while its owner signs
// in from where that was done before; and that a second factor keeps the account open to its owner.
func TestGuesses(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	addUsers(t, pool)
	handler, stop := web.New(web.Config{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, URL: "http://localhost",
		Ingest:  http.NotFoundHandler(),
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	who := "admin@example.org"
	try := func(address, pass string) int {
		req, err := http.NewRequestWithContext(
			t.Context(), "POST", server.URL+"/login",
			strings.NewReader(url.Values{"email": {who}, "password": {pass}}.Encode()),
		)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", address)
		resp, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	const home = "203.0.113.7"
	if got := try(home, password); got != 303 {
		t.Fatalf("at first: %d", got)
	}
	for i := range 30 {
		if got := try(fmt.Sprintf("198.51.%d.%d", 100+i, i), "guess"); got != 422 {
			t.Fatalf("guess %d: %d", i, got)
		}
	}
	for _, pass := range []string{"guess", password} {
		if got := try("198.51.99.1", pass); got != 429 {
			t.Errorf("%s from elsewhere: %d, want 429", pass, got)
		}
	}
	if got := try(home, password); got != 303 {
		t.Errorf("the owner at home: %d", got)
	}
	if _, err := pool.Exec(
		t.Context(), `update accounts set second_factor = '\x01' where email = 'admin@example.org'`,
	); err != nil {
		t.Fatal(err)
	}
	if got := try("198.51.99.2", password); got != 303 {
		t.Errorf("the owner with a second factor, elsewhere: %d", got)
	}
	if got := try("198.51.99.2", "guess"); got != 429 {
		t.Errorf("a guess where there is a second factor: %d", got)
	}
	// Accounts that nobody has are told no other way, and each by itself.
	who = "nobody@example.org"
	for i := range 30 {
		if got := try(fmt.Sprintf("198.51.%d.%d", 140+i, i), "guess"); got != 422 {
			t.Fatalf("guess %d of nobody's: %d", i, got)
		}
	}
	if got := try("198.51.99.3", "guess"); got != 429 {
		t.Errorf("nobody's: %d, want 429", got)
	}
	for _, other := range []string{"nobody.else@example.org", "viewer@example.org"} {
		who = other
		if got := try("198.51.99.4", "guess"); got != 422 {
			t.Errorf("%s: %d, want 422", other, got)
		}
	}
}
