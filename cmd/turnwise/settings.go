package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/user"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/config"
	"turnwise/conversation"
	"turnwise/format"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
)

type settingsCmd struct {
	Export settingsExportCmd `cmd:"" help:"Write all settings as YAML."`
	Apply  settingsApplyCmd  `cmd:"" help:"Make the settings what a YAML file says; what it does not name stays."`
}

type settingsExportCmd struct {
	Out string `short:"o" default:"-" help:"File to write; - is standard output (${default})." placeholder:"FILE"`
}

func (e *settingsExportCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		all, err := config.Read(c.ctx, pool)
		if err != nil {
			return err
		}
		b, err := yaml.MarshalWithOptions(all, yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
		if err != nil {
			return err
		}
		if e.Out != "-" {
			return os.WriteFile(e.Out, b, 0o600)
		}
		_, err = c.stdout.Write(b)
		return err
	})
}

type settingsApplyCmd struct {
	File   string `arg:"" help:"File to read; - is standard input."`
	DryRun bool   `name:"dry-run" help:"Only say what would change; exit with an error if anything would."`
}

func (a *settingsApplyCmd) Run(c *cli) error {
	in := io.Reader(os.Stdin)
	if a.File != "-" {
		f, err := os.Open(a.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, 10<<20))
	if err != nil {
		return err
	}
	if f, err := parser.ParseBytes(b, 0); err == nil && len(f.Docs) > 1 {
		return fmt.Errorf("%s: holds %d documents, divided by ---; settings are one", a.File, len(f.Docs))
	}
	var want config.Settings
	if err := yaml.UnmarshalWithOptions(b, &want, yaml.Strict()); err != nil {
		return fmt.Errorf("%s: %s", a.File, yaml.FormatError(err, false, true))
	}
	return c.with(func(pool *pgxpool.Pool) error {
		now := time.Now()
		who := queries.Actor{Name: "command line"}
		if u, err := user.Current(); err == nil {
			who.Name += " (" + u.Username + ")"
		}
		n := 0
		err := pgx.BeginFunc(c.ctx, pool, func(tx pgx.Tx) error {
			changes, err := config.Plan(c.ctx, tx, want, conversation.UUID{}, who.Name, now)
			if err != nil {
				return err
			}
			n = len(changes)
			for _, x := range changes {
				fmt.Fprintln(c.stdout, x.Words())
				if a.DryRun {
					continue
				}
				if err := x.Apply(c.ctx, tx, who, now); err != nil {
					return err
				}
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case n == 0:
			fmt.Fprintln(c.stdout, "Everything is as the file says.")
		case a.DryRun:
			return fmt.Errorf("%d settings would change", n)
		default:
			fmt.Fprintf(c.stdout, "%d settings changed.\n", n)
		}
		return nil
	})
}

// takeUp puts the settings of the workspace in force in this process, with the zone that a flag says in place of theirs
// ("" for none).
func takeUp(ctx context.Context, db queries.DB, flag string) (queries.Workspace, *time.Location, error) {
	w, err := queries.WorkspaceSettings(ctx, db)
	if err != nil {
		return w, nil, err
	}
	name := w.TimeZone
	if flag != "" {
		name = flag
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return w, nil, fmt.Errorf("time zone: %q is not known here; write it as in Europe/Berlin", name)
	}
	metric.WeeksBegin(w.Day())
	format.WriteNumbers(w.Signs())
	return w, zone, nil
}

// lookEvery is how often a process looks whether the settings of the workspace changed.
const lookEvery = 2 * time.Second

// changed is closed when what a process goes by is other than it was.
func changed[T comparable](ctx context.Context, was T, look func(ctx context.Context) (T, error)) <-chan struct{} {
	out := make(chan struct{})
	go func() {
		tick := time.NewTicker(lookEvery + rand.N(2*lookEvery)) // not all of them at once
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if now, err := look(ctx); err == nil && now != was {
				close(out)
				return
			}
		}
	}()
	return out
}

// takeUpAgain tries until the settings are in force, while the database is away.
func takeUpAgain(
	ctx context.Context, c *cli, log *slog.Logger, take func() (queries.Workspace, *jobs.Client, error),
) (now queries.Workspace, work *jobs.Client, err error) {
	for {
		now, work, err = take()
		if err == nil || !queries.Temporary(err) {
			return now, work, err
		}
		log.WarnContext(ctx, "the database is away while settings are taken up, trying again", "error", err)
		select {
		case <-c.ctx.Done():
			return now, nil, nil
		case <-time.After(time.Second):
		}
	}
}

// errAgain asks for a process to begin anew, with other settings.
var errAgain = errors.New("the settings of the workspace changed")
