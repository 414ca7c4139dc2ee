// Package mask finds personal data in texts and puts a word for its kind in its place. It is pure.
package mask

import (
	"encoding/json"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"
	"unicode"
)

// Rules say what is masked.
type Rules struct {
	Email    bool      `json:"email" yaml:"email"`
	Phone    bool      `json:"phone" yaml:"phone"`
	IBAN     bool      `json:"iban" yaml:"iban"` // with right check digits
	Card     bool      `json:"card" yaml:"card"` // of a known issuer's range, with a right check digit
	IP       bool      `json:"ip" yaml:"ip"`
	Patterns []Pattern `json:"patterns" yaml:"patterns"`
	// whose values are masked, with what entities and commands of that name hold
	Slots []string `json:"slots" yaml:"slots"`
}

// All are the rules that find all that is known by its form.
func All() Rules { return Rules{Email: true, Phone: true, IBAN: true, Card: true, IP: true} }

// Pattern is what somebody masks beside what is known by its form.
type Pattern struct {
	Name string `json:"name" yaml:"name"` // stands in the place of what is found
	Expr string `json:"expr" yaml:"expr"` // RE2
}

// The bounds of rules.
const (
	MostPatterns = 50
	MostSlots    = 200
	LongestExpr  = 500
)

// Bounds of what own patterns cost. A pattern is run as so many steps a character at most as it has when it is
// compiled; slowProbe is how long one may take for a text that a person could hardly write. Of a text for which all
// together might take more than mostSteps nothing is shown.
const (
	mostSize  = 1000
	mostSizes = 3000
	mostSteps = 200e6
	slowProbe = 100 * time.Millisecond
)

// tooLong stands for a text that would take too long to mask.
const tooLong = "[too long to mask]"

// probes are texts on which patterns are tried when they are saved.
var probes = []string{
	strings.Repeat("a", 9000), strings.Repeat("1", 9000), strings.Repeat("a1 ", 3000),
	strings.Repeat("x-y.z@ 12/34 ", 700), strings.Repeat("\u00e4\u4e2d ", 1500),
}

// sizeOf tells how many steps a character a pattern may take.
func sizeOf(expr string) int {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0
	}
	return len(prog.Inst)
}

// slow tells how long a pattern takes for the probe that it is slowest with.
func slow(x *regexp.Regexp) (longest time.Duration) {
	for _, p := range probes {
		begun := time.Now()
		x.ReplaceAllString(p, "")
		if longest = max(longest, time.Since(begun)); longest > slowProbe {
			break
		}
	}
	return longest
}

// Measure refuses rules whose patterns would take long. It is for those that are saved; what is in force is bounded by
// itself.
func Measure(r Rules) error {
	sum := 0
	for _, p := range r.Patterns {
		size := sizeOf(p.Expr)
		if sum += size; size > mostSize || sum > mostSizes {
			return fmt.Errorf(
				"pattern %q: too large; compiled, a pattern has at most %d steps, all together %d. Counted repeats "+
					"such as {1,200} are what makes them large",
				p.Name, mostSize, mostSizes,
			)
		}
		x, err := regexp.Compile(p.Expr)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", p.Name, err)
		}
		if took := slow(x); took > slowProbe {
			return fmt.Errorf(
				"pattern %q: it took %d ms and more for a text of 9,000 characters; write it more narrowly, "+
					"without repeats in repeats",
				p.Name, took.Milliseconds(),
			)
		}
	}
	return nil
}

var plainName = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

var patternName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} _-]{0,39}$`)

// Masker masks by rules. The nil Masker leaves everything as it is. It is safe for any number of goroutines.
type Masker struct {
	rules    Rules
	patterns []*regexp.Regexp
	steps    int // a character, of all of them
	slots    map[string]bool
	anyName  bool    // a slot's name may be written with escapes in JSON
	told     []Value // of one conversation
}

// HasSlots tells whether values are masked by the names of their slots.
func (m *Masker) HasSlots() bool { return m != nil && len(m.slots) > 0 }

// New returns a masker, or an error that says what is wrong with the rules.
func New(r Rules) (*Masker, error) {
	m := &Masker{rules: r, slots: map[string]bool{}}
	if len(r.Patterns) > MostPatterns || len(r.Slots) > MostSlots {
		return nil, fmt.Errorf("at most %d patterns and %d slots", MostPatterns, MostSlots)
	}
	taken := map[string]bool{"email": true, "phone": true, "iban": true, "card": true, "ip": true}
	for _, p := range r.Patterns {
		if taken[strings.ToLower(p.Name)] {
			return nil, fmt.Errorf("pattern %q: the name stands for something else already; take another", p.Name)
		}
		taken[strings.ToLower(p.Name)] = true
		if !patternName.MatchString(p.Name) {
			return nil, fmt.Errorf("pattern %q: a name has up to 40 letters, digits, spaces, - and _", p.Name)
		}
		if len(p.Expr) > LongestExpr {
			return nil, fmt.Errorf("pattern %q: longer than %d bytes", p.Name, LongestExpr)
		}
		x, err := regexp.Compile(p.Expr)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p.Name, err)
		}
		if x.MatchString("") {
			return nil, fmt.Errorf("pattern %q: it fits the empty text, so everything", p.Name)
		}
		m.steps += sizeOf(p.Expr)
		m.patterns = append(m.patterns, x)
	}
	words := []string{"[email]", "[phone]", "[iban]", "[card]", "[ip]"}
	for _, p := range r.Patterns {
		words = append(words, "["+p.Name+"]")
	}
	for _, slot := range r.Slots {
		words = append(words, slotToken(slot))
	}
	for i, x := range m.patterns {
		for _, w := range words {
			if x.MatchString(w) {
				return nil, fmt.Errorf(
					"pattern %q: it finds %s, which stands for what was masked; name it otherwise, or write it "+
						"more narrowly",
					r.Patterns[i].Name, w,
				)
			}
		}
	}
	for _, s := range r.Slots {
		m.slots[s] = true
		m.anyName = m.anyName || !plainName.MatchString(s)
	}
	return m, nil
}

// Text masks a text and returns how many finds were replaced.
func (m *Masker) Text(s string) (string, int) {
	if m == nil || s == "" {
		return s, 0
	}
	n := 0
	if len(m.told) > 0 {
		hidden := Hide(s, m.told)
		if hidden != s {
			n++
		}
		s = hidden
	}
	s, own := m.own(s)
	n += own
	s, found := m.known(s)
	return s, n + found
}

// own masks what the patterns find that somebody wrote.
func (m *Masker) own(s string) (string, int) {
	n := 0
	if float64(len(s))*float64(m.steps) > mostSteps {
		return tooLong, 1
	}
	for i, x := range m.patterns {
		s = x.ReplaceAllStringFunc(s, func(string) string { n++; return "[" + m.rules.Patterns[i].Name + "]" })
	}
	return s, n
}

// head is as much of a text as the patterns can be looked for in, in its time.
func (m *Masker) head(s string) string {
	if m.steps == 0 || float64(len(s))*float64(m.steps) <= mostSteps {
		return s
	}
	return strings.ToValidUTF8(s[:int(mostSteps/float64(m.steps))], "")
}

// known masks what is known by its form.
func (m *Masker) known(s string) (string, int) {
	n := 0
	if m.rules.Email && (strings.ContainsAny(s, "@＠") || strings.Contains(s, "%40")) {
		s = email.ReplaceAllStringFunc(s, func(string) string { n++; return "[email]" })
	}
	if !number(s) {
		return s, n
	}
	if m.rules.IBAN {
		s = replace(s, ibans(s), "[iban]", &n)
	}
	if m.rules.Card {
		s = replace(s, cards(s), "[card]", &n)
	}
	if m.rules.IP {
		s = replace(s, addresses(s), "[ip]", &n)
	}
	if m.rules.Phone {
		s = replace(s, phones(s), "[phone]", &n)
	}
	return s, n
}

// Shown masks a text for somebody who may not see personal data. What is JSON stays JSON.
func (m *Masker) Shown(s string) string {
	if m == nil {
		return s
	}
	if s != "" && (s[0] == '{' || s[0] == '[' || s[0] == '"') && json.Valid([]byte(s)) {
		out, _ := m.JSON(s, nil)
		return out
	}
	out, _ := m.Text(s)
	if strings.HasSuffix(out, "…") { // what was cut may have lost the form by which it is known
		out = torn.ReplaceAllString(out, "…")
	}
	return out
}

// Slot masks the value of a slot, which is JSON.
func (m *Masker) Slot(name, value string) string {
	if m == nil || value == "" || value == "null" {
		return value
	}
	if m.slots[name] {
		return `"` + slotToken(name) + `"`
	}
	out, _ := m.JSON(value, nil)
	return out
}

func slotToken(name string) string {
	return "[" + strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, name) + "]"
}
