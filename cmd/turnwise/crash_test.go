package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/localdb"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/failpoint"
)

// demoFile writes demo events to a file.
func demoFile(t *testing.T, conversations string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "demo.ndjson")
	if out, err := turnwise(t, "demo", "--conversations", conversations, "--out", name); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return name
}

func dump(t *testing.T, url string) string {
	t.Helper()
	pool, err := queries.Open(t.Context(), url, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	return dbtest.Dump(t, pool)
}

// program starts this test binary as the program itself.
func program(ctx context.Context, args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "TURNWISE_TEST_RUN_MAIN=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// TestKilled kills an import several times at a random moment and imports again: the tables end as if nothing
// had happened.
func TestKilled(t *testing.T) {
	t.Parallel()
	file := demoFile(t, "1500")
	clean := dbtest.URL(t)
	if out, err := turnwise(t, "--database-url", clean, "import", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := dump(t, clean)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	url := dbtest.URL(t)
	killed := 0
	for range 6 {
		cmd, out := program(t.Context(), "--database-url", url, "import", "--batch", "500", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(80+r.IntN(700)) * time.Millisecond) // the moment is what is tested
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			killed++
		} else {
			t.Logf("it was done before: %s", out)
		}
	}
	if killed == 0 {
		t.Error("no import was killed")
	}
	if out, err := turnwise(
		t, "--database-url", url, "import", file,
	); err != nil || !strings.Contains(out, "already known") {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := dump(t, url); got != want {
		t.Error("the tables differ from those of an undisturbed import")
	}
}

// dieAt makes this process end at once when it comes to that place for the third time.
func dieAt(place string) {
	var times atomic.Int32
	if place != "" {
		failpoint.Set(func(name string) {
			if name == place && times.Add(1) == 3 {
				time.Sleep(1500 * time.Millisecond) // for offsets, which are committed once a second
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
	}
}

// TestFailpoints lets processes that share a topic die, each at another place between event and acknowledgement. The
// one that takes over ends with the tables of an undisturbed import.
func TestFailpoints(t *testing.T) {
	t.Parallel()
	places := []string{
		failpoint.Decoded, failpoint.Locked, failpoint.Copying, failpoint.Written, failpoint.Committed,
		failpoint.Acknowledged,
	}
	file := demoFile(t, "800")
	clean := dbtest.URL(t)
	if out, err := turnwise(t, "--database-url", clean, "import", "--environment", "production", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fake, producer := fakeKafka(t, int32(len(places)))
	var records []*kgo.Record
	for line := range strings.Lines(string(text)) {
		records = append(records, kgo.StringRecord(strings.TrimSpace(line)))
	}
	if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	url := dbtest.URL(t)
	sources := filepath.Join(t.TempDir(), "sources.yaml")
	if err := os.WriteFile(
		sources,
		fmt.Appendf(
			nil,
			"sources:\n  - name: kafka\n    environment: production\n    batch: 100\n    kafka: {brokers: [%q], topics: [rasa-events]}\n",
			fake.ListenAddrs()[0],
		),
		0o600,
	); err != nil {
		t.Fatal(err)
	}
	member := func(place string) (*exec.Cmd, *bytes.Buffer) {
		cmd, out := program(
			t.Context(), "--database-url", url, "ingest", "--sources", sources, "--admin-listen", "127.0.0.1:0",
		)
		cmd.Env = append(cmd.Env, "TURNWISE_TEST_FAILPOINT="+place)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, out
	}
	var all sync.WaitGroup
	for _, place := range places {
		cmd, out := member(place)
		all.Go(func() {
			err := cmd.Wait()
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Errorf("%s: %v\n%s", place, err, out)
			}
		})
	}
	all.Wait()
	last, out := member("")
	defer func() {
		_ = last.Process.Signal(syscall.SIGTERM)
		_ = last.Wait()
	}()
	want := dump(t, clean)
	before := ""
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		got := dump(t, url)
		if got == want {
			return
		}
		if got != before { // it goes on, however slowly
			before, deadline = got, time.Now().Add(2*time.Minute)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the tables differ from those of an undisturbed import\n%s", out)
		}
	}
}

// TestDatabaseRestarts restarts PostgreSQL in the middle of an import: it waits and goes on.
func TestDatabaseRestarts(t *testing.T) {
	t.Parallel()
	dir, err := dbtest.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	start := func() *localdb.Server {
		server, err := localdb.Start(context.Background(), localdb.Config{Dir: dir, Throwaway: true})
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	server := start()
	if out, err := turnwise(t, "--database-url", server.URL(), "migrate"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file := demoFile(t, "1500")
	cmd, out := program(t.Context(), "--database-url", server.URL(), "import", "--batch", "300", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond) // somewhere within the import
		server.Stop()
		server = start()
	}
	defer func() { server.Stop() }()
	if err := cmd.Wait(); err != nil {
		// It may also give up with a clear word; then it can be repeated.
		if !strings.Contains(out.String(), "importing again is safe") {
			t.Fatalf("%v\n%s", err, out)
		}
		if again, err := turnwise(t, "--database-url", server.URL(), "import", file); err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
	}
	clean := dbtest.URL(t)
	if again, err := turnwise(t, "--database-url", clean, "import", file); err != nil {
		t.Fatalf("%v\n%s", err, again)
	}
	if dump(t, server.URL()) != dump(t, clean) {
		t.Errorf("the tables differ from those of an undisturbed import\n%s", out)
	}
}

// TestMigratedTogether lets several starting servers migrate the same empty database.
func TestMigratedTogether(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	if _, err := pool.Exec(t.Context(), `drop schema public cascade; create schema public`); err != nil {
		t.Fatal(err)
	}
	url := pool.Config().ConnString()
	ended := make(chan error, 5)
	for range 5 {
		go func() {
			var out output
			ended <- run(t.Context(), []string{"--database-url", url, "migrate"}, os.Getenv, &out, &out)
		}()
	}
	for range 5 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if ok, err := queries.Migrated(t.Context(), pool); err != nil || !ok {
		t.Errorf("migrated %v, %v", ok, err)
	}
}
