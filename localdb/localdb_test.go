package localdb

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// dir is a folder that the server's user may enter.
func dir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("/tmp", "localdb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	if err := os.Chmod(d, 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestStartJoinStop(t *testing.T) {
	t.Setenv("PGPORT", "9") // of the surroundings: none of ours
	d := dir(t)
	first, err := Start(t.Context(), Config{Dir: d, Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Start(t.Context(), Config{Dir: d, Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	if second.cmd != nil {
		t.Error("a second server was started on the same data")
	}
	second.Stop()
	if !first.answers(t.Context()) {
		t.Error("one that only joined has stopped the server")
	}
	first.Stop()
	select {
	case <-first.Exited():
	default:
		t.Error("the server runs on")
	}
	again, err := Start(t.Context(), Config{Dir: d, Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	again.Stop()
	if left, _ := filepath.Glob(filepath.Join(d, "initdb-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestForeignDataStay(t *testing.T) {
	d := dir(t)
	keep := filepath.Join(d, "data", "keep")
	if err := os.MkdirAll(filepath.Dir(keep), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keep, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(
		t.Context(), Config{Dir: d, Throwaway: true},
	); err == nil || !strings.Contains(err.Error(), "not PostgreSQL's") {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(keep); err != nil || string(b) != "mine" {
		t.Errorf("a foreign file became %q, %v", b, err)
	}
}

// TestKept holds that a server which is kept runs on when it dies, and when the Turnwise that ran it stops.
func TestKept(t *testing.T) {
	d := dir(t)
	quiet := slog.New(slog.DiscardHandler)
	first, err := Start(t.Context(), Config{Dir: d, Throwaway: true, Keep: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Start(t.Context(), Config{Dir: d, Throwaway: true, Keep: true, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	again := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !second.answers(t.Context()); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: it does not run again", what)
			}
		}
	}
	process, exited := first.cmd.Process, first.exited
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-exited
	again("killed")
	first.Stop()
	again("stopped by the one that ran it")
	second.Stop()
	if second.answers(t.Context()) {
		t.Error("it runs on")
	}
}

// TestOwner holds that the server's role is no superuser, nor can become one, also where an earlier version made the
// data with one role for all.
func TestOwner(t *testing.T) {
	ctx := t.Context()
	run := func(url string, statements ...string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		for _, sql := range statements {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	}
	harmless := func(url string) {
		t.Helper()
		for _, sql := range []string{
			"create role somebody superuser", "create role somebody", "alter role turnwise superuser", "set role keeper", "copy (select 1) to program 'true'",
			"select pg_read_file('/etc/passwd')", "alter system set work_mem = '1MB'", "grant pg_execute_server_program to turnwise", "load 'auto_explain'",
		} {
			if err := run(url, sql); err == nil {
				t.Errorf("%s was done", sql)
			}
		}
		if err := run(
			url, "create extension if not exists pg_trgm", "create table mine (a int) partition by range (a)",
			"create table mine_1 partition of mine for values from (0) to (9)", "drop table mine",
		); err != nil {
			t.Error(err)
		}
	}
	fresh, err := Start(ctx, Config{Dir: dir(t)})
	if err != nil {
		t.Fatal(err)
	}
	harmless(fresh.URL())
	if err := run(fresh.KeeperURL(), "create role reader login", "drop role reader"); err != nil {
		t.Error(err)
	}
	fresh.Stop()

	// As an earlier version left it, also where the move was stopped half way.
	for _, half := range []bool{false, true} {
		d := dir(t)
		old := &Server{cfg: Config{Dir: d}, exited: make(chan struct{}), stopping: make(chan struct{})}
		if old.cfg.Bin, err = FindBin(); err == nil {
			err = old.owned()
		}
		if err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(d, "data")
		if err := old.ownDir(data); err != nil {
			t.Fatal(err)
		}
		if out, err := old.command(
			ctx, "initdb", "-D", data, "-U", userName, "-A", "trust", "-E", "UTF8", "--no-locale", "-N",
		).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := old.run(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if err = run(
				old.url(userName, "postgres"), "create database turnwise",
			); err == nil || time.Now().After(deadline) {
				break
			}
		}
		made := []string{
			"create extension pg_trgm", "create schema other", "create table facts (id bigint generated always as identity, n serial, at date, word text) partition by range (at)", "create table facts_1 partition of facts for values from ('2026-01-01') to ('2027-01-01')", "create index on facts using gin (word gin_trgm_ops)",
			"insert into facts (at, word) values ('2026-05-05', 'kept')", "create sequence counter", "create view words as select word from facts", "create materialized view old_words as select word from facts",
			"create type mood as enum ('good')", "create type pair as (a int, b int)", "create domain small as int", "create function one() returns int language sql as 'select 1'", "create table other.more (a int)",
			"create role reader login", "grant select on facts to reader",
		}
		if half {
			made = append(made, "create role "+renamer+" superuser login")
		}
		if err := errors.Join(err, run(old.URL(), made...)); err != nil {
			t.Fatal(err)
		}
		old.end()

		for range 2 { // the second time nothing is left to do
			s, err := Start(ctx, Config{Dir: d})
			if err != nil {
				t.Fatal(err)
			}
			harmless(s.URL())
			if err := run(
				s.KeeperURL(),
				"do $$ begin if exists (select from pg_roles where rolname = '"+renamer+
					"') then raise 'it is left'; end if; end $$",
			); err != nil {
				t.Error(err)
			}
			s.Stop()
		}
		s, err := Start(ctx, Config{Dir: d})
		if err != nil {
			t.Fatal(err)
		}
		if err := run(s.URL(), "alter table facts add extra int", "alter table facts_1 set (fillfactor = 70)", "create table facts_2 (like facts including all)", "alter table facts attach partition facts_2 for values from ('2027-01-01') to ('2028-01-01')",
			"insert into facts (at, word) values ('2027-05-05', 'new')", "select nextval('counter')", "alter sequence counter restart", "drop sequence counter", "refresh materialized view old_words", "drop view words", "alter type mood add value 'bad'", "drop type pair", "drop domain small",
			"drop function one()", "drop table other.more", "drop schema other", "analyze facts", "create index on facts (at)", "do $$ begin if (select count(*) from facts) <> 2 then raise 'rows are gone'; end if; end $$", "drop table facts cascade"); err != nil {
			t.Error(err)
		}
		s.Stop()
	}
}
