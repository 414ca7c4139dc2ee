package jobs

import (
	"log/slog"
	"testing"
	"time"

	"turnwise/queries/dbtest"
)

// TestPeriodics: somebody does each job that is due again and again.
func TestPeriodics(t *testing.T) {
	t.Parallel()
	c, err := Start(t.Context(), Config{Pool: dbtest.Pool(t), Log: slog.New(slog.DiscardHandler), Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(t.Context()); err != nil {
			t.Log(err) // the context of the test has ended
		}
	})
	for _, p := range Periodics {
		if _, err := c.client.Insert(t.Context(), p.args, nil); err != nil {
			t.Errorf("%s: %v", p.Kind, err)
		}
	}
}
