// Package file cuts what people have into the bodies of events: a line an event, arrays, Rasa's tracker documents, rows
// of its tracker store and event broker, messages of brokers, and exports of Turnwise, alone or mixed, packed or not.
// It judges nothing: what it cannot cut it hands on as it is, to be rejected.
package file

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Item is one body and where it was found.
type Item struct {
	Body     []byte // valid until the next call
	Position string
	Part     int // 0, or which tracker document of the stream the event stands in, from 1

	Assistant, Environment string // as an export tells them beside the event; "" where nothing does
}

// maxValue bounds one value of a stream: a tracker document may be large, an event may not.
const maxValue = 64 << 20

// Splitter cuts one stream.
type Splitter struct {
	r       *bufio.Reader
	line    int
	index   int // in an array, counted from 0
	inArray bool
	buf     []byte
	pending []Item // events of a tracker document
	part    int    // of which there have been so many
	table   *table // nil: none; the stream is one
	begun   bool
	whole   bool // values are wanted as they stand, and rows of a table as objects

	sender json.RawMessage // of events that tell none; nil: nobody
}

// NewSplitter returns a splitter of r.
func NewSplitter(r io.Reader) *Splitter {
	return &Splitter{r: bufio.NewReaderSize(r, 256<<10)}
}

// Next returns the next body, or io.EOF.
func (s *Splitter) Next() (Item, error) {
	for {
		if len(s.pending) > 0 {
			it := s.pending[0]
			s.pending = s.pending[1:]
			return s.told(it), nil
		}
		it, err := s.value()
		if err != nil {
			return it, err
		}
		if s.whole {
			return it, nil
		}
		items, ok := unpack(it, 0)
		if !ok {
			return s.told(it), nil
		}
		if len(items) > 0 && items[0].Part != 0 {
			s.part++
			for i := range items {
				items[i].Part = s.part
			}
		}
		s.pending = items
	}
}

// told gives an event the sender that is told for those that name none.
func (s *Splitter) told(it Item) Item {
	if s.sender != nil {
		it.Body = WithSender(it.Body, s.sender)
	}
	return it
}

// value returns the next top-level value: of the table that the stream is, of the array we are in, or of a line, or a
// document over lines.
func (s *Splitter) value() (Item, error) {
	if !s.begun {
		s.begun = true
		var err error
		if s.table, err = newTable(s); err != nil {
			return Item{}, err
		}
	}
	if s.table != nil {
		return s.table.next()
	}
	for {
		c, err := s.skipSpace()
		if err != nil {
			return Item{}, err
		}
		switch {
		case s.inArray && c == ']':
			s.discard()
			s.inArray = false
			continue
		case s.inArray && c == ',':
			s.discard()
			continue
		case !s.inArray && c == '[':
			s.discard()
			s.inArray, s.index = true, 0
			continue
		case s.inArray:
			it, err := s.balanced()
			it.Position = fmt.Sprintf("line %d, element %d", s.line+1, s.index)
			s.index++
			return it, err
		}
		return s.lineOrDocument()
	}
}

func (s *Splitter) discard() { _, _ = s.r.Discard(1) } // peeked before: cannot fail

func (s *Splitter) skipSpace() (byte, error) {
	for {
		b, err := s.r.Peek(1)
		if err != nil {
			return 0, err
		}
		switch b[0] {
		case '\n':
			s.line++
		case ' ', '\r', '\t', 0xef, 0xbb, 0xbf: // and a byte order mark
		default:
			return b[0], nil
		}
		s.discard()
	}
}

// lineOrDocument reads a line; when that begins an object that is laid out over lines, the whole object.
func (s *Splitter) lineOrDocument() (Item, error) {
	at := fmt.Sprintf("line %d", s.line+1)
	peek, _ := s.r.Peek(64 << 10)
	if end := bytes.IndexByte(peek, '\n'); end >= 0 && peek[0] == '{' && laidOut(peek[:end], peek[end+1:]) {
		it, err := s.balanced()
		it.Position = at
		return it, err
	}
	s.buf = s.buf[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		if len(s.buf) < maxValue {
			s.buf = append(s.buf, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return Item{}, err
		}
		if err == nil {
			s.line++
		}
		return Item{Body: behindKey(bytes.TrimRight(s.buf, " \r\n\t")), Position: at}, nil
	}
}

// behindKey returns the event of a line that a console consumer wrote: its key and what else it was told to write stand
// before it, each with a tab behind it.
func behindKey(line []byte) []byte {
	if len(line) == 0 || line[0] == '{' {
		return line
	}
	if at := bytes.Index(line, []byte("\t{")); at >= 0 && line[len(line)-1] == '}' {
		return line[at+1:]
	}
	return line
}

// laidOut tells a line that opens an object for the next lines from one that holds it, broken or not: behind a
// broken one comes a line that is an object of its own.
func laidOut(line, rest []byte) bool {
	line = bytes.TrimRight(line, " \r\t")
	switch line[len(line)-1] {
	case '{', '[', ',':
	default:
		return false
	}
	next, _, _ := bytes.Cut(rest, []byte{'\n'})
	next = bytes.TrimSpace(next)
	return len(next) < 2 || next[0] != '{' || !json.Valid(next)
}

// balanced reads one value by its brackets and quotes.
func (s *Splitter) balanced() (Item, error) {
	s.buf = s.buf[:0]
	depth, inString, escaped := 0, false, false
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			if len(s.buf) > 0 && errors.Is(err, io.EOF) {
				s.inArray = false
				return Item{Body: s.buf}, nil
			}
			return Item{}, err
		}
		if c == '\n' {
			s.line++
		}
		if depth == 0 && !inString && len(s.buf) > 0 && (c == ',' || c == ']' || c == '\n' || c == '\r') {
			_ = s.r.UnreadByte() // just read: cannot fail
			if c == '\n' {
				s.line--
			}
			return Item{Body: bytes.TrimRight(s.buf, " \t")}, nil
		}
		if len(s.buf) < maxValue {
			s.buf = append(s.buf, c)
		}
		switch {
		case escaped:
			escaped = false
		case inString:
			switch c {
			case '\\':
				escaped = true
			case '"':
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth <= 0 {
				return Item{Body: s.buf}, nil
			}
		}
	}
}
