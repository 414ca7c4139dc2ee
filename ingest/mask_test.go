package ingest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/mask"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// planted are personal data that stand in texts, each with what must not be found any more.
var planted = []string{
	"zephyrine@example.org", "+49 30 901820777", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "203.0.113.77",
	"K-777777",
}

var (
	said  = regexp.MustCompile(`"text":\s*"`)
	value = regexp.MustCompile(`"value":\s*"`)
)

// plant puts personal data into the texts and slots of every third event.
func plant(bodies []string) []string {
	out := make([]string, len(bodies))
	for i, b := range bodies {
		p := planted[(i+i/3)%len(planted)]
		if out[i] = b; i%3 != 0 {
			out[i] = value.ReplaceAllString(said.ReplaceAllString(b, "${0}"+p+" "), "${0}"+p+" ")
		}
	}
	return out
}

// setMasking keeps rules with the same key in every database, so that their tables can be compared.
func setMasking(t *testing.T, pool *pgxpool.Pool, on bool) {
	t.Helper()
	m := queries.Masking{Rules: mask.All(), OnArrival: on}
	m.Patterns = []mask.Pattern{{Name: "customer", Expr: `\bK-\d{6}\b`}}
	keepMasking(t, pool, m)
}

func keepMasking(t *testing.T, pool *pgxpool.Pool, m queries.Masking) {
	t.Helper()
	if err := queries.SetMasking(t.Context(), pool, m, conversation.UUID{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(
		t.Context(), `update settings set secret = $1 where name = 'masking'`,
		[]byte("a key of 32 bytes, of the test .."),
	); err != nil {
		t.Fatal(err)
	}
}

func clean(t *testing.T, what string, pool *pgxpool.Pool) {
	t.Helper()
	for _, p := range planted {
		if in := dbtest.Holding(t, pool, p); len(in) > 0 {
			t.Errorf("%s: %q stands in %v", what, p, in)
		}
	}
}

// TestMasked holds that personal data are nowhere once they are masked on arrival; that the tables are a function of
// the events all the same, in whatever order and how often these come; and that masking what was stored before ends in
// the same tables as masking from the start.
func TestMasked(t *testing.T) {
	t.Parallel()
	for name, bodies := range map[string][]string{
		"generated": generated(newRand(11), 5, 120), "real": realStream(t, 1500),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRand(12)
			bodies := plant(bodies)
			masked := dbtest.Pool(t)
			setMasking(t, masked, true)
			deliver(t, masked, r, bodies, 1, 1)
			want := dbtest.Dump(t, masked)
			clean(t, "masked", masked)
			if !strings.Contains(want, "[email]") || !strings.Contains(want, "[customer]") {
				t.Fatal("nothing was masked")
			}
			same := func(what string, pool *pgxpool.Pool) {
				t.Helper()
				if got := dbtest.Dump(t, pool); got != want {
					t.Fatalf("%s: the tables differ:\n%s", what, firstDifference(want, got))
				}
				clean(t, what, pool)
			}
			deliver(t, masked, r, bodies, 300, 2)
			same("again", masked)
			if err := ingest.NewWriter(masked, quiet).Rebuild(t.Context(), "", func(int) {}); err != nil {
				t.Fatal(err)
			}
			same("rebuilt", masked)
			setMasking(t, masked, false)
			deliver(t, masked, r, bodies, 300, 1)
			same("again, while nothing is masked", masked)

			shuffled := dbtest.Pool(t)
			setMasking(t, shuffled, true)
			deliver(t, shuffled, r, mixed(r, bodies), 200, 4)
			same("any order, copies, four writers", shuffled)

			since := dbtest.Pool(t)
			deliver(t, since, r, bodies[:len(bodies)/2], 300, 1)
			setMasking(t, since, true)
			deliver(t, since, r, mixed(r, bodies), 300, 2)
			same("what was stored comes again, masked", since)

			run := dbtest.Pool(t)
			feed(t, run, bodies...)
			setMasking(t, run, true)
			feed(t, run, bodies...)
			same("what was stored comes again as it was, through the pipeline", run)

			later := dbtest.Pool(t)
			deliver(t, later, r, mixed(r, bodies), 300, 2)
			setMasking(t, later, true)
			runMasking(t, later)
			same("masked later", later)
			runMasking(t, later)
			same("masked twice", later)
			deliver(t, later, r, bodies, 300, 1)
			same("masked later, then again", later)
		})
	}
}

func mixed(r *rand.Rand, bodies []string) []string {
	out := slices.Concat(bodies, bodies[:len(bodies)/3])
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func runMasking(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	id := queries.NewID()
	rules, err := queries.MaskingRules(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return queries.StartFold(
			t.Context(), tx,
			queries.FoldRun{ID: id, Kind: queries.FoldToMask, AccountID: new(conversation.UUID), CreatedAt: time.Now()},
			&rules,
		)
	}); err != nil {
		t.Fatal(err)
	}
	if err := ingest.NewWriter(pool, quiet).FoldStored(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := queries.EndFold(t.Context(), pool, id, 0, "", time.Now()); err != nil {
		t.Fatal(err)
	}
}

// TestMaskedRejected holds that what is rejected is masked too, and that slots are masked by their names.
func TestMaskedRejected(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	setMasking(t, pool, true)
	rules, err := queries.MaskingRules(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	rules.Slots = []string{"customer_name"}
	if err := queries.SetMasking(t.Context(), pool, rules, conversation.UUID{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	event := func(kind string, sec int, fields map[string]any) string {
		fields["event"], fields["sender_id"], fields["timestamp"] = kind, "s", 1785900330.5+float64(sec)
		fields["metadata"] = map[string]any{"assistant_id": "bot"}
		b, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	counts := feed(
		t, pool,
		event("user", 1, map[string]any{
			"text": "I am Zephyrine", "message_id": "1",
			"parse_data": map[string]any{
				"entities": []any{
					map[string]any{"entity": "customer_name", "start": 5, "end": 14, "value": "Zephyrine"},
				},
				"commands": []any{map[string]any{"command": "set slot", "name": "customer_name", "value": "Zephyrine"}},
			},
		}),
		event("slot", 2, map[string]any{"name": "customer_name", "value": "Zephyrine"}),
		event("slot", 3, map[string]any{"name": "other", "value": "blue"}),
		`{"event":"user","sender_id":"s","text":"`+planted[0]+` and `+planted[2]+`"}`,
		`{"event":"user","sender_id":"s","text":"`+planted[1]+` `,
	)
	if counts.Stored != 3 || counts.Rejected != 2 {
		t.Errorf("counts: %+v", counts)
	}
	clean(t, "rejected", pool)
	if in := dbtest.Holding(t, pool, "zephyrine"); len(in) > 0 {
		t.Errorf("the slot's value stands in %v", in)
	}
	dump := dbtest.Dump(t, pool)
	for _, want := range []string{"[customer_name]", "blue"} {
		if !strings.Contains(dump, want) {
			t.Errorf("%q is not there", want)
		}
	}
	if n := len(
		regexp.MustCompile(`\[phone\]|\[email\]`).FindAllString(fmt.Sprint(rejectedBodies(t, pool)), -1),
	); n != 2 {
		t.Errorf("%d masked rejected bodies", n)
	}
}

func rejectedBodies(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, _ := pool.Query(t.Context(), `select convert_from(body, 'UTF8') from rejected_events`)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMaskedBesideStripped: what stands before something that retention stripped cannot be folded again, and is masked
// all the same; so is what is left of the stripped.
func TestMaskedBesideStripped(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	event := func(session, kind string, sec int, more string) string {
		return fmt.Sprintf(
			`{"sender_id":"s","event":%q,"timestamp":%d.5,"metadata":{"assistant_id":"bot","session_id":%q}%s}`, kind,
			1785900000+sec, session, more,
		)
	}
	said := fmt.Sprintf(`,"text":"write to %s"`, planted[0])
	feed(
		t, pool,
		event("a", "session_started", 1, ""), event(
			"a", "user", 2, said+`,"message_id":"1"`,
		), event("a", "bot", 3, said), event("a", "slot", 4, `,"name":"mail","value":"`+planted[0]+`"`),
		event("b", "session_started", 5001, ""), event("b", "user", 5002, said+`,"message_id":"2"`), event(
			"b", "slot", 5003, `,"name":"mail","value":"`+planted[0]+`"`,
		),
		event("c", "session_started", 9001, ""), event(
			"c", "user", 9002, said+`,"message_id":"3"`,
		), event("c", "bot", 9003, said),
	)
	// As retention leaves the second, but for the value of a slot by which success is judged.
	if _, err := pool.Exec(t.Context(), `
		update conversations set removed = 1, first_text = '', checkpoint = '' where session_id = 'b';
		update messages m set text = '', rich = null, entities = null from conversations c where c.id = m.conversation_id and c.session_id = 'b';
		delete from event_payloads p using conversations c where c.id = p.conversation_id and c.session_id = 'b'`); err != nil {
		t.Fatal(err)
	}
	if n := len(dbtest.Holding(t, pool, planted[0])); n < 4 {
		t.Fatalf("it stands in %d tables", n)
	}
	setMasking(t, pool, true)
	runMasking(t, pool)
	clean(t, "beside stripped", pool)
	rows, _ := pool.Query(
		t.Context(),
		`select c.session_id || ' ' || c.first_text || ' ' || count(m.id) filter (where m.text = 'write to [email]') from conversations c left join messages m on m.conversation_id = c.id group by c.id, c.session_id, c.first_text order by 1`,
	)
	if got, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(got, []string{
		"a write to [email] 2", "b  0", "c write to [email] 2",
	}) {
		t.Errorf("%q %v", got, err)
	}
	before := dbtest.Dump(t, pool)
	runMasking(t, pool)
	if dbtest.Dump(t, pool) != before {
		t.Error("masked twice is otherwise")
	}
	// What goes on after it was stripped: the state of the fold holds what was said, and is masked too.
	feed(
		t, pool, event("d", "session_started", 13001, ""), event(
			"d", "user", 13002,
			`,"text":"I am Zephyrine","message_id":"4","parse_data":{"entities":[{"entity":"customer","start":5,"end":14,"value":"Zephyrine"}]}`,
		),
		event(
			"d", "stack", 13003,
			`,"update":"[{\"op\":\"add\",\"path\":\"/0\",\"value\":{\"flow_id\":\"f\",\"said\":\"`+planted[5]+`\"}}]"`,
		),
	)
	if _, err := pool.Exec(
		t.Context(), `update conversations set removed = 1, resumed = true where session_id = 'd'`,
	); err != nil {
		t.Fatal(err)
	}
	slots, err := queries.MaskingRules(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	slots.Slots, slots.OnArrival = []string{"customer"}, true
	if err := queries.SetMasking(t.Context(), pool, slots, conversation.UUID{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if in := dbtest.Holding(t, pool, "Zephyrine"); !slices.Contains(in, "projections") {
		t.Errorf("the state does not hold what was said, but %v", in)
	}
	runMasking(t, pool)
	for range 2 {
		clean(t, "in the state", pool)
		if in := dbtest.Holding(t, pool, "Zephyrine"); len(in) > 0 {
			t.Errorf("the slot's value stands in %v", in)
		}
		feed(
			t, pool, event("d", "user", 13004, `,"text":"and more","message_id":"5"`),
			event("e", "session_started", 16005, ""), event("e", "user", 16006, `,"text":"back","message_id":"6"`),
		)
	}
	before = dbtest.Dump(t, pool)
	if c := feed(
		t, pool, event("a", "user", 2, said+`,"message_id":"1"`), event("c", "bot", 9003, said),
	); c.Stored != 0 || dbtest.Dump(t, pool) != before {
		t.Errorf("what comes again is stored: %+v", c)
	}
}
