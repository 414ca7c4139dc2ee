package web

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
)

// undo answers POST /undo: takes back what the user did last.
func (s *server) undo(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	u, _ := accountOf(ctx)
	id, err := conversation.ParseUUID(r.PostFormValue("undo"))
	if err != nil {
		return queries.ErrNotFound
	}
	var places []queries.ConversationKey
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) (err error) {
		places, err = work.Undo(ctx, tx, id, u.ID, s.Now())
		return err
	})
	if errors.Is(err, queries.ErrConflict) {
		return &metric.InputError{Field: "undo", Msg: "is not possible: somebody changed it since"}
	}
	if err != nil {
		return err
	}
	to := "/conversations/" + places[0].ID.String()
	if in, err := conversation.ParseUUID(r.PostFormValue("in")); err == nil {
		to += "?in=" + in.String()
	}
	if r.Header.Get("HX-Request") == "true" { // marks of messages may have changed too
		w.Header().Set("HX-Refresh", "true")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// tagOne answers POST /conversations/{id}/tags: adds a tag or removes it; a new name makes a tag.
func (s *server) tagOne(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, err := s.reviewOf(w, r)
	if err != nil {
		return err
	}
	a := v.act(work.ActTag, "yes")
	name := strings.Join(strings.Fields(r.PostFormValue("name")), " ")
	if id := r.PostFormValue("tag"); id != "" {
		if a.Subject, err = conversation.ParseUUID(id); err != nil {
			return queries.ErrNotFound
		}
	} else if err := named(name, 60); err != nil {
		return v.answer(w, r, nil, "A tag needs a name of 1 to 60 characters.", "")
	}
	choices, err := work.TagChoices(ctx, s.Pool, v.of, limitsOf(ctx))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(choices, func(t work.Tag) bool {
		return t.ID == a.Subject || a.Subject == (conversation.UUID{}) && strings.EqualFold(t.Name, name)
	})
	if i < 0 && a.Subject != (conversation.UUID{}) {
		return queries.ErrNotFound
	}
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if i < 0 {
			t := work.Tag{ID: queries.NewID(), Name: name, Color: int16(len(choices) % 7), CreatedAt: s.Now()}
			if err := work.AddTag(ctx, tx, t, v.user.ID); err != nil {
				return err
			}
			a.Subject = t.ID
		} else {
			a.Subject = choices[i].ID
			was, err := work.WorkOf(ctx, queries.Clear(tx), v.place, v.events, v.user.ID)
			if err != nil {
				return err
			}
			if name == "" && slices.ContainsFunc(was.Tags, func(t work.Tag) bool { return t.ID == a.Subject }) {
				a.Value = "" // pressed again
			}
		}
		_, err := work.ApplyReviewAction(ctx, tx, a)
		return err
	})
	if err != nil {
		return err
	}
	return v.answer(w, r, nil, "", "")
}

// markMessage answers POST /conversations/{id}/marks.
func (s *server) markMessage(w http.ResponseWriter, r *http.Request) error {
	v, err := s.reviewOf(w, r)
	if err != nil {
		return err
	}
	value, message, _ := strings.Cut(r.PostFormValue("mark"), " ")
	id, err := conversation.ParseUUID(message)
	if err != nil || value != "good" && value != "bad" {
		return &metric.InputError{Field: "mark", Msg: "is good or bad, and a message"}
	}
	if ok, err := work.HasMessage(r.Context(), s.Pool, v.place, id); err != nil {
		return err
	} else if !ok {
		return queries.ErrNotFound
	}
	was, err := work.WorkOf(r.Context(), queries.Clear(s.Pool), v.place, v.events, v.user.ID)
	if err != nil {
		return err
	}
	for _, m := range was.Marks {
		if m.MessageID == id && m.AccountID == v.user.ID && m.Mark == value {
			value = "" // pressed again
		}
	}
	a := v.act(work.ActMark, value)
	a.Subject = id
	if err := v.do(r.Context(), a); err != nil {
		return err
	}
	return v.answer(w, r, &id, "", "")
}

// longestText is how many characters a note has at most.
const longestText = 4000

// noteOne answers POST /conversations/{id}/notes: writes, edits and deletes a note.
func (s *server) noteOne(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, err := s.reviewOf(w, r)
	if err != nil {
		return err
	}
	text := strings.TrimSpace(strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n"))
	remove := r.PostFormValue("delete") != ""
	if n := utf8.RuneCountInString(text); !remove && (n == 0 || n > longestText || !utf8.ValidString(text) ||
		strings.ContainsRune(text, 0)) {
		return v.answer(w, r, nil, "A note has 1 to 4,000 characters.", text)
	}
	a := v.act(work.ActNote, text)
	var about *conversation.UUID
	if r.PostFormValue("about") != "" {
		if id, err := conversation.ParseUUID(r.PostFormValue("message")); err == nil {
			if ok, err := work.HasMessage(ctx, s.Pool, v.place, id); err != nil {
				return err
			} else if ok {
				a.Message, about = id, &id
			}
		}
	}
	calls, err := v.called(ctx, text)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		a.Subject = queries.NewID()
		if id := r.PostFormValue("note"); id != "" {
			n, err := v.ownNote(ctx, tx, id, r.PostFormValue("revision"))
			if err != nil {
				return err
			}
			a.Subject = n.ID
			if remove {
				a.Value = ""
			}
			if n.MessageID != nil {
				a.Message, about = *n.MessageID, n.MessageID
			}
		}
		if _, err := work.ApplyReviewAction(ctx, tx, a); err != nil || remove {
			return err
		}
		return work.Mention(ctx, tx, a.Subject, v.user.ID, calls)
	})
	if errors.Is(err, queries.ErrConflict) {
		return v.answer(
			w, r, nil,
			"This note was changed meanwhile, in another window. Both texts are kept: the changed one stands "+
				"above, yours is in the field for a new note.",
			text,
		)
	}
	if err != nil {
		return err
	}
	return v.answer(w, r, about, "", "")
}

// ownNote is a note of who asks, as it was when he began to edit it; ErrConflict where it was changed since.
func (v *reviewing) ownNote(ctx context.Context, tx pgx.Tx, id, revision string) (n work.Note, err error) {
	key, err := conversation.ParseUUID(id)
	if err != nil {
		return n, queries.ErrNotFound
	}
	if n, err = work.NoteByID(ctx, tx, v.place, key); err != nil {
		return n, err
	}
	if n.AccountID != v.user.ID {
		return n, queries.ErrNotFound
	}
	if revision != strconv.Itoa(int(n.Revision)) {
		return n, queries.ErrConflict
	}
	return n, nil
}

var calling = regexp.MustCompile(`(?:^|[\s(])@([\pL\pN][\pL\pN._-]*)`)

// called are the colleagues that a text calls: by the part of their address before the @, or by their name with dots.
func (v *reviewing) called(ctx context.Context, text string) (ids []conversation.UUID, err error) {
	found := calling.FindAllStringSubmatch(text, 20)
	if len(found) == 0 {
		return nil, nil
	}
	people, err := work.Colleagues(ctx, v.Pool)
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		for _, p := range people {
			local, _, _ := strings.Cut(p.Email, "@")
			first, _, _ := strings.Cut(p.Name, " ")
			name := strings.TrimRight(m[1], ".-_")
			if strings.EqualFold(name, local) || strings.EqualFold(
				name, strings.ReplaceAll(p.Name, " ", "."),
			) || strings.EqualFold(name, first) {
				if !slices.Contains(ids, p.ID) {
					ids = append(ids, p.ID)
				}
			}
		}
	}
	return ids, nil
}

// assignOne answers POST /conversations/{id}/assign.
func (s *server) assignOne(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, err := s.reviewOf(w, r)
	if err != nil {
		return err
	}
	people, err := work.Colleagues(ctx, s.Pool)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(people, func(p work.Colleague) bool { return p.ID.String() == r.PostFormValue("to") })
	if i < 0 {
		return v.answer(w, r, nil, "Choose a colleague first.", "")
	}
	to, err := queries.AccountByID(ctx, s.Pool, people[i].ID)
	if err != nil {
		return err
	}
	if !to.Rights()[access.Review] || to.Assistants != nil && !slices.Contains(to.Assistants, v.of) {
		return v.answer(w, r, nil, to.Name+" may not see conversations of this assistant.", "")
	}
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		_, err := work.Assign(ctx, tx, []queries.ConversationKey{v.place}, people[i].ID, v.user.ID, s.Now())
		return deed{act: queries.AuditAssigned, id: v.place.ID.String(), after: map[string]any{"to": to.Email}}, err
	}); err != nil {
		return err
	}
	return v.answer(w, r, nil, "", "")
}
