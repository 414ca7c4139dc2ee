package mask

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// names are the members of an event that name something and are no text: masked, the event would be another one. They
// hold all that the decoder reads as an id or a name.
var names = map[string]bool{
	"sender_id": true, "user_id": true, "event": true, "timestamp": true, "name": true, "flow_id": true,
	"step_id": true, "agent_id": true, "reason": true,
	"input_channel": true, "message_id": true, "policy": true, "conversation_id": true, "anonymized_at": true,
	"action_name":           true,
	"metadata.assistant_id": true, "metadata.model_id": true, "metadata.model_name": true,
	"metadata.utter_action": true, "metadata.template_name": true,
	"metadata.session_id": true, "metadata.active_flow": true, "metadata.step_id": true, "metadata._reason": true,
	"parse_data.message_id": true, "parse_data.intent.name": true, "parse_data.intent.full_retrieval_intent_name": true,
	"parse_data.intent_ranking.[].name": true, "parse_data.entities.[].entity": true,
	"parse_data.commands.[].command": true, "parse_data.commands.[].flow": true, "parse_data.commands.[].name": true,
}

func named(path []string) bool {
	if path[0] == ToldMember {
		return true
	}
	switch len(path) {
	case 1:
		return names[path[0]]
	case 2, 3, 4:
		return names[strings.Join(path, ".")]
	case 5:
		return path[0] == "parse_data" && path[1] == "response_selector" && path[3] == "response" &&
			path[4] == "intent_response_key"
	}
	return false
}

// Event masks an event of Rasa. Names and ids stay as they are.
func (m *Masker) Event(body string) (string, int) {
	out, n, _ := m.EventTold(body)
	return out, n
}

// EventTold does the same, and returns the values of slots by name that it masked.
func (m *Masker) EventTold(body string) (out string, n int, values []Value) {
	if m == nil {
		return body, 0, nil
	}
	patch := false
	if m.mentions(body) || strings.Contains(body, `"update"`) {
		body, n, patch, values = m.inside(body)
	}
	out, found := m.JSON(
		body, func(path []string) bool { return named(path) || patch && len(path) == 1 && path[0] == "update" },
	)
	return out, n + found, values
}

// mentions tells whether a slot that is masked may stand in a JSON text.
func (m *Masker) mentions(body string) bool {
	for s := range m.slots {
		if m.anyName || strings.Contains(body, s) {
			return true
		}
	}
	return false
}

// Whole masks an event with its names and ids, for who shall not see whose it is.
func (m *Masker) Whole(body string) (string, int) {
	body, n := m.Event(body)
	out, found := m.JSON(body, nil)
	return out, n + found
}

// inside masks the values of the slots of an event wherever they stand, of the entities and commands that have their
// names, and the patch to the dialogue stack, which is JSON within a text; patch tells that there was one.
func (m *Masker) inside(body string) (out string, n int, patch bool, values []Value) {
	e, ok := decoded(body).(map[string]any)
	if !ok {
		return body, 0, false, nil
	}
	told := &told{}
	n = m.spoken(e, told)
	if text, ok := e["update"].(string); ok {
		if inner := decoded(text); inner != nil {
			found := 0
			if inner = m.patched(inner, &found); found > 0 {
				if text, ok := encoded(inner); ok {
					e["update"] = text
					n += found
				}
			}
			patch = true
		}
	}
	n += m.values(e, nil, told)
	n += m.payloads(e, told)
	parsed, _ := e["parse_data"].(map[string]any)
	for _, in := range []map[string]any{e, parsed} {
		if text, ok := in["text"].(string); ok {
			if masked := told.hide(text); masked != text {
				in["text"] = masked
				n++
			}
		}
	}
	if n == 0 {
		return body, 0, patch, nil
	}
	out, ok = encoded(e)
	if !ok {
		return body, 0, patch, nil
	}
	return out, n, patch, told.values
}

// Members masks an event of any format: within the member of that name the values of slots by name, and everywhere what
// is known by its form, but what named tells to be a name or an id.
func (m *Masker) Members(body, within string, named func(path []string) bool) (string, int) {
	if m == nil {
		return body, 0
	}
	n := 0
	if m.mentions(body) {
		if e, ok := decoded(body).(map[string]any); ok {
			told := &told{}
			inner := func(key string) bool { return !named([]string{within, key}) }
			n = m.entitiesIn(e[within], told)
			if n += m.values(e[within], inner, told); n > 0 {
				n += told.inside(e[within])
				if out, ok := encoded(e); ok {
					body = out
				}
			}
		}
	}
	out, found := m.JSON(body, named)
	return out, n + found
}

// entitiesIn masks the entities that an event, or its turn, tells of its text.
func (m *Masker) entitiesIn(v any, told *told) (n int) {
	e, _ := v.(map[string]any)
	turn, _ := e["turn"].(map[string]any)
	for _, in := range []map[string]any{e, turn} {
		if in["entities"] == nil {
			continue
		}
		of := map[string]any{"text": e["text"], "entities": in["entities"]}
		if found := m.spoken(of, told); found > 0 {
			n += found
			if e["text"] != nil {
				e["text"] = of["text"]
			}
		}
	}
	return n
}

// inside hides what was told in the texts of an event.
func (t *told) inside(v any) (n int) {
	e, _ := v.(map[string]any)
	for _, key := range []string{"text", "comment", "explanation", "error"} {
		if text, ok := e[key].(string); ok {
			if masked := t.hide(text); masked != text {
				e[key] = masked
				n++
			}
		}
	}
	return n
}

// decoded reads JSON; nil when it is none.
func decoded(text string) (v any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil || d.More() {
		return nil
	}
	return v
}

func encoded(v any) (string, bool) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err == nil
}

// spoken masks entities that have the name of a slot, and the words of the text that they were taken from.
func (m *Masker) spoken(e map[string]any, told *told) (n int) {
	parsed, _ := e["parse_data"].(map[string]any)
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
			told.add(slotToken(name), x["value"])
			x["value"] = slotToken(name)
			n++
		}
	}
	if len(found) == 0 {
		return n
	}
	for _, in := range []map[string]any{e, parsed} {
		if text, ok := in["text"].(string); ok {
			for _, x := range found {
				if x.placed(text) {
					told.add(x.token, text[byteAt(text, x.from):byteAt(text, x.to)])
				}
			}
			if masked := without(text, found); masked != text {
				in["text"] = masked
				n++
			}
		}
	}
	return n
}

// holders are the members whose own members may be slots by name.
var holders = map[string]bool{
	"metadata": true, "session_started_metadata": true, "corrected_slots": true, "slots": true, "value": true,
	"data": true, "custom": true, "arguments": true, "kwargs": true,
	"traits": true, "variables": true, "properties": true,
}

// told tells which members of what an event holds may be slots, and framed which of a frame of the dialogue stack.
func member(key string) bool { return !names["metadata."+key] }
func framed(key string) bool { return !frame[key] }

// values masks what is told as the value of a slot: {"name": …, "value": …} anywhere, and members that are called as a
// slot where slot says that they may be one.
func (m *Masker) values(v any, slot func(key string) bool, told *told) (n int) {
	set := func(in map[string]any, key, slot string) {
		if m.slots[slot] && in[key] != nil && in[key] != slotToken(slot) {
			told.add(slotToken(slot), in[key])
			in[key] = slotToken(slot)
			n++
		}
	}
	switch x := v.(type) {
	case []any:
		for _, y := range x {
			n += m.values(y, slot, told)
		}
	case map[string]any:
		_, pair := x["value"]
		if name, ok := x["name"].(string); ok {
			set(x, "value", name)
		}
		for key, y := range x {
			if of := bare(key); slot != nil && m.slots[of] && slot(key) && (key != "name" || !pair) {
				set(x, key, of)
				continue
			}
			next := slot
			if next == nil && holders[key] {
				next = member
			}
			n += m.values(y, next, told)
		}
	}
	return n
}

// bare is the name of a slot without what says where it was told.
func bare(key string) string {
	return strings.TrimPrefix(strings.TrimPrefix(key, "metadata."), "custom.")
}

// Member masks what is told under a name, as JSON.
func (m *Masker) Member(name, value string) string {
	key, _ := json.Marshal(name) // a text: cannot fail
	masked := m.Parts("{" + string(key) + ":" + value + "}")
	var all map[string]json.RawMessage
	if json.Unmarshal([]byte(masked), &all) != nil || len(all) != 1 {
		return `"` + tooLong + `"`
	}
	for _, v := range all {
		value = string(v)
	}
	return value
}

// Parts masks a JSON text in which slots are told by name, such as a command.
func (m *Masker) Parts(text string) string {
	if m == nil || text == "" {
		return text
	}
	if m.mentions(text) {
		if v := decoded(text); v != nil && m.values(v, member, nil) > 0 {
			if out, ok := encoded(v); ok {
				text = out
			}
		}
	}
	return m.Shown(text)
}

// entity is a part of a text that a name was found for: at its place, if that is told and holds still what it says.
type entity struct {
	from, to     int // characters; -1 when not told
	value, token string
}

// placed tells whether the entity's words stand at its place: they need not be its value, which may be a synonym or
// normalised. In a text of which something was masked before, places may have moved.
func (e entity) placed(text string) bool {
	from, to := byteAt(text, e.from), byteAt(text, e.to)
	if e.from < 0 || from >= to {
		return false
	}
	return strings.EqualFold(text[from:to], e.value) || !token.MatchString(text) || len(spansOf(text, e.value)) == 0 &&
		!token.MatchString(text[from:to])
}

// mostEntities is how many of a message are looked for one by one.
const mostEntities = 100

// without replaces entities in a text. Where they overlap, one word stands for all.
func without(text string, all []entity) string {
	if len(all) > mostEntities { // nobody says so much that is to be kept
		return all[0].token
	}
	type part struct {
		span
		token string
	}
	var parts []part
	looked := map[string]bool{}
	for _, e := range all {
		from, to := byteAt(text, e.from), byteAt(text, e.to)
		if e.placed(text) {
			parts = append(parts, part{span{from, to}, e.token})
			continue
		}
		if looked[e.value] || utf8.RuneCountInString(e.value) < 2 {
			continue
		}
		looked[e.value] = true
		for _, s := range spansOf(text, e.value) { // something before it was masked, or the place was never told
			parts = append(parts, part{s, e.token})
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return a.from - b.from })
	var b strings.Builder
	at := 0
	for i := 0; i < len(parts); {
		p := parts[i]
		for i++; i < len(parts) && parts[i].from < p.to; i++ {
			p.to = max(p.to, parts[i].to)
		}
		b.WriteString(text[at:p.from])
		b.WriteString(p.token)
		at = p.to
	}
	b.WriteString(text[at:])
	return b.String()
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
	f, err := n.Float64() // DynamoDB makes floats of whole numbers
	return int(f), err == nil && f >= 0 && f < math.MaxInt32 && f == math.Trunc(f)
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

// Rejected masks a body that is no event. Bytes that are no text stay where nothing is found. Of one in which to look
// for patterns would take long the beginning is left.
func (m *Masker) Rejected(body []byte) ([]byte, int) {
	if m == nil || len(body) == 0 {
		return body, 0
	}
	text, n := strings.ToValidUTF8(string(body), "\uFFFD"), 0
	if json.Valid([]byte(text)) {
		text, n = m.Event(text)
	} else {
		if head := m.head(text); len(head) < len(text) {
			text, body = head, []byte(head)
		}
		text, n = m.tornSlots(text)
		found := 0
		text, found = m.Text(text)
		n += found
	}
	if n == 0 {
		return body, 0
	}
	return []byte(text), n
}

var (
	tornName  = regexp.MustCompile(`"name"\s*:\s*"((?:[^"\\]|\\.)*)"`)
	tornValue = regexp.MustCompile(`("value"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^",}\]\s][^,}\]]*|[\[{].*)`)
)

// tornSlots masks the values in what is no JSON any more, when the name of a slot stands in it.
func (m *Masker) tornSlots(text string) (string, int) {
	n := 0
	for _, found := range tornName.FindAllStringSubmatch(text, -1) {
		if name := found[1]; m.slots[name] {
			text = tornValue.ReplaceAllStringFunc(text, func(part string) string {
				n++
				return part[:strings.IndexByte(part, ':')+1] + `"` + slotToken(name) + `"`
			})
			break
		}
	}
	return text, n
}

// Count counts the words that stand for what was masked, of any rules: an event with more of them holds less.
func Count(body string) int { return len(token.FindAllString(body, -1)) }

// Entities masks what a text says of entities that have the name of a slot that is masked. list is the JSON list of
// them, nil for none.
func (m *Masker) Entities(text string, list *string) (string, *string) {
	if m == nil || list == nil || !m.mentions(*list) {
		return text, list
	}
	e := map[string]any{"text": text, "entities": decoded(*list)}
	told := &told{}
	if m.spoken(e, told) == 0 {
		return text, list
	}
	e["text"] = told.hide(e["text"].(string))
	masked, ok := encoded(e["entities"])
	if !ok {
		return text, list
	}
	return e["text"].(string), &masked
}
