package web

import (
	"net/http"
	"time"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// volume answers GET /conversations/volume: the strip above the list.
func (s *server) volume(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Volume", "Conversations")
	q, err := s.parseQuestion(r, false)
	if err != nil {
		return err
	}
	q.path = "/conversations"
	from, until := q.filter.Range.Bounds(page.Now, s.Zone)
	if q.filter.ID != "" || q.filter.Range.Days == metric.MaxDays { // from the first conversation on
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
	counts, err := queries.Volume(r.Context(), s.Pool, q.filter, starts, page.Now, s.Zone)
	if err != nil {
		return err
	}
	for i, t := range page.Ticks(spans, bucket) {
		f := q.filter.Within(spans[i].From.In(s.Zone), spans[i].Until.In(s.Zone))
		m.Bars = append(m.Bars, views.StripBar{Tick: t, N: counts[i], Link: address(f)})
		m.Most = max(m.Most, counts[i])
		m.Total += counts[i]
	}
	return s.render(w, r, http.StatusOK, views.StripView(m))
}

// countList answers GET /conversations/total: how many conversations a search hits, where the list did not wait for it.
func (s *server) countList(w http.ResponseWriter, r *http.Request) error {
	m := views.Conversations{Page: s.page(r, "Total", "Conversations")}
	q, err := s.parseQuestion(r, false)
	if err != nil {
		return err
	}
	if m.Total, m.More, err = s.total(r.Context(), q.filter, m.Now); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.TotalView(m))
}
