// Package pull reads sources that do not send: it asks them for what is new.
package pull

import (
	"context"
	"errors"
	"time"

	"turnwise/ingest"
	"turnwise/queries"
)

const (
	held = 30 * time.Second // for which a process has a source for itself, and then anew
	beat = 10 * time.Second // after which it takes it anew
)

// lease is what a process has of a source that it alone may read.
type lease struct {
	memory  ingest.Memory
	part    queries.Part
	renewed time.Time
}

// take waits until no other process reads the source; it looks that often.
func (l *lease) take(ctx context.Context, every time.Duration) error {
	for {
		ok, err := l.memory.Hold(ctx, l.part, held)
		if err != nil {
			return err
		}
		if ok {
			l.renewed = time.Now()
			return nil
		}
		if err := rest(ctx, every); err != nil {
			return err
		}
	}
}

// renew goes on holding the source.
func (l *lease) renew(ctx context.Context) error {
	if time.Since(l.renewed) < beat {
		return nil
	}
	ok, err := l.memory.Hold(ctx, l.part, held)
	if err == nil && !ok {
		err = errors.New("another process has taken over the source")
	}
	l.renewed = time.Now()
	return err
}

// give leaves the source to others after something went wrong.
func (l *lease) give(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return errors.Join(err, l.memory.Leave(ctx, l.part))
}

func rest(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
