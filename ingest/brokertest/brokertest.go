// Package brokertest starts private brokers for tests: RabbitMQ from Debian's package and Apache Kafka from
// its published jars. Where a broker cannot be had, the test is skipped and says so.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// T is what of testing.TB is needed.
type T interface {
	Helper()
	Name() string
	Cleanup(do func())
	Skip(args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Broker is a running server.
type Broker struct {
	Address string // host:port
	Proxy   *Proxy // before it
	OAuth   string // host:port of Kafka's listener that takes unsigned tokens
	TLS     string // host:port of RabbitMQ's listener with TLS
	CAFile  string // to trust there
	dir     string
	env     []string
	name    string
	args    []string
	process *exec.Cmd
	ended   chan struct{}
	after   func() // the end
}

// skip says loudly why a stage is left out. Where brokers must be there, as in CI, it fails instead.
func skip(t T, what string, err error) {
	t.Helper()
	text := fmt.Sprintf("SKIPPED for want of %s: %v", what, err)
	if os.Getenv("TURNWISE_TEST_BROKERS") == "require" {
		t.Fatal(text)
	}
	fmt.Fprintln(os.Stderr, "\n*** "+t.Name()+": "+text+"\n")
	t.Skip(text)
}

// freePorts finds free ports that differ: each is held until all are found.
func freePorts(t T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

func tempDir(t T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "turnwise-broker-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Start starts the server, again after Kill or Stop, and waits until it answers.
func (b *Broker) Start(t T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(b.dir, "out.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	b.process = exec.Command(b.name, b.args...)
	b.process.Env = append(os.Environ(), b.env...)
	b.process.Stdout, b.process.Stderr = log, log
	b.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.process.Start(); err != nil {
		t.Fatal(err)
	}
	b.ended = make(chan struct{})
	process, ended := b.process, b.ended
	go func() {
		_ = process.Wait() // how it ended tells the log
		close(ended)
	}()
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		err := answers(b.Address)
		if err == nil && b.TLS != "" {
			err = answers(b.TLS) // it listens there a little later
		}
		if err == nil {
			return
		}
		select {
		case <-b.ended:
			deadline = time.Now().Add(-time.Second)
		default:
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(b.dir, "out.log"))
			t.Fatalf("%s did not start: %v\n%s", b.name, err, text[max(0, len(text)-3000):])
		}
	}
}

func answers(address string) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Kill ends the server as a power cut would.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

// Stop ends the server in order.
func (b *Broker) Stop() { b.end(syscall.SIGTERM) }

func (b *Broker) end(s syscall.Signal) {
	if b.process == nil {
		return
	}
	_ = syscall.Kill(-b.process.Process.Pid, s) // it may have ended
	select {
	case <-b.ended:
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(-b.process.Process.Pid, syscall.SIGKILL)
		<-b.ended
	}
	b.process = nil
}

func (b *Broker) cleanUp(t T) {
	t.Cleanup(func() {
		b.Kill()
		if b.after != nil {
			b.after()
		}
	})
}

// Rabbit starts a RabbitMQ; its user is guest. Its proxy listens at host.
func Rabbit(t T, host string) *Broker {
	t.Helper()
	const program = "/usr/lib/rabbitmq/bin/rabbitmq-server"
	if _, err := os.Stat(program); err != nil {
		skip(t, "RabbitMQ (Debian's package rabbitmq-server)", err)
	}
	ports := freePorts(t, 4)
	dir, port, epmd, distribution := tempDir(t), ports[0], ports[1], ports[2]
	if err := os.WriteFile(filepath.Join(dir, "plugins"), []byte("[].\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	encrypted := "127.0.0.1:" + ports[3]
	cert, key := Certificate(t)
	config := "disk_free_limit.absolute = 1MB\nvm_memory_high_watermark.absolute = 1GB\nconsumer_timeout = " +
		"600000\nlisteners.ssl.1 = " + encrypted +
		"\nssl_options.cacertfile = " + cert + "\nssl_options.certfile = " + cert + "\nssl_options.keyfile = " + key +
		"\nssl_options.verify = verify_none\n"
	if err := os.WriteFile(filepath.Join(dir, "rabbitmq.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &Broker{Address: "127.0.0.1:" + port, TLS: encrypted, CAFile: cert, dir: dir, name: program, env: []string{
		"HOME=" + dir, "RABBITMQ_NODENAME=turnwise" + port + "@localhost", "RABBITMQ_NODE_PORT=" +
			port, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_DIST_PORT=" + distribution, "ERL_EPMD_PORT=" +
			epmd, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_RELAXED_COMMAND_CHECK=true", "RABBITMQ_LOGS=-",
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "data"), "RABBITMQ_LOG_BASE=" +
			dir, "RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq.conf"), "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2",
	}}
	b.after = func() {
		end := exec.Command("epmd", "-port", epmd, "-kill") // which the server started beside itself
		end.Env = append(os.Environ(), "ERL_EPMD_PORT="+epmd)
		_ = end.Run()
	}
	b.Proxy = NewProxy(t, host, "tcp", b.Address)
	b.cleanUp(t)
	b.Start(t)
	return b
}

// Kafka starts an Apache Kafka of one node, broker and controller in one. Its proxy listens at host.
func Kafka(t T, host string) *Broker {
	t.Helper()
	jars, err := kafkaJars()
	if err != nil {
		skip(t, "Apache Kafka (Java 17 and Maven Central)", err)
	}
	ports := freePorts(t, 4)
	dir, port, controller, proxied, oauth := tempDir(t), ports[0], ports[1], ports[2], ports[3]
	proxy := NewProxy(t, host, "tcp", "127.0.0.1:"+proxied)
	properties := strings.Join([]string{
		"process.roles=broker,controller", "node.id=1", "controller.quorum.voters=1@127.0.0.1:" + controller,
		"listeners=PLAINTEXT://127.0.0.1:" + port + ",CONTROLLER://127.0.0.1:" + controller + ",PROXIED://127.0.0.1:" +
			proxied + ",OAUTH://127.0.0.1:" + oauth,
		"advertised.listeners=PLAINTEXT://127.0.0.1:" + port + ",PROXIED://" + proxy.Address + ",OAUTH://127.0.0.1:" +
			oauth,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,OAUTH:SASL_PLAINTEXT",
		"listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER",
		"listener.name.oauth.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
		"log.dirs=" + filepath.Join(dir, "data"), "offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1", "group.initial.rebalance.delay.ms=0", "auto.create.topics.enable=false",
		"num.partitions=3",
		"message.max.bytes=62914560", "replica.fetch.max.bytes=62914560", "offsets.topic.num.partitions=3",
		"log.segment.bytes=67108864",
	}, "\n") + "\n"
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	java := []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*")}
	format := exec.Command(
		"java", append(java, "kafka.tools.StorageTool", "format", "-t", "dHVybndpc2UtdGVzdC0wMQ", "-c", file)...,
	)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format Kafka's storage: %v\n%s", err, out)
	}
	b := &Broker{
		Address: "127.0.0.1:" + port, OAuth: "127.0.0.1:" + oauth, Proxy: proxy, dir: dir, name: "java",
		args: append(java, "kafka.Kafka", file),
	}
	b.cleanUp(t)
	b.Start(t)
	return b
}

// kafkaJars returns the folder with Kafka and all it needs, fetched by Maven at the first use.
func kafkaJars() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	pom, err := pomFile()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "turnwise", "kafka-"+version)
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(dir + ".lock") // tests of other packages may fetch them too
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir, nil
	}
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	fetch := exec.CommandContext(
		ctx, "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory="+dir,
		"-DincludeScope=runtime", "-Dkafka.version="+version,
	)
	if out, err := fetch.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out[max(0, len(out)-1000):])))
	}
	return dir, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600)
}
