package ingest_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/queries/dbtest"
)

// A portion is acknowledged once all of it is in the database, and never before those ahead of it.
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	w := ingest.NewWriter(pool, quiet)
	src := openSource(t, w)
	const portions = 60
	base := float64(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).Unix())
	var mu sync.Mutex
	var acknowledged []int
	n := 0
	feed := func(context.Context) (*ingest.Portion, error) {
		if n == portions {
			return nil, io.EOF
		}
		p, number := new(ingest.Portion), n
		for i := range 1 + n%7 {
			p.Bodies = append(
				p.Bodies,
				fmt.Sprintf(
					`{"sender_id":"s%d","event":"user","timestamp":%.3f,"text":"portion %d","message_id":"%d-%d"}`,
					i*n%13, base+float64(n)+float64(i)/10, n, n, i,
				),
			)
		}
		switch n % 10 {
		case 3:
			p.Bodies = append(p.Bodies, "no JSON") // rejected
		case 5:
			p.Bodies = nil // nothing at all
		case 8:
			p.Bodies = []string{"{}", "[]"} // nothing but rejected
		}
		ids := len(p.Bodies)
		p.Stored = func() {
			mu.Lock()
			defer mu.Unlock()
			acknowledged = append(acknowledged, number)
			var stored int
			if err := pool.QueryRow(
				context.Background(),
				`select (select count(*) from messages where text = $1) + (select count(*) from rejected_events where position like $2)`,
				fmt.Sprintf("portion %d", number), fmt.Sprintf("portion %d, %%", number),
			).Scan(&stored); err != nil {
				t.Error(err)
			}
			if number%10 != 8 && stored != ids { // the same broken body is set aside once
				t.Errorf("portion %d was acknowledged when %d of its %d were stored", number, stored, ids)
			}
		}
		p.Position = func(i int) string { return fmt.Sprintf("portion %d, %d", number, i) }
		if n%10 == 3 {
			p.Bodies[len(p.Bodies)-1] += fmt.Sprint(n)
		}
		p.Environment = func(i int) string { return []string{"", "production", "RASA_ENVIRONMENT_NOT_SET"}[i%3] }
		n++
		return p, nil
	}
	if _, err := w.Run(t.Context(), src, feed, ingest.Options{
		Writers: 4, Batch: 3, Wait: time.Millisecond,
	}); err != nil {
		t.Fatal(err)
	}
	if len(acknowledged) != portions {
		t.Fatalf("%d of %d portions were acknowledged", len(acknowledged), portions)
	}
	for i, number := range acknowledged {
		if i != number {
			t.Fatalf("portion %d was acknowledged at place %d", number, i)
		}
	}
	var environments string
	if err := pool.QueryRow(
		t.Context(),
		`select string_agg(name, ',' order by name) from environments where exists (select from events where environment_id = environments.id)`,
	).Scan(&environments); err != nil || environments != "production" {
		t.Errorf("environments %q, %v; want production alone", environments, err)
	}
}

// What is read and not yet committed is bounded in bytes, so that large events do not fill the memory.
func TestInFlight(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	w := ingest.NewWriter(pool, quiet)
	src := openSource(t, w)
	const portions, each = 40, 8
	text := strings.Repeat("long ", 100000) // half a megabyte
	open, most := 0, 0
	var mu sync.Mutex
	n := 0
	feed := func(context.Context) (*ingest.Portion, error) {
		if n == portions {
			return nil, io.EOF
		}
		n++
		p := new(ingest.Portion)
		for i := range each {
			p.Bodies = append(
				p.Bodies,
				fmt.Sprintf(
					`{"sender_id":"s%d","event":"user","timestamp":%d,"text":"%s"}`, n%5, 1790000000+n*10+i, text,
				),
			)
		}
		mu.Lock()
		defer mu.Unlock()
		open++
		most = max(most, open)
		p.Stored = func() {
			mu.Lock()
			defer mu.Unlock()
			open--
		}
		return p, nil
	}
	counts, err := w.Run(t.Context(), src, feed, ingest.Options{Wait: 10 * time.Millisecond})
	if err != nil || counts.Stored != portions*each {
		t.Fatalf("%+v, %v", counts, err)
	}
	// One more than fits may have been read: it waits for room.
	if bytes := (most - 1) * each * len(text); bytes > 48<<20 || open != 0 {
		t.Errorf("up to %d MB were in flight, %d portions are still open", bytes>>20, open)
	}
}

// TestDroppedMonth: a writer that runs for long goes on when retention dropped the partitions of a month that it knows.
func TestDroppedMonth(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	w := ingest.NewWriter(pool, quiet)
	src := openSource(t, w)
	at := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC).Unix()
	store := func(bodies ...string) {
		t.Helper()
		i := 0
		counts, err := w.Run(t.Context(), src, ingest.Bodies(func() (ingest.Body, error) {
			if i == len(bodies) {
				return ingest.Body{}, io.EOF
			}
			i++
			return ingest.Body{Bytes: []byte(bodies[i-1])}, nil
		}), ingest.Options{})
		if err != nil || counts.Stored != int64(len(bodies)) || counts.Rejected != 0 {
			t.Fatalf("%+v, %v", counts, err)
		}
	}
	store(fmt.Sprintf(`{"sender_id":"a","event":"user","timestamp":%d,"text":"one"}`, at))
	for _, table := range []string{"events", "event_payloads", "messages"} {
		if _, err := pool.Exec(t.Context(), fmt.Sprintf("drop table %s_2026_03", table)); err != nil {
			t.Fatal(err)
		}
	}
	store(
		fmt.Sprintf(`{"sender_id":"b","event":"user","timestamp":%d,"text":"two"}`, at),
		fmt.Sprintf(`{"sender_id":"c","event":"user","timestamp":%d,"text":"three"}`, at+9),
	)
}

// TestErasedUntil: of who was erased, nothing is stored up to that instant, itself included; what comes a microsecond
// later is.
func TestErasedUntil(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	at := time.Date(2026, 11, 20, 12, 0, 0, 250_000_000, time.UTC)
	if _, err := pool.Exec(
		t.Context(), `insert into erased (sender_id, until) values ($1, $2)`, conversation.SenderID("bank", "s"), at,
	); err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for i := range 3 {
		bodies = append(
			bodies,
			fmt.Sprintf(
				`{"sender_id":"s","event":"user","text":"%d","timestamp":%.6f,"metadata":{"assistant_id":"bank"}}`, i-1,
				float64(at.UnixMicro()+int64(i-1))/1e6,
			),
		)
	}
	if counts := deliverFile(t, pool, bodies); counts.Stored != 1 || counts.Duplicates != 2 {
		t.Errorf("%+v", counts)
	}
	// Erased by a name that belongs to another assistant since: what comes by that name is still not stored, what is of
	// the other one is.
	for _, sql := range []string{
		`insert into erased (sender_id, until) values ($1, $2)`,
		`insert into assistant_aliases (name, assistant, created_at) select 'shop', 'mall', $2 where $1::bigint <> 0`,
	} {
		if _, err := pool.Exec(t.Context(), sql, conversation.SenderID("shop", "s"), at); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"shop", "mall"} {
		bodies = append(bodies, strings.ReplaceAll(bodies[i], "bank", name))
	}
	if counts := deliverFile(t, pool, bodies[3:]); counts.Stored != 1 || counts.Duplicates != 1 {
		t.Errorf("by its former name: %+v", counts)
	}
	var text string
	if err := pool.QueryRow(
		t.Context(), `select string_agg(text, ' ') from messages where at > $1`, at,
	).Scan(&text); err != nil || text != "1" {
		t.Errorf("stored is %q, %v", text, err)
	}
}
