package web_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/store"
)

// The page of a source tells its state, lag, delay and settings, and admins pause and resume it.
func TestSource(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	admin, viewer := signIn(t, server.URL, "admin"), signIn(t, server.URL, "viewer")
	ctx, now := t.Context(), time.Now()
	id, err := store.AddSource(ctx, pool, "bank <events>", "kafka", 1)
	if err != nil {
		t.Fatal(err)
	}
	page := fmt.Sprintf("%s/sources/%d", server.URL, id)
	shows := func(as string, parts ...string) {
		t.Helper()
		c := viewer
		if as == "admin" {
			c = admin
		}
		status, body, _ := get(t, c, "GET", page)
		for _, part := range parts {
			want := !strings.HasPrefix(part, "!")
			if status != 200 || strings.Contains(body, strings.TrimPrefix(part, "!")) != want {
				t.Errorf("%s, %d: %q", as, status, part)
			}
		}
	}
	shows(
		"viewer", "bank &lt;events&gt;", "is read by no process; start turnwise serve", "The broker was not asked yet",
		"!Pause</button>", "!Settings",
	)
	if err := queries.SaveSettings(ctx, pool, id, "kafka", []queries.Setting{{"Brokers", "kafka-1:9092"}}); err != nil {
		t.Fatal(err)
	}
	committed, newest := int64(1200), int64(1234)
	if err := queries.SavePositions(ctx, pool, id, now, []queries.Position{
		{Stream: "rasa-events", Part: 2, Committed: &committed, Newest: &newest, Lag: 34},
	}); err != nil {
		t.Fatal(err)
	}
	member := queries.Member{
		SourceID: id, Member: "host:1", StartedAt: now, SeenAt: now, State: "reading", StateAt: now,
	}
	if err := queries.SaveMember(ctx, pool, member); err != nil {
		t.Fatal(err)
	}
	minute := store.Minute{Source: id, At: now, Stored: 10, Duplicates: 3, Redelivered: 2}
	minute.Delays = metric.Delays{3: 10} // half a second to one
	for range 2 {                        // added up in one row
		if err := store.CountMinute(ctx, pool, minute); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := queries.SourceDelays(
		ctx, pool, now.Add(-time.Hour),
	); err != nil || all[id] == nil || *all[id] != (metric.Delays{3: 20}) {
		t.Errorf("delays %v, %v; want 20 of one class", all[id], err)
	}
	shows(
		"viewer", "is being read.", "34 messages", "1,200", "1,234", "p50 750 ms, p95 975 ms",
		"6 duplicates, 0 revised, 4 redelivered", "!kafka-1:9092",
	)
	shows("admin", "kafka-1:9092", "Pause</button>")
	member.Member, member.State, member.Reason = "host:2", "failed", "connection refused"
	if err := queries.SaveMember(ctx, pool, member); err != nil {
		t.Fatal(err)
	}
	shows("viewer", "cannot be read: connection refused")
	if _, body, _ := get(t, viewer, "GET", server.URL+"/health"); !strings.Contains(
		body, "cannot be read: connection refused",
	) || !strings.Contains(body, "34") {
		t.Error("Data health does not tell that the source fails")
	}
	member.SeenAt = now.Add(-time.Minute)
	if err := queries.SaveMember(ctx, pool, member); err != nil {
		t.Fatal(err)
	}
	shows("viewer", "is being read.", "it has not been heard of")

	resp, err := admin.PostForm(page+"/pause", url.Values{"why": {"moving <house>"}})
	if err != nil || resp.StatusCode != 303 {
		t.Fatalf("pause: %v, %v", resp.Status, err)
	}
	resp.Body.Close()
	shows("viewer", "is paused by", "moving &lt;house&gt;", "!Resume</button>")
	shows("admin", "Resume</button>")
	if p, err := queries.SourcePause(ctx, pool, id); err != nil || p.At == nil || p.Why != "moving <house>" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, want := range []int{303, 404} { // the second time there is nothing to resume
		resp, err := admin.PostForm(page+"/resume", nil)
		if err != nil || resp.StatusCode != want {
			t.Errorf("resume: %v, %v; want %d", resp.Status, err, want)
		}
		resp.Body.Close()
	}
	shows("viewer", "is being read.")
	if _, body, _ := get(t, admin, "GET", server.URL+"/admin"); !strings.Contains(body, "Brokers: kafka-1:9092") {
		t.Error("Admin does not list the broker")
	}
}
