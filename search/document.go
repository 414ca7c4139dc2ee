package search

import (
	"slices"
	"strconv"
	"strings"
)

// Document gathers the words of the texts of one conversation.
type Document struct {
	places map[string][]int
	next   int // position of the next text's first word
	size   int // bytes of all words
	full   bool
}

// What PostgreSQL's tsvector holds: positions up to 16,383, and of one word 255; and less than 1 MB in all.
const (
	lastPosition = 16383
	mostPlaces   = 255
	mostBytes    = 700_000
)

// Add adds a text. No phrase reaches from one into the next. What would make the document too long is left out.
func (d *Document) Add(text string) {
	if d.places == nil {
		d.places = map[string][]int{}
	}
	last := d.next - 2
	for _, w := range Words(text) {
		last = d.next + w.Pos
		at := min(last+1, lastPosition)
		places, known := d.places[w.Text]
		switch {
		case !known && d.size+len(w.Text)+24 > mostBytes:
			d.full = true
			continue
		case !known:
			d.size += len(w.Text) + 24
		case len(places) >= mostPlaces || places[len(places)-1] == at || d.size+2 > mostBytes:
			continue
		}
		d.size += 2
		d.places[w.Text] = append(places, at)
	}
	d.next = last + 2
}

// Full tells that words were left out.
func (d *Document) Full() bool { return d.full }

// TSVector writes the document for PostgreSQL.
func (d *Document) TSVector() string {
	var b strings.Builder
	b.Grow(d.size)
	for word, places := range d.places {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		lexeme(&b, word)
		for i, at := range places {
			sep := byte(',')
			if i == 0 {
				sep = ':'
			}
			b.WriteByte(sep)
			b.WriteString(strconv.Itoa(at))
		}
	}
	return b.String()
}

// Vocabulary returns the words against which mistyped ones are held, in order.
func (d *Document) Vocabulary() (words []string) {
	for w := range d.places {
		if Forgiven(w) {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	return words
}
