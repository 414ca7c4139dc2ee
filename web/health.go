package web

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/queries"
	"turnwise/views"
)

// health answers GET /health.
func (s *server) health(w http.ResponseWriter, r *http.Request) error {
	m := views.Health{Page: s.page(r, "Data health", "Data health"), Days: queries.SilentDays}
	var reasons []queries.RejectedReason
	var silent []queries.Silent
	var assistants []queries.Assistant
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		m.Sources, err = s.sourceRows(ctx, m.Now)
		return err
	})
	g.Go(func() (err error) {
		reasons, err = queries.RejectedReasons(ctx, s.Pool)
		return err
	})
	g.Go(func() error {
		types, err := queries.EventTypes(ctx, s.Pool, m.Now)
		for _, t := range types {
			m.Types = append(m.Types, views.TypeRow{
				Type: t.Type, Stored: t.Stored, LastAt: t.LastAt, Unknown: s.Knows != nil && !s.Knows(t.Type),
			})
		}
		return err
	})
	g.Go(func() (err error) {
		assistants, err = queries.Assistants(ctx, s.Pool)
		return err
	})
	g.Go(func() (err error) {
		silent, err = queries.SilentAssistants(ctx, s.Pool, m.Now, m.Now)
		return err
	})
	g.Go(func() error {
		if err := s.storable(ctx); err != nil {
			m.Stuck = queries.WhyUnstorable(err)
			s.Log.WarnContext(ctx, "nothing can be stored", "error", err)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	healthRows(&m, reasons, silent)
	m.Trainings = trainings(assistants)
	m.Alarm = m.Stuck != "" || len(m.Silent) > 0 || len(m.Reasons) > 0 || len(m.Troubled) > 0
	return s.renderEither(w, r, views.HealthPage(m), views.HealthView(m))
}

// healthRows sets what is not well.
func healthRows(m *views.Health, reasons []queries.RejectedReason, silent []queries.Silent) {
	for _, row := range m.Sources {
		if row.Broker != nil && row.Broker.Bad() {
			m.Troubled = append(m.Troubled, row)
		}
	}
	for _, x := range reasons {
		q := url.Values{"source": {strconv.FormatInt(x.SourceID, 10)}, "code": {x.Code}, "detail": {x.Detail}}
		m.Reasons = append(m.Reasons, views.ReasonRow{
			Source: x.Source, Code: x.Code, Detail: x.Detail, Bodies: x.Bodies, Seen: x.Seen, LastAt: x.LastAt,
			List: "/rejected?" + q.Encode(),
		})
	}
	for _, x := range silent {
		m.Silent = append(m.Silent, views.SilentRow{
			Assistant: x.Assistant, Conversations: x.Conversations, Last: x.LastEscalated,
		})
	}
}

// aTraining is how Rasa names the assistant of a training whose configuration gives it no name of its own.
var aTraining = regexp.MustCompile(`^\d{8}-\d{6}-[a-z]+-[a-z]+$`)

// trainings are the assistants that look like trainings of one bot, if there are two or more.
func trainings(all []queries.Assistant) (names []string) {
	for _, a := range all {
		if aTraining.MatchString(a.Name) {
			names = append(names, a.Name)
		}
	}
	if len(names) < 2 {
		return nil
	}
	return names
}

// probe is whether anything can be stored, when that was asked last.
type probe struct {
	mu   sync.Mutex
	at   time.Time
	said error
}

// storable tells why nothing can be stored, as it was within the last half minute.
func (s *server) storable(ctx context.Context) error {
	p := s.probe
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.at) > 30*time.Second {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // it is for others too
		defer cancel()
		said := queries.Storable(asking, s.Pool)
		p.said, p.at = said, now
		if asking.Err() != nil {
			p.said = nil // nobody knows
		}
	}
	return p.said
}
