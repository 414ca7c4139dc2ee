package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/queries"
)

type demoCmd struct {
	Conversations int    `default:"12000" help:"How many conversations (${default})."`
	Days          int    `default:"90" help:"Over how many days, until now (${default})."`
	Seed          uint64 `default:"1" help:"Other numbers give other conversations (${default})."`
	Kind          string `default:"all" enum:"all,rasa,desk" help:"What is generated: assistants of Rasa, a live-chat desk with an assistant of another platform, or all (${default})."`
	Out           string `help:"Write the events to this file instead of storing them; - is standard output. Those of Rasa, or with --kind=desk neutral ones." placeholder:"FILE"`
}

func (d *demoCmd) Run(c *cli) error {
	if d.Conversations < 1 || d.Days < 1 || d.Days > 3650 {
		return errors.New("--conversations and --days must be positive, --days at most 3,650")
	}
	o := demo.Options{Conversations: d.Conversations, Days: d.Days, Until: time.Now(), Seed: d.Seed}
	if d.Out != "" {
		if d.Kind == "desk" {
			return writeDemo(c, demo.NewDesk(o), d.Out)
		}
		return writeDemo(c, demo.New(o), d.Out)
	}
	log := c.logger()
	pool, done, err := c.open(c.ctx, log, 6)
	if err != nil {
		return err
	}
	defer done()
	return storeDemo(c, pool, ingest.NewWriter(pool, log), o, d.Kind)
}

// generator yields events.
type generator interface{ Next() ([]byte, bool) }

func writeDemo(c *cli, g generator, name string) error {
	out := c.stdout
	if name != "-" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	b := bufio.NewWriterSize(out, 1<<20)
	for body, ok := g.Next(); ok; body, ok = g.Next() {
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if _, err := b.Write(append(body, '\n')); err != nil {
			return err
		}
	}
	return b.Flush()
}

// storeDemo sends the demo through the same way as any other events.
func storeDemo(c *cli, pool *pgxpool.Pool, w *ingest.Writer, o demo.Options, kind string) error {
	t := newTally(c, "storing demo data")
	var err error
	if kind != "desk" {
		err = storeFrom(c, w, demo.New(o), "rasa", "demo", t)
	}
	if kind != "rasa" && err == nil {
		err = storeFrom(c, w, demo.NewDesk(o), "neutral", "demo, live chat", t)
	}
	t.finish(c.ctx, pool)
	if err != nil {
		return err
	}
	return queries.Analyze(c.ctx, pool)
}

func storeFrom(c *cli, w *ingest.Writer, g generator, format, name string, t *tally) error {
	of, _ := ingest.FormatNamed(format) // one that there is
	src, err := w.Open(c.ctx, ingest.Source{
		Name: name, Kind: "demo", Format: of, Assistant: "demo", Environment: "production",
	})
	if err != nil {
		return err
	}
	_, err = w.Run(c.ctx, src, ingest.Bodies(func() (ingest.Body, error) {
		body, ok := g.Next()
		if !ok {
			return ingest.Body{}, io.EOF
		}
		t.read.Add(1)
		return ingest.Body{Bytes: body}, nil
	}), ingest.Options{Wait: bulkWait, Done: t.add})
	return err
}

// loadDemo fills an empty database.
func loadDemo(c *cli, pool *pgxpool.Pool, w *ingest.Writer) error {
	any, err := queries.HasConversations(c.ctx, pool)
	if err != nil || any {
		return err
	}
	fmt.Fprintln(c.stdout, "The database is empty; loading demo data.")
	return storeDemo(c, pool, w, demo.Defaults(time.Now()), "all")
}
