package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"turnwise/ingest"
	"turnwise/ingest/kafka"
)

type backfillCmd struct {
	Source string `arg:"" optional:"" help:"Name of the Kafka source to read; may be left out when there is but one."`
	Since  string `help:"Read from this time on, such as 2026-11-01T00:00:00Z; default: from the beginning." placeholder:"TIME"`

	streamFlags `embed:""`
}

// Run reads a topic from the past to now, beside live traffic: what is stored already is only counted.
func (b *backfillCmd) Run(c *cli) error {
	sources, err := b.configured(c.getenv)
	if err != nil {
		return err
	}
	var from time.Time
	if b.Since != "" {
		if from, err = time.Parse(time.RFC3339, b.Since); err != nil {
			return fmt.Errorf("--since: %q is no time such as 2026-11-01T00:00:00Z", b.Since)
		}
	}
	chosen, err := b.chosen(sources)
	if err != nil {
		return err
	}
	log := c.logger()
	pool, done, err := c.open(c.ctx, log, 8)
	if err != nil {
		return err
	}
	defer done()
	consumer := kafka.New(*chosen.Kafka)
	defer consumer.Close()
	asking, cancel := context.WithTimeout(c.ctx, 30*time.Second)
	defer cancel()
	feed, total, end, err := consumer.Backfill(asking, from)
	if err != nil {
		return err
	}
	defer end()
	w := ingest.NewWriter(pool, log)
	format, _ := ingest.FormatNamed(chosen.Format) // it was checked
	src, err := w.Open(c.ctx, ingest.Source{
		Name: chosen.Name, Kind: "kafka", Format: format, Assistant: chosen.Assistant, Always: chosen.Always,
		Environment: chosen.Environment, DeadLetter: consumer.DeadLetter(),
	})
	if err != nil {
		return err
	}
	t := newTally(c, "back-filling")
	t.total.Store(total)
	_, err = w.Run(c.ctx, src, feed, ingest.Options{
		Writers: chosen.Writers, Batch: chosen.Batch, Wait: bulkWait, Done: t.add,
	})
	t.finish(c.ctx, pool)
	if err != nil {
		return fmt.Errorf("stopped; back-filling again is safe: %w", err)
	}
	return nil
}

// chosen is the source that is read.
func (b *backfillCmd) chosen(sources []sourceConfig) (chosen *sourceConfig, err error) {
	for i := range sources {
		if sources[i].Kafka != nil && (b.Source == "" || sources[i].Name == b.Source) {
			if chosen != nil {
				return nil, errors.New("there are several Kafka sources; name the one to read")
			}
			chosen = &sources[i]
		}
	}
	if chosen == nil {
		return nil, errors.New(
			"there is no such Kafka source: name it by flags or in the file of --sources; RabbitMQ keeps no " +
				"past to read",
		)
	}
	return chosen, nil
}
