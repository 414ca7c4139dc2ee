// Package report turns answers into files: rows into CSV, XLSX, JSON Lines and Parquet, pages into PDF and mail.
package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"turnwise/metric"
	"turnwise/queries"
)

// Format is how a file is written.
type Format string

// The formats of tables.
const (
	CSV     Format = "csv"
	XLSX    Format = "xlsx"
	JSONL   Format = "jsonl"
	Parquet Format = "parquet"
)

// PDF is the format of pages.
const PDF Format = "pdf"

// Formats lists those of tables.
var Formats = []Format{CSV, XLSX, JSONL, Parquet}

// ContentType returns the media type.
func (f Format) ContentType() string {
	switch f {
	case CSV:
		return "text/csv; charset=utf-8"
	case XLSX:
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case JSONL:
		return "application/x-ndjson"
	case Parquet:
		return "application/vnd.apache.parquet"
	case PDF:
		return "application/pdf"
	}
	return "application/octet-stream"
}

// Column is a column of a table: its name and what its values are.
type Column struct {
	Name string
	Kind queries.ColumnKind
}

// Head says what a file holds, in its first lines, its first sheet or its metadata.
type Head struct {
	Title string
	Lines []Line
	Zone  *time.Location // in which sheets and CSV write times
}

// Line is a fact about the file.
type Line struct{ Name, Text string }

// NewHead returns the head that every file has.
func NewHead(title, filter, criteria, by string, f metric.Filter, now time.Time, zone *time.Location) Head {
	from, until := f.Range.Bounds(now, zone)
	return Head{Title: title, Zone: zone, Lines: []Line{
		{
			"Range",
			from.In(zone).Format("2006-01-02 15:04") + " to " + until.In(zone).Format("2006-01-02 15:04") +
				", the end not included",
		},
		{"Filter", filter},
		{"Time zone", zone.String()},
		{"Success criteria", criteria},
		{"Made at", now.In(zone).Format("2006-01-02 15:04:05 MST")},
		{"Made by", by},
	}}
}

// writer takes the rows of a table one after the other. It keeps nothing of them.
type writer interface {
	row(values []any) error
	close() error
}

// Write writes a table as a file and returns how many rows it has. rows calls each for every one, with values in the
// columns' order as queries.ColumnKind names them.
func Write(
	w io.Writer, format Format, head Head, columns []Column, rows func(each func(row []any) error) error,
) (n int64, err error) {
	var out writer
	switch format {
	case CSV:
		out, err = newCSV(w, head, columns)
	case XLSX:
		out, err = newXLSX(w, head, columns)
	case JSONL:
		out, err = newJSONL(w, head, columns)
	case Parquet:
		out, err = newParquet(w, head, columns)
	default:
		return 0, &metric.InputError{Field: "format", Msg: "is one of csv, xlsx, jsonl, parquet"}
	}
	if err != nil {
		return 0, fmt.Errorf("begin a %s file: %w", format, err)
	}
	if err := rows(func(row []any) error {
		n++
		finite(row)
		return out.row(row)
	}); err != nil {
		_ = out.close() // what came before says more
		return n, err
	}
	if err := out.close(); err != nil {
		return n, fmt.Errorf("end a %s file: %w", format, err)
	}
	return n, nil
}

// finite leaves cells empty that hold a number which is none: no format has a form for it, and one such must not break
// a file off.
func finite(row []any) {
	for i, v := range row {
		switch x := v.(type) {
		case float64:
			if math.IsNaN(x) || math.IsInf(x, 0) {
				row[i] = nil
			}
		case float32:
			if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
				row[i] = nil
			}
		}
	}
}

// Columns returns those of an export's grain.
func Columns(g queries.Grain) []Column {
	all := queries.ExportColumns(g)
	out := make([]Column, len(all))
	for i, c := range all {
		out[i] = Column{c.Name, c.Kind}
	}
	return out
}

// ParseFormat reads a format of tables.
func ParseFormat(s string) (Format, error) {
	if !slices.Contains(Formats, Format(s)) {
		return "", &metric.InputError{Field: "format", Msg: "is one of csv, xlsx, jsonl, parquet"}
	}
	return Format(s), nil
}
