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
	LastAt      *time.Time // when a new body came last, in lists
}

const (
	webhookColumns = `select id, name, mapping, version, secret, assistant, always, environment, created_at, changed_at,
	changed_by, `
	webhooksSQL = webhookColumns + `
	(select b.at from webhook_bodies b where b.webhook_id = webhooks.id order by b.seq desc limit 1) as last_at
from webhooks
order by lower(name), id
limit 500`
	webhookSQL       = webhookColumns + `null::timestamptz as last_at from webhooks where id = @id`
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
	deleteWebhookSQL        = `delete from webhooks where id = @id returning name`
	insertWebhookVersionSQL = `
insert into webhook_versions (webhook_id, version, mapping, assistant, always, environment)
values (@id, @version, @mapping, @assistant, @always, @environment)`
	webhookVersionsSQL = `
select version, mapping, assistant, always, environment
from webhook_versions
where webhook_id = @id`
	deleteWebhookVersionsSQL = `delete from webhook_versions where webhook_id = @id`
)

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
func AddWebhook(ctx context.Context, tx pgx.Tx, w Webhook, now time.Time) error {
	w.Version = 1
	if _, err := tx.Exec(ctx, insertWebhookSQL, pgx.StrictNamedArgs{
		"id": w.ID, "name": w.Name, "mapping": w.Mapping, "secret": w.Secret, "assistant": w.Assistant,
		"always": w.Always, "environment": w.Environment, "now": now, "by": w.ChangedBy,
	}); err != nil {
		return Unique(err)
	}
	return addWebhookVersion(ctx, tx, w)
}

// ChangeWebhook stores a webhook that was changed; a nil secret leaves the one there is. ErrConflict when somebody else
// changed it since, or another has the name.
func ChangeWebhook(ctx context.Context, tx pgx.Tx, w Webhook, now time.Time) error {
	rows, _ := tx.Query(ctx, updateWebhookSQL, pgx.StrictNamedArgs{
		"id": w.ID, "name": w.Name, "mapping": w.Mapping, "version": w.Version, "secret": w.Secret,
		"assistant": w.Assistant, "always": w.Always, "environment": w.Environment, "now": now, "by": w.ChangedBy,
	})
	var err error
	w.Version, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int32])
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrConflict
	}
	if err != nil {
		return Unique(err)
	}
	return addWebhookVersion(ctx, tx, w)
}

func addWebhookVersion(ctx context.Context, tx pgx.Tx, w Webhook) error {
	_, err := tx.Exec(ctx, insertWebhookVersionSQL, pgx.StrictNamedArgs{
		"id": w.ID, "version": w.Version, "mapping": w.Mapping, "assistant": w.Assistant, "always": w.Always,
		"environment": w.Environment,
	})
	return err
}

// WebhookVersion is what a version of a webhook says of how its bodies are mapped.
type WebhookVersion struct {
	Version     int32
	Mapping     string
	Assistant   string
	Always      bool
	Environment string
}

// Now is what a webhook says at present.
func (w Webhook) Now() WebhookVersion {
	return WebhookVersion{w.Version, w.Mapping, w.Assistant, w.Always, w.Environment}
}

// WebhookVersions returns all versions of a webhook.
func WebhookVersions(ctx context.Context, db DB, id conversation.UUID) ([]WebhookVersion, error) {
	rows, _ := db.Query(ctx, webhookVersionsSQL, pgx.StrictNamedArgs{"id": id})
	return pgx.CollectRows(rows, pgx.RowToStructByName[WebhookVersion])
}

// DropWebhook removes a webhook with the bodies that are kept of it; ErrNotFound when there is none.
func DropWebhook(ctx context.Context, tx pgx.Tx, id conversation.UUID) (name string, err error) {
	for _, sql := range []string{deleteWebhookBodiesSQL, deleteWebhookVersionsSQL} {
		if _, err := tx.Exec(ctx, sql, pgx.StrictNamedArgs{"id": id}); err != nil {
			return "", err
		}
	}
	rows, _ := tx.Query(ctx, deleteWebhookSQL, pgx.StrictNamedArgs{"id": id})
	if name, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string]); errors.Is(err, pgx.ErrNoRows) {
		return "", ErrNotFound
	}
	return name, err
}
