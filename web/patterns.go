package web

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/jackc/pgx/v5"

	"turnwise/jobs"
	"turnwise/marker"
	"turnwise/queries"
	"turnwise/views"
)

// patternsOf sets the markers of an assistant, and the file that they make unless another was typed.
func (s *server) patternsOf(r *http.Request, a queries.Assistant, m *views.PatternsModel) error {
	all, err := queries.Patterns(r.Context(), s.Pool, a.Name)
	if err != nil {
		return err
	}
	var active []marker.Definition
	for _, p := range all {
		row := views.PatternRow{
			Name: p.Name, About: p.Description, Config: p.Config, Active: p.Active, Changed: p.UpdatedAt,
		}
		if p.Active {
			active = append(active, p.Definition)
		}
		if p.Active && p.Found {
			row.Link = views.FoundLink(p.Name, a.Name)
		}
		m.Rows = append(m.Rows, row)
	}
	if m.Error == "" {
		m.File, err = marker.File(active)
	}
	return err
}

// keepPatterns answers POST /admin/assistant/markers.
func (s *server) keepPatterns(w http.ResponseWriter, r *http.Request) error {
	a, err := s.assistantOf(r, r.PostFormValue("name"))
	if err != nil {
		return err
	}
	file := r.PostFormValue("markers")
	refused := func(why string) error {
		m := views.AssistantSettings{Form: assistantForm(a.Settings)}
		m.Patterns.File, m.Patterns.Error = file, why
		return s.showAssistant(w, r, http.StatusUnprocessableEntity, a, m)
	}
	all, err := marker.Parse([]byte(file))
	if err != nil {
		return refused(err.Error())
	}
	var done queries.PatternsChanged
	err = s.audited(r, func(tx pgx.Tx) (deed, error) {
		u, _ := accountOf(r.Context())
		if done, err = queries.SetPatterns(r.Context(), tx, a.Name, all, u.ID, s.Now()); err != nil || done.Run == nil {
			return deed{act: queries.AuditMarkersChanged, name: a.Name, after: done}, err
		}
		return deed{act: queries.AuditMarkersChanged, name: a.Name, after: done}, s.Jobs.AddLater(
			r.Context(), tx, jobs.FoldArgs{ID: done.Run.String()}, s.Now().Add(jobs.SettledAfter),
		)
	})
	if errors.Is(err, queries.ErrConflict) {
		return refused("Stored conversations are being recalculated. Wait until that is done.")
	}
	if err != nil {
		return err
	}
	said := "markers-kept"
	if done.Run != nil {
		said = "markers"
	}
	http.Redirect(w, r, "/admin/assistant?"+url.Values{"name": {a.Name}, "said": {said}}.Encode(), http.StatusSeeOther)
	return nil
}
