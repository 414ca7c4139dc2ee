package jobs_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/demo"
	"turnwise/jobs"
	"turnwise/jobs/posttest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/secret"
)

// office is a database with conversations, a supervisor, and mail.
type office struct {
	t    *testing.T
	pool *pgxpool.Pool
	post *posttest.Post
	user access.Account
	sent jobs.Reports
	mu   sync.Mutex
	now  time.Time
}

var noon = time.Date(2026, 10, 27, 12, 0, 0, 0, time.UTC)

func newOffice(t *testing.T, conversations int) *office {
	t.Helper()
	o := &office{t: t, pool: dbtest.Pool(t), post: posttest.New(t), now: noon}
	if conversations > 0 {
		feed(
			t, o.pool,
			demo.New(demo.Options{
				Conversations: conversations, Days: 12, Until: noon.Add(-3 * time.Hour), Seed: 3,
			}).Next,
		)
	}
	o.user = access.Account{
		ID: queries.NewID(), Email: "ann@example.org", Name: "Ann", Role: "supervisor", PasswordHash: "x",
		CreatedAt: noon,
	}
	if err := queries.AddAccount(t.Context(), o.pool, o.user); err != nil {
		t.Fatal(err)
	}
	box, err := secret.NewBox("a key for tests, long enough")
	if err != nil {
		t.Fatal(err)
	}
	o.sent = jobs.Reports{
		Pages: o.pool, Box: box, URL: "https://turnwise.example.org",
		Internal: jobs.Networks{netip.MustParsePrefix("127.0.0.0/8")},
	}
	host, port, err := net.SplitHostPort(o.post.Address)
	if err != nil {
		t.Fatal(err)
	}
	m := queries.MailSettings{
		Host: host, Security: "none", From: "turnwise@example.org", Sender: `Turnwise "of us"`,
		Line: "Sent by the service desk",
	}
	if _, err := fmt.Sscan(port, &m.Port); err != nil {
		t.Fatal(err)
	}
	if err := queries.SetMail(t.Context(), o.pool, m, o.user.ID, noon); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

func (o *office) set(t time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = t
}

// keep stores a schedule that is due at noon.
func (o *office) keep(x queries.Schedule) queries.Schedule {
	o.t.Helper()
	due := noon
	x.ID, x.AccountID, x.Zone, x.CreatedAt, x.NextAt, x.Schedule = queries.NewID(), o.user.ID, "Europe/Berlin", noon, &due, "daily 13:00"
	if x.IfEmpty == "" {
		x.IfEmpty = "send"
	}
	if err := queries.AddSchedule(o.t.Context(), o.pool, x); err != nil {
		o.t.Fatal(err)
	}
	return x
}

// work does what is due, as a worker would.
func (o *office) work() {
	o.t.Helper()
	open, err := jobs.DueReports(o.t.Context(), o.pool, o.clock())
	if err != nil {
		o.t.Fatal(err)
	}
	for _, id := range open {
		if err := o.send(o.t.Context(), id); err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *office) send(ctx context.Context, id conversation.UUID) error {
	return jobs.SendReport(ctx, o.pool, o.sent, id, time.UTC, slog.New(slog.DiscardHandler), o.clock)
}

func (o *office) runs(x queries.Schedule) []queries.ReportRun {
	o.t.Helper()
	all, err := queries.RunsOf(o.t.Context(), o.pool, x.ID)
	if err != nil || len(all) == 0 {
		o.t.Fatalf("%d runs, %v", len(all), err)
	}
	return all
}

func (o *office) deliveries(x queries.Schedule) []queries.Delivery {
	o.t.Helper()
	all, err := queries.DeliveriesOf(o.t.Context(), o.pool, o.runs(x)[0].ID)
	if err != nil || len(all) == 0 {
		o.t.Fatalf("%d deliveries, %v", len(all), err)
	}
	return all
}

// parts reads a mail's parts, by content type and name.
func parts(t *testing.T, b []byte) (header mail.Header, all map[string][]byte) {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	all = map[string][]byte{}
	var read func(kind string, r io.Reader, encoding, name string)
	read = func(kind string, r io.Reader, encoding, name string) {
		media, params, err := mime.ParseMediaType(kind)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(media, "multipart/") {
			for in := multipart.NewReader(r, params["boundary"]); ; {
				p, err := in.NextRawPart()
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				read(p.Header.Get("Content-Type"), p, p.Header.Get("Content-Transfer-Encoding"), p.FileName())
			}
		}
		switch strings.ToLower(encoding) {
		case "quoted-printable":
			r = quotedprintable.NewReader(r)
		case "base64":
			r = base64.NewDecoder(base64.StdEncoding, r)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSpace(media+" "+name)] = body
	}
	read(msg.Header.Get("Content-Type"), msg.Body, msg.Header.Get("Content-Transfer-Encoding"), "")
	return msg.Header, all
}
