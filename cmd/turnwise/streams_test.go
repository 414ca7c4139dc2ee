package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdp "github.com/chromedp/chromedp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fetch returns what an address answers.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// fakeKafka starts a broker in this process with a topic, "rasa-events", and a client that spreads events over its
// partitions.
func fakeKafka(t *testing.T, partitions int32) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "rasa-events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	producer, err := kgo.NewClient(
		kgo.SeedBrokers(fake.ListenAddrs()...), kgo.DefaultProduceTopic("rasa-events"),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	return fake, producer
}

// TestSourcePages runs the server with a broker and looks at what people see of it: health, the source's page,
// pause and resume, rejected events, readiness and metrics.
func TestSourcePages(t *testing.T) {
	fake, producer := fakeKafka(t, 3)
	s := serve(t, "--kafka-brokers", strings.Join(fake.ListenAddrs(), ","), "--kafka-topics", "rasa-events", "--stream-environment", "production",
		"--rabbitmq-urls", "amqp://turnwise:very-secret@127.0.0.1:1/", "--rabbitmq-queues", "turnwise")
	for i := range 90 {
		text := fmt.Sprintf(
			`{"sender_id":"s%d","event":"user","timestamp":%d.5,"text":"hello","message_id":"m%d"}`, i%9,
			time.Now().Unix()-5, i,
		)
		if i%30 == 7 {
			text = strings.Replace(text, `"text":`, `"text":"a long word before the place where it breaks","data":{`, 1)
		}
		if err := producer.ProduceSync(t.Context(), kgo.StringRecord(text)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	ready := func(part string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			status, text := fetch(t, s.admin+"/readyz")
			if strings.Contains(text, part) && status == 200 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("/readyz lacks %q: %d\n%s", part, status, text)
			}
		}
	}
	ready(`source "kafka": reading`)
	ready(`source "rabbitmq": failed: connect to amqp://turnwise:xxxxx@127.0.0.1:1/`)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, text := fetch(t, s.admin+"/metrics")
		if strings.Contains(text, `turnwise_events_total{result="stored",source="kafka"} 87`) && strings.Contains(
			text, `turnwise_events_total{result="rejected",source="kafka"} 3`,
		) &&
			strings.Contains(
				text, `turnwise_source_lag{part="2",source="kafka",stream="rasa-events"} 0`,
			) && strings.Contains(text, `turnwise_source_state{source="rabbitmq",state="failed"} 1`) &&
			strings.Contains(text, `turnwise_event_delay_seconds_count{source="kafka"} 87`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the metrics say\n%s", text)
		}
	}
	if strings.Contains(s.out.String(), "very-secret") {
		t.Error("the log holds a password")
	}
	out, err := turnwise(
		t, "--database-url", s.database, "doctor", "--kafka-brokers", fake.ListenAddrs()[0], "--kafka-topics",
		"no-such-topic", "--rabbitmq-urls", "amqp://u:very-secret@127.0.0.1:1/",
	)
	if err == nil || !strings.Contains(
		out, `topic "no-such-topic": it does not exist`,
	) || !strings.Contains(out, "connection refused") || strings.Contains(out, "very-secret") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	for deadline := time.Now().Add(30 * time.Second); ; { // offsets are committed once a second
		out, _ := turnwise(
			t, "--database-url", s.database, "doctor", "--kafka-brokers", fake.ListenAddrs()[0], "--kafka-topics",
			"rasa-events",
		)
		if strings.Contains(out, `broker of source "kafka" (kafka): answers; 3 partitions or queues, 0 messages wait`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("doctor: %s", out)
		}
	}
	out, err = turnwise(
		t, "--database-url", s.database, "backfill", "--kafka-brokers", fake.ListenAddrs()[0], "--kafka-topics",
		"rasa-events",
	)
	if err != nil || !strings.Contains(out, "already known  87") {
		t.Errorf("backfill: %v\n%s", err, out)
	}

	ctx, complaints := browser(t)
	do(
		t, ctx, cdp.EmulateViewport(1280, 900), cdp.Navigate(s.url+"/login"),
		cdp.SetValue(cdp.CSS("input[name=email]"), adminEmail),
		cdp.SetValue(cdp.CSS("input[name=password]"), s.password), cdp.Click(cdp.CSS("form .btn.main")),
	)
	waitFor(t, ctx, `location.pathname !== "/login"`)
	do(t, ctx, cdp.Navigate(s.url+"/health"), cdp.WaitVisible(cdp.CSS("#health")))
	look(t, ctx, "brokers-health")
	do(t, ctx, cdp.Click(cdp.CSS(`td a[href^="/sources/"]`)), cdp.WaitVisible(cdp.CSS("#source")))
	waitFor(
		t, ctx,
		`document.querySelector("h1").textContent === "kafka" || document.querySelector("h1").textContent === "rabbitmq"`,
	)
	kafkaPage := eval[string](
		t, ctx,
		`(async () => { const r = await fetch("/health"); const d = new DOMParser().parseFromString(await r.text(), "text/html"); return [...d.querySelectorAll("td a")].find(a => a.textContent.trim() === "kafka").getAttribute("href") })()`,
	)
	do(t, ctx, cdp.Navigate(s.url+kafkaPage), cdp.WaitVisible(cdp.CSS("#source")))
	look(t, ctx, "source")
	do(
		t, ctx,
		cdp.SetValue(cdp.CSS("input[name=why]"), "the database moves to another host tonight, until about nine"),
		cdp.Click(cdp.CSS("form.row .btn")),
	)
	waitFor(t, ctx, `document.querySelector("#source .note").textContent.includes("is paused by admin@example.org")`)
	ready(`source "kafka": paused: the database moves`)
	look(t, ctx, "source-paused")
	do(t, ctx, cdp.Click(cdp.CSS(".head .btn.main")))
	waitFor(t, ctx, `document.querySelector("#source .note").textContent.includes("is being")`)
	ready(`source "kafka": reading`)
	do(t, ctx, cdp.Navigate(s.url+"/rejected"), cdp.WaitVisible(cdp.CSS("tr[data-row]")))
	look(t, ctx, "rejected")
	do(t, ctx, cdp.Click(cdp.CSS("tr[data-row] a")), cdp.WaitVisible(cdp.CSS(".place mark")))
	look(t, ctx, "rejected-one")
	do(t, ctx, cdp.Navigate(s.url+"/admin"), cdp.WaitVisible(cdp.CSS("form.form")))
	if secret := eval[bool](t, ctx, `document.documentElement.outerHTML.includes("very-secret")`); secret {
		t.Error("Admin shows a password")
	}
	look(t, ctx, "brokers-admin")
	if all := withoutStatus(complaints()); len(all) > 0 {
		t.Errorf("the console says:\n%s", strings.Join(all, "\n"))
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func(text string) ([]sourceConfig, error) {
		file := filepath.Join(dir, "sources.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f := streamFlags{Sources: file}
		return f.configured(func(name string) string { return map[string]string{"SECRET": "s3cret: \"{"}[name] })
	}
	all, err := read(`
sources:
  - name: a
    assistant: bank
    kafka: {brokers: ["k:9092"], security_protocol: SASL_SSL, username: u, password: "${SECRET}"}
  - name: b
    rabbitmq:
      urls: ["amqp://u:p@h/"]
  - name: c
    chatwoot: {url: "https://chat.example.org/", account: 3, token: "${SECRET}"}
`)
	if err != nil || len(all) != 3 || all[2].Mapping != "chatwoot" || all[2].Format != "neutral" ||
		all[2].Chatwoot.Token != `s3cret: "{` || all[2].Chatwoot.URL != "https://chat.example.org" || all[0].Kafka.Password != `s3cret: "{` ||
		all[0].Kafka.Topics[0] != "rasa_core_events" || all[1].Assistant != "default" ||
		all[1].RabbitMQ.Prefetch != 1000 {
		t.Errorf("%+v, %v", all, err)
	}
	for text, want := range map[string]string{
		"sources:\n  - kafka: {brokers: [\"k:1\"]}": "source number 1: it needs a name",
		"sources:\n  - name: a":                     "it needs one of kafka, rabbitmq, rasa_sql and chatwoot",
		"sources:\n  - {name: a, kafka: {brokers: [\"k:1\"]}, rasa_sql: {url: \"postgres://h/rasa\"}}":     "it needs one of kafka, rabbitmq, rasa_sql and chatwoot",
		"sources:\n  - name: a\n    kafka: {brokers: [\"k:1\"], topicz: [x]}":                              "topicz",
		"sources:\n  - {name: a, chatwoot: {url: \"https://h\", account: 1}}":                              "token: an access token",
		"sources:\n  - {name: a, format: csv, kafka: {brokers: [\"k:1\"]}}":                                "format",
		"sources:\n  - name: a\n    kafka: {brokers: [\"k:1\"], password: \"${NO}\"}":                      "not set in the environment: ${NO}",
		"sources:\n  - {name: a, kafka: {brokers: [\"k:1\"]}}\n  - {name: a, kafka: {brokers: [\"k:1\"]}}": "another one has the same name",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v; want %q", text, err, want)
		}
	}
	if _, err := read(
		"sources:\n  - name: a\n    kafka:\n      password: hunter2\n      grup: x\n      brokers: [\"k:1\"]\n",
	); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "grup") {
		t.Errorf("%v; want the mistake without the password", err)
	}
	flags := streamFlags{KafkaBrokers: []string{"k:9092"}, RabbitURLs: []string{"amqp://h/"}}
	if all, err := flags.configured(os.Getenv); err != nil || len(all) != 2 || connections(all) != 10 {
		t.Errorf("%+v, %v", all, err)
	}
}
