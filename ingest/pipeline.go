package ingest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
	"turnwise/ingest/rasa"
	"turnwise/queries"
)

// Options of a pipeline; zero values mean the defaults.
type Options struct {
	Writers int           // transactions side by side; default 2
	Batch   int           // events a transaction at most; default 5,000
	Wait    time.Duration // after which a batch goes that is not full; default 100 ms
	Done    func(Counts)  // called after each commit, from any goroutine; nil: nobody asks
}

// chunkBytes and chunkItems bound what is decoded in one go.
const (
	chunkBytes = 512 << 10
	chunkItems = 1000
)

// chunk is a stretch of the stream on its way through the decoders.
type chunk struct {
	text     strings.Builder
	ends     []int
	at       []string
	events   []*conversation.Event
	rejected []Rejected
	known    int64 // found by a first look
	ready    chan struct{}
}

// Run reads bodies until next returns io.EOF and stores them. Events of one sender keep their order. It
// returns when all is committed, or with the first error that waiting does not mend.
func (w *Writer) Run(ctx context.Context, src Source, next func() (body []byte, position string, err error), o Options) (Counts, error) {
	if o.Writers <= 0 {
		o.Writers = 2
	}
	if o.Batch <= 0 {
		o.Batch = 5000
	}
	if o.Wait <= 0 {
		o.Wait = 100 * time.Millisecond
	}
	g, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	var sum Counts
	done := func(c Counts) {
		mu.Lock()
		sum.Add(c)
		mu.Unlock()
		if o.Done != nil {
			o.Done(c)
		}
	}
	var copies atomic.Int32 // the share of known events lately, in percent: much makes a first look worth its while
	copies.Store(manyCopies)
	var glanced atomic.Int64 // known events that were found so and wait to be counted
	decode, ordered := make(chan *chunk), make(chan *chunk, 4)
	var broken error // of the stream: what came before it is stored all the same
	g.Go(func() error { return read(ctx, next, decode, ordered, &broken) })
	for range 2 {
		g.Go(func() error {
			return w.decode(ctx, decode, src, &copies, &glanced)
		})
	}
	queues := make([]chan *conversation.Event, o.Writers)
	for i := range queues {
		queues[i] = make(chan *conversation.Event, o.Batch)
		g.Go(func() error { return w.drain(ctx, src, queues[i], o, &copies, done) })
	}
	var counted time.Time // of the router alone
	g.Go(func() error {
		defer func() {
			w.countKnown(context.WithoutCancel(ctx), src, &glanced, &counted, 0)
			for _, q := range queues {
				close(q)
			}
		}()
		for c := range ordered {
			select {
			case <-c.ready:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := w.Reject(ctx, src, c.rejected); err != nil {
				return err
			}
			done(Counts{Rejected: int64(len(c.rejected)), Known: c.known})
			w.countKnown(ctx, src, &glanced, &counted, time.Second)
			for _, e := range c.events {
				select {
				case queues[conversation.Shard(e.SenderID)*o.Writers/conversation.Shards] <- e:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return sum, err
	}
	return sum, broken
}

// read fills chunks and hands each to the decoders and, in the same order, to the router.
func read(ctx context.Context, next func() ([]byte, string, error), decode, ordered chan<- *chunk, broken *error) error {
	defer close(ordered)
	defer close(decode)
	fresh := func() *chunk {
		c := &chunk{ready: make(chan struct{}), ends: make([]int, 0, chunkItems), at: make([]string, 0, chunkItems)}
		c.text.Grow(chunkBytes + chunkBytes/8)
		return c
	}
	c := fresh()
	flush := func() error {
		for _, to := range []chan<- *chunk{ordered, decode} {
			select {
			case to <- c:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		c = fresh()
		return nil
	}
	for {
		body, position, err := next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				*broken = err
			}
			if len(c.ends) > 0 {
				return flush()
			}
			return nil
		}
		c.text.Write(body)
		c.ends, c.at = append(c.ends, c.text.Len()), append(c.at, position)
		if c.text.Len() >= chunkBytes || len(c.ends) >= chunkItems {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// manyCopies is the share of known events, in percent, from which chunks are glanced at before they are decoded.
const manyCopies = 50

func (w *Writer) decode(ctx context.Context, in <-chan *chunk, src Source, copies *atomic.Int32, glanced *atomic.Int64) error {
	d := rasa.NewDecoder()
	intake := rasa.Intake{Assistant: src.Assistant, Environment: src.Environment}
	for c := range in {
		now := w.now()
		text := c.text.String() // of which the events are parts
		c.events = make([]*conversation.Event, 0, len(c.ends))
		bodies := make([]string, len(c.ends))
		from := 0
		for i, end := range c.ends {
			bodies[i] = text[from:end]
			from = end
		}
		var known []bool
		if copies.Load() >= manyCopies {
			var err error
			if known, err = w.glance(ctx, d, bodies, intake, copies); err != nil {
				return err
			}
			for _, k := range known {
				if k {
					c.known++
				}
			}
			glanced.Add(c.known)
		}
		for i, body := range bodies {
			if known != nil && known[i] {
				continue
			}
			e, rej := d.Decode(body, intake, now)
			if rej != nil {
				c.rejected = append(c.rejected, Rejected{Body: []byte(body), Position: c.at[i], Reason: *rej})
				continue
			}
			c.events = append(c.events, e)
		}
		close(c.ready)
	}
	return nil
}

// glance finds the bodies that are stored, byte for byte, without decoding them. What it does not find, for
// whatever reason, takes the usual way. A database that is away is waited for there, not here.
func (w *Writer) glance(ctx context.Context, d *rasa.Decoder, bodies []string, in rasa.Intake, copies *atomic.Int32) ([]bool, error) {
	glances := make([]rasa.Glance, len(bodies))
	spans := map[int64]*queries.Stretch{}
	for i, body := range bodies {
		g, ok := d.Glance(body, in)
		if !ok {
			continue
		}
		glances[i] = g
		s := spans[g.Sender]
		if s == nil {
			s = &queries.Stretch{Sender: g.Sender, From: g.At, Until: g.At}
			spans[g.Sender] = s
		}
		s.From, s.Until = min(s.From, g.At), max(s.Until, g.At)
	}
	stretches := make([]queries.Stretch, 0, len(spans))
	for _, s := range spans {
		if s.Until-s.From < 6*farApart { // the events between are read too
			stretches = append(stretches, *s)
		}
	}
	stored, err := queries.StoredBodies(ctx, w.pool, stretches)
	if err != nil {
		if queries.Temporary(err) && ctx.Err() == nil {
			return nil, nil
		}
		return nil, err
	}
	known, n := make([]bool, len(bodies)), int64(0)
	for i, g := range glances {
		if g.BodyHash != 0 && stored[queries.SenderBody{Sender: g.Sender, BodyHash: g.BodyHash}] {
			known[i] = true
			n++
		}
	}
	copies.Store(int32(100 * n / int64(len(bodies))))
	return known, nil
}

// countKnown adds glanced events to the source's counts of the minute, once in that long: they change nothing
// else, and a commit for each chunk would cost more than all the rest.
func (w *Writer) countKnown(ctx context.Context, src Source, glanced *atomic.Int64, last *time.Time, every time.Duration) {
	if now := w.now(); now.Sub(*last) < every || glanced.Load() == 0 {
		return
	}
	n := glanced.Swap(0)
	*last = w.now()
	if err := queries.CountMinute(ctx, w.pool, queries.Minute{Source: src.ID, At: *last, Shard: -1, Known: n}); err != nil {
		w.log.WarnContext(ctx, "known events were not counted", "source", src.Name, "events", n, "error", err)
	}
}

// drain stores what comes by the batch.
func (w *Writer) drain(ctx context.Context, src Source, in <-chan *conversation.Event, o Options, copies *atomic.Int32, done func(Counts)) error {
	var batch []*conversation.Event
	timer := time.NewTimer(o.Wait)
	defer timer.Stop()
	store := func() error {
		if len(batch) == 0 {
			return nil
		}
		counts, err := w.Store(ctx, src, batch)
		if err != nil {
			return err
		}
		copies.Store(int32(100 * counts.Known / int64(len(batch))))
		batch = batch[:0]
		done(counts)
		return nil
	}
	for {
		select {
		case e, ok := <-in:
			if !ok {
				return store()
			}
			if len(batch) == 0 {
				timer.Reset(o.Wait)
			}
			batch = append(batch, e)
			if len(batch) < o.Batch {
				continue
			}
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := store(); err != nil {
			return err
		}
	}
}
