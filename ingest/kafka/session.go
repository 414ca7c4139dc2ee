package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest"
)

// part names a partition.
type part struct {
	topic string
	n     int32
}

// session is a member of the group.
type session struct {
	client *kgo.Client
	report func(error)

	mu      sync.Mutex
	freed   *sync.Cond
	term    int64          // counts assignments
	owned   map[part]int64 // by the term in which it was assigned
	pending map[part]int   // records read and not yet stored
	numbers map[part]int   // of all partitions so far
	live    map[net.Conn]bool
	lost    *time.Timer // a trouble was reported; it is over when this runs out, if not before
	closing bool
}

func each(parts map[string][]int32, do func(part)) {
	for topic, numbers := range parts {
		for _, n := range numbers {
			do(part{topic, n})
		}
	}
}

func (s *session) assigned(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.term++
	each(parts, func(p part) { s.owned[p] = s.term })
	s.mended()
}

// revoked lets records under way be stored and commits their offsets before another member reads on.
func (s *session) revoked(ctx context.Context, client *kgo.Client, parts map[string][]int32) {
	ctx, cancel := context.WithTimeout(ctx, revokeWait)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock() // so that it is not between its look and its wait
		defer s.mu.Unlock()
		s.freed.Broadcast()
	})()
	s.mu.Lock()
	open := func() (n int) {
		each(parts, func(p part) { n += s.pending[p] })
		return n
	}
	for open() > 0 && !s.closing && ctx.Err() == nil {
		s.freed.Wait()
	}
	closing := s.closing
	s.mu.Unlock()
	if !closing { // else it was done before
		committing, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeWait)
		defer cancel()
		if err := client.CommitMarkedOffsets(committing); err != nil {
			s.mu.Lock()
			s.trouble(fmt.Errorf("commit offsets: %w", explain(err)))
			s.mu.Unlock()
		}
	}
	s.gone(ctx, client, parts)
}

func (s *session) gone(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	each(parts, func(p part) { delete(s.owned, p) })
}

// OnBrokerConnect is told of each attempt to connect: while there is no connection at all, that is trouble.
func (s *session) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, conn net.Conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.live[conn] = true
		s.mended()
	case len(s.live) == 0 && !errors.Is(err, context.Canceled):
		s.trouble(fmt.Errorf("connect to %s:%d: %w", meta.Host, meta.Port, explain(err)))
	}
}

// OnBrokerDisconnect is told of the end of each connection.
func (s *session) OnBrokerDisconnect(_ kgo.BrokerMetadata, conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, conn)
}

// OnGroupManageError is told what put the member out of its group; the client joins again.
func (s *session) OnGroupManageError(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble(fmt.Errorf("consumer group: %w", explain(err)))
}

// Next returns the records that have arrived.
func (s *session) Next(ctx context.Context) (*ingest.Portion, error) {
	for {
		fetches := s.client.PollRecords(ctx, atOnce)
		if ctx.Err() != nil && fetches.NumRecords() == 0 {
			return nil, ctx.Err()
		}
		if fetches.IsClientClosed() {
			return nil, errors.New("the connection to the brokers was closed")
		}
		var trouble error
		fetches.EachError(func(topic string, n int32, err error) {
			var group *kgo.ErrGroupSession // told already, when it happened
			if !errors.Is(err, context.Canceled) && !errors.As(err, &group) {
				trouble = fmt.Errorf("read partition %d of topic %q: %w", n, topic, explain(err))
			}
		})
		if trouble != nil {
			s.mu.Lock()
			s.trouble(trouble)
			s.mu.Unlock()
		}
		if fetches.NumRecords() == 0 {
			if trouble != nil {
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
			continue
		}
		if trouble == nil {
			s.mu.Lock()
			s.mended()
			s.mu.Unlock()
		}
		return s.portion(fetches.Records()), nil
	}
}

// troubleFor is how long a trouble is shown that does not come again and of which no news follows.
const troubleFor = 45 * time.Second

// trouble reports; s.mu must be held.
func (s *session) trouble(err error) {
	if s.lost != nil {
		s.lost.Stop()
	}
	s.lost = time.AfterFunc(troubleFor, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.live) > 0 {
			s.mended()
		}
	})
	s.report(err)
}

// mended takes a trouble back; s.mu must be held.
func (s *session) mended() {
	if s.lost != nil {
		s.lost.Stop()
		s.lost = nil
		s.report(nil)
	}
}

// place is where a record stands. Records themselves are not kept: each keeps all that was fetched with it.
type place struct {
	part
	offset      int64
	environment string
}

// portion makes one of records; tombstones, which say nothing, are only acknowledged.
func (s *session) portion(records []*kgo.Record) *ingest.Portion {
	told := make([]place, 0, len(records))
	counts := map[part]int{}
	last := map[part]*kgo.Record{}
	p := &ingest.Portion{Bodies: make([]string, 0, len(records))}
	for _, r := range records {
		at := part{r.Topic, r.Partition}
		counts[at]++
		last[at] = r
		if len(r.Value) > 0 {
			told = append(told, place{at, r.Offset, environment(r)})
			p.Bodies = append(p.Bodies, string(r.Value))
		}
	}
	s.mu.Lock()
	terms, numbers := make(map[part]int64, len(counts)), make(map[part]int, len(counts))
	for at, n := range counts {
		s.pending[at] += n
		terms[at] = s.owned[at]
		if s.numbers == nil {
			s.numbers = map[part]int{}
		}
		if _, ok := s.numbers[at]; !ok {
			s.numbers[at] = len(s.numbers)
		}
		numbers[at] = s.numbers[at]
		r := last[at]
		last[at] = &kgo.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, LeaderEpoch: r.LeaderEpoch}
	}
	s.mu.Unlock()
	p.Position = func(i int) string {
		return fmt.Sprintf("%s/%d@%d", told[i].topic, told[i].n, told[i].offset)
	}
	p.Environment = func(i int) string { return told[i].environment }
	p.Part = func(i int) int { return numbers[told[i].part] }
	p.Stored = func() {
		s.mu.Lock()
		var marks []*kgo.Record
		for at, n := range counts {
			if s.pending[at] -= n; s.pending[at] == 0 {
				delete(s.pending, at)
			}
			// A partition that went to another member is that one's to commit.
			if term := terms[at]; term != 0 && s.owned[at] == term {
				marks = append(marks, last[at])
			}
		}
		s.client.MarkCommitRecords(marks...)
		s.mu.Unlock()
		s.freed.Broadcast()
	}
	return p
}

func environment(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == HeaderEnvironment {
			return string(h.Value)
		}
	}
	return ""
}

// Close commits the offsets of what is stored and leaves the group.
func (s *session) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true // nobody stores what is pending now
	if s.lost != nil {
		s.lost.Stop()
	}
	s.mu.Unlock()
	s.freed.Broadcast()
	err := s.client.CommitMarkedOffsets(ctx)
	left := make(chan struct{})
	go func() {
		s.client.CloseAllowingRebalance()
		close(left)
	}()
	select {
	case <-left:
	case <-ctx.Done(): // brokers that are away need not be told; they notice
	}
	if err != nil {
		return fmt.Errorf("commit offsets: %w", explain(err))
	}
	return nil
}
