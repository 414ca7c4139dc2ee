package compat_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/compat"
	"turnwise/ingest"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

// TestLimited: a login that sees some assistants alone reads, in every table, what another reads of a database in which
// there is nothing else; also when its assistant gets another name.
func TestLimited(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rows := func(pool *pgxpool.Pool, schema string, of ...string) map[string]string {
		t.Helper()
		name := fmt.Sprintf("limited_%x", rand.Uint64())
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := queries.SetReader(ctx, tx, queries.Reader{Name: name, Schema: schema, Texts: true, Assistants: of}, "a password of nobody")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx := context.WithoutCancel(ctx)
			_ = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return queries.DropReader(ctx, tx, name) })
		})
		cfg, told := pool.Config().ConnConfig.Copy(), new(strings.Builder)
		cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { told.WriteString(n.Message + "\n") }
		cfg.User, cfg.Password = name, "a password of nobody"
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if len(of) > 0 {
			peek(t, conn, schema, told)
		}
		all := map[string]string{}
		for _, table := range tables(t, schema) {
			var columns []string
			for _, c := range table.Columns {
				if c.Name != "createdAt" && c.Name != "updatedAt" && c.Name != "pattern_id" && (table.Name != "rasa_pattern" || c.Name != "id") {
					columns = append(columns, fmt.Sprintf("%q", c.Name))
				}
			}
			var text string
			if err := conn.QueryRow(ctx, fmt.Sprintf("select coalesce(string_agg(x, chr(10) order by x), '') from (select row(%s)::text as x from %q) as x", strings.Join(columns, ", "), table.Name)).Scan(&text); err != nil {
				t.Fatalf("%s.%s: %v", schema, table.Name, err)
			}
			all[table.Name] = text
		}
		for _, sql := range []string{
			"select * from turnwise_seen.messages", "select * from " + schema + "." + fmt.Sprintf("%q", tables(t, schema)[0].Name), "select * from public.messages",
			"select * from public.reader_limits", "set session authorization postgres",
		} {
			if len(of) == 0 && strings.Contains(sql, "from "+schema) {
				continue
			}
			_, err := conn.Exec(ctx, sql)
			if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "42501" && e.Code != "22023" {
				t.Errorf("%s: %v", sql, err)
			}
		}
		return all
	}
	filled := func(only bool) *pgxpool.Pool {
		t.Helper()
		pool := dbtest.Pool(t)
		if only {
			mark(t, pool, "bank", markersOfBank)
			put(t, pool, ingest.Source{Name: "rasa", Kind: "http", Assistant: "bank", Environment: "staging"}, bank...)
		} else {
			store(t, pool)
		}
		now := func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }
		if err := jobs.RollUp(ctx, pool, figures.NewGrid(time.UTC), -time.Second, now); err != nil {
			t.Fatal(err)
		}
		apply(t, pool)
		return pool
	}
	pool, alone := filled(false), filled(true)
	for _, schema := range queries.VendorSchemas {
		want := rows(alone, schema)
		differ(t, schema, rows(pool, schema, "bank"), want)
		if all := rows(pool, schema); schema != "rasa_studio" && all["rasa_session"]+all["messages"]+all["session_log"] == want["rasa_session"]+want["messages"]+want["session_log"] {
			t.Errorf("%s: there is nothing else", schema)
		}
		for table, text := range rows(pool, schema, "nobody") {
			if text != "" && table != "alembic_version" && table != "MachineLearningModel" {
				t.Errorf("%s.%s: who sees no assistant sees %s", schema, table, text)
			}
		}
	}
	// As before a migration, and after one that drops a column of which nobody reads.
	exec := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := compat.MakeWay(ctx, pool); err != nil {
		t.Fatal(err)
	}
	exec("alter table conversations add column of_nobody integer")
	if err := compat.Apply(ctx, pool); err != nil {
		t.Fatal(err)
	}
	exec("alter table conversations drop column of_nobody, drop column facets")
	differ(t, "made anew", rows(pool, "rasa_pro", "bank"), rows(alone, "rasa_pro"))
}

// peek tries to learn, by a condition that tells what it is asked of, what the login does not see.
func peek(t *testing.T, conn *pgx.Conn, schema string, told *strings.Builder) {
	t.Helper()
	for _, sql := range []string{
		"set session characteristics as transaction read write",
		"create function pg_temp.leak(x text) returns boolean language plpgsql cost 0.0001 as $$ begin raise notice '%', x; return true; end $$",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, table := range tables(t, schema) {
		for _, c := range table.Columns {
			if _, err := conn.Exec(t.Context(), fmt.Sprintf("select count(*) from %q where pg_temp.leak(%q::text)", table.Name, c.Name)); err != nil {
				t.Fatalf("%s.%s.%s: %v", schema, table.Name, c.Name, err)
			}
		}
	}
	for _, secret := range []string{"where is my card", "Let me look", "c-1", "m1", "u-1"} { // of another assistant
		if strings.Contains(told.String(), secret) {
			t.Errorf("%s tells %q", schema, secret)
		}
	}
	if _, err := conn.Exec(t.Context(), "set session characteristics as transaction read only"); err != nil {
		t.Fatal(err)
	}
}
