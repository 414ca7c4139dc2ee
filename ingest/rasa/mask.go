package rasa

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"turnwise/conversation"
	"turnwise/ingest/wire"
	"turnwise/mask"
)

// Masked returns the event with personal data masked, or the same one where there are none. key makes the ids of masked
// events: those that are made of texts would let everybody who can guess what was masked see that the guess is right.
func (d *Decoder) Masked(e *conversation.Event, m *mask.Masker, key []byte) (*conversation.Event, *wire.Reject) {
	body, n, values := m.EventTold(e.Body)
	masked := e.Flags&conversation.FlagMasked != 0 // before: the id stays
	telling := len(key) > 0 && !masked && telling(e)
	if n == 0 {
		if telling {
			e.OtherID = conversation.KeyedID(key, e.ID)
		}
		return e, nil
	}
	if len(values) > 0 && len(key) > 0 {
		body = withTold(body, values, key)
	}
	x, rej := d.Decode(body, wire.Intake{Assistant: e.Assistant, Environment: e.Environment, Stored: true}, time.Time{})
	if rej != nil {
		return nil, rej
	}
	x.ID, x.Place, x.Via = e.ID, e.Place, e.Via
	x.Flags |= e.Flags&conversation.FlagRepaired | conversation.FlagMasked
	x.Masks = int16(min(mask.Count(body), math.MaxInt16))
	if telling {
		x.ID, x.OtherID = conversation.KeyedID(key, e.ID), e.ID
	}
	return x, nil
}

// withTold adds the digests of values to a masked body.
func withTold(body string, values []mask.Value, key []byte) string {
	var list []conversation.Told
	for _, v := range values {
		letters := mask.Letters(v.Text)
		list = conversation.MoreTold(list, []conversation.Told{
			{Digest: digestOf(key, string(letters)), Letters: len(letters), Slot: strings.Trim(v.Token, "[]")},
		})
	}
	var b strings.Builder
	end := strings.LastIndexByte(body, '}')
	b.WriteString(body[:end])
	b.WriteString(`,"` + mask.ToldMember + `":[`)
	for i, x := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(x.Slot) // a string: cannot fail
		fmt.Fprintf(&b, `["%016x",%d,%s]`, uint64(x.Digest), x.Letters, name)
	}
	b.WriteString("]" + body[end:])
	return b.String()
}

func digestOf(key []byte, letters string) int64 {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("told:" + letters))
	return int64(binary.BigEndian.Uint64(h.Sum(nil)))
}

// told reads what withTold wrote.
func (d *Decoder) told(e *conversation.Event) {
	var list [][3]any
	if json.Unmarshal([]byte(d.s.Skip()), &list) != nil {
		return
	}
	for _, x := range list {
		digest, _ := x[0].(string)
		letters, _ := x[1].(float64)
		slot, ok := x[2].(string)
		if n, err := strconv.ParseUint(digest, 16, 64); err == nil && ok && letters >= 1 && letters <= 1000 {
			e.Told = append(e.Told, conversation.Told{Digest: int64(n), Letters: int(letters), Slot: slot})
		}
	}
}

// Repeated returns a reply with what repeats values that were told before masked, or the same one where there are none.
func (d *Decoder) Repeated(
	e *conversation.Event, told []conversation.Told, key []byte,
) (*conversation.Event, *wire.Reject) {
	if len(told) == 0 || len(key) == 0 || e.Type != typeBot && e.Type != typeAgent {
		return e, nil
	}
	slots, lengths := map[int64]string{}, []int{}
	for _, x := range told {
		slots[x.Digest] = x.Slot
		if !slices.Contains(lengths, x.Letters) {
			lengths = append(lengths, x.Letters)
		}
	}
	slices.Sort(lengths)
	slices.Reverse(lengths) // the longest first
	body, n := mask.Repeats(e.Body, lengths, func(letters string) (string, bool) {
		name, ok := slots[digestOf(key, letters)]
		return name, ok
	})
	if n == 0 {
		return e, nil
	}
	x, rej := d.Decode(body, wire.Intake{Assistant: e.Assistant, Environment: e.Environment, Stored: true}, time.Time{})
	if rej != nil {
		return nil, rej
	}
	x.ID, x.OtherID, x.Place, x.Via = e.ID, e.OtherID, e.Place, e.Via
	if e.Flags&conversation.FlagMasked == 0 {
		x.ID, x.OtherID = conversation.KeyedID(key, e.ID), e.ID
	}
	x.Flags |= e.Flags&conversation.FlagRepaired | conversation.FlagMasked
	x.Masks = int16(min(mask.Count(body), math.MaxInt16))
	return x, nil
}

// telling tells whether the event's id is made of texts, see discriminator.
func telling(e *conversation.Event) bool {
	switch e.Type {
	case typeUser:
		return !e.Is(conversation.OwnID)
	case typeAction, "action_execution_rejected", "followup", "active_loop", "reminder", "cancel_reminder", "form",
		typeSessionStart, typeSessionEnd, typeInactive, typeRestart,
		typePause, typeResume, typeResetSlots, "rewind", "undo", "export",
		"routing_session_ended", "session_paused", "user_featurization":
		return false
	}
	return !strings.HasPrefix(e.Type, "flow_") && !strings.HasPrefix(e.Type, "agent_")
}
