package wire

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// maxDepth is how deep objects and arrays may lie in each other.
const maxDepth = 500

// A Scanner reads one JSON text strictly and in one pass: keys are exact, equal keys are all seen (so the last can
// win), numbers keep their digits. Beyond JSON it accepts the tokens NaN, Infinity and -Infinity, which are read as
// null like numbers out of all bounds, NUL and half surrogates in escapes, and invalid UTF-8, and notes each place in
// repairs: encoding/json would change or refuse these silently.
type Scanner struct {
	Text    string
	Pos     int
	depth   int
	Repairs []Repair
	Err     string // what is wrong, at pos; "" while all is well
}

// Repair is a stretch of the text that must be replaced before PostgreSQL may see it.
type Repair struct {
	From, To int
	With     string
}

const replacement = `\ufffd`

func (s *Scanner) Fail(msg string) bool {
	if s.Err == "" {
		s.Err = msg
	}
	return false
}

func (s *Scanner) space() {
	if s.Pos < len(s.Text) && s.Text[s.Pos] > ' ' {
		return
	}
	for s.Pos < len(s.Text) {
		switch s.Text[s.Pos] {
		case ' ', '\n', '\r', '\t':
			s.Pos++
		default:
			return
		}
	}
}

// Peek returns the first byte of the next value, 0 at the end.
func (s *Scanner) Peek() byte {
	s.space()
	if s.Pos < len(s.Text) {
		return s.Text[s.Pos]
	}
	return 0
}

// Open enters an object or array; Next then walks its members.
func (s *Scanner) Open(bracket byte) bool {
	if s.Peek() != bracket {
		return s.Fail("expected " + string(bracket))
	}
	s.Pos++
	if s.depth++; s.depth > maxDepth {
		return s.Fail("nested deeper than " + strconv.Itoa(maxDepth))
	}
	return true
}

// Next goes to the next member of an array (or object, before its key); false at the end or on an error.
// first must be true for the first member.
func (s *Scanner) Next(closing byte, first bool) bool {
	if s.Err != "" {
		return false
	}
	switch c := s.Peek(); {
	case c == closing:
		s.Pos++
		s.depth--
		return false
	case first:
		return c != 0 || s.Fail("the text ends too early")
	case c == ',':
		s.Pos++
		return true
	case c == 0:
		return s.Fail("the text ends too early")
	}
	return s.Fail("expected , or " + string(closing))
}

// key reads a member's name and the colon.
func (s *Scanner) key() (string, bool) {
	raw, esc, ok := s.Str()
	if !ok {
		return "", false
	}
	if s.Peek() != ':' {
		return "", s.Fail("expected :")
	}
	s.Pos++
	if esc {
		return Unescape(raw), true
	}
	return raw, true
}

// Object calls member for each member of an object; member must consume the value.
func (s *Scanner) Object(member func(key string)) bool {
	if !s.Open('{') {
		return false
	}
	for first := true; s.Next('}', first); first = false {
		key, ok := s.key()
		if !ok {
			return false
		}
		member(key)
	}
	return s.Err == ""
}

// plain returns the place after the bytes from i on that stand for themselves in a string: ASCII but quotes,
// backslashes and control characters. It looks at eight at a time.
func plain(b string, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	bytes := unsafe.Slice(unsafe.StringData(b), len(b))
	for ; i+8 <= len(bytes); i += 8 {
		w := binary.LittleEndian.Uint64(bytes[i:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		// The lowest bit set is that of the first such byte; those above it may be wrong.
		if found := (w | (quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w) & high; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(bytes) && bytes[i] >= ' ' && bytes[i] < utf8.RuneSelf && bytes[i] != '"' && bytes[i] != '\\' {
		i++
	}
	return i
}

// Str reads a string and returns what stands between its quotes, and whether that holds escapes or
// invalid UTF-8, which Unescape resolves.
func (s *Scanner) Str() (raw string, escaped, ok bool) {
	if s.Peek() != '"' {
		return "", false, s.Fail("expected a string")
	}
	s.Pos++
	start := s.Pos
	for s.Pos < len(s.Text) {
		if s.Pos = plain(s.Text, s.Pos); s.Pos == len(s.Text) {
			break
		}
		switch c := s.Text[s.Pos]; {
		case c == '"':
			raw = s.Text[start:s.Pos]
			s.Pos++
			return raw, escaped, true
		case c == '\\':
			escaped = true
			if !s.escape() {
				return "", false, false
			}
		case c < ' ':
			return "", false, s.Fail("a control character in a string")
		default:
			_, size := utf8.DecodeRuneInString(s.Text[s.Pos:])
			if size == 1 {
				s.Repairs = append(s.Repairs, Repair{s.Pos, s.Pos + 1, replacement})
				escaped = true
			}
			s.Pos += size
		}
	}
	return "", false, s.Fail("a string does not end")
}

func (s *Scanner) escape() bool {
	if s.Pos+1 >= len(s.Text) {
		return s.Fail("a string does not end")
	}
	switch s.Text[s.Pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.Pos += 2
		return true
	case 'u':
		r, ok := hex4(s.Text[s.Pos:])
		if !ok {
			return s.Fail("a broken \\u escape")
		}
		if utf16.IsSurrogate(r) {
			if low, ok := hex4(s.Text[s.Pos+6:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
				s.Pos += 12
				return true
			}
		}
		if r == 0 || utf16.IsSurrogate(r) {
			s.Repairs = append(s.Repairs, Repair{s.Pos, s.Pos + 6, replacement})
		}
		s.Pos += 6
		return true
	}
	return s.Fail("an unknown escape")
}

// hex4 reads \uXXXX at the start of b.
func hex4(b string) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(b[2:6]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// Unescape resolves escapes; NUL, half surrogates and invalid UTF-8 become U+FFFD.
func Unescape(raw string) string {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			r, size := utf8.DecodeRuneInString(raw[i:])
			out = utf8.AppendRune(out, r)
			i += size
			continue
		}
		switch c := raw[i+1]; c {
		case 'u':
			r, _ := hex4(raw[i:])
			i += 6
			if utf16.IsSurrogate(r) {
				low, _ := hex4(raw[i:])
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			if r == 0 {
				r = utf8.RuneError
			}
			out = utf8.AppendRune(out, r)
			continue
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		default:
			out = append(out, c)
		}
		i += 2
	}
	return string(out)
}

// Number reads a number or one of the three tokens; finite is false for those, and for numbers that nothing can hold.
func (s *Scanner) Number() (raw string, finite, ok bool) {
	c := s.Peek()
	start := s.Pos
	if c == 'N' || c == 'I' || c == '-' {
		for _, token := range [...]string{"NaN", "Infinity", "-Infinity"} {
			if strings.HasPrefix(s.Text[s.Pos:], token) {
				s.Pos += len(token)
				s.Repairs = append(s.Repairs, Repair{start, s.Pos, "null"})
				return s.Text[start:s.Pos], false, true
			}
		}
	}
	if c == '-' {
		s.Pos++
	}
	whole := s.Pos
	zero := s.at('0')
	if !s.digits() || zero && s.Pos > whole+1 {
		return "", false, s.Fail("expected a value")
	}
	if s.at('.') {
		if s.Pos++; !s.digits() {
			return "", false, s.Fail("a broken number")
		}
	}
	exponent := ""
	if s.at('e') || s.at('E') {
		if s.Pos++; s.at('+') || s.at('-') {
			s.Pos++
		}
		from := s.Pos
		if !s.digits() {
			return "", false, s.Fail("a broken number")
		}
		exponent = strings.TrimLeft(s.Text[from:s.Pos], "0")
	}
	if len(exponent) > maxExponent || s.Pos-start > maxDigits {
		s.Repairs = append(s.Repairs, Repair{start, s.Pos, "null"})
		return s.Text[start:s.Pos], false, true
	}
	return s.Text[start:s.Pos], true, true
}

// Numbers that are longer, or have an exponent of more digits, are beyond what PostgreSQL can make of a jsonb: they are
// taken for null.
const (
	maxDigits   = 6000
	maxExponent = 4
)

func (s *Scanner) at(c byte) bool { return s.Pos < len(s.Text) && s.Text[s.Pos] == c }

// digits passes over digits and tells whether there were any.
func (s *Scanner) digits() bool {
	from, i := s.Pos, s.Pos
	for i < len(s.Text) && s.Text[i] >= '0' && s.Text[i] <= '9' {
		i++
	}
	s.Pos = i
	return i > from
}

// Skip passes over one value, whatever it is, and returns its text.
func (s *Scanner) Skip() string {
	if s.Err != "" {
		return ""
	}
	c := s.Peek()
	start := s.Pos
	switch c {
	case '"':
		s.Str()
	case '{':
		if s.Open('{') {
			for first := true; s.Next('}', first); first = false {
				if _, _, ok := s.Str(); !ok {
					break
				}
				if s.Peek() != ':' {
					s.Fail("expected :")
					break
				}
				s.Pos++
				s.Skip()
			}
		}
	case '[':
		if s.Open('[') {
			for first := true; s.Next(']', first); first = false {
				s.Skip()
			}
		}
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.Number()
	}
	return s.Text[start:s.Pos]
}

func (s *Scanner) literal(word string) {
	if strings.HasPrefix(s.Text[s.Pos:], word) {
		s.Pos += len(word)
		return
	}
	s.Fail("expected a value")
}

// Repaired returns the text with all repairs done.
func (s *Scanner) Repaired() string {
	out := make([]byte, 0, len(s.Text)+8*len(s.Repairs))
	from := 0
	for _, r := range s.Repairs {
		out = append(append(out, s.Text[from:r.From]...), r.With...)
		from = r.To
	}
	return string(append(out, s.Text[from:]...))
}

// Word reads a string with its escapes resolved.
func (s *Scanner) Word() string {
	raw, escaped, _ := s.Str()
	if escaped {
		return Unescape(raw)
	}
	return raw
}

// Value reads any value as encoding/json does with UseNumber.
func (s *Scanner) Value() any {
	switch c := s.Peek(); c {
	case '"':
		return s.Word()
	case '{':
		m := map[string]any{}
		s.Object(func(key string) { m[key] = s.Value() })
		return m
	case '[':
		list := []any{}
		if s.Open('[') {
			for first := true; s.Next(']', first); first = false {
				list = append(list, s.Value())
			}
		}
		return list
	case 't', 'f', 'n':
		switch s.Skip() {
		case "true":
			return true
		case "false":
			return false
		}
		return nil
	}
	raw, finite, ok := s.Number()
	if ok && !finite {
		s.Fail("not a finite number")
	}
	return json.Number(raw)
}
