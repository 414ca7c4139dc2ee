// Package intake delivers events over HTTP: POST /api/v1/ingest/rasa, and …/events for those of other platforms, with a
// bearer token. An answer of 202 means that the events are committed.
package intake

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/file"
	"turnwise/queries"
)

// Limits of one request, before and after decompression.
const (
	MaxBytes  = 10 << 20
	MaxEvents = 5000
	patience  = 10 * time.Second // that a request waits for the database
	arrival   = 30 * time.Second // in which its body must be there, however slowly it comes

	storing, storingShare = 16, 8                        // requests that store at the same time: all, and of one token
	held, heldShare       = 25 * MaxBytes, 10 * MaxBytes // bytes that they hold, or announce: all, and of one token
	leastHeld             = 64 << 10                     // bytes that a request counts for
)

// Handler takes events.
type Handler struct {
	pool   *pgxpool.Pool
	writer *ingest.Writer
	log    *slog.Logger
	bodies *room // bytes
	slots  *room // requests that store
	now    func() time.Time
}

// New returns a handler that stores by w.
func New(pool *pgxpool.Pool, w *ingest.Writer, log *slog.Logger) *Handler {
	return &Handler{
		pool: pool, writer: w, log: log, bodies: newRoom(heldShare, held), slots: newRoom(storingShare, storing),
		now: time.Now,
	}
}

// rejection is one event of the answer that was set aside.
type rejection struct {
	Index  int    `json:"index"`
	Code   string `json:"code"`
	Offset *int   `json:"offset,omitempty"`
	Detail string `json:"detail"`
}

type answer struct {
	Accepted   int64       `json:"accepted"`
	Duplicates int64       `json:"duplicates"`
	Revised    int64       `json:"revised"`
	Rejected   []rejection `json:"rejected"`
}

// problem is an error as RFC 9457 has it.
type problem struct {
	Type     string      `json:"type"`
	Title    string      `json:"title"`
	Status   int         `json:"status"`
	Detail   string      `json:"detail"`
	Rejected []rejection `json:"rejected,omitempty"`

	wait int // seconds until it may be sent again; 0: a few
}

func (p *problem) Error() string { return p.Title }

func fault(status int, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// Paths are those that the handler answers, and the formats that are sent to them.
var Paths = map[string]string{"/api/v1/ingest/rasa": "rasa", "/api/v1/ingest/events": "neutral"}

// SchemaPath is where the JSON Schema of neutral events is.
const SchemaPath = "/api/v1/ingest/events/schema.json"

// ServeHTTP answers POST to Paths, and GET SchemaPath.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == SchemaPath {
		w.Header().Set("Content-Type", "application/schema+json")
		_, _ = w.Write(ingest.NeutralSchema()) // the client may be gone
		return
	}
	h.answer(w, r, func() (answer, error) { return h.take(w, r) })
}

// answer writes what became of a request.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, take func() (answer, error)) {
	w.Header().Set("Cache-Control", "no-store")
	a, err := take()
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(a) // the client may be gone; the events are stored
		return
	}
	var p *problem
	switch {
	case errors.As(err, &p):
	case queries.BadData(err):
		p = fault(
			http.StatusBadRequest,
			"The request holds something that cannot be stored, such as a name that is not text. It would be "+
				"refused again.",
		)
	default:
		h.log.ErrorContext(r.Context(), "ingest over HTTP", "error", err)
		p = fault(
			http.StatusServiceUnavailable,
			"The database cannot take events now. Nothing of this request is lost if you send it again.",
		)
	}
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="turnwise"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(cmp.Or(p.wait, 5)))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request) (answer, error) {
	token, err := h.authenticate(r)
	if err != nil {
		return answer{}, err
	}
	busy := fault(http.StatusTooManyRequests, "Too many requests of this token at once; send fewer and larger ones.")
	announced := r.ContentLength
	if announced < 0 || r.Header.Get("Content-Encoding") != "" {
		announced = MaxBytes
	}
	leave, ok := h.bodies.enter(token.ID.String(), min(max(announced, leastHeld), MaxBytes))
	if !ok {
		return answer{}, busy
	}
	defer leave()
	// Servers in tests may have no deadlines; then theirs must do.
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(arrival))
	body, err := readBody(r, jsonTypes)
	if err != nil {
		return answer{}, err
	}
	_ = deadlines.SetReadDeadline(time.Time{}) // it must not end what is stored now
	// Only now, so that who sends slowly is in nobody's way.
	leave, ok = h.slots.enter(token.ID.String(), 1)
	if !ok {
		return answer{}, busy
	}
	defer leave()
	name, ok := Paths[r.URL.Path]
	if !ok {
		return answer{}, fault(http.StatusNotFound, "Nothing is taken here.")
	}
	format, _ := ingest.FormatNamed(name) // of those there are
	source := ingest.Source{
		Format: format, Name: "http: " + token.Name, Kind: "http", Assistant: token.Assistant, Always: token.Always,
		Environment: token.Environment,
	}
	if format.Name != "rasa" {
		source.Name += " (" + format.Name + ")"
	}
	if env := r.URL.Query().Get("environment"); env != "" {
		source.Environment = env
	} else if env := r.Header.Get("Rasa-Environment"); env != "" {
		source.Environment = env
	}
	if len(source.Environment) > 100 || !utf8.ValidString(source.Environment) ||
		strings.ContainsRune(source.Environment, 0) {
		return answer{}, fault(http.StatusBadRequest, "The environment's name must be text of at most 100 characters.")
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	return h.store(ctx, source, token, body)
}

// authenticate finds the bearer token's row.
func (h *Handler) authenticate(r *http.Request) (access.Token, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		secret = ""
	}
	return h.token(r, strings.TrimSpace(secret))
}

// token finds the row of a token that sends events.
func (h *Handler) token(r *http.Request, secret string) (access.Token, error) {
	if !strings.Contains(secret, ".") {
		return access.Token{}, fault(
			http.StatusUnauthorized,
			"Send the header Authorization: Bearer with a token from Admin or from turnwise token create.",
		)
	}
	token, err := queries.TokenBySecret(r.Context(), h.pool, secret, h.now())
	switch {
	case errors.Is(err, queries.ErrNotFound):
		return token, fault(http.StatusUnauthorized, "The token is not known, has expired or was revoked.")
	case err != nil:
		return token, err
	case token.Role != "ingest":
		return token, fault(http.StatusForbidden, "This token reads; make one that sends events.")
	}
	return token, queries.TokenUsed(r.Context(), h.pool, token.ID, h.now())
}

// jsonTypes are the types of content that events are sent as.
var jsonTypes = []string{
	"application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain",
	"application/octet-stream", "application/x-www-form-urlencoded", "application/cloudevents+json",
	"application/cloudevents-batch+json",
}

// readBody reads and decompresses the body within the limits. takes are the types of content that it may have.
func readBody(r *http.Request, takes []string) ([]byte, error) {
	tooLarge := fault(
		http.StatusRequestEntityTooLarge,
		fmt.Sprintf(
			"A request holds at most %d events and %d bytes, counted after decompression; split it.", MaxEvents,
			MaxBytes,
		),
	)
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || !slices.Contains(takes, media) {
			return nil, fault(http.StatusUnsupportedMediaType, "Send "+strings.Join(takes[:2], " or ")+".")
		}
	}
	if r.ContentLength > MaxBytes {
		return nil, tooLarge
	}
	in := io.LimitReader(r.Body, MaxBytes+1)
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fault(http.StatusBadRequest, "The body is not gzip, as its Content-Encoding says.")
		}
		in = io.LimitReader(z, MaxBytes+1)
	default:
		return nil, fault(http.StatusUnsupportedMediaType, "The only Content-Encoding taken is gzip.")
	}
	body, err := io.ReadAll(in)
	if len(body) > MaxBytes {
		return nil, tooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fault(
			http.StatusRequestTimeout, fmt.Sprintf("The body was not there within %.0f seconds.", arrival.Seconds()),
		)
	}
	if err != nil {
		return nil, fault(http.StatusBadRequest, "The body could not be read to its end.")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, fault(http.StatusBadRequest, "The body is empty.")
	}
	return body, nil
}

// store decodes the events, sets the bad ones aside and stores the rest. Those of assistants beside the ones that the
// token is limited to are refused and not kept: whose they are is not the sender's to say.
func (h *Handler) store(ctx context.Context, source ingest.Source, token access.Token, body []byte) (answer, error) {
	source, err := h.writer.Open(ctx, source)
	if err != nil {
		return answer{}, err
	}
	read := request{rejected: []rejection{}}
	if err := h.read(&read, source, token, body); err != nil {
		return answer{}, err
	}
	events, aside, a := read.events, read.aside, answer{Rejected: read.rejected}
	if ok, err := queries.UseQuota(ctx, h.pool, token, len(events)+len(a.Rejected), len(body), h.now()); err != nil {
		return a, err
	} else if !ok {
		p := fault(
			http.StatusTooManyRequests,
			"The token may not send so much in a minute; nothing of this request was stored. Send it again when "+
				"the minute is over, or less at once.",
		)
		p.wait = 60 - h.now().Second()
		return a, p
	}
	if err := h.writer.Reject(ctx, source, aside); err != nil {
		return a, err
	}
	if len(events) == 0 {
		return a, nothing(aside, a.Rejected)
	}
	ingest.Arrange(events, func(i int) int { return read.parts[i] })
	// In slices, so that a request that comes again after a time-out has less left to do.
	var counts ingest.Counts
	for slice := range slices.Chunk(events, 1000) {
		var n ingest.Counts
		if n, err = h.writer.Store(ctx, source, slice); err != nil {
			break
		}
		counts.Add(n)
	}
	a.Accepted, a.Duplicates, a.Revised = counts.Stored+counts.Revised, counts.Duplicates, counts.Revised
	return a, err
}

// request is what the body of a request holds.
type request struct {
	events   []*conversation.Event
	parts    []int // of the body, in which they stand
	aside    []ingest.Rejected
	rejected []rejection // for the answer: those, and those of assistants that the token may not send
}

// read cuts a body into events and decodes them.
func (h *Handler) read(to *request, source ingest.Source, token access.Token, body []byte) error {
	d := source.NewDecoder()
	s := file.NewSplitter(bytes.NewReader(body))
	for n := 0; ; n++ {
		item, err := s.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault(http.StatusBadRequest, "The body could not be cut into events: "+err.Error())
		}
		if n >= MaxEvents {
			return fault(
				http.StatusRequestEntityTooLarge,
				fmt.Sprintf("More than %d events in one request; split it.", MaxEvents),
			)
		}
		in := source.Of(item.Assistant).Intake()
		in.Environment = cmp.Or(item.Environment, in.Environment)
		e, rej := d.Decode(string(item.Body), in, h.now())
		if rej == nil && token.Assistants != nil && !slices.Contains(token.Assistants, e.Assistant) {
			to.rejected = append(to.rejected, rejection{
				Index: n, Code: "not_allowed", Detail: "the token may not send events of this assistant",
			})
			continue
		}
		if rej == nil {
			to.events, to.parts = append(to.events, e), append(to.parts, item.Part)
			continue
		}
		out := rejection{Index: n, Code: rej.Code, Detail: rej.Detail}
		if rej.Offset >= 0 {
			out.Offset = &rej.Offset
		}
		to.rejected = append(to.rejected, out)
		to.aside = append(to.aside, ingest.Rejected{
			Body: bytes.Clone(item.Body), Position: "index " + strconv.Itoa(n), Reason: *rej,
		})
	}
}

// nothing says why a request stored nothing.
func nothing(aside []ingest.Rejected, rejected []rejection) error {
	p := fault(
		http.StatusBadRequest,
		"No event could be read. What was sent is kept under Data health, where it can be mended and replayed.",
	)
	switch {
	case len(aside) > 0:
	case len(rejected) > 0:
		p = fault(http.StatusForbidden, "The token may not send events of these assistants. Nothing was kept.")
	default:
		p = fault(http.StatusBadRequest, "There is no event in the body.")
	}
	p.Rejected = rejected
	return p
}
