package queries

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// stripTextsSQL removes what was said: texts, and whatever else may hold parts of them. What figures are made of stays:
// intents, flows, and the values of slots by which success criteria judge.
var stripTextsSQL = []string{
	`update messages t set text = '', rich = null, entities = null, details = null
	from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id
		and t.conversation_id = k.id and t.at >= @from and t.at < @until and (t.text <> '' or t.rich is not null
			or t.entities is not null or t.details is not null)`,
	`delete from event_originals o using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	join events e on e.sender_id = k.sender_id and e.conversation_id = k.id and e.at >= @from and e.at < @until
		where o.sender_id = e.sender_id and o.event_id = e.id`,
	`delete from event_payloads t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id and t.at >= @from and t.at < @until`,
}

// stripLiveSQL does the same for what platforms beside Rasa tell.
var stripLiveSQL = []string{
	`update state_changes t set reason = '', details = null
	from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id
		and t.conversation_id = k.id`,
	`update turn_facts t set entities = null, details = null
	from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id
		and t.conversation_id = k.id`,
	`update calls t set error = '', details = null
	from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id
		and t.conversation_id = k.id`,
	`update feedback t set comment = '', details = null
	from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id
		and t.conversation_id = k.id`,
	`update scores t set explanation = '', details = null, value = case when t.number is null then '' else t.value end
	from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id
		and t.conversation_id = k.id`,
	`update activities t set properties = null, error = '', url = '', details = null
	from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id
		and t.conversation_id = k.id`,
	`update agent_logins t set name = '', email = '', details = null
	from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id
		and t.conversation_id = k.id`,
	`update journals t set removed = greatest(t.removed, @level::smallint), checkpoint = '' from unnest(@senders::bigint[],
	@ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id and t.id = k.id`,
}

const stripEventsSQL = `delete from events t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id and t.at >= @from and t.at < @until`

const judgedSlots = `(select r.rules ->> 'slot' from success_criteria r where coalesce(r.rules ->> 'slot', '') <> '')`

const (
	stripSlotsSQL = `update slots t set value = '' from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id,
	id) where t.sender_id = k.sender_id and t.conversation_id = k.id and t.value <> '' and t.name not in ` + judgedSlots
	stripCommandsSQL = `update commands t set value = case when t.slot in ` + judgedSlots +
		` then t.value else '' end, detail = case t.command when 'cannot handle' then t.detail else '' end
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id
	and t.conversation_id = k.id and t.value || t.detail <> ''`
	stripWordsSQL = `delete from conversation_texts t using unnest(@senders::bigint[],
	@ids::uuid[]) as k (sender_id, id) where t.sender_id = k.sender_id and t.conversation_id = k.id`
	stripConversationSQL = `update conversations c set first_text = '', details = null, removed = greatest(c.removed,
	@level::smallint), resumed = false, checkpoint = '' from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id,
		id) where c.sender_id = k.sender_id and c.id = k.id`
	sealSQL = `
update projections p
set bodies_removed_until = greatest(p.bodies_removed_until, k.until)
from (
	select c.sender_id, max((extract(epoch from c.last_at) * 1000000)::bigint) as until
	from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	join ` + keptText + ` on c.sender_id = k.sender_id and c.id = k.id
	group by 1
) as k
where p.sender_id = k.sender_id`
	checkpointsOfSQL = `select sender_id, id, checkpoint from conversations
	where sender_id = any(@senders::bigint[]) and removed = 0
union all select sender_id, id, checkpoint from journals where sender_id = any(@senders::bigint[]) and removed = 0`
	StoreCheckpointSQL = `with j as (
	update journals c set checkpoint = k.state
	from unnest(@senders::bigint[], @ids::uuid[], @states::bytea[]) as k (sender_id, id, state)
	where c.sender_id = k.sender_id and c.id = k.id)
update conversations c set checkpoint = k.state
from unnest(@senders::bigint[], @ids::uuid[], @states::bytea[]) as k (sender_id, id, state)
where c.sender_id = k.sender_id and c.id = k.id`
	statesOfSQL   = `select sender_id, state from projections where sender_id = any(@senders::bigint[])`
	StoreStateSQL = `update projections p set state = k.state
	from unnest(@senders::bigint[], @states::bytea[]) as k (sender_id, state) where p.sender_id = k.sender_id`
)

// Strip removes the texts of those of the places of which the rules remove them still, and their events too if
// these are what is kept; and returns how many those were. Their conversations are never folded again.
func Strip(
	ctx context.Context, tx pgx.Tx, kept Kept, rules []RetentionRule, of []ConversationKey, now time.Time,
	zone *time.Location,
) (int, error) {
	left, from, until, err := due(ctx, tx, kept, rules, of, now, zone)
	if err != nil || len(left) == 0 {
		return 0, err
	}
	level := int16(1)
	if kept == KeptEvents {
		level = 2
	}
	if err := forgetWords(ctx, tx, left, level); err != nil {
		return 0, err
	}
	senders, ids := KeyColumns(left)
	keys := pgx.StrictNamedArgs{"senders": senders, "ids": ids}
	spans := pgx.StrictNamedArgs{
		"senders": senders, "ids": ids, "from": from.AddDate(0, 0, -1), "until": until.AddDate(0, 0, 1),
	}
	var q pgx.Batch
	for _, sql := range stripTextsSQL {
		q.Queue(sql, spans)
	}
	if kept == KeptEvents {
		q.Queue(stripEventsSQL, spans)
	}
	for _, sql := range []string{stripSlotsSQL, stripCommandsSQL, stripWordsSQL, sealSQL} {
		q.Queue(sql, keys)
	}
	for _, sql := range stripLiveSQL {
		if strings.Contains(sql, "@level") {
			q.Queue(sql, pgx.StrictNamedArgs{"senders": senders, "ids": ids, "level": level})
		} else {
			q.Queue(sql, keys)
		}
	}
	q.Queue(stripConversationSQL, pgx.StrictNamedArgs{"senders": senders, "ids": ids, "level": level})
	q.Queue(MarkSearchSQL, pgx.StrictNamedArgs{"senders": senders})
	return len(left), tx.SendBatch(ctx, &q).Close()
}

const expireSealedSQL = `delete from rejected_events where code = 'sealed' and last_at < @cutoff`

// ExpireSealed deletes events that were set aside because retention had removed what they belong to, and bodies of
// webhooks that are kept to try mappings on, once they are as old as the shortest of the rules keeps anything.
func ExpireSealed(ctx context.Context, db DB, rules []RetentionRule, now time.Time, zone *time.Location) error {
	var latest time.Time
	for _, r := range rules {
		for _, of := range []Kept{KeptTexts, KeptEvents, KeptConversations} {
			if n := r.Days(of); n != nil && Cutoff(*n, now, zone).After(latest) {
				latest = Cutoff(*n, now, zone)
			}
		}
	}
	var q pgx.Batch
	for _, sql := range []string{expireSealedSQL, expireWebhookBodiesSQL} {
		q.Queue(sql, pgx.StrictNamedArgs{"cutoff": latest})
	}
	return db.SendBatch(ctx, &q).Close()
}

const (
	journalsUntilSQL = `
select j.sender_id, max((extract(epoch from j.last_at) * 1000000)::bigint)
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
join journals j on j.sender_id = k.sender_id and j.id = k.id
group by 1`
	// until something is told anew; the state holds what was told since
	forgetTraitsSQL = `update senders set traits = null where id = @sender`
)

// journalsUntil tells until when the journals among places reach, by sender.
func journalsUntil(ctx context.Context, tx pgx.Tx, of []ConversationKey) (map[int64]int64, error) {
	senders, ids := KeyColumns(of)
	rows, _ := tx.Query(ctx, journalsUntilSQL, pgx.StrictNamedArgs{"senders": senders, "ids": ids})
	all := map[int64]int64{}
	var sender, until int64
	_, err := pgx.ForEachRow(rows, []any{&sender, &until}, func() error {
		all[sender] = until
		return nil
	})
	return all, err
}

// forgetWords takes what was said in the places out of the states of folds. Their shards are locked.
func forgetWords(ctx context.Context, tx pgx.Tx, of []ConversationKey, removed int16) error {
	senders, _ := KeyColumns(of)
	gone := make(map[conversation.UUID]bool, len(of))
	for _, p := range of {
		gone[p.ID] = true
	}
	var changed []int64
	var states [][]byte
	var sender int64
	var state []byte
	told, err := journalsUntil(ctx, tx, of)
	if err != nil {
		return err
	}
	rows, _ := tx.Query(ctx, statesOfSQL, pgx.StrictNamedArgs{"senders": senders})
	if _, err := pgx.ForEachRow(rows, []any{&sender, &state}, func() error {
		p, err := conversation.UnmarshalProjection(state)
		switch {
		case err != nil: // nobody reads it any more
			changed, states = append(changed, sender), append(states, []byte{})
		case p.Current != nil && gone[p.Current.ID] || told[sender] != 0:
			if p.Current != nil && gone[p.Current.ID] {
				p.ForgetWords(removed)
			}
			p.ForgetTold(told[sender])
			changed, states = append(changed, sender), append(states, p.Marshal())
		}
		return nil
	}); err != nil {
		return err
	}
	var next []ConversationKey // that the stack of a place may reach into
	var checkpoints [][]byte
	var id [16]byte
	rows, _ = tx.Query(ctx, checkpointsOfSQL, pgx.StrictNamedArgs{"senders": senders})
	if _, err := pgx.ForEachRow(rows, []any{&sender, &id, &state}, func() error {
		p, err := conversation.UnmarshalProjection(state)
		b := []byte{}
		if err == nil { // else it is of another version, which nobody reads
			p.ForgetStack()
			p.ForgetTold(told[sender])
			b = p.Marshal()
		}
		if !gone[id] && !bytes.Equal(b, state) {
			next, checkpoints = append(next, ConversationKey{SenderID: sender, ID: id}), append(checkpoints, b)
		}
		return nil
	}); err != nil {
		return err
	}
	var q pgx.Batch
	for sender := range told {
		q.Queue(forgetTraitsSQL, pgx.StrictNamedArgs{"sender": sender})
	}
	q.Queue(StoreStateSQL, pgx.StrictNamedArgs{"senders": changed, "states": states})
	followers, ids := KeyColumns(next)
	q.Queue(StoreCheckpointSQL, pgx.StrictNamedArgs{"senders": followers, "ids": ids, "states": checkpoints})
	return tx.SendBatch(ctx, &q).Close()
}
