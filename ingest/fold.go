package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
	"turnwise/queries/store"
)

// fold projects the units into the batch and returns the events that are new.
func (w *Writer) fold(
	ctx context.Context, tx pgx.Tx, units []*unit, batch *store.Batch,
) (fresh []*conversation.Event, err error) {
	projections, keys := projectionsOf(units)
	first, err := store.FirstKeys(ctx, tx, keys)
	if err != nil {
		return nil, fmt.Errorf("look up conversations: %w", err)
	}
	book, err := w.rulesOfAll(ctx, tx, assistantsOf(projections))
	if err != nil {
		return nil, err
	}
	for _, u := range units {
		p := projections[u]
		if len(u.append) == 0 && u.refolding == nil {
			continue
		}
		e := u.events[0]
		rules := book[e.Assistant]
		sender := store.Sender{ID: u.id, Assistant: e.Assistant, Key: e.SenderKey, Stored: u.hasState}
		if u.refolding == nil {
			if u.append, err = w.hideRepeats(ctx, p.Told, u.append); err != nil {
				return nil, err
			}
			if sender.Changes = u.continued(p, rules, first); sender.Changes != nil {
				sender.Projection = p
				batch.Add(sender)
				fresh = append(fresh, u.append...)
				continue
			}
		}
		u.refolding.inserted = append(u.refolding.inserted, u.append...)
		if sender.Projection, sender.Changes, err = w.foldAgain(ctx, tx, sender, u.refolding, rules); err != nil {
			return nil, err
		}
		u.refused = u.refolding.refused
		if sender.Projection == nil {
			continue
		}
		batch.Add(sender)
		fresh = append(fresh, u.refolding.inserted...)
	}
	return fresh, nil
}

// projectionsOf are the states of the senders that are folded, and the conversations of which their events speak.
func projectionsOf(units []*unit) (map[*unit]*conversation.Projection, []queries.ConversationKey) {
	all := make(map[*unit]*conversation.Projection, len(units))
	var keys []queries.ConversationKey
	for _, u := range units {
		if len(u.append) == 0 && u.refolding == nil {
			continue
		}
		p := new(conversation.Projection)
		if u.hasState && u.refolding == nil {
			// A state of another version, or a damaged one: the stored events tell all.
			var err error
			if p, err = conversation.UnmarshalProjection(u.state.Bytes); err != nil {
				u.refold().all = true
			}
		}
		all[u] = p
		if u.hasState && u.refolding == nil {
			keys = append(keys, sessions(u, p)...)
		}
	}
	return all, keys
}

// assistantsOf are those whose events are folded.
func assistantsOf(projections map[*unit]*conversation.Projection) []string {
	var all []string
	for u := range projections {
		if name := u.events[0].Assistant; len(all) == 0 || all[len(all)-1] != name {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// continued folds what comes behind all that is stored. It returns nil where the sender must be folded again.
func (u *unit) continued(
	p *conversation.Projection, rules *conversation.Rules, first map[queries.ConversationKey]conversation.Key,
) *conversation.Changes {
	stored := func(id conversation.UUID) (conversation.Key, bool) {
		key, ok := first[queries.ConversationKey{SenderID: u.id, ID: id}]
		return key, ok
	}
	if !u.hasState {
		stored = nil
	}
	changes, back, ok := conversation.NewFold(p, rules, stored).Project(u.append)
	if !ok {
		u.refold().reach(back)
		return nil
	}
	return changes
}

// sessions lists the conversations that the unit's events name and that are not the current one.
func sessions(u *unit, p *conversation.Projection) (keys []queries.ConversationKey) {
	last := ""
	if p.Current != nil {
		last = p.Current.SessionID
	}
	for _, e := range u.append {
		if e.SessionID != "" && e.SessionID != last {
			keys = append(keys, queries.ConversationKey{SenderID: u.id, ID: conversation.SessionUUID(e)})
			last = e.SessionID
		}
	}
	return keys
}
