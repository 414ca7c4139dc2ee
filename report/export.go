package report

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/metric"
	"turnwise/queries"
)

// Wanted is what an export is asked for.
type Wanted struct {
	Grain  queries.Grain
	Format Format
	Filter metric.Filter
	Title  string
	By     string
	Bare   bool // no words about the file in it
	Only   *queries.Increment
	Clear  bool // personal data are not masked in it, whatever is set for what is shown
}

// FileName returns a name for the file, of the day it is made.
func (x Wanted) FileName(now time.Time, zone *time.Location) string {
	return string(x.Grain) + "s_" + now.In(zone).Format("2006-01-02_1504") + "." + string(x.Format)
}

// WriteRows writes the rows of an export, read in one snapshot, and returns how many they are. at is called for every row with
// its number.
func WriteRows(ctx context.Context, pool *pgxpool.Pool, w io.Writer, x Wanted, now time.Time, zone *time.Location, at func(n int64)) (n int64, err error) {
	err = pgx.BeginTxFunc(ctx, pool, snapshot(x.Only != nil), func(tx pgx.Tx) error {
		hide, err := hider(ctx, tx, x)
		if err != nil {
			return err
		}
		head := Head{Zone: zone}
		if !x.Bare {
			criteria, err := CriteriaWords(ctx, tx, x.Filter)
			if err != nil {
				return err
			}
			head = NewHead(x.Title, FilterWords(x.Filter), criteria, x.By, x.Filter, now, zone)
		}
		n, err = Write(w, x.Format, head, Columns(x.Grain), func(each func(row []any) error) error {
			var done int64
			return queries.Export(ctx, tx, x.Grain, x.Filter, x.Only, now, zone, func(row []any) error {
				done++
				at(done)
				return each(hide(row))
			})
		})
		return err
	})
	return n, err
}

// hider returns what masks a row, where personal data are masked in what is handed out.
func hider(ctx context.Context, db queries.DB, x Wanted) (func(row []any) []any, error) {
	m, err := queries.DisplayMask(ctx, db)
	if err != nil || m == nil || x.Clear {
		return func(row []any) []any { return row }, err
	}
	columns := queries.ExportColumns(x.Grain)
	return func(row []any) []any {
		for i := range row {
			switch v := row[i].(type) {
			case string:
				if columns[i].Name == "body" {
					row[i], _ = m.Whole(v)
				} else {
					row[i] = m.Shown(v)
				}
			case []string:
				for j := range v {
					v[j] = m.Shown(v[j])
				}
			}
		}
		return row
	}, nil
}

// snapshot are the options of a transaction that sees one moment.
func snapshot(writes bool) pgx.TxOptions {
	o := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	if writes {
		o.AccessMode = pgx.ReadWrite
	}
	return o
}

// FilterWords writes a filter without its range, a field after the other.
func FilterWords(f metric.Filter) string {
	q := f.Query()
	for _, range1 := range []string{"range", "from", "until"} {
		q.Del(range1)
	}
	if len(q) == 0 {
		return "none"
	}
	words, err := url.QueryUnescape(strings.ReplaceAll(q.Encode(), "&", ", "))
	if err != nil {
		return q.Encode()
	}
	return words
}

// CriteriaWords names the success criteria by which conversations of the filter are judged.
func CriteriaWords(ctx context.Context, db queries.DB, f metric.Filter) (string, error) {
	all, err := queries.CriteriaInForce(ctx, db)
	if err != nil {
		return "", err
	}
	var words []string
	for _, c := range all {
		if of(f, c.Assistant) {
			words = append(words, fmt.Sprintf("%s: version %d", c.Assistant, c.ID))
		}
	}
	if len(words) == 0 {
		return "none", nil
	}
	return strings.Join(words, ", "), nil
}

func of(f metric.Filter, assistant string) bool {
	for _, name := range f.Not.Assistants {
		if name == assistant {
			return false
		}
	}
	for _, name := range f.Assistants {
		if name == assistant {
			return true
		}
	}
	return len(f.Assistants) == 0
}
