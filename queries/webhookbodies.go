package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// WebhookBody is what came to a webhook once.
type WebhookBody struct {
	ID      conversation.UUID
	Webhook conversation.UUID `db:"webhook_id"`
	Seq     int64             // in order of their coming
	At      time.Time
	Version int32 // of the webhook, that mapped it
	Whole   bool  // nothing of it is masked
	Events  int32
	Reason  string // why it gave none
	Body    []byte
}

const (
	webhookBodyColumns = `select id, webhook_id, seq, at, version, whole, events, reason, body from webhook_bodies `
	// What came before keeps its version: by that its events were made.
	insertWebhookBodySQL = `
insert into webhook_bodies (id, webhook_id, at, version, whole, body)
values (@id, @webhook, @at, @version, @whole, @body)
on conflict (id) do update
set at = excluded.at`
	mappedWebhookBodySQL = `
update webhook_bodies
set mapped = true, version = coalesce(nullif(@version, 0), version), events = @events, reason = @reason,
	people = (select coalesce(array_agg(distinct p), '{}') from unnest(people || @people::bigint[]) p)
where id = @id`
	// The conversations that are current at times of senders.
	conversationsAroundSQL = `
select count(distinct c.id)
from unnest(@senders::bigint[], @ats::bigint[]) as k (sender_id, at)
cross join lateral (
	select c.id
	from conversations c
	where c.sender_id = k.sender_id
		and c.started_at <= timestamptz 'epoch' + k.at * interval '1 microsecond'
	order by c.started_at desc
	limit 1
) c`
	lastWebhookBodiesSQL    = webhookBodyColumns + `where webhook_id = @id order by seq desc limit @most`
	webhookBodiesAfterSQL   = webhookBodyColumns + `where webhook_id = @id and seq > @after order by seq limit @most`
	waitingWebhookBodiesSQL = webhookBodyColumns + `where not mapped and at < @before order by at limit @most`
	countWebhookBodiesSQL   = `
select count(*) as kept, count(*) filter (where events = 0 and reason = '' and mapped) as ignored,
	count(*) filter (where reason <> '') as failed,
	count(*) filter (where not whole) as masked, count(*) filter (where whole and version < @version) as earlier
from (select events, reason, mapped, whole, version from webhook_bodies where webhook_id = @id limit @most) b`
	deleteWebhookBodiesSQL = `delete from webhook_bodies where webhook_id = @id`
	expireWebhookBodiesSQL = `delete from webhook_bodies where at < @cutoff`
	// Of what gave nothing it is not known of whom it is.
	eraseWebhookBodiesSQL = `
delete from webhook_bodies
where mapped and people = '{}' or people && @people::bigint[]`
	eraseNamedWebhookBodiesSQL = `
delete from webhook_bodies
where position(convert_to(@id, 'UTF8') in body) > 0`
	webhookTextsSQL = `
select id, body
from webhook_bodies
where id > @after
order by id
limit 50
for update`
	writeWebhookSQL = `
update webhook_bodies t
set body = k.body, whole = false
from unnest(@ids::uuid[], @bodies::bytea[]) as k (id, body)
where t.id = k.id`
)

// PersonHash stands for a sender in what is kept of webhooks, whatever its assistant is called.
func PersonHash(senderKey string) int64 { return conversation.SenderID("", senderKey) }

// KeepWebhookBody keeps a body that is not mapped yet.
func KeepWebhookBody(ctx context.Context, db DB, b WebhookBody) error {
	_, err := db.Exec(ctx, insertWebhookBodySQL, pgx.StrictNamedArgs{
		"id": b.ID, "webhook": b.Webhook, "at": b.At, "version": b.Version, "whole": b.Whole, "body": b.Body,
	})
	return err
}

// WebhookBodyMapped notes what a body gave: so many events, of these people, or why none. version is that of the webhook
// which mapped it again; 0 where it is mapped by the one with which it came.
func WebhookBodyMapped(
	ctx context.Context, db DB, id conversation.UUID, version, events int32, reason string, people []int64,
) error {
	_, err := db.Exec(ctx, mappedWebhookBodySQL, pgx.StrictNamedArgs{
		"id": id, "version": version, "events": events, "reason": reason, "people": people,
	})
	return err
}

// LastWebhookBodies returns the last bodies of a webhook, the newest first.
func LastWebhookBodies(ctx context.Context, db Sight, webhook conversation.UUID, most int) ([]WebhookBody, error) {
	rows, _ := db.Query(ctx, lastWebhookBodiesSQL, pgx.StrictNamedArgs{"id": webhook, "most": most})
	return pgx.CollectRows(rows, pgx.RowToStructByName[WebhookBody])
}

// WebhookBodiesAfter returns the bodies of a webhook that came behind one, in order.
func WebhookBodiesAfter(
	ctx context.Context, db DB, webhook conversation.UUID, after int64, most int,
) ([]WebhookBody, error) {
	rows, _ := db.Query(ctx, webhookBodiesAfterSQL, pgx.StrictNamedArgs{"id": webhook, "after": after, "most": most})
	return pgx.CollectRows(rows, pgx.RowToStructByName[WebhookBody])
}

// WaitingWebhookBodies returns bodies that came before a time and are not mapped: whoever took them was stopped.
func WaitingWebhookBodies(ctx context.Context, db DB, before time.Time, most int) ([]WebhookBody, error) {
	rows, _ := db.Query(ctx, waitingWebhookBodiesSQL, pgx.StrictNamedArgs{"before": before, "most": most})
	return pgx.CollectRows(rows, pgx.RowToStructByName[WebhookBody])
}

// WebhookCounts are what is kept of a webhook.
type WebhookCounts struct {
	Kept    int64 // at most MostCounted are counted
	Ignored int64 // they gave nothing
	Failed  int64
	Masked  int64 // so that they cannot be mapped again
	Earlier int64 // mapped by an earlier version, and can be mapped again
}

// MostCounted bounds WebhookCounts.
const MostCounted = 100_000

// CountWebhookBodies counts what is kept of a webhook that has a version.
func CountWebhookBodies(ctx context.Context, db DB, webhook conversation.UUID, version int32) (WebhookCounts, error) {
	rows, _ := db.Query(ctx, countWebhookBodiesSQL, pgx.StrictNamedArgs{
		"id": webhook, "version": version, "most": MostCounted,
	})
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[WebhookCounts])
}

// ConversationsAround counts the conversations that are current at times, in microseconds, of senders.
func ConversationsAround(ctx context.Context, db Sight, senders, ats []int64) (int64, error) {
	rows, _ := db.Query(ctx, conversationsAroundSQL, pgx.StrictNamedArgs{"senders": senders, "ats": ats})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}
