package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/routers"
	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/feedtest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
	"turnwise/web/api"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// service is the API on a database, at a time.
type service struct {
	t      *testing.T
	pool   *pgxpool.Pool
	url    string
	now    time.Time
	tokens map[string]string // by role, or roles
	mu     sync.Mutex
	reads  []string
	router routers.Router // of the document
}

func newService(t *testing.T, pool *pgxpool.Pool, now time.Time, change func(*api.Config)) *service {
	t.Helper()
	s := &service{t: t, pool: pool, now: now, tokens: map[string]string{"": "", "wrong": "tw_aaaaaaaa.BBBB"}}
	for _, roles := range []string{"ingest", "analytics_viewer", "analytics_admin", "admin", "analytics_viewer,analytics_admin"} {
		s.tokens[roles] = s.token(access.Token{Roles: strings.Split(roles, ",")})
	}
	cfg := api.Config{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, URL: "http://localhost",
		Now: func() time.Time { return s.now }, Refused: func(*http.Request, access.Account, string) {},
		Read: func(_ *http.Request, u access.Account, act queries.AuditAct, id string, rows int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.reads = append(s.reads, fmt.Sprint(u.Name, " ", act, " ", id, " ", rows))
		},
	}
	cfg.Called = func(_ *http.Request, u access.Account, tool, asked string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reads = append(s.reads, u.Name+" "+tool+" "+asked)
	}
	if change != nil {
		change(&cfg)
	}
	r := chi.NewRouter()
	a := api.New(cfg.Rate)
	r.Mount("/api/v1", a.Handler(cfg))
	r.Handle("/mcp", a.Tools(cfg))
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	s.url = server.URL
	_, s.router = described(t, s.url)
	return s
}

func (s *service) token(t access.Token) string {
	s.t.Helper()
	t.Name, t.Assistant, t.CreatedBy, t.CreatedAt = strings.Join(t.Roles, "+"), "x", "test", s.now
	if t.Roles[0] == "ingest" && len(t.Assistants) == 0 {
		t.Assistant = "x"
	}
	secret, err := queries.NewToken(s.t.Context(), s.pool, t, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return secret
}

// ask asks as a role; an address stands under /api/v1.
func (s *service) ask(method, role, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if secret, ok := s.tokens[role]; !ok {
		req.Header.Set("Authorization", "Bearer "+role)
	} else if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.asDescribed(resp, string(b))
	return resp, string(b)
}

// get reads an answer as an admin.
func (s *service) get(path string, into any) {
	s.t.Helper()
	resp, body := s.ask("GET", "admin", path, "")
	if resp.StatusCode != 200 {
		s.t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		s.t.Fatalf("%s: %v in %s", path, err, body)
	}
}

// feed stores bodies of a format.
func feed(t *testing.T, pool *pgxpool.Pool, format string, bodies ...string) {
	t.Helper()
	wire, _ := ingest.FormatNamed(format)
	feedtest.Feed(t, pool, ingest.Source{Name: "test " + format, Kind: "http", Assistant: "default", Format: wire}, bodies...)
	if err := figures.LinkPersons(t.Context(), pool); err != nil { // as the job does a moment later
		t.Fatal(err)
	}
}

// pages are the addresses of General Bots' API that are read by GET.
var pages = []string{
	"/usage", "/usage/daily", "/usage/monthly", "/conversations", "/conversations/volume", "/conversations/duration",
	"/conversations/resolution", "/engagement", "/engagement/retention", "/engagement/satisfaction", "/realtime",
	"/realtime/active",
}

// TestRoles: roles are checked literally; who has none of those that are needed is told which they are.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := newService(t, dbtest.Pool(t), time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), nil)
	want := map[string]int{
		"": 401, "wrong": 401, "ingest": 403, "analytics_viewer": 200, "analytics_admin": 403, "admin": 200,
		"analytics_viewer,analytics_admin": 200,
	}
	for _, path := range pages {
		for role, status := range want {
			resp, body := s.ask("GET", role, "/analytics"+path, "")
			if resp.StatusCode != status {
				t.Errorf("%s as %q: %d, want %d: %s", path, role, resp.StatusCode, status, body)
			}
			if status == 200 {
				continue
			}
			var p api.Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != status ||
				resp.Header.Get("Content-Type") != "application/problem+json" || p.RequestID == "" ||
				p.Instance != "/api/v1/analytics"+path {
				t.Errorf("%s as %q: %v %+v", path, role, err, p)
			}
			if status == 401 && resp.Header.Get("WWW-Authenticate") != "Bearer" ||
				status == 403 && !slices.Equal(p.RequiredRoles, []string{"analytics_viewer", "admin"}) {
				t.Errorf("%s as %q: %v %q", path, role, resp.Header, p.RequiredRoles)
			}
		}
	}
	for method, status := range map[string]int{"POST": 405, "DELETE": 405} {
		if resp, body := s.ask(method, "admin", "/analytics/usage", ""); resp.StatusCode != status ||
			resp.Header.Get("Allow") != "GET" || !strings.Contains(body, "method-not-allowed") {
			t.Errorf("%s: %d %q %s", method, resp.StatusCode, resp.Header.Get("Allow"), body)
		}
	}
	if resp, body := s.ask("GET", "", "/analytics/nothing", ""); resp.StatusCode != 404 || !strings.Contains(body, "problems/not-found") {
		t.Errorf("an unknown address: %d %s", resp.StatusCode, body)
	}
}

// TestParameters: each code of each parameter, each pair of ranges, and all faults at once.
func TestParameters(t *testing.T) {
	t.Parallel()
	s := newService(t, dbtest.Pool(t), time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), nil)
	type row struct{ query, want string } // of the faults: parameter code, in their order; the problem's kind first
	id := conversation.UUID{15: 1}.String()
	common := []row{
		{"", ""},
		{"days=1", ""},
		{"days=1100", ""},
		{"period=today", ""},
		{"period=week&timezone=Asia/Kolkata", ""},
		{"period=year", ""},
		{"start_date=2026-11-01&end_date=2026-11-02", ""},
		{"start_date=2026-11-20T23:30:00%2B01:00", ""},
		{"start_date=2026-11-20T23:30:00+01:00", ""},
		{"end_date=2026-11-20T23:30", ""},
		{"start_date=2026-11-21&end_date=2026-11-21", ""},
		{"days=0", "invalid-parameter days out-of-range"},
		{"days=1101", "invalid-parameter days out-of-range"},
		{"days=-1", "invalid-parameter days out-of-range"},
		{"days=99999999999999999999", "invalid-parameter days out-of-range"},
		{"days=7.5", "invalid-parameter days not-an-integer"},
		{"days=", "invalid-parameter days not-an-integer"},
		{"days=%2B7", "invalid-parameter days not-an-integer"},
		{"start_date=2026-11-20t23:30:00z", ""},
		{"timezone=localtime", "invalid-parameter timezone not-in-list"},
		{"days=seven", "invalid-parameter days not-an-integer"},
		{"days=7&days=7", "invalid-parameter days repeated"},
		{"period=Week", "invalid-parameter period not-in-list"},
		{"period=", "invalid-parameter period not-in-list"},
		{"start_date=2026-13-01", "invalid-parameter start_date not-a-date"},
		{"start_date=yesterday", "invalid-parameter start_date not-a-date"},
		{"end_date=2026-02-29", "invalid-parameter end_date not-a-date"},
		{"start_date=2026-11-02&end_date=2026-11-01", "invalid-parameter end_date start-not-before-end"},
		{"start_date=2026-11-02T00:00:00Z&end_date=2026-11-02T00:00:00Z", "invalid-parameter end_date start-not-before-end"},
		{"start_date=2026-11-22", "invalid-parameter start_date start-not-before-end"},
		{"start_date=2020-01-01&end_date=2026-01-01", "invalid-parameter end_date range-too-long"},
		{"timezone=Mars", "invalid-parameter timezone not-in-list"},
		{"timezone=", "invalid-parameter timezone not-in-list"},
		{"timezone=Local", "invalid-parameter timezone not-in-list"},
		{"bot_id=shop", "invalid-parameter bot_id not-a-uuid"},
		{"user_id=" + strings.ReplaceAll(id, "-", ""), "invalid-parameter user_id not-a-uuid"},
		{"Days=7", "unknown-parameter Days unknown"},
		{"foo=1&bar=2", "unknown-parameter bar unknown, foo unknown"},
		{"group_by=year", "invalid-parameter group_by not-in-list"},
		{"days=7&period=week", "conflicting-parameters days conflict, period conflict"},
		{"start_date=2026-11-01&days=7", "conflicting-parameters start_date conflict, days conflict"},
		{"start_date=2026-11-01&period=week", "conflicting-parameters start_date conflict, period conflict"},
		{"end_date=2026-11-01&days=7", "conflicting-parameters end_date conflict, days conflict"},
		{"end_date=2026-11-01&period=week", "conflicting-parameters end_date conflict, period conflict"},
		{
			"start_date=x&days=0&group_by=x&bot_id=1&foo=1",
			"invalid-parameter start_date not-a-date, days out-of-range, group_by not-in-list, bot_id not-a-uuid, foo unknown, " +
				"start_date conflict, days conflict",
		},
	}
	of := map[string][]row{
		"/usage":         {{"group_by=hour&days=31", ""}, {"group_by=hour&days=32", "invalid-parameter group_by range-too-long"}},
		"/usage/daily":   {{"group_by=day", ""}, {"group_by=week", "invalid-parameter group_by not-in-list"}},
		"/usage/monthly": {{"group_by=month", ""}, {"group_by=day", "invalid-parameter group_by not-in-list"}},
		"/engagement/retention": {
			{"group_by=hour", "invalid-parameter group_by not-in-list"},
			{"group_by=day&days=31", ""},
			{"group_by=day&days=32", "invalid-parameter group_by range-too-long"},
			{"days=183", "invalid-parameter group_by range-too-long"},
			{"user_id=" + id, "conflicting-parameters user_id conflict"},
			{"group_by=month&days=730", "invalid-parameter group_by range-too-long"},
			{"group_by=month&days=700", ""},
		},
	}
	live := []row{
		{"", ""},
		{"bot_id=shop", "invalid-parameter bot_id not-a-uuid"},
		{"days=7", "unknown-parameter days unknown"},
		{"user_id=" + id, "unknown-parameter user_id unknown"},
	}
	for _, path := range pages {
		rows := append(slices.Clone(common), of[path]...)
		if strings.HasPrefix(path, "/realtime") {
			rows = live
		}
		for _, x := range rows {
			if path == "/engagement/retention" && (x.query == "days=1100" || x.query == "period=year" ||
				strings.HasPrefix(x.query, "user_id=")) {
				continue // too many cohorts, or of one user
			}
			resp, body := s.ask("GET", "admin", "/analytics"+path+"?"+x.query, "")
			got := ""
			if resp.StatusCode != 200 {
				var p api.Problem
				if err := json.Unmarshal([]byte(body), &p); err != nil || resp.StatusCode != 400 {
					t.Fatalf("%s?%s: %d %s", path, x.query, resp.StatusCode, body)
				}
				var faults []string
				for _, f := range p.Errors {
					faults = append(faults, f.Parameter+" "+f.Code)
				}
				got = p.Type[strings.LastIndex(p.Type, "/")+1:] + " " + strings.Join(faults, ", ")
			}
			if got != x.want {
				t.Errorf("%s?%s: %q, want %q", path, x.query, got, x.want)
			}
		}
		if resp, body := s.ask("GET", "admin", "/analytics"+path+"?bot_id="+id, ""); resp.StatusCode != 404 {
			t.Errorf("%s of an unknown assistant: %d %s", path, resp.StatusCode, body)
		}
	}
	if resp, body := s.ask("GET", "admin", "/analytics/usage?user_id="+id, ""); resp.StatusCode != 200 || !strings.Contains(body, `"total_conversations":0`) {
		t.Errorf("an unknown user: %d %s", resp.StatusCode, body)
	}
}

// TestEmpty: without any data there are zeros and nulls, and as many stretches as ever.
func TestEmpty(t *testing.T) {
	t.Parallel()
	s := newService(t, dbtest.Pool(t), time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), nil)
	for path, want := range map[string]string{
		"/usage":              `"total_conversations":0,"total_messages":0,"user_messages":0,"bot_messages":0,"agent_messages":0,"active_users":0,"new_users":0,"active_bots":0,"avg_messages_per_conversation":null,"channels":[]}`,
		"/usage/daily?days=1": `"totals":{"conversations":0,"messages":0,"active_users":0,"new_users":0},"data":[{"date":"2026-11-21","conversations":0,"messages":0,"user_messages":0,"bot_messages":0,"agent_messages":0,"active_users":0,"new_users":0,"complete":false}]}`,
		"/conversations":      `"total":0,"ended":0,"active":0,"bot_only":0,"handed_over":0,"abandoned":0,"containment_rate":null,"handover_rate":null,"abandonment_rate":null,"resolution_rate":null,"avg_messages":null,"avg_user_messages":null,"avg_duration_seconds":null,"median_duration_seconds":null,"channels":[]}`,
		"/conversations/volume?start_date=2026-11-19&end_date=2026-11-19T01:00": `"total":0,"peak":null,"data":[{"start":"2026-11-19T00:00:00Z","end":"2026-11-19T01:00:00Z","conversations":0,"messages":0,"active_users":0,"complete":true}]}`,
		"/engagement/satisfaction?days=1&group_by=day":                          `"responses":0,"avg_score":null,"csat_rate":null,"conversations_rated":0,"response_rate":null,"scale":{"min":1,"max":5},"distribution":[{"score":1,"count":0},{"score":2,"count":0},{"score":3,"count":0},{"score":4,"count":0},{"score":5,"count":0}],"thumbs":{"up":0,"down":0},"nps":null,"data":[{"start":"2026-11-21T00:00:00Z","end":"2026-11-22T00:00:00Z","responses":0,"avg_score":null,"csat_rate":null,"complete":false}]}`,
		"/engagement/retention?period=today":                                    `"granularity":"week","cohorts":[],"average_rates":[]}`,
		"/realtime":                                                             `"window_seconds":60,"active_window_seconds":1800,"active_sessions":0,"active_users":0,"messages_per_minute":0,"conversations_started_last_hour":0,"waiting_for_agent":0,"longest_wait_seconds":null,"agents_available":0,"avg_response_ms":null,"error_rate":null,"ingest_lag_seconds":null,"bots":[]}`,
		"/realtime/active":                                                      `{"generated_at":"2026-11-21T12:00:00Z","active_window_seconds":1800,"active_sessions":0,"count":0,"by_channel":[],"by_handler":{"bot":0,"human":0,"waiting":0}}`,
	} {
		if resp, body := s.ask("GET", "analytics_viewer", "/analytics"+path, ""); resp.StatusCode != 200 || !strings.HasSuffix(strings.TrimSpace(body), want) {
			t.Errorf("%s: %d %s\nwant at its end %s", path, resp.StatusCode, body, want)
		}
	}
	var daily struct{ Data []struct{ Date string } }
	s.get("/analytics/usage/daily?days=7", &daily)
	if len(daily.Data) != 7 || daily.Data[0].Date != "2026-11-15" || daily.Data[6].Date != "2026-11-21" {
		t.Errorf("the last 7 days are %v", daily.Data)
	}
	var monthly struct{ Data []struct{ Month string } }
	s.get("/analytics/usage/monthly", &monthly)
	if len(monthly.Data) != 12 || monthly.Data[0].Month != "2025-12" || monthly.Data[11].Month != "2026-11" {
		t.Errorf("the last 12 months are %v", monthly.Data)
	}
}
