package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
)

// TestQuieter: what River breaks off as it is told to stop is no error; what fails is one.
func TestQuieter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	stopping := new(atomic.Bool)
	log := slog.New(quieter{slog.NewTextHandler(&out, nil), stopping})
	log.Error("before", "error", context.Canceled.Error())
	stopping.Store(true)
	log.Error("begin", "error", context.Canceled.Error())
	log.Warn("begin", "error", fmt.Errorf("begin: %w", context.Canceled))
	log.Info("begun")
	log.Error("it failed", "error", errors.New("the disk is full"))
	if got := strings.Count(out.String(), "\n"); got != 2 || !strings.Contains(out.String(), "the disk is full") {
		t.Errorf("%d lines:\n%s", got, out.String())
	}
}
