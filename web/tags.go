package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/views"
)

// tags answers GET /tags.
func (s *server) tags(w http.ResponseWriter, r *http.Request) error {
	return s.tagsPage(w, r, http.StatusOK, "")
}

func (s *server) tagsPage(w http.ResponseWriter, r *http.Request, status int, trouble string) error {
	m := views.TagsModel{Page: s.page(r, "Tags", "Review"), Error: trouble}
	m.May, m.Lead = m.Rights[access.Review], m.Rights[access.ManageReviews]
	all, err := work.Tags(r.Context(), s.Pool, limitsOf(r.Context()))
	if err != nil {
		return err
	}
	choices, err := s.viewer(r.Context()).Choices(r.Context())
	if err != nil {
		return err
	}
	m.Assistants = choices.Assistants
	for _, t := range all {
		if !mayOf(r.Context(), t.Assistant) {
			continue
		}
		f := metric.Filter{
			Range: metric.Range{Days: metric.MaxDays}, Review: metric.ReviewFilter{Tags: []string{t.Name}},
		}
		if t.Assistant != "" {
			f.Assistants = []string{t.Assistant}
		}
		m.Tags = append(m.Tags, views.TagRow{
			ID: t.ID.String(), Name: t.Name, Assistant: t.Assistant, Description: t.Description, Color: t.Color,
			Revision: t.Revision, By: t.By, N: t.Conversations, Link: dashboard.Address(f),
		})
	}
	return s.render(w, r, status, views.TagsPage(m))
}

func parseTag(r *http.Request) (t work.Tag, err error) {
	t.Name = strings.Join(strings.Fields(r.PostFormValue("name")), " ")
	t.Description = strings.TrimSpace(r.PostFormValue("description"))
	t.Assistant = r.PostFormValue("assistant")
	if err := named(t.Name, 60); err != nil {
		return t, err
	}
	if utf8.RuneCountInString(t.Description) > 300 || !utf8.ValidString(t.Description) ||
		strings.ContainsRune(t.Description+t.Assistant, 0) || !utf8.ValidString(t.Assistant) ||
		len(t.Assistant) > 1024 {
		return t, &metric.InputError{Field: "description", Msg: "has at most 300 characters"}
	}
	n, err := strconv.Atoi(r.PostFormValue("color"))
	if err != nil || n < 0 || n > 6 {
		return t, &metric.InputError{Field: "color", Msg: "is from 0 to 6"}
	}
	t.Color = int16(n)
	return t, nil
}

// addTag answers POST /tags.
func (s *server) addTag(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	t, err := parseTag(r)
	if err == nil && !mayOf(r.Context(), t.Assistant) {
		err = &metric.InputError{Field: "assistant", Msg: "is not one of yours"}
	}
	if err == nil {
		u, _ := accountOf(r.Context())
		t.ID, t.CreatedAt = queries.NewID(), s.Now()
		if err = work.AddTag(r.Context(), s.Pool, t, u.ID); errors.Is(err, queries.ErrConflict) {
			err = &metric.InputError{Field: "name", Msg: "is that of another tag"}
		}
	}
	return s.tagAnswer(w, r, err)
}

// tagAnswer shows the tags, with what was wrong.
func (s *server) tagAnswer(w http.ResponseWriter, r *http.Request, err error) error {
	var input *metric.InputError
	if errors.As(err, &input) {
		return s.tagsPage(w, r, http.StatusUnprocessableEntity, input.Error())
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/tags", http.StatusSeeOther)
	return nil
}

// mayTag refuses a tag to who is limited to assistants and it is not of one of them: to change one that is for all
// changes conversations of others.
func (s *server) mayTag(ctx context.Context, db queries.DB, id conversation.UUID) error {
	limits := limitsOf(ctx)
	if limits == nil {
		return nil
	}
	all, err := work.Tags(ctx, db, limits)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(t work.Tag) bool { return t.ID == id })
	switch {
	case i < 0 || !mayOf(ctx, all[i].Assistant):
		return queries.ErrNotFound
	case all[i].Assistant == "":
		return &metric.InputError{Field: "tag", Msg: "is for all assistants: somebody who sees them all may change it"}
	}
	return nil
}

// changeTag answers POST /tags/{id}: renames, merges into another, deletes.
func (s *server) changeTag(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	err = s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		if err := s.mayTag(ctx, tx, id); err != nil {
			return d, err
		}
		gone := deed{act: queries.AuditTagDeleted, id: id.String()}
		switch r.PostFormValue("do") {
		case "merge":
			into, err := conversation.ParseUUID(r.PostFormValue("into"))
			if err != nil {
				return d, &metric.InputError{Field: "into", Msg: "is a tag to be chosen first"}
			}
			if err := s.mayTag(ctx, tx, into); err != nil {
				return d, err
			}
			gone.after = map[string]any{"merged_into": into.String()}
			return gone, work.MergeTag(ctx, tx, id, into, s.Now())
		case "delete":
			return gone, work.DeleteTag(ctx, tx, id, s.Now())
		}
		t, err := parseTag(r)
		if err != nil {
			return d, err
		}
		if limits := limitsOf(ctx); limits != nil && !slices.Contains(limits, t.Assistant) {
			return d, &metric.InputError{Field: "assistant", Msg: "is not one of yours"}
		}
		t.ID = id
		n, err := strconv.Atoi(r.PostFormValue("revision"))
		if err != nil {
			return d, &metric.InputError{Field: "revision", Msg: "is missing"}
		}
		t.Revision = int32(n)
		return d, work.ChangeTag(ctx, tx, t)
	})
	if errors.Is(err, queries.ErrConflict) {
		err = &metric.InputError{
			Field: "tag",
			Msg: "was changed meanwhile by somebody else, or the name is that of another tag: what stands here " +
				"now is theirs; yours was “" + r.PostFormValue("name") + "”",
		}
	}
	return s.tagAnswer(w, r, err)
}
