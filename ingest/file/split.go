// Package file cuts streams of JSON into the bodies of events: a line an event, arrays, Rasa's tracker documents, rows
// of its tracker store and event broker, and exports of Turnwise, alone or mixed. It judges nothing: what it cannot cut
// it hands on as it is, to be rejected.
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
			return it, nil
		}
		it, err := s.value()
		if err != nil {
			return it, err
		}
		items, ok := unpack(it)
		if !ok {
			return it, nil
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

// value returns the next top-level value: of the array we are in, or of a line, or a document over lines.
func (s *Splitter) value() (Item, error) {
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
		return Item{Body: bytes.TrimRight(s.buf, " \r\n\t"), Position: at}, nil
	}
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

// unpack takes apart what holds events: a tracker document, alone or wrapped; a row of a table with the event in a
// column; a line of an export.
func unpack(it Item) ([]Item, bool) {
	if len(it.Body) == 0 || it.Body[0] != '{' || looksLikeEvent(it.Body) {
		return nil, false
	}
	var doc map[string]json.RawMessage
	if json.Unmarshal(it.Body, &doc) != nil || doc["event"] != nil {
		return nil, false
	}
	switch {
	case doc["events"] != nil:
		return tracker(it, doc)
	case doc["tracker"] != nil:
		var inner map[string]json.RawMessage
		if json.Unmarshal(doc["tracker"], &inner) != nil || inner["events"] == nil {
			return nil, false
		}
		return tracker(it, inner)
	case doc["data"] != nil && doc["sender_id"] != nil:
		event, ok := object(doc["data"])
		if !ok {
			return nil, false
		}
		it.Body = withSender(event, doc["sender_id"])
		return []Item{it}, true
	case doc["event_id"] != nil && doc["sender_key"] != nil && doc["body"] != nil:
		event, ok := object(doc["body"])
		if !ok {
			return nil, false
		}
		it.Body = event
		_ = json.Unmarshal(doc["assistant"], &it.Assistant) // what is no text says nothing
		_ = json.Unmarshal(doc["environment"], &it.Environment)
		return []Item{it}, true
	case len(doc) == 1 && doc["about"] != nil: // the first line of an export
		return nil, true
	}
	return nil, false
}

// object returns a JSON object that a member holds, as it is or as text.
func object(raw json.RawMessage) ([]byte, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	raw = bytes.TrimSpace(raw)
	return raw, len(raw) > 0 && raw[0] == '{'
}

// tracker takes a tracker document apart: its events get its sender_id.
func tracker(it Item, doc map[string]json.RawMessage) ([]Item, bool) {
	var events []json.RawMessage
	if len(doc["sender_id"]) == 0 || json.Unmarshal(doc["events"], &events) != nil || events == nil {
		return nil, false
	}
	items := make([]Item, len(events))
	for i, e := range events {
		items[i] = Item{
			Body: withSender(e, doc["sender_id"]), Position: fmt.Sprintf("%s, event %d", it.Position, i), Part: 1,
		}
	}
	return items, true
}

// looksLikeEvent spares events the search for what holds others: they name their type early.
func looksLikeEvent(body []byte) bool {
	head := body[:min(len(body), 300)]
	at := bytes.Index(head, []byte(`"event":`))
	if at < 0 || bytes.Contains(head, []byte(`"events"`)) || bytes.Contains(head, []byte(`"slots"`)) {
		return false
	}
	before := head[:at]
	return !bytes.Contains(before, []byte(`"data"`)) && !bytes.Contains(before, []byte(`"body"`)) &&
		!bytes.Contains(before, []byte(`"tracker"`))
}

// withSender puts sender_id first into an event that has none.
func withSender(event, sender json.RawMessage) []byte {
	event = bytes.TrimSpace(event)
	if len(event) == 0 || event[0] != '{' {
		return event
	}
	if bytes.Contains(event, []byte(`"sender_id"`)) {
		var has struct {
			SenderID json.RawMessage `json:"sender_id"`
		}
		if json.Unmarshal(event, &has) == nil && has.SenderID != nil {
			return event
		}
	}
	out := append(append([]byte(`{"sender_id":`), sender...), ',')
	rest := bytes.TrimSpace(event[1:])
	if len(rest) > 0 && rest[0] == '}' {
		out = out[:len(out)-1]
	}
	return append(out, rest...)
}
