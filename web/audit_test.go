package web_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/views"
)

// TestAudit: what people do is written down, is found again by who, what and to what, leaves as files, and any change
// from outside is noticed.
func TestAudit(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	ctx := t.Context()
	bad := client(t)
	if resp, err := bad.PostForm(server.URL+"/login", url.Values{
		"email": {"admin@example.org"}, "password": {"wrong"},
	}); err != nil || resp.StatusCode != 422 {
		t.Fatal(err)
	}
	if resp, err := bad.PostForm(server.URL+"/login", url.Values{
		"email": {"my secret password"}, "password": {"wrong"},
	}); err != nil || resp.StatusCode != 422 {
		t.Fatal(err)
	}
	admin := signIn(t, server.URL, "admin")
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		resp, err := admin.PostForm(server.URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b.String()
	}
	if status, body := post("/admin/tokens", url.Values{"name": {"=cmd()"}, "assistant": {"shop"}}); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if status, _ := post("/admin/retention", url.Values{"texts": {"30"}}); status != 303 {
		t.Fatal(status)
	}
	rules, err := queries.RetentionRules(ctx, pool)
	if err != nil || len(rules) != 1 {
		t.Fatal(rules, err)
	}
	if status, _ := post("/admin/retention/"+rules[0].ID.String(), url.Values{
		"texts": {"20"}, "revision": {strconv.Itoa(int(rules[0].Revision))},
	}); status != 303 {
		t.Fatal(status)
	}
	// What fails is not written down as done.
	if status, _ := post("/admin/retention", url.Values{"texts": {"10"}}); status != 422 {
		t.Fatal(status)
	}
	all, err := queries.AuditLog(ctx, pool, queries.AuditFilter{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all {
		if _, known := views.AuditWords(string(e.Act)); !known {
			t.Errorf("%s has no words", e.Act)
		}
		if e.Address != "127.0.0.1" {
			t.Errorf("entry %d is from %q", e.ID, e.Address)
		}
		got = append(got, string(e.Act)+" "+e.Actor)
	}
	want := "retention.changed admin@example.org, retention.changed admin@example.org, token.made admin@example.org, sign-in.done admin@example.org, sign-in.failed , sign-in.failed admin@example.org"
	if strings.Join(got, ", ") != want {
		t.Errorf("written down: %s\nwant: %s", strings.Join(got, ", "), want)
	}
	for query, want := range map[string][2]string{
		"":                                   {"signed in", ""},
		"area=retention":                     {"texts: 30 → 20", "signed in"},
		"area=sign-in.failed":                {"could not sign in", "made a token"},
		"object=CMD":                         {"=cmd()", "signed in"},
		"actor=nobody":                       {"Nothing is written down", "signed in"},
		"from=2001-01-01":                    {"signed in", ""},
		"until=2001-01-01":                   {"Nothing is written down", "signed in"},
		"before=2":                           {"could not sign in", "made a token"},
		"actor=Admin@example.org&area=token": {"made a token", "signed in"},
	} {
		_, body, _ := get(t, admin, "GET", server.URL+"/admin/audit?"+query)
		if !strings.Contains(body, want[0]) || want[1] != "" && strings.Contains(body, want[1]) ||
			strings.Contains(body, "my secret") {
			t.Errorf("%s: has not %q, or has %q", query, want[0], want[1])
		}
	}
	_, csv, h := get(t, admin, "GET", server.URL+"/admin/audit/file?as=csv&area=token")
	if !strings.Contains(csv, "'=cmd()") || strings.Contains(csv, "sign-in") || !strings.Contains(
		h.Get("Content-Disposition"), ".csv",
	) {
		t.Errorf("csv: %s", csv)
	}
	if _, lines, _ := get(
		t, admin, "GET", server.URL+"/admin/audit/file?as=jsonl",
	); strings.Count(lines, "\n") != 8 || !strings.Contains(lines, `"act":"audit.fetched"`) {
		t.Errorf("lines: %s", lines)
	}
	if _, body := post("/admin/audit/verify", nil); !strings.Contains(body, "The chain is whole: 8 entries") {
		t.Errorf("checking: %.2000s", body)
	}
	// The database refuses changes.
	for _, sql := range []string{`update audit_log set actor = 'x'`, `delete from audit_log`, `truncate audit_log`} {
		if _, err := pool.Exec(ctx, sql); err == nil || !strings.Contains(err.Error(), "only added to") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	// Somebody who may switch that off is noticed.
	for name, sql := range map[string]string{
		"changed":  `update audit_log set address = '10.0.0.1' where id = 3`,
		"a gap":    `delete from audit_log where id = 4`,
		"the end":  `delete from audit_log where id = 8`,
		"inserted": `insert into audit_log select id + 100, at, actor_id, actor, address, act, object_id, object, before, after, hash from audit_log where id = 8; update audit_head set id = 108`,
		"moved":    `update audit_log set at = at - interval '1 microsecond' where id = 5`,
	} {
		tx, err := pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, `alter table audit_log disable trigger all; `+sql); err != nil {
			t.Fatal(err)
		}
		var broken *queries.AuditBroken
		if _, err := queries.VerifyAudit(ctx, tx); !errors.As(err, &broken) {
			t.Errorf("%s is not noticed: %v", name, err)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
	}
	// It has a retention of its own, after which the rest is whole.
	if status, _ := post("/admin/audit/keep", url.Values{"days": {"7"}}); status != 422 {
		t.Error("seven days are taken")
	}
	if status, _ := post("/admin/audit/keep", url.Values{"days": {"30"}}); status != 303 {
		t.Error("thirty days are not taken")
	}
	if err := jobs.ExpireAudit(ctx, pool, time.Now().AddDate(0, 0, 29)); err != nil {
		t.Fatal(err)
	}
	if head, err := queries.VerifyAudit(ctx, pool); err != nil || head.Gone != 0 || head.ID != 9 {
		t.Errorf("after 29 days: %+v, %v", head, err)
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return queries.Record(
			ctx, tx, jobs.Self, time.Now().AddDate(0, 0, 20), queries.AuditRetentionRan, "", "", nil, nil,
		)
	}); err != nil {
		t.Fatal(err)
	}
	if err := jobs.ExpireAudit(ctx, pool, time.Now().AddDate(0, 0, 31)); err != nil {
		t.Fatal(err)
	}
	if head, err := queries.VerifyAudit(ctx, pool); err != nil || head.Gone != 9 || head.ID != 11 {
		t.Errorf("after 31 days: %+v, %v", head, err)
	}
	if left, err := queries.AuditLog(
		ctx, pool, queries.AuditFilter{}, 100,
	); err != nil || len(left) != 2 || left[0].Act != queries.AuditExpired {
		t.Errorf("left: %+v, %v", left, err)
	}
	reviewer := signIn(t, server.URL, "reviewer")
	if status, _, _ := get(t, reviewer, "GET", server.URL+"/admin/audit"); status != http.StatusForbidden {
		t.Errorf("a reviewer reads the log: %d", status)
	}
}
