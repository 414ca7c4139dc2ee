package mask

import (
	"math/big"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// number tells whether a text may hold one that is looked for: the shortest IP addresses have four digits, or two
// colons.
func number(s string) bool {
	digits, colons := 0, 0
	for i := range len(s) {
		if c := s[i]; c >= '0' && c <= '9' {
			digits++
		} else if c == ':' {
			colons++
		} else if c >= utf8.RuneSelf {
			return true
		}
		if digits >= 4 || colons >= 2 && digits >= 1 {
			return true
		}
	}
	return false
}

type span struct{ from, to int }

func replace(s string, found []span, with string, n *int) string {
	if len(found) == 0 {
		return s
	}
	var b strings.Builder
	at := 0
	for _, f := range found {
		if f.from < at {
			continue
		}
		b.WriteString(s[at:f.from])
		b.WriteString(with)
		at = f.to
		*n++
	}
	b.WriteString(s[at:])
	return b.String()
}

var (
	email = regexp.MustCompile(
		`(?i)[\p{L}\p{N}\p{M}._%+'-]*[\p{L}\p{N}\p{M}_%+-](?:[@＠]|%40)(?:[\p{L}\p{N}](?:[\p{L}\p{N}\p{M}-]*[\p{L}\p{N}\p{M}])?\.)+[\p{L}\p{M}][\p{L}\p{N}\p{M}-]*`,
	)
	iban     = regexp.MustCompile(`(?i)[a-z]{2} ?\p{Nd}{2}(?:[ \x{00a0}\x{2009}\x{202f}.-]?[a-z0-9]){11,30}`)
	american = regexp.MustCompile(`^(?:\p{Nd}{3}\) ?|\p{Nd}{3}[ .-])\p{Nd}{3}[ .-]\p{Nd}{4}$`)
	torn     = regexp.MustCompile(`(?:[+(]?\p{Nd}[\p{Nd} ./()-]*|[^\s]*[@＠][^\s]*)…$`)
	token    = regexp.MustCompile(`\[[\p{L}\p{N}_][\p{L}\p{N} _.-]*\]`)
	// tokenAlone is a text that is nothing but such a word
	tokenAlone = regexp.MustCompile(`^\[[\p{L}\p{N}_][\p{L}\p{N} _.-]*\]$`)
	date       = regexp.MustCompile(`^\(?\d{1,2}[./-]\d{1,2}[./-](?:\d{2}|\d{4})(?:[^\d./-]|[./-]\D|[./-]?$)`)
	ip4        = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3}`)
	ip6        = regexp.MustCompile(`(?i)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\d{0,3}(?:\.\d{1,3}){3})?`)
)

// alone tells whether nothing that belongs to a word touches the span.
func alone(s string, f span, but string) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:f.from])
	after, size := utf8.DecodeRuneInString(s[f.to:])
	if f.from > 0 && (word(before) || strings.ContainsRune(but, before)) {
		return false
	}
	if f.to < len(s) && word(after) {
		return false
	}
	// A point or hyphen goes on only before what belongs to a word too.
	if f.to < len(s) && strings.ContainsRune(but, after) {
		next, _ := utf8.DecodeRuneInString(s[f.to+size:])
		return f.to+size == len(s) || !word(next)
	}
	return true
}

func word(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// compact are the letters and digits of a text, the digits of other scripts as ASCII, capital.
func compact(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < utf8.RuneSelf && (unicode.IsDigit(r) || unicode.IsLetter(r)):
			return unicode.ToUpper(r)
		case unicode.IsDigit(r):
			return '0' + digitOf(r)
		}
		return -1
	}, s)
}

// digitOf is the value of a decimal digit of any script: the zero of each begins a run of ten.
func digitOf(r rune) rune {
	n := rune(0)
	for n < 9 && unicode.IsDigit(r-n-1) {
		n++
	}
	if n == 9 && unicode.IsDigit(r-10) { // two scripts in a row, as in Mathematical Alphanumeric Symbols
		return (r - 0x1d7ce) % 10
	}
	return n
}

// ibanLength is how long an IBAN of a country is, as of the registry of SWIFT, release 99.
var ibanLength = map[string]int{
	"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
	"BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24,
	"DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
	"GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27,
	"GT": 28, "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30,
	"KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
	"LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30,
	"NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24,
	"PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24,
	"SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25,
	"SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}

func ibans(s string) (found []span) {
	for at := 0; at < len(s); {
		hit := iban.FindStringIndex(s[at:])
		if hit == nil {
			return found
		}
		f := span{at + hit[0], at + hit[1]}
		at = f.from + 1 // what does not fit may hide one that does
		if before, _ := utf8.DecodeLastRuneInString(s[:f.from]); f.from > 0 && word(before) {
			continue
		}
		n := ibanLength[strings.ToUpper(s[f.from:f.from+2])]
		if n == 0 {
			continue
		}
		left := n
		for i, r := range s[f.from:] { // what follows may look like more of it
			if word(r) {
				left--
			}
			if left == 0 {
				f.to = f.from + i + utf8.RuneLen(r)
				break
			}
		}
		after, _ := utf8.DecodeRuneInString(s[f.to:])
		if left == 0 && (f.to == len(s) || !word(after)) && mod97(compact(s[f.from:f.to])) {
			found = append(found, f)
			at = f.to
		}
	}
	return found
}

// mod97 checks an IBAN by ISO 7064.
func mod97(c string) bool {
	var b strings.Builder
	for _, r := range c[4:] + c[:4] {
		if r >= 'A' {
			b.WriteString(strconv.Itoa(int(r-'A') + 10))
		} else {
			b.WriteRune(r)
		}
	}
	n, ok := new(big.Int).SetString(b.String(), 10)
	return ok && n.Mod(n, big.NewInt(97)).Int64() == 1
}

// group is a run of digits.
type group struct {
	span
	after int // how many separators stand between it and the one before; -1: something else does
}

// groups are the runs of digits of a text that touch no letters.
func groups(s string) (all []group) {
	start, gap := -1, -1 // where the run began; separators since the last
	begun := false       // a letter touches what comes
	for i, r := range s + " " {
		switch {
		case unicode.IsDigit(r) && start < 0 && !begun:
			start = i
		case unicode.IsDigit(r):
		case start >= 0:
			if word(r) {
				gap, begun = -1, true
			} else {
				all = append(all, group{span{start, i}, gap})
				if gap = -1; separator(r) {
					gap = 1
				}
			}
			start = -1
		case word(r):
			gap, begun = -1, true
		default:
			if begun = false; gap >= 0 && separator(r) {
				gap++
			} else {
				gap = -1
			}
		}
	}
	return all
}

func separator(r rune) bool { return strings.ContainsRune(" \n\r\t\u00a0\u2009\u202f./()-–‑_", r) }

// joined finds, among groups that follow each other with at most so many separators between, the longest stretches that
// fit.
func joined(s string, gap int, fits func(f span) bool) (found []span) {
	all := groups(s)
	for i := 0; i < len(all); i++ {
		last := i
		for last+1 < len(all) && last-i < 10 && all[last+1].after > 0 && all[last+1].after <= gap {
			last++
		}
		for j := last; j >= i; j-- {
			if f := (span{all[i].from, all[j].to}); fits(f) {
				found = append(found, f)
				i = j
				break
			}
		}
	}
	return found
}

// fraction tells whether the digits that follow belong to a fraction: a point or comma stands before them, and a digit
// before that.
func fraction(before string) bool {
	r, size := utf8.DecodeLastRuneInString(before)
	if r != '.' && r != ',' {
		return false
	}
	r, _ = utf8.DecodeLastRuneInString(before[:len(before)-size])
	return unicode.IsDigit(r)
}

// longestNumber is how many bytes a card's or phone's number may have with all that divides it, in any script.
const longestNumber = 120

// thousands tells whether a number begins with a group of three digits, and goesOn whether a digit and a space stand
// before one: together they are the middle of a larger number.
func thousands(s string) bool {
	i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsDigit(r) })
	return utf8.RuneCountInString(s[:max(i, 0)]) == 3
}

func goesOn(before string) bool {
	trimmed := strings.TrimSuffix(before, " ")
	r, _ := utf8.DecodeLastRuneInString(trimmed)
	return len(trimmed) < len(before) && unicode.IsDigit(r)
}

func cards(s string) []span {
	return joined(s, 2, func(f span) bool {
		if f.to-f.from < 13 || f.to-f.from > longestNumber || fraction(s[:f.from]) ||
			strings.HasSuffix(s[:f.from], "+") {
			return false
		}
		c := compact(s[f.from:f.to])
		return len(c) >= 13 && len(c) <= 19 && issued(c) && luhn(c)
	})
}

// issued tells whether a number of that length is one of the ranges of payment cards.
func issued(c string) bool {
	starts := func(from, to string) bool { return c[:len(from)] >= from && c[:len(to)] <= to }
	n := len(c)
	switch {
	case c[0] == '4':
		return n == 13 || n == 16 || n == 19
	case starts("51", "55"), starts("2221", "2720"):
		return n == 16
	case starts("34", "34"), starts("37", "37"):
		return n == 15
	case starts("300", "305"), starts("36", "36"), starts("38", "39"):
		return n >= 14
	case starts("3528", "3589"), starts("6011", "6011"), starts("62", "62"), starts("644", "659"):
		return n >= 16
	case starts("50", "50"), starts("56", "69"), starts("2200", "2204"):
		return n >= 13
	}
	return false
}

// luhn checks a number by ISO/IEC 7812-1.
func luhn(c string) bool {
	sum := 0
	for i, r := range c {
		d := int(r - '0')
		if (len(c)-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func addresses(s string) (found []span) {
	for _, at := range ip4.FindAllStringIndex(s, -1) {
		f := span{at[0], at[1]}
		if _, err := netip.ParseAddr(s[f.from:f.to]); err == nil && alone(s, f, ".") {
			found = append(found, f)
		}
	}
	for _, at := range ip6.FindAllStringIndex(s, -1) {
		f := span{at[0], at[1]}
		for f.from < f.to && s[f.from] == ':' && !strings.HasPrefix(s[f.from:], "::") { // of a label before it
			f.from++
		}
		a, err := netip.ParseAddr(s[f.from:f.to])
		if err == nil && f.to-f.from >= 6 && alone(s, f, ".") && !a.IsUnspecified() &&
			strings.ContainsAny(s[f.from:f.to], "0123456789") {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	return found
}

// phones finds numbers with the country's or the area's prefix, and those written as in North America.
func phones(s string) []span {
	found := joined(s, 4, func(f span) bool {
		if f.to-f.from > longestNumber {
			return false
		}
		before := strings.TrimRight(s[:f.from], "( ")
		c := compact(s[f.from:f.to])
		r, size := utf8.DecodeLastRuneInString(before)
		over, _ := utf8.DecodeLastRuneInString(before[:len(before)-size])
		dashed := (r == '-' || r == '_') && len(before) == f.from && word(over)
		switch {
		case r == '+' || r == '＋':
			return len(c) >= 7 && len(c) <= 15
		case fraction(s[:f.from]), dashed, date.MatchString(s[f.from:]):
			return false
		case strings.HasPrefix(c, "00") && c[2:] != "" && c[2] != '0':
			return len(c) >= 9 && len(c) <= 17 && (!thousands(s[f.from:f.to]) || !goesOn(s[:f.from]))
		case c[0] == '0' && len(c) > 1 && c[1] != '0' && !strings.ContainsAny(string([]rune(s[f.from:f.to])[1]), ".,"):
			// else a fraction
			return len(c) >= 7 && len(c) <= 13
		}
		return american.MatchString(s[f.from:f.to]) && (f.to-f.from == 12 || strings.HasSuffix(s[:f.from], "("))
	})
	for i, f := range found { // with the sign before it
		for f.from > 0 {
			r, size := utf8.DecodeLastRuneInString(s[:f.from])
			if r == ' ' && strings.HasSuffix(s[:f.from-1], "+") {
				f.from -= 2
				continue
			}
			if r != '+' && r != '＋' && r != '(' {
				break
			}
			f.from -= size
		}
		found[i] = f
	}
	return found
}
