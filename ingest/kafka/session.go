package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"turnwise/ingest"
	"turnwise/queries"
)

// part names a partition.
type part struct {
	topic string
	n     int32
}

// session is a member of the group.
type session struct {
	client   *kgo.Client
	consumer *Consumer
	memory   ingest.Memory
	report   func(error)

	mu      sync.Mutex
	freed   *sync.Cond
	term    int64          // counts assignments
	owned   map[part]int64 // by the term in which it was assigned
	pending map[part]int   // records read and not yet stored
	numbers map[part]int   // of all partitions so far
	// incarnations of partitions that are not the ones read before; until something of them is stored
	anew    map[part]string
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
		var trouble, over error
		fetches.EachError(func(topic string, n int32, err error) {
			if errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID) {
				over = fmt.Errorf("topic %q was deleted, and perhaps made again: %w", topic, err)
			}
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
		if over != nil && fetches.NumRecords() == 0 {
			return nil, over // whoever opens the source again finds out
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
		return s.portion(fetches.Records()), nil //nolint:contextcheck // see keep
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

// portion makes one of records; tombstones, which say nothing, are counted and acknowledged, and so are the ends of
// transactions.
func (s *session) portion(records []*kgo.Record) *ingest.Portion {
	told := make([]place, 0, len(records))
	counts := map[part]int{}
	last := map[part]*kgo.Record{}
	p := &ingest.Portion{Bodies: make([]string, 0, len(records))}
	for _, r := range records {
		at := part{r.Topic, r.Partition}
		counts[at]++
		last[at] = r
		switch {
		case r.Attrs.IsControl():
		case r.Value == nil:
			p.Empty++
		default:
			told = append(told, place{at, r.Offset, environment(r)})
			p.Bodies = append(p.Bodies, string(r.Value))
		}
	}
	terms, numbers := s.await(counts, last)
	p.Position = func(i int) string {
		return fmt.Sprintf("%s/%d@%d", told[i].topic, told[i].n, told[i].offset)
	}
	p.Environment = func(i int) string { return told[i].environment }
	p.Part = func(i int) int { return numbers[told[i].part] }
	p.Stored = func() { s.stored(counts, terms, last) }
	return p
}

// await notes that records of partitions are on their way; it returns the terms in which they are ours, and numbers by
// which they are told apart.
func (s *session) await(counts map[part]int, last map[part]*kgo.Record) (terms map[part]int64, numbers map[part]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	terms, numbers = make(map[part]int64, len(counts)), make(map[part]int, len(counts))
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
	return terms, numbers
}

// stored marks records as those to commit.
func (s *session) stored(counts map[part]int, terms map[part]int64, last map[part]*kgo.Record) {
	s.mu.Lock()
	var marks []*kgo.Record
	known := map[part]string{}
	heads := map[string]map[int32]kgo.EpochOffset{} // of the same
	for at, n := range counts {
		if s.pending[at] -= n; s.pending[at] == 0 {
			delete(s.pending, at)
		}
		// A partition that went to another member is that one's to commit.
		if term := terms[at]; term != 0 && s.owned[at] == term {
			marks = append(marks, last[at])
			if id, ok := s.anew[at]; ok {
				known[at] = id
				delete(s.anew, at)
				if heads[at.topic] == nil {
					heads[at.topic] = map[int32]kgo.EpochOffset{}
				}
				heads[at.topic][at.n] = kgo.EpochOffset{Epoch: last[at].LeaderEpoch, Offset: last[at].Offset + 1}
			}
		}
	}
	s.client.MarkCommitRecords(marks...)
	s.mu.Unlock()
	s.freed.Broadcast()
	if len(known) > 0 {
		go s.keep(known, heads)
	}
}

// adjust looks, when partitions are assigned, whether the offsets to which they were read mean anything still: a topic
// that was deleted and made again, or that ends before, is read from its beginning.
func (s *session) adjust(
	ctx context.Context, offsets map[string]map[int32]kgo.Offset,
) (map[string]map[int32]kgo.Offset, error) {
	names := slices.Collect(maps.Keys(offsets))
	if len(names) == 0 {
		return offsets, nil
	}
	fresh, err := s.consumer.client(kgo.RetryTimeout(10 * time.Second)) // one that remembers nothing of the topics
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	now, err := topicsNow(ctx, kadm.NewClient(fresh), names)
	if err != nil {
		return nil, err
	}
	uncommitted, err := s.consumer.cfg.offset()
	if err != nil {
		return nil, err
	}
	before, err := s.memory.Incarnations(ctx)
	if err != nil {
		return nil, err
	}
	var found []error
	for topic, parts := range offsets {
		is := now.incarnation(topic)
		told := false
		for n, offset := range parts {
			at := part{topic, n}
			was := before[queries.Part{Stream: topic, Part: n}]
			read := offset.EpochOffset().Offset
			if offset == uncommitted { // where a group begins; it may be told as a time
				read = -1
			}
			if was != "" && is != "" && was != is {
				parts[n] = kgo.NewOffset().AtStart()
				if !told {
					found = append(
						found, fmt.Errorf("topic %q was deleted and made again: it is read from its beginning", topic),
					)
				}
				told = true
			} else if err := now.gone(at, read); err != nil {
				parts[n] = kgo.NewOffset().AtStart()
				found = append(found, err)
			}
			if err := s.meet(ctx, at, was, is); err != nil {
				return nil, err
			}
		}
	}
	if err := errors.Join(found...); err != nil {
		s.report(err) // to be seen as the last that went wrong
		s.report(nil)
	}
	return offsets, nil
}

// meet notes which incarnation of its topic a partition is of.
func (s *session) meet(ctx context.Context, at part, was, is string) error {
	s.mu.Lock()
	delete(s.anew, at)
	if is != "" && was != is {
		s.anew[at] = is
	}
	s.mu.Unlock()
	if is == "" || was != "" {
		return nil
	}
	// nothing is known of it that could be mistaken
	return s.memory.KeepIncarnation(ctx, queries.Part{Stream: at.topic, Part: at.n}, is)
}

// known is what the cluster says of topics.
type known struct {
	topics       kadm.TopicDetails
	starts, ends kadm.ListedOffsets
}

func topicsNow(ctx context.Context, admin *kadm.Client, names []string) (k known, err error) {
	if k.topics, err = admin.ListTopics(ctx, names...); err != nil {
		return k, explain(err)
	}
	var some *kadm.ShardErrors // of partitions without a leader nothing is known; the others are read
	if k.starts, err = admin.ListStartOffsets(ctx, names...); err != nil && !errors.As(err, &some) {
		return k, explain(err)
	}
	if k.ends, err = admin.ListEndOffsets(ctx, names...); err != nil && !errors.As(err, &some) {
		return k, explain(err)
	}
	return k, nil
}

// incarnation tells a topic from another of the same name, that was deleted; "" where the cluster does not.
func (k known) incarnation(topic string) string {
	if id := k.topics[topic].ID; id != (kadm.TopicID{}) {
		return id.String()
	}
	return ""
}

// gone says why reading cannot go on at an offset.
func (k known) gone(at part, read int64) error {
	start, knownStart := k.starts.Lookup(at.topic, at.n)
	end, knownEnd := k.ends.Lookup(at.topic, at.n)
	switch {
	case read < 0:
	case knownEnd && end.Err == nil && read > end.Offset:
		return fmt.Errorf(
			"partition %d of topic %q ends at offset %d, and had been read to %d: it is read from its beginning", at.n,
			at.topic, end.Offset, read,
		)
	case knownStart && start.Err == nil && read < start.Offset:
		return fmt.Errorf(
			"%d records of partition %d of topic %q were deleted before they were read: set a longer retention there",
			start.Offset-read, at.n, at.topic,
		)
	}
	return nil
}

// keep notes as which incarnation partitions are read, once these very offsets of that one are committed: until then
// those of the other are.
func (s *session) keep(known map[part]string, heads map[string]map[int32]kgo.EpochOffset) {
	ctx, cancel := context.WithTimeout(context.Background(), revokeWait)
	defer cancel()
	committed := map[part]bool{}
	s.client.CommitOffsetsSync(ctx, heads, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			return
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				committed[part{topic.Topic, p.Partition}] = p.ErrorCode == 0
			}
		}
	})
	for at, id := range known {
		if committed[at] && s.memory.KeepIncarnation(ctx, queries.Part{Stream: at.topic, Part: at.n}, id) == nil {
			continue
		}
		s.mu.Lock() // the next that is stored tries again
		s.anew[at] = id
		s.mu.Unlock()
	}
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
