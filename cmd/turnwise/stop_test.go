package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPrivateServer holds what a server with a database of its own owes to who runs it: a second one on the same data
// refuses at once; when the database dies it is started again; and it stops though clients hold on to their downloads.
func TestPrivateServer(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "turnwise-private-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	listen, admin := freePort(t), freePort(t)
	server, out := program(t.Context(), "--data-dir", dir, "serve", "--listen", listen, "--admin-listen", admin)
	server.Env = append(server.Env, "TURNWISE_DATABASE_URL=")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	ready := func(want int) {
		t.Helper()
		for {
			resp, err := http.Get("http://" + admin + "/readyz")
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode == want {
					return
				}
			}
			select {
			case err := <-ended:
				t.Fatalf("it ended: %v\n%s", err, out)
			case <-t.Context().Done():
				t.Fatal(t.Context().Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	ready(200)
	second, said := program(
		t.Context(), "--data-dir", dir, "serve", "--listen", freePort(t), "--admin-listen", freePort(t),
	)
	second.Env = append(second.Env, "TURNWISE_DATABASE_URL=")
	if err := second.Run(); err == nil || !strings.Contains(
		said.String(), "another turnwise serve runs on the data directory",
	) {
		t.Errorf("a second server: %v\n%s", err, said)
	}
	// The database dies.
	pid, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(pid), "\n")
	n, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ready(503)
	ready(200)
	// Downloads of which nothing is read.
	cli := func(args ...string) string {
		t.Helper()
		cmd, out := program(t.Context(), append([]string{"--data-dir", dir}, args...)...)
		cmd.Env = append(cmd.Env, "TURNWISE_DATABASE_URL=")
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out.String()
	}
	cli("demo", "--conversations", "1900")
	words := strings.Fields(cli("token", "create", "reader", "--role", "analytics_admin"))
	secret := ""
	for _, w := range words {
		if strings.Contains(w, ".") && len(w) > 30 {
			secret = w
		}
	}
	for range 2 { // as many as one may have
		conn, err := net.DialTCP("tcp", nil, tcp(t, listen))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(
			conn,
			"GET /rows?grain=event&format=jsonl&range=3650d HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
			listen, secret,
		)
		status := make([]byte, len("HTTP/1.1 200"))
		if _, err := conn.Read(status); err != nil || string(status) != "HTTP/1.1 200" {
			t.Fatalf("%q, %v", status, err)
		}
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	case <-time.After(time.Minute): // the clients would hold on for ever
		_ = server.Process.Kill()
		t.Fatalf("it waits for its clients\n%s", out)
	}
	if !strings.Contains(out.String(), "requests were broken off") {
		t.Errorf("nothing was broken off:\n%s", out)
	}
}

func tcp(t *testing.T, address string) *net.TCPAddr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
