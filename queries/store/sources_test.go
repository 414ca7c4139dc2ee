package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/store"
)

// TestAddSourceAtOnce: a source whose first events come from two sides at the same moment is made once, and neither
// side is refused.
func TestAddSourceAtOnce(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	for n := range 60 {
		name := fmt.Sprintf("source %d", n)
		var begin, all sync.WaitGroup
		begin.Add(1)
		for range 8 {
			all.Go(func() {
				begin.Wait()
				if _, err := store.AddSource(t.Context(), pool, name, "http", 1); err != nil {
					t.Error(err)
				}
			})
		}
		begin.Done()
		all.Wait()
	}
}

// TestManyEventTypes holds that types that somebody makes up do not fill the table: beyond a number a day they count
// together.
func TestManyEventTypes(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	now := time.Date(2026, 11, 5, 23, 59, 0, 0, time.UTC)
	id, err := store.AddSource(t.Context(), pool, "made up", "http", 1)
	if err != nil {
		t.Fatal(err)
	}
	for batch := range 60 {
		types := map[string]int64{"user": 5}
		for i := range 40 {
			types[fmt.Sprint("made up ", batch, " ", i)] = 1
		}
		if err := store.CountMinute(t.Context(), pool, store.Minute{
			Source: id, At: now, Shard: int16(batch % 3), Types: types,
		}); err != nil {
			t.Fatal(err)
		}
	}
	var rows, events int64
	if err := pool.QueryRow(
		t.Context(), `select count(*), sum(stored)::bigint from event_types`,
	).Scan(&rows, &events); err != nil {
		t.Fatal(err)
	}
	if rows > 1100 || events != 60*45 {
		t.Errorf("%d rows of %d events", rows, events)
	}
	all, err := queries.EventTypes(t.Context(), pool, now)
	if err != nil || len(all) < 2 || all[0].Type != "" || all[1].Type != "user" || all[1].Stored != 300 {
		t.Errorf("%+v, %v", all[:min(3, len(all))], err)
	}
	if err := queries.ForgetEventTypes(t.Context(), pool, now.AddDate(0, 0, 90)); err != nil {
		t.Fatal(err)
	}
	if err := pool.QueryRow(t.Context(), `select count(*) from event_types`).Scan(&rows); err != nil || rows == 0 {
		t.Errorf("after 90 days %d rows are left, %v", rows, err)
	}
	if err := queries.ForgetEventTypes(t.Context(), pool, now.AddDate(0, 0, 91)); err != nil {
		t.Fatal(err)
	}
	if err := pool.QueryRow(t.Context(), `select count(*) from event_types`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("after 91 days %d rows are left, %v", rows, err)
	}
}
