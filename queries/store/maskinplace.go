package store

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/mask"
	"turnwise/queries"
)

const spanText = ` t.sender_id = @sender and t.at >= timestamptz 'epoch' + @from::bigint * interval '1 microsecond'
	and t.at <= timestamptz 'epoch' + @until::bigint * interval '1 microsecond'
		and t.conversation_id = any(@ids::uuid[])`

const (
	payloadsToMaskSQL = `select t.at, t.conversation_id, t.part, t.format, t.bodies from event_payloads t where` + spanText
	maskPayloadSQL    = `update event_payloads t set bodies = @bodies where t.sender_id = @sender and t.at = @at
	and t.conversation_id = @id and t.part = @part`
	maskEventsSQL = `
update events t
set flags = t.flags | 16, body_hash = k.hash
from unnest(@convs::uuid[], @parts::smallint[], @poss::smallint[], @hashes::bigint[]) as k (id, part, pos, hash)
where t.conversation_id = k.id and t.part = k.part and t.pos = k.pos and` + spanText
	forgetMaskedOriginalsSQL = `delete from event_originals o using events t where o.sender_id = t.sender_id
	and o.event_id = t.id and t.flags & 16 <> 0 and` + spanText
	messagesToMaskSQL = `select t.at, t.id, t.conversation_id, t.author, t.text, t.rich, t.entities, t.details
	from messages t where` + spanText
	maskMessageSQL = `update messages t set text = @text, rich = @rich, entities = @entities, details = @details
	where t.sender_id = @sender and t.at = @at and t.id = @id`
	firstTextsToMaskSQL = `select id, first_text, details from conversations where sender_id = @sender
	and id = any(@ids::uuid[]) and (first_text <> '' or details is not null)`
	maskFirstTextSQL = `update conversations set first_text = @text, details = @details where sender_id = @sender
	and id = @id`
	commandsToMaskSQL = `select conversation_id, seq, n, slot, value, detail from commands
	where sender_id = @sender and conversation_id = any(@ids::uuid[]) and value || detail <> ''`
	maskCommandSQL = `update commands set value = @value, detail = @detail where sender_id = @sender
	and conversation_id = @id and seq = @seq and n = @n`
	slotsToMaskSQL = `select conversation_id, seq, name, value from slots where sender_id = @sender
	and conversation_id = any(@ids::uuid[]) and value <> ''`
	maskSlotSQL = `update slots set value = @value where sender_id = @sender and conversation_id = @id
	and seq = @seq and name = @name and value = @was`
)

// MaskInPlace masks conversations of a sender that cannot be folded again, as retention removed what came after them:
// row by row, with the states of the fold that reach over them: that of now, and those with which all began. mask masks
// a body, and hash is that of one. It returns how many rows changed.
func MaskInPlace(
	ctx context.Context, tx pgx.Tx, sender int64, state *queries.State, all, of []StoredConversation, m *mask.Masker,
	mask func(format uint8, body string) (string, int), hash func(body string) int64,
) (int64, error) {
	if len(of) == 0 {
		return 0, nil
	}
	p := inPlace{
		m: m, mask: mask, hash: hash, sender: sender, said: map[said]string{},
		span: pgx.StrictNamedArgs{"sender": sender, "from": of[0].StartedAt, "until": of[0].LastAt},
	}
	var ids []conversation.UUID
	for _, c := range of {
		ids = append(ids, c.ID)
		p.span["from"], p.span["until"] = min(
			p.span["from"].(int64), c.StartedAt,
		), max(p.span["until"].(int64), c.LastAt)
	}
	p.span["ids"] = queries.UUIDs(ids)
	p.keys = pgx.StrictNamedArgs{"sender": sender, "ids": p.span["ids"]}
	for _, step := range []func(ctx context.Context, tx pgx.Tx) error{
		p.payloads, p.messages, p.firstTexts, p.commands, p.slots, p.live,
	} {
		if err := step(ctx, tx); err != nil {
			return 0, err
		}
	}
	if b, ok := p.reworded(state.Bytes); ok {
		state.Bytes = b
		p.q.Queue(queries.StoreStateSQL, pgx.StrictNamedArgs{"senders": []int64{sender}, "states": [][]byte{b}})
	}
	for i := range all {
		if b, ok := p.reworded(all[i].Checkpoint); ok {
			all[i].Checkpoint = b
			p.q.Queue(queries.StoreCheckpointSQL, pgx.StrictNamedArgs{
				"senders": []int64{sender}, "ids": queries.UUIDs([]conversation.UUID{all[i].ID}), "states": [][]byte{b},
			})
		}
	}
	n := int64(p.q.Len())
	if n == 0 {
		return 0, nil
	}
	p.q.Queue(forgetMaskedOriginalsSQL, p.span)
	p.q.Queue(queries.MarkSearchSQL, pgx.StrictNamedArgs{"senders": []int64{sender}})
	return n, tx.SendBatch(ctx, &p.q).Close()
}

// inPlace collects what is to be written.
type inPlace struct {
	m          *mask.Masker
	mask       func(format uint8, body string) (string, int)
	hash       func(body string) int64
	sender     int64
	span, keys pgx.StrictNamedArgs
	q          pgx.Batch
	said       map[said]string // what people said, as lists show it, masked
}

type said struct {
	in   conversation.UUID
	text string
}

// reworded masks a state of the fold; one of another version is made anew from the events.
func (p *inPlace) reworded(state []byte) ([]byte, bool) {
	x, err := conversation.UnmarshalProjection(state)
	if err != nil {
		return nil, false
	}
	x.Reword(p.firstText, p.m.Stack, p.m.Member)
	b := x.Marshal()
	return b, !bytes.Equal(b, state)
}

func (p *inPlace) payloads(ctx context.Context, tx pgx.Tx) error {
	type payload struct {
		at     any
		id     [16]byte
		part   int16
		format int16
		bodies string
	}
	var changed []payload
	var x payload
	var convs [][16]byte
	var parts, poss []int16
	var hashes []int64
	rows, _ := tx.Query(ctx, payloadsToMaskSQL, p.span)
	if _, err := pgx.ForEachRow(rows, []any{&x.at, &x.id, &x.part, &x.format, &x.bodies}, func() error {
		bodies, found := strings.Split(x.bodies, queries.BodySeparator), false
		for i, body := range bodies {
			masked, n := p.mask(uint8(x.format), body)
			if n == 0 {
				continue
			}
			bodies[i], found = masked, true
			convs, parts, poss, hashes = append(convs, x.id), append(parts, x.part), append(poss, int16(i)),
				append(hashes, p.hash(masked))
		}
		if found {
			changed = append(changed, payload{x.at, x.id, x.part, x.format, strings.Join(bodies, queries.BodySeparator)})
		}
		return nil
	}); err != nil || len(changed) == 0 {
		return err
	}
	for _, x := range changed {
		p.q.Queue(maskPayloadSQL, pgx.StrictNamedArgs{
			"bodies": x.bodies, "sender": p.sender, "at": x.at, "id": x.id, "part": x.part,
		})
	}
	args := pgx.StrictNamedArgs{"convs": convs, "parts": parts, "poss": poss, "hashes": hashes}
	for k, v := range p.span {
		args[k] = v
	}
	p.q.Queue(maskEventsSQL, args)
	return nil
}

func (p *inPlace) messages(ctx context.Context, tx pgx.Tx) error {
	var at any
	var id [16]byte
	var text string
	var of [16]byte
	var author int16
	var rich, entities, details *string
	rows, _ := tx.Query(ctx, messagesToMaskSQL, p.span)
	_, err := pgx.ForEachRow(rows, []any{&at, &id, &of, &author, &text, &rich, &entities, &details}, func() error {
		named, list := p.m.Entities(text, entities)
		masked, _ := p.m.Text(named)
		if conversation.Author(author) == conversation.ByUser && text != "" {
			p.said[said{of, conversation.Snippet(text)}] = conversation.Snippet(masked)
		}
		changed := masked != text || list != entities
		for _, more := range []bool{shownChanges(p.m, &rich), shownChanges(p.m, &list), p.parts(&details)} {
			changed = changed || more
		}
		if changed {
			p.q.Queue(maskMessageSQL, pgx.StrictNamedArgs{
				"text": masked, "rich": rich, "entities": list, "details": details, "sender": p.sender, "at": at, "id": id,
			})
		}
		rich, entities, details = nil, nil, nil
		return nil
	})
	return err
}

// shownChanges masks a text that may be missing, and tells whether that changed it.
func shownChanges(m *mask.Masker, text **string) bool {
	if *text == nil {
		return false
	}
	masked := m.Shown(**text)
	if masked == **text {
		return false
	}
	*text = &masked
	return true
}

func (p *inPlace) firstTexts(ctx context.Context, tx pgx.Tx) error {
	var id [16]byte
	var text string
	var details *string
	rows, _ := tx.Query(ctx, firstTextsToMaskSQL, p.keys)
	_, err := pgx.ForEachRow(rows, []any{&id, &text, &details}, func() error {
		masked := p.firstText(id, text)
		if changed := p.parts(&details); changed || masked != text {
			p.q.Queue(maskFirstTextSQL, pgx.StrictNamedArgs{
				"text": masked, "details": details, "sender": p.sender, "id": id,
			})
		}
		details = nil
		return nil
	})
	return err
}

// firstText masks the first text of a conversation as the message that it comes from.
func (p *inPlace) firstText(of conversation.UUID, text string) string {
	if masked, ok := p.said[said{of, text}]; ok {
		text = masked
	}
	return p.m.Shown(text)
}

func (p *inPlace) commands(ctx context.Context, tx pgx.Tx) error {
	var id [16]byte
	var seq int64
	var n int32
	var slot, value, detail string
	rows, _ := tx.Query(ctx, commandsToMaskSQL, p.keys)
	_, err := pgx.ForEachRow(rows, []any{&id, &seq, &n, &slot, &value, &detail}, func() error {
		maskedValue, maskedDetail := p.m.Slot(slot, value), p.m.Parts(detail)
		if maskedValue != value || maskedDetail != detail {
			p.q.Queue(maskCommandSQL, pgx.StrictNamedArgs{
				"value": maskedValue, "detail": maskedDetail, "sender": p.sender, "id": id, "seq": seq, "n": n,
			})
		}
		return nil
	})
	return err
}

func (p *inPlace) slots(ctx context.Context, tx pgx.Tx) error {
	var id [16]byte
	var seq int64
	var name, value string
	rows, _ := tx.Query(ctx, slotsToMaskSQL, p.keys)
	_, err := pgx.ForEachRow(rows, []any{&id, &seq, &name, &value}, func() error {
		if masked := p.m.Slot(name, value); masked != value {
			p.q.Queue(maskSlotSQL, pgx.StrictNamedArgs{
				"value": masked, "was": value, "sender": p.sender, "id": id, "seq": seq, "name": name,
			})
		}
		return nil
	})
	return err
}

// liveTexts are the columns of what platforms beside Rasa tell that may hold what people said.
var liveTexts = map[string][]string{
	"state_changes": {"reason", "details"}, "turn_facts": {"entities", "details"}, "calls": {"error", "details"},
	"feedback": {"comment", "details"}, "scores": {"value", "explanation", "details"},
	"activities":   {"properties", "error", "url", "details"},
	"agent_logins": {"name", "email", "details"},
}

// live masks those columns.
func (p *inPlace) live(ctx context.Context, tx pgx.Tx) error {
	for _, table := range slices.Sorted(maps.Keys(liveTexts)) {
		if err := p.columns(
			ctx, tx, table, liveTexts[table], "t.sender_id = @sender and t.conversation_id = any(@ids::uuid[])",
		); err != nil {
			return err
		}
	}
	return p.columns(ctx, tx, "senders", []string{"traits"}, "t.id = @sender and @ids::uuid[] is not null")
}

// columns masks columns of a table. A row is written once, as it then has another place; until the transaction ends it
// keeps that of before, since the sender's shard is held.
func (p *inPlace) columns(ctx context.Context, tx pgx.Tx, table string, columns []string, where string) error {
	sql := "select t.ctid::text"
	set := make([]string, len(columns))
	for i, c := range columns {
		sql += ", t." + c
		set[i] = c + " = @c" + strconv.Itoa(i) + "::text"
	}
	update := "update " + table + " t set " + strings.Join(set, ", ") + " where t.ctid = @place::text::tid and " + where
	rows, _ := tx.Query(ctx, sql+" from "+table+" t where "+where, p.keys)
	var place string
	texts := make([]*string, len(columns))
	into := []any{&place}
	for i := range texts {
		into = append(into, &texts[i])
	}
	_, err := pgx.ForEachRow(rows, into, func() error {
		args := pgx.StrictNamedArgs{"place": place, "sender": p.sender, "ids": p.keys["ids"]}
		changed := false
		for i, text := range texts {
			if columns[i] == "entities" && text != nil {
				_, masked := p.m.Entities("", text)
				text, changed = masked, changed || masked != text
			}
			changed = p.parts(&text) || changed
			args["c"+strconv.Itoa(i)] = text
			texts[i] = nil
		}
		if changed {
			p.q.Queue(update, args)
		}
		return nil
	})
	return err
}

// parts masks a text that may be JSON in which slots are told by name, and tells whether that changed it.
func (p *inPlace) parts(text **string) bool {
	if *text == nil || **text == "" {
		return false
	}
	masked := p.m.Parts(**text)
	if masked == **text {
		return false
	}
	*text = &masked
	return true
}
