package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// LegalHold keeps conversations from being deleted.
type LegalHold struct {
	ID             conversation.UUID
	Assistant      string
	Person         string // id of a user or key of a sender
	ConversationID *conversation.UUID
	Reason         string
	CreatedAt      time.Time
	By             string
	ReleasedAt     *time.Time
	ReleasedBy     string
}

const (
	holdsSQL = `
select h.id, h.assistant, h.person, h.conversation_id, h.reason, h.created_at, coalesce(u.name, '') as by,
	h.released_at, coalesce(v.name, '') as released_by
from legal_holds h
left join accounts u on u.id = h.created_by
left join accounts v on v.id = h.released_by
order by h.released_at is not null, h.created_at desc
limit 200`
	insertHoldSQL = `
insert into legal_holds (id, assistant, person, conversation_id, reason, created_at, created_by)
values (@id, @assistant, @person, @conversation, @reason, @now, @by)`
	releaseHoldSQL = `update legal_holds set released_at = @now, released_by = @by
	where id = @id and released_at is null returning id`
)

// LegalHolds returns the holds, those in force first.
func LegalHolds(ctx context.Context, db DB) ([]LegalHold, error) {
	rows, _ := db.Query(ctx, holdsSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[LegalHold])
}

const knowsPersonSQL = `select exists (select from senders where sender_key = @person) or exists (select
	from conversations where user_id = @person and user_id <> '')`

// KnowsPerson tells whether there is somebody of that user id or sender's key.
func KnowsPerson(ctx context.Context, db DB, person string) (bool, error) {
	rows, _ := db.Query(ctx, knowsPersonSQL, pgx.StrictNamedArgs{"person": person})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
}

// AddLegalHold keeps a hold.
func AddLegalHold(ctx context.Context, db DB, h LegalHold, by conversation.UUID) error {
	var c any
	if h.ConversationID != nil {
		c = *h.ConversationID
	}
	_, err := db.Exec(ctx, insertHoldSQL, pgx.StrictNamedArgs{
		"id": h.ID, "assistant": h.Assistant, "person": h.Person, "conversation": c, "reason": h.Reason,
		"now": h.CreatedAt, "by": by,
	})
	return err
}

// ReleaseHold ends a hold, or returns ErrNotFound.
func ReleaseHold(ctx context.Context, db DB, id, by conversation.UUID, now time.Time) error {
	return Changed(ctx, db, releaseHoldSQL, pgx.StrictNamedArgs{"id": id, "by": by, "now": now})
}

// heldText tells whether a conversation, c, must be kept.
const heldText = `exists (
		select from legal_holds h
		where h.released_at is null
			and (h.conversation_id is null or h.conversation_id = c.id)
			and (h.assistant = '' or exists (select from assistants a where a.id = c.assistant_id
				and a.name = h.assistant))
			and (h.person = '' or h.person = c.user_id or exists (select from senders s where s.id = c.sender_id
				and s.sender_key = h.person)))`
