package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// charts reads the figures that the address of a page of charts asks for. done tells that the answer was given: a
// better address, or what is wrong with this one.
func (s *server) charts(
	w http.ResponseWriter, r *http.Request, what dashboard.Needs, own ...string,
) (f *dashboard.Figures, done bool, err error) {
	done, err = s.canonical(w, r)
	if done {
		return nil, true, nil
	}
	if err == nil {
		f, err = s.viewer(r.Context()).Figures(r.Context(), r.URL.Path, r.URL.Query(), what, own...)
	}
	var input *metric.InputError
	if errors.As(err, &input) {
		s.message(w, r, http.StatusBadRequest, views.Message{
			Page: s.page(r, "", ""), Heading: "This filter cannot be used", Text: input.Error(),
			Back: templ.SafeURL(r.URL.Path), BackText: "Show the last 28 days",
		})
		return nil, true, nil
	}
	return f, false, err
}

// canonical sends a form's words to the address that has them as a range. It tells whether it did.
func (s *server) canonical(w http.ResponseWriter, r *http.Request) (done bool, err error) {
	q, typed, err := metric.Canonical(r.URL.Query(), s.Now(), s.Zone)
	if err != nil || !typed {
		return false, err
	}
	for k, all := range q { // empty fields of the form
		if q[k] = slices.DeleteFunc(slices.Clone(all), func(v string) bool { return v == "" }); len(q[k]) == 0 {
			delete(q, k)
		}
	}
	to := r.URL.Path
	if text := q.Encode(); text != "" {
		to += "?" + text
	}
	if r.Header.Get("HX-Request") == "true" {
		w.Header().Set(
			"HX-Location", `{"path":"`+strings.ReplaceAll(to, `"`, "%22")+`","target":"#view","swap":"outerHTML"}`,
		)
		w.WriteHeader(http.StatusNoContent)
		return true, nil
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return true, nil
}

// overview answers GET /overview.
func (s *server) overview(w http.ResponseWriter, r *http.Request) error {
	f, done, err := s.charts(w, r, dashboard.OverviewNeeds)
	if done || err != nil {
		return err
	}
	m := views.Overview{Page: s.page(r, "Overview", "Overview")}
	if m.Overview, err = f.Overview(r.Context()); err != nil {
		return err
	}
	return s.renderEither(w, r, views.OverviewPage(m), views.OverviewView(m))
}

// latency answers GET /latency.
func (s *server) latency(w http.ResponseWriter, r *http.Request) error {
	f, done, err := s.charts(w, r, dashboard.LatencyNeeds)
	if done || err != nil {
		return err
	}
	m := views.Latency{Page: s.page(r, "Latency", "Latency")}
	if m.Latency, err = f.Latency(r.Context()); err != nil {
		return err
	}
	return s.renderEither(w, r, views.LatencyPage(m), views.LatencyView(m))
}

// csat answers GET /csat.
func (s *server) csat(w http.ResponseWriter, r *http.Request) error {
	f, done, err := s.charts(w, r, dashboard.CSATNeeds)
	if done || err != nil {
		return err
	}
	m := views.CSAT{Page: s.page(r, "CSAT", "CSAT")}
	if m.CSAT, err = f.CSAT(r.Context()); err != nil {
		return err
	}
	return s.renderEither(w, r, views.CSATPage(m), views.CSATView(m))
}

// flows answers GET /flows.
func (s *server) flows(w http.ResponseWriter, r *http.Request) error {
	f, done, err := s.charts(w, r, dashboard.FlowsNeeds, "sort")
	if done || err != nil {
		return err
	}
	m := views.Flows{Page: s.page(r, "Flows", "Flows")}
	if m.Flows, err = f.Flows(r.Context()); err != nil {
		return err
	}
	return s.renderEither(w, r, views.FlowsPage(m), views.FlowsView(m))
}

// flow answers GET /flow?of=…: one flow.
func (s *server) flow(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("of")
	if name == "" {
		return queries.ErrNotFound
	}
	f, done, err := s.charts(w, r, dashboard.FlowNeeds(name), "of")
	if done || err != nil {
		return err
	}
	m := views.Flow{Page: s.page(r, name, "Flows"), Flow: f.Flow(name)}
	return s.renderEither(w, r, views.FlowPage(m), views.FlowView(m))
}

// intents answers GET /intents.
func (s *server) intents(w http.ResponseWriter, r *http.Request) error {
	f, done, err := s.charts(w, r, dashboard.IntentsNeeds)
	if done || err != nil {
		return err
	}
	m := views.Intents{Page: s.page(r, "Intents", "Intents")}
	if m.Intents, err = f.Intents(r.Context()); err != nil {
		return err
	}
	return s.renderEither(w, r, views.IntentsPage(m), views.IntentsView(m))
}

// users answers GET /users: how many people come, how many of them are new, and whether they come again.
func (s *server) users(w http.ResponseWriter, r *http.Request) error {
	f, done, err := s.charts(w, r, dashboard.UsersNeeds)
	if done || err != nil {
		return err
	}
	m := views.Users{Page: s.page(r, "Users", "Users")}
	if m.Users, err = f.Users(r.Context()); err != nil {
		return err
	}
	return s.renderEither(w, r, views.UsersPage(m), views.UsersView(m))
}

// comparison answers GET /compare: two groups side by side.
func (s *server) comparison(w http.ResponseWriter, r *http.Request) error {
	f, done, err := s.charts(w, r, dashboard.CompareNeeds, "by", "a", "b")
	if done || err != nil {
		return err
	}
	m := views.Comparison{Page: s.page(r, "Compare", "Compare")}
	if m.Comparison, err = f.Comparison(r.Context()); err != nil {
		return err
	}
	return s.renderEither(w, r, views.ComparisonPage(m), views.ComparisonView(m))
}

// paths answers GET /paths?of=…: where conversations go from a flow, and where they come from.
func (s *server) paths(w http.ResponseWriter, r *http.Request) error {
	flow := r.URL.Query().Get("of")
	if flow == "" {
		return queries.ErrNotFound
	}
	f, done, err := s.charts(w, r, dashboard.PathsNeeds, "of")
	if done || err != nil {
		return err
	}
	m := views.Paths{Page: s.page(r, "Paths of "+flow, "Flows")}
	if m.Paths, err = f.Paths(r.Context(), flow); err != nil {
		return err
	}
	return s.renderEither(w, r, views.PathsPage(m), views.PathsView(m))
}

// funnel answers GET /funnel: how far conversations go through flows that the user names.
func (s *server) funnel(w http.ResponseWriter, r *http.Request) error {
	f, done, err := s.charts(w, r, dashboard.FunnelNeeds, "strict", "minutes")
	if done || err != nil {
		return err
	}
	m := views.Funnel{Page: s.page(r, "Funnel", "Flows")}
	if m.Funnel, err = f.Funnel(r.Context(), r.URL.Query()["step"]); err != nil {
		return err
	}
	return s.renderEither(w, r, views.FunnelPage(m), views.FunnelView(m))
}
