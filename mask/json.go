package mask

import (
	"encoding/json"
	"strings"
)

// JSON masks the strings and numbers of a JSON text and leaves every other byte as it is: keys, and what keep tells to
// be kept, by the keys that lead to it, "[]" for an element of a list. The text must be well-formed.
func (m *Masker) JSON(text string, keep func(path []string) bool) (string, int) {
	if m == nil {
		return text, 0
	}
	w := walk{m: m, text: text, keep: keep}
	w.value()
	for !w.broken && w.pos < len(text) { // nothing but space may follow
		if strings.IndexByte(" \n\r\t", text[w.pos]) < 0 {
			w.broken = true
		}
		w.pos++
	}
	w.pos = len(text)
	if w.n == 0 || w.broken {
		return m.flat(text, w.broken)
	}
	w.out.WriteString(text[w.written:])
	return w.out.String(), w.n
}

// flat masks what is no JSON after all as a text.
func (m *Masker) flat(text string, broken bool) (string, int) {
	if !broken {
		return text, 0
	}
	return m.Text(text)
}

// walk goes through a JSON text once.
type walk struct {
	m       *Masker
	text    string
	keep    func(path []string) bool
	path    []string
	pos     int
	out     strings.Builder
	written int // of the text
	n       int
	broken  bool
}

func (w *walk) space() byte {
	for w.pos < len(w.text) {
		switch c := w.text[w.pos]; c {
		case ' ', '\n', '\r', '\t':
			w.pos++
		default:
			return c
		}
	}
	w.broken = true
	return 0
}

func (w *walk) value() {
	if len(w.path) > 1000 {
		w.broken = true
	}
	switch c := w.space(); {
	case w.broken:
	case c == '{':
		w.members('}')
	case c == '[':
		w.members(']')
	case c == '"':
		from := w.pos
		raw := w.str()
		if w.broken || w.keep != nil && w.keep(w.path) {
			return
		}
		if strings.IndexByte(raw, '\\') >= 0 {
			if json.Unmarshal([]byte(w.text[from:w.pos]), &raw) != nil {
				w.broken = true
				return
			}
		}
		if masked, n := w.m.Text(raw); n > 0 {
			w.put(from, quote(masked), n)
		}
	default:
		from := w.pos
		for w.pos < len(w.text) && strings.IndexByte(",]} \n\r\t", w.text[w.pos]) < 0 {
			w.pos++
		}
		if w.pos == from {
			w.broken = true
			return
		}
		// Of what is known by its form only the longest numbers may be personal: shorter ones are times, amounts and
		// counts.
		digits := w.text[from:w.pos]
		if strings.Trim(digits, "0123456789") != "" || w.keep != nil && w.keep(w.path) { // a fraction is a measure
			return
		}
		of := w.m.own
		if n := len(digits); n >= 13 && n <= 19 {
			of = w.m.Text
		}
		if masked, n := of(digits); n > 0 {
			w.put(from, quote(masked), n)
		}
	}
}

// key masks a key in which something known by its form stands; own patterns might find a word that says what the value
// is.
func (w *walk) key(from int, raw string) {
	if strings.IndexByte(raw, '\\') >= 0 && json.Unmarshal([]byte(w.text[from:w.pos]), &raw) != nil {
		return
	}
	if masked, n := w.m.known(raw); n > 0 {
		w.put(from, quote(masked), n)
	}
}

func (w *walk) put(from int, with string, n int) {
	w.out.WriteString(w.text[w.written:from])
	w.out.WriteString(with)
	w.written = w.pos
	w.n += n
}

func (w *walk) members(closing byte) {
	w.pos++
	w.path = append(w.path, "[]")
	defer func() { w.path = w.path[:len(w.path)-1] }()
	for first := true; ; first = false {
		switch c := w.space(); {
		case w.broken:
			return
		case c == closing:
			w.pos++
			return
		case c == ',' && !first:
			w.pos++
			w.space()
		case !first:
			w.broken = true
			return
		}
		if closing == '}' {
			if w.space() != '"' {
				w.broken = true
				return
			}
			from := w.pos
			key := w.str()
			w.path[len(w.path)-1] = key
			if !w.broken {
				w.key(from, key)
			}
			if w.space() != ':' {
				w.broken = true
				return
			}
			w.pos++
		}
		w.value()
		if w.broken {
			return
		}
	}
}

// str passes over a string and returns what stands between its quotes.
func (w *walk) str() string {
	from := w.pos + 1
	for w.pos = from; w.pos < len(w.text); w.pos++ {
		switch w.text[w.pos] {
		case '\\':
			w.pos++
		case '"':
			w.pos++
			return w.text[from : w.pos-1]
		}
	}
	w.broken = true
	return ""
}

func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string: cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}
