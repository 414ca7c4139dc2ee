package mask

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
)

// told are values of slots that are masked by name, as they were told: their words are masked in texts too, however
// they are spelt.
type told struct{ values []Value }

// Value is what was told as the value of a slot that is masked by name, and the word that stands for it.
type Value struct{ Text, Token string }

// mostValues and longestValue bound what is looked for in texts.
const (
	mostValues   = 200
	longestValue = 200
)

// add notes the texts and numbers of a value. The nil told notes nothing.
func (t *told) add(token string, v any) {
	if t == nil || len(t.values) >= mostValues {
		return
	}
	switch x := v.(type) {
	case string:
		if len(x) <= longestValue && searched(x) && !tokenAlone.MatchString(x) {
			for _, known := range t.values {
				if known.Text == x {
					return
				}
			}
			t.values = append(t.values, Value{x, token})
		}
	case json.Number:
		t.add(token, strings.TrimSuffix(x.String(), ".0"))
	case []any:
		for _, y := range x {
			t.add(token, y)
		}
	case map[string]any:
		for _, y := range x {
			t.add(token, y)
		}
	}
}

// searched tells whether a value has enough to it that words like it may be taken for it.
func searched(text string) bool {
	letters := 0
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			letters++
		}
	}
	switch strings.ToLower(text) {
	case "true", "false", "null", "yes", "no", "none":
		return false
	}
	return letters >= 2
}

// hide masks the values in a text.
func (t *told) hide(text string) string {
	if t == nil || text == "" {
		return text
	}
	return Hide(text, t.values)
}

// Hide masks values in a text wherever their letters and digits stand as words of their own, in upper or lower case,
// with whatever spaces and signs between.
func Hide(text string, values []Value) string {
	for _, v := range values {
		spans := spansOf(text, v.Text)
		if len(spans) == 0 {
			continue
		}
		var b strings.Builder
		at := 0
		for _, s := range spans {
			b.WriteString(text[at:s.from])
			b.WriteString(v.Token)
			at = s.to
		}
		b.WriteString(text[at:])
		text = b.String()
	}
	return text
}

// letter is a letter or digit of a text.
type letter struct {
	r        rune // in lower case; -1 for a word that stands for what was masked before, which nothing matches
	from, to int
	first    bool // no letter or digit stands directly before it
}

func lettersOf(text string) (letters []letter) {
	masked := token.FindAllStringIndex(text, -1)
	joined := false
	for i, r := range text {
		for len(masked) > 0 && i >= masked[0][1] {
			masked = masked[1:]
		}
		if len(masked) > 0 && i >= masked[0][0] {
			if joined || i == masked[0][0] {
				letters = append(letters, letter{r: -1})
			}
			joined = false
			continue
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			joined = joined && unicode.Is(unicode.M, r)
			continue
		}
		letters = append(letters, letter{unicode.ToLower(r), i, i + len(string(r)), !joined})
		joined = true
	}
	return letters
}

// begins and ends tell whether whole words begin with the letter at i, and end before that at i.
func begins(letters []letter, i int) bool { return letters[i].first || ideograph(letters[i].r) }

func ends(letters []letter, i int) bool {
	return i == len(letters) || letters[i].first || letters[i].r == -1 || ideograph(letters[i-1].r)
}

// spansOf finds a value in a text.
func spansOf(text, value string) (found []span) {
	want := Letters(value)
	if len(want) == 0 || len(want) > longestValue {
		return nil
	}
	letters := lettersOf(text)
	for i := 0; i+len(want) <= len(letters); i++ {
		if letters[i].r != want[0] || !begins(letters, i) || !ends(letters, i+len(want)) {
			continue
		}
		n := 1
		for n < len(want) && letters[i+n].r == want[n] {
			n++
		}
		if n == len(want) {
			found = append(found, span{letters[i].from, letters[i+n-1].to})
			i += n - 1
		}
	}
	return found
}

// ideograph tells of letters that are written without spaces between words.
func ideograph(r rune) bool {
	return unicode.In(
		r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
	)
}

// payloads masks values within what a button sends: /SetSlots(name=value, …).
func (m *Masker) payloads(e map[string]any, told *told) (n int) {
	parsed, _ := e["parse_data"].(map[string]any)
	for _, in := range []map[string]any{e, parsed} {
		text, ok := in["text"].(string)
		if !ok {
			continue
		}
		if masked := m.payload(text, told); masked != text {
			in["text"] = masked
			n++
		}
	}
	return n
}

// payload masks the values of slots in /SetSlots(name=value, …).
func (m *Masker) payload(text string, told *told) string {
	const begin = "/SetSlots("
	if !strings.HasPrefix(text, begin) {
		return text
	}
	end := strings.LastIndexByte(text, ')')
	if end < len(begin) {
		end = len(text)
	}
	var out []string
	hidden := ""
	for _, part := range strings.Split(text[len(begin):end], ",") {
		slot, value, ok := strings.Cut(part, "=")
		switch {
		case !ok && hidden != "": // a comma within the value
			told.add(hidden, part)
			continue
		case !ok:
			out = append(out, part)
			continue
		}
		hidden = ""
		if name := strings.TrimSpace(slot); m.slots[name] {
			hidden = slotToken(name)
			if trimmed := strings.TrimSpace(value); trimmed != hidden {
				told.add(hidden, strings.Trim(trimmed, `"'`))
			}
			value = hidden
		}
		out = append(out, slot+"="+value)
	}
	return text[:len(begin)] + strings.Join(out, ",") + text[end:]
}

// With returns a masker that masks the values wherever they stand too: those that were told in a conversation.
func (m *Masker) With(told []Value) *Masker {
	if m == nil || len(told) == 0 {
		return m
	}
	x := *m
	x.told = told
	return &x
}

// Slots are the slots that are masked by name.
func (m *Masker) Slots() []string {
	if m == nil {
		return nil
	}
	return m.rules.Slots
}

// Told returns the values that a slot or a command tells, as JSON; nil where it is not masked.
func (m *Masker) Told(slot, value string) []Value {
	if m == nil || !m.slots[slot] {
		return nil
	}
	t := &told{}
	t.add(slotToken(slot), decoded(value))
	return t.values
}

// ToldEntities returns the values and words of the entities of a text that have the name of a slot that is masked.
func (m *Masker) ToldEntities(text, list string) []Value {
	if m == nil || !m.mentions(list) {
		return nil
	}
	t := &told{}
	m.spoken(map[string]any{"text": text, "entities": decoded(list)}, t)
	return t.values
}

// ToldPayload returns the values that a button's payload sets slots to.
func (m *Masker) ToldPayload(text string) []Value {
	if m == nil {
		return nil
	}
	t := &told{}
	m.payload(text, t)
	return t.values
}

// ToldMember is the member of a masked event that holds digests of what was masked in it as the value of a slot.
const ToldMember = "masked_values"

// Letters returns what of a value is compared: its letters and digits, in lower case.
func Letters(value string) []rune {
	var out []rune
	for _, r := range value {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			out = append(out, unicode.ToLower(r))
		}
	}
	return out
}

// Repeats masks in a JSON object, which is a reply, what slot tells to be a value by its letters: in its text and its
// data. lengths are how many letters such values have.
func Repeats(body string, lengths []int, slot func(letters string) (name string, ok bool)) (out string, n int) {
	e, ok := decoded(body).(map[string]any)
	if !ok {
		return body, 0
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch x := v.(type) {
		case string:
			masked := repeated(x, lengths, slot)
			if masked != x {
				n++
			}
			return masked
		case []any:
			for i := range x {
				x[i] = walk(x[i])
			}
		case map[string]any:
			for k, y := range x {
				if k != "payload" && k != "type" {
					x[k] = walk(y)
				}
			}
		}
		return v
	}
	for _, member := range []string{"text", "data"} {
		if e[member] != nil {
			e[member] = walk(e[member])
		}
	}
	if n == 0 {
		return body, 0
	}
	if out, ok = encoded(e); !ok {
		return body, 0
	}
	return out, n
}

// repeated masks in a text the stretches of whole words that slot knows, the longest at each place.
func repeated(text string, lengths []int, slot func(letters string) (string, bool)) string {
	letters := lettersOf(text)
	lengths = slices.Compact(slices.Sorted(slices.Values(lengths)))
	slices.Reverse(lengths)
	plain := make([]rune, len(letters))
	for i, l := range letters {
		plain[i] = l.r
	}
	var b strings.Builder
	at := 0
	for i := 0; i < len(letters); i++ {
		if !begins(letters, i) {
			continue
		}
		for _, n := range lengths {
			if n < 1 || i+n > len(letters) || !ends(letters, i+n) || slices.Contains(plain[i:i+n], -1) {
				continue
			}
			if name, ok := slot(string(plain[i : i+n])); ok {
				b.WriteString(text[at:letters[i].from])
				b.WriteString(slotToken(name))
				at = letters[i+n-1].to
				i += n - 1
				break
			}
		}
	}
	return b.String() + text[at:]
}
