package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"

	"turnwise/ingest/rabbit"
	"turnwise/jobs"
	"turnwise/secret"
)

// reportFlags are the settings of what sends reports.
type reportFlags struct {
	SecretKey     string        `name:"secret-key" env:"TURNWISE_SECRET_KEY" help:"Text of at least 16 characters with which passwords for mail and other targets are sealed; default with a local PostgreSQL: a file in the data directory." placeholder:"TEXT"`
	SecretKeyFile string        `name:"secret-key-file" env:"TURNWISE_SECRET_KEY_FILE" help:"File that holds the secret key." placeholder:"FILE" type:"path"`
	ReportFolder  string        `name:"report-folder" env:"TURNWISE_REPORT_FOLDER" help:"Folder below which reports may be put; default: none." placeholder:"DIR" type:"path"`
	ReportLeast   time.Duration `name:"report-least" env:"TURNWISE_REPORT_LEAST" default:"15m" help:"Least time between two runs of a report (${default})."`
	ReportMails   int           `name:"report-mails" env:"TURNWISE_REPORT_MAILS" default:"2000" help:"Mails that a report may send a day (${default})."`
	JobQueueURLs  []string      `name:"job-queue-urls" env:"TURNWISE_JOB_QUEUE_URLS" help:"RabbitMQ with a queue by which another program asks for exports, as SentiOne's orchestrator does; amqp:// or amqps://, tried in turn." placeholder:"URL"`
	JobQueueFile  string        `name:"job-queue-urls-file" env:"TURNWISE_JOB_QUEUE_URLS_FILE" help:"File that holds the URLs, one a line." placeholder:"FILE" type:"path"`
	JobQueue      string        `name:"job-queue" env:"TURNWISE_JOB_QUEUE" default:"automate.jobs.AnalyticsExport" help:"Name of that queue, which must exist (${default})." placeholder:"NAME"`
	JobQueueCA    string        `name:"job-queue-ca-file" env:"TURNWISE_JOB_QUEUE_CA_FILE" help:"Certificates to trust for it, PEM." placeholder:"FILE" type:"path"`
	JobHosts      []string      `name:"job-hosts" env:"TURNWISE_JOB_HOSTS" help:"Servers to which such exports may be sent, such as warehouse.example.org." placeholder:"HOST"`
	JobAccount    string        `name:"job-account" env:"TURNWISE_JOB_ACCOUNT" help:"Address of the account whose rights such exports have." placeholder:"EMAIL"`
	AllowInternal []string      `name:"allow-internal" env:"TURNWISE_ALLOW_INTERNAL" help:"Private networks to which reports, webhooks and exports of the queue may be sent." placeholder:"CIDR"`
}

// internal returns the networks that are allowed.
func (f *reportFlags) internal() (all jobs.Networks, err error) {
	for _, p := range f.AllowInternal {
		prefix, e := netip.ParsePrefix(p)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("--allow-internal: %q is no network such as 10.0.0.0/8", p))
		}
		all = append(all, prefix)
	}
	return all, err
}

// queue returns the queue of jobs; nil for none.
func (f *reportFlags) queue() (*jobs.JobQueue, error) {
	urls := f.JobQueueURLs
	if f.JobQueueFile != "" {
		text, err := secretFrom("", f.JobQueueFile)
		if err != nil {
			return nil, fmt.Errorf("--job-queue-urls-file: %w", err)
		}
		urls = append(urls, strings.Fields(text)...)
	}
	if len(urls) == 0 {
		return nil, nil
	}
	cfg := rabbit.Config{URLs: urls, Queues: []string{f.JobQueue}, CAFile: f.JobQueueCA}
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("--job-queue-urls: %w", err)
	}
	if f.JobAccount == "" {
		return nil, errors.New("--job-account: name the account whose rights exports of the queue have")
	}
	server := rabbit.New(cfg)
	return &jobs.JobQueue{
		Connect: func(ctx context.Context) (*amqp.Connection, error) { return server.Connect(ctx, "turnwise (jobs)") },
		Name:    f.JobQueue, Hosts: f.JobHosts, Account: f.JobAccount,
	}, nil
}

// box returns what keeps secrets; nil without a key.
func (f *reportFlags) box(c *cli) (*secret.Box, error) {
	key := f.SecretKey
	switch {
	case key != "":
	case f.SecretKeyFile != "":
		b, err := os.ReadFile(f.SecretKeyFile)
		if err != nil {
			return nil, fmt.Errorf("--secret-key-file: %w", err)
		}
		key = strings.TrimSpace(string(b))
	case c.DatabaseURL == "" && c.DatabaseURLFile == "":
		dir, err := c.dataDir()
		if err != nil {
			return nil, err
		}
		if key, err = secret.FileKey(dir); err != nil {
			return nil, fmt.Errorf("secret key: %w", err)
		}
	}
	return secret.NewBox(key)
}

// reports returns what jobs need to send reports.
func (f *reportFlags) reports(box *secret.Box, pages *pgxpool.Pool, url string) (jobs.Reports, error) {
	internal, err := f.internal()
	return jobs.Reports{
		Pages: pages, Box: box, URL: url, Folder: f.ReportFolder, Internal: internal,
	}, err
}
