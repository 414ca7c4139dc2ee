package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// retention answers GET /admin/retention.
func (s *server) retention(w http.ResponseWriter, r *http.Request) error {
	return s.showRetention(w, r, http.StatusOK, views.Retention{}, nil)
}

// showRetention shows the page; with what a rule that is not kept yet would do, if there is one.
func (s *server) showRetention(
	w http.ResponseWriter, r *http.Request, status int, m views.Retention, tried *queries.RetentionRule,
) error {
	ctx := r.Context()
	m.Page = s.page(r, "Retention", "Admin")
	rules, err := queries.RetentionRules(ctx, s.Pool)
	if err != nil {
		return err
	}
	if err := s.previewRetention(ctx, &m, rules, tried); err != nil {
		return err
	}
	days := func(n *int32) string {
		if n == nil {
			return ""
		}
		return strconv.Itoa(int(*n))
	}
	for _, x := range rules {
		m.Rules = append(m.Rules, views.RetentionRow{
			ID: x.ID.String(), Assistant: x.Assistant, Environment: x.Environment, Channel: x.Channel,
			Texts: days(x.TextDays), Events: days(x.EventDays), Conversations: days(x.ConversationDays),
			Statistics: days(x.StatisticsDays), Most: strconv.Itoa(int(x.Most)),
			Revision: x.Revision, ChangedAt: x.ChangedAt, By: x.By,
		})
		if tried != nil && tried.ID == x.ID {
			row := &m.Rules[len(m.Rules)-1]
			row.Texts, row.Events, row.Conversations, row.Statistics, row.Most = days(tried.TextDays),
				days(tried.EventDays), days(tried.ConversationDays), days(tried.StatisticsDays),
				strconv.Itoa(int(tried.Most))
		}
	}
	if err := s.holdRows(ctx, &m); err != nil {
		return err
	}
	if err := s.retentionRuns(ctx, &m); err != nil {
		return err
	}
	choices, err := s.viewer(ctx).Choices(ctx)
	if err != nil {
		return err
	}
	m.Assistants, m.Environments, m.Channels = choices.Assistants, choices.Environments, choices.Channels
	return s.render(w, r, status, views.RetentionPage(m))
}

func (s *server) holdRows(ctx context.Context, m *views.Retention) error {
	holds, err := queries.LegalHolds(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, h := range holds {
		row := views.HoldRow{
			ID: h.ID.String(), Reason: h.Reason, By: h.By, At: h.CreatedAt, ReleasedAt: h.ReleasedAt,
			ReleasedBy: h.ReleasedBy,
		}
		var of []string
		if h.Assistant != "" {
			of = append(of, "assistant "+h.Assistant)
		}
		if h.Person != "" {
			of = append(of, "person "+h.Person)
		}
		if h.ConversationID != nil {
			of = append(of, "conversation "+h.ConversationID.String())
		}
		row.Of = strings.Join(of, ", ")
		m.Holds = append(m.Holds, row)
	}
	return nil
}

func (s *server) retentionRuns(ctx context.Context, m *views.Retention) error {
	runs, err := queries.RetentionRuns(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, x := range runs {
		row := views.RetentionRunRow{
			StartedAt: x.StartedAt, Texts: x.Texts, Events: x.Events, Conversations: x.Conversations,
			Statistics: x.Statistics, Oldest: x.Oldest, Newest: x.Newest, Partitions: x.Partitions, More: x.More,
			Error: x.Error,
		}
		if x.EndedAt != nil {
			row.Took = x.EndedAt.Sub(x.StartedAt)
		}
		m.Runs = append(m.Runs, row)
	}
	return nil
}

// previewRetention counts what the next run would remove, with the rule that is tried in place of the one that is kept.
func (s *server) previewRetention(
	ctx context.Context, m *views.Retention, rules []queries.RetentionRule, tried *queries.RetentionRule,
) error {
	if tried != nil {
		of := func(x queries.RetentionRule) bool {
			return x.Assistant == tried.Assistant && x.Environment == tried.Environment && x.Channel == tried.Channel
		}
		rules = append(slices.DeleteFunc(slices.Clone(rules), of), *tried)
		m.Tried = "This is what happens with the rule for " + ruleWords(*tried) + "."
	}
	for _, x := range []struct {
		kept queries.Kept
		what string
	}{
		{queries.KeptConversations, "the whole of"},
		{queries.KeptEvents, "texts and events of"},
		{queries.KeptTexts, "the texts of"},
	} {
		if !slices.ContainsFunc(rules, func(r queries.RetentionRule) bool { return r.Days(x.kept) != nil }) {
			continue
		}
		p, err := queries.PreviewRetention(ctx, s.Pool, x.kept, rules, m.Now, s.Zone)
		if err != nil {
			return err
		}
		m.Kept = true
		most := int64(0)
		for _, r := range rules {
			most = max(most, int64(r.Most))
		}
		m.Preview = append(m.Preview, views.RetentionPreview{
			What: x.what, Most: most, Conversations: p.Conversations, Held: p.Held, Oldest: p.Oldest, More: p.More,
		})
	}
	return nil
}

// ruleWords says of what a rule is.
func ruleWords(x queries.RetentionRule) string {
	var of []string
	for _, w := range [][2]string{
		{"assistant ", x.Assistant}, {"environment ", x.Environment}, {"channel ", x.Channel},
	} {
		if w[1] != "" {
			of = append(of, w[0]+w[1])
		}
	}
	if len(of) == 0 {
		return "all conversations"
	}
	return strings.Join(of, ", ")
}

// ruleDeed is what the audit log tells of a rule.
func ruleDeed(x queries.RetentionRule) map[string]any {
	return map[string]any{
		"texts": x.TextDays, "events": x.EventDays, "conversations": x.ConversationDays, "figures": x.StatisticsDays,
		"most": x.Most,
	}
}

// parseDurations reads what a rule keeps, and for how long.
func parseDurations(r *http.Request, x *queries.RetentionRule) error {
	// as the page has them
	label := map[string]string{
		"texts": "texts", "events": "events", "conversations": "conversations", "statistics": "figures",
	}
	for name, into := range map[string]**int32{
		"texts": &x.TextDays, "events": &x.EventDays, "conversations": &x.ConversationDays,
		"statistics": &x.StatisticsDays,
	} {
		*into = nil
		text := strings.TrimSuffix(strings.TrimSpace(r.PostFormValue(name)), "d")
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 || n > 36500 {
			return &metric.InputError{
				Field: label[name], Msg: "are kept for a number of days from 1 to 36,500; empty: for ever",
			}
		}
		days := int32(n)
		*into = &days
	}
	if x.Most == 0 {
		x.Most = 100_000
	}
	if text := strings.TrimSpace(r.PostFormValue("most")); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 || n > 10_000_000 {
			return &metric.InputError{Field: "most", Msg: "is a number of conversations from 1 to 10,000,000"}
		}
		x.Most = int32(n)
	}
	return x.Check()
}

// addRetention answers POST /admin/retention.
func (s *server) addRetention(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	ctx := r.Context()
	u, _ := accountOf(ctx)
	x := queries.RetentionRule{
		ID: queries.NewID(), Assistant: r.PostFormValue("assistant"), Environment: r.PostFormValue("environment"),
		Channel: r.PostFormValue("channel"), ChangedAt: s.Now(),
	}
	err := parseDurations(r, &x)
	form := views.Retention{Form: views.RetentionRow{
		Assistant: x.Assistant, Environment: x.Environment, Channel: x.Channel,
		Texts: r.PostFormValue("texts"), Events: r.PostFormValue("events"),
		Conversations: r.PostFormValue("conversations"), Statistics: r.PostFormValue("statistics"),
	}}
	if err == nil && r.PostFormValue("act") == "preview" {
		return s.showRetention(w, r, http.StatusOK, form, &x)
	}
	if err == nil {
		if err = s.audited(r, func(tx pgx.Tx) (deed, error) {
			return deed{
				act: queries.AuditRetentionChanged, id: x.ID.String(), name: ruleWords(x), after: ruleDeed(x),
			}, queries.AddRetentionRule(ctx, tx, x, u.ID)
		}); errors.Is(err, queries.ErrConflict) {
			err = &metric.InputError{Field: "rule", Msg: "there is one for the same already: change it"}
		}
	}
	return s.afterRetention(w, r, err, form)
}

// afterRetention shows the page again, with what was wrong.
func (s *server) afterRetention(w http.ResponseWriter, r *http.Request, err error, m views.Retention) error {
	var input *metric.InputError
	if errors.As(err, &input) {
		m.Error = input.Error()
		return s.showRetention(w, r, http.StatusUnprocessableEntity, m, nil)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/retention", http.StatusSeeOther)
	return nil
}

// changeRetention answers POST /admin/retention/{id}.
func (s *server) changeRetention(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	ctx := r.Context()
	rules, err := queries.RetentionRules(ctx, s.Pool)
	if err != nil {
		return err
	}
	u, _ := accountOf(ctx)
	for _, x := range rules {
		if x.ID != id {
			continue
		}
		was := x
		revision, _ := strconv.ParseInt(r.PostFormValue("revision"), 10, 32) // a wrong one is nobody's
		x.Revision, x.ChangedAt = int32(revision), s.Now()
		err := parseDurations(r, &x)
		if err == nil && r.PostFormValue("act") == "preview" {
			return s.showRetention(w, r, http.StatusOK, views.Retention{}, &x)
		}
		if err == nil {
			if err = s.audited(r, func(tx pgx.Tx) (deed, error) {
				return deed{
					act: queries.AuditRetentionChanged, id: x.ID.String(), name: ruleWords(x), before: ruleDeed(was),
					after: ruleDeed(x),
				}, queries.ChangeRetentionRule(ctx, tx, x, u.ID)
			}); errors.Is(err, queries.ErrNotFound) {
				err = &metric.InputError{Field: "rule", Msg: "somebody changed it meanwhile; look at it again"}
			}
		}
		return s.afterRetention(w, r, err, views.Retention{})
	}
	return queries.ErrNotFound
}

// deleteRetention answers POST /admin/retention/{id}/delete.
func (s *server) deleteRetention(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	ctx := r.Context()
	err = s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		rules, err := queries.RetentionRules(ctx, tx)
		if err != nil {
			return d, err
		}
		i := slices.IndexFunc(rules, func(x queries.RetentionRule) bool { return x.ID == id })
		if i < 0 {
			return d, queries.ErrNotFound
		}
		return deed{
			act: queries.AuditRetentionChanged, id: id.String(), name: ruleWords(rules[i]), before: ruleDeed(rules[i]),
		}, queries.DeleteRetentionRule(ctx, tx, id)
	})
	return s.afterRetention(w, r, err, views.Retention{})
}

// hold answers POST /admin/holds.
func (s *server) hold(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	ctx := r.Context()
	u, _ := accountOf(ctx)
	h := queries.LegalHold{
		ID: queries.NewID(), Assistant: p("assistant"), Person: p("person"), Reason: p("reason"), CreatedAt: s.Now(),
	}
	err := func() error {
		if text := p("conversation"); text != "" {
			id, err := conversation.ParseUUID(text)
			if err != nil {
				return &metric.InputError{Field: "conversation", Msg: "is an id such as its page shows"}
			}
			if _, _, err := queries.FindConversation(ctx, s.Pool, id); err != nil {
				return &metric.InputError{Field: "conversation", Msg: "there is none of this id"}
			}
			h.ConversationID = &id
		}
		if h.Person != "" {
			if known, err := queries.KnowsPerson(ctx, s.Pool, h.Person); err != nil {
				return err
			} else if !known {
				return &metric.InputError{Field: "person", Msg: "there is nobody with this user id or sender"}
			}
		}
		switch {
		case h.Reason == "" || len([]rune(h.Reason)) > 500:
			return &metric.InputError{Field: "why", Msg: "is needed, in at most 500 characters"}
		case h.Assistant == "" && h.Person == "" && h.ConversationID == nil:
			return &metric.InputError{Field: "hold", Msg: "needs an assistant, a person or a conversation"}
		}
		return s.audited(r, func(tx pgx.Tx) (deed, error) {
			p, err := queries.LoadPseudonyms(ctx, tx)
			if err != nil {
				return deed{}, err
			}
			return deed{
				act: queries.AuditHoldMade, id: h.ID.String(), name: h.Reason,
				after: map[string]any{
					"assistant": h.Assistant, "person": p.Of(h.Person), "conversation": h.ConversationID,
				},
			}, queries.AddLegalHold(ctx, tx, h, u.ID)
		})
	}()
	return s.afterRetention(w, r, err, views.Retention{
		Hold: views.HoldForm{
			Assistant: h.Assistant, Person: h.Person, Conversation: p("conversation"), Reason: h.Reason,
		},
	})
}

// releaseHold answers POST /admin/holds/{id}/release.
func (s *server) releaseHold(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	ctx := r.Context()
	u, _ := accountOf(ctx)
	err = s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{act: queries.AuditHoldReleased, id: id.String()}, queries.ReleaseHold(ctx, tx, id, u.ID, s.Now())
	})
	return s.afterRetention(w, r, err, views.Retention{})
}
