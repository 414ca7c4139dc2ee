package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/ingest"
	"turnwise/ingest/intake"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// jobConnections is how many connections to the database the jobs use at most.
const jobConnections = 6

// stopJobs gives the jobs under way a while.
func stopJobs(ctx context.Context, log *slog.Logger, work *jobs.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
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
	for {
		if err := w.work(ctx, c, pool, log); !errors.Is(err, errAgain) {
			return err
		}
		log.InfoContext(ctx, "the settings of the workspace changed: the jobs begin anew")
	}
}

// inForce is what the jobs go by.
type inForce struct {
	zone      string
	workspace queries.Workspace
}

func (w *workCmd) work(ctx context.Context, c *cli, pool *pgxpool.Pool, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	name, err := figures.RollupZone(ctx, pool)
	if err != nil {
		return err
	}
	workspace, zone, err := takeUp(ctx, pool, name) // serve decides in which zone days are counted
	if err != nil {
		return err
	}
	ready := &readiness{pool: pool, streams: func() []ingest.Status { return nil }}
	servers, failed, err := listen(ctx, log, map[string]http.Handler{
		w.AdminListen: ready.handler(newRegistry(pool), c.Pprof),
	})
	if err != nil {
		return err
	}
	box, err := w.box(c)
	if err != nil {
		return err
	}
	queue, err := w.queue()
	if err != nil {
		return err
	}
	sends, err := w.reports(box, pool, strings.TrimSuffix(w.URL, "/"))
	if err != nil {
		return err
	}
	work, err := jobs.Start(ctx, jobs.Config{
		Pool: pool, Log: log, Version: version, Zone: zone, Reports: sends, Queue: queue,
		Fold: intake.NewHistory(pool, ingest.NewWriter(pool, log), log).FoldStored,
	})
	if err != nil {
		return err
	}
	defer stopJobs(ctx, log, work)
	fmt.Fprintf(c.stdout, "turnwise %s does the jobs; Ctrl-C stops\n", version)
	select {
	case <-c.ctx.Done():
	case <-changed(ctx, inForce{name, workspace}, func(ctx context.Context) (now inForce, err error) {
		if now.zone, err = figures.RollupZone(ctx, pool); err == nil {
			now.workspace, err = queries.WorkspaceSettings(ctx, pool)
		}
		return now, err
	}):
		err = errAgain
	case err = <-failed:
	case err = <-work.Outdated():
	}
	ready.stopping.Store(true)
	for _, server := range servers {
		_ = server.Close()
	}
	return err
}
