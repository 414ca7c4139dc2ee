package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"image/png"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// account answers GET /account: what a user changes about himself.
func (s *server) account(w http.ResponseWriter, r *http.Request) error {
	said := map[string]string{
		"password": "The password is changed. You are signed out " +
			"everywhere else.", "sessions": "You are signed out everywhere else.", "session": "It is signed out.",
		"removed": "The second factor is removed.", "name": "The name is changed.",
	}[r.URL.Query().Get("said")]
	return s.showAccount(w, r, http.StatusOK, views.Account{Said: said})
}

func (s *server) showAccount(w http.ResponseWriter, r *http.Request, status int, m views.Account) error {
	ctx := r.Context()
	u, _ := accountOf(ctx)
	m.Page, m.Email, m.Person, m.HasPassword, m.HasKey = s.page(r, "Account", "Account"), u.Email, u.Name,
		u.PasswordHash != "" && s.passwords(), s.Box != nil
	m.Limits, m.HasSecond = strings.Join(u.Assistants, ", "), u.SecondFactor != nil
	var err error
	if m.Codes, err = queries.RecoveryCodes(ctx, s.Pool, u.ID); err != nil {
		return err
	}
	if m.Sessions, err = s.sessionRows(ctx, u.ID); err != nil {
		return err
	}
	return s.render(w, r, status, views.AccountPage(m))
}

func (s *server) sessionRows(ctx context.Context, user conversation.UUID) (rows []views.SessionRow, err error) {
	all, err := queries.Sessions(ctx, s.Pool, user, s.Now().Add(-sessionIdle))
	for _, x := range all {
		if s.Now().Sub(x.BegunAt) < sessionLife {
			rows = append(rows, views.SessionRow{
				ID: x.ID.String(), BegunAt: x.BegunAt, SeenAt: x.SeenAt, Address: x.Address, Agent: x.Agent,
				This: x.ID == sessionOf(ctx),
			})
		}
	}
	return rows, err
}

// accountRefused shows the page again with what was wrong with a form, and returns any other error.
func (s *server) accountRefused(w http.ResponseWriter, r *http.Request, err error) error {
	var input *metric.InputError
	if errors.As(err, &input) {
		return s.showAccount(w, r, http.StatusUnprocessableEntity, views.Account{Error: input.Error()})
	}
	return err
}

// rename answers POST /account/name.
func (s *server) rename(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, _ := accountOf(ctx)
	was := u.Name
	u.Name = strings.Join(strings.Fields(r.PostFormValue("name")), " ")
	if err := checkName(u.Name); err != nil {
		return s.accountRefused(w, r, err)
	}
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{
			act: queries.AuditAccountChanged, id: u.ID.String(), name: u.Email, before: map[string]any{"name": was},
			after: map[string]any{"name": u.Name},
		}, queries.ChangeAccount(ctx, tx, u)
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/account?said=name", http.StatusSeeOther)
	return nil
}

// ownPassword asks for the password once more, where something is changed that whoever sits at an unlocked screen must
// not.
func (s *server) ownPassword(w http.ResponseWriter, r *http.Request, u access.Account) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if u.PasswordHash == "" || !s.passwords() {
		return nil
	}
	if s.tooMany(w, r, "password", u.Email) {
		return &metric.InputError{Field: "password", Msg: triedTooOften}
	}
	match, err := s.matches(r.PostFormValue("current"), u.PasswordHash, true)
	if errors.Is(err, errCrowd) {
		return &metric.InputError{Field: "password", Msg: triedTooOften}
	}
	if err == nil && !match {
		err = &metric.InputError{Field: "current password", Msg: "that is not it"}
	}
	return err
}

// changePassword answers POST /account/password.
func (s *server) changePassword(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, _ := accountOf(ctx)
	err := s.ownPassword(w, r, u)
	if err == nil && (u.PasswordHash == "" || !s.passwords()) {
		return queries.ErrNotFound
	}
	password := r.PostFormValue("password")
	if err == nil {
		err = access.CheckPassword(password, u.Email, u.Name)
	}
	if err != nil {
		return s.accountRefused(w, r, err)
	}
	hash, err := s.hash(password)
	if err != nil {
		return err
	}
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{
			act: queries.AuditPasswordSet, id: u.ID.String(), name: u.Email, after: map[string]any{"by": "account"},
		}, queries.SetPassword(ctx, tx, u.ID, hash)
	}); err != nil {
		return err
	}
	return s.enter(w, r, u, "new password", "/account?said=password")
}

// endSessions answers POST /account/sessions/end: everywhere else; with id, there.
func (s *server) endSessions(w http.ResponseWriter, r *http.Request) error {
	u, _ := accountOf(r.Context())
	return s.endSessionsOf(w, r, u, "/account?said=session")
}

// endSessionsOf ends a user's session that the form names, or all but the one that asks.
func (s *server) endSessionsOf(w http.ResponseWriter, r *http.Request, u access.Account, back string) error {
	ctx := r.Context()
	text := r.PostFormValue("id")
	id, bad := conversation.ParseUUID(text)
	if text != "" && bad != nil {
		return queries.ErrNotFound
	}
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{act: queries.AuditSessionsEnded, id: u.ID.String(), name: u.Email}
		if text != "" {
			return d, queries.EndSession(ctx, tx, u.ID, id)
		}
		return d, queries.EndSessions(ctx, tx, u.ID, sessionOf(ctx))
	}); err != nil {
		return err
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

// What one-time codes are: those of RFC 6238 as every program on a phone makes them.
var codeOptions = totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// setSecond is the key in a session of the secret that a user is about to begin with.
const setSecond = "second"

// secondPlace is what a secret of one-time codes is sealed for.
func secondPlace(id conversation.UUID) string { return "totp:" + id.String() }

// offerSecond answers POST /account/second: a secret is made and shown, and kept once a code of it was typed.
func (s *server) offerSecond(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, _ := accountOf(ctx)
	if s.Box == nil || u.SecondFactor != nil {
		return queries.ErrNotFound
	}
	err := s.ownPassword(w, r, u)
	if err != nil {
		return s.accountRefused(w, r, err)
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Turnwise", AccountName: u.Email})
	if err != nil {
		return err
	}
	sealed, err := s.Box.Seal(key.Secret(), secondPlace(u.ID))
	if err != nil {
		return err
	}
	s.sessions.Put(ctx, setSecond, base64.StdEncoding.EncodeToString(sealed))
	return s.showOffer(w, r, http.StatusOK, key.Secret(), "")
}

func (s *server) showOffer(w http.ResponseWriter, r *http.Request, status int, secret, mistake string) error {
	u, _ := accountOf(r.Context())
	key, err := otp.NewKeyFromURL(
		"otpauth://totp/" + "Turnwise:" + strings.ReplaceAll(u.Email, "%", "") + "?issuer=Turnwise&secret=" + secret,
	)
	if err != nil {
		return err
	}
	picture, err := key.Image(232, 232)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return err
	}
	m := views.Second{
		Page: s.page(r, "Second factor", "Account"), Secret: secret,
		Picture: "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), Error: mistake,
	}
	return s.render(w, r, status, views.SecondPage(m))
}

// keepSecond answers POST /account/second/keep with a code of the secret that was shown; the recovery codes are shown
// this once.
func (s *server) keepSecond(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, _ := accountOf(ctx)
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	sealed, err := base64.StdEncoding.DecodeString(s.sessions.GetString(ctx, setSecond))
	if err != nil || len(sealed) == 0 || s.Box == nil || u.SecondFactor != nil {
		return queries.ErrNotFound
	}
	secret, err := s.Box.Open(sealed, secondPlace(u.ID))
	if err != nil {
		return err
	}
	step, ok := stepOf(r.PostFormValue("code"), secret, s.Now())
	if !ok {
		return s.showOffer(
			w, r, http.StatusUnprocessableEntity, secret,
			"That is not the code that the program shows now. Is the clock of the phone right?",
		)
	}
	codes, hashes := recoveryCodes()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{
			act: queries.AuditSecondFactor, id: u.ID.String(), name: u.Email,
			after: map[string]any{"second factor": true},
		}
		err := errors.Join(
			queries.SetSecondFactor(ctx, tx, u.ID, sealed), queries.UseStep(ctx, tx, u.ID, step),
			queries.SetRecoveryCodes(ctx, tx, u.ID, hashes), queries.EndSessions(ctx, tx, u.ID, sessionOf(ctx)),
		)
		return d, err
	}); err != nil {
		return err
	}
	s.sessions.Remove(ctx, setSecond)
	return s.render(
		w, r, http.StatusOK, views.CodesPage(views.Second{Page: s.page(r, "Recovery codes", "Account"), Codes: codes}),
	)
}

// removeSecond answers POST /account/second/remove.
func (s *server) removeSecond(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, _ := accountOf(ctx)
	err := s.ownPassword(w, r, u)
	if err == nil {
		err = s.dropSecond(r, u)
	}
	if err != nil {
		return s.accountRefused(w, r, err)
	}
	http.Redirect(w, r, "/account?said=removed", http.StatusSeeOther)
	return nil
}

func (s *server) dropSecond(r *http.Request, u access.Account) error {
	ctx := r.Context()
	return s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{
			act: queries.AuditSecondFactor, id: u.ID.String(), name: u.Email,
			before: map[string]any{"second factor": true},
		}
		return d, errors.Join(queries.SetSecondFactor(ctx, tx, u.ID, nil), queries.SetRecoveryCodes(ctx, tx, u.ID, nil))
	})
}

// secondFactor checks a one-time code or a recovery code and uses it up; ErrNotFound for a wrong or used one.
func (s *server) secondFactor(ctx context.Context, u access.Account, code string) (how string, err error) {
	code = strings.ToUpper(strings.Join(strings.Fields(strings.ReplaceAll(code, "-", "")), ""))
	if len(code) > 6 {
		sum := sha256.Sum256([]byte(code))
		return "recovery code", queries.UseRecoveryCode(ctx, s.Pool, u.ID, sum[:])
	}
	secret, err := s.Box.Open(u.SecondFactor, secondPlace(u.ID))
	if err != nil {
		return "", err
	}
	step, ok := stepOf(code, secret, s.Now())
	if !ok {
		return "", queries.ErrNotFound
	}
	return "code", queries.UseStep(ctx, s.Pool, u.ID, step)
}

// stepOf tells of which half minute a code is: this one, the last or the next.
func stepOf(code, secret string, now time.Time) (int64, bool) {
	for _, d := range []time.Duration{0, -30 * time.Second, 30 * time.Second} {
		if ok, err := totp.ValidateCustom(
			strings.Join(strings.Fields(code), ""), secret, now.Add(d), codeOptions,
		); ok && err == nil {
			return now.Add(d).Unix() / 30, true
		}
	}
	return 0, false
}

// recoveryCodes makes ten codes of 80 random bits, and their hashes.
func recoveryCodes() (codes []string, hashes [][]byte) {
	for range 10 {
		text := rand.Text()[:16]
		sum := sha256.Sum256([]byte(text))
		codes, hashes = append(codes, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:]), append(hashes, sum[:])
	}
	return codes, hashes
}

// newCodes answers POST /account/codes: other recovery codes in place of those there were.
func (s *server) newCodes(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, _ := accountOf(ctx)
	if u.SecondFactor == nil {
		return queries.ErrNotFound
	}
	err := s.ownPassword(w, r, u)
	codes, hashes := recoveryCodes()
	if err == nil {
		err = s.audited(r, func(tx pgx.Tx) (deed, error) {
			return deed{
				act: queries.AuditSecondFactor, id: u.ID.String(), name: u.Email,
				after: map[string]any{"recovery codes": "new"},
			}, queries.SetRecoveryCodes(ctx, tx, u.ID, hashes)
		})
	}
	if err != nil {
		return s.accountRefused(w, r, err)
	}
	return s.render(
		w, r, http.StatusOK, views.CodesPage(views.Second{Page: s.page(r, "Recovery codes", "Account"), Codes: codes}),
	)
}

// userByURL returns the user of the address.
func (s *server) userByURL(r *http.Request) (access.Account, error) {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return access.Account{}, queries.ErrNotFound
	}
	return queries.AccountByID(r.Context(), s.Pool, id)
}
