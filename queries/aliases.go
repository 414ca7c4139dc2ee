package queries

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// Alias is another name of an assistant.
type Alias struct {
	Name      string
	Assistant string // whose events are those that name it
	CreatedAt time.Time
	By        string
}

const (
	aliasesSQL = `
select x.name, x.assistant, x.created_at, coalesce(u.name, '') as by
from assistant_aliases x
left join accounts u on u.id = x.created_by
order by x.assistant, x.name`
	addAliasSQL = `insert into assistant_aliases (name, assistant, created_at, created_by)
	values (@name, @assistant, @at, @by)`
	followAliasesSQL = `update assistant_aliases set assistant = @to where assistant = @from`
	dropAliasSQL     = `delete from assistant_aliases where name = @name returning assistant`
	hasAssistantSQL  = `select exists (select from assistants where name = @to) and not exists (select
	from assistant_aliases where name = @to), exists (select from assistant_aliases
		where name = @to and assistant <> @from)`
	copyAssistantSQL = `
insert into assistants (id, name, settings, created_at, changed_at, changed_by)
select @id, @to, settings, created_at, changed_at, changed_by from assistants where name = @from
on conflict (id) do update
set settings = excluded.settings, changed_at = excluded.changed_at, changed_by = excluded.changed_by`
	freeUUIDSQL      = `update assistants set uuid = gen_random_uuid() where name = @name`
	assistantUUIDSQL = `select uuid from assistants where name = @name`
	setUUIDSQL       = `update assistants set uuid = @uuid where name = @name`
	renameLimitsSQL  = `update accounts set assistants = array_replace(assistants, @from, @to)
	where @from = any(assistants)`
	renameReadersSQL = `update reader_limits set assistants = array_replace(assistants, @from, @to)
	where @from = any(assistants)`
	renameTokensSQL = `update tokens set assistants = array_replace(assistants, @from, @to), assistant =
	case when assistant = @from then @to else assistant end where @from = any(assistants) or assistant = @from`
	mergeTokensSQL = `update tokens set assistants = array_append(assistants, @to) where role = 'ingest'
	and @from = any(assistants) and not @to = any(assistants)`
	holdsFollowSQL = `update legal_holds set assistant = @to where assistant = @from`
	rulesFollowSQL = `update retention_rules r set assistant = @to where assistant = @from and not exists (select
	from retention_rules x where x.assistant = @to and x.environment = r.environment and x.channel = r.channel)`
	tagsFollowSQL = `update tags t set assistant = @to where assistant = @from and not exists (select from tags x
	where x.assistant = @to and lower(x.name) = lower(t.name))`
	notesFollowSQL    = `update chart_notes set assistant = @to where assistant = @from`
	criteriaFollowSQL = `update success_criteria set assistant_id = @to_id where assistant_id = @from_id`
	mergePreviewSQL   = `
select (select count(*) from senders where assistant_id = @id), (select count(*) from conversations
	where assistant_id = @id),
	(select count(*) from conversations where assistant_id = @id and removed > 0),
	(select count(*) from accounts where @name = any(assistants)) + (select count(*) from tokens
		where revoked_at is null and @name = any(assistants))`
	byUUIDSQL = `
select coalesce(x.assistant, a.name)
from assistants a
left join assistant_aliases x on x.name = a.name
where a.uuid = @uuid`
)

// Aliases returns all other names of assistants.
func Aliases(ctx context.Context, db DB) ([]Alias, error) {
	rows, _ := db.Query(ctx, aliasesSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Alias])
}

// AssistantByUUID returns the name of an assistant by its UUID, which a rename keeps; that of one which was merged is
// answered by the assistant that it was merged into. ErrNotFound for none.
func AssistantByUUID(ctx context.Context, db DB, id conversation.UUID) (string, error) {
	rows, _ := db.Query(ctx, byUUIDSQL, pgx.StrictNamedArgs{"uuid": id})
	name, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return name, err
}

// AssistantUUID returns the UUID of an assistant.
func AssistantUUID(ctx context.Context, db DB, name string) (conversation.UUID, error) {
	rows, _ := db.Query(ctx, assistantUUIDSQL, pgx.StrictNamedArgs{"name": name})
	id, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[conversation.UUID])
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return id, err
}

// MergePreview is what a merge or a rename moves.
type MergePreview struct {
	Senders, Conversations int64
	// of the conversations, those of which retention removed the texts: they stay under the old name
	WithoutTexts int64
	Limited      int64 // accounts and tokens that are limited to the old name
}

// PreviewMerge says what would move.
func PreviewMerge(ctx context.Context, db DB, from string) (p MergePreview, err error) {
	rows, _ := db.Query(ctx, mergePreviewSQL, pgx.StrictNamedArgs{
		"id": conversation.SmallID("assistant", from), "name": from,
	})
	_, err = pgx.ForEachRow(
		rows, []any{&p.Senders, &p.Conversations, &p.WithoutTexts, &p.Limited}, func() error { return nil },
	)
	return p, err
}

// MergeAssistant makes a name another one of an assistant, from now on; what is stored is to follow. To a name that no
// assistant has, that is a rename: settings, criteria, limits and UUID go with it.
func MergeAssistant(
	ctx context.Context, tx pgx.Tx, from, to string, by conversation.UUID, now time.Time,
) (renamed bool, err error) {
	both := pgx.StrictNamedArgs{"from": from, "to": to}
	var exists, taken bool
	rows, _ := tx.Query(ctx, hasAssistantSQL, both)
	if _, err := pgx.ForEachRow(rows, []any{&exists, &taken}, func() error { return nil }); err != nil {
		return false, err
	}
	if taken {
		return false, &metric.InputError{
			Field: "name",
			Msg:   "is another name of an assistant already; choose that assistant, or separate the name from it first",
		}
	}
	if _, err := tx.Exec(ctx, followAliasesSQL, both); err != nil {
		return false, fmt.Errorf("aliases of %q: %w", from, err)
	}
	if _, err := tx.Exec(ctx, dropAliasSQL, pgx.StrictNamedArgs{"name": to}); err != nil { // back to a name that it had
		return false, err
	}
	if _, err := tx.Exec(ctx, addAliasSQL, pgx.StrictNamedArgs{
		"name": from, "assistant": to, "at": now, "by": NullUUID(by),
	}); err != nil {
		return false, fmt.Errorf("alias %q: %w", from, err)
	}
	for _, sql := range []string{holdsFollowSQL, tagsFollowSQL, notesFollowSQL} {
		if _, err := tx.Exec(ctx, sql, both); err != nil {
			return false, fmt.Errorf("what is of %q: %w", from, err)
		}
	}
	if exists {
		if _, err := tx.Exec(ctx, endPatternsSQL, pgx.StrictNamedArgs{
			"assistant": conversation.SmallID("assistant", from), "now": now,
		}); err != nil {
			return false, fmt.Errorf("markers of %q: %w", from, err)
		}
		_, err := tx.Exec(ctx, mergeTokensSQL, both)
		return false, err
	}
	if _, err := tx.Exec(ctx, copyAssistantSQL, pgx.StrictNamedArgs{
		"id": conversation.SmallID("assistant", to), "to": to, "from": from,
	}); err != nil {
		return true, fmt.Errorf("assistant %q: %w", to, err)
	}
	id, err := AssistantUUID(ctx, tx, from)
	if err != nil {
		return true, err
	}
	if _, err := tx.Exec(ctx, freeUUIDSQL, pgx.StrictNamedArgs{"name": from}); err != nil {
		return true, err
	}
	if _, err := tx.Exec(ctx, setUUIDSQL, pgx.StrictNamedArgs{"name": to, "uuid": id}); err != nil {
		return true, err
	}
	for _, sql := range []string{renameLimitsSQL, renameReadersSQL, renameTokensSQL, rulesFollowSQL} {
		if _, err := tx.Exec(ctx, sql, both); err != nil {
			return true, fmt.Errorf("limits to %q: %w", from, err)
		}
	}
	for _, sql := range []string{criteriaFollowSQL, patternsFollowSQL} {
		if _, err = tx.Exec(ctx, sql, pgx.StrictNamedArgs{
			"from_id": conversation.SmallID("assistant", from), "to_id": conversation.SmallID("assistant", to),
		}); err != nil {
			return true, err
		}
	}
	return true, nil
}

// SeparateAssistant makes a name that of an assistant of its own again, from now on; what came by it is to follow. It
// returns whose it was, or ErrNotFound.
func SeparateAssistant(ctx context.Context, tx pgx.Tx, name string) (from string, err error) {
	rows, _ := tx.Query(ctx, dropAliasSQL, pgx.StrictNamedArgs{"name": name})
	from, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return from, err
}

// Survivors has a filter ask for the assistants that the names and UUIDs in it belong to now.
func Survivors(ctx context.Context, db DB, f metric.Filter) (metric.Filter, error) {
	if len(f.Assistants)+len(f.Not.Assistants) == 0 {
		return f, nil
	}
	all, err := Aliases(ctx, db)
	if err != nil {
		return f, err
	}
	now := map[string]string{}
	for _, name := range slices.Concat(f.Assistants, f.Not.Assistants) { // or its UUID
		id, err := conversation.ParseUUID(name)
		if err != nil {
			continue
		}
		to, err := AssistantByUUID(ctx, db, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return f, err
		}
		if err == nil {
			now[name] = to
		}
	}
	for _, a := range all {
		now[a.Name] = a.Assistant
	}
	resolve := func(names []string) (out []string) {
		for _, n := range names {
			if to, ok := now[n]; ok {
				n = to
			}
			out = append(out, n)
		}
		return out
	}
	f.Assistants, f.Not.Assistants = resolve(f.Assistants), resolve(f.Not.Assistants)
	return f, nil
}

// LimitTo narrows a filter to what who asks may see, after the names in it are those of today; none: not limited.
func LimitTo(ctx context.Context, db DB, f metric.Filter, limits []string) (metric.Filter, error) {
	f, err := Survivors(ctx, db, f)
	return f.LimitTo(limits), err
}

// What reviewers made of conversations, and holds on them, follow these to other ids. Where two become one, what the
// other has stays.
var moveConversationsSQL = []string{
	`update conversation_tags t set sender_id = @to, conversation_id = k.new
	from unnest(@olds::uuid[], @news::uuid[]) as k (old, new) where t.sender_id = @from and t.conversation_id = k.old
		and not exists (select from conversation_tags x where x.sender_id = @to and x.conversation_id = k.new
			and x.tag_id = t.tag_id)`,
	`update notes t set sender_id = @to, conversation_id = k.new from unnest(@olds::uuid[], @news::uuid[]) as k (old,
	new) where t.sender_id = @from and t.conversation_id = k.old`,
	`update message_marks t set sender_id = @to, conversation_id = k.new
	from unnest(@olds::uuid[], @news::uuid[]) as k (old, new) where t.sender_id = @from and t.conversation_id = k.old
		and not exists (select from message_marks x where x.sender_id = @to and x.conversation_id = k.new
			and x.message_id = t.message_id and x.account_id = t.account_id)`,
	`update reviews t set sender_id = @to, conversation_id = k.new
	from unnest(@olds::uuid[], @news::uuid[]) as k (old, new) where t.sender_id = @from and t.conversation_id = k.old
		and not exists (select from reviews x where x.sender_id = @to and x.conversation_id = k.new
			and x.account_id = t.account_id)`,
	`update review_states t set sender_id = @to, conversation_id = k.new
	from unnest(@olds::uuid[], @news::uuid[]) as k (old, new) where t.sender_id = @from and t.conversation_id = k.old
		and not exists (select from review_states x where x.sender_id = @to and x.conversation_id = k.new)`,
	`update review_acts t set sender_id = @to, conversation_id = k.new
	from unnest(@olds::uuid[], @news::uuid[]) as k (old, new) where t.sender_id = @from and t.conversation_id = k.old`,
	`update queue_items t set sender_id = @to, conversation_id = k.new
	from unnest(@olds::uuid[], @news::uuid[]) as k (old, new) where t.sender_id = @from and t.conversation_id = k.old
		and not exists (select from queue_items x where x.queue_id = t.queue_id and x.sender_id = @to
			and x.conversation_id = k.new)`,
	`update legal_holds t set conversation_id = k.new from unnest(@olds::uuid[], @news::uuid[]) as k (old, new)
	where t.conversation_id = k.old and @from::bigint <> @to::bigint`,
	`update outgoing_deliveries t set sender_id = @to, conversation_id = k.new
	from unnest(@olds::uuid[], @news::uuid[]) as k (old, new) where t.sender_id = @from and t.conversation_id = k.old`,
	`delete from conversation_texts where sender_id = @from and conversation_id = any(@olds::uuid[])`,
}

// MoveConversations has what people made of a sender's conversations follow them to another sender and other ids. The
// facts themselves are written anew by ingest.
func MoveConversations(ctx context.Context, tx pgx.Tx, from, to int64, olds, news []conversation.UUID) error {
	if len(olds) == 0 {
		return nil
	}
	for _, sql := range moveConversationsSQL {
		args := pgx.NamedArgs{"from": from, "to": to, "olds": UUIDs(olds), "news": UUIDs(news)}
		if _, err := tx.Exec(ctx, sql, args); err != nil {
			return fmt.Errorf("move what was made of conversations: %w", err)
		}
	}
	return nil
}

const conversationsAtSQL = `
select k.n, e.conversation_id
from unnest(@ats::bigint[], @hashes::bigint[]) with ordinality as k (at, hash, n)
join events e on e.sender_id = @sender and e.at = timestamptz 'epoch' + k.at * interval '1 microsecond'
	and e.body_hash = k.hash`

// ConversationsAt returns in which conversations of a sender events stand, by their times and bodies; zero where one is
// not found.
func ConversationsAt(ctx context.Context, tx pgx.Tx, sender int64, ats, hashes []int64) ([]conversation.UUID, error) {
	out := make([]conversation.UUID, len(ats))
	rows, _ := tx.Query(ctx, conversationsAtSQL, pgx.StrictNamedArgs{"sender": sender, "ats": ats, "hashes": hashes})
	var n int64
	var id [16]byte
	_, err := pgx.ForEachRow(rows, []any{&n, &id}, func() error {
		out[n-1] = id
		return nil
	})
	return out, err
}

const rekeyOriginalsSQL = `
update event_originals o
set sender_id = @to, event_id = k.new
from unnest(@olds::uuid[], @news::uuid[]) as k (old, new)
where o.sender_id = @from and o.event_id = k.old and not exists (select from event_originals x where x.sender_id = @to
	and x.event_id = k.new)`

var forgetSenderSQL = []string{
	`delete from projections where sender_id = @sender`,
	`insert into user_marks (assistant_id, sender_key)
	select assistant_id, sender_key from senders where id = @sender and aliases <> '{}'
	on conflict (assistant_id, sender_key) do update set sender_key = excluded.sender_key`,
	`delete from senders where id = @sender`,
}

// RekeyOriginals has the exact bytes of events follow them to another sender and other ids.
func RekeyOriginals(ctx context.Context, tx pgx.Tx, from, to int64, olds, news []conversation.UUID) error {
	_, err := tx.Exec(ctx, rekeyOriginalsSQL, pgx.StrictNamedArgs{
		"from": from, "to": to, "olds": UUIDs(olds), "news": UUIDs(news),
	})
	return err
}

// ForgetSender deletes a sender of whom nothing is left.
func ForgetSender(ctx context.Context, tx pgx.Tx, sender int64) error {
	for _, sql := range forgetSenderSQL {
		if _, err := tx.Exec(ctx, sql, pgx.StrictNamedArgs{"sender": sender}); err != nil {
			return err
		}
	}
	return nil
}
