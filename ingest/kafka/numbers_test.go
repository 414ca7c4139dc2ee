package kafka_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest/brokertest"
	"turnwise/ingest/kafka"
	"turnwise/queries/dbtest"
)

// TestOddNumbers holds that a number or time which is none stops no partition, be it the first that is read after a
// start or not.
func TestOddNumbers(t *testing.T) {
	t.Parallel()
	fake, pool := cluster(t), dbtest.Pool(t)
	producer := client(t, fake, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	produce := func(bodies []string) {
		t.Helper()
		var records []*kgo.Record
		for i, b := range bodies {
			records = append(records, &kgo.Record{Topic: topic, Partition: int32(i / 2 % 3), Value: []byte(b)})
		}
		if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	good := 0
	wait := func() {
		t.Helper()
		brokertest.Until(t, func() string {
			if n := brokertest.Count(t, pool, `select count(*) from messages where text = 'good'`); n != good {
				return fmt.Sprintf("%d of %d good events are stored", n, good)
			}
			return ""
		})
	}
	head, n := brokertest.Between(
		slices.Repeat([]string{`{"sender_id":"x","event":"user","timestamp":NaN,"text":"hello"}`}, 30), "head",
	)
	good += n
	produce(head)
	_, stop := stream(t, pool, consumer(t, kafka.Config{Brokers: fake.ListenAddrs()}), "one")
	wait()
	all, n := brokertest.Between(append(brokertest.OddTimes(), brokertest.OddNumbers()...), "steady")
	good += n
	produce(all)
	wait()
	stop()
	// A group that reads all of it again.
	_, stop = stream(t, pool, consumer(t, kafka.Config{Brokers: fake.ListenAddrs(), Group: "again"}), "two")
	defer stop()
	last, n := brokertest.Between([]string{`{"sender_id":"x","event":"user","timestamp":Infinity}`}, "last")
	good += n
	produce(last)
	wait()
}
