package rabbit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"

	"turnwise/ingest"
	"turnwise/ingest/brokertest"
	"turnwise/ingest/rabbit"
	"turnwise/queries/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func url(b *brokertest.Broker) string { return "amqp://guest:guest@" + b.Address + "/" }

func channel(t *testing.T, b *brokertest.Broker) *amqp.Channel {
	t.Helper()
	var ch *amqp.Channel
	brokertest.Until(t, func() string { // a server that has just begun may drop its first guests
		conn, err := amqp.Dial(url(b))
		if err != nil {
			return err.Error()
		}
		if ch, err = conn.Channel(); err != nil {
			_ = conn.CloseDeadline(time.Now())
			return err.Error()
		}
		t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) })
		return ""
	})
	return ch
}

func stream(t *testing.T, pool *pgxpool.Pool, cfg rabbit.Config) (*ingest.Stream, func()) {
	t.Helper()
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	c := rabbit.New(cfg)
	t.Cleanup(c.Close)
	source := ingest.Source{Name: "rabbitmq", Kind: "rabbitmq", Assistant: "bank", DeadLetter: c.DeadLetter()}
	return brokertest.Stream(t, pool, c, source, "one")
}

func event(n int) string {
	return fmt.Sprintf(
		`{"sender_id":"s%d","event":"user","timestamp":%d.25,"text":"message %d","message_id":"m%d"}`, n%7,
		1790000000+n, n, n,
	)
}

// All that a RabbitMQ does to a consumer, one after the other: it takes a while to start.
func TestRabbit(t *testing.T) {
	t.Parallel()
	broker := brokertest.Rabbit(t, "127.0.0.1")
	pool := dbtest.Pool(t)
	ch := channel(t, broker)
	// As Rasa declares it: fanout, not durable. Ours must not be in its way, nor it in ours.
	if err := ch.ExchangeDeclare("rasa-exchange", amqp.ExchangeFanout, false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	produced := 0
	publish := func(n int) {
		t.Helper()
		for range n {
			p := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(event(produced))}
			if produced%2 == 0 {
				p.AppId = "staging"
			}
			if err := ch.PublishWithContext(t.Context(), "rasa-exchange", "", false, false, p); err != nil {
				t.Fatal(err)
			}
			produced++
		}
	}
	cfg := rabbit.Config{
		URLs: []string{"amqp://guest:guest@127.0.0.1:1/", url(broker)}, Queues: []string{"turnwise", "turnwise-2"},
		Exchange: "rasa-exchange", Quorum: true, Prefetch: 50, DeadLetter: "dead",
	}
	s, stop := stream(t, pool, cfg)
	brokertest.Until(t, func() string {
		if st := s.Status(); st.State != ingest.Reading {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	stored := func() string {
		n, waiting := brokertest.Count(t, pool, `select count(*) from events`), 0
		for _, queue := range []string{"turnwise", "turnwise-2"} {
			q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			waiting += q.Messages
		}
		if n != produced || waiting > 0 {
			return fmt.Sprintf("%d of %d events, %d messages wait; %+v", n, produced, waiting, s.Status())
		}
		return ""
	}
	publish(500)
	brokertest.Until(t, stored)
	if n := brokertest.Count(
		t, pool,
		`select count(*) from events e join environments v on v.id = e.environment_id where v.name = 'staging'`,
	); n != 250 {
		t.Errorf("%d events of staging, want 250", n)
	}
	// Both queues get each message: the second copy is known.
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select sum(duplicates) from ingest_minutes`); n != 500 {
			return fmt.Sprintf("%d of 500 copies were recognised", n)
		}
		return ""
	})
	for _, poison := range []string{"", "\xff\xfe", `{"a":1}`} {
		if err := ch.PublishWithContext(
			t.Context(), "", "turnwise", false, false, amqp.Publishing{Body: []byte(poison)},
		); err != nil {
			t.Fatal(err)
		}
	}
	publish(10)
	brokertest.Until(t, stored)
	brokertest.Until(t, func() string {
		q, err := ch.QueueDeclarePassive("dead", true, false, false, false, nil)
		if err != nil || q.Messages != 3 {
			return fmt.Sprintf("dead letters: %d of 3, %v", q.Messages, err)
		}
		return ""
	})

	// Stopped in the middle, what was not acknowledged comes again, marked so.
	stop()
	publish(200)
	s, stop = stream(t, pool, cfg)
	brokertest.Until(t, stored)

	// The server dies and comes back.
	stop()
	ch.Close()
	broker.Kill()
	s, stop = stream(t, pool, cfg)
	brokertest.Until(t, func() string {
		if st := s.Status(); st.State != ingest.Failed || strings.Contains(st.Reason, "guest:guest") {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	broker.Start(t)
	ch = channel(t, broker)
	brokertest.Until(t, func() string {
		if st := s.Status(); st.State != ingest.Reading {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	publish(50) // over the exchange that the stream has made again, as it does not survive
	brokertest.Until(t, stored)

	// A queue is deleted: that is shown, and it is made again.
	if _, err := ch.QueueDelete("turnwise-2", false, false, false); err != nil {
		t.Fatal(err)
	}
	brokertest.Until(t, func() string {
		if st := s.Status(); st.Reconnects == 0 || !strings.Contains(
			st.Error, `queue "turnwise-2"`,
		) || st.State != ingest.Reading {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	publish(20)
	brokertest.Until(t, stored)
	stop()

	// Passive: nothing is made.
	missing, _ := stream(t, pool, rabbit.Config{
		URLs: []string{url(broker)}, Queues: []string{"nobody-made-this"}, Passive: true,
	})
	brokertest.Until(t, func() string {
		if st := missing.Status(); st.State != ingest.Failed || !strings.Contains(
			st.Reason, `queue "nobody-made-this": it does not exist`,
		) {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	for exchange, want := range map[string]string{
		"rasa-exchange": "", "rasa-exchnage": `exchange "rasa-exchnage": it does not exist`,
	} {
		asking := rabbit.New(rabbit.Config{URLs: []string{url(broker)}, Exchange: exchange})
		if err := asking.Check(t.Context()); want == "" && err != nil || want != "" && (err == nil ||
			!strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", exchange, err)
		}
		asking.Close()
	}
	refused, _ := stream(t, pool, rabbit.Config{
		URLs: []string{strings.Replace(url(broker), "guest:guest", "guest:secret", 1)},
	})
	brokertest.Until(t, func() string {
		if st := refused.Status(); st.State != ingest.Failed || !strings.Contains(
			st.Reason, "refuses the user name or password",
		) || strings.Contains(st.Reason, "secret") {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cfg  rabbit.Config
		want string
	}{
		{rabbit.Config{}, "urls: name at least one"},
		{rabbit.Config{URLs: []string{"http://user:hush@h"}}, "urls: number 1"},
		{rabbit.Config{URLs: []string{"amqp://user:hu sh@h:x"}}, "urls: number 1"},
		{rabbit.Config{URLs: []string{"amqp://h"}, DeadLetter: "rasa_core_events"}, "for ever"},
		{rabbit.Config{URLs: []string{"amqp://h"}, Prefetch: 70000}, "prefetch"},
		{rabbit.Config{URLs: []string{"amqps://h"}, KeyFile: "k"}, "go together"},
		{rabbit.Config{URLs: []string{"amqps://u:p@h:5671/v"}}, ""},
	} {
		err := tt.cfg.Check()
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) ||
			strings.Contains(got, "hu") {
			t.Errorf("%+v: %v; want %q", tt.cfg, err, tt.want)
		}
	}
	cfg := rabbit.Config{URLs: []string{"amqp://u:hush@h/"}}
	if told := fmt.Sprint(cfg.Settings()); strings.Contains(told, "hush") {
		t.Errorf("settings tell %s", told)
	}
}

// Over TLS, with a certificate that is trusted and without.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	broker := brokertest.Rabbit(t, "127.0.0.1")
	other, _ := brokertest.Certificate(t)
	for _, tt := range []struct {
		name, ca, queue, want string
	}{
		{"trusted", broker.CAFile, "letters", ""},
		{"not trusted", other, "letters", "certificate"},
		{"nothing to trust", "", "letters", "certificate"},
	} {
		cfg := rabbit.Config{
			URLs: []string{"amqps://guest:guest@" + broker.TLS + "/"}, CAFile: tt.ca, DeadLetter: tt.queue,
		}
		if err := cfg.Check(); err != nil {
			t.Fatal(err)
		}
		c := rabbit.New(cfg)
		err := c.Check(t.Context())
		c.Close()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) ||
			strings.Contains(err.Error(), "guest:guest")) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
	}
	passive := rabbit.Config{URLs: []string{url(broker)}, DeadLetter: "missing", Passive: true}
	if err := passive.Check(); err != nil {
		t.Fatal(err)
	}
	c := rabbit.New(passive)
	defer c.Close()
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), `queue "missing" for dead letters`) {
		t.Errorf("a queue that is missing: %v", err)
	}
}
