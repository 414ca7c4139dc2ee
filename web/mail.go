package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	gomail "github.com/wneessen/go-mail"

	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/views"
)

// mailForm answers GET /admin/mail.
func (s *server) mailForm(w http.ResponseWriter, r *http.Request) error {
	m, err := queries.Mail(r.Context(), s.Pool)
	if errors.Is(err, queries.ErrNotFound) {
		m, err = queries.MailSettings{Port: 587, Security: "starttls", Sender: "Turnwise"}, nil
	}
	if err != nil {
		return err
	}
	said := ""
	if r.URL.Query().Get("said") == "kept" {
		said = "The settings are kept. Send a test to see whether they work."
	}
	return s.showMail(w, r, http.StatusOK, m, said, "")
}

func (s *server) showMail(
	w http.ResponseWriter, r *http.Request, status int, m queries.MailSettings, said, failure string,
) error {
	u, _ := accountOf(r.Context())
	return s.render(w, r, status, views.MailFormPage(views.MailForm{
		Page: s.page(r, "Mail", "Admin"), Error: failure, Said: said, Host: m.Host, Port: strconv.Itoa(m.Port),
		Security: m.Security, User: m.User, From: m.From, Sender: m.Sender, Line: m.Line,
		Kept: len(m.Sealed) > 0, HasKey: s.Box != nil, TestTo: u.Email, Tested: strings.HasPrefix(failure, testFailed),
	}))
}

// keepMail answers POST /admin/mail.
func (s *server) keepMail(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	was, err := queries.Mail(ctx, s.Pool)
	if err != nil && !errors.Is(err, queries.ErrNotFound) {
		return err
	}
	m := queries.MailSettings{
		Host: strings.ToLower(p("host")), Security: p("security"), User: p("user"), From: p("from"),
		Sender: strings.Join(strings.Fields(p("sender")), " "), Line: strings.Join(strings.Fields(p("line")), " "),
	}
	m.Port, _ = strconv.Atoi(p("port")) // 0 is refused below
	wrong := m.Check()
	switch password := r.PostFormValue("password"); {
	case wrong != nil:
	case password != "":
		m.Sealed, wrong = s.Box.Seal(password, m.Server())
	case m.Server() == was.Server():
		m.Sealed = was.Sealed
	}
	if wrong != nil {
		return s.showMail(w, r, http.StatusUnprocessableEntity, m, "", wrong.Error())
	}
	u, _ := accountOf(ctx)
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{act: queries.AuditSettingsChanged, name: "mail", before: was, after: m}
		if !bytes.Equal(was.Sealed, m.Sealed) {
			d.name = "mail and its password"
		}
		return d, queries.SetMail(ctx, tx, m, u.ID, s.Now())
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/mail?said=kept", http.StatusSeeOther)
	return nil
}

// testMail answers POST /admin/mail/test.
func (s *server) testMail(w http.ResponseWriter, r *http.Request) error {
	m, err := queries.Mail(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	to := strings.TrimSpace(r.PostFormValue("to"))
	if err := s.sendTest(r.Context(), m, to); err != nil {
		return s.showMail(
			w, r, http.StatusUnprocessableEntity, m, "", fmt.Sprintf("%s: %v", testFailed, jobs.MailTrouble(m, err)),
		)
	}
	return s.showMail(w, r, http.StatusOK, m, "The test was handed over to "+m.Host+" for "+to+".", "")
}

const testFailed = "The test could not be sent"

func (s *server) sendTest(ctx context.Context, m queries.MailSettings, to string) error {
	msg, err := jobs.NewMessage(m, to, "A test from Turnwise", "turnwise.test."+queries.NewID().String(), s.Now())
	if err != nil {
		return err
	}
	msg.SetBodyString(gomail.TypeTextPlain, "Mail from Turnwise at "+s.URL+" arrives.\r\n")
	return s.handOver(ctx, m, msg)
}

// handOver gives one mail to the server, while somebody waits.
func (s *server) handOver(ctx context.Context, m queries.MailSettings, msg *gomail.Msg) error {
	client, err := jobs.MailClient(m, s.Box)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	return client.DialAndSendWithContext(ctx, msg)
}
