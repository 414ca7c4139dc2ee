package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest/brokertest"
	"turnwise/queries"
)

// stage lets brokertest start brokers for a benchmark.
type stage struct{ ends []func() }

type skipped string

func (s *stage) Helper()                           {}
func (s *stage) Name() string                      { return "bench" }
func (s *stage) Cleanup(do func())                 { s.ends = append(s.ends, do) }
func (s *stage) Skip(args ...any)                  { panic(skipped(fmt.Sprint(args...))) }
func (s *stage) Fatal(args ...any)                 { panic(errors.New(fmt.Sprint(args...))) }
func (s *stage) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

func (s *stage) end() {
	for _, do := range s.ends {
		defer do()
	}
}

// streams measures Kafka: a backlog read by one process against COPY of the same events, its memory, its
// idleness, and the delay of events that come one by one.
func (b *bench) streams() (err error) {
	s := new(stage)
	defer s.end()
	defer func() {
		switch p := recover().(type) {
		case nil:
		case skipped:
			fmt.Println(string(p))
		case error:
			err = p
		default:
			panic(p)
		}
	}()
	broker := brokertest.Kafka(s, "127.0.0.1")
	program := filepath.Join(b.dir, "turnwise-bench")
	if out, err := exec.CommandContext(
		b.ctx, "go", "build", "-o", program, "./cmd/turnwise",
	).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	all, err := newCorpus(b.events, 42)
	if err != nil {
		return err
	}
	defer all.close()
	var copied, streamed, unkeyed []float64
	for i := range b.reps {
		url, drop, err := b.fresh("bench")
		if err != nil {
			return err
		}
		rate, err := b.copyPlain(url, all, 2, 5000)
		if err := errors.Join(err, drop()); err != nil {
			return err
		}
		copied = append(copied, rate)
		for _, keyed := range []bool{false, true} {
			if url, drop, err = b.fresh("bench"); err != nil {
				return err
			}
			rate, err = b.backlog(
				url, broker.Address, program, fmt.Sprintf("backlog-%d-%t", i, keyed), all, keyed,
				keyed && i == b.reps-1,
			)
			if err := errors.Join(err, drop()); err != nil {
				return err
			}
			if keyed {
				streamed = append(streamed, rate)
			} else {
				unkeyed = append(unkeyed, rate)
			}
		}
	}
	b.note("Kafka to commit, one process, 2 writers", median(streamed), "events/s", "")
	b.note("the same / COPY", median(streamed)/median(copied), "ratio", ">= 0.6")
	b.note("without keys, a sender over several partitions", median(unkeyed), "events/s", "")
	return nil
}

// backlog fills a topic, then lets a process read it, and with more looks at what the process does after.
func (b *bench) backlog(url, broker, program, topic string, all *corpus, keyed, more bool) (float64, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(b.ctx, 3, 1, nil, topic); err != nil {
		return 0, err
	}
	for body := range all.each {
		r := kgo.SliceRecord(body)
		if keyed { // as with partition_by_sender: true
			_, rest, _ := bytes.Cut(body, []byte(`"sender_id":`))
			r.Key, _, _ = bytes.Cut(rest, []byte(","))
		}
		client.Produce(b.ctx, r, nil)
	}
	if err := client.Flush(b.ctx); err != nil {
		return 0, err
	}
	pool, err := queries.Open(b.ctx, url, 2)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	cmd := exec.CommandContext(
		b.ctx, program, "--database-url", url, "ingest", "--admin-listen", "127.0.0.1:0", "--kafka-brokers", broker,
		"--kafka-topics", topic,
	)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
	}()
	first, last, err := b.stored(pool, int64(len(all.ends)))
	if err != nil {
		return 0, err
	}
	rate := float64(len(all.ends)) / last.Sub(first).Seconds()
	if !more {
		return rate, nil
	}
	if err := b.atRest(cmd.Process.Pid); err != nil {
		return 0, err
	}
	return rate, b.latency(pool, client)
}

// atRest measures what a process takes that has nothing to do.
func (b *bench) atRest(pid int) error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(peak)[0])
	if err != nil {
		return err
	}
	b.note("peak memory of that process", float64(kb)/1024, "MB", "< 300")
	time.Sleep(3 * time.Second)
	before, err := processCPU(pid)
	if err != nil {
		return err
	}
	time.Sleep(20 * time.Second)
	after, err := processCPU(pid)
	if err != nil {
		return err
	}
	b.note("CPU of that process when idle", (after-before)/20*100, "% of one", "< 1")
	return nil
}

// stored waits until that many events are stored; it returns when the first ones were seen, and the last.
func (b *bench) stored(pool *pgxpool.Pool, n int64) (first, last time.Time, err error) {
	for {
		var have int64
		if err := pool.QueryRow(
			b.ctx, `select coalesce(sum(stored), 0)::bigint from ingest_minutes`,
		).Scan(&have); err != nil {
			return first, last, err
		}
		if have > 0 && first.IsZero() {
			first = time.Now() // less a batch: what came before is the start of the process and the group's
		}
		if have >= n {
			return first, time.Now(), nil
		}
		select {
		case <-b.ctx.Done():
			return first, last, b.ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// latency sends 200 events a second, each stamped with its moment.
func (b *bench) latency(pool *pgxpool.Pool, client *kgo.Client) error {
	if _, err := pool.Exec(b.ctx, `update ingest_minutes set delays = '{}'`); err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for i := range 4000 {
		now := time.Now()
		client.Produce(
			b.ctx,
			kgo.StringRecord(
				fmt.Sprintf(
					`{"sender_id":"live-%d","event":"user","timestamp":%.6f,"text":"hello","message_id":"live-%d"}`,
					i%100, float64(now.UnixMicro())/1e6, i,
				),
			),
			nil,
		)
		<-tick.C
	}
	if err := client.Flush(b.ctx); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	delays, err := queries.SourceDelays(b.ctx, pool, begun.Add(-time.Hour))
	if err != nil {
		return err
	}
	for _, d := range delays {
		p50, _, _ := d.Percentile(0.5)
		p95, _, ok := d.Percentile(0.95)
		if ok {
			b.note("200 events/s over Kafka, event to commit, p50", p50.Seconds(), "s", "")
			b.note("200 events/s over Kafka, event to commit, p95", p95.Seconds(), "s", "< 1.5")
		}
	}
	return nil
}

// processCPU is the CPU time of a process in seconds.
func processCPU(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	user, err := strconv.Atoi(f[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(f[12])
	return float64(user+system) / ticks, err
}
