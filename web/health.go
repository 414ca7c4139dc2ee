package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// silentDays is how long an assistant may go without a hand-off before its containment is doubted.
const silentDays = 30

// delayMinutes is how far the percentiles of delay look back, memberSilence how long a consumer may say nothing
// before it is taken for gone.
const (
	delayMinutes  = 15
	memberSilence = 15 * time.Second
)

// delayWords writes a percentile of delay.
func delayWords(d *metric.Delays, p float64) string {
	v, longer, ok := d.Percentile(p)
	switch {
	case !ok:
		return ""
	case longer:
		return "over " + views.Span(v)
	}
	return views.Span(v)
}

// health answers GET /health.
func (s *server) health(w http.ResponseWriter, r *http.Request) error {
	m := views.Health{Page: s.page(r, "Data health", "Data health"), Days: silentDays}
	local := m.Now.In(s.Zone)
	today := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, s.Zone)
	var sources []queries.SourceHealth
	var reasons []queries.RejectedReason
	var silent []queries.Silent
	var delays map[int64]*metric.Delays
	var brokers map[int64]*views.Broker
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
	g.Go(func() (err error) {
		delays, err = queries.SourceDelays(ctx, s.Pool, m.Now.Add(-delayMinutes*time.Minute))
		return err
	})
	g.Go(func() (err error) {
		brokers, err = s.brokers(ctx, m.Now)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, x := range sources {
		row := views.SourceRow{
			ID: x.ID, Name: x.Name, Kind: x.Kind, Today: x.Today, LastHour: x.LastHour, LastMinute: x.LastMinute, Known: x.Known, Revised: x.Revised,
			Rejected: x.Rejected, Redelivered: x.Redelivered, Open: x.Open, LastEvent: x.LastEventAt, LastReceived: x.LastReceivedAt, Broker: brokers[x.ID],
		}
		if d := delays[x.ID]; d != nil && (x.Kind == "http" || row.Broker != nil) { // files hold the past: their delay says nothing
			row.Delay50, row.Delay95 = delayWords(d, 0.5), delayWords(d, 0.95)
		}
		if row.Broker != nil && row.Broker.Bad() {
			m.Troubled = append(m.Troubled, row)
		}
		m.Sources = append(m.Sources, row)
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
	m.Alarm = len(m.Silent) > 0 || len(m.Reasons) > 0 || len(m.Troubled) > 0
	return s.renderEither(w, r, views.HealthPage(m), views.HealthView(m))
}
