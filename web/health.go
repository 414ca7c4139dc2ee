package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/queries"
	"turnwise/views"
)

// silentDays is how long an assistant may go without a hand-off before its containment is doubted.
const silentDays = 30

// health answers GET /health.
func (s *server) health(w http.ResponseWriter, r *http.Request) error {
	m := views.Health{Page: s.page(r, "Data health", "Data health"), Days: silentDays}
	local := m.Now.In(s.Zone)
	today := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, s.Zone)
	var sources []queries.SourceHealth
	var reasons []queries.RejectedReason
	var silent []queries.Silent
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		sources, err = queries.SourcesHealth(ctx, s.Pool, m.Now, today)
		return err
	})
	g.Go(func() (err error) {
		reasons, err = queries.RejectedReasons(ctx, s.Pool)
		return err
	})
	g.Go(func() (err error) {
		silent, err = queries.SilentAssistants(ctx, s.Pool, m.Now.AddDate(0, 0, -silentDays))
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, x := range sources {
		if x.Kind != "http" {
			x.DelayMS = nil // files hold the past: their delay says nothing
		}
		m.Sources = append(m.Sources, views.SourceRow{
			Name: x.Name, Kind: x.Kind, Today: x.Today, LastHour: x.LastHour, LastMinute: x.LastMinute, Known: x.Known, Revised: x.Revised,
			Rejected: x.Rejected, Open: x.Open, LastEvent: x.LastEventAt, LastReceived: x.LastReceivedAt, DelayMS: x.DelayMS,
		})
	}
	for _, x := range reasons {
		q := url.Values{"source": {strconv.FormatInt(x.SourceID, 10)}, "code": {x.Code}, "detail": {x.Detail}}
		m.Reasons = append(m.Reasons, views.ReasonRow{
			Source: x.Source, Code: x.Code, Detail: x.Detail, Bodies: x.Bodies, Seen: x.Seen, LastAt: x.LastAt, List: "/rejected?" + q.Encode(),
		})
	}
	for _, x := range silent {
		m.Silent = append(m.Silent, views.SilentRow{Assistant: x.Assistant, Conversations: x.Conversations, Last: x.LastEscalated})
	}
	m.Alarm = len(m.Silent) > 0 || len(m.Reasons) > 0
	return s.renderEither(w, r, views.HealthPage(m), views.HealthView(m))
}
