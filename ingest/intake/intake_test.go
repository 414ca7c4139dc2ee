package intake_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"turnwise/access"
	"turnwise/ingest"
	"turnwise/ingest/intake"
	"turnwise/ingest/mapped"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

func TestMain(m *testing.M) {
	mapped.WorkIfAsked()
	dbtest.Main(m)
}

// When more comes than can be stored, senders are told to wait; nobody's memory fills. What was refused goes
// through when it is sent again.
func TestOverload(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	quiet := slog.New(slog.DiscardHandler)
	server := httptest.NewServer(intake.New(pool, ingest.NewWriter(pool, quiet), quiet))
	t.Cleanup(server.Close)
	secret, err := queries.NewToken(
		t.Context(), pool,
		access.Token{Name: "loader", Role: "ingest", Assistant: "bank", CreatedBy: "test", CreatedAt: time.Now()}, 0,
	)
	if err != nil {
		t.Fatal(err)
	}
	post := func(i int) (int, string) {
		body := fmt.Sprintf(`{"sender_id":"s%d","event":"user","timestamp":%d.5,"text":"hello"}`, i, 1790000000+i)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/ingest/rasa", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Retry-After")
	}
	if status, _ := post(0); status != 202 {
		t.Fatalf("at rest: %d", status)
	}
	// The database is busy: a lock that lasts until all have asked.
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `lock table events in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	const requests = 60
	answers := make(chan int, requests)
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			for {
				status, retry := post(1 + i)
				answers <- status
				if status == 202 {
					return
				}
				if status != 429 && status != 503 || retry == "" {
					t.Errorf("%d with Retry-After %q", status, retry)
					return
				}
				time.Sleep(20 * time.Millisecond) // a sender in more of a hurry than it is asked to be
			}
		})
	}
	refused := 0
	for refused < requests { // as long as the lock is held, there is room for few
		if status := <-answers; status == 429 {
			refused++
		} else if status == 202 {
			t.Error("stored while the table was locked")
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() {
		for range answers { // so that nobody waits
		}
	}()
	all.Wait()
	close(answers)
	var n int
	if err := pool.QueryRow(t.Context(), `select count(*) from events`).Scan(&n); err != nil || n != requests+1 {
		t.Errorf("%d events, %v; want %d", n, err, requests+1)
	}
}

// TestQuota: a token with a limit sends no more than that in a minute, whichever server takes it; what is too much is
// refused as a whole, and goes through in the next minute.
func TestQuota(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	quiet := slog.New(slog.DiscardHandler)
	one, two := intake.New(
		pool, ingest.NewWriter(pool, quiet), quiet,
	), intake.New(pool, ingest.NewWriter(pool, quiet), quiet)
	most, size := int32(10), int64(3000)
	limited, err := queries.NewToken(
		t.Context(), pool,
		access.Token{
			Name: "limited", Role: "ingest", Assistant: "bank", MostEvents: &most, MostBytes: &size, CreatedBy: "test",
			CreatedAt: time.Now(),
		},
		0,
	)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	post := func(h http.Handler, events, bytes int) int {
		var b strings.Builder
		for range events {
			n++
			fmt.Fprintf(
				&b, `{"sender_id":"s%d","event":"user","timestamp":%d.5,"text":"%s"}`+"\n", n, 1790000000+n,
				strings.Repeat("x", bytes),
			)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/ingest/rasa", strings.NewReader(b.String()))
		req.Header.Set("Authorization", "Bearer "+limited)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("nobody says when to try again")
		}
		return w.Code
	}
	now := time.Now().Truncate(time.Minute)
	one.At(now)
	two.At(now.Add(59 * time.Second))
	for i, x := range []struct {
		h             http.Handler
		events, bytes int
		want          int
	}{{one, 6, 1, 202}, {two, 5, 1, 429}, {two, 4, 1, 202}, {one, 1, 1, 429}, {one, 11, 1, 429}} {
		if got := post(x.h, x.events, x.bytes); got != x.want {
			t.Errorf("%d: %d events: %d, want %d", i, x.events, got, x.want)
		}
	}
	one.At(now.Add(time.Minute))
	two.At(now.Add(time.Minute))
	if got := post(one, 2, 1200); got != 202 {
		t.Errorf("in the next minute: %d", got)
	}
	if got := post(two, 1, 1200); got != 429 {
		t.Errorf("too many bytes: %d", got)
	}
	var stored int
	if err := pool.QueryRow(t.Context(), `select count(*) from events`).Scan(&stored); err != nil || stored != 12 {
		t.Errorf("%d events are stored, %v", stored, err)
	}
}

// TestTokenLimits: a token that is limited to assistants sends events of these alone, whatever they name; one that
// always means its own turns all into that one's; and no token sends anything from its end on.
func TestTokenLimits(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	quiet := slog.New(slog.DiscardHandler)
	h := intake.New(pool, ingest.NewWriter(pool, quiet), quiet)
	now := time.Now().Truncate(time.Second)
	made := func(token access.Token, days int) string {
		token.Role, token.Assistant, token.CreatedBy, token.CreatedAt = "ingest", "bank", "test", now
		secret, err := queries.NewToken(t.Context(), pool, token, days)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	n := 0
	post := func(secret string, assistants ...string) (int, string) {
		var b strings.Builder
		for _, a := range assistants {
			n++
			fmt.Fprintf(
				&b, `{"sender_id":"s%d","event":"user","timestamp":%d.5,"text":"hi","metadata":{%s}}`+"\n", n,
				1790000000+n, a,
			)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/ingest/rasa", strings.NewReader(b.String()))
		req.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Code, w.Body.String()
	}
	stored := func(want string) {
		t.Helper()
		var got string
		if err := pool.QueryRow(
			t.Context(),
			`select coalesce(string_agg(a.name || ' ' || n, ', ' order by a.name), '') from (select s.assistant_id, count(*) as n from events e join senders s on s.id = e.sender_id group by 1) as x join assistants a on a.id = x.assistant_id`,
		).Scan(&got); err != nil || got != want {
			t.Errorf("stored are %s, %v; want %s", got, err, want)
		}
	}
	shop := `"assistant_id":"shop"`
	limited := made(access.Token{Name: "limited", Assistants: []string{"bank", "till"}}, 0)
	if status, body := post(
		limited, ``, shop, `"assistant_id":"till"`, shop,
	); status != 202 || strings.Count(body, `"not_allowed"`) != 2 || !strings.Contains(body, `"index":1`) ||
		!strings.Contains(body, `"index":3`) {
		t.Errorf("limited: %d %s", status, body)
	}
	stored("bank 1, till 1")
	var aside int
	if err := pool.QueryRow(
		t.Context(), `select count(*) from rejected_events`,
	).Scan(&aside); err != nil || aside != 0 {
		t.Errorf("%d of a stranger's events are kept, %v", aside, err)
	}
	if status, body := post(
		made(access.Token{Name: "always", Assistants: []string{"bank"}, Always: true}, 0), shop, ``,
	); status != 202 || strings.Contains(body, "not_allowed") {
		t.Errorf("always: %d %s", status, body)
	}
	stored("bank 3, till 1")

	ends := made(access.Token{Name: "ends"}, 1)
	for _, x := range []struct {
		after time.Duration
		want  int
	}{{24*time.Hour - time.Second, 202}, {24 * time.Hour, 401}, {48 * time.Hour, 401}} {
		h.At(now.Add(x.after))
		if status, body := post(ends, ``); status != x.want {
			t.Errorf("%s after its start: %d %s, want %d", x.after, status, body, x.want)
		}
	}
	stored("bank 4, till 1")
}
