package queries

import (
	"context"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
)

// Session is a place where a user is signed in.
type Session struct {
	ID        conversation.UUID
	AccountID conversation.UUID
	BegunAt   time.Time
	SeenAt    time.Time
	Address   string
	Agent     string // what the browser says it is
}

// NoSession is the id that no session has.
var NoSession conversation.UUID

const (
	insertSessionSQL = `insert into account_sessions (id, account_id, begun_at, seen_at, address, agent)
	values (@id, @user, @at, @at, @address, @agent)`
	sessionsSQL = `select id, account_id, begun_at, seen_at, address, agent from account_sessions
	where account_id = @user and seen_at > @since order by seen_at desc, id limit 100`
	endSessionSQL    = `delete from account_sessions where account_id = @user and id = @id returning id`
	endSessionsSQL   = `delete from account_sessions where account_id = @user and id <> @but`
	endAllSQL        = `delete from account_sessions where id <> @but`
	oldSessionsSQL   = `delete from account_sessions where seen_at < @before`
	expiredLoginsSQL = `delete from sessions where expiry < @now`
	oldLinksSQL      = `delete from account_links where expires_at < @now`

	insertLinkSQL = `insert into account_links (hash, account_id, kind, created_at, expires_at)
	values (@hash, @user, @kind, @at, @expires)`
	linkSQL        = `select account_id, kind from account_links where hash = @hash and expires_at > @now`
	useLinkSQL     = `delete from account_links where hash = @hash and expires_at > @now returning account_id`
	forgetLinksSQL = `delete from account_links where account_id = @user`

	insertCodesSQL = `insert into recovery_codes (account_id, hash) select @user, h from unnest(@hashes::bytea[]) h`
	forgetCodesSQL = `delete from recovery_codes where account_id = @user`
	useCodeSQL     = `delete from recovery_codes where account_id = @user and hash = @hash returning account_id`
	failedCodesSQL = `select count(*) from audit_log where act = 'sign-in.failed' and actor = @email and at > @since
	and after->>'by' = 'code'`
	triedSQL = `
select
	(select count(*) from audit_log where act = 'sign-in.failed' and actor = @email and at > @since
		and after->>'by' = 'password' and after->>'account' = @account)::int as failed,
	exists (select from audit_log where act = 'sign-in.done' and actor = @email and at > @long_since
		and (address = @address or address ~ '^[0-9a-fA-F:]+$' and address::inet <<= nullif(@network, '')::cidr)) as
			known`
	countCodesSQL = `select count(*) from recovery_codes where account_id = @user`
)

// AddSession notes that a user signed in somewhere.
func AddSession(ctx context.Context, db DB, s Session) error {
	_, err := db.Exec(ctx, insertSessionSQL, pgx.StrictNamedArgs{
		"id": s.ID, "user": s.AccountID, "at": s.BegunAt, "address": s.Address, "agent": s.Agent,
	})
	return err
}

// Sessions returns where a user is signed in and was active since a time, the last first.
func Sessions(ctx context.Context, db DB, user conversation.UUID, since time.Time) ([]Session, error) {
	rows, _ := db.Query(ctx, sessionsSQL, pgx.StrictNamedArgs{"user": user, "since": since})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Session])
}

// EndSession ends one session of a user, or returns ErrNotFound.
func EndSession(ctx context.Context, db DB, user, id conversation.UUID) error {
	return Changed(ctx, db, endSessionSQL, pgx.StrictNamedArgs{"user": user, "id": id})
}

// EndSessions ends a user's sessions but for one.
func EndSessions(ctx context.Context, db DB, user, but conversation.UUID) error {
	_, err := db.Exec(ctx, endSessionsSQL, pgx.StrictNamedArgs{"user": user, "but": but})
	return err
}

// EndAllSessions ends everybody's sessions but for one, and returns how many.
func EndAllSessions(ctx context.Context, db DB, but conversation.UUID) (int64, error) {
	tag, err := db.Exec(ctx, endAllSQL, pgx.StrictNamedArgs{"but": but})
	return tag.RowsAffected(), err
}

// ForgetLogins forgets sessions that nobody can use any more, and links that have expired.
func ForgetLogins(ctx context.Context, db DB, now, before time.Time) error {
	for sql, args := range map[string]pgx.StrictNamedArgs{
		expiredLoginsSQL: {"now": now}, oldLinksSQL: {"now": now}, oldSessionsSQL: {"before": before},
	} {
		if _, err := db.Exec(ctx, sql, args); err != nil {
			return err
		}
	}
	return nil
}

// AddLink keeps a link, by its hash.
func AddLink(ctx context.Context, db DB, hash []byte, l access.Link, now, expires time.Time) error {
	_, err := db.Exec(ctx, insertLinkSQL, pgx.StrictNamedArgs{
		"hash": hash, "user": l.AccountID, "kind": l.Kind, "at": now, "expires": expires,
	})
	return err
}

// NewLink makes a link for a user, and returns its secret part, which is kept nowhere.
func NewLink(ctx context.Context, db DB, user conversation.UUID, kind string, now time.Time) (string, error) {
	key, hash := access.NewKey()
	l := access.Link{AccountID: user, Kind: kind}
	return key, AddLink(ctx, db, hash, l, now, now.Add(l.Life()))
}

// LinkByHash returns a link that is in force, or ErrNotFound.
func LinkByHash(ctx context.Context, db DB, hash []byte, now time.Time) (access.Link, error) {
	rows, _ := db.Query(ctx, linkSQL, pgx.StrictNamedArgs{"hash": hash, "now": now})
	return One[access.Link](rows)
}

// UseLink uses a link up, or returns ErrNotFound when it was.
func UseLink(ctx context.Context, db DB, hash []byte, now time.Time) error {
	return Changed(ctx, db, useLinkSQL, pgx.StrictNamedArgs{"hash": hash, "now": now})
}

// ForgetLinks takes a user's links out of force.
func ForgetLinks(ctx context.Context, db DB, user conversation.UUID) error {
	_, err := db.Exec(ctx, forgetLinksSQL, pgx.StrictNamedArgs{"user": user})
	return err
}

// SetRecoveryCodes replaces a user's recovery codes, by their hashes.
func SetRecoveryCodes(ctx context.Context, db DB, user conversation.UUID, hashes [][]byte) error {
	if _, err := db.Exec(ctx, forgetCodesSQL, pgx.StrictNamedArgs{"user": user}); err != nil {
		return err
	}
	_, err := db.Exec(ctx, insertCodesSQL, pgx.StrictNamedArgs{"user": user, "hashes": hashes})
	return err
}

// UseRecoveryCode uses a code up, or returns ErrNotFound.
func UseRecoveryCode(ctx context.Context, db DB, user conversation.UUID, hash []byte) error {
	return Changed(ctx, db, useCodeSQL, pgx.StrictNamedArgs{"user": user, "hash": hash})
}

// RecoveryCodes counts the codes that are left.
func RecoveryCodes(ctx context.Context, db DB, user conversation.UUID) (int64, error) {
	rows, _ := db.Query(ctx, countCodesSQL, pgx.StrictNamedArgs{"user": user})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}

// FailedCodes counts the wrong codes of a user since a time, from wherever they came.
func FailedCodes(ctx context.Context, db DB, email string, since time.Time) (int, error) {
	rows, _ := db.Query(ctx, failedCodesSQL, pgx.StrictNamedArgs{"email": email, "since": since})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
}

// Tried is what is known of who signs in as a user from an address.
type Tried struct {
	Failed int  // wrong passwords, from wherever
	Known  bool // the user has signed in from there before
}

// network is that of an address of IPv6, of which a client has as many as it likes; "" of others.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is6() || a.Is4In6() {
		return ""
	}
	p, _ := a.WithZone("").Prefix(64) // of 64 bits there always is one
	return p.String()
}

// Tries tells how often the password of an account, known or not, was wrong since a time, and whether its user has
// signed in from an address since another. The account is what was typed, told by a pseudonym.
func Tries(ctx context.Context, db DB, email, account, address string, since, longSince time.Time) (Tried, error) {
	rows, _ := db.Query(ctx, triedSQL, pgx.StrictNamedArgs{
		"email": email, "account": account, "address": address, "network": network(address), "since": since,
		"long_since": longSince,
	})
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Tried])
}
