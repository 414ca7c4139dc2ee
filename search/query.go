package search

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Query is what somebody looks for: all of its terms.
type Query struct{ Terms []Term }

// Term is a word, a phrase, or one of several.
type Term struct {
	Any []Phrase // one of these
	Not bool     // that is not to be there
}

// Phrase is words that follow each other. Prefix says that the last of them only begins so.
type Phrase struct {
	Words  []string
	Prefix bool
}

// The most that a query may ask for.
const (
	longestQuery = 400
	mostTerms    = 24
	mostPhrase   = 40
)

// Error says in words fit to show why a query cannot be used.
type Error struct{ Msg string }

func (e *Error) Error() string { return e.Msg }

// Parse reads what people type: words, "phrases", beginnings of words as transf*, -without, and OR between two. What
// has no letters and digits asks for nothing.
func Parse(text string) (q Query, err error) {
	if utf8.RuneCountInString(text) > longestQuery {
		return q, &Error{fmt.Sprintf("A search has at most %d characters.", longestQuery)}
	}
	either := false
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimLeft(text, " \t\n\r") {
		var part string
		quoted := false
		not := strings.HasPrefix(text, "-")
		rest := strings.TrimPrefix(text, "-")
		switch {
		case strings.HasPrefix(rest, `"`):
			quoted = true
			var closed bool
			if part, text, closed = strings.Cut(rest[1:], `"`); !closed {
				text = ""
			}
			if strings.HasPrefix(text, "*") {
				part, text = part+"*", text[1:]
			}
		default:
			n := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '"' })
			if n <= 0 {
				n = len(text)
			}
			if part, text = text[:n], text[n:]; not {
				part = part[1:]
			}
		}
		if part == "OR" && !quoted && !not && len(q.Terms) > 0 && text != "" {
			either = true
			continue
		}
		p := phrase(part)
		if len(p.Words) == 0 {
			continue
		}
		if last := len(q.Terms) - 1; either && !not && !q.Terms[last].Not {
			q.Terms[last].Any = append(q.Terms[last].Any, p)
		} else {
			q.Terms = append(q.Terms, Term{Any: []Phrase{p}, Not: not})
		}
		either = false
		if len(q.Terms) > mostTerms || len(p.Words) > mostPhrase {
			return q, &Error{fmt.Sprintf("A search has at most %d words and phrases.", mostTerms)}
		}
	}
	if len(q.Terms) > 0 && q.onlyNot() {
		return q, &Error{"A search needs a word that is to be there, beside those that are not."}
	}
	return q, nil
}

func (q Query) onlyNot() bool {
	for _, t := range q.Terms {
		if !t.Not {
			return false
		}
	}
	return true
}

// phrase reads words that stand together, such as harbour-4.3 or a text in quotes.
func phrase(text string) (p Phrase) {
	p.Prefix = strings.HasSuffix(text, "*")
	end := ""
	each(text, func(w Word, unspaced, last bool) {
		if end != "" { // something follows: the run of letters ends there
			p.Words, end = append(p.Words, end), ""
		}
		if unspaced && last {
			if w.Start > 0 && endsUnspaced(text[:w.Start]) { // the pair before holds it
				end = w.Text
				return
			}
			p.Prefix = p.Prefix || w.End == len(strings.TrimSuffix(text, "*")) // one letter alone begins a pair
		}
		p.Words = append(p.Words, w.Text)
	})
	return p
}

func endsUnspaced(text string) bool {
	for text != "" {
		r, size := utf8.DecodeLastRuneInString(text)
		if !unicode.IsMark(r) {
			return unspaced(r)
		}
		text = text[:len(text)-size]
	}
	return false
}

// Long returns the words that are long enough to be forgiven a typing mistake, each once: of five letters and more,
// that are not asked for as a beginning or within a phrase.
func (q Query) Long() (words []string) {
	seen := map[string]bool{}
	for _, t := range q.Terms {
		for _, p := range t.Any {
			if w := p.Words[0]; len(p.Words) == 1 && !p.Prefix && !t.Not && !seen[w] && Forgiven(w) {
				seen[w] = true
				words = append(words, w)
			}
		}
	}
	return words
}

// Forgiven tells a word that the vocabulary keeps: long, and of letters alone.
func Forgiven(word string) bool {
	n := 0
	for _, r := range word {
		if !unicode.IsLetter(r) && !unicode.IsMark(r) || unspaced(r) {
			return false
		}
		n++
	}
	return n >= 5 && n <= 30
}

// Words tells a query that asks for single words alone: how often they occur is known without a look.
func (q Query) Words() bool {
	if len(q.Terms) != 1 || q.Terms[0].Not {
		return false
	}
	for _, p := range q.Terms[0].Any {
		if len(p.Words) != 1 || p.Prefix {
			return false
		}
	}
	return true
}

// Or returns the query in which each word may also be one of the others that belong to it.
func (q Query) Or(others map[string][]string) Query {
	out := Query{Terms: make([]Term, len(q.Terms))}
	for i, t := range q.Terms {
		out.Terms[i] = Term{Any: append([]Phrase(nil), t.Any...), Not: t.Not}
		for _, p := range t.Any {
			if len(p.Words) == 1 && !p.Prefix && !t.Not {
				for _, o := range others[p.Words[0]] {
					out.Terms[i].Any = append(out.Terms[i].Any, Phrase{Words: []string{o}})
				}
			}
		}
	}
	return out
}

// Wanted is the query without what must not be there.
func (q Query) Wanted() (out Query) {
	for _, t := range q.Terms {
		if !t.Not {
			out.Terms = append(out.Terms, t)
		}
	}
	return out
}

// TSQuery writes the query for PostgreSQL; "" for one that asks for nothing.
func (q Query) TSQuery() string {
	var b strings.Builder
	for i, t := range q.Terms {
		if i > 0 {
			b.WriteString(" & ")
		}
		if t.Not {
			b.WriteByte('!')
		}
		b.WriteByte('(')
		for j, p := range t.Any {
			if j > 0 {
				b.WriteString(" | ")
			}
			for k, w := range p.Words {
				if k > 0 {
					b.WriteString(" <-> ")
				}
				lexeme(&b, w)
				if p.Prefix && k == len(p.Words)-1 {
					b.WriteString(":*")
				}
			}
		}
		b.WriteByte(')')
	}
	return b.String()
}

func lexeme(b *strings.Builder, word string) {
	b.WriteByte('\'')
	for _, r := range word {
		if r == '\'' || r == '\\' {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
}

// Near tells whether two words differ by so little that one may be the other mistyped: by one letter, from eight
// letters on by two. Two letters that changed places count as one.
func Near(a, b string) bool {
	x, y := []rune(a), []rune(b)
	most := 1
	if min(len(x), len(y)) >= 8 {
		most = 2
	}
	if len(x)-len(y) > most || len(y)-len(x) > most {
		return false
	}
	rows := [3][]int{make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(x); i++ {
		before, last, row := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[(len(x)+1)%3][len(y)] <= most
}
