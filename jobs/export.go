package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
)

// tooManyDeaths says why nobody goes on with something.
const tooManyDeaths = "The server ended twenty times while this was made. Its log, or the system's, says why."

// ExportArgs asks for a file to be made.
type ExportArgs struct {
	ID string `json:"id" river:"unique"`
}

// Kind names the job.
func (ExportArgs) Kind() string { return "export" }

const (
	exportTimeout = 2 * time.Hour
	// beatEvery is how often a worker tells that it is alive; after deadAfter without a word another takes its place.
	beatEvery = 2 * time.Second
	deadAfter = 30 * time.Second
	// mostDeaths is how often it is begun anew when the process ended that was at it: perhaps it is what ended it.
	mostDeaths = 20
	// partSize is how many bytes of a file are stored at a time.
	partSize = 1 << 20
	// FilesLast is how long files can be fetched.
	FilesLast = 7 * 24 * time.Hour
)

// ExportWorker makes a file. Killed anywhere, it is begun anew by the next.
type ExportWorker struct {
	river.WorkerDefaults[ExportArgs]
	pool *pgxpool.Pool
	zone *time.Location
	now  func() time.Time
}

// Timeout bounds one file.
func (w *ExportWorker) Timeout(*river.Job[ExportArgs]) time.Duration { return exportTimeout }

// Work makes the file.
func (w *ExportWorker) Work(ctx context.Context, job *river.Job[ExportArgs]) error {
	id, err := conversation.ParseUUID(job.Args.ID)
	if err != nil {
		return river.JobCancel(fmt.Errorf("export %q: %w", job.Args.ID, err))
	}
	err = Export(ctx, w.pool, id, w.zone, w.now)
	if errors.Is(err, queries.ErrNotFound) { // done, cancelled, or another's
		return nil
	}
	if errors.Is(context.Cause(ctx), river.ErrJobCancelledRemotely) {
		return errors.Join(
			err,
			pgx.BeginFunc(
				context.WithoutCancel(ctx), w.pool,
				func(tx pgx.Tx) error { return queries.CancelExport(context.WithoutCancel(ctx), tx, id, w.now()) },
			),
		)
	}
	return err
}

// Export makes the file of an export that nobody is at; else it returns queries.ErrNotFound. A failure of the file's
// own is noted and no error.
func Export(
	ctx context.Context, pool *pgxpool.Pool, id conversation.UUID, zone *time.Location, now func() time.Time,
) error {
	e, err := queries.ExportByID(ctx, pool, id)
	if err != nil {
		return err
	}
	var claim queries.ExportClaim
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		claim, err = queries.ClaimExport(ctx, tx, id, now(), now().Add(-deadAfter))
		return err
	}); err != nil {
		return err
	}
	if claim.Deaths >= mostDeaths {
		return claim.End(ctx, pool, tooManyDeaths, 0, 0, now(), now().Add(FilesLast))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	out := &parts{store: func(n int, body []byte) error { return claim.Part(ctx, pool, n, body) }}
	var rows int64
	var far atomic.Int64 // rows so far
	err = beating(ctx, stop, func() error {
		return claim.Beat(
			ctx, pool, far.Load(), out.bytes.Load(), now(),
		)
	}, func() error {
		f, err := exported(ctx, pool, e, zone)
		if err != nil {
			return err
		}
		x := report.Wanted{
			Grain: e.Grain, Format: report.Format(e.Format), Filter: f, Title: e.Title, By: e.By, Clear: e.Clear,
		}
		if rows, err = report.WriteRows(ctx, pool, out, x, e.CreatedAt, zone, far.Store); err != nil {
			return err
		}
		return out.flush()
	})
	var input *metric.InputError
	switch {
	case errors.Is(err, queries.ErrNotFound): // cancelled meanwhile, or taken by another
		return err
	case errors.As(err, &input):
		return claim.End(ctx, pool, input.Error(), rows, 0, now(), now().Add(FilesLast))
	case err != nil && ctx.Err() == nil && !queries.Temporary(err):
		if noted := claim.End(
			ctx, pool, "The file could not be made. The server's log says why.", rows, 0, now(), now().Add(FilesLast),
		); noted != nil {
			return noted
		}
		return river.JobCancel(err)
	case err != nil:
		return errors.Join(err, released(ctx, func(ctx context.Context) error { return claim.Release(ctx, pool) }))
	}
	return claim.End(ctx, pool, "", rows, out.bytes.Load(), now(), now().Add(FilesLast))
}

// exported is the filter of an export, narrowed to what its owner may see now.
func exported(
	ctx context.Context, pool *pgxpool.Pool, e queries.ExportFile, zone *time.Location,
) (f metric.Filter, err error) {
	kept, err := url.ParseQuery(e.Query)
	if err != nil {
		return f, err
	}
	if f, err = metric.ParseFilter(kept, zone); err != nil {
		return f, err
	}
	if e.AccountID == nil {
		return f, &metric.InputError{Field: "owner", Msg: "is gone"}
	}
	owner, err := queries.AccountByID(ctx, pool, *e.AccountID)
	if err != nil {
		return f, err
	}
	if owner.Disabled {
		return f, &metric.InputError{Field: "owner", Msg: owner.Name + " may not export any more"}
	}
	return seenBy(ctx, pool, f, owner)
}

// seenBy narrows a filter to what somebody may see.
func seenBy(
	ctx context.Context, pool *pgxpool.Pool, f metric.Filter, owner access.Account,
) (metric.Filter, error) {
	f, err := queries.LimitTo(ctx, pool, f, owner.Assistants)
	if err != nil {
		return f, err
	}
	return queries.SearchAs(ctx, pool, f, owner.SeesPersonal())
}

// released gives something back that somebody else shall go on with, also when the process is being stopped. Where that
// fails, it is found dead.
func released(ctx context.Context, release func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	return release(ctx)
}

// beating does something and calls beat all the while. Where beat fails, what is being done is stopped for that reason.
func beating(ctx context.Context, stop context.CancelCauseFunc, beat, do func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if cause := context.Cause(ctx); err != nil && cause != nil {
				return cause
			}
			return err
		case <-tick.C:
			if err := beat(); err != nil && !queries.Temporary(err) {
				stop(err)
			}
		}
	}
}

// parts divides what is written into the parts in which files are stored.
type parts struct {
	store func(n int, body []byte) error
	open  []byte
	n     int
	bytes atomic.Int64 // stored so far
}

// Write keeps bytes until they make a part.
func (p *parts) Write(b []byte) (int, error) {
	p.open = append(p.open, b...)
	for len(p.open) >= partSize {
		if err := p.put(p.open[:partSize]); err != nil {
			return 0, err
		}
		p.open = append(p.open[:0], p.open[partSize:]...)
	}
	return len(b), nil
}

func (p *parts) put(b []byte) error {
	if err := p.store(p.n, b); err != nil {
		return err
	}
	p.n++
	p.bytes.Add(int64(len(b)))
	return nil
}

// flush stores the last part.
func (p *parts) flush() error {
	if len(p.open) == 0 {
		return nil
	}
	return p.put(p.open)
}

// WatchExportsArgs asks for exports to be looked after.
type WatchExportsArgs struct{}

// Kind names the job.
func (WatchExportsArgs) Kind() string { return "watch_exports" }

// watchEvery is how often exports are looked after.
const watchEvery = 15 * time.Second

// WatchExportsWorker gives exports whose worker is gone to another, and deletes those that expired.
type WatchExportsWorker struct {
	river.WorkerDefaults[WatchExportsArgs]
	pool *pgxpool.Pool
	now  func() time.Time
}

// Work looks after them.
func (w *WatchExportsWorker) Work(ctx context.Context, _ *river.Job[WatchExportsArgs]) error {
	if err := errors.Join(
		queries.ForgetExports(ctx, w.pool, w.now()), queries.ForgetAnalyticsReports(ctx, w.pool, w.now()),
	); err != nil {
		return err
	}
	open, err := queries.OpenExports(ctx, w.pool, w.now().Add(-deadAfter))
	if err != nil {
		return err
	}
	client := river.ClientFromContext[pgx.Tx](ctx)
	for _, id := range open {
		if _, err := client.Insert(ctx, ExportArgs{ID: id.String()}, again(deadAfter)); err != nil {
			return err
		}
	}
	folds, err := queries.OpenFolds(ctx, w.pool)
	if err != nil {
		return err
	}
	for _, id := range folds { // whose job was cancelled, or given up
		if _, err := client.Insert(ctx, FoldArgs{ID: id.String()}, only()); err != nil {
			return err
		}
	}
	return nil
}

// again lets one more job of the same arguments in when the last was put in so long ago, whatever became of it.
func again(after time.Duration) *river.InsertOpts {
	return &river.InsertOpts{
		MaxAttempts: 3, Queue: longQueue, UniqueOpts: river.UniqueOpts{ByArgs: true, ByPeriod: after},
	}
}
