package main

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/term"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
)

type exportCmd struct {
	Query    string `help:"Filter, as the address of the list has it behind the question mark: 'range=90d&outcome=escalated'." placeholder:"QUERY"`
	Grain    string `enum:"conversation,turn,message,event" default:"conversation" help:"What a row stands for: ${enum} (${default})."`
	Format   string `enum:"csv,xlsx,jsonl,parquet" default:"csv" help:"How the file is written: ${enum} (${default})."`
	Bare     bool   `help:"Leave out the words about the file at its beginning."`
	Clear    bool   `help:"With personal data in the clear, also where they are masked on display."`
	Out      string `short:"o" default:"-" help:"File to write; - is standard output (${default})." placeholder:"FILE"`
	TimeZone string `name:"time-zone" env:"TURNWISE_TIME_ZONE" help:"Time zone of days and times; default: as it is set in Admin." placeholder:"ZONE"`
}

func (e *exportCmd) Run(c *cli) (err error) {
	kept, err := url.ParseQuery(strings.TrimPrefix(e.Query, "?"))
	if err != nil {
		return fmt.Errorf("--query: %w", err)
	}
	x := report.Wanted{
		Grain: queries.Grain(e.Grain), Format: report.Format(e.Format), Title: "Conversations, by " + e.Grain,
		By: "turnwise export", Bare: e.Bare, Clear: e.Clear,
	}
	return c.with(func(pool *pgxpool.Pool) error {
		_, zone, err := takeUp(c.ctx, pool, e.TimeZone)
		if err != nil {
			return err
		}
		if x.Filter, err = metric.ParseFilter(kept, zone); err != nil {
			return fmt.Errorf("--query: %w", err)
		}
		if x.Filter, err = queries.Survivors(c.ctx, pool, x.Filter); err != nil {
			return err
		}
		out := c.stdout
		if e.Out != "-" {
			partial := e.Out + ".partial" // a file of that name is whole
			f, err := os.Create(partial)
			if err != nil {
				return err
			}
			defer os.Remove(partial)
			defer f.Close()
			out = f
		}
		f, ok := c.stderr.(*os.File)
		live := ok && term.IsTerminal(int(f.Fd()))
		begun, shown := time.Now(), time.Now()
		buffered := bufio.NewWriterSize(out, 1<<16)
		n, err := report.WriteRows(c.ctx, pool, buffered, x, begun, zone, func(n int64) {
			if live && n%500 == 0 && time.Since(shown) > 200*time.Millisecond {
				shown = time.Now()
				fmt.Fprintf(c.stderr, "\r\033[K%d rows", n)
			}
		})
		if live {
			fmt.Fprint(c.stderr, "\r\033[K")
		}
		if err != nil {
			return err
		}
		if err := buffered.Flush(); err != nil {
			return err
		}
		if e.Out != "-" {
			if err := os.Rename(e.Out+".partial", e.Out); err != nil {
				return err
			}
		}
		fmt.Fprintf(c.stderr, "%d rows in %s\n", n, time.Since(begun).Round(time.Millisecond))
		return nil
	})
}
