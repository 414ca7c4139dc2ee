package ingest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/ingest/neutral"
	"turnwise/ingest/wire"
	"turnwise/queries/dbtest"
)

// at is an event of a second after nine o'clock.
func at(second float64, typ, data string) string {
	t := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC).Add(time.Duration(second * float64(time.Second)))
	return fmt.Sprintf(`{"type":%q,"time":%q,"data":{"bot_id":"gen-bot",%s}}`, typ, t.Format(time.RFC3339Nano), data)
}

// says is a message in the conversation c.
func says(second float64, author, id, more string) string {
	return at(second, "message", fmt.Sprintf(`"conversation_id":"c","author":%q,"message_id":%q,"text":%q%s`, author, id, id, more))
}

func state(second float64, what string) string {
	return at(second, "conversation.state_changed", `"conversation_id":"c",`+what)
}

const (
	queue = `"handler":{"kind":"queue","team_id":"t"}`
	ada   = `"handler":{"kind":"human","agent_id":"ada"}`
	bob   = `"handler":{"kind":"human","agent_id":"bob"}`
	bot   = `"handler":{"kind":"bot"}`
	shut  = `"status":"closed"`
)

// TestNeutralFacts: what neutral events make of conversations, turns, segments and ratings.
func TestNeutralFacts(t *testing.T) {
	t.Parallel()
	const (
		segments = `select string_agg(concat_ws(' ', case when waiting then 'waits' else agent_id end, extract(epoch from started_at - '2026-11-20 09:00+00')::int,
			coalesce(extract(epoch from ended_at - started_at)::int::text, '-'), nullif(ended_by, ''), extract(epoch from first_reply_at - started_at)::int, nullif(reply_ms::text, '{}')), '; ' order by n) from agent_segments`
		talks = `select string_agg(concat_ws(' ', user_messages, bot_messages, agent_messages, outcome, outcome_because, nullif(end_reason, ''), nullif(csat, '')), '; ' order by started_at) from conversations`
		times = `select coalesce(string_agg(coalesce(response_ms::text, 'none') || ' ' || response_source, '; ' order by n), '') from turns`
	)
	user, reply := says(0, "user", "m1", ""), says(2, "bot", "m2", "")
	for _, tt := range []struct {
		name string
		cut  conversation.CutRule
		ask  string
		want string
		in   []string
	}{
		{"a turn", "", talks, "1 1 0 resolved_assumed answered", []string{user, reply}},
		{"its time", "", times, "2000 bot_message", []string{user, reply}},
		{"no time where both share one", "", times, "none not_timed", []string{user, says(0, "bot", "m2", `,"seq":2`)}},
		{"no time of a whole turn", "", times, "none not_timed", []string{user, says(2, "bot", "m2", `,"time_precision":"turn"`)}},
		{"nor where the question has none", "", times, "none not_timed", []string{says(0, "user", "m1", `,"time_precision":"none"`), reply}},
		{"seconds are a time", "", times, "2000 bot_message", []string{says(0, "user", "m1", `,"time_precision":"s"`), says(2, "bot", "m2", `,"time_precision":"s"`)}},
		{"a time that is told", "", times, "750 platform", []string{user, says(2, "bot", "m2", `,"response_ms":750`)}},
		{"of a turn, by its message", "", times, "125 platform", []string{user, reply, at(3, "turn", `"conversation_id":"c","message_id":"m1","response_ms":125`)}},
		{"turns whose times do not tell, ended and open", "", `select untimed || ' ' || cardinality(response_ms) from conversations`, "3 1", []string{
			user, says(0, "bot", "m2", `,"seq":2`), says(10, "user", "m3", ""), says(10, "bot", "m4", `,"seq":2`), says(20, "user", "m5", ""), says(22, "bot", "m6", ""),
			says(30, "user", "m7", ""), says(31, "bot", "m8", `,"time_precision":"none"`), says(40, "user", "m9", ""),
		}},
		{"waiting and handled", "", segments, "waits 10 20 assigned; ada 30 60 closed 15 {14000}", []string{user, state(10, queue), state(30, ada), says(31, "user", "m3", ""), says(45, "human", "m4", `,"agent_id":"ada"`), says(46, "human", "m5", `,"agent_id":"ada"`), state(90, shut)}},
		{"the queue as told twice", "", segments, "waits 10 20 assigned; ada 30 -", []string{user, state(10, queue), state(15, queue), state(30, ada), state(35, ada)}},
		{"transferred and returned", "", segments, "ada 10 10 transferred; bob 20 10 returned", []string{user, state(10, ada), state(20, bob), state(30, bot)}},
		{"missed", "", segments, "waits 10 20 missed", []string{user, state(10, queue), state(30, `"state":"missedChat"`)}},
		{"who speaks unasked", "", segments, "ada 5 - 0", []string{user, says(5, "human", "m2", `,"agent_id":"ada"`)}},
		{"a colleague's word", "", segments, "ada 5 - 0", []string{user, says(5, "human", "m2", `,"agent_id":"ada"`), says(6, "human", "m3", `,"agent_id":"bob"`)}},
		{"a note is no answer", "", segments, "ada 5 -", []string{user, state(5, ada), says(6, "human", "m2", `,"agent_id":"ada","visibility":"internal"`)}},
		{"nor is what the assistant wrote", "", segments, "ada 5 -", []string{user, state(5, ada), says(6, "human", "m2", `,"agent_id":"ada","assist":{"pilot_passed":true}`)}},
		{"the first reply is no reply to a run", "", segments, "ada 5 - 3", []string{user, state(5, ada), says(8, "human", "m2", `,"agent_id":"ada"`)}},
		{"handed over", "", talks, "1 0 0 escalated handed_over", []string{user, state(10, queue)}},
		{"notes and the system say nothing", "", talks, "1 1 0 resolved_assumed answered", []string{user, reply, says(3, "human", "m3", `,"visibility":"internal"`), says(4, "system", "m4", "")}},
		{"closed and reopened", "", talks, "2 1 0 abandoned unanswered", []string{user, reply, state(10, shut), says(20, "user", "m3", "")}},
		{"closed, then rated", "", talks, "1 1 0 resolved_confirmed rated_good closed SATISFIED", []string{user, reply, state(10, shut), at(20, "feedback", `"conversation_id":"c","feedback_id":"f","score":4`)}},
		{"at the line", "", talks, "1 1 0 resolved_assumed answered UNSATISFIED", []string{user, reply, at(20, "feedback", `"conversation_id":"c","feedback_id":"f","score":7.4,"scale":{"min":0,"max":10}`)}},
		{"above it", "", talks, "1 1 0 resolved_confirmed rated_good SATISFIED", []string{user, reply, at(20, "feedback", `"conversation_id":"c","feedback_id":"f","score":7.5,"scale":{"min":0,"max":10}`)}},
		{"asked in vain", "", talks, "1 1 0 resolved_assumed answered UNANSWERED", []string{user, reply, at(20, "feedback", `"conversation_id":"c","feedback_id":"f","status":"asked"`)}},
		{"NPS is no CSAT", "", talks, "1 1 0 resolved_assumed answered", []string{user, reply, at(20, "feedback", `"conversation_id":"c","feedback_id":"f","score":1,"kind":"nps"`)}},
		{"the higher revision counts", "", talks, "1 1 0 resolved_assumed answered UNSATISFIED", []string{user, reply, at(20, "feedback", `"conversation_id":"c","feedback_id":"f","score":1,"rev":5`), at(21, "feedback", `"conversation_id":"c","feedback_id":"g","status":"asked","rev":1`), at(22, "feedback", `"conversation_id":"c","feedback_id":"f","score":5,"rev":3`)}},
		{"a rating that is taken back", "", talks, "1 1 0 resolved_assumed answered UNANSWERED", []string{user, reply, at(20, "feedback", `"conversation_id":"c","feedback_id":"f","score":5,"rev":1`), at(21, "feedback", `"conversation_id":"c","feedback_id":"f","status":"dismissed","rev":2`)}},
		{"the user calls it resolved", "", talks, "1 0 0 resolved_confirmed told", []string{user, at(9, "conversation.updated", `"conversation_id":"c","resolution":{"value":"resolved","by":"user"}`)}},
		{"a model does", "", talks, "1 0 0 resolved_assumed told", []string{user, at(9, "conversation.updated", `"conversation_id":"c","resolution":{"value":"resolved","by":"model"}`)}},
		{"not resolved", "", talks, "1 1 0 abandoned told", []string{user, reply, at(9, "conversation.updated", `"conversation_id":"c","resolution":{"value":"unresolved","by":"human"}`)}},
		{"ended before it began, as is told", "", `select (ended_at = started_at)::text from conversations`, "true", []string{user, reply, at(9, "conversation.updated", `"conversation_id":"c","ended_at":"1999-01-01T00:00:00Z"`)}},
		{"and in a thousand years", "", `select extract(epoch from ended_at - started_at)::int::text from conversations`, "9", []string{user, reply, at(9, "conversation.updated", `"conversation_id":"c","ended_at":"3026-01-01T00:00:00Z"`)}},
		{"a message that is changed", "", `select string_agg(text || ' ' || deleted, '; ' order by seq) from messages`, "new false; m2 false", []string{user, reply, at(9, "message", `"conversation_id":"c","author":"user","message_id":"m1","text":"new"`)}},
		{"an older revision that comes late", "", `select string_agg(text, '; ' order by seq) from messages`, "m1", []string{says(0, "user", "m1", `,"rev":5`), at(9, "message", `"conversation_id":"c","author":"user","message_id":"m1","text":"new","rev":4`)}},
		{"a change is no further word", "", talks, "1 1 0 resolved_assumed answered closed", []string{user, reply, state(10, shut), at(5000, "message", `"conversation_id":"c","author":"user","message_id":"m1","deleted":true`)}},
		{"nor does it begin a conversation", conversation.CutByIdle, talks, "1 1 0 resolved_assumed answered closed", []string{user, reply, state(10, shut), at(5000, "message", `"conversation_id":"c","author":"user","message_id":"m1","deleted":true`)}},
		{"what was deleted heads no list", "", `select '[' || first_text || ']' from conversations`, "[]", []string{user, at(5, "message", `"conversation_id":"c","author":"user","message_id":"m1","deleted":true`)}},
		{"one conversation by its id", "", talks, "2 1 0 abandoned unanswered", []string{user, reply, says(90000, "user", "m3", "")}},
		{"cut by silence, at the limit", conversation.CutByIdle, talks, "2 1 0 abandoned unanswered", []string{user, reply, says(62, "user", "m3", "")}},
		{"behind it", conversation.CutByIdle, talks, "1 1 0 resolved_assumed answered next; 1 0 0 abandoned unanswered", []string{user, reply, says(62.001, "user", "m3", "")}},
		{"silence is of talk", conversation.CutByIdle, talks, "1 1 0 resolved_assumed answered next; 1 0 0 abandoned unanswered", []string{user, reply, at(50, "score", `"conversation_id":"c","score_id":"s","name":"n","value":1`), says(70, "user", "m3", "")}},
		{"cut by closing", conversation.CutByStatus, talks, "1 1 0 resolved_assumed answered closed; 1 0 0 abandoned unanswered", []string{user, reply, state(10, shut), says(20, "user", "m3", "")}},
		{"not by who answers", conversation.CutByStatus, talks, "1 2 0 resolved_assumed answered closed", []string{user, reply, state(10, shut), says(20, "bot", "m3", "")}},
		{"a thread and its conversations", "", talks, "1 0 0 abandoned unanswered next; 2 0 0 abandoned unanswered", []string{
			at(0, "message", `"thread_id":"t","conversation_id":"a","author":"user","message_id":"1","text":"x"`), at(1, "message", `"thread_id":"t","conversation_id":"b","author":"user","message_id":"2","text":"x"`),
			at(2, "message", `"thread_id":"t","author":"user","message_id":"3","text":"x"`),
		}},
		{"a conversation called as its thread", "", talks, "2 0 0 abandoned unanswered next; 1 0 0 abandoned unanswered", []string{
			at(0, "message", `"thread_id":"t","conversation_id":"t","author":"user","message_id":"1","text":"x"`), at(1, "message", `"thread_id":"t","conversation_id":"b","author":"user","message_id":"2","text":"x"`),
			at(2, "message", `"thread_id":"t","conversation_id":"t","author":"user","message_id":"3","text":"x"`),
		}},
		{"a thread called as a user's sender", "", `select string_agg(sender_key, '; ' order by sender_key) from senders`, "thread:user:u; user:u", []string{
			at(0, "message", `"thread_id":"user:u","author":"user","message_id":"1","text":"x"`), at(1, "activity", `"user_id":"u","name":"n"`),
		}},
		{"a test", "", `select test::text from conversations`, "true", []string{user, says(3, "bot", "m2", `,"is_test":true`)}},
		{"flows", "", `select string_agg(flow_id || ' ' || status || ' ' || last_step, '; ' order by n) from flow_runs`, "cards completed pay; loans cancelled ", []string{
			user, at(1, "flow", `"conversation_id":"c","flow":"cards","status":"started"`), at(2, "flow", `"conversation_id":"c","flow":"cards","status":"step","step":"pay"`),
			at(3, "flow", `"conversation_id":"c","flow":"cards","status":"completed"`), at(4, "flow", `"conversation_id":"c","flow":"loans","status":"failed"`),
		}},
		{"a journal for each month", "", `select string_agg(events::text, '; ' order by started_at) from journals`, "2; 1", []string{
			at(0, "activity", `"user_id":"u","name":"n"`), at(10, "user.updated", `"user_id":"u","traits":{"a":1}`), at(11*86400, "activity", `"user_id":"u","name":"n"`),
		}},
		{"the higher revision of a trait", "", `select traits from senders`, `{"a":2,"b":3}`, []string{
			at(0, "user.updated", `"user_id":"u","rev":2,"traits":{"a":2}`), at(1, "user.updated", `"user_id":"u","rev":1,"traits":{"a":1,"b":3}`),
		}},
		{"the state of a word", "", `select string_agg(concat_ws(' ', status, nullif(handler, ''), state), '; ' order by seq) from state_changes`, "open queue TransferChat; snoozed on-hold;  odd", []string{
			state(1, `"state":"TransferChat"`), state(2, `"state":"on-hold"`), state(3, `"state":"odd"`),
		}},
		{"an unknown type", "", `select string_agg(type, '; ' order by at) from events`, "message; new.type", []string{user, at(5, "new.type", `"conversation_id":"c","x":1`)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pool := dbtest.Pool(t)
			if tt.cut != "" {
				cutBy(t, pool, "gen-bot", tt.cut)
			}
			storeNeutral(t, pool, tt.in...)
			rows, _ := pool.Query(t.Context(), tt.ask)
			got, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[*string])
			if err != nil || got == nil || *got != tt.want {
				shown := "nothing"
				if got != nil {
					shown = *got
				}
				t.Errorf("got  %s\nwant %s, %v", shown, tt.want, err)
			}
			again := dbtest.Dump(t, pool)
			storeNeutral(t, pool, tt.in...) // all is known
			if now := dbtest.Dump(t, pool); now != again {
				t.Errorf("again: %s", firstDifference(again, now))
			}
		})
	}
}

// TestNeutralRejects: what is set aside, and why; and what is odd and stored nevertheless.
func TestNeutralRejects(t *testing.T) {
	t.Parallel()
	message := func(data string) string {
		return `{"type":"message","time":"2026-11-20T09:00:00Z","data":{` + data + `}}`
	}
	good := `"conversation_id":"c","message_id":"m","author":"user"`
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":%d`, i, i)
		}
		return b.String()
	}
	for _, tt := range []struct{ body, code string }{
		{message(good), ""},
		{"\ufeff" + message(good), ""},
		{message(good + many(60000)), ""},
		{message(good + `,"text":"\u0000 \ud800 ok"`), ""},
		{message(good + `,"text":7,"seq":"x","attachments":NaN`), ""},
		{message(`"conversation_id":77,"message_id":7,"author":"user"`), ""},
		{message(`"conversation_id":"` + strings.Repeat("x", 1024) + `","message_id":"m","author":"user"`), ""},
		{message(`"conversation_id":"` + strings.Repeat("x", 1025) + `","message_id":"m","author":"user"`), wire.CodeSender},
		{message(`"conversation_id":` + strings.Repeat("7", 5500) + `,"message_id":"m","author":"user"`), wire.CodeSender},
		{message(`"conversation_id":"a\ud800","message_id":"m","author":"user"`), wire.CodeSender},
		{message(`"conversation_id":{},"message_id":"m","author":"user"`), wire.CodeSender},
		{message(`"message_id":"m","author":"user"`), wire.CodeField},
		{message(`"conversation_id":"c","author":"user"`), wire.CodeField},
		{message(`"conversation_id":"c","message_id":"m","author":"nobody"`), wire.CodeField},
		{`{"type":"user.updated","time":"2026-11-20T09:00:00Z","data":{"user_id":"a\ud800"}}`, wire.CodeField},
		{`{"type":"message","time":"2026-11-20","data":{` + good + `}}`, wire.CodeTimestamp},
		{`{"type":"message","time":1795166042,"data":{` + good + `}}`, wire.CodeTimestamp},
		{`{"type":"message","time":"1999-12-31T23:59:59.999Z","data":{` + good + `}}`, wire.CodeTimestamp},
		{`{"type":"message","time":"2000-01-01T00:00:00Z","data":{` + good + `}}`, ""},
		{`{"type":"message","time":"2026-11-21T12:00:00Z","data":{` + good + `}}`, ""}, // a day ahead
		{`{"type":"message","time":"2026-11-21T12:00:00.001Z","data":{` + good + `}}`, wire.CodeTimestamp},
		{`{"type":"message","data":{` + good + `}}`, wire.CodeTimestamp},
		{`{"type":"message","time":"2026-11-20T09:00:00Z","data":[]}`, wire.CodeShape},
		{`{"type":"message","time":"2026-11-20T09:00:00Z"}`, wire.CodeShape},
		{`{"type":7,"time":"2026-11-20T09:00:00Z","data":{}}`, ""}, // by its digits, like any name
		{`{"time":"2026-11-20T09:00:00Z","data":{}}`, wire.CodeType},
		{`[]`, wire.CodeShape},
		{`{"type":"message"`, wire.CodeJSON},
		{`{'type': 'message'}`, wire.CodeJSON},
		{message(good + `,"x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600)), wire.CodeJSON},
		{message(good + `,"text":"` + strings.Repeat("x", 1<<20) + `"`), ""},
		{message(good + `,"text":"` + strings.Repeat("x", 1<<20+64<<10) + `"`), wire.CodeSize},
	} {
		e, rej := neutral.NewDecoder().Decode(tt.body, wire.Intake{Assistant: "default"}, time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
		code := ""
		if rej != nil {
			code = rej.Code
		}
		if code != tt.code || rej == nil && e == nil {
			t.Errorf("%.120s: %v, want %q", tt.body, rej, tt.code)
		}
	}
}
