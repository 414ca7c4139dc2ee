// Package ingest is the one writer: it takes decoded events, drops what is known, folds the rest into
// conversations and stores everything in one transaction, after which the source may be acknowledged.
package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest/rasa"
	"turnwise/queries"
)

// Source is where events come from, and what they do not say of themselves.
type Source struct {
	ID          int64
	Name        string
	Kind        string // file, http, demo, kafka, rabbitmq
	Assistant   string
	Environment string

	Trouble    func(err error)                                      // called for each try to store that failed and will be repeated, and with nil after one that did not; may be nil
	DeadLetter func(ctx context.Context, rejected []Rejected) error // publishes what was set aside; may be nil
}

func (s *Source) trouble(err error) {
	if s.Trouble != nil {
		s.Trouble(err)
	}
}

// Counts says what became of events.
type Counts struct {
	Stored   int64 // new
	Known    int64 // stored before; dropped
	Revised  int64 // replaced a stored one, or came as a copy that its redaction had replaced
	Rejected int64 // set aside
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Stored += o.Stored
	c.Known += o.Known
	c.Revised += o.Revised
	c.Rejected += o.Rejected
}

// Writer stores events. It is safe for any number of goroutines and processes: senders are locked by
// their virtual shards for the length of a transaction, and nothing about them is kept in memory between.
type Writer struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	now     func() time.Time
	metrics *Metrics

	batches chan *queries.Batch // whose buffers wait to be used again

	mu           sync.Mutex
	months       map[string]bool
	names        map[string]bool
	versions     map[queries.Version]int64
	settings     map[string]settings
	environments map[int32]string
}

type settings struct {
	*conversation.Settings
	until time.Time
}

// settingsLife is how long a change of an assistant's settings may go unnoticed.
const settingsLife = 10 * time.Second

// NewWriter returns a writer to the pool.
func NewWriter(pool *pgxpool.Pool, log *slog.Logger) *Writer {
	return &Writer{
		pool: pool, log: log, now: time.Now, batches: make(chan *queries.Batch, 4), months: map[string]bool{}, names: map[string]bool{},
		versions: map[queries.Version]int64{}, settings: map[string]settings{}, environments: map[int32]string{},
	}
}

// Measure makes the writer count for Prometheus.
func (w *Writer) Measure(m *Metrics) { w.metrics = m }

// Open makes the source known to the database.
func (w *Writer) Open(ctx context.Context, s Source) (Source, error) {
	var err error
	s.ID, err = queries.AddSource(ctx, w.pool, s.Name, s.Kind)
	return s, err
}

// Store stores events of one source and returns when they are committed. While the database is away or
// busy it waits and tries again, until ctx ends. An event that the database refuses is set aside alone.
func (w *Writer) Store(ctx context.Context, src Source, events []*conversation.Event) (Counts, error) {
	tries := 0
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		counts, err := w.try(ctx, src, events)
		if queries.Conflicting(err) {
			tries++
		}
		switch {
		case err == nil:
			src.trouble(nil)
			w.metrics.count(src.Name, counts)
			return counts, nil
		case queries.BadData(err):
			return w.bisect(ctx, src, events, err)
		case ctx.Err() != nil || !queries.Temporary(err) && !errors.Is(err, context.DeadlineExceeded) || tries > 20:
			return Counts{}, err
		}
		src.trouble(err)
		w.metrics.failed(src.Name)
		w.log.WarnContext(ctx, "the database cannot take events, trying again", "error", err, "source", src.Name)
		if pause(ctx, wait) != nil {
			return Counts{}, err
		}
	}
}

// oneTry is how long a transaction may take before it is given up and begun anew: longer than any lock that
// somebody should hold.
const oneTry = 90 * time.Second

func (w *Writer) try(ctx context.Context, src Source, events []*conversation.Event) (Counts, error) {
	ctx, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	return w.store(ctx, src, events)
}

// pause waits about that long, or until ctx ends.
func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait/2 + rand.N(wait)):
		return nil
	}
}

// bisect halves a refused batch until the bad event stands alone.
func (w *Writer) bisect(ctx context.Context, src Source, events []*conversation.Event, cause error) (Counts, error) {
	if len(events) == 1 {
		e := events[0]
		body := e.Original
		if body == nil {
			body = []byte(e.Body)
		}
		w.log.WarnContext(ctx, "an event was refused by the database and set aside", "source", src.Name, "error", cause)
		err := w.Reject(ctx, src, []Rejected{{Body: body, Reason: rasa.Reject{Code: "store", Detail: "the database refused it", Offset: -1}}})
		return Counts{Rejected: 1}, err
	}
	var sum Counts
	for _, half := range [][]*conversation.Event{events[:len(events)/2], events[len(events)/2:]} {
		c, err := w.Store(ctx, src, half)
		if err != nil {
			return sum, err
		}
		sum.Add(c)
	}
	return sum, nil
}

// unit is one sender's share of a batch.
type unit struct {
	id     int64
	events []*conversation.Event // sorted by key, each identity once
	state  queries.State
	known  bool // there is a state
	append []*conversation.Event
	maybe  []*conversation.Event // not later than the newest stored: may be known
	again  *refold               // nil when the state can simply be continued
}

// store is one try.
func (w *Writer) store(ctx context.Context, src Source, events []*conversation.Event) (Counts, error) {
	received := w.now()
	if err := w.prepare(ctx, events); err != nil {
		return Counts{}, err
	}
	units, counts := group(events)
	ids := make([]int64, len(units))
	shards := map[int16]bool{}
	for i, u := range units {
		ids[i] = u.id
		shards[int16(conversation.Shard(u.id))] = true
	}
	locked := slices.Sorted(maps.Keys(shards))
	var minute queries.Minute
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		states, err := queries.LockShards(ctx, tx, locked, ids)
		if err != nil {
			return err
		}
		for _, u := range units {
			u.state, u.known = states[u.id]
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
		minute = queries.Minute{Source: src.ID, At: received, Shard: locked[0], Stored: counts.Stored, Known: counts.Known, Revised: counts.Revised}
		committed := w.now().UnixMicro() // as near as can be told before it is
		for _, e := range fresh {
			minute.Delays.Add(time.Duration(committed-e.At) * time.Microsecond)
			minute.DelayMS += float64(received.UnixMicro()-e.At) / 1000
			minute.NewestAt = max(minute.NewestAt, e.At)
		}
		return queries.CountMinute(ctx, tx, minute)
	})
	if err == nil {
		w.metrics.stored(src.Name, minute, w.now().Sub(received))
	}
	return counts, err
}

// borrow returns an empty batch whose buffers have been used before, if there is one.
func (w *Writer) borrow() *queries.Batch {
	select {
	case b := <-w.batches:
		return b
	default:
		return new(queries.Batch)
	}
}

func (w *Writer) giveBack(b *queries.Batch) {
	b.Reset()
	select {
	case w.batches <- b:
	default:
	}
}

// group sorts the events into units and drops copies within the batch.
func group(events []*conversation.Event) (units []*unit, counts Counts) {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b *conversation.Event) int {
		if c := cmp.Compare(a.SenderID, b.SenderID); c != 0 {
			return c
		}
		return a.Key().Compare(b.Key())
	})
	for from := 0; from < len(events); {
		until := from + 1
		for until < len(events) && events[until].SenderID == events[from].SenderID {
			until++
		}
		u := &unit{id: events[from].SenderID}
		for _, e := range events[from:until] {
			if n := len(u.events); n > 0 && u.events[n-1].ID == e.ID {
				if replaces(e, u.events[n-1], &counts) {
					u.events[n-1] = e
				}
				continue
			}
			u.events = append(u.events, e)
		}
		u.events = redactReplies(u.events, &counts)
		units = append(units, u)
		from = until
	}
	return units, counts
}

// replaces decides between two events of one identity and counts what came of it.
func replaces(e, old *conversation.Event, counts *Counts) bool {
	if e.BodyHash == old.BodyHash {
		counts.Known++
		return false
	}
	digest, oldDigest := rasa.Digest(e.Body), rasa.Digest(old.Body)
	if digest == oldDigest {
		counts.Known++
		return false
	}
	counts.Revised++
	return conversation.Prefer(e, old, digest, oldDigest)
}

// supersedes tells whether a redacted reply e takes the place of old: replies have no identity but their
// text, so a redacted copy is known by its instant and its response's name.
func supersedes(e, old *conversation.Event) bool {
	return reply(e) && reply(old) && e.Time == old.Time && e.Type == old.Type && e.Name == old.Name && e.RedactedAt > old.RedactedAt
}

func reply(e *conversation.Event) bool {
	return e.Type == conversation.TypeBot || e.Type == conversation.TypeAgent
}

// redactReplies drops replies of which the same batch holds a later redacted copy.
func redactReplies(events []*conversation.Event, counts *Counts) []*conversation.Event {
	if !slices.ContainsFunc(events, func(e *conversation.Event) bool { return e.RedactedAt != 0 && reply(e) }) {
		return events
	}
	return slices.DeleteFunc(events, func(old *conversation.Event) bool {
		gone := slices.ContainsFunc(events, func(e *conversation.Event) bool { return e != nil && supersedes(e, old) })
		if gone {
			counts.Revised++
		}
		return gone
	})
}

// split parts the events that must be new from those that may be known.
func (u *unit) split() {
	u.append, u.maybe = u.events, nil
	if !u.known {
		return
	}
	n, _ := slices.BinarySearchFunc(u.events, u.state.Newest, func(e *conversation.Event, t float64) int {
		if e.Time > t {
			return 1
		}
		return -1
	})
	u.maybe, u.append = u.events[:n:n], u.events[n:]
}

// farApart is the gap between events, in microseconds, at which a look-up is cut in two.
const farApart = 10 * 60 * 1e6

// dropKnown looks up the events that may be stored and keeps those that are new or change something.
func (w *Writer) dropKnown(ctx context.Context, tx pgx.Tx, units []*unit, counts *Counts) error {
	var stretches []queries.Stretch
	for _, u := range units {
		for i, e := range u.maybe {
			if n := len(stretches) - 1; i > 0 && e.At-stretches[n].Until < farApart {
				stretches[n].Until = max(stretches[n].Until, e.At)
				continue
			}
			stretches = append(stretches, queries.Stretch{Sender: u.id, From: e.At, Until: e.At})
		}
	}
	if len(stretches) == 0 {
		return nil
	}
	stored, err := queries.StoredEvents(ctx, tx, stretches)
	if err != nil {
		return fmt.Errorf("look up stored events: %w", err)
	}
	byID := make(map[conversation.UUID]*queries.StoredEvent, len(stored))
	type instant struct {
		sender, at int64
	}
	replies := map[instant][]*queries.StoredEvent{}
	for i := range stored {
		s := &stored[i]
		byID[s.ID] = s
		if s.Type != "" {
			k := instant{s.Sender, s.At}
			replies[k] = append(replies[k], s)
		}
	}
	for _, u := range units {
		for _, e := range u.maybe {
			if s, ok := byID[e.ID]; ok && s.Sender == u.id {
				if s.BodyHash == e.BodyHash {
					counts.Known++
					continue
				}
				old, err := w.load(ctx, tx, *s, e)
				if err != nil {
					return err
				}
				if replaces(e, old, counts) {
					u.refold().replace(e, e.ID)
				}
				continue
			}
			if reply(e) {
				settled, err := w.redactStored(ctx, tx, u, e, replies[instant{u.id, e.At}], counts)
				if err != nil {
					return err
				}
				if settled {
					continue
				}
			}
			u.refold().insert(e)
		}
	}
	return nil
}

// redactStored settles a reply whose instant the store holds already: it may be the redacted copy of a
// stored one, or the original of a stored redaction.
func (w *Writer) redactStored(ctx context.Context, tx pgx.Tx, u *unit, e *conversation.Event, stored []*queries.StoredEvent, counts *Counts) (settled bool, err error) {
	for _, s := range stored {
		if e.RedactedAt == 0 && s.Flags&conversation.FlagRedacted == 0 || s.Type != e.Type || s.Name != e.Name {
			continue
		}
		old, err := w.load(ctx, tx, *s, e)
		if err != nil {
			return false, err
		}
		switch {
		case supersedes(old, e):
			counts.Revised++
			return true, nil
		case supersedes(e, old):
			counts.Revised++
			u.refold().replace(e, s.ID)
			settled = true
		}
	}
	return settled, nil
}

// load reads a stored event of e's sender back.
func (w *Writer) load(ctx context.Context, tx pgx.Tx, s queries.StoredEvent, e *conversation.Event) (*conversation.Event, error) {
	body, err := queries.Body(ctx, tx, s)
	if err != nil {
		return nil, err
	}
	old, rej := rasa.NewDecoder().Decode(body, rasa.Intake{Assistant: e.Assistant, Stored: true}, time.Time{})
	if rej != nil {
		return nil, fmt.Errorf("stored event %s: %w", s.ID, rej)
	}
	old.BodyHash = s.BodyHash
	return old, nil
}

// fold projects the units into the batch and returns the events that are new.
func (w *Writer) fold(ctx context.Context, tx pgx.Tx, units []*unit, batch *queries.Batch) (fresh []*conversation.Event, err error) {
	projections := make(map[*unit]*conversation.Projection, len(units))
	var keys []queries.ConversationKey
	for _, u := range units {
		if len(u.append) == 0 && u.again == nil {
			continue
		}
		p := new(conversation.Projection)
		if u.known && u.again == nil {
			// A state of another version, or a damaged one: the stored events tell all.
			if p, err = conversation.UnmarshalProjection(u.state.Bytes); err != nil {
				u.refold().all = true
			}
		}
		projections[u] = p
		if u.known && u.again == nil {
			keys = append(keys, sessions(u, p)...)
		}
	}
	var first map[queries.ConversationKey]conversation.Key
	if len(keys) > 0 {
		if first, err = queries.FirstKeys(ctx, tx, keys); err != nil {
			return nil, fmt.Errorf("look up conversations: %w", err)
		}
	}
	for _, u := range units {
		p := projections[u]
		if len(u.append) == 0 && u.again == nil {
			continue
		}
		e := u.events[0]
		rules, err := w.rules(ctx, tx, e.Assistant)
		if err != nil {
			return nil, err
		}
		sender := queries.Sender{ID: u.id, Assistant: e.Assistant, Key: e.SenderKey, Stored: u.known}
		if u.again == nil {
			stored := func(id conversation.UUID) (conversation.Key, bool) {
				key, ok := first[queries.ConversationKey{Sender: u.id, ID: id}]
				return key, ok
			}
			if !u.known {
				stored = nil
			}
			changes, back, ok := conversation.NewFold(p, rules, stored).Project(u.append)
			if ok {
				sender.Projection, sender.Changes = p, changes
				batch.Add(sender)
				fresh = append(fresh, u.append...)
				continue
			}
			u.refold().reach(back)
		}
		u.again.inserted = append(u.again.inserted, u.append...)
		if sender.Projection, sender.Changes, err = w.foldAgain(ctx, tx, sender, u.again, rules); err != nil {
			return nil, err
		}
		batch.Add(sender)
		fresh = append(fresh, u.again.inserted...)
	}
	return fresh, nil
}

// sessions lists the conversations that the unit's events name and that are not the current one.
func sessions(u *unit, p *conversation.Projection) (keys []queries.ConversationKey) {
	last := ""
	if p.Current != nil {
		last = p.Current.SessionID
	}
	for _, e := range u.append {
		if e.SessionID != "" && e.SessionID != last {
			keys = append(keys, queries.ConversationKey{Sender: u.id, ID: conversation.SessionUUID(e)})
			last = e.SessionID
		}
	}
	return keys
}

// rules returns the settings of an assistant, read at most every ten seconds.
func (w *Writer) rules(ctx context.Context, db queries.DB, assistant string) (*conversation.Settings, error) {
	w.mu.Lock()
	s, ok := w.settings[assistant]
	w.mu.Unlock()
	if now := w.now(); ok && now.Before(s.until) {
		return s.Settings, nil
	}
	loaded, err := queries.AssistantSettings(ctx, db, assistant)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.settings[assistant] = settings{&loaded, w.now().Add(settingsLife)}
	w.mu.Unlock()
	return &loaded, nil
}

// prepare makes the partitions and names that the events need.
func (w *Writer) prepare(ctx context.Context, events []*conversation.Event) error {
	names := queries.Names{Assistants: map[string]bool{}, Environments: map[string]bool{}, Channels: map[string]bool{}, Versions: map[queries.Version]int64{}}
	months := map[string]int64{}
	var month string
	var from, until int64
	last := new(conversation.Event) // most of its names are the next one's too
	w.mu.Lock()
	for _, e := range events {
		if e.At < from || e.At >= until || month == "" {
			t := time.UnixMicro(e.At).UTC()
			start := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
			month, from, until = t.Format("2006-01"), start.UnixMicro(), start.AddDate(0, 1, 0).UnixMicro()
			if !w.months[month] {
				months[month] = e.At
			}
		}
		if e.Assistant != last.Assistant && !w.names["a"+e.Assistant] {
			names.Assistants[e.Assistant] = true
		}
		if e.Environment != last.Environment && e.Environment != "" && !w.names["e"+e.Environment] {
			names.Environments[e.Environment] = true
		}
		if e.Channel != last.Channel && e.Channel != "" && !w.names["c"+e.Channel] {
			names.Channels[e.Channel] = true
		}
		again := e.Assistant == last.Assistant && e.ModelID == last.ModelID && e.ModelName == last.ModelName && e.At >= last.At
		if last = e; again || e.ModelID == "" && e.ModelName == "" {
			continue
		}
		v := queries.Version{Assistant: e.Assistant, ModelID: e.ModelID, ModelName: e.ModelName}
		if first, ok := w.versions[v]; !ok || e.At < first {
			if first, ok := names.Versions[v]; !ok || e.At < first {
				names.Versions[v] = e.At
			}
		}
	}
	w.mu.Unlock()
	for _, at := range months {
		if err := queries.EnsureMonth(ctx, w.pool, at); err != nil {
			return err
		}
	}
	if err := queries.AddNames(ctx, w.pool, names); err != nil {
		return fmt.Errorf("add names: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for m := range months {
		w.months[m] = true
	}
	for prefix, set := range map[string]map[string]bool{"a": names.Assistants, "e": names.Environments, "c": names.Channels} {
		for name := range set {
			w.names[prefix+name] = true
		}
	}
	maps.Copy(w.versions, names.Versions)
	return nil
}

// StoreOne stores a single event that was set aside before; one that the database refuses again is counted
// as rejected, but not set aside a second time.
func (w *Writer) StoreOne(ctx context.Context, src Source, e *conversation.Event) (Counts, error) {
	counts, err := w.store(ctx, src, []*conversation.Event{e})
	if queries.BadData(err) {
		return Counts{Rejected: 1}, nil
	}
	return counts, err
}
