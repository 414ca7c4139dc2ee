package report

import (
	"archive/zip"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"turnwise/queries"
)

// A sheet has at most so many rows, a cell so many characters.
const (
	sheetRows = 1_048_576
	cellChars = 32_767
)

// xlsxWriter streams a workbook: a sheet about it, then one or more of data. Text stays text: nothing is a formula.
type xlsxWriter struct {
	to      io.Writer
	book    *excelize.File
	stream  *excelize.StreamWriter
	columns []Column
	zone    *time.Location
	cells   []any
	rows    int // of the sheet, its head included
	sheets  int

	head, instant, span, millis int // styles
}

func newXLSX(w io.Writer, head Head, columns []Column) (writer, error) {
	x := &xlsxWriter{
		to: w, book: excelize.NewFile(), columns: columns, zone: head.Zone, cells: make([]any, len(columns)),
	}
	for into, s := range map[*int]*excelize.Style{
		&x.head:    {Font: &excelize.Font{Bold: true}},
		&x.instant: {CustomNumFmt: text("yyyy-mm-dd hh:mm:ss")},
		&x.span:    {CustomNumFmt: text("[h]:mm:ss")},
		&x.millis:  {CustomNumFmt: text("#,##0")},
	} {
		var err error
		if *into, err = x.book.NewStyle(s); err != nil {
			return nil, err
		}
	}
	if err := x.book.SetSheetName("Sheet1", "About"); err != nil {
		return nil, err
	}
	about, err := x.book.NewStreamWriter("About")
	if err != nil {
		return nil, err
	}
	if err := about.SetColWidth(1, 1, 20); err != nil {
		return nil, err
	}
	if err := about.SetColWidth(2, 2, 90); err != nil {
		return nil, err
	}
	if err := about.SetRow("A1", []any{excelize.Cell{StyleID: x.head, Value: head.Title}}); err != nil {
		return nil, err
	}
	for i, l := range head.Lines {
		if err := about.SetRow("A"+strconv.Itoa(i+3), []any{l.Name, cut(l.Text)}); err != nil {
			return nil, err
		}
	}
	if err := about.Flush(); err != nil {
		return nil, err
	}
	return x, x.sheet()
}

func text(s string) *string { return &s }

// sheet begins the next sheet of data.
func (x *xlsxWriter) sheet() error {
	if x.stream != nil {
		if err := x.stream.Flush(); err != nil {
			return err
		}
	}
	x.sheets++
	name := "Data"
	if x.sheets > 1 {
		name += " " + strconv.Itoa(x.sheets)
	}
	i, err := x.book.NewSheet(name)
	if err != nil {
		return err
	}
	if x.sheets == 1 {
		x.book.SetActiveSheet(i)
	}
	if x.stream, err = x.book.NewStreamWriter(name); err != nil {
		return err
	}
	if err := x.stream.SetPanes(&excelize.Panes{
		Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft",
	}); err != nil {
		return err
	}
	for i, c := range x.columns {
		width := 14.0
		switch c.Kind {
		case queries.InstantColumn:
			width = 19
		case queries.TextColumn, queries.ListColumn:
			width = 24
		default:
		}
		if err := x.stream.SetColWidth(i+1, i+1, width); err != nil {
			return err
		}
	}
	names := make([]any, len(x.columns))
	for i, c := range x.columns {
		names[i] = excelize.Cell{StyleID: x.head, Value: c.Name}
	}
	x.rows = 1
	return x.stream.SetRow("A1", names)
}

func (x *xlsxWriter) row(values []any) error {
	if x.rows == sheetRows {
		if err := x.sheet(); err != nil {
			return err
		}
	}
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			x.cells[i] = nil
		case string:
			x.cells[i] = cut(v)
		case []string:
			x.cells[i] = cut(strings.Join(v, "; "))
		case time.Time:
			x.cells[i] = excelize.Cell{StyleID: x.instant, Value: wall(v.In(x.zone))}
		case float64:
			switch x.columns[i].Kind {
			case queries.SecondsColumn: // of a day
				x.cells[i] = excelize.Cell{StyleID: x.span, Value: v / 86400}
			case queries.MillisColumn:
				x.cells[i] = excelize.Cell{StyleID: x.millis, Value: v}
			default:
				x.cells[i] = v
			}
		default:
			x.cells[i] = v
		}
	}
	x.rows++
	return x.stream.SetRow("A"+strconv.Itoa(x.rows), x.cells)
}

func (x *xlsxWriter) close() error {
	defer x.book.Close()
	if err := x.stream.Flush(); err != nil {
		return err
	}
	// else all of it stands in memory first
	x.book.ZipWriter = func(io.Writer) excelize.ZipWriter { return zip.NewWriter(x.to) }
	_, err := x.book.WriteToBuffer()
	return err
}

// wall returns the time with the same clock and date in UTC, as sheets know no zones.
func wall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// cut returns what fits into a cell, without the characters that XML cannot hold.
func cut(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0xfffe || r == 0xffff {
			return utf8.RuneError
		}
		return r
	}, s)
	if len(s) <= cellChars {
		return s
	}
	n := 0
	for i, r := range s {
		if n++; r > 0xffff {
			n++ // sheets count UTF-16
		}
		if n > cellChars-1 {
			return s[:i] + "…"
		}
	}
	return s
}
