package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/ingest/mapped"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

func TestMain(m *testing.M) {
	mapped.WorkIfAsked()
	if os.Getenv("TURNWISE_TEST_RUN_MAIN") != "" { // this binary as the program itself, for tests that kill it
		dieAt(os.Getenv("TURNWISE_TEST_FAILPOINT"))
		main()
		os.Exit(0)
	}
	dbtest.Main(m)
}

// output is a buffer that may be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// turnwise runs a command to its end and returns what it printed.
func turnwise(t testing.TB, args ...string) (string, error) {
	t.Helper()
	var out, errs output
	err := run(t.Context(), args, os.Getenv, &out, &errs)
	return out.String() + errs.String(), err
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// site is a running server.
type site struct {
	url, admin, password, database string
	out                            *output
}

const adminEmail = "admin@example.org"

// serve starts the server on a database of its own and stops it when the test ends.
func serve(t testing.TB, args ...string) site {
	t.Helper()
	s := site{database: dbtest.URL(t), out: new(output)}
	listen := freePort(t)
	s.admin = "http://" + freePort(t)
	s.url = "http://" + listen
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	all := append(
		[]string{
			"--database-url", s.database, "serve", "--listen", listen, "--admin-listen",
			strings.TrimPrefix(s.admin, "http://"), "--first-admin", adminEmail,
		},
		args...,
	)
	go func() { ended <- run(ctx, all, os.Getenv, s.out, s.out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve ended with %v", err)
		}
		discreet(t, s)
	})
	for deadline := time.Now().Add(60 * time.Second); ; {
		if _, after, ok := strings.Cut(s.out.String(), "with the password "); ok {
			s.password = strings.Fields(after)[0]
			return s
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("serve ended with %v:\n%s", err, s.out)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("serve does not start:\n%s", s.out)
		}
	}
}

// discreet tells whether what a server wrote holds nothing that anybody said, wrote or keeps secret.
func discreet(t testing.TB, s site) {
	t.Helper()
	pool, err := queries.Open(context.Background(), s.database, 1)
	if err != nil {
		t.Error(err)
		return
	}
	defer pool.Close()
	log := ""
	for line := range strings.Lines(s.out.String()) {
		if !strings.Contains(line, "with the password") { // the first admin's, said this once
			log += line
		}
	}
	rows, _ := pool.Query(context.Background(), `
		(select distinct left(text, 200) from messages where length(text) > 14 and text not like '%"%' limit 2000)
		union all (select distinct user_id from conversations where length(user_id) > 8 limit 500)
		union all (select text from notes where length(text) > 8 limit 200)
		union all (select email from accounts where email <> 'admin@example.org')
		union all (select password_hash from accounts where password_hash <> '')`)
	secrets, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Error(err)
	}
	for _, secret := range append(secrets, s.password) {
		if secret != "" && strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}
