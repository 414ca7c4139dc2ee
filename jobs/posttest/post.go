// Package posttest is a mail server for tests, which keeps what it gets.
package posttest

import (
	"io"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
)

// Post is the server.
type Post struct {
	Address string // host:port

	mu     sync.Mutex
	got    []Letter
	refuse map[string]int
}

// Letter is a mail that came.
type Letter struct {
	To   string
	Body []byte
}

// T is what of testing.T is needed.
type T interface {
	Helper()
	Fatal(args ...any)
	Cleanup(f func())
}

// New starts a server on a loopback port; it ends with the test.
func New(t T) *Post {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	p := &Post{Address: l.Addr().String(), refuse: map[string]int{}}
	s := smtp.NewServer(p)
	go func() { _ = s.Serve(l) }() // ends with an error when it is closed
	t.Cleanup(func() { _ = s.Close() })
	return p
}

// Refuse has a recipient refused so many times.
func (p *Post) Refuse(to string, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse[to] = times
}

// Letters returns what came so far.
func (p *Post) Letters() []Letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// Each returns how many different mails, by their id, came for each recipient.
func (p *Post) Each() (map[string]int, error) {
	seen, to := map[string]bool{}, map[string]int{}
	for _, l := range p.Letters() {
		msg, err := mail.ReadMessage(strings.NewReader(string(l.Body)))
		if err != nil {
			return nil, err
		}
		if id := msg.Header.Get("Message-Id"); !seen[id] {
			seen[id] = true
			to[l.To]++
		}
	}
	return to, nil
}

// NewSession begins a conversation.
func (p *Post) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{post: p}, nil }

type session struct {
	post *Post
	to   string
}

func (s *session) Reset()                               { s.to = "" }
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	if s.post.refuse[to] > 0 {
		s.post.refuse[to]--
		return &smtp.SMTPError{Code: 451, Message: "try again later"}
	}
	s.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err // the mail broke off: it does not count
	}
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	s.post.got = append(s.post.got, Letter{s.to, b})
	return nil
}
