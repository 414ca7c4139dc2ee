package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// BulkKind is what is done to many conversations at once.
type BulkKind string

// The kinds.
const (
	BulkTag    BulkKind = "tag"
	BulkUntag  BulkKind = "untag"
	BulkReview BulkKind = "review" // mark as reviewed
	BulkAssign BulkKind = "assign" // to a colleague
)

// MostBulk is how many conversations can be acted on at once.
const MostBulk = 100_000

// BulkRun is one act on many conversations, with its progress.
type BulkRun struct {
	ID        conversation.UUID
	AccountID conversation.UUID
	Kind      BulkKind
	Subject   *conversation.UUID // a tag, a colleague
	Words     string
	Total     int32
	Done      int32
	Changed   int32 // in which anything changed
	Undo      bool
	CreatedAt time.Time
	EndedAt   *time.Time
}

const insertBulkSQL = `
insert into bulk_runs (id, account_id, kind, subject, words, total, created_at)
values (@id, @user, @kind, @subject, @words, @total, @at)`

const bulkItemsByIDSQL = `
insert into bulk_items (run_id, sender_id, conversation_id)
select distinct @run::uuid, c.sender_id, c.id
from conversations c
where c.id = any(@ids::uuid[]) and (@limits::integer[] is null or c.assistant_id = any(@limits))`

// StartBulk notes that something is to be done to those conversations or, without any, to all of the filter; either way
// only to those of assistants that the user is limited to. A *metric.InputError says that there are none or too many.
func StartBulk(
	ctx context.Context, tx pgx.Tx, r BulkRun, ids []conversation.UUID, f metric.Filter, limits []string, now time.Time,
	zone *time.Location,
) (BulkRun, error) {
	var s any
	if r.Subject != nil {
		s = *r.Subject
	}
	args := pgx.StrictNamedArgs{
		"id": r.ID, "user": r.AccountID, "kind": string(r.Kind), "subject": s, "words": r.Words, "total": 0,
		"at": r.CreatedAt,
	}
	if _, err := tx.Exec(ctx, insertBulkSQL, args); err != nil {
		return r, fmt.Errorf("note a bulk act: %w", err)
	}
	if len(ids) > 0 {
		tag, err := tx.Exec(ctx, bulkItemsByIDSQL, pgx.StrictNamedArgs{
			"run": r.ID, "ids": queries.UUIDs(ids), "limits": queries.AssistantIDs(limits),
		})
		if err != nil {
			return r, err
		}
		r.Total = int32(tag.RowsAffected())
	} else {
		f = f.LimitTo(limits)
		known, err := queries.LookUp(ctx, tx, f, now, zone)
		if err != nil {
			return r, err
		}
		w := queries.FilterConversations(f, known, now, zone)
		w.Args["run"], w.Args["limit"] = r.ID, MostBulk+1
		tag, err := tx.Exec(
			ctx,
			"insert into bulk_items (run_id, sender_id, conversation_id)\nselect @run::uuid, c.sender_id, "+
				"c.id\nfrom conversations c\nwhere "+w.String()+"\nlimit @limit",
			w.Args,
		)
		if err != nil {
			return r, err
		}
		r.Total = int32(tag.RowsAffected())
	}
	switch {
	case r.Total == 0:
		return r, &metric.InputError{Field: "selection", Msg: "is empty: choose conversations first"}
	case r.Total > MostBulk:
		return r, &metric.InputError{Field: "selection", Msg: "has more than 100,000 conversations: narrow the filter"}
	}
	_, err := tx.Exec(ctx, bulkTotalSQL, pgx.StrictNamedArgs{"id": r.ID, "total": r.Total})
	return r, err
}

const bulkTotalSQL = `update bulk_runs set total = @total where id = @id`

const bulkColumns = `
select id, account_id, kind, subject, words, total, done, changed, undo, created_at, ended_at
from bulk_runs `

const (
	bulkByIDSQL = bulkColumns + `where id = @id and account_id = @user`
	nextBulkSQL = bulkColumns +
		`where ended_at is null and (@id::uuid is null or id = @id) order by created_at, id
	limit 1 for update skip locked`
	bulkPartSQL = `select sender_id, conversation_id as id from bulk_items where run_id = @run and not done
	order by sender_id, conversation_id limit @limit`
	bulkDoneSQL = `update bulk_items set done = true
	where run_id = @run and (sender_id, conversation_id) in (select k.sender_id, k.id
		from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id))`
	bulkCountSQL = `
update bulk_runs
set done = done + @done, changed = changed + @changed, ended_at = case when @ended::boolean then @at::timestamptz end
where id = @run`
	undoBulkSQL = `
update bulk_runs
set undo = true, total = changed, done = 0, ended_at = null
where id = @id and account_id = @user and not undo and ended_at is not null
returning id`
	bulkActsSQL  = `select id from review_acts where batch = @run and undone_at is null order by n desc limit @limit`
	lastBulksSQL = bulkColumns + `where account_id = @user order by created_at desc, id limit 20`
)

// BulkByID returns a run of a user, or ErrNotFound.
func BulkByID(ctx context.Context, db queries.DB, id, user conversation.UUID) (BulkRun, error) {
	rows, _ := db.Query(ctx, bulkByIDSQL, pgx.StrictNamedArgs{"id": id, "user": user})
	return queries.One[BulkRun](rows)
}

// LastBulks returns what a user did to many at once, the newest first.
func LastBulks(ctx context.Context, db queries.DB, user conversation.UUID) ([]BulkRun, error) {
	rows, _ := db.Query(ctx, lastBulksSQL, pgx.StrictNamedArgs{"user": user})
	return pgx.CollectRows(rows, pgx.RowToStructByName[BulkRun])
}

// UndoBulk has a run taken back, once; ErrNotFound when it is or while it goes on.
func UndoBulk(ctx context.Context, db queries.DB, id, user conversation.UUID) error {
	return queries.Changed(ctx, db, undoBulkSQL, pgx.StrictNamedArgs{"id": id, "user": user})
}

// bulkPart is how many conversations are acted on in one transaction.
const bulkPart = 100

// GoOn does the next part of a run, or of the oldest that is not ended (nil). It returns false when there is none, or
// somebody else is at it.
func ContinueBulk(ctx context.Context, tx pgx.Tx, id *conversation.UUID, now time.Time) (more bool, err error) {
	var which any
	if id != nil {
		which = *id
	}
	rows, _ := tx.Query(ctx, nextBulkSQL, pgx.StrictNamedArgs{"id": which})
	r, err := queries.One[BulkRun](rows)
	if errors.Is(err, queries.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var done, changed int
	if r.Undo {
		done, err = undoPart(ctx, tx, r, now)
	} else {
		done, changed, err = doPart(ctx, tx, r, now)
	}
	if err != nil {
		return false, fmt.Errorf("bulk act %s: %w", r.ID, err)
	}
	_, err = tx.Exec(ctx, bulkCountSQL, pgx.StrictNamedArgs{
		"run": r.ID, "done": done, "changed": changed, "ended": done < bulkPart, "at": now,
	})
	return done == bulkPart, err
}

func doPart(ctx context.Context, tx pgx.Tx, r BulkRun, now time.Time) (done, changed int, err error) {
	rows, _ := tx.Query(ctx, bulkPartSQL, pgx.StrictNamedArgs{"run": r.ID, "limit": bulkPart})
	part, err := pgx.CollectRows(rows, pgx.RowToStructByName[queries.ConversationKey])
	if err != nil || len(part) == 0 {
		return 0, 0, err
	}
	senders, ids := queries.KeyColumns(part)
	if r.Kind == BulkAssign {
		if err := NoteAssigned(ctx, tx, r.ID, part, *r.Subject); err != nil {
			return 0, 0, err
		}
		n, err := Assign(ctx, tx, part, *r.Subject, r.AccountID, now)
		if err != nil {
			return 0, 0, err
		}
		changed = n
	}
	for _, p := range part {
		if r.Kind == BulkAssign {
			break
		}
		a := Act{ID: queries.NewID(), Place: p, User: r.AccountID, Batch: r.ID, At: now}
		switch r.Kind {
		case BulkTag:
			a.Kind, a.Subject, a.Value = ActTag, *r.Subject, "yes"
		case BulkUntag:
			a.Kind, a.Subject = ActTag, *r.Subject
		case BulkReview:
			if a, err = reviewed(ctx, tx, a); err != nil {
				return 0, 0, err
			}
		case BulkAssign:
		}
		did, err := ApplyReviewAction(ctx, tx, a)
		if err != nil {
			return 0, 0, err
		}
		if did {
			changed++
		}
	}
	_, err = tx.Exec(ctx, bulkDoneSQL, pgx.StrictNamedArgs{"run": r.ID, "senders": senders, "ids": ids})
	return len(part), changed, err
}

// reviewed makes an act one that marks a conversation as reviewed, and keeps a rating; one that is reviewed as it
// stands stays so.
func reviewed(ctx context.Context, tx pgx.Tx, a Act) (Act, error) {
	a.Kind = ActReview
	_, events, err := queries.FindConversation(ctx, tx, a.Place.ID)
	if err != nil && !errors.Is(err, queries.ErrNotFound) {
		return a, err
	}
	a.Change = func(own Review) Review {
		if err == nil && (own.ReviewedAt == nil || own.Events != events) {
			at := a.At
			own.ReviewedAt, own.Events = &at, events
		}
		return own
	}
	return a, nil
}

// undoPart takes acts back; one that somebody changed since stays as it is now.
func undoPart(ctx context.Context, tx pgx.Tx, r BulkRun, now time.Time) (int, error) {
	if r.Kind == BulkAssign {
		return 0, Unassign(ctx, tx, r.ID, *r.Subject)
	}
	rows, _ := tx.Query(ctx, bulkActsSQL, pgx.StrictNamedArgs{"run": r.ID, "limit": bulkPart})
	acts, err := pgx.CollectRows(rows, pgx.RowTo[conversation.UUID])
	if err != nil {
		return 0, err
	}
	for _, id := range acts {
		if _, err := Undo(ctx, tx, id, r.AccountID, now); errors.Is(err, queries.ErrConflict) {
			if _, err := tx.Exec(ctx, undoneSQL, pgx.StrictNamedArgs{"ids": [][16]byte{id}, "at": now}); err != nil {
				return 0, err
			}
		} else if err != nil {
			return 0, err
		}
	}
	return len(acts), nil
}
