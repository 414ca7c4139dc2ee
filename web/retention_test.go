package web_test

import (
	"html"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"turnwise/demo"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestRetentionPage: an admin sees what would be deleted before it is, holds some of it, and sees what was; figures
// keep counting, and lists say that they hold what is left.
func TestRetentionPage(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	pool := dbtest.Pool(t)
	feed(t, pool, demo.New(demo.Options{Conversations: 200, Days: 60, Until: now.Add(-3 * time.Hour), Seed: 5}).Next)
	_, base := exportSite(t, pool, time.UTC, now)
	c := signIn(t, base, "admin")
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		resp, err := c.PostForm(base+path, form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, html.UnescapeString(string(b))
	}
	page := func(path string) string {
		t.Helper()
		_, body, _ := get(t, c, "GET", base+path)
		return html.UnescapeString(body)
	}
	if body := page("/admin/retention"); !strings.Contains(body, "Everything is kept for ever") {
		t.Errorf("empty: %.300s", body)
	}
	for _, x := range []struct {
		form url.Values
		says string
	}{
		{url.Values{"texts": {"30"}, "conversations": {"20"}}, "go no later than their conversations"},
		{url.Values{"events": {"30"}}, "go no later than the events"},
		{url.Values{"texts": {"40"}, "events": {"30"}}, "go no later than the events"},
		{url.Values{"texts": {"3"}, "events": {"30"}, "conversations": {"20"}}, "go no later than their conversations"},
		{url.Values{"conversations": {"0"}}, "from 1 to 36,500"},
		{url.Values{"conversations": {"30"}, "statistics": {"20"}}, "cannot go before"},
		{url.Values{"statistics": {"20"}}, "cannot go before"},
		{url.Values{"conversations": {"30"}, "statistics": {"40"}, "channel": {"rest"}}, "kept by assistant"},
	} {
		if status, body := post("/admin/retention", x.form); status != 422 || !strings.Contains(body, x.says) {
			t.Errorf("%v: %d", x.form, status)
		}
	}
	if status, _ := post("/admin/retention", url.Values{"conversations": {"365d"}}); status != 303 {
		t.Errorf("%d", status)
	}
	if body := page("/admin/retention"); !strings.Contains(body, "Nothing is to be removed now") {
		t.Errorf("365 days: %.300s", body)
	}
	if status, body := post(
		"/admin/retention", url.Values{"conversations": {"30"}},
	); status != 422 || !strings.Contains(body, "there is one for the same") {
		t.Errorf("twice: %d", status)
	}
	rules, err := queries.RetentionRules(t.Context(), pool)
	if err != nil || len(rules) != 1 {
		t.Fatalf("%v, %v", rules, err)
	}
	change := url.Values{"revision": {"1"}, "conversations": {"30"}}
	tried := url.Values{
		"revision": {"1"}, "texts": {"20"}, "events": {"40"}, "conversations": {"50"}, "act": {"preview"},
	}
	status, body := post("/admin/retention/"+rules[0].ID.String(), tried)
	for _, want := range []string{
		"This is what happens with the rule for all conversations.", "not kept yet", "removes the whole of <b>",
		"removes texts and events of <b>", "removes the texts of <b>", `value="40"`,
	} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("preview of a change: %d, without %q", status, want)
		}
	}
	if again, err := queries.RetentionRules(t.Context(), pool); err != nil || again[0].Revision != 1 ||
		again[0].TextDays != nil {
		t.Errorf("the preview changed the rule: %+v, %v", again, err)
	}
	tried = url.Values{"assistant": {"harbour-bank"}, "texts": {"20"}, "act": {"preview"}}
	if status, body := post("/admin/retention", tried); status != 200 || !strings.Contains(
		body, "the rule for assistant harbour-bank",
	) || !strings.Contains(body, "removes the texts of <b>") || strings.Contains(body, "removes the whole") {
		t.Errorf("preview of a new one: %d", status)
	}
	if status, _ := post("/admin/retention/"+rules[0].ID.String(), change); status != 303 {
		t.Errorf("change: %d", status)
	}
	if status, body := post(
		"/admin/retention/"+rules[0].ID.String(), change,
	); status != 422 || !strings.Contains(body, "meanwhile") {
		t.Errorf("changed meanwhile: %d", status)
	}
	count := func() string {
		m := regexp.MustCompile(
			`removes the whole of <b>([\d,]+) conversations</b>`,
		).FindStringSubmatch(page("/admin/retention"))
		if m == nil {
			t.Fatal("the page does not say how many")
		}
		return m[1]
	}
	count()
	if status, _ := post("/admin/holds", url.Values{
		"assistant": {"harbour-bank"}, "reason": {"a lawsuit"},
	}); status != 303 {
		t.Errorf("hold: %d", status)
	}
	if body := page("/admin/retention"); !strings.Contains(body, "under hold stay") {
		t.Error("the page does not tell of the hold")
	}
	want := count()
	total := regexp.MustCompile(`data-total="(\d+)"`)
	was := page("/overview?range=90d")
	run, err := jobs.Retain(t.Context(), pool, time.UTC, func() time.Time { return now })
	if err != nil || want != "" && strings.ReplaceAll(want, ",", "") != itoa(run.Conversations) {
		t.Errorf("it said %s, and deleted %d, %v", want, run.Conversations, err)
	}
	if body := page("/admin/retention"); !strings.Contains(
		body, "Nothing is to be removed now",
	) || !strings.Contains(body, ">"+want+"<") {
		t.Errorf("after the run: %.500s", body)
	}
	volume := regexp.MustCompile(`(?s)<h2>Conversations by outcome.*?</table>`)
	if a, b := volume.FindString(was), volume.FindString(page("/overview?range=90d")); a == "" || a != b {
		t.Error("the volume changed")
	}
	list := page("/conversations?range=90d")
	if m := total.FindStringSubmatch(list); m == nil || m[1] != itoa(200-run.Conversations) || !strings.Contains(
		list, "may have been deleted by retention",
	) {
		t.Errorf("the list says %v", m)
	}
	if !strings.Contains(page("/users/list?range=90d"), "may have been deleted by retention") || !strings.Contains(
		page("/conversations/01234567-89ab-4cde-8f01-23456789abcd"), "Retention may have deleted it",
	) {
		t.Error("users, or a conversation that is gone, say nothing of retention")
	}
	if strings.Contains(page("/conversations?range=7d"), "deleted by retention") {
		t.Error("a list of which nothing was deleted says so")
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
