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
	"golang.org/x/sync/semaphore"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/queries"
	"turnwise/queries/store"
)

// Options of a pipeline; zero values mean the defaults.
type Options struct {
	Writers int           // transactions side by side; default 2
	Batch   int           // events a transaction at most; default 5,000
	Wait    time.Duration // after which a batch goes that is not full; default 100 ms
	Done    func(Counts)  // called after each commit, from any goroutine; nil: nobody asks
	// of the whole delivery, where it has been read before; nil: judged as it comes
	Order *Order
	// equal events that stand side by side in it are facts of their own; streams never prove that
	Repeats bool
	// called for each portion in turn, once its bodies are read; nil: nobody asks
	Judged func(readable bool, rejected int)
}

// run is one pipeline at work.
type run struct {
	*Writer
	src     Source
	o       Options
	acker   acker
	copies  atomic.Int32    // the share of known events lately, in percent: much makes a first look worth its while
	glanced atomic.Int64    // known events that were found so and wait to be counted
	resent  atomic.Int64    // redelivered bodies that wait to be counted
	empty   atomic.Int64    // messages that hold nothing and wait to be counted
	flush   []chan struct{} // to each writer: what is in flight is at its bound, so waiting for more is in vain
	mu      sync.Mutex
	sum     Counts
}

func (r *run) done(c Counts) {
	r.mu.Lock()
	r.sum.Add(c)
	r.mu.Unlock()
	if r.o.Done != nil {
		r.o.Done(c)
	}
}

// Run stores what feed returns until io.EOF. Events of one sender keep their order. It returns when all is
// committed, or with the first error that waiting does not mend; an error of the feed ends it likewise, after
// what came before is stored.
func (w *Writer) Run(ctx context.Context, src Source, feed Feed, o Options) (Counts, error) {
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
	r := &run{Writer: w, src: src, o: o}
	r.acker.space = semaphore.NewWeighted(inFlight)
	r.copies.Store(manyCopies)
	decode, ordered := make(chan *chunk), make(chan *chunk, 4)
	for range o.Writers {
		r.flush = append(r.flush, make(chan struct{}, 1))
	}
	var broken error // the feed's
	g.Go(func() error { return r.read(ctx, feed, decode, ordered, &broken) })
	for range 2 {
		g.Go(func() error { return r.decode(ctx, decode) })
	}
	queues := make([]chan item, o.Writers)
	for i := range queues {
		queues[i] = make(chan item, o.Batch)
		g.Go(func() error { return r.drain(ctx, queues[i], r.flush[i]) })
	}
	g.Go(func() error { return r.route(ctx, ordered, queues) })
	if err := g.Wait(); err != nil {
		return r.sum, err
	}
	return r.sum, broken
}

// read hands each portion to the decoders and, in the same order, to the router.
func (r *run) read(ctx context.Context, feed Feed, decode, ordered chan<- *chunk, broken *error) error {
	defer close(ordered)
	defer close(decode)
	for {
		p, err := feed(ctx)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				*broken = err
			}
			return nil
		}
		c := &chunk{Portion: p, ready: make(chan struct{})}
		for _, body := range p.Bodies {
			c.size += int64(len(body))
		}
		c.size = min(c.size, inFlight)
		if err := r.acquire(ctx, c.size); err != nil {
			return err
		}
		c.open.Store(1)
		r.acker.add(c)
		for _, to := range []chan<- *chunk{ordered, decode} {
			select {
			case to <- c:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// acquire waits for space in flight.
func (r *run) acquire(ctx context.Context, size int64) error {
	if r.acker.space.TryAcquire(size) {
		return nil
	}
	for { // again, as what waits may have reached its writer since
		for _, h := range r.flush {
			select {
			case h <- struct{}{}:
			default:
			}
		}
		soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err := r.acker.space.Acquire(soon, size)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// route gives each event to its sender's writer.
func (r *run) route(ctx context.Context, ordered <-chan *chunk, queues []chan item) error {
	var counted time.Time
	defer func() {
		r.countDuplicates(context.WithoutCancel(ctx), &counted, 0)
		for _, q := range queues {
			close(q)
		}
	}()
	places, d := newPlaces(r.o.Order, r.o.Repeats), r.src.NewDecoder()
	tick := time.NewTicker(time.Second) // copies are counted also when nothing follows them
	defer tick.Stop()
	for {
		var c *chunk
		select {
		case next, ok := <-ordered:
			if !ok {
				return nil
			}
			c = next
		case <-tick.C:
			r.countDuplicates(ctx, &counted, 0)
			continue
		}
		select {
		case <-c.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		events, known := r.arrange(c, places, d)
		if err := r.Reject(ctx, r.src, c.rejected); err != nil {
			return err
		}
		if r.o.Judged != nil {
			r.o.Judged(len(events)+int(known) > 0, len(c.rejected))
		}
		r.glanced.Add(known)
		r.done(Counts{Rejected: int64(len(c.rejected)), Duplicates: known})
		r.metrics.count(r.src.Name, Counts{Duplicates: known})
		r.resent.Add(c.Redelivered)
		r.empty.Add(c.Empty)
		r.metrics.again(r.src.Name, c.Redelivered)
		r.countDuplicates(ctx, &counted, time.Second)
		c.open.Add(int64(len(events)))
		for _, e := range events {
			select {
			case queues[conversation.Shard(e.SenderID)*len(queues)/conversation.Shards] <- item{e, c}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		c.entries = nil
		r.acker.done(c, 1)
	}
}

// arrange gives a chunk's events their places. Of those that a first look found among the stored it leaves out the ones
// that change nothing, and counts them.
func (r *run) arrange(c *chunk, places *places, d wire.Decoder) (events []*conversation.Event, known int64) {
	events = make([]*conversation.Event, 0, len(c.entries))
	partOf := func(int) int { return 0 }
	if c.Part != nil {
		partOf = c.Part
	}
	for _, x := range c.entries {
		if x.event != nil {
			place, nth := places.of(part{partOf(int(x.body)), x.event.SenderID}, arrivingOf(x.event))
			give(x.event, place, nth)
			events = append(events, x.event)
			continue
		}
		read := func() *conversation.Event {
			e, rej := d.Decode(c.Bodies[x.body], c.intake(r.src.Intake(), int(x.body)), r.now())
			if rej != nil { // it is stored, so it was read before
				return nil
			}
			return e
		}
		place, nth := places.of(part{partOf(int(x.body)), x.glance.Sender}, arrivingEvent{
			at: x.glance.Time, hash: x.glance.BodyHash, ask: func() bool {
				e := read()
				return e == nil ||
					e.Is(conversation.OwnID)
			},
		})
		if nth == 1 && place <= int(x.place) {
			known++
			continue
		}
		if e := read(); e != nil {
			give(e, place, nth)
			events = append(events, e)
		}
	}
	return events, known
}

// intake is what the delivery says of a body, beside what its source does.
func (c *chunk) intake(in wire.Intake, i int) wire.Intake {
	if c.Assistant != nil && !in.Always {
		if told := name(c.Assistant(i)); told != "" {
			in.Assistant = told
		}
	}
	if c.Environment != nil {
		if told := name(c.Environment(i)); told != "" && told != wire.EnvironmentNotSet {
			in.Environment = told
		}
	}
	return in
}

// manyCopies is the share of known events, in percent, from which chunks are glanced at before they are decoded.
const manyCopies = 50

// name makes what a header says fit for the database, which takes neither NUL nor invalid UTF-8.
func name(told string) string {
	told = strings.ReplaceAll(strings.ToValidUTF8(told, ""), "\x00", "")
	if len(told) > 100 {
		told = strings.ToValidUTF8(told[:100], "")
	}
	return told
}

func (r *run) decode(ctx context.Context, in <-chan *chunk) error {
	d := r.src.NewDecoder()
	for c := range in {
		now, from := r.now(), r.src.Intake()
		c.entries = make([]entry, 0, len(c.Bodies))
		var known []entry
		// What was stored in the clear is to be masked when it comes again, so it must be looked at as a whole.
		if a, err := r.arriving(ctx); err == nil && a.masker == nil && r.src.Mapping == nil && r.copies.Load() >= manyCopies {
			known = r.glance(ctx, d, c)
		}
		var made []wire.Mapped
		if r.src.Mapping != nil {
			made = r.src.Mapping.Map(c.Bodies...)
		}
		for i, body := range c.Bodies {
			if known != nil && known[i].glance != nil {
				c.entries = append(c.entries, known[i])
				continue
			}
			as := wire.Mapped{Events: []string{body}}
			if made != nil {
				as = made[i]
			}
			r.decodeBody(d, c, i, as, c.intake(from, i), now)
		}
		close(c.ready)
	}
	return nil
}

// decodeBody decodes a body, as which it counts itself or what the source's mapping makes of it.
func (r *run) decodeBody(d wire.Decoder, c *chunk, i int, as wire.Mapped, in wire.Intake, now time.Time) {
	aside := func(body string, rej *wire.Reject, mapping string) {
		x := Rejected{Body: []byte(body), Environment: in.Environment, Mapping: mapping, Reason: *rej}
		if c.Position != nil {
			x.Position = c.Position(i)
		}
		c.rejected = append(c.rejected, x)
	}
	if as.Reject != nil {
		aside(c.Bodies[i], as.Reject, r.src.Mapping.Name)
		return
	}
	if len(as.Events) == 0 {
		c.Empty++
	}
	for _, body := range as.Events {
		if e, rej := d.Decode(body, in, now); rej == nil {
			c.entries = append(c.entries, entry{event: e, body: int32(i)})
		} else {
			aside(body, rej, "")
		}
	}
}

// glance finds the bodies that are stored, byte for byte, without decoding them. What it does not find, for
// whatever reason, has no hash and takes the usual way: a first look that fails is only one that finds nothing.
func (r *run) glance(ctx context.Context, d wire.Decoder, c *chunk) []entry {
	bodies := c.Bodies
	glances := make([]wire.Glance, len(bodies))
	spans := map[int64]*store.TimeSpan{}
	from := r.src.Intake()
	for i, body := range bodies {
		g, ok := d.Glance(body, c.intake(from, i))
		if !ok {
			continue
		}
		if g.Redacted { // its place may be that of an original, which must be read to be known
			return nil
		}
		glances[i] = g
		s := spans[g.Sender]
		if s == nil {
			s = &store.TimeSpan{Sender: g.Sender, From: g.At, Until: g.At}
			spans[g.Sender] = s
		}
		s.From, s.Until = min(s.From, g.At), max(s.Until, g.At)
	}
	stretches := make([]store.TimeSpan, 0, len(spans))
	for _, s := range spans {
		if s.Until-s.From < 6*farApart { // the events between are read too
			stretches = append(stretches, *s)
		}
	}
	stored, err := store.StoredBodies(ctx, r.pool, stretches)
	if err != nil {
		if ctx.Err() == nil && !queries.Temporary(err) {
			r.log.WarnContext(ctx, "a first look at what is stored failed", "source", r.src.Name, "error", err)
		}
		return nil
	}
	known, n := make([]entry, len(bodies)), int64(0)
	for i, g := range glances {
		if g.BodyHash == 0 {
			continue
		}
		if place, ok := stored[store.SenderBody{Sender: g.Sender, BodyHash: g.BodyHash}]; ok {
			known[i] = entry{glance: &glances[i], place: int32(max(place, 0)), body: int32(i)}
			n++
		}
	}
	r.copies.Store(int32(100 * n / int64(max(1, len(bodies)))))
	return known
}

// countKnown adds glanced events and redelivered bodies to the source's counts of the minute, once in that
// long: they change nothing else, and a commit for each chunk would cost more than all the rest.
func (r *run) countDuplicates(ctx context.Context, last *time.Time, every time.Duration) {
	if now := r.now(); now.Sub(*last) < every || r.glanced.Load()+r.resent.Load()+r.empty.Load() == 0 {
		return
	}
	m := store.Minute{
		Source: r.src.ID, Shard: -1, Duplicates: r.glanced.Swap(0), Redelivered: r.resent.Swap(0),
		Empty: r.empty.Swap(0),
	}
	*last = r.now()
	m.At = *last
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := store.CountMinute(ctx, r.pool, m); err != nil {
		r.glanced.Add(m.Duplicates) // the next time
		r.resent.Add(m.Redelivered)
		r.empty.Add(m.Empty)
		r.log.WarnContext(
			ctx, "known events were not counted", "source", r.src.Name, "events", m.Duplicates, "error", err,
		)
	}
}

// drain stores what comes by the batch.
func (r *run) drain(ctx context.Context, in <-chan item, hurry <-chan struct{}) error {
	var batch []item
	events := make([]*conversation.Event, 0, r.o.Batch)
	timer := time.NewTimer(r.o.Wait)
	defer timer.Stop()
	store := func() error {
		if len(batch) == 0 {
			return nil
		}
		events = events[:0]
		for _, it := range batch {
			events = append(events, it.event)
		}
		counts, err := r.Store(ctx, r.src, events)
		if err != nil {
			return err
		}
		r.copies.Store(int32(100 * counts.Duplicates / int64(len(batch))))
		r.done(counts)
		for from := 0; from < len(batch); {
			until := from + 1
			for until < len(batch) && batch[until].chunk == batch[from].chunk {
				until++
			}
			r.acker.done(batch[from].chunk, int64(until-from))
			from = until
		}
		clear(batch)
		clear(events)
		batch = batch[:0]
		return nil
	}
	for {
		select {
		case it, ok := <-in:
			if !ok {
				return store()
			}
			if len(batch) == 0 {
				timer.Reset(r.o.Wait)
			}
			batch = append(batch, it)
			if len(batch) < r.o.Batch {
				continue
			}
		case <-timer.C:
		case <-hurry:
			for len(batch) < r.o.Batch && len(in) > 0 {
				batch = append(batch, <-in)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := store(); err != nil {
			return err
		}
	}
}
