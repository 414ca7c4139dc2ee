package figures

import (
	"testing"

	"turnwise/queries/dbtest"
)

// TestDailyColumns: the table has a column for each condition that is to stand in it, which may be empty, as older
// servers do not fill one that is new.
func TestDailyColumns(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	for column := range dailyColumns {
		var found bool
		if err := pool.QueryRow(t.Context(), `select exists (select from information_schema.columns
			where table_schema = 'public' and table_name = 'daily_figures' and column_name = $1)`, column).Scan(&found); err != nil {
			t.Fatal(err)
		}
		if !found {
			t.Errorf("daily_figures has no column %s", column)
		}
	}
}
