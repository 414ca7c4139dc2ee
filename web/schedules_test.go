package web_test

import (
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/secret"
	"turnwise/web"
)

// TestSchedules makes, changes, pauses and deletes a report by its forms; what is wrong is said beside what was typed,
// secrets are never shown again and stay with their host.
func TestSchedules(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 23, 9, 0, 0, 0, time.UTC)
	pool := dbtest.Pool(t)
	addUsers(t, pool)
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.NewBox("a key for tests, long enough")
	if err != nil {
		t.Fatal(err)
	}
	handler, stop := web.New(web.Config{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, URL: "http://localhost",
		Ingest: http.NotFoundHandler(), Jobs: queue, Box: box, ReportLeast: 15 * time.Minute, ReportMails: 47 * 2,
		Now: func() time.Time { return now },
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	c := signIn(t, server.URL, "supervisor")
	post := func(c *http.Client, path string, form url.Values) (int, string, string) {
		t.Helper()
		resp, err := c.PostForm(server.URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, html.UnescapeString(string(b)), resp.Header.Get("Location")
	}
	if _, body, _ := get(
		t, c, "GET", server.URL+"/reports",
	); !strings.Contains(body, "Mail is not set up") || !strings.Contains(body, "Nothing is sent yet") {
		t.Errorf("empty: %.300s", body)
	}
	good := url.Values{
		"name": {"The month"}, "page": {"overview"}, "query": {"range=28d"}, "formats": {"html", "pdf"},
		"schedule": {"first weekday of the month 07:30"}, "zone": {"Europe/Berlin"}, "destination": {"mail"},
		"recipients": {"ann@example.org\nBob <bob@example.org>, ANN@example.org"}, "if_empty": {"send"},
	}
	for field, wrong := range map[string]string{
		"name": "", "page": "nowhere", "query": "range=0d", "formats": "doc", "schedule": "sometimes", "zone": "Mars",
		"destination": "pigeon", "recipients": "ann@example.org\nnobody", "if_empty": "cry",
	} {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form.Set(field, wrong)
		status, body, _ := post(c, "/reports", form)
		if field == "page" || field == "query" { // of links, which nobody types
			if status != 400 && status != 422 {
				t.Errorf("%s %q: %d", field, wrong, status)
			}
			continue
		}
		if status != 422 || !strings.Contains(body, field+":") || field != "name" &&
			!strings.Contains(body, "The month") {
			t.Errorf("%s %q: %d %.200s", field, wrong, status, body)
		}
	}
	good["group_assistant"], good["group_environment"], good["group_channel"] = []string{"", "", "harbour-bank"}, []string{"", "", ""}, []string{"rest", "", ""}
	for says, wrong := range map[string][]string{
		"two groups": {"cid@example.org", "", "Ann@example.org"}, "no address": {"cid"},
		"leaves out": {"cid@example.org"},
	} {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form["group_recipients"] = wrong
		if says == "leaves out" {
			form.Set("query", "range=28d&channel=whatsapp")
		}
		if status, body, _ := post(c, "/reports", form); status != 422 || !strings.Contains(body, says) ||
			!strings.Contains(body, ">cid") {
			t.Errorf("groups %v: %d %.200s", wrong, status, body)
		}
	}
	good["group_recipients"] = []string{"rest@example.org", " ", "bank@example.org, Bank Two <bank2@example.org>"}
	status, body, at := post(c, "/reports", good)
	if status != 303 {
		t.Fatalf("%d %.300s", status, body)
	}
	at, _, _ = strings.Cut(at, "?")
	_, body, _ = get(t, c, "GET", server.URL+at)
	body = html.UnescapeString(body)
	for _, want := range []string{
		"Mon 2 Nov 2026, 07:30 CET", "Tue 1 Dec 2026, 07:30 CET", "Fri 1 Jan 2027, 07:30 CET",
		"ann@example.org, bob@example.org; rest@example.org (only rest); bank@example.org, bank2@example.org (only harbour-bank)",
		"first weekday of the month 07:30",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if status, text, _ := get(
		t, c, "GET",
		server.URL+"/reports/next?"+url.Values{"schedule": {"30 2 * * *"}, "zone": {"Europe/Berlin"}}.Encode(),
	); status != 200 || !strings.Contains(
		text, "Sat 24 Oct 2026, 02:30 CEST, Sun 25 Oct 2026, 02:30 CEST, Mon 26 Oct 2026, 02:30 CET",
	) {
		t.Errorf("next: %d %s", status, text)
	}
	// Pause, go on, send now, test.
	for path, want := range map[string]string{"/pause": "paused", "/now": "about to be made", "/test": "test"} {
		if status, _, _ := post(c, at+path, nil); status != 303 {
			t.Errorf("%s: %d", path, status)
		}
		if _, body, _ := get(t, c, "GET", server.URL+at); !strings.Contains(body, want) {
			t.Errorf("%s: the page lacks %q", path, want)
		}
	}
	of, err := conversation.ParseUUID(strings.TrimPrefix(at, "/reports/"))
	if err != nil {
		t.Fatal(err)
	}
	runs, err := queries.RunsOf(t.Context(), pool, of)
	if err != nil || len(runs) != 2 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	if last, err := queries.LastRuns(
		t.Context(), pool, []conversation.UUID{queries.NewID(), of},
	); err != nil || !reflect.DeepEqual(last, map[conversation.UUID]queries.ReportRun{of: runs[0]}) {
		t.Errorf("the last runs are %v, %v", last, err)
	}
	if _, body, _ := get(t, c, "GET", server.URL+"/reports"); !strings.Contains(body, "about to be made") {
		t.Errorf("the list does not tell the last run: %.600s", body)
	}
	// Somebody else's is nobody's.
	if status, _, _ := get(t, signIn(t, server.URL, "admin"), "GET", server.URL+at); status != 200 {
		t.Errorf("an admin: %d", status)
	}
	if err := queries.AddAccount(t.Context(), pool, access.Account{
		ID: queries.NewID(), Email: "other@example.org", Name: "other", Role: "supervisor",
		PasswordHash: passwordHash(t), CreatedAt: now,
	}); err != nil {
		t.Fatal(err)
	}
	other := signIn(t, server.URL, "other")
	for _, path := range []string{"/pause", "/now", "/test", "/delete"} {
		if status, _, _ := post(other, at+path, nil); status != 404 {
			t.Errorf("another's %s: %d", path, status)
		}
	}
	// Secrets.
	upload := url.Values{
		"name": {"Upload"}, "query": {"range=7d"}, "grain": {"conversation"}, "formats": {"csv"},
		"schedule": {"daily 6:00"}, "zone": {"UTC"}, "destination": {"http"}, "url": {"https://a.example.org/x"},
		"headers": {"Authorization: Bearer hunter2"}, "if_empty": {"send"},
	}
	_, _, at = post(c, "/reports", upload)
	at, _, _ = strings.Cut(at, "?")
	id, err := conversation.ParseUUID(strings.TrimPrefix(at, "/reports/"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{at, "/reports/edit?of=" + id.String(), "/reports"} {
		if _, body, _ := get(t, c, "GET", server.URL+path); strings.Contains(body, "hunter2") {
			t.Errorf("%s shows the secret", path)
		}
	}
	upload.Del("headers")
	upload.Set("id", id.String())
	for _, elsewhere := range []string{
		"https://a.example.org/y", "https://b.example.org/x", "http://a.example.org/x", "https://a.example.org:8443/x",
	} {
		x, err := queries.ScheduleByID(t.Context(), pool, id)
		if err != nil {
			t.Fatal(err)
		}
		x.Target.URL = elsewhere
		if _, err := box.Open(x.Sealed, jobs.SecretPlace(x)); err == nil {
			t.Errorf("%s may have the secret", elsewhere)
		}
	}
	// Places to which nothing is ever sent are not kept.
	for address, why := range map[string]string{
		"http://127.0.0.1/": "private network", "http://192.168.0.10/hook": "private network", "https://[::1]/": "private network", "http://[::ffff:10.0.0.1]/": "private network", "http://169.254.169.254/latest": "private network",
		"http://localhost:8080/": "private network", "http://a.localhost/": "private network", "http://2130706433/": "is no address", "http://0x7f000001/": "is no address", "http://127.1/": "is no address", "http://a.example.org:99999/": "port", "http://0.0.0.0/": "private network",
	} {
		for destination, field := range map[string]string{"http": "url", "s3": "s3"} {
			form := maps.Clone(upload)
			form.Del("id")
			form.Set("destination", destination)
			form.Set(field, address)
			form.Set("bucket", "b")
			form.Set("key", "k")
			if status, body, _ := post(c, "/reports", form); status != 422 || !strings.Contains(body, why) {
				t.Errorf("%s %s: %d, not %q", destination, address, status, why)
			}
		}
	}
	// A chat channel's address is a secret as a whole.
	chat := url.Values{
		"name": {"Monday figures"}, "page": {"overview"}, "query": {"range=7d"}, "schedule": {"mondays 8:00"}, "zone": {"UTC"},
		"destination": {"chat"}, "chat": {"https://hooks.slack.com/services/T0/B0/hunter3"}, "if_empty": {"send"},
	}
	status, _, chatAt := post(c, "/reports", chat)
	chatAt, _, _ = strings.Cut(chatAt, "?")
	channel, err := conversation.ParseUUID(strings.TrimPrefix(chatAt, "/reports/"))
	if err != nil || status != 303 {
		t.Fatal(status, chatAt, err)
	}
	for _, path := range []string{chatAt, "/reports/edit?of=" + channel.String(), "/reports"} {
		if _, body, _ := get(t, c, "GET", server.URL+path); strings.Contains(body, "hunter3") || !strings.Contains(body, "https://hooks.slack.com") {
			t.Errorf("%s shows the secret, or not where it goes", path)
		}
	}
	kept, err := queries.ScheduleByID(t.Context(), pool, channel)
	if err != nil || strings.Contains(fmt.Sprintf("%+v", kept.Target), "hunter3") {
		t.Errorf("%+v %v", kept.Target, err)
	}
	chat.Set("id", channel.String())
	chat.Set("revision", "1")
	chat.Set("chat", "")
	if status, body, _ := post(c, "/reports", chat); status != 303 {
		t.Errorf("with the address that is kept: %d %.300s", status, body)
	}
	if x, err := queries.ScheduleByID(t.Context(), pool, channel); err != nil || string(x.Sealed) != string(kept.Sealed) || len(x.Sealed) == 0 {
		t.Errorf("the address is not kept: %+v %v", x, err)
	}
	chat.Del("id")
	for address, why := range map[string]string{
		"": "is an address", "https://127.0.0.1/x": "private network", "https://user:pass@hooks.example.org/x": "is an address",
	} {
		chat.Set("chat", address)
		if status, body, _ := post(c, "/reports", chat); status != 422 || !strings.Contains(body, why) {
			t.Errorf("chat at %q: %d, not %q", address, status, why)
		}
	}
	chat.Set("chat", "https://hooks.example.org/x")
	chat.Del("page")
	chat.Set("grain", "message")
	chat.Set("formats", "csv")
	if status, body, _ := post(c, "/reports", chat); status != 422 || !strings.Contains(body, "chats get pages of figures") {
		t.Errorf("rows to a chat: %d", status)
	}
	// How often, and to how many.
	often := maps.Clone(upload)
	often.Del("id")
	often.Set("destination", "mail")
	often.Set("recipients", "a@example.org\nb@example.org")
	for schedule, why := range map[string]string{
		"* * * * *": "the least distance", "0,14 * * * *": "the least distance", "0,15 * * * *": "96 mails a day",
		"0 * * * *": "",
	} {
		often.Set("schedule", schedule)
		status, body, _ := post(c, "/reports", often)
		if why == "" && status != 303 || why != "" && (status != 422 || !strings.Contains(body, why)) {
			t.Errorf("%s: %d, not %q", schedule, status, why)
		}
	}
	for i, address := range []string{"https://a.example.org/x", "https://b.example.org/x"} {
		x, err := queries.ScheduleByID(t.Context(), pool, id)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && len(x.Sealed) == 0 {
			t.Fatal("no secret was kept")
		}
		upload.Set("url", address)
		upload.Set(
			"revision",
			regexp.MustCompile(`name="revision" value="(\d+)"`).FindStringSubmatch(
				func() string { _, b, _ := get(t, c, "GET", server.URL+"/reports/edit?of="+id.String()); return b }(),
			)[1],
		)
		if status, body, _ := post(c, "/reports", upload); status != 303 {
			t.Fatalf("%d %.300s", status, body)
		}
		x, err = queries.ScheduleByID(t.Context(), pool, id)
		if err != nil || (len(x.Sealed) > 0) != (i == 0) {
			t.Errorf("%s: the secret is kept: %t, %v", address, len(x.Sealed) > 0, err)
		}
	}
	var leaked int
	if err := pool.QueryRow(
		t.Context(), `select count(*) from schedules s where s::text like '%hunter2%'`,
	).Scan(&leaked); err != nil || leaked > 0 {
		t.Errorf("%d rows hold the secret in clear, %v", leaked, err)
	}
	if status, _, _ := post(c, at+"/delete", nil); status != 303 {
		t.Errorf("delete: %d", status)
	}
	// Mail: settings with a password, kept for its server only.
	admin := signIn(t, server.URL, "admin")
	settings := url.Values{
		"host": {"smtp.example.org"}, "port": {"587"}, "security": {"starttls"}, "user": {"u"}, "password": {"hunter2"},
		"from": {"tw@example.org"}, "sender": {"Turnwise"},
	}
	if status, body, _ := post(admin, "/admin/mail", settings); status != 303 {
		t.Fatalf("%d %.300s", status, body)
	}
	settings.Del("password")
	for _, x := range []struct {
		host string
		kept bool
	}{{"smtp.example.org", true}, {"evil.example.org", false}} {
		settings.Set("host", x.host)
		if status, _, _ := post(admin, "/admin/mail", settings); status != 303 {
			t.Errorf("%d", status)
		}
		m, err := queries.Mail(t.Context(), pool)
		if err != nil || (len(m.Sealed) > 0) != x.kept {
			t.Errorf("%s: the password is kept: %t, %v", x.host, len(m.Sealed) > 0, err)
		}
	}
	for field, wrong := range map[string]string{"port": "0", "from": "nobody", "security": "maybe", "host": "a b"} {
		form := url.Values{}
		for k, v := range settings {
			form[k] = v
		}
		form.Set(field, wrong)
		if status, _, _ := post(admin, "/admin/mail", form); status != 422 {
			t.Errorf("%s %q: %d", field, wrong, status)
		}
	}
	settings.Set("host", "127.0.0.1")
	settings.Set("port", "1")
	if status, _, _ := post(admin, "/admin/mail", settings); status != 303 {
		t.Errorf("%d", status)
	}
	if status, body, _ := post(
		admin, "/admin/mail/test", url.Values{"to": {"a@example.org"}},
	); status != 422 || !strings.Contains(
		body, "127.0.0.1 does not answer on port 1; check name and port",
	) || !strings.Contains(body, "Send a test to") {
		t.Errorf("a server that is away: %d %.300s", status, body)
	}
}

// TestPublicLinks: the links of a mail work without login, for their recipient and their time only.
func TestPublicLinks(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	now := time.Now()
	ctx := t.Context()
	u, err := queries.AccountByEmail(ctx, pool, "supervisor@example.org")
	if err != nil {
		t.Fatal(err)
	}
	x := queries.Schedule{
		ID: queries.NewID(), Name: "Weekly", AccountID: u.ID, Page: "overview", Formats: []string{"pdf"},
		Schedule: "daily 8:00", Zone: "UTC", Destination: "mail",
		Target: queries.Target{Recipients: []string{"a@example.org"}}, IfEmpty: "send", CreatedAt: now,
	}
	run := queries.ReportRun{
		ID: queries.NewID(), ScheduleID: x.ID, DueAt: now, State: queries.RunWaiting, CreatedAt: now,
	}
	var claim queries.RunClaim
	var all []queries.Delivery
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := queries.AddSchedule(ctx, tx, x); err != nil {
			return err
		}
		if err := queries.AddRun(ctx, tx, run); err != nil {
			return err
		}
		if claim, err = queries.ClaimRun(ctx, tx, run.ID, now, now); err != nil {
			return err
		}
		if err := claim.Part(ctx, tx, 0, 0, []byte("half ")); err != nil {
			return err
		}
		if err := claim.Part(ctx, tx, 0, 1, []byte("and half")); err != nil {
			return err
		}
		if err := claim.Made(
			ctx, tx,
			[]queries.ReportFile{
				{
					Name: "big.pdf", Kind: "application/pdf", Role: "attachment", Size: 13,
					Key: "AAAAAAAAAAAAAAAAAAAAAAAAAA",
				},
				{Name: "s", Kind: "text/html", Role: "html", Key: "BBBBBBBBBBBBBBBBBBBBBBBBBB"},
			},
			0,
		); err != nil {
			return err
		}
		all, err = queries.Deliveries(ctx, tx, run.ID, x.Target.Recipients)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c := client(t)
	file := server.URL + "/files/" + run.ID.String()
	if status, body, header := get(
		t, c, "GET", file+"/AAAAAAAAAAAAAAAAAAAAAAAAAA",
	); status != 200 || body != "half and half" ||
		header.Get("Content-Disposition") != `attachment; filename="big.pdf"` {
		t.Errorf("%d %q %v", status, body, header)
	}
	for _, path := range []string{
		file + "/0", file + "/BBBBBBBBBBBBBBBBBBBBBBBBBB", file + "/AAAAAAAAAAAAAAAAAAAAAAAAAB",
		server.URL + "/files/" + x.ID.String() + "/AAAAAAAAAAAAAAAAAAAAAAAAAA",
		server.URL + "/unsubscribe/" + run.ID.String(),
	} {
		if status, _, _ := get(t, c, "GET", path); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
	if err := claim.End(ctx, pool, queries.RunDone, "", nil, now.AddDate(0, 0, -8)); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := get(t, c, "GET", file+"/AAAAAAAAAAAAAAAAAAAAAAAAAA"); status != 404 {
		t.Errorf("an expired file: %d", status)
	}
	leave := server.URL + "/unsubscribe/" + all[0].Token.String()
	if status, body, _ := get(t, c, "GET", leave); status != 200 || !strings.Contains(body, "a@example.org") ||
		!strings.Contains(body, "Weekly") {
		t.Errorf("%d %.300s", status, body)
	}
	if gone, err := queries.UnsubscribedOf(ctx, pool, x.ID); err != nil || len(gone) != 0 {
		t.Errorf("looking unsubscribes: %v, %v", gone, err)
	}
	if status, body, _ := get(t, c, "POST", leave); status != 200 || !strings.Contains(body, "gets no more") {
		t.Errorf("%d %.300s", status, body)
	}
	if gone, err := queries.UnsubscribedOf(ctx, pool, x.ID); err != nil || len(gone) != 1 {
		t.Errorf("%v, %v", gone, err)
	}
}

func passwordHash(t *testing.T) string {
	t.Helper()
	hash, err := access.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}
