package doctor

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
)

// mostShown is up to how many conversations a runbook counts.
const mostShown = 10_000

// NoCharts walks through why charts show nothing, step by step: are there data in the database, and if so, do they fall
// into what charts show; if not, do they wait in a queue, are they refused, or does nobody send any. It stops at the step
// that fails, which is the last finding.
func NoCharts(ctx context.Context, db *pgxpool.Pool, now time.Time) (*Diagnosis, error) {
	d := new(Diagnosis)
	totals, err := queries.DatabaseTotals(ctx, db)
	if err != nil {
		return d, err
	}
	if totals.NewestAt == nil {
		d.Say(true, "step 1, data in the database: there are none, so they are lost on the way to it")
		return d, d.noData(ctx, db, now)
	}
	d.Say(
		true, "step 1, data in the database: there are conversations, the newest began %s", clock(totals.NewestAt, now),
	)
	return d, d.noFigures(ctx, db, totals, now)
}

// noData tells why there are no data.
func (d *Diagnosis) noData(ctx context.Context, db queries.DB, now time.Time) error {
	positions, err := queries.Positions(ctx, db)
	if err != nil {
		return err
	}
	waiting := int64(0)
	for _, p := range positions {
		waiting += p.Lag
	}
	reasons, err := queries.RejectedReasons(ctx, db)
	if err != nil {
		return err
	}
	rejected := int64(0)
	for _, r := range reasons {
		rejected += r.Bodies
	}
	if waiting > 0 {
		d.Say(true, "step 2, messages that wait in queues and topics: %d, so they are sent, and not stored", waiting)
		before := len(d.Findings)
		if err := d.sources(ctx, db, now); err != nil {
			return err
		}
		kept := d.Findings[:before]
		for _, f := range d.Findings[before:] {
			if !f.OK {
				kept = append(kept, f)
			}
		}
		if d.Findings = kept; len(kept) == before {
			d.Say(false, "step 3, who reads them: nobody tells of an error. The log of turnwise serve or turnwise ingest says more.")
		}
		return nil
	}
	d.Say(true, "step 2, messages that wait in queues and topics: none that is known of")
	if rejected > 0 {
		for _, r := range reasons {
			d.Say(
				false, "step 3, what arrived: %d of source %q were set aside: %s: %s. Mend and replay them under Data health.",
				r.Bodies, r.Source, r.Code, r.Detail,
			)
		}
		return nil
	}
	d.Say(false, "step 3, what arrived: nothing. Nobody sends events here: see the README for how to send them, and the settings of the sender.")
	return nil
}

// noFigures tells why charts show none of the data that are there.
func (d *Diagnosis) noFigures(ctx context.Context, db queries.DB, totals queries.Totals, now time.Time) error {
	shown := metric.Filter{Range: metric.Range{Days: metric.DefaultDays}}
	n, err := queries.CountConversations(ctx, db, shown, mostShown, now, now.Location())
	if err != nil {
		return err
	}
	if n == 0 {
		all := metric.Filter{Range: metric.Range{Days: metric.MaxDays}}
		ever, err := queries.CountConversations(ctx, db, all, 1, now, now.Location())
		switch {
		case err != nil:
			return err
		case ever == 0 && !totals.NewestAt.After(now):
			d.Say(false, "step 2, data that charts count: none, all conversations are marked as tests (is_test)")
		case totals.NewestAt.After(now):
			d.Say(false, "step 2, data that charts count: none in the last %d days; the newest lie in the future: a sender's clock is ahead", metric.DefaultDays)
		default:
			d.Say(
				false, "step 2, data that charts count: none in the last %d days, which charts show first: choose a longer range, and see whether data still arrive",
				metric.DefaultDays,
			)
		}
		return nil
	}
	d.Say(true, "step 2, data that charts count: %d conversations in the last %d days", n, metric.DefaultDays)
	backlog, err := figures.Backlog(ctx, db)
	if err != nil {
		return err
	}
	if backlog.Hours >= longBacklog {
		d.Say(
			false, "step 3, counting: %d hours wait to be counted, and charts count them from the conversations meanwhile, which takes long. Is turnwise serve or turnwise work running?",
			backlog.Hours,
		)
		return nil
	}
	d.Say(true, "step 3, counting: up to date but for %d hours", backlog.Hours)
	d.Say(true, "charts have all that they need: open /overview?range=28d. If it is empty for somebody, the filter in the address, or the assistants that the account is limited to, leave nothing.")
	return nil
}
