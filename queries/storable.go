package queries

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const fillProbeSQL = `insert into disk_probe (filler) select sha512((g || clock_timestamp()::text)::bytea)
	from generate_series(1, 1000) as g`

// errFull is what a person can do something about.
var errFull = errors.New("the disk of the database is full")

// WhyUnstorable says in words for everybody why nothing can be stored.
func WhyUnstorable(err error) string {
	if errors.Is(err, errFull) {
		return errFull.Error()
	}
	return errUnstorable.Error()
}

// errUnstorable says that nothing can be stored; what it wraps is for logs alone, as it may name inner hosts.
var errUnstorable = errors.New("the database takes nothing at the moment")

// errTakenBack ends a transaction that is to leave nothing.
var errTakenBack = errors.New("taken back")

// Storable tells why nothing can be stored, as when the disk is full; nil when something can. It stores some kilobytes
// and takes them back.
func Storable(ctx context.Context, pool *pgxpool.Pool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, sql := range []string{LockTimeoutSQL, fillProbeSQL} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return errTakenBack
	})
	if errors.Is(err, errTakenBack) {
		return nil
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "53100" {
		return errFull
	}
	return fmt.Errorf("%w: %w", errUnstorable, err)
}
