package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/mask"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/web/api"
)

// deskService is the API on conversations of a desk.
func deskService(t *testing.T, change func(*api.Config)) (*service, time.Time) {
	t.Helper()
	pool := dbtest.Pool(t)
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	var desk []string
	for n := range 150 {
		desk = append(desk, talk(n, now.Add(-time.Duration(n)*5*time.Hour-13*time.Minute))...)
		desk = append(desk, flowEvents(n, now.Add(-time.Duration(n)*5*time.Hour-12*time.Minute))...)
	}
	feed(t, pool, "neutral", desk...)
	return newService(t, pool, now, change), now
}

// flowEvents are a flow of a conversation of talk, and its intents.
func flowEvents(n int, at time.Time) (bodies []string) {
	if n%2 == 0 {
		return nil
	}
	for i, status := range []string{"started", "completed"}[:1+n%4/2] {
		bodies = append(bodies, fmt.Sprintf(`{"type":"flow","time":%q,"data":{"bot_id":"desk","conversation_id":"c%d","channel":%q,"flow":"card","run_id":"r%d","status":%q}}`,
			at.Add(time.Duration(i)*time.Second).Format(time.RFC3339), n, []string{"web", "whatsapp", "phone"}[n%3], n, status))
	}
	return bodies
}

// held is how many the list under a link holds.
func (s *service) held(link string) int64 {
	s.t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		s.t.Fatal(err)
	}
	v := dashboard.NewViewer(s.pool, access.Account{Role: "admin"}, time.UTC, s.now)
	f, err := v.Filter(s.t.Context(), u.Query())
	if err != nil {
		s.t.Fatalf("%s: %v", link, err)
	}
	var n int64
	switch u.Path {
	case "/conversations":
		n, _, err = v.Total(s.t.Context(), f, s.now)
	case "/turns":
		n, err = queries.CountTurns(s.t.Context(), s.pool, f, s.now, time.UTC)
	case "/users/list":
		n, err = queries.CountEndUsers(s.t.Context(), s.pool, f, s.now, time.UTC)
	default:
		s.t.Fatalf("%s is no list", link)
	}
	if err != nil {
		s.t.Fatalf("%s: %v", link, err)
	}
	return n
}

// TestFigures: every measure answers alone, by every group and over time, and each link holds what its figure says.
func TestFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	s, _ := deskService(t, nil)
	var list api.MeasureList
	s.get("/measures", &list)
	if len(list.Data) != len(dashboard.Measures()) {
		t.Fatalf("%d measures", len(list.Data))
	}
	links, values := map[string]int64{}, 0
	check := func(path, row string, f api.Figure) {
		if f.Value != nil {
			values++
		}
		if f.Denominator != nil && *f.Denominator > 0 && *f.Value != float64(*f.Numerator)/float64(*f.Denominator) {
			t.Errorf("%s %s: %v is not %d of %d", path, row, *f.Value, *f.Numerator, *f.Denominator)
		}
		if f.Denominator != nil && (f.Few != (*f.Denominator < 30) && *f.Denominator > 0 || f.N != *f.Denominator) {
			t.Errorf("%s %s: n is %d of %d, few %v", path, row, f.N, *f.Denominator, f.Few)
		}
		if f.Link == nil {
			return
		}
		if _, ok := links[*f.Link]; !ok {
			links[*f.Link] = s.held(*f.Link)
		}
		if links[*f.Link] != *f.LinkCount {
			t.Errorf("%s %s: %d, its list %s holds %d", path, row, *f.LinkCount, *f.Link, links[*f.Link])
		}
	}
	// In so few hours there are few groups, others than in those before.
	const hours = "from=2026-10-01T06:00:00Z&until=2026-10-01T11:00:00Z"
	for _, m := range list.Data {
		var queries []string
		for _, g := range append([]string{""}, m.Groups...) {
			if g == "" && m.OnlyGrouped {
				continue
			}
			queries = append(queries, "&group="+g)
			if g != "" {
				queries = append(queries, "&compare=previous&"+hours+"&group="+g)
			}
			if m.OverTime {
				queries = append(queries, "&bucket=week&compare=previous&group="+g)
			}
		}
		for _, q := range queries {
			path := "/figures?range=28d&measure=" + m.Name + strings.TrimSuffix(q, "&group=")
			if strings.Contains(q, hours) {
				path = strings.Replace(path, "range=28d&", "", 1)
			}
			var a api.FigureAnswer
			s.get(path, &a)
			if (a.Total == nil) != m.OnlyGrouped {
				t.Errorf("%s: the total is %+v", path, a.Total)
			}
			if a.Total != nil {
				check(path, "total", a.Total.Figure)
			}
			var sum, was int64
			for i, r := range a.Data {
				check(path, fmt.Sprint(i), r.Figure)
				if r.Value != nil {
					sum += int64(*r.Value)
				}
				if r.Before != nil && r.Before.Value != nil {
					was += int64(*r.Before.Value)
				}
				if r.Group != nil && r.Filter == nil {
					t.Errorf("%s: nothing selects the group %s", path, *r.Group)
				}
				if r.Start != nil && i > 0 && a.Group == nil && !a.Data[i-1].End.Equal(*r.Start) {
					t.Errorf("%s: there is a gap at %s", path, r.Start)
				}
			}
			users := strings.HasSuffix(m.Name, "_users") // who comes in several weeks counts in each
			if m.Unit == "count" && len(a.Data) > 0 && a.Total != nil && !users && sum != int64(*a.Total.Value) {
				t.Errorf("%s: the rows sum up to %d, the total is %v", path, sum, *a.Total.Value)
			}
			if strings.Contains(q, hours) && m.Unit == "count" && a.Total != nil && was != int64(*a.Total.Before.Value) {
				t.Errorf("%s: before, the rows sum up to %d, the total is %v", path, was, *a.Total.Before.Value)
			}
			if strings.Contains(q, "compare") && a.Total != nil && (a.Compare == nil || a.Total.Before == nil) {
				t.Errorf("%s is compared with nothing", path)
			}
		}
	}
	t.Log(values, "values,", len(links), "lists")
	if values < 400 || len(links) < 100 {
		t.Errorf("only %d values and %d lists were looked at", values, len(links))
	}
	for query, field := range map[string]string{
		"measure=x": "measure", "": "measure", "measure=csat&group=flow": "group", "measure=flow_started": "group",
		"measure=user_turns&bucket=day": "bucket", "measure=conversations&bucket=hour&range=365d": "bucket",
		"measure=csat&range=x": "range", "measure=csat&foo=1": "foo", "measure=csat&outcome=x": "outcome",
		"measure=csat&compare=x": "compare",
	} {
		resp, body := s.ask("GET", "admin", "/figures?"+query, "")
		var p api.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || resp.StatusCode != 400 || len(p.Errors) != 1 || p.Errors[0].Parameter != field {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
	for query, want := range map[string]string{ // all at once
		"measure=x&range=zz&outcome=yy&csat=q&foo=1":     "measure, range, outcome, csat, foo",
		"measure=csat&range=7d&range=60d&q=a&q=b":        "q, range",
		"measure=csat&id=" + metric.PersonID(1).String(): "id",
	} {
		_, body := s.ask("GET", "admin", "/figures?"+query, "")
		var p api.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(body)
		}
		var names []string
		for _, f := range p.Errors {
			names = append(names, f.Parameter)
		}
		if strings.Join(names, ", ") != want {
			t.Errorf("%s: wrong are %q, want %s", query, names, want)
		}
	}
	s.mu.Lock()
	read := len(s.reads)
	s.mu.Unlock()
	s.get("/figures?measure=conversations&q=hello", new(api.FigureAnswer))
	s.mu.Lock()
	if len(s.reads) != read+1 {
		t.Error("a search by figures is not written down")
	}
	s.mu.Unlock()
	if resp, body := s.ask("GET", "analytics_viewer", "/figures?measure=csat", ""); resp.StatusCode != 200 || strings.Contains(body, "http://localhost/conversations") {
		t.Errorf("who may not read conversations gets links: %d %s", resp.StatusCode, body)
	}
	if resp, _ := s.ask("GET", "analytics_viewer", "/figures?measure=csat&person="+metric.PersonID(1).String(), ""); resp.StatusCode != 400 {
		t.Errorf("who may not read conversations asks about one person: %d", resp.StatusCode)
	}
}

// TestSameFigures: a figure of General Bots' API and the measure of its name are one.
func TestSameFigures(t *testing.T) {
	t.Parallel()
	s, _ := deskService(t, nil)
	for path, members := range map[string]map[string]string{
		"/usage":                    {"total_conversations": "conversations", "total_messages": "general_bots.messages", "active_users": "active_users", "new_users": "new_users"},
		"/conversations":            {"containment_rate": "general_bots.containment_rate", "handover_rate": "general_bots.handover_rate", "abandonment_rate": "general_bots.abandonment_rate", "resolution_rate": "general_bots.resolution_rate", "handed_over": "general_bots.handed_over"},
		"/conversations/resolution": {"unknown": "general_bots.unknown", "pending": "general_bots.pending", "coverage_rate": "general_bots.coverage_rate"},
		"/engagement":               {"bounce_rate": "general_bots.bounce_rate", "returning_users": "returning_users"},
		"/engagement/satisfaction":  {"csat_rate": "general_bots.csat_rate", "avg_score": "general_bots.avg_score", "nps": "general_bots.nps"},
	} {
		var a map[string]any
		s.get("/analytics"+path+"?days=28", &a)
		for member, measure := range members {
			var f api.FigureAnswer
			s.get("/figures?range=28d&measure="+measure, &f)
			if got, want := fmt.Sprintf("%.4f", a[member]), fmt.Sprintf("%.4f", *f.Total.Value); got != want {
				t.Errorf("%s: %s is %s, %s is %s", path, member, got, measure, want)
			}
		}
	}
}

// TestConversations: the list pages by key to its end, without gaps; a conversation has what was said in it.
func TestConversations(t *testing.T) {
	t.Parallel()
	s, _ := deskService(t, nil)
	seen, pages := map[string]bool{}, 0
	var first api.ConversationList
	for path := "/conversations?range=28d&limit=40"; path != ""; pages++ {
		var l api.ConversationList
		resp, body := s.ask("GET", "analytics_admin", path, "")
		if err := json.Unmarshal([]byte(body), &l); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
		}
		for _, c := range l.Data {
			if seen[c.ID] {
				t.Errorf("%s comes twice", c.ID)
			}
			seen[c.ID] = true
		}
		if pages == 0 {
			first = l
		}
		if path = ""; l.Next != nil {
			path = strings.TrimPrefix(*l.Next, "http://localhost/api/v1")
			if link := resp.Header.Get("Link"); link != "<"+*l.Next+`>; rel="next"` && pages == 0 {
				t.Errorf("the header says %s", link)
			}
		}
	}
	if int64(len(seen)) != *first.Total || !first.TotalExact || pages != (len(seen)+39)/40 {
		t.Errorf("%d conversations on %d pages of %d", len(seen), pages, *first.Total)
	}
	var of api.ConversationList
	s.get("/conversations?range=28d&person="+first.Data[0].UserID, &of)
	if *of.Total < 2 || *of.Total > 20 {
		t.Errorf("the user has %d conversations", *of.Total)
	}
	for _, c := range of.Data {
		if c.UserID != first.Data[0].UserID {
			t.Errorf("a conversation of %s among those of %s", c.UserID, first.Data[0].UserID)
		}
	}
	longest := first.Data[0]
	for _, c := range first.Data {
		if c.UserMessages > longest.UserMessages {
			longest = c
		}
	}
	var whole, part api.ConversationDetails
	s.get("/conversations/"+longest.ID, &whole)
	if len(whole.Messages) < 4 || whole.Messages[0].Author != "user" || whole.Messages[0].Text != "hello" || whole.User == "" {
		t.Errorf("its messages are %+v", whole.Messages)
	}
	n := 0
	for path := "/conversations/" + longest.ID + "?limit=3"; path != ""; {
		part = api.ConversationDetails{}
		s.get(path, &part)
		n += len(part.Messages)
		if path = ""; part.Next != nil {
			path = strings.TrimPrefix(*part.Next, "http://localhost/api/v1")
		}
	}
	if n != len(whole.Messages) {
		t.Errorf("%d messages in parts, %d at once", n, len(whole.Messages))
	}
	for role, status := range map[string]int{"analytics_viewer": 403, "ingest": 403, "": 401} {
		for _, path := range []string{"/conversations", "/conversations/" + longest.ID} {
			if resp, _ := s.ask("GET", role, path, ""); resp.StatusCode != status {
				t.Errorf("%s as %q: %d", path, role, resp.StatusCode)
			}
		}
	}
	if resp, _ := s.ask("GET", "admin", "/conversations?page=newer.1."+longest.ID, ""); resp.StatusCode != 400 {
		t.Errorf("a place that next never tells: %d", resp.StatusCode)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reads) == 0 || !strings.Contains(strings.Join(s.reads, "\n"), "read.conversation "+longest.ID) {
		t.Errorf("what was read is written down as %q", s.reads)
	}
}

// TestMaskedFacts: where personal data are masked on display, a conversation tells none in any of its members.
func TestMaskedFacts(t *testing.T) {
	t.Parallel()
	s, now := deskService(t, nil)
	mail := func(n int) string { return fmt.Sprintf("jane%d@example.com", n) }
	at := func(n int) string { return now.Add(time.Duration(n-60) * time.Minute).Format(time.RFC3339) }
	of := `"bot_id":"desk","conversation_id":"masked","channel":"` + mail(1) + `","environment":"` + mail(2) + `","version":"` + mail(3) + `","user_id":"` + mail(4) + `"`
	feed(
		t, s.pool, "neutral",
		`{"type":"message","time":"`+at(0)+`","data":{`+of+`,"message_id":"1","author":"user","text":"I am `+mail(5)+`"}}`,
		`{"type":"flow","time":"`+at(1)+`","data":{`+of+`,"flow":"`+mail(6)+`","run_id":"r","status":"started"}}`,
		`{"type":"conversation.state_changed","time":"`+at(2)+`","data":{`+of+`,"handler":{"kind":"human","agent_id":"`+mail(7)+`"},"reason":"`+mail(8)+`"}}`,
		`{"type":"message","time":"`+at(3)+`","data":{`+of+`,"message_id":"2","author":"human","agent_id":"`+mail(7)+`","text":"Hello `+mail(9)+`"}}`,
		`{"type":"conversation.updated","time":"`+at(4)+`","data":{`+of+`,"end_reason":"`+mail(10)+`","ended_at":"`+at(4)+`","subject":"`+mail(11)+`"}}`,
	)
	if err := queries.SetMasking(t.Context(), s.pool, queries.Masking{Rules: mask.All(), OnDisplay: true}, conversation.UUID{}, now); err != nil {
		t.Fatal(err)
	}
	var list api.ConversationList
	_, body := s.ask("GET", "admin", "/conversations?range=1d&limit=100", "")
	if err := json.Unmarshal([]byte(body), &list); err != nil || strings.Contains(body, "jane") {
		t.Errorf("the list tells %s", body)
	}
	n := 0
	for _, c := range list.Data {
		_, body := s.ask("GET", "admin", "/conversations/"+c.ID, "")
		if strings.Contains(body, "jane") {
			t.Errorf("a conversation tells %s", body)
		}
		if strings.Contains(body, `"author":"human"`) && c.Escalated {
			n++
		}
	}
	if n == 0 {
		t.Error("the conversation is not there")
	}
}

// TestLimited: a token of some assistants sees nothing of others, by any address.
func TestLimited(t *testing.T) {
	t.Parallel()
	s, now := deskService(t, nil)
	feed(t, s.pool, "neutral", fmt.Sprintf(`{"type":"message","time":%q,"data":{"bot_id":"other","conversation_id":"x","message_id":"m","author":"user","text":"secret","user_id":"u"}}`, now.Add(-time.Hour).Format(time.RFC3339)))
	only := s.token(access.Token{Roles: []string{"analytics_viewer", "analytics_admin"}, Assistants: []string{"other"}})
	var all, mine botList
	s.get("/bots", &all)
	_, body := s.ask("GET", only, "/bots", "")
	if err := json.Unmarshal([]byte(body), &mine); err != nil || len(mine.Data) != 1 || len(all.Data) < 2 {
		t.Fatalf("%v %v", mine, all)
	}
	for _, b := range all.Data {
		if b.Name != "desk" {
			continue
		}
		for _, path := range pages {
			if resp, body := s.ask("GET", only, "/analytics"+path+"?bot_id="+b.ID, ""); resp.StatusCode != 404 {
				t.Errorf("%s of another assistant: %d %s", path, resp.StatusCode, body)
			}
		}
	}
	if _, body := s.ask("GET", only, "/analytics/usage", ""); !strings.Contains(body, `"total_conversations":1,"total_messages":1,`) {
		t.Errorf("usage is %s", body)
	}
	for _, name := range []string{"desk", "nosuch"} { // the same of what is not there
		if resp, body := s.ask("GET", only, "/figures?measure=conversations&assistant="+name, ""); resp.StatusCode != 400 || !strings.Contains(body, name+" is not an assistant") {
			t.Errorf("conversations of another assistant are %s", body)
		}
	}
	if _, body := s.ask("GET", only, "/analytics/realtime", ""); !strings.Contains(body, `"conversations_started_last_hour":0`) || strings.Contains(body, "desk") {
		t.Errorf("realtime is %s", body)
	}
	var l api.ConversationList
	if _, body := s.ask("GET", only, "/conversations", ""); json.Unmarshal([]byte(body), &l) != nil || *l.Total != 1 {
		t.Errorf("conversations are %s", body)
	}
	s.get("/conversations?assistant=desk&limit=1", &l)
	if _, body := s.ask("GET", only, "/analytics/realtime", ""); !strings.Contains(body, `"ingest_lag_seconds":null`) {
		t.Errorf("sources bring events of others: %s", body)
	}
	if resp, _ := s.ask("GET", only, "/conversations/"+l.Data[0].ID, ""); resp.StatusCode != 404 {
		t.Errorf("a conversation of another assistant: %d", resp.StatusCode)
	}
}

// TestCached: an answer that has not changed is not sent again; one after new events is.
func TestCached(t *testing.T) {
	t.Parallel()
	s, now := deskService(t, func(cfg *api.Config) { cfg.Origins = []string{"https://board.example"} })
	resp, _ := s.ask("GET", "admin", "/analytics/usage?days=7", "")
	tag := resp.Header.Get("ETag")
	s.now = now.Add(time.Second)
	if resp, body := s.ask("GET", "admin", "/analytics/usage?days=7", "", "If-None-Match", tag); resp.StatusCode != 304 || body != "" || tag == "" {
		t.Errorf("the same again: %d %s", resp.StatusCode, body)
	}
	resp, _ = s.ask("GET", "admin", "/analytics/usage?period=month", "")
	s.now = s.now.Add(time.Second)
	if again, _ := s.ask("GET", "admin", "/analytics/usage?period=month", "", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("until now, a second later: %d", again.StatusCode)
	}
	feed(t, s.pool, "neutral", fmt.Sprintf(`{"type":"message","time":%q,"data":{"bot_id":"desk","conversation_id":"x","message_id":"m","author":"user","text":"new"}}`, now.Add(-time.Hour).Format(time.RFC3339)))
	if resp, _ := s.ask("GET", "admin", "/analytics/usage?days=7", "", "If-None-Match", tag); resp.StatusCode != 200 || resp.Header.Get("ETag") == tag {
		t.Errorf("after an event: %d", resp.StatusCode)
	}
	for origin, allowed := range map[string]string{"https://board.example": "https://board.example", "https://evil.example": "", "null": ""} {
		resp, _ := s.ask("GET", "admin", "/bots", "", "Origin", origin)
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != allowed {
			t.Errorf("of %s: %q", origin, got)
		}
	}
	if resp, _ := s.ask("OPTIONS", "", "/bots", "", "Origin", "https://board.example", "Access-Control-Request-Method", "GET"); resp.StatusCode != 204 || !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("before a request: %d %v", resp.StatusCode, resp.Header)
	}
	limited, _ := deskService(t, func(cfg *api.Config) { cfg.Rate = 3 })
	for i := range 5 {
		resp, body := limited.ask("GET", "admin", "/bots", "")
		if want := map[bool]int{true: 200, false: 429}[i < 3]; resp.StatusCode != want || want == 429 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("request %d: %d %s", i, resp.StatusCode, body)
		}
	}
	if resp, _ := limited.ask("GET", "analytics_viewer", "/bots", ""); resp.StatusCode != 200 {
		t.Errorf("another token: %d", resp.StatusCode)
	}
}

// TestWholeCohorts: cohorts are of whole weeks, wherever in a week the range begins and ends.
func TestWholeCohorts(t *testing.T) {
	t.Parallel()
	s, _ := deskService(t, nil)
	cohorts := func(query string) string {
		var a struct {
			Cohorts []map[string]any
			Rates   []any `json:"average_rates"`
		}
		s.get("/analytics/engagement/retention?"+query, &a)
		if len(a.Cohorts) == 0 || a.Cohorts[0]["size"].(float64) == 0 {
			t.Errorf("%s: %v", query, a)
		}
		return fmt.Sprint(a)
	}
	whole := cohorts("start_date=2026-08-31&end_date=2026-09-27")
	for _, cut := range []string{"start_date=2026-09-02&end_date=2026-09-21", "start_date=2026-09-06T23:59:59Z&end_date=2026-09-21T00:00:01Z"} {
		if got := cohorts(cut); got != whole {
			t.Errorf("%s: %s, whole weeks have %s", cut, got, whole)
		}
	}
}
