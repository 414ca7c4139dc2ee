package report

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/mask"
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

// WriteRows writes the rows of an export, read in one snapshot, and returns how many they are. at is called for every
// row with its number.
func WriteRows(
	ctx context.Context, pool *pgxpool.Pool, w io.Writer, x Wanted, now time.Time, zone *time.Location,
	at func(n int64),
) (n int64, err error) {
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
			head = NewHead(x.Title, dashboard.FilterWords(x.Filter), criteria, x.By, x.Filter, now, zone)
		}
		n, err = Write(w, x.Format, head, Columns(x.Grain), func(each func(row []any) error) error {
			var done int64
			return queries.Export(ctx, tx, x.Grain, x.Filter, x.Only, now, zone, eachOf(hide, func(row []any) error {
				done++
				at(done)
				return each(row)
			}))
		})
		return err
	})
	return n, err
}

// hider returns what masks rows, where personal data are masked in what is handed out.
func hider(ctx context.Context, db queries.DB, x Wanted) (func(rows [][]any) error, error) {
	m, err := queries.DisplayMask(ctx, db)
	if err != nil || m == nil || x.Clear {
		return func([][]any) error { return nil }, err
	}
	columns := queries.ExportColumns(x.Grain)
	of := slices.IndexFunc(columns, func(c queries.ExportColumn) bool { return c.Name == "conversation_id" })
	return func(rows [][]any) error {
		var ids []conversation.UUID
		idOf := func(row []any) (id conversation.UUID) {
			if of >= 0 {
				text, _ := row[of].(string)
				id, _ = conversation.ParseUUID(text) // what is none says nothing
			}
			return id
		}
		for _, row := range rows {
			ids = append(ids, idOf(row))
		}
		told, err := queries.ToldIn(ctx, db, m, ids)
		if err != nil {
			return err
		}
		for _, row := range rows {
			hideRow(row, columns, m.With(told[idOf(row)]))
		}
		return nil
	}, nil
}

// eachOf calls each for the rows of a page once they are masked.
func eachOf(hide func(rows [][]any) error, each func(row []any) error) func(rows [][]any) error {
	return func(rows [][]any) error {
		if err := hide(rows); err != nil {
			return err
		}
		for _, row := range rows {
			if err := each(row); err != nil {
				return err
			}
		}
		return nil
	}
}

func hideRow(row []any, columns []queries.ExportColumn, m *mask.Masker) {
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
}

// snapshot are the options of a transaction that sees one moment.
func snapshot(writes bool) pgx.TxOptions {
	o := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	if writes {
		o.AccessMode = pgx.ReadWrite
	}
	return o
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
