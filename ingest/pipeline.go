package ingest

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
	"turnwise/ingest/rasa"
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
	text     []byte
	ends     []int
	at       []string
	events   []*conversation.Event
	rejected []Rejected
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
	decode, ordered := make(chan *chunk), make(chan *chunk, 4)
	g.Go(func() error { return read(ctx, next, decode, ordered) })
	for range 2 {
		g.Go(func() error {
			w.decode(decode, src)
			return nil
		})
	}
	queues := make([]chan *conversation.Event, o.Writers)
	for i := range queues {
		queues[i] = make(chan *conversation.Event, o.Batch)
		g.Go(func() error { return w.drain(ctx, src, queues[i], o, done) })
	}
	g.Go(func() error {
		defer func() {
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
			done(Counts{Rejected: int64(len(c.rejected))})
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
	err := g.Wait()
	return sum, err
}

// read fills chunks and hands each to the decoders and, in the same order, to the router.
func read(ctx context.Context, next func() ([]byte, string, error), decode, ordered chan<- *chunk) error {
	defer close(ordered)
	defer close(decode)
	fresh := func() *chunk {
		return &chunk{ready: make(chan struct{}), text: make([]byte, 0, chunkBytes+chunkBytes/8), ends: make([]int, 0, chunkItems), at: make([]string, 0, chunkItems)}
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
		if errors.Is(err, io.EOF) {
			if len(c.ends) > 0 {
				return flush()
			}
			return nil
		}
		if err != nil {
			return err
		}
		c.text = append(c.text, body...)
		c.ends, c.at = append(c.ends, len(c.text)), append(c.at, position)
		if len(c.text) >= chunkBytes || len(c.ends) >= chunkItems {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

func (w *Writer) decode(in <-chan *chunk, src Source) {
	d := rasa.NewDecoder()
	for c := range in {
		now := w.now()
		text := string(c.text) // one copy, of which the events are parts
		c.text, c.events = nil, make([]*conversation.Event, 0, len(c.ends))
		from := 0
		for i, end := range c.ends {
			body := text[from:end]
			from = end
			e, rej := d.Decode(body, rasa.Intake{Assistant: src.Assistant, Environment: src.Environment}, now)
			if rej != nil {
				c.rejected = append(c.rejected, Rejected{Body: []byte(body), Position: c.at[i], Reason: *rej})
				continue
			}
			c.events = append(c.events, e)
		}
		close(c.ready)
	}
}

// drain stores what comes by the batch.
func (w *Writer) drain(ctx context.Context, src Source, in <-chan *conversation.Event, o Options, done func(Counts)) error {
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
