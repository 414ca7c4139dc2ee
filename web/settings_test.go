package web_test

import (
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/jackc/pgx/v5"

	"turnwise/config"
	"turnwise/conversation"
	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/jobs"
	"turnwise/queries"
)

// TestSettings: an admin sets the workspace and how an assistant's events are read; what is stored follows when it is
// folded again; everything goes into a file and comes back from it, and a file says what it changes.
func TestSettings(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	g := demo.New(demo.Options{Conversations: 150, Days: 15, Until: o.now.Add(-time.Hour), Seed: 5})
	feed(t, o.pool, g.Next)
	admin := signIn(t, o.url, "admin")
	for _, form := range [][]string{
		{
			"zone", "Mars/Olympus", "week", "monday", "numbers", "1,234.5",
		}, {
			"zone", "Local", "week", "monday", "numbers", "1,234.5",
		}, {
			"zone", "UTC", "week", "friday", "numbers", "1,234.5",
		}, {"zone", "UTC", "week", "monday", "numbers", "1234"},
	} {
		if status, _, body := o.post(
			admin, "/admin/settings", form...,
		); status != 422 || !strings.Contains(body, `role="alert"`) {
			t.Errorf("%v: %d", form, status)
		}
	}
	if status, _, _ := o.post(
		admin, "/admin/settings", "zone", "Europe/Berlin", "week", "sunday", "numbers", "1.234,5",
	); status != 303 {
		t.Errorf("kept: %d", status)
	}
	if w, err := queries.WorkspaceSettings(t.Context(), o.pool); err != nil || w != (queries.Workspace{
		TimeZone: "Europe/Berlin", WeekBegins: "sunday", Numbers: "1.234,5",
	}) {
		t.Errorf("%+v %v", w, err)
	}
	var name string
	if err := o.pool.QueryRow(
		t.Context(),
		`select a.name from conversations c join assistants a on a.id = c.assistant_id group by 1 order by count(c.escalated_at) desc, 1 limit 1`,
	).Scan(&name); err != nil {
		t.Fatal(err)
	}
	escalated := func() (n int) {
		t.Helper()
		if err := o.pool.QueryRow(
			t.Context(),
			`select count(*) from conversations c join assistants a on a.id = c.assistant_id where a.name = $1 and escalated_at is not null`,
			name,
		).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if escalated() == 0 {
		t.Fatal("nothing is escalated")
	}
	form := []string{
		"name", name, "actions", "action_nobody_has\n\n action_nobody_has ", "slots", "csat_score", "satisfied", "3",
		"idle", "30", "fallbacks", "x", "pause", "never",
	}
	if status, _, _ := o.post(admin, "/admin/assistant", append(form[:8:8], "idle", "0")...); status != 422 {
		t.Errorf("no minutes: %d", status)
	}
	if status, _, _ := o.post(
		admin, "/admin/assistant", append(form[2:len(form):len(form)], "name", "nobody")...,
	); status != 404 {
		t.Errorf("no assistant: %d", status)
	}
	if status, _, _ := o.post(admin, "/admin/assistant", append(form, "fold", "yes")...); status != 303 {
		t.Errorf("kept: %d", status)
	}
	if status, _, _ := o.post(admin, "/admin/assistant", append(form, "fold", "yes")...); status != 422 {
		t.Errorf("folded twice at once: %d", status)
	}
	runs, err := queries.FoldRuns(t.Context(), o.pool, queries.FoldToRebuild)
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	if err := jobs.Fold(
		t.Context(), o.pool, runs[0].ID, ingest.NewWriter(o.pool, slog.New(slog.DiscardHandler)).FoldStored,
		func() time.Time { return o.now },
	); err != nil {
		t.Fatal(err)
	}
	if n := escalated(); n != 0 {
		t.Errorf("%d are escalated by what hands over no more", n)
	}
	page := "/admin/assistant?" + url.Values{"name": {name}}.Encode()
	if _, body := o.get(admin, page); !strings.Contains(body, "done in") || !strings.Contains(
		body, "action_nobody_has</textarea>",
	) {
		t.Errorf("the page: %.300s", body)
	}
	if _, body := o.get(admin, "/admin/audit"); !strings.Contains(body, "assistant "+name) ||
		!strings.Contains(body, "workspace") {
		t.Error("the audit log does not have it")
	}

	_, file := o.get(admin, "/admin/settings.yml")
	apply := func(text string) (words []string, err error) {
		t.Helper()
		var want config.Settings
		if err := yaml.UnmarshalWithOptions([]byte(text), &want, yaml.Strict()); err != nil {
			return nil, err
		}
		err = pgx.BeginFunc(t.Context(), o.pool, func(tx pgx.Tx) error {
			changes, err := config.Plan(t.Context(), tx, want, conversation.UUID{}, "a test", o.now)
			if err != nil {
				return err
			}
			for _, c := range changes {
				words = append(words, c.Words())
				if err := c.Apply(t.Context(), tx, queries.Actor{Name: "a test"}, o.now); err != nil {
					return err
				}
			}
			return nil
		})
		return words, err
	}
	if words, err := apply(file); err != nil || len(words) != 0 {
		t.Errorf("the file that was written changes %v, %v:\n%s", words, err, file)
	}
	other := `
workspace: {time_zone: UTC}
masking: {on_display: true, patterns: [{name: order, expr: 'A-\d+'}]}
audit_log_days: 90
mail: {host: mail.example.org, port: 587, security: starttls, user: "", from: t@example.org, sender: Turnwise, line: ""}
assistants:
  - name: ` + name + `
    settings: {csat_slots: [stars]}
    success: {included: [pay_bill], any: true}
  - name: not-yet-there
    settings: {idle_minutes: 15}
retention:
  - {texts: 30, events: 60, conversations: 365}
  - {assistant: ` + name + `, conversations: 100}
`
	words, err := apply(other)
	if err != nil || len(words) != 9 {
		t.Errorf("%d changes: %s, %v", len(words), strings.Join(words, "\n"), err)
	}
	if again, err := apply(other); err != nil || len(again) != 0 {
		t.Errorf("the same again changes %v, %v", again, err)
	}
	_, after := o.get(admin, "/admin/settings.yml")
	if words, err := apply(after); err != nil || len(words) != 0 {
		t.Errorf("what was written afterwards changes %v, %v", words, err)
	}
	if words, err := apply(
		"retention:\n  - {texts: 10, events: 60, conversations: 365}\n",
	); err != nil || len(words) != 2 {
		t.Errorf("a rule changed, one deleted: %v, %v", words, err)
	}
	for _, bad := range []string{
		"workspce: {}", "workspace: {time_zone: Mars/X}", "masking: {patterns: [{name: x, expr: '('}]}", "assistants: [{name: a, settings: {idle_minutes: -1}}]", "assistants: [{name: a}, {name: a}]", "assistants: [{name: ''}]",
		"retention: [{texts: 0}]", "retention: [{events: 5}]", "retention: [{conversations: 5}, {conversations: 6}]", "audit_log_days: -1", "mail: {host: ''}", "assistants: [{name: a, success: {return_days: -4}}]",
	} {
		if words, err := apply(bad); err == nil {
			t.Errorf("%s is taken: %v", bad, words)
		}
	}
	entries := 0
	if err := o.pool.QueryRow(
		t.Context(), `select count(*) from audit_log where actor = 'a test'`,
	).Scan(&entries); err != nil || entries != 11 {
		t.Errorf("%d entries, %v", entries, err)
	}
}
