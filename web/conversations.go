package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// pageSize is how many conversations one page of the list shows; countUpTo is where counting ends.
const (
	pageSize  = 50
	countUpTo = 500
)

// conversations answers GET /conversations, as a page or as its list alone.
func (s *server) conversations(w http.ResponseWriter, r *http.Request) error {
	m := views.Conversations{Page: s.page(r, "Conversations", "Conversations"), IngestURL: s.URL + "/api/v1/ingest/rasa"}
	f, at, err := parseList(r.URL.Query(), s.Zone)
	var input *metric.InputError
	if errors.As(err, &input) {
		m.Error = input.Error()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		m.Filter = metric.Filter{Range: metric.Range{Days: metric.DefaultDays}}
		s.describe(&m, queries.Choices{})
		return s.render(w, r, http.StatusBadRequest, views.ConversationsPage(m))
	}
	if err != nil {
		return err
	}
	m.Filter = f
	var list []queries.ListedConversation
	var choices queries.Choices
	now := m.Now
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		if m.Total, err = queries.CountConversations(ctx, s.Pool, f, countUpTo+1, now, s.Zone); err != nil {
			return err
		}
		list, err = queries.Conversations(ctx, s.Pool, f, at, m.Total <= countUpTo, pageSize+1, now, s.Zone)
		return err
	})
	g.Go(func() (err error) {
		choices, err = queries.FilterChoices(ctx, s.Pool)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if m.AnyData = m.Total > 0; !m.AnyData {
		if m.AnyData, err = queries.HasConversations(r.Context(), s.Pool); err != nil {
			return err
		}
	}
	if m.More = m.Total > countUpTo; m.More {
		m.Total = countUpTo
	}
	s.turnPages(&m, list, at)
	s.describe(&m, choices)
	return s.renderEither(w, r, views.ConversationsPage(m), views.ConversationsView(m))
}

func parseList(q url.Values, zone *time.Location) (metric.Filter, *metric.Cursor, error) {
	f, err := metric.ParseFilter(q, zone)
	if err != nil {
		return f, nil, err
	}
	at, err := metric.ParseCursor(q.Get("page"))
	return f, at, err
}

// turnPages sets the rows and the addresses of the pages around them; list has one row more than a page when
// there is more in its direction.
func (s *server) turnPages(m *views.Conversations, list []queries.ListedConversation, at *metric.Cursor) {
	more := len(list) > pageSize
	hasNewer, hasOlder := at != nil, more
	if at != nil && at.Newer {
		hasNewer, hasOlder = more, true
		if more {
			list = list[1:]
		}
	} else if more {
		list = list[:pageSize]
	}
	link := func(c queries.ListedConversation, newer bool) string {
		q := m.Filter.Query()
		q.Set("page", metric.Cursor{At: c.StartedAt.UnixMicro(), ID: c.ID, Newer: newer}.String())
		return "/conversations?" + q.Encode()
	}
	if len(list) > 0 && hasNewer {
		m.Newer = link(list[0], true)
	}
	if len(list) > 0 && hasOlder {
		m.Older = link(list[len(list)-1], false)
	}
	back := m.Filter.Query()
	if at != nil {
		back.Set("page", at.String())
	}
	if q := back.Encode(); q != "" {
		m.List = "?" + url.Values{"back": {q}}.Encode()
	}
	for _, c := range list {
		m.Rows = append(m.Rows, views.ConversationRow{
			ID: c.ID, StartedAt: c.StartedAt, Length: c.ActiveAt.Sub(c.StartedAt), Outcome: shownOutcome(c.Outcome, c.ClosesAt, m.Now),
			FirstText: c.FirstText, Assistant: c.Assistant, Environment: c.Environment, Channel: c.Channel, Version: c.Version,
			Flows: c.Flows, Messages: c.UserMessages, MedianMS: c.ResponseMedianMS, CSAT: c.CSAT, Escalated: c.Escalated,
		})
	}
}

// shownOutcome is open while the conversation is not closed.
func shownOutcome(outcome string, closes, now time.Time) string {
	if closes.After(now) {
		return metric.OutcomeOpen
	}
	return outcome
}

func address(f metric.Filter) string {
	if q := f.Query().Encode(); q != "" {
		return "/conversations?" + q
	}
	return "/conversations"
}

// describe sets the words and addresses of the filter bar.
func (s *server) describe(m *views.Conversations, c queries.Choices) {
	f := m.Filter
	from, until := f.Range.Bounds(m.Now, s.Zone)
	last := until.AddDate(0, 0, -1)
	m.RangeDates = m.Day(from) + " – " + m.Day(last)
	m.RangeName = "From and until"
	switch {
	case f.ID != "":
		m.RangeName, m.RangeDates = "All time", ""
	case f.Range.Days == 1:
		m.RangeName = "Today"
	case f.Range.Days > 1:
		m.RangeName = fmt.Sprintf("Last %s days", views.Count(f.Range.Days))
	}
	for _, days := range []int{1, 7, 28, 90, 180, 365} {
		with := f
		with.Range = metric.Range{Days: days}
		name := fmt.Sprintf("%d days", days)
		if days == 1 {
			name = "Today"
		}
		m.Presets = append(m.Presets, views.Chip{Label: name, Without: address(with)})
	}
	shift := func(n int) string {
		with := f
		with.Range = f.Range.Shift(n, m.Now, s.Zone)
		return address(with)
	}
	m.Earlier = shift(-1)
	if until.Before(m.Now) {
		m.Later = shift(1)
	}
	m.Flows = c.Flows
	m.Choices = []views.Choice{
		{Name: "assistant", Label: "Assistant", Values: c.Assistants, Chosen: f.Assistants},
		{Name: "environment", Label: "Environment", Values: c.Environments, Chosen: f.Environments},
		{Name: "channel", Label: "Channel", Values: c.Channels, Chosen: f.Channels},
		{Name: "version", Label: "Version", Values: c.Versions, Chosen: f.Versions},
		{Name: "outcome", Label: "Outcome", Values: metric.Outcomes, Chosen: f.Outcomes, Text: views.OutcomeName},
		{Name: "csat", Label: "CSAT", Values: metric.Ratings, Chosen: f.Ratings, Text: views.RatingName},
		{Name: "escalated", Label: "Escalated", Values: []string{"yes", "no"}, Chosen: []string{f.Escalated}, One: true},
	}
	s.chips(m)
	year := f
	year.Range = metric.Range{Days: 365}
	m.Year = address(year)
	m.Clear = address(metric.Filter{Range: f.Range})
}

// chips are the applied filters, each with the address of the list without it.
func (s *server) chips(m *views.Conversations) {
	q := m.Filter.Query()
	add := func(label, key, value, text string) {
		without := url.Values{}
		for k, vs := range q {
			for _, v := range vs {
				if k != key || v != value {
					without.Add(k, v)
				}
			}
		}
		m.Chips = append(m.Chips, views.Chip{Label: label, Value: text, Without: "/conversations?" + without.Encode()})
	}
	for _, c := range m.Choices {
		for _, v := range c.Chosen {
			text := v
			if c.Text != nil {
				text = c.Text(v)
			}
			if v != "" {
				add(c.Label, c.Name, v, text)
			}
		}
		for i := range m.Choices {
			if m.Choices[i].Name == c.Name && !c.One {
				// A value that was chosen but is not offered stays choosable.
				for _, v := range c.Chosen {
					if !slices.Contains(m.Choices[i].Values, v) {
						m.Choices[i].Values = append(m.Choices[i].Values, v)
					}
				}
			}
		}
	}
	if f := m.Filter.Flow; f != "" {
		add("Flow", "flow", f, f)
	}
	if id := m.Filter.ID; id != "" {
		add("Id", "id", id, id)
	}
}
