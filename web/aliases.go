package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// mergeAssistant answers POST /admin/assistant/merge: renames an assistant, or merges it into another. First it shows
// what that moves.
func (s *server) mergeAssistant(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	a, err := s.assistantOf(r, r.PostFormValue("name"))
	if err != nil {
		return err
	}
	to := strings.TrimSpace(r.PostFormValue("to"))
	m := views.AssistantSettings{Form: assistantForm(a.Settings), To: to}
	if wrong := nameWrong(to, a.Name); wrong != "" {
		m.NameError = wrong
		return s.showAssistant(w, r, http.StatusUnprocessableEntity, a, m)
	}
	all, err := queries.Assistants(ctx, s.Pool)
	if err != nil {
		return err
	}
	exists := slices.ContainsFunc(all, func(x queries.Assistant) bool { return x.Name == to })
	if r.PostFormValue("confirmed") != "yes" {
		p, err := queries.PreviewMerge(ctx, s.Pool, a.Name)
		if err != nil {
			return err
		}
		m.Merge = &views.MergePreview{
			To: to, Rename: !exists, Senders: p.Senders, Conversations: p.Conversations, WithoutTexts: p.WithoutTexts,
			Limited: p.Limited,
		}
		return s.showAssistant(w, r, http.StatusOK, a, m)
	}
	u, _ := accountOf(ctx)
	err = s.audited(r, func(tx pgx.Tx) (deed, error) {
		renamed, err := queries.MergeAssistant(ctx, tx, a.Name, to, u.ID, s.Now())
		if err != nil {
			return deed{}, err
		}
		d := deed{act: queries.AuditMerged, name: a.Name, after: map[string]any{"into": to, "renamed": renamed}}
		return d, s.follow(r, tx, queries.FoldToMerge, a.Name, to)
	})
	if errors.Is(err, queries.ErrConflict) {
		m.NameError = "Conversations of this assistant are being moved or recalculated. Wait until that is done."
		return s.showAssistant(w, r, http.StatusUnprocessableEntity, a, m)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/assistant?"+url.Values{"name": {to}, "said": {"merged"}}.Encode(), http.StatusSeeOther)
	return nil
}

// nameWrong says what is wrong with a name for an assistant.
func nameWrong(to, from string) string {
	switch {
	case to == "":
		return "Enter a name, or choose an assistant to merge into."
	case utf8.RuneCountInString(to) > 200 || strings.ContainsFunc(to, func(r rune) bool { return r < ' ' }):
		return "A name has at most 200 characters, and no line breaks."
	case to == from:
		return "That is its name already."
	}
	return ""
}

// follow has what is stored follow a changed name, once every server knows of it.
func (s *server) follow(r *http.Request, tx pgx.Tx, kind queries.FoldKind, from, to string) error {
	u, _ := accountOf(r.Context())
	run := queries.FoldRun{
		ID: queries.NewID(), Kind: kind, Assistant: from, Target: to, AccountID: &u.ID, CreatedAt: s.Now(),
	}
	if err := queries.StartFold(r.Context(), tx, run, nil); err != nil {
		return err
	}
	return s.Jobs.AddLater(r.Context(), tx, jobs.FoldArgs{ID: run.ID.String()}, s.Now().Add(jobs.SettledAfter))
}

// separateAssistant answers POST /admin/assistant/separate: undoes a merge or a rename.
func (s *server) separateAssistant(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	alias := r.PostFormValue("alias")
	from := ""
	err := s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		if from, err = queries.SeparateAssistant(ctx, tx, alias); err != nil {
			return d, err
		}
		return deed{
			act: queries.AuditSeparated, name: alias, before: map[string]any{"into": from},
		}, s.follow(r, tx, queries.FoldToSeparate, from, alias)
	})
	if errors.Is(err, queries.ErrConflict) {
		return &metric.InputError{
			Field: "assistant",
			Msg:   "is busy: its conversations are being moved or recalculated; wait until that is done",
		}
	}
	if err != nil {
		return err
	}
	http.Redirect(
		w, r, "/admin/assistant?"+url.Values{"name": {alias}, "said": {"separated"}}.Encode(), http.StatusSeeOther,
	)
	return nil
}
