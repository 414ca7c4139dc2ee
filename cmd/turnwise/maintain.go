package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/term"

	"turnwise/doctor"
	"turnwise/ingest"
	"turnwise/localdb"
	"turnwise/queries"
	"turnwise/queries/figures"
)

type rebuildCmd struct {
	Assistant string `help:"Only the conversations of this assistant."`
	Figures   bool   `help:"Only count the figures of the charts again; the jobs do it in the background."`
}

func (b *rebuildCmd) Run(c *cli) error {
	log := c.logger()
	return c.with(func(pool *pgxpool.Pool) error {
		if b.Figures {
			return figures.RebuildRollups(c.ctx, pool)
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
				fmt.Fprintf(
					c.stderr, "\r\033[Krebuilding %s %d of %d senders", bar(float64(n)/float64(max(total, 1))), n,
					total,
				)
			}
		})
		if live {
			fmt.Fprint(c.stderr, "\r\033[K")
		}
		fmt.Fprintf(
			c.stdout, "rebuilt %d of %d senders in %s\n", done, total, time.Since(begun).Round(time.Millisecond),
		)
		return err
	})
}

type doctorCmd struct {
	Runbook string `enum:",no-charts" default:"" help:"Walk through one question step by step, and name the step that fails: no-charts." placeholder:"NAME"`

	streamFlags `embed:""`
}

func (f *doctorCmd) Run(c *cli) error {
	sources, err := f.configured(c.getenv)
	if err != nil {
		return err
	}
	found := new(doctor.Diagnosis)
	runs, err := c.private(found)
	if err != nil {
		return err
	}
	if !runs {
		return c.tell(found)
	}
	return c.with(func(pool *pgxpool.Pool) error {
		_, zone, err := takeUp(c.ctx, pool, "")
		if err != nil {
			return err
		}
		if f.Runbook == "no-charts" {
			d, err := doctor.NoCharts(c.ctx, pool, time.Now().In(zone))
			if err != nil {
				return err
			}
			brokers(c.ctx, d, sources) // what nobody read yet is known to them alone
			return c.tell(d)
		}
		d, err := doctor.Diagnose(c.ctx, pool, version, time.Now().In(zone))
		if err != nil {
			return err
		}
		if err := queries.Storable(c.ctx, pool); err != nil {
			found.Say(false, "storing: %v", err)
		}
		brokers(c.ctx, d, sources)
		found.Findings = append(found.Findings, d.Findings...)
		return c.tell(found)
	})
}

// little is how much room on a disk is a reason to look.
const little = 1 << 30

// private looks at the private database, if that is what is configured, without starting it.
func (c *cli) private(d *doctor.Diagnosis) (runs bool, err error) {
	if c.DatabaseURL != "" || c.DatabaseURLFile != "" {
		return true, nil
	}
	dir, err := c.dataDir()
	if err != nil {
		return false, err
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err == nil {
		free := uint64(disk.Bavail) * uint64(disk.Bsize)
		d.Say(free > little, "disk: %.1f GB are free where %s lies", float64(free)/1e9, dir)
	}
	runs = localdb.Running(c.ctx, dir)
	if !runs {
		d.Say(
			false, "database: the private PostgreSQL of %s does not run; start turnwise serve. Its log is %s", dir,
			filepath.Join(dir, "postgres.log"),
		)
	}
	return runs, nil
}

// tell prints what was found, and fails when somebody should look.
func (c *cli) tell(d *doctor.Diagnosis) error {
	bad := false
	for _, f := range d.Findings {
		sign := "ok    "
		if !f.OK {
			sign, bad = "LOOK  ", true
		}
		fmt.Fprintln(c.stdout, sign+f.Text)
	}
	if bad {
		return errReported
	}
	return nil
}

// brokers asks each configured broker: does it answer, do topic, queue and group exist and may they be read,
// and how far behind is the reading.
func brokers(ctx context.Context, d *doctor.Diagnosis, sources []sourceConfig) {
	for i := range sources {
		consumer, kind := sources[i].consumer()
		asking, cancel := context.WithTimeout(ctx, 15*time.Second)
		positions, err := consumer.Positions(asking)
		if err == nil {
			if err := consumer.Check(asking); err != nil {
				d.Say(false, "broker of source %q (%s): %v", sources[i].Name, kind, err)
			}
		}
		cancel()
		consumer.Close()
		if err != nil {
			d.Say(false, "broker of source %q (%s): %v", sources[i].Name, kind, err)
			continue
		}
		lag, fresh := int64(0), 0
		for _, p := range positions {
			lag += p.Lag
			if p.Newest != nil && p.Committed == nil {
				fresh++
			}
		}
		d.Say(
			len(positions) > 0, "broker of source %q (%s): answers; %d partitions or queues, %d messages wait",
			sources[i].Name, kind, len(positions), lag,
		)
		if fresh > 0 {
			d.Say(
				true, "broker of source %q (%s): the group has committed nothing yet in %d of them", sources[i].Name,
				kind, fresh,
			)
		}
	}
}
