package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"turnwise/ingest"
	"turnwise/ingest/kafka"
	"turnwise/ingest/pull"
	"turnwise/ingest/rabbit"
)

// streamFlags name the brokers to read: one Kafka and one RabbitMQ by flags, any number by a file. Where Rasa's
// own services have a variable for the same, that is read too.
type streamFlags struct {
	Sources string `env:"TURNWISE_SOURCES" help:"YAML file that names the brokers to read; see docs/operations.md." placeholder:"FILE" type:"path" group:"Brokers"`

	KafkaBrokers         []string `name:"kafka-brokers" env:"TURNWISE_KAFKA_BROKERS,KAFKA_BROKER_ADDRESS" help:"Kafka brokers to read from, as host:port." placeholder:"HOST:PORT" group:"Brokers"`
	KafkaTopics          []string `name:"kafka-topics" env:"TURNWISE_KAFKA_TOPICS,KAFKA_TOPIC" help:"Topics to read (rasa_core_events)." placeholder:"TOPIC" group:"Brokers"`
	KafkaTopicPattern    bool     `name:"kafka-topic-pattern" env:"TURNWISE_KAFKA_TOPIC_PATTERN" help:"The topics are regular expressions." group:"Brokers"`
	KafkaGroup           string   `name:"kafka-group" env:"TURNWISE_KAFKA_GROUP,RASA_ANALYTICS_CONSUMER_ID" help:"Consumer group (turnwise)." placeholder:"NAME" group:"Brokers"`
	KafkaProtocol        string   `name:"kafka-security-protocol" env:"TURNWISE_KAFKA_SECURITY_PROTOCOL,KAFKA_SECURITY_PROTOCOL" help:"PLAINTEXT, SASL_PLAINTEXT, SSL or SASL_SSL (PLAINTEXT)." placeholder:"PROTOCOL" group:"Brokers"`
	KafkaMechanism       string   `name:"kafka-sasl-mechanism" env:"TURNWISE_KAFKA_SASL_MECHANISM,KAFKA_SASL_MECHANISM" help:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER (PLAIN)." placeholder:"MECHANISM" group:"Brokers"`
	KafkaUsername        string   `name:"kafka-username" env:"TURNWISE_KAFKA_USERNAME,KAFKA_SASL_USERNAME" help:"User for SASL." placeholder:"NAME" group:"Brokers"`
	KafkaPassword        string   `name:"kafka-password" env:"TURNWISE_KAFKA_PASSWORD,KAFKA_SASL_PASSWORD" help:"Password for SASL; better set by the environment or a file." placeholder:"PASSWORD" group:"Brokers"`
	KafkaPasswordFile    string   `name:"kafka-password-file" env:"TURNWISE_KAFKA_PASSWORD_FILE" help:"File that holds the password." placeholder:"FILE" type:"path" group:"Brokers"`
	KafkaTokenFile       string   `name:"kafka-oauth-token-file" env:"TURNWISE_KAFKA_OAUTH_TOKEN_FILE" help:"File that holds the OAUTHBEARER token; read for each connection." placeholder:"FILE" type:"path" group:"Brokers"`
	KafkaCA              string   `name:"kafka-ca-file" env:"TURNWISE_KAFKA_CA_FILE,KAFKA_SSL_CA_LOCATION" help:"Certificates to trust, PEM." placeholder:"FILE" type:"path" group:"Brokers"`
	KafkaCert            string   `name:"kafka-cert-file" env:"TURNWISE_KAFKA_CERT_FILE,KAFKA_SSL_CERTFILE_LOCATION" help:"Own certificate, PEM." placeholder:"FILE" type:"path" group:"Brokers"`
	KafkaKey             string   `name:"kafka-key-file" env:"TURNWISE_KAFKA_KEY_FILE,KAFKA_SSL_KEYFILE_LOCATION" help:"Its key, PEM." placeholder:"FILE" type:"path" group:"Brokers"`
	KafkaStart           string   `name:"kafka-start" env:"TURNWISE_KAFKA_START" help:"Where a new group begins: earliest, latest or a time (earliest)." placeholder:"WHERE" group:"Brokers"`
	KafkaDeadLetterTopic string   `name:"kafka-dead-letter-topic" env:"TURNWISE_KAFKA_DEAD_LETTER_TOPIC" help:"Topic for what cannot be stored, beside keeping it under Data health." placeholder:"TOPIC" group:"Brokers"`

	RabbitURLs            []string `name:"rabbitmq-urls" env:"TURNWISE_RABBITMQ_URLS" help:"RabbitMQ to read from, amqp:// or amqps://, tried in turn." placeholder:"URL" group:"Brokers"`
	RabbitURLsFile        string   `name:"rabbitmq-urls-file" env:"TURNWISE_RABBITMQ_URLS_FILE" help:"File that holds the URLs, one a line." placeholder:"FILE" type:"path" group:"Brokers"`
	RabbitQueues          []string `name:"rabbitmq-queues" env:"TURNWISE_RABBITMQ_QUEUES" help:"Queues to read (rasa_core_events)." placeholder:"QUEUE" group:"Brokers"`
	RabbitExchange        string   `name:"rabbitmq-exchange" env:"TURNWISE_RABBITMQ_EXCHANGE" help:"Exchange to bind the queues to, such as rasa-exchange." placeholder:"NAME" group:"Brokers"`
	RabbitPassive         bool     `name:"rabbitmq-passive" env:"TURNWISE_RABBITMQ_PASSIVE" help:"Declare nothing; queues and exchange must exist." group:"Brokers"`
	RabbitQuorum          bool     `name:"rabbitmq-quorum" env:"TURNWISE_RABBITMQ_QUORUM" help:"Make queues that are missing as quorum queues." group:"Brokers"`
	RabbitPrefetch        int      `name:"rabbitmq-prefetch" env:"TURNWISE_RABBITMQ_PREFETCH" help:"Messages delivered ahead, a queue (1000)." placeholder:"N" group:"Brokers"`
	RabbitCA              string   `name:"rabbitmq-ca-file" env:"TURNWISE_RABBITMQ_CA_FILE" help:"Certificates to trust, PEM." placeholder:"FILE" type:"path" group:"Brokers"`
	RabbitCert            string   `name:"rabbitmq-cert-file" env:"TURNWISE_RABBITMQ_CERT_FILE" help:"Own certificate, PEM." placeholder:"FILE" type:"path" group:"Brokers"`
	RabbitKey             string   `name:"rabbitmq-key-file" env:"TURNWISE_RABBITMQ_KEY_FILE" help:"Its key, PEM." placeholder:"FILE" type:"path" group:"Brokers"`
	RabbitDeadLetterQueue string   `name:"rabbitmq-dead-letter-queue" env:"TURNWISE_RABBITMQ_DEAD_LETTER_QUEUE" help:"Queue for what cannot be stored, beside keeping it under Data health." placeholder:"QUEUE" group:"Brokers"`

	storeFlags `embed:""`

	StreamAssistant   string `name:"stream-assistant" env:"TURNWISE_STREAM_ASSISTANT" help:"Assistant of events that name none, of the brokers named by flags (default)." placeholder:"NAME" group:"Brokers"`
	StreamAlways      bool   `name:"stream-assistant-always" env:"TURNWISE_STREAM_ASSISTANT_ALWAYS" help:"All events of these brokers belong to that assistant, also those that name another." group:"Brokers"`
	StreamEnvironment string `name:"stream-environment" env:"TURNWISE_STREAM_ENVIRONMENT" help:"Environment of messages that name none, of the brokers named by flags." placeholder:"NAME" group:"Brokers"`
}

// storeFlags name a tracker store of Rasa's to read.
type storeFlags struct {
	RasaSQL      string `name:"rasa-sql" env:"TURNWISE_RASA_SQL" help:"Tracker store of Rasa in PostgreSQL to follow, as postgres://." placeholder:"URL" group:"Brokers"`
	RasaSQLFile  string `name:"rasa-sql-file" env:"TURNWISE_RASA_SQL_FILE" help:"File that holds that URL." placeholder:"FILE" type:"path" group:"Brokers"`
	RasaSQLTable string `name:"rasa-sql-table" env:"TURNWISE_RASA_SQL_TABLE" help:"Its table of events (events)." placeholder:"TABLE" group:"Brokers"`
}

// store is the configuration that they are; nil for none.
func (f *storeFlags) store() (*pull.TrackerStore, error) {
	url, err := secretFrom(f.RasaSQL, f.RasaSQLFile)
	if err != nil || url == "" {
		return nil, err
	}
	return &pull.TrackerStore{URL: url, Table: f.RasaSQLTable}, nil
}

// sourceConfig is one source to read: a broker, or a store that is asked for what is new.
type sourceConfig struct {
	Name        string         `yaml:"name"`
	Format      string         `yaml:"format"`  // rasa or neutral
	Mapping     string         `yaml:"mapping"` // that makes neutral events of the messages: a name, or a file
	Assistant   string         `yaml:"assistant"`
	Always      bool           `yaml:"assistant_always"` // also of events that name another
	Environment string         `yaml:"environment"`
	Writers     int            `yaml:"writers"`
	Batch       int            `yaml:"batch"`
	Kafka       *kafka.Config  `yaml:"kafka"`
	RabbitMQ    *rabbit.Config `yaml:"rabbitmq"`

	RasaSQL  *pull.TrackerStore `yaml:"rasa_sql"`
	Chatwoot *pull.Chatwoot     `yaml:"chatwoot"`
}

// configured reads flags and file and checks all of it together.
func (f *streamFlags) configured(getenv func(string) string) ([]sourceConfig, error) {
	var all []sourceConfig
	if len(f.KafkaBrokers) > 0 {
		password, err := secretFrom(f.KafkaPassword, f.KafkaPasswordFile)
		if err != nil {
			return nil, err
		}
		all = append(all, sourceConfig{
			Name: "kafka", Assistant: f.StreamAssistant, Always: f.StreamAlways, Environment: f.StreamEnvironment,
			Kafka: &kafka.Config{
				Brokers: f.KafkaBrokers, Topics: f.KafkaTopics, Pattern: f.KafkaTopicPattern, Group: f.KafkaGroup,
				Protocol: f.KafkaProtocol, Mechanism: f.KafkaMechanism, Username: f.KafkaUsername, Password: password,
				TokenFile: f.KafkaTokenFile, CAFile: f.KafkaCA, CertFile: f.KafkaCert, KeyFile: f.KafkaKey,
				Start: f.KafkaStart, DeadLetter: f.KafkaDeadLetterTopic,
			},
		})
	}
	urls := f.RabbitURLs
	if f.RabbitURLsFile != "" {
		text, err := secretFrom("", f.RabbitURLsFile)
		if err != nil {
			return nil, err
		}
		urls = append(urls, strings.Fields(text)...)
	}
	if len(urls) > 0 {
		all = append(all, sourceConfig{
			Name: "rabbitmq", Assistant: f.StreamAssistant, Always: f.StreamAlways, Environment: f.StreamEnvironment,
			RabbitMQ: &rabbit.Config{
				URLs: urls, Queues: f.RabbitQueues, Exchange: f.RabbitExchange, Passive: f.RabbitPassive,
				Quorum: f.RabbitQuorum, Prefetch: f.RabbitPrefetch, CAFile: f.RabbitCA, CertFile: f.RabbitCert,
				KeyFile: f.RabbitKey, DeadLetter: f.RabbitDeadLetterQueue,
			},
		})
	}
	store, err := f.store()
	if err != nil {
		return nil, err
	}
	if store != nil {
		all = append(all, sourceConfig{
			Name: "rasa-sql", Assistant: f.StreamAssistant, Always: f.StreamAlways, Environment: f.StreamEnvironment,
			RasaSQL: store,
		})
	}
	if f.Sources != "" {
		more, err := readSources(f.Sources, getenv)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Sources, err)
		}
		all = append(all, more...)
	}
	return all, checkSources(all)
}

// secret is the value, or what the file holds.
func secretFrom(value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	b, err := os.ReadFile(file)
	return strings.TrimSpace(string(b)), err
}

// readSources reads the file. ${NAME} in a value stands for a variable of the environment, so that secrets
// need not be in the file.
func readSources(file string, getenv func(string) string) ([]sourceConfig, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Sources []sourceConfig `yaml:"sources"`
	}
	if err := yaml.UnmarshalWithOptions(text, &doc, yaml.Strict()); err != nil {
		// without the lines themselves: they may hold a password
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	var missing []string
	expand := func(s *string) {
		*s = variable.ReplaceAllStringFunc(*s, func(m string) string {
			v := getenv(m[2 : len(m)-1])
			if v == "" {
				missing = append(missing, m)
			}
			return v
		})
	}
	for _, s := range doc.Sources {
		if k := s.Kafka; k != nil {
			expand(&k.Username)
			expand(&k.Password)
			for i := range k.Brokers {
				expand(&k.Brokers[i])
			}
		}
		if r := s.RabbitMQ; r != nil {
			for i := range r.URLs {
				expand(&r.URLs[i])
			}
		}
		if r := s.RasaSQL; r != nil {
			expand(&r.URL)
		}
		if c := s.Chatwoot; c != nil {
			expand(&c.URL)
			expand(&c.Token)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("not set in the environment: %s", strings.Join(missing, ", "))
	}
	return doc.Sources, nil
}

var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

func checkSources(all []sourceConfig) error {
	var errs []error
	names := map[string]bool{}
	for i := range all {
		s := &all[i]
		where := fmt.Sprintf("source %q", s.Name)
		s.Assistant, s.Format = cmp.Or(s.Assistant, "default"), cmp.Or(s.Format, "rasa")
		if s.Chatwoot != nil {
			s.Mapping = cmp.Or(s.Mapping, "chatwoot")
		}
		if s.Mapping != "" {
			s.Format = "neutral"
		}
		_, known := ingest.FormatNamed(s.Format)
		var err error
		switch {
		case s.Name == "":
			where, err = fmt.Sprintf("source number %d", i+1), errors.New("it needs a name")
		case len(s.Name) > 200:
			err = errors.New("its name is longer than 200 bytes")
		case names[s.Name]:
			err = errors.New("another one has the same name")
		case !known:
			err = fmt.Errorf("format: %q is not known; there is %s", s.Format, strings.Join(ingest.FormatNames(), ", "))
		case s.Writers < 0 || s.Writers > 16:
			err = errors.New("writers: 1 to 16, please")
		case s.Batch < 0 || s.Batch > 20000:
			err = errors.New("batch: 1 to 20,000, please")
		case s.kinds() != 1:
			err = errors.New("it needs one of kafka, rabbitmq, rasa_sql and chatwoot")
		case s.Kafka != nil:
			err = s.Kafka.Check()
		case s.RabbitMQ != nil:
			err = s.RabbitMQ.Check()
		case s.Chatwoot != nil:
			err = s.Chatwoot.Check()
		default:
			err = s.RasaSQL.Check()
		}
		if err == nil && s.Mapping != "" {
			_, err = mappingFile(s.Mapping)
		}
		names[s.Name] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
	}
	return errors.Join(errs...)
}

// kinds is how many kinds of source it is.
func (s *sourceConfig) kinds() (n int) {
	for _, is := range []bool{s.Kafka != nil, s.RabbitMQ != nil, s.RasaSQL != nil, s.Chatwoot != nil} {
		if is {
			n++
		}
	}
	return n
}

// connections is how many connections to the database the streams use at most.
func connections(all []sourceConfig) int {
	n := 0
	for _, s := range all {
		n += cmp.Or(s.Writers, 2) + 3 // a look at what is known, and its reports
	}
	return n
}

// broker is a consumer with what the commands need beside.
type broker interface {
	ingest.Consumer
	DeadLetter() func(ctx context.Context, rejected []ingest.Rejected) error
	Check(ctx context.Context) error // of what reading itself does not need
	Close()
}

func (s *sourceConfig) consumer() (broker, string) {
	switch {
	case s.Kafka != nil:
		return kafka.New(*s.Kafka), "kafka"
	case s.RabbitMQ != nil:
		return rabbit.New(*s.RabbitMQ), "rabbitmq"
	case s.Chatwoot != nil:
		return pull.NewChatwoot(*s.Chatwoot), "chatwoot"
	}
	return pull.New(*s.RasaSQL), "rasa_sql"
}

// streams are the sources that this process reads.
type streams struct {
	all     []*ingest.Stream
	running sync.WaitGroup
	maps    []func() // that end mappings
	failed  chan error
	stop    context.CancelFunc
}

// startStreams begins to read the sources. wait ends them and returns when what was under way is stored.
func startStreams(ctx context.Context, w *ingest.Writer, all []sourceConfig, log *slog.Logger) *streams {
	s := &streams{failed: make(chan error, len(all)+1)}
	ctx, s.stop = context.WithCancel(ctx)
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	for i := range all {
		consumer, kind := all[i].consumer()
		format, _ := ingest.FormatNamed(all[i].Format) // it was checked
		source := ingest.Source{
			Name: all[i].Name, Kind: kind, Format: format, Assistant: all[i].Assistant, Always: all[i].Always,
			Environment: all[i].Environment, DeadLetter: consumer.DeadLetter(),
		}
		if all[i].Mapping != "" {
			mapping, done, err := startMapping(all[i].Mapping, "")
			if err != nil {
				s.failed <- fmt.Errorf("source %q: %w", source.Name, err)
				consumer.Close()
				continue
			}
			source.Mapping, s.maps = mapping, append(s.maps, done)
		}
		stream := ingest.NewStream(
			w, source, consumer, fmt.Sprintf("%s:%d", host, os.Getpid()),
			ingest.Options{Writers: all[i].Writers, Batch: all[i].Batch},
		)
		s.all = append(s.all, stream)
		s.running.Go(func() {
			defer consumer.Close()
			if err := stream.Run(ctx); err != nil && ctx.Err() == nil {
				s.failed <- fmt.Errorf("source %q: %w", source.Name, err)
			} else if err != nil {
				log.WarnContext(ctx, "the source's last report failed", "source", source.Name, "error", err)
			}
		})
	}
	return s
}

func (s *streams) wait() {
	s.stop()
	s.running.Wait()
	for _, done := range s.maps {
		done()
	}
}

// statuses tells how all streams are doing.
func (s *streams) statuses() (all []ingest.Status) {
	for _, x := range s.all {
		all = append(all, x.Status())
	}
	return all
}
