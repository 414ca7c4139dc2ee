package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/mail"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	gomail "github.com/wneessen/go-mail"

	"turnwise/access"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// people answers GET /admin/users.
func (s *server) accounts(w http.ResponseWriter, r *http.Request) error {
	return s.showPeople(w, r, http.StatusOK, views.People{Form: views.PersonForm{Role: "viewer"}})
}

func (s *server) showPeople(w http.ResponseWriter, r *http.Request, status int, m views.People) error {
	ctx := r.Context()
	m.Page, m.Roles, m.SSO, m.Passwords = s.page(r, "Accounts", "Admin"), access.Roles, s.SSO != nil, s.passwords()
	users, err := queries.Accounts(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, u := range users {
		m.Rows = append(m.Rows, views.PersonRow{
			ID: u.ID.String(), Email: u.Email, Name: u.Name, Role: u.Role, Limits: u.Assistants,
			Transcripts: u.Rights()[access.SeeTranscripts],
			Second:      u.SecondFactor != nil, SSO: u.Subject != nil, Invited: u.PasswordHash == "" &&
				u.Subject == nil, Disabled: u.Disabled, LastSeen: u.LastSeenAt,
		})
	}
	if m.HasMail, err = queries.HasMail(ctx, s.Pool); err != nil {
		return err
	}
	choices, err := s.viewer(ctx).Choices(ctx)
	m.Assistants = choices.Assistants
	if err != nil {
		return err
	}
	return s.render(w, r, status, views.PeoplePage(m))
}

// parsePerson reads what a user is and may.
func parsePerson(r *http.Request, u *access.Account) (views.PersonForm, error) {
	if err := r.ParseForm(); err != nil {
		return views.PersonForm{}, &metric.InputError{Field: "form", Msg: "is too large"}
	}
	p := func(name string) string { return strings.Join(strings.Fields(r.PostForm.Get(name)), " ") }
	form := views.PersonForm{
		Email: p("email"), Name: p("name"), Role: p("role"), Limited: r.PostForm["assistants"],
		Transcripts: p("transcripts"), Personal: p("personal"),
	}
	u.Name, u.Role, u.Assistants = cmp.Or(form.Name, u.Name, form.Email), form.Role, nil
	u.Transcripts, u.Personal = ownRight(form.Transcripts), ownRight(form.Personal)
	for _, a := range form.Limited {
		if a != "" && len(a) <= 200 && !slices.Contains(u.Assistants, a) {
			u.Assistants = append(u.Assistants, a)
		}
	}
	slices.Sort(u.Assistants)
	switch {
	case !slices.Contains(access.Roles, u.Role):
		return form, &metric.InputError{Field: "role", Msg: "is one of " + strings.Join(access.Roles, ", ")}
	case u.Role == "admin" && len(u.Assistants) > 0:
		return form, &metric.InputError{Field: "assistants", Msg: "an admin sets up all of them; limit another role"}
	}
	return form, checkName(u.Name)
}

// ownRight reads a right that is given to, or taken from, one user; nil: as the role has it.
func ownRight(told string) *bool {
	if told != "yes" && told != "no" {
		return nil
	}
	yes := told == "yes"
	return &yes
}

// toldRight writes it.
func toldRight(r *bool) string {
	if r == nil {
		return ""
	}
	return map[bool]string{true: "yes", false: "no"}[*r]
}

// userDeed is what the audit log tells of a user.
func userDeed(u access.Account) map[string]any {
	d := map[string]any{
		"name": u.Name, "role": u.Role, "disabled": u.Disabled, "assistants": "all", "conversations": "as the role",
	}
	if u.Assistants != nil {
		d["assistants"] = u.Assistants
	}
	if u.Transcripts != nil {
		d["conversations"] = *u.Transcripts
	}
	if u.Personal != nil {
		d["personal_data"] = *u.Personal
	}
	return d
}

// invite answers POST /admin/users: the link is shown this once, and sent when mail can leave.
func (s *server) invite(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	u := access.Account{ID: queries.NewID(), CreatedAt: s.Now()}
	form, err := parsePerson(r, &u)
	if a, bad := mail.ParseAddress(form.Email); bad != nil || a.Address != form.Email || len(form.Email) > 300 {
		err = &metric.InputError{Field: "address", Msg: "is one such as ann@example.org"}
	}
	u.Email = form.Email
	key := ""
	if err == nil {
		err = s.audited(r, func(tx pgx.Tx) (d deed, err error) {
			if err := queries.AddAccount(ctx, tx, u); err != nil {
				return d, err
			}
			key, err = queries.NewLink(ctx, tx, u.ID, access.LinkInvitation, s.Now())
			return deed{act: queries.AuditUserInvited, id: u.ID.String(), name: u.Email, after: userDeed(u)}, err
		})
	}
	if errors.Is(err, queries.ErrConflict) {
		err = &metric.InputError{Field: "address", Msg: "there is a user with it already"}
	}
	var input *metric.InputError
	if errors.As(err, &input) {
		return s.showPeople(w, r, http.StatusUnprocessableEntity, views.People{Form: form, Error: input.Error()})
	}
	if err != nil {
		return err
	}
	m := views.People{Form: views.PersonForm{Role: "viewer"}, Made: u.Email}
	if s.passwords() {
		m.Link = s.URL + "/welcome/" + key
		m.Mailed = s.mailLink(
			ctx, u, m.Link, "You are invited to Turnwise",
			"You are invited to look at conversations. Choose a password here, within seven days:",
		)
	}
	return s.showPeople(w, r, http.StatusOK, m)
}

// mailLink sends a link to the user whose it is, and says what became of it; "" when mail is not set up.
func (s *server) mailLink(ctx context.Context, u access.Account, link, subject, text string) string {
	m, err := queries.Mail(ctx, s.Pool)
	if err != nil {
		return ""
	}
	msg, err := jobs.NewMessage(m, u.Email, subject, "turnwise.link."+queries.NewID().String(), s.Now())
	if err == nil {
		msg.SetBodyString(gomail.TypeTextPlain, text+"\r\n\r\n"+link+"\r\n\r\n"+m.Line+"\r\n")
		err = s.handOver(ctx, m, msg)
	}
	if err != nil {
		return "It could not be sent by mail: " + jobs.MailTrouble(m, err).Error()
	}
	return "It was sent to " + u.Email + "."
}

// person answers GET /admin/users/{id}.
func (s *server) oneAccount(w http.ResponseWriter, r *http.Request) error {
	u, err := s.userByURL(r)
	if err != nil {
		return err
	}
	m := views.PersonModel{
		Said: map[string]string{
			"kept": "Saved. It applies from the next click.", "sessions": "The sessions are ended.",
			"second": "The second factor is removed.",
		}[r.URL.Query().Get("said")],
	}
	return s.showPerson(w, r, http.StatusOK, u, m)
}

func (s *server) showPerson(
	w http.ResponseWriter, r *http.Request, status int, u access.Account, m views.PersonModel,
) error {
	ctx := r.Context()
	m.Page, m.Roles, m.ID, m.Email, m.Revision = s.page(r, u.Email, "Admin"), access.Roles, u.ID.String(), u.Email,
		strconv.Itoa(int(u.Revision))
	m.Passwords = s.passwords()
	if m.Error == "" {
		m.Form = views.PersonForm{
			Name: u.Name, Role: u.Role, Limited: u.Assistants, Transcripts: toldRight(u.Transcripts),
			Personal: toldRight(u.Personal),
		}
	}
	m.Disabled, m.Second, m.HasPassword, m.CreatedAt, m.LastSeen = u.Disabled, u.SecondFactor != nil,
		u.PasswordHash != "", u.CreatedAt, u.LastSeenAt
	if u.Subject != nil {
		m.SSO = *u.Issuer
	}
	me, _ := accountOf(ctx)
	m.Self = me.ID == u.ID
	for right, has := range u.Rights() {
		if has {
			m.May = append(m.May, string(right))
		}
	}
	slices.Sort(m.May)
	var err error
	if m.Sessions, err = s.sessionRows(ctx, u.ID); err != nil {
		return err
	}
	tokens, err := queries.Tokens(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.CreatedBy == u.Email && t.InForce(m.Now) {
			m.Tokens = append(m.Tokens, t.Name)
		}
	}
	choices, err := s.viewer(ctx).Choices(ctx)
	if err != nil {
		return err
	}
	m.Assistants = choices.Assistants
	for _, a := range m.Form.Limited { // also of which there are no conversations yet, or no more
		if !slices.Contains(m.Assistants, a) {
			m.Assistants = append(m.Assistants, a)
		}
	}
	return s.render(w, r, status, views.PersonPage(m))
}

// changePerson answers POST /admin/users/{id}.
func (s *server) changeAccount(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	u, err := s.userByURL(r)
	if err != nil {
		return err
	}
	was := u
	form, err := parsePerson(r, &u)
	u.Disabled = r.PostForm.Get("disabled") != ""
	if revision, bad := strconv.ParseInt(r.PostForm.Get("revision"), 10, 32); bad == nil {
		u.Revision = int32(revision)
	}
	if me, _ := accountOf(ctx); err == nil && me.ID == u.ID {
		for right, has := range u.Rights() {
			if has && !was.Rights()[right] {
				err = &metric.InputError{Field: "rights", Msg: "nobody gives more to himself: ask another admin"}
			}
		}
	}
	if err == nil {
		err = s.audited(r, func(tx pgx.Tx) (deed, error) {
			d := deed{
				act: queries.AuditAccountChanged, id: u.ID.String(), name: u.Email, before: userDeed(was),
				after: userDeed(u),
			}
			if err := queries.ChangeAccount(ctx, tx, u); err != nil {
				return d, err
			}
			if u.Disabled {
				return d, queries.EndSessions(ctx, tx, u.ID, queries.NoSession)
			}
			return d, nil
		})
	}
	switch {
	case errors.Is(err, queries.ErrLastAdmin):
		err = &metric.InputError{Field: "role", Msg: "this is the last admin: make another one first"}
	case errors.Is(err, queries.ErrNotFound):
		err = &metric.InputError{Field: "user", Msg: "somebody changed this user meanwhile; look again"}
	}
	var input *metric.InputError
	if errors.As(err, &input) {
		return s.showPerson(
			w, r, http.StatusUnprocessableEntity, was, views.PersonModel{Form: form, Error: input.Error()},
		)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/users/"+u.ID.String()+"?said=kept", http.StatusSeeOther)
	return nil
}

// linkPerson answers POST /admin/users/{id}/link: another link, those before are not in force any more.
func (s *server) linkAccount(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, err := s.userByURL(r)
	if err != nil || !s.passwords() {
		return cmp.Or(err, queries.ErrNotFound)
	}
	kind, subject, text := access.LinkPassword, "Your password for Turnwise",
		"Choose another password here, within seven days:"
	if u.PasswordHash == "" {
		kind, subject, text = access.LinkInvitation, "You are invited to Turnwise", "You are invited to look at "+
			"conversations. Choose a password here, within seven days:"
	}
	key := ""
	if err := s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		if err := queries.ForgetLinks(ctx, tx, u.ID); err != nil {
			return d, err
		}
		key, err = queries.NewLink(ctx, tx, u.ID, kind, s.Now())
		return deed{
			act: queries.AuditUserInvited, id: u.ID.String(), name: u.Email, after: map[string]any{"for": kind},
		}, err
	}); err != nil {
		return err
	}
	m := views.PersonModel{Link: s.URL + "/welcome/" + key}
	m.Mailed = s.mailLink(ctx, u, m.Link, subject, text)
	return s.showPerson(w, r, http.StatusOK, u, m)
}

// endPerson answers POST /admin/users/{id}/sessions.
func (s *server) endAccountSessions(w http.ResponseWriter, r *http.Request) error {
	u, err := s.userByURL(r)
	if err != nil {
		return err
	}
	return s.endSessionsOf(w, r, u, "/admin/users/"+u.ID.String()+"?said=sessions")
}

// endEverybody answers POST /admin/users/sessions: all but the one that asks.
func (s *server) endEverybody(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		n, err := queries.EndAllSessions(ctx, tx, sessionOf(ctx))
		return deed{act: queries.AuditSessionsEnded, name: "everybody", after: map[string]any{"sessions": n}}, err
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/users", http.StatusSeeOther)
	return nil
}

// resetSecond answers POST /admin/users/{id}/second: for somebody who lost the phone and the codes.
func (s *server) resetSecond(w http.ResponseWriter, r *http.Request) error {
	u, err := s.userByURL(r)
	if err == nil && u.SecondFactor == nil {
		err = queries.ErrNotFound
	}
	if err == nil {
		err = s.dropSecond(r, u)
	}
	if err == nil { // the phone may be in other hands
		err = queries.EndSessions(r.Context(), s.Pool, u.ID, sessionOf(r.Context()))
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/users/"+u.ID.String()+"?said=second", http.StatusSeeOther)
	return nil
}
