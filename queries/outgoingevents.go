package queries

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
)

const (
	// OutgoingKept is how long a delivery is kept after its event was found.
	OutgoingKept = 8 * 24 * time.Hour
	// EndedLate is how much later than it ended a conversation may be found to have ended, and still be told of: as long
	// as it is known what was told.
	EndedLate = 7 * 24 * time.Hour
	// clocksApart is by how much clocks of servers may differ, and how long a transaction may take to store events.
	clocksApart = 2 * time.Minute
	// GivesUpAfter is for how long a message is tried.
	GivesUpAfter = 3 * 24 * time.Hour
	// endedAtOnce is how many conversations one transaction tells of.
	endedAtOnce = 2000
)

const (
	markOutgoingSQL = `
insert into outgoing_marks (senders)
select @senders::bigint[]
where exists (select from outgoing_webhooks where active_since is not null and 'conversation.ended' = any(events))`
	endedWantedSQL = `
select min(active_since)
from outgoing_webhooks
where active_since is not null and 'conversation.ended' = any(events)`
	lockOutgoingSQL = `
insert into outgoing_state (ended_until)
values (@now)
on conflict (one) do update
set ended_until = outgoing_state.ended_until
returning ended_until`
	endedUntilSQL   = `update outgoing_state set ended_until = greatest(ended_until, @until)`
	takeOutgoingSQL = `delete from outgoing_marks where id in (select id from outgoing_marks order by id limit 20) returning senders`
	forgetMarksSQL  = `
delete from outgoing_marks
where not exists (select from outgoing_webhooks where active_since is not null and 'conversation.ended' = any(events))`
	endedByTimeSQL = endedColumns + `where (closes_at, id) > (@from, @after) and closes_at <= @until order by closes_at, id
	limit @limit for key share`
	endedOfSendersSQL = endedColumns + `where sender_id = any(@senders::bigint[]) and closes_at >= @from and closes_at <= @until
	for key share`
	endedColumns      = `select sender_id, id, closes_at, coalesce(ended_at, last_at) as ended_at from conversations `
	insertHappenedSQL = `
insert into outgoing_deliveries (webhook_id, id, event, sender_id, conversation_id, act_id, happened_at, state,
	give_up_at, created_at)
select w.id, k.event_id, @event, k.sender_id, k.id, k.act_id, k.at, 'new', @give_up, @now
from outgoing_webhooks w
cross join unnest(@events::uuid[], @senders::bigint[], @ids::uuid[], @acts::uuid[], @ats::timestamptz[],
	@known::timestamptz[]) as k (event_id, sender_id, id, act_id, at, known_at)
where w.active_since <= k.known_at and @event = any(w.events)
	and not exists (select from outgoing_deliveries x -- under another id, before the conversation was moved
		where x.webhook_id = w.id and x.event = @event and x.sender_id = k.sender_id and x.conversation_id = k.id
			and x.happened_at = k.at and x.act_id is not distinct from k.act_id)
order by w.id, k.event_id
on conflict (webhook_id, id) do nothing`
)

// MarkOutgoing notes senders whose conversations changed, where somebody waits for conversations to end.
func MarkOutgoing(ctx context.Context, db DB, senders []int64) error {
	if len(senders) == 0 {
		return nil
	}
	_, err := db.Exec(ctx, markOutgoingSQL, pgx.StrictNamedArgs{"senders": senders})
	return err
}

// endedConversation is one that ended.
type endedConversation struct {
	SenderID int64
	ID       conversation.UUID
	ClosesAt time.Time // from when on it counts as ended
	EndedAt  time.Time // at its last event, or as told
}

// FindEnded notes, for the webhooks that are told so, conversations that ended: by the passing of time since they were
// looked for last, or before they were stored. Each transaction notes some of them, and up to where it looked.
func FindEnded(ctx context.Context, pool *pgxpool.Pool, now time.Time) error {
	var at *endedConversation // the last one noted
	for more := true; more; {
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			at, more, err = findEnded(ctx, tx, at, now)
			return err
		}); err != nil {
			return fmt.Errorf("ended conversations: %w", err)
		}
	}
	return nil
}

// findEnded notes the next ones behind one; of none, from where the last look ended.
func findEnded(
	ctx context.Context, tx pgx.Tx, at *endedConversation, now time.Time,
) (last *endedConversation, more bool, err error) {
	rows, _ := tx.Query(ctx, lockOutgoingSQL, pgx.StrictNamedArgs{"now": now})
	from, err := only[time.Time](rows)
	if err != nil {
		return nil, false, err
	}
	rows, _ = tx.Query(ctx, endedWantedSQL)
	since, err := only[*time.Time](rows)
	if err != nil {
		return nil, false, err
	}
	if since == nil {
		if _, err := tx.Exec(ctx, forgetMarksSQL); err != nil {
			return nil, false, err
		}
		return nil, false, endedUntil(ctx, tx, now)
	}
	if from = from.Add(-clocksApart); from.Before(*since) {
		from = *since
	}
	var after conversation.UUID // below all there are
	if at != nil {
		from, after = at.ClosesAt, at.ID
	}
	rows, _ = tx.Query(ctx, endedByTimeSQL, pgx.StrictNamedArgs{
		"from": from, "after": after, "until": now, "limit": endedAtOnce,
	})
	ended, err := pgx.CollectRows(rows, pgx.RowToStructByName[endedConversation])
	if err != nil {
		return nil, false, err
	}
	if err := tellEnded(ctx, tx, ended, now); err != nil {
		return nil, false, err
	}
	if len(ended) == endedAtOnce {
		last = &ended[endedAtOnce-1]
		return last, true, endedUntil(ctx, tx, last.ClosesAt)
	}
	if len(ended) > 0 {
		at = &ended[len(ended)-1]
	}
	if more, err = findEndedLate(ctx, tx, *since, now); err != nil {
		return nil, false, err
	}
	return at, more, endedUntil(ctx, tx, now)
}

// findEndedLate looks at conversations that changed, and ended before.
func findEndedLate(ctx context.Context, tx pgx.Tx, since, now time.Time) (more bool, err error) {
	rows, _ := tx.Query(ctx, takeOutgoingSQL)
	marks, err := pgx.CollectRows(rows, pgx.RowTo[[]int64])
	if err != nil || len(marks) == 0 {
		return false, err
	}
	if late := now.Add(-EndedLate); since.Before(late) {
		since = late
	}
	rows, _ = tx.Query(ctx, endedOfSendersSQL, pgx.StrictNamedArgs{
		"senders": slices.Concat(marks...), "from": since, "until": now,
	})
	ended, err := pgx.CollectRows(rows, pgx.RowToStructByName[endedConversation])
	if err != nil {
		return false, fmt.Errorf("ended conversations: %w", err)
	}
	return true, tellEnded(ctx, tx, ended, now)
}

func endedUntil(ctx context.Context, tx pgx.Tx, until time.Time) error {
	_, err := tx.Exec(ctx, endedUntilSQL, pgx.StrictNamedArgs{"until": until})
	return err
}

// tellEnded notes ends for the webhooks that are told of them. The id is made of the conversation and its end: one that
// goes on, and ends again, is told of again.
func tellEnded(ctx context.Context, tx pgx.Tx, ended []endedConversation, now time.Time) error {
	var k happened
	for _, c := range ended {
		k.add(conversation.NameUUID(EventEnded, c.ID.String(), c.EndedAt.UTC().Format(time.RFC3339Nano)),
			ConversationKey{SenderID: c.SenderID, ID: c.ID}, nil, c.EndedAt, c.ClosesAt)
	}
	return k.insert(ctx, tx, EventEnded, now)
}

// TellReviewed notes, for the webhooks that are told so, that somebody marked a conversation as reviewed by an act.
func TellReviewed(ctx context.Context, tx pgx.Tx, act conversation.UUID, of ConversationKey, at time.Time) error {
	var k happened
	id := [16]byte(act)
	k.add(conversation.NameUUID(EventReviewed, act.String()), of, &id, at, at)
	return k.insert(ctx, tx, EventReviewed, at)
}

// happened is what webhooks may be told of, in columns.
type happened struct {
	events, ids [][16]byte
	senders     []int64
	acts        []*[16]byte
	ats, known  []time.Time
}

// add adds something that happened, and the time from which on a webhook must be active to be told.
func (k *happened) add(event conversation.UUID, of ConversationKey, act *[16]byte, at, known time.Time) {
	k.events, k.ids, k.senders = append(k.events, event), append(k.ids, of.ID), append(k.senders, of.SenderID)
	k.acts, k.ats, k.known = append(k.acts, act), append(k.ats, at), append(k.known, known)
}

func (k *happened) insert(ctx context.Context, tx pgx.Tx, event string, now time.Time) error {
	if len(k.events) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, insertHappenedSQL, pgx.StrictNamedArgs{
		"event": event, "events": k.events, "senders": k.senders, "ids": k.ids, "acts": k.acts, "ats": k.ats,
		"known": k.known, "give_up": now.Add(GivesUpAfter), "now": now,
	}); err != nil {
		return fmt.Errorf("note %s: %w", event, err)
	}
	return nil
}
