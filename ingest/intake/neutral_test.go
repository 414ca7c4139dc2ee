package intake_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"turnwise/access"
	"turnwise/ingest"
	"turnwise/ingest/intake"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestNeutral: one event, an array, one a line, packed, and as CloudEvents, alone and in batches; a bad one is set aside
// and harms no neighbour; what comes again is known.
func TestNeutral(t *testing.T) {
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
	event := func(n int) string {
		return fmt.Sprintf(
			`{"specversion":"1.0","id":"e%d","source":"shop","type":"message","time":"2026-11-20T09:00:%02dZ","data":`+
				`{"conversation_id":"c","message_id":"m%d","author":"user","text":"hello"}}`, n, n, n,
		)
	}
	packed := func(body string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(body)) // into memory
		_ = z.Close()
		return b.String()
	}
	for _, tt := range []struct {
		name, kind, encoding, body string
		accepted, known, rejected  int
		status                     int
	}{
		{"one", "application/json", "", event(1), 1, 0, 0, 202},
		{"an array", "application/json", "", "[" + event(2) + "," + event(3) + "]", 2, 0, 0, 202},
		{"one a line", "application/x-ndjson", "", event(4) + "\n" + event(5) + "\n", 2, 0, 0, 202},
		{"packed", "application/json", "gzip", packed(event(6)), 1, 0, 0, 202},
		{"CloudEvents", "application/cloudevents+json; charset=utf-8", "", event(7), 1, 0, 0, 202},
		{"a batch", "application/cloudevents-batch+json", "", "[" + event(8) + "]", 1, 0, 0, 202},
		{"again", "application/json", "", "[" + event(1) + "," + event(8) + "]", 0, 2, 0, 202},
		{
			"bad ones between", "application/json", "", "[" + event(9) + `,{"type":"message"},7,` + strings.Replace(event(10), `"author":"user"`, `"author":"nobody"`, 1) +
				"," + event(11) + "]", 2, 0, 3, 202,
		},
		{"none", "application/json", "", `{"type":"message","time":"2026-11-20T09:00:00Z","data":{}}`, 0, 0, 1, 400},
		{"another kind", "text/xml", "", event(1), 0, 0, 0, 415},
	} {
		req, err := http.NewRequestWithContext(
			t.Context(), http.MethodPost, server.URL+"/api/v1/ingest/events", strings.NewReader(tt.body),
		)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		req.Header.Set("Content-Type", tt.kind)
		if tt.encoding != "" {
			req.Header.Set("Content-Encoding", tt.encoding)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var a struct {
			Accepted, Duplicates int
			Rejected             []any
		}
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status || a.Accepted != tt.accepted || a.Duplicates != tt.known ||
			len(a.Rejected) != tt.rejected {
			t.Errorf("%s: %d %+v", tt.name, resp.StatusCode, a)
		}
	}
	var messages, conversations, rejected int
	if err := pool.QueryRow(t.Context(), `select (select count(*) from messages), (select count(*) from conversations),
		(select count(*) from rejected_events where format = 2)`).Scan(&messages, &conversations, &rejected); err != nil ||
		messages != 10 || conversations != 1 || rejected != 4 {
		t.Error(messages, conversations, rejected, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+intake.SchemaPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(b, ingest.NeutralSchema()) {
		t.Error("the schema is not served", err)
	}
}
