package queries

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// Token lets a program send events, or read.
type Token struct {
	ID          conversation.UUID
	Prefix      string
	Hash        []byte // SHA-256 of the whole token
	Name        string
	Role        string   // ingest, analytics_viewer, analytics_admin or admin
	Assistants  []string // of which it may send or read; nil: all
	Assistant   string   // of ingest: for events that name none
	Always      bool     // all its events are Assistant's, whatever they name
	Environment string
	MostEvents  *int32 // that it may send in a minute; nil: any number
	MostBytes   *int64 // likewise, before compression
	CreatedAt   time.Time
	CreatedBy   string
	ExpiresAt   *time.Time // nil: never
	LastUsedAt  *time.Time
	RevokedAt   *time.Time
}

const tokenColumns = `select id, prefix, hash, name, role, assistants, assistant, always, environment, most_events, most_bytes, created_at, created_by, expires_at, last_used_at, revoked_at from tokens `

const (
	tokenSQL       = tokenColumns + `where prefix = @prefix and revoked_at is null and (expires_at is null or expires_at > @now)`
	tokensSQL      = tokenColumns + `order by created_at desc, id limit 1000`
	insertTokenSQL = `insert into tokens (id, prefix, hash, name, role, assistants, assistant, always, environment, most_events, most_bytes, created_at, created_by, expires_at) values (@id, @prefix, @hash, @name, @role, @assistants, @assistant, @always, @environment, @most_events, @most_bytes, @at, @by, @expires)`
	revokeTokenSQL = `update tokens set revoked_at = @at where id = @id and revoked_at is null returning name`
	usedTokenSQL   = `update tokens set last_used_at = @at where id = @id and (last_used_at is null or last_used_at < @at::timestamptz - interval '1 minute')`
)

// TokenByPrefix returns a token that is in force, or ErrNotFound.
func TokenByPrefix(ctx context.Context, db DB, prefix string, now time.Time) (Token, error) {
	rows, _ := db.Query(ctx, tokenSQL, pgx.StrictNamedArgs{"prefix": prefix, "now": now})
	return one[Token](rows)
}

// TokenBySecret returns the token in force that a program shows, or ErrNotFound.
func TokenBySecret(ctx context.Context, db DB, secret string, now time.Time) (Token, error) {
	prefix, _, ok := strings.Cut(secret, ".")
	if !ok || len(secret) > 200 || !utf8.ValidString(prefix) || strings.ContainsRune(prefix, 0) {
		return Token{}, ErrNotFound
	}
	t, err := TokenByPrefix(ctx, db, prefix, now)
	if err != nil {
		return t, err
	}
	if sum := sha256.Sum256([]byte(secret)); subtle.ConstantTimeCompare(sum[:], t.Hash) != 1 {
		return Token{}, ErrNotFound
	}
	return t, nil
}

// InForce tells whether the token may be used.
func (t Token) InForce(now time.Time) bool {
	return t.RevokedAt == nil && (t.ExpiresAt == nil || t.ExpiresAt.After(now))
}

// Tokens returns all tokens, newest first.
func Tokens(ctx context.Context, db DB) ([]Token, error) {
	rows, _ := db.Query(ctx, tokensSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Token])
}

// AddToken stores a token.
func AddToken(ctx context.Context, db DB, t Token) error {
	_, err := db.Exec(ctx, insertTokenSQL, pgx.StrictNamedArgs{
		"id": [16]byte(t.ID), "prefix": t.Prefix, "hash": t.Hash, "name": t.Name, "role": t.Role, "assistants": t.Assistants, "assistant": t.Assistant, "always": t.Always,
		"environment": t.Environment, "most_events": t.MostEvents, "most_bytes": t.MostBytes, "at": t.CreatedAt, "by": t.CreatedBy, "expires": t.ExpiresAt,
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

const useQuotaSQL = `
insert into token_usage (token_id, minute, events, bytes)
values (@id, @minute, @events, @bytes)
on conflict (token_id) do update
set minute = excluded.minute,
	events = excluded.events + case when token_usage.minute = excluded.minute then token_usage.events else 0 end,
	bytes = excluded.bytes + case when token_usage.minute = excluded.minute then token_usage.bytes else 0 end
where token_usage.minute <> excluded.minute
	or token_usage.events + excluded.events <= coalesce(@most_events::bigint, token_usage.events + excluded.events) and token_usage.bytes + excluded.bytes <= coalesce(@most_bytes::bigint, token_usage.bytes + excluded.bytes)
returning token_id`

// UseQuota takes what a token sends from what it may send in this minute, over all servers; false: it is too much. What is more than a minute
// allows is always too much.
func UseQuota(ctx context.Context, db DB, t Token, events, size int, now time.Time) (bool, error) {
	if t.MostEvents == nil && t.MostBytes == nil {
		return true, nil
	}
	if t.MostEvents != nil && events > int(*t.MostEvents) || t.MostBytes != nil && int64(size) > *t.MostBytes {
		return false, nil
	}
	err := changed(ctx, db, useQuotaSQL, pgx.StrictNamedArgs{"id": [16]byte(t.ID), "minute": now.Truncate(time.Minute), "events": events, "bytes": size, "most_events": t.MostEvents, "most_bytes": t.MostBytes})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
