package ingest_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/ingest/brokertest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

// TestNeutralErased: who is found by one id is found by the others that the platform tells, with threads, traits and
// journals, and is nowhere once erased: neither by what human agents did for them.
func TestNeutralErased(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	storeNeutral(
		t, pool,
		at(0, "message", `"conversation_id":"c-zephyrine","user_id":"u-zephyrine","author":"user","message_id":"m1","text":"hello"`),
		at(1, "message", `"conversation_id":"d","user_id":"anon-zephyrine","author":"user","message_id":"m2","text":"hello"`),
		at(2, "user.updated", `"user_id":"u-zephyrine","aliases":["anon-zephyrine"],"traits":{"lang":"en"}`),
		at(3, "activity", `"user_id":"u-zephyrine","name":"n"`),
		at(4, "activity", `"agent_id":"ada","actor":"human","user_id":"u-zephyrine","name":"looked up"`),
		at(5, "feedback", `"conversation_id":"c-zephyrine","feedback_id":"f-zephyrine","score":4`),
		at(6, "message", `"conversation_id":"e","user_id":"somebody","author":"user","message_id":"m3","text":"hello"`),
	)
	if err := figures.LinkPersons(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if n := brokertest.Count(t, pool, `select count(*) from user_names where person = 'anon-zephyrine'`); n != 2 {
		t.Errorf("the person has %d ids to the figures", n)
	}
	for _, who := range []string{"anon-zephyrine", "c-zephyrine", "u-zephyrine"} {
		found, err := queries.Person(t.Context(), queries.Clear(pool), who)
		keys := map[string]bool{}
		for _, s := range found {
			keys[s.SenderKey] = true
		}
		if err != nil || len(keys) != 3 || !keys["c-zephyrine"] || !keys["d"] || !keys["user:u-zephyrine"] {
			t.Errorf("by %s: %v, %v", who, keys, err)
		}
	}
	of, err := queries.Person(t.Context(), queries.Clear(pool), "u-zephyrine")
	if err != nil {
		t.Fatal(err)
	}
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, _, err := queries.Erase(t.Context(), tx, queries.Erasing{
			Of: of, Names: []string{"u-zephyrine", "anon-zephyrine", "c-zephyrine", "d"}, Word: "a word",
		}, time.Now())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if in := dbtest.Holding(t, pool, "zephyrine"); len(in) > 0 {
		t.Errorf("they still stand in %v", in)
	}
	var conversations, activities int
	if err := pool.QueryRow(t.Context(), `select (select count(*) from conversations), (select count(*) from activities)`).Scan(&conversations, &activities); err != nil ||
		conversations != 1 || activities != 1 {
		t.Errorf("of others %d conversations and %d activities are left, %v", conversations, activities, err)
	}
	was := dbtest.Dump(t, pool)
	storeNeutral(t, pool, at(0, "message", `"conversation_id":"c-zephyrine","user_id":"u-zephyrine","author":"user","message_id":"m1","text":"hello"`))
	if now := dbtest.Dump(t, pool); now != was {
		t.Error("what comes again is stored again")
	}
}
