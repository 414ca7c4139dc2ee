package intake_test

import (
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

// TestTraces: traces are taken with the token as bearer or as password, and stored once; without it, and what holds none,
// are refused as exporters understand.
func TestTraces(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	quiet := slog.New(slog.DiscardHandler)
	server := httptest.NewServer(intake.Traces{Handler: intake.New(pool, ingest.NewWriter(pool, quiet), quiet)})
	t.Cleanup(server.Close)
	token, err := queries.NewToken(
		t.Context(), pool,
		access.Token{Name: "agent", Role: "ingest", Assistant: "guide", CreatedBy: "test", CreatedAt: time.Now()}, 0,
	)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"chat","startTimeUnixNano":"1795166042000000000","endTimeUnixNano":"1795166043500000000",
		"attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},{"key":"gen_ai.prompt","value":{"stringValue":"hi"}},{"key":"gen_ai.completion","value":{"stringValue":"Hello!"}}]}]}]}]}`
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	for _, tt := range []struct {
		name, kind, body string
		sign             func(r *http.Request)
		status           int
		says             string
	}{
		{"bearer", "application/json", body, bearer, 200, "{}"},
		{"password", "application/json", body, func(r *http.Request) { r.SetBasicAuth("pk", token) }, 200, "{}"},
		{"nothing", "application/json", body, func(*http.Request) {}, 401, "token"},
		{"another password", "application/json", body, func(r *http.Request) { r.SetBasicAuth("pk", "x.y") }, 401, "token"},
		{"no traces", "application/json", "{", bearer, 400, "OTLP"},
		{"of nothing", "application/json", `{"resourceSpans":[]}`, bearer, 200, "{}"},
		{"no protobuf", "application/x-protobuf", "x", bearer, 400, "OTLP"},
		{"another type", "text/plain", body, bearer, 415, "application/x-protobuf"},
	} {
		for _, path := range intake.TracePaths {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", tt.kind)
			tt.sign(req)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			says, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != tt.status || !strings.Contains(string(says), tt.says) {
				t.Errorf("%s: %d %s %v", tt.name, resp.StatusCode, says, err)
			}
		}
	}
	var messages, calls, ms int
	if err := pool.QueryRow(t.Context(), `select (select count(*) from messages), (select count(*) from calls), (select max(response_ms)::int from turns)`).Scan(&messages, &calls, &ms); err != nil || messages != 2 || calls != 1 || ms != 1500 {
		t.Errorf("%d messages, %d calls, %d ms, %v", messages, calls, ms, err)
	}
}
