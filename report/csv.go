package report

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// csvWriter writes RFC 4180. What a spreadsheet would take for a formula stands behind an apostrophe.
type csvWriter struct {
	to     *csv.Writer
	fields []string
	zone   *time.Location
}

func newCSV(w io.Writer, head Head, columns []Column) (writer, error) {
	out := &csvWriter{to: csv.NewWriter(w), fields: make([]string, len(columns)), zone: head.Zone}
	out.to.UseCRLF = true
	if head.Title != "" {
		if _, err := io.WriteString(w, "\ufeff"); err != nil { // so that spreadsheets read UTF-8
			return nil, err
		}
		_ = out.to.Write(strings.Split("# "+head.Title, ", ")) // not in quotes; the writer keeps its error
		for _, l := range head.Lines {
			_ = out.to.Write([]string{"# " + l.Name, Safe(l.Text)})
		}
	}
	for i, c := range columns {
		out.fields[i] = Safe(c.Name)
	}
	return out, out.to.Write(out.fields)
}

func (w *csvWriter) row(values []any) error {
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			w.fields[i] = ""
		case string:
			w.fields[i] = Safe(v)
		case int64:
			w.fields[i] = strconv.FormatInt(v, 10)
		case float64:
			w.fields[i] = strconv.FormatFloat(v, 'f', -1, 64)
		case bool:
			w.fields[i] = strconv.FormatBool(v)
		case time.Time:
			w.fields[i] = v.In(w.zone).Format("2006-01-02T15:04:05.000Z07:00")
		case []string:
			w.fields[i] = Safe(strings.Join(v, "; "))
		}
	}
	return w.to.Write(w.fields)
}

func (w *csvWriter) close() error {
	w.to.Flush()
	return w.to.Error()
}

// Safe returns a text that no spreadsheet takes for a formula: one that begins like one gets an apostrophe before it.
// NUL, which no file of text should hold, becomes the replacement character.
func Safe(s string) string {
	s = strings.ReplaceAll(s, "\x00", "\ufffd")
	if s == "" {
		return s
	}
	switch r := []rune(strings.TrimLeft(s, " ")); {
	case len(r) == 0:
		return s
	case strings.ContainsRune("=+-@\t\r\n\ufffd＝＋－＠", r[0]):
		return "'" + s
	}
	return s
}

// jsonlWriter writes an object a line; the first line says what the file holds.
type jsonlWriter struct {
	to    *bufio.Writer
	names [][]byte
}

func newJSONL(w io.Writer, head Head, columns []Column) (writer, error) {
	out := &jsonlWriter{to: bufio.NewWriterSize(w, 1<<16)}
	for _, c := range columns {
		name, err := json.Marshal(c.Name)
		if err != nil {
			return nil, err
		}
		out.names = append(out.names, append(name, ':'))
	}
	if head.Title == "" {
		return out, nil
	}
	about := map[string]string{"title": head.Title}
	for _, l := range head.Lines {
		about[strings.ReplaceAll(strings.ToLower(l.Name), " ", "_")] = l.Text
	}
	return out, out.line(map[string]any{"about": about})
}

func (w *jsonlWriter) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.to.Write(append(b, '\n'))
	return err
}

func (w *jsonlWriter) row(values []any) error {
	_ = w.to.WriteByte('{') // the buffer keeps its error
	for i, v := range values {
		if i > 0 {
			_ = w.to.WriteByte(',')
		}
		_, _ = w.to.Write(w.names[i])
		if at, ok := v.(time.Time); ok {
			v = at.UTC().Format("2006-01-02T15:04:05.000000Z")
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, _ = w.to.Write(b)
	}
	_, err := w.to.WriteString("}\n")
	return err
}

func (w *jsonlWriter) close() error { return w.to.Flush() }

// csv writes a sheet of a document.
func (s *sheet) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	fields := make([]string, len(s.head))
	for i, h := range s.head {
		fields[i] = Safe(h)
	}
	_ = out.Write(fields) // the writer keeps its error
	for _, row := range s.rows {
		fields = fields[:0]
		for _, c := range row {
			fields = append(fields, c.raw())
		}
		_ = out.Write(fields)
	}
	out.Flush()
	return out.Error()
}
