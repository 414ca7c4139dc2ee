package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest"
)

// shortened is how much of a body is published that the topic does not take whole.
const shortened = 64 << 10

// DeadLetter publishes what was set aside, and returns when the brokers have it. nil when no topic is set.
func (c *Consumer) DeadLetter() func(ctx context.Context, rejected []ingest.Rejected) error {
	if c.cfg.DeadLetter == "" {
		return nil
	}
	return func(ctx context.Context, rejected []ingest.Rejected) error {
		client, err := c.publishes()
		if err != nil {
			return err
		}
		records := make([]*kgo.Record, len(rejected))
		for i, r := range rejected {
			records[i] = &kgo.Record{Topic: c.cfg.DeadLetter, Value: r.Body, Headers: []kgo.RecordHeader{
				{Key: "original_offset", Value: []byte(r.Position)},
				{Key: "reason", Value: []byte(r.Reason.Code)},
				{Key: "detail", Value: []byte(r.Reason.Detail)},
			}}
			if r.Environment != "" {
				records[i].Headers = append(records[i].Headers, kgo.RecordHeader{
					Key: HeaderEnvironment, Value: []byte(r.Environment),
				})
			}
		}
		for _, result := range client.ProduceSync(ctx, records...) {
			err := result.Err
			if r := result.Record; errors.Is(err, kerr.MessageTooLarge) && len(r.Value) > shortened {
				// It never fits, and must not hold up all that follows; the whole is kept in the database.
				short := &kgo.Record{
					Topic: r.Topic, Value: r.Value[:shortened],
					Headers: append(r.Headers, kgo.RecordHeader{
						Key: "shortened", Value: []byte(strconv.Itoa(len(r.Value))),
					}),
				}
				err = client.ProduceSync(ctx, short).FirstErr()
			}
			if err != nil {
				return fmt.Errorf("dead letters to topic %q: %w", c.cfg.DeadLetter, explain(err))
			}
		}
		return nil
	}
}

// publishes returns a client that writes. Batches may be as large as brokers can be set to take.
func (c *Consumer) publishes() (*kgo.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.producer == nil {
		opts, err := c.cfg.connection()
		if err != nil {
			return nil, err
		}
		client, err := kgo.NewClient(
			append(
				opts, kgo.ProducerBatchMaxBytes(64<<20), kgo.UnknownTopicRetries(3), kgo.AllowAutoTopicCreation(),
			)...,
		)
		if err != nil {
			return nil, err
		}
		c.producer = client
	}
	return c.producer, nil
}
