// Package doctor says whether data are there, arrive, are understood and are worked on, and what to do where not.
// Command and page say the same.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// Finding is something that was looked at.
type Finding struct {
	OK   bool // else somebody should look
	Text string
}

// Diagnosis is what was found.
type Diagnosis struct{ Findings []Finding }

// Say adds a finding.
func (d *Diagnosis) Say(ok bool, format string, args ...any) {
	d.Findings = append(d.Findings, Finding{ok, fmt.Sprintf(format, args...)})
}

// Bounds from which something is worth a look.
const (
	manyWaiting  = 20_000           // senders that wait to be indexed: hardly for the next run of the job alone
	longBacklog  = 2000             // hours of figures that wait to be counted
	alive        = 15 * time.Second // since a process that reads told that it does
	aliveServer  = time.Minute      // the same for one that does jobs
	fullRejected = 100_000          // rejected events that nobody looked at
)

// Diagnose looks at everything that the database knows. version is that of the program; days and times are those of the
// zone of now.
func Diagnose(ctx context.Context, db *pgxpool.Pool, version string, now time.Time) (*Diagnosis, error) {
	d := new(Diagnosis)
	current, err := queries.Migrated(ctx, db)
	if err != nil {
		return d, err
	}
	if !current {
		d.Say(false, "schema: older than turnwise %s; run turnwise migrate", version)
		return d, nil // what comes next may not be there
	}
	d.Say(true, "schema: up to date with turnwise %s", version)
	for _, look := range []func(ctx context.Context, db queries.DB, now time.Time) error{
		d.data, d.sources, d.work, d.delivery, d.people,
	} {
		if err := look(ctx, db, now); err != nil {
			return d, err
		}
	}
	// One moment, lest entries that are no longer kept go meanwhile.
	err = pgx.BeginTxFunc(
		ctx, db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly},
		func(tx pgx.Tx) error { return d.audit(ctx, tx) },
	)
	return d, err
}

// clock writes a time in the zone of now.
func clock(t *time.Time, now time.Time) string {
	return t.In(now.Location()).Format("2006-01-02 15:04:05 MST")
}

// data tells what is stored.
func (d *Diagnosis) data(ctx context.Context, db queries.DB, now time.Time) error {
	v, err := queries.ServerVersion(ctx, db)
	if err != nil {
		return err
	}
	d.Say(v.Number >= 150000, "PostgreSQL: %s; 15 or later is needed", v.Text)
	totals, err := queries.DatabaseTotals(ctx, db)
	if err != nil {
		return err
	}
	d.Say(true, "database: %.1f MB", float64(totals.Bytes)/1e6)
	if totals.NewestAt == nil {
		d.Say(false, "conversations: none. Send events over HTTP or import a file; see the README.")
		return nil
	}
	d.Say(
		true, "conversations: about %d of %d assistants, about %d events; the newest began %s", totals.Conversations,
		totals.Assistants, totals.Events, clock(totals.NewestAt, now),
	)
	return nil
}

// sources tells what arrives, and what is not understood.
func (d *Diagnosis) sources(ctx context.Context, db queries.DB, now time.Time) error {
	sources, err := queries.SourcesHealth(
		ctx, db, now, time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location()),
	)
	if err != nil {
		return err
	}
	for _, s := range sources {
		last := "never"
		if s.LastReceivedAt != nil {
			last = clock(s.LastReceivedAt, now)
		}
		d.Say(
			true, "source %q (%s): last arrival %s; in the last hour %d stored; today %d duplicates, %d rejected",
			s.Name, s.Kind, last, s.LastHour, s.Duplicates, s.Rejected,
		)
		if s.Kind == "kafka" || s.Kind == "rabbitmq" || s.Kind == "rasa_sql" || s.Kind == "chatwoot" {
			if err := d.readers(ctx, db, s, now); err != nil {
				return err
			}
		}
	}
	reasons, err := queries.RejectedReasons(ctx, db)
	if err != nil {
		return err
	}
	rejected := int64(0)
	for _, r := range reasons {
		rejected += r.Bodies
		d.Say(
			false, "rejected: %d of source %q: %s: %s. Mend and replay them under Data health.", r.Bodies, r.Source,
			r.Code, r.Detail,
		)
	}
	if rejected > fullRejected {
		d.Say(false, "rejected: %d altogether take up space until they are mended or discarded", rejected)
	}
	silent, err := queries.SilentAssistants(ctx, db, now, now)
	for _, s := range silent {
		d.Say(
			false,
			"assistant %q: no hand-off in %d days over at least %d conversations; its containment cannot be "+
				"trusted unless nobody is handed to a person. What hands over is set in Admin › Assistants.",
			s.Assistant, queries.SilentDays, s.Conversations,
		)
	}
	return err
}

// readers tells whether anybody reads a broker's source, and how that goes.
func (d *Diagnosis) readers(ctx context.Context, db queries.DB, s queries.SourceHealth, now time.Time) error {
	pause, err := queries.SourcePause(ctx, db, s.ID)
	if err != nil {
		return err
	}
	if pause.At != nil {
		d.Say(
			false, "source %q is paused since %s by %s: %s. Resume it on its page under Data health.", s.Name,
			clock(pause.At, now), pause.By, pause.Why,
		)
	}
	members, err := queries.Members(ctx, db, now.Add(-alive))
	if err != nil {
		return err
	}
	reading := 0
	for _, m := range members {
		switch {
		case m.SourceID != s.ID || m.State == queries.MemberStopped:
			continue
		case m.State == queries.MemberReading || m.State == queries.MemberPaused:
			d.Say(true, "source %q: %s is %s", s.Name, m.Member, m.State)
		default:
			d.Say(
				false, "source %q: %s is %s: %s", s.Name, m.Member, m.State, cmp.Or(m.Reason, m.Error, "no reason yet"),
			)
		}
		reading++
	}
	if reading == 0 {
		d.Say(false, "source %q: no process reads it; start turnwise serve or turnwise ingest with its broker", s.Name)
	}
	return nil
}

// work tells whether what is done in the background is done.
func (d *Diagnosis) work(ctx context.Context, db queries.DB, now time.Time) error {
	servers, err := queries.Servers(ctx, db)
	if err != nil {
		return err
	}
	at := 0
	for _, s := range servers {
		if now.Sub(s.AliveAt) < aliveServer {
			at++
		}
	}
	d.Say(at > 0, "jobs: processes that do them (turnwise serve or turnwise work): %d", at)
	paused, err := queries.JobsPaused(ctx, db)
	if err != nil {
		return err
	}
	if paused {
		d.Say(false, "jobs: all are paused. Let them go on under Admin › Jobs.")
	}
	failed, err := queries.FailedJobs(ctx, db)
	if err != nil {
		return err
	}
	seen := map[string]int{}
	for _, j := range failed {
		if seen[j.Kind]++; seen[j.Kind] == 1 {
			d.Say(false, "jobs: %s failed; Admin › Jobs says why", j.Kind)
		}
	}
	return d.behind(ctx, db)
}

// behind tells what waits to be counted, indexed or done again.
func (d *Diagnosis) behind(ctx context.Context, db queries.DB) error {
	backlog, err := figures.Backlog(ctx, db)
	if err != nil {
		return err
	}
	d.Say(
		backlog.Hours < longBacklog,
		"figures: hours that wait to be counted: %d, days: %d; charts count them from the conversations meanwhile",
		backlog.Hours, backlog.Days,
	)
	waiting, err := queries.SearchBacklog(ctx, db)
	if err != nil {
		return err
	}
	d.Say(
		waiting < manyWaiting,
		"search: people whose conversations wait to be indexed: %d; turnwise serve or turnwise work does so "+
			"within seconds",
		waiting,
	)
	runs, err := queries.RetentionRuns(ctx, db)
	if err != nil {
		return err
	}
	if len(runs) > 0 && runs[0].Error != "" {
		d.Say(false, "retention: the last run: %s", runs[0].Error)
	}
	for _, x := range []struct {
		kind queries.FoldKind
		what string
	}{
		{queries.FoldToMask, "masking what is stored"},
		{queries.FoldToRebuild, "recalculating stored conversations"},
		{queries.FoldToMap, "mapping a webhook's history again"},
	} {
		folds, err := queries.FoldRuns(ctx, db, x.kind)
		if err != nil {
			return err
		}
		if len(folds) > 0 && folds[0].Error != "" {
			d.Say(false, "%s: %s", x.what, folds[0].Error)
		}
	}
	return nil
}

// delivery tells whether what is to leave can.
func (d *Diagnosis) delivery(ctx context.Context, db queries.DB, now time.Time) error {
	hooks, err := queries.OutgoingWebhooks(ctx, db)
	if err != nil {
		return err
	}
	if len(hooks) > 0 {
		failing, err := queries.FailingOutgoingWebhooks(ctx, db, now.Add(-time.Hour))
		if err != nil {
			return err
		}
		d.Say(len(failing) == 0, "outgoing webhooks: %d, of which %d have failed for more than an hour, or stopped", len(hooks), len(failing))
		for _, name := range failing {
			d.Say(false, "outgoing webhook %q takes no messages; its page under Admin › Outgoing webhooks says why", name)
		}
	}
	queue, err := queries.JobQueueState(ctx, db)
	if err != nil && !errors.Is(err, queries.ErrNotFound) {
		return err
	}
	if err == nil && now.Sub(queue.SeenAt) <= queries.JobQueueGone {
		d.Say(queue.FailingSince == nil, "queue of jobs %s: %s", queue.Queue, cmp.Or(queue.Error, "read"))
		if late := now.Sub(queue.SeenAt); late > 5*time.Minute {
			d.Say(false, "queue of jobs %s: no server has read it for %s", queue.Queue, late.Round(time.Minute))
		}
	}
	all, err := queries.Schedules(ctx, db, nil)
	if err != nil || len(all) == 0 {
		return err
	}
	mails := 0
	for _, s := range all {
		if s.Destination == "mail" {
			mails++
		}
	}
	has, err := queries.HasMail(ctx, db)
	if err != nil {
		return err
	}
	if mails > 0 {
		d.Say(has, "mail: %d reports leave by it; it is set up under Admin › Mail", mails)
	}
	failed, err := queries.FailedReports(ctx, db)
	if err != nil {
		return err
	}
	d.Say(len(failed) == 0, "reports: %d, of %d the last run failed", len(all), len(failed))
	for _, name := range failed {
		d.Say(false, "report %q: the last run failed; its page says why", name)
	}
	return nil
}

// audit checks that the audit log is as it was written.
func (d *Diagnosis) audit(ctx context.Context, db queries.DB) error {
	head, err := queries.VerifyAudit(ctx, db)
	var broken *queries.AuditBroken
	if errors.As(err, &broken) {
		d.Say(false, "audit log: %v", broken)
		return nil
	}
	if err == nil {
		d.Say(
			true, "audit log: whole, %d entries; the last is %d with the hash %x", head.ID-head.Gone, head.ID,
			head.Hash,
		)
	}
	return err
}

// people tells whether somebody can sign in and administer.
func (d *Diagnosis) people(ctx context.Context, db queries.DB, now time.Time) error {
	users, err := queries.Accounts(ctx, db)
	if err != nil {
		return err
	}
	admins := 0
	for _, u := range users {
		if u.Role == "admin" && !u.Disabled {
			admins++
		}
	}
	d.Say(admins > 0, "users: %d, %d of them admins", len(users), admins)
	tokens, err := queries.Tokens(ctx, db)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.InForce(now) && slices.ContainsFunc(
			users, func(u access.Account) bool { return u.Disabled && u.Email == t.CreatedBy },
		) {
			d.Say(
				false,
				"token %q: active, created by %s, whose account is disabled. Revoke it under Admin › Tokens if nobody needs it.",
				t.Name, t.CreatedBy,
			)
		}
	}
	rules, err := queries.MaskingRules(ctx, db)
	if err != nil {
		return err
	}
	if err := rules.Measure(); err != nil {
		d.Say(
			false, "masking: %v. Longer texts are replaced as a whole until it is changed under Admin › Masking.", err,
		)
	}
	switch {
	case rules.OnArrival:
		d.Say(true, "masking: personal data are masked when they arrive")
	case rules.OnDisplay:
		d.Say(true, "masking: personal data are stored, and masked on display")
	default:
		d.Say(true, "masking: nothing is masked")
	}
	return nil
}
