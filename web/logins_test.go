package web_test

import (
	"context"
	"fmt"
	"html"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"turnwise/compat"
	"turnwise/queries"
)

// TestLogins: an admin makes a login of the database, which reads what the form says and nothing else, changes it and
// removes it; the page of examples shows what they return now.
func TestLogins(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	trained(t, o, "shop")
	if status, page := o.get(signIn(t, o.url, "admin"), "/admin/sql/answer?schema=rasa_pro&n=2"); status != 200 || !strings.Contains(page, "These tables are missing") {
		t.Errorf("without the schema: %d %s", status, page)
	}
	if err := compat.Apply(t.Context(), o.pool); err != nil {
		t.Fatal(err)
	}
	admin := signIn(t, o.url, "admin")
	name := fmt.Sprintf("page_%x", rand.Uint64())
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = pgx.BeginFunc(ctx, o.pool, func(tx pgx.Tx) error { return queries.DropReader(ctx, tx, name) })
	})
	status, _, page := o.post(admin, "/admin/logins", "name", name, "schema", "rasa_pro")
	m := regexp.MustCompile(`id="secret">([A-Z0-9]{20,})<`).FindStringSubmatch(page)
	if status != 200 || m == nil {
		t.Fatalf("%d %.500s", status, o.shown(page))
	}
	password := m[1]
	if !strings.Contains(html.UnescapeString(page), "postgresql://"+name+":"+password+"@") {
		t.Error("no connection string is shown")
	}
	connect := func() (*pgx.Conn, error) {
		cfg := o.pool.Config().ConnConfig.Copy()
		cfg.User, cfg.Password = name, password
		return pgx.ConnectConfig(t.Context(), cfg)
	}
	said := func() (n int, text *string) {
		t.Helper()
		conn, err := connect()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if err := conn.QueryRow(t.Context(), "select count(*), max(text) from rasa_user_message").Scan(&n, &text); err != nil {
			t.Fatal(err)
		}
		return n, text
	}
	if n, text := said(); n != 3 || text != nil {
		t.Errorf("%d messages, %v", n, text)
	}
	if status, page := o.get(admin, "/admin/logins"); status != 200 || !strings.Contains(page, name) || strings.Contains(page, password) {
		t.Errorf("the list: %d", status)
	}
	status, _, page = o.post(admin, "/admin/logins", "name", name, "schema", "rasa_pro", "texts", "yes")
	if status != 200 || strings.Contains(page, `id="secret"`) {
		t.Errorf("changing it: %d", status)
	}
	if n, text := said(); n != 3 || text == nil || *text != "Hello." {
		t.Errorf("%d messages, %v", n, text)
	}
	for assistant, want := range map[string]int{"shop": 3, "another": 0} {
		status, _, page = o.post(admin, "/admin/logins", "name", name, "schema", "rasa_pro", "texts", "yes", "assistants", assistant)
		if n, _ := said(); status != 200 || n != want || !strings.Contains(page, ">"+assistant+"<") {
			t.Errorf("limited to %s: %d, %d messages", assistant, status, n)
		}
	}
	if status, _, _ := o.post(admin, "/admin/logins", "name", name, "schema", "", "assistants", "shop"); status != 422 {
		t.Errorf("Turnwise's own tables of one assistant: %d", status)
	}
	for _, bad := range []string{"", "A b", "x;y", "public", "pg_x", o.pool.Config().ConnConfig.User, strings.Repeat("x", 41)} {
		if status, _, _ := o.post(admin, "/admin/logins", "name", bad, "schema", "rasa_pro"); status != 422 {
			t.Errorf("%q: %d", bad, status)
		}
	}
	if status, _, _ := o.post(admin, "/admin/logins", "name", name, "schema", "public"); status != 404 {
		t.Errorf("another schema: %d", status)
	}
	for _, schema := range queries.VendorSchemas {
		if status, page := o.get(admin, "/admin/sql?schema="+schema); status != 200 || strings.Count(page, `class="example"`) < 14 {
			t.Errorf("%s: %d", schema, status)
		}
	}
	if status, page := o.get(admin, "/admin/sql/answer?schema=rasa_pro&n=2"); status != 200 || !strings.Contains(page, "<td") {
		t.Errorf("an answer: %d %s", status, page)
	}
	for _, bad := range []string{"schema=public&n=0", "schema=a8&n=99", "schema=a8&n=-1", "schema=a8&n=x"} {
		if status, _ := o.get(admin, "/admin/sql/answer?"+bad); status != 404 {
			t.Errorf("%s: %d", bad, status)
		}
	}
	if status, _, _ := o.post(admin, "/admin/logins/remove", "name", name); status != 303 {
		t.Errorf("removing it: %d", status)
	}
	if conn, err := connect(); err == nil {
		conn.Close(t.Context())
		t.Error("a login that was removed still connects")
	}
	var acts string
	if err := o.pool.QueryRow(t.Context(), "select string_agg(act, ' ' order by id) from audit_log where act like 'reader.%'").Scan(&acts); err != nil || acts != "reader.made reader.made reader.made reader.made reader.dropped" {
		t.Errorf("%q, %v", acts, err)
	}
}
