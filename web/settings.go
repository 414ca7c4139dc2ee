package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/jackc/pgx/v5"

	"turnwise/config"
	"turnwise/conversation"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// settings answers GET /admin/settings: the workspace's, the assistants, and where the others are.
func (s *server) settings(w http.ResponseWriter, r *http.Request) error {
	have, err := queries.WorkspaceSettings(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	said := ""
	if r.URL.Query().Get("said") == "kept" {
		said = "Saved. All servers use it within seconds; figures are recalculated in the background."
	}
	return s.showSettings(w, r, http.StatusOK, views.Settings{Form: views.WorkspaceForm(have), Said: said})
}

func (s *server) showSettings(w http.ResponseWriter, r *http.Request, status int, m views.Settings) error {
	ctx := r.Context()
	m.Page, m.WeekDays, m.NumberForms, m.FixedZone = s.page(r, "Settings", "Admin"), queries.WeekDays,
		queries.NumberForms, s.FixedZone
	m.InForce = s.Zone.String()
	changes, err := queries.SettingChanges(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, c := range changes {
		row := views.SettingRow{Name: c.Name, By: c.By, At: c.At}
		m.Changes = append(m.Changes, row)
	}
	all, err := queries.Assistants(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, a := range all {
		m.Assistants = append(m.Assistants, views.SettingRow{
			Name: a.Name, Link: "/admin/assistant?" + url.Values{"name": {a.Name}}.Encode(), By: a.By,
			Changed: a.ChangedAt,
		})
	}
	return s.render(w, r, status, views.SettingsPage(m))
}

// keepWorkspace answers POST /admin/settings.
func (s *server) keepWorkspace(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	x := queries.Workspace{TimeZone: p("zone"), WeekBegins: p("week"), Numbers: p("numbers")}
	if err := x.Check(); err != nil {
		return s.showSettings(
			w, r, http.StatusUnprocessableEntity, views.Settings{Form: views.WorkspaceForm(x), Error: err.Error()},
		)
	}
	u, _ := accountOf(ctx)
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		was, err := queries.WorkspaceSettings(ctx, tx)
		if err != nil {
			return deed{}, err
		}
		return deed{
			act: queries.AuditSettingsChanged, name: "workspace", before: was, after: x,
		}, queries.SetWorkspace(ctx, tx, x, u.ID, s.Now())
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/settings?said=kept", http.StatusSeeOther)
	return nil
}

// settingsFile answers GET /admin/settings.yml: all settings, for who keeps them in a repository.
func (s *server) settingsFile(w http.ResponseWriter, r *http.Request) error {
	c, err := config.Read(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	b, err := yaml.MarshalWithOptions(c, yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return err
	}
	return s.attach(w, r, "application/yaml", "turnwise-settings.yml", b)
}

// assistantOf returns the assistant that a request names.
func (s *server) assistantOf(r *http.Request, name string) (queries.Assistant, error) {
	all, err := queries.Assistants(r.Context(), s.Pool)
	if err != nil {
		return queries.Assistant{}, err
	}
	i := slices.IndexFunc(all, func(a queries.Assistant) bool { return a.Name == name })
	if i < 0 {
		return queries.Assistant{}, queries.ErrNotFound
	}
	return all[i], nil
}

// assistant answers GET /admin/assistant?name=: how its events are read.
func (s *server) assistant(w http.ResponseWriter, r *http.Request) error {
	a, err := s.assistantOf(r, r.URL.Query().Get("name"))
	if err != nil {
		return err
	}
	said := map[string]string{
		"kept":         "Saved. New events follow it within ten seconds; stored conversations stay as they are.",
		"fold":         "Saved. Stored conversations are recalculated in the background, starting in about two minutes.",
		"markers":      "Saved. Stored conversations are looked through in the background, starting in about two minutes.",
		"markers-kept": "Saved.",
		"merged": "Events that name the old name belong to this assistant from now on. Stored conversations " +
			"follow within minutes.",
		"separated": "Events that name it belong to it again. Stored conversations follow within minutes.",
	}[r.URL.Query().Get("said")]
	return s.showAssistant(w, r, http.StatusOK, a, views.AssistantSettings{Form: assistantForm(a.Settings), Said: said})
}

func assistantForm(x conversation.Settings) views.AssistantForm {
	lines := func(all []string) string { return strings.Join(all, "\n") }
	return views.AssistantForm{
		Actions: lines(x.HandoffActions), Flows: lines(x.HandoffFlows), Command: x.HandoffCommand,
		Pause: string(x.HandoffPause), Agent: x.HandoffAgent,
		Slots: lines(x.CSATSlots), Satisfied: strconv.Itoa(x.SatisfiedFrom), Idle: strconv.Itoa(x.IdleMinutes),
		CutBy:     string(x.CutBy),
		Fallbacks: lines(x.Fallbacks),
		Questions: lines(x.ClosingQuestions), Intents: lines(x.ClosingIntents), Words: lines(x.ClosingWords),
	}
}

func (s *server) showAssistant(
	w http.ResponseWriter, r *http.Request, status int, a queries.Assistant, m views.AssistantSettings,
) error {
	m.Page, m.Name, m.By, m.Changed = s.page(r, a.Name, "Admin"), a.Name, a.By, a.ChangedAt
	m.Default, m.UUID = assistantForm(conversation.DefaultSettings()), a.UUID.String()
	aliases, err := queries.Aliases(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	for _, x := range aliases {
		if x.Assistant == a.Name {
			m.Aliases = append(m.Aliases, views.AliasRow{Name: x.Name, At: x.CreatedAt, By: x.By})
		}
	}
	all, err := queries.Assistants(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.Name != a.Name {
			m.Others = append(m.Others, x.Name)
		}
	}
	for kind, words := range map[queries.FoldKind]string{
		queries.FoldToMerge: "%s into %s", queries.FoldToSeparate: "out of %s, what is of %s",
	} {
		moves, err := queries.FoldRuns(r.Context(), s.Pool, kind)
		if err != nil {
			return err
		}
		for _, x := range moves {
			if x.Assistant == a.Name || x.Target == a.Name {
				row := s.foldRow(x)
				row.What = fmt.Sprintf(words, x.Assistant, x.Target)
				m.Moves = append(m.Moves, row)
			}
		}
	}
	if err := s.patternsOf(r, a, &m.Patterns); err != nil {
		return err
	}
	slices.SortFunc(m.Moves, func(a, b views.FoldRunRow) int { return b.At.Compare(a.At) })
	runs, err := queries.FoldRuns(r.Context(), s.Pool, queries.FoldToRebuild)
	if err != nil {
		return err
	}
	for _, x := range runs {
		if x.Assistant == a.Name || x.Assistant == "" {
			m.Runs = append(m.Runs, s.foldRow(x))
			m.Running = m.Running || x.EndedAt == nil
		}
	}
	return s.render(w, r, status, views.AssistantPage(m))
}

func (s *server) foldRow(x queries.FoldRun) views.FoldRunRow {
	row := views.FoldRunRow{
		ID: x.ID.String(), By: x.By, At: x.CreatedAt, EndedAt: x.EndedAt, Senders: x.Senders, Total: x.Total,
		Error: x.Error,
	}
	if begins := x.CreatedAt.Add(jobs.SettledAfter).Sub(s.Now()); x.Senders == 0 && begins > 0 {
		row.Waits = begins
	}
	return row
}

// parseAssistant reads the form: a name a line.
func parseAssistant(r *http.Request) (x conversation.Settings, form views.AssistantForm, err error) {
	if err := r.ParseForm(); err != nil {
		return x, form, &metric.InputError{Field: "form", Msg: "is too large"}
	}
	p := r.PostForm.Get
	form = views.AssistantForm{
		Actions: p("actions"), Flows: p("flows"), Command: p("command") == "yes", Pause: cmp.Or(
			p("pause"), string(conversation.PauseAuto),
		), Agent: p("agent") == "yes", CutBy: cmp.Or(p("cut_by"), string(conversation.CutAsTold)),
		Slots: p("slots"), Satisfied: p("satisfied"), Idle: p("idle"), Fallbacks: p("fallbacks"),
		Questions: p("questions"), Intents: p("intents"), Words: p("words"),
	}
	list := func(text string) (all []string) {
		all = []string{}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !slices.Contains(all, line) {
				all = append(all, line)
			}
		}
		return all
	}
	x = conversation.Settings{
		HandoffActions: list(form.Actions), HandoffFlows: list(form.Flows), HandoffCommand: form.Command,
		HandoffPause: conversation.PauseRule(form.Pause), HandoffAgent: form.Agent, CutBy: conversation.CutRule(form.CutBy),
		CSATSlots: list(form.Slots), Fallbacks: list(form.Fallbacks),
		ClosingQuestions: list(form.Questions), ClosingIntents: list(form.Intents), ClosingWords: list(form.Words),
	}
	x.SatisfiedFrom, _ = strconv.Atoi(strings.TrimSpace(form.Satisfied)) // 0 is refused
	x.IdleMinutes, _ = strconv.Atoi(strings.TrimSpace(form.Idle))        // likewise
	return x, form, queries.CheckSettings(x)
}

// keepAssistant answers POST /admin/assistant.
func (s *server) keepAssistant(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	x, form, wrong := parseAssistant(r)
	a, err := s.assistantOf(r, r.PostFormValue("name"))
	if err != nil {
		return err
	}
	if wrong != nil {
		return s.showAssistant(
			w, r, http.StatusUnprocessableEntity, a, views.AssistantSettings{Form: form, Error: wrong.Error()},
		)
	}
	u, _ := accountOf(ctx)
	fold := r.PostFormValue("fold") == "yes"
	err = s.audited(r, func(tx pgx.Tx) (deed, error) {
		if err := queries.SetAssistant(ctx, tx, a.Name, x, u.ID, s.Now()); err != nil {
			return deed{}, err
		}
		d := deed{
			act: queries.AuditSettingsChanged, name: "assistant " + a.Name, before: a.Settings,
			after: assistantDeed{x, fold},
		}
		if !fold {
			return d, nil
		}
		return d, s.foldAgain(r, tx, a.Name)
	})
	if errors.Is(err, queries.ErrConflict) {
		return s.showAssistant(w, r, http.StatusUnprocessableEntity, a, views.AssistantSettings{
			Form: form, Error: "Stored conversations are being recalculated. Wait until that is done.",
		})
	}
	if err != nil {
		return err
	}
	said := "kept"
	if fold {
		said = "fold"
	}
	http.Redirect(w, r, "/admin/assistant?"+url.Values{"name": {a.Name}, "said": {said}}.Encode(), http.StatusSeeOther)
	return nil
}

// assistantDeed is what the audit log tells of changed settings.
type assistantDeed struct {
	conversation.Settings
	Folded bool `json:"folded_again,omitempty"`
}

// foldAgain has what is stored of an assistant folded again.
func (s *server) foldAgain(r *http.Request, tx pgx.Tx, assistant string) error {
	u, _ := accountOf(r.Context())
	run := queries.FoldRun{
		ID: queries.NewID(), Kind: queries.FoldToRebuild, Assistant: assistant, AccountID: &u.ID, CreatedAt: s.Now(),
	}
	if err := queries.StartFold(r.Context(), tx, run, nil); err != nil {
		return err
	}
	return s.Jobs.AddLater(r.Context(), tx, jobs.FoldArgs{ID: run.ID.String()}, s.Now().Add(jobs.SettledAfter))
}

// foldAssistant answers POST /admin/assistant/fold.
func (s *server) foldAssistant(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	a, err := s.assistantOf(r, r.PostFormValue("name"))
	if err != nil {
		return err
	}
	err = s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{act: queries.AuditFolded, name: a.Name}
		if r.PostFormValue("run") == "" {
			return d, s.foldAgain(r, tx, a.Name)
		}
		id, err := conversation.ParseUUID(r.PostFormValue("run")) // a move that broke off goes on
		if err != nil {
			return d, queries.ErrNotFound
		}
		x, err := queries.FoldRunByID(r.Context(), tx, id)
		if err != nil {
			return d, err
		}
		if x.EndedAt == nil || x.Error == "" || x.Target == "" || x.Assistant != a.Name && x.Target != a.Name {
			return d, queries.ErrNotFound
		}
		return d, s.follow(r, tx, x.Kind, x.Assistant, x.Target)
	})
	if err != nil && !errors.Is(err, queries.ErrConflict) { // it is under way: that is what was wanted
		return err
	}
	http.Redirect(w, r, "/admin/assistant?"+url.Values{"name": {a.Name}}.Encode(), http.StatusSeeOther)
	return nil
}
