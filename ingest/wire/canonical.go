package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Digest is a hash of JSON in canonical form; leave says which members of the outermost object are left out.
func Digest(body string, leave func(key, value string) bool) uint64 {
	s := Scanner{Text: body}
	out := s.canonical(nil, leave)
	if s.Err != "" {
		out = []byte(body)
	}
	sum := sha256.Sum256(out)
	return binary.BigEndian.Uint64(sum[:8])
}

// Canonical is JSON in canonical form: keys sorted, the last of equal keys alone, numbers by value to nine decimals.
func Canonical(text string) string {
	if text == "" {
		return ""
	}
	s := Scanner{Text: text}
	out := s.canonical(nil, nil)
	if s.Err != "" {
		return text
	}
	return string(out)
}

// canonical reads one value and appends its canonical form; leave says which members of the outermost object
// to leave out.
func (s *Scanner) canonical(b []byte, leave func(key, value string) bool) []byte {
	switch s.Peek() {
	case '{':
		type member struct{ key, value string }
		var members []member
		s.Object(func(key string) {
			value := string(s.canonical(nil, nil))
			members = append(members, member{key, value})
		})
		slices.SortStableFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
		b = append(b, '{')
		for i, m := range members {
			if i+1 < len(members) && members[i+1].key == m.key {
				continue // the last of equal keys counts
			}
			if leave != nil && leave(m.key, m.value) {
				continue
			}
			if b[len(b)-1] != '{' {
				b = append(b, ',')
			}
			b = append(quote(b, m.key), ':')
			b = append(b, m.value...)
		}
		return append(b, '}')
	case '[':
		b = append(b, '[')
		if s.Open('[') {
			for first := true; s.Next(']', first); first = false {
				if !first {
					b = append(b, ',')
				}
				b = s.canonical(b, nil)
			}
		}
		return append(b, ']')
	case '"':
		raw, esc, _ := s.Str()
		if esc {
			raw = Unescape(raw)
		}
		return quote(b, raw)
	case 't', 'f', 'n':
		return append(b, s.Skip()...)
	}
	raw, finite, _ := s.Number()
	if !finite {
		return append(b, "null"...)
	}
	return canonicalNumber(b, raw)
}

// canonicalNumber appends a number as every store of Rasa's gives it back: DynamoDB keeps nine decimals and makes whole
// numbers floats, which changes the last digits of those beyond 2^53.
func canonicalNumber(b []byte, raw string) []byte {
	if len(raw) < 16 && !strings.ContainsAny(raw, ".eE") {
		if raw == "-0" {
			raw = "0"
		}
		return append(b, raw...)
	}
	f, err := strconv.ParseFloat(raw, 64)
	switch {
	case err != nil:
		return append(b, raw...)
	case math.Abs(f) >= 1e15:
		return strconv.AppendFloat(b, f, 'g', -1, 64)
	}
	from := len(b)
	b = bytes.TrimRight(strconv.AppendFloat(b, f, 'f', 9, 64), "0")
	b = bytes.TrimSuffix(b, []byte("."))
	if string(b[from:]) == "-0" {
		b = append(b[:from], '0')
	}
	return b
}

// bare tells whether JSON writes a text as it stands.
func bare(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func quote(b []byte, s string) []byte {
	if bare(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	text, _ := json.Marshal(s) // a string: cannot fail
	return append(b, text...)
}
