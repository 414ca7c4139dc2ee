package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

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
		return "over " + format.Span(v)
	}
	return format.Span(v)
}

// clockAhead is by how much events may be from later than they arrive before that is said: clocks differ a little.
const clockAhead = 2 * time.Minute

// sourceRows returns how all sources are doing.
func (s *server) sourceRows(ctx context.Context, now time.Time) ([]views.SourceRow, error) {
	local := now.In(s.Zone)
	today := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, s.Zone)
	sources, err := queries.SourcesHealth(ctx, s.Pool, now, today)
	if err != nil {
		return nil, err
	}
	delays, err := queries.SourceDelays(ctx, s.Pool, now.Add(-delayMinutes*time.Minute))
	if err != nil {
		return nil, err
	}
	brokers, err := s.brokers(ctx, now)
	if err != nil {
		return nil, err
	}
	var rows []views.SourceRow
	for _, x := range sources {
		row := views.SourceRow{
			ID: x.ID, Name: x.Name, Kind: x.Kind, Today: x.Today, LastHour: x.LastHour, LastMinute: x.LastMinute,
			Duplicates: x.Duplicates, Revised: x.Revised,
			Rejected: x.Rejected, Redelivered: x.Redelivered, Empty: x.Empty, Open: x.Open, LastEvent: x.LastEventAt,
			LastReceived: x.LastReceivedAt, Broker: brokers[x.ID],
		}
		if ahead := time.Duration(x.Ahead * float64(time.Second)); ahead >= clockAhead {
			row.Ahead = ahead
		}
		// files hold the past: their delay says nothing
		if d := delays[x.ID]; d != nil && (x.Kind == "http" || row.Broker != nil) {
			row.Delay50, row.Delay95 = delayWords(d, 0.5), delayWords(d, 0.95)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// brokers returns how the sources that are read from brokers are doing, by source.
func (s *server) brokers(ctx context.Context, now time.Time) (map[int64]*views.Broker, error) {
	sources, err := queries.StreamSources(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	members, err := queries.Members(ctx, s.Pool, now.AddDate(0, 0, -1))
	if err != nil {
		return nil, err
	}
	positions, err := queries.Positions(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	all := map[int64]*views.Broker{}
	for _, x := range sources {
		b := &views.Broker{ID: x.ID, Name: x.Name, Kind: x.Kind, PausedAt: x.PausedAt, PausedBy: x.PausedBy}
		if x.PausedAt != nil {
			b.State, b.Reason = "paused", x.PausedWhy
		}
		for _, setting := range x.Settings {
			b.Settings = append(b.Settings, [2]string(setting))
		}
		all[x.ID] = b
	}
	for _, p := range positions {
		if b := all[p.SourceID]; b != nil {
			b.Parts = append(b.Parts, views.BrokerPart{
				Stream: p.Stream, Part: p.Part, Committed: p.Committed, Newest: p.Newest, Lag: p.Lag, At: p.At,
			})
			b.Lag += p.Lag
			if b.LagAt == nil || p.At.After(*b.LagAt) {
				b.LagAt = &p.At
			}
		}
	}
	for _, x := range members {
		if b := all[x.SourceID]; b != nil {
			addMember(b, x, now)
		}
	}
	for _, b := range all {
		if b.PausedAt == nil && (b.State == "" || b.State == "stopped" || b.State == "gone") {
			b.State, b.Reason = "unread", "no process reads it now"
		}
	}
	return all, nil
}

// addMember adds a process that reads a broker.
func addMember(b *views.Broker, x queries.Member, now time.Time) {
	if x.ErrorAt != nil && (b.ErrorAt == nil || x.ErrorAt.After(*b.ErrorAt)) {
		b.Error, b.ErrorAt = x.Error, x.ErrorAt
	}
	b.LastSeen = later(b.LastSeen, x.SeenAt)
	row := views.BrokerMember{
		Name: x.Member, State: x.State, Reason: x.Reason, Started: x.StartedAt, Seen: x.SeenAt,
		Reconnects: x.Reconnects,
	}
	if now.Sub(x.SeenAt) > memberSilence && x.State != "stopped" {
		row.State, row.Reason = "gone", "it has not been heard of"
	}
	b.Members = append(b.Members, row)
	if b.PausedAt == nil && worse(row.State, b.State) {
		b.State, b.Reason = row.State, row.Reason
	}
}

func later(t *time.Time, u time.Time) *time.Time {
	if t == nil || u.After(*t) {
		return &u
	}
	return t
}

// worse orders the states of members: what is told of a source is that of the worst that is at work.
func worse(state, than string) bool {
	order := []string{"", "stopped", "gone", "reading", "paused", "connecting", "failed", "waiting"}
	rank := func(s string) int {
		for i, o := range order {
			if s == o {
				return i
			}
		}
		return 0
	}
	return rank(state) > rank(than)
}

func (s *server) sourceByURL(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil {
		return 0, queries.ErrNotFound
	}
	return id, nil
}

// source answers GET /sources/{id}.
func (s *server) source(w http.ResponseWriter, r *http.Request) error {
	id, err := s.sourceByURL(r)
	if err != nil {
		return err
	}
	m := views.Source{Page: s.page(r, "Source", "Data health")}
	rows, err := s.sourceRows(r.Context(), m.Now)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.ID == id && row.Broker != nil {
			m.Title, m.Row = row.Name, row
			return s.renderEither(w, r, views.SourcePage(m), views.SourceView(m))
		}
	}
	return queries.ErrNotFound
}

// pauseSource answers POST /sources/{id}/pause.
func (s *server) pauseSource(w http.ResponseWriter, r *http.Request) error {
	id, err := s.sourceByURL(r)
	if err != nil {
		return err
	}
	why := strings.TrimSpace(r.PostFormValue("why"))
	if len(why) > 300 || !utf8.ValidString(why) {
		return &metric.InputError{Field: "why", Msg: "is longer than 300 bytes, or no text"}
	}
	u, _ := accountOf(r.Context()) // the route needs one
	ctx := r.Context()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{
			act: queries.AuditSourcePaused, id: strconv.FormatInt(id, 10), after: map[string]any{"why": why},
		}, queries.PauseSource(ctx, tx, id, s.Now(), u.Email, why)
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/sources/"+strconv.FormatInt(id, 10), http.StatusSeeOther)
	return nil
}

// resumeSource answers POST /sources/{id}/resume.
func (s *server) resumeSource(w http.ResponseWriter, r *http.Request) error {
	id, err := s.sourceByURL(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{act: queries.AuditSourceResumed, id: strconv.FormatInt(id, 10)}, queries.ResumeSource(ctx, tx, id)
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/sources/"+strconv.FormatInt(id, 10), http.StatusSeeOther)
	return nil
}
