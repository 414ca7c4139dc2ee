package file

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// table reads rows of a table that has the events in its column data: CSV with a header, or the COPY blocks of a dump.
type table struct {
	s      *Splitter
	csv    *csv.Reader // nil: a dump
	before int         // lines before those that csv reads

	within       bool // a block of a table with events
	data, sender int  // columns; sender is -1 where there is none
	columns      int
	rows         int64
	inserts      bool     // rows are written in another way
	header       []string // of rows that are wanted whole; nil: the event in them
}

// What a stream begins with that is no text of events but something from which they can be had.
var elsewise = []struct{ magic, advice string }{
	{"PGDMP", "this is a dump in PostgreSQL's custom format: write it as text with pg_restore --data-only --table=events --file=events.sql FILE, and import that"},
	{"SQLite format 3\x00", "this is a database of SQLite: write its events with sqlite3 -json FILE \"select sender_id, data from events order by id\" > events.json, and import that"},
	{"PAR1", "this is a Parquet file, which is not read: export JSON Lines instead"},
	{"%PDF-", "this is a PDF"},
}

// newTable looks whether the stream is a table; nil when it is not.
func newTable(s *Splitter) (*table, error) {
	if _, err := s.skipSpace(); err != nil {
		return nil, nil //nolint:nilerr // who reads on meets it
	}
	head, _ := s.r.Peek(64 << 10)
	for _, x := range elsewise {
		if bytes.HasPrefix(head, []byte(x.magic)) {
			return nil, errors.New(x.advice)
		}
	}
	first, _, whole := bytes.Cut(head, []byte("\n"))
	if !whole && len(head) == 64<<10 {
		return nil, nil
	}
	for _, begins := range []string{"--", "/*", "SET ", "COPY ", "BEGIN", "\\restrict "} {
		if !s.whole && bytes.HasPrefix(bytes.ToUpper(first), []byte(strings.ToUpper(begins))) {
			return &table{s: s}, nil
		}
	}
	if len(first) == 0 || first[0] == '{' || first[0] == '[' {
		return nil, nil
	}
	if s.whole {
		return wholeTable(s, first)
	}
	for _, comma := range []rune{',', ';', '\t'} {
		r := csv.NewReader(bytes.NewReader(first))
		r.Comma = comma
		names, err := r.Read()
		if err != nil {
			continue
		}
		t := &table{s: s, columns: len(names)}
		if t.found(names) && (t.sender >= 0 || len(names) == 1) {
			t.csv, t.before = csv.NewReader(s.r), s.line
			t.csv.Comma, t.csv.FieldsPerRecord, t.csv.LazyQuotes = comma, -1, true
			_, err := t.csv.Read() // the header
			return t, err
		}
	}
	return nil, nil
}

// wholeTable is a CSV of which each row is wanted as an object; nil where the stream is none.
func wholeTable(s *Splitter, first []byte) (*table, error) {
	for _, comma := range []rune{',', ';', '\t'} {
		r := csv.NewReader(bytes.NewReader(first))
		r.Comma = comma
		if names, err := r.Read(); err != nil || len(names) < 2 {
			continue
		}
		t := &table{s: s, csv: csv.NewReader(s.r), before: s.line}
		t.csv.Comma, t.csv.FieldsPerRecord, t.csv.LazyQuotes = comma, -1, true
		var err error
		if t.header, err = t.csv.Read(); err == nil {
			t.columns = len(t.header)
			t.header[0] = strings.TrimPrefix(t.header[0], "\ufeff")
		}
		return t, err
	}
	return nil, nil
}

// object is a row as JSON: texts by their columns, without those that are empty.
func (t *table) object(fields []string) []byte {
	o := make(map[string]string, len(fields))
	for i, f := range fields {
		if f != "" {
			o[strings.TrimSpace(t.header[i])] = f
		}
	}
	b, _ := json.Marshal(o) // texts: cannot fail
	return b
}

// found looks up the columns; there must be one of events.
func (t *table) found(names []string) bool {
	for i, n := range names {
		names[i] = strings.ToLower(strings.Trim(strings.TrimSpace(n), "\"`[]"))
	}
	t.data, t.sender = slices.Index(names, "data"), slices.Index(names, "sender_id")
	t.columns = len(names)
	return t.data >= 0
}

func (t *table) next() (Item, error) {
	if t.csv != nil {
		return t.record()
	}
	for {
		line, at, err := t.line()
		if err != nil {
			return Item{}, t.ended(err)
		}
		switch {
		case t.within && string(line) == `\.`:
			t.within = false
		case t.within:
			t.rows++
			return t.row(strings.Split(string(line), "\t"), at, line), nil
		default:
			t.statement(line)
		}
	}
}

// ended says why a dump held no events, where it did not.
func (t *table) ended(err error) error {
	switch {
	case !errors.Is(err, io.EOF) || t.rows > 0:
		return err
	case t.inserts:
		return errors.New("this dump writes its rows by INSERT: dump the table of events with pg_dump --data-only --table=events, or write it as CSV with a header (columns sender_id and data)")
	}
	return errors.New("there is no table of events in this dump: one that has the columns sender_id and data")
}

// statement looks whether a table with events follows.
func (t *table) statement(line []byte) {
	upper := strings.ToUpper(string(line[:min(len(line), 2000)]))
	if strings.HasPrefix(upper, "INSERT INTO") && strings.Contains(upper, "EVENTS") {
		t.inserts = true
	}
	if !strings.HasPrefix(upper, "COPY ") || !strings.Contains(upper, "FROM STDIN") {
		return
	}
	_, rest, ok := strings.Cut(string(line), "(")
	list, _, closed := strings.Cut(rest, ")")
	t.within = ok && closed && t.found(strings.Split(list, ",")) && t.sender >= 0
	if t.within {
		return
	}
	for { // another table's rows
		line, _, err := t.line()
		if err != nil || string(line) == `\.` {
			return
		}
	}
}

// line returns the next line of a dump, without its end.
func (t *table) line() ([]byte, string, error) {
	at := fmt.Sprintf("line %d", t.s.line+1)
	buf := t.s.buf[:0]
	for {
		part, err := t.s.r.ReadSlice('\n')
		if len(buf) < maxValue {
			buf = append(buf, part...)
		}
		if err == nil {
			t.s.line++
			break
		}
		if len(buf) > 0 && errors.Is(err, io.EOF) {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, at, err
		}
	}
	t.s.buf = buf
	return bytes.TrimRight(buf, "\r\n"), at, nil
}

// record returns the event of the next record of a CSV.
func (t *table) record() (Item, error) {
	fields, err := t.csv.Read()
	line, _ := t.csv.FieldPos(0)
	at := fmt.Sprintf("line %d", t.before+line)
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return Item{Body: []byte(strings.Join(fields, ",")), Position: fmt.Sprintf("line %d", t.before+bad.Line)}, nil
	}
	if err != nil {
		return Item{}, err
	}
	if t.header != nil && len(fields) == t.columns {
		return Item{Body: t.object(fields), Position: at}, nil
	}
	if t.header != nil {
		return Item{Body: []byte(strings.Join(fields, ",")), Position: at}, nil
	}
	return t.cells(fields, at, func(s string) (string, bool) { return s, true }, []byte(strings.Join(fields, ","))), nil
}

// row returns the event of a row of a COPY block.
func (t *table) row(fields []string, at string, line []byte) Item {
	return t.cells(fields, at, uncopied, line)
}

func (t *table) cells(fields []string, at string, read func(string) (string, bool), raw []byte) Item {
	it := Item{Body: raw, Position: at}
	if len(fields) != t.columns {
		return it
	}
	event, ok := read(fields[t.data])
	if event = strings.TrimSpace(event); !ok || event == "" || event[0] != '{' {
		return it
	}
	it.Body = []byte(event)
	if t.sender >= 0 {
		if sender, ok := read(fields[t.sender]); ok {
			if b, err := json.Marshal(sender); err == nil {
				it.Body = WithSender(it.Body, b)
			}
		}
	}
	return it
}

// uncopied returns a value as it was before PostgreSQL wrote it for COPY; ok = false for null.
func uncopied(s string) (string, bool) {
	if s == `\N` {
		return "", false
	}
	if !strings.Contains(s, `\`) {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if at := strings.IndexByte("bfnrtv", s[i]); at >= 0 {
			b.WriteByte("\b\f\n\r\t\v"[at])
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}
