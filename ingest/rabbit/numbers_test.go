package rabbit_test

import (
	"fmt"
	"slices"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"turnwise/ingest/brokertest"
	"turnwise/ingest/rabbit"
	"turnwise/queries/dbtest"
)

// TestOddNumbers holds that a number or time which is none stops no queue, be it the first that is read after a start
// or not.
func TestOddNumbers(t *testing.T) {
	t.Parallel()
	broker := brokertest.Rabbit(t, "127.0.0.1")
	pool := dbtest.Pool(t)
	ch := channel(t, broker)
	if _, err := ch.QueueDeclare("odd", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	good := 0
	publish := func(bodies []string, n int) {
		t.Helper()
		good += n
		for _, b := range bodies {
			if err := ch.PublishWithContext(
				t.Context(), "", "odd", false, false, amqp.Publishing{Body: []byte(b)},
			); err != nil {
				t.Fatal(err)
			}
		}
	}
	wait := func() {
		t.Helper()
		brokertest.Until(t, func() string {
			if n := brokertest.Count(t, pool, `select count(*) from messages where text = 'good'`); n != good {
				return fmt.Sprintf("%d of %d good events are stored", n, good)
			}
			return ""
		})
	}
	for range 2 { // the second time in steady flow behind a start with nothing known
		publish(
			brokertest.Between(
				slices.Repeat([]string{`{"sender_id":"x","event":"user","timestamp":NaN,"text":"hello"}`}, 30),
				fmt.Sprint("head ", good),
			),
		)
		_, stop := stream(t, pool, rabbit.Config{URLs: []string{url(broker)}, Queues: []string{"odd"}})
		wait()
		publish(
			brokertest.Between(append(brokertest.OddTimes(), brokertest.OddNumbers()...), fmt.Sprint("steady ", good)),
		)
		wait()
		stop()
	}
}
