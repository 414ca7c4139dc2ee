package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/secret"
)

// Reports sends what is due. It is part of the jobs' configuration.
type Reports struct {
	Pages    *pgxpool.Pool // by which figures of documents are asked
	Box      *secret.Box
	URL      string // of the pages
	Folder   string // below which files may be put; "" for nowhere
	Internal Networks
}

// ReportDueArgs asks for schedules to be looked at.
type ReportDueArgs struct{}

// Kind names the job.
func (ReportDueArgs) Kind() string { return "reports_due" }

// dueEvery is how often schedules are looked at.
const dueEvery = 10 * time.Second

// ReportDueWorker starts what is due and has somebody go on with what stands still.
type ReportDueWorker struct {
	river.WorkerDefaults[ReportDueArgs]
	pool *pgxpool.Pool
	now  func() time.Time
}

// Work looks after schedules.
func (w *ReportDueWorker) Work(ctx context.Context, _ *river.Job[ReportDueArgs]) error {
	open, err := DueReports(ctx, w.pool, w.now())
	if err != nil {
		return err
	}
	client := river.ClientFromContext[pgx.Tx](ctx)
	for _, id := range open {
		opts := again(dueEvery)
		opts.Queue = reportQueue
		if _, err := client.Insert(ctx, ReportArgs{ID: id.String()}, opts); err != nil {
			return err
		}
	}
	return nil
}

// DueReports starts what is due and returns the runs that nobody is at. Files that expired are deleted.
func DueReports(ctx context.Context, pool *pgxpool.Pool, now time.Time) ([]conversation.UUID, error) {
	for more := 1; more > 0; {
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			more, err = queries.StartDue(ctx, tx, now)
			return err
		}); err != nil {
			return nil, err
		}
	}
	if err := queries.ForgetReportFiles(ctx, pool, now.Add(-FilesLast)); err != nil {
		return nil, err
	}
	return queries.OpenRuns(ctx, pool, now, now.Add(-deadAfter))
}

// ReportArgs asks for a run to be gone on with.
type ReportArgs struct {
	ID string `json:"id" river:"unique"`
}

// Kind names the job.
func (ReportArgs) Kind() string { return "report" }

// ReportWorker makes the files of a run once and hands them to each recipient. Killed anywhere, the next goes on: what
// was sent is not sent again, but for one whose answer had not come yet, which has the same id.
type ReportWorker struct {
	river.WorkerDefaults[ReportArgs]
	Reports
	pool   *pgxpool.Pool
	zone   *time.Location
	log    *slog.Logger
	now    func() time.Time
	owners owners
}

// Timeout bounds one run.
func (w *ReportWorker) Timeout(*river.Job[ReportArgs]) time.Duration { return exportTimeout }

// Work goes on with the run.
func (w *ReportWorker) Work(ctx context.Context, job *river.Job[ReportArgs]) error {
	id, err := conversation.ParseUUID(job.Args.ID)
	if err != nil {
		return river.JobCancel(fmt.Errorf("run %q: %w", job.Args.ID, err))
	}
	owner, err := queries.OwnerOfRun(ctx, w.pool, id)
	if errors.Is(err, queries.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	leave, ok := w.owners.enter(owner)
	if !ok {
		return river.JobSnooze(2 * time.Second)
	}
	defer leave()
	err = SendReport(ctx, w.pool, w.Reports, id, w.zone, w.log, w.now)
	if errors.Is(err, queries.ErrNotFound) { // done, or another's
		return nil
	}
	if errors.Is(context.Cause(ctx), river.ErrJobCancelledRemotely) {
		return errors.Join(err, queries.CancelRun(context.WithoutCancel(ctx), w.pool, id, w.now()))
	}
	return err
}

// sending is a run under way.
type sending struct {
	Reports
	pool     *pgxpool.Pool
	zone     *time.Location
	log      *slog.Logger
	now      func() time.Time
	claim    queries.RunClaim
	run      queries.ReportRun
	schedule queries.Schedule
	owner    access.Account
	mail     queries.MailSettings
	hasMail  bool
}

// errNothing says that there is nothing to send, and that nothing shall be sent then.
var errNothing = errors.New("there was nothing to send")

// makers bounds how many reports are made at once. Many more may be handed over: that is mostly waiting for others.
var makers = make(chan struct{}, 2)

func (s *sending) making(ctx context.Context) error {
	select {
	case makers <- struct{}{}:
		defer func() { <-makers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.build(ctx)
}

// SendReport goes on with a run that nobody is at; else it returns queries.ErrNotFound.
func SendReport(
	ctx context.Context, pool *pgxpool.Pool, r Reports, id conversation.UUID, zone *time.Location, log *slog.Logger,
	now func() time.Time,
) error {
	claim, err := queries.ClaimRun(ctx, pool, id, now(), now().Add(-deadAfter))
	if err != nil {
		return err
	}
	s := &sending{Reports: r, pool: pool, zone: zone, log: log, now: now, claim: claim}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var retry *time.Time
	var failed int
	err = beating(ctx, stop, func() error { return claim.Beat(ctx, pool, now()) }, func() (err error) {
		if err := s.read(ctx, id); err != nil {
			return err
		}
		if claim.Deaths >= mostDeaths {
			return &metric.InputError{Field: "server", Msg: tooManyDeaths}
		}
		if len(s.run.Files) == 0 {
			if err := s.making(ctx); err != nil {
				return err
			}
		}
		retry, failed, err = s.deliver(ctx)
		return err
	})
	var input *metric.InputError
	switch {
	case errors.Is(err, queries.ErrNotFound): // taken by another, or deleted
		return err
	case errors.Is(err, errNothing):
		return claim.End(ctx, pool, queries.RunSkipped, "nothing began in the range", nil, now())
	case errors.As(err, &input):
		return s.fail(ctx, input.Error())
	case err != nil && ctx.Err() == nil && !queries.Temporary(err):
		log.ErrorContext(ctx, "a report failed", "run", id.String(), "error", err)
		return s.fail(ctx, "The report could not be made. The server's log says why.")
	case err != nil:
		return errors.Join(err, released(ctx, func(ctx context.Context) error { return claim.Release(ctx, pool) }))
	case retry != nil:
		return claim.End(ctx, pool, queries.RunWaiting, "", retry, now())
	case failed > 0:
		return s.fail(ctx, fmt.Sprintf("%d of the deliveries failed", failed))
	}
	return claim.End(ctx, pool, queries.RunDone, "", nil, now())
}

// fail ends the run; what it would have sent is for the next.
func (s *sending) fail(ctx context.Context, why string) error {
	all, err := queries.DeliveriesOf(ctx, s.pool, s.claim.ID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(d queries.Delivery) bool { return d.State == "sent" }) { // else some have them
		if err := queries.ForgetRows(ctx, s.pool, s.claim.ID); err != nil {
			return err
		}
	}
	return s.claim.End(ctx, s.pool, queries.RunFailed, why, nil, s.now())
}

func (s *sending) read(ctx context.Context, id conversation.UUID) (err error) {
	if s.run, err = queries.RunByID(ctx, s.pool, id); err != nil {
		return err
	}
	if s.schedule, err = queries.ScheduleByID(ctx, s.pool, s.run.ScheduleID); err != nil {
		return err
	}
	if s.owner, err = queries.AccountByID(ctx, s.pool, s.schedule.AccountID); err != nil {
		return err
	}
	if s.owner.Disabled || !s.owner.MaySend(s.schedule.Page == "") {
		return &metric.InputError{
			Field: "owner",
			Msg:   s.owner.Name + " may not send reports any more; make the schedule anew as somebody who may",
		}
	}
	s.mail, err = queries.Mail(ctx, s.pool)
	if s.hasMail = err == nil; errors.Is(err, queries.ErrNotFound) {
		err = nil
	}
	return err
}

// byMail tells whether the run goes to people.
func (s *sending) byMail() bool { return s.schedule.Destination == "mail" || s.run.TestFor != "" }

// attempts and waits: after the last, a delivery has failed.
var retries = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour}

// deliver hands the files to everybody who has not got them. It returns when somebody is to be tried again, and how
// many failed for good.
func (s *sending) deliver(ctx context.Context) (retry *time.Time, failed int, err error) {
	var all []queries.Delivery
	if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		all, err = queries.Deliveries(ctx, tx, s.run.ID, s.recipients())
		return err
	}); err != nil {
		return nil, 0, err
	}
	for _, d := range all {
		if d.State == "failed" {
			failed++
		}
		if d.State != "waiting" && d.State != "sending" {
			continue
		}
		if !slices.Contains(s.recipients(), d.Recipient) { // the report was changed since
			d.State, d.Error, d.RetryAt = "failed", "is no recipient any more", nil
			if err := s.note(ctx, d); err != nil {
				return nil, 0, err
			}
			continue
		}
		if d.RetryAt == nil || !d.RetryAt.After(s.now()) {
			if err := s.claim.Sending(ctx, s.pool, d); err != nil {
				return nil, 0, err
			}
			sent := s.send(ctx, d)
			if sent != nil && ctx.Err() != nil {
				return nil, 0, ctx.Err()
			}
			d.State, d.Error, d.RetryAt = "sent", "", nil
			if sent != nil {
				d.Error = sent.Error()
				d.State = "failed"
				var input *metric.InputError
				if n := int(d.Attempts); n < len(retries) && !errors.As(sent, &input) {
					at := s.now().Add(retries[n])
					d.State, d.RetryAt = "waiting", &at
				} else {
					failed++
				}
			}
			if err := s.note(ctx, d); err != nil {
				return nil, 0, err
			}
		}
		if d.RetryAt != nil && (retry == nil || d.RetryAt.Before(*retry)) {
			retry = d.RetryAt
		}
	}
	return retry, failed, nil
}

// note keeps what became of a delivery, also when the run is being stopped: what has left must not leave again.
func (s *sending) note(ctx context.Context, d queries.Delivery) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return queries.Delivered(ctx, s.pool, d, s.now())
}

// recipients are the people, or the one place, that the run goes to.
func (s *sending) recipients() []string {
	t := s.schedule.Target
	switch {
	case s.run.TestFor != "":
		return []string{s.run.TestFor}
	case s.schedule.Destination == "mail":
		return slices.DeleteFunc(t.Everybody(), func(to string) bool {
			_, gets := s.partOf(to)
			return !gets && len(s.run.Files) > 0
		})
	case s.schedule.Destination == "folder":
		return []string{cmp.Or(t.Folder, ".")}
	case s.schedule.Destination == "s3":
		return []string{"s3://" + path.Join(t.Bucket, t.Prefix)}
	}
	return []string{t.URL}
}

// SecretPlace is what the secret of a schedule is sealed for: another scheme, host, path or bucket cannot have it.
func SecretPlace(s queries.Schedule) string {
	u, err := url.Parse(s.Target.URL)
	if err != nil {
		return s.Destination
	}
	at := u.EscapedPath()
	if s.Destination == "s3" {
		at = "/" + s.Target.Bucket
	}
	return s.Destination + " " + u.Scheme + "://" + strings.ToLower(u.Host) + at
}

// formerPlace is what secrets were sealed for before schemes and paths counted. Who changes one enters the secret
// again.
func formerPlace(s queries.Schedule) string {
	u, err := url.Parse(s.Target.URL)
	if err != nil {
		return s.Destination
	}
	return s.Destination + "://" + strings.ToLower(u.Host) + "/" + s.Target.Bucket
}
