package rabbit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"turnwise/ingest"
	"turnwise/queries"
)

// Bounds of a portion.
const (
	atOnce = 1000
	linger = 5 * time.Millisecond // that a portion waits for more
	bytes  = 1 << 20
)

// Consumer reads queues, each over a channel of its own.
type Consumer struct {
	cfg Config

	mu      sync.Mutex
	next    int              // URL to try
	asking  *amqp.Connection // for questions
	letters *letters         // for dead ones
}

var _ ingest.Consumer = (*Consumer)(nil)

// New returns a consumer; cfg must have been checked.
func New(cfg Config) *Consumer { return &Consumer{cfg: cfg} }

// Settings tells the configuration, without secrets.
func (c *Consumer) Settings() []queries.Setting { return c.cfg.Settings() }

// Close ends the connection beside those of sessions.
func (c *Consumer) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	soon := time.Now().Add(time.Second)
	if c.asking != nil {
		_ = c.asking.CloseDeadline(soon) // the process ends anyway
	}
	if c.letters != nil {
		_ = c.letters.conn.CloseDeadline(soon)
	}
	c.asking, c.letters = nil, nil
}

// bounded ends the connection when ctx does: the library's calls know no other way to be given up.
func bounded(ctx context.Context, conn *amqp.Connection) (done func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.CloseDeadline(time.Now()) })
}

// Connect tries the servers in turn, beginning with the one that answered last.
func (c *Consumer) Connect(ctx context.Context, name string) (*amqp.Connection, error) {
	var all error
	for range c.cfg.URLs {
		c.mu.Lock()
		n := c.next % len(c.cfg.URLs)
		c.mu.Unlock()
		conn, err := c.dial(ctx, c.cfg.URLs[n], name)
		if err == nil {
			return conn, nil
		}
		c.mu.Lock()
		c.next = n + 1
		c.mu.Unlock()
		all = errors.Join(all, fmt.Errorf("connect to %s: %w", server(c.cfg.URLs[n]), explain(err)))
	}
	return nil, all
}

func (c *Consumer) dial(ctx context.Context, address, name string) (*amqp.Connection, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the URL cannot be read") // it may hold a password
	}
	config := amqp.Config{
		Heartbeat: 10 * time.Second, Locale: "en_US", Properties: amqp.Table{
			"connection_name": name, "product": "turnwise",
		},
		Dial: func(network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{
				Timeout: 10 * time.Second, KeepAlive: 10 * time.Second,
			}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			// The library ends this deadline once the connection is open.
			return conn, conn.SetDeadline(time.Now().Add(15 * time.Second))
		},
	}
	if u.Scheme == "amqps" {
		if config.TLSClientConfig, err = ingest.ClientTLS(
			u.Hostname(), c.cfg.CAFile, c.cfg.CertFile, c.cfg.KeyFile,
		); err != nil {
			return nil, err
		}
	}
	return amqp.DialConfig(address, config)
}

// session is a connection that reads.
type session struct {
	conn       *amqp.Connection
	deliveries chan delivery
	broken     chan error
	ended      chan struct{}
	once       sync.Once
	readers    sync.WaitGroup
}

type delivery struct {
	amqp.Delivery
	queue   string
	channel *amqp.Channel
}

// Open connects and begins to read all queues.
func (c *Consumer) Open(ctx context.Context, _ ingest.Memory, _ func(err error)) (ingest.Session, error) {
	conn, err := c.Connect(ctx, "turnwise")
	if err != nil {
		return nil, err
	}
	opening, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	defer bounded(opening, conn)()
	s := &session{
		conn: conn, deliveries: make(chan delivery), broken: make(chan error, 1+2*len(c.cfg.Queues)),
		ended: make(chan struct{}),
	}
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	s.readers.Go(func() {
		select {
		case err := <-closed:
			s.fail(fmt.Errorf("the server ended the connection: %w", explain(orClosed(err))))
		case <-s.ended:
		}
	})
	for _, queue := range c.cfg.Queues {
		if err := s.read(c.cfg, queue); err != nil {
			_ = s.Close(ctx) // the first error tells more
			return nil, err
		}
	}
	return s, nil
}

// orClosed is the error of a notice; the library closes the channel without one when nobody is at fault.
func orClosed(err *amqp.Error) error {
	if err == nil {
		return amqp.ErrClosed
	}
	return err
}

func (s *session) fail(err error) {
	select {
	case s.broken <- err:
	default: // there are enough reasons already
	}
}

// read begins to read a queue.
func (s *session) read(cfg Config, queue string) error {
	if err := declare(s.conn, cfg, queue); err != nil {
		return err
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return explain(err)
	}
	if err := ch.Qos(cfg.Prefetch, 0, false); err != nil {
		return explain(err)
	}
	closed, cancelled := ch.NotifyClose(make(chan *amqp.Error, 1)), ch.NotifyCancel(make(chan string, 1))
	in, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("read queue %q: %w", queue, explain(err))
	}
	s.readers.Go(func() {
		for d := range in {
			select {
			case s.deliveries <- delivery{d, queue, ch}:
			case <-s.ended:
				return
			}
		}
		select {
		case _, ok := <-cancelled: // closed without a word when the channel is
			if ok {
				s.fail(fmt.Errorf("queue %q was deleted", queue))
				return
			}
			s.fail(fmt.Errorf("queue %q: %w", queue, explain(orClosed(<-closed))))
		case <-s.ended:
		}
	})
	return nil
}

// declare makes the queue and the exchange unless they exist: whoever made them chose their arguments, and
// other ones would be an error.
func declare(conn *amqp.Connection, cfg Config, queue string) error {
	err := once(conn, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	})
	if missing(err) && !cfg.Passive {
		args := amqp.Table{}
		if cfg.Quorum {
			args["x-queue-type"] = "quorum"
		}
		err = once(conn, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, true, false, false, false, args)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("queue %q: %w", queue, explain(err))
	}
	if cfg.Exchange == "" || cfg.Passive {
		return nil
	}
	err = once(conn, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(cfg.Exchange, amqp.ExchangeFanout, false, false, false, false, nil)
	})
	if missing(err) { // exactly as Rasa makes it, so that Rasa can declare it too
		err = once(conn, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(cfg.Exchange, amqp.ExchangeFanout, false, false, false, false, nil)
		})
	}
	if err == nil {
		err = once(conn, func(ch *amqp.Channel) error { return ch.QueueBind(queue, "", cfg.Exchange, false, nil) })
	}
	if err != nil {
		return fmt.Errorf("exchange %q: %w", cfg.Exchange, explain(err))
	}
	return nil
}

// once does something on a channel of its own: an error closes it.
func once(conn *amqp.Connection, do func(*amqp.Channel) error) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	return do(ch)
}

func missing(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == amqp.NotFound
}

// Next returns the messages that have arrived.
func (s *session) Next(ctx context.Context) (*ingest.Portion, error) {
	var all []delivery
	var enough <-chan time.Time
	size := 0
	for len(all) < atOnce && size < bytes {
		select {
		case d := <-s.deliveries:
			all = append(all, d)
			size += len(d.Body)
			if enough == nil {
				enough = time.After(linger)
			}
			continue
		case <-enough:
		case err := <-s.broken:
			if len(all) == 0 {
				return nil, err
			}
			s.fail(err) // after these, which will be delivered again, but may as well be stored
		case <-ctx.Done():
			if len(all) == 0 {
				return nil, ctx.Err()
			}
		}
		break
	}
	p := &ingest.Portion{Bodies: make([]string, len(all))}
	last := map[*amqp.Channel]uint64{}
	for i, d := range all {
		p.Bodies[i] = string(d.Body)
		last[d.channel] = d.DeliveryTag
		if d.Redelivered {
			p.Redelivered++
		}
	}
	p.Position = func(i int) string { return all[i].queue + "#" + strconv.FormatUint(all[i].DeliveryTag, 10) }
	p.Environment = func(i int) string { return all[i].AppId }
	p.Stored = func() {
		for ch, tag := range last {
			// A channel that is closed meanwhile needs none: its messages are delivered again, and known.
			_ = ch.Ack(tag, true)
		}
	}
	return p, nil
}

// Close ends the connection; what is not acknowledged goes back to the queues.
func (s *session) Close(ctx context.Context) error {
	s.once.Do(func() { close(s.ended) })
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(5 * time.Second)
	}
	err := s.conn.CloseDeadline(deadline)
	s.readers.Wait()
	if err != nil && !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	return nil
}

// asks returns the connection for questions.
func (c *Consumer) asks(ctx context.Context) (*amqp.Connection, error) {
	c.mu.Lock()
	conn := c.asking
	c.mu.Unlock()
	if conn != nil && !conn.IsClosed() {
		return conn, nil
	}
	conn, err := c.Connect(ctx, "turnwise (lag)")
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = conn
	return conn, nil
}

// Positions asks how many messages wait in each queue.
func (c *Consumer) Positions(ctx context.Context) ([]queries.Position, error) {
	conn, err := c.asks(ctx)
	if err != nil {
		return nil, err
	}
	defer bounded(ctx, conn)()
	var all []queries.Position
	for _, queue := range c.cfg.Queues {
		err := once(conn, func(ch *amqp.Channel) error {
			q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			all = append(all, queries.Position{Stream: queue, Lag: int64(q.Messages)})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("queue %q: %w", queue, explain(err))
		}
	}
	return all, nil
}

// explain puts the errors that people can mend into plain words.
func explain(err error) error {
	var e *amqp.Error
	if !errors.As(err, &e) {
		return err
	}
	text := ""
	switch e.Code {
	case amqp.AccessRefused:
		text = "the server refuses the user name or password, or this user lacks the right"
	case amqp.NotFound:
		text = "it does not exist"
	case amqp.PreconditionFailed:
		text = "it exists with other settings, or an acknowledgement was too late"
	case amqp.NotAllowed:
		text = "the virtual host does not exist, or this user may not use it"
	case amqp.ResourceLocked:
		text = "somebody else has it to themselves"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", text, err)
}
