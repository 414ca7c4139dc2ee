package compat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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
		byJDBC(t, cfg, schema, len(all))
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

// driver is PostgreSQL's for JDBC, from Maven Central.
const driver = "postgresql-42.7.4.jar"

// byJDBC reads the tables by JDBC, where there are Java and the driver.
func byJDBC(t *testing.T, cfg *pgx.ConnConfig, schema string, tables int) {
	t.Helper()
	jar := jdbcDriver(t)
	if jar == "" {
		return
	}
	out, err := exec.CommandContext(
		t.Context(), "java", "-cp", jar, "testdata/Clients.java", "jdbc:postgresql://"+proxied(t, cfg)+"/"+cfg.Database, cfg.User, cfg.Password, schema,
	).CombinedOutput()
	if err != nil || strings.Count(string(out), "\n") < tables {
		t.Errorf("%s by JDBC: %v\n%s", schema, err, out)
	}
}

// jdbcDriver fetches the driver once; "" where it is out of reach.
func jdbcDriver(t *testing.T) string {
	t.Helper()
	if exec.CommandContext(t.Context(), "java", "--list-modules").Run() != nil {
		t.Log("SKIPPED: JDBC needs Java")
		return ""
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	jar := filepath.Join(cache, "turnwise", driver)
	if _, err := os.Stat(jar); err == nil {
		return jar
	}
	client := http.Client{Timeout: 30 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://repo.maven.apache.org/maven2/org/postgresql/postgresql/42.7.4/"+driver, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Log("SKIPPED: PostgreSQL's driver for JDBC is out of reach at Maven Central: ", err)
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Log("SKIPPED: PostgreSQL's driver for JDBC could not be fetched: ", err)
		return ""
	}
	if err := os.MkdirAll(filepath.Dir(jar), 0o755); err != nil {
		t.Fatal(err)
	}
	part, err := os.CreateTemp(filepath.Dir(jar), driver)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(part.Close(), os.Rename(part.Name(), jar)); err != nil { // others may fetch it at the same time
		t.Fatal(err)
	}
	return jar
}

// proxied is an address of TCP for a server that may have none: the driver knows no other.
func proxied(t *testing.T, cfg *pgx.ConnConfig) string {
	t.Helper()
	network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := new(net.Dialer).DialContext(t.Context(), network, address)
			if err != nil {
				near.Close()
				continue
			}
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			go func() { _, _ = io.Copy(near, far); near.Close() }()
		}
	}()
	return l.Addr().String()
}
