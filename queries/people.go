package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// User is somebody who may sign in.
type User struct {
	ID           conversation.UUID
	Email        string
	Name         string
	Role         string
	PasswordHash string
	Disabled     bool
	CreatedAt    time.Time
	LastSeenAt   *time.Time
	Calls        int64 // notes that call the user and that he has not seen
}

const userColumns = `select id, email, name, role, password_hash, disabled, created_at, last_seen_at,
	(select count(*) from mentions m join notes n on n.id = m.note_id where m.user_id = users.id and m.seen_at is null and n.deleted_at is null) as calls
from users `

const (
	userByEmailSQL = userColumns + `where lower(email) = lower(@email)`
	userByIDSQL    = userColumns + `where id = @id`
	usersSQL       = userColumns + `order by lower(email) limit 10000`
	insertUserSQL  = `insert into users (id, email, name, role, password_hash, created_at) values (@id, @email, @name, @role, @hash, @at)`
	passwordSQL    = `update users set password_hash = @hash where lower(email) = lower(@email) returning id`
	roleSQL        = `update users set role = @role where lower(email) = lower(@email) returning id`
	disableSQL     = `update users set disabled = @disabled where lower(email) = lower(@email) returning id`
	seenSQL        = `update users set last_seen_at = @at where id = @id`
	adminsSQL      = `select count(*) from users where role = 'admin' and not disabled and lower(email) <> lower(@email)`
)

// UserByEmail returns a user, or ErrNotFound.
func UserByEmail(ctx context.Context, db DB, email string) (User, error) {
	rows, _ := db.Query(ctx, userByEmailSQL, pgx.StrictNamedArgs{"email": email})
	return one[User](rows)
}

// UserByID returns a user, or ErrNotFound.
func UserByID(ctx context.Context, db DB, id conversation.UUID) (User, error) {
	rows, _ := db.Query(ctx, userByIDSQL, pgx.StrictNamedArgs{"id": [16]byte(id)})
	return one[User](rows)
}

// Users returns all users by address.
func Users(ctx context.Context, db DB) ([]User, error) {
	rows, _ := db.Query(ctx, usersSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[User])
}

// AddUser makes a user; ErrConflict when the address is taken.
func AddUser(ctx context.Context, db DB, u User) error {
	_, err := db.Exec(ctx, insertUserSQL, pgx.StrictNamedArgs{"id": [16]byte(u.ID), "email": u.Email, "name": u.Name, "role": u.Role, "hash": u.PasswordHash, "at": u.CreatedAt})
	return unique(err)
}

// SetPassword, SetRole and SetDisabled change a user, or return ErrNotFound.
func SetPassword(ctx context.Context, db DB, email, hash string) error {
	return changed(ctx, db, passwordSQL, pgx.StrictNamedArgs{"email": email, "hash": hash})
}

// SetRole changes what a user may do.
func SetRole(ctx context.Context, db DB, email, role string) error {
	return changed(ctx, db, roleSQL, pgx.StrictNamedArgs{"email": email, "role": role})
}

// SetDisabled shuts a user out, or lets him in again.
func SetDisabled(ctx context.Context, db DB, email string, disabled bool) error {
	return changed(ctx, db, disableSQL, pgx.StrictNamedArgs{"email": email, "disabled": disabled})
}

func changed(ctx context.Context, db DB, sql string, args pgx.StrictNamedArgs) error {
	rows, _ := db.Query(ctx, sql, args)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err == nil && len(ids) == 0 {
		return ErrNotFound
	}
	return err
}

// OtherAdmins counts the admins beside one address that can sign in.
func OtherAdmins(ctx context.Context, db DB, email string) (int, error) {
	rows, _ := db.Query(ctx, adminsSQL, pgx.StrictNamedArgs{"email": email})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
}

// Seen notes that a user signed in.
func Seen(ctx context.Context, db DB, id conversation.UUID, at time.Time) error {
	_, err := db.Exec(ctx, seenSQL, pgx.StrictNamedArgs{"id": [16]byte(id), "at": at})
	return err
}

const expiredSessionsSQL = `delete from sessions where expiry < @now`

// DeleteExpiredSessions forgets sessions that nobody can use any more.
func DeleteExpiredSessions(ctx context.Context, db DB, now time.Time) error {
	_, err := db.Exec(ctx, expiredSessionsSQL, pgx.StrictNamedArgs{"now": now})
	return err
}

// Token lets a program send events.
type Token struct {
	ID          conversation.UUID
	Prefix      string
	Hash        []byte // SHA-256 of the whole token
	Name        string
	Assistant   string // for events that name none
	Environment string
	CreatedAt   time.Time
	CreatedBy   string
	LastUsedAt  *time.Time
	RevokedAt   *time.Time
}

const tokenColumns = `select id, prefix, hash, name, assistant, environment, created_at, created_by, last_used_at, revoked_at from tokens `

const (
	tokenSQL       = tokenColumns + `where prefix = @prefix and revoked_at is null`
	tokensSQL      = tokenColumns + `order by created_at desc, id limit 1000`
	insertTokenSQL = `insert into tokens (id, prefix, hash, name, assistant, environment, created_at, created_by) values (@id, @prefix, @hash, @name, @assistant, @environment, @at, @by)`
	revokeTokenSQL = `update tokens set revoked_at = @at where id = @id and revoked_at is null returning name`
	usedTokenSQL   = `update tokens set last_used_at = @at where id = @id and (last_used_at is null or last_used_at < @at::timestamptz - interval '1 minute')`
)

// TokenByPrefix returns a token that is not revoked, or ErrNotFound.
func TokenByPrefix(ctx context.Context, db DB, prefix string) (Token, error) {
	rows, _ := db.Query(ctx, tokenSQL, pgx.StrictNamedArgs{"prefix": prefix})
	return one[Token](rows)
}

// Tokens returns all tokens, newest first.
func Tokens(ctx context.Context, db DB) ([]Token, error) {
	rows, _ := db.Query(ctx, tokensSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Token])
}

// AddToken stores a token.
func AddToken(ctx context.Context, db DB, t Token) error {
	_, err := db.Exec(ctx, insertTokenSQL, pgx.StrictNamedArgs{
		"id": [16]byte(t.ID), "prefix": t.Prefix, "hash": t.Hash, "name": t.Name, "assistant": t.Assistant,
		"environment": t.Environment, "at": t.CreatedAt, "by": t.CreatedBy,
	})
	return unique(err)
}

// RevokeToken ends a token at once and returns its name, or ErrNotFound.
func RevokeToken(ctx context.Context, db DB, id conversation.UUID, at time.Time) (name string, err error) {
	rows, _ := db.Query(ctx, revokeTokenSQL, pgx.StrictNamedArgs{"id": [16]byte(id), "at": at})
	return only[string](rows)
}

// TokenUsed notes the use of a token, once a minute.
func TokenUsed(ctx context.Context, db DB, id conversation.UUID, at time.Time) error {
	_, err := db.Exec(ctx, usedTokenSQL, pgx.StrictNamedArgs{"id": [16]byte(id), "at": at})
	return err
}
