// Package ingest is the one writer: it takes decoded events, drops what is known, folds the rest into
// conversations and stores everything in one transaction, after which the source may be acknowledged.
package ingest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest/rasa"
	"turnwise/ingest/wire"
	"turnwise/queries"
	"turnwise/queries/failpoint"
	"turnwise/queries/store"
)

// Source is where events come from, and what they do not say of themselves.
type Source struct {
	ID          int64
	Name        string
	Kind        string // file, http, demo, kafka, rabbitmq
	Assistant   string
	Always      bool // its events are Assistant's, whatever they say
	Environment string
	TextTimes   bool        // times may be written as text
	Format      wire.Format // in which it writes; the zero one is Rasa's
	Mapping     *Mapping    // that makes events of its bodies; nil: they are events
	aliases     func() map[string]string

	// called for each try to store that failed and will be repeated, and with nil after one that did not; may be nil
	Trouble    func(err error)
	DeadLetter func(ctx context.Context, rejected []Rejected) error // publishes what was set aside; may be nil
}

// Intake is what the source says of its events.
func (s *Source) Intake() wire.Intake {
	in := wire.Intake{Assistant: s.Assistant, Always: s.Always, Environment: s.Environment, TextTimes: s.TextTimes}
	if s.aliases != nil {
		in.Aliases = s.aliases()
	}
	return in
}

// Mapping makes neutral events of what a platform sends. It is for any number of goroutines.
type Mapping struct {
	Name string
	Map  func(bodies ...string) []wire.Mapped
	// of assistants that its events bring, as JSON: what begins a conversation there; "" for the defaults
	Settings string
}

// Events returns the events in a body of the source: the body itself, or what its mapping makes of it.
func (s *Source) Events(body string) ([]string, *wire.Reject) {
	if s.Mapping == nil {
		return []string{body}, nil
	}
	m := s.Mapping.Map(body)[0]
	return m.Events, m.Reject
}

// NewDecoder returns a decoder of the format in which the source writes.
func (s *Source) NewDecoder() wire.Decoder { return s.format().NewDecoder() }

func (s *Source) format() wire.Format {
	if s.Format.ID == 0 {
		return rasa.Format
	}
	return s.Format
}

func (s *Source) trouble(err error) {
	if s.Trouble != nil {
		s.Trouble(err)
	}
}

// Counts says what became of events.
type Counts struct {
	Stored     int64 // new
	Duplicates int64 // stored before, or of a time of which retention removed the sender's texts; dropped
	Revised    int64 // replaced a stored one, or came as a copy that its redaction had replaced
	Rejected   int64 // set aside

	First, Last int64 // times of the oldest and newest event that is new, in microseconds; 0 when none is
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Stored += o.Stored
	c.Duplicates += o.Duplicates
	c.Revised += o.Revised
	c.Rejected += o.Rejected
	if o.First != 0 && (c.First == 0 || o.First < c.First) {
		c.First = o.First
	}
	c.Last = max(c.Last, o.Last)
}

// Writer stores events. It is safe for any number of goroutines and processes: senders are locked by
// their virtual shards for the length of a transaction, and nothing about them is kept in memory between.
type Writer struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	now     func() time.Time
	metrics *Metrics

	batches chan *store.Batch // whose buffers wait to be used again

	stuck atomic.Bool // the last try to store failed, for a reason that lies in the database

	mu           sync.Mutex
	months       map[string]bool
	names        map[string]bool
	versions     map[store.Version]int64
	settings     map[string]settings            // by assistant
	ruleBook     map[string]*conversation.Rules // by what is set
	environments map[int32]string
	arrival      arrival
	aliases      aliases
}

type settings struct {
	*conversation.Rules
	until time.Time
}

// settingsLife is how long a change of an assistant's settings may go unnoticed.
const settingsLife = 10 * time.Second

// NewWriter returns a writer to the pool.
func NewWriter(pool *pgxpool.Pool, log *slog.Logger) *Writer {
	return &Writer{
		pool: pool, log: log, now: time.Now, batches: make(chan *store.Batch, 4), months: map[string]bool{},
		names:    map[string]bool{},
		versions: map[store.Version]int64{}, settings: map[string]settings{},
		ruleBook: map[string]*conversation.Rules{}, environments: map[int32]string{},
	}
}

// Measure makes the writer count for Prometheus.
func (w *Writer) Measure(m *Metrics) { w.metrics = m }

// Stuck tells whether the last try to store failed, for a reason that lies in the database.
func (w *Writer) Stuck() bool { return w.stuck.Load() }

// Open makes the source known to the database.
func (w *Writer) Open(ctx context.Context, s Source) (Source, error) {
	var err error
	if s.ID, err = store.AddSource(ctx, w.pool, s.Name, s.Kind, s.format().ID); err != nil {
		return s, err
	}
	s.aliases = func() map[string]string { return w.aliasesNow(ctx) }
	return s, nil
}

// Store stores events of one source and returns when they are committed. While the database is away or
// busy it waits and tries again, until ctx ends. An event that cannot be stored, whatever the fold or the database
// makes of it, is set aside alone.
func (w *Writer) Store(ctx context.Context, src Source, events []*conversation.Event) (Counts, error) {
	return w.persevere(ctx, src, events, fewTries)
}

// unit is one sender's share of a batch.
type unit struct {
	id         int64
	events     []*conversation.Event // sorted by key, each identity once
	state      queries.State
	hasState   bool // there is a state
	append     []*conversation.Event
	candidates []*conversation.Event // not later than the newest stored: may be known
	refolding  *refold               // nil when the state can simply be continued

	refused []*conversation.Event // that cannot be stored, as retention removed what they belong to
}

// store is one try.
func (w *Writer) store(ctx context.Context, src Source, events []*conversation.Event) (Counts, error) {
	received := w.now()
	events, unread, err := w.masked(ctx, events)
	if err != nil {
		return Counts{}, err
	}
	if err := w.prepare(ctx, &src, events); err != nil {
		return Counts{}, err
	}
	units, counts := group(events)
	ids, locked := idsOf(units)
	ids = append(ids, w.formerly(ctx, units)...)
	var minute store.Minute
	failpoint.At(failpoint.Decoded)
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		states, erased, err := queries.LockShards(ctx, tx, locked, ids)
		if err != nil {
			return err
		}
		failpoint.At(failpoint.Locked)
		if len(erased) > 0 {
			units = forgotten(units, erased, w.aliasesNow(ctx), &counts)
		}
		for _, u := range units {
			u.state, u.hasState = states[u.id]
			u.split()
		}
		if err := w.dropKnown(ctx, tx, units, &counts); err != nil {
			return err
		}
		batch := w.borrow()
		defer w.giveBack(batch)
		fresh, err := w.fold(ctx, tx, units, batch)
		if err != nil {
			return err
		}
		counts.Stored = int64(len(fresh))
		if batch.Senders > 0 {
			if err := batch.Write(ctx, tx); err != nil {
				return err
			}
		}
		minute = w.minuteOf(fresh, received, &counts)
		minute.Source, minute.Shard = src.ID, locked[0]
		err = store.CountMinute(ctx, tx, minute)
		failpoint.At(failpoint.Written)
		return err
	})
	failpoint.At(failpoint.Committed)
	if err != nil {
		return counts, err
	}
	w.metrics.stored(src.Name, minute, w.now().Sub(received))
	refused := append(unread, sealedEvents(units)...)
	counts.Rejected += int64(len(refused))
	return counts, w.Reject(ctx, src, refused)
}

// idsOf are the senders of a batch, and their shards in order.
func idsOf(units []*unit) (ids []int64, shards []int16) {
	ids = make([]int64, len(units))
	in := map[int16]bool{}
	for i, u := range units {
		ids[i] = u.id
		in[int16(conversation.Shard(u.id))] = true
	}
	return ids, slices.Sorted(maps.Keys(in))
}

// minuteOf counts the events of a batch, and how late they are.
func (w *Writer) minuteOf(fresh []*conversation.Event, received time.Time, counts *Counts) store.Minute {
	m := store.Minute{
		At: received, Stored: counts.Stored, Duplicates: counts.Duplicates, Revised: counts.Revised,
		Types: map[string]int64{},
	}
	committed := w.now().UnixMicro() // as near as can be told before it is
	for _, e := range fresh {
		counts.Add(Counts{First: e.At, Last: e.At})
		m.Delays.Add(time.Duration(committed-e.At) * time.Microsecond)
		m.DelayMS += float64(received.UnixMicro()-e.At) / 1000
		m.NewestAt = max(m.NewestAt, e.At)
		m.Types[counted(e.Type)]++
	}
	return m
}

// sealedEvents are those that are set aside, as retention removed what they would change.
func sealedEvents(units []*unit) (all []Rejected) {
	for _, u := range units {
		for _, e := range u.refused {
			all = append(all, Rejected{
				Body: bodyOf(e), Environment: e.Environment,
				Reason: wire.Reject{
					Code: "sealed", Detail: "it would change a conversation of which retention removed the texts",
					Offset: -1,
				},
			})
		}
	}
	return all
}

// counted is a type as it is counted: what it is called, as far as that is of a length.
func counted(typ string) string {
	const long = 100
	if len(typ) <= long {
		return typ
	}
	return strings.ToValidUTF8(typ[:long], "")
}

// formerly are the ids that the senders would have by other names of their assistants: by these they may have been
// erased.
func (w *Writer) formerly(ctx context.Context, units []*unit) (ids []int64) {
	for name, assistant := range w.aliasesNow(ctx) {
		for _, u := range units {
			if e := u.events[0]; e.Assistant == assistant {
				ids = append(ids, conversation.SenderID(name, e.SenderKey))
			}
		}
	}
	return ids
}

// forgotten leaves out events, from before that, of people who were erased: they count as known, whatever else they
// were.
func forgotten(units []*unit, erased map[int64]int64, aliases map[string]string, counts *Counts) (left []*unit) {
	for _, u := range units {
		n := len(u.events)
		u.events = slices.DeleteFunc(u.events, func(e *conversation.Event) bool {
			until, ok := erased[u.id]
			return ok && e.At <= until
		})
		for name := range aliases {
			if len(u.events) == 0 || aliases[name] != u.events[0].Assistant {
				continue
			}
			if until, ok := erased[conversation.SenderID(name, u.events[0].SenderKey)]; ok { // by the name of then
				via := conversation.SmallID("assistant", name)
				u.events = slices.DeleteFunc(
					u.events, func(e *conversation.Event) bool { return e.Via == via && e.At <= until },
				)
			}
		}
		counts.Duplicates += int64(n - len(u.events))
		if len(u.events) > 0 {
			left = append(left, u)
		}
	}
	return left
}

// bodyOf is an event as it came.
func bodyOf(e *conversation.Event) []byte {
	if e.Original != nil {
		return e.Original
	}
	return []byte(e.Body)
}

// borrow returns an empty batch whose buffers have been used before, if there is one.
func (w *Writer) borrow() *store.Batch {
	select {
	case b := <-w.batches:
		return b
	default:
		return store.NewBatch()
	}
}

func (w *Writer) giveBack(b *store.Batch) {
	b.Reset()
	select {
	case w.batches <- b:
	default:
	}
}

// StoreOne stores a single event that was set aside before; one that cannot be stored again is counted
// as rejected, but not set aside a second time. It does not wait for a database that is away.
func (w *Writer) StoreOne(ctx context.Context, src Source, e *conversation.Event) (Counts, error) {
	for tries := 1; ; tries++ {
		counts, err := w.try(ctx, src, []*conversation.Event{e})
		if err == nil {
			return counts, nil
		}
		switch kindOf(err) {
		case ofData:
			return Counts{Rejected: 1}, nil
		case doubtful:
			w.renew(err)
			if tries < manyTries && pause(ctx, 50*time.Millisecond) == nil {
				continue
			}
		case ofDatabase, ofSetup:
		}
		return counts, err
	}
}

// renew forgets which partitions there are, if retention dropped one meanwhile: they are made again.
func (w *Writer) renew(err error) {
	if queries.NoPartition(err) {
		w.mu.Lock()
		clear(w.months)
		w.mu.Unlock()
	}
}
