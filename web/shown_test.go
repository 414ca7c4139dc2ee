package web_test

import (
	"archive/zip"
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/compat"
	"turnwise/conversation"
	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/jobs"
	"turnwise/mask"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/report"
)

// TestMaskedOnDisplay: where personal data are masked on display, nobody meets them, on no page that leads from the
// others and in no file, until he reveals a conversation, which needs the right and a reason, and is written down.
func TestMaskedOnDisplay(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const secret = "zephyrine"
	texts := regexp.MustCompile(`("(?:text|title|payload|value|sender_id|user_id|image|note)":\s*")`)
	g := demo.New(demo.Options{Conversations: 200, Days: 20, Until: o.now.Add(-time.Hour), Seed: 7})
	feed(t, o.pool, func() ([]byte, bool) {
		b, ok := g.Next()
		return texts.ReplaceAll(b, []byte("${1}"+secret+"@example.org +49 30 901820777 ")), ok
	})
	if err := jobs.IndexTexts(t.Context(), o.pool); err != nil {
		t.Fatal(err)
	}
	rules := queries.Masking{Rules: mask.All(), OnDisplay: true}
	rules.Slots = []string{"customer_name"}
	if err := queries.SetMasking(t.Context(), o.pool, rules, conversation.UUID{}, o.now); err != nil {
		t.Fatal(err)
	}
	if len(dbtest.Holding(t, o.pool, secret)) < 5 {
		t.Fatal("nothing was planted")
	}
	if err := jobs.IndexTexts(t.Context(), o.pool); err != nil { // the words that are left
		t.Fatal(err)
	}
	if err := compat.Apply(t.Context(), o.pool); err != nil {
		t.Fatal(err)
	}
	var id string
	if err := o.pool.QueryRow(
		t.Context(), `select id from conversations where user_messages > 2 order by started_at desc limit 1`,
	).Scan(&id); err != nil {
		t.Fatal(err)
	}
	from := []string{
		"/conversations?range=90d", "/conversations?range=90d&q=thanks", "/conversations/" + id, "/conversations/" +
			id + "?view=builder", "/conversations/" + id + "/events.json", "/conversations/" + id +
			"/test.yml", "/conversations/" + id + "/nlu.yml",
		"/turns?range=90d", "/users/list?range=90d", "/intents?range=90d", "/overview?range=28d", "/review", "/csat?range=90d", "/flows?range=90d", "/documents/intents?as=csv&range=90d", "/reports", "/health",
	}
	for _, role := range []string{"reviewer", "supervisor", "admin"} {
		c := signIn(t, o.url, role)
		if n := roam(t, c, o.url, role, secret, from); n < 60 {
			t.Errorf("only %d pages were reached as %s", n, role)
		}
		if n := roam(t, c, o.url, role, "901820777", from[:7]); n < 7 {
			t.Errorf("only %d pages as %s", n, role)
		}
		if _, body := o.get(c, "/conversations/"+id); !strings.Contains(body, "[email]") ||
			!strings.Contains(body, "[phone]") {
			t.Errorf("nothing says that something was masked, as %s", role)
		}
		if role == "reviewer" {
			continue
		}
		for _, grain := range []string{"conversation", "message", "event", "turn", "user"} {
			status, _, body := o.post(c, "/exports", "grain", grain, "format", "csv", "query", "range=90d")
			if status != 200 || strings.Contains(body, secret) || strings.Contains(body, "901820777") ||
				!strings.Contains(body, "[email]") {
				t.Errorf("an export by %s as %s: %d, %.300s", grain, role, status, body)
			}
		}
	}
	supervisor, admin := signIn(t, o.url, "supervisor"), signIn(t, o.url, "admin")
	for _, q := range []string{secret + "@example.org", "901820777"} {
		if status, _ := o.get(supervisor, "/conversations?range=90d&q="+url.QueryEscape(q)); status != 400 {
			t.Errorf("a search for %q: %d", q, status)
		}
		if status, _ := o.get(admin, "/conversations?range=90d&q="+url.QueryEscape(q)); status != 200 {
			t.Errorf("an admin's search for %q: %d", q, status)
		}
	}
	// Neither does a word, its beginning, nor its absence tell who has not the right that it was said; who has it finds
	// it.
	listed := func(c *http.Client, q string) int {
		t.Helper()
		status, body := o.get(c, "/conversations?range=90d&q="+url.QueryEscape(q))
		if status != 200 {
			t.Fatalf("%q: %d", q, status)
		}
		all := regexp.MustCompile(`href="/conversations/[0-9a-f]{8}-[0-9a-f-]{27}`).FindAllString(body, -1)
		slices.Sort(all)
		return len(slices.Compact(all))
	}
	said := listed(supervisor, "thanks")
	if said == 0 || listed(supervisor, "thanks -"+secret) != said || listed(admin, "thanks -"+secret) != 0 {
		t.Errorf(
			"thanks: %d, without what is masked: %d, for an admin %d", said, listed(supervisor, "thanks -"+secret),
			listed(admin, "thanks -"+secret),
		)
	}
	for _, q := range []string{secret, secret[:4] + "*", secret + " OR nobody", "thanks " + secret, "zephyrina"} {
		if n := listed(supervisor, q); n != 0 {
			t.Errorf("%q finds %d conversations for a supervisor", q, n)
		}
		if n := listed(admin, q); n == 0 {
			t.Errorf("%q finds nothing for an admin", q)
		}
	}
	if status, _, body := o.post(
		supervisor, "/exports", "grain", "conversation", "format", "csv", "query", "q="+secret+"&range=90d",
	); status != 200 || strings.Contains(body, "[email]") {
		t.Errorf("an export of a search for what is masked: %d, %.300s", status, body)
	}
	if status, _ := o.get(
		supervisor, "/conversations?range=90d&id="+url.QueryEscape(secret+"@example.org +49 30 901820777 x"),
	); status != 400 {
		t.Errorf("an id that names a person: %d", status)
	}
	var b bytes.Buffer
	f, err := metric.ParseFilter(url.Values{"range": {"90d"}}, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.WriteSentiOne(t.Context(), o.pool, &b, report.Wanted{Filter: f}, o.now, time.UTC); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range z.File {
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		if all, err := io.ReadAll(r); err != nil || bytes.Contains(all, []byte(secret)) || len(all) < 1000 {
			t.Errorf("%s: %d bytes, %v", file.Name, len(all), err)
		}
	}
	o.post(admin, "/conversations/"+id+"/notes", "text", "call "+secret+"@example.org")
	if _, body := o.get(admin, "/conversations/"+id); !strings.Contains(body, "call [email]") ||
		strings.Contains(body, `name="revision"`) {
		t.Error("a masked note is offered to be changed")
	}
	reveal := "/conversations/" + id + "/reveal"
	if status, _, _ := o.post(supervisor, reveal, "reason", "curious"); status != 403 {
		t.Errorf("a supervisor reveals: %d", status)
	}
	if status, _, _ := o.post(admin, reveal, "reason", " "); status != 400 {
		t.Errorf("without a reason: %d", status)
	}
	if status, to, _ := o.post(
		admin, reveal, "reason", "the customer asked", "query", "view=builder&back=x&evil=1",
	); status != 303 || to != "/conversations/"+id+"?back=x&view=builder" {
		t.Errorf("revealed: %d, to %s", status, to)
	}
	for _, path := range []string{"", "?view=builder", "/events.json", "/test.yml"} {
		if _, body := o.get(admin, "/conversations/"+id+path); !strings.Contains(body, secret) {
			t.Errorf("%s is still masked", path)
		}
	}
	if _, body := o.get(admin, "/conversations?range=90d"); strings.Contains(body, secret) {
		t.Error("to reveal one conversation revealed the list")
	}
	if _, body := o.get(supervisor, "/conversations/"+id); strings.Contains(body, secret) {
		t.Error("what one reveals, another sees")
	}
	if _, body := o.get(admin, "/admin/audit"); !strings.Contains(body, "the customer asked") ||
		!strings.Contains(body, id) {
		t.Error("the audit log does not say who saw what and why")
	}
	o.post(admin, reveal, "hide", "yes")
	if _, body := o.get(admin, "/conversations/"+id); strings.Contains(body, secret) {
		t.Error("hidden again, it is still there")
	}
	o.post(admin, reveal, "reason", "once more")
	o.now = o.now.Add(31 * time.Minute)
	if _, body := o.get(admin, "/conversations/"+id); strings.Contains(body, secret) {
		t.Error("it stays revealed for ever")
	}
	export := []string{"grain", "message", "format", "csv", "query", "range=90d", "clear", "yes"}
	if status, _, body := o.post(
		supervisor, "/exports", append(export, "reason", "curious")...,
	); status != 400 || strings.Contains(body, secret) {
		t.Errorf("a supervisor's file in the clear: %d", status)
	}
	if status, _, _ := o.post(admin, "/exports", export...); status != 400 {
		t.Errorf("a file in the clear without a reason: %d", status)
	}
	if status, _, body := o.post(
		admin, "/exports", append(export, "reason", "a court asks")...,
	); status != 200 || !strings.Contains(body, secret) {
		t.Errorf("a file in the clear: %d", status)
	}
	if _, body := o.get(admin, "/admin/audit"); !strings.Contains(body, "a court asks") {
		t.Error("the audit log does not say why a file is in the clear")
	}
	if err := change(
		t, o.pool, "admin@example.org", func(u *access.Account) { no := false; u.Personal = &no },
	); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{reveal, "/admin/masking/run"} {
		if status, _, _ := o.post(admin, path, "reason", "no right", "sure", "yes"); status != 403 {
			t.Errorf("without the right %s answers %d", path, status)
		}
	}
}

// TestMaskingPage: an admin tries rules, keeps them, and has what is stored masked by them: then nothing that they find
// is anywhere.
func TestMaskingPage(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const secret = "zephyrine@example.org"
	texts := regexp.MustCompile(`("text":\s*")`)
	g := demo.New(demo.Options{Conversations: 60, Days: 9, Until: o.now.Add(-time.Hour), Seed: 9})
	feed(t, o.pool, func() ([]byte, bool) {
		b, ok := g.Next()
		return texts.ReplaceAll(b, []byte("${1}"+secret+" ")), ok
	})
	if err := jobs.IndexTexts(t.Context(), o.pool); err != nil {
		t.Fatal(err)
	}
	admin := signIn(t, o.url, "admin")
	var id, message string
	if err := o.pool.QueryRow(
		t.Context(), `select conversation_id, id from messages where author = 2 and text like '%zephyrine%' limit 1`,
	).Scan(&id, &message); err != nil {
		t.Fatal(err)
	}
	o.post(admin, "/conversations/"+id+"/notes", "text", "call "+secret)
	o.post(admin, "/conversations/"+id+"/marks", "mark", "good "+message)
	o.post(
		admin, "/notes", "at", o.now.Add(-48*time.Hour).Format("2006-01-02T15:04"), "text", secret+" complained",
		"back", "/overview",
	)
	if n := len(dbtest.Holding(t, o.pool, secret)); n < 6 {
		t.Fatalf("it stands in %d tables", n)
	}
	form := []string{
		"display", "yes", "email", "yes", "patterns", `order: \bA-\d+\b`, "slots", "customer_name\n\ncustomer_name",
	}
	if status, _, body := o.post(
		admin, "/admin/masking", append(form, "try", "yes", "sample", "A-77 of "+secret)...,
	); status != 200 || !strings.Contains(body, "[order] of [email]") {
		t.Errorf("tried: %d %.500s", status, body)
	}
	if status, _, body := o.post(
		admin, "/admin/masking", "patterns", "x: (",
	); status != 422 || !strings.Contains(body, "missing closing") {
		t.Errorf("a broken pattern: %d", status)
	}
	if status, _, _ := o.post(admin, "/admin/masking/run", "sure", "yes"); status != 422 {
		t.Errorf("masked by no rules: %d", status)
	}
	if status, _, _ := o.post(admin, "/admin/masking", form...); status != 303 {
		t.Errorf("kept: %d", status)
	}
	if status, _, _ := o.post(admin, "/admin/masking/run"); status != 422 {
		t.Errorf("not sure: %d", status)
	}
	if status, _, _ := o.post(admin, "/admin/masking/run", "sure", "yes"); status != 303 {
		t.Errorf("run: %d", status)
	}
	if _, body := o.get(admin, "/admin/masking"); !strings.Contains(body, "begins in 1 m") {
		t.Error("the page does not say when it begins")
	}
	if status, _, _ := o.post(admin, "/admin/masking/run", "sure", "yes"); status != 422 {
		t.Errorf("twice at once: %d", status)
	}
	runs, err := queries.FoldRuns(t.Context(), o.pool, queries.FoldToMask)
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	if err := jobs.Fold(
		t.Context(), o.pool, runs[0].ID, ingest.NewWriter(o.pool, slog.New(slog.DiscardHandler)).FoldStored,
		func() time.Time { return o.now },
	); err != nil {
		t.Fatal(err)
	}
	if in := dbtest.Holding(t, o.pool, secret); len(in) > 0 {
		t.Errorf("it stands in %v", in)
	}
	if _, body := o.get(admin, "/admin/masking"); !strings.Contains(body, "done in") {
		t.Error("the page does not say that it is done")
	}
	rows, _ := o.pool.Query(
		t.Context(),
		`select exists (select from messages m where m.id = k.message_id and m.sender_id = k.sender_id and m.text like '%[email]%') from message_marks k`,
	)
	if at, err := pgx.CollectRows(rows, pgx.RowTo[bool]); err != nil || len(at) != 1 || !at[0] {
		t.Errorf("the mark did not follow its message: %v %v", at, err)
	}
}
