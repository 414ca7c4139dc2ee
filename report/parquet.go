package report

import (
	"io"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"turnwise/queries"
)

// parquetWriter writes rows in groups; times are UTC, in microseconds.
type parquetWriter struct {
	to      *parquet.GenericWriter[any]
	columns []Column // in the order of the schema
	index   []int    // of each of them, in the rows
	row1    parquet.Row
	n       int
}

// groupRows is how many rows a group has.
const groupRows = 100_000

func newParquet(w io.Writer, head Head, columns []Column) (writer, error) {
	group := parquet.Group{}
	for _, c := range columns {
		group[c.Name] = parquet.Optional(nodeOf(c.Kind))
		if c.Kind == queries.ListColumn {
			group[c.Name] = parquet.Repeated(parquet.String())
		}
	}
	schema := parquet.NewSchema("row", group)
	out := &parquetWriter{}
	for _, field := range schema.Columns() { // a group is ordered by name
		for i, c := range columns {
			if c.Name == field[0] {
				out.columns, out.index = append(out.columns, c), append(out.index, i)
			}
		}
	}
	options := []parquet.WriterOption{
		schema, parquet.Compression(&zstd.Codec{}), parquet.KeyValueMetadata("title", head.Title),
	}
	for _, l := range head.Lines {
		options = append(
			options, parquet.KeyValueMetadata(strings.ReplaceAll(strings.ToLower(l.Name), " ", "_"), l.Text),
		)
	}
	out.to = parquet.NewGenericWriter[any](w, options...)
	return out, nil
}

func nodeOf(kind queries.ColumnKind) parquet.Node {
	switch kind {
	case queries.CountColumn:
		return parquet.Int(64)
	case queries.NumberColumn, queries.MillisColumn, queries.SecondsColumn:
		return parquet.Leaf(parquet.DoubleType)
	case queries.InstantColumn:
		return parquet.Timestamp(parquet.Microsecond)
	case queries.FlagColumn:
		return parquet.Leaf(parquet.BooleanType)
	default:
		return parquet.String()
	}
}

func (w *parquetWriter) row(values []any) error {
	w.row1 = w.row1[:0]
	for column, i := range w.index {
		var v parquet.Value
		switch x := values[i].(type) {
		case nil:
			w.row1 = append(w.row1, parquet.NullValue().Level(0, 0, column))
			continue
		case []string:
			for n, s := range x {
				w.row1 = append(w.row1, parquet.ByteArrayValue([]byte(s)).Level(min(n, 1), 1, column))
			}
			if len(x) == 0 {
				w.row1 = append(w.row1, parquet.NullValue().Level(0, 0, column))
			}
			continue
		case string:
			v = parquet.ByteArrayValue([]byte(x))
		case int64:
			v = parquet.Int64Value(x)
		case float64:
			v = parquet.DoubleValue(x)
		case bool:
			v = parquet.BooleanValue(x)
		case time.Time:
			v = parquet.Int64Value(x.UnixMicro())
		}
		w.row1 = append(w.row1, v.Level(0, 1, column))
	}
	if _, err := w.to.WriteRows([]parquet.Row{w.row1}); err != nil {
		return err
	}
	if w.n++; w.n%groupRows == 0 {
		return w.to.Flush()
	}
	return nil
}

func (w *parquetWriter) close() error { return w.to.Close() }
