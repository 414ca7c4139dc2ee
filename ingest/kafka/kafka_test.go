package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest"
	"turnwise/ingest/brokertest"
	"turnwise/ingest/kafka"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const topic = "rasa_core_events"

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func consumer(t *testing.T, cfg kafka.Config) *kafka.Consumer {
	t.Helper()
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	c := kafka.New(cfg)
	t.Cleanup(c.Close)
	return c
}

// stream reads until the test or stop ends it.
func stream(t *testing.T, pool *pgxpool.Pool, c *kafka.Consumer, member string) (*ingest.Stream, func()) {
	t.Helper()
	source := ingest.Source{Name: "kafka", Kind: "kafka", Assistant: "bank", DeadLetter: c.DeadLetter()}
	return brokertest.Stream(t, pool, c, source, member)
}

func event(sender string, n int) string {
	return fmt.Sprintf(
		`{"sender_id":"%s","event":"user","timestamp":%d.25,"text":"message %d","message_id":"m%d"}`, sender,
		1790000000+n, n, n,
	)
}

// Events of a sender that come over several partitions, poison and tombstones among them: every event is
// stored once, the rest is set aside, and the offsets stand at the end.
func TestStream(t *testing.T) {
	t.Parallel()
	fake, pool := cluster(t, kfake.SeedTopics(1, "dead")), dbtest.Pool(t)
	producer := client(t, fake, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(60<<20))
	var records []*kgo.Record
	for n := range 300 {
		r := &kgo.Record{Topic: topic, Partition: int32(n % 3), Value: []byte(event(fmt.Sprintf("s%d", n%7), n))}
		switch n % 3 {
		case 1:
			r.Headers = []kgo.RecordHeader{
				{Key: "RASA_ENVIRONMENT", Value: []byte("staging")}, {Key: "other", Value: []byte{0xff}},
			}
		case 2:
			r.Headers = []kgo.RecordHeader{{Key: "RASA_ENVIRONMENT", Value: []byte("RASA_ENVIRONMENT_NOT_SET")}}
		}
		// a tombstone behind each
		records = append(records, r, &kgo.Record{Topic: topic, Partition: int32(n % 3), Key: []byte("k")})
	}
	for i, poison := range []string{
		"\xff\xfe{\x00}\x00", strings.Repeat("[", 100000), `{"sender_id":"s"}`, "\x1f\x8b\x08",
		strings.Repeat("x", 3<<20),
	} {
		// What the header says must not keep the body from being set aside either.
		h := []kgo.RecordHeader{{Key: "RASA_ENVIRONMENT", Value: []byte("\x00bad\xff" + strings.Repeat("e", 300))}}
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i % 3), Value: []byte(poison), Headers: h})
	}
	records = append(records, &kgo.Record{Topic: topic, Partition: 1, Value: []byte(event("last", 1000))})
	if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := consumer(t, kafka.Config{Brokers: fake.ListenAddrs(), DeadLetter: "dead"})
	_, stop := stream(t, pool, c, "one")
	brokertest.Until(t, func() string {
		n, aside := brokertest.Count(t, pool, `select count(*) from events`), brokertest.Count(
			t, pool, `select count(*) from rejected_events`,
		)
		if n == 301 && aside == 5 {
			return ""
		}
		return fmt.Sprintf("%d events of 301, %d set aside of 5", n, aside)
	})
	brokertest.Until(t, func() string {
		positions, err := c.Positions(t.Context())
		if err != nil || len(positions) != 3 {
			return fmt.Sprintf("positions %v, %v", positions, err)
		}
		for _, p := range positions {
			if p.Lag != 0 || p.Committed == nil || *p.Committed != *p.Newest {
				return fmt.Sprintf("partition %d stands %d behind", p.Part, p.Lag)
			}
		}
		return ""
	})
	stop()
	if n := brokertest.Count(
		t, pool,
		`select count(*) from events e join environments v on v.id = e.environment_id where v.name = 'staging'`,
	); n != 100 {
		t.Errorf("%d events of staging, want 100", n)
	}
	if n := brokertest.Count(t, pool, `select count(*) from events where environment_id <> 0`); n != 100 {
		t.Errorf("%d events of any environment, want 100", n)
	}
	if n := brokertest.Count(
		t, pool, `select count(*) from rejected_events where position ~ '^rasa_core_events/[012]@[0-9]+$'`,
	); n != 5 {
		t.Errorf("%d rejected events tell their place, want 5", n)
	}
	dead := client(t, fake, kgo.ConsumeTopics("dead"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var reasons []string
	for len(reasons) < 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		fetches := dead.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			t.Fatalf("dead letters: only %v", reasons)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			for _, h := range r.Headers {
				if h.Key == "reason" {
					reasons = append(reasons, string(h.Value))
				}
			}
		})
	}
	slices.Sort(reasons)
	if got := strings.Join(reasons, " "); got != "depth json json size type" && got != "json json json size type" {
		t.Errorf("dead letters for %q", got)
	}
	// Read again from the beginning by another group: all is known.
	again := consumer(t, kafka.Config{Brokers: fake.ListenAddrs(), Group: "again"})
	_, stop = stream(t, pool, again, "two")
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select coalesce(sum(duplicates), 0) from ingest_minutes`); n != 301 {
			return fmt.Sprintf("%d of 301 known", n)
		}
		return ""
	})
	stop()
	if n := brokertest.Count(t, pool, `select count(*) from events`); n != 301 {
		t.Errorf("%d events after a second reading", n)
	}
}

// Members come, share the work, pause and go; nothing is read by nobody.
func TestMembers(t *testing.T) {
	t.Parallel()
	fake, pool := cluster(t), dbtest.Pool(t)
	producer := client(t, fake, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	produced := 0
	produce := func(n int) {
		t.Helper()
		for range n {
			if err := producer.ProduceSync(
				t.Context(), kgo.StringRecord(event(fmt.Sprintf("s%d", produced%5), produced)),
			).FirstErr(); err != nil {
				t.Fatal(err)
			}
			produced++
		}
	}
	stored := func() string {
		if n := brokertest.Count(t, pool, `select count(*) from events`); n != produced {
			return fmt.Sprintf("%d of %d stored", n, produced)
		}
		return ""
	}
	c := consumer(t, kafka.Config{Brokers: fake.ListenAddrs()})
	first, stopFirst := stream(t, pool, c, "first")
	produce(30)
	brokertest.Until(t, stored)
	second, _ := stream(t, pool, c, "second")
	produce(60)
	brokertest.Until(t, stored)
	stopFirst()
	if s := first.Status(); s.State != ingest.Stopped {
		t.Errorf("the first is %s", s.State)
	}
	produce(30)
	brokertest.Until(t, stored)
	source := int64(brokertest.Count(t, pool, `select id from sources where name = 'kafka'`))
	if err := queries.PauseSource(t.Context(), pool, source, time.Now(), "ann@example.org", "migration"); err != nil {
		t.Fatal(err)
	}
	brokertest.Until(t, func() string {
		if s := second.Status(); s.State != ingest.Paused || s.Reason != "migration" {
			return fmt.Sprintf("paused, but %+v", s)
		}
		return ""
	})
	before := produced
	produce(20)
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select coalesce(sum(lag), 0) from stream_positions`); n != 20 {
			return fmt.Sprintf("the lag of a paused source is told as %d", n)
		}
		return ""
	})
	if n := brokertest.Count(t, pool, `select count(*) from events`); n != before {
		t.Errorf("%d events were stored while the source was paused", n-before)
	}
	if err := queries.ResumeSource(t.Context(), pool, source); err != nil {
		t.Fatal(err)
	}
	brokertest.Until(t, stored)
	if n := brokertest.Count(
		t, pool, `select count(*) from stream_members where state = 'stopped' and member = 'first'`,
	); n != 1 {
		t.Error("the first member's end was not noted")
	}
}

// A source that brings nothing but what must be rejected is paused, with the reason.
func TestHopeless(t *testing.T) {
	t.Parallel()
	fake, pool := cluster(t), dbtest.Pool(t)
	producer := client(t, fake, kgo.DefaultProduceTopic(topic))
	for n := range 3000 {
		producer.Produce(t.Context(), kgo.StringRecord(fmt.Sprintf(`{"order":%d}`, n)), nil)
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, _ := stream(t, pool, consumer(t, kafka.Config{Brokers: fake.ListenAddrs()}), "one")
	brokertest.Until(t, func() string {
		if st := s.Status(); st.State != ingest.Paused || !strings.Contains(st.Reason, "all rejected") {
			return fmt.Sprintf("not paused: %+v", st)
		}
		return ""
	})
}

// Some bad messages among good ones, however many in all, pause nothing.
func TestNotHopeless(t *testing.T) {
	t.Parallel()
	fake, pool := cluster(t), dbtest.Pool(t)
	producer := client(t, fake, kgo.DefaultProduceTopic(topic))
	const messages = 9000
	for n := range messages {
		body := event(fmt.Sprintf("s%d", n%40), n)
		if n%3 == 0 {
			body = fmt.Sprintf(`{"order":%d}`, n)
		}
		producer.Produce(t.Context(), kgo.StringRecord(body), nil)
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, _ := stream(t, pool, consumer(t, kafka.Config{Brokers: fake.ListenAddrs()}), "one")
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select count(*) from events`); n != messages/3*2 {
			return fmt.Sprintf("%d of %d stored; %+v", n, messages/3*2, s.Status())
		}
		return ""
	})
	if n := brokertest.Count(t, pool, `select count(*) from sources where paused_at is not null`); n != 0 {
		t.Error("the source was paused")
	}
}

// What is wrong is said in plain words, and when it is mended the stream reads by itself.
func TestTrouble(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "other"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	s, _ := stream(t, pool, consumer(t, kafka.Config{Brokers: fake.ListenAddrs()}), "one")
	brokertest.Until(t, func() string {
		if st := s.Status(); st.State != ingest.Failed || !strings.Contains(
			st.Reason, `topic "rasa_core_events": it does not exist`,
		) {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	cl := client(t, fake)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 3, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{
		Topic: topic, Value: []byte(event("s", 1)),
	}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select count(*) from events`); n != 1 {
			return fmt.Sprintf("not read: %+v", s.Status())
		}
		return ""
	})
	nobody, _ := stream(t, pool, consumer(t, kafka.Config{Brokers: []string{"127.0.0.1:1"}}), "two")
	brokertest.Until(t, func() string {
		if st := nobody.Status(); st.State != ingest.Failed || !strings.Contains(st.Reason, "connection refused") {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
}

// Topics by pattern, from the end on; what was there before comes by a back-fill.
func TestPatternAndBackfill(t *testing.T) {
	t.Parallel()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "rasa.a", "rasa.b", "else"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	pool, producer := dbtest.Pool(t), client(t, fake)
	produce := func(topic string, n int) {
		t.Helper()
		if err := producer.ProduceSync(t.Context(), &kgo.Record{
			Topic: topic, Value: []byte(event("s", n)),
		}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 {
		produce([]string{"rasa.a", "rasa.b", "else"}[n%3], n)
	}
	c := consumer(t, kafka.Config{
		Brokers: fake.ListenAddrs(), Topics: []string{`^rasa\.`}, Pattern: true, Start: "latest",
	})
	s, _ := stream(t, pool, c, "one")
	brokertest.Until(t, func() string {
		if st := s.Status(); st.State != ingest.Reading {
			return fmt.Sprintf("%+v", st)
		}
		return ""
	})
	n := 100
	brokertest.Until(t, func() string { // when exactly the end was, nobody can tell
		n++
		produce("rasa.a", n)
		produce("else", n+1000)
		if brokertest.Count(t, pool, `select count(*) from events`) == 0 {
			return "nothing is read"
		}
		return ""
	})
	if n := brokertest.Count(t, pool, `select count(*) from messages where text ~ ' [0-9]$'`); n != 0 {
		t.Errorf("%d old events were read", n)
	}
	feed, total, end, err := c.Backfill(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	w := ingest.NewWriter(pool, slog.New(slog.DiscardHandler))
	src, err := w.Open(t.Context(), ingest.Source{Name: "kafka", Kind: "kafka", Assistant: "bank"})
	if err != nil {
		t.Fatal(err)
	}
	counts, err := w.Run(t.Context(), src, feed, ingest.Options{})
	if err != nil || counts.Stored+counts.Duplicates != total {
		t.Fatalf("back-fill of %d: %+v, %v", total, counts, err)
	}
	if n := brokertest.Count(t, pool, `select count(*) from messages where text ~ ' [0-9]$'`); n != 7 {
		t.Errorf("%d of 7 old events after the back-fill", n)
	}
	if n := brokertest.Count(t, pool, `select count(*) from messages where text ~ '1[0-9]{3}$'`); n != 0 {
		t.Errorf("%d events of a topic that the pattern does not match", n)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cfg  kafka.Config
		want string
	}{
		{kafka.Config{}, "brokers: name at least one"},
		{kafka.Config{Brokers: []string{"host"}}, `"host" is no host:port`},
		{kafka.Config{Brokers: []string{"h:1"}, Topics: []string{"("}, Pattern: true}, "no regular expression"},
		{kafka.Config{Brokers: []string{"h:1"}, Topics: []string{"a"}, DeadLetter: "a"}, "for ever"},
		{kafka.Config{Brokers: []string{"h:1"}, Start: "yesterday"}, "neither earliest nor latest"},
		{kafka.Config{Brokers: []string{"h:1"}, Protocol: "TLS"}, "security_protocol"},
		{kafka.Config{Brokers: []string{"h:1"}, Protocol: "SASL_SSL"}, "PLAIN needs one"},
		{kafka.Config{Brokers: []string{"h:1"}, Protocol: "SASL_SSL", Mechanism: "GSSAPI"}, "is none of PLAIN"},
		{kafka.Config{Brokers: []string{"h:1"}, Protocol: "SASL_SSL", Mechanism: "OAUTHBEARER"}, "needs a file"},
		{kafka.Config{Brokers: []string{"h:1"}, CAFile: "/no/such/file"}, "no such file"},
		{kafka.Config{Brokers: []string{"h:1"}, CertFile: "x"}, "go together"},
		{kafka.Config{Brokers: []string{"h:1"}, Start: "2026-11-01T00:00:00Z"}, ""},
	} {
		err := tt.cfg.Check()
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %v; want %q", tt.cfg, err, tt.want)
		}
	}
	cfg := kafka.Config{Brokers: []string{"h:1"}, Protocol: "SASL_SSL", Username: "u", Password: "hush"}
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	if told := fmt.Sprint(cfg.Settings()); strings.Contains(told, "hush") || !strings.Contains(told, "SASL_SSL PLAIN") {
		t.Errorf("settings tell %s", told)
	}
}
