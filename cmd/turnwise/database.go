package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/compat"
	"turnwise/localdb"
	"turnwise/queries"
)

func (c *cli) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // one of the enumeration
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(c.stderr, o))
	}
	return slog.New(slog.NewTextHandler(c.stderr, o))
}

func (c *cli) dataDir() (string, error) {
	if c.DataDir != "" {
		return c.DataDir, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/turnwise", nil
	}
	if base := c.getenv("XDG_DATA_HOME"); base != "" {
		return filepath.Join(base, "turnwise"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("there is no home directory; set --data-dir")
	}
	return filepath.Join(home, ".local", "share", "turnwise"), nil
}

// databaseURL returns the configured database, or starts (or joins) the local one. stop ends what was started.
func (c *cli) databaseURL(ctx context.Context, log *slog.Logger) (url string, stop func(), err error) {
	if c.DatabaseURLFile != "" {
		b, err := os.ReadFile(c.DatabaseURLFile)
		if err != nil {
			return "", nil, fmt.Errorf("database URL: %w", err)
		}
		return strings.TrimSpace(string(b)), func() {}, nil
	}
	if c.DatabaseURL != "" {
		return c.DatabaseURL, func() {}, nil
	}
	dir, err := c.dataDir()
	if err != nil {
		return "", nil, err
	}
	server, err := localdb.Start(ctx, localdb.Config{Dir: dir, Bin: c.PostgresBin, Keep: true, Log: log})
	if err != nil {
		return "", nil, fmt.Errorf("local PostgreSQL: %w", err)
	}
	c.local = server
	return server.URL(), server.Stop, nil
}

// keeping hands on a pool of who may make logins: of a private database its superuser, else whoever the address names.
func (c *cli) keeping(ctx context.Context, pool *pgxpool.Pool, do func(*pgxpool.Pool) error) error {
	if c.local == nil {
		return do(pool)
	}
	keeper, err := queries.Open(ctx, c.local.KeeperURL(), 2)
	if err != nil {
		return err
	}
	defer keeper.Close()
	return do(keeper)
}

// alone makes sure that no other serve runs on the private database of the same data directory, whose end would be this
// one's too.
func (c *cli) alone() (release func(), err error) {
	if c.DatabaseURL != "" || c.DatabaseURLFile != "" {
		return func() {}, nil
	}
	dir, err := c.dataDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "serve.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf(
			"another turnwise serve runs on the data directory %s: stop it first, or give this one its own "+
				"--data-dir. Several servers share a database that TURNWISE_DATABASE_URL names",
			dir,
		)
	}
	return func() { lock.Close() }, nil
}

// open connects to the database and migrates it. The returned function closes what was opened.
func (c *cli) open(ctx context.Context, log *slog.Logger, size int) (*pgxpool.Pool, func(), error) {
	url, stop, err := c.databaseURL(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	pool, err := queries.Open(ctx, url, size)
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("connect to the database: %w", err)
	}
	done := func() {
		closePool(pool)
		stop()
	}
	if done, err := queries.Migrated(ctx, pool); err == nil && !done {
		if err := compat.MakeWay(ctx, pool); err != nil {
			log.WarnContext(ctx, "what other programs see stays while the database is migrated", "error", err)
		}
	}
	ran, err := queries.Migrate(ctx, pool)
	for deadline := time.Now().Add(30 * time.Second); queries.Temporary(err) && ctx.Err() == nil &&
		time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) { // it restarts just now
		ran, err = queries.Migrate(ctx, pool)
	}
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("migrate the database: %w", err)
	}
	if len(ran) > 0 {
		log.InfoContext(ctx, "migrated the database", "files", ran)
	}
	if err := compat.Apply(ctx, pool); err != nil && ctx.Err() == nil { // nothing else needs them
		log.WarnContext(ctx, "schemas of other products are as they were", "error", err)
	}
	return pool, done, nil
}

// why says why something failed: that this server is too old for the database, where that is so.
func why(ctx context.Context, pool *pgxpool.Pool, err error) error {
	if err == nil {
		return nil
	}
	return cmp.Or(outdated(ctx, pool), err)
}

// outdated returns queries.ErrOutdated where that is why something failed, else nil.
func outdated(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := queries.Outdated(ctx, pool); errors.Is(err, queries.ErrOutdated) {
		return err
	}
	return nil
}

// closePool closes the connections; of one that somebody holds it takes no notice for long, as the process ends anyway.
func closePool(pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(2 * time.Second):
	}
}

type migrateCmd struct{}

func (migrateCmd) Run(c *cli) error {
	_, done, err := c.open(c.ctx, c.logger(), 4)
	if err != nil {
		return err
	}
	done()
	_, err = fmt.Fprintln(c.stdout, "The schema is up to date.")
	return err
}
