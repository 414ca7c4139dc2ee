// Package queries holds every SQL statement of Turnwise. A query is a function that takes the database (or
// the caller's transaction) and typed values, and returns nouns of conversation and metric or row types of
// its own.
package queries

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"turnwise/conversation"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB is what a query needs: a pool, a connection or a transaction.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// ErrNotFound says that there is no such row.
var ErrNotFound = errors.New("not found")

// ErrLastAdmin says that nobody would be left to administer.
var ErrLastAdmin = errors.New("that is the last admin")

// ErrConflict says that a row with that name exists.
var ErrConflict = errors.New("exists already")

// Open opens a pool of at most size connections and waits up to 30 s for the server to answer.
func Open(ctx context.Context, url string, size int) (*pgxpool.Pool, error) {
	return open(ctx, url, size, "auto")
}

// OpenForPages opens a pool whose statements are planned for their values: the plan of a list depends on how
// common what it filters by is.
func OpenForPages(ctx context.Context, url string, size int) (*pgxpool.Pool, error) {
	return open(ctx, url, size, "force_custom_plan")
}

// silence is how long a server may be out of reach before its connections are given up: a network that drops
// packets says nothing by itself.
const silence = 12 * time.Second

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		Timeout:         5 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 3, Interval: silence / 6, Count: 4},
	}
	if strings.HasPrefix(network, "tcp") {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				// What was sent and is not acknowledged; keep-alive minds only idle connections. Where it is not known,
				// it is not needed.
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silence.Milliseconds()))
			})
		}
	}
	return d.DialContext(ctx, network, address)
}

const tcpUserTimeout = 0x12 // TCP_USER_TIMEOUT of Linux

func open(ctx context.Context, url string, size int, plans string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(size)
	cfg.ConnConfig.DialFunc = dial
	for name, seconds := range map[string]int{
		"tcp_keepalives_idle": 4, "tcp_keepalives_interval": 2, "tcp_keepalives_count": 4,
	} {
		// the server's side: a client that is gone must not hold its locks
		cfg.ConnConfig.RuntimeParams[name] = strconv.Itoa(seconds)
	}
	cfg.ConnConfig.RuntimeParams["tcp_user_timeout"] = strconv.Itoa(int(silence.Milliseconds()))
	cfg.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "60s" // the same for one that is frozen
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.ConnConfig.RuntimeParams["application_name"] = "turnwise"
	cfg.ConnConfig.RuntimeParams["jit"] = "off"
	cfg.ConnConfig.RuntimeParams["plan_cache_mode"] = plans
	cfg.AfterConnect = registerUUID
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		err = pool.Ping(ctx)
		if err == nil {
			return pool, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) || !Temporary(err) {
			pool.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Temporary tells errors that go away without a change of what was asked: the server is away, starting,
// full or busy, or another transaction was in the way.
func Temporary(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "40", "53", "55", "57", "58":
			return true
		}
		return Conflicting(err) || pg.Code == "25P02"
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || err != nil && pgconn.SafeToRetry(err)
}

// Conflicting tells that something was written meanwhile: another try, with fresh state, sees it.
func Conflicting(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "23505" || pg.Code == "40001" || pg.Code == "40P01") || NoPartition(err)
}

// NoPartition tells that a month's partitions were dropped since they were made.
func NoPartition(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23514" && strings.HasPrefix(pg.Message, "no partition of relation")
}

// BadData tells errors that some value of a batch caused.
func BadData(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || Conflicting(err) {
		return false
	}
	switch pg.Code[:2] {
	case "21", "22", "23", "54":
		return true
	}
	return false
}

// Damaged tells errors that say that tables or indexes are broken: no event is to blame.
func Damaged(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "XX001" || pg.Code == "XX002")
}

// BadValue tells errors that a value caused which somebody entered or asked for: it cannot be stored, or names what is
// not there.
func BadValue(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	return pg.Code[:2] == "22" || pg.Code[:2] == "54" || pg.Code == pgForeignKey || pg.Code == pgCheck
}

const (
	pgForeignKey = "23503"
	pgCheck      = "23514"
)

// Internal tells errors that the server itself should not have made; data may have brought them about.
func Internal(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code[:2] == "XX"
}

func Unique(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return ErrConflict
	}
	return err
}

// one reads a single row by field names and turns none into ErrNotFound.
func One[T any](rows pgx.Rows) (T, error) {
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return v, ErrNotFound
	}
	return v, err
}

// only returns the value of one row, or ErrNotFound.
func only[T any](rows pgx.Rows) (T, error) {
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return v, err
}

func UUIDs(ids []conversation.UUID) [][16]byte {
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}

const DeleteConversationsSQL = `
delete from conversations c
using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
where c.sender_id = k.sender_id and c.id = k.id`

// subject tells SQL a zero id as null.
func NullUUID(id conversation.UUID) any {
	if id == (conversation.UUID{}) {
		return nil
	}
	return id
}
