package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/alexedwards/argon2id"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
	"turnwise/views"
)

// Roles are the roles of users, the least mighty first.
var Roles = []string{"viewer", "reviewer", "supervisor", "admin"}

// rightsOf is the one place that says what a role may do.
func rightsOf(role string) map[views.Right]bool {
	all := map[views.Right]bool{views.SeeHealth: true, views.SeeFigures: true}
	more := map[string][]views.Right{
		"viewer":     {},
		"reviewer":   {views.SeeTranscripts, views.ShareNotes, views.Review},
		"supervisor": {views.SeeTranscripts, views.ShareNotes, views.Review, views.ShareViews, views.Lead, views.TakeOut},
		"admin":      {views.SeeTranscripts, views.ShareNotes, views.Review, views.ShareViews, views.Lead, views.TakeOut, views.Administer},
	}
	rights, known := more[role]
	if !known {
		return nil
	}
	for _, r := range rights {
		all[r] = true
	}
	return all
}

// passwordParams follow OWASP's advice for argon2id: 19 MiB, two passes, one lane.
var passwordParams = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// HashPassword returns the form in which a password is stored.
func HashPassword(password string) (string, error) {
	return argon2id.CreateHash(password, passwordParams)
}

type userKey struct{}

func userOf(ctx context.Context) (queries.User, bool) {
	u, ok := ctx.Value(userKey{}).(queries.User)
	return u, ok
}

// sessionUser and sessionStamp are the keys of a session: whose it is, and the beginning of the password's
// hash at sign-in, so that a new password ends the sessions of the old one.
const (
	sessionUser  = "user"
	sessionStamp = "stamp"
)

func stamp(u queries.User) string { return u.PasswordHash[max(0, len(u.PasswordHash)-16):] }

// loadUser puts the user who signed in into the request. Rights and shut-outs are read each time, so that a
// change acts at once.
func (s *server) loadUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, err := conversation.ParseUUID(s.sessions.GetString(r.Context(), sessionUser)); err == nil {
			u, err := queries.UserByID(r.Context(), s.Pool, id)
			if err != nil && !errors.Is(err, queries.ErrNotFound) {
				s.fail(w, r, err)
				return
			}
			if err == nil && !u.Disabled && s.sessions.GetString(r.Context(), sessionStamp) == stamp(u) {
				r = r.WithContext(context.WithValue(r.Context(), userKey{}, u))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// need lets only those through who have the right.
func (s *server) need(right views.Right, h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		u, ok := userOf(r.Context())
		if !ok {
			if r.Header.Get("HX-Request") == "true" {
				w.Header().Set("HX-Redirect", "/login")
				w.WriteHeader(http.StatusUnauthorized)
				return nil
			}
			to := "/login"
			if r.Method == http.MethodGet {
				to += "?next=" + url.QueryEscape(r.URL.RequestURI())
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
			return nil
		}
		if !rightsOf(u.Role)[right] {
			s.message(w, r, http.StatusForbidden, views.Message{
				Page: s.page(r, "", ""), Heading: "Not for your role",
				Text: "Your role is " + u.Role + ". To " + string(right) + " needs another one; ask an admin.", Back: "/", BackText: "To the start",
			})
			return nil
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience(r.URL.Path))
		defer cancel()
		return h(w, r.WithContext(ctx))
	}
}

// local lets only addresses of this site be returned to.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}

func (s *server) loginPage(w http.ResponseWriter, r *http.Request) error {
	next := local(r.URL.Query().Get("next"))
	if _, ok := userOf(r.Context()); ok {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	return s.render(w, r, http.StatusOK, views.LoginPage(views.Login{Page: s.page(r, "Sign in", ""), Next: next}))
}

func (s *server) login(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	email, password := strings.TrimSpace(r.PostFormValue("email")), r.PostFormValue("password")
	m := views.Login{Page: s.page(r, "Sign in", ""), Email: email, Next: local(r.PostFormValue("next"))}
	if s.byAddress.OnLimit(w, r, "a "+s.address(r)) || s.byAccount.OnLimit(w, r, "u "+s.address(r)+" "+strings.ToLower(email)) {
		m.Error = "Too many tries. Wait a minute and try again."
		return s.render(w, r, http.StatusTooManyRequests, views.LoginPage(m))
	}
	u, err := queries.UserByEmail(r.Context(), s.Pool, email)
	if err != nil && !errors.Is(err, queries.ErrNotFound) {
		return err
	}
	hash := u.PasswordHash
	if hash == "" {
		hash = s.decoy
	}
	s.hashing <- struct{}{}
	match, hashErr := argon2id.ComparePasswordAndHash(password, hash)
	<-s.hashing
	if hashErr != nil {
		return hashErr
	}
	if err != nil || !match || u.Disabled {
		if err := s.auditedAs(r, queries.Actor{Name: u.Email, Address: s.address(r)}, func(pgx.Tx) (deed, error) { // a name that is nobody's may be a password
			return deed{act: queries.AuditSignInFailed, name: u.Email, after: map[string]any{"known": err == nil, "disabled": u.Disabled}}, nil
		}); err != nil {
			return err
		}
		m.Error = "The address or the password is wrong."
		return s.render(w, r, http.StatusUnprocessableEntity, views.LoginPage(m))
	}
	if err := s.sessions.RenewToken(r.Context()); err != nil {
		return err
	}
	s.sessions.Put(r.Context(), sessionUser, u.ID.String())
	s.sessions.Put(r.Context(), sessionStamp, stamp(u))
	ctx := r.Context()
	if err := s.auditedAs(r, queries.Actor{ID: &u.ID, Name: u.Email, Address: s.address(r)}, func(tx pgx.Tx) (deed, error) {
		return deed{act: queries.AuditSignedIn}, queries.Seen(ctx, tx, u.ID, s.Now())
	}); err != nil {
		return err
	}
	http.Redirect(w, r, m.Next, http.StatusSeeOther)
	return nil
}

func (s *server) logout(w http.ResponseWriter, r *http.Request) error {
	if _, ok := userOf(r.Context()); ok {
		if err := s.noted(r, deed{act: queries.AuditSignedOut}); err != nil {
			return err
		}
	}
	if err := s.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// address is the client's address; a proxy's word for it counts only from configured proxies.
func (s *server) address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	trusted := func(ip string) bool {
		a, err := netip.ParseAddr(ip)
		return err == nil && slices.ContainsFunc(s.Proxies, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
	}
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(forwarded) - 1; i >= 0 && trusted(host); i-- {
		next := strings.TrimSpace(forwarded[i])
		if _, err := netip.ParseAddr(next); err != nil {
			break
		}
		host = next
	}
	return host
}
