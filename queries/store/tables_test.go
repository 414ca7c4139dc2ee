package store

import (
	"strings"
	"testing"

	"turnwise/queries/dbtest"
)

// TestTables: the schema has the columns that a batch writes, and each writes as many as it names.
func TestTables(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	n := 0
	for _, table := range NewBatch().filled() {
		sql := table.statement()
		columns := sql[strings.Index(sql, "("):][1:strings.Index(sql[strings.Index(sql, "("):], ")")]
		rows, err := pool.Query(t.Context(), "select "+columns+" from "+strings.Fields(sql)[1]+" limit 0")
		if err != nil {
			t.Fatal(err)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if names := strings.Split(columns, ", "); names[0] != "sender_id" && sql[:12] != "copy senders" {
			t.Errorf("%s does not begin with its sender", sql)
		}
		n++
	}
	if n < 12 {
		t.Errorf("only %d tables", n)
	}
}
