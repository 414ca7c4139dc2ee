package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
	"turnwise/views"
)

// previewDays is how far back a preview of success criteria looks.
const previewDays = 30

// criteria answers GET /criteria: each assistant's criteria in force.
func (s *server) criteria(w http.ResponseWriter, r *http.Request) error {
	m := views.Criteria{Page: s.page(r, "Success criteria", "Admin"), Days: previewDays}
	choices, err := s.viewer(r.Context()).Choices(r.Context())
	if err != nil {
		return err
	}
	all, err := queries.CriteriaInForce(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	backlog, err := figures.Backlog(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	m.Backlog = backlog.Hours
	for _, name := range choices.Assistants {
		row := views.CriteriaRow{Assistant: name, Edit: "/criteria/edit?" + url.Values{"assistant": {name}}.Encode()}
		if i := slices.IndexFunc(all, func(c queries.SuccessCriteria) bool { return c.Assistant == name }); i >= 0 {
			c := all[i]
			f := metric.Filter{Range: metric.Range{Days: previewDays}, Assistants: []string{name}}
			rate, err := s.judge(r.Context(), f, c.ID)
			if err != nil {
				return err
			}
			row.Words, row.Version, row.At, row.By = c.Rules.Words(), "/criteria/"+
				strconv.FormatInt(c.ID, 10), c.ActivatedAt, c.ActivatedBy
			row.Rate = dashboard.Rate(
				rate, dashboard.Address(judged(f, c.ID, metric.Success)),
				dashboard.Address(judged(f, c.ID, metric.EitherVerdict)), "judged",
			)
		}
		m.Rows = append(m.Rows, row)
	}
	return s.render(w, r, http.StatusOK, views.CriteriaPage(m))
}

// judged narrows a filter to what a version of criteria judges so.
func judged(f metric.Filter, id int64, v metric.Verdict) metric.Filter {
	f.Judged = append(slices.Clone(f.Judged), metric.JudgedBy{Criteria: id, Verdict: v})
	return f
}

// judge returns the rate of success by a version of criteria.
func (s *server) judge(ctx context.Context, f metric.Filter, id int64) (rate metric.Rate, err error) {
	for v, into := range map[metric.Verdict]*int64{metric.Success: &rate.Of, metric.Failure: &rate.Among} {
		n, err := queries.CountConversations(ctx, s.Pool, judged(f, id, v), 1<<30, s.Now(), s.Zone)
		if err != nil {
			return rate, err
		}
		*into = int64(n)
	}
	rate.Among += rate.Of
	return rate, nil
}

// editCriteria answers GET /criteria/edit: the form, with what is in force or with what another version had.
func (s *server) editCriteria(w http.ResponseWriter, r *http.Request) error {
	assistant := r.URL.Query().Get("assistant")
	var rules metric.Criteria
	all, err := queries.CriteriaOf(r.Context(), s.Pool, assistant)
	if err != nil {
		return err
	}
	if len(all) > 0 {
		rules = all[0].Rules
	}
	if id, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64); err == nil {
		c, err := queries.CriteriaByID(r.Context(), s.Pool, id)
		if err != nil {
			return err
		}
		assistant, rules = c.Assistant, c.Rules
	}
	return s.criteriaForm(w, r, http.StatusOK, assistant, rules, "")
}

func (s *server) criteriaForm(
	w http.ResponseWriter, r *http.Request, status int, assistant string, rules metric.Criteria, mistake string,
) error {
	m := views.CriteriaForm{
		Page: s.page(r, "Success criteria", "Admin"), Assistant: assistant, Rules: rules, Error: mistake,
	}
	choices, err := s.viewer(r.Context()).Choices(r.Context())
	if err != nil {
		return err
	}
	if !slices.Contains(choices.Assistants, assistant) {
		return queries.ErrNotFound
	}
	f := metric.Filter{Range: metric.Range{Days: 90}, Assistants: []string{assistant}}
	counted, err := figures.Count(r.Context(), s.Pool, figures.Question{
		Filter: f, Flows: true, Now: s.Now(), Grid: s.grid,
	})
	if err != nil {
		return err
	}
	started := map[string]int64{}
	for flow, n := range counted.Flows {
		started[flow] = n.Count(metric.FlowStarted)
	}
	for _, flow := range append(slices.Clone(rules.Included), rules.Excluded...) {
		started[flow] += 0
	}
	for _, flow := range slices.SortedFunc(
		maps.Keys(started),
		func(a, b string) int { return cmp.Or(cmp.Compare(started[b], started[a]), cmp.Compare(a, b)) },
	) {
		choice := views.CriteriaFlow{Flow: flow, Started: started[flow]}
		if slices.Contains(rules.Included, flow) {
			choice.Rule = "in"
		} else if slices.Contains(rules.Excluded, flow) {
			choice.Rule = "out"
		}
		m.Flows = append(m.Flows, choice)
	}
	return s.render(w, r, status, views.CriteriaFormPage(m))
}

// parseCriteria reads the form.
func parseCriteria(r *http.Request) (assistant string, rules metric.Criteria, err error) {
	if err := r.ParseForm(); err != nil {
		return "", rules, &metric.InputError{Field: "form", Msg: "cannot be read"}
	}
	flows, rule := r.PostForm["flow"], r.PostForm["rule"]
	for i := range min(len(flows), len(rule)) {
		switch rule[i] {
		case "in":
			rules.Included = append(rules.Included, flows[i])
		case "out":
			rules.Excluded = append(rules.Excluded, flows[i])
		}
	}
	rules.Any, rules.Started, rules.Satisfied = r.PostForm.Get("any") == "yes", r.PostForm.Get("started") == "yes",
		r.PostForm.Get("satisfied") == "yes"
	rules.Slot, rules.SlotValue = strings.TrimSpace(r.PostForm.Get("slot")),
		strings.TrimSpace(r.PostForm.Get("slot_value"))
	rules.Tag, rules.NoTag = strings.TrimSpace(r.PostForm.Get("tag")), strings.TrimSpace(r.PostForm.Get("no_tag"))
	if days := strings.TrimSpace(r.PostForm.Get("return_days")); days != "" {
		if rules.ReturnDays, err = strconv.Atoi(days); err != nil {
			return r.PostForm.Get("assistant"), rules, &metric.InputError{
				Field: "return_days", Msg: "is a number of days",
			}
		}
	}
	return r.PostForm.Get("assistant"), rules, rules.Check()
}

// draftCriteria answers POST /criteria: the criteria are kept as a draft and shown with what they would change.
func (s *server) draftCriteria(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	assistant, rules, err := parseCriteria(r)
	var input *metric.InputError
	if errors.As(err, &input) {
		return s.criteriaForm(w, r, http.StatusUnprocessableEntity, assistant, rules, input.Error())
	}
	if err != nil {
		return err
	}
	if past, err := queries.CriteriaOf(r.Context(), s.Pool, assistant); err != nil {
		return err
	} else if len(rules.Included) == 0 && len(past) == 0 {
		return s.criteriaForm(
			w, r, http.StatusUnprocessableEntity, assistant, rules,
			"Name at least one flow that must be completed or started: without, no conversation is judged.",
		)
	}
	u, _ := accountOf(r.Context())
	id, err := queries.DraftCriteria(r.Context(), s.Pool, assistant, rules, u.Name, s.Now())
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/criteria/"+strconv.FormatInt(id, 10), http.StatusSeeOther)
	return nil
}

// criteriaVersion answers GET /criteria/{id}: a version, what it would change, and the history.
func (s *server) criteriaVersion(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil {
		return queries.ErrNotFound
	}
	c, err := queries.CriteriaByID(r.Context(), s.Pool, id)
	if err != nil {
		return err
	}
	history, err := queries.CriteriaOf(r.Context(), s.Pool, c.Assistant)
	if err != nil {
		return err
	}
	m := views.CriteriaVersion{
		Page: s.page(r, "Success criteria", "Admin"), Assistant: c.Assistant, Days: previewDays, Version: c.ID,
		Words: c.Rules.Words(), By: c.CreatedBy, At: c.CreatedAt,
	}
	m.Edit = "/criteria/edit?" + url.Values{"assistant": {c.Assistant}, "from": {strconv.FormatInt(id, 10)}}.Encode()
	f := metric.Filter{Range: metric.Range{Days: previewDays}, Assistants: []string{c.Assistant}}
	if m.Rate, err = s.judge(r.Context(), f, id); err != nil {
		return err
	}
	if m.All, err = queries.CountConversations(r.Context(), s.Pool, f, 1<<30, s.Now(), s.Zone); err != nil {
		return err
	}
	m.AllLink, m.FailLink = dashboard.Address(f), dashboard.Address(judged(f, id, metric.Failure))
	m.RateLink, m.BaseLink = dashboard.Address(judged(f, id, metric.Success)), dashboard.Address(
		judged(f, id, metric.EitherVerdict),
	)
	for i, h := range history {
		m.History = append(m.History, views.CriteriaPast{
			Version: h.ID, Link: "/criteria/" +
				strconv.FormatInt(h.ID, 10), At: *h.ActivatedAt, By: h.ActivatedBy, Words: h.Rules.Words(),
			InForce: i == 0, Shown: h.ID == id,
		})
	}
	if len(history) > 0 && history[0].ID == id {
		m.InForce = true
	} else if len(history) > 0 {
		if err := s.changes(r.Context(), &m, f, history[0].ID, id); err != nil {
			return err
		}
	}
	backlog, err := figures.Backlog(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	m.Backlog = backlog.Hours
	return s.render(w, r, http.StatusOK, views.CriteriaVersionPage(m))
}

// changes says which conversations a version judges otherwise than the one in force.
func (s *server) changes(ctx context.Context, m *views.CriteriaVersion, f metric.Filter, from, to int64) (err error) {
	was, err := s.judge(ctx, f, from)
	if err != nil {
		return err
	}
	m.Was = &was
	names := map[metric.Verdict]string{
		metric.NotJudged: "not judged", metric.Success: "a success", metric.Failure: "no success",
	}
	for _, a := range []metric.Verdict{metric.Success, metric.Failure, metric.NotJudged} {
		for _, b := range []metric.Verdict{metric.Success, metric.Failure, metric.NotJudged} {
			if a == b {
				continue
			}
			with := judged(judged(f, from, a), to, b)
			n, err := queries.CountConversations(ctx, s.Pool, with, 1<<30, s.Now(), s.Zone)
			if err != nil {
				return err
			}
			if n > 0 {
				m.Changed += int64(n)
				m.Changes = append(m.Changes, views.CriteriaChange{
					Text:  fmt.Sprintf("from %s to %s", names[a], names[b]),
					Count: dashboard.Count(int64(n), dashboard.Address(with)),
				})
			}
		}
	}
	return nil
}

// useCriteria answers POST /criteria/{id}/use: a draft comes into force, an old version does so again.
func (s *server) useCriteria(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil {
		return queries.ErrNotFound
	}
	c, err := queries.CriteriaByID(r.Context(), s.Pool, id)
	if err != nil {
		return err
	}
	u, _ := accountOf(r.Context())
	ctx := r.Context()
	err = s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		past, err := queries.CriteriaOf(ctx, tx, c.Assistant)
		if err != nil {
			return d, err
		}
		if c.ActivatedAt != nil { // the past stays as it was: it becomes a new version
			if id, err = queries.DraftCriteria(ctx, tx, c.Assistant, c.Rules, u.Name, s.Now()); err != nil {
				return d, err
			}
		}
		d = deed{act: queries.AuditCriteriaUsed, id: strconv.FormatInt(id, 10), name: c.Assistant, after: c.Rules}
		if len(past) > 0 {
			d.before = past[0].Rules
		}
		return d, queries.ActivateCriteria(ctx, tx, id, u.Name, s.Now())
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/criteria/"+strconv.FormatInt(id, 10), http.StatusSeeOther)
	return nil
}
