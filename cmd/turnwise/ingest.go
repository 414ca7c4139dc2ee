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
			"there is nothing to read: name a broker, such as --kafka-brokers or --rabbitmq-urls, a store by " +
				"--rasa-sql, or --sources",
		)
	}
	return c.consume(sources, i.AdminListen)
}

// followCmd reads a tracker store alone.
type followCmd struct {
	AdminListen string `name:"admin-listen" env:"TURNWISE_ADMIN_LISTEN" default:"127.0.0.1:5755" help:"Address of /healthz, /readyz and /metrics (${default})."`

	Assistant       string `default:"default" help:"Assistant of events that name none (${default})."`
	AssistantAlways bool   `help:"All events belong to that assistant, whichever they name."`
	Environment     string `help:"Environment of the events, such as production."`
	Every           string `default:"5s" help:"How long to wait before it is asked again (${default})." placeholder:"TIME"`

	storeFlags `embed:""`
}

// Run reads the store until the context ends.
func (f *followCmd) Run(c *cli) error {
	store, err := f.store()
	if err != nil {
		return err
	}
	if store == nil {
		return errors.New("there is nothing to follow: name the tracker store by --rasa-sql postgres://…")
	}
	store.Every = f.Every
	sources := []sourceConfig{{
		Name: "rasa-sql", Assistant: f.Assistant, Always: f.AssistantAlways, Environment: f.Environment, RasaSQL: store,
	}}
	if err := checkSources(sources); err != nil {
		return err
	}
	limitMemory(streamMemory)
	return c.consume(sources, f.AdminListen)
}

// consume reads the sources until the context ends.
func (c *cli) consume(sources []sourceConfig, adminListen string) error {
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
	servers, failed, err := listen(ctx, log, map[string]http.Handler{adminListen: ready.handler(registry, c.Pprof)})
	if err != nil {
		return err
	}
	names := make([]string, len(sources))
	for n, s := range sources {
		names[n] = s.Name
	}
	fmt.Fprintf(
		c.stdout, "Turnwise %s reads %s; how that goes: http://%s/readyz\n", version, strings.Join(names, ", "), adminListen,
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
