package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/httprate"
	"github.com/jackc/pgx/v5"

	"turnwise/metric"
	"turnwise/queries"
)

// readers writes down who read what people said. It does so a moment later and many at once, so that no page waits for
// it; what waits when the process is killed is lost.
type readers struct {
	server  *server
	zone    atomic.Pointer[time.Location]
	entries chan read
	ended   chan struct{}

	mu      sync.Mutex
	off     bool                 // it is switched off
	looked  time.Time            // when that was looked up
	refused map[string]time.Time // by who and what, when that was written down last
	minute  time.Time            // since when strangers are counted
	strange int
}

// read is one request.
type read struct {
	who   queries.Actor
	at    time.Time
	act   queries.AuditAct
	id    string // of a conversation, or of what else was read
	name  string
	query string // the filter, as it was asked for
	asked string // of a tool, by a model
	rows  int64  // -1: not told
}

const (
	readsAtOnce  = 500
	readsWait    = 200 * time.Millisecond
	switchLife   = 5 * time.Second // how long a change of the switch may go unnoticed
	noteWait     = 5 * time.Second
	refusedEvery = time.Minute // the same one is written down again
	strangers    = 30          // how many refusals of who is not known are written down in that time
)

func newReaders(s *server) *readers {
	l := &readers{
		server: s, entries: make(chan read, 10*readsAtOnce), ended: make(chan struct{}),
		refused: map[string]time.Time{},
	}
	l.zone.Store(s.Zone)
	return l
}

// note takes an entry; when very many wait, so does who asks, also one who has gone.
func (l *readers) note(ctx context.Context, e read) {
	select {
	case l.entries <- e:
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteWait)
	defer cancel()
	select {
	case l.entries <- e:
	case <-ctx.Done():
		l.server.Log.ErrorContext(ctx, "who read is not written down: the audit log takes nothing", "act", e.act)
	}
}

// run writes entries until the context ends, and then the last ones.
func (l *readers) run(ctx context.Context) {
	defer close(l.ended)
	var waiting []read
	timer := time.NewTicker(readsWait)
	defer timer.Stop()
	for {
		select {
		case e := <-l.entries:
			if waiting = append(waiting, e); len(waiting) < readsAtOnce {
				continue
			}
		case <-timer.C:
		case <-ctx.Done():
			for len(l.entries) > 0 {
				waiting = append(waiting, <-l.entries)
			}
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			l.write(last, waiting)
			return
		}
		if len(waiting) > 0 && l.write(ctx, waiting) {
			waiting = waiting[:0]
		}
		if len(waiting) > 20*readsAtOnce { // the database is away for long: rather these than all memory
			waiting = waiting[readsAtOnce:]
			l.server.Log.ErrorContext(
				ctx, "who read is not written down: the audit log takes nothing", "entries", readsAtOnce,
			)
		}
	}
}

// write tells whether the entries are written.
func (l *readers) write(ctx context.Context, all []read) bool {
	if len(all) == 0 {
		return true
	}
	s := l.server
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		p, err := queries.LoadPseudonyms(ctx, tx)
		if err != nil {
			return err
		}
		noted := make([]queries.Noted, len(all))
		for i, e := range all {
			noted[i] = queries.Noted{Who: e.who, At: e.at, Act: e.act, ObjectID: e.id, Object: e.name}
			after := map[string]any{}
			if q := filterWords(e.query, p, l.zone.Load()); q != "" {
				after["filter"] = q
			}
			if e.rows >= 0 {
				after["rows"] = e.rows
			}
			if e.asked != "" {
				after["asked"] = askedWords(e.asked, p, l.zone.Load())
			}
			if len(after) > 0 {
				noted[i].After = after
			}
		}
		return queries.RecordAll(ctx, tx, noted)
	})
	if queries.BadData(err) { // one holds up no other
		if len(all) == 1 {
			s.Log.ErrorContext(
				ctx, "who read is not written down: the database refused it", "act", all[0].act, "error", err,
			)
			return true
		}
		written := true
		for i := range all {
			written = l.write(ctx, all[i:i+1]) && written
		}
		return written
	}
	if err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "who read is not written down yet", "entries", len(all), "error", err)
	}
	return err == nil
}

// filterWords is a filter as the audit log tells it.
func filterWords(raw string, p queries.Pseudonyms, zone *time.Location) string {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return ""
	}
	f, err := metric.ParseFilter(q, zone)
	if err != nil {
		return ""
	}
	return withoutPeople(f, p).Encode()
}

// askedWords is what a tool was asked, as the audit log tells it: what may name a person by a pseudonym.
func askedWords(text string, p queries.Pseudonyms, zone *time.Location) map[string]any {
	var all map[string]any
	if json.Unmarshal([]byte(text), &all) != nil {
		return nil
	}
	if f, ok := all["filter"].(string); ok {
		all["filter"] = filterWords(f, p, zone)
	}
	if words, ok := all["words"].(string); ok {
		all["words"] = p.Of(words)
	}
	return all
}

// on tells whether reading is written down.
func (l *readers) on(ctx context.Context) bool {
	now := time.Now()
	l.mu.Lock()
	off, due := l.off, now.Sub(l.looked) > switchLife
	if due { // the others go by what was known
		l.looked = now
	}
	l.mu.Unlock()
	if !due {
		return !off
	}
	set, err := queries.LoadAuditSettings(ctx, l.server.Pool)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.looked = now.Add(time.Second - switchLife) // again in a second
	} else {
		l.off = set.NoReads
	}
	return !l.off
}

// again makes a change of the switch known at once, here.
func (l *readers) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looked = time.Time{}
}

// refuse writes down that somebody was refused, the same once a minute.
func (s *server) refuse(r *http.Request, why string) {
	who := s.actor(r)
	route := chi.RouteContext(r.Context()).RoutePattern()
	key := who.Name + " " + httprate.CanonicalizeIP(who.Address) + " " + why
	if who.ID != nil {
		key += " " + r.Method + " " + route
	}
	l, now := s.readers, s.Now()
	l.mu.Lock()
	last, known := l.refused[key]
	known = known && now.Sub(last) < refusedEvery
	if who.ID == nil && !known {
		if now.Sub(l.minute) >= refusedEvery {
			l.minute, l.strange = now, 0
		}
		l.strange++
		known = l.strange > strangers
	}
	if len(l.refused) > 10000 {
		clear(l.refused)
	}
	l.refused[key] = now
	l.mu.Unlock()
	if known {
		return
	}
	l.note(r.Context(), read{
		who: who, at: now, act: queries.AuditRefused, id: r.Method + " " + route, name: why, rows: -1,
	})
}

// textRoutes are pages that show what people said, or who they are, and what reading them is called.
var textRoutes = map[string]queries.AuditAct{
	"/conversations": queries.AuditListRead, "/conversations/{id}": queries.AuditConversationRead,
	"/turns": queries.AuditListRead, "/users/list": queries.AuditListRead, "/intents": queries.AuditListRead,
	"/review": queries.AuditListRead, "/queues/{id}": queries.AuditListRead, "/queues/{id}/mix": queries.AuditListRead,
	"/rejected": queries.AuditRejectedRead, "/rejected/{id}": queries.AuditRejectedRead,
	"/conversations/total": queries.AuditListRead, "/conversations/volume": queries.AuditListRead,
}

type rowsKey struct{}

// shownRows tells how many rows of a list are shown, for who writes down what is read.
func shownRows(ctx context.Context, n int) {
	if to, ok := ctx.Value(rowsKey{}).(*int64); ok {
		*to = int64(n)
	}
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (a *answered) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets controllers reach what is beneath.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// reading does a request and writes down what was read.
func (s *server) reading(h handler, w http.ResponseWriter, r *http.Request) error {
	route := chi.RouteContext(r.Context()).RoutePattern()
	act, texts := textRoutes[route]
	// what they count is read only where somebody searches
	counts := route == "/conversations/total" || route == "/conversations/volume"
	if r.Method != http.MethodGet || !texts || counts && !r.URL.Query().Has("q") || !s.readers.on(r.Context()) {
		return h(w, r)
	}
	rows := int64(-1)
	out := &answered{ResponseWriter: w}
	err := h(out, r.WithContext(context.WithValue(r.Context(), rowsKey{}, &rows)))
	if err != nil || out.status >= 300 {
		return err
	}
	e := read{
		who: s.actor(r), at: s.Now(), act: act, id: chi.URLParam(r, "id"), name: strings.TrimPrefix(route, "/"),
		query: r.URL.RawQuery, rows: rows,
	}
	if act == queries.AuditConversationRead {
		e.query, e.name = "", ""
	}
	s.readers.note(r.Context(), e)
	return nil
}
