package compat_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/compat"
	"turnwise/ingest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// load does what psql does with a dump.
func load(t *testing.T, pool *pgxpool.Pool, dump string) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for dump != "" {
		statements, rest, more := strings.Cut(dump, " from stdin;\n")
		at := len(statements)
		if more {
			at = strings.LastIndex(statements, "copy ")
		}
		if _, err := conn.Exec(t.Context(), statements[:at]); err != nil {
			t.Fatalf("%v: %.2000s", err, statements[:at])
		}
		if !more {
			return
		}
		data, after, ended := strings.Cut("\n"+rest, "\n\\.\n")
		if !ended {
			t.Fatalf("no end of %s", statements[at:])
		}
		if data = strings.TrimPrefix(data, "\n"); data != "" {
			data += "\n"
		}
		if _, err := conn.Conn().PgConn().CopyFrom(t.Context(), strings.NewReader(data), statements[at:]+" from stdin"); err != nil {
			t.Fatalf("%s: %v", statements[at:], err)
		}
		dump = after
	}
}

// TestDump: what is dumped becomes the same tables elsewhere, to the last character.
func TestDump(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	store(t, pool)
	put(t, pool, ingest.Source{Name: "odd", Kind: "http", Assistant: "bank"}, `{"sender_id":"odd \\ \t \n \\N \\. \"'é🙂","event":"user","timestamp":1795166401,"text":"a\\b\tc\nd\\N\n\\.\n\u0000'\"é🙂","parse_data":{},"metadata":{"model_id":"x"}}`)
	apply(t, pool)
	other := dbtest.Pool(t)
	for _, schema := range queries.VendorSchemas {
		var b bytes.Buffer
		rows, err := compat.Dump(t.Context(), pool, schema, &b)
		if err != nil {
			t.Fatal(err)
		}
		load(t, other, b.String())
		var sum int64
		for _, table := range tables(t, schema) {
			var columns []string
			for _, c := range table.Columns {
				columns = append(columns, fmt.Sprintf("%q", c.Name))
			}
			name := pgx.Identifier{schema, table.Name}.Sanitize()
			sql := fmt.Sprintf("select count(*) || ' ' || coalesce(string_agg(x, chr(10) order by x), '') from (select row(%s)::text as x from %s) as x", strings.Join(columns, ", "), name)
			if got, want := one(t, other, sql), one(t, pool, sql); got != want {
				t.Errorf("%s:\n%.1500s\nnot\n%.1500s", name, got, want)
			}
			var n int64
			if err := pool.QueryRow(t.Context(), "select count(*) from "+name).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if table.Like == "" {
				sum += n
			}
			if got, want := one(t, other, "select obj_description('"+name+"'::regclass)"), table.Meaning; got != want && table.Like == "" {
				t.Errorf("%s: %q, not %q", name, got, want)
			}
		}
		if sum != rows || sum == 0 {
			t.Errorf("%s: %d rows, not %d", schema, rows, sum)
		}
	}
}
