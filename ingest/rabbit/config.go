// Package rabbit reads queues of RabbitMQ.
package rabbit

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"turnwise/queries"
)

// Config says which queues to read.
type Config struct {
	URLs   []string `yaml:"urls"`   // amqp:// or amqps://, tried in turn
	Queues []string `yaml:"queues"` // made, durable, when they do not exist
	// to bind the queues to; made as Rasa makes it when it does not exist; "": none
	Exchange   string `yaml:"exchange"`
	Passive    bool   `yaml:"passive"`  // make nothing: queues and exchange must exist
	Quorum     bool   `yaml:"quorum"`   // queues that are made are quorum queues
	Prefetch   int    `yaml:"prefetch"` // messages delivered and not yet acknowledged, a queue
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	DeadLetter string `yaml:"dead_letter_queue"` // for what cannot be stored; "": none
}

// Check completes the configuration and says what is wrong with it.
func (c *Config) Check() error {
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if len(c.URLs) == 0 {
		wrong("urls: name at least one, such as amqp://user:password@host:5672/")
	}
	for i, u := range c.URLs {
		parsed, err := url.Parse(u)
		if err != nil || parsed.Scheme != "amqp" && parsed.Scheme != "amqps" || parsed.Hostname() == "" {
			wrong("urls: number %d is none such as amqp://user:password@host:5672/", i+1) // it may hold a password
		}
	}
	if len(c.Queues) == 0 {
		c.Queues = []string{"rasa_core_events"}
	}
	for _, q := range c.Queues {
		if q == "" || len(q) > 255 {
			wrong("queues: a name has 1 to 255 bytes")
		}
		if q == c.DeadLetter {
			wrong("dead_letter_queue: %q is read too; dead letters would come back for ever", q)
		}
	}
	if c.Prefetch == 0 {
		c.Prefetch = 1000
	}
	if c.Prefetch < 1 || c.Prefetch > 65535 {
		wrong("prefetch: %d is not between 1 and 65535", c.Prefetch)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		wrong("cert_file and key_file go together")
	}
	for _, f := range []string{c.CAFile, c.CertFile, c.KeyFile} {
		if f != "" {
			if _, err := os.Stat(f); err != nil {
				all = append(all, err)
			}
		}
	}
	return errors.Join(all...)
}

// Settings tells the configuration, without secrets.
func (c *Config) Settings() []queries.Setting {
	servers := make([]string, len(c.URLs))
	for i, u := range c.URLs {
		servers[i] = server(u)
	}
	all := []queries.Setting{{"Servers", strings.Join(servers, ", ")}, {"Queues", strings.Join(c.Queues, ", ")}}
	if c.Exchange != "" {
		all = append(all, queries.Setting{"Bound to exchange", c.Exchange})
	}
	if c.Passive {
		all = append(all, queries.Setting{"Declares", "nothing (passive)"})
	}
	all = append(all, queries.Setting{"Prefetch", strconv.Itoa(c.Prefetch)})
	if c.CAFile != "" {
		all = append(all, queries.Setting{"CA file", c.CAFile})
	}
	if c.DeadLetter != "" {
		all = append(all, queries.Setting{"Dead letters to", c.DeadLetter})
	}
	return all
}

// server is a URL without its password.
func server(u string) string {
	parsed, err := url.Parse(u)
	if err != nil {
		return "?"
	}
	return parsed.Redacted()
}
