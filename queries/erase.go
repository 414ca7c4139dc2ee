package queries

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// Subject is a sender of a person: one end user on one channel of one assistant.
type Subject struct {
	SenderID      int64
	Assistant     string
	SenderKey     string
	UserID        string // "" when the platform does not tell it
	Conversations int64
	First, Last   *time.Time
	Held          bool // a legal hold keeps it
	// the user ids that its conversations tell: more than one for a sender that several people share
	Users []string
	// other ids of the user, as the platform tells them
	Aliases []string
}

const personSQL = `
with found as materialized (
	select s.id, s.user_id from senders s where s.sender_key = @who
	union
	select s.id, s.user_id from senders s where s.user_id = @who
	union
	select c.sender_id, c.user_id from conversations c where c.user_id = @who
	union
	select s.id, s.user_id from senders s where s.aliases @> array[@who::text]
), names as materialized (
	select user_id as name from found where user_id <> ''
	union
	select unnest(s.aliases) from senders s join found f on f.id = s.id or f.user_id <> '' and s.user_id = f.user_id
), person as materialized (
	select id from found
	union
	select s.id from senders s join names n on s.user_id = n.name
	union
	select s.id from senders s join names n on s.aliases @> array[n.name]
	union
	select c.sender_id from conversations c join names n on c.user_id = n.name
)
select s.id as sender_id, a.name as assistant, s.sender_key, s.user_id, coalesce(n.conversations, 0) as conversations,
	n.first, n.last, coalesce(n.held, false) as held, coalesce(n.users, '{}') as users, s.aliases
from senders s
join assistants a on a.id = s.assistant_id
left join lateral (
	select count(*) filter (where not c.journal) as conversations, min(c.started_at) as first,
		max(c.last_at) as last, bool_or(` + heldText + `) as held, array_agg(distinct c.user_id) filter (where c.user_id <> '') as users
	from ` + keptText + `
	where c.sender_id = s.id
) n on true
where s.id in (select id from person)
order by a.name, s.sender_key
limit @limit`

// MostSenders is how many senders a person has at most: more are no person.
const MostSenders = 200

// Person returns the senders of whom a sender key or user id is, and the others that share a user id with them; an
// *metric.InputError when they are too many.
func Person(ctx context.Context, db Sight, who string) ([]Subject, error) {
	if who == "" {
		return nil, nil
	}
	rows, _ := db.Query(ctx, personSQL, pgx.StrictNamedArgs{"who": who, "limit": MostSenders + 1})
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Subject])
	if err == nil && len(all) > MostSenders {
		err = &metric.InputError{
			Field: "person", Msg: "has more than 200 senders: that is no person, but an id that many share",
		}
	}
	return all, err
}

const personConversationsSQL = `select id from conversations where sender_id = any(@senders::bigint[])
	order by started_at, id`

// ConversationsOf returns the conversations of senders, the oldest first.
func ConversationsOf(ctx context.Context, db DB, senders []int64) ([]conversation.UUID, error) {
	rows, _ := db.Query(ctx, personConversationsSQL, pgx.StrictNamedArgs{"senders": senders})
	return pgx.CollectRows(rows, pgx.RowTo[conversation.UUID])
}

// eraseFactsSQL removes, table by table, all that belongs to senders.
var eraseFactsSQL = []string{
	`delete from rollup_arrivals where sender_id = any(@senders::bigint[])`,
	`delete from conversation_persons where sender_id = any(@senders::bigint[])`,
	`delete from schedule_rows r where r.row_id in (
		select id from conversations where sender_id = any(@senders::bigint[]) union all select id from messages
			where sender_id = any(@senders::bigint[]) union all select id from events
				where sender_id = any(@senders::bigint[]))`,
	`delete from events where sender_id = any(@senders::bigint[])`,
	`delete from event_payloads where sender_id = any(@senders::bigint[])`,
	`delete from event_originals where sender_id = any(@senders::bigint[])`,
	`delete from messages where sender_id = any(@senders::bigint[])`,
	`delete from turns where sender_id = any(@senders::bigint[])`,
	`delete from flow_runs where sender_id = any(@senders::bigint[])`,
	`delete from flow_steps where sender_id = any(@senders::bigint[])`,
	`delete from commands where sender_id = any(@senders::bigint[])`,
	`delete from slots where sender_id = any(@senders::bigint[])`,
	`delete from markers where sender_id = any(@senders::bigint[])`,
	`delete from agent_segments where sender_id = any(@senders::bigint[])`,
	`delete from state_changes where sender_id = any(@senders::bigint[])`,
	`delete from turn_facts where sender_id = any(@senders::bigint[])`,
	`delete from calls where sender_id = any(@senders::bigint[])`,
	`delete from feedback where sender_id = any(@senders::bigint[])`,
	`delete from scores where sender_id = any(@senders::bigint[])`,
	`delete from activities where sender_id = any(@senders::bigint[])`,
	`delete from agent_logins where sender_id = any(@senders::bigint[])`,
	`delete from journals where sender_id = any(@senders::bigint[])`,
	`delete from conversation_texts where sender_id = any(@senders::bigint[])`,
	`delete from conversation_tags where sender_id = any(@senders::bigint[])`,
	`delete from notes where sender_id = any(@senders::bigint[])`,
	`delete from reveals where sender_id = any(@senders::bigint[])`,
	`delete from message_marks where sender_id = any(@senders::bigint[])`,
	`delete from reviews where sender_id = any(@senders::bigint[])`,
	`delete from review_states where sender_id = any(@senders::bigint[])`,
	`delete from review_acts where sender_id = any(@senders::bigint[])`,
	`delete from queue_items where sender_id = any(@senders::bigint[])`,
	`delete from bulk_items where sender_id = any(@senders::bigint[])`,
	`delete from removed_users k using senders s
		where s.id = any(@senders::bigint[]) and k.assistant_id = s.assistant_id
			and k.person in (s.id, hashtextextended(s.user_id, s.assistant_id))`,
	`delete from user_marks k using senders s
		where s.id = any(@senders::bigint[]) and k.assistant_id = s.assistant_id and k.sender_key = s.sender_key`,
	`delete from user_names k using senders s
		where s.id = any(@senders::bigint[]) and k.assistant_id = s.assistant_id
			and (k.names && s.aliases or k.name in (s.user_id, s.sender_key))`,
	`delete from conversations where sender_id = any(@senders::bigint[])`,
	`delete from outgoing_deliveries where sender_id = any(@senders::bigint[])`,
	`delete from projections where sender_id = any(@senders::bigint[])`,
	`delete from senders where id = any(@senders::bigint[])`,
}

// tableOf is the table that a statement deletes from.
func tableOf(sql string) string { return strings.Fields(sql)[2] }

// ErasedTables are the tables from which all of a sender is removed.
func ErasedTables() (all []string) {
	for _, sql := range eraseFactsSQL {
		all = append(all, tableOf(sql))
	}
	return all
}

// eraseRejectedSQL and those after it remove what holds one of the strings that name a person, and files in which the
// person may be.
const (
	rejectedOfSQL = `
select r.id, r.body
from rejected_events r
where exists (select from unnest(@quoted::text[]) as s (t) where position(convert_to(s.t, 'UTF8') in r.body) > 0)`
	eraseNamedSQL       = `update activities set user_id = '' where user_id = any(@names::text[])`
	eraseNamedBodiesSQL = `
update event_payloads p
set bodies = replace(replace(p.bodies, '"user_id":' || @id::text, '"user_id":""'), '"user_id": ' || @id::text, '"user_id":""')
from journals j
where j.sender_id = p.sender_id and j.id = p.conversation_id and p.at between j.started_at and j.last_at
	and (position('"user_id":' || @id::text in p.bodies) > 0 or position('"user_id": ' || @id::text in p.bodies) > 0)`
	eraseRejectedSQL = `delete from rejected_events where id = any(@ids::uuid[])`
	searchMarkSQL    = `insert into search_marks (senders) values (@senders::bigint[])`
	heldSendersSQL   = `select exists (select from ` + keptText + ` where c.sender_id = any(@senders::bigint[]) and ` +
		heldText + `)`
	eraseNotesSQL = `
delete from notes n
where exists (select from unnest(@strings::text[]) as s (t) where position(lower(s.t) in lower(n.text)) > 0)`
	eraseActsSQL = `
delete from review_acts a
where exists (select from unnest(@strings::text[]) as s (t)
	where position(lower(s.t) in lower(a.was || ' ' || a.became)) > 0)`
	eraseChartNotesSQL = `
delete from chart_notes n
where exists (select from unnest(@strings::text[]) as s (t) where position(lower(s.t) in lower(n.text)) > 0)`
	eraseViewsSQL = `
delete from saved_views v
where exists (select from unnest(@encoded::text[]) as s (t) where position('&' || s.t || '&' in '&' || v.query
	|| '&') > 0)`
	eraseExportsSQL = `
with gone as (
	update exports e
	set title = case when exists (select from unnest(@encoded::text[]) as s (t)
		where position('&' || s.t || '&' in '&' || e.query || '&') > 0) then 'Export' else title end,
		query = case when exists (select from unnest(@encoded::text[]) as s (t)
			where position('&' || s.t || '&' in '&' || e.query || '&') > 0) then '' else query end,
		state = 'cancelled', error = 'was removed: somebody in it was erased', expires_at = @now
	where e.created_at >= @since and e.grain <> ''
	returning e.id
)
delete from export_parts p using gone where p.export_id = gone.id`
	eraseReportsSQL = `delete from report_files f using report_runs r where r.id = f.run_id and r.created_at >= @since`
	namesStillSQL   = `
select 'queue ' || q.name from queues q where exists (select from unnest(@encoded::text[]) as s (t)
	where position('&' || s.t || '&' in '&' || q.query || '&') > 0)
union all
select 'report ' || q.name from schedules q where exists (select from unnest(@encoded::text[]) as s (t)
	where position('&' || s.t || '&' in '&' || q.query || '&') > 0)
order by 1`
	eraseHoldsSQL = `update legal_holds h set person = @pseudonym, reason = '–' where h.person = any(@names::text[])
	and h.released_at is not null`
	tombstoneSQL = `
insert into erased (sender_id, until)
select s, @now from unnest(@senders::bigint[]) s
order by 1
on conflict (sender_id) do update
set until = excluded.until`
	markErasedSQL = `
insert into dirty_hours (hour, assistant_id, shard, generation)
select distinct date_trunc('hour', c.started_at), c.assistant_id, @shard::smallint, coalesce((select generation
	from rollup_state), 0)
from conversations c
where c.sender_id = any(@senders::bigint[])
order by 1, 2
on conflict (hour, assistant_id, shard, generation) do update
set changes = dirty_hours.changes + 1`
)

const otherNamesSQL = `
select x.name, s.sender_key
from senders s
join assistants a on a.id = s.assistant_id
join assistant_aliases x on x.assistant = a.name
where s.id = any(@senders::bigint[])`

// formerly are the ids that senders would have by other names of their assistants, should these be separated.
func formerly(ctx context.Context, tx pgx.Tx, senders []int64) (ids []int64, err error) {
	rows, _ := tx.Query(ctx, otherNamesSQL, pgx.StrictNamedArgs{"senders": senders})
	var name, key string
	_, err = pgx.ForEachRow(rows, []any{&name, &key}, func() error {
		ids = append(ids, conversation.SenderID(name, key))
		return nil
	})
	return ids, err
}

const filesSinceSQL = `
select (select count(*) from exports where created_at >= @since and state = 'done') + (select count(*)
	from report_runs r where r.created_at >= @since and exists (select from report_files f where f.run_id = r.id))`

// FilesSince counts the files of exports and reports that were made since a time and are still there.
func FilesSince(ctx context.Context, db DB, since time.Time) (int64, error) {
	rows, _ := db.Query(ctx, filesSinceSQL, pgx.StrictNamedArgs{"since": since})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}

// Erasure is what was removed of a person.
type Erasure struct {
	ID      conversation.UUID
	Person  string // pseudonym
	At      time.Time
	By      string
	Reason  string
	Removed map[string]int64 // rows by table
	Kept    []string         // what names the person still and somebody must look at
}

// Erasing is the wish to erase a person.
type Erasing struct {
	Of    []Subject
	Names []string // the keys and ids that name the person
	Word  string   // that stands for the person where something must remain
	// also what colleagues wrote elsewhere that holds one of them, if it is long enough to be nobody else's
	Notes bool
}

// nobodyElses is how long a name is at least, in characters, so that what holds it in plain text is taken for the
// person's.
const nobodyElses = 6

// quoted are the forms in which the names stand in JSON, with and without escapes; encoded: as parameters of addresses;
// plain: in words.
func (x *Erasing) forms() (quoted, encoded, plain []string) {
	for _, name := range x.Names {
		b, _ := json.Marshal(name) // a string always can
		quoted = append(quoted, string(b))
		if ascii := strconv.QuoteToASCII(name); ascii != string(b) && !strings.Contains(ascii, `\x`) &&
			!strings.Contains(ascii, `\U`) {
			quoted = append(quoted, ascii)
		}
		encoded = append(encoded, url.Values{"id": {name}}.Encode(), url.Values{"q": {name}}.Encode())
		if utf8.RuneCountInString(name) >= nobodyElses {
			plain = append(plain, name)
		}
	}
	return quoted, encoded, plain
}

// people are the hashes of the person's senders in what is kept of webhooks.
func (x *Erasing) people() (all []int64) {
	for _, s := range x.Of {
		all = append(all, PersonHash(s.SenderKey))
	}
	return all
}

// rejectedOf returns the rejected events that say they are of one of the names: as sender or user, also of a body that
// is no JSON.
func rejectedOf(ctx context.Context, tx pgx.Tx, quoted []string) (ids [][16]byte, err error) {
	all := make([]string, len(quoted))
	for i, q := range quoted {
		all[i] = regexp.QuoteMeta(q)
	}
	of, err := regexp.Compile(`"(?:sender_id|user_id|sender|conversation_id|thread_id)"\s*:\s*(?:` + strings.Join(all, "|") +
		`)|"aliases"\s*:\s*\[[^\]]*(?:` + strings.Join(all, "|") + `)`)
	if err != nil {
		return nil, err
	}
	rows, _ := tx.Query(ctx, rejectedOfSQL, pgx.StrictNamedArgs{"quoted": quoted})
	var id [16]byte
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &body}, func() error {
		if of.Match(body) {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// Erase removes a person from all tables, in the transaction, and keeps events of before from coming back. Nobody
// stores events of the senders' shards, counts or links persons until it ends. ErrConflict says that a legal hold came
// between.
func Erase(
	ctx context.Context, tx pgx.Tx, x Erasing, now time.Time,
) (removed map[string]int64, kept []string, err error) {
	// Whoever links persons just now would store of this one what was read before.
	if _, err := tx.Exec(ctx, LockRollupsSQL); err != nil {
		return nil, nil, fmt.Errorf("erase: %w", err)
	}
	var senders []int64
	shards := map[int16][]int64{}
	since := now
	for _, s := range x.Of {
		senders = append(senders, s.SenderID)
		shard := int16(conversation.Shard(s.SenderID))
		shards[shard] = append(shards[shard], s.SenderID)
		if s.First != nil && s.First.Before(since) {
			since = *s.First
		}
	}
	var locked []int16
	for shard := range shards {
		locked = append(locked, shard)
	}
	slices.Sort(locked)
	if _, _, err := LockShards(ctx, tx, locked, []int64{}); err != nil {
		return nil, nil, err
	}
	rows, _ := tx.Query(ctx, heldSendersSQL, pgx.StrictNamedArgs{"senders": senders})
	if held, err := only[bool](rows); err != nil || held {
		return nil, nil, cmp.Or(err, ErrConflict)
	}
	quoted, encoded, _ := x.forms()
	rejected, err := rejectedOf(ctx, tx, quoted)
	if err == nil {
		err = markErased(ctx, tx, senders, shards, locked, now)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("erase: %w", err)
	}
	removed, err = x.remove(ctx, tx, senders, rejected, since, now)
	if err != nil {
		return nil, nil, err
	}
	rows, _ = tx.Query(ctx, namesStillSQL, pgx.StrictNamedArgs{"encoded": encoded})
	kept, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return removed, kept, err
}

// remove deletes what is stored of a person, and returns how much of each kind.
func (x Erasing) remove(
	ctx context.Context, tx pgx.Tx, senders []int64, rejected [][16]byte, since, now time.Time,
) (removed map[string]int64, err error) {
	_, encoded, plain := x.forms()
	removed = map[string]int64{}
	remove := func(what, sql string, args pgx.StrictNamedArgs) {
		if err != nil {
			return
		}
		tag, e := tx.Exec(ctx, sql, args)
		if err = e; err != nil {
			err = fmt.Errorf("erase from %s: %w", what, err)
		} else if n := tag.RowsAffected(); n > 0 {
			removed[what] += n
		}
	}
	for _, sql := range eraseFactsSQL {
		remove(tableOf(sql), sql, pgx.StrictNamedArgs{"senders": senders})
	}
	remove("rejected_events", eraseRejectedSQL, pgx.StrictNamedArgs{"ids": rejected})
	if quoted, _, _ := x.forms(); err == nil { // what human agents did for the person is theirs, without whose it was
		remove("activities", eraseNamedSQL, pgx.StrictNamedArgs{"names": x.Names})
		for _, q := range quoted {
			remove("event_payloads", eraseNamedBodiesSQL, pgx.StrictNamedArgs{"id": q})
		}
	}
	remove("webhook_bodies", eraseWebhookBodiesSQL, pgx.StrictNamedArgs{"people": x.people()})
	remove("webhook_bodies", eraseNamedWebhookBodiesSQL, pgx.StrictNamedArgs{"names": x.Names})
	remove("saved_views", eraseViewsSQL, pgx.StrictNamedArgs{"encoded": encoded})
	remove("export_parts", eraseExportsSQL, pgx.StrictNamedArgs{"encoded": encoded, "since": since, "now": now})
	remove("report_files", eraseReportsSQL, pgx.StrictNamedArgs{"since": since})
	remove("legal_holds", eraseHoldsSQL, pgx.StrictNamedArgs{"names": x.Names, "pseudonym": x.Word})
	if x.Notes {
		remove("notes", eraseNotesSQL, pgx.StrictNamedArgs{"strings": plain})
		remove("review_acts", eraseActsSQL, pgx.StrictNamedArgs{"strings": plain})
		remove("chart_notes", eraseChartNotesSQL, pgx.StrictNamedArgs{"strings": plain})
	}
	return removed, err
}

// markErased notes who is erased: what is indexed of them just now is indexed again, their events are refused from now
// on, and their figures counted again.
func markErased(
	ctx context.Context, tx pgx.Tx, senders []int64, shards map[int16][]int64, locked []int16, now time.Time,
) error {
	if _, err := tx.Exec(ctx, searchMarkSQL, pgx.StrictNamedArgs{"senders": senders}); err != nil {
		return err
	}
	also, err := formerly(ctx, tx, senders)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, tombstoneSQL, pgx.StrictNamedArgs{
		"senders": append(also, senders...), "now": now,
	}); err != nil {
		return err
	}
	for _, shard := range locked {
		if _, err := tx.Exec(
			ctx, markErasedSQL, pgx.StrictNamedArgs{"senders": shards[shard], "shard": shard},
		); err != nil {
			return err
		}
	}
	return nil
}

const (
	insertErasureSQL = `insert into erasures (id, person, at, account_id, reason, removed, kept)
	values (@id, @person, @at, @user, @reason, @removed::jsonb, @kept::jsonb)`
	erasureColumns = `
select e.id, e.person, e.at, coalesce(u.name, '') as by, e.reason, e.removed::text as removed, e.kept::text as kept
from erasures e
left join accounts u on u.id = e.account_id
`
	erasuresSQL = erasureColumns + `order by e.at desc, e.id limit 100`
	erasureSQL  = erasureColumns + `where e.id = @id`
)

// KeepErasure writes down what was removed.
func KeepErasure(ctx context.Context, db DB, e Erasure, by conversation.UUID) error {
	removed, err1 := json.Marshal(e.Removed)
	kept, err2 := json.Marshal(append([]string{}, e.Kept...))
	if err1 != nil || err2 != nil {
		return fmt.Errorf("erasure: %w, %w", err1, err2)
	}
	_, err := db.Exec(ctx, insertErasureSQL, pgx.StrictNamedArgs{
		"id": e.ID, "person": e.Person, "at": e.At, "user": NullUUID(by), "reason": e.Reason,
		"removed": string(removed), "kept": string(kept),
	})
	return err
}

func scanErasure(row pgx.CollectableRow) (e Erasure, err error) {
	var removed, kept string
	if err := row.Scan(&e.ID, &e.Person, &e.At, &e.By, &e.Reason, &removed, &kept); err != nil {
		return e, err
	}
	if err := json.Unmarshal([]byte(removed), &e.Removed); err != nil {
		return e, err
	}
	return e, json.Unmarshal([]byte(kept), &e.Kept)
}

// Erasures returns the last erasures, the newest first.
func Erasures(ctx context.Context, db DB) ([]Erasure, error) {
	rows, _ := db.Query(ctx, erasuresSQL)
	return pgx.CollectRows(rows, scanErasure)
}

// ErasureByID returns an erasure, or ErrNotFound.
func ErasureByID(ctx context.Context, db DB, id conversation.UUID) (Erasure, error) {
	rows, _ := db.Query(ctx, erasureSQL, pgx.StrictNamedArgs{"id": id})
	all, err := pgx.CollectRows(rows, scanErasure)
	if err == nil && len(all) == 0 {
		return Erasure{}, ErrNotFound
	}
	if err != nil {
		return Erasure{}, err
	}
	return all[0], nil
}
