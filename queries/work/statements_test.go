package work_test

import (
	"testing"

	"turnwise/queries/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// TestStatements prepares the statements of this package.
func TestStatements(t *testing.T) {
	t.Parallel()
	dbtest.Statements(t, 20)
}
