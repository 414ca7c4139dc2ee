package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/demo"
	"turnwise/queries"
)

// An admin drafts criteria, sees what they change, puts them into force, changes them and goes back; each figure on
// the way is the length of its list, and the charts follow.
func TestCriteria(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	server, pool := site(t, nil)
	// None is open: one that closed meanwhile would be counted otherwise than it is listed.
	feed(t, pool, demo.New(demo.Options{Conversations: 150, Days: 6, Until: time.Now().Add(-3 * time.Hour), Seed: 5}).Next)
	c := signIn(t, server.URL, "admin")
	k := &crawler{t: t, c: c, url: server.URL, lists: map[string]int64{}}
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		resp, err := c.PostForm(server.URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Location")
	}
	form := func(rules ...string) url.Values {
		v := url.Values{"assistant": {"harbour-bank"}, "any": {"yes"}, "started": {"no"}}
		for i := 0; i+1 < len(rules); i += 2 {
			v.Add("flow", rules[i])
			v.Add("rule", rules[i+1])
		}
		return v
	}
	if body := k.page("/overview?range=7d"); strings.Contains(body, ">Success<") {
		t.Error("a rate of success without criteria")
	}
	for _, bad := range []url.Values{
		form("check_balance", "out"), form("a", "in", "a", "out"),
		{"assistant": {"harbour-bank"}, "return_days": {"x"}, "flow": {"a"}, "rule": {"in"}},
	} {
		if status, _ := post("/criteria", bad); status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d", bad, status)
		}
	}
	status, first := post("/criteria", form("check_balance", "in", "transfer_money", "in", "block_card", "out"))
	if status != http.StatusSeeOther {
		t.Fatalf("draft: %d", status)
	}
	if body := k.page(first); !strings.Contains(body, "Not active") {
		t.Errorf("the draft: %.400s", body)
	}
	if body := k.page("/overview?range=7d"); strings.Contains(body, ">Success<") {
		t.Error("a draft is in force")
	}
	if status, _ := post(first+"/use", nil); status != http.StatusSeeOther {
		t.Fatalf("use: %d", status)
	}
	k.lists = map[string]int64{}
	before := k.page("/overview?range=7d")
	if !strings.Contains(before, ">Success<") || !strings.Contains(before, "criteria, admin") {
		t.Error("the charts show neither the rate of success nor that the criteria changed")
	}
	_, second := post("/criteria", form("check_balance", "in"))
	body := k.page(second)
	if !strings.Contains(body, "to not judged") || !strings.Contains(body, "→") {
		t.Errorf("what changes is not told: %.2000s", body)
	}
	if status, _ := post(second+"/use", nil); status != http.StatusSeeOther {
		t.Fatalf("use: %d", status)
	}
	if status, _ := post(second+"/use", nil); status != http.StatusSeeOther {
		t.Errorf("twice: %d", status)
	}
	_, restored := post(first+"/use", nil)
	if restored == first {
		t.Error("the past was changed")
	}
	k.lists = map[string]int64{}
	if body := k.page(restored); strings.Count(body, "since ") < 4 {
		t.Errorf("the history lacks versions: %.2000s", body)
	}
	card := func(body string) string {
		i := strings.Index(body, ">Success<")
		return body[i : i+400]
	}
	if after := k.page("/overview?range=7d"); card(after) != card(before) {
		t.Errorf("restored: %s, before: %s", card(after), card(before))
	}
	k.page("/criteria")
}

// TestConflict holds that of two who do the same at a time one succeeds and the other is told so.
func TestConflict(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	feed(t, o.pool, demo.New(demo.Options{Conversations: 20, Days: 2, Until: time.Now(), Seed: 5}).Next)
	c := signIn(t, o.url, "admin")
	status, draft, body := o.post(
		c, "/criteria", "assistant", "harbour-bank", "any", "yes", "started", "no", "flow", "check_balance", "rule",
		"in",
	)
	if status != http.StatusSeeOther {
		t.Fatalf("draft: %d %.300s", status, body)
	}
	type answer struct {
		status int
		body   string
	}
	answers := make(chan answer, 2)
	// what both must have is taken until both wait for it
	if err := pgx.BeginFunc(t.Context(), o.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `select from success_criteria for update`); err != nil {
			return err
		}
		for range 2 {
			go func() {
				status, _, body := o.post(c, draft+"/use")
				answers <- answer{status, body}
			}()
		}
		for waiting := 0; waiting < 2 && len(answers) == 0; {
			if err := o.pool.QueryRow(
				t.Context(),
				`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
			).Scan(&waiting); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	got := map[int]string{}
	for range 2 {
		a := <-answers
		got[a.status] = a.body
	}
	if _, ok := got[http.StatusSeeOther]; !ok || !strings.Contains(got[http.StatusConflict], "Changed meanwhile") {
		t.Errorf("two use a draft: %v %.300s", ok, got[http.StatusConflict])
	}
	if all, err := queries.CriteriaOf(t.Context(), o.pool, "harbour-bank"); err != nil || len(all) != 1 {
		t.Errorf("%d criteria are in force or were, %v", len(all), err)
	}
}
