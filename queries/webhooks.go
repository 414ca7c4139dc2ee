package queries

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// Webhook is an address to which a platform sends, with the mapping that makes events of what comes.
type Webhook struct {
	ID          conversation.UUID
	Name        string
	Mapping     string // the file, in YAML
	Version     int32  // counted up with each change
	Secret      []byte // sealed; nil for none
	Assistant   string // of events that name none
	Always      bool   // of all events
	Environment string
	CreatedAt   time.Time
	ChangedAt   time.Time
	ChangedBy   string
	LastAt      *time.Time // when a body came last
}

const (
	webhookColumns = `select id, name, mapping, version, secret, assistant, always, environment, created_at, changed_at,
	changed_by, (select max(b.at) from webhook_bodies b where b.webhook_id = webhooks.id) as last_at from webhooks `
	webhooksSQL      = webhookColumns + `order by lower(name), id limit 500`
	webhookSQL       = webhookColumns + `where id = @id`
	insertWebhookSQL = `
insert into webhooks (id, name, mapping, version, secret, assistant, always, environment, created_at, changed_at,
	changed_by)
values (@id, @name, @mapping, 1, @secret, @assistant, @always, @environment, @now, @now, @by)`
	updateWebhookSQL = `
update webhooks
set name = @name, mapping = @mapping, version = version + 1, secret = coalesce(@secret::bytea, secret),
	assistant = @assistant, always = @always, environment = @environment, changed_at = @now, changed_by = @by
where id = @id and version = @version
returning version`
	deleteWebhookSQL       = `delete from webhooks where id = @id returning name`
	deleteWebhookBodiesSQL = `delete from webhook_bodies where webhook_id = @id`
	keepWebhookBodySQL     = `
insert into webhook_bodies (webhook_id, id, at, body, events, reason)
values (@webhook, @id, @at, @body, @events, @reason)
on conflict (webhook_id, id) do update
set at = excluded.at, events = excluded.events, reason = excluded.reason`
	trimWebhookBodiesSQL = `
delete from webhook_bodies
where webhook_id = @webhook and id not in (
	select id from webhook_bodies where webhook_id = @webhook order by at desc, id limit @most)`
	webhookBodiesSQL = `
select at, body, events, reason
from webhook_bodies
where webhook_id = @id
order by at desc, id
limit @most`
	expireWebhookBodiesSQL = `delete from webhook_bodies where at < @cutoff`
)

// MostWebhookBodies is how many of the last bodies of a webhook are kept.
const MostWebhookBodies = 20

// Webhooks returns all webhooks by name.
func Webhooks(ctx context.Context, db DB) ([]Webhook, error) {
	rows, _ := db.Query(ctx, webhooksSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Webhook])
}

// WebhookByID returns a webhook, or ErrNotFound.
func WebhookByID(ctx context.Context, db DB, id conversation.UUID) (Webhook, error) {
	rows, _ := db.Query(ctx, webhookSQL, pgx.StrictNamedArgs{"id": id})
	return One[Webhook](rows)
}

// AddWebhook stores a webhook; ErrConflict when another has the name.
func AddWebhook(ctx context.Context, db DB, w Webhook, now time.Time) error {
	_, err := db.Exec(ctx, insertWebhookSQL, pgx.StrictNamedArgs{
		"id": w.ID, "name": w.Name, "mapping": w.Mapping, "secret": w.Secret, "assistant": w.Assistant,
		"always": w.Always, "environment": w.Environment, "now": now, "by": w.ChangedBy,
	})
	return Unique(err)
}

// ChangeWebhook stores a webhook that was changed; a nil secret leaves the one there is. ErrConflict when somebody else
// changed it since, or another has the name.
func ChangeWebhook(ctx context.Context, db DB, w Webhook, now time.Time) error {
	rows, _ := db.Query(ctx, updateWebhookSQL, pgx.StrictNamedArgs{
		"id": w.ID, "name": w.Name, "mapping": w.Mapping, "version": w.Version, "secret": w.Secret,
		"assistant": w.Assistant, "always": w.Always, "environment": w.Environment, "now": now, "by": w.ChangedBy,
	})
	_, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int32])
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrConflict
	}
	return Unique(err)
}

// DropWebhook removes a webhook with the bodies that are kept of it; ErrNotFound when there is none.
func DropWebhook(ctx context.Context, tx pgx.Tx, id conversation.UUID) (name string, err error) {
	if _, err := tx.Exec(ctx, deleteWebhookBodiesSQL, pgx.StrictNamedArgs{"id": id}); err != nil {
		return "", err
	}
	rows, _ := tx.Query(ctx, deleteWebhookSQL, pgx.StrictNamedArgs{"id": id})
	if name, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string]); errors.Is(err, pgx.ErrNoRows) {
		return "", ErrNotFound
	}
	return name, err
}

// WebhookBody is one of the last bodies of a webhook.
type WebhookBody struct {
	At     time.Time
	Body   []byte
	Events int32
	Reason string // why it gave none
}

// KeepWebhookBody keeps one of the last bodies of a webhook.
func KeepWebhookBody(ctx context.Context, db DB, webhook, id conversation.UUID, b WebhookBody) error {
	var q pgx.Batch
	q.Queue(keepWebhookBodySQL, pgx.StrictNamedArgs{
		"webhook": webhook, "id": id, "at": b.At, "body": b.Body, "events": b.Events, "reason": b.Reason,
	})
	q.Queue(trimWebhookBodiesSQL, pgx.StrictNamedArgs{"webhook": webhook, "most": MostWebhookBodies})
	return db.SendBatch(ctx, &q).Close()
}

// WebhookBodies returns the last bodies of a webhook, the newest first.
func WebhookBodies(ctx context.Context, db Sight, webhook conversation.UUID) ([]WebhookBody, error) {
	rows, _ := db.Query(ctx, webhookBodiesSQL, pgx.StrictNamedArgs{"id": webhook, "most": MostWebhookBodies})
	return pgx.CollectRows(rows, pgx.RowToStructByName[WebhookBody])
}
