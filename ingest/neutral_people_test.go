package ingest_test

import (
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/ingest/brokertest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
)

// peopleOf are how many persons there are, and how many of the conversations are a person's first.
func peopleOf(t *testing.T, pool *pgxpool.Pool) (persons, firsts int) {
	t.Helper()
	if err := figures.LinkPersons(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	persons = brokertest.Count(t, pool, `select count(distinct (`+queries.PersonText+`)) from conversations c`)
	return persons, brokertest.Count(t, pool, `select count(*) from conversations c where `+queries.PersonFirstText+` = c.started_at
		and coalesce((select p.first_at from conversation_persons p where p.sender_id = c.sender_id and p.conversation_id = c.id), c.started_at) = c.started_at`)
}

// TestNeutralPeople: whoever is told to have other ids is one person, from then on and before, through any chain of
// them and in whatever order it is told; others are not; and who came back is known.
func TestNeutralPeople(t *testing.T) {
	t.Parallel()
	talk := func(second float64, conversation, user string) string {
		return at(second, "message", `"conversation_id":"`+conversation+`","user_id":"`+user+`","author":"user","message_id":"`+conversation+`","text":"hi"`)
	}
	told := func(second float64, user, other string) string {
		return at(second, "user.updated", `"user_id":"`+user+`","aliases":["`+other+`"]`)
	}
	talks := []string{talk(0, "a", "anon-1"), talk(100_000, "b", "anon-2"), talk(200_000, "c", "jo"), talk(250_000, "d", "ida"), talk(300_000, "e", "anon-1")}
	pool := dbtest.Pool(t)
	storeNeutral(t, pool, talks...)
	if persons, firsts := peopleOf(t, pool); persons != 4 || firsts != 4 {
		t.Errorf("nothing is told: %d persons, %d first conversations", persons, firsts)
	}
	if _, err := pool.Exec(t.Context(), `delete from dirty_hours`); err != nil {
		t.Fatal(err)
	}
	storeNeutral(t, pool, told(400_000, "jo", "anon-1"))
	if persons, firsts := peopleOf(t, pool); persons != 3 || firsts != 3 {
		t.Errorf("one id is told: %d persons, %d first conversations", persons, firsts)
	}
	if n := brokertest.Count(t, pool, `select count(distinct hour) from dirty_hours`); n != 3 {
		t.Errorf("%d hours are counted again", n)
	}
	storeNeutral(t, pool, told(500_000, "anon-1", "anon-2"))
	if persons, firsts := peopleOf(t, pool); persons != 2 || firsts != 2 {
		t.Errorf("a chain is told: %d persons, %d first conversations", persons, firsts)
	}
	want := dbtest.Dump(t, pool)
	all := append(talks, told(400_000, "jo", "anon-1"), told(500_000, "anon-1", "anon-2"))
	for seed := range uint64(5) {
		other, r := dbtest.Pool(t), rand.New(rand.NewPCG(seed, 1))
		for _, i := range r.Perm(len(all)) {
			storeNeutral(t, other, all[i])
			if r.IntN(2) == 0 {
				peopleOf(t, other)
			}
		}
		if persons, firsts := peopleOf(t, other); persons != 2 || firsts != 2 || dbtest.Dump(t, other) != want {
			t.Errorf("in another order: %d persons, %d first conversations", persons, firsts)
		}
	}
}
