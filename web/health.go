package web

import (
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/sync/errgroup"

	"turnwise/queries"
	"turnwise/views"
)

// silentDays is how long an assistant may go without a hand-off before its containment is doubted.
const silentDays = 30

// health answers GET /health.
func (s *server) health(w http.ResponseWriter, r *http.Request) error {
	m := views.Health{Page: s.page(r, "Data health", "Data health"), Days: silentDays}
	var reasons []queries.RejectedReason
	var silent []queries.Silent
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		m.Sources, err = s.sourceRows(ctx, m.Now)
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
	for _, row := range m.Sources {
		if row.Broker != nil && row.Broker.Bad() {
			m.Troubled = append(m.Troubled, row)
		}
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
