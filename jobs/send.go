package jobs

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/wneessen/go-mail"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
	"turnwise/secret"
)

// Secrets are what a schedule's target asks for, sealed as one.
type Secrets struct {
	Headers map[string]string `json:"headers,omitempty"` // of http
	Sign    string            `json:"sign,omitempty"`    // key of the signature
	Key     string            `json:"key,omitempty"`     // of s3
	URL     string            `json:"url,omitempty"`     // of a chat channel: who knows it may write there
}

// send hands the run to one recipient. An *metric.InputError is one that another try does not mend.
func (s *sending) send(ctx context.Context, d queries.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if s.byMail() {
		return s.sendMail(ctx, d)
	}
	var secrets Secrets
	text, err := s.Box.Open(s.schedule.Sealed, SecretPlace(s.schedule))
	if err != nil {
		text, err = s.Box.Open(s.schedule.Sealed, formerPlace(s.schedule))
	}
	if err != nil {
		return &metric.InputError{Field: "secret", Msg: err.Error()}
	}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &secrets); err != nil {
			return &metric.InputError{Field: "secret", Msg: "is broken; enter it again"}
		}
	}
	switch s.schedule.Destination {
	case "http":
		return s.post(ctx, secrets)
	case "chat":
		return s.say(ctx, secrets)
	case "folder":
		return s.put(ctx)
	case "s3":
		return s.upload(ctx, secrets)
	}
	return &metric.InputError{Field: "destination", Msg: "is one of mail, http, folder, s3, chat"}
}

// MailClient returns who hands mail over.
func MailClient(m queries.MailSettings, box *secret.Box) (*mail.Client, error) {
	password, err := box.Open(m.Sealed, m.Server())
	if err != nil {
		return nil, err
	}
	options := []mail.Option{
		mail.WithPort(m.Port), mail.WithTimeout(time.Minute), mail.WithTLSPolicy(mail.TLSMandatory),
	}
	switch m.Security {
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if m.User != "" {
		options = append(
			options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.User),
			mail.WithPassword(password),
		)
	}
	return mail.NewClient(m.Host, options...)
}

// MailTrouble says in words why a mail server could not be asked.
func MailTrouble(m queries.MailSettings, err error) error {
	var name *net.DNSError
	var dial *net.OpError
	switch {
	case errors.As(err, &name):
		return fmt.Errorf("no server of the name %s is known; check the name", m.Host)
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf(
			"%s does not answer on port %d; check name and port, and whether a firewall is between", m.Host, m.Port,
		)
	}
	return err
}

// NewMessage returns a mail to one address, with a header's values checked: none can begin another header.
func NewMessage(m queries.MailSettings, to, subject, id string, now time.Time) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.FromFormat(m.Sender, m.From); err != nil {
		return nil, &metric.InputError{Field: "from", Msg: err.Error()}
	}
	if err := msg.To(to); err != nil {
		return nil, &metric.InputError{Field: "recipient", Msg: err.Error()}
	}
	msg.Subject(strings.Join(strings.Fields(subject), " "))
	msg.SetDateWithValue(now)
	host := m.From[strings.LastIndexByte(m.From, '@')+1:]
	msg.SetMessageIDWithValue(id + "@" + host)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	return msg, nil
}

func (s *sending) sendMail(ctx context.Context, d queries.Delivery) error {
	if !s.hasMail {
		return errors.New("mail is not set up: an admin can do so under Admin, Mail")
	}
	client, err := MailClient(s.mail, s.Box)
	if err != nil {
		return err
	}
	var subject string
	of, _ := s.partOf(d.Recipient)
	for _, f := range s.run.Files {
		if f.Role == "text" && f.Of == of {
			subject = f.Name
		}
	}
	// The same run has the same id for the same recipient, so that a second copy is known as one.
	sum := sha256.Sum256([]byte(s.run.ID.String() + "\x00" + d.Recipient))
	msg, err := NewMessage(s.mail, d.Recipient, subject, "turnwise."+hex.EncodeToString(sum[:12]), s.run.CreatedAt)
	if err != nil {
		return err
	}
	leave := s.URL + "/unsubscribe/" + d.Token.String()
	if s.run.TestFor == "" {
		msg.SetGenHeader("List-Unsubscribe", "<"+leave+">")
		msg.SetGenHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	}
	if err := s.enclose(ctx, msg, of, leave); err != nil {
		return err
	}
	err = MailTrouble(s.mail, client.DialAndSendWithContext(ctx, msg))
	var refused *mail.SendError
	if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return &metric.InputError{Field: "mail server", Msg: err.Error()} // for good
	}
	return err
}

// enclose puts into a mail what was made for those of a part: its words, pictures and files.
func (s *sending) enclose(ctx context.Context, msg *mail.Msg, of, leave string) error {
	attached := sizeOf(s.run.Files, of) <= attachMost
	for i, f := range s.run.Files {
		if f.Of != of {
			continue
		}
		switch f.Role {
		case "text", "html":
			text, err := s.text(ctx, i)
			if err != nil {
				return err
			}
			text = strings.ReplaceAll(text, report.Unsubscriber, leave)
			if f.Role == "text" {
				msg.SetBodyString(mail.TypeTextPlain, text)
			} else {
				msg.AddAlternativeString(mail.TypeTextHTML, text)
			}
		case "picture":
			if err := msg.EmbedReader(
				f.Name, s.content(ctx, i), mail.WithFileContentID(f.Name),
				mail.WithFileContentType(mail.ContentType(f.Kind)),
			); err != nil {
				return err
			}
		case "attachment":
			if !attached {
				continue
			}
			if err := msg.AttachReader(
				f.Name, s.content(ctx, i), mail.WithFileContentType(mail.ContentType(f.Kind)),
			); err != nil {
				return err
			}
		}
	}
	return nil
}

// form writes the files as parts named uploads, as warehouses expect them, and returns the boundary between them.
func (s *sending) form(ctx context.Context, w io.Writer, boundary string) (string, error) {
	parts := multipart.NewWriter(w)
	if boundary != "" {
		if err := parts.SetBoundary(boundary); err != nil {
			return "", err
		}
	}
	for i, f := range s.run.Files {
		if f.Role != "attachment" {
			continue
		}
		part, err := parts.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {`form-data; name="uploads"; filename="` + f.Name + `"`}, "Content-Type": {f.Kind},
		})
		if err == nil {
			_, err = io.Copy(part, s.content(ctx, i))
		}
		if err != nil {
			return "", err
		}
	}
	return parts.Boundary(), parts.Close()
}

// size counts what is written.
type size int64

func (n *size) Write(b []byte) (int, error) {
	*n += size(len(b))
	return len(b), nil
}

// post sends the files. They are written twice, first to sign and to count them: nothing is kept in memory, and no
// folder is needed.
func (s *sending) post(ctx context.Context, secrets Secrets) error {
	at := strconv.FormatInt(s.now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secrets.Sign))
	_, _ = io.WriteString(mac, at+".") // a hash takes everything
	var length size
	boundary, err := s.form(ctx, io.MultiWriter(&length, mac), "")
	if err != nil {
		return err
	}
	body, to := io.Pipe()
	defer body.Close() // so that who writes ends
	go func() {
		_, err := s.form(ctx, to, boundary)
		to.CloseWithError(err)
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.schedule.Target.URL, body)
	if err != nil {
		return &metric.InputError{Field: "url", Msg: "is no address"}
	}
	req.ContentLength = int64(length)
	for name, value := range secrets.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	req.Header.Set("User-Agent", "Turnwise")
	req.Header.Set("Turnwise-Delivery", s.run.ID.String())
	if secrets.Sign != "" {
		req.Header.Set("Turnwise-Signature", "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
	}
	return s.request(req)
}

// request sends a request. What the same request would meet again is an *metric.InputError.
func (s *sending) request(req *http.Request) error {
	resp, err := s.Internal.client().Do(req)
	if err != nil {
		return s.unreached(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // what it says is not ours to keep
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		err := fmt.Errorf("%s answered %s", req.URL.Host, resp.Status)
		if code := resp.StatusCode; code >= 300 && code < 500 && code != http.StatusRequestTimeout &&
			code != http.StatusTooEarly && code != http.StatusTooManyRequests {
			return &metric.InputError{Field: "server", Msg: err.Error()} // the same again gets the same answer
		}
		return err
	}
	return nil
}

// unreached tells people why in few words, and the log in all.
func (s *sending) unreached(err error) error {
	plain := unreachable(err)
	s.log.Warn("a report was not delivered", "run", s.run.ID.String(), "error", withoutAddress(err))
	return plain
}

// withoutAddress leaves out the address, which may hold a secret.
func withoutAddress(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// put writes the files into a folder: each whole or not at all, a second time over the first.
func (s *sending) put(ctx context.Context) error {
	if s.Folder == "" {
		return &metric.InputError{Field: "folder", Msg: "cannot be used: start the server with --report-folder"}
	}
	root, err := os.OpenRoot(s.Folder)
	if err != nil {
		return err
	}
	defer root.Close()
	dir := filepath.FromSlash(path.Clean("/" + s.schedule.Target.Folder))[1:]
	if dir != "" {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for i, f := range s.run.Files {
		if f.Role != "attachment" {
			continue
		}
		name := filepath.Join(dir, f.Name)
		out, err := root.Create(name + ".partial")
		if err != nil {
			return err
		}
		_, err = io.Copy(out, s.content(ctx, i))
		if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
			_ = root.Remove(name + ".partial") // the first error says more
			return err
		}
		if err := root.Rename(name+".partial", name); err != nil {
			return err
		}
	}
	return nil
}

// upload puts the files into a bucket.
func (s *sending) upload(ctx context.Context, secrets Secrets) error {
	t := s.schedule.Target
	u, err := url.Parse(t.URL)
	if err != nil {
		return &metric.InputError{Field: "url", Msg: "is no address"}
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(t.Key, secrets.Key, ""), Secure: u.Scheme == "https", Region: t.Region,
		Transport: s.Internal.transport(), MaxRetries: 1,
	})
	if err != nil {
		return &metric.InputError{Field: "url", Msg: err.Error()}
	}
	for i, f := range s.run.Files {
		if f.Role != "attachment" {
			continue
		}
		if _, err := client.PutObject(
			ctx, t.Bucket, path.Join(t.Prefix, f.Name), s.content(ctx, i), f.Size,
			minio.PutObjectOptions{ContentType: f.Kind},
		); err != nil {
			return s.unreached(err)
		}
	}
	return nil
}
