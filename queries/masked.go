package queries

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"turnwise/mask"
)

// Masked returns the database as somebody sees it who may not see personal data: they are masked in every text that a query yields,
// whichever it is. Without a masker it is the database itself.
func Masked(db DB, m *mask.Masker) DB {
	if m == nil {
		return db
	}
	return masked{db, m}
}

type masked struct {
	db DB
	m  *mask.Masker
}

func (d masked) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return d.db.Exec(ctx, sql, args...)
}

func (d masked) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := d.db.Query(ctx, sql, args...)
	return maskedRows{rows, d.m}, err
}

func (d masked) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return maskedResults{d.db.SendBatch(ctx, b), d.m}
}

type maskedResults struct {
	pgx.BatchResults
	m *mask.Masker
}

func (r maskedResults) Query() (pgx.Rows, error) {
	rows, err := r.BatchResults.Query()
	return maskedRows{rows, r.m}, err
}

type maskedRows struct {
	pgx.Rows
	m *mask.Masker
}

// Scan masks what it scanned, whether the column is a text, a list of texts or JSON.
func (r maskedRows) Scan(dest ...any) error {
	if len(dest) == 1 {
		if s, ok := dest[0].(pgx.RowScanner); ok { // as pgx collects rows into structs
			return s.ScanRow(r)
		}
	}
	if err := r.Rows.Scan(dest...); err != nil {
		return err
	}
	for _, d := range dest {
		maskInto(d, r.m)
	}
	return nil
}

func maskInto(dest any, m *mask.Masker) {
	switch v := dest.(type) {
	case *string:
		*v = m.Shown(*v)
	case **string:
		if *v != nil {
			s := m.Shown(**v)
			*v = &s
		}
	case *[]string:
		for i := range *v {
			(*v)[i] = m.Shown((*v)[i])
		}
	case *[]byte:
		if out, n := m.JSON(string(*v), nil); n > 0 {
			*v = []byte(out)
		}
	}
}

// Values masks likewise.
func (r maskedRows) Values() ([]any, error) {
	all, err := r.Rows.Values()
	for i := range all {
		all[i] = maskValue(all[i], r.m)
	}
	return all, err
}

func maskValue(v any, m *mask.Masker) any {
	switch x := v.(type) {
	case string:
		return m.Shown(x)
	case []any:
		for i := range x {
			x[i] = maskValue(x[i], m)
		}
	case map[string]any:
		for k := range x {
			x[k] = maskValue(x[k], m)
		}
	}
	return v
}
