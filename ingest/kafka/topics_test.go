package kafka_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest/brokertest"
	"turnwise/ingest/kafka"
	"turnwise/queries/dbtest"
)

// TestTopicMadeAgain holds that a topic which is deleted and made again is read from its beginning, whether it has
// fewer records than had been read of the other or more, and whether the server runs meanwhile or not; and that this is
// said.
func TestTopicMadeAgain(t *testing.T) {
	t.Parallel()
	fake, pool := cluster(t, kfake.SeedTopics(1, "again")), dbtest.Pool(t)
	admin := kadm.NewClient(client(t, fake))
	produced := 0
	produce := func(n int) {
		t.Helper()
		// a new one, which knows nothing of the topic before
		producer := client(t, fake, kgo.DefaultProduceTopic("again"), kgo.MetadataMinAge(10*time.Millisecond))
		for range n {
			if err := producer.ProduceSync(t.Context(), kgo.StringRecord(event("s", produced))).FirstErr(); err != nil {
				t.Fatal(err)
			}
			produced++
		}
	}
	anew := func() {
		t.Helper()
		if _, err := admin.DeleteTopic(t.Context(), "again"); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "again"); err != nil {
			t.Fatal(err)
		}
	}
	stored := func(what string) {
		t.Helper()
		brokertest.Until(t, func() string {
			if n := brokertest.Count(t, pool, `select count(*) from events`); n != produced {
				return fmt.Sprintf("%s: %d of %d events", what, n, produced)
			}
			return ""
		})
	}
	c := consumer(t, kafka.Config{Brokers: fake.ListenAddrs(), Topics: []string{"again"}})
	_, stop := stream(t, pool, c, "one")
	produce(34)
	stored("at first")
	stop()
	for i, n := range []int{5, 20, 50} { // fewer than had been read, then more
		anew()
		produce(n)
		s, end := stream(t, pool, c, fmt.Sprint("again ", i))
		stored(fmt.Sprint("made again, ", n))
		if told := s.Status().Error; !strings.Contains(
			told, `topic "again" was deleted and made again: it is read from its beginning`,
		) {
			t.Errorf("said is %q", told)
		}
		produce(2)
		stored("and more")
		end()
		produce(1) // while nobody reads
		_, stop = stream(t, pool, c, fmt.Sprint("later ", i))
		stored("later")
		stop()
	}
	_, stop = stream(t, pool, c, "running")
	produce(1)
	stored("running")
	anew()
	produce(3)
	stored("made again while it was read")
	stop()
	// Offsets of a group that reaches beyond the end, as when a broker lost its disk.
	far := kadm.Offsets{}
	far.AddOffset("again", 0, 1000, -1)
	if err := admin.CommitAllOffsets(t.Context(), "turnwise", far); err != nil {
		t.Fatal(err)
	}
	s, stop := stream(t, pool, c, "far")
	defer stop()
	produce(2)
	stored("beyond the end")
	if told := s.Status().Error; !strings.Contains(told, "had been read to 1000: it is read from its beginning") {
		t.Errorf("said is %q", told)
	}
}

// TestTransactions holds that what a producer took back is not stored, and that the offsets come to the end all the
// same.
func TestTransactions(t *testing.T) {
	t.Parallel()
	fake, pool := cluster(t), dbtest.Pool(t)
	producer := client(
		t, fake, kgo.TransactionalID("t"), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	n := 0
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := producer.BeginTransaction(); err != nil {
			t.Skip("SKIPPED: ", err)
		}
		for range 5 {
			r := kgo.StringRecord(event("s", n))
			n++
			if err := producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := producer.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	c := consumer(t, kafka.Config{Brokers: fake.ListenAddrs()})
	_, stop := stream(t, pool, c, "one")
	defer stop()
	brokertest.Until(t, func() string {
		positions, err := c.Positions(context.Background())
		if err != nil {
			return err.Error()
		}
		for _, p := range positions {
			if p.Lag > 0 {
				return fmt.Sprintf("partition %d lags by %d", p.Part, p.Lag)
			}
		}
		if n := brokertest.Count(t, pool, `select count(*) from events`); n < 10 {
			return fmt.Sprintf("%d events", n)
		}
		return ""
	})
	if n := brokertest.Count(t, pool, `select count(*) from events`); n != 10 {
		t.Errorf("%d events are stored, 10 were committed", n)
	}
}

// TestEmpty holds that messages which hold nothing leave a trace: without a value they are counted, with an empty one
// set aside.
func TestEmpty(t *testing.T) {
	t.Parallel()
	fake, pool := cluster(t), dbtest.Pool(t)
	producer := client(t, fake, kgo.DefaultProduceTopic(topic))
	records := []*kgo.Record{
		{Key: []byte("k")}, {Key: []byte("k"), Value: []byte{}}, {Key: []byte("k")}, kgo.StringRecord(event("s", 1)),
	}
	if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	_, stop := stream(t, pool, consumer(t, kafka.Config{Brokers: fake.ListenAddrs()}), "one")
	defer stop()
	brokertest.Until(t, func() string {
		events, empty, aside := brokertest.Count(t, pool, `select count(*) from events`), brokertest.Count(
			t, pool, `select coalesce(sum(empty), 0) from ingest_minutes`,
		), brokertest.Count(t, pool, `select count(*) from rejected_events`)
		if events == 1 && empty == 2 && aside == 1 {
			return ""
		}
		return fmt.Sprintf("%d events, %d empty, %d set aside", events, empty, aside)
	})
}

// TestStartAtTime holds that a group that has read nothing begins at the time that is set, not at the beginning.
func TestStartAtTime(t *testing.T) {
	t.Parallel()
	fake, pool := cluster(t), dbtest.Pool(t)
	producer := client(t, fake, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	from := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i := range 6 {
		r := kgo.StringRecord(event("s", i))
		r.Timestamp = from.Add(time.Duration(i-3) * time.Minute)
		if err := producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	s, stop := stream(
		t, pool, consumer(t, kafka.Config{Brokers: fake.ListenAddrs(), Start: from.Format(time.RFC3339)}), "one",
	)
	defer stop()
	last := kgo.StringRecord(event("last", 9))
	if err := producer.ProduceSync(t.Context(), last).FirstErr(); err != nil {
		t.Fatal(err)
	}
	brokertest.Until(t, func() string {
		if n := brokertest.Count(t, pool, `select count(*) from events`); n < 4 {
			return fmt.Sprintf("%d of 4 events", n)
		}
		return ""
	})
	if n := brokertest.Count(t, pool, `select count(*) from events`); n != 4 || s.Status().Error != "" {
		t.Errorf("%d events are stored, 4 are not older; said is %q", n, s.Status().Error)
	}
}
