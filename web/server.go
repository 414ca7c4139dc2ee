// Package web serves the pages: routes, sign-in, and a handler for each page.
package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/a-h/templ"
	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/v2"
	"github.com/go-chi/httprate"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/dashboard"
	"turnwise/format"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
	"turnwise/secret"
	"turnwise/views"
	"turnwise/web/api"
)

// Config is what the pages need from outside.
type Config struct {
	Pool      *pgxpool.Pool
	Log       *slog.Logger
	Zone      *time.Location // of the workspace
	FixedZone bool           // it is set where the server starts, whatever the settings say
	URL       string         // under which people reach the server, without a slash at the end
	Version   string
	Proxies   []netip.Prefix // whose X-Forwarded-For is believed
	Ingest    http.Handler   // takes POST /api/v1/ingest/rasa and /events
	Traces    http.Handler   // takes POST /v1/traces; nil: none are taken
	Webhooks  http.Handler   // takes POST /api/v1/ingest/webhooks/{id}; nil: none are taken
	Mappings  Mappings       // of webhooks; nil: there are none
	Replay    Replay
	// tells whether a wire format is documented to have events of a type; nil: all are known
	Knows func(typ string) bool
	Jobs  *jobs.Queue // takes what is done in the background
	Box   *secret.Box // keeps secrets; nil: there is no key
	SSO   *SSO        // nil: none

	ReportFolder bool               // files may be put into a folder of the server
	Internal     jobs.Networks      // private networks to which files may be sent nevertheless
	ReportLeast  time.Duration      // between two runs of a report; 0: as often as every minute
	ReportMails  int                // that a report sends a day at most; 0: any number
	SignedIn     func(email string) // told of each sign-in; may be nil
	Rate         int                // requests of the JSON API that a token may send in a minute; 0: any number
	Origins      []string           // of pages in browsers that may read answers of the JSON API
	Now          func() time.Time   // nil: the clock
	// Keeping hands on a pool of who may make logins of the database; nil: Pool is that
	Keeping func(ctx context.Context, do func(*pgxpool.Pool) error) error
}

// Mappings are files that say how events are made of what platforms send.
type Mappings interface {
	Shipped() []views.ShippedMapping // those that come with Turnwise
	Text(name string) (string, bool) // of one of them
	// Check reads a mapping and runs its tests; an error says what is wrong. secret tells whether it asks for one.
	Check(text string) (secret bool, err error)
	// Try returns the events that a mapping makes of a body, or why it makes none.
	Try(text string, bodies [][]byte) ([]Tried, error)
	// Preview tells what mapping again what a webhook brought would change, if it were as given.
	Preview(ctx context.Context, hook queries.Webhook) (MapPreview, error)
}

// MapPreview is what mapping again would change.
type MapPreview struct {
	Bodies        int // that were looked at, the last ones
	Masked        int // of them, that cannot be mapped again
	Conversations int64
	More          bool // there are earlier bodies
}

// Tried is what a mapping makes of a body.
type Tried struct {
	Events []string // as JSON
	Reason string   // why there are none, or why one of them is set aside; "" when it passes over the body
}

// Replay stores a rejected event's body, mended or as it was. It returns an *metric.InputError that says why
// the body cannot be stored either.
type Replay func(ctx context.Context, r queries.RejectedEvent, body []byte) error

type server struct {
	Config
	grid      figures.Grid // of the rollups
	sessions  *scs.SessionManager
	hashing   *hashers
	limiters  *limiters
	readers   *readers
	api       *api.API
	probe     *probe
	stranger  *atomic.Bool // that an unknown proxy is met is said once
	byAddress *httprate.RateLimiter
	byAccount *httprate.RateLimiter
	decoy     string // a hash that unknown users are compared with, so that they cost the same time
}

// Site is the handler of the whole site.
type Site struct {
	now atomic.Pointer[pages]
}

// pages are the site as it stands: a request that has begun keeps its own.
type pages struct {
	server  *server
	handler http.Handler
}

// ServeHTTP answers a request.
func (x *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.now.Load().handler.ServeHTTP(w, r)
}

// UseZone counts days in another time zone from now on. Requests that have begun end as they began.
func (x *Site) UseZone(zone *time.Location) {
	s := *x.now.Load().server
	s.Zone, s.grid = zone, figures.NewGrid(zone)
	s.readers.zone.Store(zone)
	x.now.Store(&pages{&s, s.routes()})
}

// New returns the site and a function that ends its background work.
func New(cfg Config) (*Site, func()) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Mappings == nil {
		cfg.Mappings = noMappings{}
	}
	s := &server{
		Config: cfg, grid: figures.NewGrid(cfg.Zone), sessions: scs.New(), hashing: newHashers(),
		limiters: newLimiters(), probe: new(probe), stranger: new(atomic.Bool), api: api.New(cfg.Rate),
	}
	s.sessions.Store = pgxstore.NewWithCleanupInterval(cfg.Pool, 0) // its own cleaning cannot be stopped without a race
	s.sessions.HashTokenInStore = true
	s.sessions.Lifetime = sessionLife
	s.sessions.IdleTimeout = sessionIdle
	s.sessions.Cookie.HttpOnly = true
	s.sessions.Cookie.SameSite = http.SameSiteLaxMode
	s.sessions.Cookie.Name = "turnwise"
	if strings.HasPrefix(cfg.URL, "https://") {
		s.sessions.Cookie.Name = "__Host-turnwise"
		s.sessions.Cookie.Secure = true
	}
	s.sessions.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) { s.fail(w, r, err) }
	s.byAddress = httprate.NewRateLimiter(30, time.Minute)
	s.byAccount = httprate.NewRateLimiter(8, time.Minute)
	s.decoy, _ = access.HashPassword(rand.Text()) // cannot fail but for want of randomness
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.forgetSessions(ctx)
	}()
	s.readers = newReaders(s)
	go s.readers.run(ctx)
	site := new(Site)
	site.now.Store(&pages{s, s.routes()})
	return site, func() {
		stop()
		<-ended
		<-s.readers.ended
	}
}

// forgetSessions deletes expired sessions until the context ends.
func (s *server) forgetSessions(ctx context.Context) {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := queries.ForgetLogins(
			ctx, s.Pool, s.Now(), s.Now().Add(-sessionIdle),
		); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "expired sessions stay for now", "error", err)
		}
	}
}

type handler func(w http.ResponseWriter, r *http.Request) error

// handle answers the errors of a handler, and logs those that somebody must look at.
func (s *server) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	m := views.Message{Page: s.page(r, "Error", ""), Back: "/", BackText: "To the start"}
	status := http.StatusInternalServerError
	var input *metric.InputError
	switch {
	case errors.As(err, &input):
		status, m.Heading, m.Text = http.StatusBadRequest, "That cannot be done", input.Error()
	case errors.Is(err, queries.ErrNotFound):
		status, m.Heading, m.Text = http.StatusNotFound, "Not found",
			"There is nothing here, or it is not for you to see."
	case errors.Is(err, queries.ErrConflict):
		status, m.Heading, m.Text = http.StatusConflict, "Changed meanwhile", "Somebody changed this, or did the "+
			"same, just before. Open it again to see how it stands."
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "10")
		status, m.Heading, m.Text = http.StatusTooManyRequests, "One thing after another", "You have several files "+
			"or long charts under way. Wait until they are done, or choose a shorter range; large files can be "+
			"made in the background."
	case errors.Is(err, context.Canceled):
		return
	case queries.BadValue(err):
		s.Log.WarnContext(r.Context(), "the database refused what was asked", "error", err, "route", r.Pattern)
		status, m.Heading, m.Text = http.StatusBadRequest, "That cannot be done", "Something in what was asked or "+
			"entered cannot be stored or looked up."
	case queries.Temporary(err):
		s.Log.WarnContext(r.Context(), "the database does not answer", "error", err)
		w.Header().Set("Retry-After", "5")
		away := "The database does not answer at the moment. Try again in a few seconds."
		if isProgram(r) {
			problem(w, r, http.StatusServiceUnavailable, "Unavailable", away)
			return
		}
		http.Error(w, away, http.StatusServiceUnavailable)
		return
	default:
		s.Log.ErrorContext(r.Context(), "a page failed", "error", err, "route", r.Pattern)
		m.Heading, m.Text = "Something went wrong here", "The server's log says what. What you were doing was "+
			"not stored."
	}
	s.message(w, r, status, m)
}

func (s *server) message(w http.ResponseWriter, r *http.Request, status int, m views.Message) {
	if isProgram(r) {
		problem(w, r, status, m.Heading, m.Text)
		return
	}
	m.Title = m.Heading
	if err := s.render(w, r, status, views.MessagePage(m)); err != nil {
		s.Log.ErrorContext(r.Context(), "an error page failed", "error", err)
		http.Error(w, m.Heading, status)
	}
}

// page returns what every page needs.
func (s *server) page(r *http.Request, title, nav string) views.Page {
	p := views.Page{Title: title, Nav: nav, Dates: format.Dates{Zone: s.Zone, Now: s.Now()}, Version: s.Version}
	if u, ok := accountOf(r.Context()); ok {
		p.Name, p.Role, p.Rights, p.Mentions = u.Name, u.Role, u.Rights(), u.Mentions
	}
	p.Carry = templ.SafeURL(dashboard.Carried(r.URL, s.Zone))
	return p
}

// render writes a component, whole or not at all.
func (s *server) render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) error {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(views.Pictured(b.Bytes())) // the client may be gone
	return nil
}

// renderEither writes the partial to htmx and the page to everybody else.
func (s *server) renderEither(w http.ResponseWriter, r *http.Request, page, partial templ.Component) error {
	w.Header().Add("Vary", "HX-Request, HX-History-Restore-Request")
	if r.Header.Get("HX-Request") == "true" && r.Header.Get("HX-History-Restore-Request") != "true" {
		return s.render(w, r, http.StatusOK, partial)
	}
	return s.render(w, r, http.StatusOK, page)
}
