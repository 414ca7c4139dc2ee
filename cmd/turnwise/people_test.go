package main

import (
	"strings"
	"testing"

	cdp "github.com/chromedp/chromedp"
)

// TestPeople uses the pages of users, accounts and the audit log as people would; nothing may be blocked by the policy,
// logged as an error, or found by axe.
func TestPeople(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	s := serve(t, "--secret-key", "a key of the test, long enough")
	if out, err := turnwise(t, "--database-url", s.database, "demo", "--conversations", "300"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, complaints := open(t, s)
	do(t, ctx, cdp.Navigate(s.url+"/admin"), cdp.WaitVisible(cdp.CSS("form[action='/admin/tokens']")))
	look(t, ctx, "admin")
	do(t, ctx, cdp.Navigate(s.url+"/admin/users"), cdp.WaitVisible(cdp.CSS("table.list")))
	look(t, ctx, "users-admin")
	do(
		t, ctx, cdp.SetValue(cdp.CSS("input[name=email]"), "not an address@example.org"),
		cdp.SetValue(cdp.CSS("input[name=name]"), strings.Repeat("Anneliese ", 12)),
	)
	eval[bool](t, ctx, `(document.querySelector("input[name=email]").type = "text", true)`)
	do(t, ctx, cdp.Click(cdp.CSS("form.form .btn.main")), cdp.WaitVisible(cdp.CSS(".note.bad")))
	do(
		t, ctx,
		cdp.SetValue(cdp.CSS("input[name=email]"), strings.Repeat("anneliese.", 6)+"muster@sub.department.example.org"),
		cdp.Click(cdp.CSS("input[name=assistants]")), cdp.Click(cdp.CSS("form.form .btn.main")),
		cdp.WaitVisible(cdp.CSS(".note.good")),
	)
	look(t, ctx, "user-invited")
	link := eval[string](t, ctx, `document.querySelector("p.secret").textContent`)
	do(t, ctx, cdp.Click(cdp.CSS("td a.link[href^='/admin/users/']")), cdp.WaitVisible(cdp.CSS("form.form")))
	look(t, ctx, "user")
	do(t, ctx, cdp.Navigate(s.url+"/account"), cdp.WaitVisible(cdp.CSS("form.form")))
	look(t, ctx, "account")
	password := s.password
	do(
		t, ctx, cdp.SetValue(cdp.CSS("form[action='/account/second'] input[name=current]"), password),
		cdp.Click(cdp.CSS("form[action='/account/second'] button")), cdp.WaitVisible(cdp.CSS("img.qr")),
	)
	waitFor(t, ctx, `document.querySelector("img.qr").naturalWidth > 100`)
	look(t, ctx, "second-factor")
	do(t, ctx, cdp.Navigate(s.url+"/conversations?range=90d"), cdp.WaitVisible(cdp.CSS("tr[data-row] a")))
	do(
		t, ctx,
		cdp.Navigate(s.url+eval[string](t, ctx, `document.querySelector("tr[data-row] a").getAttribute("href")`)),
		cdp.WaitVisible(cdp.CSS(".aside")),
	)
	sender := eval[string](
		t, ctx,
		`[...document.querySelectorAll(".aside dt")].find(x => x.textContent === "Sender").nextElementSibling.textContent.trim()`,
	)
	do(
		t, ctx, cdp.Navigate(s.url+"/admin/personal"), cdp.WaitVisible(cdp.CSS("input[name=who]")),
		cdp.SetValue(cdp.CSS("input[name=who]"), sender), cdp.Click(cdp.CSS("form[action='/admin/personal'] button")),
		cdp.WaitVisible(cdp.CSS("input[name=again]")),
	)
	look(t, ctx, "personal")
	eval[bool](t, ctx, `(window.confirm = () => true, true)`)
	do(
		t, ctx, cdp.SetValue(cdp.CSS("input[name=again]"), sender),
		cdp.SetValue(cdp.CSS("input[name=reason]"), "Request 2026-17"),
		cdp.Click(cdp.CSS("button[formaction='/admin/personal/erase']")), cdp.WaitVisible(cdp.CSS("dl.facts")),
	)
	look(t, ctx, "erasure")
	do(t, ctx, cdp.Navigate(s.url+"/admin/audit"), cdp.WaitVisible(cdp.CSS("table.list")))
	do(t, ctx, cdp.Click(cdp.CSS("form[action='/admin/audit/verify'] button")), cdp.WaitVisible(cdp.CSS(".note.good")))
	look(t, ctx, "audit")
	do(t, ctx, cdp.Navigate(s.url+"/admin/audit?area=user"), cdp.WaitVisible(cdp.CSS("table.list")))
	waitFor(t, ctx, `document.querySelectorAll("table.list tbody tr").length > 0`)
	do(t, ctx, cdp.Navigate(s.url+"/admin/doctor"), cdp.WaitVisible(cdp.CSS(".findings li")))
	look(t, ctx, "doctor")
	do(t, ctx, cdp.Navigate(s.url+"/admin/settings"), cdp.WaitVisible(cdp.CSS("table.list")))
	look(t, ctx, "settings")
	do(
		t, ctx, cdp.Click(cdp.CSS("td a.link[href^='/admin/assistant']")),
		cdp.WaitVisible(cdp.CSS("form[action='/admin/assistant']")),
		cdp.Click(cdp.CSS("form[action='/admin/assistant'] .btn.main")), cdp.WaitVisible(cdp.CSS(".note.good")),
	)
	waitFor(t, ctx, `document.querySelectorAll("table.list tbody tr").length > 0`)
	look(t, ctx, "assistant")
	do(
		t, ctx, cdp.Navigate(s.url+"/admin/masking"), cdp.WaitVisible(cdp.CSS("form.form")),
		cdp.Click(cdp.CSS("input[name=display]")),
		cdp.SetValue(cdp.CSS("textarea[name=sample]"), "Write to max@example.org, "+strings.Repeat("a long text ", 20)),
		cdp.Click(cdp.CSS("button[name=try]")), cdp.WaitVisible(cdp.CSS("#tried")),
	)
	look(t, ctx, "masking")
	do(t, ctx, cdp.Click(cdp.CSS("form[action='/admin/masking'] .btn.main")))
	waitFor(t, ctx, `location.search.includes("said=kept")`)
	do(t, ctx, cdp.Navigate(s.url+"/conversations?range=90d"), cdp.WaitVisible(cdp.CSS("tr[data-row] a")))
	do(
		t, ctx,
		cdp.Navigate(s.url+eval[string](t, ctx, `document.querySelector("tr[data-row] a").getAttribute("href")`)),
		cdp.WaitVisible(cdp.CSS("details.reveal")),
	)
	do(
		t, ctx, cdp.Click(cdp.CSS("details.reveal summary")),
		cdp.WaitVisible(cdp.CSS("details.reveal input[name=reason]")),
	)
	look(t, ctx, "masked")
	do(
		t, ctx, cdp.SetValue(cdp.CSS("details.reveal input[name=reason]"), "The customer asked what we know"),
		cdp.Click(cdp.CSS("details.reveal button")), cdp.WaitVisible(cdp.CSS("form.note")),
	)
	look(t, ctx, "revealed")
	do(t, ctx, cdp.Navigate(link), cdp.WaitVisible(cdp.CSS(".card")))
	look(t, ctx, "welcome")
	if all := withoutStatus(complaints()); len(all) > 0 { // the form that was wrong
		t.Errorf("the browser complains: %q", all)
	}
}
