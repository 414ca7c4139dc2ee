package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
	"turnwise/queries"
	"turnwise/secret"
)

// WebhookSecrets are what an outgoing webhook keeps sealed.
type WebhookSecrets struct {
	Key     string            `json:"key"` // by which messages are signed: whsec_ and base64
	Former  []FormerKey       `json:"former,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// FormerKey is a key that messages are signed with too for a while.
type FormerKey struct {
	Key   string    `json:"key"`
	Until time.Time `json:"until"`
}

// Renew makes another key the one that messages are signed with.
func (s *WebhookSecrets) Renew(key string, now time.Time) {
	s.Former = slices.DeleteFunc(s.Former, func(f FormerKey) bool { return !now.Before(f.Until) })
	if s.Key != "" {
		s.Former = append(s.Former, FormerKey{s.Key, now.Add(FormerKeyLasts)})
	}
	s.Key, s.Former = key, s.Former[max(0, len(s.Former)-5):]
}

// FormerKeyLasts is how long messages are signed with the key before too, so that receivers can change theirs.
const FormerKeyLasts = 24 * time.Hour

// OutgoingPlace is what the secrets of a webhook are sealed for: another scheme, host or path cannot have them.
func OutgoingPlace(w queries.OutgoingWebhook) string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return "outgoing " + w.ID.String()
	}
	return "outgoing " + w.ID.String() + " " + u.Scheme + "://" + strings.ToLower(u.Host) + u.EscapedPath()
}

// OpenSecrets returns the secrets of a webhook.
func OpenSecrets(box *secret.Box, w queries.OutgoingWebhook) (s WebhookSecrets, err error) {
	text, err := box.Open(w.Secret, OutgoingPlace(w))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(text), &s)
}

// WebhookArgs asks for what is due to be sent to a webhook.
type WebhookArgs struct {
	ID string `json:"id" river:"unique"`
}

// Kind names the job.
func (WebhookArgs) Kind() string { return "webhook" }

// WebhookWorker sends to one webhook.
type WebhookWorker struct {
	river.WorkerDefaults[WebhookArgs]
	Reports
	pool *pgxpool.Pool
	log  *slog.Logger
	now  func() time.Time
}

// Bounds of what is sent to a webhook.
const (
	hookWait   = 20 * time.Second // for an answer
	hookAtOnce = 4
	hookBatch  = 20
	hookRun    = time.Minute                           // after which a job lets others begin
	hookLong   = (hookBatch/hookAtOnce + 1) * hookWait // that a batch takes at most
	hookLease  = hookLong + time.Minute                // after which somebody else sends what a process that ended was sending
)

// hookRetries are the waits after each attempt that failed; the last goes on.
var hookRetries = []time.Duration{
	10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour,
}

// Timeout bounds one run; the next goes on.
func (w *WebhookWorker) Timeout(*river.Job[WebhookArgs]) time.Duration { return hookRun + hookLong }

// Work sends.
func (w *WebhookWorker) Work(ctx context.Context, job *river.Job[WebhookArgs]) error {
	id, err := conversation.ParseUUID(job.Args.ID)
	if err != nil {
		return river.JobCancel(fmt.Errorf("webhook %q: %w", job.Args.ID, err))
	}
	return SendWebhook(ctx, w.pool, w.Reports, id, w.log, w.now)
}

// SendWebhook sends what is due to a webhook, until it takes nothing, or others should have their turn.
func SendWebhook(
	ctx context.Context, pool *pgxpool.Pool, r Reports, id conversation.UUID, log *slog.Logger, now func() time.Time,
) error {
	for end := now().Add(hookRun); now().Before(end); {
		hook, err := queries.HoldOutgoing(ctx, pool, id, now(), now().Add(hookLease))
		if errors.Is(err, queries.ErrNotFound) { // it is deleted, paused, failing, or another's
			return nil
		}
		if err != nil {
			return err
		}
		again, err := sendSome(ctx, pool, r, hook, log, now)
		if left := queries.LeaveOutgoing(context.WithoutCancel(ctx), pool, id); err == nil {
			err = left
		}
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// sendSome sends some of what is due to a webhook as it is now, and returns whether to go on.
func sendSome(
	ctx context.Context, pool *pgxpool.Pool, r Reports, hook queries.OutgoingWebhook, log *slog.Logger,
	now func() time.Time,
) (bool, error) {
	s := &telling{Reports: r, hook: hook, log: log, now: now}
	if s.secrets, s.broken = OpenSecrets(r.Box, hook); errors.Is(s.broken, secret.ErrNoKey) {
		return false, fmt.Errorf("webhook %s: %w", hook.ID, s.broken) // another process may have it
	}
	batch, err := queries.ClaimDeliveries(ctx, pool, hook, hookBatch, now(), now().Add(hookLease))
	if err != nil || len(batch) == 0 {
		return false, err
	}
	return s.sendAll(ctx, pool, batch)
}

// telling is a webhook that is being told.
type telling struct {
	Reports
	hook    queries.OutgoingWebhook
	secrets WebhookSecrets
	broken  error // why its secrets cannot be read
	log     *slog.Logger
	now     func() time.Time
}

// errGone says that an address wants nothing any more.
var errGone = errors.New("the address answered 410 Gone: it wants no more messages")

// concernsMessage tells whether an answer refuses this message, and not all of them.
func concernsMessage(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// attempt is how sending a message went.
type attempt struct {
	begun  bool
	status int
	after  time.Duration // for which the address wants to be left alone
	err    error
}

// sendAll sends deliveries, some at once, and notes how each went, and how the address stands, also when it is being
// stopped: what has left must not leave again. It returns whether the address takes more.
func (s *telling) sendAll(ctx context.Context, pool *pgxpool.Pool, batch []queries.OutgoingDelivery) (bool, error) {
	all := make([]attempt, len(batch))
	var g errgroup.Group
	g.SetLimit(hookAtOnce)
	for i, d := range batch {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err() // the lease ends by itself
			}
			begun := s.now()
			status, after, err := s.send(ctx, d)
			if err != nil && ctx.Err() != nil {
				return ctx.Err()
			}
			all[i] = attempt{true, status, after, err}
			noted, cancel := noting(ctx)
			defer cancel()
			return s.outcome(d, all[i], begun).Delivered(noted, pool)
		})
	}
	failed := g.Wait()
	noted, cancel := noting(ctx)
	defer cancel()
	took, refused, after := false, false, time.Duration(0)
	for _, a := range all {
		switch {
		case !a.begun:
		case errors.Is(a.err, errGone):
			return false, errors.Join(failed, s.hook.Stop(noted, pool, errGone.Error()))
		case a.err == nil, concernsMessage(a.status): // it reads what comes
			took = true
		default:
			refused, after = true, max(after, a.after)
		}
	}
	if took {
		return failed == nil, errors.Join(failed, s.hook.Works(noted, pool, s.now()))
	}
	if refused {
		return false, errors.Join(failed, s.hook.Failed(noted, pool, after, s.now()))
	}
	return failed == nil, failed
}

// noting is for what must be stored though all else is being stopped.
func noting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

// outcome is the delivery after an attempt.
func (s *telling) outcome(d queries.OutgoingDelivery, a attempt, begun time.Time) queries.OutgoingDelivery {
	at := s.now()
	ms := int32(at.Sub(begun).Milliseconds())
	d.State, d.Error, d.RetryAt, d.Status, d.TookMS, d.SentAt = "sent", "", nil, nil, &ms, &at
	if a.status > 0 {
		code := int16(a.status)
		d.Status = &code
	}
	if a.err != nil {
		next := at.Add(max(hookRetries[min(int(d.Attempts)-1, len(hookRetries)-1)], a.after))
		d.SentAt, d.Error, d.State, d.RetryAt = nil, a.err.Error(), "waiting", &next
		if !d.GiveUpAt.After(at) {
			d.State, d.RetryAt = "failed", nil
		}
	}
	return d
}

// send sends a message once. after is how long the address wants to be left alone.
func (s *telling) send(ctx context.Context, d queries.OutgoingDelivery) (status int, after time.Duration, err error) {
	if s.broken != nil {
		return 0, 0, errors.New("the webhook's key cannot be read, as the server's has changed: make a new one")
	}
	ctx, cancel := context.WithTimeout(ctx, hookWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.hook.URL, bytes.NewReader([]byte(d.Body)))
	if err != nil {
		return 0, 0, errors.New("it is no address")
	}
	for name, value := range s.secrets.Headers {
		req.Header.Set(name, value)
	}
	at := s.now()
	signed, err := s.sign(d, at)
	if err != nil {
		return 0, 0, errors.New("its key is no key; make a new one")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Turnwise")
	req.Header.Set(standardwebhooks.HeaderWebhookID, d.ID.String())
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signed)
	resp, err := s.Internal.client().Do(req)
	if err != nil {
		s.log.WarnContext(ctx, "a webhook was not told", "webhook", s.hook.ID.String(), "error", withoutAddress(err))
		return 0, 0, unreachable(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // what it says is not ours to keep
	switch code := resp.StatusCode; {
	case code >= 200 && code <= 299:
		return code, 0, nil
	case code == http.StatusGone:
		return code, 0, errGone
	default:
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			after = min(time.Duration(n)*time.Second, time.Hour)
		}
		return code, after, fmt.Errorf("the address answered %d %s", code, http.StatusText(code))
	}
}

// sign signs a message with the key, and with the one before it for a while.
func (s *telling) sign(d queries.OutgoingDelivery, at time.Time) (string, error) {
	keys := []string{s.secrets.Key}
	for _, f := range s.secrets.Former {
		if at.Before(f.Until) {
			keys = append(keys, f.Key)
		}
	}
	var all []string
	for _, key := range keys {
		w, err := standardwebhooks.NewWebhook(key)
		if err != nil {
			return "", err
		}
		one, err := w.Sign(d.ID.String(), at, []byte(d.Body))
		if err != nil {
			return "", err
		}
		all = append(all, one)
	}
	return strings.Join(all, " "), nil
}
