package web_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/demo"
	"turnwise/queries"
)

// writtenDown waits until so many entries of an area stand in the audit log, and returns them, the newest first.
func writtenDown(t *testing.T, pool *pgxpool.Pool, area string, n int) []queries.AuditEntry {
	t.Helper()
	var all []queries.AuditEntry
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if all, err = queries.AuditLog(t.Context(), pool, queries.AuditFilter{Area: area}, 100); err != nil {
			t.Fatal(err)
		}
		if len(all) >= n {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d entries of %s, want %d: %+v", len(all), area, n, all)
		}
	}
}

// TestReading holds that who reads what people said is written down, one entry a request, people and tokens alike,
// unless that is switched off; and who was refused.
func TestReading(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	feed(t, pool, demo.New(demo.Options{Conversations: 30, Days: 3, Until: time.Now(), Seed: 7}).Next)
	c := signIn(t, server.URL, "reviewer")
	get(t, c, "GET", server.URL+"/conversations?range=7d&id=somebody")
	_, body, _ := get(t, c, "GET", server.URL+"/conversations?range=7d")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`/conversations/([0-9a-f-]{36})`).FindAllStringSubmatch(body, -1) {
		listed[m[1]] = true
	}
	id := regexp.MustCompile(`/conversations/([0-9a-f-]{36})`).FindStringSubmatch(body)[1]
	get(t, c, "GET", server.URL+"/conversations/"+id)
	get(t, c, "GET", server.URL+"/conversations/00000000-0000-8000-8000-000000000000") // there is none
	get(t, c, "GET", server.URL+"/turns?range=7d")
	get(t, c, "GET", server.URL+"/overview?range=7d")             // figures are nobody's words
	get(t, c, "GET", server.URL+"/conversations/volume?range=7d") // nor are counts, unless somebody searches
	all := writtenDown(t, pool, "read", 4)
	if len(all) != 4 {
		t.Errorf("%d entries: %+v", len(all), all)
	}
	texts := ""
	for _, e := range all {
		texts += fmt.Sprintln(e.Act, e.Actor, e.ObjectID, e.Object, string(e.After))
		if e.Actor != "reviewer@example.org" || e.Address == "" {
			t.Errorf("%+v", e)
		}
	}
	for _, want := range []string{
		"read.conversation reviewer@example.org " + id, fmt.Sprintf(`"rows":%d}`, len(listed)), "range=7d",
	} {
		if !strings.Contains(texts, want) {
			t.Errorf("%q is not written down:\n%s", want, texts)
		}
	}
	if strings.Contains(texts, "somebody") {
		t.Errorf("who was looked for stands in the log:\n%s", texts)
	}
	// A token.
	secret, err := queries.NewToken(
		t.Context(), pool, access.Token{Name: "BI", Role: "analytics_admin", CreatedBy: "test", CreatedAt: time.Now()},
		0,
	)
	if err != nil {
		t.Fatal(err)
	}
	get(t, client(t), "GET", server.URL+"/conversations/"+id, "Authorization", "Bearer "+secret)
	if all = writtenDown(t, pool, "read", 5); all[0].Actor != "token BI" || all[0].ObjectID != id {
		t.Errorf("%+v", all[0])
	}
	// Refused, again and again.
	for range 5 {
		get(t, c, "GET", server.URL+"/admin/users")
		get(t, client(t), "GET", server.URL+"/overview", "Authorization", "Bearer no.such")
	}
	if all = writtenDown(t, pool, "request", 2); len(all) != 2 {
		t.Errorf("%d entries: %+v", len(all), all)
	}
	// Switched off, and on.
	admin := signIn(t, server.URL, "admin")
	for _, on := range []bool{false, true} {
		form := url.Values{"days": {"730"}}
		if on {
			form.Set("reads", "yes")
		}
		resp, err := admin.PostForm(server.URL+"/admin/audit/keep", form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		get(t, c, "GET", server.URL+"/conversations/"+id)
	}
	if all = writtenDown(t, pool, "read", 6); len(all) != 6 {
		t.Errorf("%d entries: %+v", len(all), all)
	}
	if _, body, _ := get(
		t, admin, "GET", server.URL+"/admin/audit?area=read",
	); !strings.Contains(body, "read a conversation") || strings.Count(body, "read a list") < 3 {
		t.Error("the page does not show who read")
	}
}
