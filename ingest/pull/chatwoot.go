package pull

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"turnwise/ingest"
	"turnwise/queries"
)

// Chatwoot says which account of a Chatwoot to read over its API. What it reads is what Chatwoot's webhooks would have
// brought, in their form: webhooks are sent once, and what was not taken then is had so.
type Chatwoot struct {
	URL       string `yaml:"url"`
	Account   int64  `yaml:"account"`    // its number
	Token     string `yaml:"token"`      // an access token of an administrator or agent bot
	Every     string `yaml:"every"`      // how long it waits before it asks again; 1m
	PerMinute int    `yaml:"per_minute"` // requests at most; 300

	every time.Duration
}

// Check completes the configuration and says what is wrong with it.
func (c *Chatwoot) Check() error {
	var all []error
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		all = append(all, errors.New("url: the address of Chatwoot, such as https://chat.example.org"))
	}
	c.URL = strings.TrimRight(c.URL, "/")
	if c.Account <= 0 {
		all = append(all, errors.New("account: the number of the account, as in Chatwoot's addresses"))
	}
	if c.Token == "" {
		all = append(all, errors.New("token: an access token, from the profile settings in Chatwoot"))
	}
	c.Every, c.PerMinute = cmp.Or(c.Every, "1m"), cmp.Or(c.PerMinute, 300)
	var err error
	if c.every, err = time.ParseDuration(c.Every); err != nil || c.every < 100*time.Millisecond || c.every > 24*time.Hour {
		all = append(all, fmt.Errorf("every: %q is no time from 100ms to 24h", c.Every))
	}
	if c.PerMinute < 1 || c.PerMinute > 60_000 {
		all = append(all, errors.New("per_minute: 1 to 60,000, please"))
	}
	return errors.Join(all...)
}

// ChatwootConsumer reads one.
type ChatwootConsumer struct {
	cfg    Chatwoot
	client *http.Client

	mu      sync.Mutex
	known   bool  // the others are
	history int64 // up to which conversation all was stored once
	newest  int64 // the number of the newest conversation
	since   int64 // since when what happened is not stored, in seconds
	failing int64 // the conversation of history that failed last, and how often it did in a row
	failed  int
}

var _ ingest.Consumer = (*ChatwootConsumer)(nil)

// NewChatwoot returns a consumer; cfg must have been checked.
func NewChatwoot(cfg Chatwoot) *ChatwootConsumer {
	return &ChatwootConsumer{cfg: cfg, client: &http.Client{
		Timeout: 30 * time.Second,
		// the token goes to the server that is named, and to no other
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Settings tells the configuration, without secrets.
func (c *ChatwootConsumer) Settings() []queries.Setting {
	return []queries.Setting{
		{"Server", c.cfg.URL},
		{"Account", strconv.FormatInt(c.cfg.Account, 10)},
		{"Asked every", c.cfg.every.String()},
		{"Requests a minute", strconv.Itoa(c.cfg.PerMinute)},
	}
}

// Close ends connections that wait for further requests.
func (c *ChatwootConsumer) Close() { c.client.CloseIdleConnections() }

// Check tells whether the account can be read.
func (c *ChatwootConsumer) Check(ctx context.Context) error {
	_, err := c.list(ctx, byActivity, 1, rest)
	return err
}

// DeadLetter is nothing: what cannot be stored stays in Chatwoot, and under Data health.
func (c *ChatwootConsumer) DeadLetter() func(ctx context.Context, rejected []ingest.Rejected) error {
	return nil
}

// Positions tells which of the account's conversations are stored.
func (c *ChatwootConsumer) Positions(context.Context) ([]queries.Position, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return nil, nil
	}
	at, newest := c.history, c.newest
	return []queries.Position{{Stream: conversations, Newest: &newest, Committed: &at, Lag: max(0, newest-at)}}, nil
}

// Parts of an account whose places are kept.
const (
	conversations = "conversations" // the number up to which history was read
	activity      = "activity"      // the second since which what happened is to be read
)

// Bounds of asking.
const (
	overlap  = 60 // seconds before the place that are looked at again: clocks differ, and requests take their time
	again    = 72 * 60 * 60
	againIn  = time.Hour // after which what happened in that time is read anew: a rating changes no activity
	mostPage = 100_000   // pages of a list: beyond, something is wrong
)

// chatwootSession reads an account.
type chatwootSession struct {
	lease
	c *ChatwootConsumer

	asked    time.Time // when a request was made last
	history  int64     // the next conversation of history is behind this one
	kept     int64     // what is noted of history as stored
	newest   int64
	since    int64     // what happened since is to be read
	keptTime int64     // what is noted of that
	looked   time.Time // when it was asked what happened
	reread   time.Time // when it was last asked for longer

	pages *walk // a list that is under way; nil: none
}

// walk goes through the conversations with activity since a time.
type walk struct {
	page  int
	since int64
	until int64 // what is stored once it is through: activity up to here; 0: that is not noted
	rest  []object
	done  map[int64]bool // conversations that were read, as they wander from page to page meanwhile
}

// Open waits until no other process reads the account, and begins where reading ended.
func (c *ChatwootConsumer) Open(ctx context.Context, m ingest.Memory, _ func(err error)) (ingest.Session, error) {
	s := &chatwootSession{lease: lease{memory: m, part: queries.Part{Stream: conversations}}, c: c}
	if err := s.take(ctx, min(c.cfg.every, 5*time.Second)); err != nil {
		return nil, err
	}
	var err error
	if s.kept, err = m.Committed(ctx, s.part); err != nil {
		return nil, s.give(ctx, err)
	}
	if s.keptTime, err = m.Committed(ctx, queries.Part{Stream: activity}); err != nil {
		return nil, s.give(ctx, err)
	}
	s.history, s.since = s.kept, s.keptTime
	first, err := c.list(ctx, byActivity, 1, s.wait)
	if err != nil {
		return nil, s.give(ctx, err)
	}
	if s.since == 0 { // history reaches up to now, and from now on it is asked what happened
		for _, x := range first {
			s.since = max(s.since, x.number("last_activity_at"))
		}
	}
	if err := s.findNewest(ctx); err != nil {
		return nil, s.give(ctx, err)
	}
	c.mu.Lock()
	c.known, c.history, c.newest, c.since = true, s.kept, s.newest, s.since
	c.mu.Unlock()
	return s, nil
}

// findNewest asks for the number of the newest conversation.
func (s *chatwootSession) findNewest(ctx context.Context) error {
	first, err := s.c.list(ctx, byCreation, 1, s.wait)
	for _, x := range first {
		s.newest = max(s.newest, x.number("id"))
	}
	return err
}

// wait waits, and goes on holding the account.
func (s *chatwootSession) wait(ctx context.Context, long time.Duration) error {
	for until := time.Now().Add(long); ; {
		if err := s.renew(ctx); err != nil {
			return err
		}
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		if err := rest(ctx, min(left, beat)); err != nil {
			return err
		}
	}
}

// ask makes a request, not too soon after the one before, and goes on holding the account.
func (s *chatwootSession) ask(ctx context.Context, do func() error) error {
	gap := time.Minute / time.Duration(s.c.cfg.PerMinute)
	if wait := gap - time.Since(s.asked); wait > 0 {
		if err := rest(ctx, wait); err != nil {
			return err
		}
	}
	s.asked = time.Now()
	if err := s.renew(ctx); err != nil {
		return err
	}
	return do()
}

// Next returns a conversation: one with something new, or one of history.
func (s *chatwootSession) Next(ctx context.Context) (*ingest.Portion, error) {
	for {
		if err := s.keep(ctx); err != nil {
			return nil, err
		}
		if s.pages == nil && time.Since(s.looked) >= s.c.cfg.every {
			s.looked = time.Now()
			s.pages = &walk{since: s.since - overlap, until: s.since, done: map[int64]bool{}}
			if time.Since(s.reread) >= againIn && s.history >= s.newest {
				s.reread = s.looked
				s.pages.since = min(s.pages.since, s.looked.Unix()-again)
			}
		}
		if s.pages != nil {
			p, err := s.step(ctx)
			if p != nil || err != nil {
				return p, err
			}
			continue
		}
		if s.history < s.newest {
			p, err := s.past(ctx)
			if p != nil || err != nil {
				return p, err
			}
			continue
		}
		if err := rest(ctx, min(s.c.cfg.every-time.Since(s.looked), beat)); err != nil {
			return nil, err
		}
	}
}

// step returns the next conversation of the list under way; nil where there is none.
func (s *chatwootSession) step(ctx context.Context) (*ingest.Portion, error) {
	w := s.pages
	for len(w.rest) == 0 {
		if w.page++; w.page > mostPage {
			return nil, errors.New("the list of conversations does not end")
		}
		if err := s.ask(ctx, func() (err error) { w.rest, err = s.c.list(ctx, byActivity, w.page, s.wait); return err }); err != nil {
			return nil, err
		}
		if len(w.rest) == 0 || w.rest[0].number("last_activity_at") < w.since {
			return s.walked(), nil
		}
	}
	x := w.rest[0]
	w.rest = w.rest[1:]
	if x.number("last_activity_at") < w.since {
		return s.walked(), nil
	}
	w.until = max(w.until, x.number("last_activity_at"))
	id := x.number("id")
	s.newest = max(s.newest, id)
	if id <= 0 || w.done[id] {
		return nil, nil
	}
	w.done[id] = true
	return s.read(ctx, x, w.since, nil)
}

// walked ends a list: once all of it is stored, what happened up to then is.
func (s *chatwootSession) walked() *ingest.Portion {
	until := s.pages.until
	s.pages, s.since = nil, max(s.since, until)
	return &ingest.Portion{Stored: func() {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		s.c.since = max(s.c.since, until)
	}}
}

// past returns the next conversation of history; nil where there is none of the number.
func (s *chatwootSession) past(ctx context.Context) (*ingest.Portion, error) {
	id := s.history + 1
	stored := func() {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		s.c.history = max(s.c.history, id)
	}
	var x object
	err := s.ask(ctx, func() error { return s.c.get(ctx, fmt.Sprintf("conversations/%d", id), &x, s.wait) })
	if errors.Is(err, errNone) { // it was deleted, or it is not for the owner of the token
		s.history = id
		return &ingest.Portion{Stored: stored}, nil
	}
	var p *ingest.Portion
	if err == nil {
		p, err = s.read(ctx, x, 0, stored)
	}
	var status *statusError
	if errors.As(err, &status) && status.of && s.c.fails(id) >= mostFails {
		// It is set aside with what the server says, and the next ones are read.
		p, err = &ingest.Portion{
			Bodies: []string{fmt.Sprintf("conversation %d: %s", id, status)}, Stored: stored,
			Position: func(int) string { return fmt.Sprintf("conversation %d", id) },
		}, nil
	}
	if err == nil {
		s.history = id
	}
	return p, err
}

// mostFails is how often one conversation of history may fail in a row before it is set aside.
const mostFails = 3

// fails counts how often a conversation failed in a row.
func (c *ChatwootConsumer) fails(id int64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing != id {
		c.failing, c.failed = id, 0
	}
	c.failed++
	return c.failed
}

// read returns a conversation with its messages since a time, as webhooks tell of them.
func (s *chatwootSession) read(ctx context.Context, x object, since int64, stored func()) (*ingest.Portion, error) {
	id := x.number("id")
	messages, err := s.messages(ctx, id, since)
	if err != nil {
		return nil, err
	}
	account := json.RawMessage(fmt.Sprintf(`{"id":%d}`, s.c.cfg.Account))
	plain := object{}
	for k, v := range x {
		if k != "messages" && k != "last_non_activity_message" { // they come by themselves
			plain[k] = v
		}
	}
	conversation, err := json.Marshal(plain)
	if err != nil {
		return nil, err
	}
	plain["event"], plain["account"] = json.RawMessage(`"conversation_pulled"`), account
	p := &ingest.Portion{Stored: stored}
	numbers := []int64{}
	for _, m := range append(messages, plain) {
		if _, is := m["event"]; !is {
			m["event"], m["account"], m["conversation"] = json.RawMessage(`"message_created"`), account, conversation
		}
		body, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		p.Bodies, numbers = append(p.Bodies, string(body)), append(numbers, m.number("id"))
	}
	p.Position = func(i int) string {
		if i == len(numbers)-1 {
			return fmt.Sprintf("conversation %d", id)
		}
		return fmt.Sprintf("conversation %d, message %d", id, numbers[i])
	}
	return p, nil
}

// messages returns those of a conversation since a time, in order.
func (s *chatwootSession) messages(ctx context.Context, id, since int64) (all []object, err error) {
	for before := int64(0); ; {
		var answer struct {
			Payload []object `json:"payload"`
		}
		path := fmt.Sprintf("conversations/%d/messages", id)
		if before > 0 {
			path += fmt.Sprintf("?before=%d", before)
		}
		err := s.ask(ctx, func() error { return s.c.get(ctx, path, &answer, s.wait) })
		if errors.Is(err, errNone) { // it was deleted just now
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		lowest, old := before, false
		for _, m := range answer.Payload {
			n := m.number("id")
			if lowest == 0 || n < lowest {
				lowest = n
			}
			old = old || m.number("created_at") < since
		}
		all = append(answer.Payload, all...)
		if len(answer.Payload) == 0 || lowest == before || lowest <= 0 || old {
			return all, nil
		}
		before = lowest
	}
}

// keep notes what is stored.
func (s *chatwootSession) keep(ctx context.Context) error {
	s.c.mu.Lock()
	history, since := s.c.history, s.c.since
	s.c.newest = s.newest
	s.c.mu.Unlock()
	if history != s.kept {
		if err := s.memory.KeepCommitted(ctx, s.part, history); err != nil {
			return err
		}
		s.kept = history
	}
	if since != s.keptTime {
		if err := s.memory.KeepCommitted(ctx, queries.Part{Stream: activity}, since); err != nil {
			return err
		}
		s.keptTime = since
	}
	return s.renew(ctx)
}

// Close notes what is stored and leaves the account to others.
func (s *chatwootSession) Close(ctx context.Context) error {
	return errors.Join(s.keep(ctx), s.memory.Leave(ctx, s.part))
}
