package queries

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// Events that outgoing webhooks are told of.
const (
	EventEnded    = "conversation.ended"
	EventReviewed = "conversation.reviewed"
	EventTest     = "test" // asked for on the page of a webhook
)

// OutgoingWebhook is an address that is told what happens to conversations.
type OutgoingWebhook struct {
	ID            conversation.UUID
	Name          string
	URL           string `db:"url"`
	Events        []string
	Query         string   // a filter; only its conversations are told of
	Secret        []byte   // sealed
	Headers       []string // names, whose values are secret
	ActiveSince   *time.Time
	FailingSince  *time.Time
	RetryAt       *time.Time
	PausedBecause string // by Turnwise; "": by people
	Revision      int32
	ChangedAt     time.Time
	ChangedBy     string
}

// OutgoingCounts tell how deliveries to a webhook stand.
type OutgoingCounts struct {
	ID              conversation.UUID
	Waiting, Failed int64
	LastSent        *time.Time // when one arrived last
}

const (
	outgoingColumns = `
select id, name, url, events, query, secret, headers, active_since, failing_since, retry_at, paused_because, revision,
	changed_at, changed_by
from outgoing_webhooks
`
	outgoingSQL       = outgoingColumns + `order by lower(name), id limit 500`
	outgoingByIDSQL   = outgoingColumns + `where id = @id`
	insertOutgoingSQL = `
insert into outgoing_webhooks (id, name, url, events, query, secret, headers, active_since, created_at, created_by,
	changed_at, changed_by)
values (@id, @name, @url, @events, @query, @secret, @headers, @now, @now, @by, @now, @by)`
	updateOutgoingSQL = `
update outgoing_webhooks
set name = @name, url = @url, query = @query, secret = @secret, headers = @headers, events = @events,
	active_since = case when 'conversation.ended' = any(@events::text[]) and not 'conversation.ended' = any(events)
		and active_since is not null then @now else active_since end, -- what ended before is not told
	retry_at = null, revision = revision + 1, changed_at = @now, changed_by = @by
where id = @id and revision = @revision
returning id`
	pauseOutgoingSQL = `
update outgoing_webhooks
set active_since = null, paused_because = @because, failures = 0, failing_since = null, retry_at = null,
	revision = revision + 1
where id = @id and active_since is not null and (@revision::integer = 0 or revision = @revision)
returning id`
	resumeOutgoingSQL = `
with resumed as (
	update outgoing_webhooks
	set active_since = @now, paused_because = '', failures = 0, failing_since = null, retry_at = null,
		revision = revision + 1
	where id = @id and active_since is null
	returning id
), due as (
	update outgoing_deliveries d set retry_at = @now from resumed r
	where d.webhook_id = r.id and d.state = 'waiting' and d.retry_at > @now
)
select id from resumed`
	tryOutgoingSQL    = `update outgoing_webhooks set retry_at = null where id = @id`
	outgoingCountsSQL = `
select w.id,
	(select count(*) from outgoing_deliveries x where x.webhook_id = w.id and x.state = 'waiting') as waiting,
	(select count(*) from outgoing_deliveries x where x.webhook_id = w.id and x.state = 'failed') as failed,
	(select x.sent_at from outgoing_deliveries x where x.webhook_id = w.id and x.state = 'sent'
		order by x.sent_at desc limit 1) as last_sent
from outgoing_webhooks w
where @id::uuid is null or w.id = @id`
	deleteOutgoingSQL = `delete from outgoing_webhooks where id = @id returning name`
)

// OutgoingWebhooks returns all by name.
func OutgoingWebhooks(ctx context.Context, db DB) ([]OutgoingWebhook, error) {
	rows, _ := db.Query(ctx, outgoingSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[OutgoingWebhook])
}

// OutgoingWebhookByID returns one, or ErrNotFound.
func OutgoingWebhookByID(ctx context.Context, db DB, id conversation.UUID) (OutgoingWebhook, error) {
	rows, _ := db.Query(ctx, outgoingByIDSQL, pgx.StrictNamedArgs{"id": id})
	return One[OutgoingWebhook](rows)
}

// CountOutgoing returns how deliveries stand, of all webhooks or, unless it is zero, of one.
func CountOutgoing(ctx context.Context, db DB, id conversation.UUID) (map[conversation.UUID]OutgoingCounts, error) {
	rows, _ := db.Query(ctx, outgoingCountsSQL, pgx.StrictNamedArgs{"id": NullUUID(id)})
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[OutgoingCounts])
	of := make(map[conversation.UUID]OutgoingCounts, len(all))
	for _, c := range all {
		of[c.ID] = c
	}
	return of, err
}

func (w OutgoingWebhook) args(now time.Time) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"id": w.ID, "name": w.Name, "url": w.URL, "events": w.Events, "query": w.Query, "secret": w.Secret,
		"headers": append([]string{}, w.Headers...), "now": now, "by": w.ChangedBy,
	}
}

// AddOutgoingWebhook keeps a new one, which is told what happens from now on; ErrConflict when another has the name.
func AddOutgoingWebhook(ctx context.Context, db DB, w OutgoingWebhook, now time.Time) error {
	_, err := db.Exec(ctx, insertOutgoingSQL, w.args(now))
	return Unique(err)
}

// ChangeOutgoingWebhook changes one; ErrConflict when another has the name, or somebody changed it meanwhile.
func ChangeOutgoingWebhook(ctx context.Context, db DB, w OutgoingWebhook, now time.Time) error {
	args := w.args(now)
	args["revision"] = w.Revision
	err := Changed(ctx, db, updateOutgoingSQL, args)
	if errors.Is(err, ErrNotFound) {
		return ErrConflict
	}
	return Unique(err)
}

// PauseOutgoingWebhook has nothing told any more; what waits goes on waiting.
func PauseOutgoingWebhook(ctx context.Context, db DB, id conversation.UUID) error {
	return Changed(ctx, db, pauseOutgoingSQL, pgx.StrictNamedArgs{"id": id, "revision": 0, "because": ""})
}

// Stop pauses it as the address wants, unless somebody changed it meanwhile.
func (w OutgoingWebhook) Stop(ctx context.Context, db DB, because string) error {
	err := Changed(ctx, db, pauseOutgoingSQL, pgx.StrictNamedArgs{"id": w.ID, "revision": w.Revision, "because": because})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// TryOutgoing lets a webhook that fails be tried at once.
func TryOutgoing(ctx context.Context, db DB, id conversation.UUID) error {
	_, err := db.Exec(ctx, tryOutgoingSQL, pgx.StrictNamedArgs{"id": id})
	return err
}

// ResumeOutgoingWebhook has it told what happens from now on, and what waited.
func ResumeOutgoingWebhook(ctx context.Context, db DB, id conversation.UUID, now time.Time) error {
	return Changed(ctx, db, resumeOutgoingSQL, pgx.StrictNamedArgs{"id": id, "now": now})
}

// DeleteOutgoingWebhook deletes one with its deliveries, and returns its name.
func DeleteOutgoingWebhook(ctx context.Context, db DB, id conversation.UUID) (string, error) {
	rows, _ := db.Query(ctx, deleteOutgoingSQL, pgx.StrictNamedArgs{"id": id})
	return only[string](rows)
}

// failingOutgoingSQL: an address that fails for an hour is no passing trouble.
const failingOutgoingSQL = `
select name
from outgoing_webhooks
where failing_since < @since or paused_because <> ''
order by name
limit 20`

// FailingOutgoingWebhooks names those that fail since before, or were given up.
func FailingOutgoingWebhooks(ctx context.Context, db DB, since time.Time) ([]string, error) {
	rows, _ := db.Query(ctx, failingOutgoingSQL, pgx.StrictNamedArgs{"since": since})
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
