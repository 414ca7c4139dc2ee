// Package api serves the JSON API under /api/v1. Its routes are a table, of which the router, the checks of parameters
// and the OpenAPI document are made.
package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/dashboard"
	"turnwise/jobs"
	"turnwise/queries"
)

// Config is what the API needs from outside.
type Config struct {
	Pool    *pgxpool.Pool
	Log     *slog.Logger
	Zone    *time.Location // of the workspace
	URL     string         // under which people reach the server, without a slash at the end
	Version string
	Jobs    *jobs.Queue
	// Ingest takes events, Webhooks what platforms send to webhooks; nil: none are taken.
	Ingest, Webhooks http.Handler
	Now              func() time.Time
	Rate             int      // requests of a token in a minute; 0: any number
	Origins          []string // of pages in browsers that may read answers

	// Refused writes down that a token was refused.
	Refused func(r *http.Request, account access.Account, why string)
	// Read writes down that somebody read what people said: of a conversation, or of a list of so many.
	Read func(r *http.Request, account access.Account, act queries.AuditAct, id string, rows int)
	// Called writes down that a model called a tool, and with what.
	Called func(r *http.Request, account access.Account, tool, asked string)
}

// state is what outlives a change of the settings.
type state struct {
	byToken *httprate.RateLimiter
	seats   chan struct{} // of requests that count: beside them the pages are to be answered too
}

// API is the API as it is kept.
type API struct{ state *state }

// New returns an API.
func New(rate int) *API {
	s := &state{seats: make(chan struct{}, seats)}
	if rate > 0 {
		s.byToken = httprate.NewRateLimiter(rate, time.Minute)
	}
	return &API{s}
}

const (
	seats = 4
	// within is how long a request may take.
	within = 20 * time.Second
)

type handler struct {
	Config
	*state
	routes []route
}

// Handler answers the requests under /api/v1.
func (a *API) Handler(cfg Config) http.Handler {
	h := &handler{Config: cfg, state: a.state}
	h.routes = table(h)
	r := chi.NewRouter()
	r.Use(h.cors)
	compressed := middleware.Compress(5, "application/json", "application/problem+json")
	for i := range h.routes {
		rt := &h.routes[i]
		if rt.raw != nil {
			r.Method(rt.method, rt.path, rt.raw)
			continue
		}
		r.With(compressed).Method(rt.method, rt.path, h.serve(rt))
	}
	refuse := func(p Problem) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { p.write(w, r, h.URL, queries.NewID().String()) }
	}
	r.NotFound(refuse(Problem{
		Type: "not-found", Status: http.StatusNotFound, Detail: "There is nothing under this address.",
	}))
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(h.methods(r), ", "))
		refuse(Problem{
			Type: "method-not-allowed", Status: http.StatusMethodNotAllowed, Detail: "This address takes " +
				strings.Join(h.methods(r), ", ") + ".",
		})(w, r)
	})
	return r
}

// Patterns lists the routes, as "METHOD /path", for tests that walk all of them.
func Patterns() (all []string) {
	for _, rt := range table(new(handler)) {
		all = append(all, rt.method+" /api/v1"+rt.path)
	}
	return all
}

// methods are those that an address takes.
func (h *handler) methods(r *http.Request) (all []string) {
	path := chi.RouteContext(r.Context()).RoutePath
	for _, rt := range h.routes {
		if matches(rt.path, path) && !slices.Contains(all, rt.method) {
			all = append(all, rt.method)
		}
	}
	return all
}

func matches(pattern, path string) bool {
	a, b := strings.Split(pattern, "/"), strings.Split(path, "/")
	return len(a) == len(b) && !slices.ContainsFunc(a, func(part string) bool {
		i := slices.Index(a, part)
		return part != b[i] && !strings.HasPrefix(part, "{")
	})
}

// serve answers a route's requests.
func (h *handler) serve(rt *route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{
			handler: h, r: r, id: queries.NewID().String(), zone: h.Zone, now: h.Now(), header: http.Header{},
		}
		ctx, cancel := context.WithTimeout(r.Context(), within)
		defer cancel()
		c.ctx = ctx
		defer h.recovered(ctx, w, c, rt)
		answer, err := h.answer(rt, c)
		for name, values := range c.header {
			w.Header()[name] = values
		}
		if err != nil {
			h.fail(r.Context(), w, c, rt, err)
			return
		}
		if f, ok := answer.(sent); ok {
			f(w, r)
			return
		}
		h.encode(r.Context(), w, c, rt, answer)
	}
}

// recovered answers for a handler that panicked.
func (h *handler) recovered(ctx context.Context, w http.ResponseWriter, c *call, rt *route) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // the value itself
		panic(cause)
	}
	h.Log.ErrorContext(ctx, "a handler of the API panicked", "cause", cause, "route", rt.path, "request_id", c.id)
	problemOf(errors.New("panic")).write(w, c.r, h.URL, c.id)
}

// sent writes an answer by itself.
type sent func(w http.ResponseWriter, r *http.Request)

func (h *handler) answer(rt *route, c *call) (any, error) {
	if rt.roles != nil || rt.right != "" {
		if err := h.admit(rt, c); err != nil {
			return nil, err
		}
	}
	faults := c.parse(rt)
	if rt.check != nil {
		faults = append(faults, rt.check(c)...)
	}
	if len(faults) > 0 {
		return nil, faulty(faults)
	}
	if !rt.quick {
		select {
		case h.seats <- struct{}{}:
			defer func() { <-h.seats }()
		case <-c.ctx.Done():
			return nil, &Problem{
				Type: "unavailable", Status: http.StatusServiceUnavailable, retry: 5,
				Detail: "Too many others are counting at the moment.",
			}
		}
	}
	return rt.handle(c)
}

// admit lets those through whose token may.
func (h *handler) admit(rt *route, c *call) (err error) {
	unauthorized := &Problem{Type: "unauthorized", Status: http.StatusUnauthorized, Detail: "A token is needed: Authorization: Bearer TOKEN."}
	scheme, secret, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return unauthorized
	}
	c.token, err = queries.TokenBySecret(c.ctx, h.Pool, strings.TrimSpace(secret), c.now)
	if errors.Is(err, queries.ErrNotFound) {
		h.Refused(c.r, access.Account{}, "the token is not valid")
		unauthorized.Detail = "This token has expired, was revoked or is unknown."
		return unauthorized
	}
	if err != nil {
		return err
	}
	c.account = c.token.Account()
	if h.byToken != nil {
		rate := http.Header{}
		if h.byToken.OnLimit(headerWriter{rate}, c.r, c.token.ID.String()) {
			return &Problem{
				Type: "rate-limited", Status: http.StatusTooManyRequests, retry: 60,
				Detail: "This token has asked too often within a minute.",
			}
		}
	}
	if rt.roles != nil && !c.token.Has(rt.roles...) || rt.right != "" && !c.account.Rights()[rt.right] {
		h.Refused(c.r, c.account, "the token "+c.token.Name+" may not do that")
		needed := rt.roles
		if needed == nil {
			needed = rolesWith(rt.right)
		}
		return &Problem{
			Type: "forbidden", Status: http.StatusForbidden, RequiredRoles: needed,
			Detail: "This token may not do that: it needs one of the roles " + strings.Join(needed, ", ") + ".",
		}
	}
	return queries.TokenUsed(c.ctx, h.Pool, c.token.ID, c.now)
}

// headerWriter takes the headers of an answer that is not begun.
type headerWriter struct{ h http.Header }

func (w headerWriter) Header() http.Header         { return w.h }
func (w headerWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w headerWriter) WriteHeader(int)             {}

// rolesWith are the roles of tokens that give a right.
func rolesWith(right access.Right) (all []string) {
	for _, role := range access.TokenRoles {
		if (access.Account{Role: role, IsToken: true}).Rights()[right] {
			all = append(all, role)
		}
	}
	return all
}

func (h *handler) fail(ctx context.Context, w http.ResponseWriter, c *call, rt *route, err error) {
	if ctx.Err() != nil {
		return // nobody is there to be told
	}
	if c.ctx.Err() != nil && !errors.As(err, new(*Problem)) {
		err = c.ctx.Err()
	}
	p := c.named(problemOf(err))
	switch {
	case p.Status == http.StatusInternalServerError:
		h.Log.ErrorContext(ctx, "the API failed", "error", p.cause, "route", rt.path, "request_id", c.id)
	case p.cause != nil:
		h.Log.WarnContext(ctx, "the API refused", "error", p.cause, "route", rt.path, "request_id", c.id)
	}
	p.write(w, c.r, h.URL, c.id)
}

// named names the parameters of a request that a fault is about, where it says so of several in words.
func (c *call) named(p *Problem) *Problem {
	if len(p.Errors) != 1 || c.r.URL.Query().Has(p.Errors[0].Parameter) {
		return p
	}
	words := strings.FieldsFunc(p.Errors[0].Parameter, func(r rune) bool { return r == ',' || r == ' ' })
	if slices.Equal(words, []string{"q"}) {
		words = append(words, "id") // both are searched for
	}
	var faults []Fault
	for _, name := range words {
		if c.r.URL.Query().Has(name) {
			faults = append(faults, Fault{Parameter: name, Code: p.Errors[0].Code, Detail: p.Errors[0].Detail})
		}
	}
	if faults == nil {
		return p
	}
	out := *p
	out.Errors = faults
	return &out
}

// encode writes the answer. One that equals what the client has is not sent again; when it was made does not count.
func (h *handler) encode(ctx context.Context, w http.ResponseWriter, c *call, rt *route, answer any) {
	b, err := json.Marshal(answer)
	if err != nil {
		h.fail(ctx, w, c, rt, err)
		return
	}
	out := w.Header()
	out.Set("Content-Type", "application/json")
	if rt.method == http.MethodGet && !rt.quick {
		tag := `W/"` + c.digest(b) + `"`
		out.Set("ETag", tag)
		out.Set("Cache-Control", "private, no-cache")
		out.Set("Vary", "Authorization, Accept-Encoding")
		if slices.Contains(strings.Split(strings.ReplaceAll(c.r.Header.Get("If-None-Match"), " ", ""), ","), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	_, _ = w.Write(append(b, '\n')) // the client may be gone
}

// digest is a hash over an answer without the moment at which it was made, at which its range may end.
func (c *call) digest(b []byte) string {
	const made = `"generated_at":"`
	text := string(b)
	if i := strings.Index(text, made); i >= 0 {
		if n := strings.IndexByte(text[i+len(made):], '"'); n >= 0 {
			text = text[:i] + text[i+len(made)+n:]
		}
	}
	if end, err := c.now.In(c.zone).MarshalJSON(); err == nil {
		text = strings.ReplaceAll(text, string(end), "")
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:12])
}

// cors lets pages of the origins that are set read answers.
func (h *handler) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" || !slices.Contains(h.Origins, origin) {
			next.ServeHTTP(w, r)
			return
		}
		out := w.Header()
		out.Add("Vary", "Origin")
		out.Set("Access-Control-Allow-Origin", origin)
		out.Set("Access-Control-Expose-Headers", "ETag, Link, Location, Retry-After")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			out.Set("Access-Control-Allow-Methods", "GET, POST")
			out.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-None-Match")
			out.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// viewer is who asks.
func (c *call) viewer() dashboard.Viewer {
	return dashboard.NewViewer(c.Pool, c.account, c.zone, c.now)
}
