package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const enumsSQL = `
select format('create type %I.%I as enum (%s);', n.nspname, t.typname, string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder))
from pg_type t
join pg_namespace n on n.oid = t.typnamespace
join pg_enum e on e.enumtypid = t.oid
where n.nspname = @schema
group by n.nspname, t.typname
order by t.typname`

// Dump writes a schema's tables as SQL that psql makes tables of: all as they were at one moment. It returns how many
// rows they have.
func Dump(ctx context.Context, pool *pgxpool.Pool, schema string, w io.Writer) (rows int64, err error) {
	tables, err := Tables(schema)
	if err != nil {
		return 0, err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	err = pgx.BeginTxFunc(ctx, conn.Conn(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		// All of a schema is read: what helps those who ask for a little does not help here.
		if _, err := tx.Exec(ctx, `set local jit = off; set local statement_timeout = 0; set local time zone 'UTC'; set local datestyle = 'ISO'; set local intervalstyle = 'postgres'; set local extra_float_digits = 1; set local work_mem = '128MB';
			set local enable_nestloop = off; set local max_parallel_workers_per_gather = 2; set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0;
			 set local enable_memoize = off; set local search_path = `+pgx.Identifier{schema}.Sanitize()+`, public`); err != nil {
			return err
		}
		text, err := source(schema, schema, bodiesOfAll)
		if err != nil {
			return err
		}
		// The server reads what was said. Said so, the rows can be made by several processes.
		text = strings.NewReplacer("(select texts_shown())", "true", "texts_shown()", "true").Replace(text)
		found, _ := tx.Query(ctx, enumsSQL, pgx.StrictNamedArgs{"schema": schema})
		enums, err := pgx.CollectRows(found, pgx.RowTo[string])
		if err != nil {
			return err
		}
		head := fmt.Sprintf("-- The schema %s, for psql.\nset client_encoding = 'UTF8';\nset standard_conforming_strings = on;\nset datestyle = 'ISO';\nset time zone 'UTC';\ncreate schema %[1]s;\n%s\n", schema, strings.Join(enums, "\n"))
		if _, err := io.WriteString(w, head); err != nil {
			return err
		}
		for _, t := range tables {
			n, err := dumpTable(ctx, tx, schema, text, t, w)
			if err != nil {
				return fmt.Errorf("%s.%s: %w", schema, t.Name, err)
			}
			rows += n
		}
		return nil
	})
	return rows, err
}

func dumpTable(ctx context.Context, tx pgx.Tx, schema, text string, t Table, w io.Writer) (rows int64, err error) {
	name := pgx.Identifier{schema, t.Name}.Sanitize()
	if t.Like != "" {
		_, err := fmt.Fprintf(w, "\ncreate view %s as select * from %s;\n", name, pgx.Identifier{schema, t.Like}.Sanitize())
		return 0, err
	}
	var made, listed []string
	var comments strings.Builder
	fmt.Fprintf(&comments, "comment on table %s is %s;\n", name, quote(t.Meaning))
	for _, c := range t.Columns {
		column := pgx.Identifier{c.Name}.Sanitize()
		def := "\t" + column + " " + c.Type
		if !c.Null {
			def += " not null"
		}
		made, listed = append(made, def), append(listed, column)
		fmt.Fprintf(&comments, "comment on column %s.%s is %s;\n", name, column, quote(c.Meaning))
	}
	list := strings.Join(listed, ", ")
	if _, err := fmt.Fprintf(
		w, "\ncreate table %s (\n%s\n);\n%scopy %s (%s) from stdin;\n", name, strings.Join(made, ",\n"), comments.String(), name, list,
	); err != nil {
		return 0, err
	}
	_, query, _ := strings.Cut(text, "create view "+view(t.Name)+" as\n")
	query, _, ok := strings.Cut(query, ";\n")
	if !ok {
		return 0, errors.New("it has no definition")
	}
	tag, err := tx.Conn().PgConn().CopyTo(ctx, w, fmt.Sprintf("copy (select %s from (%s) as x) to stdout", list, query))
	if err != nil {
		return 0, err
	}
	_, err = io.WriteString(w, "\\.\n")
	return tag.RowsAffected(), err
}

// view is how a file writes the name of a view.
func view(name string) string {
	if strings.ToLower(name) != name || name == "user" {
		return pgx.Identifier{name}.Sanitize()
	}
	return name
}
