package rabbit

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"turnwise/ingest"
)

// letters is a connection that publishes dead letters.
type letters struct {
	conn     *amqp.Connection
	ch       *amqp.Channel
	returned chan amqp.Return
}

// DeadLetter publishes what was set aside, and returns when the server has it. nil when no queue is set.
func (c *Consumer) DeadLetter() func(ctx context.Context, rejected []ingest.Rejected) error {
	if c.cfg.DeadLetter == "" {
		return nil
	}
	return func(ctx context.Context, rejected []ingest.Rejected) error {
		if err := c.publish(ctx, rejected); err != nil {
			c.mu.Lock()
			if c.letters != nil {
				_ = c.letters.conn.CloseDeadline(time.Now()) // another try, another connection
			}
			c.letters = nil
			c.mu.Unlock()
			return fmt.Errorf("dead letters to queue %q: %w", c.cfg.DeadLetter, explain(err))
		}
		return nil
	}
}

func (c *Consumer) publish(ctx context.Context, rejected []ingest.Rejected) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c.mu.Lock()
	l := c.letters
	c.mu.Unlock()
	if l == nil || l.ch.IsClosed() {
		var err error
		if l, err = c.openLetters(ctx); err != nil {
			return err
		}
	}
	defer bounded(ctx, l.conn)()
	for _, r := range rejected {
		confirmed, err := l.ch.PublishWithDeferredConfirmWithContext(ctx, "", c.cfg.DeadLetter, true, false,
			amqp.Publishing{
				DeliveryMode: amqp.Persistent, AppId: r.Environment, Body: r.Body,
				Headers: amqp.Table{"position": r.Position, "reason": r.Reason.Code, "detail": r.Reason.Detail},
			})
		if err != nil {
			return err
		}
		if ok, err := confirmed.WaitContext(ctx); err != nil || !ok {
			return errors.Join(err, errors.New("the server did not take it"))
		}
		select {
		case <-l.returned: // and confirmed all the same
			return errors.New("the queue was deleted")
		default:
		}
	}
	return nil
}

// Check asks for what reading does not need and is needed all the same: the exchange from which the queues are filled,
// and the queue for dead letters, which it makes as reading would.
func (c *Consumer) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if c.cfg.Exchange != "" {
		if err := c.checkExchange(ctx); err != nil {
			return fmt.Errorf("exchange %q: %w", c.cfg.Exchange, err)
		}
	}
	if c.cfg.DeadLetter == "" {
		return nil
	}
	if _, err := c.openLetters(ctx); err != nil {
		return fmt.Errorf("queue %q for dead letters: %w", c.cfg.DeadLetter, explain(err))
	}
	return nil
}

func (c *Consumer) checkExchange(ctx context.Context) error {
	conn, err := c.asks(ctx)
	if err != nil {
		return err
	}
	defer bounded(ctx, conn)()
	err = once(conn, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(c.cfg.Exchange, amqp.ExchangeFanout, false, false, false, false, nil)
	})
	if missing(err) {
		return errors.New(
			"it does not exist: is it the name that Rasa's endpoints.yml has? Rasa makes it when it starts, and so " +
				"does Turnwise unless it is told to declare nothing",
		)
	}
	return explain(err)
}

// openLetters opens a channel with confirms, on which the queue exists.
func (c *Consumer) openLetters(ctx context.Context) (*letters, error) {
	conn, err := c.Connect(ctx, "turnwise (dead letters)")
	if err != nil {
		return nil, err
	}
	defer bounded(ctx, conn)()
	if err := declare(conn, Config{Passive: c.cfg.Passive, Quorum: c.cfg.Quorum}, c.cfg.DeadLetter); err != nil {
		conn.Close()
		return nil, err
	}
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	l := &letters{conn: conn, ch: ch, returned: ch.NotifyReturn(make(chan amqp.Return, 1))}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.letters = l
	return l, nil
}
