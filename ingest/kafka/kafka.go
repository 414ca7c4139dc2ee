package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"turnwise/ingest"
	"turnwise/queries"
)

// HeaderEnvironment is the record header in which Rasa names the environment.
const HeaderEnvironment = "RASA_ENVIRONMENT"

// Bounds of what is fetched ahead, and how long offsets of stored records may wait to be committed.
const (
	atOnce       = 1000 // records a portion
	fetchBytes   = 8 << 20
	partBytes    = 2 << 20
	commitEvery  = time.Second
	sessionLimit = 15 * time.Second // after which a silent member is taken for dead
	revokeWait   = 5 * time.Second  // for records under way when partitions move to another member
)

// Consumer reads topics as a member of a consumer group.
type Consumer struct {
	cfg Config

	mu       sync.Mutex
	admin    *kadm.Client
	producer *kgo.Client
}

var _ ingest.Consumer = (*Consumer)(nil)

// New returns a consumer; cfg must have been checked.
func New(cfg Config) *Consumer { return &Consumer{cfg: cfg} }

// Settings tells the configuration, without secrets.
func (c *Consumer) Settings() []queries.Setting { return c.cfg.Settings() }

// Close ends the connections beside those of sessions.
func (c *Consumer) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.admin != nil {
		c.admin.Close()
	}
	if c.producer != nil {
		c.producer.Close()
	}
	c.admin, c.producer = nil, nil
}

// asks returns a client for questions.
func (c *Consumer) asks() (*kadm.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.admin == nil {
		client, err := c.client(kgo.RetryTimeout(3 * time.Second))
		if err != nil {
			return nil, err
		}
		c.admin = kadm.NewClient(client)
	}
	return c.admin, nil
}

// client returns a client of the brokers.
func (c *Consumer) client(more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := c.cfg.connection()
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(opts, more...)...)
}

// topics returns the topics that exist of those to read.
func (c *Consumer) topics(ctx context.Context) (kadm.TopicDetails, error) {
	admin, err := c.asks()
	if err != nil {
		return nil, err
	}
	if !c.cfg.Pattern {
		found, err := admin.ListTopics(ctx, c.cfg.Topics...)
		if err != nil {
			return nil, explain(err)
		}
		for _, t := range found.Sorted() {
			if t.Err != nil {
				return nil, fmt.Errorf("topic %q: %w", t.Topic, explain(t.Err))
			}
		}
		return found, nil
	}
	all, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, explain(err)
	}
	maps.DeleteFunc(all, func(topic string, _ kadm.TopicDetail) bool {
		return topic == c.cfg.DeadLetter || !slices.ContainsFunc(c.cfg.Topics, func(p string) bool {
			ok, err := regexp.MatchString(p, topic)
			return ok && err == nil
		})
	})
	return all, nil
}

// Positions asks how far the group has read each partition.
func (c *Consumer) Positions(ctx context.Context) ([]queries.Position, error) {
	topics, err := c.topics(ctx)
	if err != nil {
		return nil, err
	}
	admin, err := c.asks()
	if err != nil {
		return nil, err
	}
	committed, err := admin.FetchOffsets(ctx, c.cfg.Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // it has not read yet
		return nil, fmt.Errorf("offsets of group %q: %w", c.cfg.Group, explain(err))
	}
	names := topics.Names()
	if len(names) == 0 {
		return nil, nil
	}
	ends, err := admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, explain(err)
	}
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, explain(err)
	}
	var all []queries.Position
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			return
		}
		p := queries.Position{Stream: end.Topic, Part: end.Partition, Newest: &end.Offset}
		from := int64(0)
		if start, ok := starts.Lookup(end.Topic, end.Partition); ok && start.Err == nil {
			from = start.Offset
		}
		if at, ok := committed.Lookup(end.Topic, end.Partition); ok && at.Err == nil && at.At >= 0 {
			p.Committed = &at.At
			from = max(from, at.At)
		} else if c.cfg.Start == "latest" {
			from = end.Offset
		}
		p.Lag = max(0, end.Offset-from)
		all = append(all, p)
	})
	return all, nil
}

// Check asks for what reading does not need and is needed all the same: the right to write dead letters.
func (c *Consumer) Check(ctx context.Context) error {
	if c.cfg.DeadLetter == "" {
		return nil
	}
	client, err := c.publishes()
	if err != nil {
		return err
	}
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &c.cfg.DeadLetter
	req.Topics, req.IncludeTopicAuthorizedOperations = append(req.Topics, topic), true
	found, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("topic %q for dead letters: %w", c.cfg.DeadLetter, explain(err))
	}
	const write, unknown = 1 << kmsg.ACLOperationWrite, math.MinInt32
	for _, t := range found.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("topic %q for dead letters: %w", c.cfg.DeadLetter, explain(err))
		}
		if t.AuthorizedOperations != unknown && t.AuthorizedOperations&write == 0 {
			return fmt.Errorf(
				"topic %q for dead letters: this user may not write to it: grant WRITE on it", c.cfg.DeadLetter,
			)
		}
	}
	return nil
}

// Open joins the group.
func (c *Consumer) Open(ctx context.Context, m ingest.Memory, report func(err error)) (ingest.Session, error) {
	looking, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	found, err := c.topics(looking)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no topic matches %s", strings.Join(c.cfg.Topics, ", "))
	}
	opts, err := c.cfg.connection()
	if err != nil {
		return nil, err
	}
	start, err := c.cfg.offset()
	if err != nil {
		return nil, err
	}
	s := &session{
		consumer: c, memory: m, report: report, owned: map[part]int64{}, pending: map[part]int{},
		anew: map[part]string{}, live: map[net.Conn]bool{},
	}
	s.freed = sync.NewCond(&s.mu)
	opts = append(opts,
		kgo.ConsumerGroup(c.cfg.Group), kgo.ConsumeTopics(c.cfg.Topics...), kgo.ConsumeResetOffset(start),
		// the ends of transactions, so that the offset comes to the end
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.AdjustFetchOffsetsFn(s.adjust),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(commitEvery), // only of what is stored
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(partBytes),
		kgo.SessionTimeout(sessionLimit), kgo.HeartbeatInterval(3*time.Second), kgo.MetadataMaxAge(time.Minute),
		kgo.OnPartitionsAssigned(s.assigned), kgo.OnPartitionsRevoked(s.revoked), kgo.OnPartitionsLost(s.gone),
		kgo.WithHooks(s),
	)
	if c.cfg.Pattern {
		opts = append(opts, kgo.ConsumeRegex())
		if c.cfg.DeadLetter != "" {
			opts = append(opts, kgo.ConsumeExcludeTopics("^"+regexp.QuoteMeta(c.cfg.DeadLetter)+"$"))
		}
	}
	if s.client, err = kgo.NewClient(opts...); err != nil {
		return nil, explain(err)
	}
	return s, nil
}

// explain puts the errors that people can mend into plain words.
func explain(err error) error {
	for _, e := range []struct {
		err  error
		text string
	}{
		{kerr.UnknownTopicOrPartition, "it does not exist, or this user may not see it"},
		{kerr.TopicAuthorizationFailed, "this user may not read it: grant READ and DESCRIBE on the topic"},
		{kerr.GroupAuthorizationFailed, "this user may not use the consumer group: grant READ on it"},
		{kerr.SaslAuthenticationFailed, "the brokers refuse the user name, password or token"},
		{kerr.UnsupportedSaslMechanism, "the brokers do not offer this SASL mechanism"},
		{kerr.ClusterAuthorizationFailed, "this user has no rights on the cluster"},
		{io.EOF, "the broker ended the connection: does it expect another security_protocol, or refuse this user?"},
	} {
		if errors.Is(err, e.err) {
			return fmt.Errorf("%s (%w)", e.text, err)
		}
	}
	return err
}
