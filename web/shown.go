package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/mask"
	"turnwise/metric"
	"turnwise/queries"
)

// sight is how somebody sees a conversation.
type sight struct {
	db     queries.DB
	masker *mask.Masker        // nil: in the clear
	until  *time.Time          // that it is revealed; nil: it is not
	as     func(string) string // masks a text
}

// sightOf tells how who asks sees a conversation.
func (s *server) sightOf(ctx context.Context, of queries.ConversationKey) (x sight, err error) {
	x.db, x.as = s.Pool, func(text string) string { return text }
	m, err := queries.DisplayMask(ctx, s.Pool)
	if err != nil || m == nil {
		return x, err
	}
	if u, ok := accountOf(ctx); ok && may(ctx, access.SeePersonal) {
		if x.until, err = queries.RevealedUntil(ctx, s.Pool, of, u.ID, s.Now()); err != nil || x.until != nil {
			return x, err
		}
	}
	told, err := queries.ToldIn(ctx, s.Pool, m, []conversation.UUID{of.ID})
	m = m.With(told[of.ID])
	x.db, x.masker, x.as = queries.Masked(s.Pool, m), m, m.Shown
	return x, err
}

// facts are those of a conversation, as they are seen.
func (x sight) facts(c queries.ConversationFacts) queries.ConversationFacts {
	for _, text := range []*string{&c.FirstText, &c.SenderKey, &c.UserID, &c.SessionID} {
		*text = x.as(*text)
	}
	return c
}

// transcript masks what is masked by its name, beside what the database masks by its form.
func (x sight) transcript(t *queries.Transcript) {
	if x.masker == nil {
		return
	}
	for i := range t.Slots {
		t.Slots[i].Value = x.masker.Slot(t.Slots[i].Name, t.Slots[i].Value)
	}
	for i := range t.Commands {
		c := &t.Commands[i]
		c.Value, c.Detail = x.masker.Slot(c.Slot, c.Value), x.masker.Parts(c.Detail)
	}
	for i := range t.Messages {
		e := &t.Messages[i]
		e.Text, e.Entities = x.masker.Entities(e.Text, e.Entities)
	}
}

// revealLasts is how long a conversation stays revealed.
const revealLasts = 30 * time.Minute

// reveal answers POST /conversations/{id}/reveal: shows who may see them the personal data of a conversation for a
// while, and notes why.
func (s *server) reveal(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	c, err := s.viewer(ctx).Conversation(ctx, id)
	if err != nil {
		return err
	}
	u, _ := accountOf(ctx)
	until := s.Now().Add(revealLasts)
	if r.PostFormValue("hide") != "" {
		until = s.Now()
	}
	reason, err := personalReason(r)
	if err != nil && until.After(s.Now()) {
		return err
	}
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{
			act: queries.AuditRevealed, id: c.ID.String(), after: map[string]any{"reason": reason, "until": until},
		}
		if reason == "" {
			d.after = map[string]any{"hidden": true}
		}
		return d, queries.Reveal(
			ctx, tx, queries.ConversationKey{SenderID: c.SenderID, ID: c.ID}, u.ID, reason, s.Now(), until,
		)
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/conversations/"+c.ID.String()+"?"+hereAgain(r.PostFormValue("query")), http.StatusSeeOther)
	return nil
}

// personalReason reads why somebody wants to see personal data.
func personalReason(r *http.Request) (string, error) {
	reason := strings.Join(strings.Fields(r.FormValue("reason")), " ")
	if n := utf8.RuneCountInString(reason); n < 3 || n > 500 || !utf8.ValidString(reason) ||
		strings.ContainsRune(reason, 0) {
		return "", &metric.InputError{
			Field: "reason", Msg: "is asked for: why do you need to see personal data? 3 to 500 characters",
		}
	}
	return reason, nil
}

// clear tells whether a file is to hold personal data that are masked elsewhere, and why; it is refused to who may not
// see them.
func (s *server) clear(r *http.Request, asked string) (reason string, clear bool, err error) {
	if asked != "yes" {
		return "", false, nil
	}
	if !may(r.Context(), access.SeePersonal) {
		return "", false, &metric.InputError{Field: "clear", Msg: "is for who may see personal data"}
	}
	reason, err = personalReason(r)
	return reason, true, err
}

// hereAgain is the query of a page of a conversation, read and written again so that nothing foreign passes.
func hereAgain(query string) string {
	q, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	kept := url.Values{}
	for _, name := range []string{"view", "back", "q", "in", "m"} {
		if q.Has(name) {
			kept.Set(name, q.Get(name))
		}
	}
	return kept.Encode()
}
