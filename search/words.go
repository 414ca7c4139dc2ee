// Package search knows what a word is: how texts become the words of an index, how what people type becomes a query,
// and where in a text it hits. It is pure.
package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Word is a word of a text, as the index holds it, and where it stands.
type Word struct {
	Text       string // without case and accents
	Pos        int    // its number; one for each word, or for each letter of scripts without spaces
	Start, End int    // bytes in the text
}

// longestWord is how many bytes of a word the index holds; what is longer is cut.
const longestWord = 120

// Words divides a text. Scripts that put no spaces between words go by pairs of letters, of which the last letter is
// one alone, so that any letter begins one.
func Words(text string) (words []Word) {
	each(text, func(w Word, _, _ bool) { words = append(words, w) })
	return words
}

// each calls do for the words in their order. Of a run in a script without spaces each letter is a word, with the next
// one; last is the letter with none after it.
func each(text string, do func(w Word, unspaced, last bool)) {
	pos := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case unspaced(r):
			end := run(text, i, func(r rune) bool { return unspaced(r) || unicode.IsMark(r) })
			for i < end {
				n := firstLetter(text[i:end])
				last := i+n >= end
				to := i + n
				if !last {
					to += firstLetter(text[to:end])
				}
				if folded := fold(text[i:to]); folded != "" {
					do(Word{cut(folded), pos, i, to}, true, last)
				}
				pos++
				i += n
			}
		case spaced(r):
			end := run(text, i, func(r rune) bool { return spaced(r) || joins(r) })
			for end > i { // a joint at the end joins nothing
				r, size := utf8.DecodeLastRuneInString(text[i:end])
				if !joins(r) {
					break
				}
				end -= size
			}
			if folded := fold(text[i:end]); folded != "" {
				do(Word{cut(folded), pos, i, end}, false, true)
				pos++
			}
			i = end
		default:
			i += size
		}
	}
}

func run(text string, from int, in func(rune) bool) int {
	for i, r := range text[from:] {
		if !in(r) {
			return from + i
		}
	}
	return len(text)
}

// firstLetter is the length of the first letter with the marks on it.
func firstLetter(text string) int {
	_, n := utf8.DecodeRuneInString(text)
	for n < len(text) {
		r, size := utf8.DecodeRuneInString(text[n:])
		if !unicode.IsMark(r) {
			break
		}
		n += size
	}
	return n
}

func unspaced(r rune) bool {
	return r >= 0x0e00 && unicode.In(
		r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
	) && !unicode.IsDigit(r) || r == 'ー'
}

func spaced(r rune) bool {
	return !unspaced(r) && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r))
}

// joins tells an apostrophe, which does not divide a word, and what is not seen at all.
func joins(r rune) bool {
	return r == '\'' || r == '’' || r == '\u00ad' || r == '\u200c' || r == '\u200d'
}

func cut(word string) string {
	if len(word) <= longestWord {
		return word
	}
	end := longestWord
	for !utf8.RuneStart(word[end]) {
		end--
	}
	return word[:end]
}

// plain letters that no decomposition gives.
var plain = map[rune]string{
	'ß': "ss", 'ẞ': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ı': "i", 'ς': "σ",
	'ѐ': "е",
}

// fold returns a word without case and without accents. Marks that are letters of their own, as in Devanagari, stay.
func fold(word string) string {
	if ascii(word) {
		return strings.ToLower(strings.ReplaceAll(word, "'", ""))
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(norm.NFKC.String(word))) {
		switch s, ok := plain[r]; {
		case ok:
			b.WriteString(s)
		case accent(r) || joins(r):
		default:
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// accent tells the marks that people leave out when they search: of Latin, Greek and Cyrillic, and the vowel points of
// Hebrew and Arabic.
func accent(r rune) bool {
	return r >= 0x300 && r <= 0x36f || r >= 0x591 && r <= 0x5c7 || r == 0x640 || r >= 0x64b && r <= 0x65f || r == 0x670
}
