package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/httprate"
	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// What stands in a session: which of a user it is; or, between password and code, whose it will be, until when and
// where to.
const (
	sessionID    = "session"
	halfUser     = "half"
	halfUntil    = "half_until"
	halfNext     = "half_next"
	halfWrong    = "half_wrong"
	codePatience = 5 * time.Minute
	sessionIdle  = 24 * time.Hour
	sessionLife  = 7 * 24 * time.Hour

	// Of a user's codes so many may be wrong within the window, from wherever, and so many after one password.
	mostWrongCodes = 20
	codesWindow    = time.Hour
	wrongInARow    = 5

	// Of a user's passwords so many may be wrong within the window, from wherever, before only addresses are listened
	// to from which the user signed in before.
	mostWrongPasswords = 30
	passwordsWindow    = time.Hour
	knownFor           = 90 * 24 * time.Hour
)

func (s *server) loginPage(w http.ResponseWriter, r *http.Request) error {
	next := local(r.URL.Query().Get("next"))
	if _, ok := accountOf(r.Context()); ok {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	return s.showLogin(w, r, http.StatusOK, views.Login{Next: next, Ended: r.URL.Query().Get("ended") != ""})
}

func (s *server) showLogin(w http.ResponseWriter, r *http.Request, status int, m views.Login) error {
	m.Page, m.Password = s.page(r, "Sign in", ""), s.passwords()
	if s.SSO != nil {
		m.SSO = s.SSO.Name
	}
	return s.render(w, r, status, views.LoginPage(m))
}

// passwords tells whether people sign in with passwords.
func (s *server) passwords() bool { return s.SSO == nil || !s.SSO.Only }

// tooMany tells whether somebody tries to guess something, by address and by account from one address.
func (s *server) tooMany(w http.ResponseWriter, r *http.Request, what, account string) bool {
	from := httprate.CanonicalizeIP(s.address(r)) // one network of IPv6 counts as one
	return s.byAddress.OnLimit(w, r, "a "+from) || s.byAccount.OnLimit(w, r, what+" "+from+" "+strings.ToLower(account))
}

const triedTooOften = "Too many tries. Wait a minute and try again."

func (s *server) login(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	ctx := r.Context()
	email, password := strings.TrimSpace(r.PostFormValue("email")), r.PostFormValue("password")
	m := views.Login{Email: email, Next: local(r.PostFormValue("next"))}
	if !s.passwords() {
		m.Error = "Nobody signs in with a password here."
		return s.showLogin(w, r, http.StatusForbidden, m)
	}
	if s.tooMany(w, r, "sign-in", email) {
		m.Error = triedTooOften
		return s.showLogin(w, r, http.StatusTooManyRequests, m)
	}
	u, err := queries.AccountByEmail(ctx, s.Pool, email)
	if err != nil && !errors.Is(err, queries.ErrNotFound) {
		return err
	}
	known := err == nil
	p, err := queries.LoadPseudonyms(ctx, s.Pool)
	if err != nil {
		return err
	}
	account := p.Of(strings.ToLower(email))
	tried, err := s.tries(r, u.Email, account)
	if err != nil {
		return err
	}
	match, err := s.matches(password, u.PasswordHash, tried.Known)
	if errors.Is(err, errCrowd) {
		w.Header().Set("Retry-After", "2")
		m.Error = "Too many people sign in at this moment. Try again."
		return s.showLogin(w, r, http.StatusTooManyRequests, m)
	}
	if err != nil {
		return err
	}
	right := known && match && !u.Disabled
	if !right {
		if err := s.signInFailed(r, u, known, "password", account); err != nil {
			return err
		}
	}
	// With a second factor a password that is guessed is not enough. Who guesses wrong is told the same whatever there
	// is.
	if tried.Failed >= mostWrongPasswords && !tried.Known && (!right || u.SecondFactor == nil) {
		m.Error = "Somebody has tried too many passwords for this account. Sign in from where you have signed in " +
			"before, ask an admin for a link, or wait an hour."
		return s.showLogin(w, r, http.StatusTooManyRequests, m)
	}
	if !right {
		m.Error = "The address or the password is wrong."
		return s.showLogin(w, r, http.StatusUnprocessableEntity, m)
	}
	return s.welcome(w, r, u, "password", m.Next)
}

// tries tells what was tried with an account, and whether the address has signed in to it before.
func (s *server) tries(r *http.Request, email, account string) (tried queries.Tried, err error) {
	now := s.Now()
	tried, err = queries.Tries(
		r.Context(), s.Pool, email, account, s.address(r), now.Add(-passwordsWindow), now.Add(-knownFor),
	)
	if err != nil {
		return tried, err
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && host == s.address(r) &&
		r.Header.Get("X-Forwarded-For") != "" {
		tried.Known = false // everybody who comes through that proxy has its address
		if s.stranger.CompareAndSwap(false, true) {
			s.Log.WarnContext(
				r.Context(),
				"people sign in through a proxy that TURNWISE_TRUSTED_PROXIES does not name: all who come through "+
					"it count as one address",
				"proxy", host,
			)
		}
	}
	return tried, nil
}

// errCrowd says that so many sign in that another would have to wait long.
var errCrowd = errors.New("too many sign in at once")

// hashers bounds how many passwords are compared at a time, and how many wait for it: comparing is dear on purpose. Who
// comes from where the user signed in before does not wait for those who do not.
type hashers struct{ known, strangers hasher }

type hasher struct{ turn, place chan struct{} }

func newHashers() *hashers {
	one := func() hasher { return hasher{make(chan struct{}, 1), make(chan struct{}, 10)} }
	return &hashers{one(), one()}
}

// do does it in its turn.
func (h hasher) do(what func() error) error {
	select {
	case h.place <- struct{}{}:
		defer func() { <-h.place }()
	default:
		return errCrowd
	}
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	return what()
}

// matches compares a password with a hash. One that is empty takes the same time and matches nothing.
func (s *server) matches(password, hash string, known bool) (match bool, err error) {
	of := hash
	if of == "" {
		of = s.decoy
	}
	lane := s.hashing.strangers
	if known {
		lane = s.hashing.known
	}
	err = lane.do(func() (err error) {
		match, err = argon2id.ComparePasswordAndHash(password, of)
		return err
	})
	return match && hash != "", err
}

// signInFailed writes down a try. What was typed for a user that is not known may be a password: it is not kept.
// The account is the same told by a pseudonym.
func (s *server) signInFailed(r *http.Request, u access.Account, known bool, by, account string) error {
	return s.auditedAs(r, queries.Actor{Name: u.Email, Address: s.address(r)}, func(pgx.Tx) (deed, error) {
		return deed{
			act: queries.AuditSignInFailed, name: u.Email,
			after: map[string]any{"known": known, "disabled": u.Disabled, "by": by, "account": account},
		}, nil
	})
}

// welcome signs a user in who has proved to be the one, or asks for the second factor first.
func (s *server) welcome(w http.ResponseWriter, r *http.Request, u access.Account, by, next string) error {
	if u.SecondFactor == nil {
		return s.enter(w, r, u, by, next)
	}
	ctx := r.Context()
	if err := s.sessions.RenewToken(ctx); err != nil {
		return err
	}
	s.sessions.Remove(ctx, sessionID)
	s.sessions.Put(ctx, halfUser, u.ID.String()+" "+by)
	s.sessions.Put(ctx, halfUntil, s.Now().Add(codePatience).Unix())
	s.sessions.Put(ctx, halfNext, next)
	s.sessions.Put(ctx, halfWrong, 0)
	http.Redirect(w, r, "/login/code", http.StatusSeeOther)
	return nil
}

// enter begins a session.
func (s *server) enter(w http.ResponseWriter, r *http.Request, u access.Account, by, next string) error {
	ctx := r.Context()
	if err := s.sessions.RenewToken(ctx); err != nil {
		return err
	}
	agent := strings.ToValidUTF8(r.UserAgent(), "")
	for len(agent) > 200 {
		_, size := utf8.DecodeLastRuneInString(agent)
		agent = agent[:len(agent)-size]
	}
	x := queries.Session{
		ID: queries.NewID(), AccountID: u.ID, BegunAt: s.Now(), Address: s.address(r),
		Agent: strings.ReplaceAll(agent, "\x00", ""),
	}
	if err := s.auditedAs(r, queries.Actor{
		ID: &u.ID, Name: u.Email, Address: x.Address,
	}, func(tx pgx.Tx) (deed, error) {
		d := deed{act: queries.AuditSignedIn, after: map[string]any{"by": by}}
		if err := queries.AddSession(ctx, tx, x); err != nil {
			return d, err
		}
		return d, queries.TouchLastSeen(ctx, tx, u.ID, s.Now())
	}); err != nil {
		return err
	}
	for _, key := range []string{halfUser, halfUntil, halfNext, halfWrong} {
		s.sessions.Remove(ctx, key)
	}
	s.sessions.Put(ctx, sessionID, x.ID.String())
	if s.SignedIn != nil {
		s.SignedIn(u.Email)
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// halfway returns who has proved one factor and not the other yet, and how.
func (s *server) halfway(ctx context.Context) (u access.Account, by string, err error) {
	text, by, _ := strings.Cut(s.sessions.GetString(ctx, halfUser), " ")
	id, bad := conversation.ParseUUID(text)
	if bad != nil || s.sessions.GetInt64(ctx, halfUntil) < s.Now().Unix() {
		return u, "", queries.ErrNotFound
	}
	u, err = queries.AccountByID(ctx, s.Pool, id)
	if err == nil && u.Disabled {
		err = queries.ErrNotFound
	}
	return u, by, err
}

// code answers GET and POST /login/code: the second factor.
func (s *server) code(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, by, err := s.halfway(ctx)
	if errors.Is(err, queries.ErrNotFound) {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	m := views.Login{Page: s.page(r, "Sign in", "")}
	if r.Method == http.MethodGet {
		return s.render(w, r, http.StatusOK, views.CodePage(m))
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	wrong, err := queries.FailedCodes(ctx, s.Pool, u.Email, s.Now().Add(-codesWindow))
	if err != nil {
		return err
	}
	if s.tooMany(w, r, "code", u.Email) || wrong >= mostWrongCodes { // the latter from wherever they came
		m.Error = triedTooOften
		return s.render(w, r, http.StatusTooManyRequests, views.CodePage(m))
	}
	how, err := s.secondFactor(ctx, u, r.PostFormValue("code"))
	if errors.Is(err, queries.ErrNotFound) {
		if err := s.signInFailed(r, u, true, "code", ""); err != nil {
			return err
		}
		if n := s.sessions.GetInt(ctx, halfWrong) + 1; n < wrongInARow {
			s.sessions.Put(ctx, halfWrong, n)
		} else {
			s.sessions.Remove(ctx, halfUser) // the password must be known again
		}
		m.Error = "The code is wrong, or was used before. Wait for the next."
		return s.render(w, r, http.StatusUnprocessableEntity, views.CodePage(m))
	}
	if err != nil {
		return err
	}
	return s.enter(w, r, u, by+" and "+how, local(s.sessions.GetString(ctx, halfNext)))
}

func (s *server) logout(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if u, ok := accountOf(ctx); ok {
		if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
			err := queries.EndSession(ctx, tx, u.ID, sessionOf(ctx))
			if errors.Is(err, queries.ErrNotFound) {
				err = nil
			}
			return deed{act: queries.AuditSignedOut}, err
		}); err != nil {
			return err
		}
	}
	if err := s.sessions.Destroy(ctx); err != nil {
		return err
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// link answers GET and POST /welcome/{key}, where a user sets a password or signs in without one.
func (s *server) link(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	key := access.KeyHash(chi.URLParam(r, "key"))
	l, err := queries.LinkByHash(ctx, s.Pool, key, s.Now())
	var u access.Account
	if err == nil {
		u, err = queries.AccountByID(ctx, s.Pool, l.AccountID)
	}
	if errors.Is(err, queries.ErrNotFound) || err == nil && (u.Disabled || l.Kind != access.LinkSignIn &&
		!s.passwords()) {
		s.message(w, r, http.StatusNotFound, views.Message{
			Page: s.page(r, "", ""), Heading: "This link no longer works",
			Text: "It was used, or has expired. Ask an admin for another one.", Back: "/login", BackText: "Sign in",
		})
		return nil
	}
	if err != nil {
		return err
	}
	m := views.Welcome{Page: s.page(r, "Welcome", ""), Email: u.Email, Person: u.Name, Kind: l.Kind}
	if r.Method == http.MethodGet {
		return s.render(w, r, http.StatusOK, views.WelcomePage(m))
	}
	if l.Kind == access.LinkSignIn {
		if err := queries.UseLink(ctx, s.Pool, key, s.Now()); err != nil {
			return err
		}
		return s.welcome(w, r, u, "link", "/")
	}
	name, password := strings.Join(strings.Fields(r.PostFormValue("name")), " "), r.PostFormValue("password")
	if l.Kind != access.LinkInvitation {
		name = u.Name
	}
	m.Person = name
	var input *metric.InputError
	if err := errors.Join(checkName(name), access.CheckPassword(password, u.Email, name)); errors.As(err, &input) {
		m.Error = input.Error()
		return s.render(w, r, http.StatusUnprocessableEntity, views.WelcomePage(m))
	}
	if err := s.useLink(r, l, u, name, password); err != nil {
		return err
	}
	return s.welcome(w, r, u, l.Kind, "/")
}

// useLink uses a link up: it sets the password, and the name of who is new.
func (s *server) useLink(r *http.Request, l access.Link, u access.Account, name, password string) error {
	ctx := r.Context()
	key := access.KeyHash(chi.URLParam(r, "key"))
	hash, err := s.hash(password)
	if err != nil {
		return err
	}
	return s.auditedAs(r, queries.Actor{
		ID: &u.ID, Name: u.Email, Address: s.address(r),
	}, func(tx pgx.Tx) (deed, error) {
		d := deed{act: queries.AuditPasswordSet, id: u.ID.String(), name: u.Email, after: map[string]any{"by": l.Kind}}
		if err := queries.UseLink(ctx, tx, key, s.Now()); err != nil {
			return d, err
		}
		if u.Name != name {
			u.Name = name
			if err := queries.ChangeAccount(ctx, tx, u); err != nil {
				return d, err
			}
		}
		return d, queries.SetPassword(ctx, tx, u.ID, hash)
	})
}

// hash makes the form in which a password is stored, at most two at a time.
func (s *server) hash(password string) (string, error) {
	s.hashing.known.turn <- struct{}{}
	defer func() { <-s.hashing.known.turn }()
	return access.HashPassword(password)
}

func checkName(name string) error {
	if name == "" || len(name) > 200 || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return &metric.InputError{Field: "name", Msg: "is needed, and at most 200 bytes long"}
	}
	return nil
}
