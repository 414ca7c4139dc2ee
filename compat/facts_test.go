package compat_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/compat"
	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/feedtest"
	"turnwise/ingest/neutral"
	"turnwise/marker"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// one returns what a query of one row and column says, as text.
func one(t *testing.T, pool *pgxpool.Pool, sql string) (out string) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "select coalesce(("+sql+")::text, '')").Scan(&out); err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	return out
}

// TestRasaPro: on conversations whose figures are known, every table has the rows that the books say, joins as
// documented, and ids that are unique.
func TestRasaPro(t *testing.T) {
	t.Parallel()
	pool := studied(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "expected.json"))
	if err != nil {
		t.Skip("SKIPPED: ", err)
	}
	var expected struct {
		Totals struct {
			Events, Senders, Sessions, Turns, Escalated int
			UserMessages                                int            `json:"user_messages"`
			BotMessages                                 int            `json:"bot_messages"`
			EventTypes                                  map[string]int `json:"event_types"`
		}
	}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	x := expected.Totals
	flows := 0
	for typ, n := range x.EventTypes {
		if strings.HasPrefix(typ, "flow_") {
			flows += n
		}
		if got := one(t, pool, "select count(*) from rasa_pro.rasa_event where event_type = '"+typ+"'"); got != fmt.Sprint(n) {
			t.Errorf("%s: %s, want %d", typ, got, n)
		}
	}
	for table, want := range map[string]int{
		"rasa_event": x.Events, "_rasa_raw_event": x.Events, "rasa_sender": x.Senders, "rasa_session": x.Sessions, "rasa_turn": x.Turns,
		"rasa_user_message": x.UserMessages, "rasa_bot_message": x.BotMessages, "rasa_action": x.EventTypes["action"],
		"rasa_slot": x.EventTypes["slot"], "rasa_dialogue_stack_frame": x.EventTypes["stack"], "rasa_flow_status": flows,
	} {
		if got := one(t, pool, "select count(*) || ' ' || count(distinct id) from rasa_pro."+table); got != fmt.Sprint(want, " ", want) {
			t.Errorf("%s has %s rows and ids, want %d", table, got, want)
		}
	}
	for _, sql := range []string{
		`select count(*) from rasa_pro.rasa_session s left join rasa_pro.rasa_sender x on x.id = s.sender_id where x.id is null or s.start_sequence_number > s.end_sequence_number`,
		`select count(*) from rasa_pro.rasa_turn s left join rasa_pro.rasa_session x on x.id = s.session_id and x.sender_id = s.sender_id where x.id is null or s.start_sequence_number > s.end_sequence_number
			or s.start_sequence_number < x.start_sequence_number or s.end_sequence_number > x.end_sequence_number`,
		// The last event before the stack changes, or the session ends.
		`with e as materialized (select session_id, sequence_number, event_type from rasa_pro.rasa_event),
			w as (select *, count(*) filter (where event_type = 'stack') over (partition by session_id order by sequence_number) as k from e),
			g as (select session_id, min(sequence_number) as first, max(sequence_number) as last from w where k > 0 group by session_id, k)
			select count(*) from rasa_pro.rasa_dialogue_stack_frame s full join g on g.session_id = s.session_id and g.first = s.start_sequence_number
			where g.last is distinct from s.end_sequence_number`,
		`select count(*) from rasa_pro.rasa_slot s left join rasa_pro.rasa_event e on e.id = s.event_id and e.session_id = s.session_id and e.sequence_number = s.sequence_number and e.timestamp = s.timestamp where e.event_type is distinct from 'slot'`,
		`select count(*) from rasa_pro.rasa_action s left join rasa_pro.rasa_event e on e.id = s.event_id and e.session_id = s.session_id and e.model_id = s.model_id where e.event_type is distinct from 'action'`,
		`select count(*) from rasa_pro.rasa_bot_message s left join rasa_pro.rasa_event e on e.id = s.event_id and e.session_id = s.session_id and e.model_id = s.model_id where e.event_type is distinct from 'bot'`,
		`select count(*) from rasa_pro.rasa_user_message s left join rasa_pro.rasa_event e on e.id = s.event_id and e.session_id = s.session_id and e.model_id = s.model_id where e.event_type is distinct from 'user'`,
		`select count(*) from rasa_pro.rasa_llm_command s left join rasa_pro.rasa_user_message m on m.message_id = s.user_message_id and m.session_id = s.session_id where m.id is null
			or (s.command = 'start flow') <> (s.flow_identifier is not null) or (s.command = 'set slot') <> (s.set_slot_name is not null)`,
		`select count(*) from rasa_pro.rasa_event e join rasa_pro._rasa_raw_event r on r.id = e.id where r.body::json ->> 'event' <> e.event_type
			or abs((r.body::json ->> 'timestamp')::float8 - extract(epoch from e.timestamp)) > 1e-6`,
		`select count(*) from rasa_pro.rasa_action a join rasa_pro._rasa_raw_event r on r.id = a.event_id where r.body::json ->> 'name' <> a.name
			or (r.body::json ->> 'confidence')::float8 is distinct from a.confidence or r.body::json ->> 'policy' is distinct from a.policy`,
		`select count(*) from rasa_pro.rasa_user_message m join rasa_pro._rasa_raw_event r on r.id = m.event_id where r.body::json ->> 'text' <> m.text
			or r.body::json ->> 'message_id' <> m.message_id or r.body::json ->> 'input_channel' <> m.channel or r.body::json -> 'parse_data' -> 'intent' ->> 'name' is distinct from m.intent`,
		// The last value of each slot.
		`select count(*) from rasa_pro.rasa_session_slot_state s full join (
			select distinct on (slot_path) slot_path, session_id, name, value, timestamp from rasa_pro.rasa_slot order by slot_path, sequence_number desc) as l
			on l.slot_path = s.id where l.value is distinct from s.value or l.timestamp is distinct from s.timestamp or l.session_id is distinct from s.session_id`,
	} {
		if got := one(t, pool, sql); got != "0" {
			t.Errorf("%s: %s rows", sql, got)
		}
	}
	complete(t, pool, "rasa_pro")
	complete(t, pool, "a8")
	complete(t, pool, "sentione")
	// The others have the same conversations and messages.
	for sql, want := range map[string]string{
		`select count(*) || ' ' || count(distinct chat_id) from a8.messages`:                                        "13614 700",
		`select count(*) from a8.user_message_details`:                                                              "6742",
		`select count(*) from a8.bot_messages`:                                                                      "6872",
		`select count(*) || ' ' || count(distinct client_id) || ' ' || count(distinct bot_handle) from a8.app_user`: one(t, pool, `select count(distinct (assistant_id, coalesce(nullif(user_id, ''), sender_key))) || ' ' || count(distinct coalesce(nullif(user_id, ''), sender_key)) || ' ' || 3 from senders`),
		`select concat_ws(' ', count(*), count(distinct id), sum(message_count), sum(user_message_count), count(*) filter (where handed_over)) from sentione.session_log`: "700 700 13614 6742 72",
		`select concat_ws(' ', count(*), sum(ordinal) filter (where ordinal = 1)) from sentione.message_event`:                                                            "13614 700",
		`select count(*) from sentione.message_event where (execution_times ->> 'total_ms')::float8 > 0`:                                                                  "6515",
	} {
		if got := one(t, pool, sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
}

// TestEveryField: of events of each kind with every field no column stays empty that the documents fill.
func TestEveryField(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	store(t, pool)
	apply(t, pool)
	for _, schema := range queries.VendorSchemas {
		for _, table := range tables(t, schema) {
			for _, c := range table.Columns {
				if schema == "rasa_studio" && (strings.HasSuffix(table.Name, "Statistics") || strings.HasPrefix(c.Name, "lastReviewed") || table.Name == "SuccessCriteria") {
					continue // they are made of other things than events
				}
				if got := one(t, pool, fmt.Sprintf("select count(%q) from %s", c.Name, pgx.Identifier{schema, table.Name}.Sanitize())); got == "0" {
					t.Errorf("%s.%s.%s is empty", schema, table.Name, c.Name)
				}
			}
		}
	}
	for sql, want := range map[string]string{
		`select concat_ws(' ', client_id, org_id, channel, timezone, os, lang, browser_version, host(ip_address), latitude, screen_size_width, data_speed, bot_handle, custom_fields) from a8."user" where client_id = 'u-1'`:                                                              `u-1 acme Web Asia/Kolkata Linux en 78.5 192.0.2.7 12.9 1440 25.5 shop {"tier": "gold"}`,
		`select string_agg(concat_ws(' ', state, agent_id, triggered_by_bot, group_id, custom_fields), '; ' order by time) from a8.chat_state`:                                                                                                                                             `TransferChat t g-1 {"skill": "cards"}; assignedChat ag-1 g-1`,
		`select concat_ws(' ', chat_id, mid, is_flow_response, is_qna_response, from_id, flow_name, node_name, bot_handle) from a8.bot_messages where mid = 'm2'`:                                                                                                                          `c-1 m2 t t bot-7 card_flow ask shop`,
		`select concat_ws(' ', chat_id, mid, is_handeled, handling_agent, from_suggestion) from a8.user_message_details where mid = 'm1'`:                                                                                                                                                  `c-1 m1 t bot-7 t`,
		`select string_agg(concat_ws(' ', _id, client_id, channel, event_name, error, bot_handle), '; ') from a8.user_activities`:                                                                                                                                                          `a-1 u-1 Web widgetMaximize blocked shop`,
		`select string_agg(concat_ws(' ', user_id, chat_id, bot_handle, event_name, error), '; ') from a8.event_metrics`:                                                                                                                                                                   `host-1 c-1 shop {"cart": 3, "name": "checkout"} {"details": "two items"}`,
		`select string_agg(concat_ws(' ', agent_id, session_id, event_name, custom_fields, chat_id), '; ' order by time desc) from a8.agent_activities`:                                                                                                                                    `ag-1 as-1 loggedIn {"desk": 4} c-1; ag-1 as-1 available {"desk": 4}`,
		`select string_agg(concat_ws(' ', mid, basic_nlp_handled, nlp_provider, intent, intent_score, is_spellcheck_hit, spellcheck_status, spellcheck_resp_time, is_nlp_hit, nlp_status, nlp_resp_time, error, altered_query, event_triggered), '; ') from a8.a8bot_nlp where mid = 'm1'`: `m1 t LUIS card_status 0.93 t 200 12 t 200 80 slow t card_flow`,
		`select concat_ws(' ', name, agent_id, session_id, groups, timezone, os, lang, browser_name, device_name, screen_size_height, custom_fields, host(ip_address), email) from a8.agent_sessions`:                                                                                      `Ada ag-1 as-1 {cards} Europe/Paris macOS fr Firefox Mac 1080 {"desk": 4} 192.0.2.8 ada@example.org`,
		`select concat_ws(' ', mid, agent_id, session_id, chat_id, assist, assist_passed, assist_edited, pilot_mode, pilot_passed, is_faq, faq_id, word_count) from a8.agent_message_details`:                                                                                              `m3 ag-1 as-1 c-1 t t t t t t f-1 6`,
		`select string_agg(concat_ws(' ', mid, msg_type, reply_to_id, bot_handle, msg_from, resp_time, msg), '; ' order by mid) from a8.messages where chat_id = 'c-1'`:                                                                                                                    `m1 text shop user {"text": "where is my card"}; m2 HyperLink m1 shop bot 450 {"text": "Let me look."}; m3 text m1 shop agent 10000 {"text": "Your card is on its way."}`,
		`select concat_ws(' ', id, session_id, project_id, author, author_verified, source_type, end_reason, message_count, user_message_count, tags, handed_over, metadata) from sentione.session_log where session_id = 'c-1'`:                                                           `i-1 c-1 shop u-1 t Web completed 3 1 {card} t {"plan": "pro"}`,
		`select concat_ws(' ', ordinal, author_type, content, dialog_state ->> 'name', variables, tags, topics, commands, used_states, execution_times, errors) from sentione.message_event where id = 'm2'`:                                                                               `2 Bot Let me look. say: ask {"card": "gold"} {card} {cards} [{"name": "SetAuthor", "value": "u-1"}] [{"name": "say: hello"}] {"nlu_ms": 80, "total_ms": 450, "dialog_ms": 300, "integrations": [{"ms": 70, "name": "crm", "status": "200"}]} [{"kind": "timeout", "message": "crm"}]`,
		// Rasa's tables have of other platforms what has a type there.
		`select string_agg(event_type, ' ' order by sequence_number) from rasa_pro.rasa_event e join rasa_pro.rasa_session s on s.id = e.session_id join rasa_pro.rasa_sender x on x.id = e.sender_id where x.sender_key = 'c-1'`: `user bot`,
		`select string_agg(concat_ws(' ', command, flow_identifier, set_slot_name, clarification_options), '; ' order by id) from rasa_pro.rasa_llm_command`:                                                                      `start flow pay; set slot amount; clarify ["pay","ask"]`,
		`select string_agg(concat_ws(' ', name, confidence, policy), '; ' order by sequence_number) from rasa_pro.rasa_action`:                                                                                                    `action_pay 0.5 FlowPolicy; Said so. RulePolicy`,
		`select string_agg(concat_ws(' ', name, value), '; ' order by name) from rasa_pro.rasa_session_slot_state`:                                                                                                                `amount null; csat_score "satisfied"; currency "EUR"`,
		`select count(*) from rasa_pro.rasa_sender`: `2`,
		`select string_agg(concat_ws(' ', p.name, e.event_type, m.num_preceding_user_turns, m.created_at), '; ' order by e.sequence_number, p.name) from rasa_pro.rasa_marker m join rasa_pro.rasa_pattern p on p.id = m.pattern_id join rasa_pro.rasa_event e on e.id = m.event_id and e.session_id = m.session_id and e.sender_id = m.sender_id`: `asked_to_pay user 0 2026-11-20 09:20:01; paid action 1 2026-11-20 09:20:04.5; calm bot 1 2026-11-20 10:25:05`,
		`select string_agg(concat_ws(' ', name, description, config, is_active, created_at), '; ' order by name) from rasa_pro.rasa_pattern where name in ('paid', 'calm')`:                                                                                                                                                                        `calm {"never":[{"intent":"complain"}]} t 2026-01-02 03:04:05; paid the amount is known, and the assistant has answered {"seq":[{"slot_was_set":"amount"},{"action":"Said so."}]} t 2026-01-02 03:04:05`,
	} {
		if got := one(t, pool, sql); got != want {
			t.Errorf("%s:\n%s\nnot\n%s", sql, got, want)
		}
	}
}

// store stores the events of testdata, and a conversation of Rasa with every field.
func store(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "ingest", "testdata", "everything.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	mark(t, pool, "bank", markersOfBank)
	put(t, pool, ingest.Source{Name: "neutral", Kind: "http", Assistant: "default", Format: neutral.Format}, strings.Split(strings.TrimSpace(string(text)), "\n")...)
	put(t, pool, ingest.Source{Name: "rasa", Kind: "http", Assistant: "bank", Environment: "staging"}, bank...)
}

const markersOfBank = `
asked_to_pay: {intent: faq/pay}
paid:
  description: the amount is known, and the assistant has answered
  seq: [{slot_was_set: amount}, {action: Said so.}]
unhappy: {intent: complain}
calm: {never: [{intent: complain}]}
not_so_calm: {never: [{intent: faq}]}
`

const meta = `"metadata":{"assistant_id":"bank","model_id":"4f0c1b0d9a6b4f6e8f0a7f3c2f1e0d9c","model_name":"v7"}`

// bank are the events of a conversation of Rasa with every field.
var bank = []string{
	`{"sender_id":"r","event":"action","timestamp":1795166400.1,"name":"action_pay","policy":"FlowPolicy","confidence":0.5,` + meta + `}`,
	`{"sender_id":"r","event":"user","timestamp":1795166401,"text":"pay","input_channel":"web","message_id":"b1","parse_data":{"intent":{"name":"faq","confidence":0.75,"full_retrieval_intent_name":"faq/pay"},"entities":[{"entity":"x","value":1}],
		"commands":[{"command":"start flow","flow":"pay"},{"command":"set slot","name":"amount","value":4},{"command":"clarify","options":["pay","ask"]}]},` + meta + `}`,
	`{"sender_id":"r","event":"stack","timestamp":1795166402,"update":"[{\"op\":\"add\",\"path\":\"/0\",\"value\":{\"frame_id\":\"A\",\"flow_id\":\"pay\",\"step_id\":\"ask\",\"type\":\"flow\"}}]",` + meta + `}`,
	`{"sender_id":"r","event":"flow_started","timestamp":1795166402.1,"flow_id":"pay",` + meta + `}`,
	`{"sender_id":"r","event":"flow_interrupted","timestamp":1795166402.2,"flow_id":"pay","step_id":"ask",` + meta + `}`,
	`{"sender_id":"r","event":"slot","timestamp":1795166403,"name":"amount","value":4,` + meta + `}`,
	`{"sender_id":"r","event":"reset_slots","timestamp":1795166403.5,` + meta + `}`,
	`{"sender_id":"r","event":"slot","timestamp":1795166404,"name":"currency","value":"EUR",` + meta + `}`,
	`{"sender_id":"r","event":"slot","timestamp":1795166404.2,"name":"csat_score","value":"satisfied",` + meta + `}`,
	`{"sender_id":"r","event":"agent_started","timestamp":1795166404.3,"agent_id":"helper","flow_id":"pay",` + meta + `}`,
	`{"sender_id":"r","event":"action","timestamp":1795166404.5,"name":null,"action_text":"Said so.","policy":"RulePolicy","confidence":NaN,` + meta + `}`,
	`{"sender_id":"r","event":"bot","timestamp":1795166405,"text":"ok","metadata":{"utter_action":"utter_ok","assistant_id":"bank","model_id":"4f0c1b0d9a6b4f6e8f0a7f3c2f1e0d9c"}}`,
}

// mark has the conversations of an assistant looked through for markers.
func mark(t *testing.T, pool *pgxpool.Pool, assistant, file string) {
	t.Helper()
	all, err := marker.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := queries.SetPatterns(t.Context(), tx, assistant, all, conversation.UUID{}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// put stores bodies, all of which must fit.
func put(t *testing.T, pool *pgxpool.Pool, of ingest.Source, bodies ...string) {
	t.Helper()
	if _, counts := feedtest.Feed(t, pool, of, bodies...); counts.Rejected > 0 {
		t.Fatal(counts)
	}
}

// TestExamples: every example runs for a login of its schema, and those of which the books know the answer have it.
func TestExamples(t *testing.T) {
	t.Parallel()
	pool := studied(t)
	store(t, pool)
	for _, schema := range queries.VendorSchemas {
		examples, err := compat.Examples(schema)
		if err != nil || len(examples) < 12 {
			t.Fatal(len(examples), err)
		}
		for _, e := range examples {
			a, err := compat.Ask(t.Context(), pool, schema, e.SQL, 5, time.Minute)
			if err != nil || len(a.Columns) == 0 || a.Late || len(a.Rows) > 5 {
				t.Errorf("%s: %s: %+v, %v", schema, e.Title, a, err)
			}
		}
	}
	ask := func(schema, title string) (out string) {
		t.Helper()
		examples, err := compat.Examples(schema)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range examples {
			if e.Title != title {
				continue
			}
			a, err := compat.Ask(t.Context(), pool, schema, e.SQL, 2, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range a.Rows {
				for _, v := range row {
					if v == nil {
						v = new(string)
					}
					out += *v + " "
				}
				out += "| "
			}
			if a.More {
				out += "…"
			}
		}
		return out
	}
	for title, want := range map[string]string{
		"Sessions by month":              "2026-08-01 00:00:00 383 | 2026-09-01 00:00:00 317 | …",
		"Commands of the language model": "set slot 5827 699 | start flow 2303 701 | …",
	} {
		if got := ask("rasa_pro", title); got != want {
			t.Errorf("%s: %s, not %s", title, got, want)
		}
	}
	// Without texts, and it ends.
	if a, err := compat.Ask(t.Context(), pool, "rasa_pro", "select max(text) from rasa_user_message;", 5, time.Minute); err != nil || a.Rows[0][0] != nil {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := compat.Ask(t.Context(), pool, "rasa_pro", "select pg_sleep(60)", 5, 200*time.Millisecond); err != nil || !a.Late {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := compat.Ask(t.Context(), pool, "rasa_pro", "insert into public.tags select", 5, time.Minute); err == nil {
		t.Error("it writes")
	}
}

// TestOdd: values that fit no type do no harm, nor does a plan whose parts run at once.
func TestOdd(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	store(t, pool)
	put(t, pool, ingest.Source{Name: "odd", Kind: "http", Assistant: "default", Format: neutral.Format},
		`{"id":"o1","type":"user.updated","time":"2026-11-20T09:00:00Z","data":{"user_id":"odd","custom":{"n":1e99999,"s":"a:1e23456"},"traits":{"ip_address":"999.1.2.3","geo":{"latitude":"north","longitude":1e999},"device":{"screen_width":1e400,"screen_height":"wide"},"network":{"speed_mbps":"1e9999"}}}}`,
		`{"id":"o2","type":"user.updated","time":"2026-11-20T09:00:00Z","data":{"user_id":"six","traits":{"ip_address":"2001:db8::1"}}}`,
		`{"id":"o3","type":"message","time":"2026-11-20T09:00:01Z","data":{"conversation_id":"odd-c","message_id":"o3","author":"human","agent_id":"x","text":"a  b\n","word_count":"many","content":{"n":-1.5E-99999},"assist":{"used":"2026-11-20T09:00:01Z","passed":0,"edited":"","is_faq":[]}}}`,
		`{"id":"o4","type":"message","time":"2026-11-20T09:00:02Z","data":{"conversation_id":"odd-c","message_id":"o4","author":"user","text":"a\u0000b","turn":{"tags":"none","intents":"none","errors":4,"variables":{"n":1e99999},"calls":[{"kind":"nlu","name":"x","status":"refused"}]}}}`,
		`{"id":"o5","type":"activity","time":"2026-11-20T09:00:03Z","data":{"conversation_id":"odd-c","name":"x","error":"{not JSON"}}`,
		`{"id":"o7","type":"order.placed","time":"2026-11-20T09:00:03Z","data":{"conversation_id":"odd-c"}}`,
		`{"id":"o8","type":"order.placed","time":"2026-11-20T09:00:03Z","data":{"user_id":"odd"}}`,
		`{"id":"o6","type":"conversation.updated","time":"2026-11-20T09:00:04Z","data":{"conversation_id":"odd-c","tags":["a",4],"metadata":{"n":1e99999}}}`)
	put(t, pool, ingest.Source{Name: "long", Kind: "http", Assistant: "default", Format: neutral.Format},
		`{"id":"o9","type":"message","time":"2026-11-20T09:00:05Z","data":{"conversation_id":"odd-c","message_id":"o9","author":"user","text":"long","content":{"n":`+strings.Repeat("7", 140_000)+`}}}`)
	put(t, pool, ingest.Source{Name: "odd Rasa", Kind: "http", Assistant: "bank"},
		`{"sender_id":"o","event":"action","name":"x","confidence":1e999,"timestamp":1795166401,"metadata":{"k":"a\u0000b"}}`,
		`{"sender_id":"o","event":"action","name":"y","confidence":"high","timestamp":1795166402,"metadata":"none"}`,
		`{"sender_id":"o","event":"of_our_own","timestamp":1795166402.5}`,
		`{"sender_id":"o","event":"action","name":"z","confidence":NaN,"policy":{"a":1},"timestamp":1795166403,"metadata":[1]}`)
	apply(t, pool)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; set min_parallel_index_scan_size = 0; set force_parallel_mode = on`); err != nil {
		t.Fatal(err)
	}
	for _, schema := range queries.VendorSchemas {
		for _, table := range tables(t, schema) {
			rows, _ := conn.Query(t.Context(), "select * from "+pgx.Identifier{schema, table.Name}.Sanitize())
			for rows.Next() {
			}
			if rows.Err() != nil {
				t.Errorf("%s.%s: %v", schema, table.Name, rows.Err())
			}
			for _, c := range table.Columns {
				if _, err := conn.Exec(t.Context(), fmt.Sprintf("select max(length(%q::text)) from %s", c.Name, pgx.Identifier{schema, table.Name}.Sanitize())); err != nil {
					t.Errorf("%s.%s.%s: %v", schema, table.Name, c.Name, err)
				}
			}
		}
	}
	for sql, want := range map[string]string{
		`select concat_ws('|', host(ip_address), latitude, screen_size_width, screen_size_height, data_speed) from a8.app_user where client_id = 'odd'`:                                                      "",
		`select string_agg(event_type, ' ' order by sequence_number) from rasa_pro.rasa_event where sender_id = (select id from rasa_pro.rasa_sender where sender_key = 'odd-c')`:                            "user user",
		`select string_agg(event_type, ' ' order by sequence_number) from rasa_pro.rasa_event where sender_id = (select id from rasa_pro.rasa_sender where sender_key = 'o')`:                                "action action of_our_own action",
		`select count(*) from rasa_pro.rasa_event where session_id is null`:                                                                                                                                  "0",
		`select host(ip_address) from a8.app_user where client_id = 'six'`:                                                                                                                                   "2001:db8::1",
		`select concat_ws('|', assist, assist_passed, assist_edited, is_faq, word_count) from a8.agent_message_details where mid = 'o3'`:                                                                     "t|f|f|f|2",
		`select string_agg(concat_ws('|', name, confidence, policy), ' ' order by sequence_number) from rasa_pro.rasa_action where sender_id = (select id from rasa_pro.rasa_sender where sender_key = 'o')`: `x y z|{"a":1}`,
		`select error from a8.event_metrics where chat_id = 'odd-c'`:                                                                                                                                         `"{not JSON"`,
	} {
		if got := one(t, pool, sql); got != want {
			t.Errorf("%s: %s, not %s", sql, got, want)
		}
	}
}
