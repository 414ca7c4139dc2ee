package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// Search finds words, phrases, beginnings, without accents and case, in all scripts, ids, tags and notes; what is only
// asked for within other filters stays within them.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 40)
	at := s.now.Add(-400 * 24 * time.Hour) // in all history
	texts := []string{
		"Where is my Päckchen? I ordered a Kühlschrank", "please block my card", "my card, block it please", "荷物はどこですか",
		"ما هو رصيدي", "ไปรษณีย์อยู่ที่ไหน", "reference XK-4411-Z",
	}
	i := 0
	feed(t, s.pool, func() ([]byte, bool) {
		if i == len(texts) {
			return nil, false
		}
		i++
		return []byte(
			fmt.Sprintf(
				`{"sender_id":"find-%d","event":"user","timestamp":%d.5,"text":%q,"input_channel":"web","metadata":{"assistant_id":"bank"}}`,
				i-1, at.Unix()+int64(i), texts[i-1],
			),
		), true
	})
	if err := jobs.IndexTexts(t.Context(), s.pool); err != nil {
		t.Fatal(err)
	}
	if n, err := queries.SearchBacklog(t.Context(), s.pool); err != nil || n != 0 {
		t.Fatalf("%d are left to index, %v", n, err)
	}
	c := signIn(t, s.url, "reviewer")
	found := func(query string, more ...string) string {
		t.Helper()
		_, body, _ := get(t, c, "GET", s.url+"/conversations?q="+url.QueryEscape(query)+strings.Join(more, ""))
		m := heldText.FindStringSubmatch(body)
		if m == nil {
			return "error: " + body[:min(300, len(body))]
		}
		return m[1]
	}
	id := s.one(
		`select c.id::text from conversations c join senders s on s.id = c.sender_id where s.sender_key = 'find-1'`,
	)
	for query, want := range map[string]string{
		"päckchen": "1", "PACKCHEN": "1", "kuhlschrank": "1", "kühlschr*": "1", "kühlschrnak": "1", `"block my card"`: "1", "荷物": "1", "どこ": "1", "رصيدي": "1", "อยู่ที่": "1",
		"XK-4411-Z": "1", "find-3": "1", id: "1", id[:8]: "1", "zzzzqqq": "0", "päckchen OR 荷物": "2", "ordered -fridge": "1", "ordered -my": "0",
	} {
		if got := found(query, "&channel=web"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := found("päckchen", "&range=28d"); got != "0" {
		t.Errorf("within 28 days: %s", got)
	}
	if status, body, _ := get(
		t, c, "GET", s.url+"/conversations?q=-card",
	); status != http.StatusBadRequest || !strings.Contains(body, "needs a word that is to be there") {
		t.Errorf("a search for what is not there: %d", status)
	}
	// What has no letters and no digits finds nothing, and nothing is done to what it did not find.
	if got := found("…!?"); got != "0" {
		t.Errorf("no word finds %s", got)
	}
	if status, text := s.post(c, "/conversations/act", url.Values{
		"do": {"review"}, "all": {"yes"}, "query": {"q=…!?"},
	}); status != http.StatusBadRequest || !strings.Contains(text, "choose conversations first") {
		t.Errorf("all that no word finds are acted on: %d", status)
	}
	// Notes and tags are found a moment later, and no longer when they are gone.
	s.post(c, "/conversations/"+id+"/notes", url.Values{"text": {"a curious wombat"}})
	s.post(c, "/conversations/"+id+"/tags", url.Values{"name": {"zoo visit"}})
	index := func() {
		t.Helper()
		if err := jobs.IndexTexts(t.Context(), s.pool); err != nil {
			t.Fatal(err)
		}
	}
	index()
	if a, b := found("wombat"), found(`"zoo visit"`); a != "1" || b != "1" {
		t.Errorf("note %s, tag %s", a, b)
	}
	s.post(c, "/conversations/"+id+"/notes", url.Values{
		"note": {s.one(`select id::text from notes`)}, "revision": {"1"}, "delete": {"yes"},
	})
	index()
	if got := found("wombat"); got != "0" {
		t.Errorf("a deleted note is found: %s", got)
	}
	// What was redacted is no longer found.
	done := false
	feed(t, s.pool, func() ([]byte, bool) {
		if done {
			return nil, false
		}
		done = true
		return []byte(
			fmt.Sprintf(
				`{"sender_id":"find-1","event":"user","timestamp":%d.5,"text":"please ***","input_channel":"web","metadata":{"assistant_id":"bank"},"anonymized_at":%d.5}`,
				at.Unix()+2, at.Unix()+900,
			),
		), true
	})
	index()
	if a, b := found(`"block my card"`, "&channel=web"), found(`"zoo visit"`); a != "0" || b != "1" {
		t.Errorf("after redaction the text is found %s times, the tag %s times", a, b)
	}
}

// A saved view that can no longer be read as it was saved is refused, never widened.
func TestSavedViews(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 20)
	c := signIn(t, s.url, "supervisor")
	status, to := s.post(c, "/views", url.Values{
		"name": {"Mine"}, "query": {"csat=UNSATISFIED&range=90d"}, "columns": {"started,review,tags"},
	})
	if status != http.StatusSeeOther {
		t.Fatalf("%d %s", status, to)
	}
	_, _, h := get(t, c, "GET", s.url+to)
	if got := h.Get("Location"); !strings.Contains(got, "csat=UNSATISFIED") || !strings.Contains(
		got, "cols=first%2Cstarted%2Creview%2Ctags",
	) {
		t.Errorf("it opens %s", got)
	}
	if status, _, _ := get(t, signIn(t, s.url, "reviewer"), "GET", s.url+to); status != http.StatusNotFound {
		t.Errorf("somebody else's view: %d", status)
	}
	if _, err := s.pool.Exec(t.Context(), `update saved_views set query = query || '&mood=bad'`); err != nil {
		t.Fatal(err)
	}
	if status, body, _ := get(t, c, "GET", s.url+to); status != http.StatusConflict ||
		!strings.Contains(body, "no longer known") {
		t.Errorf("a view that asks for what is not known: %d %.300s", status, body)
	}
}

// What is handed on: a test, training examples, events.
func TestHandOn(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 30)
	c := signIn(t, s.url, "reviewer")
	id := s.one(`select id::text from conversations where user_messages > 2 order by user_messages desc limit 1`)
	at := s.url + "/conversations/" + id
	if _, body, h := get(t, c, "GET", at+"/test.yml"); !strings.HasPrefix(body, "test_cases:\n") ||
		!strings.Contains(body, "- user: ") || !strings.Contains(h.Get("Content-Disposition"), "attachment") {
		t.Errorf("test: %s", body)
	}
	understood := s.one(
		`select conversation_id::text from messages where author = 1 and intent <> '' and text not like '/%' limit 1`,
	)
	if _, body, _ := get(
		t, c, "GET", s.url+"/conversations/"+understood+"/nlu.yml",
	); !strings.HasPrefix(body, `version: "3.1"`) || !strings.Contains(body, "examples: |") {
		t.Errorf("examples: %s", body)
	}
	// What the platform made is no user's step, and what has no intent no example.
	if _, err := s.pool.Exec(
		t.Context(), `update messages set intent = '' where conversation_id = $1`, id,
	); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(
		t.Context(), `update turns set platform = true where conversation_id = $1 and n = 1`, id,
	); err != nil {
		t.Fatal(err)
	}
	first := s.one(
		`select coalesce(text, '') from messages where conversation_id = $1 and author = 1 order by seq limit 1`, id,
	)
	if _, body, _ := get(t, c, "GET", at+"/nlu.yml"); strings.Contains(body, "examples: |") {
		t.Errorf("examples of no intent: %s", body)
	}
	steps := s.count(`select count(*)::int from messages where conversation_id = $1 and author = 1 and text <> ''`, id)
	if _, body, _ := get(t, c, "GET", at+"/test.yml"); strings.Count(body, "- user: ") != steps-1 && first != "" {
		t.Errorf("steps of a user, of %d messages one of the platform: %s", steps, body)
	}
	if _, body, _ := get(t, c, "GET", at+"/events.json"); strings.Count(body, `"sender_id"`) != s.count(
		`select events from conversations where id = $1`, id,
	) {
		t.Errorf("events: %.300s", body)
	}
}

// Criteria by tag judge by what reviewers say, and count again when a tag comes or goes: rolled up, and while they are
// not.
func TestCriteriaByTag(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 300)
	g := figures.NewGrid(time.UTC)
	c := signIn(t, s.url, "supervisor")
	id, err := queries.DraftCriteria(
		t.Context(), s.pool, "parcel-desk",
		metric.Criteria{Included: []string{"track_parcel"}, Started: true, Tag: "Exemplary", NoTag: "rude"}, "ann",
		s.now,
	)
	if err == nil {
		err = pgx.BeginFunc(
			t.Context(), s.pool,
			func(tx pgx.Tx) error { return queries.ActivateCriteria(t.Context(), tx, id, "ann", s.now) },
		)
	}
	if err != nil {
		t.Fatal(err)
	}
	rollUp := func() {
		t.Helper()
		if err := jobs.RollUp(t.Context(), s.pool, g, -time.Second, s.clock); err != nil {
			t.Fatal(err)
		}
	}
	rollUp()
	check := func(what string, want int64) {
		t.Helper()
		for _, rolled := range []bool{false, true} {
			if rolled {
				rollUp()
			}
			got, err := figures.Count(t.Context(), s.pool, figures.Question{
				Filter: metric.Filter{Range: metric.Range{Days: 28}}, Now: s.now, Grid: g,
			})
			if err != nil {
				t.Fatal(err)
			}
			var n, judged int64
			for _, cell := range got.Cells {
				n += cell.Tally.Count(metric.Succeeded)
				judged += cell.Tally.Count(metric.Judged)
			}
			if n != want || judged == 0 {
				t.Errorf("%s, rolled up %t: %d of %d are a success, want %d", what, rolled, n, judged, want)
			}
		}
	}
	at := "/conversations/" + s.one(
		`select c.id::text from conversations c join flow_runs r on r.sender_id = c.sender_id and r.conversation_id = c.id where r.flow_id = 'track_parcel' and r.starts > 0 order by c.id limit 1`,
	)
	check("before", 0)
	s.post(c, at+"/tags", url.Values{"name": {"exemplary"}})
	check("tagged", 1)
	s.post(c, at+"/tags", url.Values{"name": {"rude"}})
	check("ruled out", 0)
	s.post(c, "/tags/"+s.one(`select id::text from tags where name = 'rude'`), url.Values{"do": {"delete"}})
	check("the ruling tag deleted", 1)
	s.post(
		c, "/tags/"+s.one(`select id::text from tags where name = 'exemplary'`),
		url.Values{"name": {"other"}, "color": {"1"}, "revision": {"1"}},
	)
	check("renamed", 0)
}
