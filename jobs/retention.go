package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"turnwise/conversation"
	"turnwise/queries"
)

// RetentionArgs asks for what is not kept any more to be deleted.
type RetentionArgs struct{}

// Kind names the job.
func (RetentionArgs) Kind() string { return "retention" }

const (
	retentionEvery   = time.Hour
	retentionTimeout = 50 * time.Minute
	// expireAtOnce is how many conversations are deleted in one transaction, during which nobody stores events of their shard.
	expireAtOnce = 200
)

// RetentionWorker deletes what the rules do not keep. It may end anywhere; the next goes on with the oldest window.
type RetentionWorker struct {
	river.WorkerDefaults[RetentionArgs]
	pool *pgxpool.Pool
	zone *time.Location
	log  *slog.Logger
	now  func() time.Time
}

// Timeout bounds one run; the next goes on.
func (w *RetentionWorker) Timeout(*river.Job[RetentionArgs]) time.Duration { return retentionTimeout }

// Work deletes.
func (w *RetentionWorker) Work(ctx context.Context, _ *river.Job[RetentionArgs]) error {
	run, err := Retain(ctx, w.pool, w.zone, w.now)
	if err == nil && run.Conversations > 0 {
		w.log.InfoContext(ctx, "retention deleted conversations", "conversations", run.Conversations, "partitions", len(run.Partitions), "more", run.More)
	}
	return err
}

// uncounted says why nothing was deleted though the rules ask for it.
const uncounted = "the figures of the oldest days are not counted yet; the next run tries again"

// Retain deletes what the rules do not keep: whole windows, the oldest first, up to the limit of a run, then figures. What was deleted is
// noted, window by window.
func Retain(ctx context.Context, pool *pgxpool.Pool, zone *time.Location, now func() time.Time) (run queries.RetentionRun, err error) {
	var rules []queries.RetentionRule
	run = queries.RetentionRun{ID: queries.NewID(), StartedAt: now()}
	err = func() (err error) {
		for {
			if rules, err = queries.RetentionRules(ctx, pool); err != nil { // they may be taken back at any time
				return err
			}
			most := int64(0)
			for _, r := range rules {
				most = max(most, int64(r.Most))
			}
			if run.More = most > 0 && run.Conversations >= most; run.More {
				return nil
			}
			x, ok, err := queries.NextRetentionWindow(ctx, pool, rules, now(), zone)
			if err != nil || !ok {
				return err
			}
			frozen, err := x.Freeze(ctx, pool, zone)
			if err == nil && !frozen { // what was counted stays, so it must be counted first
				if err = RollUp(ctx, pool, queries.NewGrid(zone), -time.Second, now); err == nil {
					frozen, err = x.Freeze(ctx, pool, zone)
				}
			}
			if err != nil {
				return err
			}
			if !frozen {
				run.Error = uncounted
				return nil
			}
			n, err := expireWindow(ctx, pool, rules, x, now(), zone)
			run.Conversations += n
			if n > 0 {
				if run.Oldest == nil {
					run.Oldest = &x.From
				}
				run.Newest = &x.Until
			}
			if err != nil {
				return err
			}
			if n == 0 { // somebody wrote to all of them meanwhile
				return nil
			}
			if err := queries.KeepRetentionRun(ctx, pool, run); err != nil {
				return err
			}
		}
	}()
	if err == nil {
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			run.Statistics, err = queries.ExpireStatistics(ctx, tx, rules, now(), zone)
			return err
		})
	}
	if err == nil {
		if run.Partitions, err = queries.DropMonths(ctx, pool); err == nil {
			err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return queries.SettleMonths(ctx, tx, rules, now(), zone) })
		}
	}
	if err != nil {
		run.Error = "it broke off; the server's log says why"
	}
	if run.Conversations+run.Statistics > 0 || len(run.Partitions) > 0 || run.Error != "" {
		ended := now()
		run.EndedAt = &ended
		noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if noted := queries.KeepRetentionRun(noting, pool, run); err == nil {
			err = noted
		}
	}
	return run, err
}

// expireWindow deletes a window, a few conversations of one shard at a time.
func expireWindow(ctx context.Context, pool *pgxpool.Pool, rules []queries.RetentionRule, x queries.RetentionWindow, now time.Time, zone *time.Location) (deleted int64, err error) {
	whole, err := queries.WholeMonth(ctx, pool, rules, x.From, now, zone)
	if err == nil && whole {
		err = queries.Doom(ctx, pool, x.From)
	}
	if err != nil {
		return 0, err
	}
	byShard := map[int][]queries.Place{}
	for _, p := range x.Places {
		shard := conversation.Shard(p.SenderID)
		byShard[shard] = append(byShard[shard], p)
	}
	for _, all := range byShard {
		for len(all) > 0 {
			part := all[:min(len(all), expireAtOnce)]
			all = all[len(part):]
			if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				n, err := queries.Expire(ctx, tx, rules, part, whole, now, zone)
				deleted += int64(n)
				return err
			}); err != nil {
				return deleted, err
			}
		}
	}
	return deleted, nil
}
