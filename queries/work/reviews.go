package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
)

// ActKind is what a reviewer does.
type ActKind string

// The kinds of acts. Each sets one value, and is undone by setting what was before.
const (
	ActReview ActKind = "review" // a Review, as JSON
	ActTag    ActKind = "tag"    // the subject is the tag; "yes"
	ActMark   ActKind = "mark"   // the subject is a message; "good" or "bad"
	ActNote   ActKind = "note"   // the subject is the note; its text
	ActQueue  ActKind = "queue"  // the subject is the queue; how the item ended, and why
)

// Act is what one person did to one conversation.
type Act struct {
	ID      conversation.UUID
	Place   queries.ConversationKey
	User    conversation.UUID
	Kind    ActKind
	Subject conversation.UUID   // zero for a review
	Message conversation.UUID   // that a note is about; zero for the whole conversation
	Value   string              // "" for none
	Change  func(Review) Review // of a review: makes the value of the one that there is; nil for none
	Batch   conversation.UUID   // of acts that are undone together; zero for none
	At      time.Time
}

// Review is what a reviewer says of a conversation.
type Review struct {
	Rating     int        `json:"rating,omitempty"` // 1 to 5; 0 for none
	ReviewedAt *time.Time `json:"reviewed_at,omitempty"`
	Events     int32      `json:"events,omitempty"` // that the conversation had then
	SpentMS    int64      `json:"spent_ms,omitempty"`
}

// Value writes the review as an act's value.
func (r Review) Value() string {
	if r == (Review{}) {
		return ""
	}
	if r.ReviewedAt != nil { // as the database keeps it
		at := r.ReviewedAt.UTC().Truncate(time.Microsecond)
		r.ReviewedAt = &at
	}
	b, _ := json.Marshal(r) // cannot fail
	return string(b)
}

const insertActSQL = `
insert into review_acts (id, sender_id, conversation_id, account_id, at, kind, subject, was, became, batch)
values (@id, @sender, @conversation, @user, @at, @kind, @subject, @was, @became, @batch)`

const holdSQL = `select pg_advisory_xact_lock(hashtextextended(@conversation::uuid::text, @sender::bigint))`

// Hold lets nobody else act on a conversation until the transaction ends: each act is to see all that were before.
func LockConversation(ctx context.Context, tx pgx.Tx, p queries.ConversationKey) error {
	if _, err := tx.Exec(ctx, holdSQL, pgx.StrictNamedArgs{"conversation": p.ID, "sender": p.SenderID}); err != nil {
		return fmt.Errorf("hold a conversation: %w", err)
	}
	return nil
}

// Do acts, unless nothing would change; then it returns false.
func ApplyReviewAction(ctx context.Context, tx pgx.Tx, a Act) (done bool, err error) {
	if err := LockConversation(ctx, tx, a.Place); err != nil {
		return false, err
	}
	was, err := valueOf(ctx, tx, a)
	if err == nil && a.Change != nil {
		a.Value = a.Change(ParseReview(was)).Value()
	}
	if err != nil || was == a.Value {
		return false, err
	}
	if err := set(ctx, tx, a); err != nil {
		return false, err
	}
	if a.Kind == ActTag { // which may be gone, or of another assistant
		if is, err := valueOf(ctx, tx, a); err != nil || is == was {
			return false, err
		}
	}
	_, err = tx.Exec(ctx, insertActSQL, pgx.StrictNamedArgs{
		"id": a.ID, "sender": a.Place.SenderID, "conversation": a.Place.ID, "user": a.User, "at": a.At,
		"kind":    string(a.Kind),
		"subject": queries.NullUUID(a.Subject), "was": was, "became": a.Value, "batch": queries.NullUUID(a.Batch),
	})
	if err != nil {
		return false, fmt.Errorf("note an act: %w", err)
	}
	if a.Kind == ActReview {
		before, now := ParseReview(was).ReviewedAt, ParseReview(a.Value).ReviewedAt
		if now != nil && (before == nil || !before.Equal(*now)) {
			if err := queries.TellReviewed(ctx, tx, a.ID, a.Place, a.At); err != nil {
				return false, err
			}
		}
	}
	return true, afterwards(ctx, tx, a)
}

func afterwards(ctx context.Context, tx pgx.Tx, a Act) error {
	if err := settle(ctx, tx, []queries.ConversationKey{a.Place}, a.At); err != nil {
		return err
	}
	if a.Kind == ActTag {
		if err := markTagged(ctx, tx, []queries.ConversationKey{a.Place}); err != nil {
			return err
		}
	}
	if a.Kind == ActTag || a.Kind == ActNote {
		return queries.RefreshTexts(ctx, tx, []int64{a.Place.SenderID})
	}
	return nil
}

const (
	reviewOfSQL = `
select coalesce(rating, 0) as rating, reviewed_at, events, spent_ms
from reviews
where sender_id = @sender and conversation_id = @conversation and account_id = @user
for update`
	tagOfSQL = `select 'yes' from conversation_tags where sender_id = @sender and conversation_id = @conversation
	and tag_id = @subject`
	markOfSQL = `select mark from message_marks where sender_id = @sender and conversation_id = @conversation
	and message_id = @subject and account_id = @user for update`
	noteOfSQL = `select text from notes where id = @subject and sender_id = @sender
	and conversation_id = @conversation and deleted_at is null for update`
)

// valueOf returns the value that an act would change.
func valueOf(ctx context.Context, tx pgx.Tx, a Act) (string, error) {
	args := pgx.StrictNamedArgs{"sender": a.Place.SenderID, "conversation": a.Place.ID}
	if a.Kind == ActReview {
		args["user"] = a.User
		rows, _ := tx.Query(ctx, reviewOfSQL, args)
		r, err := queries.One[Review](rows)
		if errors.Is(err, queries.ErrNotFound) {
			return "", nil
		}
		return r.Value(), err
	}
	args["subject"] = a.Subject
	sql := map[ActKind]string{ActTag: tagOfSQL, ActMark: markOfSQL, ActNote: noteOfSQL, ActQueue: itemEndOfSQL}[a.Kind]
	if a.Kind == ActMark {
		args["user"] = a.User
	}
	rows, _ := tx.Query(ctx, sql, args)
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return v, err
}

const (
	setReviewSQL = `
insert into reviews (sender_id, conversation_id, account_id, rating, reviewed_at, events, spent_ms)
values (@sender, @conversation, @user, nullif(@rating::smallint, 0), @at, @events, @spent)
on conflict (sender_id, conversation_id, account_id) do update
set rating = excluded.rating, reviewed_at = excluded.reviewed_at, events = excluded.events, spent_ms = excluded.spent_ms`
	dropReviewSQL = `delete from reviews where sender_id = @sender and conversation_id = @conversation
	and account_id = @user`
	setTagSQL = `
insert into conversation_tags (sender_id, conversation_id, tag_id, account_id, tagged_at)
select c.sender_id, c.id, t.id, @user, @at
from conversations c
join assistants a on a.id = c.assistant_id
join tags t on t.id = @subject and (t.assistant = '' or t.assistant = a.name)
where c.sender_id = @sender and c.id = @conversation
on conflict (sender_id, conversation_id, tag_id) do nothing`
	dropTagSQL = `delete from conversation_tags where sender_id = @sender and conversation_id = @conversation
	and tag_id = @subject`
	setMarkSQL = `
insert into message_marks (sender_id, conversation_id, message_id, account_id, mark, marked_at)
values (@sender, @conversation, @subject, @user, @value, @at)
on conflict (sender_id, conversation_id, message_id, account_id) do update
set mark = excluded.mark, marked_at = excluded.marked_at`
	dropMarkSQL = `delete from message_marks where sender_id = @sender and conversation_id = @conversation
	and message_id = @subject and account_id = @user`
	setNoteSQL = `
insert into notes (id, sender_id, conversation_id, message_id, account_id, text, created_at)
values (@subject, @sender, @conversation, @message, @user, @value, @at)
on conflict (id) do update
set text = excluded.text, deleted_at = null, edited_at = @at, revision = notes.revision + 1`
	dropNoteSQL = `
update notes
set deleted_at = @at, revision = revision + 1
where id = @subject and sender_id = @sender and conversation_id = @conversation`
)

// set makes the value what the act says.
func set(ctx context.Context, tx pgx.Tx, a Act) error {
	args := pgx.StrictNamedArgs{"sender": a.Place.SenderID, "conversation": a.Place.ID}
	var sql string
	switch a.Kind {
	case ActReview:
		sql, args["user"] = dropReviewSQL, a.User
		if a.Value != "" {
			var r Review
			if err := json.Unmarshal([]byte(a.Value), &r); err != nil {
				return fmt.Errorf("a review: %w", err)
			}
			sql = setReviewSQL
			args["rating"], args["at"], args["events"], args["spent"] = r.Rating, r.ReviewedAt, r.Events, r.SpentMS
		}
	case ActTag:
		sql, args["subject"] = dropTagSQL, a.Subject
		if a.Value != "" {
			sql, args["user"], args["at"] = setTagSQL, a.User, a.At
		}
	case ActMark:
		sql, args["subject"], args["user"] = dropMarkSQL, a.Subject, a.User
		if a.Value != "" {
			sql, args["value"], args["at"] = setMarkSQL, a.Value, a.At
		}
	case ActNote:
		sql, args["subject"], args["at"] = dropNoteSQL, a.Subject, a.At
		if a.Value != "" {
			sql, args["user"], args["value"], args["message"] = setNoteSQL, a.User, a.Value, queries.NullUUID(a.Message)
		}
	case ActQueue:
		ended, reason, _ := strings.Cut(a.Value, ": ")
		sql, args["subject"], args["user"], args["at"] = reopenItemSQL, a.Subject, a.User, a.At
		if a.Value != "" {
			sql, args["ended"], args["reason"] = endItemSQL, ended, reason
		} else {
			args["until"] = a.At.Add(ClaimLasts)
		}
	default:
		return fmt.Errorf("%q is no act", a.Kind)
	}
	if _, err := tx.Exec(ctx, sql, args); err != nil {
		return fmt.Errorf("%s: %w", a.Kind, err)
	}
	return nil
}

// A tag that was deleted, a note that somebody else wrote on: what an act set may be gone.
const actsToUndoSQL = `
select a.id, a.sender_id, a.conversation_id, a.account_id, a.kind, a.subject, a.was, a.became,
	exists (
		select from review_acts b
		where b.sender_id = a.sender_id and b.conversation_id = a.conversation_id and b.kind = a.kind
			and b.subject is not distinct from a.subject
			and b.n > a.n and b.undone_at is null and (a.batch is null or b.batch is distinct from a.batch)
			and (a.kind not in ('review', 'mark') or b.account_id = a.account_id)) as later
from review_acts a
where (a.id = @id or a.batch = @id) and a.account_id = @user and a.undone_at is null
order by a.n desc
for update of a`

const undoneSQL = `update review_acts set undone_at = @at where id = any(@ids::uuid[])`

// Undo takes back an act of a user, or a batch of them, and returns the conversations concerned. ErrNotFound says that
// it is undone already; ErrConflict that somebody changed it since.
func Undo(
	ctx context.Context, tx pgx.Tx, id, user conversation.UUID, now time.Time,
) (undone []queries.ConversationKey, err error) {
	type row struct {
		ID             conversation.UUID
		SenderID       int64
		ConversationID conversation.UUID
		AccountID      conversation.UUID
		Kind           string
		Subject        *conversation.UUID
		Was, Became    string
		Later          bool // something came on top of it
	}
	rows, _ := tx.Query(ctx, actsToUndoSQL, pgx.StrictNamedArgs{"id": id, "user": user})
	acts, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err == nil && len(acts) == 0 {
		err = queries.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	var ids [][16]byte
	for _, r := range acts {
		a := Act{
			ID: r.ID, Place: queries.ConversationKey{SenderID: r.SenderID, ID: r.ConversationID}, User: r.AccountID,
			Kind: ActKind(r.Kind), Value: r.Was, At: now,
		}
		if r.Subject != nil {
			a.Subject = *r.Subject
		}
		if err := LockConversation(ctx, tx, a.Place); err != nil {
			return nil, err
		}
		current, err := valueOf(ctx, tx, a)
		if err != nil {
			return nil, err
		}
		if current != r.Became || r.Later {
			return nil, queries.ErrConflict
		}
		if err := set(ctx, tx, a); err != nil {
			return nil, err
		}
		if err := afterwards(ctx, tx, a); err != nil {
			return nil, err
		}
		undone, ids = append(undone, a.Place), append(ids, a.ID)
	}
	_, err = tx.Exec(ctx, undoneSQL, pgx.StrictNamedArgs{"ids": ids, "at": now})
	return undone, err
}

const settleSQL = `
with k as (
	select distinct u.sender_id, u.id
	from unnest(@senders::bigint[], @ids::uuid[]) as u (sender_id, id)
), s as (
	select k.sender_id, k.id, r.reviewed_at, r.account_id, r.events,
		(select x.rating from reviews x where x.sender_id = k.sender_id and x.conversation_id = k.id
			and x.rating is not null order by x.reviewed_at desc nulls last limit 1) as rating,
		r.reviewed_at is not null
			or exists (select from reviews x where x.sender_id = k.sender_id and x.conversation_id = k.id
				and x.rating is not null)
			or exists (select from conversation_tags x where x.sender_id = k.sender_id and x.conversation_id = k.id)
			or exists (select from notes x where x.sender_id = k.sender_id and x.conversation_id = k.id
				and x.deleted_at is null)
			or exists (select from message_marks x where x.sender_id = k.sender_id
				and x.conversation_id = k.id) as touched
	from k
	left join lateral (
		select x.reviewed_at, x.account_id, x.events
		from reviews x
		where x.sender_id = k.sender_id and x.conversation_id = k.id and x.reviewed_at is not null
		order by x.reviewed_at desc
		limit 1
	) as r on true
), gone as (
	delete from review_states v
	using s
	where v.sender_id = s.sender_id and v.conversation_id = s.id and not s.touched
)
insert into review_states (sender_id, conversation_id, touched_at, reviewed_at, reviewed_by, rating, events)
select s.sender_id, s.id, @now, s.reviewed_at, s.account_id, s.rating, coalesce(s.events, 0)
from s
where s.touched
order by s.sender_id, s.id
on conflict (sender_id, conversation_id) do update
set touched_at = excluded.touched_at, reviewed_at = excluded.reviewed_at, reviewed_by = excluded.reviewed_by,
	rating = excluded.rating, events = excluded.events`

// settle makes the states of conversations what their reviews, tags, notes and marks say.
func settle(ctx context.Context, tx pgx.Tx, touched []queries.ConversationKey, now time.Time) error {
	senders, ids := queries.KeyColumns(touched)
	if _, err := tx.Exec(ctx, settleSQL, pgx.StrictNamedArgs{"senders": senders, "ids": ids, "now": now}); err != nil {
		return fmt.Errorf("review states: %w", err)
	}
	return nil
}

// ParseReview reads what Review.Value wrote; what is none says nothing.
func ParseReview(value string) (r Review) {
	_ = json.Unmarshal([]byte(value), &r)
	return r
}
