package metric_test

import (
	"math"
	"testing"

	"turnwise/conversation"
	"turnwise/metric"
)

func TestPersonID(t *testing.T) {
	t.Parallel()
	seen := map[conversation.UUID]bool{}
	for _, n := range []int64{0, 1, -1, 1 << 16, 1<<16 - 1, 1 << 48, math.MaxInt64, math.MinInt64, 0x123456789abcdef0} {
		id := metric.PersonID(n)
		if got, ok := metric.PersonOf(id); got != n || !ok || seen[id] {
			t.Errorf("%d is written %s and read as %d, %v", n, id, got, ok)
		}
		seen[id] = true
		if text := id.String(); text[14] != '8' || text[19] != '8' {
			t.Errorf("%s is no UUID of version 8", text)
		}
		id[7] = 1
		if _, ok := metric.PersonOf(id); ok {
			t.Errorf("%s is taken for a user", id)
		}
	}
}
