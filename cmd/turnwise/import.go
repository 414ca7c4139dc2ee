package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/term"

	"turnwise/ingest"
	"turnwise/ingest/file"
	"turnwise/ingest/wire"
	"turnwise/queries"
)

// bulkWait is how long bulk work may gather a batch: nobody waits for a single event of it.
const bulkWait = time.Second

type importCmd struct {
	Files           []string `arg:"" help:"Files to read; - is standard input." placeholder:"FILE"`
	Assistant       string   `default:"default" help:"Assistant of events that name none (${default})."`
	AssistantAlways bool     `help:"All events belong to that assistant, whichever they name: for bots that name another at each training."`
	Environment     string   `help:"Environment of the events, such as production."`
	Format          string   `default:"rasa" enum:"${formats}" help:"How the events are written: ${enum} (${default})."`
	Mapping         string   `help:"Mapping that makes events of what is read: the name of one that comes with Turnwise (turnwise mapping list), or a file." placeholder:"NAME|FILE"`
	At              string   `help:"Time of what tells none, such as chats in OpenAI's form; default: that of the file." placeholder:"TIME"`
	Sender          string   `help:"Sender of the events that name none." placeholder:"KEY"`
	Force           bool     `help:"Import a file even when none of its first lines is an event."`
	Source          string   `help:"Name of the source in Data health; default: the file's name."`
	Writers         int      `default:"2" help:"Transactions side by side (${default})."`
	Batch           int      `default:"5000" help:"Events a transaction at most (${default})."`
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
	source := i.Source
	if source == "" {
		source = "file: " + filepath.Base(name)
	}
	format, _ := ingest.FormatNamed(i.Format) // one of the names
	mapping, done, err := i.mapping(name)
	if err != nil {
		return err
	}
	defer done()
	if mapping != nil {
		format, _ = ingest.FormatNamed("neutral")
	}
	src, err := w.Open(ctx, ingest.Source{
		Format: format, Name: source, Kind: "file", Assistant: i.Assistant, Always: i.AssistantAlways, Environment: i.Environment,
		TextTimes: true, Mapping: mapping,
	})
	if err != nil {
		return err
	}
	o := ingest.Options{Writers: i.Writers, Batch: i.Batch, Wait: bulkWait, Done: t.add, Repeats: true}
	info, err := os.Stat(name)
	again := name != "-" && err == nil && info.Mode().IsRegular() // it can be read twice
	if again {
		t.size += 2 * info.Size()
		if o.Order, err = i.survey(ctx, src, name, t); err != nil {
			return err
		}
	}
	in, done, err := i.open(name, t)
	if err != nil {
		return err
	}
	defer done()
	next, err := i.checked(src, in.Next)
	if err != nil {
		return err
	}
	if again && src.Mapping == nil && o.Order.Shuffled() {
		size := info.Size()
		if in.Packed {
			size *= unpackedRatio
		}
		var done func()
		if next, done, err = sorted(ctx, src, next, size); err != nil {
			return err
		}
		defer done()
	}
	_, err = w.Run(ctx, src, ingest.Bodies(func() (ingest.Body, error) {
		it, err := next()
		if err == nil {
			t.read.Add(1)
		}
		return ingest.Body{
			Bytes: it.Body, Position: it.Position, Part: it.Part, Assistant: it.Assistant, Environment: it.Environment,
		}, err
	}), o)
	return err
}

// survey reads a file to learn of the order in it.
func (i *importCmd) survey(ctx context.Context, src ingest.Source, name string, t *tally) (*ingest.Order, error) {
	in, done, err := i.open(name, t)
	if err != nil {
		return nil, err
	}
	defer done()
	next, err := i.checked(src, in.Next)
	if err != nil {
		return nil, err
	}
	order, d := ingest.NewOrder(), src.NewDecoder()
	for n := 0; ; n++ {
		it, err := next()
		if errors.Is(err, io.EOF) {
			return order, nil
		}
		if err == nil && n%1000 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		events, _ := src.Events(string(it.Body)) // what cannot be mapped is set aside later
		for _, body := range events {
			if g, ok := src.Of(it.Assistant).Look(d, body, time.Now()); ok {
				order.Note(it.Part, g)
			}
		}
	}
}

// The first events of a file: when none of them can be read, the file is another one than was meant.
const (
	firstEvents = 1000
	firstBytes  = 16 << 20
)

// checked returns what next does, after it looked at the first events.
func (i *importCmd) checked(src ingest.Source, next func() (file.Item, error)) (func() (file.Item, error), error) {
	if i.Force {
		return next, nil
	}
	var first []file.Item
	var reason *wire.Reject
	same := true // it is that of all
	var end error
	d, size, readable := src.NewDecoder(), 0, false
	for !readable && end == nil && len(first) < firstEvents && size < firstBytes {
		it, err := next()
		if err != nil {
			end = err
			break
		}
		it.Body = bytes.Clone(it.Body)
		first, size = append(first, it), size+len(it.Body)
		if rej := src.Check(d, string(it.Body), time.Now()); rej == nil {
			readable = true
		} else if reason == nil {
			reason = rej
		} else {
			same = same && rej.Detail == reason.Detail
		}
	}
	// Of a short file what cannot be read is set aside, unless one remedy helps all of it.
	remedied := errors.Is(end, io.EOF) && same && reason != nil && remedy(reason) != ""
	if !readable && reason != nil {
		if name := formatOf(first[0].Body, src); name != "" {
			return nil, fmt.Errorf("these are events of the format %s: read them with --format %s", name, name)
		}
	}
	if !readable && reason != nil && (end == nil || remedied) {
		return nil, noEvents(len(first), reason)
	}
	return func() (file.Item, error) {
		if len(first) > 0 {
			it := first[0]
			first = first[1:]
			return it, nil
		}
		if end != nil {
			return file.Item{}, end
		}
		return next()
	}, nil
}

// formatOf names the format of which a body is an event, "" when it is of none.
func formatOf(body []byte, src ingest.Source) string {
	for _, f := range ingest.Formats {
		of := src
		of.Format = f
		if rej := of.Check(f.NewDecoder(), string(body), time.Now()); rej == nil {
			return f.Name
		}
	}
	return ""
}

// remedy says what helps where no event of a file can be read, "" where nothing is known.
func remedy(first *wire.Reject) string {
	switch {
	case first.Code == wire.CodeSender:
		return "a file of one sender's events is read with --sender KEY; for more than one have the sender in each " +
			"row, as docs/events.md says"
	case first.Code == wire.CodeJSON && strings.Contains(first.Detail, "Python"):
		return "docs/events.md says how"
	}
	return ""
}

// noEvents says that a file is another one than was meant, and what may help.
func noEvents(n int, first *wire.Reject) error {
	help := cmp.Or(remedy(first), "docs/events.md says which shapes are read")
	lines := fmt.Sprintf("none of the first %d lines is an event", n)
	if n == 1 {
		lines = "its only line is no event"
	}
	return fmt.Errorf(
		"%s (the first: %s), so nothing was imported; %s; --force imports the file all the same", lines, first.Detail,
		help,
	)
}

// sorted puts the events of a file that is in no order into one, so that none has to wait for another.
func sorted(
	ctx context.Context, src ingest.Source, next func() (file.Item, error), size int64,
) (func() (file.Item, error), func(), error) {
	d, n := src.NewDecoder(), 0
	keyed, done, err := file.Sort(func() (file.Keyed, error) {
		it, err := next()
		if n++; err == nil && n%1000 == 0 {
			err = ctx.Err()
		}
		g, _ := src.Of(it.Assistant).Look(d, string(it.Body), time.Now())
		return file.Keyed{Item: it, Sender: g.Sender, Time: g.Time}, err
	}, size)
	if err != nil {
		return nil, nil, err
	}
	return func() (file.Item, error) { it, err := keyed(); return it.Item, err }, done, nil
}

// unpackedRatio is how many times larger than its file a text is that is packed, about.
const unpackedRatio = 12

// open opens a file, - for standard input; done closes it.
func (i *importCmd) open(name string, t *tally) (in *file.Reader, done func(), err error) {
	f := os.Stdin
	if name != "-" {
		if f, err = os.Open(name); err != nil {
			return nil, nil, err
		}
	}
	in, err = file.Open(f, i.Sender, func(r io.Reader) io.Reader { return counting{r, &t.bytes} })
	done = func() {
		if in != nil {
			in.Close()
		}
		if f != os.Stdin {
			f.Close()
		}
	}
	if err != nil {
		done()
		return in, done, err
	}
	in.Whole = i.Mapping != ""
	return in, done, nil
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
		n := t.counts.Stored + t.counts.Duplicates + t.counts.Revised + t.counts.Rejected
		t.mu.Unlock()
		share := ""
		switch {
		case t.total.Load() > 0:
			share = bar(float64(n) / float64(t.total.Load()))
		case t.size > 0:
			share = bar(float64(t.bytes.Load()) / float64(t.size))
		}
		fmt.Fprintf(
			t.c.stderr, "\r\033[K%s %s %d events, %.0f/s", t.verb, share, n, float64(n)/time.Since(t.begun).Seconds(),
		)
	}
}

func bar(share float64) string {
	const width = 30
	full := min(int(share*width), width)
	return fmt.Sprintf(
		"[%s%s] %3.0f %%", bytes.Repeat([]byte("#"), full), bytes.Repeat([]byte("."), width-full), min(100*share, 100),
	)
}

// finish prints the summary, with the reasons of what was rejected.
func (t *tally) finish(ctx context.Context, pool *pgxpool.Pool) {
	close(t.stop)
	t.drawn.Wait()
	n := t.counts
	seconds := time.Since(t.begun).Seconds()
	read := max(t.read.Load(), n.Stored+n.Duplicates+n.Revised+n.Rejected)
	fmt.Fprintf(
		t.c.stdout,
		"read           %d\nstored         %d\nalready known  %d\nrevised        %d\nrejected       %d\nevents/s  "+
			"     %.0f\n",
		read, n.Stored, n.Duplicates, n.Revised, n.Rejected, float64(read)/seconds,
	)
	if n.First != 0 {
		fmt.Fprintf(t.c.stdout, "first          %s\nlast           %s\n", stamp(n.First), stamp(n.Last))
	}
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

// stamp writes a time of an event.
func stamp(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05 UTC")
}
