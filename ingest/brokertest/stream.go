package brokertest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/ingest"
)

// Stream reads a source until the test or stop ends it.
func Stream(
	t testing.TB, pool *pgxpool.Pool, c ingest.Consumer, source ingest.Source, member string,
) (s *ingest.Stream, stop func()) {
	t.Helper()
	w := ingest.NewWriter(pool, slog.New(slog.DiscardHandler))
	s = ingest.NewStream(w, source, c, member, ingest.Options{Wait: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the stream ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// Until waits for a condition, which says what is missing.
func Until(t testing.TB, what func() string) {
	t.Helper()
	missing := ""
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if missing = what(); missing == "" {
			return
		}
	}
	t.Fatal(missing)
}

// Count returns the number that a query yields.
func Count(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) (n int) {
	t.Helper()
	if err := pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
