package queries_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestPlainNames: what stood in the tables before migration 0046 stands in them afterwards, under the new names.
func TestPlainNames(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := dbtest.Pool(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatalf("%v\n%s", err, sql)
		}
	}
	exec(`drop schema public cascade; create schema public`)
	pool.Reset() // connections remember types by number
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := queries.Migrator(pool, db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(context.WithoutCancel(ctx), 45); err != nil {
		t.Fatal(err)
	}
	indexes := func() []string {
		rows, _ := pool.Query(
			ctx,
			`select indexname::text from pg_indexes where schemaname = 'public' and tablename = 'conversations' order by 1`,
		)
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := indexes()
	exec(`
insert into rollup_slots (at, assistant_id, environment_id, channel_id, version_id, conversations, tally, flows, hours, intents, users)
values ('2026-01-02 00:00Z', 7, 1, 2, 3, 4, '\x0201', '\x0202', '', '\x0204', decode(repeat('05', 300), 'hex'));
insert into rollup_days select * from rollup_slots;
insert into rollup_day_sums (at, assistant_id, flows, hours, intents, users) values ('2026-01-02 00:00Z', 7, '\x0202', '', '\x0204', '');
insert into rollup_frozen (assistant_id, before) values (7, '2026-02-01 00:00Z');
insert into rollup_marks (hour, assistant_id, lane, epoch, changes) values ('2026-03-01 00:00Z', 7, 5, 9, 2);
insert into users (id, email, name, role, password_hash, created_at)
values ('00000000-0000-0000-0000-000000000001', 'a@b.c', 'A', 'admin', '', now());
insert into review_remains (started_at, assistant_id, environment_id, channel_id, version_id, outcome, conversations, state, tags, reviews)
values (now(), 7, 1, 2, 3, 'abandoned', 1, 2, '{}', '[
	{"user_id": "00000000-0000-0000-0000-000000000001", "rating": 4},
	{"user_id": "00000000-0000-0000-0000-000000000002", "rating": 5}]')`)
	names, values := conversationColumns(t, pool)
	for i, stripped := range []string{"0", "1", "2", "11", "12"} {
		values[slices.Index(names, "id")] = "'00000000-0000-0000-0000-00000000000" + strconv.Itoa(i) + "'"
		values[slices.Index(names, "stripped")] = stripped
		exec(
			"insert into conversations (" + strings.Join(names, ", ") + ") values (" + strings.Join(values, ", ") + ")",
		)
	}
	if _, err := provider.UpTo(context.WithoutCancel(ctx), 46); err != nil {
		t.Fatal(err)
	}
	if after := indexes(); !slices.Equal(after, before) {
		t.Errorf("the indexes of conversations are %v, they were %v", after, before)
	}
	if _, err := queries.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	section := func(number uint16, packed []byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, number)
		return append(binary.BigEndian.AppendUint32(b, uint32(len(packed))), packed...)
	}
	want := slices.Concat(section(2, []byte{2, 2}), section(4, []byte{2, 4}), section(5, bytes.Repeat([]byte{5}, 300)))
	for _, table := range []string{"rollup_hours", "rollup_days"} {
		var tally, others []byte
		if err := pool.QueryRow(ctx, `select tally, others from `+table).Scan(&tally, &others); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(tally, []byte{2, 1}) || !bytes.Equal(others, want) {
			t.Errorf("%s: %x, %x, want %x", table, tally, others, want)
		}
	}
	for sql, want := range map[string]string{
		`select string_agg(family || ' ' || encode(packed, 'hex'), ', ' order by family) from rollup_day_sums`:      "2 0202, 4 0204",
		`select assistant_id || ' ' || before::date from final_figures`:                                             "7 2026-02-01",
		`select hour::date || ' ' || shard || ' ' || generation || ' ' || changes from dirty_hours where shard = 5`: "2026-03-01 5 9 2",
		`select string_agg(removed || ' ' || resumed, ', ' order by id) from conversations`:                         "0 false, 1 false, 2 false, 1 true, 2 true",
		`select string_agg((r->>'rating') || right(r->>'account_id', 1), ' ')
from review_remains, jsonb_array_elements(reviews) as x (r)`: "41 52",
		`select email from accounts`: "a@b.c",
	} {
		var got string
		if err := pool.QueryRow(ctx, sql).Scan(&got); err != nil || got != want {
			t.Errorf("%s\nyields %q, want %q (%v)", sql, got, want, err)
		}
	}
}

// conversationColumns are the columns of conversations that must have a value, with some value.
func conversationColumns(t *testing.T, db queries.DB) (names, values []string) {
	t.Helper()
	rows, _ := db.Query(t.Context(), `
select column_name::text, case
		when column_name = 'outcome' then '''abandoned'''
		when data_type = 'uuid' then '''00000000-0000-0000-0000-000000000000'''
		when data_type like 'timestamp%' then '''2026-01-02'''
		when data_type = 'ARRAY' then '''{}'''
		when data_type in ('bytea', 'text') then ''''''
		when data_type = 'boolean' then 'false'
		else '0'
	end
from information_schema.columns
where table_schema = 'public' and table_name = 'conversations' and (is_nullable = 'NO' or column_name = 'stripped')
order by ordinal_position`)
	var name, value string
	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		names, values = append(names, name), append(values, value)
		return nil
	}); err != nil || len(names) < 20 {
		t.Fatal(names, err)
	}
	return names, values
}
