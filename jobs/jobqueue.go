package jobs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// JobQueue is a queue of RabbitMQ by which another program asks for exports, as SentiOne's orchestrator does.
type JobQueue struct {
	Connect func(ctx context.Context) (*amqp.Connection, error)
	Name    string
	Hosts   []string // servers to which jobs may be sent, with or without a port
	Account string   // e-mail address of the account whose rights the exports have

	queue *Queue // begins runs at once; nil: they begin with what is due
}

// ExportJob is the job that is known.
const ExportJob = "AnalyticsExport"

// queuedJob is a message of the queue.
type queuedJob struct {
	UUID        string `json:"uuid"`
	Name        string `json:"name"`
	RunID       string `json:"run_id"`
	ScheduledAt string `json:"scheduled_at"`
	Parameters  struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Bots    []string          `json:"bots"`
		Format  string            `json:"format"`
	} `json:"parameters"`
}

// TakeJob stores a job of the queue, once for its run: it is run, skipped or refused, and listed with the reason. An
// error means that it could not be stored: it must come again.
func (q *JobQueue) TakeJob(
	ctx context.Context, pool *pgxpool.Pool, r Reports, body []byte, zone *time.Location, now time.Time,
) error {
	var m queuedJob
	sum := sha256.Sum256(body)
	j := queries.QueuedJob{ID: conversation.NameUUID("queued job", hex.EncodeToString(sum[:]))}
	s, err := q.read(ctx, pool, r, body, &m, zone)
	var input *metric.InputError
	if err != nil && !errors.As(err, &input) {
		return err
	}
	j.Job, j.Run, j.Name = clipped(m.UUID), clipped(m.RunID), clipped(m.Name)
	if m.UUID != "" && m.RunID != "" {
		j.ID = conversation.NameUUID("queued job", m.UUID, m.RunID)
	}
	if at, err := time.Parse(time.RFC3339, m.ScheduledAt); err == nil {
		j.ScheduledAt = &at
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if input != nil {
			j.Refused = input.Error()
			return queries.AddQueuedJob(ctx, tx, j, now)
		}
		if err := queries.RunQueued(ctx, tx, s, j.ID, now); err != nil {
			return err
		}
		j.ScheduleID = &s.ID
		if q.queue != nil {
			if err := q.queue.Add(ctx, tx, ReportArgs{ID: j.ID.String()}); err != nil {
				return err
			}
		}
		return queries.AddQueuedJob(ctx, tx, j, now)
	})
	if errors.Is(err, queries.ErrConflict) { // it came before
		return nil
	}
	return err
}

func clipped(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}

// read reads a message into the schedule that it means. An *metric.InputError says why it is refused.
func (q *JobQueue) read(
	ctx context.Context, pool *pgxpool.Pool, r Reports, body []byte, m *queuedJob, zone *time.Location,
) (s queries.Schedule, err error) {
	wrong := func(field, format string, args ...any) error {
		return &metric.InputError{Field: field, Msg: fmt.Sprintf(format, args...)}
	}
	if err := json.Unmarshal(body, m); err != nil {
		return s, wrong("message", "is no job: %v", err)
	}
	p := m.Parameters
	switch {
	case m.UUID == "" || len(m.UUID) > 200:
		return s, wrong("uuid", "is needed, and at most 200 characters long")
	case m.RunID == "" || len(m.RunID) > 200:
		return s, wrong("run_id", "is needed, and at most 200 characters long")
	case m.Name != ExportJob:
		return s, wrong("name", "is %q; the only job that is known is %s", clipped(m.Name), ExportJob)
	case p.Format != "" && p.Format != "sentione-csv-zip":
		return s, wrong("parameters.format", "is %q; the only one is sentione-csv-zip", clipped(p.Format))
	}
	u, err := url.Parse(p.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(p.URL) > 2000 {
		return s, wrong("parameters.url", "is no address such as https://warehouse.example.org/upload, without a password in it")
	}
	if !q.allows(u) {
		return s, wrong("parameters.url", "leads to %s, which is not one of the servers that --job-hosts allows", clipped(u.Host))
	}
	if err := r.Internal.Admits(ctx, u); err != nil {
		return s, wrong("parameters.url", "%s", err.Error())
	}
	s = queries.Schedule{
		ID: conversation.NameUUID("queued job", m.UUID), Name: clipped(ExportJob + " " + m.UUID), Grain: string(queries.ByMessage),
		Formats: []string{"sentione"}, Zone: zone.String(), Destination: "http", IfEmpty: "send", Incremental: true,
		Target: queries.Target{URL: p.URL},
	}
	if len([]rune(s.Name)) > 100 {
		s.Name = string([]rune(s.Name)[:100])
	}
	if s.Query, err = q.bots(ctx, pool, p.Bots); err != nil {
		return s, err
	}
	owner, err := queries.AccountByEmail(ctx, pool, q.Account)
	if errors.Is(err, queries.ErrNotFound) {
		return s, wrong("account", "%s of --job-account is not known", q.Account)
	}
	if err != nil {
		return s, err
	}
	s.AccountID = owner.ID
	if len(p.Headers) == 0 {
		return s, nil
	}
	headers := map[string]string{}
	for name, value := range p.Headers {
		canonical, err := Header(name, value)
		if err != nil {
			return s, wrong("parameters.headers", "are not sent as they are: %s", err.Error())
		}
		headers[canonical] = strings.TrimSpace(value)
	}
	s.Target.Headers = slices.Sorted(maps.Keys(headers))
	text, err := json.Marshal(Secrets{Headers: headers})
	if err != nil {
		return s, err
	}
	if s.Sealed, err = r.Box.Seal(string(text), SecretPlace(s)); err != nil {
		return s, wrong("parameters.headers", "%s", err.Error())
	}
	return s, nil
}

// allows tells whether jobs may be sent to an address.
func (q *JobQueue) allows(u *url.URL) bool {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return slices.ContainsFunc(q.Hosts, func(h string) bool {
		return strings.EqualFold(h, u.Hostname()) || strings.EqualFold(h, net.JoinHostPort(u.Hostname(), port))
	})
}

// bots returns the filter of a job's bots: assistants by name, by another name of theirs, or by the id that the export
// calls projectId. None are all.
func (q *JobQueue) bots(ctx context.Context, pool *pgxpool.Pool, names []string) (string, error) {
	asked := url.Values{"range": {fmt.Sprintf("%dd", metric.MaxDays)}}
	if len(names) == 0 {
		return asked.Encode(), nil
	}
	all, err := queries.Bots(ctx, pool, nil)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		i := slices.IndexFunc(all, func(b queries.Bot) bool {
			return b.Name == name || slices.Contains(b.Aliases, name) || strings.EqualFold(b.ID.String(), name) ||
				strings.EqualFold(conversation.NameUUID(b.Name).String(), name)
		})
		if i < 0 {
			return "", &metric.InputError{Field: "parameters.bots", Msg: fmt.Sprintf("name %q, which is no assistant", clipped(name))}
		}
		asked.Add("assistant", all[i].Name)
	}
	return asked.Encode(), nil
}

// Header checks a header that is sent with files, and returns its name as it is sent.
func Header(name, value string) (string, error) {
	name, value = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
	letters := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	}
	switch {
	case name == "" || strings.ContainsFunc(name, letters):
		return "", fmt.Errorf("%q is no name of a header", clipped(name))
	case value == "" || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return "", fmt.Errorf("the value of %s is empty, or has more than one line", name)
	case slices.Contains([]string{"Host", "Content-Length", "Content-Type", "Transfer-Encoding"}, name):
		return "", fmt.Errorf("%s is set by Turnwise", name)
	}
	return name, nil
}

// Waits of the connection to the queue.
const (
	queueAgain = 5 * time.Second // after it broke
	queueSeen  = time.Minute     // between notes that it stands
)

// work takes jobs until ctx ends.
func (q JobQueue) work(ctx context.Context, cfg Config) {
	var err error
	if q.queue, err = NewQueue(cfg.Pool); err != nil {
		cfg.Log.WarnContext(ctx, "exports of the queue begin late", "error", err)
	}
	for ctx.Err() == nil {
		err := q.consume(ctx, cfg)
		if ctx.Err() != nil {
			return
		}
		cfg.Log.WarnContext(ctx, "the queue of jobs cannot be read", "queue", q.Name, "error", err)
		if err := queries.SetJobQueueState(ctx, cfg.Pool, q.Name, brokerTrouble(err), cfg.Now()); err != nil && ctx.Err() == nil {
			cfg.Log.WarnContext(ctx, "the state of the queue of jobs cannot be stored", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(queueAgain):
		}
	}
}

// errNotStored says that a job, or how the queue stands, could not be stored.
var errNotStored = errors.New("it could not be stored")

// brokerTrouble says why a queue cannot be read, without the address, which may hold a password.
func brokerTrouble(err error) string {
	var refused *amqp.Error
	switch {
	case errors.As(err, &refused) && refused.Code == amqp.NotFound:
		return "RabbitMQ has no such queue"
	case errors.As(err, &refused) && refused.Code == amqp.AccessRefused:
		return "RabbitMQ refuses the login, or the right to read the queue"
	case errors.As(err, &refused) && refused.Reason != "":
		return "RabbitMQ says: " + refused.Reason
	case errors.Is(err, errNotStored):
		return "a job could not be stored; the server's log says why"
	}
	return unreachable(err).Error()
}

// consume reads the queue over one connection, until that breaks.
func (q *JobQueue) consume(ctx context.Context, cfg Config) error {
	conn, err := q.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) }()
	defer context.AfterFunc(ctx, func() { _ = conn.CloseDeadline(time.Now()) })()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Qos(1, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.ConsumeWithContext(ctx, q.Name, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	seen := time.NewTicker(queueSeen)
	defer seen.Stop()
	for {
		if err := queries.SetJobQueueState(ctx, cfg.Pool, q.Name, "", cfg.Now()); err != nil {
			return errors.Join(errNotStored, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-seen.C:
		case err := <-closed:
			if err != nil {
				return err
			}
			return net.ErrClosed
		case d, ok := <-deliveries:
			if !ok {
				select {
				case err := <-closed:
					if err != nil {
						return err
					}
				case <-time.After(time.Second): // the channel is open: somebody deleted the queue
				}
				return &amqp.Error{Code: amqp.NotFound, Reason: "the queue is gone"}
			}
			if err := q.TakeJob(ctx, cfg.Pool, cfg.Reports, bytes.TrimSpace(d.Body), cfg.Zone, cfg.Now()); err != nil {
				return errors.Join(errNotStored, err) // it comes again
			}
			if err := d.Ack(false); err != nil {
				return err
			}
		}
	}
}
