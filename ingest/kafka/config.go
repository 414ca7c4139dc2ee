// Package kafka reads topics of Apache Kafka, and of what speaks its protocol.
package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"turnwise/ingest"
	"turnwise/queries"
)

// Config says which topics to read, as whom. The names are those of Rasa's own services.
type Config struct {
	Brokers   []string `yaml:"brokers"`
	Topics    []string `yaml:"topics"`
	Pattern   bool     `yaml:"pattern"` // topics are regular expressions
	Group     string   `yaml:"group"`
	Protocol  string   `yaml:"security_protocol"` // PLAINTEXT, SASL_PLAINTEXT, SSL, SASL_SSL
	Mechanism string   `yaml:"sasl_mechanism"`    // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
	Username  string   `yaml:"username"`
	Password  string   `yaml:"password"`
	TokenFile string   `yaml:"oauth_token_file"` // read again for each connection
	CAFile    string   `yaml:"ca_file"`
	CertFile  string   `yaml:"cert_file"`
	KeyFile   string   `yaml:"key_file"`
	// of a group without offsets: earliest, latest, or a time as RFC 3339 has it
	Start      string `yaml:"start"`
	DeadLetter string `yaml:"dead_letter_topic"` // for what cannot be stored; "": none
}

// Check completes the configuration and says what is wrong with it.
func (c *Config) Check() error {
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	c.Group = cmp.Or(c.Group, "turnwise")
	c.Protocol = strings.ToUpper(cmp.Or(c.Protocol, "PLAINTEXT"))
	c.Mechanism = strings.ToUpper(c.Mechanism)
	c.Start = cmp.Or(c.Start, "earliest")
	if len(c.Topics) == 0 {
		c.Topics = []string{"rasa_core_events"}
	}
	if len(c.Brokers) == 0 {
		wrong("brokers: name at least one, as host:port")
	}
	for _, b := range c.Brokers {
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			wrong("brokers: %q is no host:port", b)
		}
	}
	for _, t := range c.Topics {
		if _, err := regexp.Compile(t); c.Pattern && err != nil {
			wrong("topics: %q is no regular expression: %v", t, err)
		}
	}
	if c.DeadLetter != "" && !c.Pattern && slices.Contains(c.Topics, c.DeadLetter) {
		wrong("dead_letter_topic: %q is read too; dead letters would come back for ever", c.DeadLetter)
	}
	if _, err := c.offset(); err != nil {
		all = append(all, err)
	}
	switch c.Protocol {
	case "PLAINTEXT", "SSL":
	case "SASL_PLAINTEXT", "SASL_SSL":
		c.Mechanism = cmp.Or(c.Mechanism, "PLAIN")
		switch c.Mechanism {
		case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
			if c.Username == "" {
				wrong("username: %s needs one", c.Mechanism)
			}
		case "OAUTHBEARER":
			if c.TokenFile == "" {
				wrong("oauth_token_file: OAUTHBEARER needs a file that holds the token")
			}
		default:
			wrong("sasl_mechanism: %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", c.Mechanism)
		}
	default:
		wrong("security_protocol: %q is none of PLAINTEXT, SASL_PLAINTEXT, SSL, SASL_SSL", c.Protocol)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		wrong("cert_file and key_file go together")
	}
	for _, f := range []string{c.CAFile, c.CertFile, c.KeyFile, c.TokenFile} {
		if f != "" {
			if _, err := os.Stat(f); err != nil {
				all = append(all, err)
			}
		}
	}
	return errors.Join(all...)
}

// offset is where a group begins that has read nothing yet.
func (c *Config) offset() (kgo.Offset, error) {
	switch c.Start {
	case "earliest":
		return kgo.NewOffset().AtStart(), nil
	case "latest":
		return kgo.NewOffset().AtEnd(), nil
	}
	at, err := time.Parse(time.RFC3339, c.Start)
	if err != nil {
		return kgo.Offset{}, fmt.Errorf(
			"start: %q is neither earliest nor latest nor a time such as 2026-11-01T00:00:00Z", c.Start,
		)
	}
	return kgo.NewOffset().AfterMilli(at.UnixMilli()), nil
}

// Settings tells the configuration, without secrets.
func (c *Config) Settings() []queries.Setting {
	topics := strings.Join(c.Topics, ", ")
	if c.Pattern {
		topics += " (regular expressions)"
	}
	all := []queries.Setting{
		{"Brokers", strings.Join(c.Brokers, ", ")},
		{"Topics", topics},
		{"Consumer group", c.Group},
		{"Security", strings.TrimSpace(c.Protocol + " " + c.Mechanism)},
	}
	for _, s := range []queries.Setting{
		{"User", c.Username}, {"CA file", c.CAFile}, {"Certificate file", c.CertFile}, {"Token file", c.TokenFile},
	} {
		if s[1] != "" {
			all = append(all, s)
		}
	}
	all = append(all, queries.Setting{"A new group starts at", c.Start})
	if c.DeadLetter != "" {
		all = append(all, queries.Setting{"Dead letters to", c.DeadLetter})
	}
	return all
}

// connection returns what every client needs to reach the brokers. Files are read for each new connection, so
// that renewed certificates and tokens are used without a restart.
func (c *Config) connection() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID("turnwise"), kgo.DialTimeout(10 * time.Second),
		kgo.RetryTimeout(20 * time.Second),
	}
	if strings.HasSuffix(c.Protocol, "SSL") {
		if _, err := ingest.ClientTLS("", c.CAFile, c.CertFile, c.KeyFile); err != nil {
			return nil, err
		}
		opts = append(opts, kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			config, err := ingest.ClientTLS(host, c.CAFile, c.CertFile, c.KeyFile)
			if err != nil {
				return nil, err
			}
			return (&tls.Dialer{
				NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: config,
			}).DialContext(ctx, network, address)
		}))
	}
	if !strings.HasPrefix(c.Protocol, "SASL") {
		return opts, nil
	}
	var mechanism sasl.Mechanism
	switch c.Mechanism {
	case "PLAIN":
		mechanism = plain.Auth{User: c.Username, Pass: c.Password}.AsMechanism()
	case "SCRAM-SHA-256":
		mechanism = scram.Auth{User: c.Username, Pass: c.Password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		mechanism = scram.Auth{User: c.Username, Pass: c.Password}.AsSha512Mechanism()
	default:
		mechanism = bearer(c.TokenFile)
	}
	return append(opts, kgo.SASL(mechanism)), nil
}
