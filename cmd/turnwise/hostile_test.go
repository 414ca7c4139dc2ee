package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	cdp "github.com/chromedp/chromedp"
)

// hostile are texts that want to be more than texts: each in every field that a platform, a user or a colleague fills.
var hostile = []string{
	`<script>window.pwned=1</script>`,
	`"><img src=x onerror="window.pwned=2">`,
	`'><svg/onload=window.pwned=3>`,
	`</title></textarea></script><iframe srcdoc="<script>top.pwned=4</script>">`,
	`javascript:window.pwned=5//`,
	`[click](javascript:window.pwned=6) ![x](https://evil.invalid/t.png) <https://evil.invalid>`,
	`https://evil.invalid/track.png`,
	`<style>*{display:none!important}</style><base href="https://evil.invalid/"><meta http-equiv=refresh content="0;url=https://evil.invalid">`,
	"\u202egnp.exe \u2066\u2067\u2068 ends\u200b\u200c\u200d\ufeff not",
	`{{constructor.constructor('window.pwned=7')()}} ${window.pwned=8} %3Cscript%3E`,
	`=HYPERLINK("https://evil.invalid","x")`,
	"../../../etc/passwd\\..\\x",
}

// TestHostile fills every field with hostile texts, one of them very long, and looks at every page: nothing runs,
// nothing is loaded from elsewhere, no link leads where a text says, no page becomes wider than the window, and what is
// said stays to be read.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	s := serve(t)
	var b strings.Builder
	at := float64(time.Now().Add(-3*time.Hour).Unix()) + 0.5
	long := strings.Repeat("Donaudampfschifffahrt", 9000) // no place to break, 189 kB
	for i, h := range append(hostile, long) {
		sender := "sender " + h
		if len(h) > 1000 {
			sender = "sender long"
		}
		short := h[:min(len(h), 2000)]
		event := func(kind string, fields map[string]any) {
			at += 2
			fields["event"], fields["sender_id"], fields["timestamp"], fields["user_id"] = kind, sender, at, "user "+
				short
			fields["metadata"] = map[string]any{
				"assistant_id": "bot " + hostile[i%2], "model_id": short, "model_name": "model " + short, "x": h,
				"session_id": fmt.Sprint("session ", i),
			}
			line, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		event("action", map[string]any{"name": "action_session_start"})
		event("session_started", map[string]any{})
		event("user", map[string]any{"text": h, "input_channel": short, "message_id": short, "parse_data": map[string]any{
			"intent": map[string]any{"name": short, "confidence": 0.2}, "entities": []any{
				map[string]any{"entity": short, "value": h},
			}, "text": h,
			"commands": []any{
				map[string]any{"command": "set slot", "name": short, "value": h},
				map[string]any{"command": "start flow", "flow": short},
				map[string]any{"command": short, "more": h},
			},
		}})
		event("flow_started", map[string]any{"flow_id": short, "step_id": short})
		event("slot", map[string]any{"name": short, "value": h})
		event("slot", map[string]any{"name": short + "2", "value": map[string]any{h: h}})
		event("action", map[string]any{"name": short, "policy": short, "confidence": 0.1})
		event("bot", map[string]any{
			"text": h,
			"data": map[string]any{
				"buttons": []any{map[string]any{"title": h, "payload": h}}, "image": h, "attachment": h,
				"elements": []any{map[string]any{"title": h, "image_url": h}}, "custom": map[string]any{h: h}, h: h,
			},
		})
		event("bot", map[string]any{
			"text": "",
			"data": map[string]any{
				"image": "https://evil.invalid/track.png", "attachment": "https://evil.invalid/x.html",
			},
		})
		event("action", map[string]any{"name": "action_human_handoff"})
		event("agent", map[string]any{"text": h, "data": map[string]any{"image": h}})
		event("flow_completed", map[string]any{"flow_id": short, "step_id": short})
		event("unknown "+short, map[string]any{h: h})
	}
	b.WriteString(`{"event":"user","sender_id":"` + `<img src=x onerror=window.pwned=9>` + `","text":"no time"}` + "\n")
	if out, err := turnwise(
		t, "--database-url", s.database, "import", "--environment", hostile[0], "--source", hostile[1],
		write(t, "hostile.ndjson", []byte(b.String())),
	); err == nil || !strings.Contains(out, "rejected") {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, complaints := open(t, s)
	form := func(path string, fields ...string) {
		t.Helper()
		values := url.Values{}
		for i := 0; i+1 < len(fields); i += 2 {
			values.Add(fields[i], fields[i+1])
		}
		status := eval[int](
			t, ctx,
			fmt.Sprintf(
				`fetch(%q, {method: "POST", body: new URLSearchParams(%q)}).then(r => r.status)`, path, values.Encode(),
			),
		)
		if status >= 500 {
			t.Errorf("POST %s: %d", path, status)
		}
	}
	// What colleagues write.
	do(t, ctx, cdp.Navigate(s.url+"/conversations?range=7d"), cdp.WaitVisible(cdp.CSS("tr[data-row] a")))
	ids := strings.Fields(
		eval[string](
			t, ctx,
			`[...document.querySelectorAll("tr[data-row] a")].map(a => a.pathname).filter((x, i, all) => x.startsWith("/conversations/") && all.indexOf(x) === i).join(" ")`,
		),
	)
	if len(ids) < len(hostile) {
		t.Fatalf("%d conversations", len(ids))
	}
	for i, h := range hostile {
		form("/tags", "name", cutTo(h, 40), "color", "1", "description", h)
		form(ids[0]+"/notes", "text", h)
		form(
			"/notes", "at", time.Now().Add(-2*time.Hour).Format("2006-01-02T15:04"), "text", cutTo(h, 150), "shared",
			"yes", "back", "/overview",
		)
		form("/views", "name", cutTo(h, 60), "query", "range=7d", "shared", "yes")
		form("/admin/users", "email", fmt.Sprintf("hostile%d@example.org", i), "name", cutTo(h, 60), "role", "viewer")
		form("/admin/tokens", "name", cutTo(h, 60), "role", "ingest", "assistant", h)
		form("/queues", "name", cutTo(h, 60), "query", "range=7d", "count", "5")
		form("/exports", "grain", "message", "format", "csv", "query", url.Values{"q": {h}, "range": {"7d"}}.Encode())
		form("/admin/masking", "display", "", "patterns", cutTo(h, 30)+": x", "slots", h, "try", "yes", "sample", h)
	}
	q := url.QueryEscape
	pages := append([]string{
		"/conversations?range=7d", "/conversations?range=7d&columns=all", "/overview?range=7d", "/flows?range=7d", "/paths?range=7d", "/latency?range=7d", "/csat?range=7d", "/intents?range=7d", "/users?range=7d", "/users/list?range=7d", "/turns?range=7d", "/compare?range=7d",
		"/review", "/review/reports", "/tags", "/queues/edit", "/reports", "/reports/edit", "/health", "/rejected", "/criteria", "/account", "/admin", "/admin/users", "/admin/jobs", "/admin/retention", "/admin/personal", "/admin/masking", "/admin/sql", "/admin/logins", "/admin/webhooks", "/admin/webhooks/new?from=chatwoot", "/admin/audit", "/admin/settings", "/admin/doctor",
	}, ids...)
	for _, h := range hostile {
		pages = append(
			pages, "/conversations?range=7d&q="+q(h), "/flow?range=7d&flow="+q(h), "/funnel?range=7d&flow="+q(h),
			"/paths?range=7d&flow="+q(h), "/overview?range=7d&channel="+q(h)+"&flow="+q(h),
			"/conversations?id="+q("user "+h), "/"+q(h), "/criteria/edit?assistant="+q("bot "+h),
			"/admin/audit?object="+q(h),
		)
	}
	for _, id := range ids[:3] {
		pages = append(pages, id+"?view=builder")
	}
	for _, path := range pages {
		do(t, ctx, cdp.EmulateViewport(1280, 900), cdp.Navigate(s.url+path))
		harmless(t, ctx, s.url, path)
		do(t, ctx, cdp.EmulateViewport(390, 844))
		harmless(t, ctx, s.url, path+", narrow")
	}
	// What a form refuses is told within the page.
	for _, wrong := range []string{"", "name: x\nprogram: " + strings.Repeat("y", 300)} {
		do(t, ctx, cdp.EmulateViewport(390, 844), cdp.Navigate(s.url+"/admin/webhooks/new?from=chatwoot"))
		eval[bool](t, ctx, fmt.Sprintf(`(() => {
			const f = document.querySelector("textarea[name=mapping]")
			f.value = %q || f.value
			f.form.requestSubmit()
			return true
		})()`, wrong))
		do(t, ctx, cdp.WaitVisible(".note.bad"))
		harmless(t, ctx, s.url, "a webhook that is refused")
	}
	// What was said is there to be read, letter by letter.
	said := 0
	for _, id := range ids {
		do(t, ctx, cdp.EmulateViewport(1280, 900), cdp.Navigate(s.url+id))
		words := eval[string](t, ctx, `[...document.querySelectorAll(".words")].map(e => e.textContent).join("\n")`)
		for _, h := range hostile {
			if strings.Contains(words, h) {
				said++
				break
			}
		}
		shoot(t, ctx, "hostile-"+strings.ReplaceAll(id[15:23], "/", ""))
	}
	if said < len(hostile) {
		t.Errorf("%d of %d conversations show what was said", said, len(hostile))
	}
	if all := withoutStatus(complaints()); len(all) > 0 {
		t.Errorf("the browser complains: %q", all)
	}
}

// harmless tells whether the page is one of ours still.
func harmless(t *testing.T, ctx context.Context, base, path string) {
	t.Helper()
	if got := eval[string](t, ctx, `String(window.pwned) + (location.origin)`); got != "undefined"+base {
		t.Errorf("%s: something ran, or led away: %s", path, got)
	}
	if got := eval[string](
		t, ctx,
		`performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith(location.origin) && !n.startsWith("data:")).join(" ")`,
	); got != "" {
		t.Errorf("%s loads %s", path, got)
	}
	if got := eval[string](
		t, ctx,
		`[...document.querySelectorAll("[href]:not(.markdown a[rel~=noreferrer]), [src], [action], [formaction], [srcdoc]")].map(e => e.href?.baseVal ?? e.getAttribute("href") ?? e.getAttribute("src") ?? e.getAttribute("action") ?? e.getAttribute("formaction") ?? "srcdoc").filter(h => !/^(\/(?!\/)|#|\?|data:image\/png|$)/.test(h) && !h.startsWith(location.origin)).join(" ")`,
	); got != "" {
		t.Errorf("%s leads to %.300s", path, got)
	}
	if got := eval[string](
		t, ctx,
		`[...document.querySelectorAll("iframe, object, embed, base, main script:not([type='application/json'])")].map(e => e.outerHTML.slice(0, 100)).join(" ")`,
	); got != "" {
		t.Errorf("%s holds %s", path, got)
	}
	// Charts follow the window a frame or some later.
	if wide := eval[int](
		t, ctx,
		`(async () => { for (let n = 0; n < 180 && document.documentElement.scrollWidth - innerWidth > 1; n++) await new Promise(requestAnimationFrame);
			return document.documentElement.scrollWidth - innerWidth })()`,
	); wide > 1 {
		who := eval[string](
			t, ctx,
			`[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 || e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).overflowX === "visible").slice(-6).map(e => e.outerHTML.slice(0, 120)).join(" | ")`,
		)
		t.Errorf("%s is %d wider than the window: %s", path, wide, who)
	}
	if !eval[bool](t, ctx, `document.querySelector("h1, .card").checkVisibility()`) {
		t.Errorf("%s: its heading is not to be seen", path)
	}
}

func cutTo(s string, n int) string {
	r := []rune(s)
	return string(r[:min(len(r), n)])
}
