package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"turnwise/localdb"
	"turnwise/queries/dbtest"

	"github.com/jackc/pgx/v5"
)

// lastChange is the last migration that changed what was there: programs from before it are refused (TestOutdated).
const lastChange = "0046_plain_names.sql"

// olderProgram builds the program as it was before its newest migration came, or with the last that changed what was
// there.
func olderProgram(t *testing.T) string {
	t.Helper()
	git := func(args ...string) ([]byte, error) {
		return exec.CommandContext(t.Context(), "git", append([]string{"-C", "../.."}, args...)...).Output()
	}
	all, err := filepath.Glob("../../migrations/*.sql")
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	newest := filepath.Base(slices.Max(all))
	added, err := git("log", "--diff-filter=A", "--format=%H", "-1", "--", "migrations/"+newest)
	if err != nil || len(bytes.TrimSpace(added)) == 0 {
		t.Skipf("SKIPPED: there is no history of git from which an older program could be built (%s, %v)", newest, err)
	}
	before := strings.TrimSpace(string(added))
	if newest != lastChange {
		before += "^"
	}
	source, err := git("archive", "--format=tar", before)
	if err != nil {
		t.Skipf("SKIPPED: there is no history of git before %s: %v", newest, err)
	}
	dir := t.TempDir()
	untar := exec.CommandContext(t.Context(), "tar", "-x", "-C", dir)
	untar.Stdin = bytes.NewReader(source)
	if out, err := untar.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "older"), "./cmd/turnwise")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("the older program is %s, the newest migration %s", before, newest)
	return filepath.Join(dir, "older")
}

// TestUpgrade replaces a server by a newer one without a pause: both stand side by side while the newer one migrates
// the database under the other's feet (as soon as there is a migration since lastChange). Every event that is sent to
// either is stored once, pages answer all the time, and the tables end as if there had been but one.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	older := olderProgram(t)
	file := demoFile(t, "700")
	clean := dbtest.URL(t)
	if out, err := turnwise(t, "--database-url", clean, "import", file, "--environment", "production"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := dump(t, clean)

	dir, err := os.MkdirTemp("", "turnwise-upgrade") // a socket's path must be short
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
	url := server.URL()
	begin := func(program string, env ...string) (base string, out *output, stop func() error) {
		listen, admin := freePort(t), freePort(t)
		cmd := exec.CommandContext(
			t.Context(), program, "--database-url", url, "serve", "--listen", listen, "--admin-listen", admin,
		)
		cmd.Env = append(os.Environ(), env...)
		out = new(output)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(60 * time.Second); !strings.Contains(out.String(), "is ready"); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not start:\n%s", program, out)
			}
		}
		return "http://" + listen, out, func() error {
			_ = cmd.Process.Signal(os.Interrupt)
			return cmd.Wait()
		}
	}
	oldSite, oldOut, stopOld := begin(older)
	made, err := exec.CommandContext(t.Context(), older, "--database-url", url, "token", "create", "upgrade").Output()
	if err != nil {
		t.Fatal(err)
	}
	token := ""
	for _, word := range strings.Fields(string(made)) {
		if strings.HasPrefix(word, "tw_") || len(word) > len(token) && !strings.Contains(word, "/") {
			token = word
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var sites atomic.Pointer[[]string]
	sites.Store(&[]string{oldSite})
	var sent atomic.Int64
	send := func(n int, body []byte) error {
		for try := 0; try < 200; try++ { // as a client must: what is refused for now comes again
			all := *sites.Load()
			req, err := http.NewRequestWithContext(
				t.Context(), http.MethodPost, all[(n+try)%len(all)]+"/api/v1/ingest/rasa?environment=production",
				bytes.NewReader(body),
			)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				time.Sleep(30 * time.Millisecond)
				continue
			}
			answer, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusAccepted:
				sent.Add(1)
				return nil
			case http.StatusServiceUnavailable, http.StatusTooManyRequests:
				time.Sleep(30 * time.Millisecond)
			default:
				return fmt.Errorf("%d: %s", resp.StatusCode, answer)
			}
		}
		return fmt.Errorf("part %d is never taken", n)
	}
	parts := slices.Collect(slices.Chunk(bytes.Split(bytes.TrimSpace(b), []byte("\n")), 40))
	// alone: older servers stumble when a new source's first two come at once
	if err := send(0, bytes.Join(parts[0], []byte("\n"))); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	for lane := range 2 {
		sending.Go(func() {
			for n := 1 + lane; n < len(parts); n += 2 {
				if err := send(n, bytes.Join(parts[n], []byte("\n"))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	looking, enough := context.WithCancel(t.Context())
	var pages sync.WaitGroup
	looks := 0
	pages.Go(func() {
		for looking.Err() == nil {
			for _, site := range *sites.Load() {
				resp, err := http.Get(site + "/login")
				if err != nil {
					continue // it was taken off the list just now
				}
				if looks++; resp.StatusCode != http.StatusOK {
					t.Errorf("%s answers %d", site, resp.StatusCode)
				}
				resp.Body.Close()
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	for sent.Load() < int64(len(parts))/4 {
		time.Sleep(5 * time.Millisecond)
	}
	newSite, newOut, stopNew := begin(os.Args[0], "TURNWISE_TEST_RUN_MAIN=1")
	sites.Store(&[]string{oldSite, newSite})
	at := sent.Load()
	for sent.Load() < min(at+int64(len(parts))/4, int64(len(parts))) && !t.Failed() {
		time.Sleep(5 * time.Millisecond)
	}
	sites.Store(&[]string{newSite})
	if err := stopOld(); err != nil {
		t.Errorf("the older server: %v\n%s", err, oldOut)
	}
	sending.Wait()
	enough()
	pages.Wait()
	if at == int64(len(parts)) || looks < 20 {
		t.Errorf("all %d parts were sent before both stood side by side, or nobody looked (%d)", at, looks)
	}
	if err := stopNew(); err != nil {
		t.Errorf("the newer server: %v\n%s", err, newOut)
	}
	for name, out := range map[string]string{"older": oldOut.String(), "newer": newOut.String()} {
		// An older server refuses, to be sent again, what belongs to a sender whose events a newer one told by ids of
		// another make. What it breaks off when it stops it takes for an error.
		failed := slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
			return strings.Contains(line, "level=ERROR") && (name == "newer" ||
				!strings.Contains(line, "a stored body has no event row") &&
					!strings.HasSuffix(line, `error="context canceled"`))
		})
		if strings.Contains(out, "panic") || failed {
			t.Errorf("the %s server says\n%s", name, out)
		}
	}
	// what the older one stored is told in the newer one's way
	if out, err := turnwise(t, "--database-url", url, "rebuild"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := dump(t, url); got != want {
		a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("the tables differ:\nwant %.300s\ngot  %.300s", a[i], b[i])
			}
		}
		t.Fatalf("%d and %d rows", len(a), len(b))
	}
}

// TestOutdated: a server that is older than the last change of its database's tables does not start, and one that runs
// ends; both say why.
func TestOutdated(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	why := "a newer version of Turnwise has changed the tables"
	listen, admin := freePort(t), freePort(t)
	cmd := exec.CommandContext(
		t.Context(), os.Args[0], "--database-url", url, "serve", "--listen", listen, "--admin-listen", admin,
	)
	cmd.Env = append(os.Environ(), "TURNWISE_TEST_RUN_MAIN=1")
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get("http://" + admin + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not start:\n%s", out)
		}
	}
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	if _, err := db.Exec(
		t.Context(),
		`create or replace function oldest_schema() returns integer language sql immutable as 'select 9999'`,
	); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), why) {
		t.Errorf("the running server ends with %v:\n%s", err, out)
	}
	for _, args := range [][]string{
		{"serve", "--listen", freePort(t), "--admin-listen", freePort(t)}, {"user", "list"},
	} {
		if out, err := turnwise(
			t, append([]string{"--database-url", url}, args...)...,
		); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	// What is older still does not tell which tables it knows.
	_, err = db.Exec(
		t.Context(), `insert into servers (id, version, started_at, alive_at) values ('old', 'old', now(), now())`,
	)
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("a server from before: %v", err)
	}
}
