package web_test

import (
	"html"
	"strings"
	"testing"
	"time"

	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/secret"
)

// TestJobQueuePage: the page of jobs lists those of the queue and says when it cannot be read; what they run is shown
// under Reports, and is not changed or paused there.
func TestJobQueuePage(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	admin := signIn(t, o.url, "admin")
	page := func() string {
		t.Helper()
		status, page := o.get(admin, "/admin/jobs")
		if status != 200 {
			t.Fatalf("%d", status)
		}
		return html.UnescapeString(page)
	}
	if strings.Contains(page(), "From the queue") {
		t.Error("a queue is shown where none is read")
	}
	box, err := secret.NewBox("a key of the test, long enough")
	if err != nil {
		t.Fatal(err)
	}
	q := &jobs.JobQueue{Hosts: []string{"192.0.2.1"}, Account: o.user("admin@example.org").Email}
	for _, body := range []string{
		`{"uuid":"<b>u</b>","name":"AnalyticsExport","run_id":"7","parameters":{"url":"https://192.0.2.1/upload"}}`,
		`{"uuid":"u2","name":"AnalyticsExport","run_id":"8","parameters":{"url":"https://192.0.2.2/upload"}}`,
	} {
		if err := q.TakeJob(t.Context(), o.pool, jobs.Reports{Box: box}, []byte(body), time.UTC, o.now); err != nil {
			t.Fatal(err)
		}
	}
	state := func(failure string) {
		t.Helper()
		if err := queries.SetJobQueueState(t.Context(), o.pool, "automate.jobs.AnalyticsExport", failure, o.now); err != nil {
			t.Fatal(err)
		}
	}
	state("")
	for _, want := range []string{"From the queue", "automate.jobs.AnalyticsExport", "<b>u</b>", "running", "leads to 192.0.2.2"} {
		if !strings.Contains(page(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page(), "has not been read") {
		t.Error("a queue that is read is said not to be")
	}
	state("RabbitMQ has no such queue")
	if !strings.Contains(page(), "RabbitMQ has no such queue.") {
		t.Error("the page does not say why the queue is not read")
	}
	all, err := queries.Schedules(t.Context(), o.pool, nil)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d reports, %v", len(all), err)
	}
	at := "/reports/" + all[0].ID.String()
	if status, page := o.get(admin, at); status != 200 || !strings.Contains(page, "when a job of the queue asks for it") ||
		strings.Contains(page, at+"/pause") || strings.Contains(page, "/reports/edit?of=") {
		t.Errorf("the report: %d %.600s", status, page)
	}
	const why = "runs when a job of the queue asks for it"
	if status, page := o.get(admin, "/reports/edit?of="+all[0].ID.String()); status != 400 || !strings.Contains(page, why) {
		t.Errorf("its form: %d %s", status, page)
	}
	if status, _, page := o.post(admin, at+"/pause"); status != 400 || !strings.Contains(page, why) {
		t.Errorf("pause: %d %s", status, page)
	}
	o.now = o.now.Add(queries.JobQueueGone + time.Second)
	if strings.Contains(page(), "From the queue") {
		t.Error("a queue that nobody has read for a day is still shown")
	}
}
