package web_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"turnwise/ingest"
	"turnwise/jobs"
	"turnwise/queries"
)

// trained are talks of one bot that got a new name at each training, and of another one.
func trained(t *testing.T, o *office, names ...string) {
	t.Helper()
	var bodies []string
	for i, name := range names {
		for k := range 3 {
			at := o.now.Add(-time.Duration(40-i*4-k) * time.Hour).Unix()
			for n, event := range []string{
				`"action","name":"action_session_start"`, `"session_started"`, `"user","text":"Hello."`,
				`"bot","text":"Hello."`,
			} {
				bodies = append(
					bodies,
					fmt.Sprintf(
						`{"sender_id":"person-%d","event":%s,"timestamp":%d.5,"metadata":{"assistant_id":%q}}`, k,
						event, at+int64(n), name,
					),
				)
			}
		}
	}
	feed(t, o.pool, func() ([]byte, bool) {
		if len(bodies) == 0 {
			return nil, false
		}
		b := bodies[0]
		bodies = bodies[1:]
		return []byte(b), true
	})
}

// TestMergePage: an admin sees what a merge moves before it happens; afterwards the old name means the other assistant
// everywhere, and the same page undoes it.
func TestMergePage(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const first, second = "20260101-120000-cold-lake", "20260201-120000-warm-hill"
	trained(t, o, first, second, "shop")
	admin := signIn(t, o.url, "admin")
	fold := func(kind queries.FoldKind) {
		t.Helper()
		runs, err := queries.FoldRuns(t.Context(), o.pool, kind)
		if err != nil || len(runs) == 0 {
			t.Fatal(runs, err)
		}
		for _, run := range runs { // of those that have ended nothing is left to do
			if err := jobs.Fold(
				t.Context(), o.pool, run.ID, ingest.NewWriter(o.pool, slog.New(slog.DiscardHandler)).FoldStored,
				func() time.Time { return o.now },
			); err != nil {
				t.Fatal(err)
			}
		}
	}
	listed := func(assistant string) int {
		t.Helper()
		status, body := o.get(admin, "/conversations?range=7d&assistant="+url.QueryEscape(assistant))
		if status != 200 {
			t.Fatalf("%s: %d", assistant, status)
		}
		return strings.Count(body, "<tr data-row")
	}
	if _, body := o.get(admin, "/health"); !strings.Contains(
		body, "look like trainings of one bot",
	) || !strings.Contains(body, first) || strings.Contains(body, "shop look") {
		t.Error("Data health does not name the trainings")
	}
	for to, words := range map[string]string{"": "Enter a name", first: "its name already", "a\nb": "no line breaks"} {
		if status, _, body := o.post(
			admin, "/admin/assistant/merge", "name", first, "to", to, "confirmed", "yes",
		); status != 422 || !strings.Contains(body, words) {
			t.Errorf("into %q: %d", to, status)
		}
	}
	status, _, body := o.post(admin, "/admin/assistant/merge", "name", first, "to", second)
	if status != 200 || !strings.Contains(body, "3 conversations") || !strings.Contains(
		body, `name="confirmed" value="yes"`,
	) {
		t.Errorf("the preview: %d", status)
	}
	if aliases, err := queries.Aliases(t.Context(), o.pool); err != nil || len(aliases) != 0 {
		t.Errorf("a preview changes something: %v, %v", aliases, err)
	}
	if _, err := o.pool.Exec(
		t.Context(),
		`insert into legal_holds (id, assistant, reason, created_at, created_by) select gen_random_uuid(), $1, 'a case', now(), (select id from accounts where role = 'admin')`,
		first,
	); err != nil {
		t.Fatal(err)
	}
	if status, to, _ := o.post(
		admin, "/admin/assistant/merge", "name", first, "to", second, "confirmed", "yes",
	); status != 303 || !strings.Contains(to, url.QueryEscape(second)) {
		t.Errorf("merged: %d to %s", status, to)
	}
	var held string
	if err := o.pool.QueryRow(
		t.Context(), `select assistant from legal_holds`,
	).Scan(&held); err != nil || held != second {
		t.Errorf("the hold is on %q, %v", held, err)
	}
	// while that is under way; by a name that is taken
	for _, x := range [][2]string{{second, "shop"}, {"shop", first}} {
		if status, _, _ := o.post(
			admin, "/admin/assistant/merge", "name", x[0], "to", x[1], "confirmed", "yes",
		); status < 400 {
			t.Errorf("%s into %s: %d", x[0], x[1], status)
		}
	}
	fold(queries.FoldToMerge)
	if a, b := listed(first), listed(second); a != 6 || b != 6 {
		t.Errorf("by the old name %d are listed, by the new %d; want 6", a, b)
	}
	for _, name := range []string{first, second} {
		id, err := queries.AssistantUUID(t.Context(), o.pool, name)
		if err != nil {
			t.Fatal(err)
		}
		if n := listed(id.String()); n != 6 {
			t.Errorf("by the UUID of %s %d are listed", name, n)
		}
	}
	if _, body := o.get(
		admin, "/admin/assistant?name="+second,
	); !strings.Contains(body, first+" into "+second) || !strings.Contains(body, "done in") {
		t.Error("the page does not tell how the move went")
	}
	if _, err := o.pool.Exec(t.Context(), `update fold_runs set error = 'it broke off'`); err != nil {
		t.Fatal(err)
	}
	var run string
	if err := o.pool.QueryRow(t.Context(), `select id from fold_runs`).Scan(&run); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := o.post(admin, "/admin/assistant/fold", "name", "shop", "run", run); status != 404 {
		t.Errorf("a move of others continued: %d", status)
	}
	if status, _, _ := o.post(admin, "/admin/assistant/fold", "name", second, "run", run); status != 303 {
		t.Errorf("continued: %d", status)
	}
	fold(queries.FoldToMerge)
	if _, body := o.get(admin, "/admin/settings"); strings.Contains(body, first+"</a>") ||
		!strings.Contains(body, second+"</a>") {
		t.Error("the list of assistants has the old name")
	}
	if _, body := o.get(admin, "/admin/audit"); !strings.Contains(body, first) {
		t.Error("the audit log does not have it")
	}
	if _, body := o.get(admin, "/health"); strings.Contains(body, "look like trainings") {
		t.Error("Data health names what was merged")
	}
	if status, _, _ := o.post(admin, "/admin/assistant/separate", "alias", first); status != 303 {
		t.Errorf("separated: %d", status)
	}
	fold(queries.FoldToSeparate)
	if a, b := listed(first), listed(second); a != 3 || b != 3 {
		t.Errorf("separated, %d and %d are listed", a, b)
	}
}

// TestDoubtedContainment: an assistant with 30 engaged conversations that ended, and none handed over, is named where
// its containment is read, in the past too; with 29, or one handed over, it is not.
func TestDoubtedContainment(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	var bodies []string
	talk := func(assistant string, n int, at time.Time, more string) {
		for i, event := range []string{`"user","text":"Hello."`, `"bot","text":"Hello."` + more} {
			bodies = append(
				bodies,
				fmt.Sprintf(
					`{"sender_id":"%s-%d","event":%s,"timestamp":%d.5,"metadata":{"assistant_id":%q}}`, assistant, n,
					event, at.Unix()+int64(i), assistant,
				),
			)
		}
	}
	lately, before := o.now.Add(-100*time.Hour), o.now.Add(-90*24*time.Hour)
	for i := range 30 {
		talk("thirty", i, lately, "")
		talk("past", i, before, "")
		talk("handing", i, lately, "")
		if i > 0 {
			talk("few", i, lately, "")
		}
	}
	talk("few", 100, o.now.Add(-time.Minute), "") // which goes on
	bodies = append(
		bodies,
		fmt.Sprintf(
			`{"sender_id":"handing-1","event":"action","name":"action_human_handoff","timestamp":%d.5,"metadata":{"assistant_id":"handing"}}`,
			lately.Unix()+9,
		),
	)
	feed(t, o.pool, func() ([]byte, bool) {
		if len(bodies) == 0 {
			return nil, false
		}
		b := bodies[0]
		bodies = bodies[1:]
		return []byte(b), true
	})
	admin := signIn(t, o.url, "admin")
	day := func(at time.Time) string {
		return "from=" + at.Format(time.DateOnly) + "&until=" + at.Format(time.DateOnly)
	}
	for path, names := range map[string][]string{
		"/health": {"thirty"}, "/overview?range=7d": {"thirty"}, "/overview?" + day(before): {"past"},
		"/overview?" + day(before.AddDate(0, 0, -2)): nil,
	} {
		_, body := o.get(admin, path)
		for _, name := range []string{"thirty", "past", "handing", "few"} {
			said := strings.Contains(body, name+": no hand-off event in 30 days") || strings.Contains(
				body, "No hand-off signal from "+name+" for 30 days",
			)
			want := len(names) > 0 && names[0] == name
			if said != want {
				t.Errorf("%s: doubts %s: %t", path, name, said)
			}
		}
		if len(names) > 0 && !strings.Contains(body, "containment cannot be trusted") {
			t.Errorf("%s does not say why", path)
		}
	}
}
