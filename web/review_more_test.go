package web_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
)

// goOn ends all that is to be done to many.
func (s *reviewSite) goOn() {
	s.t.Helper()
	for more := true; more; {
		if err := pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) (err error) {
			more, err = work.ContinueBulk(s.t.Context(), tx, nil, s.clock())
			return err
		}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *reviewSite) user(role string) string {
	return s.one(`select id::text from accounts where name = $1`, role)
}

// Whoever acts on a conversation at once, none of it is lost, and its state is what its reviews say.
func TestActsAtOnce(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 20)
	clients := map[string]*http.Client{}
	for _, role := range []string{"reviewer", "supervisor", "admin"} {
		clients[role] = signIn(t, s.url, role)
	}
	for i, id := range strings.Fields(
		s.one(`select string_agg(id::text, ' ') from (select id from conversations limit 12) as c`),
	) {
		at := "/conversations/" + id
		var all sync.WaitGroup
		for _, act := range []struct {
			role, path string
			form       url.Values
		}{
			{"reviewer", "/review", url.Values{"reviewed": {"yes"}}},
			{"reviewer", "/review", url.Values{"rating": {"4"}}},
			{"supervisor", "/tags", url.Values{"name": {fmt.Sprint("tag ", i)}}},
			{"admin", "/notes", url.Values{"text": {"seen"}}},
		} {
			c := clients[act.role]
			all.Go(func() {
				if status, to := s.post(c, at+act.path, act.form); status != http.StatusSeeOther {
					t.Errorf("%s: %d %.200s", act.path, status, to)
				}
			})
		}
		all.Wait()
	}
	if n := s.count(`select count(*) from review_states where reviewed_at is not null and rating = 4`); n != 12 {
		t.Errorf("%d of 12 are reviewed and rated", n)
	}
}

// What is done to many ends also when its tag is deleted meanwhile, or is another assistant's; the next one goes on.
func TestBulkOfGoneTag(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 300)
	c := signIn(t, s.url, "supervisor")
	s.post(c, "/tags", url.Values{"name": {"short-lived"}, "color": {"1"}})
	s.post(c, "/tags", url.Values{"name": {"for parcels"}, "color": {"2"}, "assistant": {"parcel-desk"}})
	start := func(name string) {
		t.Helper()
		run := work.BulkRun{ID: queries.NewID(), Kind: work.BulkTag, Words: name, CreatedAt: s.clock()}
		id := parse(t, s.one(`select id::text from tags where name = $1`, name))
		run.Subject, run.AccountID = &id, parse(t, s.user("supervisor"))
		s.later(time.Second)
		if err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
			_, err := work.StartBulk(
				t.Context(), tx, run, nil, metric.Filter{Range: metric.Range{Days: 90}}, nil, s.clock(), time.UTC,
			)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	start("short-lived")
	start("for parcels")
	s.post(c, "/tags/"+s.one(`select id::text from tags where name = 'short-lived'`), url.Values{"do": {"delete"}})
	s.goOn()
	s.goOn()
	if n := s.count(`select count(*) from bulk_runs where ended_at is null`); n != 0 {
		t.Errorf("%d go on for ever", n)
	}
	tagged, of := s.count(`select count(*) from conversation_tags`), s.count(
		`select count(*) from conversations c join assistants a on a.id = c.assistant_id where a.name = 'parcel-desk'`,
	)
	if tagged != of || of == 0 {
		t.Errorf("%d are tagged, the assistant has %d", tagged, of)
	}
}

// An assignment of many that is undone leaves to everybody what he had before.
func TestUndoAssignment(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 30)
	c := signIn(t, s.url, "supervisor")
	ids := strings.Fields(
		s.one(
			`select string_agg(id::text, ' ' order by id) from (select id from conversations order by id limit 6) as c`,
		),
	)
	assign := func(to string, ids ...string) string {
		t.Helper()
		status, run := s.post(c, "/conversations/act", url.Values{
			"do": {"assign"}, "to": {s.user(to)}, "c": ids, "query": {""},
		})
		if status != http.StatusSeeOther {
			t.Fatalf("%d %s", status, run)
		}
		return strings.SplitN(run, "?", 2)[0]
	}
	state := func() string {
		return s.one(
			`select coalesce(string_agg(u.name || ' ' || i.ended, ', ' order by i.conversation_id), '') from queue_items i join accounts u on u.id = i.for_account`,
		)
	}
	assign("reviewer", ids[0], ids[1])
	assign("admin", ids[2], ids[3])
	if _, err := s.pool.Exec(
		t.Context(),
		`update queue_items set ended = 'reviewed', ended_at = now(), ended_by = for_account where conversation_id = $1`,
		ids[3],
	); err != nil {
		t.Fatal(err)
	}
	before := state()
	run := assign("reviewer", ids...)
	if now := state(); now != strings.Join(
		[]string{"reviewer ", "reviewer ", "reviewer ", "reviewer ", "reviewer ", "reviewer "}, ", ",
	) {
		t.Errorf("assigned: %s", now)
	}
	s.post(c, run+"/undo", nil)
	if after := state(); after != before {
		t.Errorf("after undo: %s\nbefore: %s", after, before)
	}
}

// A tag that is to be left out and is not there matches nothing: the filter says so, and a queue draws nothing of it.
// Names are compared without case in all alphabets.
func TestTagLeftOut(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 40)
	c := signIn(t, s.url, "supervisor")
	at := "/conversations/" + s.one(`select id::text from conversations order by id limit 1`)
	s.post(c, at+"/tags", url.Values{"name": {"Überfällig"}})
	total := func(query string) string {
		t.Helper()
		_, body, _ := get(t, c, "GET", s.url+"/conversations?range=90d&"+query)
		return heldText.FindStringSubmatch(body)[1]
	}
	all := s.count(`select count(*) from conversations`)
	if a, b := total("tag=Überfällig"), total("tag.not=Überfällig"); a != "1" || b != fmt.Sprint(all-1) {
		t.Errorf("with the tag %s, without %s of %d", a, b, all)
	}
	if got := total("tag.not=gone"); got != "0" {
		t.Errorf("without a tag that is not there: %s", got)
	}
	if _, body, _ := get(
		t, c, "GET", s.url+"/conversations?range=90d&tag.not=gone",
	); !strings.Contains(body, "There is no tag “gone” any more") {
		t.Error("nobody says why")
	}
}

// Items of who no longer reviews are for the others; a closed queue gives out nothing.
func TestWhoLeft(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 60)
	c := signIn(t, s.url, "supervisor")
	reviewer, admin := s.user("reviewer"), s.user("admin")
	queue := s.queue(c, url.Values{
		"count": {"10"}, "person": {reviewer, admin}, "part." + reviewer: {"1"}, "part." + admin: {"1"},
	})
	mine := signIn(t, s.url, "admin")
	if n := s.count(`select count(*) from queue_items where for_account = $1`, reviewer); n != 5 {
		t.Errorf("%d of 10 are the reviewer's", n)
	}
	if _, err := s.pool.Exec(t.Context(), `update accounts set disabled = true where id = $1`, reviewer); err != nil {
		t.Fatal(err)
	}
	_, to := s.post(mine, queue+"/next", nil)
	done := 0
	for m := itemAddress.FindStringSubmatch(to); m != nil; m = itemAddress.FindStringSubmatch(to) {
		done++
		if done == 9 {
			s.post(c, queue+"/close", nil)
		}
		_, to = s.post(mine, "/conversations/"+m[1]+"/review", url.Values{
			"in": {strings.TrimPrefix(queue, "/queues/")}, "reviewed": {"yes"},
		})
	}
	if done != 9 {
		t.Errorf(
			"%d were given out: five of the admin's, the reviewer's then, and none after the queue was closed", done,
		)
	}
	if status, _ := s.post(
		c, "/queues/61730000-0000-8000-8000-000000000001/close", nil,
	); status != http.StatusNotFound {
		t.Errorf("the queue of assignments can be closed: %d", status)
	}
}

// A note is found also when its conversation was never indexed before, and what takes no room in an index stops nobody.
func TestIndexGoesOn(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 0)
	at := s.now.Add(-time.Hour)
	texts := []string{"ก" + strings.Repeat("็", 900), strings.Repeat("x", 5000), "plain"}
	i := 0
	feed(t, s.pool, func() ([]byte, bool) {
		if i == len(texts) {
			return nil, false
		}
		i++
		return []byte(
			fmt.Sprintf(
				`{"sender_id":"long-%d","event":"user","timestamp":%d.5,"text":%q,"metadata":{"assistant_id":"bank"}}`,
				i-1, at.Unix()+int64(i), texts[i-1],
			),
		), true
	})
	c := signIn(t, s.url, "reviewer")
	s.post(
		c, "/conversations/"+s.one(`select id::text from conversations where first_text = 'plain'`)+"/notes",
		url.Values{"text": {"a wombat"}},
	)
	if err := jobs.IndexTexts(t.Context(), s.pool); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"plain", "wombat", "xxxx*"} {
		if _, body, _ := get(t, c, "GET", s.url+"/conversations?q="+q); heldText.FindStringSubmatch(body)[1] != "1" {
			t.Errorf("%s is not found", q)
		}
	}
}

// The oldest first is the newest first turned around, page by page, with and without a search; a saved view keeps the
// order.
func TestOldestFirst(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 130)
	if err := jobs.IndexTexts(t.Context(), s.pool); err != nil {
		t.Fatal(err)
	}
	c := signIn(t, s.url, "reviewer")
	row := regexp.MustCompile(`name="c" value="([0-9a-f-]{36})"`)
	link := func(body, to string) string {
		m := regexp.MustCompile(`href="(/conversations\?[^"]*page=` + to + `[^"]*)" hx-get`).FindStringSubmatch(body)
		if m == nil {
			return ""
		}
		return html.UnescapeString(m[1])
	}
	walk := func(from, to string) (ids []string, pages []string) {
		t.Helper()
		for at := from; at != "" && len(pages) < 9; {
			_, body, _ := get(t, c, "GET", s.url+at)
			for _, m := range row.FindAllStringSubmatch(body, -1) {
				ids = append(ids, m[1])
			}
			pages = append(pages, at)
			at = link(body, to)
		}
		return ids, pages
	}
	for _, q := range []string{"range=90d", "range=90d&q=card+OR+parcel"} {
		newest, pages := walk("/conversations?"+q, "older")
		oldest, turned := walk("/conversations?order=oldest&"+q, "newer")
		slices.Reverse(oldest)
		if len(newest) < 51 || !slices.Equal(newest, oldest) || len(pages) != len(turned) {
			t.Errorf(
				"%s: %d newest first on %d pages, %d oldest first on %d, not the same", q, len(newest), len(pages),
				len(oldest), len(turned),
			)
		}
		_, first, _ := get(t, c, "GET", s.url+turned[0])
		_, second, _ := get(t, c, "GET", s.url+turned[1])
		if link(first, "older") != "" || link(second, "older") == "" {
			t.Errorf("%s: the ways back are %q and %q", q, link(first, "older"), link(second, "older"))
		}
	}
	_, to := s.post(c, "/views", url.Values{"name": {"Old ones"}, "query": {"range=90d"}, "order": {"oldest"}})
	if _, _, h := get(t, c, "GET", s.url+to); !strings.Contains(h.Get("Location"), "order=oldest") {
		t.Errorf("the view opens %s", h.Get("Location"))
	}
}
