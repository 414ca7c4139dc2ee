package intake

import (
	"context"
	"mime"
	"net/http"
	"slices"
	"time"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/otlp"
	"turnwise/queries"
)

// TracePaths are where traces of OpenTelemetry are sent, the second by what is made for Langfuse.
var TracePaths = []string{"/v1/traces", "/api/public/otel/v1/traces"}

// Traces takes traces of OpenTelemetry over HTTP.
type Traces struct{ *Handler }

var traceTypes = []string{"application/x-protobuf", "application/json"}

// ServeHTTP answers POST to TracePaths.
func (h Traces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h.take(w, r)
	if err != nil {
		h.answer(w, r, func() (answer, error) { return answer{}, err })
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", contentType(r))
	if contentType(r) == "application/json" {
		_, _ = w.Write([]byte("{}")) // the client may be gone; the events are stored
	}
}

func contentType(r *http.Request) string {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == "application/json" {
		return media
	}
	return "application/x-protobuf"
}

func (h Traces) take(w http.ResponseWriter, r *http.Request) error {
	var token access.Token
	var err error
	if _, password, ok := r.BasicAuth(); ok {
		token, err = h.token(r, password)
	} else {
		token, err = h.authenticate(r)
	}
	if err != nil {
		return err
	}
	busy := fault(http.StatusTooManyRequests, "Too many requests of this token at once; send fewer and larger ones.")
	leave, ok := h.bodies.enter(token.ID.String(), MaxBytes)
	if !ok {
		return busy
	}
	defer leave()
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(arrival))
	body, err := readBody(r, traceTypes)
	if err != nil {
		return err
	}
	_ = deadlines.SetReadDeadline(time.Time{})
	if leave, ok = h.slots.enter(token.ID.String(), 1); !ok {
		return busy
	}
	defer leave()
	data, err := otlp.Decode(body, contentType(r) == "application/json")
	if err != nil {
		return fault(http.StatusBadRequest, "The body holds no traces in the form of OTLP.")
	}
	bodies, err := otlp.Events(data)
	if err != nil {
		return fault(http.StatusRequestEntityTooLarge, "A request has at most 20,000 spans; send fewer at once.")
	}
	if len(bodies) == 0 {
		return nil // of what no language model does
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	return h.store(ctx, token, bodies, len(body))
}

// store stores the events of traces.
func (h Traces) store(ctx context.Context, token access.Token, bodies []string, size int) error {
	format, _ := ingest.FormatNamed("neutral") // one of those there are
	source, err := h.writer.Open(ctx, ingest.Source{
		Format: format, Name: "http: " + token.Name + " (traces)", Kind: "http", Assistant: token.Assistant,
		Always: token.Always, Environment: token.Environment,
	})
	if err != nil {
		return err
	}
	if ok, err := queries.UseQuota(ctx, h.pool, token, len(bodies), size, h.now()); err != nil {
		return err
	} else if !ok {
		p := fault(http.StatusTooManyRequests, "The token may not send so much in a minute; nothing of this request was stored.")
		p.wait = 60 - h.now().Second()
		return p
	}
	d := source.NewDecoder()
	var events []*conversation.Event
	var aside []ingest.Rejected
	for _, body := range bodies {
		e, rej := d.Decode(body, source.Intake(), h.now())
		switch {
		case rej != nil:
			aside = append(aside, ingest.Rejected{Body: []byte(body), Reason: *rej})
		case token.Assistants == nil || slices.Contains(token.Assistants, e.Assistant):
			events = append(events, e)
		}
	}
	if err := h.writer.Reject(ctx, source, aside); err != nil || len(events) == 0 {
		return err
	}
	ingest.Arrange(events, func(int) int { return 0 })
	for slice := range slices.Chunk(events, 1000) {
		if _, err := h.writer.Store(ctx, source, slice); err != nil {
			return err
		}
	}
	return nil
}
