package web_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/demo"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/work"
	"turnwise/web"
)

// reviewSite serves conversations with a clock that tests move.
type reviewSite struct {
	t    *testing.T
	url  string
	pool *pgxpool.Pool
	mu   sync.Mutex
	now  time.Time
}

func (s *reviewSite) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *reviewSite) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func newReviewSite(t *testing.T, conversations int) *reviewSite {
	t.Helper()
	s := &reviewSite{t: t, pool: dbtest.Pool(t), now: time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)}
	feed(t, s.pool, demo.New(demo.Options{Conversations: conversations, Days: 20, Until: s.now, Seed: 5}).Next)
	addUsers(t, s.pool)
	handler, stop := web.New(web.Config{
		Pool: s.pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, URL: "http://localhost",
		Ingest: http.NotFoundHandler(), Now: s.clock,
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	s.url = server.URL
	return s
}

// post sends a form and returns where it leads, with the status.
func (s *reviewSite) post(c *http.Client, path string, form url.Values) (status int, to string) {
	s.t.Helper()
	resp, err := c.PostForm(s.url+path, form)
	if err != nil {
		s.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 400 {
		return resp.StatusCode, string(b)
	}
	return resp.StatusCode, resp.Header.Get("Location")
}

func (s *reviewSite) count(sql string, args ...any) (n int) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), sql, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// queue makes one and returns its address.
func (s *reviewSite) queue(c *http.Client, form url.Values) string {
	s.t.Helper()
	for k, v := range map[string]string{"name": "check", "query": "range=90d", "seed": "7", "zone": "UTC"} {
		if !form.Has(k) {
			form.Set(k, v)
		}
	}
	status, to := s.post(c, "/queues", form)
	if status != http.StatusSeeOther {
		s.t.Fatalf("make a queue: %d %s", status, to)
	}
	return to
}

var itemAddress = regexp.MustCompile(`^/conversations/([0-9a-f-]{36})\?in=`)

// Two reviewers work two hundred items in parallel: none is given to both, none is lost; one whose session dies in the
// middle holds his item until it expires.
func TestTwoReviewers(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 260)
	supervisor := signIn(t, s.url, "supervisor")
	queue := s.queue(supervisor, url.Values{"count": {"200"}})
	id := strings.TrimPrefix(queue, "/queues/")
	if _, err := s.pool.Exec(t.Context(), `analyze`); err != nil { // plans as those of a database that is at work
		t.Fatal(err)
	}
	// Somebody takes one and is gone.
	_, dead := s.post(signIn(t, s.url, "admin"), queue+"/next", nil)
	held := itemAddress.FindStringSubmatch(dead)
	if held == nil {
		t.Fatalf("the first leads to %s", dead)
	}
	given := map[string]string{}
	var mu sync.Mutex
	reviewAs := func(role string) {
		c := signIn(t, s.url, role)
		_, to := s.post(c, queue+"/next", nil)
		for {
			m := itemAddress.FindStringSubmatch(to)
			if m == nil {
				if !strings.Contains(to, "done=yes") {
					t.Errorf("%s is led to %s", role, to)
				}
				return
			}
			mu.Lock()
			if other, twice := given[m[1]]; twice {
				t.Errorf("%s was given to %s and to %s", m[1], other, role)
			}
			given[m[1]] = role
			n := len(given)
			mu.Unlock()
			form := url.Values{"in": {id}, "reviewed": {"yes"}}
			if n%7 == 0 {
				form = url.Values{"in": {id}, "skip": {"yes"}}
			}
			_, to = s.post(c, "/conversations/"+m[1]+"/review", form)
		}
	}
	var both sync.WaitGroup
	for _, role := range []string{"reviewer", "supervisor"} {
		both.Go(func() { reviewAs(role) })
	}
	both.Wait()
	if len(given) != 199 || given[held[1]] != "" {
		t.Errorf("%d were given, the held one to %q", len(given), given[held[1]])
	}
	s.later(work.ClaimLasts + time.Second)
	reviewAs("reviewer")
	if len(given) != 200 || given[held[1]] != "reviewer" {
		t.Errorf("after the claim expired %d were given, the held one to %q", len(given), given[held[1]])
	}
	if n := s.count(
		`select count(*) from queue_items where ended in ('reviewed', 'skipped') and queue_id = $1`, id,
	); n != 200 {
		t.Errorf("%d are done", n)
	}
	if a, b := s.count(
		`select count(*) from reviews where reviewed_at is not null`,
	), s.count(`select count(*) from queue_items where ended = 'reviewed'`); a != b {
		t.Errorf("%d reviews, %d items reviewed", a, b)
	}
}

// Who comes back too late has his review kept, but not the item, which is somebody else's by then.
func TestLateReviewer(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 30)
	queue := s.queue(signIn(t, s.url, "supervisor"), url.Values{"count": {"1"}})
	id := strings.TrimPrefix(queue, "/queues/")
	slow, quick := signIn(t, s.url, "reviewer"), signIn(t, s.url, "admin")
	_, to := s.post(slow, queue+"/next", nil)
	s.later(work.ClaimLasts + time.Minute)
	if _, again := s.post(quick, queue+"/next", nil); again != to {
		t.Fatalf("%s, not %s", again, to)
	}
	item := itemAddress.FindStringSubmatch(to)[1]
	s.post(slow, "/conversations/"+item+"/review", url.Values{"in": {id}, "reviewed": {"yes"}})
	if n := s.count(`select count(*) from reviews where reviewed_at is not null`); n != 1 {
		t.Error("the late review is lost")
	}
	if n := s.count(`select count(*) from queue_items where ended_at is null`); n != 1 {
		t.Error("the item was taken from who holds it")
	}
}

// Undo restores state, rating and position; what somebody changed since stays.
func TestUndo(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 60)
	c := signIn(t, s.url, "supervisor")
	queue := s.queue(c, url.Values{"count": {"5"}})
	id := strings.TrimPrefix(queue, "/queues/")
	_, first := s.post(c, queue+"/next", nil)
	item := itemAddress.FindStringSubmatch(first)[1]
	at := "/conversations/" + item
	state := func() string {
		_, body, _ := get(t, c, "GET", s.url+at)
		m := regexp.MustCompile(`(?s)<p class="state ([a-z]+)"`).FindStringSubmatch(body)
		stars := regexp.MustCompile(`class="btn star on"[^>]*value="(\d)"`).FindStringSubmatch(body)
		if stars == nil {
			return m[1]
		}
		return m[1] + " " + stars[1]
	}
	s.post(c, at+"/review", url.Values{"in": {id}, "rating": {"4"}})
	if got := state(); got != "partial 4" {
		t.Errorf("rated: %s", got)
	}
	s.post(c, at+"/review", url.Values{"in": {id}, "reviewed": {"yes"}})
	if got := state(); got != "reviewed 4" {
		t.Errorf("reviewed: %s", got)
	}
	undo := func() (int, string) {
		_, body, _ := get(t, c, "GET", s.url+at+"?in="+id)
		m := regexp.MustCompile(`name="undo" value="([0-9a-f-]+)"`).FindStringSubmatch(body)
		if m == nil {
			t.Fatal("nothing to undo")
		}
		return s.post(c, "/undo", url.Values{"undo": {m[1]}, "in": {id}})
	}
	if _, to := undo(); to != first {
		t.Errorf("undo leads to %s, not %s", to, first)
	}
	if got := state(); got != "partial 4" {
		t.Errorf("after undo: %s", got)
	}
	if n := s.count(`select count(*) from queue_items where ended_at is not null`); n != 0 {
		t.Error("the item is still done")
	}
	undo()
	if got := state(); got != "unreviewed" {
		t.Errorf("after the second undo: %s", got)
	}
	// A tag that another removed meanwhile is not undone, nor one that another gave again.
	s.post(c, at+"/tags", url.Values{"name": {"odd"}})
	tag := s.one(`select id::text from tags`)
	s.post(signIn(t, s.url, "reviewer"), at+"/tags", url.Values{"tag": {tag}})
	if status, text := undo(); status != http.StatusBadRequest || !strings.Contains(text, "somebody changed it since") {
		t.Errorf("undo of what another undid: %d %.200s", status, text)
	}
	s.post(signIn(t, s.url, "reviewer"), at+"/tags", url.Values{"tag": {tag}})
	if status, _ := undo(); status != http.StatusBadRequest {
		t.Errorf("undo of what another did again: %d", status)
	}
}

func parse(t *testing.T, id string) conversation.UUID {
	t.Helper()
	u, err := conversation.ParseUUID(id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (s *reviewSite) one(sql string, args ...any) (text string) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), sql, args...).Scan(&text); err != nil {
		s.t.Fatal(err)
	}
	return text
}

// New events make a reviewed conversation partial again, and say why; a rebuild and a second import leave reviews,
// tags, notes and marks alone.
func TestReviewsStay(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 5)
	event := func(at time.Time, typ, text string) []byte {
		return []byte(
			fmt.Sprintf(
				`{"sender_id":"stay","event":%q,"timestamp":%d.5,"text":%q,"metadata":{"assistant_id":"bank"}}`, typ,
				at.Unix(), text,
			),
		)
	}
	start := s.now.Add(-2 * time.Hour)
	bodies := [][]byte{event(start, "user", "hello"), event(start.Add(time.Second), "bot", "Hello. How can I help?")}
	store := func(bodies ...[]byte) {
		i := 0
		feed(t, s.pool, func() ([]byte, bool) {
			i++
			return append(bodies, nil)[i-1], i <= len(bodies)
		})
	}
	store(bodies...)
	c := signIn(t, s.url, "reviewer")
	id := s.one(
		`select id::text from conversations where first_text = 'hello' and sender_id = (select id from senders where sender_key = 'stay')`,
	)
	at := "/conversations/" + id
	message := s.one(`select id::text from messages where conversation_id = $1 and author = 2`, id)
	s.post(c, at+"/tags", url.Values{"name": {"kept"}})
	s.post(c, at+"/marks", url.Values{"mark": {"bad " + message}})
	s.post(c, at+"/notes", url.Values{"text": {"look, @supervisor"}, "about": {"yes"}, "message": {message}})
	s.post(c, at+"/review", url.Values{"rating": {"5"}, "reviewed": {"yes"}})
	page := func() string {
		_, body, _ := get(t, c, "GET", s.url+at)
		return tag.ReplaceAllString(body[strings.Index(body, `id="work"`):strings.Index(body, "<h2>Facts")], " ")
	}
	holds := func(what string, texts ...string) {
		t.Helper()
		body := strings.Join(strings.Fields(page()), " ")
		for _, text := range texts {
			if !strings.Contains(body, text) {
				t.Errorf("%s: the panel lacks %q: %s", what, text, body)
			}
		}
	}
	holds("reviewed", "Reviewed by reviewer", "kept", "look, @supervisor", "on a message")
	store(bodies...) // the same again
	holds("imported twice", "Reviewed by reviewer")
	store(event(start.Add(time.Minute), "user", "more"), event(start.Add(61*time.Second), "bot", "Sure."))
	holds(
		"after two events", "Reviewed in part: 2 events came after the review by reviewer", "kept", "look, @supervisor",
	)
	// A late one, too: it lies before the others.
	store(event(start.Add(30*time.Second), "bot", "Still there?"))
	holds("after a late event", "3 events came after")
	if n := s.count(
		`select count(*) from mentions m join accounts u on u.id = m.account_id where u.name = 'supervisor'`,
	); n != 1 {
		t.Error("the supervisor is not called")
	}
	called := signIn(t, s.url, "supervisor")
	if _, body, _ := get(
		t, called, "GET", s.url+"/review",
	); !strings.Contains(body, "look, @supervisor") || !strings.Contains(body, "1 note calls you") {
		t.Error("the supervisor does not see who calls")
	}
	get(t, called, "GET", s.url+at)
	if _, body, _ := get(t, called, "GET", s.url+"/overview"); strings.Contains(body, "note calls you") {
		t.Error("a note that was seen still calls")
	}
	// The list tells the same states.
	for state, want := range map[string]int{"partial": 1, "reviewed": 0} {
		if _, body, _ := get(
			t, c, "GET", s.url+"/conversations?range=90d&review="+state,
		); !strings.Contains(body, fmt.Sprintf(`data-total="%d"`, want)) {
			t.Errorf("%s: not %d", state, want)
		}
	}
}

// Nobody's work is lost when two edit the same note or tag.
func TestEditedByTwo(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 5)
	c := signIn(t, s.url, "supervisor")
	at := "/conversations/" + s.one(`select id::text from conversations limit 1`)
	s.post(c, at+"/notes", url.Values{"text": {"first"}})
	note := s.one(`select id::text from notes`)
	if status, _ := s.post(c, at+"/notes", url.Values{
		"note": {note}, "revision": {"1"}, "text": {"second"},
	}); status != http.StatusSeeOther {
		t.Errorf("edit: %d", status)
	}
	status, body := s.post(c, at+"/notes", url.Values{
		"note": {note}, "revision": {"1"}, "text": {"from another window"},
	})
	if status != http.StatusUnprocessableEntity || !strings.Contains(body, "from another window") ||
		!strings.Contains(body, "second") {
		t.Errorf("the second edit: %d %.200s", status, body)
	}
	if status, _ := s.post(signIn(t, s.url, "reviewer"), at+"/notes", url.Values{
		"note": {note}, "revision": {"2"}, "text": {"not mine"},
	}); status != http.StatusNotFound {
		t.Errorf("somebody else's note: %d", status)
	}
	s.post(c, "/tags", url.Values{"name": {"a"}, "color": {"1"}})
	tag := s.one(`select id::text from tags`)
	s.post(c, "/tags/"+tag, url.Values{"name": {"b"}, "color": {"2"}, "revision": {"1"}})
	if status, body := s.post(c, "/tags/"+tag, url.Values{
		"name": {"c"}, "color": {"3"}, "revision": {"1"},
	}); status != http.StatusUnprocessableEntity || !strings.Contains(body, "changed meanwhile") {
		t.Errorf("the second change of a tag: %d %.200s", status, body)
	}
	if name := s.one(`select name from tags`); name != "b" {
		t.Errorf("the tag is %s", name)
	}
}

// A sample follows from seed and data alone, and its shares are what they say.
func TestSample(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 600)
	due := s.now
	q := work.Queue{
		ID: queries.NewID(), Query: "range=90d", Count: 40, Seed: 11,
		Shares: []work.Share{{Is: "", Percent: 50}, {Is: "unsatisfied", Percent: 30}, {Is: "escalated", Percent: 20}},
	}
	draw := func(q work.Queue) (ids []conversation.UUID, whys map[string]int) {
		t.Helper()
		all, population, err := work.Sample(t.Context(), s.pool, q, due, time.UTC)
		if err != nil || population < 500 {
			t.Fatalf("from %d, %v", population, err)
		}
		whys = map[string]int{}
		for _, d := range all {
			ids = append(ids, d.ID)
			whys[d.Why]++
		}
		return ids, whys
	}
	first, whys := draw(q)
	if whys["random"]+whys["random, as a share had too few"] < 20 || whys["Escalated conversations"] == 0 ||
		len(first) != 40 {
		t.Errorf("%d drawn: %v", len(first), whys)
	}
	again, _ := draw(q)
	if fmt.Sprint(first) != fmt.Sprint(again) {
		t.Error("the same seed draws others")
	}
	q.Seed = 12
	other, _ := draw(q)
	same := 0
	for _, id := range other {
		if slices.Contains(first, id) {
			same++
		}
	}
	if same > 25 { // of forty; some are few enough to be drawn by any seed
		t.Errorf("another seed draws %d of the same", same)
	}
	q.Count, q.Percent, q.Shares = 0, 10, nil
	if part, _ := draw(q); len(part) < 50 || len(part) > 70 {
		t.Errorf("10%% are %d", len(part))
	}
	seen := map[conversation.UUID]bool{}
	for _, id := range first {
		if seen[id] {
			t.Errorf("%s twice", id)
		}
		seen[id] = true
	}
}

// The weekly draw happens once at eight o'clock of Berlin on both Sundays on which clocks change, with two servers at
// it; a time missed while nobody was there is made up once.
func TestWeeklyDraw(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, sunday := range []time.Time{
		time.Date(2026, 3, 29, 8, 0, 0, 0, berlin), time.Date(2026, 10, 25, 8, 0, 0, 0, berlin),
	} {
		s := newReviewSite(t, 0)
		s.now = sunday.Add(-40 * time.Hour)
		feed(t, s.pool, demo.New(demo.Options{Conversations: 80, Days: 3, Until: s.now, Seed: 3}).Next)
		s.queue(signIn(t, s.url, "supervisor"), url.Values{
			"count": {"10"}, "schedule": {"Sundays 08:00"}, "zone": {"Europe/Berlin"},
		})
		draw := func(at time.Time) {
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					if err := jobs.DrawQueues(t.Context(), s.pool, time.UTC, at); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
		}
		drawn := func() int { return s.count(`select count(*) from queue_draws`) }
		draw(sunday.Add(-time.Second))
		if drawn() != 0 {
			t.Errorf("%s: drawn before", sunday)
		}
		draw(sunday)
		draw(sunday.Add(20 * time.Second))
		if drawn() != 1 || s.count(`select count(*) from queue_items`) != 10 {
			t.Errorf("%s: drawn %d times", sunday, drawn())
		}
		// Nobody is there for three Sundays.
		draw(sunday.AddDate(0, 0, 22))
		if n := drawn(); n != 2 {
			t.Errorf("%s: after a pause drawn %d times in all", sunday, n)
		}
	}
}

// Acts on all that match go on in parts, and are undone in parts.
func TestBulk(t *testing.T) {
	t.Parallel()
	s := newReviewSite(t, 450)
	c := signIn(t, s.url, "supervisor")
	s.post(c, "/tags", url.Values{"name": {"many"}, "color": {"1"}})
	tag := s.one(`select id::text from tags`)
	all := s.count(`select count(*) from conversations where started_at > '2026-09-28'`)
	status, to := s.post(c, "/conversations/act", url.Values{
		"do": {"tag"}, "tag": {tag}, "all": {"yes"}, "query": {""},
	})
	if status != http.StatusSeeOther || !strings.HasPrefix(to, "/acts/") {
		t.Fatalf("%d %s", status, to)
	}
	goOn := func() {
		t.Helper()
		for more := true; more; {
			if err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) (err error) {
				more, err = work.ContinueBulk(t.Context(), tx, nil, s.clock())
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	goOn()
	if n := s.count(`select count(*) from conversation_tags`); n != all || all < 400 {
		t.Errorf("%d of %d are tagged", n, all)
	}
	// One of them is untagged by hand: undo leaves that alone.
	s.post(
		c, "/conversations/"+s.one(`select conversation_id::text from conversation_tags limit 1`)+"/tags",
		url.Values{"tag": {tag}},
	)
	run := strings.SplitN(to, "?", 2)[0]
	if status, _ := s.post(c, run+"/undo", nil); status != http.StatusSeeOther {
		t.Errorf("undo: %d", status)
	}
	goOn()
	if n := s.count(`select count(*) from conversation_tags`) + s.count(`select count(*) from review_states`); n != 0 {
		t.Errorf("%d are left", n)
	}
	if status, _ := s.post(c, run+"/undo", nil); status != http.StatusNotFound {
		t.Errorf("undo twice: %d", status)
	}
	if status, _ := s.post(signIn(t, s.url, "reviewer"), run+"/undo", nil); status != http.StatusNotFound {
		t.Errorf("somebody else's: %d", status)
	}
	if status, text := s.post(
		c, "/conversations/act", url.Values{"do": {"tag"}, "tag": {tag}},
	); status != http.StatusBadRequest || !strings.Contains(text, "choose conversations first") {
		t.Errorf("nothing selected: %d", status)
	}
}
