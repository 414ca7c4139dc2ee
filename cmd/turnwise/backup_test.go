package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/localdb"
	"turnwise/queries/dbtest"
)

// count asks a database for a number.
func count(t *testing.T, url, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// postgres runs a program of PostgreSQL.
func postgres(t *testing.T, name string, args ...string) {
	t.Helper()
	bin, err := localdb.FindBin()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(bin, name), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// TestBackup makes a backup while events arrive, restores it on a new server, and goes on by what the broker kept: the
// tables end as if nothing had happened.
func TestBackup(t *testing.T) {
	t.Parallel()
	fake, producer := fakeKafka(t, 3)
	b, err := os.ReadFile(demoFile(t, "500"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	produce := func(from, until int) {
		for _, line := range lines[from:until] {
			producer.Produce(t.Context(), &kgo.Record{Value: line}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := producer.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	broker := []string{"--kafka-brokers", strings.Join(fake.ListenAddrs(), ","), "--kafka-topics", "rasa-events"}
	ingest := func(url string) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		var out output
		go func() {
			ended <- run(
				ctx, append([]string{"--database-url", url, "ingest", "--admin-listen", "127.0.0.1:0"}, broker...),
				os.Getenv, &out, &out,
			)
		}()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
		}
	}
	until := func(url string, n int) {
		t.Helper()
		for deadline := time.Now().Add(120 * time.Second); count(
			t, url, `select count(*) from events`,
		) < n; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d events never arrive", n)
			}
		}
	}
	first := dbtest.URL(t)
	stop := ingest(first)
	produce(0, len(lines)/2)
	until(first, len(lines)/4)
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		produce(len(lines)/2, len(lines))
	}()
	file := filepath.Join(t.TempDir(), "turnwise.dump")
	postgres(t, "pg_dump", "--format=custom", "--file="+file, "--dbname="+first)
	<-rest
	until(first, len(lines))
	stop()
	want := dump(t, first)

	dir, err := os.MkdirTemp("", "turnwise-backup") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may run as another user
		t.Fatal(err)
	}
	server, err := localdb.Start(t.Context(), localdb.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	second := server.URL()
	postgres(t, "pg_restore", "--no-owner", "--exit-on-error", "--dbname="+second, file)
	if n := count(t, second, `select count(*) from events`); n < len(lines)/4 || n >= len(lines) {
		t.Fatalf("the backup holds %d of %d events: it was not made while they arrived", n, len(lines))
	}
	stop = ingest(second) // what the broker takes for read does not come again by itself
	defer stop()
	if out, err := turnwise(
		t, append([]string{"--database-url", second, "backfill"}, broker...)...,
	); err != nil || !strings.Contains(out, "already known") {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := dump(t, second); got != want {
		a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("the tables differ:\nwant %.300s\ngot  %.300s", a[i], b[i])
			}
		}
		t.Fatalf("%d and %d rows", len(a), len(b))
	}
}
