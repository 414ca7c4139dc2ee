package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest"
)

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
				records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: HeaderEnvironment, Value: []byte(r.Environment)})
			}
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return fmt.Errorf("dead letters to topic %q: %w", c.cfg.DeadLetter, explain(err))
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
		client, err := kgo.NewClient(append(opts, kgo.ProducerBatchMaxBytes(64<<20), kgo.UnknownTopicRetries(3), kgo.AllowAutoTopicCreation())...)
		if err != nil {
			return nil, err
		}
		c.producer = client
	}
	return c.producer, nil
}
