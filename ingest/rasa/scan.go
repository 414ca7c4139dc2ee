package rasa

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// maxDepth is how deep objects and arrays may lie in each other.
const maxDepth = 500

// A scanner reads one JSON text strictly and in one pass: keys are exact, equal keys are all seen (so the last can
// win), numbers keep their digits. Beyond JSON it accepts the tokens NaN, Infinity and -Infinity, which are read as
// null like numbers out of all bounds, NUL and half surrogates in escapes, and invalid UTF-8, and notes each place in
// repairs: encoding/json would change or refuse these silently.
type scanner struct {
	b       string
	pos     int
	depth   int
	repairs []repair
	err     string // what is wrong, at pos; "" while all is well
}

// repair is a stretch of the text that must be replaced before PostgreSQL may see it.
type repair struct {
	from, to int
	with     string
}

const replacement = `\ufffd`

func (s *scanner) fail(msg string) bool {
	if s.err == "" {
		s.err = msg
	}
	return false
}

func (s *scanner) space() {
	if s.pos < len(s.b) && s.b[s.pos] > ' ' {
		return
	}
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\n', '\r', '\t':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the first byte of the next value, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.b) {
		return s.b[s.pos]
	}
	return 0
}

// open enters an object or array; next then walks its members.
func (s *scanner) open(bracket byte) bool {
	if s.peek() != bracket {
		return s.fail("expected " + string(bracket))
	}
	s.pos++
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested deeper than " + strconv.Itoa(maxDepth))
	}
	return true
}

// next goes to the next member of an array (or object, before its key); false at the end or on an error.
// first must be true for the first member.
func (s *scanner) next(closing byte, first bool) bool {
	if s.err != "" {
		return false
	}
	switch c := s.peek(); {
	case c == closing:
		s.pos++
		s.depth--
		return false
	case first:
		return c != 0 || s.fail("the text ends too early")
	case c == ',':
		s.pos++
		return true
	case c == 0:
		return s.fail("the text ends too early")
	}
	return s.fail("expected , or " + string(closing))
}

// key reads a member's name and the colon.
func (s *scanner) key() (string, bool) {
	raw, esc, ok := s.str()
	if !ok {
		return "", false
	}
	if s.peek() != ':' {
		return "", s.fail("expected :")
	}
	s.pos++
	if esc {
		return unescape(raw), true
	}
	return raw, true
}

// object calls member for each member of an object; member must consume the value.
func (s *scanner) object(member func(key string)) bool {
	if !s.open('{') {
		return false
	}
	for first := true; s.next('}', first); first = false {
		key, ok := s.key()
		if !ok {
			return false
		}
		member(key)
	}
	return s.err == ""
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

// str reads a string and returns what stands between its quotes, and whether that holds escapes or
// invalid UTF-8, which unescape resolves.
func (s *scanner) str() (raw string, escaped, ok bool) {
	if s.peek() != '"' {
		return "", false, s.fail("expected a string")
	}
	s.pos++
	start := s.pos
	for s.pos < len(s.b) {
		if s.pos = plain(s.b, s.pos); s.pos == len(s.b) {
			break
		}
		switch c := s.b[s.pos]; {
		case c == '"':
			raw = s.b[start:s.pos]
			s.pos++
			return raw, escaped, true
		case c == '\\':
			escaped = true
			if !s.escape() {
				return "", false, false
			}
		case c < ' ':
			return "", false, s.fail("a control character in a string")
		default:
			_, size := utf8.DecodeRuneInString(s.b[s.pos:])
			if size == 1 {
				s.repairs = append(s.repairs, repair{s.pos, s.pos + 1, replacement})
				escaped = true
			}
			s.pos += size
		}
	}
	return "", false, s.fail("a string does not end")
}

func (s *scanner) escape() bool {
	if s.pos+1 >= len(s.b) {
		return s.fail("a string does not end")
	}
	switch s.b[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return true
	case 'u':
		r, ok := hex4(s.b[s.pos:])
		if !ok {
			return s.fail("a broken \\u escape")
		}
		if utf16.IsSurrogate(r) {
			if low, ok := hex4(s.b[s.pos+6:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
				s.pos += 12
				return true
			}
		}
		if r == 0 || utf16.IsSurrogate(r) {
			s.repairs = append(s.repairs, repair{s.pos, s.pos + 6, replacement})
		}
		s.pos += 6
		return true
	}
	return s.fail("an unknown escape")
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

// unescape resolves escapes; NUL, half surrogates and invalid UTF-8 become U+FFFD.
func unescape(raw string) string {
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

// number reads a number or one of the three tokens; finite is false for those, and for numbers that nothing can hold.
func (s *scanner) number() (raw string, finite, ok bool) {
	c := s.peek()
	start := s.pos
	if c == 'N' || c == 'I' || c == '-' {
		for _, token := range [...]string{"NaN", "Infinity", "-Infinity"} {
			if strings.HasPrefix(s.b[s.pos:], token) {
				s.pos += len(token)
				s.repairs = append(s.repairs, repair{start, s.pos, "null"})
				return s.b[start:s.pos], false, true
			}
		}
	}
	if c == '-' {
		s.pos++
	}
	whole := s.pos
	zero := s.at('0')
	if !s.digits() || zero && s.pos > whole+1 {
		return "", false, s.fail("expected a value")
	}
	if s.at('.') {
		if s.pos++; !s.digits() {
			return "", false, s.fail("a broken number")
		}
	}
	exponent := ""
	if s.at('e') || s.at('E') {
		if s.pos++; s.at('+') || s.at('-') {
			s.pos++
		}
		from := s.pos
		if !s.digits() {
			return "", false, s.fail("a broken number")
		}
		exponent = strings.TrimLeft(s.b[from:s.pos], "0")
	}
	if len(exponent) > maxExponent || s.pos-start > maxDigits {
		s.repairs = append(s.repairs, repair{start, s.pos, "null"})
		return s.b[start:s.pos], false, true
	}
	return s.b[start:s.pos], true, true
}

// Numbers that are longer, or have an exponent of more digits, are beyond what PostgreSQL can make of a jsonb: they are
// taken for null.
const (
	maxDigits   = 6000
	maxExponent = 4
)

func (s *scanner) at(c byte) bool { return s.pos < len(s.b) && s.b[s.pos] == c }

// digits passes over digits and tells whether there were any.
func (s *scanner) digits() bool {
	from, i := s.pos, s.pos
	for i < len(s.b) && s.b[i] >= '0' && s.b[i] <= '9' {
		i++
	}
	s.pos = i
	return i > from
}

// skip passes over one value, whatever it is, and returns its text.
func (s *scanner) skip() string {
	if s.err != "" {
		return ""
	}
	c := s.peek()
	start := s.pos
	switch c {
	case '"':
		s.str()
	case '{':
		if s.open('{') {
			for first := true; s.next('}', first); first = false {
				if _, _, ok := s.str(); !ok {
					break
				}
				if s.peek() != ':' {
					s.fail("expected :")
					break
				}
				s.pos++
				s.skip()
			}
		}
	case '[':
		if s.open('[') {
			for first := true; s.next(']', first); first = false {
				s.skip()
			}
		}
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
	return s.b[start:s.pos]
}

func (s *scanner) literal(word string) {
	if strings.HasPrefix(s.b[s.pos:], word) {
		s.pos += len(word)
		return
	}
	s.fail("expected a value")
}

// repaired returns the text with all repairs done.
func (s *scanner) repaired() string {
	out := make([]byte, 0, len(s.b)+8*len(s.repairs))
	from := 0
	for _, r := range s.repairs {
		out = append(append(out, s.b[from:r.from]...), r.with...)
		from = r.to
	}
	return string(append(out, s.b[from:]...))
}
