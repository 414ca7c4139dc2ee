package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest/brokertest"
	"turnwise/localdb"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestNetworkLost runs a consumer on a host of its own whose network loses every packet while events stream in:
// it notices in time, nothing waits for ever, and when the network is back it goes on by itself.
func TestNetworkLost(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	// A run that was killed leaves its network behind: each has a name and addresses of its own.
	n := rand.IntN(1 << 14)
	name := fmt.Sprintf("tw%d", n)
	host, guest := fmt.Sprintf("10.231.%d.%d", n>>6, n&63<<2+1), fmt.Sprintf("10.231.%d.%d", n>>6, n&63<<2+2)
	ip := func(args ...string) error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := ip("netns", "add", name); err != nil {
		fmt.Fprintln(os.Stderr, "\n*** "+t.Name()+": SKIPPED: no network namespaces here: "+err.Error()+"\n")
		t.Skip(err)
	}
	t.Cleanup(func() { _ = ip("netns", "del", name) })
	for _, words := range []string{
		"link add " + name + "a type veth peer name " + name + "b netns " + name, "addr add " + host + "/30 dev " +
			name + "a", "link set " + name + "a up",
		"-n " + name + " addr add " + guest + "/30 dev " + name + "b", "-n " + name + " link set " + name +
			"b up", "-n " + name + " link set lo up",
	} {
		if err := ip(strings.Fields(words)...); err != nil {
			t.Fatal(err)
		}
	}
	broker := brokertest.Kafka(t, host)
	dir, err := dbtest.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	db, err := localdb.Start(context.Background(), localdb.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Stop)
	_, address := proxied(t, host, db)
	if out, err := turnwise(t, "--database-url", db.URL(), "migrate"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Address), kgo.DefaultProduceTopic("rasa_core_events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, "rasa_core_events"); err != nil {
		t.Fatal(err)
	}
	sent := 0
	send := func(n int) {
		for range n {
			client.Produce(
				t.Context(),
				kgo.StringRecord(
					fmt.Sprintf(
						`{"sender_id":"s%d","event":"user","timestamp":%d.5,"text":"hello","message_id":"m%d"}`,
						sent%50, 1790000000+sent, sent,
					),
				),
				nil,
			)
			sent++
		}
		if err := client.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pool, err := queries.Open(t.Context(), db.URL(), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	stored := func() int { return brokertest.Count(t, pool, `select count(*) from events`) }

	out := new(output)
	cmd := exec.Command(
		"ip", "netns", "exec", name, os.Args[0], "--database-url", address, "ingest", "--admin-listen",
		"127.0.0.1:5755", "--kafka-brokers", broker.Proxy.Address,
	)
	cmd.Env = append(os.Environ(), "TURNWISE_TEST_RUN_MAIN=1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v\n%s", err, tail(out))
		}
	})
	send(500)
	brokertest.Until(t, func() string {
		if n := stored(); n != sent {
			return fmt.Sprintf("%d of %d are stored\n%s", n, sent, tail(out))
		}
		return ""
	})
	for _, end := range []string{name + "a", name + "b"} { // either side's packets are lost, in turn
		args := []string{"link", "set", end}
		if strings.HasSuffix(end, "b") {
			args = append([]string{"-n", name}, args...)
		}
		quiet := len(out.String())
		send(200)
		if err := ip(append(args, "down")...); err != nil {
			t.Fatal(err)
		}
		send(300)
		lost := time.Now()
		brokertest.Until(t, func() string {
			if text := out.String()[quiet:]; !strings.Contains(text, "WARN") && !strings.Contains(text, "ERROR") {
				return "it does not notice that its network is lost: " + text
			}
			return ""
		})
		t.Logf("noticed %v after %s went down", time.Since(lost).Round(time.Millisecond), filepath.Base(end))
		if err := ip(append(args, "up")...); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		brokertest.Until(t, func() string {
			if n := stored(); n != sent {
				return fmt.Sprintf("%d of %d are stored\n%s", n, sent, tail(out))
			}
			return ""
		})
		t.Logf("all %d stored %v after it was back", sent, time.Since(back).Round(time.Millisecond))
	}
	if aside := brokertest.Count(t, pool, `select count(*) from rejected_events`); aside != 0 {
		t.Errorf("%d events were set aside", aside)
	}
}
