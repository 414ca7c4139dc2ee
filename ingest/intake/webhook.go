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

// store maps a body and stores its events; what fails is set aside, where it can be replayed.
func (h *Webhooks) store(ctx context.Context, hook queries.Webhook, x *running, body string) (answer, error) {
	a := answer{Rejected: []rejection{}}
	format, _ := ingest.FormatNamed("neutral")
	source, err := h.writer.Open(ctx, ingest.Source{
		Format: format, Name: "webhook: " + hook.Name, Kind: "webhook", Assistant: hook.Assistant, Always: hook.Always,
		Environment: hook.Environment, Mapping: &ingest.Mapping{
			Name: hook.ID.String(), Map: x.runner.Map, Settings: x.file.Settings(),
		},
	})
	if err != nil {
		return a, err
	}
	kept := queries.WebhookBody{At: h.now(), Body: []byte(body)}
	bodies, rej := source.Events(body)
	var aside []ingest.Rejected
	if rej != nil {
		kept.Reason = rej.Detail
		aside = append(aside, ingest.Rejected{Body: []byte(body), Mapping: source.Mapping.Name, Reason: *rej})
		a.Rejected = append(a.Rejected, rejection{Index: 0, Code: rej.Code, Detail: rej.Detail})
	}
	d := source.NewDecoder()
	var events []*conversation.Event
	for i, body := range bodies {
		e, rej := d.Decode(body, source.Intake(), h.now())
		if rej == nil {
			events = append(events, e)
			continue
		}
		kept.Reason = rej.Detail
		aside = append(aside, ingest.Rejected{Body: []byte(body), Reason: *rej})
		a.Rejected = append(a.Rejected, rejection{Index: i, Code: rej.Code, Detail: rej.Detail})
	}
	kept.Events = int32(len(events))
	if err := h.writer.Reject(ctx, source, aside); err != nil {
		return a, err
	}
	if len(events) > 0 {
		ingest.Arrange(events, func(int) int { return 0 })
		for slice := range slices.Chunk(events, 1000) {
			n, err := h.writer.Store(ctx, source, slice)
			if err != nil {
				return a, err
			}
			a.Accepted, a.Duplicates, a.Revised = a.Accepted+n.Stored+n.Revised, a.Duplicates+n.Duplicates, a.Revised+n.Revised
		}
	}
	return a, h.keep(ctx, hook, kept)
}

// keep keeps a body among the last ones, on which an edited mapping is tried: masked as everything that arrives is.
func (h *Webhooks) keep(ctx context.Context, hook queries.Webhook, b queries.WebhookBody) error {
	masked, err := h.writer.MaskedBody(ctx, b.Body)
	if err != nil {
		return err
	}
	b.Body = masked
	sum := sha256.Sum256(b.Body)
	return queries.KeepWebhookBody(ctx, h.pool, hook.ID, conversation.NameUUID("webhook body", string(sum[:])), b)
}
