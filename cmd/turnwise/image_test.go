package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"turnwise/ingest/brokertest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// image makes the file system that the Dockerfile describes in an empty folder, and returns how its programs are run:
// as its user, who may write nowhere.
func image(t *testing.T) (run func(env []string, args ...string) *exec.Cmd) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root may change the root directory")
	}
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp("/tmp", "turnwise-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Chmod(root, 0o755)
		os.RemoveAll(root)
	})
	_, stage, _ := strings.Cut(string(text), "FROM scratch")
	var env []string
	for line := range strings.Lines(stage) {
		words := strings.Fields(line)
		switch {
		case len(words) == 4 && words[0] == "COPY" && words[1] == "--from=build":
			to := filepath.Join(root, words[3])
			if strings.HasSuffix(words[3], "/") {
				to = filepath.Join(to, filepath.Base(words[2]))
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if words[2] == "/turnwise" {
				build := exec.CommandContext(
					t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, ".",
				)
				build.Env = append(os.Environ(), "CGO_ENABLED=0")
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				continue
			}
			b, err := os.ReadFile(words[2])
			if err != nil {
				t.Skip("SKIPPED: ", err)
			}
			if err := os.WriteFile(to, b, 0o644); err != nil {
				t.Fatal(err)
			}
		case len(words) > 1 && words[0] == "ENV":
			env = append(env, words[1:]...)
		}
	}
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
	return func(more []string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "/turnwise", args...)
		cmd.Env, cmd.Dir = append(env[:len(env):len(env)], more...), "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		cmd.Err = nil // the path was looked up outside
		return cmd
	}
}

// TestImage runs the server in the file system of its image, where nothing can be written: it serves, sends a report by
// HTTP and makes a file in the background.
func TestImage(t *testing.T) {
	t.Parallel()
	run := image(t)
	outside := dbtest.URL(t)
	database := outside
	at, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	if socket := at.Query().Get("host"); socket != "" { // out of reach in there
		proxy := brokertest.NewProxy(t, "127.0.0.1", "unix", filepath.Join(socket, ".s.PGSQL."+at.Query().Get("port")))
		q := at.Query()
		database = fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", q.Get("user"), proxy.Address, q.Get("dbname"))
	}
	listen := freePort(t)
	env := []string{
		"TURNWISE_DATABASE_URL=" + database, "TURNWISE_FIRST_ADMIN=" + adminEmail, "TURNWISE_LISTEN=" + listen,
		"TURNWISE_ADMIN_LISTEN=" + freePort(t), "TURNWISE_SECRET_KEY=a key for this test alone",
		"TURNWISE_ALLOW_INTERNAL=127.0.0.0/8", "TURNWISE_LOG_FORMAT=text",
	}
	if out, err := run(env, "demo", "--conversations", "2500").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server := run(env, "serve")
	out := new(output)
	server.Stdout, server.Stderr = out, out
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	until := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s\n%s", what, out)
			}
		}
	}
	until("it does not begin", func() bool { return strings.Contains(out.String(), "is ready") })
	_, after, _ := strings.Cut(out.String(), "with the password ")
	password := strings.Fields(after)[0]
	// A report by HTTP.
	var got bytes.Buffer
	uploaded := make(chan string, 9)
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		f, header, err := r.FormFile("uploads")
		if err != nil {
			uploaded <- err.Error()
			return
		}
		_, _ = io.Copy(&got, f)
		uploaded <- header.Filename
	}))
	t.Cleanup(target.Close)
	pool, err := queries.Open(t.Context(), outside, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	users, err := queries.Accounts(t.Context(), pool)
	if err != nil || len(users) != 1 {
		t.Fatal(users, err)
	}
	due := time.Now()
	x := queries.Schedule{
		ID: queries.NewID(), Name: "Upload", AccountID: users[0].ID, Page: "csat", Query: "range=28d",
		Formats: []string{"csv"}, Schedule: "monthly on 1 08:00", Zone: "UTC", Destination: "http", IfEmpty: "send",
		NextAt: &due, CreatedAt: due,
	}
	x.Target.URL = target.URL
	if err := queries.AddSchedule(t.Context(), pool, x); err != nil {
		t.Fatal(err)
	}
	until("no report arrives", func() bool { return len(uploaded) > 0 })
	if name := <-uploaded; !strings.HasSuffix(name, ".zip") && !strings.HasSuffix(name, ".csv") || got.Len() == 0 {
		t.Errorf("uploaded: %q, %d bytes", name, got.Len())
	}
	// A file that is made in the background.
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	post := func(path string, form url.Values) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(
			t.Context(), http.MethodPost, "http://"+listen+path, strings.NewReader(form.Encode()),
		)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if resp := post("/login", url.Values{
		"email": {adminEmail}, "password": {password},
	}); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in: %s", resp.Status)
	}
	resp := post("/exports", url.Values{"grain": {"message"}, "format": {"xlsx"}, "query": {"range=3650d"}})
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("export: %s", resp.Status)
	}
	var file []byte
	until("the file is not made", func() bool {
		req, err := http.NewRequestWithContext(
			t.Context(), http.MethodGet, "http://"+listen+resp.Header.Get("Location")+"/file", nil,
		)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		file, err = io.ReadAll(answer.Body)
		return err == nil && answer.StatusCode == 200
	})
	if !bytes.HasPrefix(file, []byte("PK")) {
		t.Errorf("the file begins with %.20q", file)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
