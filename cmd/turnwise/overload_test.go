package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest/brokertest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// detector tells that the race detector is at work, which keeps a second account of all memory: four times what the
// program itself takes.
var detector bool

// TestOverload sends ten times what a large installation has, 20,000 events a second by Kafka and HTTP, with bursts of
// more requests than can be served, while somebody reads the pages: memory stays flat, refused requests say when to
// come again, nothing accepted is lost and the lag goes away. TURNWISE_TEST_FAULTS=long does it for three minutes.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	lasting := 8 * time.Second
	if os.Getenv("TURNWISE_TEST_FAULTS") == "long" {
		lasting = 3 * time.Minute
	}
	broker := brokertest.Kafka(t, "127.0.0.1")
	database := dbtest.URL(t)
	pool, err := queries.Open(t.Context(), database, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker.Address), kgo.DefaultProduceTopic("rasa_core_events"), kgo.MaxBufferedRecords(50000),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, "rasa_core_events"); err != nil {
		t.Fatal(err)
	}
	out, err := turnwise(t, "--database-url", database, "token", "create", "loader", "--assistant", "default")
	if err != nil {
		t.Fatal(out, err)
	}
	token := out[strings.Index(out, "tw_"):]
	token = strings.Fields(token)[0]
	const password = "overload trial password"
	if err := addUser(t.Context(), pool, adminEmail, "Admin", "admin", password); err != nil {
		t.Fatal(err)
	}
	listen := freePort(t)
	log := new(output)
	cmd := exec.Command(
		os.Args[0], "--database-url", database, "serve", "--listen", listen, "--admin-listen", "127.0.0.1:0",
		"--kafka-brokers", broker.Address,
	)
	cmd.Env = append(os.Environ(), "TURNWISE_TEST_RUN_MAIN=1")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v\n%s", err, tail(log))
		}
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	reader := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	brokertest.Until(t, func() string {
		resp, err := reader.PostForm("http://"+listen+"/login", url.Values{
			"email": {adminEmail}, "password": {password},
		})
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		if resp.Request.URL.Path == "/login" {
			t.Fatalf("signed in: %s", resp.Status)
		}
		return ""
	})
	page := func() time.Duration {
		begun := time.Now()
		resp, err := reader.Get("http://" + listen + "/conversations")
		if err != nil {
			t.Error(err)
			return 0
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(text), "Conversations") {
			t.Errorf("the page: %s, %v", resp.Status, err)
		}
		return time.Since(begun)
	}
	median := func(all []time.Duration, share float64) time.Duration {
		if len(all) == 0 {
			return 0
		}
		slices.Sort(all)
		return all[int(share*float64(len(all)-1))].Round(100 * time.Microsecond)
	}
	var idle []time.Duration
	for range 50 {
		idle = append(idle, page())
	}

	var next, refused, accepted atomic.Int64
	event := func() string {
		n := next.Add(1)
		return fmt.Sprintf(
			`{"sender_id":"s%d","event":"%s","timestamp":%.3f,"text":"hello, I would like to know %d","message_id":"m%d"}`,
			n/12, []string{"user", "bot"}[n%2], float64(time.Now().UnixMilli())/1000, n, n,
		)
	}
	post := func(body string) { // until it is taken, as a bot would
		for {
			req, err := http.NewRequestWithContext(
				t.Context(), http.MethodPost, "http://"+listen+"/api/v1/ingest/rasa", strings.NewReader(body),
			)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusAccepted {
				accepted.Add(int64(strings.Count(body, "\n")))
				return
			}
			wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
			if resp.StatusCode != http.StatusTooManyRequests || err != nil || wait < 1 {
				t.Errorf("%s with Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
				return
			}
			refused.Add(1)
			time.Sleep(time.Duration(wait) * time.Second)
		}
	}
	begun := time.Now()
	var all sync.WaitGroup
	all.Go(func() { // 15,000 a second
		for n := 0; time.Since(begun) < lasting; n += 1500 {
			for range 1500 {
				client.Produce(t.Context(), kgo.StringRecord(event()), nil)
			}
			time.Sleep(time.Until(begun.Add(time.Duration(n) * time.Second / 15000)))
		}
	})
	all.Go(func() { // 5,000 a second, half of them in bursts
		for n := 0; time.Since(begun) < lasting; n += 5000 {
			for range 40 {
				body := new(strings.Builder)
				for range 125 {
					body.WriteString(event() + "\n")
				}
				all.Go(func() { post(body.String()) })
			}
			time.Sleep(time.Until(begun.Add(time.Duration(n) * time.Second / 5000)))
		}
	})
	var busy []time.Duration
	var sizes []int
	for time.Since(begun) < lasting {
		busy = append(busy, page())
		sizes = append(sizes, rss(t, cmd.Process.Pid))
		time.Sleep(100 * time.Millisecond)
	}
	all.Wait()
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended, sent := time.Now(), int(next.Load())
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select count(*) from events`); n != sent {
			return fmt.Sprintf("%d of %d are stored\n%s", n, sent, tail(log))
		}
		return ""
	})
	drained := time.Since(ended)
	for range 50 {
		idle = append(idle, page())
	}
	t.Logf("%d events in %v (%d by HTTP, %d requests refused for a while), drained %v later; page p50/p95 %v/%v, at rest %v/%v; memory at first %d MB, at most %d MB", sent, ended.Sub(begun).Round(time.Second),
		accepted.Load(), refused.Load(), drained.Round(10*time.Millisecond), median(busy, 0.5), median(busy, 0.95), median(idle, 0.5), median(idle, 0.95), sizes[len(sizes)/4]>>20, slices.Max(sizes)>>20)
	most := int64(512)
	if detector {
		most *= 2
	}
	if int64(slices.Max(sizes))>>20 > most {
		t.Errorf("%d MB of memory, more than %d", slices.Max(sizes)>>20, most)
	}
	if refused.Load() == 0 {
		t.Error("no request was refused: this is no overload")
	}
}

// rss is how much memory a process holds, in bytes.
func rss(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
