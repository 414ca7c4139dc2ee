package jobs

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"turnwise/queries"
	"turnwise/queries/figures"
)

// RetentionArgs asks for what is not kept any more to be deleted.
type RetentionArgs struct{}

// Kind names the job.
func (RetentionArgs) Kind() string { return "retention" }

const (
	retentionEvery   = time.Hour
	retentionTimeout = 50 * time.Minute
	// expireAtOnce is how many conversations are deleted in one transaction, during which nobody stores events of their
	// shards.
	expireAtOnce = 100
)

// RetentionWorker removes what the rules do not keep. It may end anywhere; the next goes on with the oldest window.
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
	if err == nil && run.Conversations+run.Texts+run.Events > 0 {
		w.log.InfoContext(
			ctx, "retention removed what is not kept", "conversations", run.Conversations, "texts", run.Texts, "events",
			run.Events, "partitions", len(run.Partitions), "more", run.More,
		)
	}
	if err == nil {
		err = ExpireAudit(ctx, w.pool, w.now())
	}
	if err == nil {
		err = queries.ForgetEventTypes(ctx, w.pool, w.now())
	}
	return err
}

// uncounted says why nothing was deleted though the rules ask for it.
const uncounted = "the figures of the oldest days are not counted yet; the next run tries again"

// Retain removes what the rules do not keep: texts, events and conversations, by whole windows, the oldest first, up to
// the limit of a run each; then figures. What was removed is noted, window by window.
func Retain(
	ctx context.Context, pool *pgxpool.Pool, zone *time.Location, now func() time.Time,
) (run queries.RetentionRun, err error) {
	r := retaining{
		pool: pool, zone: zone, now: now, RetentionRun: queries.RetentionRun{ID: queries.NewID(), StartedAt: now()},
	}
	for _, of := range []queries.Kept{queries.KeptConversations, queries.KeptEvents, queries.KeptTexts} {
		if err == nil {
			err = r.windows(ctx, of)
		}
	}
	if err == nil {
		err = queries.ExpireSealed(ctx, pool, r.rules, now(), zone)
	}
	if err == nil && r.Texts+r.Events+r.Conversations > 0 {
		err = sweepWords(ctx, pool)
	}
	if err == nil {
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			r.Statistics, err = queries.ExpireStatistics(ctx, tx, r.rules, now(), zone)
			return err
		})
	}
	if err == nil {
		if r.Partitions, err = queries.DropMonths(ctx, pool); err == nil {
			err = pgx.BeginFunc(
				ctx, pool, func(tx pgx.Tx) error { return queries.SettleMonths(ctx, tx, r.rules, now(), zone) },
			)
		}
	}
	if err != nil {
		r.Error = "it broke off; the server's log says why"
	}
	if r.Texts+r.Events+r.Conversations+r.Statistics > 0 || len(r.Partitions) > 0 || r.Error != "" {
		ended := now()
		r.EndedAt = &ended
		noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		noted := pgx.BeginFunc(noting, pool, func(tx pgx.Tx) error {
			if err := queries.KeepRetentionRun(noting, tx, r.RetentionRun); err != nil {
				return err
			}
			return queries.Record(noting, tx, Self, ended, queries.AuditRetentionRan, r.ID.String(), "", nil,
				map[string]any{
					"texts": r.Texts, "events": r.Events, "conversations": r.Conversations, "figures": r.Statistics,
					"partitions": r.Partitions, "error": r.Error,
				})
		})
		if err == nil {
			err = noted
		}
	}
	return r.RetentionRun, err
}

// sweepWords forgets words that nobody says any more.
func sweepWords(ctx context.Context, pool *pgxpool.Pool) (err error) {
	for after := "-"; err == nil && after != ""; {
		after, err = queries.SweepWords(ctx, pool, strings.TrimPrefix(after, "-"))
	}
	return err
}

// Self is the server, where nobody asked for what it does.
var Self = queries.Actor{Name: "the server"}

// ExpireAudit removes entries of the audit log that are not kept any more.
func ExpireAudit(ctx context.Context, pool *pgxpool.Pool, now time.Time) error {
	days, err := queries.AuditDays(ctx, pool)
	if err != nil || days == 0 {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := queries.ExpireAudit(ctx, tx, Self, now.AddDate(0, 0, -days), now)
		return err
	})
}

// retaining is a run.
type retaining struct {
	queries.RetentionRun
	pool  *pgxpool.Pool
	zone  *time.Location
	now   func() time.Time
	rules []queries.RetentionRule
}

// windows removes what the rules do not keep of one kind, window by window.
func (r *retaining) windows(ctx context.Context, of queries.Kept) (err error) {
	count := map[queries.Kept]*int64{
		queries.KeptTexts: &r.Texts, queries.KeptEvents: &r.Events, queries.KeptConversations: &r.Conversations,
	}[of]
	for after := time.Unix(0, 0); ; {
		if r.rules, err = queries.RetentionRules(ctx, r.pool); err != nil { // they may be taken back at any time
			return err
		}
		most := int64(0)
		for _, x := range r.rules {
			most = max(most, int64(x.Most))
		}
		if most > 0 && *count >= most {
			r.More = true
			return nil
		}
		x, ok, err := queries.NextRetentionWindow(ctx, r.pool, of, r.rules, after, r.now(), r.zone)
		if err != nil || !ok {
			return err
		}
		after = x.From
		if of == queries.KeptConversations {
			if ok, err = r.freeze(ctx, x); err != nil || !ok {
				return err
			}
		}
		n, err := r.window(ctx, of, x)
		*count += n
		if n > 0 {
			if r.Oldest == nil || x.From.Before(*r.Oldest) {
				r.Oldest = &x.From
			}
			if r.Newest == nil || x.Until.After(*r.Newest) {
				r.Newest = &x.Until
			}
		}
		if err != nil {
			return err
		}
		if n == 0 { // somebody wrote to all of them meanwhile
			return nil
		}
		if err := queries.KeepRetentionRun(ctx, r.pool, r.RetentionRun); err != nil {
			return err
		}
	}
}

// freeze has the figures of a window stay: they must be counted first. It returns false when they cannot be now.
func (r *retaining) freeze(ctx context.Context, x queries.RetentionWindow) (frozen bool, err error) {
	frozen, err = x.Freeze(ctx, r.pool, r.zone)
	if err == nil && !frozen {
		if err = RollUp(ctx, r.pool, figures.NewGrid(r.zone), -time.Second, r.now); err == nil {
			frozen, err = x.Freeze(ctx, r.pool, r.zone)
		}
	}
	if err == nil && !frozen {
		r.Error = uncounted
	}
	return frozen, err
}

// window removes what is not kept of a window's conversations, of a few at a time.
func (r *retaining) window(ctx context.Context, of queries.Kept, x queries.RetentionWindow) (done int64, err error) {
	whole := false
	if of == queries.KeptConversations {
		if whole, err = queries.WholeMonth(ctx, r.pool, r.rules, x.From, r.now(), r.zone); err == nil && whole {
			err = queries.MarkForDrop(ctx, r.pool, x.From)
		}
		if err != nil {
			return 0, err
		}
	}
	for all := x.Places; len(all) > 0; {
		part := all[:min(len(all), expireAtOnce)]
		all = all[len(part):]
		var n int
		if err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) (err error) {
			if of == queries.KeptConversations {
				n, err = queries.Expire(ctx, tx, r.rules, part, whole, r.now(), r.zone)
			} else {
				n, err = queries.Strip(ctx, tx, of, r.rules, part, r.now(), r.zone)
			}
			return err
		}); err != nil {
			return done, err
		}
		done += int64(n)
	}
	return done, nil
}
