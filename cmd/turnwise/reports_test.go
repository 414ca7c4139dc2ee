package main

import (
	"testing"

	cdp "github.com/chromedp/chromedp"
)

// TestReports uses exports, reports and the pages of an operator as people would; nothing may be blocked by the policy,
// logged as an error, or found by axe.
func TestReports(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	s := serve(t, "--time-zone", "Europe/Berlin")
	if out, err := turnwise(t, "--database-url", s.database, "demo", "--conversations", "3000"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, complaints := open(t, s)
	do(t, ctx, cdp.Navigate(s.url+"/reports"), cdp.WaitVisible(cdp.CSS(".empty")))
	look(t, ctx, "reports-empty")
	do(t, ctx, cdp.Navigate(s.url+"/overview?range=7d"), cdp.WaitVisible(cdp.CSS("#volume canvas")))
	eval[bool](t, ctx, `document.querySelector('details:has(a[href^="/documents"])').open = true`)
	shoot(t, ctx, "export-menu")
	do(t, ctx, cdp.Click(cdp.CSS(`a[href^="/reports/edit"]`)), cdp.WaitVisible(cdp.CSS(".sheet-form")))
	waitFor(t, ctx, `document.querySelector("#next").textContent.startsWith("Next: Mon")`)
	eval[bool](t, ctx, `document.querySelector(".only-mail details").open = true`)
	look(t, ctx, "report-form")
	// drawing charts takes the race detector long
	eval[bool](
		t, ctx,
		`(document.querySelector("input[value=html]").click(), document.querySelector("input[value=csv]").click(), true)`,
	)
	do(
		t, ctx, cdp.SetValue(cdp.CSS("textarea[name=recipients]"), "ann@example.org\nnobody"),
		cdp.Click(cdp.CSS(".sheet-form .btn.main")), cdp.WaitVisible(cdp.CSS(".note.bad")),
	)
	do(
		t, ctx, cdp.SetValue(cdp.CSS("textarea[name=recipients]"), "ann@example.org\nbob@example.org"),
		cdp.Click(cdp.CSS(".sheet-form .btn.main")), cdp.WaitVisible(cdp.CSS("dl.facts")),
	)
	do(t, ctx, cdp.Click(cdp.CSS(`form[action$="/now"] button`)))
	waitFor(t, ctx, `document.querySelector(".run table")?.textContent.includes("mail is not set up")`)
	look(t, ctx, "report")
	do(t, ctx, cdp.Navigate(s.url+"/reports"), cdp.WaitVisible(cdp.CSS("table.list")))
	look(t, ctx, "reports")
	do(t, ctx, cdp.Navigate(s.url+"/conversations?range=90d"), cdp.WaitVisible(cdp.CSS("tr[data-row]")))
	eval[bool](t, ctx, `document.querySelector('details:has(form[action="/exports"])').open = true`)
	shoot(t, ctx, "export-list")
	do(t, ctx, cdp.Click(cdp.CSS(`form[action="/exports"] .btn.main`)))
	waitFor(t, ctx, `document.querySelector(".empty h2")?.textContent === "The file is ready"`)
	look(t, ctx, "export-done")
	do(t, ctx, cdp.Navigate(s.url+"/admin/jobs"), cdp.WaitVisible(cdp.CSS("table.list")))
	look(t, ctx, "jobs")
	retention := func(name, days string) cdp.Action[cdp.Void] {
		return cdp.SetValue(cdp.CSS(`form[action="/admin/retention"] input[name=`+name+`]`), days)
	}
	do(
		t, ctx, cdp.Navigate(s.url+"/admin/retention"), retention("texts", "20"), retention("events", "40"),
		retention("conversations", "60"), cdp.Click(cdp.CSS(`form[action="/admin/retention"] button[value=preview]`)),
	)
	waitFor(t, ctx, `document.querySelector(".note")?.textContent.includes("It is not kept yet")`)
	look(t, ctx, "retention-preview")
	do(
		t, ctx, cdp.Navigate(s.url+"/admin/retention"),
		cdp.SetValue(cdp.CSS(`form[action="/admin/retention"] input[name=conversations]`), "60"),
	)
	eval[bool](t, ctx, `(window.confirm = (asked) => asked.includes("for good"), true)`) // what deletes asks first
	do(t, ctx, cdp.Click(cdp.CSS(`form[action="/admin/retention"] .btn.main`)))
	waitFor(t, ctx, `document.querySelector(".note")?.textContent.includes("The next run, within the hour, removes")`)
	look(t, ctx, "retention")
	do(t, ctx, cdp.Navigate(s.url+"/admin/mail"), cdp.WaitVisible(cdp.CSS(".sheet-form")))
	look(t, ctx, "mail-settings")
	if all := withoutStatus(complaints()); len(all) > 0 { // the form that was wrong
		t.Errorf("the browser complains: %q", all)
	}
}
