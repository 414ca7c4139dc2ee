package queries

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
)

const tokenColumns = `select id, prefix, hash, name, role, coalesce(roles, array[role]) as roles, assistants, assistant, always, environment, most_events,
	most_bytes, created_at, created_by, expires_at, last_used_at, revoked_at from tokens `

const (
	tokenSQL = tokenColumns +
		`where prefix = @prefix and revoked_at is null and (expires_at is null or expires_at > @now)`
	tokensSQL      = tokenColumns + `order by created_at desc, id limit 1000`
	insertTokenSQL = `insert into tokens (id, prefix, hash, name, role, roles, assistants, assistant, always, environment,
	most_events, most_bytes, created_at, created_by, expires_at)
		values (@id, @prefix, @hash, @name, @role, @roles, @assistants, @assistant, @always, @environment, @most_events,
			@most_bytes, @at, @by, @expires)`
	revokeTokenSQL = `update tokens set revoked_at = @at where id = @id and revoked_at is null returning name`
	usedTokenSQL   = `update tokens set last_used_at = @at
	where id = @id and (last_used_at is null or last_used_at < @at::timestamptz - interval '1 minute')`
)

// TokenByPrefix returns a token that is in force, or ErrNotFound.
func TokenByPrefix(ctx context.Context, db DB, prefix string, now time.Time) (access.Token, error) {
	rows, _ := db.Query(ctx, tokenSQL, pgx.StrictNamedArgs{"prefix": prefix, "now": now})
	return One[access.Token](rows)
}

// TokenBySecret returns the token in force that a program shows, or ErrNotFound.
func TokenBySecret(ctx context.Context, db DB, secret string, now time.Time) (access.Token, error) {
	prefix, ok := access.Prefix(secret)
	if !ok {
		return access.Token{}, ErrNotFound
	}
	t, err := TokenByPrefix(ctx, db, prefix, now)
	if err != nil {
		return t, err
	}
	if !t.Is(secret) {
		return access.Token{}, ErrNotFound
	}
	return t, nil
}

// Tokens returns all tokens, newest first.
func Tokens(ctx context.Context, db DB) ([]access.Token, error) {
	rows, _ := db.Query(ctx, tokensSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[access.Token])
}

// AddToken stores a token.
func AddToken(ctx context.Context, db DB, t access.Token) error {
	_, err := db.Exec(ctx, insertTokenSQL, pgx.StrictNamedArgs{
		"id": t.ID, "prefix": t.Prefix, "hash": t.Hash, "name": t.Name, "role": t.Role, "roles": t.Roles, "assistants": t.Assistants,
		"assistant": t.Assistant, "always": t.Always,
		"environment": t.Environment, "most_events": t.MostEvents, "most_bytes": t.MostBytes, "at": t.CreatedAt,
		"by": t.CreatedBy, "expires": t.ExpiresAt,
	})
	return Unique(err)
}

// NewToken makes a token, in force for that many days (0: for ever), and returns its secret, which is kept nowhere.
func NewToken(ctx context.Context, db DB, t access.Token, days int) (secret string, err error) {
	if t, secret, err = t.Drawn(days); err != nil {
		return "", err
	}
	if t.ID == (conversation.UUID{}) {
		t.ID = NewID()
	}
	if err = AddToken(ctx, db, t); errors.Is(err, ErrConflict) {
		err = &metric.InputError{
			Field: "token",
			Msg:   "it was made already, and its secret shown then; if that is lost, revoke it and make another one",
		}
	}
	return secret, err
}

// RevokeToken ends a token at once and returns its name, or ErrNotFound.
func RevokeToken(ctx context.Context, db DB, id conversation.UUID, at time.Time) (name string, err error) {
	rows, _ := db.Query(ctx, revokeTokenSQL, pgx.StrictNamedArgs{"id": id, "at": at})
	return only[string](rows)
}

// TokenUsed notes the use of a token, once a minute.
func TokenUsed(ctx context.Context, db DB, id conversation.UUID, at time.Time) error {
	_, err := db.Exec(ctx, usedTokenSQL, pgx.StrictNamedArgs{"id": id, "at": at})
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
	or token_usage.events + excluded.events <= coalesce(@most_events::bigint, token_usage.events + excluded.events)
		and token_usage.bytes + excluded.bytes <= coalesce(@most_bytes::bigint, token_usage.bytes + excluded.bytes)
returning token_id`

// UseQuota takes what a token sends from what it may send in this minute, over all servers; false: it is too much. What
// is more than a minute allows is always too much.
func UseQuota(ctx context.Context, db DB, t access.Token, events, size int, now time.Time) (bool, error) {
	if t.MostEvents == nil && t.MostBytes == nil {
		return true, nil
	}
	if t.MostEvents != nil && events > int(*t.MostEvents) || t.MostBytes != nil && int64(size) > *t.MostBytes {
		return false, nil
	}
	err := Changed(ctx, db, useQuotaSQL, pgx.StrictNamedArgs{
		"id": t.ID, "minute": now.Truncate(time.Minute), "events": events, "bytes": size, "most_events": t.MostEvents,
		"most_bytes": t.MostBytes,
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
