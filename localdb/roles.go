package localdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// noSuchRole is PostgreSQL's error when somebody connects as a role that is not there.
const noSuchRole = "28000"

// renamer is a superuser for the moment in which the first one is renamed, as nobody may do that to himself.
const renamer = "turnwise_renamer"

// populate makes the owner and the database when they are missing.
func (s *Server) populate(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "drop role if exists "+renamer); err != nil {
		return err
	}
	role := "create role " + userName + " login"
	if s.cfg.Throwaway {
		role += " createdb createrole" // tests make databases of their own
	}
	for _, x := range []struct{ there, make string }{
		{"select exists (select from pg_roles where rolname = $1)", role},
		{
			"select exists (select from pg_database where datname = $1)",
			"create database " + database + " owner " + userName,
		},
	} {
		var there bool
		if err := conn.QueryRow(ctx, x.there, userName).Scan(&there); err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := conn.Exec(ctx, x.make); err != nil {
			return err
		}
	}
	return nil
}

// handOverSQL gives all that is the superuser's in a database to its new owner, but for what belongs to the system or
// an extension.
const handOverSQL = `
do $$
declare
	statement text;
begin
	for statement in
		select format('alter schema %I owner to ` + userName + `', n.nspname)
		from pg_namespace n
		where n.nspowner = '` + keeper + `'::regrole and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
		union all
		select format('alter table %s owner to ` + userName + `', c.oid::regclass)
		from pg_class c
		join pg_namespace n on n.oid = c.relnamespace
		where c.relowner = '` + keeper +
	`'::regrole and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
			and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and (d.deptype = 'e' or c.relkind = 'S' and d.deptype in ('a', 'i')))
		union all
		select format('alter routine %s owner to ` + userName + `', p.oid::regprocedure)
		from pg_proc p
		join pg_namespace n on n.oid = p.pronamespace
		where p.proowner = '` + keeper + `'::regrole and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
			and not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
		union all
		select format('alter type %s owner to ` + userName + `', t.oid::regtype)
		from pg_type t
		join pg_namespace n on n.oid = t.typnamespace
		left join pg_class c on c.oid = t.typrelid
		where t.typowner = '` + keeper +
	`'::regrole and (t.typtype in ('e', 'd', 'r') or c.relkind = 'c') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
			and not exists (select from pg_depend d where d.objid = t.oid and d.classid = 'pg_type'::regclass and d.deptype = 'e')
	loop
		execute statement;
	end loop;
end
$$`

// demote makes the superuser by whom everything was done before the keeper, and a role of the old name, that is none,
// the owner of the database.
func (s *Server) demote(ctx context.Context) (err error) {
	first, err := pgx.Connect(ctx, s.url(userName, "postgres"))
	if err != nil {
		return err
	}
	defer first.Close(ctx)
	var there, populated bool
	if err := first.QueryRow(
		ctx,
		"select exists (select from pg_roles where rolname = $1), exists (select from pg_database where datname = $2)",
		renamer, database,
	).Scan(&there, &populated); err != nil {
		return err
	}
	if !there {
		if _, err := first.Exec(ctx, "create role "+renamer+" superuser login"); err != nil {
			return err
		}
	}
	in, steps := "postgres", []string{
		"alter role " + userName + " rename to " + keeper, "create role " + userName + " login",
	}
	if populated {
		in, steps = database, append(steps, "alter database "+database+" owner to "+userName, handOverSQL)
	}
	conn, err := pgx.Connect(ctx, s.url(renamer, in))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, step := range steps {
			if _, err := tx.Exec(ctx, step); err != nil {
				return fmt.Errorf("%.60s: %w", step, err)
			}
		}
		return nil
	})
}
