package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	cdp "github.com/chromedp/chromedp"

	"turnwise/queries"
)

// press sends keys one after the other, as somebody would who has no mouse.
func press(t *testing.T, s *reviewer, keys ...string) {
	t.Helper()
	for _, k := range keys {
		do(t, s.ctx, cdp.KeyEvent(k))
	}
}

// TestReview searches, reviews fifty conversations of a queue by keyboard alone, tags, notes, undoes, acts on many at
// once and looks at every page of it.
func TestReview(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	s := serve(t)
	if out, err := turnwise(t, "--database-url", s.database, "demo", "--conversations", "1500"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := &reviewer{t: t, site: s}
	r.ctx, r.complaints = open(t, s)
	r.searches()
	r.makesQueue()
	r.reviewsQueue()
	r.actsOnMany()
	r.looksAround()
	r.isSignedOut()
	if all := withoutStatus(r.complaints()); len(all) > 0 {
		t.Errorf("the console says:\n%s", strings.Join(all, "\n"))
	}
}

type reviewer struct {
	t *testing.T
	site
	ctx        context.Context
	complaints func() []string
}

func (r *reviewer) goTo(path string) {
	r.t.Helper()
	do(r.t, r.ctx, cdp.Navigate(r.url+path), cdp.WaitVisible(cdp.CSS("h1")))
}

// searches finds words, opens a hit and walks over the hits.
func (r *reviewer) searches() {
	t, ctx := r.t, r.ctx
	r.goTo("/conversations")
	waitFor(t, ctx, `document.querySelector("[data-strip] a") !== null`)
	if total := eval[int](
		t, ctx,
		`[...document.querySelectorAll("[data-strip] title")].reduce((n, x) => n + Number(x.textContent.match(/: ([\d,]+)/)[1].replaceAll(",", "")), 0)`,
	); fmt.Sprint(total) != eval[string](t, ctx, `document.querySelector("[data-total]").dataset.total`) {
		t.Errorf("the strip counts %d", total)
	}
	// Dragging from one bar to another narrows the list to their days.
	eval[bool](t, ctx, `(() => {
		const bars = [...document.querySelectorAll("[data-strip] a")], at = (i) => {
			const box = bars[i].getBoundingClientRect();
			return { bubbles: true, cancelable: true, clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
		};
		bars[9].querySelector("rect").dispatchEvent(new PointerEvent("pointerdown", at(9)));
		document.dispatchEvent(new PointerEvent("pointermove", at(4)));
		document.dispatchEvent(new PointerEvent("pointerup", at(4)));
		return true;
	})()`)
	waitFor(
		t, ctx,
		`new URL(location.href).searchParams.get("from") < new URL(location.href).searchParams.get("until") && document.querySelectorAll("[data-strip] a").length === 6`,
	)
	r.goTo("/conversations")
	// The words are indexed by a job: a moment after they were stored.
	press(t, r, "/")
	waitFor(t, ctx, `document.activeElement.id === "find"`)
	do(t, ctx, cdp.SetValue(cdp.CSS("#find"), "parcle")) // mistyped
	press(t, r, "\r")
	waitFor(t, ctx, `location.search.includes("q=parcle")`)
	for range 100 {
		if eval[bool](t, ctx, `document.querySelector("mark.hit") !== null`) {
			break
		}
		r.goTo("/conversations?q=parcle")
	}
	if text := eval[string](
		t, ctx, `document.querySelector("#view").textContent`,
	); !strings.Contains(text, "also searched for") || !strings.Contains(text, "parcel") {
		t.Errorf("a mistyped word is not forgiven: %.300s", text)
	}
	look(t, ctx, "search")
	press(t, r, "j", "\r")
	waitFor(t, ctx, `location.pathname.match(/conversations\/./) && document.querySelector(".talk mark.hit") !== null`)
	press(t, r, "n")
	waitFor(t, ctx, `document.querySelector("mark.hit.now") !== null`)
	look(t, ctx, "search-transcript")
	press(t, r, "\b")
	waitFor(t, ctx, `location.pathname === "/conversations" && location.search.includes("q=parcle")`)
}

// makesQueue makes one of fifty conversations, by shares.
func (r *reviewer) makesQueue() {
	t, ctx := r.t, r.ctx
	r.goTo("/review")
	look(t, ctx, "review-nothing-yet")
	r.goTo("/queues/edit?query=range%3D90d")
	do(t, ctx, cdp.SetValue(
		cdp.CSS("input[name=name]"), "Weekly check",
	), cdp.SetValue(cdp.CSS("input[name=count]"), "50"), cdp.SetValue(cdp.CSS(`input[name="share."]`), "50"),
		cdp.SetValue(
			cdp.CSS(`input[name="share.unsatisfied"]`), "30",
		), cdp.SetValue(cdp.CSS(`input[name="share.escalated"]`), "30"), cdp.Click(cdp.CSS(".sheet-form .btn.main")))
	waitFor(t, ctx, `document.querySelector("[role=alert]")?.textContent.includes("110%")`) // shares do not add up
	look(t, ctx, "queue-form")
	do(
		t, ctx, cdp.SetValue(cdp.CSS(`input[name="share.escalated"]`), "20"),
		cdp.Click(cdp.CSS(".sheet-form .btn.main")),
	)
	waitFor(t, ctx, `location.pathname.startsWith("/queues/") && location.pathname.length > 20`)
	look(t, ctx, "queue")
}

// reviewsQueue goes through it with keys, and takes some back.
func (r *reviewer) reviewsQueue() {
	t, ctx := r.t, r.ctx
	press(t, r, "r")
	inItem := `location.search.includes("in=") && document.querySelector(".queue-part") !== null && document.readyState === "complete"`
	waitFor(t, ctx, inItem)
	at := func() string { return eval[string](t, ctx, `location.pathname`) }
	progress := func(n int) string {
		return fmt.Sprintf(`document.querySelector(".queue-part [role=status]")?.textContent.includes("%d of 50")`, n)
	}
	// The first: a mark, a tag, a note, a rating; all by keys. Keys mean nothing while one types.
	press(t, r, "j", "j", "g")
	waitFor(t, ctx, `document.querySelector(".tools button.on[value^=good]") !== null`)
	press(t, r, "t")
	waitFor(t, ctx, `document.activeElement.id === "tag-find"`)
	// the driver types also what the page takes as a key
	eval[bool](t, ctx, `(document.activeElement.value = "", true)`)
	press(t, r, "r", "u", "s", "h", "\r")
	waitFor(t, ctx, `document.querySelector(".tags .tag")?.textContent.includes("rush")`)
	press(t, r, "n")
	waitFor(t, ctx, `document.activeElement.id === "note-text"`)
	eval[bool](t, ctx, `(document.activeElement.value = "", true)`)
	do(t, ctx, cdp.KeyEvent("**rude** at 1, 2 and 3: not us"))
	eval[bool](t, ctx, `(document.activeElement.form.requestSubmit(), true)`)
	waitFor(t, ctx, `document.querySelector(".note-row strong")?.textContent === "rude"`)
	press(t, r, "2")
	waitFor(t, ctx, `document.querySelector(".star.on")?.textContent === "2"`)
	look(t, ctx, "review-item")
	first := at()
	press(t, r, "r")
	waitFor(t, ctx, inItem+` && location.pathname !== "`+first+`"`)
	waitFor(t, ctx, progress(1))
	// Undo leads back to it, with its rating.
	press(t, r, "u")
	waitFor(
		t, ctx,
		inItem+` && location.pathname === "`+first+
			`" && document.querySelector(".star.on")?.textContent === "2" && document.querySelector("#work .state").textContent.includes("in part")`,
	)
	waitFor(t, ctx, progress(0))
	seen := map[string]bool{}
	for i := range 50 {
		here := at()
		if seen[here] {
			t.Fatalf("%s came twice", here)
		}
		seen[here] = true
		press(t, r, fmt.Sprint(1+i%5))
		waitFor(t, ctx, fmt.Sprintf(`document.querySelector(".star.on")?.textContent === "%d"`, 1+i%5))
		key := "r"
		if i%10 == 9 {
			key = "s"
		}
		press(t, r, key)
		if i == 49 {
			break
		}
		waitFor(t, ctx, inItem+` && location.pathname !== "`+here+`"`)
		waitFor(t, ctx, progress(i+1))
	}
	waitFor(
		t, ctx,
		`location.search === "?done=yes" && document.body.textContent.includes("nothing of this queue is left")`,
	)
	if text := eval[string](
		t, ctx, `document.querySelector(".cards-row").textContent.replace(/\s+/g, " ")`,
	); !strings.Contains(text, "Reviewed45") || !strings.Contains(text, "Skipped5") {
		t.Errorf("in the end: %s", text)
	}
	look(t, ctx, "queue-done")
}

// actsOnMany tags many at once and takes it back.
func (r *reviewer) actsOnMany() {
	t, ctx := r.t, r.ctx
	r.goTo("/conversations?review=unreviewed&csat=UNSATISFIED&range=90d")
	n := eval[string](t, ctx, `document.querySelector("[data-total]").dataset.total`)
	do(
		t, ctx, cdp.Click(cdp.CSS("[data-pick-all]")), cdp.WaitVisible(cdp.CSS(".bulk")),
		cdp.Click(cdp.CSS("[data-pick-every]")),
	)
	look(t, ctx, "bulk")
	eval[bool](t, ctx, `(document.querySelector(".bulk select[name=tag]").selectedIndex = 1, true)`)
	do(t, ctx, cdp.Click(cdp.CSS(`.bulk button[value=tag]`)))
	waitFor(
		t, ctx, `location.pathname.startsWith("/acts/") && document.querySelector(".empty h2")?.textContent === "Done"`,
	)
	if text := eval[string](
		t, ctx, `document.querySelector(".empty").textContent.replaceAll(",", "")`,
	); !strings.Contains(text, n+" conversation") {
		t.Errorf("of %s conversations: %s", n, text)
	}
	look(t, ctx, "bulk-done")
	do(t, ctx, cdp.Click(cdp.CSS(".empty form .btn")))
	waitFor(t, ctx, `document.querySelector(".empty h2")?.textContent === "Taken back"`)
	r.goTo("/conversations?tag=rush&range=90d")
	if n := eval[string](t, ctx, `document.querySelector("[data-total]").dataset.total`); n != "1" {
		t.Errorf("after undo %s conversations have the tag, not the one from before", n)
	}
}

// looksAround looks at the other pages.
func (r *reviewer) looksAround() {
	t, ctx := r.t, r.ctx
	for path, name := range map[string]string{
		"/review": "review", "/tags": "tags", "/review/reports?range=90d": "review-reports",
		"/conversations?review=reviewed&range=90d": "conversations-reviewed",
	} {
		r.goTo(path)
		look(t, ctx, name)
	}
	// A view whose tag is gone says so and shows nothing.
	r.goTo("/conversations?tag=rush&range=90d")
	do(
		t, ctx, cdp.Click(cdp.CSS(`summary:has(use[href*=bookmark])`)),
		cdp.SetValue(cdp.CSS(`form[action="/views"] input[name=name]`), "Rushed ones"),
		cdp.Click(cdp.CSS(`form[action="/views"] .btn`)),
	)
	waitFor(
		t, ctx,
		`location.search.includes("view=") && document.querySelector("summary bdi")?.textContent === "Rushed ones"`,
	)
	view := eval[string](t, ctx, `new URL(location.href).searchParams.get("view")`)
	r.goTo("/tags")
	eval[bool](t, ctx, `(window.confirm = () => true, document.querySelector("button[value=delete]").click(), true)`)
	waitFor(t, ctx, `document.querySelectorAll("tr[data-row]").length === 0`)
	r.goTo("/conversations?view=" + view)
	if text := eval[string](
		t, ctx, `document.querySelector("#view").textContent`,
	); !strings.Contains(
		text, "There is no tag “rush” any more",
	) || !strings.Contains(text, "No conversation matches") {
		t.Errorf("a view whose tag is gone shows: %.300s", text)
	}
	look(t, ctx, "view-gone")
}

// isSignedOut: an act of which the session has ended says so where it was done, keeps what was typed and leads back to
// it.
func (r *reviewer) isSignedOut() {
	t, ctx := r.t, r.ctx
	r.goTo("/conversations?range=90d")
	do(
		t, ctx, cdp.Click(cdp.CSS("tr[data-row] a")), cdp.WaitVisible(cdp.CSS(".note-form textarea")),
		cdp.SetValue(cdp.CSS(".note-form textarea"), "half a page of thought"),
	)
	pool, err := queries.Open(t.Context(), r.database, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), `delete from sessions`); err != nil {
		t.Fatal(err)
	}
	page := eval[string](t, ctx, `location.pathname + location.search`)
	do(t, ctx, cdp.Click(cdp.CSS(".note-form .btn")))
	waitFor(t, ctx, `document.querySelector(".note-form .act-failed")?.textContent.includes("Your session has ended")`)
	if kept := eval[string](
		t, ctx, `document.querySelector(".note-form textarea").value`,
	); kept != "half a page of thought" {
		t.Errorf("what was typed became %q", kept)
	}
	if to := eval[string](
		t, ctx, `document.querySelector(".act-failed a").getAttribute("href")`,
	); to != "/login?ended=yes&next="+url.QueryEscape(page) {
		t.Errorf("the way back is %s", to)
	}
	shoot(t, ctx, "signed-out")
}
