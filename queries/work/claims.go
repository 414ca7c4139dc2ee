package work

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
)

// Item is a conversation of a queue.
type Item struct {
	QueueID      conversation.UUID
	Place        int32
	Why          string
	SenderID     int64
	ID           conversation.UUID
	ForAccount   *conversation.UUID
	ClaimedBy    *conversation.UUID
	ClaimedUntil *time.Time
	Ended        string
	Reason       string
}

// What a user may take: what is given to him or to nobody, and nobody else holds. It is materialized, as a join that
// asked again would take another one. freeText: given to nobody, or to somebody who no longer reviews.
const freeText = `not exists (select from accounts f where f.id = x.for_account and not f.disabled
	and f.role <> 'viewer' and coalesce(f.transcripts, true))`

const claimSQL = `
with k as materialized (
	select x.sender_id, x.conversation_id
	from queue_items x
	where x.queue_id = @queue and x.ended_at is null and (x.for_account = @user or ` + freeText + `)
		and exists (select from queues q where q.id = x.queue_id and q.closed_at is null)
		and (x.claimed_by is null or x.claimed_by = @user or x.claimed_until < @now)
		and exists (select from conversations c where c.sender_id = x.sender_id and c.id = x.conversation_id
			and (@limits::integer[] is null or c.assistant_id = any(@limits)))
	order by coalesce(x.claimed_by = @user and x.claimed_until >= @now, false) desc, x.for_account is null, x.place,
		x.sender_id
	limit 1
	for update of x skip locked
)
update queue_items i
set claimed_by = @user, claimed_at = case when i.claimed_by = @user and i.claimed_until >= @now then i.claimed_at
	else @now end, claimed_until = @until
from k
where i.queue_id = @queue and i.sender_id = k.sender_id and i.conversation_id = k.conversation_id
returning i.queue_id, i.place, i.why, i.sender_id, i.conversation_id as id, i.for_account, i.claimed_by,
	i.claimed_until, i.ended, i.reason`

// Claim gives a user the next item of a queue, for ClaimLasts, or again the one that he holds. ErrNotFound says that
// there is none.
func Claim(
	ctx context.Context, db queries.DB, queue, user conversation.UUID, limits []string, now time.Time,
) (Item, error) {
	rows, _ := db.Query(ctx, claimSQL, pgx.StrictNamedArgs{
		"queue": queue, "user": user, "now": now, "until": now.Add(ClaimLasts), "limits": queries.AssistantIDs(limits),
	})
	return queries.One[Item](rows)
}

const itemSQL = `
select queue_id, place, why, sender_id, conversation_id as id, for_account, claimed_by, claimed_until, ended, reason
from queue_items
where queue_id = @queue and sender_id = @sender and conversation_id = @conversation`

// ItemOf returns a queue's item, or ErrNotFound.
func ItemOf(ctx context.Context, db queries.DB, queue conversation.UUID, p queries.ConversationKey) (Item, error) {
	rows, _ := db.Query(ctx, itemSQL, pgx.StrictNamedArgs{"queue": queue, "sender": p.SenderID, "conversation": p.ID})
	return queries.One[Item](rows)
}

const keepClaimSQL = `
update queue_items
set claimed_until = @until
where queue_id = @queue and sender_id = @sender and conversation_id = @conversation and ended_at is null
	and claimed_by = @user and claimed_until >= @now`

// KeepClaim lets a user hold an item for longer, if it is still his.
func KeepClaim(
	ctx context.Context, db queries.DB, queue, user conversation.UUID, p queries.ConversationKey, now time.Time,
) error {
	_, err := db.Exec(ctx, keepClaimSQL, pgx.StrictNamedArgs{
		"queue": queue, "sender": p.SenderID, "conversation": p.ID, "user": user, "now": now,
		"until": now.Add(ClaimLasts),
	})
	return err
}

const (
	itemEndOfSQL = `
select ended || case when reason <> '' then ': ' || reason else '' end
from queue_items
where queue_id = @subject and sender_id = @sender and conversation_id = @conversation
for update`
	endItemSQL = `
update queue_items
set ended = @ended, reason = @reason, ended_at = @at, ended_by = @user
where queue_id = @subject and sender_id = @sender and conversation_id = @conversation`
	reopenItemSQL = `
update queue_items
set ended = '', reason = '', ended_at = null, ended_by = null, claimed_by = @user, claimed_at = @at,
	claimed_until = @until
where queue_id = @subject and sender_id = @sender and conversation_id = @conversation`
)

const mayEndSQL = `
select x.ended_at is null and (x.for_account = @user or ` + freeText +
	`) and (x.claimed_by is null or x.claimed_by = @user or x.claimed_until < @now)
from queue_items x
where x.queue_id = @queue and x.sender_id = @sender and x.conversation_id = @conversation
for update`

// MayEnd tells, and locks the item, whether a user may end it: nobody else holds or ended it.
func MayEnd(
	ctx context.Context, tx pgx.Tx, queue, user conversation.UUID, p queries.ConversationKey, now time.Time,
) (bool, error) {
	rows, _ := tx.Query(ctx, mayEndSQL, pgx.StrictNamedArgs{
		"queue": queue, "user": user, "sender": p.SenderID, "conversation": p.ID, "now": now,
	})
	may, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return may, err
}

const lastActSQL = `
select coalesce(a.batch, a.id) as id, a.kind, a.conversation_id, a.at, coalesce(t.name, '') as tag, a.was, a.became,
	(select q.subject from review_acts q where q.batch = a.batch and q.kind = 'queue' limit 1) as queue_id
from review_acts a
left join tags t on a.kind = 'tag' and t.id = a.subject
where a.account_id = @user and a.undone_at is null and a.at >= @since and (@conversation::uuid is null
	or a.conversation_id = @conversation)
	and not exists (select from bulk_runs b where b.id = a.batch)
order by a.n desc
limit 1`

// LastAct is what a user did last, which can be undone.
type LastAct struct {
	ID             conversation.UUID
	Kind           string
	ConversationID conversation.UUID
	At             time.Time
	Tag            string
	Was, Became    string
	QueueID        *conversation.UUID
}

// LastActOf returns what a user did last since a time, in one conversation or (zero) in any; or ErrNotFound.
func LastActOf(ctx context.Context, db queries.DB, user, in conversation.UUID, since time.Time) (LastAct, error) {
	rows, _ := db.Query(ctx, lastActSQL, pgx.StrictNamedArgs{
		"user": user, "since": since, "conversation": queries.NullUUID(in),
	})
	return queries.One[LastAct](rows)
}

// QueuedItem is an item as the queue's page lists it.
type QueuedItem struct {
	Item
	StartedAt *time.Time // nil when the conversation is gone
	FirstText *string
	For       string
	Holder    string // who holds it now
	EndedBy   string
	EndedAt   *time.Time
}

const queueItemsSQL = `
select x.queue_id, x.place, x.why, x.sender_id, x.conversation_id as id, x.for_account, x.claimed_by, x.claimed_until,
	x.ended, x.reason, x.ended_at,
	c.started_at, c.first_text, coalesce(f.name, '') as for, coalesce(e.name, '') as ended_by,
	case when x.ended_at is null and x.claimed_until >= @now then coalesce(h.name, '') else '' end as holder
from queue_items x
left join conversations c on c.sender_id = x.sender_id and c.id = x.conversation_id
left join accounts f on f.id = x.for_account
left join accounts h on h.id = x.claimed_by
left join accounts e on e.id = x.ended_by
where x.queue_id = @queue and (x.place, x.sender_id, x.conversation_id) > (@after, @after_sender, @after_id)
	and (@limits::integer[] is null or c.assistant_id = any(@limits))
order by x.place, x.sender_id, x.conversation_id
limit @limit`

// QueueItems returns the items of a queue in their order, from behind a place on.
func QueueItems(
	ctx context.Context, db queries.Sight, queue conversation.UUID, after Item, limits []string, limit int, now time.Time,
) ([]QueuedItem, error) {
	rows, _ := db.Query(ctx, queueItemsSQL, pgx.StrictNamedArgs{
		"queue": queue, "after": after.Place, "after_sender": after.SenderID, "after_id": after.ID, "limit": limit,
		"now": now, "limits": queries.AssistantIDs(limits),
	})
	return pgx.CollectRows(rows, pgx.RowToStructByName[QueuedItem])
}

const drawsSQL = `
select due_at, drawn_at, seed, population, picked
from queue_draws
where queue_id = @queue
order by due_at desc
limit 50`

// QueueDraw is one time that a queue was filled.
type QueueDraw struct {
	DueAt, DrawnAt     time.Time
	Seed               int64
	Population, Picked int32
}

// QueueDraws returns the last times that a queue was filled, the newest first.
func QueueDraws(ctx context.Context, db queries.DB, queue conversation.UUID) ([]QueueDraw, error) {
	rows, _ := db.Query(ctx, drawsSQL, pgx.StrictNamedArgs{"queue": queue})
	return pgx.CollectRows(rows, pgx.RowToStructByName[QueueDraw])
}

const lockQueueSQL = `select id from queues where id = @id for update`

// Replace takes an item out of a queue, with a reason, and puts the next of the same draw's order into its place. It
// returns false when there is none left to put there.
func Replace(
	ctx context.Context, tx pgx.Tx, q Queue, p queries.ConversationKey, by conversation.UUID, reason string,
	now time.Time, zone *time.Location,
) (bool, error) {
	if _, err := tx.Exec(ctx, lockQueueSQL, pgx.StrictNamedArgs{"id": q.ID}); err != nil { // two would draw the same
		return false, err
	}
	item, err := ItemOf(ctx, tx, q.ID, p)
	if err != nil {
		return false, err
	}
	if item.Ended != "" {
		return false, queries.ErrConflict
	}
	if _, err := ApplyReviewAction(ctx, tx, Act{
		ID: queries.NewID(), Place: p, User: by, Kind: ActQueue, Subject: q.ID, Value: "replaced: " + reason, At: now,
	}); err != nil {
		return false, err
	}
	if q.Assigned() {
		return false, nil
	}
	q.Count, q.Percent, q.Shares = 1, 0, nil
	due := now
	if draws, err := QueueDraws(ctx, tx, q.ID); err != nil {
		return false, err
	} else if len(draws) > 0 {
		due = draws[0].DueAt
	}
	next, _, err := Sample(ctx, tx, q, due, zone)
	if err != nil || len(next) == 0 {
		return false, err
	}
	user := ""
	if item.ForAccount != nil {
		user = item.ForAccount.String()
	}
	_, err = tx.Exec(ctx, insertItemsSQL, pgx.StrictNamedArgs{
		"queue": q.ID, "draw": nil, "senders": []int64{next[0].SenderID}, "ids": [][16]byte{next[0].ID},
		"places": []int32{item.Place},
		"whys":   []string{"in place of another: " + reason}, "users": []string{user},
	})
	return true, err
}
