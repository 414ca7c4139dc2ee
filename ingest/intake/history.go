package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/mapped"
	"turnwise/queries"
)

// History maps what webhooks brought again.
type History struct {
	pool   *pgxpool.Pool
	writer *ingest.Writer
	log    *slog.Logger
	now    func() time.Time
}

// NewHistory returns it.
func NewHistory(pool *pgxpool.Pool, writer *ingest.Writer, log *slog.Logger) *History {
	return &History{pool, writer, log, time.Now}
}

// pageOfBodies is how many bodies are mapped before it is noted how far that came.
const pageOfBodies = 200

// versions are those of a webhook, ready to map.
type versions struct {
	h    *History
	hook queries.Webhook
	all  map[int32]queries.WebhookVersion
	open map[int32]ingest.Source
	ends []func()
}

func (h *History) versions(ctx context.Context, hook queries.Webhook) (*versions, error) {
	v := &versions{h: h, hook: hook, all: map[int32]queries.WebhookVersion{}, open: map[int32]ingest.Source{}}
	return v, v.load(ctx)
}

func (v *versions) load(ctx context.Context) error {
	all, err := queries.WebhookVersions(ctx, v.h.pool, v.hook.ID)
	for _, x := range all {
		v.all[x.Version] = x
	}
	return err
}

func (v *versions) close() {
	for _, end := range v.ends {
		end()
	}
}

// source is that of a version.
func (v *versions) source(ctx context.Context, version int32) (ingest.Source, error) {
	if s, ok := v.open[version]; ok {
		return s, nil
	}
	x, ok := v.all[version]
	if !ok { // it was saved meanwhile
		if err := v.load(ctx); err != nil {
			return ingest.Source{}, err
		}
		if x, ok = v.all[version]; !ok {
			return ingest.Source{}, fmt.Errorf("webhook %s has no version %d", v.hook.Name, version)
		}
	}
	f, err := mapped.Parse([]byte(x.Mapping))
	if err != nil {
		return ingest.Source{}, fmt.Errorf("webhook %s, version %d: %w", v.hook.Name, version, err)
	}
	r := &running{file: f, runner: mapped.NewRunner(f, "")}
	v.ends = append(v.ends, r.runner.Close)
	s, err := sourceOf(ctx, v.h.writer, v.hook.Name, v.hook.ID, x, r)
	if err == nil {
		v.open[version] = s
	}
	return s, err
}

// FoldStored does a run: of mapping again itself, of any other kind by the writer.
func (h *History) FoldStored(ctx context.Context, id conversation.UUID) error {
	run, err := queries.FoldRunByID(ctx, h.pool, id)
	if err != nil {
		return err
	}
	if run.Kind != queries.FoldToMap {
		return h.writer.FoldStored(ctx, id)
	}
	of, err := conversation.ParseUUID(run.Target)
	if err != nil {
		return err
	}
	hook, err := queries.WebhookByID(ctx, h.pool, of)
	if errors.Is(err, queries.ErrNotFound) { // it is removed meanwhile, and what it brought stays
		return nil
	}
	if err != nil {
		return err
	}
	v, err := h.versions(ctx, hook)
	if err != nil {
		return err
	}
	defer v.close()
	// What a body no longer gives another may give still, from before or behind it: so all are looked at a second time.
	for pass := run.Pass; pass < 2; pass++ {
		if err := v.pass(ctx, run, pass); err != nil {
			return err
		}
		run.After = 0
	}
	return nil
}

// pass goes over all bodies.
func (v *versions) pass(ctx context.Context, run queries.FoldRun, pass int16) error {
	for after := run.After; ; {
		bodies, err := queries.WebhookBodiesAfter(ctx, v.h.pool, v.hook.ID, after, pageOfBodies)
		if err != nil {
			return err
		}
		if len(bodies) == 0 {
			return queries.AdvanceMap(ctx, v.h.pool, run.ID, pass+1, 0, 0, 0)
		}
		changed := int64(0)
		if pass == 0 {
			changed, err = v.exchange(ctx, bodies, run.Version)
		} else {
			err = v.again(ctx, bodies, run.Version)
		}
		if err != nil {
			return err
		}
		after = bodies[len(bodies)-1].Seq
		if err := queries.AdvanceMap(ctx, v.h.pool, run.ID, pass, after, int64(len(bodies)), changed); err != nil {
			return err
		}
	}
}

// exchange takes out what bodies gave by earlier versions and do not give by this one, and stores what they give now.
func (v *versions) exchange(ctx context.Context, bodies []queries.WebhookBody, version int32) (changed int64, err error) {
	now, err := v.source(ctx, version)
	if err != nil {
		return 0, err
	}
	var gone []*conversation.Event
	var all []given
	var of []queries.WebhookBody
	for _, b := range bodies {
		if !b.Whole || b.Version >= version {
			continue
		}
		was, err := v.source(ctx, b.Version)
		if err != nil {
			return 0, err
		}
		old, next := giving(was, string(b.Body), v.h.now()), giving(now, string(b.Body), v.h.now())
		left, came := apart(old.events, next.events)
		gone = append(gone, left...)
		changed += int64(max(len(left), len(came)))
		all, of = append(all, next), append(of, b)
	}
	if _, err := v.h.writer.TakeOut(ctx, gone); err != nil {
		return 0, err
	}
	if _, err := storeAll(ctx, v.h.writer, now, all...); err != nil {
		return 0, err
	}
	for i, g := range all {
		m := g.noted(of[i].ID)
		m.Version = version
		if _, err := queries.WebhookBodyMapped(ctx, v.h.pool, m); err != nil {
			return 0, err
		}
	}
	return changed, nil
}

// again stores what bodies give.
func (v *versions) again(ctx context.Context, bodies []queries.WebhookBody, version int32) error {
	byVersion := map[int32][]given{}
	for _, b := range bodies {
		if !b.Whole {
			continue
		}
		by := max(b.Version, version)
		s, err := v.source(ctx, by)
		if err != nil {
			return err
		}
		g := giving(s, string(b.Body), v.h.now())
		g.aside = nil // it was, in the first pass or when it came
		if len(g.events) > 0 {
			byVersion[by] = append(byVersion[by], g)
		}
	}
	for by, all := range byVersion {
		if _, err := storeAll(ctx, v.h.writer, v.open[by], all...); err != nil {
			return err
		}
	}
	return nil
}

// apart returns the events that only one of two sides has.
func apart(old, next []*conversation.Event) (left, came []*conversation.Event) {
	type key struct{ sender, at, hash int64 }
	of := func(e *conversation.Event) key { return key{e.SenderID, e.At, e.BodyHash} }
	has := func(all []*conversation.Event) map[key]bool {
		m := map[key]bool{}
		for _, e := range all {
			m[of(e)] = true
		}
		return m
	}
	olds, news := has(old), has(next)
	for _, e := range old {
		if !news[of(e)] {
			left = append(left, e)
		}
	}
	for _, e := range next {
		if !olds[of(e)] {
			came = append(came, e)
		}
	}
	return left, came
}

// MostPreviewed is how many of the last bodies a preview looks at.
const MostPreviewed = 2000

// Preview is what mapping again would change.
type Preview struct {
	Bodies        int // that were looked at
	Masked        int // of them, that cannot be mapped again
	Conversations int64
	More          bool // there are earlier bodies
}

// Preview tells how many stored conversations would change if what a webhook brought were mapped again as it says. It
// looks at no more bodies once it is until.
func (h *History) Preview(ctx context.Context, hook queries.Webhook, until time.Time) (p Preview, err error) {
	v, err := h.versions(ctx, hook)
	if err != nil {
		return p, err
	}
	defer v.close()
	const edited = -1
	v.all[edited] = hook.Now()
	next, err := v.source(ctx, edited)
	if err != nil {
		return p, err
	}
	var senders, ats []int64
	for before := int64(math.MaxInt64); ; {
		bodies, err := queries.LastWebhookBodies(ctx, queries.Clear(h.pool), hook.ID, before, pageOfBodies)
		if err != nil {
			return p, err
		}
		if len(bodies) == 0 {
			break
		}
		if p.Bodies >= MostPreviewed || h.now().After(until) {
			p.More = true
			break
		}
		before = bodies[len(bodies)-1].Seq
		for _, b := range bodies {
			if p.Bodies++; !b.Whole {
				p.Masked++
				continue
			}
			was, err := v.source(ctx, b.Version)
			if err != nil {
				return p, err
			}
			left, came := apart(
				giving(was, string(b.Body), h.now()).events, giving(next, string(b.Body), h.now()).events,
			)
			for _, e := range append(left, came...) {
				senders, ats = append(senders, e.SenderID), append(ats, e.At)
			}
		}
	}
	p.Conversations, err = queries.ConversationsAround(ctx, queries.Clear(h.pool), senders, ats)
	return p, err
}

// waitsSince is how long a body is left to whoever took it, and waitsEvery how often it is looked for others.
const (
	waitsSince = 2 * time.Minute
	waitsEvery = 30 * time.Second
)

// MapWaiting maps, until ctx ends, bodies whose taker was stopped before their events were stored.
func (h *History) MapWaiting(ctx context.Context) {
	tick := time.NewTicker(waitsEvery)
	defer tick.Stop()
	for {
		if err := h.MapOnce(ctx, h.now().Add(-waitsSince)); err != nil && ctx.Err() == nil {
			h.log.WarnContext(ctx, "bodies of webhooks wait to be mapped", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// MapOnce maps the bodies that came before a time and are not mapped.
func (h *History) MapOnce(ctx context.Context, before time.Time) error {
	for {
		b, err := queries.WaitingWebhookBody(ctx, h.pool, before)
		if errors.Is(err, queries.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = h.mapWaiting(ctx, b)
		}
		if err != nil {
			return err
		}
	}
}

// mapWaiting maps a body by the version with which it came.
func (h *History) mapWaiting(ctx context.Context, b queries.WebhookBody) error {
	put := func(reason string) error {
		_, err := queries.WebhookBodyMapped(ctx, h.pool, queries.MappedBody{ID: b.ID, Reason: reason, People: []int64{}})
		return err
	}
	if !b.Whole { // by what is masked people could be taken for each other
		return put("the server was stopped before its events were stored, and it was masked: have the platform send it again")
	}
	hook, err := queries.WebhookByID(ctx, h.pool, b.Webhook)
	if errors.Is(err, queries.ErrNotFound) { // it was removed while the body came
		return put("the webhook is removed")
	}
	if err != nil {
		return err
	}
	v, err := h.versions(ctx, hook)
	if err != nil {
		return err
	}
	defer v.close()
	source, err := v.source(ctx, b.Version)
	if err != nil && !queries.Temporary(err) { // it is kept, for a version that can
		return put(err.Error())
	}
	if err != nil {
		return err
	}
	g := giving(source, string(b.Body), h.now())
	if _, err := storeAll(ctx, h.writer, source, g); err != nil {
		return err
	}
	m := g.noted(b.ID)
	m.Was = b.Version
	noted, err := queries.WebhookBodyMapped(ctx, h.pool, m)
	if err != nil || noted {
		return err
	}
	_, err = v.exchange(ctx, []queries.WebhookBody{b}, hook.Version) // a run mapped it by another one meanwhile
	return err
}
