package web_test

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/dashboard"
	"turnwise/demo"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
	"turnwise/web"
)

// canary stands in everything of the assistants that a limited user must not learn of.
const canary = "omegacanary"

var planted = regexp.MustCompile(
	`(\\?"(?:text|session_id|flow_id|model_id|model_name|sender_id|input_channel|user_id)\\?":\s*\\?")`,
)

// environments are where the assistants of TestLimits talk.
var environments = []string{"production", "staging", "test", "development"}

// threeAssistants stores conversations of three assistants in four environments, which are the same but for the canary
// in all that the second and third say.
func threeAssistants(t *testing.T, pool *pgxpool.Pool, now time.Time) {
	t.Helper()
	g := demo.New(demo.Options{Conversations: 400, Days: 20, Until: now.Add(-time.Hour), Seed: 7})
	bodies := make([][][]byte, len(environments))
	sender := regexp.MustCompile(`"sender_id":\s*"([^"]*)"`)
	for b, ok := g.Next(); ok; b, ok = g.Next() {
		if !bytes.Contains(b, []byte("harbour-bank")) {
			continue
		}
		at := &bodies[crc32.ChecksumIEEE(sender.FindSubmatch(b)[1])%uint32(len(environments))]
		*at = append(*at, b)
		for _, other := range []string{canary, canary + "-too"} {
			*at = append(
				*at,
				planted.ReplaceAll(
					bytes.ReplaceAll(b, []byte("harbour-bank"), []byte(other)), []byte("${1}"+other+"_"),
				),
			)
		}
	}
	for i, all := range bodies {
		if len(all) < 100 {
			t.Fatalf("%d events in %s", len(all), environments[i])
		}
		feedInto(t, pool, environments[i], func() (b []byte, ok bool) {
			if len(all) == 0 {
				return nil, false
			}
			b, all = all[0], all[1:]
			return b, true
		})
	}
	if err := jobs.IndexTexts(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if err := jobs.RollUp(
		t.Context(), pool, figures.NewGrid(time.UTC), -time.Second, func() time.Time { return now },
	); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `vacuum analyze`); err != nil {
		t.Fatal(err)
	}
}

// TestLimits: who is limited to an assistant learns nothing of others: not by any page that leads from those there are,
// as any role, nor by ids, filters, forms or files; and what there is of the own is as it would be without the others.
func TestLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	pool := dbtest.Pool(t)
	addUsers(t, pool)
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	threeAssistants(t, pool, now)
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		t.Fatal(err)
	}
	handler, stop := web.New(web.Config{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, URL: "http://localhost",
		Ingest: http.NotFoundHandler(), Jobs: queue, Now: func() time.Time { return now },
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	ctx := t.Context()
	ids := func(sql string, args ...any) []string {
		t.Helper()
		rows, _ := pool.Query(ctx, sql, args...)
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %v, %v", sql, all, err)
		}
		return all
	}
	const of = `(select a.id from assistants a where a.name = $1)`
	foreign := ids(
		`select c.id::text from conversations c where c.assistant_id = `+of+
			` and c.user_messages > 1 order by c.started_at desc limit 3`,
		canary,
	)
	own := ids(
		`select c.id::text from conversations c where c.assistant_id = `+of+
			` and c.user_messages > 1 order by c.started_at desc limit 3`,
		"harbour-bank",
	)

	// What an admin makes of the foreign one.
	admin := signIn(t, server.URL, "admin")
	post := func(c *http.Client, path string, form ...string) (int, string, string) {
		t.Helper()
		values := url.Values{}
		for i := 0; i+1 < len(form); i += 2 {
			values.Add(form[i], form[i+1])
		}
		resp, err := c.PostForm(server.URL+path, values)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("Location"), b.String()
	}
	made := func(path string, form ...string) {
		t.Helper()
		if status, _, body := post(admin, path, form...); status >= 400 || strings.Contains(body, `role="alert"`) {
			t.Fatalf("%s: %d %.2000s", path, status, body)
		}
	}
	made("/tags", "name", canary+" tag", "assistant", canary, "color", "1")
	made("/tags", "name", "of all", "assistant", "", "color", "1")
	ofAll := ids(`select id::text from tags where name = 'of all'`)[0]
	for _, id := range []string{foreign[0], foreign[1], own[0]} {
		made("/conversations/"+id+"/tags", "tag", ofAll, "do", "add")
	}
	made("/conversations/"+foreign[0]+"/notes", "text", canary+" note for @reviewer", "mention", "reviewer@example.org")
	made("/conversations/"+foreign[0]+"/review", "do", "review", "rating", "2")
	made(
		"/notes", "at", "2026-10-20T10:00", "text", canary+" mark", "assistant", canary, "shared", "yes", "back",
		"/overview",
	)
	made("/views", "name", canary+" view", "query", "assistant="+canary, "shared", "yes")
	made("/views", "name", canary+" left out", "query", "assistant.not="+canary, "shared", "yes")
	made("/queues", "name", canary+" queue", "query", "assistant="+canary+"&range=28d", "count", "5", "seed", "1")
	made("/queues", "name", "queue of all "+canary, "query", "range=28d", "count", "5", "seed", "1")
	made("/queues", "name", "own queue", "query", "assistant=harbour-bank&range=28d", "count", "5", "seed", "1")
	reviewer, err := queries.AccountByEmail(ctx, pool, "reviewer@example.org")
	if err != nil {
		t.Fatal(err)
	}
	made("/conversations/"+foreign[1]+"/assign", "to", reviewer.ID.String())
	made(
		"/reports", "name", canary+" report", "query", "assistant="+canary, "grain", "conversation", "formats", "csv",
		"schedule", "Mondays 08:00", "zone", "UTC", "destination", "mail", "recipients", "a@example.org", "if_empty",
		"send",
	)

	// What figures an unlimited user gets of the own assistant.
	figures := func(c *http.Client, path string) []string {
		t.Helper()
		status, body, _ := get(t, c, "GET", server.URL+path)
		if status != 200 {
			t.Fatalf("%s: %d", path, status)
		}
		var all []string
		for _, m := range anchor.FindAllStringSubmatch(body, -1) {
			all = append(all, m[2]+"/"+m[3]+" "+strings.TrimSpace(m[4]))
		}
		return all
	}
	pages := []string{"/overview", "/flows", "/latency", "/csat", "/intents", "/users", "/compare"}
	want := map[string][]string{}
	inPlace := []string{""}
	for _, environment := range environments {
		inPlace = append(inPlace, "&environment="+environment)
	}
	for _, p := range pages {
		for _, place := range inPlace {
			want[p+place] = figures(admin, p+"?range=14d"+place+"&assistant=harbour-bank")
		}
		if slices.Equal(want[p+inPlace[1]], want[p+inPlace[2]]) {
			t.Errorf("%s shows the same of two environments", p)
		}
	}

	for _, role := range []string{"viewer", "reviewer", "supervisor"} {
		if err := change(
			t, pool, role+"@example.org", func(u *access.Account) { u.Assistants = []string{"harbour-bank"} },
		); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range []string{"viewer", "reviewer", "supervisor"} {
		c := signIn(t, server.URL, role)
		for _, p := range pages {
			for _, place := range inPlace {
				if got := figures(c, p+"?range=14d"+place); role == "supervisor" && !slices.Equal(got, want[p+place]) {
					t.Errorf(
						"%s%s as %s shows other figures than for an admin who looks at the assistant:\n%v\n%v", p,
						place, role, got, want[p+place],
					)
				}
			}
		}
		n := roam(
			t, c, server.URL, role, canary,
			append(
				pages, "/conversations?range=28d", "/conversations?range=28d&q="+canary, "/overview?assistant="+canary,
				"/conversations?id="+foreign[0], "/review", "/review/reports", "/tags", "/reports", "/account",
				"/users/list", "/turns", "/conversations/"+own[0],
			),
		)
		t.Logf("%s: %d pages", role, n)
		if n < 60 {
			t.Errorf("only %d pages were reached as %s", n, role)
		}
		if _, body, _ := get(t, c, "GET", server.URL+"/tags"); role != "viewer" && !slices.ContainsFunc(
			anchor.FindAllStringSubmatch(body, -1),
			func(m []string) bool { return strings.Contains(m[0], "of+all") && strings.TrimSpace(m[4]) == "1" },
		) {
			t.Errorf("the tag of all as %s does not count the one conversation of the own assistant", role)
		}
		if status, _, _ := get(t, c, "GET", server.URL+"/health"); status != 403 {
			t.Errorf("Data health as a limited %s: %d", role, status)
		}
		// A foreign assistant is as one that does not exist.
		for _, p := range append(
			pages, "/conversations", "/conversations/volume", "/conversations/total", "/users/list", "/turns",
		) {
			alike(t, c, role, "GET", server.URL+p+"?range=14d&assistant=", canary, "nobody-knows")
		}
		// So are the things of one.
		for _, x := range []struct{ method, pattern, sql string }{
			{"GET", "/conversations/%s", `conversations c where c.assistant_id = ` + of},
			{"GET", "/conversations/%s/test.yml", `conversations c where c.assistant_id = ` + of},
			{"GET", "/conversations/%s/nlu.yml", `conversations c where c.assistant_id = ` + of},
			{"GET", "/conversations/%s/events.json", `conversations c where c.assistant_id = ` + of},
			{"POST", "/conversations/%s/review", `conversations c where c.assistant_id = ` + of},
			{"POST", "/conversations/%s/tags", `conversations c where c.assistant_id = ` + of},
			{"POST", "/conversations/%s/notes", `conversations c where c.assistant_id = ` + of},
			{"POST", "/conversations/%s/marks", `conversations c where c.assistant_id = ` + of},
			{"POST", "/conversations/%s/assign", `conversations c where c.assistant_id = ` + of},
			{"GET", "/conversations?view=%s", `saved_views c where name like $1 || '%'`},
			{"POST", "/views/%s", `saved_views c where name like $1 || '%'`},
			{"POST", "/views/%s/delete", `saved_views c where name like $1 || '%'`},
			{"GET", "/queues/%s", `queues c where name like '%' || $1 || '%'`},
			{"GET", "/queues/%s/mix", `queues c where name like '%' || $1 || '%'`},
			{"GET", "/queues/edit?of=%s", `queues c where name like '%' || $1 || '%'`},
			{"GET", "/conversations?range=28d&queue=%s", `queues c where name like '%' || $1 || '%'`},
			{"POST", "/queues/%s/close", `queues c where name like '%' || $1 || '%'`},
			{"POST", "/queues/%s/replace", `queues c where name like '%' || $1 || '%'`},
			{"POST", "/tags/%s", `tags c where name like $1 || '%'`},
			{"POST", "/notes/%s/delete", `chart_notes c where text like $1 || '%'`},
			{"GET", "/reports/%s", `schedules c where name like $1 || '%'`},
			{"POST", "/reports/%s/now", `schedules c where name like $1 || '%'`},
			{"POST", "/reports/%s/delete", `schedules c where name like $1 || '%'`},
		} {
			for _, id := range ids(`select c.id::text from `+x.sql+` limit 2`, canary) {
				alike(
					t, c, role, x.method, server.URL+strings.Replace(x.pattern, "%s", "", 1), id,
					"0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a11",
				)
			}
		}
		// Acts on many at once, and what is next of a queue.
		if role != "viewer" {
			if status, _, body := post(
				c, "/conversations/act", "do", "review", "c", foreign[0], "query", "range=28d",
			); status != 400 || !strings.Contains(body, "is empty") {
				t.Errorf("an act on a foreign conversation as %s: %d", role, status)
			}
			for _, id := range ids(
				`select id::text from queues where name like '%' || $1 || '%' or name = 'Assigned'`, canary,
			) {
				if _, to, _ := post(c, "/queues/"+id+"/next"); strings.Contains(to, "/conversations/") {
					t.Errorf("the next of a foreign queue as %s leads to %s", role, to)
				}
			}
			own := ids(`select id::text from queues where name = 'own queue'`)[0]
			if _, to, _ := post(c, "/queues/"+own+"/next"); !strings.Contains(to, "/conversations/") {
				t.Errorf("the next of the own queue as %s leads to %s", role, to)
			}
		}
	}
	// Nobody gives a limited colleague what he may not see.
	if _, _, body := post(
		admin, "/conversations/"+foreign[2]+"/assign", "to", reviewer.ID.String(),
	); !strings.Contains(body, "may not see") {
		t.Error("a foreign conversation is given to a limited reviewer")
	}
	// Files: rows, documents, those made in the background, and what a token reads.
	supervisor := signIn(t, server.URL, "supervisor")
	if _, _, csv := post(
		supervisor, "/exports", "grain", "message", "format", "csv", "query",
		"range=28d&assistant="+canary+"&assistant=harbour-bank",
	); strings.Contains(csv, canary) || strings.Count(csv, "\n") < 100 {
		t.Errorf("an export holds the foreign one, or nothing: %d lines", strings.Count(csv, "\n"))
	}
	secret, err := queries.NewToken(
		ctx, pool,
		access.Token{
			Name: "limited", Role: "analytics_admin", Assistants: []string{"harbour-bank"}, CreatedBy: "test",
			CreatedAt: now,
		},
		0,
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/rows?grain=event&format=jsonl&range=28d", "/rows?grain=conversation&format=csv&range=28d&assistant=" + canary,
		"/rows?grain=user&format=csv&range=28d",
	} {
		status, body, _ := get(t, client(t), "GET", server.URL+path, "Authorization", "Bearer "+secret)
		if status != 200 || strings.Contains(body, canary) && !strings.Contains(path, canary) {
			t.Errorf("%s with a limited token: %d, foreign %t", path, status, strings.Contains(body, canary))
		}
		if strings.Contains(path, canary) && strings.Count(body, "\n") > 12 { // the head alone
			t.Errorf("%s has rows", path)
		}
	}
	// In each environment it reads what an unlimited one reads of the assistant there, and no row stands in two.
	unlimited, err := queries.NewToken(
		ctx, pool, access.Token{Name: "unlimited", Role: "analytics_admin", CreatedBy: "test", CreatedAt: now}, 0,
	)
	if err != nil {
		t.Fatal(err)
	}
	rows := func(secret, query string) string {
		t.Helper()
		status, body, _ := get(
			t, client(t), "GET", server.URL+"/rows?grain=turn&format=csv&range=28d"+query, "Authorization",
			"Bearer "+secret,
		)
		if status != 200 {
			t.Fatalf("rows of %s: %d", query, status)
		}
		return body[strings.Index(body, "conversation"):] // after the lines that name the filter
	}
	all := strings.Count(rows(secret, ""), "\n")
	for _, place := range inPlace[1:] {
		got := rows(secret, place)
		if n := strings.Count(got, "\n"); n < 20 || got != rows(unlimited, place+"&assistant=harbour-bank") {
			t.Errorf(
				"rows%s with a limited token are others than with an unlimited one of that assistant, or %d lines are too few",
				place, n,
			)
		}
		all -= strings.Count(got, "\n") - 1
	}
	if all != 1 {
		t.Errorf("the rows of all environments are %d more than those of each", all-1)
	}
	u, err := queries.AccountByEmail(ctx, pool, "supervisor@example.org")
	if err != nil {
		t.Fatal(err)
	}
	document, err := dashboard.NewViewer(pool, u, time.UTC, now).Document(ctx, "overview", url.Values{"range": {"28d"}})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(document); err != nil || bytes.Contains(b, []byte(canary)) {
		t.Errorf("a report by mail holds the foreign one: %v", err)
	}
	e := queries.ExportFile{
		ID: queries.NewID(), AccountID: &u.ID, Title: "x", Query: metric.Filter{Range: metric.Range{Days: 28}}.Encode(),
		Grain: queries.ByMessage, Format: "csv", FileName: "x.csv", CreatedAt: now,
	}
	if err := queries.AddExport(ctx, pool, e); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Export(ctx, pool, e.ID, time.UTC, func() time.Time { return now }); err != nil {
		t.Fatal(err)
	}
	if part, err := queries.ExportPart(ctx, pool, e.ID, 0); err != nil || bytes.Contains(part, []byte(canary)) ||
		len(part) < 1000 {
		t.Errorf("an export in the background holds the foreign one, or nothing: %d bytes, %v", len(part), err)
	}
}

// TestNoTexts: who may not read conversations meets nothing that anybody said, on no page and in no file.
func TestNoTexts(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	o := newOffice(t, nil)
	const said = "saidcanary"
	texts := regexp.MustCompile(`("text":\s*")`)
	g := demo.New(demo.Options{Conversations: 200, Days: 20, Until: o.now.Add(-time.Hour), Seed: 7})
	feed(t, o.pool, func() ([]byte, bool) {
		b, ok := g.Next()
		return texts.ReplaceAll(b, []byte("${1}"+said+" ")), ok
	})
	if err := jobs.IndexTexts(t.Context(), o.pool); err != nil {
		t.Fatal(err)
	}
	from := []string{
		"/overview?range=28d", "/flows", "/latency", "/csat", "/intents?range=28d", "/users?range=28d", "/compare",
		"/reports", "/account", "/documents/intents?as=csv&range=28d", "/documents/csat?as=csv&range=28d", "/health",
	}
	if err := change(
		t, o.pool, "supervisor@example.org", func(u *access.Account) { no := false; u.Transcripts = &no },
	); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"viewer", "supervisor"} {
		c := signIn(t, o.url, role)
		if n := roam(t, c, o.url, role, said, from); n < 40 {
			t.Errorf("only %d pages were reached as %s", n, role)
		}
		for _, path := range []string{"/conversations", "/turns", "/users/list", "/review", "/rejected"} {
			if status, _ := o.get(c, path); status != 403 {
				t.Errorf("%s as %s: %d", path, role, status)
			}
		}
		for _, path := range []string{
			"/overview?range=28d&q=" + said, "/flows?q=" + said, "/documents/csat?as=csv&q=" + said, "/overview?id=x",
		} {
			if status, _ := o.get(c, path); status != 400 {
				t.Errorf("figures answer %s as %s: %d", path, role, status)
			}
		}
		for _, grain := range []string{"conversation", "message", "event", "turn"} {
			if status, _, body := o.post(
				c, "/exports", "grain", grain, "format", "csv", "query", "range=28d",
			); status == 200 || strings.Contains(body, said) {
				t.Errorf("an export by %s as %s: %d", grain, role, status)
			}
		}
	}
	if n := roam(
		t, signIn(t, o.url, "reviewer"), o.url, "reviewer", "no such word", []string{"/conversations?range=28d"},
	); n < 20 {
		t.Errorf("%d pages as reviewer", n)
	}
}

// alike asks for something foreign and for something that is not there, and compares the answers.
func alike(t *testing.T, c *http.Client, role, method, prefix, foreign, unknown string) {
	t.Helper()
	i := strings.LastIndex(prefix, "//")
	at := func(id string) string {
		if i > 8 { // an id within the address
			return prefix[:i+1] + id + prefix[i+1:]
		}
		return prefix + id
	}
	one, a, _ := get(t, c, method, at(foreign))
	two, b, _ := get(t, c, method, at(unknown))
	plain := func(body, id string) string {
		return stamps.ReplaceAllString(
			strings.ReplaceAll(strings.ReplaceAll(body, url.QueryEscape(id), "ID"), id, "ID"), "",
		)
	}
	if a, b := plain(a, foreign), plain(b, unknown); one != two || a != b {
		n := 0
		for n < min(len(a), len(b)) && a[n] == b[n] {
			n++
		}
		t.Errorf(
			"%s %s as %s: foreign %d, unknown %d; from byte %d:\n%.300s\n%.300s", method, at(foreign), role, one, two,
			n, a[max(0, min(n, len(a))-40):], b[max(0, min(n, len(b))-40):],
		)
	}
}

// stamps are what differs between two looks at the same page.
var stamps = regexp.MustCompile(`name="seed" value="\d+"`)

var ways = regexp.MustCompile(`(?:href|hx-get)="(/[^"]*)"`)

// roam follows the links of the pages, and of those behind them, to each route a few; the canary must stand on none of
// them.
func roam(t *testing.T, c *http.Client, base, role, canary string, from []string) int {
	t.Helper()
	seen, told, kinds := map[string]bool{}, map[string]bool{}, map[string]int{}
	todo := slices.Clone(from)
	n := 0
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		at, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		kind := idInPath.ReplaceAllString(at.Path, "{id}")
		if kinds[kind]++; kinds[kind] > 15 && !slices.Contains(from, path) || strings.HasPrefix(at.Path, "/static/") ||
			at.Query().Get("as") == "pdf" {
			continue
		}
		status, body, _ := get(t, c, "GET", base+path)
		n++
		if status >= 500 {
			t.Errorf("%s as %s: %d", path, role, status)
		}
		if i := strings.Index(
			strings.ToLower(strings.ReplaceAll(body, path, "")), canary,
		); i >= 0 && !strings.Contains(path, canary) {
			text := strings.ReplaceAll(body, path, "")
			if around := text[max(0, i-60):min(len(text), i+40)]; !told[around] {
				told[around] = true
				t.Errorf("%s as %s: ...%s...", path, role, around)
			}
		}
		if !strings.HasPrefix(body, "<!doctype html>") && !strings.HasPrefix(body, "<") {
			continue
		}
		for _, m := range ways.FindAllStringSubmatch(body, -1) {
			todo = append(todo, html.UnescapeString(m[1]))
		}
	}
	return n
}

var idInPath = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
