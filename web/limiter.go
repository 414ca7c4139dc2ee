package web

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"time"

	"turnwise/dashboard"
	"turnwise/metric"
)

// limiter bounds what is dear: so many are at it at once, the others wait their turn, and nobody has more than a few at
// it and waiting. So one who asks for much delays nobody else's pages.
type limiter struct {
	seats chan struct{}
	each  int
	rests bool // a seat stays free for half as long as it was taken, so that others get on with what they do

	mu   sync.Mutex
	held map[string]int // by account
}

func newLimiter(seats, each int) *limiter {
	return &limiter{seats: make(chan struct{}, seats), each: each, held: map[string]int{}}
}

// errBusy says that somebody has as much under way as one may, or that the turn does not come.
var errBusy = errors.New("too much is asked for at once")

// turnWait is how long a request waits for its turn, beside the time that it may take then.
const turnWait = 30 * time.Second

// longestRest bounds how long a seat stays free.
const longestRest = 2 * time.Second

// leaving frees a seat when the answer is there: how long its reader takes for it is nobody else's matter.
type leaving struct {
	http.ResponseWriter
	leave func()
}

// WriteHeader frees the seat.
func (l *leaving) WriteHeader(status int) {
	l.leave()
	l.ResponseWriter.WriteHeader(status)
}

// Write frees the seat.
func (l *leaving) Write(p []byte) (int, error) {
	l.leave()
	return l.ResponseWriter.Write(p)
}

// Unwrap lets controllers reach what is beneath.
func (l *leaving) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// steady writes in pieces, each of which must be taken within a while: who reads nothing holds what the answer holds no
// longer.
type steady struct{ http.ResponseWriter }

const (
	steadyPiece = 64 << 10
	steadyWait  = 30 * time.Second
)

// Write writes.
func (s *steady) Write(p []byte) (n int, err error) {
	control := http.NewResponseController(s.ResponseWriter)
	for {
		if err := control.SetWriteDeadline(time.Now().Add(steadyWait)); err != nil &&
			!errors.Is(err, http.ErrNotSupported) {
			return n, err
		}
		piece := p[n:min(n+steadyPiece, len(p))]
		m, err := s.ResponseWriter.Write(piece)
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// Unwrap lets controllers reach what is beneath.
func (s *steady) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// enter waits for the turn.
func (s *limiter) enter(ctx context.Context, who string) (leave func(), err error) {
	s.mu.Lock()
	if s.held[who] >= s.each {
		s.mu.Unlock()
		return nil, errBusy
	}
	s.held[who]++
	s.mu.Unlock()
	goes := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held[who]--; s.held[who] == 0 {
			delete(s.held, who)
		}
	}
	timer := time.NewTimer(turnWait)
	defer timer.Stop()
	select {
	case s.seats <- struct{}{}:
		begun := time.Now()
		return sync.OnceFunc(func() {
			goes()
			if rest := min(time.Since(begun)/2, longestRest); s.rests {
				time.AfterFunc(rest, func() { <-s.seats })
				return
			}
			<-s.seats
		}), nil
	case <-timer.C:
		err = errBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	goes()
	return nil, err
}

// limiters are those of the site: one of what is reckoned and drawn, which takes a processor each, and one of rows that
// are streamed.
type limiters struct{ drawn, rows *limiter }

func newLimiters() *limiters {
	s := &limiters{newLimiter(max(1, runtime.NumCPU()/2), 3), newLimiter(6, 2)}
	s.drawn.rests = true
	return s
}

// dear returns the limiter that a request must pass; nil: none.
func (s *server) dear(c cost, r *http.Request) *limiter {
	switch c {
	case drawing:
		return s.limiters.drawn
	case table:
		return s.limiters.rows
	case page, sweep, file:
	case chart:
		f, err := metric.ParseFilter(r.URL.Query(), s.Zone)
		if err != nil {
			return nil // the page says so
		}
		if from, until := f.Range.Bounds(s.Now(), s.Zone); until.Sub(from) > dashboard.LongRange*24*time.Hour {
			return s.limiters.drawn
		}
	}
	return nil
}
