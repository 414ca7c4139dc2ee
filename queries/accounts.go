package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
)

const userColumns = `select id, email, name, role, assistants, transcripts, personal, password_hash, issuer, subject,
	second_factor, second_step, disabled, revision, created_at,
	greatest(last_seen_at, (select max(s.seen_at) from account_sessions s where s.account_id = accounts.id)) as
		last_seen_at,
	(select count(*) from mentions m join notes n on n.id = m.note_id where m.account_id = accounts.id
		and m.seen_at is null and n.deleted_at is null and (accounts.assistants is null or exists ( select
			from conversations c join assistants a on a.id = c.assistant_id where c.sender_id = n.sender_id
				and c.id = n.conversation_id and a.name = any(accounts.assistants)))) as mentions
from accounts `

const (
	userByEmailSQL   = userColumns + `where lower(email) = lower(@email)`
	userByIDSQL      = userColumns + `where id = @id`
	userBySubjectSQL = userColumns + `where issuer = @issuer and subject = @subject`
	userOfSessionSQL = `with seen as (update account_sessions set seen_at = @now
	where id = @session and seen_at < @now::timestamptz - interval '1 minute') ` + userColumns + `where id =
	(select account_id from account_sessions where id = @session)`
	usersSQL      = userColumns + `order by lower(email) limit 10000`
	insertUserSQL = `
insert into accounts (id, email, name, role, assistants, transcripts, personal, password_hash, issuer, subject,
	created_at)
values (@id, @email, @name, @role, @assistants, @transcripts, @personal, @hash, @issuer, @subject, @at)`
	changeUserSQL = `
update accounts
set name = @name, role = @role, assistants = @assistants, transcripts = @transcripts, personal = @personal,
	disabled = @disabled, issuer = @issuer, subject = @subject, revision = revision + 1
where id = @id and revision = @revision
returning id`
	passwordSQL  = `update accounts set password_hash = @hash where id = @id returning id`
	seenSQL      = `update accounts set last_seen_at = @at where id = @id`
	lockAdminSQL = `select id from accounts where role = 'admin' and not disabled
	and (password_hash <> '' or subject is not null) order by id for update`
	secondSQL = `update accounts set second_factor = @secret, second_step = 0 where id = @id returning id`
	stepSQL   = `update accounts set second_step = @step where id = @id and second_step < @step returning id`
)

// UserByEmail returns a user, or ErrNotFound.
func AccountByEmail(ctx context.Context, db DB, email string) (access.Account, error) {
	rows, _ := db.Query(ctx, userByEmailSQL, pgx.StrictNamedArgs{"email": email})
	return One[access.Account](rows)
}

// UserByID returns a user, or ErrNotFound.
func AccountByID(ctx context.Context, db DB, id conversation.UUID) (access.Account, error) {
	rows, _ := db.Query(ctx, userByIDSQL, pgx.StrictNamedArgs{"id": id})
	return One[access.Account](rows)
}

// UserBySubject returns who signs in by an issuer, or ErrNotFound.
func AccountBySubject(ctx context.Context, db DB, issuer, subject string) (access.Account, error) {
	rows, _ := db.Query(ctx, userBySubjectSQL, pgx.StrictNamedArgs{"issuer": issuer, "subject": subject})
	return One[access.Account](rows)
}

// UserOfSession returns whose session it is, and notes that it is in use; ErrNotFound for one that is over.
func AccountOfSession(ctx context.Context, db DB, session conversation.UUID, now time.Time) (access.Account, error) {
	rows, _ := db.Query(ctx, userOfSessionSQL, pgx.StrictNamedArgs{"session": session, "now": now})
	return One[access.Account](rows)
}

// Users returns all users by address.
func Accounts(ctx context.Context, db DB) ([]access.Account, error) {
	rows, _ := db.Query(ctx, usersSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[access.Account])
}

// AddUser makes a user; ErrConflict when the address is taken.
func AddAccount(ctx context.Context, db DB, u access.Account) error {
	_, err := db.Exec(ctx, insertUserSQL, pgx.StrictNamedArgs{
		"id": u.ID, "email": u.Email, "name": u.Name, "role": u.Role, "assistants": u.Assistants,
		"transcripts": u.Transcripts, "personal": u.Personal, "hash": u.PasswordHash,
		"issuer": u.Issuer, "subject": u.Subject, "at": u.CreatedAt,
	})
	return Unique(err)
}

// ChangeUser keeps what a user is and may; ErrNotFound when somebody changed the user meanwhile, ErrLastAdmin when
// nobody would be left to administer.
func ChangeAccount(ctx context.Context, tx pgx.Tx, u access.Account) error {
	rows, _ := tx.Query(ctx, lockAdminSQL)
	admins, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return err
	}
	if len(admins) == 1 && admins[0] == [16]byte(u.ID) && (u.Role != "admin" || u.Disabled) {
		return ErrLastAdmin
	}
	return Changed(ctx, tx, changeUserSQL, pgx.StrictNamedArgs{
		"id": u.ID, "name": u.Name, "role": u.Role, "assistants": u.Assistants, "transcripts": u.Transcripts,
		"personal": u.Personal, "disabled": u.Disabled,
		"issuer": u.Issuer, "subject": u.Subject, "revision": u.Revision,
	})
}

// SetPassword changes a user's password and ends the user's sessions and links, or returns ErrNotFound.
func SetPassword(ctx context.Context, tx pgx.Tx, id conversation.UUID, hash string) error {
	if err := Changed(ctx, tx, passwordSQL, pgx.StrictNamedArgs{"id": id, "hash": hash}); err != nil {
		return err
	}
	if err := ForgetLinks(ctx, tx, id); err != nil {
		return err
	}
	return EndSessions(ctx, tx, id, NoSession)
}

// SetSecondFactor keeps the sealed secret of one-time codes; nil for none.
func SetSecondFactor(ctx context.Context, db DB, id conversation.UUID, sealed []byte) error {
	return Changed(ctx, db, secondSQL, pgx.StrictNamedArgs{"id": id, "secret": sealed})
}

// UseStep notes that a one-time code was used; ErrNotFound when it or a later one was used before.
func UseStep(ctx context.Context, db DB, id conversation.UUID, step int64) error {
	return Changed(ctx, db, stepSQL, pgx.StrictNamedArgs{"id": id, "step": step})
}

func Changed(ctx context.Context, db DB, sql string, args pgx.StrictNamedArgs) error {
	rows, _ := db.Query(ctx, sql, args)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err == nil && len(ids) == 0 {
		return ErrNotFound
	}
	return err
}

// Seen notes that a user signed in.
func TouchLastSeen(ctx context.Context, db DB, id conversation.UUID, at time.Time) error {
	_, err := db.Exec(ctx, seenSQL, pgx.StrictNamedArgs{"id": id, "at": at})
	return err
}
