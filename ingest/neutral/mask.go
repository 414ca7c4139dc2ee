package neutral

import (
	"math"
	"time"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/mask"
)

// plain are the members that name something and are no text: masked, the event would be another one.
var plain = map[string]bool{
	"bot_id": true, "environment": true, "version": true, "channel": true, "thread_id": true, "conversation_id": true,
	"user_id": true, "time_precision": true, "message_id": true, "reply_to_id": true, "author": true, "visibility": true,
	"kind": true, "format": true, "message_type": true, "agent_id": true, "agent_session_id": true, "handling_agent": true,
	"flow": true, "step": true, "status": true, "run_id": true, "turn_id": true, "state_id": true, "state": true, "by": true,
	"feedback_id": true, "score_id": true, "activity_id": true, "actor": true, "org_id": true, "internal_id": true,
	"external_user_id": true, "rev": true, "seq": true, "result": true, "started_at": true, "ended_at": true,
	"first_seen": true, "lang": true, "end_reason": true, "groups": true, "aliases": true, "scale": true,
	"score": true, "event": true, "name": true,
}

// envelope are the members of the envelope that name something.
var envelope = map[string]bool{"type": true, "time": true, "id": true, "source": true, "specversion": true}

// lists are those of which one member names something.
var lists = map[string][]string{
	"calls":    {"kind", "name", "provider", "status"},
	"intents":  {"name"},
	"entities": {"entity", "name"},
	"handler":  {"kind", "agent_id", "team_id"},
}

// named tells whether what stands at a path is an id or a name.
func named(path []string) bool {
	if path[0] != "data" {
		return len(path) == 1 && envelope[path[0]]
	}
	path = path[1:]
	if len(path) > 1 && path[0] == "turn" {
		path = path[1:]
	}
	switch {
	case len(path) == 0:
		return false
	case len(path) == 1 || path[0] == "groups" || path[0] == "aliases":
		return plain[path[0]]
	case path[0] == "login":
		return len(path) == 2 && (path[1] == "session_id" || path[1] == "started" || path[1] == "ended")
	}
	last := path[len(path)-1]
	for _, name := range lists[path[0]] {
		if last == name {
			return true
		}
	}
	return false
}

func masked(m *mask.Masker, body string) (string, int) { return m.Members(body, "data", named) }

// Masked returns the event with personal data masked, or the same one where there are none. key makes the ids of masked
// events that are made of what they say.
func (d *Decoder) Masked(e *conversation.Event, m *mask.Masker, key []byte) (*conversation.Event, *wire.Reject) {
	body, n := masked(m, e.Body)
	was := e.Flags&conversation.FlagMasked != 0 // then the id stays
	tells := len(key) > 0 && !was && telling(e)
	if n == 0 {
		if tells {
			e.OtherID = conversation.KeyedID(key, e.ID)
		}
		return e, nil
	}
	x, rej := d.Decode(body, wire.Intake{Assistant: e.Assistant, Environment: e.Environment, Stored: true}, time.Time{})
	if rej != nil {
		return nil, rej
	}
	x.ID, x.Place, x.Via = e.ID, e.Place, e.Via
	x.Flags |= e.Flags&conversation.FlagRepaired | conversation.FlagMasked
	x.Masks = int16(min(mask.Count(body), math.MaxInt16))
	if tells {
		x.ID, x.OtherID = conversation.KeyedID(key, e.ID), e.ID
	}
	return x, nil
}

// Repeated returns the event as it is: nothing is kept of what was told.
func (*Decoder) Repeated(
	e *conversation.Event, _ []conversation.Told, _ []byte,
) (*conversation.Event, *wire.Reject) {
	return e, nil
}
