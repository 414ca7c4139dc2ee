package neutral

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"turnwise/conversation"
	"turnwise/ingest/wire"
)

// members are those of a JSON object. What is taken has a place of its own; the rest is kept as it is. A member of the
// wrong type is left empty and marks the event.
type members struct {
	list  []member
	at    map[string]int // where each is, once there are many
	event *conversation.Event
}

type member struct {
	key, value string // the value as JSON
	taken      bool
}

// read reads the members of the object that the scanner stands at; of equal ones the last counts.
func (m *members) read(s *wire.Scanner) {
	s.Object(func(key string) { m.put(key, s.Skip()) })
}

func (m *members) put(key, value string) {
	i, known := m.find(key)
	if known {
		m.list[i].value = value
		return
	}
	m.list = append(m.list, member{key: key, value: value})
	switch {
	case m.at != nil:
		m.at[key] = len(m.list) - 1
	case len(m.list) > manyMembers:
		m.at = make(map[string]int, 2*len(m.list))
		for i, x := range m.list {
			m.at[x.key] = i
		}
	}
}

// manyMembers is from how many on members are found by a map.
const manyMembers = 32

func (m *members) find(key string) (i int, known bool) {
	if m.at != nil {
		i, known = m.at[key]
		return i, known
	}
	for i := range m.list {
		if m.list[i].key == key {
			return i, true
		}
	}
	return 0, false
}

// has returns a member's value as JSON, "" where it is missing or null.
func (m *members) has(key string) string {
	for i := range m.list {
		if m.list[i].key == key {
			if v := m.list[i].value; v != "null" {
				return v
			}
			return ""
		}
	}
	return ""
}

// take does the same, and notes that the member has its place.
func (m *members) take(key string) string {
	for i := range m.list {
		if m.list[i].key == key {
			m.list[i].taken = true
			if v := m.list[i].value; v != "null" {
				return v
			}
			return ""
		}
	}
	return ""
}

// rest returns what was not taken, as a JSON object, or "".
func (m *members) rest() string {
	n := 0
	for i := range m.list {
		if x := &m.list[i]; !x.taken && x.value != "null" {
			n += len(x.key) + len(x.value) + 4
		}
	}
	if n == 0 {
		return ""
	}
	b := make([]byte, 0, n+1)
	for i := range m.list {
		x := &m.list[i]
		if x.taken || x.value == "null" {
			continue
		}
		b = append(b, ',')
		name, _ := json.Marshal(x.key) // a string: cannot fail
		b = append(append(append(b, name...), ':'), x.value...)
	}
	b[0] = '{'
	return string(append(b, '}'))
}

func (m *members) misfit() { m.event.Flags |= conversation.FlagMisfit }

// textOf reads a JSON string.
func textOf(value string) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	raw := value[1 : len(value)-1]
	if strings.IndexByte(raw, '\\') >= 0 || !valid(raw) {
		return wire.Unescape(raw), true
	}
	return raw, true
}

// text takes a text.
func (m *members) text(key string) string {
	v := m.take(key)
	if v == "" {
		return ""
	}
	text, ok := textOf(v)
	if !ok {
		m.misfit()
	}
	return text
}

// maxName is how long a name or an id is; a longer one is cut and told apart by a digest.
const maxName = 255

func (m *members) name(key string) string { return m.nameOf(m.take(key)) }

// nameOf reads a name or an id, which may be a whole number.
func (m *members) nameOf(v string) string {
	if v == "" {
		return ""
	}
	text, ok := textOf(v)
	if !ok {
		if strings.Trim(v, "-0123456789") != "" || len(v) > maxDigits {
			m.misfit()
			return ""
		}
		text = v
	}
	if len(text) > maxName {
		m.misfit()
		sum := sha256.Sum256([]byte(text))
		text = strings.ToValidUTF8(text[:200], "") + "…" + hex.EncodeToString(sum[:8])
	}
	return text
}

// word takes one of a few words; others mark the event.
func (m *members) word(key string, known ...string) string {
	v := m.take(key)
	if v == "" {
		return ""
	}
	text, _ := textOf(v)
	for _, k := range known {
		if text == k {
			return k
		}
	}
	m.misfit()
	return ""
}

// number takes a number of at most so much; NaN where it is missing.
func (m *members) number(key string, most float64) float64 { return m.numberOf(m.take(key), most) }

func (m *members) numberOf(v string, most float64) float64 {
	if v == "" {
		return math.NaN()
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > most {
		m.misfit()
		return math.NaN()
	}
	return f + 0 // of minus zero
}

// yes takes a truth value.
func (m *members) yes(key string) bool {
	switch m.take(key) {
	case "true":
		return true
	case "", "false":
	default:
		m.misfit()
	}
	return false
}

// object returns the members of an object; none where it is missing.
func (m *members) object(key string) members {
	out := members{event: m.event}
	v := m.has(key)
	switch {
	case v == "":
	case v[0] == '{':
		out.read(&wire.Scanner{Text: v})
	default:
		m.misfit()
	}
	return out
}

// each calls do for each element of a list.
func (m *members) each(key string, do func(value string)) {
	v := m.has(key)
	if v == "" {
		return
	}
	if v[0] != '[' {
		m.misfit()
		return
	}
	s := wire.Scanner{Text: v}
	s.Open('[')
	for first := true; s.Next(']', first); first = false {
		do(s.Skip())
	}
}

// names reads a list of names.
func (m *members) names(key string) (all []string) {
	m.each(key, func(v string) {
		if name := m.nameOf(v); name != "" && len(all) < mostNames {
			all = append(all, name)
		}
	})
	return all
}

const (
	mostNames = 200
	maxDigits = 100 // of an id that is a number
)

// time takes a time of RFC 3339, in microseconds; 0 where it is missing.
func (m *members) time(key string) int64 {
	v := m.take(key)
	if v == "" {
		return 0
	}
	text, _ := textOf(v)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1900 || t.Year() > 9999 {
		m.misfit()
		return 0
	}
	return t.UnixMicro()
}

// rev takes a revision: a number, or a time; that of the event where it is missing.
func (m *members) rev() float64 {
	v := m.take("rev")
	if strings.HasPrefix(v, `"`) {
		text, _ := textOf(v)
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return float64(t.UnixMicro()) / 1e6
		}
		m.misfit()
		v = ""
	}
	if f := m.numberOf(v, 1e18); !math.IsNaN(f) {
		return f
	}
	return m.event.Time
}
