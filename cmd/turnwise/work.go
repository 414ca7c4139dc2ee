package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"turnwise/ingest"
	"turnwise/jobs"
	"turnwise/queries"
)

// jobConnections is how many connections to the database the jobs use at most.
const jobConnections = 6

// stopJobs gives the jobs under way a while.
func stopJobs(ctx context.Context, log *slog.Logger, work *jobs.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := work.Stop(ctx); err != nil {
		log.WarnContext(ctx, "jobs were cut off; they are done again later", "error", err)
	}
}

type workCmd struct {
	AdminListen string `name:"admin-listen" env:"TURNWISE_ADMIN_LISTEN" default:"127.0.0.1:5755" help:"Address of /healthz, /readyz and /metrics (${default})."`
	URL         string `env:"TURNWISE_URL" default:"http://localhost:5754" help:"Address under which people reach the pages, for links in mails (${default})." placeholder:"URL"`

	reportFlags `embed:""`
}

// Run does the jobs until the context ends. Days are those of the zone that serve was started with.
func (w *workCmd) Run(c *cli) error {
	limitMemory(streamMemory)
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx))
	defer cancel()
	log := c.logger()
	pool, done, err := c.open(c.ctx, log, jobConnections)
	if err != nil {
		return err
	}
	defer done()
	name, err := queries.RollupZone(ctx, pool)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return fmt.Errorf("the workspace's time zone, %q, is not known here: %w", name, err)
	}
	ready := &readiness{pool: pool, streams: func() []ingest.Status { return nil }}
	servers, failed, err := listen(ctx, log, map[string]http.Handler{w.AdminListen: ready.handler(newRegistry(pool), c.Pprof)})
	if err != nil {
		return err
	}
	box, err := w.box(c)
	if err != nil {
		return err
	}
	sends, err := w.reports(box, pool, log, zone, strings.TrimSuffix(w.URL, "/"))
	if err != nil {
		return err
	}
	work, err := jobs.Start(ctx, jobs.Config{Pool: pool, Log: log, Version: version, Zone: zone, Reports: sends, Mask: ingest.NewWriter(pool, log).MaskStored})
	if err != nil {
		return err
	}
	defer stopJobs(ctx, log, work)
	fmt.Fprintf(c.stdout, "turnwise %s does the jobs; Ctrl-C stops\n", version)
	select {
	case <-c.ctx.Done():
	case err = <-failed:
	case <-c.gone:
		err = errors.New("the local PostgreSQL ended by itself; its log is in the data directory")
	}
	ready.stopping.Store(true)
	for _, server := range servers {
		_ = server.Close()
	}
	return err
}
