package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"turnwise/ingest"
)

type ingestCmd struct {
	AdminListen string `name:"admin-listen" env:"TURNWISE_ADMIN_LISTEN" default:"127.0.0.1:5755" help:"Address of /healthz, /readyz and /metrics (${default})."`

	streamFlags `embed:""`
}

// Run reads the brokers until the context ends: serve does so too, this does nothing else.
func (i *ingestCmd) Run(c *cli) error {
	sources, err := i.configured(c.getenv)
	if err != nil {
		return err
	}
	limitMemory(streamMemory)
	if len(sources) == 0 {
		return errors.New(
			"there is nothing to read: name a broker, such as --kafka-brokers or --rabbitmq-urls, or --sources",
		)
	}
	// The database must outlive the batches that are finished after the signal.
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx))
	defer cancel()
	log := c.logger()
	pool, done, err := c.open(c.ctx, log, 2+connections(sources))
	if err != nil {
		return err
	}
	defer done()
	writer := ingest.NewWriter(pool, log)
	registry := newRegistry(pool)
	writer.Measure(ingest.NewMetrics(registry))
	reading := startStreams(ctx, writer, sources, log)
	defer reading.wait()
	ready := &readiness{pool: pool, streams: reading.statuses}
	ready.begun.Store(true)
	servers, failed, err := listen(ctx, log, map[string]http.Handler{i.AdminListen: ready.handler(registry, c.Pprof)})
	if err != nil {
		return err
	}
	names := make([]string, len(sources))
	for n, s := range sources {
		names[n] = s.Name
	}
	fmt.Fprintf(
		c.stdout, "Turnwise %s reads %s; how that goes: http://%s/readyz\n", version, strings.Join(names, ", "),
		i.AdminListen,
	)
	select {
	case <-c.ctx.Done():
	case err = <-failed:
	case err = <-reading.failed:
	}
	ready.stopping.Store(true)
	log.InfoContext(ctx, "stopping")
	reading.wait()
	stopServers(ctx, log, servers)
	return err
}
