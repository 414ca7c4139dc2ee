package queries

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"turnwise/migrations"
)

// goMigrations are those that are no SQL of ours: River's tables, at a fixed version each.
func goMigrations(pool *pgxpool.Pool) []*goose.Migration {
	river := func(version int) *goose.GoFunc {
		return &goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
			m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
			if err != nil {
				return err
			}
			_, err = m.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: version})
			return err
		}}
	}
	return []*goose.Migration{goose.NewGoMigration(7, river(8), nil)}
}

func migrator(pool *pgxpool.Pool, db *sql.DB, more ...goose.ProviderOption) (*goose.Provider, error) {
	return goose.NewProvider(
		goose.DialectPostgres, db, migrations.FS, append(more, goose.WithGoMigrations(goMigrations(pool)...))...,
	)
}

// schema is the newest migration that changed what was there: programs from before it cannot work with the database.
// Migrations since then only add.
const schema = 46

// ErrOutdated says that a newer version has changed the tables in a way that this one does not know.
var ErrOutdated = errors.New(
	"a newer version of Turnwise has changed the tables of this database: replace this one by it",
)

const knowsSchemaSQL = `select to_regprocedure('oldest_schema()') is not null`

// Outdated returns ErrOutdated where a newer version has changed the tables.
func Outdated(ctx context.Context, pool *pgxpool.Pool) error {
	var known bool
	if err := pool.QueryRow(ctx, knowsSchemaSQL).Scan(&known); err != nil || !known {
		return err
	}
	var oldest int
	err := pool.QueryRow(ctx, `select oldest_schema()`).Scan(&oldest)
	if err == nil && oldest > schema {
		err = ErrOutdated
	}
	return err
}

// Migrate brings the schema up to date and returns the names of the files it ran. Any number of starting
// servers may call it at once: they wait for each other up to five minutes. ErrOutdated says that a
// newer version was here.
func Migrate(ctx context.Context, pool *pgxpool.Pool) (ran []string, err error) {
	if err := Outdated(ctx, pool); err != nil {
		return nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, err
	}
	provider, err := migrator(pool, db, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		name := r.Source.Path
		if name == "" {
			name = "tables of River"
		}
		ran = append(ran, name)
	}
	return ran, err
}

// Migrated tells whether the schema is at the version of this binary.
func Migrated(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := migrator(pool, db)
	if err != nil {
		return false, err
	}
	pending, err := provider.HasPending(ctx)
	return !pending, err
}
