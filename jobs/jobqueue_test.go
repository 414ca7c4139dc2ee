package jobs_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"turnwise/conversation"
	"turnwise/ingest/brokertest"
	"turnwise/ingest/rabbit"
	"turnwise/jobs"
	"turnwise/queries"
)

// exportStore takes SentiOne's zip.
type exportStore struct {
	*httptest.Server
	mu   sync.Mutex
	got  []upload
	code int // that it answers with; 0: 200
}

type upload struct {
	header   http.Header
	messages [][]string // without the head
}

func newStore(t *testing.T) *exportStore {
	t.Helper()
	w := &exportStore{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		u := upload{header: r.Header}
		f, _, err := r.FormFile("uploads")
		if err != nil {
			t.Error(err)
			return
		}
		b, _ := io.ReadAll(f)
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil || len(z.File) != 2 {
			t.Errorf("zip: %v", err)
			return
		}
		m, err := z.File[0].Open()
		if err != nil {
			t.Error(err)
			return
		}
		rows, err := csv.NewReader(m).ReadAll()
		if err != nil || len(rows) == 0 {
			t.Errorf("%s: %v", z.File[0].Name, err)
			return
		}
		u.messages = rows[1:]
		w.mu.Lock()
		defer w.mu.Unlock()
		w.got = append(w.got, u)
		if w.code != 0 {
			rw.WriteHeader(w.code)
		}
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *exportStore) take() []upload {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.got
	w.got = nil
	return got
}

func (w *exportStore) host() string {
	u, _ := url.Parse(w.URL)
	return u.Host
}

// job writes a message of the queue.
func job(uuid, run string, parameters map[string]any) []byte {
	b, _ := json.Marshal(map[string]any{
		"uuid": uuid, "name": "AnalyticsExport", "run_id": run, "scheduled_at": "2026-10-27T03:00:00Z", "parameters": parameters,
	})
	return b
}

// TestTakeJob: a job of the queue is run once for its run, goes on where the one before ended, is skipped while that is
// under way, and is refused with the reason; secrets of its headers are sealed.
func TestTakeJob(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	w := newStore(t)
	q := &jobs.JobQueue{Name: "automate.jobs.AnalyticsExport", Hosts: []string{w.host(), "Warehouse.example.org"}, Account: o.user.Email}
	take := func(body []byte) {
		t.Helper()
		if err := q.TakeJob(t.Context(), o.pool, o.sent, body, time.UTC, o.clock()); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		o.set(o.clock().Add(time.Second))
	}
	listed := func() []queries.QueuedJob {
		t.Helper()
		all, err := queries.QueuedJobs(t.Context(), o.pool, 100)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	parameters := func(more ...any) map[string]any {
		p := map[string]any{"url": w.URL + "/upload", "headers": map[string]string{"authorization": "Bearer of the house"}}
		for i := 0; i < len(more); i += 2 {
			p[more[i].(string)] = more[i+1]
		}
		return p
	}
	o.say("ann", noon.Add(-2*time.Hour))
	o.say("bob", noon.Add(-2*time.Hour))
	take(job("j1", "1", parameters()))
	take(job("j1", "1", parameters("url", "http://elsewhere.example.org/"))) // the same run comes again
	take(job("j1", "2", parameters()))                                       // while the first is not over
	o.work()
	got := w.take()
	if len(got) != 1 || len(got[0].messages) != 2 || got[0].header.Get("Authorization") != "Bearer of the house" {
		t.Fatalf("%d uploads: %+v", len(got), got)
	}
	states := func() (all []string) {
		for _, j := range listed() {
			all = append(all, j.Run+" "+j.State+j.Refused)
		}
		return all
	}
	if is := states(); !slices.Equal(is, []string{"2 skipped", "1 done"}) {
		t.Errorf("states: %q", is)
	}
	x := listed()[1]
	if x.Rows != 2 || x.Job != "j1" || x.Name != "AnalyticsExport" || x.ScheduledAt == nil || x.ScheduledAt.Hour() != 3 || x.EndedAt == nil {
		t.Errorf("listed: %+v", x)
	}
	var kept string
	if err := o.pool.QueryRow(t.Context(), `select s::text from schedules s`).Scan(&kept); err != nil || strings.Contains(kept, "of the house") {
		t.Errorf("kept: %s, %v", kept, err)
	}
	// The next brings what is new, and the same again where it was not taken.
	o.say("cid", noon.Add(-3*time.Hour)) // it arrives late
	w.code = http.StatusServiceUnavailable
	take(job("j1", "3", parameters()))
	o.work()
	first := w.take()
	w.code = 0
	o.say("dan", noon.Add(-2*time.Hour)) // after the file was made
	o.set(o.clock().Add(2 * time.Minute))
	o.work()
	again := w.take()
	if len(first) != 1 || len(again) != 1 || len(first[0].messages) != 1 || fmt.Sprint(first[0].messages) != fmt.Sprint(again[0].messages) {
		t.Errorf("first %+v, again %+v", first, again)
	}
	take(job("j1", "4", parameters("headers", map[string]string{})))
	o.work()
	if got = w.take(); len(got) != 1 || len(got[0].messages) != 1 || got[0].header.Get("Authorization") != "" {
		t.Errorf("the fourth: %+v", got)
	}
	// Another job has a place of its own, and bots of its own.
	for i, bot := range []string{"bank", conversation.NameUUID("bank").String(), ""} {
		bots := []string{bot}
		if bot == "" {
			bots = nil
		}
		take(job(fmt.Sprint("of bots ", i), "1", parameters("bots", bots, "format", "sentione-csv-zip")))
		o.work()
		if got = w.take(); len(got) != 1 || len(got[0].messages) != 4 {
			t.Errorf("bots %q: %+v", bots, got)
		}
	}

	o.sent.Internal = nil // loopback is a private network now
	before := len(listed())
	for _, c := range []struct {
		body []byte
		says string
	}{
		{[]byte("{"), "message: is no job"},
		{[]byte(`{"uuid": 5}`), "message: is no job"},
		{[]byte("[]"), "message: is no job"},
		{job("", "1", parameters()), "uuid: is needed"},
		{job(strings.Repeat("x", 201), "1", parameters()), "uuid: is needed"},
		{job("j2", "", parameters()), "run_id: is needed"},
		{bytes.Replace(job("j2", "2", parameters()), []byte("AnalyticsExport"), []byte("Retrain"), 1), "the only job that is known"},
		{job("j2", "3", parameters("format", "parquet")), "the only one is sentione-csv-zip"},
		{job("j2", "4", parameters("url", "ftp://warehouse.example.org/")), "parameters.url: is no address"},
		{job("j2", "5", parameters("url", "http://u:p@warehouse.example.org/")), "without a password"},
		{job("j2", "6", parameters("url", "https://other.example.org/")), "leads to other.example.org, which is not one"},
		{job("j2", "7", parameters("url", "https://xwarehouse.example.org/")), "is not one of the servers"},
		{job("j2", "8", parameters()), "leads to a private network"},
		{job("j2", "9", parameters("url", "https://warehouse.example.org/", "bots", []string{"shop"})), `"shop", which is no assistant`},
		{job("j2", "10", parameters("url", "https://warehouse.example.org/", "headers", map[string]string{"Host": "x"})), "Host is set by Turnwise"},
		{job("j2", "11", parameters("url", "https://warehouse.example.org/", "headers", map[string]string{"A b": "x"})), "no name of a header"},
		{job("j2", "12", parameters("url", "https://warehouse.example.org/", "headers", map[string]string{"A": "x\r\nB: y"})), "more than one line"},
	} {
		take(c.body)
		if j := listed()[0]; !strings.Contains(j.Refused, c.says) || j.State != "" || j.ScheduleID != nil {
			t.Errorf("%s: %+v, want %q", c.body, j, c.says)
		}
		if n := len(listed()); n != before+1 {
			t.Errorf("%s: %d more are listed", c.body, n-before)
		}
		before++
	}
	o.work()
	if n := len(w.take()); n != 0 {
		t.Errorf("%d uploads of jobs that were refused", n)
	}
	// One that was refused may come again, as when its server was not allowed yet.
	q.Hosts = append(q.Hosts, "other.example.org:443")
	take(job("j2", "6", parameters("url", "https://other.example.org/")))
	if j := listed()[0]; j.Run != "6" || j.Refused != "" || j.State != queries.RunWaiting || len(listed()) != before {
		t.Errorf("again: %+v", j)
	}
	q.Account = "nobody@example.org"
	take(job("j3", "1", parameters("url", "https://warehouse.example.org/")))
	if j := listed()[0]; !strings.Contains(j.Refused, "nobody@example.org of --job-account is not known") {
		t.Errorf("without the account: %+v", j)
	}
}

// TestJobQueue: jobs come over a real RabbitMQ, are acknowledged when they are stored, and go on after it was away.
func TestJobQueue(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it needs a RabbitMQ, and runs without the race detector")
	}
	t.Parallel()
	broker := brokertest.Rabbit(t, "127.0.0.1")
	o := newOffice(t, 0)
	w := newStore(t)
	o.say("ann", time.Now().Add(-2*time.Hour))
	const name = "automate.jobs.AnalyticsExport"
	server := rabbit.New(rabbit.Config{URLs: []string{"amqp://guest:guest@" + broker.Address + "/"}})
	client, err := jobs.Start(t.Context(), jobs.Config{
		Pool: o.pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, Version: "test", Reports: o.sent,
		Queue: &jobs.JobQueue{
			Connect: func(ctx context.Context) (*amqp.Connection, error) { return server.Connect(ctx, "turnwise (jobs)") },
			Name:    name, Hosts: []string{"127.0.0.1"}, Account: o.user.Email,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Stop(t.Context()) })
	state := func(want string) {
		t.Helper()
		brokertest.Until(t, func() string {
			q, err := queries.JobQueueState(t.Context(), o.pool)
			if err != nil {
				return err.Error()
			}
			if !strings.Contains(q.Error, want) || (want == "") != (q.Error == "" && q.FailingSince == nil) {
				return fmt.Sprintf("state %+v, want %q", q, want)
			}
			return ""
		})
	}
	var ch *amqp.Channel
	open := func() {
		t.Helper()
		brokertest.Until(t, func() string {
			conn, err := amqp.Dial("amqp://guest:guest@" + broker.Address + "/")
			if err != nil {
				return err.Error()
			}
			if ch, err = conn.Channel(); err != nil {
				return err.Error()
			}
			t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) })
			return ""
		})
	}
	publish := func(body []byte) {
		t.Helper()
		if err := ch.PublishWithContext(t.Context(), "", name, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	empty := func() {
		t.Helper()
		brokertest.Until(t, func() string {
			q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			if err != nil || q.Messages > 0 {
				return fmt.Sprintf("%d wait, %v", q.Messages, err)
			}
			return ""
		})
	}
	runs := func(want string) {
		t.Helper()
		brokertest.Until(t, func() string {
			all, err := queries.QueuedJobs(t.Context(), o.pool, 10)
			if err != nil {
				return err.Error()
			}
			var is []string
			for _, j := range all {
				is = append(is, j.Run+" "+j.State+j.Refused)
			}
			slices.Sort(is)
			if got := strings.Join(is, ", "); got != want {
				return got + ", want " + want
			}
			return ""
		})
	}
	state("no such queue")
	open()
	if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	state("")
	p := map[string]any{"url": w.URL + "/upload"}
	publish(job("j", "1", p))
	publish(job("j", "1", p))
	publish([]byte("not a job"))
	runs(" message: is no job: invalid character 'o' in literal null (expecting 'u'), 1 done")
	empty()
	if got := w.take(); len(got) != 1 || len(got[0].messages) != 1 {
		t.Errorf("%d uploads: %+v", len(got), got)
	}
	if _, err := ch.QueueDelete(name, false, false, false); err != nil {
		t.Fatal(err)
	}
	state("no such queue")
	if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	state("")
	broker.Kill()
	state("refuses connections")
	broker.Start(t)
	open()
	publish(job("j", "2", p))
	brokertest.Until(t, func() string {
		all, err := queries.QueuedJobs(t.Context(), o.pool, 10)
		if err != nil || len(all) != 3 || all[0].Run != "2" || all[0].ScheduleID == nil {
			return fmt.Sprintf("after it was away: %+v, %v", all, err)
		}
		return ""
	})
	empty()
	state("")
}
