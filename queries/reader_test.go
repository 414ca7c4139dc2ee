package queries_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestReader tries everything with a login for other programs: it reads the tables that are for it, not the columns
// that tell who it was or what was said unless that is granted, and can do nothing else.
func TestReader(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	ctx := t.Context()
	name := fmt.Sprintf("reader_%x", rand.Uint64())
	set := func(r queries.Reader) (made bool) {
		t.Helper()
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			made, err = queries.SetReader(ctx, tx, r, "a password of nobody")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return made
	}
	drop := func(name string) error {
		ctx := context.WithoutCancel(ctx)
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return queries.DropReader(ctx, tx, name) })
	}
	if !set(queries.Reader{Name: name}) {
		t.Error("a new login is not said to be new")
	}
	t.Cleanup(func() { _ = drop(name) }) // before its database goes
	figures := []string{
		"assistants", "environments", "channels", "versions", "turns", "flow_runs", "flow_steps", "review_states",
		"tags", "conversation_tags", "success_criteria", "sources", "ingest_minutes", "conversation_persons",
		"daily_figures", "daily_flow_figures", "event_types", "agent_segments", "patterns", "markers",
	}
	texts := []string{
		"conversations", "commands", "senders", "messages", "slots", "events", "event_payloads", "state_changes",
		"turn_facts", "calls", "feedback", "scores", "activities", "agent_logins", "journals", "user_names",
	}
	rows, _ := pool.Query(
		ctx,
		`select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') order by 1`,
	)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 60 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	for _, with := range []bool{false, true} {
		if with && set(queries.Reader{Name: name, Texts: true}) {
			t.Error("a login that was there is said to be new")
		}
		cfg := pool.Config().ConnConfig.Copy()
		cfg.User, cfg.Password = name, "a password of nobody"
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(sql string) {
			t.Helper()
			_, err := conn.Exec(ctx, sql)
			if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "42501" && e.Code != "25006" {
				t.Errorf("%s with texts %t: %v", sql, with, err)
			}
		}
		var open []string
		for _, table := range tables {
			if _, err := conn.Exec(ctx, "select * from "+table+" limit 0"); err == nil {
				open = append(open, table)
			}
			for _, able := range []string{"off", "on"} {
				if _, err := conn.Exec(ctx, "set default_transaction_read_only = "+able); err != nil {
					t.Fatal(err)
				}
				refused("delete from " + table)
				refused("truncate " + table)
			}
		}
		want := slices.Clone(figures)
		if with {
			want = append(want, texts...)
		}
		slices.Sort(want)
		if !slices.Equal(open, want) {
			t.Errorf("with texts %t it reads\n%v, not\n%v", with, open, want)
		}
		if _, err := conn.Exec(
			ctx, `select id, started_at, outcome, csat, response_median_ms from conversations`,
		); err != nil {
			t.Error(err)
		}
		if _, err := conn.Exec(ctx, `select command, flow_id, slot from commands`); err != nil {
			t.Error(err)
		}
		for _, column := range []string{"user_id", "session_id", "first_text", "facets"} {
			if _, err := conn.Exec(ctx, "select "+column+" from conversations"); (err == nil) != with {
				t.Errorf("%s with texts %t: %v", column, with, err)
			}
		}
		if _, err := conn.Exec(ctx, "set default_transaction_read_only = off"); err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{
			"create table mine (n integer)", "copy assistants to program 'true'", "copy assistants to '/tmp/x'", "select * from pg_authid", "select pg_read_file('/etc/passwd')", "select pg_ls_dir('/')",
			"select lo_import('/etc/passwd')", "create extension dblink", "create role other", "alter role " + name +
				" superuser", "insert into assistants (id, name) values (1, 'x')",
			"update conversations set csat = 1", "create schema mine", "set role " + pool.Config().ConnConfig.User,
		} {
			refused(sql)
		}
		conn.Close(ctx)
	}
	all, err := queries.Readers(ctx, pool)
	if err != nil || fmt.Sprint(all) != fmt.Sprint([]queries.Reader{{Name: name, Texts: true}}) {
		t.Errorf("%v, %v", all, err)
	}
	set(queries.Reader{Name: name})
	if all, err := queries.Readers(ctx, pool); err != nil || fmt.Sprint(all) != fmt.Sprint([]queries.Reader{{Name: name}}) {
		t.Errorf("texts are not taken away again: %v, %v", all, err)
	}
	// Roles that are not ours are left alone.
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := queries.SetReader(ctx, tx, queries.Reader{Name: pool.Config().ConnConfig.User}, "x")
		return err
	}); !errors.Is(err, queries.ErrNotOurs) {
		t.Errorf("the server's own login becomes a reader: %v", err)
	}
	if err := drop(pool.Config().ConnConfig.User); !errors.Is(err, queries.ErrNotOurs) {
		t.Errorf("the server's own login is dropped: %v", err)
	}
	if err := drop(name); err != nil {
		t.Error(err)
	}
	if err := drop(name); !errors.Is(err, queries.ErrNotFound) {
		t.Errorf("dropped twice: %v", err)
	}
}
