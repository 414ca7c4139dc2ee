package web_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/web"
)

// TestJobsPage: what runs is seen, a failed job can be done again, a waiting one cancelled, all of them held back.
func TestJobsPage(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	addUsers(t, pool)
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		t.Fatal(err)
	}
	handler, stop := web.New(web.Config{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, URL: "http://localhost",
		Ingest: http.NotFoundHandler(), Jobs: queue,
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	work, err := jobs.Start(t.Context(), jobs.Config{Pool: pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	end := func() {
		if !stopped {
			stopped = true
			if err := work.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	defer end()
	c := signIn(t, server.URL, "admin")
	// A job that cannot be understood is cancelled by its worker, and says why.
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return queue.Add(t.Context(), tx, jobs.ExportArgs{ID: "nonsense"})
	}); err != nil {
		t.Fatal(err)
	}
	see := func(want string) string {
		t.Helper()
		for until := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			_, body, _ := get(t, c, "GET", server.URL+"/admin/jobs")
			if strings.Contains(body, want) {
				return body
			}
			if time.Now().After(until) {
				t.Fatalf("the page never shows %q:\n%.3000s", want, body)
			}
		}
	}
	body := see("nonsense")
	for _, p := range jobs.Periodics {
		if !strings.Contains(body, p.Kind) || !strings.Contains(body, p.Words) {
			t.Errorf("%s is not on the page", p.Kind)
		}
	}
	see("cancelled")
	see("at work")
	if resp, err := c.PostForm(server.URL+"/admin/jobs/pause", nil); err != nil || resp.StatusCode != 303 {
		t.Fatal(err)
	}
	see("No further job begins")
	end()
	see("Start <code>turnwise serve</code>")
	failed, err := queries.FailedJobs(t.Context(), pool)
	if err != nil || len(failed) != 1 || !strings.Contains(failed[0].Error, "nonsense") {
		t.Fatalf("%+v, %v", failed, err)
	}
	address := server.URL + "/admin/jobs/" + strconv.FormatInt(failed[0].ID, 10)
	for _, x := range []struct{ act, state string }{{"/retry", "available"}, {"/cancel", "cancelled"}} {
		if resp, err := c.PostForm(address+x.act, nil); err != nil || resp.StatusCode != 303 {
			t.Fatal(err)
		}
		var state string
		if err := pool.QueryRow(
			t.Context(), `select state::text from river_job where id = $1`, failed[0].ID,
		).Scan(&state); err != nil || state != x.state {
			t.Errorf("%s: %s, %v", x.act, state, err)
		}
	}
	if resp, err := c.PostForm(server.URL+"/admin/jobs/resume", nil); err != nil || resp.StatusCode != 303 {
		t.Fatal(err)
	}
	if paused, err := queries.JobsPaused(t.Context(), pool); err != nil || paused {
		t.Errorf("still paused, %v", err)
	}
}
