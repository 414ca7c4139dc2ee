package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/queries"
)

func (w *Writer) persevere(ctx context.Context, src Source, events []*conversation.Event, tries int) (Counts, error) {
	if len(events) == 1 {
		tries = manyTries
	}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		counts, err := w.try(ctx, src, events)
		w.stuck.Store(err != nil && kindOf(err) == ofDatabase)
		if err == nil {
			src.trouble(nil)
			counted := counts
			counted.Rejected = 0 // Reject counts them
			w.metrics.count(src.Name, counted)
			return counts, nil
		}
		if ctx.Err() != nil {
			return Counts{}, err
		}
		switch kind := kindOf(err); kind {
		case ofData:
			return w.bisect(ctx, src, events, err)
		case ofSetup:
			return Counts{}, err
		case ofDatabase:
		case doubtful:
			w.renew(err)
			if errors.Is(err, errSlow) && !w.answers(ctx) { // it was the database after all
				break
			}
			switch tries--; {
			case errors.Is(err, errSlow) && len(events) > 1:
				tries = 0
			case errors.Is(err, errSlow):
				tries -= manyTries / slowTries
			case !queries.Conflicting(err) && len(events) > 1: // of what is not known, the parts tell sooner
				tries -= fewTries / 2
			}
			if tries <= 0 {
				return w.bisect(ctx, src, events, err)
			}
			wait = min(wait, 50*time.Millisecond) // whoever was in the way is gone soon
		}
		src.trouble(err)
		w.metrics.failed(src.Name)
		w.log.WarnContext(ctx, "the database cannot take events, trying again", "error", err, "source", src.Name)
		if pause(ctx, wait) != nil {
			return Counts{}, err
		}
	}
}

// fault is what keeps a batch from being stored.
type fault int

// answers tells whether the database answers at all.
func (w *Writer) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return w.pool.Ping(ctx) == nil
}

func kindOf(err error) fault {
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, errUnfit), queries.BadData(err):
		return ofData
	case queries.Conflicting(err), errors.Is(err, errSlow):
		return doubtful
	case queries.Temporary(err), errors.Is(err, puddle.ErrClosedPool):
		return ofDatabase
	case errors.As(err, &pg) && (!queries.Internal(err) || queries.Damaged(err)):
		return ofSetup
	}
	return doubtful
}

// oneTry is how long a transaction may take before it is given up and begun anew: longer than any lock that
// somebody should hold.
const oneTry = 90 * time.Second

func (w *Writer) try(all context.Context, src Source, events []*conversation.Event) (counts Counts, err error) {
	ctx, cancel := context.WithTimeout(all, oneTry)
	defer cancel()
	defer func() {
		if r := recover(); r != nil { // a fault of ours must not stop what has nothing to do with it
			counts, err = Counts{}, fmt.Errorf("%w: %v at %s", errUnfit, r, debug.Stack())
		}
		if err != nil && ctx.Err() != nil && all.Err() == nil {
			err = fmt.Errorf("%w: %w", errSlow, err)
		}
	}()
	return w.store(ctx, src, events)
}

// pause waits about that long, or until ctx ends.
func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait/2 + rand.N(wait)):
		return nil
	}
}

// bisect parts a refused batch until the bad event stands alone: by halves, or by more where each try is long.
func (w *Writer) bisect(ctx context.Context, src Source, events []*conversation.Event, cause error) (Counts, error) {
	if len(events) == 1 {
		if kindOf(cause) == doubtful {
			if !w.answers(ctx) { // then it was the database after all
				return Counts{}, cause
			}
		}
		w.log.WarnContext(ctx, "an event could not be stored and was set aside", "source", src.Name, "error", cause)
		err := w.Reject(ctx, src, []Rejected{
			{
				Body: bodyOf(events[0]), Environment: events[0].Environment,
				Reason: wire.Reject{Code: "store", Detail: whyNot(cause), Offset: -1},
			},
		})
		return Counts{Rejected: 1}, err
	}
	var sum Counts
	parts := 2
	if errors.Is(cause, errSlow) {
		parts = 16
	}
	for part := range slices.Chunk(events, (len(events)+parts-1)/parts) {
		c, err := w.persevere(ctx, src, part, fewTries/2)
		if err != nil {
			return sum, err
		}
		sum.Add(c)
	}
	return sum, nil
}

// whyNot says why an event was set aside, in words that hold nothing of it.
func whyNot(cause error) string {
	var pg *pgconn.PgError
	switch {
	case errors.As(cause, &pg):
		return "the database refused it (error " + pg.Code + ")"
	case errors.Is(cause, errSlow):
		return "to store it took too long"
	}
	return "it could not be put together with what is stored of its sender"
}

// How often what cannot be told from a fault of the data is tried: fewTries times with all events together and half
// that often with a part of them, before they are parted; then manyTries times with each alone, before it is set aside.
// What is slow is parted at once, and tried alone slowTries times.
const (
	fewTries  = 6
	manyTries = 20
	slowTries = 3
)

const (
	ofDatabase fault = iota // it is away or busy: another try may go well
	ofSetup                 // of tables or rights: somebody must mend it, and no event is to blame
	ofData                  // of some event
	doubtful                // of some event if it does not go away
)

// errUnfit says that the program cannot make of events what is to be stored, errSlow that to store them takes longer
// than a try may.
var (
	errUnfit = errors.New("the events cannot be folded")
	errSlow  = errors.New("to store the events takes too long")
)
