package mask

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// names are the members of an event that name something and are no text: masked, the event would be another one.
var names = map[string]bool{
	"sender_id": true, "user_id": true, "event": true, "timestamp": true, "name": true, "flow_id": true, "step_id": true, "agent_id": true, "reason": true,
	"input_channel": true, "message_id": true, "policy": true, "conversation_id": true, "anonymized_at": true, "action_name": true,
	"metadata.assistant_id": true, "metadata.model_id": true, "metadata.model_name": true, "metadata.utter_action": true, "metadata.template_name": true,
	"parse_data.message_id": true, "parse_data.intent.name": true, "parse_data.intent_ranking.[].name": true, "parse_data.entities.[].entity": true,
	"parse_data.commands.[].command": true, "parse_data.commands.[].flow": true, "parse_data.commands.[].name": true,
}

func named(path []string) bool { return len(path) <= 4 && names[strings.Join(path, ".")] }

// Event masks an event of Rasa. Names and ids stay as they are.
func (m *Masker) Event(body string) (string, int) {
	if m == nil {
		return body, 0
	}
	n := 0
	for s := range m.slots {
		if m.anyName || strings.Contains(body, s) {
			body, n = m.slotsOf(body)
			break
		}
	}
	out, found := m.JSON(body, named)
	return out, n + found
}

// Whole masks an event with its names and ids, for who shall not see whose it is.
func (m *Masker) Whole(body string) (string, int) {
	body, n := m.Event(body)
	out, found := m.JSON(body, nil)
	return out, n + found
}

// slotsOf masks the values of the slots of an event, and of the entities and commands that have their names.
func (m *Masker) slotsOf(body string) (string, int) {
	var e map[string]any
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if d.Decode(&e) != nil {
		return body, 0
	}
	n := 0
	set := func(in map[string]any, name any) {
		s, _ := name.(string)
		if m.slots[s] && in["value"] != nil && in["value"] != slotToken(s) {
			in["value"] = slotToken(s)
			n++
		}
	}
	if e["event"] == "slot" {
		set(e, e["name"])
	}
	parsed, _ := e["parse_data"].(map[string]any)
	for _, c := range objects(parsed["commands"]) {
		set(c, c["name"])
	}
	var found []entity
	for _, list := range []any{parsed["entities"], e["entities"]} {
		for _, x := range objects(list) {
			name, _ := x["entity"].(string)
			if !m.slots[name] || x["value"] == slotToken(name) {
				continue // or was masked before
			}
			value, _ := x["value"].(string)
			from, ok1 := place(x["start"])
			to, ok2 := place(x["end"])
			if !ok1 || !ok2 || from >= to {
				from, to = -1, -1
			}
			found = append(found, entity{from, to, value, slotToken(name)})
			set(x, name)
		}
	}
	for _, in := range []map[string]any{e, parsed} {
		if text, ok := in["text"].(string); ok && len(found) > 0 {
			if masked := without(text, found); masked != text {
				in["text"] = masked
				n++
			}
		}
	}
	if n == 0 {
		return body, 0
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(e) != nil {
		return body, 0
	}
	return strings.TrimSuffix(b.String(), "\n"), n
}

// entity is a part of a text that a name was found for: at its place, if that is told and holds still what it says.
type entity struct {
	from, to     int // characters; -1 when not told
	value, token string
}

// without replaces entities in a text.
func without(text string, all []entity) string {
	var spans []span
	var tokens []string
	add := func(f span, token string) {
		for i, o := range spans {
			if f.from < o.to && o.from < f.to { // they overlap: both go
				spans[i] = span{min(f.from, o.from), max(f.to, o.to)}
				return
			}
		}
		spans, tokens = append(spans, f), append(tokens, token)
	}
	for _, e := range all {
		from, to := byteAt(text, e.from), byteAt(text, e.to)
		if e.from >= 0 && from < to && (e.value == "" || strings.EqualFold(text[from:to], e.value)) {
			add(span{from, to}, e.token)
			continue
		}
		if utf8.RuneCountInString(e.value) < 2 {
			continue
		}
		for at := 0; ; { // something before it was masked, or the place was never told
			i := strings.Index(text[at:], e.value)
			if i < 0 {
				break
			}
			add(span{at + i, at + i + len(e.value)}, e.token)
			at += i + len(e.value)
		}
	}
	order := make([]int, len(spans))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return spans[b].from - spans[a].from }) // from the end, so that places stay true
	for _, i := range order {
		text = text[:spans[i].from] + tokens[i] + text[spans[i].to:]
	}
	return text
}

func objects(list any) (out []map[string]any) {
	all, _ := list.([]any)
	for _, x := range all {
		if o, ok := x.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

func place(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return int(i), err == nil && i >= 0 && i < math.MaxInt32
}

// byteAt is where the nth character of a text begins, or the text's length.
func byteAt(s string, n int) int {
	if n < 0 {
		return 0
	}
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

// Rejected masks a body that is no event. Bytes that are no text stay where nothing is found.
func (m *Masker) Rejected(body []byte) ([]byte, int) {
	if m == nil || len(body) == 0 {
		return body, 0
	}
	text, n := strings.ToValidUTF8(string(body), "\uFFFD"), 0
	if json.Valid([]byte(text)) {
		text, n = m.Event(text)
	} else {
		text, n = m.Text(text)
	}
	if n == 0 {
		return body, 0
	}
	return []byte(text), n
}

// Count counts the words that stand for what was masked, of any rules: an event with more of them holds less.
func Count(body string) int { return len(token.FindAllString(body, -1)) }

// Entities masks what a text says of entities that have the name of a slot that is masked. list is the JSON list of them, nil for none.
func (m *Masker) Entities(text string, list *string) (string, *string) {
	if m == nil || list == nil || len(m.slots) == 0 {
		return text, list
	}
	in, err := json.Marshal(map[string]any{"text": text, "entities": json.RawMessage(*list)})
	if err != nil {
		return text, list
	}
	out, n := m.slotsOf(string(in))
	var e struct {
		Text     string
		Entities json.RawMessage
	}
	if n == 0 || json.Unmarshal([]byte(out), &e) != nil {
		return text, list
	}
	masked := string(e.Entities)
	return e.Text, &masked
}
