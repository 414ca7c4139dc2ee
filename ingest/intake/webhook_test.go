package intake_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/intake"
	"turnwise/ingest/mapped"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/secret"
)

// TestWebhook: what a platform sends to an address of its own is taken with its signature alone, mapped and stored; again
// it is known; what the mapping passes over is nothing; what it fails on is set aside; the last bodies are kept, and no
// more. A mapping that is changed holds for what comes then.
func TestWebhook(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	quiet := slog.New(slog.DiscardHandler)
	box, err := secret.NewBox("a key of this test, long enough")
	if err != nil {
		t.Fatal(err)
	}
	hooks := intake.NewWebhooks(intake.New(pool, ingest.NewWriter(pool, quiet), quiet), box)
	t.Cleanup(hooks.Close)
	server := httptest.NewServer(hooks)
	t.Cleanup(server.Close)
	id := queries.NewID()
	sealed, err := box.Seal("the secret", intake.SecretPlace(id))
	if err != nil {
		t.Fatal(err)
	}
	hook := queries.Webhook{
		ID: id, Name: "desk", Assistant: "shop", Secret: sealed, ChangedBy: "test", Mapping: `name: desk
verify: {hmac: {header: X-Signature, prefix: sha256=, timestamp_header: X-Time, payload: "{ts}.{body}"}}
program: |
  if .skip then empty elif .wrong then error("it is wrong") else event("message"; .at; {conversation_id: "c", message_id: .id, author: .by, text: .text}) end
`,
	}
	add(t, pool, hook)
	post := func(to conversation.UUID, key, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL+intake.WebhookPath+to.String(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte("17." + body))
		req.Header.Set("X-Time", "17")
		req.Header.Set("X-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	good := `{"id":"1","by":"user","text":"hello","at":1795166042}`
	for _, tt := range []struct {
		name, key, body string
		status          int
		says            string
	}{
		{"a message", "the secret", good, 202, `"accepted":1`},
		{"again", "the secret", good, 202, `"duplicates":1`},
		{"of somebody else", "another", good, 401, "not signed"},
		{"passed over", "the secret", `{"skip":true}`, 202, `"accepted":0`},
		{"failing", "the secret", `{"wrong":true}`, 202, "it is wrong"},
		{"an event that is none", "the secret", `{"id":"2","by":"nobody","text":"x","at":1795166042}`, 202, "author"},
		{"no JSON", "the secret", `{`, 202, "not JSON"},
	} {
		if status, says := post(id, tt.key, tt.body); status != tt.status || !strings.Contains(says, tt.says) {
			t.Errorf("%s: %d %s", tt.name, status, says)
		}
	}
	if status, _ := post(queries.NewID(), "the secret", good); status != 404 {
		t.Errorf("no webhook: %d", status)
	}
	for i := range 40 {
		post(id, "the secret", strings.Replace(good, `"1"`, `"n`+strconv.Itoa(i)+`"`, 1))
	}
	kept, err := queries.CountWebhookBodies(t.Context(), pool, id, 1)
	if want := (queries.WebhookCounts{Kept: 45, Ignored: 1, Failed: 3}); err != nil || kept != want {
		t.Errorf("%+v is kept, %v", kept, err)
	}
	var rejected, raw, messages int
	if err := pool.QueryRow(t.Context(), `select (select count(*) from rejected_events), (select count(*) from rejected_events where mapping = $1),
		(select count(*) from messages)`, id.String()).Scan(&rejected, &raw, &messages); err != nil || rejected != 3 || raw != 2 || messages != 41 {
		t.Errorf("%d set aside, %d of them to be mapped, %d messages, %v", rejected, raw, messages, err)
	}
	hook.Version, hook.Secret = 1, nil
	hook.Mapping = strings.Replace(hook.Mapping, `author: .by`, `author: "bot"`, 1)
	if err := change(t, pool, hook); err != nil {
		t.Fatal(err)
	}
	if status, says := post(id, "the secret", strings.Replace(good, `"1"`, `"x"`, 1)); status != 202 {
		t.Error(status, says)
	}
	var bots int
	if err := pool.QueryRow(t.Context(), `select count(*) from messages where author = 2`).Scan(&bots); err != nil || bots != 1 {
		t.Errorf("%d messages by the changed mapping, %v", bots, err)
	}
	if err := change(t, pool, hook); err == nil {
		t.Error("what somebody else changed is written over")
	}
}

func add(t *testing.T, pool *pgxpool.Pool, hook queries.Webhook) {
	t.Helper()
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return queries.AddWebhook(t.Context(), tx, hook, time.Now())
	}); err != nil {
		t.Fatal(err)
	}
}

func change(t *testing.T, pool *pgxpool.Pool, hook queries.Webhook) error {
	t.Helper()
	return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return queries.ChangeWebhook(t.Context(), tx, hook, time.Now())
	})
}

// TestVerify: each way in which a platform shows who it is holds with the secret alone.
func TestVerify(t *testing.T) {
	t.Parallel()
	signed := func(header string) http.Header {
		return http.Header{"X-Hub-Signature": {header}, "Authorization": {header}}
	}
	body := []byte(`{"a":1}`)
	sha1Of := "sha1=" + "7b5e2ab4e4fcf6bb2a1b6e6dbdc7e3d0a4f4a1ad"
	for name, tt := range map[string]struct {
		v      mapped.Verify
		secret string
		header http.Header
		want   bool
	}{
		"nothing is asked":        {mapped.Verify{}, "", nil, true},
		"bearer":                  {mapped.Verify{Bearer: true}, "s", signed("Bearer s"), true},
		"another bearer":          {mapped.Verify{Bearer: true}, "s", signed("Bearer t"), false},
		"none":                    {mapped.Verify{Bearer: true}, "s", nil, false},
		"no secret is kept":       {mapped.Verify{Bearer: true}, "", signed("Bearer "), false},
		"basic":                   {mapped.Verify{Basic: true}, "s", signed("Basic dTpz"), true}, // u:s
		"basic, another password": {mapped.Verify{Basic: true}, "s", signed("Basic dTp0"), false},
		"basic for bearer":        {mapped.Verify{Bearer: true}, "s", signed("Basic dTpz"), false},
		"a wrong signature":       {mapped.Verify{HMAC: &mapped.HMAC{Header: "X-Hub-Signature", Prefix: "sha1=", Algorithm: "sha1"}}, "s", signed(sha1Of), false},
		"no signature":            {mapped.Verify{HMAC: &mapped.HMAC{Header: "X-Hub-Signature"}}, "s", nil, false},
		"a header":                {mapped.Verify{Header: "Authorization"}, "s", signed("s"), true},
		"a header, another":       {mapped.Verify{Header: "Authorization"}, "s", signed("t"), false},
		"no digits":               {mapped.Verify{HMAC: &mapped.HMAC{Header: "X-Hub-Signature"}}, "s", signed("zz"), false},
	} {
		if got := tt.v.Holds(tt.secret, tt.header, body); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
