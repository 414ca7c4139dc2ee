package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/ingest"
	"turnwise/ingest/brokertest"
	"turnwise/queries/dbtest"
)

// TestOddNumbers holds that numbers and times which are none, or are out of all bounds, stop nothing: not at the head
// of a run, where a first look comes before reading, nor in its midst, nor when all comes again.
func TestOddNumbers(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	var first []string // each at the head of a run of its own
	for _, body := range brokertest.OddTimes() {
		if strings.Contains(body, `"odd user"`) || strings.Contains(body, `"odd action"`) {
			first = append(first, body)
		}
	}
	stored := int64(0)
	for i, body := range first {
		c := feed(t, pool, body, goodEvent(fmt.Sprint("behind ", i), 1785800000))
		if c.Stored+c.Rejected != 2 || c.Stored == 0 {
			t.Errorf("%s: %+v", body, c)
		}
		stored += c.Stored
	}
	all, good := brokertest.Between(append(brokertest.OddTimes(), brokertest.OddNumbers()...), "steady")
	c := feed(t, pool, all...)
	if n := c.Stored + c.Rejected + c.Duplicates + c.Revised; n != int64(len(all)) || c.Stored < int64(good) {
		t.Errorf("%d bodies, %d of them good, became %+v", len(all), good, c)
	}
	before := dbtest.Dump(t, pool)
	again := feed(t, pool, all...)
	if again.Stored != 0 || again.Rejected != c.Rejected {
		t.Errorf("again: %+v", again)
	}
	if after := dbtest.Dump(t, pool); after != before {
		t.Errorf("the second delivery changed the tables:\n%s", firstDifference(before, after))
	}
	if n := brokertest.Count(t, pool, `select count(*) from messages where text = 'good'`); n < good {
		t.Errorf("%d of %d good messages are stored", n, good)
	}
	checkBodies(t, pool)
	checkNumbers(t, pool)
	if err := ingest.NewWriter(pool, quiet).Rebuild(t.Context(), "", func(int) {}); err != nil {
		t.Fatal(err)
	}
	if after := dbtest.Dump(t, pool); after != before {
		t.Errorf("rebuild changed the tables:\n%s", firstDifference(before, after))
	}
}

// checkNumbers holds that no column of numbers holds what is none, and no confidence lies outside its bounds.
func checkNumbers(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	n := 0
	scan(t, pool, `select table_name, column_name from information_schema.columns where table_schema = 'public' and data_type in ('real', 'double precision')`, func(row func(...any)) {
		var table, column string
		row(&table, &column)
		n++
		if odd := brokertest.Count(
			t, pool, fmt.Sprintf(`select count(*) from %s where %s in ('NaN', 'Infinity', '-Infinity')`, table, column),
		); odd > 0 {
			t.Errorf("%d rows of %s hold an odd %s", odd, table, column)
		}
		if strings.HasPrefix(column, "confidence") {
			if odd := brokertest.Count(
				t, pool, fmt.Sprintf(`select count(*) from %[1]s where %[2]s not between 0 and 1.001`, table, column),
			); odd > 0 {
				t.Errorf("%d rows of %s hold an odd %s", odd, table, column)
			}
		}
	})
	if n < 5 {
		t.Errorf("only %d columns of numbers were looked at", n)
	}
}
