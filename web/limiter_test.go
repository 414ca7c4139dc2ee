package web

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// TestStile holds that one who asks for much waits or is turned away, and that another gets a turn all the same.
func TestLimiter(t *testing.T) {
	t.Parallel()
	s := newLimiter(2, 3)
	var leaves []func()
	for range 2 {
		leave, err := s.enter(t.Context(), "greedy")
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	var waiting sync.WaitGroup
	got := make(chan string, 2)
	for _, who := range []string{"greedy", "other"} { // one more of each waits
		waiting.Go(func() {
			leave, err := s.enter(t.Context(), who)
			if err != nil {
				t.Error(who, err)
				return
			}
			got <- who
			leave()
		})
	}
	// until both stand there
	for held, deadline := 0, time.Now().Add(20*time.Second); held < 4; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d stand there", held)
		}
		s.mu.Lock()
		held = s.held["greedy"] + s.held["other"]
		s.mu.Unlock()
	}
	if _, err := s.enter(t.Context(), "greedy"); !errors.Is(err, errBusy) {
		t.Errorf("a fourth of one's: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.enter(ctx, "gone"); !errors.Is(err, context.Canceled) {
		t.Errorf("one who is gone: %v", err)
	}
	leaves[0]()
	leaves[1]()
	waiting.Wait()
	if len(got) != 2 || len(s.held) != 0 || len(s.seats) != 0 {
		t.Errorf("%d had their turn; held: %v, %d seats", len(got), s.held, len(s.seats))
	}
}
