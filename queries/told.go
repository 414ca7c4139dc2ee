package queries

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/mask"
)

// toldSQL are the values of slots by name that were told in conversations, by slots, commands, entities and payloads.
const toldSQL = `
select c.id, 'slot' as kind, s.name, s.value
from conversations c
join slots s on s.sender_id = c.sender_id and s.conversation_id = c.id
where c.id = any(@ids::uuid[]) and s.name = any(@slots::text[])
union all
select c.id, 'slot', k.slot, k.value
from conversations c
join commands k on k.sender_id = c.sender_id and k.conversation_id = c.id
where c.id = any(@ids::uuid[]) and k.slot = any(@slots::text[])
union all
select c.id, 'said', m.text, coalesce(m.entities, '')
from conversations c
join messages m on m.sender_id = c.sender_id and m.at between c.started_at and c.last_at and m.conversation_id = c.id
	and m.author = 1
where c.id = any(@ids::uuid[]) and (m.entities is not null or m.text like '/SetSlots(%')`

// ToldIn returns what conversations tell as values of the slots that are masked by name, so that it can be masked
// wherever it is said again.
func ToldIn(
	ctx context.Context, db DB, m *mask.Masker, conversations []conversation.UUID,
) (map[conversation.UUID][]mask.Value, error) {
	if len(m.Slots()) == 0 || len(conversations) == 0 {
		return nil, nil
	}
	rows, _ := db.Query(ctx, toldSQL, pgx.StrictNamedArgs{"ids": UUIDs(conversations), "slots": m.Slots()})
	out := map[conversation.UUID][]mask.Value{}
	var id [16]byte
	var kind, name, value string
	_, err := pgx.ForEachRow(rows, []any{&id, &kind, &name, &value}, func() error {
		if kind == "slot" {
			out[id] = append(out[id], m.Told(name, value)...)
			return nil
		}
		out[id] = append(append(out[id], m.ToldEntities(name, value)...), m.ToldPayload(name)...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("values told in conversations: %w", err)
	}
	return out, nil
}
