package ingest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"turnwise/conversation"
	"turnwise/ingest/rasa"
	"turnwise/queries/failpoint"
)

// Portion is a stretch of a stream that is acknowledged as a whole.
type Portion struct {
	Bodies      []string
	Position    func(i int) string // of a body at the source; nil: nobody knows
	Environment func(i int) string // of a body, "" where it does not say; nil: none says
	Assistant   func(i int) string // of a body that names none, "" where nothing is told; nil: nowhere
	Part        func(i int) int    // of the delivery to which a body belongs and within which the order means something; nil: all to one
	Redelivered int64              // bodies that the broker says it delivered before
	Empty       int64              // messages beside the bodies that hold nothing
	Stored      func()             // called once all is committed or set aside, and for no portion before those ahead of it; may be nil
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
		ends, told := make([]int, 0, portionBodies), make([]Body, 0, portionBodies)
		for text.Len() < portionBytes && len(ends) < portionBodies {
			body, err := next()
			if err != nil {
				end = err
				break
			}
			text.Write(body.Bytes)
			body.Bytes = nil
			ends, told = append(ends, text.Len()), append(told, body)
		}
		if len(ends) == 0 {
			return nil, end
		}
		p := &Portion{
			Bodies: make([]string, len(ends)), Position: func(i int) string { return told[i].Position }, Part: func(i int) int { return told[i].Part },
			Assistant: func(i int) string { return told[i].Assistant }, Environment: func(i int) string { return told[i].Environment },
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
	glance rasa.Glance         // of such a one
	place  int                 // as stored
	body   int                 // index
}

// item is an event on its way to a writer.
type item struct {
	event *conversation.Event
	chunk *chunk
}

// settler acknowledges chunks in their order.
type settler struct {
	mu     sync.Mutex
	chunks []*chunk
	space  *semaphore.Weighted
}

func (s *settler) add(c *chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks = append(s.chunks, c)
}

// done notes that n of the chunk's events are committed.
func (s *settler) done(c *chunk, n int64) {
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
