// Package compat keeps the tables that other products document as views over ours: a schema each. A program that was
// written for them reads ours, without a second copy.
package compat

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/queries"
)

//go:embed *.sql *.columns examples
var files embed.FS

const (
	lockSQL = `select pg_advisory_xact_lock(7261902)`
	// The schema's comment ends with a hash of what it was made of.
	madeOfSQL = `select coalesce(obj_description(to_regnamespace(@schema), 'pg_namespace'), '')
where exists (select from pg_class where relnamespace = to_regnamespace(@schema) and relkind = 'v')`
	// Whoever may read a schema may read what is made in it next.
	dropSQL = `
select format('drop view if exists %I.%I', n.nspname, c.relname) || case when n.nspname = '` + seenSchema + `' then ' cascade' else '' end
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = @schema and c.relkind = 'v'
order by c.oid desc`
	dropFunctionsSQL = `
select format('drop function %s', p.oid::regprocedure)
from pg_proc p
where p.pronamespace = to_regnamespace(@schema)
order by p.oid desc`
	dropTypesSQL = `
select format('drop type %s', t.oid::regtype)
from pg_type t
where t.typnamespace = to_regnamespace(@schema) and t.typtype = 'e'`
)

// tries is how often it is tried to replace views that somebody reads, and lockTimeout for how long each time: a program
// with a transaction open must not hold up those that come after us.
const (
	tries       = 20
	lockTimeout = "500ms"
)

// Apply makes the schemas as this version has them, where they are others. Each is replaced as a whole or not at all.
func Apply(ctx context.Context, pool *pgxpool.Pool) error {
	seen, err := seenTables(ctx, pool)
	if err != nil {
		return err
	}
	var all []error
	limited := []made{{seenSchema, seen}} // at once: to replace the first removes what is made of it
	for _, schema := range queries.VendorSchemas {
		text, err := definition(schema, schema)
		if err != nil {
			return err
		}
		all = append(all, apply(ctx, pool, made{schema, text}))
		x := made{schema: queries.LimitedSchema(schema)}
		if x.text, err = definition(schema, x.schema); err != nil {
			return err
		}
		x.text = ofSeen(x.text, seen)
		limited = append(limited, x)
	}
	return errors.Join(append(all, apply(ctx, pool, limited...))...)
}

// made is a schema with the SQL that makes it.
type made struct{ schema, text string }

// bodies is how the body of an event e of a conversation c is joined to it, as b.body.
type bodies string

const (
	// An aggregate has one row, so it is not read where no column of it is asked for.
	bodyOfOne bodies = `left join lateral (
	select json_of(nullif(max(split_part(p.bodies, chr(30), e.pos + 1)), '')) as body,
		json_of(nullif(max(split_part(p.bodies, chr(30), e.pos + 1)), ''))::json -> 'metadata' as metadata
	from public.event_payloads p
	where p.sender_id = e.sender_id and p.conversation_id = e.conversation_id and p.part = e.part
		and p.at between c.started_at and c.last_at
) as b on true`
	// A bundle is taken apart once for all of its events: for who reads all of them.
	bodiesOfAll bodies = `left join (
	public.event_payloads p
	cross join lateral (select string_to_array(p.bodies, chr(30)) as bodies offset 0) as bundle
) on p.sender_id = e.sender_id and p.conversation_id = e.conversation_id and p.part = e.part
cross join lateral (
	select one.body, one.body::json -> 'metadata' as metadata
	from (select json_of(nullif(bundle.bodies[e.pos + 1], '')) as body offset 0) as one
	offset 0
) as b`
)

// source is the text of a file of SQL: :schema is the schema's name, :json_bodies and :bodies join the body of an event
// as JSON and as text.
func source(name, schema string, how bodies) (string, error) {
	text, err := files.ReadFile(name + ".sql")
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(
		":schema", schema, ":json_bodies", string(how), ":bodies", strings.ReplaceAll(string(how), "json_of", ""),
	).Replace(string(text)), nil
}

// definition is the SQL that makes the tables of a product in a schema.
func definition(product, schema string) (string, error) {
	var b strings.Builder
	for _, name := range []string{"shared", product} {
		text, err := source(name, schema, bodyOfOne)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	tables, err := Tables(product)
	if err != nil {
		return "", err
	}
	for _, t := range tables {
		name := pgx.Identifier{t.Name}.Sanitize()
		fmt.Fprintf(&b, "comment on view %s is %s;\n", name, quote(t.Meaning))
		for _, c := range t.Columns {
			fmt.Fprintf(&b, "comment on column %s.%s is %s;\n", name, pgx.Identifier{c.Name}.Sanitize(), quote(c.Meaning))
		}
	}
	return b.String(), nil
}

// quote writes a text of our own files as SQL.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// apply makes schemas: all of them or none.
func apply(ctx context.Context, pool *pgxpool.Pool, all ...made) error {
	for n := 1; ; n++ {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lockSQL); err != nil {
				return err
			}
			for _, x := range all {
				if err := replace(ctx, tx, x); err != nil {
					return err
				}
			}
			return nil
		})
		var pg *pgconn.PgError
		if err == nil || !errors.As(err, &pg) || pg.Code != "55P03" || n == tries {
			if err != nil {
				err = fmt.Errorf("schema %s: %w", all[len(all)-1].schema, err)
			}
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func replace(ctx context.Context, tx pgx.Tx, x made) error {
	sum := sha256.Sum256([]byte(x.text))
	comment := "Tables that another product documents, as views over those of Turnwise (" + hex.EncodeToString(sum[:8]) + ")"
	var have string
	if err := tx.QueryRow(ctx, madeOfSQL, pgx.StrictNamedArgs{"schema": x.schema}).Scan(&have); err != nil && !errors.Is(err, pgx.ErrNoRows) ||
		have == comment {
		return err
	}
	name := pgx.Identifier{x.schema}.Sanitize()
	for _, sql := range []string{
		"set local lock_timeout = '" + lockTimeout + "'", "create schema if not exists " + name,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for _, list := range []string{dropSQL, dropFunctionsSQL, dropTypesSQL} {
		rows, _ := tx.Query(ctx, list, pgx.StrictNamedArgs{"schema": x.schema})
		drops, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, sql := range drops {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
	}
	if _, err := tx.Exec(ctx, "set local search_path = "+name+", public"); err != nil {
		return err
	}
	if _, err := tx.Conn().PgConn().Exec(ctx, x.text).ReadAll(); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "comment on schema "+name+" is '"+comment+"'") // of our own letters
	return err
}
