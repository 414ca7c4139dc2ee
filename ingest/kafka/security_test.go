package kafka_test

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/ingest/brokertest"
	"turnwise/ingest/kafka"
)

// Each way to prove who we are works, and what is wrong with the others is said in plain words.
func TestSecurity(t *testing.T) {
	t.Parallel()
	ca, key := brokertest.Certificate(t)
	other, _ := brokertest.Certificate(t)
	pair, err := tls.LoadX509KeyPair(ca, key)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := cluster(t, kfake.TLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
	}), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "ann", "plain"), kfake.Superuser(
			"SCRAM-SHA-256", "bob", "scram256",
		), kfake.Superuser("SCRAM-SHA-512", "cid", "scram512"))
	for _, tt := range []struct {
		name string
		cfg  kafka.Config
		want string // of the error
	}{
		{"plain", kafka.Config{Protocol: "SASL_SSL", CAFile: ca, Username: "ann", Password: "plain"}, ""},
		{
			"scram 256",
			kafka.Config{
				Protocol: "SASL_SSL", CAFile: ca, Mechanism: "SCRAM-SHA-256", Username: "bob", Password: "scram256",
			},
			"",
		},
		{
			"scram 512",
			kafka.Config{
				Protocol: "sasl_ssl", CAFile: ca, Mechanism: "scram-sha-512", Username: "cid", Password: "scram512",
			},
			"",
		},
		// kfake just hangs up
		{
			"a wrong password",
			kafka.Config{Protocol: "SASL_SSL", CAFile: ca, Username: "ann", Password: "secret-guess"},
			"refuse",
		},
		{
			"a wrong certificate",
			kafka.Config{Protocol: "SASL_SSL", CAFile: other, Username: "ann", Password: "plain"},
			"certificate",
		},
		{
			"no TLS",
			kafka.Config{Protocol: "SASL_PLAINTEXT", Username: "ann", Password: "plain"},
			"another security_protocol",
		},
		{
			"no certificate to trust",
			kafka.Config{Protocol: "SASL_SSL", Username: "ann", Password: "plain"},
			"certificate",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Brokers = encrypted.ListenAddrs()
			positions, err := consumer(t, tt.cfg).Positions(t.Context())
			switch {
			case tt.want == "" && (err != nil || len(positions) != 3):
				t.Errorf("%v, %v", positions, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) ||
				strings.Contains(err.Error(), "secret-guess")):
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

// A real Kafka takes a bearer token from a file, read again for each connection, and says who may write.
func TestToken(t *testing.T) {
	t.Parallel()
	broker := brokertest.Kafka(t, "127.0.0.1")
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopics(t.Context(), 3, 1, nil, "rasa_core_events", "dead"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	write := func(expires time.Duration) {
		part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		now := time.Now()
		token := part(`{"alg":"none"}`) + "." + part(
			fmt.Sprintf(`{"sub":"turnwise","iat":%d,"exp":%d}`, now.Add(-time.Hour).Unix(), now.Add(expires).Unix()),
		) + "."
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(-time.Minute)
	c := consumer(t, kafka.Config{
		Brokers: []string{broker.OAuth}, Protocol: "SASL_PLAINTEXT", Mechanism: "OAUTHBEARER", TokenFile: file,
		DeadLetter: "dead",
	})
	if _, err := c.Positions(t.Context()); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("with a token that is over: %v", err)
	}
	write(time.Hour)
	brokertest.Until(t, func() string { // a Kafka that has only begun has no coordinator yet
		if positions, err := c.Positions(t.Context()); err != nil || len(positions) != 3 {
			return fmt.Sprint(positions, err)
		}
		return ""
	})
	if err := c.Check(t.Context()); err != nil {
		t.Error(err)
	}
	gone := consumer(t, kafka.Config{Brokers: []string{broker.Address}, DeadLetter: "missing"})
	if err := gone.Check(t.Context()); err == nil || !strings.Contains(
		err.Error(), `"missing" for dead letters: it does not exist`,
	) {
		t.Errorf("a topic that is missing: %v", err)
	}
}
