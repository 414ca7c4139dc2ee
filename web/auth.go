package web

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/queries"
	"turnwise/views"
)

// may tells whether who asks has a right.
func may(ctx context.Context, right access.Right) bool {
	u, ok := accountOf(ctx)
	return ok && u.Rights()[right]
}

type (
	userKey    struct{}
	sessionKey struct{}
)

func accountOf(ctx context.Context) (access.Account, bool) {
	u, ok := ctx.Value(userKey{}).(access.Account)
	return u, ok
}

// sessionOf is the session of who asks; zero for a token.
func sessionOf(ctx context.Context) conversation.UUID {
	id, _ := ctx.Value(sessionKey{}).(conversation.UUID)
	return id
}

// loadUser puts who asks into the request: a user who signed in, or a token. Rights and shut-outs are read each time,
// so that a change acts at once.
func (s *server) loadUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var u access.Account
		var session conversation.UUID
		var err error
		if isProgram(r) {
			_, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			var refused bool
			if u, refused, err = s.program(w, r, strings.TrimSpace(secret)); refused {
				return
			}
		} else if session, err = conversation.ParseUUID(s.sessions.GetString(r.Context(), sessionID)); err != nil {
			err = queries.ErrNotFound // nobody signed in
		} else {
			u, err = queries.AccountOfSession(r.Context(), s.Pool, session, s.Now())
		}
		if err != nil && !errors.Is(err, queries.ErrNotFound) {
			s.fail(w, r, err)
			return
		}
		if err == nil && !u.Disabled {
			r = r.WithContext(context.WithValue(context.WithValue(r.Context(), userKey{}, u), sessionKey{}, session))
		}
		next.ServeHTTP(w, r)
	})
}

// isProgram tells a request that shows a token: answers are for a program.
func isProgram(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer")
}

// problem answers a program as RFC 9457 has it.
func problem(w http.ResponseWriter, r *http.Request, status int, title, detail string) {
	b, err := json.Marshal(map[string]any{
		"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": r.URL.Path,
	})
	if err != nil { // of texts and a number
		panic(err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may be gone
}

// program returns who a token stands for: programs may read but not change anything. It answers itself when the token
// is refused.
func (s *server) program(
	w http.ResponseWriter, r *http.Request, secret string,
) (u access.Account, refused bool, err error) {
	ctx := r.Context()
	t, err := queries.TokenBySecret(ctx, s.Pool, secret, s.Now())
	switch {
	case errors.Is(err, queries.ErrNotFound):
		s.refuse(r, "the token is not valid")
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		problem(w, r, http.StatusUnauthorized, "Unauthorized", "This token has expired, was revoked or is unknown.")
		return u, true, nil
	case err != nil:
		return u, false, err
	case t.Role == "ingest" || r.Method != http.MethodGet && r.Method != http.MethodHead:
		s.refuse(r, "the token "+t.Name+" may not do that")
		problem(
			w, r, http.StatusForbidden, "Forbidden",
			"This token may not do that: its role is "+t.Role+", and tokens change nothing here.",
		)
		return u, true, nil
	}
	u = t.Account()
	return u, false, queries.TokenUsed(ctx, s.Pool, t.ID, s.Now())
}

// longestForm bounds the body of a form; handlers bound theirs more narrowly.
const longestForm = 8 << 20

// need lets only those through who have the right.
func (s *server) need(to route) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		u, ok := accountOf(r.Context())
		if !ok {
			if r.Header.Get("HX-Request") == "true" {
				if r.Method == http.MethodGet {
					w.Header().Set(
						"HX-Redirect",
						"/login?ended=yes&next="+url.QueryEscape(cameFrom(r.Header.Get("HX-Current-URL"))),
					)
				}
				w.WriteHeader(http.StatusUnauthorized) // what was typed stays on the page, which says so
				return nil
			}
			login := "/login?next=" + url.QueryEscape(r.URL.RequestURI())
			if r.Method != http.MethodGet {
				login = "/login?ended=yes&next=" + url.QueryEscape(cameFrom(r.Referer()))
			}
			http.Redirect(w, r, login, http.StatusSeeOther)
			return nil
		}
		if !u.Rights()[to.right] {
			s.refuse(r, "may not "+string(to.right))
			s.message(w, r, http.StatusForbidden, views.Message{
				Page: s.page(r, "", ""), Heading: "Not for you",
				Text: "Your role is " + u.Role + ". You may not " + string(to.right) +
					"; ask an admin.", Back: "/", BackText: "To the start",
			})
			return nil
		}
		r.Body = http.MaxBytesReader(w, r.Body, longestForm)
		if dear := s.dear(to.cost, r); dear != nil {
			leave, err := dear.enter(r.Context(), u.ID.String())
			if err != nil {
				return err
			}
			defer leave()
			if dear == s.limiters.drawn {
				w = &leaving{w, leave}
			}
		}
		ctx, cancel := context.WithTimeout(r.Context(), to.cost.within())
		defer cancel()
		return s.reading(to.handler, w, r.WithContext(ctx))
	}
}

// cameFrom is the page of this site, of an address that the browser tells.
func cameFrom(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Path == "" {
		return "/"
	}
	return local(u.RequestURI())
}

// local lets only addresses of this site be returned to.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
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
