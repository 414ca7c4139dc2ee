// Package dbtest gives tests databases of a real PostgreSQL server: the one that TURNWISE_TEST_DATABASE_URL
// names, else a throw-away one that it starts itself.
package dbtest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/localdb"
	"turnwise/migrations"
	"turnwise/queries"
)

var (
	once      sync.Once
	server    *localdb.Server
	dir       string
	adminURL  string // of who owns the databases
	keeperURL string // of who may drop them whoever is connected
	template  string
	startErr  error
	serial    atomic.Int64
)

// Main runs a package's tests and stops the server that they started.
func Main(m *testing.M) {
	code := m.Run()
	if server != nil {
		server.Stop()
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func start() {
	ctx := context.Background()
	adminURL = os.Getenv("TURNWISE_TEST_DATABASE_URL")
	keeperURL = cmp.Or(os.Getenv("TURNWISE_TEST_KEEPER_URL"), adminURL)
	if adminURL == "" {
		dir, startErr = Dir()
		if startErr != nil {
			return
		}
		server, startErr = localdb.Start(ctx, localdb.Config{Dir: dir, Throwaway: true})
		if startErr != nil {
			startErr = fmt.Errorf("tests need PostgreSQL; 'make test' installs it: %w", startErr)
			return
		}
		adminURL, keeperURL = server.URL(), server.KeeperURL()
	}
	template, startErr = makeTemplate(ctx)
}

// Dir makes a folder for a throw-away server, in memory when there is room.
func Dir() (string, error) {
	for _, parent := range []string{"/dev/shm", os.TempDir()} {
		d, err := os.MkdirTemp(parent, "turnwise-test-")
		if err == nil {
			return d, os.Chmod(d, 0o755)
		}
	}
	return os.MkdirTemp("", "turnwise-test-")
}

// makeTemplate migrates one database that the others are copies of, named by the schema.
func makeTemplate(ctx context.Context) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(migrations.FS, path)
		h.Write(b)
		return err
	})
	if err != nil {
		return "", err
	}
	name := "tpl_" + hex.EncodeToString(h.Sum(nil)[:8])
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `select pg_advisory_lock(74757)`); err != nil {
		return "", err
	}
	var exists bool
	if err := conn.QueryRow(
		ctx, `select exists (select from pg_database where datname = $1)`, name,
	).Scan(&exists); err != nil || exists {
		return name, err
	}
	if _, err := conn.Exec(ctx, "create database "+name+"_new"); err != nil {
		return "", err
	}
	pool, err := pgxpool.New(ctx, withDatabase(name+"_new"))
	if err != nil {
		return "", err
	}
	_, err = queries.Migrate(ctx, pool)
	pool.Close()
	if err != nil {
		return "", err
	}
	for range 50 { // connections that close end a moment later
		if _, err = conn.Exec(ctx, "alter database "+name+"_new rename to "+name); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return name, err
}

func withDatabase(name string) string {
	u, err := url.Parse(adminURL)
	if err != nil {
		return adminURL
	}
	if q := u.Query(); q.Has("dbname") {
		q.Set("dbname", name)
		u.RawQuery = q.Encode()
	} else {
		u.Path = "/" + name
	}
	return u.String()
}

// URL returns the address of a fresh, migrated database that goes with the test.
func URL(t testing.TB) string {
	t.Helper()
	once.Do(start)
	if startErr != nil {
		t.Fatal(startErr)
	}
	ctx := context.Background()
	name := fmt.Sprintf("t_%d_%d", os.Getpid(), serial.Add(1))
	admin := func(sql string) error {
		conn, err := pgx.Connect(ctx, adminURL)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, sql)
		return err
	}
	if err := admin("create database " + name + " template " + template + " strategy file_copy"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(ctx, keeperURL)
		if err == nil {
			_, err = conn.Exec(ctx, "drop database "+name+" with (force)")
			err = errors.Join(err, conn.Close(ctx))
		}
		if err != nil {
			t.Error(err)
		}
	})
	return withDatabase(name)
}

// Pool returns a pool on a database of its own, for code that commits.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := queries.Open(context.Background(), URL(t), 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Tables are all tables whose contents follow from the events alone.
var Tables = []string{
	"assistants", "environments", "channels", "versions", "senders", "projections", "events", "event_payloads",
	"event_originals",
	"messages", "conversations", "turns", "flow_runs", "flow_steps", "commands", "slots", "markers",
	"journals", "agent_segments", "state_changes", "turn_facts", "calls", "feedback", "scores", "activities",
	"agent_logins",
}

// Dump returns the contents of those tables, a line a row, in a fixed order.
func Dump(t testing.TB, db queries.DB) string {
	t.Helper()
	var b strings.Builder
	for _, table := range Tables {
		columns := "*"
		if table == "assistants" {
			columns = "id, name, settings"
		}
		rows, _ := db.Query(
			context.Background(),
			"select r::text from (select "+columns+" from "+table+") r order by r::text collate \"C\"",
		)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "== %s %d\n", table, len(lines))
		for _, l := range lines {
			b.WriteString(l)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Holding returns the tables in which a word stands, as text or in bytes.
func Holding(t testing.TB, db queries.DB, word string) (in []string) {
	t.Helper()
	rows, _ := db.Query(
		context.Background(),
		`select table_name::text from information_schema.tables where table_schema = 'public'
	and table_type = 'BASE TABLE'`,
	)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) < 40 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		rows, _ := db.Query(
			context.Background(),
			`select exists (select from `+pgx.Identifier{name}.Sanitize()+
				` x where position(lower($1) in lower(x::text)) > 0 or position($2 in x::text) > 0)`,
			word, hex.EncodeToString([]byte(word)),
		)
		there, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		if err != nil {
			t.Fatal(err)
		}
		if there {
			in = append(in, name)
		}
	}
	return in
}
