package doctor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/doctor"
	"turnwise/ingest"
	"turnwise/ingest/feedtest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// send stores bodies as of a source of a kind, and returns the source.
func send(t *testing.T, pool *pgxpool.Pool, kind string, bodies ...string) int64 {
	t.Helper()
	neutral, _ := ingest.FormatNamed("neutral")
	src, _ := feedtest.Feed(t, pool, ingest.Source{Name: kind, Kind: kind, Assistant: "a", Format: neutral}, bodies...)
	return src.ID
}

// TestNoCharts: each branch of the tree ends at its step.
func TestNoCharts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	message := func(id string, at time.Time, more string) string {
		return fmt.Sprintf(`{"type":"message","time":%q,"data":{%s"bot_id":"a","conversation_id":%q,"message_id":"m","author":"user","text":"hello"}}`, at.Format(time.RFC3339), more, id)
	}
	for _, tt := range []struct {
		name, last string
		prepare    func(t *testing.T, pool *pgxpool.Pool)
	}{
		{"nobody sends", "step 3, what arrived: nothing", func(*testing.T, *pgxpool.Pool) {}},
		{"all is refused", "step 3, what arrived: 1 of source", func(t *testing.T, pool *pgxpool.Pool) { send(t, pool, "http", `{"nonsense`) }},
		{"it waits", "no process reads it", func(t *testing.T, pool *pgxpool.Pool) {
			id := send(t, pool, "kafka")
			if err := queries.SavePositions(t.Context(), pool, id, now, []queries.Position{{SourceID: id, Stream: "rasa", Lag: 7}}); err != nil {
				t.Fatal(err)
			}
		}},
		{"tests alone", "marked as tests", func(t *testing.T, pool *pgxpool.Pool) {
			send(t, pool, "http", message("t", now.Add(-time.Hour), `"is_test":true,`))
		}},
		{"old data", "none in the last 28 days", func(t *testing.T, pool *pgxpool.Pool) {
			send(t, pool, "http", message("o", now.AddDate(0, 0, -40), ""))
		}},
		{"a clock ahead", "lie in the future", func(t *testing.T, pool *pgxpool.Pool) { send(t, pool, "http", message("f", now.AddDate(0, 0, 3), "")) }},
		{"all is well", "charts have all that they need", func(t *testing.T, pool *pgxpool.Pool) { send(t, pool, "http", message("g", now.Add(-time.Hour), "")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pool := dbtest.Pool(t)
			tt.prepare(t, pool)
			d, err := doctor.NoCharts(t.Context(), pool, now)
			if err != nil {
				t.Fatal(err)
			}
			last := d.Findings[len(d.Findings)-1]
			if !strings.Contains(last.Text, tt.last) || last.OK != (tt.name == "all is well") {
				t.Errorf("%+v", d.Findings)
			}
		})
	}
}
