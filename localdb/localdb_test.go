package localdb

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	if _, err := Start(t.Context(), Config{Dir: d, Throwaway: true}); err == nil || !strings.Contains(err.Error(), "not PostgreSQL's") {
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
