package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cdp "github.com/chromedp/chromedp"
)

//go:embed testdata/axe.min.js
var axe string

// browser opens a page and collects what its console complains of.
func browser(t *testing.T) (ctx context.Context, complaints func() []string) {
	t.Helper()
	path := ""
	for _, p := range []string{"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"} {
		if _, err := os.Stat(p); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatal("browser tests need Chromium; 'make test' installs it")
	}
	options := append(
		[]cdp.ExecAllocatorOption{
			cdp.ExecPath(path), cdp.UserDataDir(t.TempDir()), cdp.Flag("disable-quic", true),
			cdp.Flag("disable-component-update", true),
		},
		cdp.DefaultExecAllocatorOptions[:]...,
	)
	if os.Geteuid() == 0 {
		options = append(options, cdp.NoSandbox)
	}
	allocator, cancel := cdp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancelPage := cdp.NewContext(allocator)
	t.Cleanup(cancelPage)
	if err := cdp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []string
	console := cdp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == cdp.ConsoleError || m.Type == cdp.ConsoleException || m.Type == cdp.ConsoleWarning {
				mu.Lock()
				all = append(all, m.Text)
				mu.Unlock()
			}
		}
	}()
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// do runs steps with a deadline.
func do(t *testing.T, ctx context.Context, steps ...cdp.Action[cdp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := cdp.Do(ctx, steps...); err != nil {
		shoot(t, ctx, "failure")
		t.Fatal(err)
	}
}

func eval[T any](t *testing.T, ctx context.Context, js string) T {
	t.Helper()
	v, err := cdp.Run(ctx, cdp.Evaluate[T](js, cdp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return v
}

// waitFor polls a condition of the page. One that throws, as between two pages, is not met yet.
func waitFor(t *testing.T, ctx context.Context, js string) {
	t.Helper()
	for range 400 {
		if met, err := cdp.Run(ctx, cdp.Evaluate[bool](js, cdp.EvalAwaitPromise)); err == nil && met {
			return
		}
		time.Sleep(25 * time.Millisecond) // a page has no clock of ours to wait on
	}
	shoot(t, ctx, "failure")
	t.Fatalf("never true: %s", js)
}

// shoot writes a picture to the folder that TURNWISE_SCREENSHOTS names.
func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("TURNWISE_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := cdp.Run(ctx, cdp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

// look takes pictures of the page, light and dark, wide and narrow, and asks axe about it: about everything where it is
// light, and where it is dark about the colours, which are all that differs.
func look(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for _, width := range []int64{1440, 1280, 390} {
		if width == 1440 && os.Getenv("TURNWISE_SCREENSHOTS") == "" {
			continue // only its picture is wanted
		}
		height := int64(900)
		if width < 500 {
			height = 844
		}
		do(t, ctx, cdp.EmulateViewport(width, height))
		for _, theme := range []string{"light", "dark"} {
			eval[bool](t, ctx, fmt.Sprintf(`(document.documentElement.dataset.theme = %q, true)`, theme))
			shoot(t, ctx, fmt.Sprintf("%s-%s-%d", name, theme, width))
			if width == 1440 {
				continue
			}
			rules := `{resultTypes: ["violations"]}`
			if theme == "dark" {
				rules = `{resultTypes: ["violations"], runOnly: {type: "rule", values: ["color-contrast"]}}`
			}
			if !eval[bool](t, ctx, `"axe" in window`) {
				eval[bool](t, ctx, axe+"; true")
			}
			found := eval[string](
				t, ctx,
				`axe.run(document, `+rules+
					`).then(r => r.violations.map(v => v.id + ": " + v.help + "\n  " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + " " + n.any.map(a => a.message).join(" ").slice(0, 200)).join("\n  ")).join("\n"))`,
			)
			if found != "" {
				t.Errorf("%s, %s, %d wide: axe finds\n%s", name, theme, width, found)
			}
			if wide := eval[bool](t, ctx, `document.documentElement.scrollWidth > innerWidth + 1`); wide {
				t.Errorf("%s, %s: the page is wider than %d", name, theme, width)
			}
		}
	}
	do(t, ctx, cdp.EmulateViewport(1280, 900))
}

// TestBrowser uses the site as a person would: signs in, filters, opens, switches views, follows a link to a
// message; nothing may be blocked by the policy, logged as an error, or found by axe.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	s := serve(t)
	ctx, complaints := browser(t)
	do(t, ctx, cdp.EmulateViewport(1280, 900), cdp.Navigate(s.url+"/"))
	waitFor(t, ctx, `location.pathname === "/login"`)
	look(t, ctx, "login")
	signIn := func(password string) {
		do(
			t, ctx, cdp.SetValue(cdp.CSS("input[name=email]"), adminEmail),
			cdp.SetValue(cdp.CSS("input[name=password]"), password), cdp.Click(cdp.CSS("form .btn.main")),
		)
	}
	signIn("not the password")
	waitFor(t, ctx, `document.querySelector(".error") !== null`)
	signIn(s.password)
	waitFor(t, ctx, `location.pathname === "/overview"`)
	look(t, ctx, "overview-nothing-yet")
	do(t, ctx, cdp.Navigate(s.url+"/conversations"))
	look(t, ctx, "nothing-yet")

	if out, err := turnwise(t, "--database-url", s.database, "demo", "--conversations", "1500"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	do(t, ctx, cdp.Navigate(s.url+"/conversations"), cdp.WaitVisible(cdp.CSS("tr[data-row]")))
	look(t, ctx, "conversations")

	// Filter by a menu: it is sent when it closes, and the address tells it.
	do(
		t, ctx, cdp.Click(cdp.CSS(`details.menu:has(input[name=csat]) summary`)),
		cdp.Click(cdp.CSS(`input[name=csat][value=UNSATISFIED]`)),
	)
	shoot(t, ctx, "menu")
	do(t, ctx, cdp.Click(cdp.CSS("h1")))
	waitFor(t, ctx, `location.search.includes("csat=UNSATISFIED") && document.querySelector(".chip") !== null`)
	if n := eval[int](t, ctx, `document.querySelectorAll("tr[data-row]").length`); n == 0 {
		t.Error("the filter leaves nothing")
	}
	if n := eval[int](
		t, ctx,
		`[...document.querySelectorAll("tr[data-row] .rating")].filter(r => !r.classList.contains("UNSATISFIED")).length`,
	); n != 0 {
		t.Errorf("%d rows do not match the filter", n)
	}
	look(t, ctx, "filtered")
	// Back to all, the next page and back by the browser's history.
	do(t, ctx, cdp.Click(cdp.CSS(".chip > a")))
	waitFor(t, ctx, `document.querySelector(".chip") === null`)
	first := eval[string](t, ctx, `document.querySelector("tr[data-row] a").href`)
	do(t, ctx, cdp.Click(cdp.CSS(`.pager a[href*="older"]`)))
	waitFor(
		t, ctx,
		fmt.Sprintf(
			`document.querySelector("tr[data-row] a").href !== %q && location.search.includes("page=older")`, first,
		),
	)
	do(t, ctx, cdp.Click(cdp.CSS(`.pager a[href*="newer"]`)))
	waitFor(t, ctx, `location.search.includes("page=newer")`)
	if again := eval[string](
		t, ctx, `document.querySelector("tr[data-row] a").pathname`,
	); !strings.Contains(first, again) {
		t.Errorf("older and newer again leads to %s, not %s", again, first)
	}

	// Open one that was handed over, in both views.
	do(
		t, ctx, cdp.Navigate(s.url+"/conversations?escalated=yes&range=90d"), cdp.WaitVisible(cdp.CSS("tr[data-row]")),
		cdp.KeyEvent("j"), cdp.KeyEvent("\r"),
	)
	waitFor(t, ctx, `document.querySelectorAll(".msg").length > 2`)
	look(t, ctx, "transcript-business")
	if shown := eval[bool](t, ctx, `[...document.querySelectorAll(".builder")].some(e => e.checkVisibility())`); shown {
		t.Error("the business view shows the builder's things")
	}
	do(t, ctx, cdp.KeyEvent("v"))
	waitFor(
		t, ctx,
		`[...document.querySelectorAll(".builder")].some(e => e.checkVisibility()) && location.search.includes("view=builder")`,
	)
	look(t, ctx, "transcript-builder")
	// A link to a message marks it.
	link := eval[string](t, ctx, `[...document.querySelectorAll(".line .when[href]")].at(-1).href`)
	do(t, ctx, cdp.Navigate(link))
	waitFor(
		t, ctx,
		`document.querySelector(".linked") !== null && (r => r.top >= 0 && r.bottom <= innerHeight)(document.querySelector(".linked").getBoundingClientRect())`,
	)

	do(t, ctx, cdp.Navigate(s.url+"/health"), cdp.WaitVisible(cdp.CSS("#health")))
	look(t, ctx, "health")
	do(
		t, ctx, cdp.Navigate(s.url+"/admin"), cdp.SetValue(cdp.CSS("input[name=name]"), "browser test"),
		cdp.SetValue(cdp.CSS("input[name=assistant]"), "bot"), cdp.Click(cdp.CSS("form.form .btn.main")),
	)
	do(t, ctx, cdp.WaitVisible(cdp.CSS("#secret")))
	look(t, ctx, "admin")
	do(t, ctx, cdp.Navigate(s.url+"/conversations?from=nonsense"))
	look(t, ctx, "error")
	do(t, ctx, cdp.Navigate(s.url+"/conversations?id=nobody"))
	look(t, ctx, "nothing-here")
	if all := withoutStatus(complaints()); len(all) > 0 {
		t.Errorf("the console says:\n%s", strings.Join(all, "\n"))
	}
}

// TestLongConversation opens a conversation of 2,000 messages, some of them hostile, at a message in its middle
// and scrolls to both ends.
func TestLongConversation(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	s := serve(t)
	var b strings.Builder
	const hostile = `<img src=x onerror=alert(1)><script>top.hacked=1</script> \u202egnp.exe \u0000 javascript:alert(2)`
	for i := range 1000 {
		fmt.Fprintf(
			&b, `{"sender_id":"long","event":"user","timestamp":%d.1,"text":"question %d","message_id":"q%d"}`+"\n",
			1785800000+i*3, i, i,
		)
		fmt.Fprintf(
			&b,
			`{"sender_id":"long","event":"bot","timestamp":%d.6,"text":"answer %d %s","data":{"image":"http://127.0.0.1:9/track.png","buttons":[{"title":"<b>x</b>"}]}}`+"\n",
			1785800000+i*3, i, hostile,
		)
	}
	if out, err := turnwise(
		t, "--database-url", s.database, "import", write(t, "long.ndjson", []byte(b.String())),
	); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, complaints := browser(t)
	do(
		t, ctx, cdp.EmulateViewport(1280, 900), cdp.Navigate(s.url+"/login"),
		cdp.SetValue(cdp.CSS("input[name=email]"), adminEmail),
		cdp.SetValue(cdp.CSS("input[name=password]"), s.password), cdp.Click(cdp.CSS("form .btn.main")),
	)
	waitFor(t, ctx, `location.pathname !== "/login"`)
	do(
		t, ctx, cdp.Navigate(s.url+"/conversations?range=3650d"), cdp.WaitVisible(cdp.CSS("tr[data-row]")),
		cdp.Click(cdp.CSS("tr[data-row] a")), cdp.WaitVisible(cdp.CSS(".msg")),
	)
	scroll := func(to, until string) {
		for range 200 {
			if eval[bool](t, ctx, until) {
				return
			}
			eval[bool](t, ctx, `(scrollTo(0, `+to+`), true)`)
			time.Sleep(30 * time.Millisecond) // what comes into view is loaded by the page's own clock
		}
		t.Fatalf("scrolling never leads to %s", until)
	}
	has := func(text string) string {
		return fmt.Sprintf(`[...document.querySelectorAll(".words")].some(e => e.textContent === %q)`, text)
	}
	scroll("document.documentElement.scrollHeight", has("question 600"))
	link := eval[string](
		t, ctx,
		`[...document.querySelectorAll(".line")].find(l => l.querySelector(".words")?.textContent === "question 500").querySelector(".when").href`,
	)
	do(t, ctx, cdp.Navigate(link))
	waitFor(
		t, ctx,
		`(r => r && r.top >= 0 && r.bottom <= innerHeight)(document.querySelector(".linked")?.getBoundingClientRect())`,
	)
	if n := eval[int](t, ctx, `document.querySelectorAll(".msg").length`); n > 320 {
		t.Errorf("%d messages were loaded at once", n)
	}
	shoot(t, ctx, "long-linked")
	scroll("0", has("question 0"))
	scroll("document.documentElement.scrollHeight", has("question 999"))
	if n := eval[int](t, ctx, `new Set([...document.querySelectorAll(".line[id]")].map(l => l.id)).size`); n != 2000 {
		t.Errorf("%d messages after scrolling, want 2,000", n)
	}
	if n := eval[int](t, ctx, `document.querySelectorAll(".line[id]").length`); n != 2000 {
		t.Errorf("%d lines: some came twice", n)
	}
	if bad := eval[bool](
		t, ctx,
		`document.querySelector(".talk img, .talk script, .talk iframe, .rich b") !== null || window.hacked === 1`,
	); bad {
		t.Error("text of a conversation became part of the page")
	}
	if all := complaints(); len(all) > 0 {
		t.Errorf("the console says:\n%s", strings.Join(all, "\n"))
	}
}

// withoutStatus leaves out the notes of the browser and of htmx on answers such as 422, which are meant.
func withoutStatus(all []string) (rest []string) {
	for _, s := range all {
		if !strings.Contains(
			s, "the server responded with a status of 4",
		) && !strings.Contains(s, "Response Status Error Code 4") {
			rest = append(rest, s)
		}
	}
	return rest
}
