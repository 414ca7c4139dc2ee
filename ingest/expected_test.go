package ingest_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/ingest"
	"turnwise/ingest/file"
	"turnwise/metric"
	"turnwise/queries/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// shared returns the path of a file of the shared data, or skips the test.
func shared(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "shared", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: %s is not here", path)
	}
	return path
}

// quiet drops what is logged.
var quiet = slog.New(slog.DiscardHandler)

func openSource(t testing.TB, w *ingest.Writer) ingest.Source {
	t.Helper()
	src, err := w.Open(t.Context(), ingest.Source{
		Name: "test", Kind: "file", Assistant: "default", Environment: "production",
	})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// importAll stores all that r holds.
func importAll(t testing.TB, pool *pgxpool.Pool, r io.Reader, o ingest.Options) ingest.Counts {
	t.Helper()
	w := ingest.NewWriter(pool, quiet)
	s := file.NewSplitter(r)
	counts, err := w.Run(context.Background(), openSource(t, w), ingest.Bodies(func() (ingest.Body, error) {
		it, err := s.Next()
		return ingest.Body{Bytes: it.Body, Position: it.Position, Part: it.Part}, err
	}), o)
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func openGzip(t testing.TB, path string) io.Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

type expectedFlow struct {
	Started, Completed, Interrupted, Resumed, Cancelled int
	Escalated                                           bool
}

type expectedSession struct {
	Assistant, Sender, Channel, Version string
	SessionID                           *string `json:"session_id"`
	Start                               float64
	UserMessages                        int      `json:"user_messages"`
	BotMessages                         int      `json:"bot_messages"`
	CSAT                                *string  `json:"csat"`
	EscalatedAt                         *float64 `json:"escalated_at"`
	Flows                               map[string]expectedFlow
	Ended                               bool
	Last                                float64
	Events, Turns                       int
	TurnsWithLatency                    int `json:"turns_with_latency"`
}

type sessionKey struct {
	Sender string
	Start  int64
}

// sessionFacts are what both sides know of a session.
type sessionFacts struct {
	Assistant, Channel, Version, SessionID, CSAT          string
	UserMessages, BotMessages, Events, Turns, TurnsWithMS int
	EscalatedAt, Last                                     int64
	Ended                                                 bool
	Flows                                                 map[string]expectedFlow
}

func micros(s float64) int64 { return int64(math.Round(s * 1e6)) }

// TestRightAnswers imports the shared conversations and compares every session with its generator's books.
func TestRightAnswers(t *testing.T) {
	t.Parallel()
	data := openGzip(t, shared(t, "data/conversations.ndjson.gz"))
	raw, err := os.ReadFile(shared(t, "data/expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Totals struct {
			Events, Senders, Sessions, Turns, Escalated int
			UserMessages                                int            `json:"user_messages"`
			BotMessages                                 int            `json:"bot_messages"`
			CSAT                                        map[string]int `json:"csat"`
			LatencyMS                                   struct {
				N                      int
				Average, P50, P95, P99 float64
			} `json:"latency_ms"`
			EventTypes map[string]int `json:"event_types"`
		}
		Sessions []expectedSession
	}
	if err := json.Unmarshal(raw, &expected); err != nil {
		t.Fatal(err)
	}
	pool := dbtest.Pool(t)
	counts := importAll(t, pool, data, ingest.Options{})
	if counts.Stored != int64(expected.Totals.Events) || counts.Duplicates+counts.Revised+counts.Rejected != 0 {
		t.Fatalf("counts %+v; want %d stored", counts, expected.Totals.Events)
	}

	want := map[sessionKey]sessionFacts{}
	for _, s := range expected.Sessions {
		f := sessionFacts{
			Assistant: s.Assistant, Channel: s.Channel, Version: s.Version, UserMessages: s.UserMessages, BotMessages: s.BotMessages,
			Events: s.Events, Turns: s.Turns, TurnsWithMS: s.TurnsWithLatency, Last: micros(s.Last), Ended: s.Ended, Flows: s.Flows,
		}
		if s.SessionID != nil {
			f.SessionID = *s.SessionID
		}
		if s.CSAT != nil {
			f.CSAT = *s.CSAT
		}
		if s.EscalatedAt != nil {
			f.EscalatedAt = micros(*s.EscalatedAt)
		}
		want[sessionKey{s.Sender, micros(s.Start)}] = f
	}
	if diff := cmp.Diff(want, storedSessions(t, pool)); diff != "" {
		t.Errorf("sessions differ (-want +got):\n%.6000s", diff)
	}

	types := map[string]int{}
	scan(t, pool, `select type, count(*) from events group by 1`, func(row func(...any)) {
		var typ string
		var n int
		row(&typ, &n)
		types[typ] = n
	})
	if diff := cmp.Diff(expected.Totals.EventTypes, types); diff != "" {
		t.Errorf("event types differ (-want +got):\n%s", diff)
	}
	checkLatency(t, pool, expected.Totals.LatencyMS.N, []float64{
		expected.Totals.LatencyMS.Average, expected.Totals.LatencyMS.P50, expected.Totals.LatencyMS.P95, expected.Totals.LatencyMS.P99,
	})
	for _, c := range []struct {
		sql  string
		want int
	}{
		{`select count(*) from senders`, expected.Totals.Senders},
		{`select count(*) from turns`, expected.Totals.Turns},
		{`select count(*) from messages where author = 1`, expected.Totals.UserMessages},
		{`select count(*) from messages where author = 2`, expected.Totals.BotMessages},
		{`select count(*) from conversations where escalated_at is not null`, expected.Totals.Escalated},
		{`select count(*) from conversations where csat = 'SATISFIED'`, expected.Totals.CSAT["SATISFIED"]},
		{`select count(*) from conversations where csat = ''`, expected.Totals.CSAT["None"]},
	} {
		var got int
		if err := pool.QueryRow(t.Context(), c.sql).Scan(&got); err != nil || got != c.want {
			t.Errorf("%s: got %d, %v; want %d", c.sql, got, err, c.want)
		}
	}
}

func checkLatency(t *testing.T, pool *pgxpool.Pool, n int, want []float64) {
	t.Helper()
	var all []float64
	scan(t, pool, `select response_ms from turns where response_ms is not null`, func(row func(...any)) {
		var ms float64
		row(&ms)
		all = append(all, ms)
	})
	if len(all) != n {
		t.Errorf("%d turns with a response time; want %d", len(all), n)
	}
	var sum float64
	for _, ms := range all {
		sum += ms
	}
	got := []float64{sum / float64(len(all))}
	for _, p := range []float64{0.5, 0.95, 0.99} {
		v, _ := metric.Percentile(all, p)
		got = append(got, v)
	}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-6 {
			t.Errorf("latency figure %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

// scan calls each for every row of a query.
func scan(t testing.TB, pool *pgxpool.Pool, sql string, each func(row func(...any))) {
	t.Helper()
	rows, err := pool.Query(context.Background(), sql)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		each(func(into ...any) {
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func storedSessions(t testing.TB, pool *pgxpool.Pool) map[sessionKey]sessionFacts {
	t.Helper()
	got := map[sessionKey]sessionFacts{}
	ids := map[[16]byte]sessionKey{}
	scan(t, pool, `
select s.sender_key, c.id, c.started_at, c.last_at, a.name, ch.name, coalesce(nullif(v.model_name, ''), v.model_id), c.session_id, c.csat,
	c.user_messages, c.bot_messages, c.events, c.turns, cardinality(c.response_ms), c.escalated_at, c.end_reason
from conversations c
join senders s on s.id = c.sender_id
join assistants a on a.id = c.assistant_id
join channels ch on ch.id = c.channel_id
join versions v on v.id = c.version_id`, func(row func(...any)) {
		var key sessionKey
		var f sessionFacts
		var id [16]byte
		var start, last time.Time
		var escalated *time.Time
		var reason string
		row(&key.Sender, &id, &start, &last, &f.Assistant, &f.Channel, &f.Version, &f.SessionID, &f.CSAT,
			&f.UserMessages, &f.BotMessages, &f.Events, &f.Turns, &f.TurnsWithMS, &escalated, &reason)
		key.Start, f.Last = start.UnixMicro(), last.UnixMicro()
		if escalated != nil {
			f.EscalatedAt = escalated.UnixMicro()
		}
		f.Ended = reason != "" && reason != "next"
		f.Flows = map[string]expectedFlow{}
		got[key], ids[id] = f, key
	})
	scan(t, pool, `
select conversation_id, flow_id, sum(starts), count(*) filter (where status = 'completed'), sum(interrupted), sum(resumed),
	count(*) filter (where status = 'cancelled'), bool_or(escalated)
from flow_runs
where flow_id not like 'pattern\_%'
group by 1, 2`, func(row func(...any)) {
		var id [16]byte
		var flow string
		var f expectedFlow
		row(&id, &flow, &f.Started, &f.Completed, &f.Interrupted, &f.Resumed, &f.Cancelled, &f.Escalated)
		got[ids[id]].Flows[flow] = f
	})
	return got
}
