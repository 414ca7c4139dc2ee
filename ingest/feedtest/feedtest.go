// Package feedtest stores events for tests, by the writer that stores all events.
package feedtest

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/ingest"
)

// Feed stores bodies as of a source, and returns the source and what became of them.
func Feed(t testing.TB, pool *pgxpool.Pool, of ingest.Source, bodies ...string) (ingest.Source, ingest.Counts) {
	t.Helper()
	w := ingest.NewWriter(pool, slog.New(slog.DiscardHandler))
	src, err := w.Open(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	counts, err := w.Run(context.Background(), src, ingest.Bodies(func() (ingest.Body, error) {
		if n++; n > len(bodies) {
			return ingest.Body{}, io.EOF
		}
		return ingest.Body{Bytes: []byte(bodies[n-1])}, nil
	}), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return src, counts
}
