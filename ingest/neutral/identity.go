package neutral

import (
	"encoding/binary"
	"strconv"

	"turnwise/conversation"
)

// discriminator tells events of one sender, type and instant apart: by the key of the type, else by the id of the event,
// else by all that its data say. A platform that sends again with another id sends the same event.
func (r *raw) discriminator() []byte {
	b := r.d.buf[:0]
	defer func() { r.d.buf = b }()
	add := func(s string) { b = append(append(b, s...), 0) }
	switch x := r.Facts.(type) {
	case *conversation.Said:
		add(r.MessageID)
		return b
	case *conversation.TurnFacts:
		turn := r.data.has("turn_id")
		if r.MessageID == "" && turn == "" {
			turn = r.id
		}
		add(r.MessageID)
		add(turn)
		return b
	case *conversation.Feedback:
		add(x.ID)
		return b
	case *conversation.Score:
		add(x.ID)
		return b
	case *conversation.StateChange:
		if id := r.data.has("state_id"); id != "" {
			add(id)
			return b
		}
	case *conversation.Activity:
		if x.ID != "" {
			add(x.ID)
			return b
		}
	case nil:
		switch {
		case r.Kind.Flow():
			for _, s := range []string{r.FlowID, r.data.has("run_id"), r.Name, r.StepID} {
				add(s)
			}
			add(strconv.FormatInt(r.Order, 10))
			return b
		case r.id != "":
			add(r.id)
			return b
		}
	}
	return binary.BigEndian.AppendUint64(b, Digest(r.content))
}

// telling tells whether the event's id may be made of texts, see discriminator.
func telling(e *conversation.Event) bool {
	switch x := e.Facts.(type) {
	case *conversation.StateChange, *conversation.Presence, *conversation.About, *conversation.Profile:
		return true
	case *conversation.Activity:
		return x.ID == ""
	case nil:
		return e.Kind == conversation.KindNone
	}
	return false
}
