// Command bench measures ingest against plain COPY, and the pages, in one run on one machine: what counts
// are the ratios. It prints a table and writes bench.json.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"slices"

	"turnwise/ingest/mapped"
	"turnwise/localdb"
	"turnwise/queries"
)

// figure is one measured number.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal,omitempty"`
}

type bench struct {
	ctx     context.Context
	server  *localdb.Server
	log     *slog.Logger
	events  int
	reps    int
	quick   bool
	dir     string
	figures []figure
}

func main() {
	mapped.WorkIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	events := flag.Int("events", 150000, "events of one measurement")
	reps := flag.Int("reps", 3, "repetitions, of which the median counts")
	large := flag.Int("conversations", 350000, "conversations in the large database; 0 leaves it out")
	dir := flag.String("dir", "", "folder for the database; default: a temporary one")
	out := flag.String("out", "bench.json", "file for the figures")
	only := flag.String("only", "", "ingest, formats, odd, oddpages, crowd, streams, pages, search, reports, schemas or api; default: all")
	quick := flag.Bool("quick", false, "measure ingest with 2 writers and batches of 5,000 alone")
	profile := flag.String("cpuprofile", "", "write a profile of this process to a file")
	flag.Parse()
	debug.SetGCPercent(300) // as the program does
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if *dir == "" {
		d, err := folder()
		if err != nil {
			return err
		}
		defer os.RemoveAll(d)
		*dir = d
	}
	server, err := localdb.Start(ctx, localdb.Config{Dir: *dir})
	if err != nil {
		return err
	}
	defer server.Stop()
	b := &bench{
		ctx: ctx, server: server, log: slog.New(slog.DiscardHandler), events: *events, reps: *reps, quick: *quick,
		dir: *dir,
	}
	if err := b.measure(*only, *large); err != nil || *only == "oddpages" {
		return err
	}
	text, err := json.MarshalIndent(b.figures, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(text, '\n'), 0o644)
}

// folder makes a temporary folder for the database.
func folder() (string, error) {
	d, err := os.MkdirTemp("", "turnwise-bench-")
	if err != nil {
		return "", err
	}
	return d, os.Chmod(d, 0o755)
}

// measure measures what is asked for, "" for all.
func (b *bench) measure(only string, large int) error {
	if only == "" || only == "ingest" {
		if err := b.ingest(); err != nil {
			return err
		}
	}
	if only == "" || only == "formats" {
		if err := b.formats(); err != nil {
			return err
		}
	}
	if only == "" || only == "odd" {
		if err := b.odd(); err != nil {
			return err
		}
	}
	if only == "oddpages" {
		return b.oddPages()
	}
	if only == "" || only == "crowd" {
		if err := b.crowd(); err != nil {
			return err
		}
		if err := b.hanging(); err != nil {
			return err
		}
	}
	if only == "" || only == "streams" {
		if err := b.streams(); err != nil {
			return err
		}
	}
	if large > 0 && (only == "" || only == "search") {
		if err := b.search(large); err != nil {
			return err
		}
	}
	if large > 0 && (only == "" || only == "reports") {
		if err := b.reports(large); err != nil {
			return err
		}
	}
	if large > 0 && (only == "" || only == "schemas") {
		if err := b.schemas(large); err != nil {
			return err
		}
	}
	if large > 0 && (only == "" || only == "api") {
		if err := b.api(large); err != nil {
			return err
		}
	}
	if large > 0 && slices.Contains([]string{"", "ingest", "pages"}, only) {
		if err := b.large(large, only != "ingest", only != "pages"); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) note(name string, value float64, unit, goal string) {
	b.figures = append(b.figures, figure{name, value, unit, goal})
	fmt.Printf("%-64s %12.3f %-10s %s\n", name, value, unit, goal)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// fresh makes an empty, migrated database and returns its address and how to drop it.
func (b *bench) fresh(name string) (url string, drop func() error, err error) {
	admin, err := queries.Open(b.ctx, b.server.KeeperURL(), 2)
	if err != nil {
		return "", nil, err
	}
	for _, sql := range []string{
		"drop database if exists " + name + " with (force)", "create database " + name + " owner turnwise",
	} {
		if _, err := admin.Exec(b.ctx, sql); err != nil {
			admin.Close()
			return "", nil, err
		}
	}
	url = replaceDatabase(b.server.URL(), name)
	pool, err := queries.Open(b.ctx, url, 4)
	if err != nil {
		return "", nil, err
	}
	defer pool.Close()
	_, err = queries.Migrate(b.ctx, pool)
	return url, func() error {
		defer admin.Close()
		_, err := admin.Exec(b.ctx, "drop database "+name+" with (force)")
		return err
	}, err
}
