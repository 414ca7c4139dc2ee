package queries

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"turnwise/mask"
)

// Sight is the database with somebody's eyes: personal data are masked, or in the clear. Whatever yields what people
// said or who they are asks for one, so that nobody shows it by using the bare database.
type Sight interface {
	DB
	Masks() bool
}

// Masked returns the database as somebody sees it who may not see personal data: they are masked in every text that a
// query yields, whichever it is. Without a masker nothing is masked.
func Masked(db DB, m *mask.Masker) Sight {
	if m == nil {
		return Clear(db)
	}
	return masked{db, m}
}

// Clear returns the database with personal data in the clear: for who may see them and asked for it, for files that
// mask by themselves, and for what nobody is shown.
func Clear(db DB) Sight { return unmasked{db} }

type unmasked struct{ DB }

func (unmasked) Masks() bool { return false }

func (masked) Masks() bool { return true }

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
		if err := maskInto(d, r.m); err != nil {
			return err
		}
	}
	return nil
}

// maskInto masks what a destination holds. One of a type that might hold a text in a way that is not known here is an
// error, not a leak.
func maskInto(dest any, m *mask.Masker) error {
	switch v := dest.(type) {
	case nil:
		return nil
	case *string: // most are
		*v = m.Shown(*v)
		return nil
	case *[]byte:
		if out, n := m.JSON(string(*v), nil); n > 0 {
			*v = []byte(out)
		}
		return nil
	case *any:
		*v = maskValue(*v, m)
		return nil
	}
	v := reflect.ValueOf(dest)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("what a column of type %T holds cannot be masked", dest)
	}
	return maskHeld(v.Elem(), m)
}

func maskHeld(v reflect.Value, m *mask.Masker) error {
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return nil
	case reflect.String:
		v.SetString(m.Shown(v.String()))
		return nil
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		held := reflect.New(v.Type().Elem()) // what it points to may be another's
		held.Elem().Set(v.Elem())
		v.Set(held)
		return maskHeld(held.Elem(), m)
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Array { // an id
			return nil
		}
		for i := range v.Len() {
			if err := maskHeld(v.Index(i), m); err != nil {
				return err
			}
		}
		return nil
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return nil
		}
		return maskFields(v, m)
	default:
	}
	return fmt.Errorf("what a column of type %s holds cannot be masked", v.Type())
}

// maskFields masks what a struct holds that JSON was read into.
func maskFields(v reflect.Value, m *mask.Masker) error {
	for i := range v.NumField() {
		if f := v.Field(i); f.CanSet() {
			if err := maskHeld(f, m); err != nil {
				return err
			}
		} else {
			return fmt.Errorf(
				"what a field %s of a column of type %s holds cannot be masked", v.Type().Field(i).Name, v.Type(),
			)
		}
	}
	return nil
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
