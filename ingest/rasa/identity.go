package rasa

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"

	"turnwise/conversation"
	"turnwise/ingest/wire"
)

// finish sets the fields that depend on the type.
func (r *raw) finish() {
	e := r.e
	utter := e.Retrieval
	e.Retrieval = ""
	if e.RedactedAt != 0 {
		e.Flags |= conversation.FlagRedacted
	}
	switch e.Type {
	case typeUser:
		e.Retrieval = r.template
		if e.MessageID == "" {
			e.MessageID = r.parseMsgID
		}
		if len(r.entities) > 2 {
			e.Entities = r.entities
		}
		e.Rich = r.sent()
	case typeBot, typeAgent:
		e.Name = utter
		e.Rich = rich(r.dataSpan)
	case typeAction:
		if e.Name == "" {
			e.Name = cut(r.template)
		}
	case typeSlot:
		if e.Value == "" {
			e.Value = "null"
		}
	}
	if e.FlowID == "" {
		e.FlowID = r.activeFlow
		if e.StepID == "" {
			e.StepID = r.activeStep
		}
	}
}

func cut(s string) string {
	if len(s) <= maxIdent {
		return s
	}
	return strings.ToValidUTF8(s[:maxIdent], "")
}

// sent returns what a user sent beside text, as JSON, or "": attachments, and a text that is none.
func (r *raw) sent() string {
	var members []string
	for _, a := range r.attachments {
		if len(a) > 2 && (a[0] == '[' || a[0] == '{') {
			members = append(members, `"attachments":`+a)
			break
		}
	}
	if r.structured != "" {
		members = append(members, `"message":`+r.structured)
	}
	if len(members) == 0 {
		return ""
	}
	return "{" + strings.Join(members, ",") + "}"
}

// rich returns the members of a bot's data that are not null, sorted by name, or "".
func rich(span string) string {
	if len(span) == 0 || span[0] != '{' {
		return ""
	}
	s := wire.Scanner{Text: span}
	members := map[string]string{}
	s.Object(func(key string) {
		if v := s.Skip(); v != "null" {
			members[key] = v
		} else {
			delete(members, key)
		}
	})
	if len(members) == 0 {
		return ""
	}
	var b strings.Builder
	for i, k := range slices.Sorted(mapKeys(members)) {
		if i > 0 {
			b.WriteByte(',')
		} else {
			b.WriteByte('{')
		}
		name, _ := json.Marshal(k) // a string: cannot fail
		b.Write(name)
		b.WriteByte(':')
		b.WriteString(members[k])
	}
	b.WriteByte('}')
	return b.String()
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// discriminator tells events of one sender, type and instant apart. It holds nothing that a store of Rasa's rounds,
// drops or writes in another way: numbers count to nine decimals, and policy and confidence not at all. What redaction
// changes (texts, values of slots) is part of it only where there is nothing else; redacted copies of such events are
// found by their instant and name.
func (r *raw) discriminator() []byte {
	e := r.e
	var buf [192]byte
	b := buf[:0]
	add := func(s string) { b = append(append(b, s...), 0) }
	switch e.Type {
	case typeUser:
		add(e.MessageID)
		if !e.Is(conversation.OwnID) {
			add(e.Text)
			add(e.Intent)
		}
	case typeBot, typeAgent:
		add(e.Text)
		add(wire.Canonical(e.Rich))
	case typeSlot:
		add(e.Name)
		add(wire.Canonical(e.Value))
	case typeAction, "action_execution_rejected", "followup", "active_loop", "reminder", "cancel_reminder", "form":
		add(e.Name)
	case typeStack:
		sum := sha256.Sum256([]byte(e.Update))
		return append(b, sum[:]...)
	case typeSessionStart, typeSessionEnd, typeInactive, typeRestart,
		typePause, typeResume, typeResetSlots, "rewind", "undo", "export",
		"routing_session_ended", "session_paused", "user_featurization":
	default:
		switch {
		case strings.HasPrefix(e.Type, "flow_"):
			add(e.FlowID)
			add(e.StepID)
		case strings.HasPrefix(e.Type, "agent_"):
			add(e.FlowID)
			add(e.AgentID)
		default:
			return binary.BigEndian.AppendUint64(b, Digest(e.Body))
		}
	}
	return b
}
