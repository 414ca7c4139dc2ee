package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest"
)

// Backfill reads the topics from a time on, zero for their beginning, to what is their end now. It is no
// member of the group and moves no offset of it, so it may run beside live traffic. total counts the offsets
// to pass. close must be called in the end.
func (c *Consumer) Backfill(
	ctx context.Context, from time.Time,
) (feed ingest.Feed, total int64, close func(), err error) {
	topics, err := c.topics(ctx)
	if err != nil {
		return nil, 0, nil, err
	}
	if len(topics) == 0 {
		return nil, 0, nil, errors.New("no such topic")
	}
	admin, err := c.asks()
	if err != nil {
		return nil, 0, nil, err
	}
	b := &backfill{admin: admin, topics: topics.Names(), until: map[part]int64{}}
	read, total, err := b.plan(ctx, from)
	if err != nil {
		return nil, 0, nil, err
	}
	opts, err := c.cfg.connection()
	if err != nil {
		return nil, 0, nil, err
	}
	client, err := kgo.NewClient(
		append(
			opts, kgo.ConsumePartitions(read), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
			kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(partBytes),
		)...,
	)
	if err != nil {
		return nil, 0, nil, explain(err)
	}
	b.session = &session{
		client: client, owned: map[part]int64{}, pending: map[part]int{}, live: map[net.Conn]bool{},
		report: func(error) {},
	}
	b.session.freed = sync.NewCond(&b.session.mu)
	return b.next, total, client.Close, nil
}

// backfill reads topics up to where they ended when it began.
type backfill struct {
	session *session
	admin   *kadm.Client
	topics  []string
	until   map[part]int64 // the offsets that are still to be reached
	quiet   int            // polls without an answer
}

// plan looks up from where to where partitions are read, and how many records that are.
func (b *backfill) plan(
	ctx context.Context, from time.Time,
) (read map[string]map[int32]kgo.Offset, total int64, err error) {
	var starts kadm.ListedOffsets
	if from.IsZero() {
		starts, err = b.admin.ListStartOffsets(ctx, b.topics...)
	} else {
		starts, err = b.admin.ListOffsetsAfterMilli(ctx, from.UnixMilli(), b.topics...)
	}
	if err != nil {
		return nil, 0, explain(err)
	}
	ends, err := b.admin.ListEndOffsets(ctx, b.topics...)
	if err != nil {
		return nil, 0, explain(err)
	}
	read = map[string]map[int32]kgo.Offset{}
	ends.Each(func(end kadm.ListedOffset) {
		start, ok := starts.Lookup(end.Topic, end.Partition)
		if !ok || start.Err != nil || end.Err != nil {
			err = fmt.Errorf("partition %d of topic %q cannot be read now", end.Partition, end.Topic)
			return
		}
		if start.Offset < end.Offset {
			b.until[part{end.Topic, end.Partition}] = end.Offset
			total += end.Offset - start.Offset
			if read[end.Topic] == nil {
				read[end.Topic] = map[int32]kgo.Offset{}
			}
			read[end.Topic][end.Partition] = kgo.NewOffset().At(start.Offset)
		}
	})
	return read, total, err
}

// next is the feed: the next portion, or io.EOF.
func (b *backfill) next(ctx context.Context) (*ingest.Portion, error) {
	for len(b.until) > 0 {
		records, silent, err := b.poll(ctx)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 {
			b.quiet = 0
			return b.session.portion(records), nil //nolint:contextcheck // see keep
		}
		if !silent {
			continue
		}
		b.quiet++
		now, err := b.admin.ListEndOffsets(ctx, b.topics...)
		if err != nil {
			return nil, explain(err)
		}
		for at := range b.until {
			if end, ok := now.Lookup(at.topic, at.n); !ok || end.Err != nil {
				return nil, fmt.Errorf("partition %d of topic %q cannot be read now", at.n, at.topic)
			}
		}
		if b.quiet >= 3 {
			return nil, io.EOF
		}
	}
	return nil, io.EOF
}

// poll asks for records once. Compacted topics and transactions leave gaps before the end: silence there is the end
// too.
func (b *backfill) poll(ctx context.Context) (records []*kgo.Record, silent bool, err error) {
	poll, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fetches := b.session.client.PollRecords(poll, atOnce)
	silent = poll.Err() != nil
	if ctx.Err() != nil {
		return nil, silent, ctx.Err()
	}
	fetches.EachError(func(_ string, _ int32, e error) {
		if !errors.Is(e, context.DeadlineExceeded) {
			err = explain(e)
		}
	})
	if err != nil {
		return nil, silent, err
	}
	fetches.EachRecord(func(r *kgo.Record) {
		at := part{r.Topic, r.Partition}
		end, ok := b.until[at]
		if ok && r.Offset < end {
			records = append(records, r)
		}
		if ok && r.Offset+1 >= end {
			delete(b.until, at)
		}
	})
	return records, silent, nil
}
