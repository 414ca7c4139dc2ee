package web_test

import (
	"html"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"turnwise/access"
	"turnwise/demo"
	"turnwise/jobs"
	"turnwise/queries/dbtest"
	"turnwise/secret"
	"turnwise/web"
)

// form is one that a page shows.
type form struct {
	action string
	fields url.Values
}

var (
	formText  = regexp.MustCompile(`(?s)<form[^>]*\saction="([^"]+)"[^>]*>(.*?)</form>`)
	fieldText = regexp.MustCompile(`(?s)<(?:input|select|textarea|button)[^>]*\sname="([^"]+)"[^>]*>`)
	valueText = regexp.MustCompile(`\svalue="([^"]*)"`)
	pageText  = regexp.MustCompile(`href="(/[^"]*)"`)
)

func formsIn(page string) (all []form) {
	for _, m := range formText.FindAllStringSubmatch(page, -1) {
		if !strings.Contains(strings.ToLower(m[0][:strings.IndexByte(m[0], '>')]), `method="post"`) {
			continue
		}
		f := form{html.UnescapeString(m[1]), url.Values{}}
		for _, x := range fieldText.FindAllStringSubmatch(m[2], -1) {
			value := ""
			if v := valueText.FindStringSubmatch(x[0]); v != nil {
				value = html.UnescapeString(v[1])
			}
			f.fields.Add(x[1], value)
		}
		all = append(all, f)
	}
	return all
}

// TestForms sends every field of every form that an admin meets, missing, repeated, as an array, long, broken and
// empty: nothing is answered with 500, and what is no text with 400.
func TestForms(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	pool := dbtest.Pool(t)
	addUsers(t, pool)
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.NewBox("a key for this test alone")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 27, 12, 0, 0, 0, time.UTC)
	feed(t, pool, demo.New(demo.Options{Conversations: 60, Days: 5, Until: now, Seed: 5}).Next)
	var log strings.Builder
	handler, stop := web.New(web.Config{
		Pool: pool, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})),
		Zone: time.UTC, URL: "http://localhost", Ingest: http.NotFoundHandler(), Jobs: queue, Box: box,
		Now: func() time.Time { return now },
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	c := signIn(t, server.URL, "admin")
	// Pages, from links and the table of routes.
	pages := []string{"/overview", "/login"}
	routes, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\{"GET", "(/[^"{]*)"`).FindAllStringSubmatch(string(routes), -1) {
		pages = append(pages, m[1])
	}
	seen, forms := map[string]bool{}, map[string]form{}
	for i := 0; i < len(pages) && i < 400; i++ {
		path := pages[i]
		shape := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|=[^&]*|\d+`).ReplaceAllString(path, "*")
		if seen[shape] || strings.Contains(path, "/file") || strings.Contains(path, "logout") {
			continue
		}
		seen[shape] = true
		status, body, _ := get(t, c, "GET", server.URL+path)
		if status >= 500 {
			t.Errorf("%s: %d", path, status)
		}
		for _, f := range formsIn(body) {
			key := shape + " " + regexp.MustCompile(
				`[0-9a-f]{8}-[0-9a-f-]{27}|\d+`,
			).ReplaceAllString(f.action, "*") + " " + strings.Join(slices.Sorted(maps.Keys(f.fields)), ",")
			if _, ok := forms[key]; !ok && !strings.HasPrefix(f.action, "/logout") {
				forms[key] = f
			}
		}
		for _, m := range pageText.FindAllStringSubmatch(body, -1) {
			pages = append(pages, html.UnescapeString(m[1]))
		}
	}
	if len(forms) < 30 {
		t.Fatalf("only %d forms were found", len(forms))
	}
	sent := 0
	post := func(f form, fields url.Values) int {
		t.Helper()
		req, err := http.NewRequestWithContext(
			t.Context(), http.MethodPost, server.URL+f.action, strings.NewReader(fields.Encode()),
		)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		sent++
		if strings.HasPrefix(resp.Header.Get("Location"), "/login") { // it ended the session
			if err := change(
				t, pool, "admin@example.org", func(u *access.Account) { u.Disabled, u.Role = false, "admin" },
			); err != nil {
				t.Fatal(err)
			}
			c = signIn(t, server.URL, "admin")
		}
		return resp.StatusCode
	}
	for _, key := range slices.Sorted(maps.Keys(forms)) {
		f := forms[key]
		if f.action == "/login" || strings.Contains(f.action, "password") {
			continue // tried below, and by its limit
		}
		for _, name := range slices.Sorted(maps.Keys(f.fields))[:min(1, len(f.fields))] {
			fields := maps.Clone(f.fields)
			fields[name] = []string{strings.Repeat("x", 1<<20)}
			if status := post(f, fields); status >= 500 {
				t.Errorf("%s: %s of 1 MB: %d", key, name, status)
			}
		}
		for name := range f.fields {
			for what, value := range map[string][]string{
				"NUL": {"a\x00b"}, "no UTF-8": {"a\xff\xfe"}, "missing": nil, "repeated": {"a", "b", "c"}, "empty": {""}, "long": {strings.Repeat("x", 40000)},
				"a number": {"-1"}, "a large number": {"99999999999999999999"}, "JSON": {`{"a":[1]}`}, "other directions": {"\u202e\u0000"[:3]},
			} {
				fields := maps.Clone(f.fields)
				fields[name] = value
				status := post(f, fields)
				if status >= 500 {
					t.Errorf("%s: %s with %s: %d", key, name, what, status)
				}
				if (what == "NUL" || what == "no UTF-8") && status != 400 && status != 404 && status != 303 {
					t.Errorf("%s: %s with %s: %d, not 400", key, name, what, status)
				}
			}
			fields := maps.Clone(f.fields)
			fields[name+"[]"], fields[name+"[a][b]"] = []string{"x"}, []string{"y"}
			if status := post(f, fields); status >= 500 {
				t.Errorf("%s: %s as an array: %d", key, name, status)
			}
		}
	}
	for _, email := range []string{"a\x00b", "a\xff", strings.Repeat("x", 100000)} {
		if status := post(form{"/login", nil}, url.Values{"email": {email}, "password": {"x"}}); status >= 500 {
			t.Errorf("sign in as %.10q: %d", email, status)
		}
	}
	// Addresses.
	var names []string
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(
			`(?:Get|Has|PostFormValue)\("([a-z_.]+)"\)`,
		).FindAllStringSubmatch(string(code), -1) {
			if !slices.Contains(names, m[1]) {
				names = append(names, m[1])
			}
		}
	}
	for shape := range seen {
		path, _, _ := strings.Cut(shape, "?")
		if strings.Contains(path, "*") {
			continue
		}
		for _, value := range []string{"%00", "%ff"} {
			if status, _, _ := get(t, c, "GET", server.URL+path+"?assistant="+value); status != 400 {
				t.Errorf("%s?assistant=%s: %d, not 400", path, value, status)
			}
		}
		for i, name := range names {
			value := []string{"-1", "99999999999999999999", "x", "%7B%7D"}[i%4]
			if status, _, _ := get(t, c, "GET", server.URL+path+"?"+name+"="+value); status >= 500 {
				t.Errorf("%s?%s=%s: %d", path, name, value, status)
			}
			sent++
		}
	}
	t.Logf("%d forms, %d requests", len(forms), sent)
	if log.Len() > 0 {
		t.Errorf("the log says %.1500s", log.String())
	}
}

// TestStrays holds that orders, columns and places in lists that a page does not know are refused, not passed over.
func TestStrays(t *testing.T) {
	t.Parallel()
	server, _ := site(t, nil)
	c := signIn(t, server.URL, "admin")
	for path, want := range map[string]int{
		"/conversations?range=7d&order=oldest": 200, "/conversations?range=7d&order=newest": 200, "/conversations?range=7d&order=upwards": 400, "/conversations?range=7d&cols=first,nothing": 400, "/conversations?range=7d&cols=first,started": 200,
		"/conversations?range=7d&page=x": 400, "/conversations?range=7d&cursor=x": 400, "/conversations?range=7d&offset=3": 400, "/conversations?range=7d&sort=started": 400, "/flows?range=7d&sort=missed": 200, "/flows?range=7d&sort=x": 400, "/flows?range=7d&order=oldest": 400,
		"/overview?range=7d&sort=x": 400, "/rejected?page=x": 400, "/rejected?page=1.x": 400, "/turns?range=7d&after=x": 400, "/turns?range=7d&page=1": 400, "/users/list?range=7d&page=older.1.x": 400, "/admin/audit?before=x": 400, "/admin/audit?page=2": 400, "/health?limit=5": 400,
	} {
		if status, _, _ := get(t, c, "GET", server.URL+path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
}

// TestHead holds that programs which only ask whether a page is there get an answer, with the rights of GET.
func TestHead(t *testing.T) {
	t.Parallel()
	server, _ := site(t, nil)
	c := signIn(t, server.URL, "viewer")
	for path, want := range map[string]int{"/login": 303, "/overview": 200, "/admin/users": 403, "/nothing": 404} {
		if status, body, _ := get(t, c, "HEAD", server.URL+path); status != want || body != "" {
			t.Errorf("%s: %d, want %d; %.100q", path, status, want, body)
		}
	}
}
