package pull_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/ingest"
	"turnwise/ingest/brokertest"
	"turnwise/ingest/mapped"
	"turnwise/ingest/pull"
	"turnwise/queries/dbtest"
)

type fields = map[string]any

// chatwoot answers as Chatwoot's API is documented to: pages of 25 conversations and 20 messages.
type chatwoot struct {
	*httptest.Server

	mu       sync.Mutex
	all      map[int]fields // conversations
	messages map[int][]fields
	busy     int            // requests that are answered with 503 first
	broken   int            // the conversation that cannot be read
	foreign  bool           // somebody else answers for conversations
	asked    map[string]int // how often each path was
}

func newChatwoot(t *testing.T) *chatwoot {
	t.Helper()
	c := &chatwoot{all: map[int]fields{}, messages: map[int][]fields{}, asked: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/accounts/3/conversations", c.list)
	mux.HandleFunc("GET /api/v1/accounts/3/conversations/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		x, ok := c.all[id]
		switch {
		case id == c.broken:
			w.WriteHeader(http.StatusInternalServerError)
			return
		case c.foreign:
			http.NotFound(w, r) // not Chatwoot's
			return
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(fields{"error": "Resource could not be found"})
			return
		}
		_ = json.NewEncoder(w).Encode(x)
	})
	mux.HandleFunc("GET /api/v1/accounts/3/conversations/{id}/messages", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		before, _ := strconv.Atoi(r.URL.Query().Get("before"))
		some := slices.Clone(c.messages[id])
		if before > 0 {
			some = slices.DeleteFunc(some, func(m fields) bool { return m["id"].(int) >= before })
		}
		_ = json.NewEncoder(w).Encode(fields{"meta": fields{}, "payload": some[max(0, len(some)-20):]})
	})
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked[r.URL.Path]++
		switch {
		case r.Header.Get("Api_access_token") != "the token":
			w.WriteHeader(http.StatusUnauthorized)
		case c.busy > 0:
			c.busy--
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *chatwoot) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	by := strings.TrimSuffix(q.Get("sort_by"), "_desc")
	page, _ := strconv.Atoi(q.Get("page"))
	some := slices.Collect(maps.Values(c.all))
	slices.SortFunc(some, func(a, b fields) int {
		return 2*(b[by].(int)-a[by].(int)) + b["id"].(int) - a["id"].(int)
	})
	from := min(25*(page-1), len(some))
	_ = json.NewEncoder(w).Encode(fields{"data": fields{"meta": fields{}, "payload": some[from:min(from+25, len(some))]}})
}

// write adds a message at a time, or changes one.
func (c *chatwoot) write(conversation, id, at int, more fields) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.all[conversation]
	if x == nil {
		x = fields{
			"id": conversation, "account_id": 3, "inbox_id": 1, "status": "open", "created_at": at, "labels": []string{}, "last_activity_at": at,
			"updated_at": float64(at) + 0.5, "meta": fields{"channel": "Channel::WebWidget", "sender": fields{"id": 1000 + conversation}},
		}
		c.all[conversation] = x
	}
	m := fields{
		"id": id, "conversation_id": conversation, "content": fmt.Sprintf("message %d", id), "content_type": "text", "message_type": 0, "private": false, "created_at": at,
		"content_attributes": fields{}, "sender": fields{"id": 1000 + conversation, "type": "contact"},
	}
	maps.Copy(m, more)
	all := c.messages[conversation]
	if i := slices.IndexFunc(all, func(m fields) bool { return m["id"] == id }); i >= 0 {
		all[i] = m
		return
	}
	c.messages[conversation] = append(all, m)
	x["last_activity_at"] = max(x["last_activity_at"].(int), at)
	x["updated_at"] = float64(at) + 0.5
}

func (c *chatwoot) follow(t *testing.T, into *pgxpool.Pool, member string) func() {
	t.Helper()
	cfg := pull.Chatwoot{URL: c.URL + "/", Account: 3, Token: "the token", Every: "100ms", PerMinute: 60_000}
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	consumer := pull.NewChatwoot(cfg)
	t.Cleanup(consumer.Close)
	if err := consumer.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, _ := mapped.ShippedText("chatwoot")
	f, err := mapped.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	runner := mapped.NewRunner(f, "")
	t.Cleanup(runner.Close)
	format, _ := ingest.FormatNamed("neutral")
	_, stop := brokertest.Stream(t, into, consumer, ingest.Source{
		Name: "desk", Kind: "chatwoot", Assistant: "desk", Format: format,
		Mapping: &ingest.Mapping{Name: "chatwoot", Map: runner.Map, Settings: f.Settings()},
	}, member)
	return stop
}

func messages(t *testing.T, pool *pgxpool.Pool, want int) {
	t.Helper()
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select count(*) from messages`); n != want {
			return fmt.Sprintf("%d of %d messages are stored", n, want)
		}
		return ""
	})
}

// TestChatwoot reads an account over its API: all of history, through gaps and answers that it is busy, then what is new;
// after a stop it goes on where it was, and history is not read again.
func TestChatwoot(t *testing.T) {
	t.Parallel()
	c, pool := newChatwoot(t), dbtest.Pool(t)
	id, at := 0, 1795166042
	for conversation := 1; conversation <= 60; conversation++ {
		if conversation == 17 || conversation == 42 {
			continue // it was deleted
		}
		for range 1 + conversation%3*22 { // up to three pages
			id, at = id+1, at+10
			c.write(conversation, id, at, nil)
		}
	}
	all := id
	stop := c.follow(t, pool, "one")
	messages(t, pool, all)
	c.mu.Lock()
	c.busy = 2
	c.mu.Unlock()
	c.write(1, 9001, at+5000, fields{"message_type": 1, "sender": fields{"id": 9, "type": "user"}})
	c.write(61, 9002, at+5001, nil)
	messages(t, pool, all+2)
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select coalesce(max(committed), 0) from stream_parts where stream = 'conversations'`); n != 61 {
			return fmt.Sprintf("read up to conversation %d", n)
		}
		return ""
	})
	stop()

	c.write(2, 9003, at+6000, nil) // while nobody reads
	c.write(62, 9004, at+6001, nil)
	c.mu.Lock()
	clear(c.asked)
	c.mu.Unlock()
	c.follow(t, pool, "two")
	messages(t, pool, all+4)
	c.mu.Lock()
	if n := c.asked["/api/v1/accounts/3/conversations/5/messages"]; n != 0 {
		t.Errorf("a conversation in which nothing happened was read %d times", n)
	}
	c.mu.Unlock()
	if n := brokertest.Count(t, pool, `select count(*) from rejected_events`); n != 0 {
		t.Errorf("%d are set aside", n)
	}
	if n := brokertest.Count(t, pool, `select count(distinct sender_id) from conversations`); n != 60 {
		t.Errorf("%d threads", n)
	}
}

// TestChatwootWebhook: what webhooks brought is known when it is read over the API.
func TestChatwootWebhook(t *testing.T) {
	t.Parallel()
	c, pool := newChatwoot(t), dbtest.Pool(t)
	c.write(77, 11, 1795166042, nil)
	text, _ := mapped.ShippedText("chatwoot")
	f, err := mapped.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	runner := mapped.NewRunner(f, "")
	t.Cleanup(runner.Close)
	made := runner.Map(`{"event":"message_created","id":11,"content":"message 11","content_type":"text","message_type":"incoming","private":false,
"created_at":"2026-11-20T09:14:02.000Z","sender":{"id":1077,"type":"contact","name":"Anna"},"inbox":{"id":1},"account":{"id":3},"content_attributes":{},
"conversation":{"id":77,"channel":"Channel::WebWidget","contact_inbox":{"contact_id":1077},"status":"open"}}`)[0]
	if made.Reject != nil || len(made.Events) != 1 {
		t.Fatal(made)
	}
	c.follow(t, pool, "one")
	messages(t, pool, 1)
	var stored string
	if err := pool.QueryRow(t.Context(), `select bodies from event_payloads where bodies like '%"message_id":"11"%'`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Split(stored, "\x1e"), made.Events[0]) {
		t.Errorf("read over the API\n%s\nby the webhook\n%s", stored, made.Events[0])
	}
}

// TestChatwootBroken: a conversation of history that the server cannot give is set aside after some tries; an answer that
// is not Chatwoot's passes nothing over.
func TestChatwootBroken(t *testing.T) {
	t.Parallel()
	c, pool := newChatwoot(t), dbtest.Pool(t)
	for i := 1; i <= 4; i++ {
		c.write(i, i, 1795166042+i, nil)
	}
	c.broken, c.foreign = 2, true
	c.follow(t, pool, "one")
	messages(t, pool, 4) // by the list of what is new
	brokertest.Until(t, func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := c.asked["/api/v1/accounts/3/conversations/1"]; n < 2 {
			return fmt.Sprintf("asked %d times for the first", n)
		}
		return ""
	})
	if n := brokertest.Count(t, pool, `select coalesce(max(committed), 0) from stream_parts where stream = 'conversations'`); n != 0 {
		t.Errorf("passed over up to %d", n)
	}
	c.mu.Lock()
	c.foreign = false
	c.mu.Unlock()
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select coalesce(max(committed), 0) from stream_parts where stream = 'conversations'`); n != 4 {
			return fmt.Sprintf("read up to conversation %d", n)
		}
		return ""
	})
	if n := brokertest.Count(t, pool, `select count(*) from rejected_events where position = 'conversation 2'`); n != 1 {
		t.Errorf("%d are set aside", n)
	}
}

// TestChatwootOnce: one process reads an account, and another takes over when it ends. A wrong token is said.
func TestChatwootOnce(t *testing.T) {
	t.Parallel()
	c, pool := newChatwoot(t), dbtest.Pool(t)
	c.write(1, 1, 1795166042, nil)
	stop := c.follow(t, pool, "one")
	messages(t, pool, 1)
	c.follow(t, pool, "two")
	stop()
	c.write(1, 2, 1795166043, nil)
	messages(t, pool, 2)

	cfg := pull.Chatwoot{URL: c.URL, Account: 3, Token: "another"}
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	if err := pull.NewChatwoot(cfg).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "check the token") {
		t.Errorf("a wrong token: %v", err)
	}
	for _, wrong := range []pull.Chatwoot{
		{},
		{URL: "chat.example.org", Account: 1, Token: "x"},
		{URL: c.URL, Token: "x"},
		{URL: c.URL, Account: 1},
		{URL: c.URL, Account: 1, Token: "x", Every: "1ms"},
		{URL: c.URL, Account: 1, Token: "x", PerMinute: -1},
	} {
		if err := wrong.Check(); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
}
