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
where id = @id and (@was = 0 or version = @was)`
	// What came again of somebody who was erased meanwhile.
	dropErasedBodySQL = `
delete from webhook_bodies
where id = @id and exists (
	select
	from unnest(@senders::bigint[], @ats::bigint[]) as k (sender_id, at)
	join erased e on e.sender_id = k.sender_id and e.until >= timestamptz 'epoch' + k.at * interval '1 microsecond')`
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
	lastWebhookBodiesSQL = webhookBodyColumns + `
where id in (
	select x.id
	from (
		select id, sum(octet_length(body)) over (order by seq desc) - octet_length(body) as before
		from (
			select id, seq, body from webhook_bodies where webhook_id = @id and seq < @before order by seq desc limit @most
		) as few
	) as x
	where x.before < 8000000)
order by seq desc`
	webhookBodiesAfterSQL = webhookBodyColumns + `
where id in (
	select x.id
	from (
		select id, sum(octet_length(body)) over (order by seq) - octet_length(body) as before
		from (
			select id, seq, body from webhook_bodies where webhook_id = @id and seq > @after order by seq limit @most
		) as few
	) as x
	where x.before < 8000000)
order by seq`
	waitingWebhookBodySQL = webhookBodyColumns + `where not mapped and at < @before order by at limit 1`
	countWebhookBodiesSQL = `
select count(*) as kept, count(*) filter (where events = 0 and reason = '' and mapped) as ignored,
	count(*) filter (where reason <> '') as failed, count(*) filter (where not whole) as masked,
	(select count(*) from (select from webhook_bodies where webhook_id = @id and whole and version < @version limit @most) e) as earlier
from (select events, reason, mapped, whole from webhook_bodies where webhook_id = @id order by seq desc limit @most) b`
	deleteWebhookBodiesSQL = `delete from webhook_bodies where webhook_id = @id`
	expireWebhookBodiesSQL = `delete from webhook_bodies where at < @cutoff`
	eraseWebhookBodiesSQL  = `
delete from webhook_bodies
where people && @people::bigint[]`
	// Of what gave nothing, or gives nothing yet, it is not known of whom it is.
	eraseNamedWebhookBodiesSQL = `
delete from webhook_bodies
where people = '{}' and exists (
	select from unnest(@names::text[]) as n (name) where position(convert_to(n.name, 'UTF8') in body) > 0)`
	webhookTextsSQL = `
select id, body
from webhook_bodies
where id > @after
order by id
limit 50
for update`
	blankWebhookBodiesSQL = `update webhook_bodies set body = '', whole = false where whole or body <> ''`
	writeWebhookSQL       = `
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

// MappedBody is what a body gave.
type MappedBody struct {
	ID      conversation.UUID
	Was     int32 // the version with which it is expected to stand there; 0 for any
	Version int32 // of the webhook, that mapped it; 0 for the one with which it came
	Events  int32
	Reason  string  // why it gave none
	Senders []int64 // that its events are of, and when they were, in microseconds
	Ats     []int64
	People  []int64 // hashes of the senders
}

// WebhookBodyMapped notes what a body gave; what is of somebody who was erased goes. noted is false where another version
// mapped it meanwhile.
func WebhookBodyMapped(ctx context.Context, db DB, m MappedBody) (noted bool, err error) {
	tag, err := db.Exec(ctx, mappedWebhookBodySQL, pgx.StrictNamedArgs{
		"id": m.ID, "was": m.Was, "version": m.Version, "events": m.Events, "reason": m.Reason, "people": m.People,
	})
	if err != nil || len(m.Senders) == 0 {
		return err == nil && tag.RowsAffected() > 0, err
	}
	_, err = db.Exec(ctx, dropErasedBodySQL, pgx.StrictNamedArgs{"id": m.ID, "senders": m.Senders, "ats": m.Ats})
	return tag.RowsAffected() > 0, err
}

// LastWebhookBodies returns the bodies of a webhook before one, the last first: as many, or as fit into some megabytes.
func LastWebhookBodies(
	ctx context.Context, db Sight, webhook conversation.UUID, before int64, most int,
) ([]WebhookBody, error) {
	rows, _ := db.Query(ctx, lastWebhookBodiesSQL, pgx.StrictNamedArgs{"id": webhook, "before": before, "most": most})
	return pgx.CollectRows(rows, pgx.RowToStructByName[WebhookBody])
}

// WebhookBodiesAfter returns the bodies of a webhook behind one, in order: as many, or as fit into some megabytes.
func WebhookBodiesAfter(
	ctx context.Context, db DB, webhook conversation.UUID, after int64, most int,
) ([]WebhookBody, error) {
	rows, _ := db.Query(ctx, webhookBodiesAfterSQL, pgx.StrictNamedArgs{"id": webhook, "after": after, "most": most})
	return pgx.CollectRows(rows, pgx.RowToStructByName[WebhookBody])
}

// WaitingWebhookBody returns a body that came before a time and is not mapped, as whoever took it was stopped; ErrNotFound
// when there is none.
func WaitingWebhookBody(ctx context.Context, db DB, before time.Time) (WebhookBody, error) {
	rows, _ := db.Query(ctx, waitingWebhookBodySQL, pgx.StrictNamedArgs{"before": before})
	return One[WebhookBody](rows)
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
