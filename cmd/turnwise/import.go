package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/term"

	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/ingest/file"
	"turnwise/queries"
)

// bulkWait is how long bulk work may gather a batch: nobody waits for a single event of it.
const bulkWait = time.Second

type importCmd struct {
	Files       []string `arg:"" help:"Files to read; - is standard input." placeholder:"FILE"`
	Assistant   string   `default:"default" help:"Assistant of events that name none (${default})."`
	Environment string   `help:"Environment of the events, such as production."`
	Source      string   `help:"Name of the source in Data health; default: the file's name."`
	Writers     int      `default:"2" help:"Transactions side by side (${default})."`
	Batch       int      `default:"5000" help:"Events a transaction at most (${default})."`
}

func (i *importCmd) Run(c *cli) error {
	for _, name := range i.Files {
		if _, err := os.Stat(name); name != "-" && err != nil {
			return err // before anything is begun
		}
	}
	log := c.logger()
	pool, done, err := c.open(c.ctx, log, i.Writers+4)
	if err != nil {
		return err
	}
	defer done()
	w := ingest.NewWriter(pool, log)
	t := newTally(c, "importing")
	for _, name := range i.Files {
		if err = i.file(c.ctx, w, name, t); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			break
		}
	}
	t.finish(c.ctx, pool)
	switch {
	case err != nil:
		return fmt.Errorf("stopped; importing again is safe: %w", err)
	case t.counts.Rejected > 0:
		return errReported
	}
	return nil
}

func (i *importCmd) file(ctx context.Context, w *ingest.Writer, name string, t *tally) error {
	var in io.Reader = os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			t.size += info.Size()
		}
		in = f
	}
	source := i.Source
	if source == "" {
		source = "file: " + filepath.Base(name)
	}
	src, err := w.Open(ctx, ingest.Source{Name: source, Kind: "file", Assistant: i.Assistant, Environment: i.Environment})
	if err != nil {
		return err
	}
	buffered := bufio.NewReaderSize(counting{in, &t.bytes}, 1<<20)
	var text io.Reader = buffered
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return err
		}
		text = z
	}
	s := file.NewSplitter(text)
	_, err = w.Run(ctx, src, ingest.Bodies(func() ([]byte, string, error) {
		it, err := s.Next()
		if err == nil {
			t.read.Add(1)
		}
		return it.Body, it.Position, err
	}), ingest.Options{Writers: i.Writers, Batch: i.Batch, Wait: bulkWait, Done: t.add})
	return err
}

// counting counts the bytes that pass.
type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// tally counts what became of events and draws progress on a terminal.
type tally struct {
	c           *cli
	verb        string
	size        int64        // bytes of the files opened so far; 0 when not known
	total       atomic.Int64 // events expected; 0 when not known
	bytes, read atomic.Int64
	begun       time.Time
	stop        chan struct{}
	drawn       sync.WaitGroup

	mu     sync.Mutex
	counts ingest.Counts
}

func newTally(c *cli, verb string) *tally {
	t := &tally{c: c, verb: verb, begun: time.Now(), stop: make(chan struct{})}
	if f, ok := c.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.drawn.Go(t.draw)
	}
	return t
}

func (t *tally) add(c ingest.Counts) {
	t.mu.Lock()
	t.counts.Add(c)
	t.mu.Unlock()
}

func (t *tally) draw() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			fmt.Fprint(t.c.stderr, "\r\033[K")
			return
		case <-tick.C:
		}
		t.mu.Lock()
		n := t.counts.Stored + t.counts.Known + t.counts.Revised + t.counts.Rejected
		t.mu.Unlock()
		share := ""
		switch {
		case t.total.Load() > 0:
			share = bar(float64(n) / float64(t.total.Load()))
		case t.size > 0:
			share = bar(float64(t.bytes.Load()) / float64(t.size))
		}
		fmt.Fprintf(t.c.stderr, "\r\033[K%s %s %d events, %.0f/s", t.verb, share, n, float64(n)/time.Since(t.begun).Seconds())
	}
}

func bar(share float64) string {
	const width = 30
	full := min(int(share*width), width)
	return fmt.Sprintf("[%s%s] %3.0f %%", bytes.Repeat([]byte("#"), full), bytes.Repeat([]byte("."), width-full), min(100*share, 100))
}

// finish prints the summary, with the reasons of what was rejected.
func (t *tally) finish(ctx context.Context, pool *pgxpool.Pool) {
	close(t.stop)
	t.drawn.Wait()
	n := t.counts
	seconds := time.Since(t.begun).Seconds()
	read := max(t.read.Load(), n.Stored+n.Known+n.Revised+n.Rejected)
	fmt.Fprintf(t.c.stdout, "read           %d\nstored         %d\nalready known  %d\nrevised        %d\nrejected       %d\nevents/s       %.0f\n", read, n.Stored, n.Known, n.Revised, n.Rejected, float64(read)/seconds)
	if n.Rejected == 0 {
		return
	}
	reasons, err := queries.RejectedReasons(context.WithoutCancel(ctx), pool)
	if err != nil {
		fmt.Fprintln(t.c.stderr, "the reasons cannot be read:", err)
		return
	}
	fmt.Fprintln(t.c.stdout, "what was rejected waits under Data health, each with its line:")
	for _, r := range reasons {
		if r.LastAt.Before(t.begun) {
			continue // of others
		}
		fmt.Fprintf(t.c.stdout, "  %7d  %s: %s (%s)\n", r.Bodies, r.Code, r.Detail, r.Source)
	}
}

type demoCmd struct {
	Conversations int    `default:"12000" help:"How many conversations (${default})."`
	Days          int    `default:"90" help:"Over how many days, until now (${default})."`
	Seed          uint64 `default:"1" help:"Other numbers give other conversations (${default})."`
	Out           string `help:"Write the events to this file instead of storing them; - is standard output." placeholder:"FILE"`
}

func (d *demoCmd) Run(c *cli) error {
	if d.Conversations < 1 || d.Days < 1 || d.Days > 3650 {
		return errors.New("--conversations and --days must be positive, --days at most 3,650")
	}
	g := demo.New(demo.Options{Conversations: d.Conversations, Days: d.Days, Until: time.Now(), Seed: d.Seed})
	if d.Out != "" {
		return writeDemo(c, g, d.Out)
	}
	log := c.logger()
	pool, done, err := c.open(c.ctx, log, 6)
	if err != nil {
		return err
	}
	defer done()
	return storeDemo(c, pool, ingest.NewWriter(pool, log), g)
}

func writeDemo(c *cli, g *demo.Generator, name string) error {
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
func storeDemo(c *cli, pool *pgxpool.Pool, w *ingest.Writer, g *demo.Generator) error {
	src, err := w.Open(c.ctx, ingest.Source{Name: "demo", Kind: "demo", Assistant: "demo", Environment: "production"})
	if err != nil {
		return err
	}
	t := newTally(c, "storing demo data")
	_, err = w.Run(c.ctx, src, ingest.Bodies(func() ([]byte, string, error) {
		body, ok := g.Next()
		if !ok {
			return nil, "", io.EOF
		}
		t.read.Add(1)
		return body, "", nil
	}), ingest.Options{Wait: bulkWait, Done: t.add})
	t.finish(c.ctx, pool)
	if err != nil {
		return err
	}
	return queries.Analyze(c.ctx, pool)
}

// loadDemo fills an empty database.
func loadDemo(c *cli, pool *pgxpool.Pool, w *ingest.Writer) error {
	any, err := queries.HasConversations(c.ctx, pool)
	if err != nil || any {
		return err
	}
	fmt.Fprintln(c.stdout, "The database is empty; loading demo data.")
	return storeDemo(c, pool, w, demo.New(demo.Defaults(time.Now())))
}
