package compat_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/compat"
	"turnwise/ingest"
	"turnwise/ingest/file"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func apply(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if err := compat.Apply(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
}

// studied is a database with the shared conversations, counted.
func studied(t *testing.T) *pgxpool.Pool {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "shared", "data", "conversations.ndjson.gz"))
	if err != nil {
		t.Skip("SKIPPED: ", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	pool := dbtest.Pool(t)
	w := ingest.NewWriter(pool, slog.New(slog.DiscardHandler))
	src, err := w.Open(t.Context(), ingest.Source{Name: "test", Kind: "file", Assistant: "default", Environment: "production"})
	if err != nil {
		t.Fatal(err)
	}
	split := file.NewSplitter(z)
	if _, err := w.Run(t.Context(), src, ingest.Bodies(func() (ingest.Body, error) {
		it, err := split.Next()
		if err != nil {
			return ingest.Body{}, io.EOF
		}
		return ingest.Body{Bytes: it.Body}, nil
	}), ingest.Options{}); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }
	if err := jobs.RollUp(t.Context(), pool, figures.NewGrid(time.UTC), -time.Second, now); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "analyze"); err != nil {
		t.Fatal(err)
	}
	apply(t, pool)
	return pool
}

type versionDay struct {
	Date, Assistant, Channel, Version                          string
	TotalSessions, AutomatedCount, EscalatedCount              int
	AverageLatencyMs, P50LatencyMs, P95LatencyMs, P99LatencyMs *float64
	CsatSatisfied, CsatUnsatisfied, CsatUnanswered             int
}

type flowDay struct {
	Date, Flow                                    string
	TotalSessions, AutomatedCount, EscalatedCount int
}

// TestRasaStudio: on conversations whose figures are known, every row is what the books say.
func TestRasaStudio(t *testing.T) {
	t.Parallel()
	pool := studied(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "expected.json"))
	if err != nil {
		t.Skip("SKIPPED: ", err)
	}
	var expected struct {
		Totals struct {
			EventTypes map[string]int `json:"event_types"`
		}
		Versions []versionDay `json:"version_daily_statistics"`
		Flows    []flowDay    `json:"flow_daily_statistics"`
	}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	one := func(sql string) (out string) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "select ("+sql+")::text").Scan(&out); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		return out
	}
	for sql, want := range map[string]string{
		`select concat_ws(' ', count(*), sum("totalNumberOfUserMessages"), count("escalatedAt"), count("csatRating"), count(*) filter (where ingested)) from rasa_studio."Conversation"`:        "700 6742 72 357 700",
		`select string_agg(x, ' ' order by x) from (select "csatRating"::text || count(*) as x from rasa_studio."Conversation" where "csatRating" is not null group by "csatRating") x`:         "SATISFIED162 UNANSWERED130 UNSATISFIED65",
		`select count(*) from rasa_studio."ConversationEvent" e join rasa_studio."Conversation" c on c.id = e."conversationId" join rasa_studio."MachineLearningModel" m on m.id = e."modelId"`: one(`select count(*) from rasa_studio."ConversationEvent"`),
		`select count(*) from rasa_studio."ConversationEvent" where "rawData" ->> 'event' is distinct from lower(type::text)`:                                                                   "0",
		`select count(*) from rasa_studio."ConversationEvent" where (type = 'SLOT') <> ("slotValue" is not null) or (type = 'ACTION') <> ("actionText" is not null)`:                            "0",
		`select count(*) from rasa_studio."Conversation" c left join rasa_studio."Environment" e on e.id = c."environmentId" where e.name is distinct from 'production'`:                        "0",
	} {
		if got := one(sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	for typ, n := range expected.Totals.EventTypes {
		want := n
		if typ == "user" || typ == "bot" {
			continue // they are no type of this table
		}
		if got := one(`select count(*) from rasa_studio."ConversationEvent" where lower(type::text) = '` + typ + `'`); got != fmt.Sprint(want) {
			t.Errorf("%s: %s, want %d", typ, got, want)
		}
	}
	rows, _ := pool.Query(t.Context(), `select to_char(date at time zone 'UTC', 'YYYY-MM-DD'), '', "channelName", version, "totalSessions", "automatedCount", "escalatedCount",
		"averageLatencyMs", "p50LatencyMs", "p95LatencyMs", "p99LatencyMs", "csatSatisfied", "csatUnsatisfied", "csatUnanswered" from rasa_studio."VersionDailyStatistics"`)
	versions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[versionDay])
	if err != nil || len(versions) != len(expected.Versions) {
		t.Errorf("%d days of versions, want %d, %v", len(versions), len(expected.Versions), err)
	}
	near := func(got, want *float64) bool {
		return math.Abs(*got-*cmpOr(want, new(float64))) < 1e-6
	}
	for _, e := range expected.Versions {
		i := slices.IndexFunc(versions, func(v versionDay) bool {
			return v.Date == e.Date && v.Channel == e.Channel && v.Version == e.Version
		})
		if i < 0 {
			t.Errorf("%s %s %s is missing", e.Date, e.Channel, e.Version)
			continue
		}
		v := versions[i]
		if !near(v.AverageLatencyMs, e.AverageLatencyMs) || !near(v.P50LatencyMs, e.P50LatencyMs) || !near(v.P95LatencyMs, e.P95LatencyMs) || !near(v.P99LatencyMs, e.P99LatencyMs) ||
			v.TotalSessions != e.TotalSessions || v.AutomatedCount != e.AutomatedCount || v.EscalatedCount != e.EscalatedCount ||
			v.CsatSatisfied != e.CsatSatisfied || v.CsatUnsatisfied != e.CsatUnsatisfied || v.CsatUnanswered != e.CsatUnanswered {
			t.Errorf("%s %s %s: %+v, want %+v", e.Date, e.Channel, e.Version, v, e)
		}
	}
	flows := map[flowDay]flowDay{}
	for _, e := range expected.Flows {
		key := flowDay{Date: e.Date, Flow: e.Flow}
		sum := flows[key]
		sum.Date, sum.Flow = e.Date, e.Flow
		sum.TotalSessions, sum.AutomatedCount, sum.EscalatedCount = sum.TotalSessions+e.TotalSessions, sum.AutomatedCount+e.AutomatedCount, sum.EscalatedCount+e.EscalatedCount
		flows[key] = sum
	}
	rows, _ = pool.Query(t.Context(), `select to_char(date at time zone 'UTC', 'YYYY-MM-DD'), "flowName", "totalSessions", "automatedCount", "escalatedCount" from rasa_studio."FlowDailyStatistics"`)
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[flowDay])
	if err != nil || len(got) != len(flows) {
		t.Errorf("%d days of flows, want %d, %v", len(got), len(flows), err)
	}
	for _, g := range got {
		if want := flows[flowDay{Date: g.Date, Flow: g.Flow}]; g != want {
			t.Errorf("%+v, want %+v", g, want)
		}
	}
	complete(t, pool, "rasa_studio")
}

// complete tells of columns that must not be null and are.
func complete(t *testing.T, pool *pgxpool.Pool, schema string) {
	t.Helper()
	for _, table := range tables(t, schema) {
		for _, c := range table.Columns {
			if c.Null {
				continue
			}
			var n int
			if err := pool.QueryRow(t.Context(), fmt.Sprintf(
				`select count(*) from %s where %q is null`, pgx.Identifier{schema, table.Name}.Sanitize(), c.Name,
			)).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s.%s.%s is null in %d rows, %v", schema, table.Name, c.Name, n, err)
			}
		}
	}
}

func tables(t *testing.T, schema string) []compat.Table {
	t.Helper()
	all, err := compat.Tables(schema)
	if err != nil || len(all) == 0 {
		t.Fatal(len(all), err)
	}
	return all
}

func cmpOr(p, q *float64) *float64 {
	if p != nil {
		return p
	}
	return q
}

// TestMerged: a name of two assistants is told apart, and a row that several of ours make has the percentiles of all
// their turns. NaN in a body does no harm.
func TestMerged(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	var bodies []string
	for i, of := range []string{"staging", "production"} {
		for _, assistant := range []string{"bank", "shop"} {
			for n := range 3 {
				sender, at := fmt.Sprint(of, assistant, n), 1795166042+n*60
				version := []string{"1.0", "1.0"}[i]
				if assistant == "shop" && n == 2 {
					version = "2.0"
				}
				meta := fmt.Sprintf(`"metadata":{"assistant_id":%q,"model_name":%q},"environment":%q`, assistant, version, of)
				if assistant == "shop" { // then the release was trained for each environment
					meta = strings.Replace(meta, `"model_name"`, `"model_id":"`+of+`","model_name"`, 1)
				}
				bodies = append(bodies,
					fmt.Sprintf(`{"sender_id":%q,"event":"user","timestamp":%d,"text":"hi","input_channel":"web",%s}`, sender, at, meta),
					fmt.Sprintf(`{"sender_id":%q,"event":"action","name":"action_listen","timestamp":%d.5,"confidence":NaN,%s}`, sender, at, meta),
					fmt.Sprintf(`{"sender_id":%q,"event":"bot","timestamp":%d,"text":"ho",%s}`, sender, at+1+n+3*i, meta))
			}
		}
	}
	// Escalated before anybody wrote.
	put(t, pool, ingest.Source{Name: "early", Kind: "file", Assistant: "x", Environment: "staging"},
		`{"sender_id":"early","event":"action","name":"action_human_handoff","timestamp":1795166042,"metadata":{"assistant_id":"shop","model_name":"3.0"}}`)
	for i, of := range []string{"staging", "production"} {
		put(t, pool, ingest.Source{Name: of, Kind: "file", Assistant: "x", Environment: of}, bodies[i*len(bodies)/2:(i+1)*len(bodies)/2]...)
	}
	now := func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if err := figures.PrepareRollups(t.Context(), pool, figures.NewGrid(berlin)); err != nil {
		t.Fatal(err)
	}
	if err := jobs.RollUp(t.Context(), pool, figures.NewGrid(berlin), -time.Second, now); err != nil {
		t.Fatal(err)
	}
	apply(t, pool)
	var got string
	if err := pool.QueryRow(t.Context(), `select string_agg(concat_ws(' ', date at time zone 'UTC', version, "totalSessions", "automatedCount", "escalatedCount", "p50LatencyMs"::int, "p99LatencyMs"::int), '; ' order by version)
		from rasa_studio."VersionDailyStatistics"`).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "2026-11-19 23:00:00 2.0 2 2 0 4500 5970; 2026-11-19 23:00:00 3.0 1 0 1 0 0; 2026-11-19 23:00:00 bank 1.0 6 6 0 3500 5950; 2026-11-19 23:00:00 shop 1.0 4 4 0 3000 4970"; got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if err := pool.QueryRow(t.Context(), `select string_agg(concat_ws(' ', a.name, shared_responses, shared_p50_ms, round(shared_p99_ms)), '; ' order by a.name, environment_id)
		from daily_figures d join assistants a on a.id = d.assistant_id where shared_responses is not null`).Scan(&got); err != nil || got != "bank 6 3500 5950; bank 6 3500 5950" {
		t.Errorf("shared by environments: %q, %v", got, err)
	}
	if err := pool.QueryRow(t.Context(), `select string_agg(distinct type || ' ' || ("rawData" ->> 'event'), '; ') from rasa_studio."ConversationEvent"`).Scan(&got); err != nil || got != "ACTION action" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestLogin: a login of the schema reads its tables by their names alone, and nothing else; what was said only where it
// may; and goes on doing so after the schema was made anew, which waits for nobody's transaction for long.
func TestLogin(t *testing.T) {
	t.Parallel()
	pool := studied(t)
	ctx := t.Context()
	name := fmt.Sprintf("studio_%x", rand.Uint64())
	set := func(r queries.Reader) {
		t.Helper()
		if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := queries.SetReader(ctx, tx, r, "a password of nobody")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	set(queries.Reader{Name: name, Schema: "rasa_studio"})
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		_ = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return queries.DropReader(ctx, tx, name) })
	})
	connect := func() *pgx.Conn {
		t.Helper()
		cfg := pool.Config().ConnConfig.Copy()
		cfg.User, cfg.Password = name, "a password of nobody"
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.WithoutCancel(ctx)) })
		return conn
	}
	said := func(conn *pgx.Conn) (n int) {
		t.Helper()
		if err := conn.QueryRow(ctx, `select count(*) from "ConversationEvent" where "rawData"::text <> '{}'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	conn := connect()
	var n int
	if err := conn.QueryRow(ctx, `select count(*) from "Conversation"`).Scan(&n); err != nil || n != 700 {
		t.Errorf("%d conversations, %v", n, err)
	}
	if n := said(conn); n != 0 {
		t.Errorf("%d events show what was said", n)
	}
	for _, sql := range []string{
		"select * from public.conversations", "select * from public.messages", `delete from "Conversation"`, "create table mine (n integer)", "select * from public.accounts",
		"select rasa_studio.texts()",
	} {
		_, err := conn.Exec(ctx, sql)
		if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "42501" && e.Code != "25006" && e.Code != "55000" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	set(queries.Reader{Name: name, Schema: "rasa_studio", Texts: true})
	all := said(connect())
	if all < 30_000 {
		t.Errorf("%d events show what was said", all)
	}
	readers, err := queries.Readers(ctx, pool)
	if err != nil || !slices.ContainsFunc(readers, func(r queries.Reader) bool {
		return r.Name == name && r.Schema == "rasa_studio" && r.Texts && len(r.Assistants) == 0
	}) {
		t.Errorf("%v, %v", readers, err)
	}

	reading, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reading.Exec(ctx, `select count(*) from "Conversation"`); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `comment on schema rasa_studio is 'of another version'`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- compat.Apply(ctx, pool) }()
	if err := conn.QueryRow(ctx, `select count(*) from "VersionDailyStatistics"`).Scan(&n); err != nil || n == 0 {
		t.Errorf("while it waits: %d, %v", n, err)
	}
	if err := reading.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := said(connect()); n != all {
		t.Errorf("made anew, %d events show what was said, not %d", n, all)
	}
	set(queries.Reader{Name: name})
	if _, err := connect().Exec(ctx, `select * from rasa_studio."Conversation"`); err == nil {
		t.Error("the schema is still read")
	}
}

// TestTextsHidden: a login of a schema reads all of its tables, and without texts nothing of what was said, and by whom.
func TestTextsHidden(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	store(t, pool)
	apply(t, pool)
	ctx := t.Context()
	secrets := []string{"where is my card", "Let me look", "Your card", "u-1", "c-1", "i-1", "skill", "blocked", "cart\"", "slow", "say: ask", "192.0.2", "Ada", "ada@example.org", "host-1", "gold", "EUR", "12.9", "pro\""}
	for _, schema := range queries.VendorSchemas {
		for _, texts := range []bool{false, true} {
			name := fmt.Sprintf("reader_%x", rand.Uint64())
			if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				_, err := queries.SetReader(ctx, tx, queries.Reader{Name: name, Schema: schema, Texts: texts}, "a password of nobody")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				ctx := context.WithoutCancel(ctx)
				_ = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return queries.DropReader(ctx, tx, name) })
			})
			cfg := pool.Config().ConnConfig.Copy()
			cfg.User, cfg.Password = name, "a password of nobody"
			conn, err := pgx.ConnectConfig(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			for _, table := range tables(t, schema) {
				var text string
				if err := conn.QueryRow(ctx, fmt.Sprintf("select coalesce(string_agg(x::text, ' '), '') from %q as x", table.Name)).Scan(&text); err != nil {
					t.Errorf("%s.%s with texts %t: %v", schema, table.Name, texts, err)
				}
				all.WriteString(text)
			}
			conn.Close(ctx)
			shown := 0
			for _, secret := range secrets {
				if strings.Contains(all.String(), secret) {
					shown++
					if !texts {
						t.Errorf("%s shows %q without texts: %s", schema, secret, all.String()[max(0, strings.Index(all.String(), secret)-80):][:120])
					}
				}
			}
			if texts && shown == 0 {
				t.Errorf("%s shows nothing with texts", schema)
			}
		}
	}
}
