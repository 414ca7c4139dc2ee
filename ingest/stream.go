package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"turnwise/queries"
)

// Consumer reads a source from a broker.
type Consumer interface {
	// Open connects and begins to read. What goes wrong later but may mend itself is told to report, and nil once
	// it has.
	Open(ctx context.Context, m Memory, report func(err error)) (Session, error)
	// Positions asks the broker how far the source was read, whether it is being read or not.
	Positions(ctx context.Context) ([]queries.Position, error)
	// Settings tells how the consumer is configured, without secrets.
	Settings() []queries.Setting
}

// Memory is what a consumer knows from before: as which incarnation each part was read, so that a topic that was made
// anew is not taken for the one whose offsets are known.
type Memory interface {
	Incarnations(ctx context.Context) (map[queries.Part]string, error)
	KeepIncarnation(ctx context.Context, p queries.Part, incarnation string) error
	// Of a source that is asked for what is new: up to which place it is stored, 0 where nothing is known.
	Committed(ctx context.Context, p queries.Part) (int64, error)
	KeepCommitted(ctx context.Context, p queries.Part, at int64) error
	// Hold takes a part for this process, or goes on holding it, and tells whether it could; Leave lets others take it.
	Hold(ctx context.Context, p queries.Part, hold time.Duration) (bool, error)
	Leave(ctx context.Context, p queries.Part) error
}

// Committed tells up to which place a part is stored.
func (s *Stream) Committed(ctx context.Context, p queries.Part) (int64, error) {
	return queries.Committed(ctx, s.writer.pool, s.source.ID, p)
}

// KeepCommitted notes it.
func (s *Stream) KeepCommitted(ctx context.Context, p queries.Part, at int64) error {
	return queries.KeepCommitted(ctx, s.writer.pool, s.source.ID, p, at)
}

// Hold takes a part for this process.
func (s *Stream) Hold(ctx context.Context, p queries.Part, hold time.Duration) (bool, error) {
	return queries.HoldPart(ctx, s.writer.pool, s.source.ID, p, s.member, hold)
}

// Leave lets others take it.
func (s *Stream) Leave(ctx context.Context, p queries.Part) error {
	return queries.LeavePart(ctx, s.writer.pool, s.source.ID, p, s.member)
}

// Incarnations tells as which incarnation each part was read.
func (s *Stream) Incarnations(ctx context.Context) (map[queries.Part]string, error) {
	return queries.Incarnations(ctx, s.writer.pool, s.source.ID)
}

// KeepIncarnation notes as which incarnation a part is read.
func (s *Stream) KeepIncarnation(ctx context.Context, p queries.Part, incarnation string) error {
	return queries.KeepIncarnation(ctx, s.writer.pool, s.source.ID, p, incarnation)
}

// Session is one connection that reads.
type Session interface {
	// Next returns what has arrived, and waits for something to arrive until ctx ends. An error means that the
	// session is over and another must be opened.
	Next(ctx context.Context) (*Portion, error)
	// Close acknowledges what is stored and leaves; what is not will be delivered again.
	Close(ctx context.Context) error
}

// States of a stream.
const (
	Connecting = "connecting"
	Reading    = queries.MemberReading
	Waiting    = "waiting" // for the database
	Paused     = queries.MemberPaused
	Failed     = "failed"
	Stopped    = queries.MemberStopped
)

// Status is how a stream is doing.
type Status struct {
	Source     string
	State      string
	Reason     string
	Since      time.Time
	Error      string // the last one, of whatever kind
	ErrorAt    time.Time
	Reconnects int64
}

// Intervals at which a stream looks at its pause, says how it is doing, and asks the broker for positions.
const (
	pauseEvery    = time.Second
	memberEvery   = 2 * time.Second
	positionEvery = 5 * time.Second
	lastWords     = 4 * time.Second // in which a batch must be through when the stream stops
	hopeless      = 1000            // rejected messages in a row after which the source is paused
)

// Stream reads one source for as long as the process lives.
type Stream struct {
	writer   *Writer
	source   Source
	consumer Consumer
	options  Options
	member   string // names this process among all that read the source
	log      *slog.Logger

	mu       sync.Mutex
	status   Status
	started  time.Time
	paused   queries.Pause
	changed  chan struct{} // closed and replaced when the pause changes
	rejected int64         // in a row
}

// NewStream returns a stream of the source into w.
func NewStream(w *Writer, source Source, c Consumer, member string, o Options) *Stream {
	s := &Stream{
		writer: w, source: source, consumer: c, options: o, member: member, log: w.log.With("source", source.Name),
		changed: make(chan struct{}),
	}
	s.started = w.now()
	s.status = Status{Source: source.Name, State: Connecting, Since: s.started}
	s.source.Trouble = s.trouble
	return s
}

// Status tells how the stream is doing.
func (s *Stream) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *Stream) set(state, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.State != state {
		s.status.State, s.status.Since = state, s.writer.now()
	}
	s.status.Reason = reason
}

func (s *Stream) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Error, s.status.ErrorAt = err.Error(), s.writer.now()
}

// trouble is told of the database.
func (s *Stream) trouble(err error) {
	if err != nil {
		s.note(err)
		s.set(Waiting, "nothing can be stored: "+err.Error())
	} else if s.Status().State == Waiting {
		s.set(Reading, "")
	}
}

// report is told of the broker.
func (s *Stream) report(err error) {
	if err != nil {
		s.note(err)
		s.set(Failed, err.Error())
	} else if s.Status().State == Failed {
		s.set(Reading, "")
	}
}

// Run reads until ctx ends, and returns when what was under way is committed and acknowledged. Broker and
// database may come and go meanwhile.
func (s *Stream) Run(ctx context.Context) error {
	if err := s.register(ctx); err != nil {
		return err
	}
	var watchers sync.WaitGroup
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	for _, w := range []struct {
		every time.Duration
		do    func(context.Context) error
	}{{pauseEvery, s.readPause}, {memberEvery, s.save}, {positionEvery, s.positions}} {
		watchers.Go(func() { s.repeat(watching, w.every, w.do) })
	}
	wait := time.Second
	for ctx.Err() == nil {
		if p, changed := s.pause(); p.At != nil {
			s.set(Paused, p.Why)
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		s.set(Connecting, "")
		begun := time.Now()
		err := s.session(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.report(err)
		s.log.WarnContext(ctx, "the source cannot be read, trying again", "error", err)
		if time.Since(begun) > time.Minute {
			wait = time.Second
		}
		_ = pause(ctx, wait) // the loop asks
		wait = min(2*wait, 30*time.Second)
		s.mu.Lock()
		s.status.Reconnects++
		s.mu.Unlock()
	}
	stop()
	watchers.Wait()
	s.set(Stopped, "")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return s.save(last)
}

// register makes the source known; it waits for the database.
func (s *Stream) register(ctx context.Context) error {
	return s.writer.persist(ctx, s.source, func() error {
		var err error
		hooks := s.source
		if s.source, err = s.writer.Open(ctx, hooks); err != nil {
			return err
		}
		if err := queries.SaveSettings(
			ctx, s.writer.pool, s.source.ID, s.source.Kind, s.consumer.Settings(),
		); err != nil {
			return err
		}
		return s.readPause(ctx)
	})
}

// session reads until ctx ends, the source is paused, or something breaks.
func (s *Stream) session(ctx context.Context) error {
	session, err := s.consumer.Open(ctx, s, s.report)
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	// The batch under way is finished when reading ends, but not for ever.
	storing, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	context.AfterFunc(reading, func() { time.AfterFunc(lastWords, abandon) })
	go func() {
		for {
			p, changed := s.pause()
			if p.At != nil {
				stop()
			}
			select {
			case <-changed:
			case <-reading.Done():
				return
			}
		}
	}()
	s.set(Reading, "")
	o := s.options
	o.Judged = func(readable bool, rejected int) { s.judge(storing, readable, rejected) }
	_, err = s.writer.Run(storing, s.source, func(ctx context.Context) (*Portion, error) {
		// Until reading ends, or the pipeline does.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(reading, cancel)()
		p, err := session.Next(ctx)
		if reading.Err() != nil && p == nil {
			return nil, io.EOF
		}
		return p, err
	}, o)
	ended := reading.Err() != nil && storing.Err() != nil
	stop()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if e := session.Close(closing); e != nil && err == nil {
		err = fmt.Errorf("leave: %w", e)
	}
	if ended {
		return nil // what was not stored will be delivered again
	}
	return err
}

// judge pauses a source of which nothing can be read.
func (s *Stream) judge(ctx context.Context, readable bool, rejected int) {
	s.mu.Lock()
	if s.rejected += int64(rejected); readable {
		s.rejected = 0
	}
	stop := s.rejected >= hopeless
	if stop {
		s.rejected = 0
	}
	s.mu.Unlock()
	if !stop {
		return
	}
	why := fmt.Sprintf(
		"the last %d messages were all rejected: look at them, and at what the source is set to read, then resume",
		hopeless,
	)
	s.note(errors.New(why))
	s.log.ErrorContext(ctx, "the source is paused: it brings nothing but what must be rejected")
	err := queries.PauseSource(ctx, s.writer.pool, s.source.ID, s.writer.now(), "Turnwise", why)
	if err == nil {
		err = s.readPause(ctx)
	}
	if err != nil && !errors.Is(err, queries.ErrNotFound) {
		s.log.WarnContext(ctx, "the source was not paused", "error", err)
	}
}

func (s *Stream) pause() (queries.Pause, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused, s.changed
}

// readPause looks whether somebody paused or resumed the source.
func (s *Stream) readPause(ctx context.Context) error {
	p, err := queries.SourcePause(ctx, s.writer.pool, s.source.ID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if (p.At == nil) != (s.paused.At == nil) {
		close(s.changed)
		s.changed = make(chan struct{})
	}
	s.paused = p
	return nil
}

// repeat does something at an interval, each time within twice that, until ctx ends. It says when that begins to
// fail, and not again until it has gone well in between.
func (s *Stream) repeat(ctx context.Context, every time.Duration, do func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failing := false
	for {
		once, cancel := context.WithTimeout(ctx, 2*every)
		err := do(once)
		if err != nil && !failing && ctx.Err() == nil {
			s.log.WarnContext(ctx, "database or broker do not answer", "error", err)
		}
		failing = err != nil
		cancel()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// save writes the status where pages of any process can read it.
func (s *Stream) save(ctx context.Context) error {
	st := s.Status()
	m := queries.Member{
		SourceID: s.source.ID, Member: s.member, StartedAt: s.started, SeenAt: s.writer.now(), State: st.State,
		Reason: st.Reason, StateAt: st.Since,
		Error: st.Error, Reconnects: st.Reconnects,
	}
	if !st.ErrorAt.IsZero() {
		m.ErrorAt = &st.ErrorAt
	}
	return queries.SaveMember(ctx, s.writer.pool, m)
}

// positions asks the broker how far the source is read.
func (s *Stream) positions(ctx context.Context) error {
	if s.Status().State == Connecting { // which may make what is asked for
		return nil
	}
	positions, err := s.consumer.Positions(ctx)
	if err != nil {
		s.note(fmt.Errorf("ask the broker for positions: %w", err))
		return err
	}
	s.writer.metrics.positions(s.source.Name, positions)
	return queries.SavePositions(ctx, s.writer.pool, s.source.ID, s.writer.now(), positions)
}
