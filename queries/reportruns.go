package queries

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// Part names the part of a report that the group gets; "" for all of it.
func (g RecipientGroup) Part() string {
	if g.Assistant+g.Environment+g.Channel == "" {
		return ""
	}
	return strings.Join([]string{g.Assistant, g.Environment, g.Channel}, "\n")
}

// ReportRun is one time that a schedule came due.
type ReportRun struct {
	ID         conversation.UUID
	ScheduleID conversation.UUID
	DueAt      time.Time
	TestFor    string // address of who asked for a test; "" for none
	State      string
	Attempts   int32
	RetryAt    *time.Time
	Rows       int64
	Error      string
	Files      []ReportFile
	CreatedAt  time.Time
	EndedAt    *time.Time
}

// ReportFile is a file of a run.
type ReportFile struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // media type
	Role string `json:"role"` // attachment, html, text, picture; "" for one that nobody gets
	Size int64  `json:"size"`
	Of   string `json:"of,omitempty"` // the part of the report that it holds, as RecipientGroup.Part names it
	Key  string `json:"key"`          // by which its address cannot be guessed
}

// AddRun notes a run, once for each due time.
func AddRun(ctx context.Context, db DB, r ReportRun) error {
	_, err := db.Exec(ctx, insertRunSQL, pgx.StrictNamedArgs{
		"id": r.ID, "schedule": r.ScheduleID, "due": r.DueAt, "test": r.TestFor, "state": r.State, "error": r.Error,
		"now": r.CreatedAt, "ended": r.EndedAt,
	})
	return err
}

const reportRunColumns = `select id, schedule_id, due_at, test_for, state, attempts, retry_at, rows, error, files,
	created_at, ended_at from report_runs `

const failedReportsSQL = `
select s.name
from schedules s
cross join lateral (select r.state from report_runs r where r.schedule_id = s.id and r.test_for = ''
	order by r.created_at desc limit 1) as r
where r.state = 'failed'
order by s.name
limit 20`

// FailedReports names the reports of which the last run failed.
func FailedReports(ctx context.Context, db DB) ([]string, error) {
	rows, _ := db.Query(ctx, failedReportsSQL)
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// RunByID returns a run, or ErrNotFound.
func RunByID(ctx context.Context, db DB, id conversation.UUID) (ReportRun, error) {
	rows, _ := db.Query(ctx, runByIDSQL, pgx.StrictNamedArgs{"id": id})
	return One[ReportRun](rows)
}

// RunsOf returns the last runs of a schedule, the newest first.
func RunsOf(ctx context.Context, db DB, schedule conversation.UUID) ([]ReportRun, error) {
	rows, _ := db.Query(ctx, runsOfSQL, pgx.StrictNamedArgs{"id": schedule})
	return pgx.CollectRows(rows, pgx.RowToStructByName[ReportRun])
}

// LastRuns returns the last run of each of some schedules that ran.
func LastRuns(ctx context.Context, db DB, schedules []conversation.UUID) (map[conversation.UUID]ReportRun, error) {
	rows, _ := db.Query(ctx, lastRunsSQL, pgx.StrictNamedArgs{"schedules": UUIDs(schedules)})
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[ReportRun])
	last := make(map[conversation.UUID]ReportRun, len(all))
	for _, r := range all {
		last[r.ScheduleID] = r
	}
	return last, err
}

// OpenRuns returns runs that somebody should be at.
func OpenRuns(ctx context.Context, db DB, now, dead time.Time) ([]conversation.UUID, error) {
	rows, _ := db.Query(ctx, openRunsSQL, pgx.StrictNamedArgs{"now": now, "dead": dead})
	return pgx.CollectRows(rows, pgx.RowTo[conversation.UUID])
}

// RunClaim is a worker's hold on a run. Once it is lost, its methods return ErrNotFound.
type RunClaim struct {
	ID, claim conversation.UUID
	Deaths    int // how often the process that was at it ended
}

// ClaimRun takes a run that nobody is at, or returns ErrNotFound.
func ClaimRun(ctx context.Context, db DB, id conversation.UUID, now, dead time.Time) (RunClaim, error) {
	c := RunClaim{ID: id, claim: NewID()}
	rows, _ := db.Query(ctx, claimRunSQL, pgx.StrictNamedArgs{"id": id, "claim": c.claim, "now": now, "dead": dead})
	var err error
	c.Deaths, err = only[int](rows)
	return c, err
}

// Beat tells that the worker is alive.
func (c RunClaim) Beat(ctx context.Context, db DB, now time.Time) error {
	return Changed(ctx, db, beatRunSQL, pgx.StrictNamedArgs{"id": c.ID, "claim": c.claim, "now": now})
}

// Release has another worker go on at once.
func (c RunClaim) Release(ctx context.Context, db DB) error {
	_, err := db.Exec(ctx, releaseRunSQL, pgx.StrictNamedArgs{"id": c.ID, "claim": c.claim})
	return err
}

// Begin forgets files that another worker left half made.
func (c RunClaim) Begin(ctx context.Context, db DB) error {
	_, err := db.Exec(ctx, forgetFilesSQL, pgx.StrictNamedArgs{"id": c.ID, "claim": c.claim})
	return err
}

// Made notes that all files of the run are made: from now on they stay as they are.
func (c RunClaim) Made(ctx context.Context, db DB, files []ReportFile, rows int64) error {
	text, err := json.Marshal(files)
	if err != nil {
		return err
	}
	return Changed(ctx, db, filesRunSQL, pgx.StrictNamedArgs{"id": c.ID, "claim": c.claim, "files": text, "rows": rows})
}

// End notes how the run stands: done, failed, skipped, or waiting until retry.
func (c RunClaim) End(ctx context.Context, db DB, state, failure string, retry *time.Time, now time.Time) error {
	return Changed(ctx, db, endRunSQL, pgx.StrictNamedArgs{
		"id": c.ID, "claim": c.claim, "state": state, "error": failure, "retry": retry, "now": now,
	})
}

// CancelRun ends a run that is not over; ErrNotFound when it is.
func CancelRun(ctx context.Context, db DB, id conversation.UUID, now time.Time) error {
	return Changed(ctx, db, cancelRunSQL, pgx.StrictNamedArgs{"id": id, "now": now})
}

// ReportPart returns a part of a run's file; ErrNotFound after the last.
func ReportPart(ctx context.Context, db DB, run conversation.UUID, n, part int) ([]byte, error) {
	rows, _ := db.Query(ctx, filePartSQL, pgx.StrictNamedArgs{"id": run, "n": n, "part": part})
	body, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	return body, err
}

// ForgetReportFiles deletes the files of runs that ended before.
func ForgetReportFiles(ctx context.Context, db DB, before time.Time) error {
	_, err := db.Exec(ctx, expiredFilesSQL, pgx.StrictNamedArgs{"before": before})
	return err
}

// Delivery is what became of a run for one recipient.
type Delivery struct {
	RunID     conversation.UUID
	Recipient string
	State     string // waiting, sending, sent, failed, unsubscribed
	Attempts  int32
	RetryAt   *time.Time
	SentAt    *time.Time
	Error     string
	Token     conversation.UUID
}

// Deliveries returns those of a run, and makes them first for recipients that have none.
func Deliveries(ctx context.Context, tx pgx.Tx, run conversation.UUID, recipients []string) ([]Delivery, error) {
	for _, r := range recipients {
		if _, err := tx.Exec(
			ctx, insertDeliverySQL, pgx.StrictNamedArgs{"id": run, "recipient": r, "token": NewID()},
		); err != nil {
			return nil, fmt.Errorf("deliveries: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, leftSQL, pgx.StrictNamedArgs{"id": run}); err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	return DeliveriesOf(ctx, tx, run)
}

// DeliveriesOf returns the deliveries of a run, by recipient.
func DeliveriesOf(ctx context.Context, db DB, run conversation.UUID) ([]Delivery, error) {
	rows, _ := db.Query(ctx, deliveriesSQL, pgx.StrictNamedArgs{"id": run})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Delivery])
}

// Sending notes that a delivery is being handed over; ErrNotFound when it was already, or the run is another's.
func (c RunClaim) Sending(ctx context.Context, db DB, d Delivery) error {
	return Changed(ctx, db, sendingSQL, pgx.StrictNamedArgs{"id": d.RunID, "claim": c.claim, "recipient": d.Recipient})
}

// Delivered notes how it went: sent, failed, or waiting until retry.
func Delivered(ctx context.Context, db DB, d Delivery, now time.Time) error {
	return Changed(ctx, db, deliveredSQL, pgx.StrictNamedArgs{
		"id": d.RunID, "recipient": d.Recipient, "state": d.State, "error": d.Error, "retry": d.RetryAt, "now": now,
	})
}

// RetryDelivery has a failed delivery, and its run, gone on with.
func RetryDelivery(ctx context.Context, tx pgx.Tx, run conversation.UUID, recipient string) error {
	if err := Changed(ctx, tx, retryDeliverySQL, pgx.StrictNamedArgs{"id": run, "recipient": recipient}); err != nil {
		return err
	}
	return Changed(ctx, tx, reopenRunSQL, pgx.StrictNamedArgs{"id": run})
}

// Subscription is a recipient of a schedule.
type Subscription struct {
	ScheduleID conversation.UUID
	Recipient  string
	Name       string // of the schedule
}

// SubscriptionByToken returns whose mail has a token, or ErrNotFound.
func SubscriptionByToken(ctx context.Context, db DB, token conversation.UUID) (Subscription, error) {
	rows, _ := db.Query(ctx, deliveryByTokenSQL, pgx.StrictNamedArgs{"token": token})
	return One[Subscription](rows)
}

// Unsubscribe keeps a recipient from getting any more of a schedule.
func Unsubscribe(ctx context.Context, db DB, s Subscription, now time.Time) error {
	_, err := db.Exec(ctx, unsubscribeSQL, pgx.StrictNamedArgs{
		"schedule": s.ScheduleID, "recipient": s.Recipient, "now": now,
	})
	return err
}

// UnsubscribedOf returns who wants no more of a schedule.
func UnsubscribedOf(ctx context.Context, db DB, schedule conversation.UUID) ([]string, error) {
	rows, _ := db.Query(ctx, unsubscribedSQL, pgx.StrictNamedArgs{"id": schedule})
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// ForgetUnsubscribed forgets those who are no recipients any more, so that they may be asked again.
func ForgetUnsubscribed(ctx context.Context, db DB, schedule conversation.UUID, recipients []string) error {
	_, err := db.Exec(ctx, resubscribeSQL, pgx.StrictNamedArgs{"id": schedule, "recipients": recipients})
	return err
}

// States of a run.
const (
	RunWaiting = "waiting"
	RunRunning = "running"
	RunDone    = "done"
	RunFailed  = "failed"
	RunSkipped = "skipped"
)

const (
	runByIDSQL  = reportRunColumns + `where id = @id`
	runsOfSQL   = reportRunColumns + `where schedule_id = @id order by created_at desc, id limit 30`
	lastRunsSQL = `
select last.*
from unnest(@schedules::uuid[]) as s (id)
cross join lateral (` + reportRunColumns + `where schedule_id = s.id order by created_at desc, id limit 1) as last`
	openRunsSQL = `
select id
from (
	select r.id, r.created_at, row_number() over (partition by s.account_id order by r.created_at) as turn
	from report_runs r
	join schedules s on s.id = r.schedule_id
	where r.state = 'waiting' and (r.retry_at is null or r.retry_at <= @now) or r.state = 'running'
		and r.alive_at < @dead
) as r
order by turn, created_at -- each owner's first, then each one's second
limit 100`
	claimRunSQL = `
update report_runs
set state = 'running', claim = @claim, alive_at = @now, attempts = attempts + 1, deaths = deaths +
	case when state = 'running' then 1 else 0 end
where id = @id and (state = 'waiting' and (retry_at is null or retry_at <= @now) or state = 'running'
	and alive_at < @dead)
returning deaths`
	beatRunSQL = `update report_runs set alive_at = @now where id = @id and claim = @claim and state = 'running'
	returning id`
	filesRunSQL = `update report_runs set files = @files::jsonb, rows = @rows where id = @id and claim = @claim
	and state = 'running' returning id`
	endRunSQL = `
update report_runs
set state = @state, error = @error, retry_at = @retry, claim = null, ended_at = case when @state = 'waiting' then null
	else @now::timestamptz end
where id = @id and claim = @claim and state = 'running'
returning id`
	releaseRunSQL = `update report_runs set state = 'waiting', claim = null where id = @id and claim = @claim
	and state = 'running'`
	cancelRunSQL = `update report_runs set state = 'failed', error = 'was cancelled', claim = null,
	retry_at = null, ended_at = @now where id = @id and state in ('waiting', 'running') returning id`
	reopenRunSQL = `update report_runs set state = 'waiting', retry_at = null, ended_at = null, error = '',
	deaths = 0 where id = @id and state in ('done', 'failed', 'waiting') returning id`
	forgetFilesSQL = `delete from report_files where run_id = @id and exists (select from report_runs r
	where r.id = @id and r.claim = @claim)`
	insertFilePartSQL = `insert into report_files (run_id, n, part, body) select r.id, @n::integer, @part::integer,
	@body::bytea from report_runs r where r.id = @id and r.claim = @claim and r.state = 'running' returning run_id`
	filePartSQL       = `select body from report_files where run_id = @id and n = @n and part = @part`
	expiredFilesSQL   = `delete from report_files f using report_runs r where r.id = f.run_id and r.ended_at < @before`
	insertDeliverySQL = `
insert into deliveries (run_id, recipient, state, token)
select @id, @recipient, case when exists (select from unsubscribed x
	join report_runs r on r.schedule_id = x.schedule_id where r.id = @id and x.recipient = @recipient)
		then 'unsubscribed' else 'waiting' end, @token
on conflict do nothing`
	leftSQL = `update deliveries d set state = 'unsubscribed', retry_at = null from report_runs r
	join unsubscribed x on x.schedule_id = r.schedule_id where r.id = @id and d.run_id = r.id
		and x.recipient = d.recipient and d.state = 'waiting'`
	deliveriesSQL = `select run_id, recipient, state, attempts, retry_at, sent_at, error, token from deliveries
	where run_id = @id order by recipient`
	sendingSQL = `update deliveries set state = 'sending', attempts = attempts + 1
	where run_id = @id and recipient = @recipient and state in ('waiting', 'sending') and exists (select
		from report_runs r where r.id = @id and r.claim = @claim) returning run_id`
	deliveredSQL = `with run as (update report_runs set deaths = 0 where id = @id) update deliveries
	set state = @state, error = @error, retry_at = @retry, sent_at = case when @state = 'sent'
		then @now::timestamptz end where run_id = @id and recipient = @recipient returning run_id`
	retryDeliverySQL = `update deliveries set state = 'waiting', retry_at = null, attempts = 0, error = ''
	where run_id = @id and recipient = @recipient and state = 'failed' returning run_id`
	deliveryByTokenSQL = `select r.schedule_id, d.recipient, s.name from deliveries d
	join report_runs r on r.id = d.run_id join schedules s on s.id = r.schedule_id where d.token = @token`
	unsubscribeSQL = `insert into unsubscribed (schedule_id, recipient, at) values (@schedule, @recipient, @now)
	on conflict do nothing`
	unsubscribedSQL = `select recipient from unsubscribed where schedule_id = @id order by recipient`
	resubscribeSQL  = `delete from unsubscribed where schedule_id = @id and not recipient = any(@recipients::text[])`
)
