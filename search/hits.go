package search

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Span is a stretch of a text, in bytes.
type Span struct{ Start, End int }

// Hits returns where in a text the query's words and phrases stand, in order, none within another.
func (q Query) Hits(text string) []Span {
	var hits []Span
	var words []Word
	for _, t := range q.Terms {
		if t.Not {
			continue
		}
		if words == nil {
			if words = Words(text); len(words) == 0 {
				return nil
			}
		}
		for _, p := range t.Any {
			hits = append(hits, p.hits(words)...)
		}
	}
	slices.SortFunc(hits, func(a, b Span) int { return a.Start - b.Start })
	out := hits[:0]
	for _, h := range hits {
		if n := len(out); n > 0 && h.Start < out[n-1].End {
			out[n-1].End = max(out[n-1].End, h.End)
			continue
		}
		out = append(out, h)
	}
	return out
}

func (p Phrase) hits(words []Word) (hits []Span) {
	for i := 0; i+len(p.Words) <= len(words); i++ {
		if p.at(words[i:]) {
			end := words[i+len(p.Words)-1].End
			if last := words[i+len(p.Words)-1]; p.Prefix && len(p.Words) == 1 &&
				utf8.RuneCountInString(p.Words[0]) == 1 && unspaced([]rune(p.Words[0])[0]) {
				end = last.Start + len(p.Words[0]) // the letter alone, not the pair that it begins
			}
			hits = append(hits, Span{words[i].Start, end})
		}
	}
	return hits
}

// at tells whether the phrase stands at the beginning of words.
func (p Phrase) at(words []Word) bool {
	for k, w := range p.Words {
		if k > 0 && words[k].Pos != words[k-1].Pos+1 {
			return false
		}
		if last := k == len(p.Words)-1; last && p.Prefix && strings.HasPrefix(words[k].Text, w) {
			continue
		}
		if words[k].Text != w {
			return false
		}
	}
	return true
}

// Excerpt returns the part of a text around its first hit, at most so many characters, with the hits in it; ok is false
// when there is none.
func (q Query) Excerpt(text string, most int) (excerpt string, hits []Span, ok bool) {
	all := q.Hits(text)
	if len(all) == 0 {
		return "", nil, false
	}
	from, until := 0, len(text)
	if utf8.RuneCountInString(text) > most {
		from = back(text, all[0].Start, most/6)
		until = forth(text, from, most)
	}
	excerpt = text[from:until]
	shift := 0
	if from > 0 {
		excerpt, shift = "…"+excerpt, len("…")
	}
	if until < len(text) {
		excerpt += "…"
	}
	for _, h := range all {
		if h.End <= until {
			hits = append(hits, Span{h.Start - from + shift, h.End - from + shift})
		}
	}
	return excerpt, hits, true
}

// back returns the place so many characters before, at the beginning of a word if one is near.
func back(text string, at, n int) int {
	start := at
	for ; n > 0 && start > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(text[:start])
		start -= size
	}
	if start == 0 {
		return 0
	}
	if i := strings.IndexByte(text[start:at], ' '); i >= 0 {
		return start + i + 1
	}
	return start
}

func forth(text string, at, n int) int {
	for ; n > 0 && at < len(text); n-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}
