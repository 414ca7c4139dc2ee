package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"turnwise/ingest"
	"turnwise/ingest/file"
	"turnwise/queries"
)

// TrackerStore says which tracker store of Rasa's to read.
type TrackerStore struct {
	URL   string `yaml:"url"`   // postgres://
	Table string `yaml:"table"` // events; with a schema before it where that is another than the login's
	Every string `yaml:"every"` // how long it waits before it asks again; 5s

	every time.Duration
}

// Check completes the configuration and says what is wrong with it.
func (c *TrackerStore) Check() error {
	var all []error
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		all = append(all, errors.New(
			"url: it is one such as postgres://user:password@host/rasa; MySQL and SQLite are read by turnwise import, "+
				"see docs/events.md", // it may hold a password
		))
	} else if _, err := pgx.ParseConfig(c.URL); err != nil {
		all = append(all, errors.New("url: it cannot be read"))
	}
	if c.Table == "" {
		c.Table = "events"
	}
	if c.Every == "" {
		c.Every = "5s"
	}
	var err error
	if c.every, err = time.ParseDuration(c.Every); err != nil || c.every < 100*time.Millisecond || c.every > time.Hour {
		all = append(all, fmt.Errorf("every: %q is no time from 100ms to 1h", c.Every))
	}
	return errors.Join(all...)
}

func (c *TrackerStore) table() string {
	return pgx.Identifier(strings.Split(c.Table, ".")).Sanitize()
}

// Consumer reads one.
type Consumer struct {
	cfg TrackerStore

	mu    sync.Mutex
	known bool  // at is
	at    int64 // up to which id all is stored

	askMu  sync.Mutex
	asking *pgx.Conn // for questions
}

var _ ingest.Consumer = (*Consumer)(nil)

// New returns a consumer; cfg must have been checked.
func New(cfg TrackerStore) *Consumer { return &Consumer{cfg: cfg} }

// Settings tells the configuration, without secrets.
func (c *Consumer) Settings() []queries.Setting {
	cfg, err := pgx.ParseConfig(c.cfg.URL)
	if err != nil {
		return nil
	}
	return []queries.Setting{
		{"Server", cfg.Host + ":" + strconv.Itoa(int(cfg.Port))},
		{"Database", cfg.Database},
		{"Table", c.cfg.Table},
		{"Asked every", c.cfg.every.String()},
	}
}

// Close ends the connection beside those of sessions.
func (c *Consumer) Close() {
	c.askMu.Lock()
	defer c.askMu.Unlock()
	if c.asking != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.asking.Close(ctx) // the process ends anyway
		c.asking = nil
	}
}

// Check tells whether the table can be read.
func (c *Consumer) Check(ctx context.Context) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "select id, sender_id, data from "+c.cfg.table()+" limit 0")
	return explain(err)
}

// DeadLetter is nothing: what cannot be stored stays in the store, and under Data health.
func (c *Consumer) DeadLetter() func(ctx context.Context, rejected []ingest.Rejected) error {
	return nil
}

func (c *Consumer) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	cfg, err := pgx.ParseConfig(c.cfg.URL)
	if err != nil {
		return nil, errors.New("the URL cannot be read") // it may hold a password
	}
	cfg.RuntimeParams["application_name"] = "turnwise"
	cfg.RuntimeParams["default_transaction_read_only"] = "on"
	cfg.RuntimeParams["statement_timeout"] = "60000"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	return conn, explain(err)
}

// explain leaves out what is of no use, and says what may be.
func explain(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "42P01":
			return fmt.Errorf("%s: is this the database of Rasa's tracker store?", pg.Message)
		case "42703":
			return fmt.Errorf("%s: a tracker store has the columns id, sender_id and data", pg.Message)
		case "42501":
			return fmt.Errorf("%s: grant select on it to the login", pg.Message)
		}
	}
	return err
}

// Bounds of asking.
const (
	atOnce = 1000 // rows
	window = 5000 // ids behind the newest that may still be committed: they are looked at again and again
)

// session is a connection that reads.
type session struct {
	lease
	c      *Consumer
	conn   *pgx.Conn
	report func(err error)

	next  int64          // all up to here was handed out, but for gaps
	seen  map[int64]bool // ids within the window that were handed out
	first bool           // nothing was handed out
	kept  int64          // what is noted as stored; -1 where that is to be noted anew
	rest  bool           // there was nothing more
}

// Open waits until no other process reads the store, and begins where reading ended.
func (c *Consumer) Open(ctx context.Context, m ingest.Memory, report func(err error)) (ingest.Session, error) {
	s := &session{
		lease: lease{memory: m, part: queries.Part{Stream: c.cfg.Table}}, c: c, report: report, seen: map[int64]bool{},
		first: true,
	}
	err := s.take(ctx, c.cfg.every)
	if err != nil {
		return nil, err
	}
	if s.kept, err = m.Committed(ctx, s.part); err != nil {
		return nil, s.give(ctx, err)
	}
	if s.conn, err = c.connect(ctx); err != nil {
		return nil, s.give(ctx, err)
	}
	newest, err := newest(ctx, s.conn, c.cfg.table())
	if err != nil {
		s.conn.Close(ctx)
		return nil, s.give(ctx, err)
	}
	if newest < s.kept {
		s.again(newest, s.kept)
	}
	s.next = max(0, s.kept-window) // what was committed late comes again, and is known
	c.mu.Lock()
	c.known, c.at = true, max(0, s.kept)
	c.mu.Unlock()
	return s, nil
}

// again begins at the beginning: the table ends before what was read, so it was made anew or rows were deleted. What
// comes twice is known.
func (s *session) again(newest, read int64) {
	s.report(fmt.Errorf(
		"table %s ends at id %d, and had been read to %d: it is read from its beginning", s.c.cfg.Table, newest, read,
	))
	s.report(nil)
	s.kept, s.next, s.first = -1, 0, true
	clear(s.seen)
	s.c.mu.Lock()
	s.c.at = 0
	s.c.mu.Unlock()
}

// shrunk begins again where the table ends before what was read of it and all of that is stored.
func (s *session) shrunk(ctx context.Context) (bool, error) {
	s.c.mu.Lock()
	at := s.c.at
	s.c.mu.Unlock()
	if at < s.next {
		return false, nil // what is on its way would note its place
	}
	newest, err := newest(ctx, s.conn, s.c.cfg.table())
	if err != nil || newest >= s.next {
		return false, err
	}
	s.again(newest, s.next)
	return true, nil
}

func newest(ctx context.Context, conn *pgx.Conn, table string) (id int64, err error) {
	err = conn.QueryRow(ctx, "select coalesce(max(id), 0) from "+table).Scan(&id)
	return id, explain(err)
}

type row struct {
	ID     int64
	Sender *string
	Data   *string
}

// Next returns what is new, and waits until something is.
func (s *session) Next(ctx context.Context) (*ingest.Portion, error) {
	for {
		if err := s.keep(ctx); err != nil {
			return nil, err
		}
		if s.rest {
			s.rest = false
			if err := rest(ctx, s.c.cfg.every); err != nil {
				return nil, err
			}
		}
		rows, err := s.ask(ctx, "select id, sender_id, data from "+s.c.cfg.table()+
			" where id > $1 order by id limit $2", s.next, atOnce)
		if err != nil {
			return nil, err
		}
		s.rest = len(rows) < atOnce
		late, err := s.late(ctx)
		if err != nil {
			return nil, err
		}
		if rows = append(late, rows...); len(rows) > 0 {
			return s.portion(rows), nil
		}
		if again, err := s.shrunk(ctx); err != nil {
			return nil, err
		} else if again {
			s.rest = false
		}
	}
}

// keep notes what is stored, and goes on holding the store.
func (s *session) keep(ctx context.Context) error {
	s.c.mu.Lock()
	at := s.c.at
	s.c.mu.Unlock()
	if at != s.kept {
		if err := s.memory.KeepCommitted(ctx, s.part, at); err != nil {
			return err
		}
		s.kept = at
	}
	return s.renew(ctx)
}

// late returns rows within the window that were committed after ones behind them.
func (s *session) late(ctx context.Context) ([]row, error) {
	if s.first || !s.rest {
		return nil, nil // all of the window comes in order
	}
	ids, err := pgx.CollectRows(s.query(
		ctx, "select id from "+s.c.cfg.table()+" where id > $1 and id <= $2", s.next-window, s.next,
	), pgx.RowTo[int64])
	if err != nil {
		return nil, explain(err)
	}
	var unseen []int64
	for _, id := range ids {
		if !s.seen[id] {
			unseen = append(unseen, id)
		}
	}
	if len(unseen) == 0 {
		return nil, nil
	}
	return s.ask(ctx, "select id, sender_id, data from "+s.c.cfg.table()+" where id = any($1) order by id limit $2",
		unseen, atOnce)
}

func (s *session) query(ctx context.Context, sql string, args ...any) pgx.Rows {
	rows, _ := s.conn.Query(ctx, sql, args...) // whoever reads them is told
	return rows
}

func (s *session) ask(ctx context.Context, sql string, args ...any) ([]row, error) {
	rows, err := pgx.CollectRows(s.query(ctx, sql, args...), pgx.RowToStructByPos[row])
	return rows, explain(err)
}

// portion makes events of rows.
func (s *session) portion(rows []row) *ingest.Portion {
	p := &ingest.Portion{Bodies: make([]string, len(rows))}
	last := s.next
	for i, r := range rows {
		p.Bodies[i] = body(r)
		s.seen[r.ID] = true
		last = max(last, r.ID)
	}
	if s.next = last; len(s.seen) > 2*window {
		for id := range s.seen {
			if id <= last-window {
				delete(s.seen, id)
			}
		}
	}
	s.first = false
	p.Position = func(i int) string { return fmt.Sprintf("%s, id %d", s.c.cfg.Table, rows[i].ID) }
	p.Stored = func() {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		s.c.at = max(s.c.at, last)
	}
	return p
}

// body is the event of a row, with its sender.
func body(r row) string {
	if r.Data == nil || r.Sender == nil {
		return "{}" // it is set aside, with its place
	}
	sender, _ := json.Marshal(*r.Sender) // a text: cannot fail
	return string(file.WithSender([]byte(*r.Data), sender))
}

// Close notes what is stored and leaves the store to others.
func (s *session) Close(ctx context.Context) error {
	s.c.mu.Lock()
	at := s.c.at
	s.c.mu.Unlock()
	var err error
	if at != s.kept {
		err = s.memory.KeepCommitted(ctx, s.part, at)
	}
	return errors.Join(err, s.memory.Leave(ctx, s.part), s.conn.Close(ctx))
}

// Positions asks the store how much there is.
func (c *Consumer) Positions(ctx context.Context) ([]queries.Position, error) {
	c.askMu.Lock()
	defer c.askMu.Unlock()
	if c.asking == nil || c.asking.IsClosed() {
		var err error
		if c.asking, err = c.connect(ctx); err != nil {
			c.asking = nil
			return nil, err
		}
	}
	id, err := newest(ctx, c.asking, c.cfg.table())
	if err != nil {
		return nil, err
	}
	p := queries.Position{Stream: c.cfg.Table, Newest: &id}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		at := c.at
		p.Committed, p.Lag = &at, max(0, id-at)
	}
	return []queries.Position{p}, nil
}
