package compat_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"turnwise/queries"
)

// What Grafana's and Metabase's editors ask to list what a login sees.
const (
	grafanaTables = `
select case
	when quote_ident(table_schema) in (
		select case when trim(s[i]) = '"$user"' then user else trim(s[i]) end
		from generate_series(array_lower(string_to_array(current_setting('search_path'), ','), 1), array_upper(string_to_array(current_setting('search_path'), ','), 1)) as i,
			string_to_array(current_setting('search_path'), ',') as s)
	then quote_ident(table_name)
	else quote_ident(table_schema) || '.' || quote_ident(table_name)
	end as "table"
from information_schema.tables
where quote_ident(table_schema) not in ('information_schema', 'pg_catalog')
order by 1`
	grafanaColumns = `
select quote_ident(column_name) as "column", data_type as "type"
from information_schema.columns
where quote_ident(table_schema) = current_schema() and quote_ident(table_name) = quote_ident($1)`
	metabaseTables = `
select t.name
from (select schemaname, tablename as name from pg_catalog.pg_tables union select schemaname, viewname from pg_catalog.pg_views
	union select schemaname, matviewname from pg_catalog.pg_matviews) as t
where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema' and pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage')
	and (pg_catalog.has_table_privilege(current_user, quote_ident(t.schemaname) || '.' || quote_ident(t.name), 'select')
		or pg_catalog.has_any_column_privilege(current_user, quote_ident(t.schemaname) || '.' || quote_ident(t.name), 'select'))
order by 1`
	metabaseColumns = `
select a.attname, format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum)
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = current_schema() and c.relname = $1 and a.attnum > 0 and not a.attisdropped
order by a.attnum`
)

// TestClients: programs that people use see a schema's tables by a login of it, with their columns, and read them.
func TestClients(t *testing.T) {
	t.Parallel()
	pool := studied(t)
	store(t, pool)
	ctx := t.Context()
	for _, schema := range queries.VendorSchemas {
		name := fmt.Sprintf("client_%x", rand.Uint64())
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := queries.SetReader(ctx, tx, queries.Reader{Name: name, Schema: schema, Texts: true}, "a password of nobody")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx := context.WithoutCancel(ctx)
			_ = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return queries.DropReader(ctx, tx, name) })
		})
		cfg := pool.Config().ConnConfig.Copy()
		cfg.User, cfg.Password = name, "a password of nobody"
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		all := tables(t, schema)
		for _, sql := range []string{grafanaTables, metabaseTables} {
			rows, _ := conn.Query(ctx, sql)
			names, err := pgx.CollectRows(rows, pgx.RowTo[string])
			listed := strings.Join(names, " ")
			for _, table := range all {
				if !strings.Contains(" "+strings.ReplaceAll(listed, `"`, "")+" ", " "+table.Name+" ") {
					t.Errorf("%s: %s is not listed: %s, %v", schema, table.Name, listed, err)
				}
			}
			if strings.Contains(listed, "public.") || len(names) > len(all)+1 {
				t.Errorf("%s: others are listed: %s", schema, listed)
			}
		}
		for _, table := range all {
			for _, sql := range []string{grafanaColumns, metabaseColumns} {
				rows, _ := conn.Query(ctx, sql, table.Name)
				n := 0
				for rows.Next() {
					n++
				}
				if rows.Err() != nil || n != len(table.Columns) {
					t.Errorf("%s.%s has %d columns, %v", schema, table.Name, n, rows.Err())
				}
			}
			column := fmt.Sprintf("%q", table.Columns[0].Name)
			var n, some int
			prepared := fmt.Sprintf("select count(*), (select count(*) from (select %s from %q order by %[1]s::text limit $1) as x) from %[2]q", column, table.Name)
			for range 6 { // from the sixth time on the plan may be a general one
				if err := conn.QueryRow(ctx, prepared, 7).Scan(&n, &some); err != nil || some != min(n, 7) {
					t.Errorf("%s: %d, %d, %v", table.Name, n, some, err)
				}
			}
		}
		if _, err := exec.LookPath("psql"); err == nil {
			cmd := exec.CommandContext(ctx, "psql", "-X", "-h", cfg.Host, "-p", strconv.Itoa(int(cfg.Port)), "-U", name, "-d", cfg.Database, "-c", `\d`, "-c", `\d+ *`)
			cmd.Env = append(cmd.Environ(), "PGPASSWORD=a password of nobody")
			out, err := cmd.CombinedOutput()
			for _, table := range all {
				if err != nil || !strings.Contains(string(out), table.Name) || !strings.Contains(string(out), table.Columns[0].Meaning) {
					t.Errorf("psql: %s: %v\n%.500s", table.Name, err, out)
					break
				}
			}
		}
		if exec.CommandContext(ctx, "python3", "-c", "import pandas, psycopg, sqlalchemy").Run() != nil {
			t.Log("SKIPPED: SQLAlchemy, psycopg and pandas are not here: pip install sqlalchemy 'psycopg[binary]' pandas")
			continue
		}
		u := url.URL{
			Scheme: "postgresql+psycopg", User: url.UserPassword(name, "a password of nobody"), Path: "/" + cfg.Database,
			RawQuery: url.Values{"host": {cfg.Host}, "port": {strconv.Itoa(int(cfg.Port))}}.Encode(),
		}
		out, err := exec.CommandContext(ctx, "python3", "testdata/clients.py", u.String(), schema).CombinedOutput()
		if err != nil || strings.Count(string(out), "\n") < len(all) {
			t.Errorf("%s in Python: %v\n%s", schema, err, out)
		}
	}
}
