package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/term"

	"turnwise/ingest"
	"turnwise/queries"
)

type rebuildCmd struct {
	Assistant string `help:"Only the conversations of this assistant."`
	Figures   bool   `help:"Only count the figures of the charts again; the jobs do it in the background."`
}

func (b *rebuildCmd) Run(c *cli) error {
	log := c.logger()
	return c.with(func(pool *pgxpool.Pool) error {
		if b.Figures {
			return queries.RebuildRollups(c.ctx, pool)
		}
		total, err := queries.CountSenders(c.ctx, pool, b.Assistant)
		if err != nil {
			return err
		}
		if total == 0 && b.Assistant != "" {
			return fmt.Errorf("there are no events of an assistant %q", b.Assistant)
		}
		f, ok := c.stderr.(*os.File)
		live := ok && term.IsTerminal(int(f.Fd()))
		begun, done := time.Now(), 0
		err = ingest.NewWriter(pool, log).Rebuild(c.ctx, b.Assistant, func(n int) {
			done = n
			if live {
				fmt.Fprintf(c.stderr, "\r\033[Krebuilding %s %d of %d senders", bar(float64(n)/float64(max(total, 1))), n, total)
			}
		})
		if live {
			fmt.Fprint(c.stderr, "\r\033[K")
		}
		fmt.Fprintf(c.stdout, "rebuilt %d of %d senders in %s\n", done, total, time.Since(begun).Round(time.Millisecond))
		return err
	})
}

type doctorCmd struct {
	streamFlags `embed:""`
}

func (f *doctorCmd) Run(c *cli) error {
	sources, err := f.configured(c.getenv)
	if err != nil {
		return err
	}
	return c.with(func(pool *pgxpool.Pool) error {
		d, err := diagnose(c, pool)
		if err != nil {
			return err
		}
		d.brokers(c.ctx, sources)
		for _, line := range d.lines {
			fmt.Fprintln(c.stdout, line)
		}
		if d.bad {
			return errReported
		}
		return nil
	})
}

type diagnosis struct {
	lines []string
	bad   bool
}

func (d *diagnosis) say(ok bool, format string, args ...any) {
	sign := "ok    "
	if !ok {
		sign, d.bad = "LOOK  ", true
	}
	d.lines = append(d.lines, sign+fmt.Sprintf(format, args...))
}

// brokers asks each configured broker: does it answer, do topic, queue and group exist and may they be read,
// and how far behind is the reading.
func (d *diagnosis) brokers(ctx context.Context, sources []sourceConfig) {
	for i := range sources {
		consumer, kind := sources[i].consumer()
		asking, cancel := context.WithTimeout(ctx, 15*time.Second)
		positions, err := consumer.Positions(asking)
		if err == nil {
			if err := consumer.Check(asking); err != nil {
				d.say(false, "broker of source %q (%s): %v", sources[i].Name, kind, err)
			}
		}
		cancel()
		consumer.Close()
		if err != nil {
			d.say(false, "broker of source %q (%s): %v", sources[i].Name, kind, err)
			continue
		}
		lag, fresh := int64(0), 0
		for _, p := range positions {
			lag += p.Lag
			if p.Newest != nil && p.Committed == nil {
				fresh++
			}
		}
		d.say(len(positions) > 0, "broker of source %q (%s): answers; %d partitions or queues, %d messages wait", sources[i].Name, kind, len(positions), lag)
		if fresh > 0 {
			d.say(true, "broker of source %q (%s): the group has committed nothing yet in %d of them", sources[i].Name, kind, fresh)
		}
	}
}

// readers tells whether anybody reads a broker's source, and how that goes.
func (d *diagnosis) readers(ctx context.Context, pool *pgxpool.Pool, s queries.SourceHealth, now time.Time) error {
	pause, err := queries.SourcePause(ctx, pool, s.ID)
	if err != nil {
		return err
	}
	if pause.At != nil {
		d.say(false, "source %q is paused since %s by %s: %s. Resume it on its page under Data health.", s.Name, pause.At.UTC().Format(time.RFC3339), pause.By, pause.Why)
	}
	members, err := queries.Members(ctx, pool, now.Add(-15*time.Second))
	if err != nil {
		return err
	}
	reading := 0
	for _, m := range members {
		switch {
		case m.SourceID != s.ID || m.State == ingest.Stopped:
			continue
		case m.State == ingest.Reading || m.State == ingest.Paused:
			d.say(true, "source %q: %s is %s", s.Name, m.Member, m.State)
		default:
			d.say(false, "source %q: %s is %s: %s", s.Name, m.Member, m.State, cmp.Or(m.Reason, m.Error, "no reason yet"))
		}
		reading++
	}
	if reading == 0 {
		d.say(false, "source %q: no process reads it; start turnwise serve or turnwise ingest with its broker", s.Name)
	}
	return nil
}

// audit checks that the audit log is as it was written.
func (d *diagnosis) audit(ctx context.Context, pool *pgxpool.Pool) error {
	head, err := queries.VerifyAudit(ctx, pool)
	var broken *queries.AuditBroken
	if errors.As(err, &broken) {
		d.say(false, "audit log: %v", broken)
		return nil
	}
	if err == nil {
		d.say(true, "audit log: whole, %d entries; the last is %d with the hash %x", head.ID-head.Gone, head.ID, head.Hash)
	}
	return err
}

// manyWaiting is how many senders are hardly waiting for the next run of the job alone.
const manyWaiting = 20_000

// diagnose answers: is data in the database, is it arriving, what is rejected, what cannot be trusted.
func diagnose(c *cli, pool *pgxpool.Pool) (*diagnosis, error) {
	d := new(diagnosis)
	now := time.Now()
	current, err := queries.Migrated(c.ctx, pool)
	if err != nil {
		return d, err
	}
	if current {
		d.say(true, "schema: up to date with turnwise %s", version)
	} else {
		d.say(false, "schema: older than turnwise %s; run turnwise migrate", version)
	}
	totals, err := queries.DatabaseTotals(c.ctx, pool)
	if err != nil {
		return d, err
	}
	d.say(true, "database: %.1f MB", float64(totals.Bytes)/1e6)
	if totals.NewestAt == nil {
		d.say(false, "conversations: none. Send events over HTTP or import a file; see the README.")
	} else {
		d.say(true, "conversations: about %d of %d assistants, about %d events; the newest began %s", totals.Conversations, totals.Assistants, totals.Events, totals.NewestAt.UTC().Format(time.RFC3339))
	}
	sources, err := queries.SourcesHealth(c.ctx, pool, now, now.Truncate(24*time.Hour))
	if err != nil {
		return d, err
	}
	for _, s := range sources {
		last := "never"
		if s.LastReceivedAt != nil {
			last = s.LastReceivedAt.UTC().Format(time.RFC3339)
		}
		d.say(true, "source %q (%s): last arrival %s; in the last hour %d stored; today %d duplicates, %d rejected", s.Name, s.Kind, last, s.LastHour, s.Known, s.Rejected)
		if s.Kind == "kafka" || s.Kind == "rabbitmq" {
			if err := d.readers(c.ctx, pool, s, now); err != nil {
				return d, err
			}
		}
	}
	reasons, err := queries.RejectedReasons(c.ctx, pool)
	if err != nil {
		return d, err
	}
	for _, r := range reasons {
		d.say(false, "rejected: %d of source %q: %s: %s. Mend and replay them under Data health.", r.Bodies, r.Source, r.Code, r.Detail)
	}
	silent, err := queries.SilentAssistants(c.ctx, pool, now.AddDate(0, 0, -30))
	for _, s := range silent {
		d.say(false, "assistant %q: no hand-off in 30 days over at least %d conversations; its containment cannot be trusted unless nobody is handed to a person", s.Assistant, s.Conversations)
	}
	if current {
		waiting, err := queries.SearchBacklog(c.ctx, pool)
		if err != nil {
			return d, err
		}
		d.say(waiting < manyWaiting, "search: %d senders wait to be indexed; turnwise serve or turnwise work does so within seconds", waiting)
	}
	if current {
		if err := d.audit(c.ctx, pool); err != nil {
			return d, err
		}
	}
	users, err2 := queries.Users(c.ctx, pool)
	if err == nil {
		err = err2
	}
	d.say(len(users) > 0, "users: %d", len(users))
	return d, err
}
