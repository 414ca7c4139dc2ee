package jobs

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"turnwise/queries/figures"
)

// RollUpArgs asks for the hours and days to be counted again that changed.
type RollUpArgs struct{}

// Kind names the job.
func (RollUpArgs) Kind() string { return "roll_up" }

// RollUpWorker counts changed hours and days. It may end anywhere: what it has not counted stays marked.
type RollUpWorker struct {
	river.WorkerDefaults[RollUpArgs]
	counter
}

// Timeout bounds one run; the next goes on.
func (w *RollUpWorker) Timeout(*river.Job[RollUpArgs]) time.Duration { return rollUpTimeout }

// Work counts.
func (w *RollUpWorker) Work(ctx context.Context, _ *river.Job[RollUpArgs]) error {
	err := w.run(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil // what is left is still marked
	}
	return err
}

// rollUpTimeout bounds one run. One that fails is not tried again: the next comes in seconds.
const rollUpTimeout = 10 * time.Minute

// hot is how long ago conversations begin that are still written to. Their hours are counted apart, and again and
// again.
const hot = 2 * time.Hour

const (
	hoursAtOnce = 96
	manyHours   = 4 * hoursAtOnce // such as when all is counted again
	hotAtOnce   = 1000            // all of them, of very many assistants
	daysAtOnce  = 8
	dayRests    = time.Minute // a day that changed less than this ago is read by its slots
	hotRests    = 9           // times as long as they took to count
)

// counter counts what is marked.
type counter struct {
	pool  *pgxpool.Pool
	grid  figures.Grid
	rest  time.Duration // of days
	now   func() time.Time
	again time.Time // until then hot hours stay marked; who asks for figures counts their conversations
}

// RollUp counts the hours that are marked now, and the days that have rested; those that change meanwhile wait for
// the next time.
func RollUp(ctx context.Context, pool *pgxpool.Pool, g figures.Grid, rest time.Duration, now func() time.Time) error {
	c := counter{pool: pool, grid: g, rest: rest, now: now}
	return c.run(ctx)
}

func (c *counter) run(ctx context.Context) error {
	if err := figures.PrepareRollups(ctx, c.pool, c.grid); err != nil {
		return err
	}
	if err := figures.LinkPersons(ctx, c.pool); err != nil {
		return err
	}
	backlog, err := figures.Backlog(ctx, c.pool)
	if err != nil {
		return err
	}
	if err := figures.NextGeneration(ctx, c.pool, time.Unix(0, 0), c.now().Add(-hot)); err != nil {
		return err
	}
	if err := c.hours(ctx, backlog.Hours); err != nil {
		return err
	}
	if err := c.days(ctx, backlog.Hours); err != nil {
		return err
	}
	for {
		n, err := figures.FillDaily(ctx, c.pool, c.grid, c.now())
		if n == 0 || err != nil {
			return err
		}
	}
}

// sideBySide is what is counted side by side: of many hours, two are at it, as one reads while the other adds up.
func sideBySide(marked int64) []figures.Part {
	if marked < manyHours {
		return []figures.Part{figures.AllDays}
	}
	return []figures.Part{figures.EvenDays, figures.OddDays}
}

// hours counts the hours that are marked, as many as there were. Hot ones come between; of very many, before all others,
// as they would have both who count wait.
func (c *counter) hours(ctx context.Context, marked int64) error {
	all := sideBySide(marked)
	first := 0
	if len(all) > 1 {
		var err error
		if first, err = c.recent(ctx, c.now().Add(-hot)); err != nil {
			return err
		}
	}
	var done atomic.Int64
	done.Add(int64(first))
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range all {
		g.Go(func() error {
			for done.Load() < marked {
				edge := c.now().Add(-hot)
				recent := 0
				if len(all) == 1 {
					var err error
					if recent, err = c.recent(ctx, edge); err != nil {
						return err
					}
				}
				older, err := figures.RollUpHours(ctx, c.pool, c.grid, part, time.Unix(0, 0), edge, hoursAtOnce, c.now())
				if err != nil || recent+older == 0 {
					return err
				}
				done.Add(int64(recent + older))
			}
			return nil
		})
	}
	return g.Wait()
}

// days counts the days that have rested.
func (c *counter) days(ctx context.Context, marked int64) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range sideBySide(marked) {
		g.Go(func() error {
			for {
				n, err := figures.RollUpDays(ctx, c.pool, c.grid, part, daysAtOnce, c.now().Add(-c.rest), c.now())
				if n == 0 || err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// recent counts hot hours, for a tenth of the time at most: a busy one would take all of it, and is out of date at
// once.
func (c *counter) recent(ctx context.Context, edge time.Time) (counted int, err error) {
	begun := c.now()
	if begun.Before(c.again) {
		return 0, nil
	}
	if err := figures.NextGeneration(ctx, c.pool, edge, edge.AddDate(1000, 0, 0)); err != nil {
		return 0, err
	}
	counted, err = figures.RollUpHours(
		ctx, c.pool, c.grid, figures.AllDays, edge, edge.AddDate(1000, 0, 0), hotAtOnce, begun,
	)
	ended := c.now()
	c.again = ended.Add(hotRests * ended.Sub(begun))
	return counted, err
}
