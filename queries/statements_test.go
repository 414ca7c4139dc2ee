package queries_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// TestStatements prepares the statements of this package.
func TestStatements(t *testing.T) {
	t.Parallel()
	dbtest.Statements(t, 60)
}

// TestShard compares our virtual shard with the server's hash function.
func TestShard(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	rows, err := pool.Query(t.Context(), `
select x, (((hashint8(x)::bigint + 2147483648) >> 26))::integer
from (select (random() * 9e18)::bigint - (random() * 9e18)::bigint as x from generate_series(1, 2000)) as r
union all values (0::bigint, ((hashint8(0)::bigint + 2147483648) >> 26)::integer), (-1, ((hashint8(-1)::bigint + 2147483648) >> 26)::integer)`)
	if err != nil {
		t.Fatal(err)
	}
	var x int64
	var want int
	n := 0
	if _, err := pgx.ForEachRow(rows, []any{&x, &want}, func() error {
		n++
		if got := conversation.Shard(x); got != want {
			t.Errorf("shard of %d is %d, the server says %d", x, got, want)
		}
		return nil
	}); err != nil || n < 2000 {
		t.Fatal(n, err)
	}
}
