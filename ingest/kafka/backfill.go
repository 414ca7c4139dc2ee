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
	var starts kadm.ListedOffsets
	if from.IsZero() {
		starts, err = admin.ListStartOffsets(ctx, topics.Names()...)
	} else {
		starts, err = admin.ListOffsetsAfterMilli(ctx, from.UnixMilli(), topics.Names()...)
	}
	if err != nil {
		return nil, 0, nil, explain(err)
	}
	ends, err := admin.ListEndOffsets(ctx, topics.Names()...)
	if err != nil {
		return nil, 0, nil, explain(err)
	}
	until := map[part]int64{}
	read := map[string]map[int32]kgo.Offset{}
	ends.Each(func(end kadm.ListedOffset) {
		start, ok := starts.Lookup(end.Topic, end.Partition)
		if !ok || start.Err != nil || end.Err != nil {
			err = fmt.Errorf("partition %d of topic %q cannot be read now", end.Partition, end.Topic)
			return
		}
		if start.Offset < end.Offset {
			until[part{end.Topic, end.Partition}] = end.Offset
			total += end.Offset - start.Offset
			if read[end.Topic] == nil {
				read[end.Topic] = map[int32]kgo.Offset{}
			}
			read[end.Topic][end.Partition] = kgo.NewOffset().At(start.Offset)
		}
	})
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
	s := &session{
		client: client, owned: map[part]int64{}, pending: map[part]int{}, live: map[net.Conn]bool{},
		report: func(error) {},
	}
	s.freed = sync.NewCond(&s.mu)
	quiet := 0 // polls without an answer
	feed = func(ctx context.Context) (*ingest.Portion, error) {
		for len(until) > 0 {
			// Compacted topics and transactions leave gaps before the end: silence there is the end too.
			poll, cancel := context.WithTimeout(ctx, 10*time.Second)
			fetches := client.PollRecords(poll, atOnce)
			silent := poll.Err() != nil
			cancel()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			var trouble error
			fetches.EachError(func(_ string, _ int32, err error) {
				if !errors.Is(err, context.DeadlineExceeded) {
					trouble = explain(err)
				}
			})
			if trouble != nil {
				return nil, trouble
			}
			var records []*kgo.Record
			fetches.EachRecord(func(r *kgo.Record) {
				at := part{r.Topic, r.Partition}
				end, ok := until[at]
				if ok && r.Offset < end {
					records = append(records, r)
				}
				if ok && r.Offset+1 >= end {
					delete(until, at)
				}
			})
			if len(records) > 0 {
				quiet = 0
				return s.portion(records), nil //nolint:contextcheck // see keep
			}
			if !silent {
				continue
			}
			quiet++
			now, err := admin.ListEndOffsets(ctx, topics.Names()...)
			if err != nil {
				return nil, explain(err)
			}
			for at := range until {
				if end, ok := now.Lookup(at.topic, at.n); !ok || end.Err != nil {
					return nil, fmt.Errorf("partition %d of topic %q cannot be read now", at.n, at.topic)
				}
			}
			if quiet >= 3 {
				return nil, io.EOF
			}
		}
		return nil, io.EOF
	}
	return feed, total, client.Close, nil
}
