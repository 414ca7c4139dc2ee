package queries

import (
	"context"
	"database/sql"

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
	return goose.NewProvider(goose.DialectPostgres, db, migrations.FS, append(more, goose.WithGoMigrations(goMigrations(pool)...))...)
}

// Migrate brings the schema up to date and returns the names of the files it ran. Any number of starting
// servers may call it at once: they wait for each other up to five minutes.
func Migrate(ctx context.Context, pool *pgxpool.Pool) (ran []string, err error) {
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
