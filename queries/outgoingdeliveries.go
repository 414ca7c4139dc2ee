package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// OutgoingDelivery is a message to an outgoing webhook.
type OutgoingDelivery struct {
	WebhookID      conversation.UUID
	ID             conversation.UUID
	Event          string
	SenderID       *int64
	ConversationID *conversation.UUID
	ActID          *conversation.UUID
	HappenedAt     time.Time
	State          string // new, waiting, sent, failed, dropped
	Attempts       int32
	RetryAt        *time.Time
	GiveUpAt       time.Time
	Status         *int16 // of HTTP, as the address answered last
	TookMS         *int32
	Error          string
	Body           string
	CreatedAt      time.Time
	SentAt         *time.Time
}

const outgoingDeliveryColumns = `
select webhook_id, id, event, sender_id, conversation_id, act_id, happened_at, state, attempts, retry_at, give_up_at,
	status, took_ms, error, body, created_at, sent_at
from outgoing_deliveries
`

const (
	newDeliveriesSQL = outgoingDeliveryColumns +
		`where state = 'new' and webhook_id = @webhook order by created_at, id limit @limit for update skip locked`
	newWebhooksSQL       = `select distinct webhook_id from outgoing_deliveries where state = 'new'`
	prepareDeliveriesSQL = `
update outgoing_deliveries d
set state = 'waiting', body = k.body, retry_at = @now
from unnest(@ids::uuid[], @bodies::text[]) as k (id, body)
where d.webhook_id = @webhook and d.id = k.id and d.state = 'new'`
	leaveDeliveriesSQL = `update outgoing_deliveries set state = 'dropped'
where webhook_id = @webhook and id = any(@ids::uuid[]) and state = 'new'`
	dropDeliveriesSQL = `delete from outgoing_deliveries where webhook_id = @webhook and id = any(@ids::uuid[]) and state = 'new'`
	dueWebhooksSQL    = `
select w.id
from outgoing_webhooks w
where w.active_since is not null and (w.retry_at is null or w.retry_at <= @now)
	and (w.held_until is null or w.held_until <= @now)
	and exists (select from outgoing_deliveries d
		where d.webhook_id = w.id and d.state = 'waiting' and (w.failing_since is not null or d.retry_at <= @now))
order by w.id`
	holdOutgoingSQL = `
update outgoing_webhooks
set held_until = @until
where id = @id and active_since is not null and (held_until is null or held_until <= @now)
	and (retry_at is null or retry_at <= @now)
returning id, name, url, events, query, secret, headers, active_since, failing_since, retry_at, paused_because, revision,
	changed_at, changed_by`
	leaveOutgoingSQL   = `update outgoing_webhooks set held_until = null where id = @id`
	claimDeliveriesSQL = `
with due as (
	select webhook_id, id
	from outgoing_deliveries
	where webhook_id = @webhook and state = 'waiting' and (@any::boolean or retry_at <= @now)
	order by retry_at, happened_at, id
	limit @limit
	for update skip locked
)
update outgoing_deliveries d
set attempts = d.attempts + 1, retry_at = @lease
from due
where d.webhook_id = due.webhook_id and d.id = due.id
returning d.webhook_id, d.id, d.event, d.sender_id, d.conversation_id, d.act_id, d.happened_at, d.state, d.attempts,
	d.retry_at, d.give_up_at, d.status, d.took_ms, d.error, d.body, d.created_at, d.sent_at`
	deliveredOutgoingSQL = `
update outgoing_deliveries
set state = @state, status = @status, took_ms = @took, error = @error, retry_at = @retry, sent_at = @sent
where webhook_id = @webhook and id = @id`
	outgoingFailedSQL = `
update outgoing_webhooks
set failures = failures + 1, failing_since = coalesce(failing_since, @now),
	retry_at = @now::timestamptz + greatest(@after::interval,
		least(interval '10 seconds' * power(2, least(failures, 10)), interval '5 minutes'))
where id = @id and active_since is not null and revision = @revision`
	outgoingWorksSQL = `
with working as (
	update outgoing_webhooks set failures = 0, failing_since = null, retry_at = null
	where id = @id and failing_since is not null
	returning id
)
update outgoing_deliveries d
set retry_at = @now
from working w
where d.webhook_id = w.id and d.state = 'waiting' and d.retry_at > @now
	and (d.status is null or d.status not in (400, 409, 413, 415, 422, 429)) -- these answers concern the message`
	retryOutgoingSQL = `
update outgoing_deliveries
set state = 'waiting', retry_at = @now, attempts = 0, give_up_at = @give_up
where webhook_id = @webhook and state = 'failed' and (@id::uuid is null or id = @id)`
	outgoingLogSQL = outgoingDeliveryColumns + `
where webhook_id = @webhook and state not in ('new', 'dropped') and (@state = '' or state = @state)
	and (@at::timestamptz is null or (created_at, id) < (@at, @after::uuid))
order by created_at desc, id desc
limit @limit`
	giveUpSQL = `
update outgoing_deliveries
set state = 'failed', retry_at = null,
	error = case error when '' then 'it was not sent in time, as the webhook was paused or failing' else error end
where (webhook_id, id) in (select webhook_id, id from outgoing_deliveries
	where state = 'waiting' and give_up_at <= @now order by give_up_at limit 5000)`
	forgetDeliveriesSQL = `delete from outgoing_deliveries where created_at < @before and state in ('sent', 'failed', 'dropped')`
)

// WebhooksNew returns the webhooks that have deliveries which are not yet held against their filter.
func WebhooksNew(ctx context.Context, db DB) ([]conversation.UUID, error) {
	rows, _ := db.Query(ctx, newWebhooksSQL)
	return pgx.CollectRows(rows, pgx.RowTo[conversation.UUID])
}

// NewDeliveries takes deliveries of a webhook that are not yet held against its filter.
func NewDeliveries(ctx context.Context, tx pgx.Tx, webhook conversation.UUID, limit int) ([]OutgoingDelivery, error) {
	rows, _ := tx.Query(ctx, newDeliveriesSQL, pgx.StrictNamedArgs{"webhook": webhook, "limit": limit})
	return pgx.CollectRows(rows, pgx.RowToStructByName[OutgoingDelivery])
}

// Prepared is what is made of a delivery. One that the filter leaves out is kept without a body, so that it is not judged
// again by what is known of the conversation later; one whose conversation went on is forgotten, as that ends again.
type Prepared struct {
	ID   conversation.UUID
	Body string // "" for one that is not sent
	Over bool   // of one that is not sent: it did happen
}

// PrepareDeliveries has deliveries of a webhook sent, or not.
func PrepareDeliveries(
	ctx context.Context, tx pgx.Tx, webhook conversation.UUID, all []Prepared, now time.Time,
) error {
	var ids, left, dropped [][16]byte
	var texts []string
	for _, p := range all {
		switch {
		case p.Body != "":
			ids, texts = append(ids, p.ID), append(texts, p.Body)
		case p.Over:
			left = append(left, p.ID)
		default:
			dropped = append(dropped, p.ID)
		}
	}
	for sql, of := range map[string][][16]byte{leaveDeliveriesSQL: left, dropDeliveriesSQL: dropped} {
		if _, err := tx.Exec(ctx, sql, pgx.StrictNamedArgs{"webhook": webhook, "ids": of}); err != nil {
			return fmt.Errorf("drop deliveries: %w", err)
		}
	}
	_, err := tx.Exec(ctx, prepareDeliveriesSQL, pgx.StrictNamedArgs{
		"webhook": webhook, "ids": ids, "bodies": texts, "now": now,
	})
	return err
}

const addDeliverySQL = `
insert into outgoing_deliveries (webhook_id, id, event, happened_at, state, retry_at, body, give_up_at, created_at)
values (@webhook, @id, @event, @now, 'waiting', 'epoch', @body, @give_up, @now) -- before all others`

// AddDelivery has a message sent that is about no conversation.
func AddDelivery(ctx context.Context, db DB, d OutgoingDelivery, now time.Time) error {
	_, err := db.Exec(ctx, addDeliverySQL, pgx.StrictNamedArgs{
		"webhook": d.WebhookID, "id": d.ID, "event": d.Event, "body": d.Body, "give_up": now.Add(GivesUpAfter), "now": now,
	})
	return err
}

// WebhooksDue returns the webhooks to which something is to be sent now.
func WebhooksDue(ctx context.Context, db DB, now time.Time) ([]conversation.UUID, error) {
	rows, _ := db.Query(ctx, dueWebhooksSQL, pgx.StrictNamedArgs{"now": now})
	return pgx.CollectRows(rows, pgx.RowTo[conversation.UUID])
}

// HoldOutgoing has nobody else send to a webhook for a while, and returns it. ErrNotFound says that somebody does, or that
// nobody should: it is paused or to be left alone.
func HoldOutgoing(ctx context.Context, db DB, id conversation.UUID, now, until time.Time) (OutgoingWebhook, error) {
	rows, _ := db.Query(ctx, holdOutgoingSQL, pgx.StrictNamedArgs{"id": id, "now": now, "until": until})
	return One[OutgoingWebhook](rows)
}

// LeaveOutgoing lets others send to it.
func LeaveOutgoing(ctx context.Context, db DB, id conversation.UUID) error {
	_, err := db.Exec(ctx, leaveOutgoingSQL, pgx.StrictNamedArgs{"id": id})
	return err
}

// ClaimDeliveries takes deliveries to a webhook that are due; until lease nobody else does. Of one that fails it takes one,
// due or not, to see whether it works again.
func ClaimDeliveries(
	ctx context.Context, db DB, webhook OutgoingWebhook, limit int, now, lease time.Time,
) ([]OutgoingDelivery, error) {
	failing := webhook.FailingSince != nil
	if failing {
		limit = 1
	}
	rows, _ := db.Query(ctx, claimDeliveriesSQL, pgx.StrictNamedArgs{
		"webhook": webhook.ID, "limit": limit, "any": failing, "now": now, "lease": lease,
	})
	return pgx.CollectRows(rows, pgx.RowToStructByName[OutgoingDelivery])
}

// Delivered notes how an attempt went.
func (d OutgoingDelivery) Delivered(ctx context.Context, db DB) error {
	_, err := db.Exec(ctx, deliveredOutgoingSQL, pgx.StrictNamedArgs{
		"webhook": d.WebhookID, "id": d.ID, "state": d.State, "status": d.Status, "took": d.TookMS, "error": d.Error,
		"retry": d.RetryAt, "sent": d.SentAt,
	})
	return err
}

// Failed notes that the address took nothing: it is left alone for a while, longer each time, and as long as it says.
func (w OutgoingWebhook) Failed(ctx context.Context, db DB, after time.Duration, now time.Time) error {
	_, err := db.Exec(ctx, outgoingFailedSQL, pgx.StrictNamedArgs{
		"id": w.ID, "revision": w.Revision, "after": after, "now": now,
	})
	return err
}

// Works notes that the address takes messages; what waited because it did not is due now.
func (w OutgoingWebhook) Works(ctx context.Context, db DB, now time.Time) error {
	_, err := db.Exec(ctx, outgoingWorksSQL, pgx.StrictNamedArgs{"id": w.ID, "now": now})
	return err
}

// RetryOutgoing has deliveries that failed sent again: one, or, if it is zero, all of a webhook.
func RetryOutgoing(ctx context.Context, db DB, webhook, id conversation.UUID, now time.Time) error {
	_, err := db.Exec(ctx, retryOutgoingSQL, pgx.StrictNamedArgs{
		"webhook": webhook, "id": NullUUID(id), "give_up": now.Add(GivesUpAfter), "now": now,
	})
	return err
}

// OutgoingLog returns deliveries to a webhook, the newest first, from behind a place on: all, or those of a state.
func OutgoingLog(
	ctx context.Context, db DB, webhook conversation.UUID, state string, at *time.Time, after conversation.UUID, limit int,
) ([]OutgoingDelivery, error) {
	rows, _ := db.Query(ctx, outgoingLogSQL, pgx.StrictNamedArgs{
		"webhook": webhook, "state": state, "at": at, "after": after, "limit": limit,
	})
	return pgx.CollectRows(rows, pgx.RowToStructByName[OutgoingDelivery])
}

// ForgetDeliveries gives up what was tried long enough, and deletes what is over and was found long ago.
func ForgetDeliveries(ctx context.Context, db DB, now time.Time) error {
	if _, err := db.Exec(ctx, giveUpSQL, pgx.StrictNamedArgs{"now": now}); err != nil {
		return err
	}
	_, err := db.Exec(ctx, forgetDeliveriesSQL, pgx.StrictNamedArgs{"before": now.Add(-OutgoingKept)})
	return err
}

const reviewsByActSQL = `
select a.id, u.name as by, a.became, a.at
from review_acts a
join accounts u on u.id = a.account_id
where a.id = any(@ids::uuid[]) and a.undone_at is null`

// ReviewAct is a review as an act made it.
type ReviewAct struct {
	ID     conversation.UUID
	By     string
	Became string
	At     time.Time
}

// ReviewActs returns acts by their ids, without those that were undone.
func ReviewActs(ctx context.Context, db DB, ids []conversation.UUID) (map[conversation.UUID]ReviewAct, error) {
	rows, _ := db.Query(ctx, reviewsByActSQL, pgx.StrictNamedArgs{"ids": UUIDs(ids)})
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[ReviewAct])
	of := make(map[conversation.UUID]ReviewAct, len(all))
	for _, a := range all {
		of[a.ID] = a
	}
	return of, err
}
