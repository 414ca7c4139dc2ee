package api_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"turnwise/access"
	"turnwise/analytics"
	"turnwise/conversation"
	"turnwise/jobs"
	"turnwise/web/api"
)

// reportService makes reports too.
func reportService(t *testing.T) *service {
	t.Helper()
	var s *service
	s, _ = deskService(t, func(cfg *api.Config) {
		queue, err := jobs.NewQueue(cfg.Pool)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Jobs = queue
	})
	return s
}

// made has a report made, as a job does.
func (s *service) made(role, body string) (r api.AnalyticsReport) {
	s.t.Helper()
	resp, answer := s.ask("POST", role, "/analytics/reports", body)
	if err := json.Unmarshal([]byte(answer), &r); err != nil || resp.StatusCode != 200 || r.Status != "pending" ||
		resp.Header.Get("Location") != "/api/v1/analytics/reports/"+r.ID {
		s.t.Fatalf("%s: %d %s", body, resp.StatusCode, answer)
	}
	if resp, answer := s.ask("GET", role, "/analytics/reports/"+r.ID+"/download", ""); resp.StatusCode != 409 || resp.Header.Get("Retry-After") == "" {
		s.t.Fatalf("a file that is not made: %d %s", resp.StatusCode, answer)
	}
	s.make(r.ID)
	_, answer = s.ask("GET", role, "/analytics/reports/"+r.ID, "")
	if err := json.Unmarshal([]byte(answer), &r); err != nil || r.Status != "completed" || r.Progress != 100 || r.DownloadURL == nil {
		s.t.Fatalf("%s: %s", body, answer)
	}
	return r
}

func (s *service) make(id string) {
	s.t.Helper()
	uuid, err := conversation.ParseUUID(id)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := jobs.MakeAnalyticsReport(s.t.Context(), s.pool, uuid, "http://localhost", func() time.Time { return s.now }); err != nil {
		s.t.Fatal(err)
	}
}

// TestReports: every type in every format; what a report says is what the endpoints answer.
func TestReports(t *testing.T) {
	t.Parallel()
	s := reportService(t)
	for _, kind := range analytics.ReportTypes {
		for _, format := range analytics.ReportFormats {
			if testing.Short() && (format == "pdf" || format == "html" || format == "xlsx") && kind != "usage" {
				continue
			}
			more := ""
			if kind == "custom" {
				more = `,"metrics":["conversations","csat","flow_started","general_bots.nps","response_time_p95"]`
			}
			r := s.made("analytics_admin", fmt.Sprintf(`{"type":%q,"days":28,"format":%q%s}`, kind, format, more))
			resp, body := s.ask("GET", "admin", strings.TrimPrefix(*r.DownloadURL, "/api/v1"), "")
			_, name, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition"))
			if err != nil || resp.StatusCode != 200 || int64(len(body)) != *r.SizeBytes || !strings.HasSuffix(name["filename"], "."+format) {
				t.Fatalf("%s as %s: %d %v %v", kind, format, resp.StatusCode, resp.Header, err)
			}
			if dir := os.Getenv("KEEP_FILES"); dir != "" { // to look at
				if err := os.WriteFile(filepath.Join(dir, kind+"."+format), []byte(body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			switch format {
			case "pdf":
				if !strings.HasPrefix(body, "%PDF-") {
					t.Errorf("%s: no PDF: %.20q", kind, body)
				}
			case "html":
				if !strings.Contains(body, "<h1") || strings.Contains(body, `src="cid:`) || strings.Contains(body, "Unsubscribe") {
					t.Errorf("%s: %.300s", kind, body)
				}
			case "xlsx":
				book, err := excelize.OpenReader(bytes.NewReader([]byte(body)))
				if err != nil || len(book.GetSheetList()) < 2 {
					t.Errorf("%s: %v", kind, err)
				}
			case "csv":
				rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
				if err != nil || len(rows) < 3 || !slices.Equal(rows[0], []string{"measure", "group", "start", "end", "unit", "value", "n"}) {
					t.Errorf("%s: %v %d rows", kind, err, len(rows))
				}
			case "json":
				var direct, result map[string]any
				if err := json.Unmarshal(r.Result, &result); err != nil {
					t.Fatal(err)
				}
				path := map[string]string{"usage": "/usage?group_by=day&", "conversations": "/conversations?", "engagement": "/engagement?"}[kind]
				if path == "" {
					continue
				}
				s.get("/analytics"+path+"days=28", &direct)
				for member, want := range direct {
					if got := result[member]; fmt.Sprint(got) != fmt.Sprint(want) && member != "generated_at" && member != "data" && member != "period" {
						t.Errorf("%s: %s is %v, the endpoint says %v", kind, member, got, want)
					}
				}
			}
		}
	}
}

// TestScript: what the page of that API does, step by step.
func TestScript(t *testing.T) {
	t.Parallel()
	s := reportService(t)
	role := "analytics_viewer,analytics_admin"
	var stats struct {
		Total  int64 `json:"total_conversations"`
		Active int64 `json:"active_users"`
	}
	var daily struct {
		Data []struct {
			Date          string
			Conversations int64
		}
	}
	for path, into := range map[string]any{"/usage": &stats, "/usage/daily?days=7": &daily} {
		if _, body := s.ask("GET", role, "/analytics"+path, ""); json.Unmarshal([]byte(body), into) != nil {
			t.Fatal(body)
		}
	}
	if stats.Total == 0 || stats.Active == 0 || len(daily.Data) != 7 || daily.Data[6].Date != "2026-10-01" {
		t.Errorf("%+v %+v", stats, daily)
	}
	r := s.made(role, `{"type":"engagement","start_date":"2025-01-01","end_date":"2025-01-31","format":"pdf"}`)
	if r.StartDate != "2025-01-01" || r.EndDate != "2025-01-31" || r.Title != "engagement 2025-01-01 – 2025-01-31" || r.GroupBy != "day" || r.CreatedBy != "analytics_viewer+analytics_admin" {
		t.Errorf("%+v", r)
	}
	if _, body := s.ask("GET", role, "/analytics/realtime", ""); !strings.Contains(body, `"active_sessions":`) || !strings.Contains(body, `"messages_per_minute":`) {
		t.Error(body)
	}
}

// TestReportRequests: roles, faults of bodies, keys, lists, and whose reports they are.
func TestReportRequests(t *testing.T) {
	t.Parallel()
	s := reportService(t)
	good := `{"type":"usage","days":7}`
	id := "/0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a11"
	for role, status := range map[string]int{
		"": 401, "ingest": 403, "analytics_viewer": 403, "analytics_admin": 200, "admin": 200, "analytics_viewer,analytics_admin": 200,
	} {
		for _, x := range []struct{ method, path, body string }{
			{"POST", "", good}, {"GET", "", ""}, {"GET", id, ""}, {"GET", id + "/download", ""},
		} {
			want := status
			if strings.HasPrefix(x.path, id) && status == 200 {
				want = 404
			}
			if resp, body := s.ask(x.method, role, "/analytics/reports"+x.path, x.body); resp.StatusCode != want {
				t.Errorf("%s %s as %q: %d %s", x.method, x.path, role, resp.StatusCode, body)
			}
		}
	}
	if resp, _ := s.ask("GET", "admin", "/analytics/reports/7", ""); resp.StatusCode != 400 {
		t.Errorf("no UUID: %d", resp.StatusCode)
	}
	for body, want := range map[string]string{
		`{}`:               "/type missing, /days missing",
		`{"type":"usage"}`: "/days missing",
		`{"type":"nothing","days":0,"format":"doc","group_by":"year","bot_id":"x","timezone":"Mars","foo":1}`: "/foo unknown, /days out-of-range, /group_by not-in-list, /timezone not-in-list, /bot_id not-a-uuid, /type not-in-list, /format not-in-list",
		`{"type":"usage","days":7,"period":"week"}`:                                                           "/days conflict, /period conflict",
		`{"type":"usage","days":"7"}`:                                                                         "/days not-an-integer",
		`{"type":7,"days":7}`:                                                                                 "/type invalid",
		`{"type":"usage","start_date":"2026-02-30"}`:                                                          "/start_date not-a-date",
		`{"type":"usage","start_date":"2026-02-02","end_date":"2026-02-01"}`:                                  "/end_date start-not-before-end",
		`{"type":"usage","days":40,"group_by":"hour"}`:                                                        "/group_by range-too-long",
		`{"type":"custom","days":7}`:                                                                          "/metrics missing",
		`{"type":"custom","days":7,"metrics":["csat","x"]}`:                                                   "/metrics/1 not-in-list",
		`{"type":"usage","days":7,"metrics":["csat"]}`:                                                        "/metrics conflict",
		`{"type":"usage","days":7,"include_charts":"no"}`:                                                     "/include_charts invalid",
		`{"type":"usage","days":7,"title":"` + strings.Repeat("x", 201) + `"}`:                                "/title out-of-range",
		`[]`: " invalid", `{`: " invalid", ``: " invalid", `null`: " invalid",
		`{"type":"usage","days":7,"title":"` + strings.Repeat("x", 70000) + `"}`: " invalid",
	} {
		resp, answer := s.ask("POST", "admin", "/analytics/reports", body)
		var p api.Problem
		if err := json.Unmarshal([]byte(answer), &p); err != nil || resp.StatusCode != 400 || !strings.HasSuffix(p.Type, "/invalid-body") {
			t.Fatalf("%.100s: %d %s", body, resp.StatusCode, answer)
		}
		var got []string
		for _, f := range p.Errors {
			got = append(got, f.Pointer+" "+f.Code)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%.100s: %q, want %q", body, strings.Join(got, ", "), want)
		}
	}
	if resp, _ := s.ask("POST", "admin", "/analytics/reports", good, "Content-Type", "text/plain"); resp.StatusCode != 400 {
		t.Errorf("another media type: %d", resp.StatusCode)
	}
	var first, again, later api.AnalyticsReport
	post := func(role, body, key string, into *api.AnalyticsReport) int {
		resp, answer := s.ask("POST", role, "/analytics/reports", body, "Idempotency-Key", key)
		_ = json.Unmarshal([]byte(answer), into)
		return resp.StatusCode
	}
	if post("admin", good, "k", &first) != 200 || post("admin", good, "k", &again) != 200 || first.ID != again.ID || first.ID == "" {
		t.Errorf("with one key: %s and %s", first.ID, again.ID)
	}
	if status := post("admin", `{"type":"nlp","days":7}`, "k", &again); status != 409 {
		t.Errorf("a key for something else: %d", status)
	}
	if post("analytics_admin", good, "k", &again) != 200 || again.ID == first.ID {
		t.Errorf("another token's key: %s", again.ID)
	}
	s.now = s.now.Add(24 * time.Hour)
	if post("admin", good, "k", &later) != 200 || later.ID == first.ID {
		t.Errorf("a day later: %s", later.ID)
	}
	limited := s.token(access.Token{Roles: []string{"analytics_admin"}, Assistants: []string{"desk"}})
	var list api.ReportList
	s.get("/analytics/reports?limit=2&offset=1", &list)
	if list.Total != 6 || len(list.Data) != 2 || list.Limit != 2 || list.Offset != 1 {
		t.Errorf("the list is %+v", list)
	}
	s.get("/analytics/reports?created_after=2026-10-02T12:00:00Z&status=pending&type=usage&sort=type&order=asc", &list)
	if list.Total != 1 || list.Data[0].ID != later.ID {
		t.Errorf("since the day after: %+v", list)
	}
	if _, body := s.ask("GET", limited, "/analytics/reports", ""); !strings.Contains(body, `"total":0`) {
		t.Errorf("who is limited sees the reports of others: %s", body)
	}
	if resp, _ := s.ask("GET", limited, "/analytics/reports/"+later.ID, ""); resp.StatusCode != 404 {
		t.Errorf("who is limited sees another's report: %d", resp.StatusCode)
	}
	s.make(later.ID)
	s.now = s.now.Add(jobs.FilesLast)
	if resp, _ := s.ask("GET", "admin", "/analytics/reports/"+later.ID, ""); resp.StatusCode != 404 {
		t.Errorf("one that expired: %d", resp.StatusCode)
	}
	for _, q := range []string{"limit=0", "limit=101", "offset=-1", "sort=x", "order=x", "type=x", "status=x", "created_after=x", "foo=1", "created_after=2026-01-02&created_before=2026-01-01"} {
		if resp, body := s.ask("GET", "admin", "/analytics/reports?"+q, ""); resp.StatusCode != 400 {
			t.Errorf("%s: %d %s", q, resp.StatusCode, body)
		}
	}
}
