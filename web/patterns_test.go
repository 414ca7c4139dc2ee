package web_test

import (
	"html"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"turnwise/ingest"
)

// TestPatterns: an admin changes an assistant's markers as a file; what is wrong is said beside what was typed, and
// nothing changes; where one was found opens the conversations.
func TestPatterns(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	trained(t, o, "shop")
	admin := signIn(t, o.url, "admin")
	const page = "/admin/assistant?name=shop"
	const file = "asked:\n  description: They ask\n  or:\n    - intent: greet\n    - intent: ask\nspared:\n  never:\n    - intent: complain\n"
	status, _, text := o.post(admin, "/admin/assistant/markers", "name", "shop", "markers", file)
	if status != 303 && status != 200 {
		t.Fatalf("%d %.300s", status, text)
	}
	shown := func() (area, all string) {
		t.Helper()
		status, all := o.get(admin, page)
		m := regexp.MustCompile(`(?s)<textarea[^>]*name="markers"[^>]*>(.*?)</textarea>`).FindStringSubmatch(all)
		if status != 200 || m == nil {
			t.Fatalf("%d %.300s", status, all)
		}
		return html.UnescapeString(m[1]), all
	}
	if area, all := shown(); area != file || !strings.Contains(all, "begins in") {
		t.Errorf("the page has\n%q\n%s", area, all)
	}
	for bad, why := range map[string]string{
		"asked: {any: [x]}": `"any" is no operator`, "- asked": "no map of markers", "asked: {intent: [a]}": "intent needs a name",
	} {
		status, _, text := o.post(admin, "/admin/assistant/markers", "name", "shop", "markers", bad)
		if status != 422 || !strings.Contains(html.UnescapeString(text), why) || !strings.Contains(html.UnescapeString(text), bad) {
			t.Errorf("%s: %d %s", bad, status, text)
		}
	}
	if status, _, text := o.post(admin, "/admin/assistant/markers", "name", "shop", "markers", "asked: {intent: x}"); status != 422 ||
		!strings.Contains(text, "being recalculated") {
		t.Errorf("while conversations are looked through: %d", status)
	}
	if area, _ := shown(); area != file {
		t.Errorf("after what was refused the page has\n%q", area)
	}
	if status, _, _ := o.post(admin, "/admin/assistant/markers", "name", "nobody", "markers", file); status != 404 {
		t.Errorf("of an assistant that there is not: %d", status)
	}
	if status, _, _ := o.post(signIn(t, o.url, "reviewer"), "/admin/assistant/markers", "name", "shop", "markers", ""); status != 403 && status != 404 {
		t.Errorf("by a reviewer: %d", status)
	}
	if err := ingest.NewWriter(o.pool, slog.New(slog.DiscardHandler)).Rebuild(t.Context(), "shop", func(int) {}); err != nil {
		t.Fatal(err)
	}
	list := "/conversations?" + url.Values{"marker": {"spared"}, "range": {"36525d"}}.Encode()
	status, text = o.get(admin, list)
	if status != 200 || strings.Count(text, "data-row") == 0 || !strings.Contains(text, "spared") {
		t.Errorf("%d %s", status, text)
	}
	open := regexp.MustCompile(`href="(/conversations/[0-9a-f-]{36})[?"]`).FindStringSubmatch(text)
	if open == nil {
		t.Fatal("the list opens nothing")
	}
	if status, text := o.get(admin, open[1]); status != 200 || !regexp.MustCompile(`(?s)Markers</dt>\s*<dd><bdi>spared`).MatchString(text) {
		t.Errorf("the conversation: %d, no marker among its facts", status)
	}
	none := "/conversations?" + url.Values{"marker.not": {"spared"}, "range": {"36525d"}}.Encode()
	if status, text := o.get(admin, none); status != 200 || strings.Count(text, "data-row") != 0 {
		t.Errorf("%d %s", status, text)
	}
	status, text = o.get(admin, "/overview?range=36525d")
	if status != 200 || !strings.Contains(text, "spared") {
		t.Errorf("Overview: %d %s", status, text)
	}
}
