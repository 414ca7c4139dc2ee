package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cdp "github.com/chromedp/chromedp"
)

// open signs the browser in.
func open(t *testing.T, s site) (ctx context.Context, complaints func() []string) {
	t.Helper()
	ctx, complaints = browser(t)
	do(
		t, ctx, cdp.EmulateViewport(1280, 900), cdp.Navigate(s.url+"/login"),
		cdp.SetValue(cdp.CSS("input[name=email]"), adminEmail),
		cdp.SetValue(cdp.CSS("input[name=password]"), s.password), cdp.Click(cdp.CSS("form .btn.main")),
	)
	waitFor(t, ctx, `location.pathname !== "/login"`)
	return ctx, complaints
}

// TestFigures uses the charts as a supervisor would: looks, clicks a bar, comes back, compares, drags, and reads the
// tables; nothing may be blocked by the policy, logged as an error, or found by axe.
func TestFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	s := serve(t, "--time-zone", "Europe/Berlin")
	if out, err := turnwise(t, "--database-url", s.database, "demo", "--conversations", "6000"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, complaints := open(t, s)
	drawn := func() {
		t.Helper()
		waitFor(
			t, ctx,
			`[...document.querySelectorAll(".plot")].every(p => p.querySelector("canvas")) && document.querySelector(".plot canvas") !== null`,
		)
	}
	for _, page := range []string{"overview", "latency", "csat"} {
		do(t, ctx, cdp.Navigate(s.url+"/"+page), cdp.WaitVisible(cdp.CSS("#view")))
		drawn()
		look(t, ctx, page)
		// The tools of a chart are there for everybody: seen without a pointer, reached by keyboard, large enough for a
		// finger.
		if faint := eval[string](t, ctx, `[...document.querySelectorAll(".panel .tools :is(a, button)")].filter((b) => {
			const box = b.getBoundingClientRect();
			return !b.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || b.tabIndex < 0 || box.width < 16 || box.height < 16;
		}).map((b) => b.outerHTML).join("\n")`); faint != "" {
			t.Errorf("%s: not to be seen or reached:\n%s", page, faint)
		}
		if n := eval[int](t, ctx, `document.querySelectorAll(".panel .tools :is(a, button)").length`); n < 3 {
			t.Errorf("%s: %d tools of charts", page, n)
		}
	}
	// A click in the navigation keeps range, filter and comparison, also after they changed in place.
	do(
		t, ctx, cdp.Navigate(s.url+"/overview?range=last-month&channel=web&compare=year"),
		cdp.WaitVisible(cdp.CSS("#view")), cdp.Click(cdp.CSS(`nav a[href^="/latency"]`)),
	)
	waitFor(
		t, ctx,
		`location.pathname === "/latency" && ["range=last-month", "channel=web", "compare=year"].every((x) => location.search.includes(x))`,
	)
	do(t, ctx, cdp.WaitVisible(cdp.CSS("#view")), cdp.KeyEvent("w"))
	waitFor(t, ctx, `location.search.includes("range=7d")`)
	do(t, ctx, cdp.Click(cdp.CSS(`nav a[href^="/csat"]`)))
	waitFor(
		t, ctx,
		`location.pathname === "/csat" && location.search.includes("range=7d") && location.search.includes("channel=web")`,
	)
	do(t, ctx, cdp.Navigate(s.url+"/flows"), cdp.WaitVisible(cdp.CSS("tr[data-row]")))
	look(t, ctx, "flows")
	do(t, ctx, cdp.Click(cdp.CSS("tr[data-row] a")), cdp.WaitVisible(cdp.CSS(".cards-row")))
	look(t, ctx, "flow")
	do(t, ctx, cdp.Click(cdp.CSS(`a[href^="/paths"]`)), cdp.WaitVisible(cdp.CSS("#after canvas")))
	drawn()
	look(t, ctx, "paths")
	do(
		t, ctx, cdp.Navigate(s.url+"/funnel?step=check_balance&step=transfer_money&step=block_card"),
		cdp.WaitVisible(cdp.CSS("table.full")),
	)
	look(t, ctx, "funnel")
	do(t, ctx, cdp.Navigate(s.url+"/paths?of=check_balance"), cdp.WaitVisible(cdp.CSS("#view")))
	drawn()
	look(t, ctx, "paths")
	do(t, ctx, cdp.Navigate(s.url+"/intents"), cdp.WaitVisible(cdp.CSS(".cards-row")))
	look(t, ctx, "intents")
	do(t, ctx, cdp.Navigate(s.url+"/users?range=90d"), cdp.WaitVisible(cdp.CSS("table.cohorts")))
	drawn()
	look(t, ctx, "users")
	do(t, ctx, cdp.Click(cdp.CSS("table.cohorts td a")), cdp.WaitVisible(cdp.CSS("tr[data-row]")))
	look(t, ctx, "users-list")
	do(t, ctx, cdp.Navigate(s.url+"/compare?by=version"), cdp.WaitVisible(cdp.CSS("table.full")))
	look(t, ctx, "compare")
	// Columns go from older to newer, and the difference is the newer less the older; swapped, it is the other way
	// round.
	sides := `[...document.querySelectorAll("table.full thead th")].slice(1).filter((_, i) => i === 0 || i === 2).map((th) => th.textContent.trim()).join("|")`
	before := eval[string](t, ctx, sides)
	older, newer, _ := strings.Cut(before, "|")
	if older == "" || older >= newer {
		t.Errorf("compared are %q", before)
	}
	do(t, ctx, cdp.Click(cdp.CSS("form.compare a.btn")))
	waitFor(t, ctx, `(`+sides+`) === `+strconv.Quote(newer+"|"+older))
	do(
		t, ctx, cdp.Navigate(s.url+"/criteria/edit?assistant=harbour-bank"), cdp.WaitVisible(cdp.CSS("select.rule")),
		cdp.SetValue(cdp.CSS("tbody tr:first-child select.rule"), "in"),
	)
	look(t, ctx, "criteria-form")
	do(t, ctx, cdp.Click(cdp.CSS("form .btn.main")), cdp.WaitVisible(cdp.CSS("form.use")))
	look(t, ctx, "criteria-preview")
	do(t, ctx, cdp.Click(cdp.CSS("form.use .btn.main")))
	waitFor(t, ctx, `document.querySelector("form.use") === null && document.body.textContent.includes("In force")`)
	do(t, ctx, cdp.Navigate(s.url+"/criteria"), cdp.WaitVisible(cdp.CSS("table.full")))
	look(t, ctx, "criteria")
	// A note on the charts.
	do(
		t, ctx, cdp.Navigate(s.url+"/overview"), cdp.WaitVisible(cdp.CSS("#volume canvas")),
		cdp.Click(cdp.CSS(".menu.right summary")),
		cdp.SetValue(cdp.CSS(".menu.right input[name=text]"), "payment provider down"),
		cdp.Click(cdp.CSS(".menu.right .apply")),
	)
	waitFor(t, ctx, `document.querySelector(".notes bdi")?.textContent === "payment provider down"`)
	drawn()
	do(t, ctx, cdp.Click(cdp.CSS(".menu.right summary")))
	shoot(t, ctx, "notes")
	do(t, ctx, cdp.Navigate(s.url+"/turns?slower=3000"), cdp.WaitVisible(cdp.CSS("tr[data-row]")))
	look(t, ctx, "turns")

	// A click on a bar opens its conversations, as many as its table says.
	do(t, ctx, cdp.Navigate(s.url+"/overview"), cdp.WaitVisible(cdp.CSS("#volume canvas")))
	drawn()
	// The highest, in its middle: a low one is narrower than a pixel on days on which little happened.
	place := eval[[]float64](t, ctx, `(() => {
		const of = [...document.querySelectorAll("#volume tbody tr")].map((tr) => Number(tr.querySelector("td a")?.dataset.n ?? 0));
		const n = Math.max(...of), i = of.indexOf(n);
		const plot = document.querySelector("#volume .plot"), chart = echarts.getInstanceByDom(plot), box = plot.getBoundingClientRect();
		const [x, y] = chart.convertToPixel({ seriesIndex: 0 }, [i, n / 2]);
		return [box.left + x, box.top + y, n];
	})()`)
	want := strconv.Itoa(int(place[2]))
	do(t, ctx, cdp.MouseClickXY(place[0], place[1]))
	waitFor(t, ctx, `location.pathname === "/conversations" && document.querySelector("[data-total]") !== null`)
	if got := eval[string](
		t, ctx, `document.querySelector("[data-total]").dataset.total + " " + document.querySelector("h1").textContent`,
	); got != want+" Conversations resolved, confirmed" {
		t.Errorf("the bar says %s, its list %s", want, got)
	}
	shoot(t, ctx, "clicked")
	// Keys: a week, the one before, nothing to compare with.
	do(t, ctx, cdp.Navigate(s.url+"/overview"), cdp.WaitVisible(cdp.CSS("#volume canvas")), cdp.KeyEvent("w"))
	waitFor(t, ctx, `location.search.includes("range=7d")`)
	drawn()
	do(t, ctx, cdp.KeyEvent("x"))
	waitFor(t, ctx, `location.search.includes("compare=no")`)
	drawn()
	if all := eval[int](t, ctx, `document.querySelectorAll(".delta .good, .delta .bad").length`); all != 0 {
		t.Error("compared with nothing, and there are changes")
	}
	// What cannot be understood is told beside the field; what can be, is done.
	apply := func(text string) {
		eval[bool](t, ctx, `document.querySelector("input[name=typed]").closest("details").open = true`)
		do(
			t, ctx, cdp.SetValue(cdp.CSS("input[name=typed]"), text),
			cdp.Click(cdp.CSS(".menu:has(input[name=typed]) .apply")),
		)
	}
	apply("the day after never")
	waitFor(t, ctx, `document.querySelector("#mistake")?.textContent.includes("last month")`)
	shoot(t, ctx, "mistake")
	apply("14 days")
	waitFor(t, ctx, `location.search.includes("range=14d") && !document.querySelector("#mistake")`)
	drawn()
	// Dragging over a chart narrows the range.
	do(t, ctx, cdp.Navigate(s.url+"/overview?range=90d"), cdp.WaitVisible(cdp.CSS("#volume canvas")))
	drawn()
	eval[bool](t, ctx, `(() => {
		const plot = document.querySelector("#volume .plot"), canvas = plot.querySelector("canvas"), box = plot.getBoundingClientRect();
		const at = (type, x) => canvas.dispatchEvent(new MouseEvent(type, { clientX: box.left + x, clientY: box.top + 120, bubbles: true, view: window }));
		at("mousemove", 200); at("mousedown", 200); at("mousemove", 260); at("mousemove", 320); at("mouseup", 320);
		return true;
	})()`)
	waitFor(t, ctx, `location.search.includes("from=") && location.search.includes("until=")`)
	drawn()
	shoot(t, ctx, "zoomed")
	// A typed range, by the hour.
	do(
		t, ctx, cdp.Click(cdp.CSS(".joined summary")), cdp.SetValue(cdp.CSS("input[name=typed]"), "yesterday"),
		cdp.Click(cdp.CSS(".joined .apply")),
	)
	waitFor(
		t, ctx,
		`!location.search.includes("typed") && document.querySelector("#volume thead th").textContent === "Hour"`,
	)
	drawn()
	look(t, ctx, "overview-day")
	do(t, ctx, cdp.Click(cdp.CSS("#volume [data-chart-table]")))
	waitFor(t, ctx, `document.querySelector("#volume table").checkVisibility({visibilityProperty: true})`)
	look(t, ctx, "overview-table")
	do(t, ctx, cdp.Navigate(s.url+"/overview?from=2031-01-01&until=2031-01-05"))
	look(t, ctx, "overview-future")
	do(t, ctx, cdp.Navigate(s.url+"/overview?range=3650d"), cdp.WaitVisible(cdp.CSS("#volume canvas")))
	drawn()
	look(t, ctx, "overview-ten-years")
	if all := withoutStatus(complaints()); len(all) > 0 {
		t.Errorf("the console says:\n%s", strings.Join(all, "\n"))
	}
}

// TestNames looks at the charts of 300 flows, of names of 60 characters and of names that run from right to left.
func TestNames(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	s := serve(t)
	name := func(kind string, i int) string {
		return []string{
			fmt.Sprintf("%s_%d", kind, i),
			fmt.Sprintf("%s_for_customers_who_moved_to_another_country_and_back_%d", kind, 1000+i),
			fmt.Sprintf("حجز موعد مع المستشار %d", i),
			fmt.Sprintf("קביעת פגישה %d", i),
		}[i%4]
	}
	var b strings.Builder
	begin := time.Now().AddDate(0, 0, -20)
	for i := range 900 {
		at := begin.Add(time.Duration(i) * 30 * time.Minute)
		event := func(after float64, typ, more string) {
			fmt.Fprintf(&b, `{"sender_id":"s%d","event":%q,"timestamp":%.3f,"metadata":{"assistant_id":%q,"model_id":"m%d","model_name":%q}%s}`+"\n",
				i, typ, float64(at.UnixMilli())/1000+after, name("assistant", i%8), i%9, name("release", i%9), more)
		}
		event(
			0, "user",
			fmt.Sprintf(
				`,"text":"hello","input_channel":%q,"parse_data":{"intent":{"name":%q,"confidence":0.8}}`,
				name("channel", i%12), name("intent", i%40),
			),
		)
		event(0.1, "flow_started", fmt.Sprintf(`,"flow_id":%q`, name("flow", i%300)))
		event(0.2, "action", fmt.Sprintf(`,"name":%q`, name("utter", i%50)))
		event(0.3+float64(i%7), "bot", `,"text":"Which one?"`)
		if i%3 > 0 {
			event(8, "flow_completed", fmt.Sprintf(`,"flow_id":%q`, name("flow", i%300)))
		}
	}
	file := filepath.Join(t.TempDir(), "names.ndjson")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := turnwise(t, "--database-url", s.database, "import", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, complaints := open(t, s)
	for page, shown := range map[string]string{
		"overview": "#volume canvas", "flows": "tr[data-row]", "latency": "#histogram canvas", "intents": ".cards-row", "compare?by=version": "table.full",
		"flow?of=" + url.QueryEscape(name("flow", 2)): ".cards-row", "paths?of=" +
			url.QueryEscape(name("flow", 1)): "#view", "conversations": "tr[data-row]",
	} {
		do(t, ctx, cdp.Navigate(s.url+"/"+page), cdp.WaitVisible(cdp.CSS(shown)))
		look(t, ctx, "names-"+strings.Split(page, "?")[0])
	}
	if all := withoutStatus(complaints()); len(all) > 0 {
		t.Errorf("the console says:\n%s", strings.Join(all, "\n"))
	}
}
