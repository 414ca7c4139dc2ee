package web_test

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/secret"
)

// TestOutgoingWebhooks: an admin makes, changes and deletes an outgoing webhook; the key is shown once, headers stay with
// their server, and a filter that is not understood, or an address within the organisation, is refused with what was
// typed.
func TestOutgoingWebhooks(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	trained(t, o, "shop")
	admin := signIn(t, o.url, "admin")
	const pages = "/admin/outgoing-webhooks"
	_, form := o.get(admin, pages+"/new?filter=outcome%3Dabandoned")
	m := regexp.MustCompile(`name="id" value="([0-9a-f-]{36})"`).FindStringSubmatch(form)
	if m == nil || !strings.Contains(form, `value="outcome=abandoned"`) {
		t.Fatalf("form: %s", html.UnescapeString(form))
	}
	id := m[1]
	save := func(revision string, more ...string) (int, string, string) {
		return o.post(admin, pages, append([]string{"id", id, "revision", revision}, more...)...)
	}
	good := []string{"name", "CRM", "url", "https://192.0.2.1/hook", "events", "conversation.ended", "headers", "X-Key: seven secrets"}
	for name, c := range map[string]struct {
		change [2]string
		says   string
	}{
		"no name":      {[2]string{"name", " "}, "The name is needed"},
		"no address":   {[2]string{"url", "mailto:x@example.org"}, "The URL is one such as"},
		"password":     {[2]string{"url", "https://u:p@192.0.2.1/"}, "without a password"},
		"internal":     {[2]string{"url", "http://10.1.2.3/hook"}, "leads to a private network"},
		"metadata":     {[2]string{"url", "http://169.254.169.254/latest"}, "leads to a private network"},
		"no event":     {[2]string{"events", "conversation.deleted"}, "choose at least one"},
		"bad filter":   {[2]string{"filter", "https://x/conversations?outcom=abandoned"}, "does not know “outcom”"},
		"bad value":    {[2]string{"filter", "outcome=gone"}, "outcome"},
		"search":       {[2]string{"filter", "q=hello"}, "asks for a text"},
		"bad header":   {[2]string{"headers", "Host: evil"}, "are lines such as"},
		"too long":     {[2]string{"name", strings.Repeat("ü", 101)}, "at most 100"},
		"wrong escape": {[2]string{"filter", "outcome=%zz"}, "is no address of a page"},
	} {
		all := append([]string{}, good...)
		found := false
		for i := 0; i < len(all); i += 2 {
			if all[i] == c.change[0] {
				all[i+1], found = c.change[1], true
			}
		}
		if !found {
			all = append(all, c.change[:]...)
		}
		if status, _, page := save("0", all...); status != 422 || !strings.Contains(html.UnescapeString(page), c.says) || !strings.Contains(page, "conversation.ended") {
			t.Errorf("%s: %d %.600s", name, status, html.UnescapeString(page))
		}
	}
	status, _, page := save("0", append(good, "filter", o.url+"/conversations?range=7d&outcome=abandoned&order=oldest")...)
	key := regexp.MustCompile(`id="key">(whsec_[A-Za-z0-9+/=]{44})<`).FindStringSubmatch(page)
	if status != 200 || key == nil || strings.Contains(page, "seven") || !strings.Contains(page, "/conversations?outcome=abandoned\"") {
		t.Fatalf("%d %.900s", status, html.UnescapeString(page))
	}
	if status, to, _ := save("0", good...); status != 303 || !strings.Contains(to, id) { // as a page that is loaded again
		t.Errorf("the same form again: %d %s", status, to)
	}
	if status, _, page := o.post(admin, pages, append([]string{"id", queries.NewID().String(), "revision", "0"}, good...)...); status != 422 || !strings.Contains(page, "has this name") {
		t.Errorf("the same name: %d", status)
	}
	kept := func() (queries.OutgoingWebhook, jobs.WebhookSecrets) {
		t.Helper()
		all, err := queries.OutgoingWebhooks(t.Context(), o.pool)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d kept, %v", len(all), err)
		}
		box, err := secret.NewBox("a key of the test, long enough")
		if err != nil {
			t.Fatal(err)
		}
		s, err := jobs.OpenSecrets(box, all[0])
		if err != nil {
			t.Fatal(err)
		}
		return all[0], s
	}
	x, s := kept()
	if s.Key != key[1] || s.Headers["X-Key"] != "seven secrets" || x.Query != "outcome=abandoned" || x.ActiveSince == nil {
		t.Errorf("kept: %+v %+v", x, s)
	}
	for _, at := range []string{pages, pages + "/" + id, pages + "/" + id + "/edit"} {
		if status, page := o.get(admin, at); status != 200 || strings.Contains(page, key[1]) || strings.Contains(page, "seven") || !strings.Contains(page, "CRM") {
			t.Errorf("%s: %d", at, status)
		}
	}
	change := []string{"name", "CRM 2", "url", "https://192.0.2.1/hook", "events", "conversation.reviewed", "keep", "yes"}
	if status, to, _ := save("1", change...); status != 303 || !strings.HasSuffix(to, "?said=saved") {
		t.Errorf("change: %d %s", status, to)
	}
	if x, s = kept(); s.Key != key[1] || s.Headers["X-Key"] == "" || x.Events[0] != "conversation.reviewed" || x.Query != "" {
		t.Errorf("changed: %+v %+v", x, s)
	}
	if status, _, page := save("1", change...); status != 422 || !strings.Contains(page, "Somebody else changed") {
		t.Errorf("a form of before: %d", status)
	}
	change[3] = "https://192.0.2.1/other"
	if status, _, page := save("2", change...); status != 422 || !strings.Contains(page, "cannot be kept") {
		t.Errorf("headers for another address: %d", status)
	}
	if status, _, _ := save("2", change[:6]...); status != 303 {
		t.Errorf("without them: %d", status)
	}
	if x, s = kept(); s.Key != key[1] || len(s.Headers)+len(x.Headers) != 0 {
		t.Errorf("without headers: %+v %+v", x, s)
	}
	act := func(what string, form ...string) string {
		t.Helper()
		status, to, page := o.post(admin, pages+"/"+id+"/"+what, form...)
		if status != 303 && status != 200 {
			t.Errorf("%s: %d %.300s", what, status, html.UnescapeString(page))
		}
		return to + page
	}
	if page := act("key"); !strings.Contains(page, `id="key">whsec_`) {
		t.Error("no new key is shown")
	}
	if _, s = kept(); len(s.Former) != 1 || s.Former[0].Key != key[1] || s.Key == key[1] {
		t.Errorf("keys: %+v", s)
	}
	act("test")
	act("pause")
	act("pause") // twice does no harm
	if x, _ = kept(); x.ActiveSince != nil {
		t.Error("it is not paused")
	}
	act("resume")
	act("retry")
	if _, page := o.get(admin, pages+"/"+id); !strings.Contains(page, "waiting") || !strings.Contains(html.UnescapeString(page), `"type": "test"`) {
		t.Errorf("page: %.900s", html.UnescapeString(page))
	}
	act("delete")
	if _, page := o.get(admin, pages); !strings.Contains(page, "no outgoing webhook yet") {
		t.Error("it is still there")
	}
	var acts int
	if err := o.pool.QueryRow(t.Context(), "select count(distinct act) from audit_log where act like 'outgoing.%'").Scan(&acts); err != nil || acts != 8 {
		t.Errorf("%d kinds of acts in the audit log, %v", acts, err)
	}
}
