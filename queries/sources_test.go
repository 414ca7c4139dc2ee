package queries_test

import (
	"fmt"
	"sync"
	"testing"

	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestAddSourceAtOnce: a source whose first events come from two sides at the same moment is made once, and neither side is refused.
func TestAddSourceAtOnce(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	for n := range 60 {
		name := fmt.Sprintf("source %d", n)
		var begin, all sync.WaitGroup
		begin.Add(1)
		for range 8 {
			all.Go(func() {
				begin.Wait()
				if _, err := queries.AddSource(t.Context(), pool, name, "http"); err != nil {
					t.Error(err)
				}
			})
		}
		begin.Done()
		all.Wait()
	}
}
