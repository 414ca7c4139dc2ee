package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
)

// Stretch is a stretch of a sender's time, both ends included, in microseconds.
type TimeSpan struct {
	Sender      int64
	From, Until int64
}

// StoredEvent is what is known of an event that is in the store.
type StoredEvent struct {
	Sender       int64
	At           int64
	ID           conversation.UUID
	Conversation conversation.UUID
	Part, Pos    int16
	Flags        int16
	BodyHash     int64
	Environment  int32
	Place        int32 // -1: stored by a version that noted none, and made ids in another way
	Type, Name   string
	Via          int32 // see conversation.Event
}

const storedEventsSQL = `
select e.sender_id, e.at, e.id, e.conversation_id, e.part, e.pos, e.flags, e.body_hash, e.environment_id, e.place,
	e.type, e.name, e.via
from unnest(@senders::bigint[], @froms::bigint[], @untils::bigint[]) as k (sender_id, from_at, until_at)
cross join lateral (
	select *
	from events
	where events.sender_id = k.sender_id
		and events.at >= timestamptz 'epoch' + k.from_at * interval '1 microsecond'
		and events.at <= timestamptz 'epoch' + k.until_at * interval '1 microsecond'
	offset 0
) as e`

// StoredEvents returns the events in the stretches.
func StoredEvents(ctx context.Context, tx pgx.Tx, stretches []TimeSpan) ([]StoredEvent, error) {
	rows, _ := tx.Query(ctx, storedEventsSQL, stretchArgs(stretches))
	defer rows.Close()
	var out []StoredEvent
	words := words{}
	for rows.Next() {
		v := rows.RawValues() // binary, as pgx asks for known types
		var e StoredEvent
		e.Sender, e.At = int64(binary.BigEndian.Uint64(v[0])), int64(binary.BigEndian.Uint64(v[1]))+epoch2000
		copy(e.ID[:], v[2])
		copy(e.Conversation[:], v[3])
		e.Part, e.Pos, e.Flags = int16(
			binary.BigEndian.Uint16(v[4]),
		), int16(binary.BigEndian.Uint16(v[5])), int16(binary.BigEndian.Uint16(v[6]))
		e.BodyHash = int64(binary.BigEndian.Uint64(v[7]))
		e.Environment = int32(binary.BigEndian.Uint32(v[8]))
		e.Place = int32(int16(binary.BigEndian.Uint16(v[9])))
		e.Type, e.Name = words.of(v[10]), words.of(v[11])
		e.Via = int32(binary.BigEndian.Uint32(v[12]))
		out = append(out, e)
	}
	return out, rows.Err()
}

// words keeps texts that come again and again once.
type words map[string]string

func (w words) of(b []byte) string {
	if s, ok := w[string(b)]; ok {
		return s
	}
	s := string(b)
	w[s] = s
	return s
}

const storedBodiesSQL = `
select e.sender_id, e.body_hash, e.place
from unnest(@senders::bigint[], @froms::bigint[], @untils::bigint[]) as k (sender_id, from_at, until_at)
cross join lateral (
	select events.sender_id, events.body_hash, events.place
	from events
	where events.sender_id = k.sender_id
		and events.at >= timestamptz 'epoch' + k.from_at * interval '1 microsecond'
		and events.at <= timestamptz 'epoch' + k.until_at * interval '1 microsecond'
	offset 0
) as e`

// SenderBody names an event by the hash of its body.
type SenderBody struct{ Sender, BodyHash int64 }

// StoredBodies returns the places of the events in the stretches by their bodies alone; of equal ones the least.
func StoredBodies(ctx context.Context, db queries.DB, stretches []TimeSpan) (map[SenderBody]int, error) {
	rows, _ := db.Query(ctx, storedBodiesSQL, stretchArgs(stretches))
	defer rows.Close()
	out := map[SenderBody]int{}
	for rows.Next() {
		v := rows.RawValues() // binary, as pgx asks for known types
		body, place := SenderBody{
			int64(binary.BigEndian.Uint64(v[0])), int64(binary.BigEndian.Uint64(v[1])),
		}, int(int16(binary.BigEndian.Uint16(v[2])))
		if least, ok := out[body]; !ok || place < least {
			out[body] = place
		}
	}
	return out, rows.Err()
}

func stretchArgs(stretches []TimeSpan) pgx.StrictNamedArgs {
	senders, froms, untils := make([]int64, len(stretches)), make([]int64, len(stretches)),
		make([]int64, len(stretches))
	for i, s := range stretches {
		senders[i], froms[i], untils[i] = s.Sender, s.From, s.Until
	}
	return pgx.StrictNamedArgs{"senders": senders, "froms": froms, "untils": untils}
}

// StoredConversation is what a fold from an earlier state needs to know of a conversation.
type StoredConversation struct {
	ID           conversation.UUID
	First        conversation.Key
	StartedAt    int64
	LastAt       int64
	TextsRemoved bool                // retention removed its texts: it cannot be folded again
	Absorbed     []conversation.UUID // ids of the sessions that it took in
	Checkpoint   []byte
}

const senderConversationsSQL = `
select id, first_time, first_order, first_place, first_rank, first_event,
	(extract(epoch from started_at) * 1000000)::bigint, (extract(epoch from last_at) * 1000000)::bigint, removed > 0,
	absorbed, checkpoint
from (
	select id, first_time, first_order, first_place, first_rank, first_event, started_at, last_at, removed, absorbed,
		checkpoint
	from conversations
	where sender_id = @sender
	union all
	select id, first_time, first_order, first_place, first_rank, first_event, started_at, last_at, removed, '{}',
		checkpoint
	from journals
	where sender_id = @sender
) as c
order by first_time, first_order, first_place, first_rank, first_event`

// SenderConversations returns a sender's conversations, and what belongs to none, oldest first.
func SenderConversations(ctx context.Context, db queries.DB, sender int64) ([]StoredConversation, error) {
	rows, _ := db.Query(ctx, senderConversationsSQL, pgx.StrictNamedArgs{"sender": sender})
	var out []StoredConversation
	var c StoredConversation
	var id, first [16]byte
	var absorbed [][16]byte
	_, err := pgx.ForEachRow(rows, []any{
		&id, &c.First.Time, &c.First.Order, &c.First.Place, &c.First.Rank, &first, &c.StartedAt, &c.LastAt, &c.TextsRemoved, &absorbed,
		&c.Checkpoint,
	}, func() error {
		c.ID, c.First.ID, c.Absorbed = id, first, nil
		for _, a := range absorbed {
			c.Absorbed = append(c.Absorbed, a)
		}
		c.Checkpoint = append([]byte(nil), c.Checkpoint...)
		out = append(out, c)
		return nil
	})
	return out, err
}

const textsRemovedOfSQL = `select sender_id, id, removed > 0 from conversations
	where sender_id = any(@senders::bigint[])
union all select sender_id, id, removed > 0 from journals where sender_id = any(@senders::bigint[])`

// StrippedOf tells of all conversations of the senders whether retention removed their texts.
func TextsRemovedOf(ctx context.Context, db queries.DB, senders []int64) (map[queries.ConversationKey]bool, error) {
	rows, _ := db.Query(ctx, textsRemovedOfSQL, pgx.StrictNamedArgs{"senders": senders})
	out := map[queries.ConversationKey]bool{}
	var sender int64
	var id [16]byte
	var removed bool
	_, err := pgx.ForEachRow(rows, []any{&sender, &id, &removed}, func() error {
		out[queries.ConversationKey{SenderID: sender, ID: id}] = removed
		return nil
	})
	return out, err
}

const senderSeedSQL = `select (extract(epoch from first_seen_at) * 1000000)::bigint,
	(extract(epoch from last_seen_at) * 1000000)::bigint, channel, user_id, coalesce(traits, ''), aliases
	from senders where id = @id`

// SenderSeed is a fold's state of a sender of whom nothing can be folded again.
func SenderSeed(ctx context.Context, db queries.DB, sender int64, newest float64) (*conversation.Projection, error) {
	p := &conversation.Projection{Newest: conversation.Key{Time: newest}}
	var traits string
	var aliases []string
	rows, _ := db.Query(ctx, senderSeedSQL, pgx.StrictNamedArgs{"id": sender})
	_, err := pgx.ForEachRow(
		rows, []any{&p.FirstSeen, &p.LastSeen, &p.Channel, &p.UserID, &traits, &aliases}, func() error {
			p.Traits = conversation.FieldsOf(traits)
			for _, name := range aliases {
				p.Aliases = append(p.Aliases, conversation.Field{Name: name})
			}
			return nil
		},
	)
	return p, err
}

const firstKeysSQL = `
select k.sender_id, k.id, c.first_time, c.first_order, c.first_place, c.first_rank, c.first_event
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
join conversations c on c.sender_id = k.sender_id and c.id = k.id
union all
select c.sender_id, a.id, c.first_time, c.first_order, c.first_place, c.first_rank, c.first_event
from conversations c
cross join lateral unnest(c.absorbed) as a (id)
where c.absorbed <> '{}' and c.sender_id = any(@senders::bigint[]) and a.id = any(@ids::uuid[])`

// FirstKeys returns the first event's key of those of the conversations that are stored, or of those that took them in.
func FirstKeys(
	ctx context.Context, db queries.DB, keys []queries.ConversationKey,
) (map[queries.ConversationKey]conversation.Key, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var k convKeys
	for _, c := range keys {
		k.add2(c.SenderID, c.ID)
	}
	rows, _ := db.Query(ctx, firstKeysSQL, pgx.StrictNamedArgs{"senders": k.senders, "ids": queries.UUIDs(k.ids)})
	out := map[queries.ConversationKey]conversation.Key{}
	var sender int64
	var id, first [16]byte
	var key conversation.Key
	_, err := pgx.ForEachRow(rows, []any{&sender, &id, &key.Time, &key.Order, &key.Place, &key.Rank, &first}, func() error {
		key.ID = first
		out[queries.ConversationKey{SenderID: sender, ID: id}] = key
		return nil
	})
	return out, err
}

const bodiesSQL = `
select conversation_id, part, format, bodies
from event_payloads
where sender_id = @sender
	and at >= timestamptz 'epoch' + @from::bigint * interval '1 microsecond'
	and at <= timestamptz 'epoch' + @until::bigint * interval '1 microsecond'
	and conversation_id = any(@ids::uuid[])
order by conversation_id, part`

// StoredBody is the body of an event at its place.
type StoredBody struct {
	BodyPosition
	Format uint8 // of the wire
	Body   string
}

// BodyPlace is where the body of an event is stored.
type BodyPosition struct {
	Conversation conversation.UUID
	Part, Pos    int16
}

// BodyAt is where the event's body is.
func (e StoredEvent) BodyAt() BodyPosition { return BodyPosition{e.Conversation, e.Part, e.Pos} }

// Bodies returns the bodies of all events of the conversations of a sender, which lie in [from, until].
func Bodies(ctx context.Context, db queries.DB, s TimeSpan, conversations []conversation.UUID) ([]StoredBody, error) {
	rows, _ := db.Query(ctx, bodiesSQL, pgx.StrictNamedArgs{
		"sender": s.Sender, "from": s.From, "until": s.Until, "ids": queries.UUIDs(conversations),
	})
	var out []StoredBody
	var id [16]byte
	var part, format int16
	var bundle string
	_, err := pgx.ForEachRow(rows, []any{&id, &part, &format, &bundle}, func() error {
		for i, body := range strings.Split(bundle, queries.BodySeparator) {
			out = append(out, StoredBody{BodyPosition{id, part, int16(i)}, uint8(format), body})
		}
		return nil
	})
	return out, err
}

const bodySQL = `
select split_part(bodies, chr(30), @n::integer) as body, format
from event_payloads
where sender_id = @sender and conversation_id = @id and part = @part
	and at <= timestamptz 'epoch' + @at::bigint * interval '1 microsecond'`

// Body returns the stored body of an event, and its format.
func Body(ctx context.Context, db queries.DB, e StoredEvent) (body string, format uint8, err error) {
	rows, _ := db.Query(ctx, bodySQL, pgx.StrictNamedArgs{
		"sender": e.Sender, "id": e.Conversation, "part": e.Part, "n": e.Pos + 1, "at": e.At,
	})
	one, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[struct {
		Body   string
		Format int16
	}])
	if err != nil {
		return "", 0, fmt.Errorf("body of event %s: %w", e.ID, err)
	}
	return one.Body, uint8(one.Format), nil
}

// forgetSQL are the tables that hold facts of conversations beside those in partitions.
var forgetSQL = []string{
	`delete from conversations where sender_id = @sender and id = any(@ids::uuid[])`,
	`delete from conversation_persons where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from turns where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from flow_runs where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from flow_steps where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from commands where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from slots where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from markers where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
}

// forgetLiveSQL are those of what platforms beside Rasa tell.
var forgetLiveSQL = []string{
	`delete from journals where sender_id = @sender and id = any(@ids::uuid[])`,
	`delete from agent_segments where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from state_changes where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from turn_facts where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from calls where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from feedback where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from scores where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from activities where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
	`delete from agent_logins where sender_id = @sender and conversation_id = any(@ids::uuid[])`,
}

var forgetPartitionedSQL = []string{
	`delete from events where sender_id = @sender
	and at >= timestamptz 'epoch' + @from::bigint * interval '1 microsecond'
		and at <= timestamptz 'epoch' + @until::bigint * interval '1 microsecond'
			and conversation_id = any(@ids::uuid[])`,
	`delete from event_payloads where sender_id = @sender
	and at >= timestamptz 'epoch' + @from::bigint * interval '1 microsecond'
		and at <= timestamptz 'epoch' + @until::bigint * interval '1 microsecond'
			and conversation_id = any(@ids::uuid[])`,
	`delete from messages where sender_id = @sender
	and at >= timestamptz 'epoch' + @from::bigint * interval '1 microsecond'
		and at <= timestamptz 'epoch' + @until::bigint * interval '1 microsecond'
			and conversation_id = any(@ids::uuid[])`,
}

// Forget deletes all facts of a sender's conversations, which lie in the stretch, so that they can be
// written anew; live tells whether there may be what platforms beside Rasa tell.
func Forget(ctx context.Context, tx pgx.Tx, s TimeSpan, conversations []conversation.UUID, live bool) error {
	var q pgx.Batch
	q.Queue(markForgottenSQL, pgx.StrictNamedArgs{
		"sender": s.Sender, "ids": queries.UUIDs(conversations), "shard": int16(conversation.Shard(s.Sender)),
	})
	q.Queue(goneSQL, pgx.StrictNamedArgs{"sender": s.Sender, "ids": queries.UUIDs(conversations)})
	tables := forgetSQL
	if live {
		tables = slices.Concat(forgetSQL, forgetLiveSQL)
	}
	for _, sql := range tables {
		q.Queue(sql, pgx.StrictNamedArgs{"sender": s.Sender, "ids": queries.UUIDs(conversations)})
	}
	for _, sql := range forgetPartitionedSQL {
		q.Queue(sql, pgx.StrictNamedArgs{
			"sender": s.Sender, "from": s.From, "until": s.Until, "ids": queries.UUIDs(conversations),
		})
	}
	return tx.SendBatch(ctx, &q).Close()
}

const moveOriginalsSQL = `
update event_originals o
set event_id = k.new
from unnest(@olds::uuid[], @news::uuid[]) as k (old, new)
where o.sender_id = @sender and o.event_id = k.old
	and not exists (select from event_originals x where x.sender_id = @sender and x.event_id = k.new)`

// MoveOriginals gives the exact bytes of events the ids that these have now.
func MoveOriginals(ctx context.Context, tx pgx.Tx, sender int64, olds, news []conversation.UUID) error {
	if len(olds) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, moveOriginalsSQL, pgx.StrictNamedArgs{
		"sender": sender, "olds": queries.UUIDs(olds), "news": queries.UUIDs(news),
	})
	return err
}

const forgetOriginalSQL = `delete from event_originals where sender_id = @sender and event_id = any(@ids::uuid[])`

// ForgetOriginals deletes the exact bytes of events that a redacted copy replaced.
func ForgetOriginals(ctx context.Context, tx pgx.Tx, sender int64, ids []conversation.UUID) error {
	_, err := tx.Exec(ctx, forgetOriginalSQL, pgx.StrictNamedArgs{"sender": sender, "ids": queries.UUIDs(ids)})
	return err
}
