package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/rasa"
	"turnwise/ingest/wire"
	"turnwise/queries"
)

func replaceDatabase(url, name string) string {
	return strings.Replace(url, "dbname=turnwise", "dbname="+name, 1)
}

// plainTable is what COPY is measured on: the same event rows with their payload as text, the primary key and
// two more indexes.
const plainTable = `
create table plain_events (
	sender_id bigint not null, at timestamptz not null, id uuid not null, conversation_id uuid not null,
		seq bigint not null,
	timestamp double precision not null, version_id bigint not null, body_hash bigint not null,
		environment_id integer not null,
	turn integer not null, part smallint not null, pos smallint not null, flags smallint not null,
	type text not null, name text not null, flow_id text not null, step_id text not null, agent_id text not null,
		body text not null,
	primary key (sender_id, at, id)
);
create index on plain_events (conversation_id, seq);
create index on plain_events (at)`

// encodePlain writes a batch in COPY's binary form.
func encodePlain(b []byte, events []*conversation.Event) []byte {
	b = append(b[:0], "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	i8 := func(v int64) { b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(v)) }
	i4 := func(v int32) { b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 4), uint32(v)) }
	i2 := func(v int16) { b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(b, 2), uint16(v)) }
	text := func(v string) { b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...) }
	uuid := func(v conversation.UUID) { b = append(binary.BigEndian.AppendUint32(b, 16), v[:]...) }
	for _, e := range events {
		b = binary.BigEndian.AppendUint16(b, 19)
		i8(e.SenderID)
		i8(e.At - 946684800*1000000)
		uuid(e.ID)
		uuid(conversation.UUID{byte(e.SenderID), byte(e.SenderID >> 8), byte(e.SenderID >> 16), 1})
		i8(e.At)
		i8(int64(math.Float64bits(e.Time)))
		i8(77)
		i8(e.BodyHash)
		i4(5)
		i4(1)
		i2(0)
		i2(1)
		i2(e.Flags)
		for _, s := range []string{e.Type, e.Name, e.FlowID, e.StepID, e.AgentID, e.Body} {
			text(s)
		}
	}
	return binary.BigEndian.AppendUint16(b, 0xffff)
}

// copyPlain returns events a second of COPY by that many connections, each batch a transaction.
func (b *bench) copyPlain(url string, all *corpus, writers, batch int) (float64, error) {
	events, err := decode(all)
	if err != nil {
		return 0, err
	}
	pool, err := queries.Open(b.ctx, url, writers)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	if _, err := pool.Exec(b.ctx, plainTable); err != nil {
		return 0, err
	}
	begun := time.Now()
	var g errgroup.Group
	var next atomic.Int64
	for range writers {
		g.Go(func() error {
			var buf []byte
			for {
				from := int(next.Add(int64(batch))) - batch
				if from >= len(events) {
					return nil
				}
				buf = encodePlain(buf, events[from:min(from+batch, len(events))])
				conn, err := pool.Acquire(b.ctx)
				if err != nil {
					return err
				}
				_, err = conn.Conn().PgConn().CopyFrom(
					b.ctx, bytes.NewReader(buf), "copy plain_events from stdin binary",
				)
				conn.Release()
				if err != nil {
					return err
				}
			}
		})
	}
	err = g.Wait()
	return float64(len(events)) / time.Since(begun).Seconds(), err
}

// store returns events a second of the whole way, from JSON bytes to the commit of all tables.
func (b *bench) store(pool *pgxpool.Pool, bodies iter.Seq[[]byte], writers, batch int) (float64, ingest.Counts, error) {
	return b.storeFrom(pool, ingest.Source{}, bodies, writers, batch)
}

// storeFrom is store of bodies of the source's format or mapping.
func (b *bench) storeFrom(
	pool *pgxpool.Pool, of ingest.Source, bodies iter.Seq[[]byte], writers, batch int,
) (float64, ingest.Counts, error) {
	w := ingest.NewWriter(pool, b.log)
	of.Name, of.Kind, of.Assistant, of.Environment = "bench", "file", "bench", "production"
	src, err := w.Open(b.ctx, of)
	if err != nil {
		return 0, ingest.Counts{}, err
	}
	debug.FreeOSMemory()
	debug.SetMemoryLimit(160 << 20) // as the program does
	defer debug.SetMemoryLimit(math.MaxInt64)
	next, stop := iter.Pull(bodies)
	defer stop()
	n := 0
	begun := time.Now()
	counts, err := w.Run(context.WithoutCancel(b.ctx), src, ingest.Bodies(func() (ingest.Body, error) {
		body, ok := next()
		if !ok {
			return ingest.Body{}, io.EOF
		}
		n++
		return ingest.Body{Bytes: body}, nil
	}), ingest.Options{Writers: writers, Batch: batch, Wait: time.Second})
	return float64(n) / time.Since(begun).Seconds(), counts, err
}

func decode(all *corpus) ([]*conversation.Event, error) {
	d := rasa.NewDecoder()
	events := make([]*conversation.Event, 0, len(all.ends))
	for body := range all.each {
		e, rej := d.Decode(string(body), wire.Intake{Assistant: "bench"}, time.Now())
		if rej != nil {
			return nil, rej
		}
		events = append(events, e)
	}
	return events, nil
}

// ingest measures (a) COPY and (b) the whole way, in turns.
func (b *bench) ingest() error {
	all, err := newCorpus(b.events, 99)
	if err != nil {
		return err
	}
	defer all.close()
	b.note("mean size of an event", float64(len(all.text))/float64(len(all.ends)), "bytes", "")
	for _, writers := range []int{1, 2, 4} {
		for _, batch := range []int{1000, 5000} {
			if b.quick && (writers != 2 || batch != 5000) {
				continue
			}
			if err := b.pair(all, writers, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) pair(all *corpus, writers, batch int) error {
	few, err := newCorpus(b.events/3, 7)
	if err != nil {
		return err
	}
	defer few.close()
	var m measured
	for range b.reps {
		if err := b.plain(&m, all, writers, batch); err != nil {
			return err
		}
		if err := b.whole(&m, all, few, writers, batch); err != nil {
			return err
		}
	}
	b.notePair(writers, batch, m)
	return nil
}

// plain copies the events and does nothing else.
func (b *bench) plain(m *measured, all *corpus, writers, batch int) error {
	url, drop, err := b.fresh("bench")
	if err != nil {
		return err
	}
	rate, err := b.copyPlain(url, all, writers, batch)
	if err != nil {
		return err
	}
	m.plain = append(m.plain, rate)
	return drop()
}

// whole stores the events as the program does, then with a tenth of copies, then copies alone.
func (b *bench) whole(m *measured, all, few *corpus, writers, batch int) error {
	url, drop, err := b.fresh("bench")
	if err != nil {
		return err
	}
	pool, err := queries.Open(b.ctx, url, writers+4)
	if err != nil {
		return err
	}
	begun, err := b.cpu()
	if err != nil {
		return err
	}
	rate, counts, err := b.store(pool, all.each, writers, batch)
	if err != nil {
		return err
	}
	ended, err := b.cpu()
	if err != nil {
		return err
	}
	spent := ended.since(begun)
	m.program = append(m.program, spent.program/float64(counts.Stored)*1e6)
	m.database = append(m.database, spent.database/float64(counts.Stored)*1e6)
	if counts.Stored != int64(len(all.ends)) {
		return fmt.Errorf("stored %+v of %d", counts, len(all.ends))
	}
	m.whole = append(m.whole, rate)
	// A tenth of what comes next is known: the whole again with fresh events mixed in would grow the tables, so the
	// share is made of copies of the newest.
	if rate, _, err = b.store(pool, few.withCopies(all), writers, batch); err != nil {
		return err
	}
	m.tenth = append(m.tenth, rate)
	if rate, _, err = b.store(pool, all.each, writers, batch); err != nil {
		return err
	}
	m.again = append(m.again, rate)
	if m.disk, err = b.disk(pool, len(all.text)); err != nil {
		return err
	}
	pool.Close()
	return drop()
}

// measured is what repetitions of one measurement gave.
type measured struct {
	plain, whole, tenth, again, program, database []float64
	disk                                          float64
}

func (b *bench) notePair(writers, batch int, m measured) {
	name := fmt.Sprintf("%d writers, batches of %d: ", writers, batch)
	b.note(name+"(a) COPY", median(m.plain), "events/s", "")
	b.note(name+"(b) the whole way", median(m.whole), "events/s", "")
	goal := ""
	if writers == 2 && batch == 5000 {
		goal = ">= 0.70"
	}
	b.note(name+"(b) / (a)", median(m.whole)/median(m.plain), "ratio", goal)
	b.note(name+"CPU of (b), program", median(m.program), "µs/event", "")
	b.note(name+"CPU of (b), database", median(m.database), "µs/event", "")
	b.note(name+"10 % copies / (b)", median(m.tenth)/median(m.whole), "ratio", "")
	if goal != "" {
		goal = ">= 4"
	}
	b.note(name+"100 % copies / (b)", median(m.again)/median(m.whole), "ratio", goal)
	b.note(name+"disk / raw JSON", m.disk, "ratio", "<= 0.9")
}

// disk is the size of all tables and indexes over that of the events' JSON (a third of which was stored by
// the mixed run besides).
func (b *bench) disk(pool *pgxpool.Pool, size int) (float64, error) {
	var bytes, events float64
	err := pool.QueryRow(b.ctx, `
select (select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
	where n.nspname = 'public' and c.relkind = 'r'),
	(select count(*) from events)`).Scan(&bytes, &events)
	return bytes / (events * float64(size) / float64(b.events)), err
}
