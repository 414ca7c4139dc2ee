package jobs

import (
	"bytes"
	"cmp"
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

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/sync/errgroup"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
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

// WebhooksArgs asks for what happened to be found, and told.
type WebhooksArgs struct{}

// Kind names the job.
func (WebhooksArgs) Kind() string { return "webhooks_due" }

// webhooksEvery is how often it is looked for what happened.
const webhooksEvery = 5 * time.Second

// WebhooksWorker finds what happened and has each webhook told.
type WebhooksWorker struct {
	river.WorkerDefaults[WebhooksArgs]
	pool *pgxpool.Pool
	site string
	zone *time.Location
	now  func() time.Time
}

// Timeout bounds one run; the next goes on.
func (w *WebhooksWorker) Timeout(*river.Job[WebhooksArgs]) time.Duration { return rollUpTimeout }

// Work finds what happened. A job for each webhook sends, so that none waits for another.
func (w *WebhooksWorker) Work(ctx context.Context, _ *river.Job[WebhooksArgs]) error {
	due, failed := PrepareWebhooks(ctx, w.pool, w.site, w.zone, w.now)
	client := river.ClientFromContext[pgx.Tx](ctx)
	for _, id := range due {
		opts := again(webhooksEvery)
		opts.Queue = webhookQueue
		if _, err := client.Insert(ctx, WebhookArgs{ID: id.String()}, opts); err != nil {
			return err
		}
	}
	return failed
}

// preparedAtOnce is how many messages are written in one transaction.
const preparedAtOnce = 500

// PrepareWebhooks finds what happened, writes the messages and returns the webhooks to which some are to be sent. One
// webhook whose messages cannot be written is left for the next time, and holds up no other.
func PrepareWebhooks(
	ctx context.Context, pool *pgxpool.Pool, site string, zone *time.Location, now func() time.Time,
) ([]conversation.UUID, error) {
	if err := queries.FindEnded(ctx, pool, now()); err != nil {
		return nil, err
	}
	fresh, err := queries.WebhooksNew(ctx, pool)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, id := range fresh {
		if err := prepareWebhook(ctx, pool, id, site, zone, now()); err != nil {
			failed = errors.Join(failed, fmt.Errorf("messages to webhook %s: %w", id, err))
		}
	}
	if err := queries.ForgetDeliveries(ctx, pool, now()); err != nil {
		return nil, err
	}
	due, err := queries.WebhooksDue(ctx, pool, now())
	return due, errors.Join(failed, err)
}

// prepareWebhook writes the messages to one webhook.
func prepareWebhook(
	ctx context.Context, pool *pgxpool.Pool, id conversation.UUID, site string, zone *time.Location, now time.Time,
) error {
	for n := preparedAtOnce; n == preparedAtOnce; {
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			hook, err := queries.OutgoingWebhookByID(ctx, tx, id)
			if errors.Is(err, queries.ErrNotFound) { // it was deleted, with its deliveries
				n = 0
				return nil
			}
			if err != nil {
				return err
			}
			fresh, err := queries.NewDeliveries(ctx, tx, id, preparedAtOnce)
			if err != nil {
				return err
			}
			n = len(fresh)
			written, err := writeMessages(ctx, pool, hook, fresh, site, zone, now)
			if err != nil {
				return err
			}
			return queries.PrepareDeliveries(ctx, tx, id, written, now)
		}); err != nil {
			return err
		}
	}
	return nil
}

// message is the body of a message, in the form of Standard Webhooks.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when it happened
	Data      any       `json:"data"`
}

// told is a conversation as webhooks are told of it: without what people wrote.
type told struct {
	dashboard.Conversation
	FirstText *string `json:"first_text,omitempty"` // hides that of the conversation
	Address   string  `json:"api"`                  // where programs read all of it
	Review    *review `json:"review,omitempty"`
}

// review is how somebody judged a conversation.
type review struct {
	By         string    `json:"by"`
	Rating     *int      `json:"rating"`
	ReviewedAt time.Time `json:"reviewed_at"`
}

// writeMessages writes the bodies of deliveries to a webhook. Some it is not to be told of: its filter leaves the
// conversation out, that went on since, or the review was taken back.
func writeMessages(
	ctx context.Context, pool *pgxpool.Pool, hook queries.OutgoingWebhook, all []queries.OutgoingDelivery, site string,
	zone *time.Location, now time.Time,
) ([]queries.Prepared, error) {
	out := make([]queries.Prepared, len(all))
	var ids []string
	var acts []conversation.UUID
	for i, d := range all {
		out[i] = queries.Prepared{ID: d.ID, Over: true}
		if d.ConversationID != nil {
			ids = append(ids, d.ConversationID.String())
		}
		if d.ActID != nil {
			acts = append(acts, *d.ActID)
		}
	}
	reviews, err := queries.ReviewActs(ctx, pool, acts)
	if err != nil {
		return nil, err
	}
	v := dashboard.NewViewer(pool, access.Account{Name: hook.Name, Role: "analytics_admin", IsToken: true}, zone, now)
	f, err := OutgoingFilter(ctx, v, hook.Query)
	var input *metric.InputError
	if errors.As(err, &input) { // it asks for what is no longer known: nothing is told, rather than too much
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	f.IDs = ids
	db, err := v.Shown(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := queries.Conversations(ctx, db, f, nil, true, len(ids), now, zone)
	if err != nil {
		return nil, err
	}
	facts, err := v.Conversations(ctx, rows, site)
	if err != nil {
		return nil, err
	}
	of := make(map[string]dashboard.Conversation, len(facts))
	for _, c := range facts {
		of[c.ID] = c
	}
	for i, d := range all {
		c, found := of[cmp.Or(d.ConversationID, new(conversation.UUID)).String()]
		if !found {
			continue
		}
		if d.Event == queries.EventEnded && !c.Ended {
			out[i].Over = false
			continue
		}
		t := told{Conversation: c, Address: site + "/api/v1/conversations/" + c.ID}
		if d.Event == queries.EventReviewed {
			act, done := reviews[*cmp.Or(d.ActID, new(conversation.UUID))]
			if !done {
				continue
			}
			t.Review = &review{By: act.By, ReviewedAt: act.At.In(zone)}
			if r := work.ParseReview(act.Became).Rating; r > 0 {
				t.Review.Rating = &r
			}
		}
		text, err := json.Marshal(message{d.Event, d.HappenedAt.UTC(), t})
		if err != nil {
			return nil, err
		}
		out[i].Body = string(text)
	}
	return out, nil
}

// OutgoingFilter reads the filter of a webhook: of conversations of all times, by what is known of them when they are
// told of.
func OutgoingFilter(ctx context.Context, v dashboard.Viewer, query string) (f metric.Filter, err error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return f, &metric.InputError{Field: "filter", Msg: "is no filter"}
	}
	if f, err = v.Filter(ctx, q); err != nil {
		return f, err
	}
	if f.Text != "" || f.ID != "" || len(f.IDs) > 0 {
		return f, &metric.InputError{Field: "filter", Msg: "asks for a text or for certain conversations: take that out"}
	}
	f.Range = metric.Range{Days: metric.MaxDays}
	return f, nil
}

// TestMessage is the body of a message that somebody asks for, to see whether it arrives.
func TestMessage(hook queries.OutgoingWebhook, now time.Time) string {
	text, _ := json.Marshal(message{queries.EventTest, now.UTC().Truncate(time.Millisecond), map[string]any{
		"webhook": hook.Name, "events": hook.Events,
	}}) // cannot fail
	return string(text)
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
