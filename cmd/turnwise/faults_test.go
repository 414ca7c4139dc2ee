package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/demo"
	"turnwise/ingest/brokertest"
	"turnwise/localdb"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// faultSuite is the world in which faults happen: brokers, a database, three processes that store.
type faultSuite struct {
	t       *testing.T
	r       *rand.Rand
	dir     string
	db      *localdb.Server
	url     string            // of db, whichever process it is, over the network
	network *brokertest.Proxy // before db
	kafka   *brokertest.Broker
	rabbit  *brokertest.Broker
	listen  string // of serve
	token   string
	members []*member
	done    []string // what was done
	ended   sync.WaitGroup
	sent    [4]atomic.Int64
}

// member is a process that stores: serve or ingest. When it ends by itself, it is started again, as a service
// manager would.
type member struct {
	args []string

	mu      sync.Mutex
	cmd     *exec.Cmd
	out     *output
	ended   chan struct{} // the process that runs
	err     error         // how it ended
	retired bool          // not to be started again
}

const faultQueue = "turnwise"

// TestFaults streams events with known answers through Kafka, RabbitMQ and HTTP while processes, database and
// brokers are killed, stopped, cut off and slowed at random. In the end every table must equal that of an
// undisturbed import. TURNWISE_TEST_FAULTS=long does it for longer; TURNWISE_TEST_SEED repeats a run.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	conversations, lasting := 700, 25*time.Second
	if os.Getenv("TURNWISE_TEST_FAULTS") == "long" {
		conversations, lasting = 4500, 6*time.Minute
	}
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("TURNWISE_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("seed %d", seed)
	f := &faultSuite{t: t, r: rand.New(rand.NewPCG(seed, 1))}
	f.kafka, f.rabbit = brokertest.Kafka(t, "127.0.0.1"), brokertest.Rabbit(t, "127.0.0.1")
	var err error
	if f.dir, err = dbtest.Dir(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(f.dir) })
	f.startDatabase()
	f.network, f.url = proxied(t, "127.0.0.1", f.db)
	t.Cleanup(func() { f.db.Stop() })

	var bodies []string
	g := demo.New(demo.Options{Conversations: conversations, Days: 20, Until: time.Now(), Seed: seed})
	for body, ok := g.Next(); ok; body, ok = g.Next() {
		bodies = append(bodies, string(body))
	}
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(file, []byte(strings.Join(bodies, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clean := dbtest.URL(t)
	if out, err := turnwise(t, "--database-url", clean, "import", "--environment", "production", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := dump(t, clean)

	f.prepare()
	f.start("serve", "--listen", f.listen)
	f.start("ingest")
	f.start("ingest")
	t.Cleanup(func() {
		for _, m := range f.members {
			m.signal(syscall.SIGCONT)
			_ = m.retire(syscall.SIGKILL)
		}
		f.ended.Wait()
	})
	begun := time.Now()
	sending, sent := context.WithTimeout(t.Context(), lasting+3*time.Minute)
	defer sent()
	var senders sync.WaitGroup
	ways := f.ways(bodies)
	for way, send := range []func(context.Context, []string) error{f.sendKafka, f.sendRabbit, f.sendHTTP} {
		senders.Go(func() {
			portion := max(1, len(ways[way])/int(lasting/(200*time.Millisecond)))
			for from := 0; from < len(ways[way]); from += portion {
				some := ways[way][from:min(from+portion, len(ways[way]))]
				for {
					err := send(sending, some)
					if err == nil {
						break
					}
					if sending.Err() != nil {
						t.Logf("way %d: %v", way, err)
						return
					}
					time.Sleep(200 * time.Millisecond) // the sender's pace, as a bot would try again
				}
				f.sent[way].Add(int64(len(some)))
				time.Sleep(
					time.Until(
						begun.Add(time.Duration(float64(lasting) * float64(from+portion) / float64(len(ways[way])))),
					),
				)
			}
		})
	}
	for time.Since(begun) < lasting {
		f.fault()
	}
	senders.Wait()
	if sending.Err() != nil {
		f.lament()
		t.Fatalf(
			"the events were not sent in time: %d by Kafka, %d by RabbitMQ, %d over HTTP; done: %s", f.sent[0].Load(),
			f.sent[1].Load(), f.sent[2].Load(), strings.Join(f.done, ", "),
		)
	}
	f.settle(want)
	t.Logf("sent %d by Kafka, %d by RabbitMQ, %d over HTTP, copies included, of %d events; done: %s",
		f.sent[0].Load(), f.sent[1].Load(), f.sent[2].Load(), len(bodies), strings.Join(f.done, ", "))
	if out, err := turnwise(t, "--database-url", f.db.URL(), "rebuild"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if dump(t, f.db.URL()) != want {
		t.Error("a rebuild changes the tables")
	}
}

// ways shares the bodies out among the brokers, some of them to two, a little out of order.
func (f *faultSuite) ways(bodies []string) (ways [3][]string) {
	for _, body := range bodies {
		way := []int{0, 0, 0, 0, 1, 1, 1, 1, 2, 2}[f.r.IntN(10)]
		ways[way] = append(ways[way], body)
		if f.r.IntN(20) == 0 {
			again := f.r.IntN(3)
			if again == 2 && way == 2 { // side by side in one request, equal events are facts of their own
				again = 0
			}
			ways[again] = append(ways[again], body)
		}
	}
	for _, all := range ways {
		for from := 0; from+40 < len(all); from += 40 {
			f.r.Shuffle(40, func(i, j int) { all[from+i], all[from+j] = all[from+j], all[from+i] })
		}
	}
	return ways
}

// prepare makes topic, queue, token and settings.
func (f *faultSuite) prepare() {
	f.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(f.kafka.Address))
	if err != nil {
		f.t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(f.t.Context(), 3, 1, nil, "rasa-events"); err != nil {
		f.t.Fatal(err)
	}
	out, err := turnwise(
		f.t, "--database-url", f.db.URL(), "token", "create", "loader", "--assistant", "default", "--environment",
		"production",
	)
	if err != nil {
		f.t.Fatalf("%v\n%s", err, out)
	}
	for _, word := range strings.Fields(out) {
		if strings.HasPrefix(word, "tw_") {
			f.token = word
		}
	}
	f.listen = freePort(f.t)
	sources := fmt.Sprintf(`sources:
  - name: kafka
    environment: production
    batch: 500
    kafka: {brokers: ["%s"], topics: [rasa-events]}
  - name: rabbitmq
    environment: production
    batch: 500
    rabbitmq: {urls: ["amqp://guest:guest@%s/"], queues: [%s], quorum: true, prefetch: 500}
`, f.kafka.Proxy.Address, f.rabbit.Proxy.Address, faultQueue)
	if err := os.WriteFile(filepath.Join(f.dir, "sources.yaml"), []byte(sources), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *faultSuite) startDatabase() {
	f.t.Helper()
	var err error
	for range 20 { // the one before may still end
		// a throw-away one forgets its last commits in a crash
		if f.db, err = localdb.Start(context.Background(), localdb.Config{Dir: f.dir}); err == nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	f.t.Fatal(err)
}

// proxied puts a network before the database and returns it with the URL over it.
func proxied(t *testing.T, host string, db *localdb.Server) (p *brokertest.Proxy, address string) {
	t.Helper()
	u, err := url.Parse(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	p = brokertest.NewProxy(t, host, "unix", filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port")))
	at, port, _ := net.SplitHostPort(p.Address)
	q.Set("host", at)
	q.Set("port", port)
	u.RawQuery = q.Encode()
	return p, u.String()
}

func (f *faultSuite) start(args ...string) *member {
	f.t.Helper()
	m := &member{args: args}
	f.members = append(f.members, m)
	f.run(m)
	return m
}

// run starts the member's process.
func (f *faultSuite) run(m *member) {
	args := append([]string{"--database-url", f.url}, m.args...)
	args = append(args, "--admin-listen", "127.0.0.1:0", "--sources", filepath.Join(f.dir, "sources.yaml"))
	cmd, out := exec.Command(os.Args[0], args...), new(output)
	cmd.Env = append(os.Environ(), "TURNWISE_TEST_RUN_MAIN=1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		f.t.Error(err)
		return
	}
	ended := make(chan struct{})
	m.mu.Lock()
	m.cmd, m.out, m.ended = cmd, out, ended
	m.mu.Unlock()
	f.ended.Go(func() {
		err := cmd.Wait()
		m.mu.Lock()
		m.err = err
		retired := m.retired
		m.mu.Unlock()
		close(ended)
		if !retired {
			f.t.Logf("%v ended with %v and is started again\n%s", m.args, err, tail(out))
			time.Sleep(100 * time.Millisecond)
			f.run(m)
		}
	})
}

func tail(out *output) string {
	text := out.String()
	return text[max(0, len(text)-1500):]
}

// signal sends a signal to the process that runs.
func (m *member) signal(s syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.cmd.Process.Signal(s) // it may have ended
}

// retire ends the process for good.
func (m *member) retire(s syscall.Signal) error {
	m.mu.Lock()
	m.retired = true
	ended := m.ended
	m.mu.Unlock()
	m.signal(s)
	select {
	case <-ended:
	case <-time.After(25 * time.Second):
		m.signal(syscall.SIGKILL)
		<-ended
		return errors.New("it did not end within 25 s")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retired = false
	return m.err
}

// fault does something bad and mends it.
func (f *faultSuite) fault() {
	some := func(least, most int) time.Duration {
		return time.Duration(least+f.r.IntN(most-least)) * time.Millisecond
	}
	m := f.members[f.r.IntN(len(f.members))]
	n := f.r.IntN(3)
	way, at := []*brokertest.Proxy{
		f.network, f.kafka.Proxy, f.rabbit.Proxy,
	}[n], []string{"database", "Kafka", "RabbitMQ"}[n]
	faults := []struct {
		name string
		do   func()
	}{
		{"process killed", func() {
			_ = m.retire(syscall.SIGKILL)
			time.Sleep(some(0, 1500))
			f.run(m)
		}},
		{"process stopped", func() {
			// One that has only just begun may not listen to signals yet; one without a database may say so.
			if err := m.retire(syscall.SIGTERM); err != nil && m.out.String() != "" &&
				!strings.Contains(m.out.String(), "database") {
				f.t.Errorf("%v ended with %v\n%s", m.args, err, tail(m.out))
			}
			f.run(m)
		}},
		{"process frozen", func() { // long enough to be taken for dead, at times
			m.signal(syscall.SIGSTOP)
			time.Sleep(some(1000, 20000))
			m.signal(syscall.SIGCONT)
		}},
		{"member joined and left", func() {
			x := f.start("ingest")
			time.Sleep(some(2000, 5000))
			_ = x.retire(syscall.SIGKILL)
			f.members = f.members[:len(f.members)-1]
		}},
		{"database restarted", func() {
			f.db.Stop()
			time.Sleep(some(0, 2000))
			f.startDatabase()
		}},
		{"database crashed", func() {
			f.signalDatabase(syscall.SIGQUIT)
			f.startDatabase()
		}},
		{"database connections cut", func() {
			f.exec(
				`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()`,
			)
		}},
		{"table locked", func() {
			f.exec(`begin; lock table events in access exclusive mode; select pg_sleep(3); commit`)
		}},
		{"schema of a later release", func() { // columns more, and a version that this one does not know
			f.laterSchema(
				`alter table %s add column later integer not null default 0`,
				`insert into goose_db_version (version_id, is_applied) values (9999, true)`,
			)
			_ = m.retire(syscall.SIGKILL) // one started on that schema, beside those that were there before
			f.run(m)
			time.Sleep(some(1000, 3000))
			f.laterSchema(`alter table %s drop column later`, `delete from goose_db_version where version_id = 9999`)
		}},
		{"Kafka killed", func() {
			f.kafka.Kill()
			time.Sleep(some(0, 2000))
			f.kafka.Start(f.t)
		}},
		{"network to " + at + " silent", func() {
			way.Stall(true)
			time.Sleep(some(1000, 18000))
			if f.r.IntN(2) == 0 {
				way.Cut()
			}
			way.Stall(false)
		}},
		{"network to " + at + " slow", func() {
			way.Slow(some(50, 200), 0)
			time.Sleep(some(2000, 6000))
			way.Slow(0, 0)
		}},
		{"network to " + at + " narrow", func() {
			way.Slow(0, 2000)
			time.Sleep(some(2000, 6000))
			way.Slow(0, 0)
		}},
		{"connections to " + at + " cut", func() {
			for range 1 + f.r.IntN(4) {
				way.Cut()
				time.Sleep(some(0, 700))
			}
		}},
		{"connections to " + at + " half open", func() { way.Halve(some(1000, 6000)) }},
		{"RabbitMQ killed", func() {
			f.rabbit.Kill()
			time.Sleep(some(0, 2000))
			f.rabbit.Start(f.t)
		}},
	}
	one := faults[f.r.IntN(len(faults))]
	if len(f.done) == 0 { // rare otherwise, and quickly done
		one = faults[slices.IndexFunc(faults, func(x struct {
			name string
			do   func()
		},
		) bool {
			return x.name == "schema of a later release"
		})]
	}
	f.done = append(f.done, one.name)
	one.do()
	time.Sleep(some(200, 1500))
}

func (f *faultSuite) signalDatabase(s syscall.Signal) {
	text, err := os.ReadFile(filepath.Join(f.dir, "data", "postmaster.pid"))
	if err != nil {
		f.t.Error(err)
		return
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		f.t.Error(err)
		return
	}
	_ = syscall.Kill(pid, s)
	<-f.db.Exited()
}

// laterSchema changes each table of facts, as a migration does: with a short wait for the lock, and again.
func (f *faultSuite) laterSchema(each, version string) {
	for _, table := range []string{
		"events", "event_payloads", "messages", "turns", "conversations", "senders", "projections", "flow_runs",
		"ingest_minutes", "rejected_events",
	} {
		for range 100 {
			if f.exec("begin; set local lock_timeout = '500ms'; " + fmt.Sprintf(each, table) + "; commit") {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	f.exec(version)
}

// exec runs a statement, and tells whether that went well.
func (f *faultSuite) exec(sql string) bool {
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, f.db.URL())
	if err != nil {
		f.t.Log(err)
		return false
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		f.t.Log(err)
		return false
	}
	return true
}

func (f *faultSuite) sendKafka(ctx context.Context, bodies []string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(f.kafka.Address), kgo.DefaultProduceTopic("rasa-events"),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.RecordDeliveryTimeout(10*time.Second),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	records := make([]*kgo.Record, len(bodies))
	for i, body := range bodies {
		records[i] = kgo.StringRecord(body)
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

func (f *faultSuite) sendRabbit(ctx context.Context, bodies []string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := amqp.Dial("amqp://guest:guest@" + f.rabbit.Address + "/")
	if err != nil {
		return err
	}
	// The library's calls know no other way to be given up; the network may be silent.
	defer context.AfterFunc(ctx, func() { _ = conn.CloseDeadline(time.Now()) })()
	defer func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) }()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(
		faultQueue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"},
	); err != nil {
		return err
	}
	var all []*amqp.DeferredConfirmation
	for _, body := range bodies {
		c, err := ch.PublishWithDeferredConfirmWithContext(
			ctx, "", faultQueue, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)},
		)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	for _, c := range all {
		if ok, err := c.WaitContext(ctx); err != nil || !ok {
			return errors.Join(err, errors.New("not confirmed"))
		}
	}
	return nil
}

func (f *faultSuite) sendHTTP(ctx context.Context, bodies []string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(
		ctx, http.MethodPost, "http://"+f.listen+"/api/v1/ingest/rasa", strings.NewReader(strings.Join(bodies, "\n")),
	)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s %.300s, %w", resp.Status, answer, err)
	}
	return nil
}

// lament prints what the processes said last.
func (f *faultSuite) lament() {
	for _, m := range f.members {
		f.t.Logf("%v:\n%s", m.args, tail(m.out))
	}
}

// settle waits until everything is stored, and compares.
func (f *faultSuite) settle(want string) {
	f.t.Helper()
	pool, err := queries.Open(f.t.Context(), f.db.URL(), 3)
	if err != nil {
		f.t.Fatal(err)
	}
	defer pool.Close()
	events := strings.Count(want[strings.Index(want, "== events "):strings.Index(want, "== event_payloads ")], "\n") - 1
	var n, lag, rejected int
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		err := pool.QueryRow(f.t.Context(), `
select (select count(*) from events), (select coalesce(sum(lag), -1) from stream_positions where at > now() - interval '6 seconds'), (select count(*) from rejected_events)`).Scan(&n, &lag, &rejected)
		if err == nil && n == events && lag == 0 && rejected == 0 {
			break
		}
		if time.Now().After(deadline) {
			f.lament()
			f.t.Fatalf(
				"%d of %d events are stored, %d messages wait, %d are set aside, %v; done: %s", n, events, lag,
				rejected, err, strings.Join(f.done, ", "),
			)
		}
	}
	if got := dbtest.Dump(f.t, pool); got != want {
		f.t.Errorf("the tables differ from those of an undisturbed import; done: %s", strings.Join(f.done, ", "))
		a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				f.t.Logf("first difference:\n got %.600s\nwant %.600s", a[i], b[i])
				break
			}
		}
	}
}
