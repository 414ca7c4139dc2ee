package work

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
)

// assignedQueue is the queue of conversations that were given to somebody one by one. It has no rule.
var assignedQueue = conversation.UUID{0: 0x61, 1: 0x73, 6: 0x80, 8: 0x80, 15: 1}

const (
	ensureAssignedSQL = `
insert into queues (id, name, query, count, seed, created_at, created_by)
values (@queue, 'Assigned', '', 0, 0, @at, @by)
on conflict do nothing`
	assignSQL = `
insert into queue_items (queue_id, sender_id, conversation_id, place, why, for_account)
select @queue::uuid, k.sender_id, k.id, (extract(epoch from @at::timestamptz) / 60)::integer, 'given by ' || u.name,
	@user::uuid
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
join accounts u on u.id = @by
order by k.sender_id, k.id
on conflict (queue_id, sender_id, conversation_id) do update
set for_account = excluded.for_account, why = excluded.why, place = excluded.place, claimed_by = null,
	claimed_until = null, ended_at = null, ended_by = null, ended = '', reason = ''
where queue_items.ended_at is not null or queue_items.for_account is distinct from excluded.for_account
returning sender_id, conversation_id as id`
	// What was before is noted first: only of what will change.
	noteAssignedSQL = `
update bulk_items b
set was = coalesce((
	select jsonb_build_object('for_account', q.for_account, 'why', q.why, 'place', q.place, 'ended', q.ended,
		'reason', q.reason, 'ended_at', q.ended_at, 'ended_by', q.ended_by)
	from queue_items q
	where q.queue_id = @queue and q.sender_id = b.sender_id and q.conversation_id = b.conversation_id), '{}')
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
where b.run_id = @run and b.sender_id = k.sender_id and b.conversation_id = k.id
	and not exists (
		select from queue_items q
		where q.queue_id = @queue and q.sender_id = b.sender_id and q.conversation_id = b.conversation_id
			and q.ended_at is null and q.for_account = @user)`
	unassignSQL = `
delete from queue_items q
using bulk_items b
where b.run_id = @run and b.was = '{}' and q.queue_id = @queue and q.sender_id = b.sender_id
	and q.conversation_id = b.conversation_id and q.for_account = @user and q.ended_at is null`
	reassignSQL = `
update queue_items q
set for_account = (b.was->>'for_account')::uuid, why = b.was->>'why', place = (b.was->>'place')::integer,
	ended = b.was->>'ended', reason = b.was->>'reason',
	ended_at = (b.was->>'ended_at')::timestamptz, ended_by = (b.was->>'ended_by')::uuid, claimed_by = null,
		claimed_until = null
from bulk_items b
where b.run_id = @run and b.was <> '{}' and q.queue_id = @queue and q.sender_id = b.sender_id
	and q.conversation_id = b.conversation_id and q.for_account = @user and q.ended_at is null`
)

// NoteAssigned keeps, for undo, what an assignment of a run is about to change.
func NoteAssigned(
	ctx context.Context, tx pgx.Tx, run conversation.UUID, all []queries.ConversationKey, to conversation.UUID,
) error {
	senders, ids := queries.KeyColumns(all)
	_, err := tx.Exec(ctx, noteAssignedSQL, pgx.StrictNamedArgs{
		"run": run, "queue": assignedQueue, "senders": senders, "ids": ids, "user": to,
	})
	return err
}

// Assign gives conversations to a colleague to review, and returns how many he did not have.
func Assign(
	ctx context.Context, tx pgx.Tx, all []queries.ConversationKey, to, by conversation.UUID, now time.Time,
) (int, error) {
	if _, err := tx.Exec(
		ctx, ensureAssignedSQL, pgx.StrictNamedArgs{"queue": assignedQueue, "at": now, "by": by},
	); err != nil {
		return 0, err
	}
	senders, ids := queries.KeyColumns(all)
	rows, _ := tx.Query(ctx, assignSQL, pgx.StrictNamedArgs{
		"queue": assignedQueue, "senders": senders, "ids": ids, "user": to, "by": by, "at": now,
	})
	given, err := pgx.CollectRows(rows, pgx.RowToStructByName[queries.ConversationKey])
	return len(given), err
}

// Unassign takes back what a run gave to a colleague and is not reviewed yet: to whom it was given before, or to
// nobody.
func Unassign(ctx context.Context, tx pgx.Tx, run, from conversation.UUID) error {
	for _, sql := range []string{unassignSQL, reassignSQL} {
		if _, err := tx.Exec(ctx, sql, pgx.StrictNamedArgs{
			"run": run, "queue": assignedQueue, "user": from,
		}); err != nil {
			return err
		}
	}
	return nil
}
