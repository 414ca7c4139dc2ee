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

// opened is a conversation as who asks sees it.
type opened struct {
	queries.ConversationFacts
	db     queries.Sight
	masker *mask.Masker // nil: in the clear
	until  *time.Time   // that it is revealed; nil: it is not
	named  bool         // its end user is shown
}

func (c opened) place() queries.ConversationKey {
	return queries.ConversationKey{SenderID: c.SenderID, ID: c.ID}
}

// open returns a conversation that who asks may see; ErrNotFound for others as for what is not there.
func (s *server) open(ctx context.Context, id conversation.UUID) (c opened, err error) {
	c.db, c.named = queries.Clear(s.Pool), true
	if c.ConversationFacts, err = queries.Conversation(ctx, c.db, id, limitsOf(ctx)); err != nil {
		return c, err
	}
	m, err := queries.DisplayMask(ctx, s.Pool)
	if err != nil || m == nil {
		return c, err
	}
	if u, ok := accountOf(ctx); ok && may(ctx, access.SeePersonal) {
		if c.until, err = queries.RevealedUntil(ctx, s.Pool, c.place(), u.ID, s.Now()); err != nil || c.until != nil {
			return c, err
		}
	}
	told, err := queries.ToldIn(ctx, s.Pool, m, []conversation.UUID{id})
	if err != nil {
		return c, err
	}
	c.masker = m.With(told[id])
	c.db = queries.Masked(s.Pool, c.masker)
	user, sender := c.UserID, c.SenderKey
	for _, text := range []*string{&c.FirstText, &c.SenderKey, &c.UserID, &c.SessionID} {
		*text = c.masker.Shown(*text)
	}
	maskParts(c.masker, c.Details)
	c.named = c.UserID == user && (user != "" || c.SenderKey == sender)
	return c, nil
}

// transcript masks what is masked by its name, beside what the database masks by its form.
func (c opened) transcript(t *queries.Transcript) {
	if c.masker == nil {
		return
	}
	for i := range t.Slots {
		t.Slots[i].Value = c.masker.Slot(t.Slots[i].Name, t.Slots[i].Value)
	}
	for i := range t.Commands {
		k := &t.Commands[i]
		k.Value, k.Detail = c.masker.Slot(k.Slot, k.Value), c.masker.Parts(k.Detail)
	}
	for i := range t.Messages {
		e := &t.Messages[i]
		e.Text, e.Entities = c.masker.Entities(e.Text, e.Entities)
		maskParts(c.masker, e.Details)
	}
	for _, x := range t.Live.Told {
		maskParts(c.masker, x.Details)
	}
	for _, x := range t.Live.Activities {
		maskParts(c.masker, x.Properties)
	}
}

// maskParts masks a JSON text in place in which slots are told by name.
func maskParts(m *mask.Masker, text *string) {
	if text != nil {
		*text = m.Parts(*text)
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
	c, err := s.open(ctx, id)
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
			ctx, tx, c.place(), u.ID, reason, s.Now(), until,
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
