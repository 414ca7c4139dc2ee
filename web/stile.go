package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"turnwise/metric"
)

// stile bounds what is dear: so many are at it at once, the others wait their turn, and nobody has more than a few at it and waiting. So one who asks for
// much delays nobody else's pages.
type stile struct {
	seats chan struct{}
	each  int

	mu   sync.Mutex
	held map[string]int // by account
}

func newStile(seats, each int) *stile {
	return &stile{seats: make(chan struct{}, seats), each: each, held: map[string]int{}}
}

// errBusy says that somebody has as much under way as one may, or that the turn does not come.
var errBusy = errors.New("too much is asked for at once")

// turnWait is how long a request waits for its turn.
const turnWait = 30 * time.Second

// enter waits for the turn.
func (s *stile) enter(ctx context.Context, who string) (leave func(), err error) {
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
		return func() { <-s.seats; goes() }, nil
	case <-timer.C:
		err = errBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	goes()
	return nil, err
}

// stiles are those of the site.
type stiles struct{ documents, charts, rows *stile }

func newStiles() *stiles { return &stiles{newStile(2, 3), newStile(3, 4), newStile(6, 3)} }

// longRange is from how many days on charts are dear.
const longRange = 400

// dear returns the stile that a request must pass; nil: none.
func (s *server) dear(r *http.Request) *stile {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/documents/"), path == "/review/reports/file":
		return s.stiles.documents
	case path == "/rows":
		return s.stiles.rows
	case !charts[path]:
		return nil
	}
	f, err := metric.ParseFilter(r.URL.Query(), s.Zone)
	if err != nil {
		return nil // the page says so
	}
	if from, until := f.Range.Bounds(s.Now(), s.Zone); until.Sub(from) > longRange*24*time.Hour {
		return s.stiles.charts
	}
	return nil
}

// charts are pages that count over their range.
var charts = map[string]bool{"/overview": true, "/flows": true, "/flow": true, "/paths": true, "/funnel": true, "/latency": true, "/csat": true, "/intents": true, "/users": true, "/compare": true, "/turns": true, "/conversations/volume": true, "/conversations/total": true}
