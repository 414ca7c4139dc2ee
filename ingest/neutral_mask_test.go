package ingest_test

import (
	"strings"
	"testing"

	"turnwise/mask"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// personal are neutral events with personal data wherever somebody may have written them; Zephyrine's name is the value of
// a slot.
func personal() []string {
	p := func(n int) string { return planted[n%len(planted)] }
	return []string{
		at(0, "message", `"conversation_id":"c","user_id":"u","author":"user","message_id":"m1","text":"mail `+p(0)+`","attachments":[{"name":"`+p(1)+`"}],"custom":{"x":"`+p(2)+`","patient":"Zephyrine"},
			"turn":{"variables":{"patient":"Zephyrine","y":"`+p(3)+`"},"entities":[{"entity":"patient","value":"Zephyrine"}],"calls":[{"kind":"tool","name":"crm","error":"no `+p(4)+`","altered_text":"`+p(5)+`"}]}`),
		says(1, "human", "m2", `,"agent_id":"ada","visibility":"internal","custom":{"note":"`+p(0)+`"}`),
		state(2, `"handler":{"kind":"queue"},"custom":{"said":"`+p(1)+`"}`),
		at(3, "feedback", `"conversation_id":"c","feedback_id":"f","score":4,"comment":"write to `+p(0)+`","custom":{"phone":"`+p(1)+`"}`),
		at(4, "score", `"conversation_id":"c","score_id":"s","name":"tone","value":"of `+p(2)+`","explanation":"told `+p(3)+`"`),
		at(5, "conversation.updated", `"conversation_id":"c","subject":"card `+p(2)+`","metadata":{"patient":"Zephyrine","mail":"`+p(0)+`"}`),
		at(6, "activity", `"conversation_id":"c","name":"n","properties":{"q":"`+p(4)+`"},"url":"https://x.example/?m=`+p(0)+`","error":"`+p(5)+`"`),
		at(7, "activity", `"user_id":"u","name":"n","properties":{"patient":"Zephyrine"},"url":"https://x.example/?m=`+p(0)+`"`),
		at(8, "user.updated", `"user_id":"u","traits":{"email":"`+p(0)+`","patient":"Zephyrine","ip_address":"`+p(4)+`"},"patient":"Zephyrine"`),
		at(9, "agent.status_changed", `"agent_id":"ada","status":"away","email":"`+p(0)+`","login":{"session_id":"s","ip_address":"`+p(4)+`","contact":"`+p(1)+`"}`),
		strings.Replace(at(10, "unheard.of", `"conversation_id":"c","x":"`+p(0)+`"`), `{"type"`, `{"subject":"`+p(0)+`","type"`, 1),
	}
}

func neutralRules() queries.Masking {
	m := queries.Masking{Rules: mask.All()}
	m.Patterns = []mask.Pattern{{Name: "customer", Expr: `\bK-\d{6}\b`}}
	m.Slots = []string{"patient"}
	return m
}

// TestNeutralMasked: personal data are nowhere when they are masked on arrival, when what is stored is masked later, and
// when that is of conversations that cannot be folded again.
func TestNeutralMasked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		arrival bool
		before  string // what happens before what is stored is masked
	}{
		"on arrival": {arrival: true},
		"later":      {},
		"what retention stripped": {before: `update conversations set removed = 1, checkpoint = ''; update journals set removed = 1, checkpoint = '';
			delete from event_payloads; delete from event_originals`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := dbtest.Pool(t)
			rules := neutralRules()
			if tt.arrival {
				rules.OnArrival = true
				keepMasking(t, pool, rules)
			}
			storeNeutral(t, pool, personal()...)
			if !tt.arrival {
				if in := dbtest.Holding(t, pool, "Zephyrine"); len(in) < 5 {
					t.Fatalf("before anything is masked it stands in %v alone", in)
				}
				if _, err := pool.Exec(t.Context(), tt.before); err != nil {
					t.Fatal(err)
				}
				rules.OnArrival = true
				keepMasking(t, pool, rules)
				runMasking(t, pool)
			}
			clean(t, name, pool)
			if in := dbtest.Holding(t, pool, "Zephyrine"); len(in) > 0 {
				t.Errorf("a slot's value stands in %v", in)
			}
			if in := dbtest.Holding(t, pool, "[email]"); len(in) < 5 {
				t.Errorf("only %v are masked", in)
			}
			if tt.before != "" {
				return
			}
			was := dbtest.Dump(t, pool)
			storeNeutral(t, pool, personal()...)
			if now := dbtest.Dump(t, pool); now != was {
				t.Errorf("again: %s", firstDifference(was, now))
			}
		})
	}
}
