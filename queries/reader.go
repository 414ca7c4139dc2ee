package queries

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A reader is a login of the database for other programs, such as BI tools, that reads facts and nothing else.
const (
	readerMark = "reads conversations of Turnwise"

	limited = "_limited" // behind the name of a schema: the same tables, of the assistants that the login may see

	readersSQL = `
select r.rolname as name, coalesce(replace(s.nspname, '_limited', ''), '') as schema, coalesce(l.assistants, '{}') as assistants,
	case when s.nspname is null then has_table_privilege(r.oid, 'messages', 'select')
		else has_function_privilege(r.oid, format('%I.texts()', s.nspname), 'execute') end as texts
from pg_roles r
left join reader_limits l on l.name = r.rolname
left join pg_namespace s on s.nspname = any(@schemas::text[]) and has_schema_privilege(r.oid, s.oid, 'usage')
where shobj_description(r.oid, 'pg_authid') = @mark
	and (s.nspname is not null or has_column_privilege(r.oid, 'conversations', 'id', 'select'))
order by 1`
	readerRoleSQL = `select coalesce(shobj_description(oid, 'pg_authid'), '') from pg_roles where rolname = @name`

	// Each makes a statement that another name of a role needs.
	makeReaderSQL = `select format('create role %I login connection limit 10 password %L', @name::text, @verifier::text)
union all select format('comment on role %I is %L', @name::text, @mark::text)
union all select format('alter role %I set default_transaction_read_only = on', @name::text)
union all select format('alter role %I set statement_timeout = ''5min''', @name::text)
union all select format('alter role %I set idle_in_transaction_session_timeout = ''1min''', @name::text)`
	clearReaderSQL = `select format('revoke all on all tables in schema %I from %I', current_schema(), @name::text)
union all select format('revoke all on all sequences in schema %I from %I', current_schema(), @name::text)
union all select format('grant usage on schema %I to %I', current_schema(), @name::text)
union all select format('alter role %I set jit = off', @name::text) -- to compile what views upon views ask takes longer than to do it`
	grantReaderSQL = `
select format('grant select (%s) on %I to %I', string_agg(format('%I', a.attname), ', ' order by a.attnum), c.relname,
	@name::text)
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.oid = to_regclass(@table::text) and a.attname <> all(@without::text[])
group by c.relname`
	// What is made in the schema later is granted too: an upgrade makes its views anew.
	grantSchemaSQL = `
select unnest(array[
	format('grant usage on schema %I to %I', s.nspname, @name::text),
	format('grant select on all tables in schema %I to %I', s.nspname, @name::text),
	format('alter default privileges for role %I in schema %I grant select on tables to %I', o.rolname, s.nspname, @name::text),
	format('alter role %I set search_path = %I', @name::text, s.nspname),
	format('alter role %I set from_collapse_limit = 30', @name::text), -- views upon views are planned as a whole
	format('alter role %I set join_collapse_limit = 30', @name::text)])
from pg_namespace s
join pg_roles o on o.oid = s.nspowner
where s.nspname = @schema`
	grantTextsSQL = `
select unnest(array[
	format('grant execute on function %I.texts() to %I', s.nspname, @name::text),
	format('alter default privileges for role %I in schema %I grant execute on functions to %I', o.rolname, s.nspname, @name::text)])
from pg_namespace s
join pg_roles o on o.oid = s.nspowner
where s.nspname = @schema`
	leaveSchemaSQL = `
select unnest(array[
	format('revoke all on all tables in schema %I from %I', s.nspname, @name::text),
	format('revoke all on all functions in schema %I from %I', s.nspname, @name::text),
	format('alter default privileges for role %I in schema %I revoke all on tables from %I', o.rolname, s.nspname, @name::text),
	format('alter default privileges for role %I in schema %I revoke all on functions from %I', o.rolname, s.nspname, @name::text),
	format('revoke all on schema %I from %I', s.nspname, @name::text),
	format('alter role %I reset search_path', @name::text), format('alter role %I reset from_collapse_limit', @name::text),
	format('alter role %I reset join_collapse_limit', @name::text)])
from pg_namespace s
join pg_roles o on o.oid = s.nspowner
where s.nspname = any(@schemas::text[]) and has_schema_privilege(@name::text, s.oid, 'usage')`
	setLimitsSQL = `insert into reader_limits (name, assistants) values (@name, @assistants)
	on conflict (name) do update set assistants = excluded.assistants`
	clearLimitsSQL = `delete from reader_limits where name = @name`
	grantWholeSQL  = `select format('grant select on %I to %I', @table::text, @name::text)`
	dropReaderSQL  = `select format('grant %I to current_user', @name::text) union all
	select format('drop owned by %I', @name::text) union all select format('drop role %I', @name::text)`
)

// readable are the tables of a reader: those of figures without the columns that tell who it was or what was said, and
// those of texts.
var (
	readableFigures = map[string][]string{
		"assistants": nil, "environments": nil, "channels": nil, "versions": nil, "turns": nil, "flow_runs": nil,
		"flow_steps": nil, "patterns": nil, "markers": nil,
		"conversations": {"user_id", "session_id", "first_text", "details", "facets", "checkpoint"},
		"commands":      {"value", "detail"},
		"review_states": nil, "tags": nil, "conversation_tags": nil, "success_criteria": nil, "sources": nil,
		"ingest_minutes": nil, "event_types": nil, "conversation_persons": nil, "daily_figures": nil,
		"daily_flow_figures": nil, "agent_segments": nil,
		"state_changes": {"reason", "details"}, "turn_facts": {"entities", "details"}, "calls": {"error", "details"},
		"feedback": {"comment", "details"}, "scores": {"value", "explanation", "details"},
		"activities":   {"user_id", "properties", "error", "url", "details"},
		"agent_logins": {"name", "email", "details"},
	}
	readableTexts = []string{
		"conversations", "commands", "senders", "messages", "slots", "events", "event_payloads", "state_changes",
		"turn_facts", "calls", "feedback", "scores", "activities", "agent_logins", "journals", "user_names",
	}
)

// Reader is a login of the database for other programs.
type Reader struct {
	Name   string
	Schema string // of another product, that it reads; "" for our own tables

	// that it sees, in the tables of another product; none: all
	Assistants []string

	Texts bool // it also reads what was said, and by whom
}

// VendorSchemas are the schemas of other products.
var VendorSchemas = []string{"rasa_pro", "rasa_studio", "a8", "sentione"}

// readerSchemas are those that a login may read, with their forms for logins that see some assistants alone.
func readerSchemas() (all []string) {
	for _, schema := range VendorSchemas {
		all = append(all, schema, LimitedSchema(schema))
	}
	return all
}

// LimitedSchema is the schema with the same tables for logins that see some assistants alone.
func LimitedSchema(schema string) string { return schema + limited }

// ErrNoLimits says that a login of Turnwise's own tables sees all assistants.
var ErrNoLimits = errors.New("a login of Turnwise's own tables sees all assistants")

// ErrNotOurs says that a role of the name exists that is no reader.
var ErrNotOurs = errors.New("a role of this name exists that was not made as a reader")

// ErrMayNot says that whoever uses the database may not make logins.
var ErrMayNot = errors.New("this login of the database may not make roles")

// Readers returns the logins there are.
func Readers(ctx context.Context, db DB) ([]Reader, error) {
	rows, _ := db.Query(ctx, readersSQL, pgx.StrictNamedArgs{"mark": readerMark, "schemas": readerSchemas()})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Reader])
}

// SetReader makes a login, or gives one that exists what readers may read now. made tells whether it is new and the
// password its own.
func SetReader(ctx context.Context, tx pgx.Tx, r Reader, password string) (made bool, err error) {
	if r.Schema == "" && len(r.Assistants) > 0 {
		return false, ErrNoLimits
	}
	var mark string
	switch err := tx.QueryRow(ctx, readerRoleSQL, pgx.StrictNamedArgs{"name": r.Name}).Scan(&mark); {
	case errors.Is(err, pgx.ErrNoRows):
		made = true
		verifier, err := scram(password)
		if err == nil {
			err = execMade(ctx, tx, makeReaderSQL, pgx.StrictNamedArgs{
				"name": r.Name, "verifier": verifier, "mark": readerMark,
			})
		}
		if err != nil {
			return made, err
		}
	case err != nil:
		return made, err
	case mark != readerMark:
		return made, ErrNotOurs
	}
	if err := execMade(ctx, tx, clearReaderSQL, pgx.StrictNamedArgs{"name": r.Name}); err != nil {
		return made, err
	}
	if err := execMade(ctx, tx, leaveSchemaSQL, pgx.StrictNamedArgs{"name": r.Name, "schemas": readerSchemas()}); err != nil {
		return made, err
	}
	if _, err := tx.Exec(ctx, clearLimitsSQL, pgx.StrictNamedArgs{"name": r.Name}); err != nil {
		return made, err
	}
	if r.Schema != "" {
		args := pgx.StrictNamedArgs{"name": r.Name, "schema": r.Schema}
		if len(r.Assistants) > 0 {
			args["schema"] = LimitedSchema(r.Schema)
			if _, err := tx.Exec(ctx, setLimitsSQL, pgx.StrictNamedArgs{"name": r.Name, "assistants": r.Assistants}); err != nil {
				return made, err
			}
		}
		n, err := execMany(ctx, tx, grantSchemaSQL, args)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		if err != nil || !r.Texts {
			return made, err
		}
		return made, execMade(ctx, tx, grantTextsSQL, args)
	}
	for table, without := range readableFigures {
		if without == nil {
			without = []string{}
		}
		if err := execMade(ctx, tx, grantReaderSQL, pgx.StrictNamedArgs{
			"name": r.Name, "table": table, "without": without,
		}); err != nil {
			return made, err
		}
	}
	if r.Texts {
		for _, table := range readableTexts {
			if err := execMade(
				ctx, tx, grantWholeSQL, pgx.StrictNamedArgs{"name": r.Name, "table": table},
			); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// DropReader ends a login; ErrNotFound when there is none.
func DropReader(ctx context.Context, tx pgx.Tx, name string) error {
	var mark string
	if err := tx.QueryRow(
		ctx, readerRoleSQL, pgx.StrictNamedArgs{"name": name},
	).Scan(&mark); errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	} else if err != nil {
		return err
	}
	if mark != readerMark {
		return ErrNotOurs
	}
	if _, err := tx.Exec(ctx, clearLimitsSQL, pgx.StrictNamedArgs{"name": name}); err != nil {
		return err
	}
	return execMade(ctx, tx, dropReaderSQL, pgx.StrictNamedArgs{"name": name})
}

// execMade executes the statements that a query makes.
func execMade(ctx context.Context, tx pgx.Tx, sql string, args pgx.StrictNamedArgs) error {
	_, err := execMany(ctx, tx, sql, args)
	return err
}

// execMany does so too, and tells how many they were.
func execMany(ctx context.Context, tx pgx.Tx, sql string, args pgx.StrictNamedArgs) (n int, err error) {
	rows, _ := tx.Query(ctx, sql, args)
	made, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, err
	}
	for _, sql := range made {
		if _, err := tx.Exec(ctx, sql); err != nil {
			if e := (*pgconn.PgError)(nil); errors.As(err, &e) && e.Code == "42501" {
				return 0, fmt.Errorf("%w: %w", ErrMayNot, err)
			}
			return 0, err
		}
	}
	return len(made), nil
}

// scram returns what PostgreSQL stores of a password (RFC 5803), so that the password itself stands in no log of the
// server.
func scram(password string) (string, error) {
	const rounds = 4096
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	of := func(word string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(word))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(of("Client Key"))
	text := base64.StdEncoding.EncodeToString
	return "SCRAM-SHA-256$" + strconv.Itoa(rounds) + ":" + text(salt) + "$" + text(stored[:]) + ":" +
		text(of("Server Key")), nil
}
