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
	Key         string            `json:"key"` // by which messages are signed: whsec_ and base64
	Former      string            `json:"former,omitempty"`
	FormerUntil time.Time         `json:"former_until,omitzero"`
	Headers     map[string]string `json:"headers,omitempty"`
}

// FormerKeyLasts is how long messages are signed with the key before too, so that receivers can change theirs.
const FormerKeyLasts = 24 * time.Hour

// OutgoingPlace is what the secrets of a webhook are sealed for: an address of another server cannot have them.
func OutgoingPlace(w queries.OutgoingWebhook) string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return "outgoing " + w.ID.String()
	}
	return "outgoing " + w.ID.String() + " " + u.Scheme + "://" + strings.ToLower(u.Host)
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
	due, err := PrepareWebhooks(ctx, w.pool, w.site, w.zone, w.now)
	if err != nil {
		return err
	}
	client := river.ClientFromContext[pgx.Tx](ctx)
	for _, id := range due {
		opts := again(webhooksEvery)
		opts.Queue = webhookQueue
		if _, err := client.Insert(ctx, WebhookArgs{ID: id.String()}, opts); err != nil {
			return err
		}
	}
	return nil
}

// preparedAtOnce is how many messages are written in one transaction.
const preparedAtOnce = 500

// PrepareWebhooks finds what happened, writes the messages and returns the webhooks to which some are to be sent.
func PrepareWebhooks(
	ctx context.Context, pool *pgxpool.Pool, site string, zone *time.Location, now func() time.Time,
) ([]conversation.UUID, error) {
	for more := true; more; {
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			more, err = queries.FindEnded(ctx, tx, now())
			return err
		}); err != nil {
			return nil, err
		}
	}
	for n := preparedAtOnce; n == preparedAtOnce; {
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			fresh, err := queries.NewDeliveries(ctx, tx, preparedAtOnce)
			if err != nil {
				return err
			}
			n = len(fresh)
			of := map[conversation.UUID][]queries.OutgoingDelivery{}
			for _, d := range fresh {
				of[d.WebhookID] = append(of[d.WebhookID], d)
			}
			for id, some := range of {
				hook, err := queries.OutgoingWebhookByID(ctx, tx, id)
				if err != nil {
					return err
				}
				bodies, err := writeMessages(ctx, pool, hook, some, site, zone, now())
				if err != nil {
					return err
				}
				if err := queries.PrepareDeliveries(ctx, tx, id, bodies, now()); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if err := queries.ForgetDeliveries(ctx, pool, now().Add(-queries.OutgoingKept)); err != nil {
		return nil, err
	}
	return queries.WebhooksDue(ctx, pool, now())
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

// writeMessages writes the bodies of deliveries to a webhook; "" of those that it is not to be told of: its filter leaves
// the conversation out, it went on since, or the review was taken back.
func writeMessages(
	ctx context.Context, pool *pgxpool.Pool, hook queries.OutgoingWebhook, all []queries.OutgoingDelivery, site string,
	zone *time.Location, now time.Time,
) (map[conversation.UUID]string, error) {
	bodies := make(map[conversation.UUID]string, len(all))
	var ids []string
	var acts []conversation.UUID
	for _, d := range all {
		bodies[d.ID] = ""
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
		return bodies, nil
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
	for _, d := range all {
		c, found := of[cmp.Or(d.ConversationID, new(conversation.UUID)).String()]
		if !found || d.Event == queries.EventEnded && !c.Ended {
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
		bodies[d.ID] = string(text)
	}
	return bodies, nil
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
	hookLease  = 2 * time.Minute  // after which somebody else sends what a process that ended was sending
	hookAtOnce = 4
	hookBatch  = 20
	hookRun    = time.Minute        // after which a job lets others begin
	hookGives  = 3 * 24 * time.Hour // after which a message has failed
)

// hookRetries are the waits after each attempt that failed; the last goes on.
var hookRetries = []time.Duration{
	10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour,
}

// Timeout bounds one run; the next goes on.
func (w *WebhookWorker) Timeout(*river.Job[WebhookArgs]) time.Duration { return hookRun + 2*hookWait }

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
	hook, err := queries.OutgoingWebhookByID(ctx, pool, id)
	if errors.Is(err, queries.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	secrets, err := OpenSecrets(r.Box, hook)
	if err != nil {
		return queries.PauseOutgoingWebhook(ctx, pool, id, "its secret cannot be read; save it with a new one")
	}
	s := &telling{Reports: r, hook: hook, secrets: secrets, log: log, now: now}
	for end := now().Add(hookRun); now().Before(end); {
		err := hook.Hold(ctx, pool, now(), now().Add(hookLease))
		if errors.Is(err, queries.ErrNotFound) { // it is paused, failing, or another's
			return nil
		}
		if err != nil {
			return err
		}
		batch, err := queries.ClaimDeliveries(ctx, pool, hook, hookBatch, now(), now().Add(hookLease))
		again := len(batch) > 0
		if err == nil && again {
			again, err = s.sendAll(ctx, pool, batch)
		}
		if left := queries.LeaveOutgoing(context.WithoutCancel(ctx), pool, id); err == nil {
			err = left
		}
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// telling is a webhook that is being told.
type telling struct {
	Reports
	hook    queries.OutgoingWebhook
	secrets WebhookSecrets
	log     *slog.Logger
	now     func() time.Time
}

// errGone says that an address wants nothing any more.
var errGone = errors.New("the address answered 410 Gone: it wants no more messages")

// sendAll sends deliveries, some at once, and notes how each went. It returns whether the address takes any.
func (s *telling) sendAll(ctx context.Context, pool *pgxpool.Pool, batch []queries.OutgoingDelivery) (bool, error) {
	took := make([]bool, len(batch))
	gone := make([]bool, len(batch))
	var g errgroup.Group
	g.SetLimit(hookAtOnce)
	for i, d := range batch {
		g.Go(func() error {
			begun := s.now()
			status, after, err := s.send(ctx, d)
			if err != nil && ctx.Err() != nil {
				return ctx.Err() // the lease ends by itself
			}
			took[i], gone[i] = err == nil, errors.Is(err, errGone)
			at := s.now()
			ms := int32(at.Sub(begun).Milliseconds())
			d.State, d.Error, d.RetryAt, d.Status, d.TookMS, d.SentAt = "sent", "", nil, nil, &ms, &at
			if status > 0 {
				code := int16(status)
				d.Status = &code
			}
			if err != nil {
				d.SentAt, d.Error, d.State = nil, err.Error(), "waiting"
				next := at.Add(max(hookRetries[min(int(d.Attempts)-1, len(hookRetries)-1)], after))
				if d.RetryAt = &next; at.Sub(d.CreatedAt) >= hookGives {
					d.State, d.RetryAt = "failed", nil
				}
			}
			// What has left must not leave again because the server is being stopped.
			noted, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return d.Delivered(noted, pool)
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	for i := range batch {
		if gone[i] {
			return false, queries.PauseOutgoingWebhook(ctx, pool, s.hook.ID, errGone.Error())
		}
	}
	for i := range batch {
		if took[i] {
			return true, queries.OutgoingWorks(ctx, pool, s.hook.ID, s.now())
		}
	}
	return false, queries.OutgoingFailed(ctx, pool, s.hook.ID, s.now())
}

// send sends a message once. after is how long the address wants to be left alone.
func (s *telling) send(ctx context.Context, d queries.OutgoingDelivery) (status int, after time.Duration, err error) {
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
	if s.secrets.Former != "" && at.Before(s.secrets.FormerUntil) {
		keys = append(keys, s.secrets.Former)
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
