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
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
)

// opened is a conversation as who asks sees it.
type opened struct{ dashboard.Opened }

// open returns a conversation that who asks may see; ErrNotFound for others as for what is not there.
func (s *server) open(ctx context.Context, id conversation.UUID) (opened, error) {
	c, err := s.viewer(ctx).Open(ctx, id)
	return opened{c}, err
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
			ctx, tx, c.Key(), u.ID, reason, s.Now(), until,
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
