// Package jobs does what Turnwise does by itself, in the background: River's workers and their schedule. Any number of
// processes may run it; each job is done once.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"turnwise/conversation"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// Config is what the jobs need from outside.
type Config struct {
	Pool *pgxpool.Pool
	Log  *slog.Logger
	Zone *time.Location // of the workspace
	Now  func() time.Time
	// Version is that of the program, for people.
	Version string

	Reports Reports
	Queue   *JobQueue // by which others ask for exports; nil: none
	// Fold folds what is stored again, as a run says.
	Fold func(ctx context.Context, run conversation.UUID) error
}

// Client runs jobs.
type Client struct {
	client *river.Client[pgx.Tx]
	server *server
	leave  context.CancelFunc

	reading  sync.WaitGroup // the queue of jobs
	unread   func()         // ends that
	stopping *atomic.Bool
}

// Outdated yields queries.ErrOutdated once a newer version has changed the tables: the process must end.
func (c *Client) Outdated() <-chan error { return c.server.outdated }

// waiting are the states of a job that is still to be done: one more of the same kind adds nothing.
var waiting = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning,
	rivertype.JobStateScheduled,
}

// longQueue is for what people ask for and takes long, so that it never stands in the way of the rest; allQueues is
// River's word for both. reportQueue is for reports, of which many may wait for servers that do not answer.
const (
	longQueue   = "long"
	reportQueue = "reports"
	// webhookQueue is for webhooks, of which some may wait for addresses that do not answer.
	webhookQueue = "webhooks"
	allQueues    = "*"
)

// rollUpEvery is how often marked hours are looked for. Pages count what is not rolled up yet from the
// conversations, so it bounds work, not how old figures are.
const rollUpEvery = 5 * time.Second

// Start begins to work.
func Start(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &RollUpWorker{
		counter: counter{pool: cfg.Pool, grid: figures.NewGrid(cfg.Zone), rest: dayRests, now: cfg.Now},
	})
	river.AddWorker(workers, &IndexTextsWorker{pool: cfg.Pool, log: cfg.Log})
	river.AddWorker(workers, &DrawWorker{pool: cfg.Pool, zone: cfg.Zone, now: cfg.Now})
	river.AddWorker(workers, &BulkWorker{pool: cfg.Pool, now: cfg.Now})
	river.AddWorker(workers, &ExportWorker{pool: cfg.Pool, zone: cfg.Zone, now: cfg.Now})
	river.AddWorker(workers, &WatchExportsWorker{pool: cfg.Pool, now: cfg.Now})
	river.AddWorker(workers, &RetentionWorker{pool: cfg.Pool, zone: cfg.Zone, log: cfg.Log, now: cfg.Now})
	river.AddWorker(workers, &ReportDueWorker{pool: cfg.Pool, now: cfg.Now})
	river.AddWorker(workers, &ReportWorker{
		Reports: cfg.Reports, pool: cfg.Pool, zone: cfg.Zone, log: cfg.Log, now: cfg.Now,
	})
	river.AddWorker(workers, &AnalyticsReportWorker{pool: cfg.Reports.Pages, site: cfg.Reports.URL, now: cfg.Now})
	river.AddWorker(workers, &WebhooksWorker{pool: cfg.Pool, site: cfg.Reports.URL, zone: cfg.Zone, now: cfg.Now})
	river.AddWorker(workers, &WebhookWorker{Reports: cfg.Reports, pool: cfg.Pool, log: cfg.Log, now: cfg.Now})
	river.AddWorker(workers, &FoldWorker{pool: cfg.Pool, stored: cfg.Fold, now: cfg.Now})
	stopping := new(atomic.Bool)
	client, err := river.NewClient(riverpgxv5.New(cfg.Pool), &river.Config{
		Logger: slog.New(quieter{cfg.Log.Handler(), stopping}),
		Queues: map[string]river.QueueConfig{
			river.QueueDefault: {MaxWorkers: 4}, longQueue: {MaxWorkers: 2}, reportQueue: {MaxWorkers: 16},
			webhookQueue: {MaxWorkers: 16},
		},
		Workers:                     workers,
		CompletedJobRetentionPeriod: time.Hour,
		DiscardedJobRetentionPeriod: 24 * time.Hour,
		RescueStuckJobsAfter:        rollUpTimeout + time.Minute,
		PeriodicJobs:                schedule(),
	})
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	s := &server{id: client.ID(), version: cfg.Version, pool: cfg.Pool, log: cfg.Log, outdated: make(chan error, 1)}
	if err := queries.Heartbeat(ctx, cfg.Pool, s.id, s.version); err != nil {
		return nil, fmt.Errorf("start jobs: %w", err)
	}
	if err := client.Start(ctx); err != nil {
		return nil, fmt.Errorf("start jobs: %w", err)
	}
	ctx, leave := context.WithCancel(ctx)
	go s.live(ctx)
	c := &Client{client: client, server: s, leave: leave, stopping: stopping, unread: func() {}}
	if cfg.Queue != nil {
		reading, stop := context.WithCancel(ctx)
		c.unread = stop
		c.reading.Go(func() { cfg.Queue.work(reading, cfg) })
	}
	return c, nil
}

// Periodic is a job that is done again and again.
type Periodic struct {
	Kind  string
	Words string // what it does
	Every time.Duration
	args  river.JobArgs
}

// Periodics lists them, in the order in which data go through them.
var Periodics = []Periodic{
	{RollUpArgs{}.Kind(), "counts what changed for the charts", rollUpEvery, RollUpArgs{}},
	{IndexTextsArgs{}.Kind(), "makes new and changed texts findable", indexEvery, IndexTextsArgs{}},
	{BulkArgs{}.Kind(), "goes on with acts on many conversations", indexEvery, BulkArgs{}},
	{DrawArgs{}.Kind(), "draws conversations for review queues that are due", drawEvery, DrawArgs{}},
	{
		ReportDueArgs{}.Kind(), "starts reports that are due, and tries again what did not arrive", dueEvery,
		ReportDueArgs{},
	},
	{
		WebhooksArgs{}.Kind(), "finds what outgoing webhooks are to be told, and has each told", webhooksEvery,
		WebhooksArgs{},
	},
	{RetentionArgs{}.Kind(), "deletes what the rules of retention do not keep", retentionEvery, RetentionArgs{}},
	{WatchExportsArgs{}.Kind(), "looks after exports, and deletes those that expired", watchEvery, WatchExportsArgs{}},
}

// schedule is what River does by itself: each of them, unless one is waiting or under way.
func schedule() (all []*river.PeriodicJob) {
	for _, p := range Periodics {
		all = append(all, river.NewPeriodicJob(river.PeriodicInterval(p.Every), func() (river.JobArgs, *river.InsertOpts) {
			return p.args, &river.InsertOpts{
				MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: waiting},
			}
		}, &river.PeriodicJobOpts{ID: p.Kind, RunOnStart: true}))
	}
	return all
}

// Queue puts jobs in without doing any.
type Queue struct{ client *river.Client[pgx.Tx] }

// NewQueue returns a queue of the pool's database.
func NewQueue(pool *pgxpool.Pool) (*Queue, error) {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return nil, fmt.Errorf("queue of jobs: %w", err)
	}
	return &Queue{client}, nil
}

// Add puts a job in, in the transaction that makes it true.
func (q *Queue) Add(ctx context.Context, tx pgx.Tx, args river.JobArgs) error {
	queue := longQueue
	switch args.(type) {
	case ReportArgs, AnalyticsReportArgs:
		queue = reportQueue
	case WebhookArgs:
		queue = webhookQueue
	}
	_, err := q.client.InsertTx(ctx, tx, args, &river.InsertOpts{MaxAttempts: 3, Queue: queue})
	return err
}

// AddLater puts a job in that begins at a time, unless there is one of the same arguments.
func (q *Queue) AddLater(ctx context.Context, tx pgx.Tx, args river.JobArgs, at time.Time) error {
	opts := only()
	opts.ScheduledAt = at
	_, err := q.client.InsertTx(ctx, tx, args, opts)
	return err
}

// only lets a job in while there is none of the same arguments that waits or runs.
func only() *river.InsertOpts {
	return &river.InsertOpts{
		MaxAttempts: 3, Queue: longQueue, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: waiting},
	}
}

// Retry has a job done again now.
func (q *Queue) Retry(ctx context.Context, id int64) error {
	_, err := q.client.JobRetry(ctx, id)
	return gone(err)
}

// Cancel ends a job, also while it is under way.
func (q *Queue) Cancel(ctx context.Context, id int64) error {
	_, err := q.client.JobCancel(ctx, id)
	return gone(err)
}

// Pause lets no further job begin, on any server; those under way go on.
func (q *Queue) Pause(ctx context.Context) error {
	return gone(q.client.QueuePause(ctx, allQueues, nil))
}

// Resume lets jobs begin again.
func (q *Queue) Resume(ctx context.Context) error {
	return gone(q.client.QueueResume(ctx, allQueues, nil))
}

// gone turns River's word for it into ours.
func gone(err error) error {
	if errors.Is(err, rivertype.ErrNotFound) {
		return queries.ErrNotFound
	}
	return err
}

// Stop ends the jobs: those under way get until ctx ends, then they are cancelled and done again later.
func (c *Client) Stop(ctx context.Context) error {
	defer c.server.end(ctx)
	defer c.leave()
	c.unread()
	c.reading.Wait()
	c.stopping.Store(true)
	err := c.client.Stop(ctx)
	if err == nil {
		return nil
	}
	again, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	return c.client.StopAndCancel(again)
}

// quieter takes River's notes about itself for details.
type quieter struct {
	slog.Handler
	stopping *atomic.Bool
}

// Handle lowers what is information, and what failed for no reason but that it was to stop.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo || r.Level > slog.LevelInfo && q.stopping.Load() && stopped(r) {
		r.Level = slog.LevelDebug
	}
	if !q.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// stopped tells whether a note says of an error that somebody cancelled what was done.
func stopped(r slog.Record) (is bool) {
	r.Attrs(func(a slog.Attr) bool {
		text := a.Value.Resolve().String()
		is = is || text == context.Canceled.Error() || strings.HasSuffix(text, ": "+context.Canceled.Error())
		return !is
	})
	return is
}

// WithAttrs keeps what it is.
func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs), q.stopping}
}

// WithGroup keeps what it is.
func (q quieter) WithGroup(name string) slog.Handler {
	return quieter{q.Handler.WithGroup(name), q.stopping}
}
