package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
)

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
