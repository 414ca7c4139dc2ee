package ingest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/mask"
	"turnwise/queries"
	"turnwise/queries/store"
)

// refold is what makes it necessary to fold a sender again from stored events.
type refold struct {
	all      bool             // from the very first event
	from     conversation.Key // else from the conversation that was current at this key
	set      bool
	state    queries.State // of the fold as it stands, to go on with when nothing can be folded again
	inserted []*conversation.Event
	refused  []*conversation.Event                     // that belong to such a conversation
	replaced map[conversation.UUID]*conversation.Event // by the id of the stored event that goes
	moved    map[conversation.UUID]bool                // of those, the ones that only get another place
	gone     map[conversation.UUID]bool                // stored events that go to another sender
}

func (u *unit) refold() *refold {
	if u.refolding == nil {
		u.refolding = &refold{state: u.state, replaced: map[conversation.UUID]*conversation.Event{}}
	}
	return u.refolding
}

// reach makes the refold begin no later than key.
func (r *refold) reach(key conversation.Key) {
	if !r.set || key.Compare(r.from) < 0 {
		r.from, r.set = key, true
	}
}

func (r *refold) insert(e *conversation.Event) {
	r.inserted = append(r.inserted, e)
	r.reach(e.Key())
}

func (r *refold) replace(e *conversation.Event, old conversation.UUID) {
	r.replaced[old] = e
	key := e.Key()
	delete(r.moved, old)
	r.reach(conversation.Key{Time: key.Time, Place: -1})
}

// move gives a stored event a place behind the one it has.
func (r *refold) move(old *conversation.Event, place int32) {
	if already := r.replaced[old.ID]; already != nil {
		already.Place = max(already.Place, place)
		return
	}
	old.Place = place
	r.replace(old, old.ID)
	if r.moved == nil {
		r.moved = map[conversation.UUID]bool{}
	}
	r.moved[old.ID] = true
}

// affected returns how many of the conversations, which are sorted by their first keys, are left as they
// are: those before the one that was current at from, and before any that reaches beyond that one's start.
func affected(all []store.StoredConversation, from conversation.Key) int {
	begin, _ := slices.BinarySearchFunc(all, from, func(c store.StoredConversation, k conversation.Key) int {
		if c.First.Compare(k) <= 0 {
			return -1
		}
		return 1
	})
	begin = max(begin-1, 0)
	// One that an event of KindMayBegin began may owe its start to the event behind it: then this may come to
	// belong to the one before.
	if begin > 0 && all[begin].First.Rank == conversation.RankOfMayBegin {
		begin--
	}
	for i := begin - 1; i >= 0; i-- {
		if all[i].LastAt >= all[begin].StartedAt {
			begin = i
		}
	}
	return begin
}

// refuse sets aside the events that would change conversations that cannot be folded again, which are those up to the
// last one of which retention removed the texts, and returns how many these are.
func (r *refold) refuse(all []store.StoredConversation) int {
	floor, until := 0, int64(0)
	sealed := map[conversation.UUID]bool{}
	for i, c := range all {
		if c.TextsRemoved {
			floor = i + 1
		}
	}
	for _, c := range all[:floor] {
		until = max(until, c.LastAt)
		sealed[c.ID] = true
	}
	r.inserted = slices.DeleteFunc(r.inserted, func(e *conversation.Event) bool {
		out := e.SessionID != "" && sealed[conversation.SessionUUID(e)]
		if out {
			r.refused = append(r.refused, e)
		}
		return out
	})
	for id, e := range r.replaced {
		if e.At <= until {
			if !r.moved[id] {
				r.refused = append(r.refused, e)
			}
			delete(r.replaced, id)
		}
	}
	return floor
}

// refuseBefore sets aside what comes before the end of what cannot be folded again.
func (r *refold) refuseBefore(newest conversation.Key) {
	r.inserted = slices.DeleteFunc(r.inserted, func(e *conversation.Event) bool {
		out := e.Key().Compare(newest) <= 0
		if out {
			r.refused = append(r.refused, e)
		}
		return out
	})
}

// foldAgain folds a sender's affected conversations again from their stored events together with the new ones, and
// deletes their old rows. The caller writes the new, if there are any: the projection is nil where nothing can be
// folded.
func (w *Writer) foldAgain(
	ctx context.Context, tx pgx.Tx, s store.Sender, r *refold, rules *conversation.Rules,
) (*conversation.Projection, *conversation.Changes, error) {
	all, err := store.SenderConversations(ctx, tx, s.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("load conversations: %w", err)
	}
	floor := r.refuse(all)
	for {
		begin := floor
		if !r.all && r.set {
			begin = max(begin, affected(all, r.from))
		}
		p, err := r.before(ctx, tx, s, all, begin)
		if err != nil {
			return nil, nil, err
		}
		if p == nil && begin > floor { // of another version: then everything is folded
			r.all = true
			continue
		}
		p = cmp.Or(p, new(conversation.Projection))
		if floor > 0 && begin == floor {
			r.refuseBefore(p.Newest)
		}
		again, err := w.stored(ctx, tx, s, all[begin:], r.replaced)
		if err != nil {
			return nil, nil, err
		}
		events := append(
			slices.DeleteFunc(again.events, func(e *conversation.Event) bool { return r.gone[e.ID] }), r.inserted...,
		)
		if len(events) == 0 && floor > 0 {
			return nil, nil, nil // all was refused
		}
		events = redactCopies(events, new(Counts))
		plain := events
		if events, err = w.hideRepeats(ctx, p.Told, events); err != nil {
			return nil, nil, err
		}
		changes, back, ok := conversation.NewFold(p, rules, firstsIn(all[floor:begin])).Project(events)
		if !ok && begin == floor && floor > 0 { // there is no going back further
			if len(r.inserted) == 0 {
				return nil, nil, fmt.Errorf("%w: sender %d, again behind what retention removed", errUnfit, s.ID)
			}
			r.refused, r.inserted = append(r.refused, r.inserted...), nil
			continue
		}
		if !ok {
			r.all = r.all || begin == 0 || !r.set
			r.reach(back)
			continue
		}
		hidden, err := again.makeWay(ctx, tx, s.ID, plain, events)
		if err != nil {
			return nil, nil, err
		}
		return p, changes, w.forgetOriginals(ctx, tx, s.ID, r, hidden)
	}
}

// before is the state of the fold before the conversation at begin; nil where the one that is kept is of another
// version.
func (r *refold) before(
	ctx context.Context, tx pgx.Tx, s store.Sender, all []store.StoredConversation, begin int,
) (*conversation.Projection, error) {
	switch {
	case begin == 0 && len(all) > 0:
		// Of a sender of whom retention deleted the beginning, that was told of the user which stands in no event any more.
		if p, err := conversation.UnmarshalProjection(r.state.Bytes); err == nil {
			return p.ToldBefore(all[0].StartedAt), nil
		}
		return new(conversation.Projection), nil
	case begin == 0:
		return new(conversation.Projection), nil
	case begin == len(all):
		if p, err := conversation.UnmarshalProjection(r.state.Bytes); err == nil {
			return p, nil
		}
		return store.SenderSeed(ctx, tx, s.ID, r.state.Newest)
	}
	p, err := conversation.UnmarshalProjection(all[begin].Checkpoint)
	if err != nil {
		return nil, nil //nolint:nilerr // that is what nil says
	}
	return p, nil
}

// firstsIn tells of which conversations earlier ones the first events are, by their ids.
func firstsIn(all []store.StoredConversation) func(id conversation.UUID) (conversation.Key, bool) {
	first := make(map[conversation.UUID]conversation.Key, len(all))
	for _, c := range all {
		first[c.ID] = c.First
		for _, id := range c.Absorbed {
			first[id] = c.First
		}
	}
	return func(id conversation.UUID) (conversation.Key, bool) {
		key, ok := first[id]
		return key, ok
	}
}

// makeWay removes the rows in whose place those of the events come, and has what hangs on their ids follow. It returns
// the ids of events that were in the clear and are masked now.
func (x *storedFacts) makeWay(
	ctx context.Context, tx pgx.Tx, sender int64, plain, events []*conversation.Event,
) (hidden []conversation.UUID, err error) {
	if len(x.ids) > 0 {
		if err := store.Forget(ctx, tx, x.stretch, x.ids, x.live); err != nil {
			return nil, fmt.Errorf("forget old rows: %w", err)
		}
	}
	if err := store.MoveOriginals(ctx, tx, sender, x.former.olds, x.former.news); err != nil {
		return nil, fmt.Errorf("move exact bytes: %w", err)
	}
	for i, e := range events {
		if was := plain[i]; was != e && x.kept[was.ID] {
			x.olds, x.news = append(x.olds, was.ID), append(x.news, e.ID)
			hidden = append(hidden, was.ID)
		}
	}
	if err := queries.MoveMessages(ctx, tx, sender, x.olds, x.news); err != nil {
		return nil, fmt.Errorf("move what was written about messages: %w", err)
	}
	return hidden, nil
}

func (w *Writer) forgetOriginals(
	ctx context.Context, tx pgx.Tx, sender int64, r *refold, more []conversation.UUID,
) error {
	if len(r.replaced)+len(more) == 0 {
		return nil
	}
	ids := slices.Clone(more)
	for id := range r.replaced {
		if !r.moved[id] {
			ids = append(ids, id)
		}
	}
	return store.ForgetOriginals(ctx, tx, sender, ids)
}

// storedFacts are what is stored of conversations, to be folded again.
type storedFacts struct {
	events  []*conversation.Event
	stretch store.TimeSpan
	ids     []conversation.UUID        // of the conversations
	kept    map[conversation.UUID]bool // of the events
	live    bool                       // some are of other platforms than Rasa

	renamed         // events that get another id
	former  renamed // of those, the ones to which an earlier version gave it
}

// renamed are ids that were, and what they are now.
type renamed struct{ olds, news []conversation.UUID }

// stored loads the events of conversations, those in replaced exchanged.
func (w *Writer) stored(
	ctx context.Context, tx pgx.Tx, s store.Sender, conversations []store.StoredConversation,
	replaced map[conversation.UUID]*conversation.Event,
) (*storedFacts, error) {
	out := &storedFacts{kept: map[conversation.UUID]bool{}}
	if len(conversations) == 0 {
		return out, nil
	}
	stretch := store.TimeSpan{Sender: s.ID, From: conversations[0].StartedAt, Until: conversations[0].LastAt}
	in := make(map[conversation.UUID]bool, len(conversations))
	for _, c := range conversations {
		out.ids = append(out.ids, c.ID)
		in[c.ID] = true
		stretch.From, stretch.Until = min(stretch.From, c.StartedAt), max(stretch.Until, c.LastAt)
	}
	out.stretch = stretch
	rows, err := store.StoredEvents(ctx, tx, []store.TimeSpan{stretch})
	if err != nil {
		return nil, fmt.Errorf("load events: %w", err)
	}
	facts := make(map[store.BodyPosition]*store.StoredEvent, len(rows))
	known := make(map[conversation.UUID]bool, len(rows))
	for i := range rows {
		if in[rows[i].Conversation] {
			facts[rows[i].BodyAt()] = &rows[i]
			known[rows[i].ID] = true
		}
	}
	bodies, err := store.Bodies(ctx, tx, stretch, out.ids)
	if err != nil {
		return nil, fmt.Errorf("load bodies: %w", err)
	}
	read := decoders{}
	to := &restoring{
		storedFacts: out, known: known, replaced: replaced, used: map[*conversation.Event]bool{},
		formers: map[conversation.UUID]*conversation.Event{},
	}
	for _, body := range bodies {
		e, rej := read.of(body.Format).Decode(body.Body, wire.Intake{Assistant: s.Assistant, Stored: true}, time.Time{})
		if rej != nil {
			return nil, fmt.Errorf("%w: a stored event of sender %d: %w", errUnfit, s.ID, rej)
		}
		f, ok := facts[body.BodyPosition]
		if !ok || f.At != e.At {
			return nil, fmt.Errorf("%w: sender %d, a stored body has no event row %s", errUnfit, s.ID, e.ID)
		}
		if e.Environment, err = w.environment(ctx, tx, f.Environment); err != nil {
			return nil, err
		}
		out.live = out.live || e.Facts != nil || e.Is(conversation.Apart)
		to.add(e, f)
	}
	slices.SortStableFunc(out.events, func(a, b *conversation.Event) int { return cmp.Compare(a.Time, b.Time) })
	return out, nil
}

// restoring gathers the stored events of a sender, as they are read now.
type restoring struct {
	*storedFacts
	known    map[conversation.UUID]bool // ids that are stored
	replaced map[conversation.UUID]*conversation.Event
	used     map[*conversation.Event]bool
	formers  map[conversation.UUID]*conversation.Event // stored by an earlier version, by the ids that they get now
}

// add adds an event, or what takes its place.
func (x *restoring) add(e *conversation.Event, f *store.StoredEvent) {
	e.BodyHash, e.Via = f.BodyHash, f.Via
	e.Flags |= f.Flags & (conversation.FlagRepaired | conversation.FlagMasked)
	n, ok := x.replaced[f.ID]
	if !ok && f.Place < 0 {
		n, ok = x.replaced[e.ID]
	}
	if ok {
		if n.ID != f.ID {
			x.olds, x.news = append(x.olds, f.ID), append(x.news, n.ID)
		}
		if x.used[n] {
			return // one redacted copy may replace several originals
		}
		x.used[n] = true
		if n.ID != f.ID && x.known[n.ID] {
			return
		}
		if n.Environment == "" {
			n.Environment = e.Environment
		}
		x.events = append(x.events, n)
		return
	}
	masked := f.Flags&conversation.FlagMasked != 0 // then the id is not made of what is stored of it
	if masked {
		e.Masks = int16(min(mask.Count(e.Body), math.MaxInt16))
	}
	if f.Place >= 0 || masked || f.ID == e.ID {
		e.ID, e.Place = f.ID, f.Place
		x.kept[e.ID] = true
		if !masked {
			e.Place = max(f.Place, 0)
		}
		x.events = append(x.events, e)
		return
	}
	x.olds, x.news = append(x.olds, f.ID), append(x.news, e.ID)
	x.former.olds, x.former.news = append(x.former.olds, f.ID), append(x.former.news, e.ID)
	if x.known[e.ID] { // stored by a later version too
		return
	}
	if old := x.formers[e.ID]; old != nil { // an earlier version stored it twice
		if replaces(e, old, new(Counts)) {
			*old = *e
		}
		return
	}
	x.formers[e.ID] = e
	x.events = append(x.events, e)
}

// environment returns the name of an environment.
func (w *Writer) environment(ctx context.Context, db queries.DB, id int32) (string, error) {
	if id == 0 {
		return "", nil
	}
	w.mu.Lock()
	name, ok := w.environments[id]
	w.mu.Unlock()
	if ok {
		return name, nil
	}
	all, err := store.EnvironmentNames(ctx, db)
	if err != nil {
		return "", fmt.Errorf("load environments: %w", err)
	}
	w.mu.Lock()
	w.environments = all
	w.mu.Unlock()
	return all[id], nil
}
