package ingest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/queries/failpoint"
)

// Portion is a stretch of a stream that is acknowledged as a whole.
type Portion struct {
	Bodies      []string
	Position    func(i int) string // of a body at the source; nil: nobody knows
	Environment func(i int) string // of a body, "" where it does not say; nil: none says
	Assistant   func(i int) string // of a body that names none, "" where nothing is told; nil: nowhere
	// of the delivery to which a body belongs and within which the order means something; nil: all to one
	Part        func(i int) int
	Redelivered int64 // bodies that the broker says it delivered before
	Empty       int64 // messages beside the bodies that hold nothing
	// called once all is committed or set aside, and for no portion before those ahead of it; may be nil
	Stored func()
}

// Feed returns the next portion of a stream, io.EOF at its end. It may block until ctx ends.
type Feed func(ctx context.Context) (*Portion, error)

// Bounds of a portion that Bodies makes.
const (
	portionBytes  = 512 << 10
	portionBodies = 1000
)

// Body is one event on its way in, and where it was found.
type Body struct {
	Bytes    []byte
	Position string
	Part     int // see Portion

	Assistant, Environment string // of this one event, where the source tells them beside it
}

// Bodies gathers what next returns, until io.EOF, into portions. A body need only be valid until the next call.
func Bodies(next func() (Body, error)) Feed {
	var end error
	return func(context.Context) (*Portion, error) {
		if end != nil {
			return nil, end
		}
		var text strings.Builder // that the bodies are parts of
		text.Grow(portionBytes + portionBytes/8)
		ends, positions, parts := make([]int, 0, portionBodies), make([]string, 0, portionBodies),
			make([]int32, 0, portionBodies)
		var beside map[int][2]string // assistant and environment of the few that tell them
		for text.Len() < portionBytes && len(ends) < portionBodies {
			body, err := next()
			if err != nil {
				end = err
				break
			}
			if body.Assistant != "" || body.Environment != "" {
				if beside == nil {
					beside = map[int][2]string{}
				}
				beside[len(ends)] = [2]string{body.Assistant, body.Environment}
			}
			text.Write(body.Bytes)
			ends, positions, parts = append(ends, text.Len()), append(positions, body.Position),
				append(parts, int32(body.Part))
		}
		if len(ends) == 0 {
			return nil, end
		}
		p := &Portion{
			Bodies: make([]string, len(ends)), Position: func(i int) string { return positions[i] },
			Part: func(i int) int { return int(parts[i]) },
		}
		if beside != nil {
			p.Assistant, p.Environment = func(i int) string { return beside[i][0] }, func(i int) string { return beside[i][1] }
		}
		from := 0
		for i, end := range ends {
			p.Bodies[i] = text.String()[from:end]
			from = end
		}
		return p, nil
	}
}

// inFlight bounds the bytes that are read and not yet committed. A portion that is larger goes alone.
const inFlight = 48 << 20

// chunk is a portion on its way through the pipeline.
type chunk struct {
	*Portion
	size     int64
	entries  []entry // those that are events, in their order
	rejected []Rejected
	ready    chan struct{}
	open     atomic.Int64 // events that wait to be committed, and one until all are on their way
}

// entry is a body that was read, or found among the stored by a first look.
type entry struct {
	event  *conversation.Event // nil: known by a first look
	glance *wire.Glance        // of such a one
	place  int32               // as stored
	body   int32               // index
}

// item is an event on its way to a writer.
type item struct {
	event *conversation.Event
	chunk *chunk
}

// settler acknowledges chunks in their order.
type acker struct {
	mu     sync.Mutex
	chunks []*chunk
	space  *semaphore.Weighted
}

func (s *acker) add(c *chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks = append(s.chunks, c)
}

// done notes that n of the chunk's events are committed.
func (s *acker) done(c *chunk, n int64) {
	if c.open.Add(-n) > 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.chunks) > 0 && s.chunks[0].open.Load() == 0 {
		c := s.chunks[0]
		s.chunks = s.chunks[1:]
		s.space.Release(c.size)
		if c.Stored != nil {
			c.Stored()
			failpoint.At(failpoint.Acknowledged)
		}
	}
}
