package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	cdp "github.com/chromedp/chromedp"

	"turnwise/format"
	"turnwise/metric"
)

// TestSettingsFile keeps the settings in a file: a running server takes up what the file says by itself, and who is
// signed in stays so.
func TestSettingsFile(t *testing.T) {
	t.Cleanup(func() { // they hold for the whole process, as other tests do not expect
		metric.WeeksBegin(time.Monday)
		format.WriteNumbers(",", ".")
	})
	s := serve(t)
	if out, err := turnwise(
		t, "--database-url", s.database, "demo", "--kind", "rasa", "--conversations", "1500", "--days", "20",
	); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, complaints := open(t, s)
	do(t, ctx, cdp.Navigate(s.url+"/conversations?range=90d"), cdp.WaitVisible(cdp.CSS("tr[data-row] a")))
	waitFor(t, ctx, `document.body.innerText.includes("1,")`)
	file := filepath.Join(t.TempDir(), "settings.yml")
	if out, err := turnwise(t, "--database-url", s.database, "settings", "export", "--out", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), "time_zone: UTC") {
		t.Fatalf("%s %v", b, err)
	}
	changed := strings.NewReplacer(
		"time_zone: UTC", "time_zone: Asia/Tokyo", "week_begins: monday", "week_begins: sunday", "1,234.5", "1.234,5",
	).Replace(string(b))
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := turnwise(
		t, "--database-url", s.database, "settings", "apply", "--dry-run", file,
	); err == nil || !strings.Contains(out, "Asia/Tokyo") {
		t.Errorf("a dry run: %v\n%s", err, out)
	}
	if out, err := turnwise(
		t, "--database-url", s.database, "settings", "apply", file,
	); err != nil || !strings.Contains(out, "1 settings changed") {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := turnwise(t, "--database-url", s.database, "settings", "apply", "--dry-run", file); err != nil {
		t.Errorf("applied, but %v\n%s", err, out)
	}
	for _, bad := range []string{"audit_log_days: 5\n", "workspace: {time_zone: UTC}\n---\naudit_log_days: 100\n"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := turnwise(t, "--database-url", s.database, "settings", "apply", file); err == nil {
			t.Errorf("taken: %s\n%s", bad, out)
		}
	}
	// It takes them up while it serves: the same page says so, and no request fails.
	waitFor(
		t, ctx,
		`fetch(location.href).then(r => r.text()).then(x => x.includes("1.50") || x.includes("1.49")).catch(() => false)`,
	)
	do(t, ctx, cdp.Navigate(s.url+"/overview?range=28d"), cdp.WaitVisible(cdp.CSS("canvas")))
	if tips := eval[string](
		t, ctx, `JSON.parse(document.querySelector("#outcomes-spec").textContent).tips.join()`,
	); !regexp.MustCompile(`\d,\d%`).MatchString(tips) {
		t.Errorf("charts write numbers as in %q", tips)
	}
	if all := withoutStatus(complaints()); len(all) > 0 {
		for _, c := range all {
			t.Errorf("the browser complains: %q", c)
		}
	}
}
