package web

import (
	"net/http"
	"time"

	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// volume answers GET /conversations/volume: the strip above the list.
func (s *server) volume(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Volume", "Conversations")
	q, err := s.viewer(r.Context()).Question(r.Context(), r.URL.Path, r.URL.Query(), false)
	if err != nil {
		return err
	}
	q.Path = "/conversations"
	from, until := q.Filter.Range.Bounds(page.Now, s.Zone)
	if q.Filter.ID != "" || q.Filter.Range.Days == metric.MaxDays { // from the first conversation on
		first, err := queries.FirstConversation(r.Context(), s.Pool)
		if err != nil {
			return err
		}
		from = metric.DayOf(first, s.Zone)
	}
	bucket := metric.Bucket("").In(from, until)
	spans := bucket.Spans(from, until, s.Zone)
	m := views.Strip{Spans: string(bucket)}
	starts := make([]time.Time, len(spans))
	for i, span := range spans {
		starts[i] = span.From
	}
	if len(starts) == 0 {
		return s.render(w, r, http.StatusOK, views.StripView(m))
	}
	counts, err := queries.Volume(r.Context(), s.Pool, q.Filter, starts, page.Now, s.Zone)
	if err != nil {
		return err
	}
	for i, t := range dashboard.Ticks(page.Dates, spans, bucket) {
		f := q.Filter.Within(spans[i].From.In(s.Zone), spans[i].Until.In(s.Zone))
		m.Bars = append(m.Bars, views.StripBar{Tick: t, N: counts[i], Link: dashboard.Address(f)})
		m.Most = max(m.Most, counts[i])
		m.Total += counts[i]
	}
	return s.render(w, r, http.StatusOK, views.StripView(m))
}

// countList answers GET /conversations/total: how many conversations a search hits, where the list did not wait for it.
func (s *server) countList(w http.ResponseWriter, r *http.Request) error {
	m := views.Conversations{Page: s.page(r, "Total", "Conversations")}
	q, err := s.viewer(r.Context()).Question(r.Context(), r.URL.Path, r.URL.Query(), false)
	if err != nil {
		return err
	}
	if m.Total, m.More, err = s.viewer(r.Context()).Total(r.Context(), q.Filter, m.Now); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.TotalView(m))
}
