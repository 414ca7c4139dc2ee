package intake

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/mapped"
	"turnwise/queries"
	"turnwise/secret"
)

// WebhookPath is what stands before the id of a webhook in its address.
const WebhookPath = "/api/v1/ingest/webhooks/"

// Webhooks takes what platforms send to addresses of their own.
type Webhooks struct {
	*Handler
	box *secret.Box

	mu      sync.Mutex
	running map[conversation.UUID]*running
}

// running is a mapping that is ready.
type running struct {
	changed time.Time
	file    *mapped.File
	runner  *mapped.Runner
}

// NewWebhooks returns a handler that shares the room of h. box opens the secrets.
func NewWebhooks(h *Handler, box *secret.Box) *Webhooks {
	return &Webhooks{Handler: h, box: box, running: map[conversation.UUID]*running{}}
}

// Close ends the processes of mappings.
func (h *Webhooks) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, x := range h.running {
		x.runner.Close()
		delete(h.running, id)
	}
}

// SecretPlace binds the sealed secret of a webhook to it.
func SecretPlace(id conversation.UUID) string { return "webhook " + id.String() }

// ServeHTTP answers POST WebhookPath with an id.
func (h *Webhooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.answer(w, r, func() (answer, error) { return h.take(w, r) })
}

func (h *Webhooks) take(w http.ResponseWriter, r *http.Request) (answer, error) {
	gone := fault(http.StatusNotFound, "There is no webhook of this address.")
	id, err := conversation.ParseUUID(strings.TrimPrefix(r.URL.Path, WebhookPath))
	if err != nil {
		return answer{}, gone
	}
	hook, err := queries.WebhookByID(r.Context(), h.pool, id)
	if errors.Is(err, queries.ErrNotFound) {
		return answer{}, gone
	}
	if err != nil {
		return answer{}, err
	}
	busy := fault(http.StatusTooManyRequests, "Too many requests to this address at once.")
	leave, ok := h.bodies.enter(id.String(), mapped.MaxInput)
	if !ok {
		return answer{}, busy
	}
	defer leave()
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(arrival))
	body, err := readBody(r, jsonTypes)
	if err != nil {
		return answer{}, err
	}
	_ = deadlines.SetReadDeadline(time.Time{})
	if len(body) > mapped.MaxInput {
		return answer{}, fault(http.StatusRequestEntityTooLarge, "A body has at most 1 MiB.")
	}
	x, err := h.ready(hook)
	if err != nil {
		return answer{}, err
	}
	if x.file.Verify.Needs() {
		known, err := h.box.Open(hook.Secret, SecretPlace(id))
		if err != nil {
			h.log.ErrorContext(r.Context(), "the secret of a webhook", "webhook", hook.Name, "error", err)
			return answer{}, fault(http.StatusServiceUnavailable, "The server cannot check the signature now.")
		}
		if !x.file.Verify.Holds(known, r.Header, body) {
			return answer{}, fault(http.StatusUnauthorized, "The request is not signed with the secret of this webhook.")
		}
	}
	if leave, ok = h.slots.enter(id.String(), 1); !ok {
		return answer{}, busy
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	return h.store(ctx, hook, x, string(body))
}

// ready returns the mapping of a webhook as it was last changed.
func (h *Webhooks) ready(hook queries.Webhook) (*running, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.running[hook.ID]; x != nil {
		if x.changed.Equal(hook.ChangedAt) {
			return x, nil
		}
		x.runner.Close() // what is under way is set aside, and replayed by the new one
		delete(h.running, hook.ID)
	}
	f, err := mapped.Parse([]byte(hook.Mapping))
	if err != nil {
		return nil, fault(http.StatusServiceUnavailable, "The mapping of this webhook cannot be read by this version.")
	}
	x := &running{hook.ChangedAt, f, mapped.NewRunner(f, "")}
	h.running[hook.ID] = x
	return x, nil
}

// sourceOf is the source of a webhook, as a version of it says.
func sourceOf(
	ctx context.Context, w *ingest.Writer, name string, id conversation.UUID, v queries.WebhookVersion, x *running,
) (ingest.Source, error) {
	format, _ := ingest.FormatNamed("neutral")
	return w.Open(ctx, ingest.Source{
		Format: format, Name: "webhook: " + name, Kind: "webhook", Assistant: v.Assistant, Always: v.Always,
		Environment: v.Environment, Mapping: &ingest.Mapping{
			Name: id.String(), Map: x.runner.Map, Settings: x.file.Settings(),
		},
	})
}

// given is what a mapping makes of a body.
type given struct {
	events   []*conversation.Event
	aside    []ingest.Rejected
	rejected []rejection
}

// giving maps a body.
func giving(source ingest.Source, body string, now time.Time) (g given) {
	bodies, rej := source.Events(body)
	if rej != nil {
		g.aside = append(g.aside, ingest.Rejected{Body: []byte(body), Mapping: source.Mapping.Name, Reason: *rej})
		g.rejected = append(g.rejected, rejection{Index: 0, Code: rej.Code, Detail: rej.Detail})
	}
	d := source.NewDecoder()
	for i, body := range bodies {
		e, rej := d.Decode(body, source.Intake(), now)
		if rej == nil {
			g.events = append(g.events, e)
			continue
		}
		g.aside = append(g.aside, ingest.Rejected{Body: []byte(body), Reason: *rej})
		g.rejected = append(g.rejected, rejection{Index: i, Code: rej.Code, Detail: rej.Detail})
	}
	return g
}

// reason says why a body gave less than it should; "" when it did not.
func (g given) reason() string {
	if len(g.rejected) == 0 {
		return ""
	}
	return g.rejected[len(g.rejected)-1].Detail
}

// people are the hashes of those that the events are of.
func (g given) people() (all []int64) {
	for _, e := range g.events {
		if p := queries.PersonHash(e.SenderKey); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// storeAll stores what bodies gave, each a delivery of its own; what fails is set aside, where it can be replayed.
func storeAll(ctx context.Context, w *ingest.Writer, source ingest.Source, all ...given) (ingest.Counts, error) {
	var counts ingest.Counts
	var events []*conversation.Event
	var of []int // of which of all each event is
	for i, g := range all {
		if err := w.Reject(ctx, source, g.aside); err != nil {
			return counts, err
		}
		if len(g.events)+len(g.aside) == 0 {
			if err := w.PassedOver(ctx, source); err != nil {
				return counts, err
			}
		}
		for _, e := range g.events {
			events, of = append(events, e), append(of, i)
		}
	}
	ingest.Arrange(events, func(i int) int { return of[i] })
	for slice := range slices.Chunk(events, 1000) {
		n, err := w.Store(ctx, source, slice)
		if err != nil {
			return counts, err
		}
		counts.Add(n)
	}
	return counts, nil
}

// store maps a body, keeps it, and stores its events. Once it is kept nothing of it is lost, wherever this ends.
func (h *Webhooks) store(ctx context.Context, hook queries.Webhook, x *running, body string) (answer, error) {
	a := answer{Rejected: []rejection{}}
	source, err := sourceOf(ctx, h.writer, hook.Name, hook.ID, hook.Now(), x)
	if err != nil {
		return a, err
	}
	g := giving(source, body, h.now())
	kept, err := h.keep(ctx, hook, body, g.events)
	if err != nil {
		return a, err
	}
	n, err := storeAll(ctx, h.writer, source, g)
	if err != nil {
		return a, err
	}
	a.Accepted, a.Duplicates, a.Revised = n.Stored+n.Revised, n.Duplicates, n.Revised
	a.Rejected = append(a.Rejected, g.rejected...)
	_, err = queries.WebhookBodyMapped(ctx, h.pool, g.noted(kept))
	return a, err
}

// noted is what is noted of a body that gave these events.
func (g given) noted(id conversation.UUID) queries.MappedBody {
	m := queries.MappedBody{ID: id, Events: int32(len(g.events)), Reason: g.reason(), People: g.people()}
	for _, e := range g.events {
		m.Senders, m.Ats = append(m.Senders, e.SenderID), append(m.Ats, e.At)
	}
	return m
}

// keep keeps a body, masked as everything that arrives is.
func (h *Webhooks) keep(
	ctx context.Context, hook queries.Webhook, body string, events []*conversation.Event,
) (conversation.UUID, error) {
	kept, whole, err := h.writer.KeptBody(ctx, []byte(body), events)
	if err != nil {
		return conversation.UUID{}, err
	}
	sum := sha256.Sum256(kept)
	if len(kept) == 0 { // what is in it is not to be told from it
		sum = sha256.Sum256([]byte(body))
	}
	b := queries.WebhookBody{
		ID: conversation.NameUUID("webhook body", hook.ID.String(), string(sum[:])), Webhook: hook.ID, At: h.now(),
		Version: hook.Version, Whole: whole, Body: kept,
	}
	return b.ID, queries.KeepWebhookBody(ctx, h.pool, b)
}
