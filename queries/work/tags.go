package work

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// Tag is a label for conversations.
type Tag struct {
	ID            conversation.UUID
	Assistant     string // "" for all
	Name          string
	Description   string
	Color         int16
	Revision      int32
	CreatedAt     time.Time
	By            string
	Conversations int64 // that have it
}

const tagsSQL = `
select t.id, t.assistant, t.name, t.description, t.color, t.revision, t.created_at, u.name as by,
	(
		select count(distinct (c.sender_id, c.id))
		from tags s
		join conversation_tags x on x.tag_id = s.id
		join conversations c on c.sender_id = x.sender_id and c.id = x.conversation_id
		join assistants a on a.id = c.assistant_id
		where lower(s.name) = lower(t.name) and (t.assistant = '' or a.name = t.assistant)
			and (@limits::text[] is null or a.name = any(@limits))) as conversations
from tags t
join accounts u on u.id = t.created_by
order by lower(t.name), t.assistant
limit 2000`

// Tags returns all tags by name, with how many conversations of the assistants have each; nil: of all.
func Tags(ctx context.Context, db queries.DB, limits []string) ([]Tag, error) {
	rows, _ := db.Query(ctx, tagsSQL, pgx.StrictNamedArgs{"limits": limits})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Tag])
}

const tagChoicesSQL = `
select t.id, t.assistant, t.name, t.description, t.color, t.revision, t.created_at, '' as by, 0::bigint as conversations
from tags t
where (t.assistant = '' or @assistant::text = '' or t.assistant = @assistant)
	and (t.assistant = '' or @limits::text[] is null or t.assistant = any(@limits))
order by lower(t.name), t.assistant
limit 2000`

// TagChoices returns the tags that a conversation of the assistant may have ("": those of all), by name, without their
// numbers.
func TagChoices(ctx context.Context, db queries.DB, assistant string, limits []string) ([]Tag, error) {
	rows, _ := db.Query(ctx, tagChoicesSQL, pgx.StrictNamedArgs{"assistant": assistant, "limits": limits})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Tag])
}

const insertTagSQL = `
insert into tags (id, assistant, name, description, color, created_at, created_by)
values (@id, @assistant, @name, @description, @color, @at, @by)`

// AddTag makes a tag; ErrConflict when there is one of that name for that assistant.
func AddTag(ctx context.Context, db queries.DB, t Tag, by conversation.UUID) error {
	_, err := db.Exec(ctx, insertTagSQL, pgx.StrictNamedArgs{
		"id": t.ID, "assistant": t.Assistant, "name": t.Name, "description": t.Description, "color": t.Color,
		"at": t.CreatedAt, "by": by,
	})
	return queries.Unique(err)
}

const changeTagSQL = `
update tags
set name = @name, description = @description, color = @color, revision = revision + 1
where id = @id and revision = @revision
returning id`

const tagNameSQL = `select name from tags where id = @id for update`

// ChangeTag renames, describes and colours a tag. ErrConflict says that somebody changed it meanwhile, or that the name
// is taken.
func ChangeTag(ctx context.Context, tx pgx.Tx, t Tag) error {
	rows, _ := tx.Query(ctx, tagNameSQL, pgx.StrictNamedArgs{"id": t.ID})
	old, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(old) == 0 {
		return cmp.Or(err, queries.ErrNotFound)
	}
	rows, _ = tx.Query(ctx, changeTagSQL, pgx.StrictNamedArgs{
		"id": t.ID, "name": t.Name, "description": t.Description, "color": t.Color, "revision": t.Revision,
	})
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return queries.Unique(err)
	}
	if len(ids) == 0 {
		return queries.ErrConflict
	}
	if old[0] == t.Name {
		return nil
	}
	touched, err := tagged(ctx, tx, t.ID)
	if err != nil {
		return err
	}
	return retagged(ctx, tx, touched)
}

// tagged returns the conversations that have a tag.
func tagged(ctx context.Context, tx pgx.Tx, tag conversation.UUID) ([]queries.ConversationKey, error) {
	rows, _ := tx.Query(ctx, taggedSQL, pgx.StrictNamedArgs{"id": tag})
	return pgx.CollectRows(rows, pgx.RowToStructByName[queries.ConversationKey])
}

// retagged has conversations indexed and judged again whose tags changed.
func retagged(ctx context.Context, tx pgx.Tx, touched []queries.ConversationKey) error {
	if err := markTagged(ctx, tx, touched); err != nil {
		return err
	}
	senders := make([]int64, len(touched))
	for i, p := range touched {
		senders[i] = p.SenderID
	}
	return queries.RefreshTexts(ctx, tx, senders)
}

func markTagged(ctx context.Context, tx pgx.Tx, touched []queries.ConversationKey) error {
	senders, ids := queries.KeyColumns(touched)
	if _, err := tx.Exec(ctx, queries.MarkTaggedSQL, pgx.StrictNamedArgs{"senders": senders, "ids": ids}); err != nil {
		return fmt.Errorf("mark what is judged by tags: %w", err)
	}
	return nil
}

const (
	mergeTagSQL = `
insert into conversation_tags (sender_id, conversation_id, tag_id, account_id, tagged_at)
select sender_id, conversation_id, @into, account_id, tagged_at
from conversation_tags
where tag_id = @id
order by sender_id, conversation_id
on conflict (sender_id, conversation_id, tag_id) do nothing`
	mergeableTagSQL = `select count(*) from tags a, tags b where a.id = @id and b.id = @into and a.id <> b.id
	and (b.assistant = '' or b.assistant = a.assistant)`
	deleteTagSQL = `delete from tags where id = @id returning id`
	taggedSQL    = `select distinct sender_id, conversation_id as id from conversation_tags where tag_id = @id`
)

// MergeTag gives all conversations of one tag another, and deletes the first.
func MergeTag(ctx context.Context, tx pgx.Tx, id, into conversation.UUID, now time.Time) error {
	args := func() pgx.StrictNamedArgs {
		return pgx.StrictNamedArgs{"id": id, "into": into}
	}
	rows, _ := tx.Query(ctx, mergeableTagSQL, args())
	n, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	if err == nil && n == 0 {
		err = &metric.InputError{Field: "into", Msg: "is a tag of the same assistant, or of all"}
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, mergeTagSQL, args()); err != nil {
		return fmt.Errorf("merge tags: %w", err)
	}
	return DeleteTag(ctx, tx, id, now)
}

// DeleteTag deletes a tag and takes it from its conversations.
func DeleteTag(ctx context.Context, tx pgx.Tx, id conversation.UUID, now time.Time) error {
	touched, err := tagged(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := queries.Changed(ctx, tx, deleteTagSQL, pgx.StrictNamedArgs{"id": id}); err != nil {
		return err
	}
	if err := settle(ctx, tx, touched, now); err != nil {
		return err
	}
	return retagged(ctx, tx, touched)
}
