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

// Work is all that reviewers made of one conversation.
type Work struct {
	State      string // one of metric.ReviewStates
	ReviewedAt *time.Time
	By         string // who marked it as reviewed last
	Later      int32  // events that came since
	Own        Review // the user's
	Others     []OtherReview
	Tags       []Tag
	Notes      []Note
	Marks      []MessageMark
	History    []HistoryAct // the newest first
}

// OtherReview is that of a colleague.
type OtherReview struct {
	By         string
	Rating     int16
	ReviewedAt *time.Time
}

// Note is on a conversation, or on a message of it.
type Note struct {
	ID        conversation.UUID
	MessageID *conversation.UUID
	AccountID conversation.UUID
	By        string
	Text      string
	Revision  int32
	CreatedAt time.Time
	EditedAt  *time.Time
}

// MessageMark is a reviewer's mark on a message.
type MessageMark struct {
	MessageID conversation.UUID
	AccountID conversation.UUID
	By        string
	Mark      string
}

// HistoryAct is an act as the history tells it.
type HistoryAct struct {
	ID        conversation.UUID
	AccountID conversation.UUID
	By        string
	At        time.Time
	Kind      string
	Name      string // of the tag
	Was       string
	Became    string
	UndoneAt  *time.Time
}

const (
	workStateSQL = `
select v.reviewed_at, coalesce(u.name, '') as by, v.events
from review_states v
left join accounts u on u.id = v.reviewed_by
where v.sender_id = @sender and v.conversation_id = @conversation`
	ownReviewSQL = `
select coalesce(rating, 0) as rating, reviewed_at, events, spent_ms
from reviews
where sender_id = @sender and conversation_id = @conversation and account_id = @user`
	otherReviewsSQL = `
select u.name as by, coalesce(r.rating, 0::smallint) as rating, r.reviewed_at
from reviews r
join accounts u on u.id = r.account_id
where r.sender_id = @sender and r.conversation_id = @conversation and r.account_id <> @user
order by r.reviewed_at nulls last, u.name
limit 50`
	tagsOfSQL = `
select t.id, t.assistant, t.name, t.description, t.color, t.revision, x.tagged_at as created_at, u.name as by,
	0::bigint as conversations
from conversation_tags x
join tags t on t.id = x.tag_id
join accounts u on u.id = x.account_id
where x.sender_id = @sender and x.conversation_id = @conversation
order by lower(t.name)
limit 200`
	notesOfSQL = `
select n.id, n.message_id, n.account_id, u.name as by, n.text, n.revision, n.created_at, n.edited_at
from notes n
join accounts u on u.id = n.account_id
where n.sender_id = @sender and n.conversation_id = @conversation and n.deleted_at is null
order by n.created_at, n.id
limit 500`
	marksOfSQL = `
select m.message_id, m.account_id, u.name as by, m.mark
from message_marks m
join accounts u on u.id = m.account_id
where m.sender_id = @sender and m.conversation_id = @conversation
order by m.marked_at
limit 2000`
	historyOfSQL = `
select a.id, a.account_id, u.name as by, a.at, a.kind, coalesce(t.name, '') as name, a.was, a.became, a.undone_at
from review_acts a
join accounts u on u.id = a.account_id
left join tags t on a.kind = 'tag' and t.id = a.subject
where a.sender_id = @sender and a.conversation_id = @conversation
order by a.n desc
limit 100`
)

// WorkOf returns what reviewers made of a conversation that has so many events.
func WorkOf(
	ctx context.Context, db queries.Sight, p queries.ConversationKey, events int32, user conversation.UUID,
) (w Work, err error) {
	var q pgx.Batch
	args := pgx.StrictNamedArgs{"sender": p.SenderID, "conversation": p.ID}
	mine := pgx.StrictNamedArgs{"sender": p.SenderID, "conversation": p.ID, "user": user}
	q.Queue(workStateSQL, args)
	q.Queue(ownReviewSQL, mine)
	q.Queue(otherReviewsSQL, mine)
	for _, sql := range []string{tagsOfSQL, notesOfSQL, marksOfSQL, historyOfSQL} {
		q.Queue(sql, args)
	}
	res := db.SendBatch(ctx, &q)
	defer res.Close()
	type state struct {
		ReviewedAt *time.Time
		By         string
		Events     int32
	}
	rows, _ := res.Query()
	v, err := queries.One[state](rows)
	switch {
	case errors.Is(err, queries.ErrNotFound):
		w.State = metric.Unreviewed
	case err != nil:
		return w, fmt.Errorf("review state: %w", err)
	default:
		w.State, w.ReviewedAt, w.By = metric.PartiallyReviewed, v.ReviewedAt, v.By
		if v.ReviewedAt != nil && v.Events == events {
			w.State = metric.Reviewed
		} else if v.ReviewedAt != nil {
			w.Later = events - v.Events
		}
	}
	rows, _ = res.Query()
	if w.Own, err = queries.One[Review](rows); err != nil && !errors.Is(err, queries.ErrNotFound) {
		return w, fmt.Errorf("own review: %w", err)
	}
	rows, _ = res.Query()
	if w.Others, err = pgx.CollectRows(rows, pgx.RowToStructByName[OtherReview]); err != nil {
		return w, fmt.Errorf("reviews: %w", err)
	}
	rows, _ = res.Query()
	if w.Tags, err = pgx.CollectRows(rows, pgx.RowToStructByName[Tag]); err != nil {
		return w, fmt.Errorf("tags: %w", err)
	}
	rows, _ = res.Query()
	if w.Notes, err = pgx.CollectRows(rows, pgx.RowToStructByName[Note]); err != nil {
		return w, fmt.Errorf("notes: %w", err)
	}
	rows, _ = res.Query()
	if w.Marks, err = pgx.CollectRows(rows, pgx.RowToStructByName[MessageMark]); err != nil {
		return w, fmt.Errorf("marks: %w", err)
	}
	rows, _ = res.Query()
	if w.History, err = pgx.CollectRows(rows, pgx.RowToStructByName[HistoryAct]); err != nil {
		return w, fmt.Errorf("history: %w", err)
	}
	return w, nil
}

// Worked is what the list shows of a conversation's review.
type Worked struct {
	State  string
	Rating int16
	Tags   []string
	Colors []int16
	Notes  int64
}

const workedSQL = `
select k.id, v.reviewed_at is not null as reviewed, v.events, coalesce(v.rating, 0::smallint) as rating,
	array(select t.name from conversation_tags x join tags t on t.id = x.tag_id where x.sender_id = k.sender_id
		and x.conversation_id = k.id order by lower(t.name), t.id) as tags,
	array(select t.color from conversation_tags x join tags t on t.id = x.tag_id where x.sender_id = k.sender_id
		and x.conversation_id = k.id order by lower(t.name), t.id) as colors,
	(select count(*) from notes n where n.sender_id = k.sender_id and n.conversation_id = k.id
		and n.deleted_at is null) as notes
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
join review_states v on v.sender_id = k.sender_id and v.conversation_id = k.id`

// WorkedOn returns what was made of those conversations of a list that somebody worked on.
func WorkedOn(
	ctx context.Context, db queries.DB, list []queries.ListedConversation,
) (map[conversation.UUID]Worked, error) {
	all := make([]queries.ConversationKey, len(list))
	events := make(map[conversation.UUID]int32, len(list))
	for i, c := range list {
		all[i], events[c.ID] = queries.ConversationKey{SenderID: c.SenderID, ID: c.ID}, c.Events
	}
	senders, ids := queries.KeyColumns(all)
	rows, _ := db.Query(ctx, workedSQL, pgx.StrictNamedArgs{"senders": senders, "ids": ids})
	out := map[conversation.UUID]Worked{}
	var id conversation.UUID
	var reviewed bool
	var then int32
	var w Worked
	_, err := pgx.ForEachRow(rows, []any{&id, &reviewed, &then, &w.Rating, &w.Tags, &w.Colors, &w.Notes}, func() error {
		if w.State = metric.PartiallyReviewed; reviewed && then == events[id] {
			w.State = metric.Reviewed
		}
		out[id] = w
		w.Tags, w.Colors = nil, nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reviews of a list: %w", err)
	}
	return out, nil
}

const colleaguesSQL = `
select id, name, email
from accounts
where not disabled and role <> 'viewer' and coalesce(transcripts, true)
order by lower(name), id
limit 1000`

// Colleague is somebody who may review.
type Colleague struct {
	ID    conversation.UUID
	Name  string
	Email string
}

// Colleagues returns who may review, by name.
func Colleagues(ctx context.Context, db queries.DB) ([]Colleague, error) {
	rows, _ := db.Query(ctx, colleaguesSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Colleague])
}

const mentionSQL = `
insert into mentions (note_id, account_id)
select @note, u.id
from accounts u
where u.id = any(@users::uuid[]) and u.id <> @by
on conflict (account_id, note_id) do nothing`

// Mention has a note call colleagues, each once.
func Mention(ctx context.Context, db queries.DB, note, by conversation.UUID, users []conversation.UUID) error {
	if len(users) == 0 {
		return nil
	}
	_, err := db.Exec(ctx, mentionSQL, pgx.StrictNamedArgs{"note": note, "by": by, "users": queries.UUIDs(users)})
	return err
}

// MentionOf is a note that calls a user.
type MentionOf struct {
	NoteID         conversation.UUID
	ConversationID conversation.UUID
	MessageID      *conversation.UUID
	By             string
	Text           string
	CreatedAt      time.Time
	SeenAt         *time.Time
}

const mentionsSQL = `
select n.id as note_id, n.conversation_id, n.message_id, u.name as by, n.text, n.created_at, m.seen_at
from mentions m
join notes n on n.id = m.note_id
join accounts u on u.id = n.account_id
join accounts me on me.id = m.account_id
where m.account_id = @user and n.deleted_at is null and (me.assistants is null or exists (
	select from conversations c join assistants a on a.id = c.assistant_id
	where c.sender_id = n.sender_id and c.id = n.conversation_id and a.name = any(me.assistants)))
order by m.seen_at is not null, n.created_at desc
limit 30`

// Mentions returns the notes that call a user: those not seen first, the newest first.
func Mentions(ctx context.Context, db queries.Sight, user conversation.UUID) ([]MentionOf, error) {
	rows, _ := db.Query(ctx, mentionsSQL, pgx.StrictNamedArgs{"user": user})
	return pgx.CollectRows(rows, pgx.RowToStructByName[MentionOf])
}

const seenMentionsSQL = `
update mentions m
set seen_at = @now
from notes n
where m.account_id = @user and m.seen_at is null and n.id = m.note_id and n.sender_id = @sender
	and n.conversation_id = @conversation`

// SawMentions notes that a user opened a conversation in which notes call him.
func MarkMentionsRead(
	ctx context.Context, db queries.DB, p queries.ConversationKey, user conversation.UUID, now time.Time,
) error {
	_, err := db.Exec(ctx, seenMentionsSQL, pgx.StrictNamedArgs{
		"user": user, "now": now, "sender": p.SenderID, "conversation": p.ID,
	})
	return err
}

const noteByIDSQL = `
select n.id, n.message_id, n.account_id, u.name as by, n.text, n.revision, n.created_at, n.edited_at
from notes n
join accounts u on u.id = n.account_id
where n.id = @id and n.sender_id = @sender and n.conversation_id = @conversation and n.deleted_at is null
for update of n`

// NoteByID returns a note of a conversation, locked, or ErrNotFound.
func NoteByID(ctx context.Context, tx pgx.Tx, p queries.ConversationKey, id conversation.UUID) (Note, error) {
	rows, _ := tx.Query(ctx, noteByIDSQL, pgx.StrictNamedArgs{"id": id, "sender": p.SenderID, "conversation": p.ID})
	return queries.One[Note](rows)
}

const hasMessageSQL = `
select exists (
	select
	from conversations c
	join messages m on m.sender_id = c.sender_id and m.at between c.started_at and c.last_at
		and m.conversation_id = c.id
	where c.sender_id = @sender and c.id = @conversation and m.id = @message)`

// HasMessage tells whether a message is one of the conversation.
func HasMessage(
	ctx context.Context, db queries.DB, p queries.ConversationKey, message conversation.UUID,
) (bool, error) {
	rows, _ := db.Query(ctx, hasMessageSQL, pgx.StrictNamedArgs{
		"sender": p.SenderID, "conversation": p.ID, "message": message,
	})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
}
