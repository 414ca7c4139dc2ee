package rasa

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"turnwise/conversation"
	"turnwise/ingest/wire"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func decode(t *testing.T, body string) *conversation.Event {
	t.Helper()
	e, rej := NewDecoder().Decode(body, wire.Intake{Assistant: "default"}, now)
	if rej != nil {
		t.Fatalf("%s: %v", body, rej)
	}
	return e
}

// user returns a user event with more members.
func user(more string) string {
	return `{"sender_id":"s","event":"user","timestamp":1785800010.25,"metadata":{"assistant_id":"bot"}` + more + `}`
}

func TestRejects(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, code, detail string }{
		{"cut", `{"sender_id":"s","event":"user","timestamp":17858`, wire.CodeJSON, ""},
		{"array", `[1]`, wire.CodeShape, ""},
		{"bare word", `true`, wire.CodeShape, ""},
		{"xml", `<event/>`, wire.CodeJSON, ""},
		{"empty", ``, wire.CodeJSON, ""},
		{"something behind", user("") + "x", wire.CodeJSON, "follows"},
		{"no sender", `{"event":"user","timestamp":1785800010}`, wire.CodeSender, "no sender_id"},
		{
			"sender with a fraction", `{"sender_id":7.0,"event":"user","timestamp":1785800010}`, wire.CodeSender,
			"neither a string nor a whole number",
		},
		{
			"sender with an exponent", `{"sender_id":7e3,"event":"user","timestamp":1785800010}`, wire.CodeSender,
			"neither a string nor a whole number",
		},
		{
			"sender true", `{"sender_id":true,"event":"user","timestamp":1785800010}`, wire.CodeSender,
			"neither a string nor a whole number",
		},
		{
			"sender NaN", `{"sender_id":NaN,"event":"user","timestamp":1785800010}`, wire.CodeSender,
			"neither a string nor a whole number",
		},
		{"empty sender", `{"sender_id":"","event":"user","timestamp":1785800010}`, wire.CodeSender, "empty"},
		{
			"long sender", `{"sender_id":"` + strings.Repeat("z", 1025) + `","event":"user","timestamp":1785800010}`,
			wire.CodeSender, "1,024",
		},
		{"NUL in sender", `{"sender_id":"a\u0000","event":"user","timestamp":1785800010}`, wire.CodeSender, "merge"},
		{
			"half surrogate in sender", `{"sender_id":"a\ud83d","event":"user","timestamp":1785800010}`,
			wire.CodeSender, "merge",
		},
		{
			"invalid UTF-8 in sender", "{\"sender_id\":\"a\xff\",\"event\":\"user\",\"timestamp\":1785800010}",
			wire.CodeSender, "UTF-8",
		},
		{"no event", `{"sender_id":"s","timestamp":1785800010}`, wire.CodeType, "no event"},
		{"event is null", `{"sender_id":"s","event":null,"timestamp":1785800010}`, wire.CodeType, ""},
		{"no timestamp", `{"sender_id":"s","event":"user"}`, wire.CodeTimestamp, "no timestamp"},
		{
			"timestamp as text", `{"sender_id":"s","event":"user","timestamp":"1785800010"}`, wire.CodeTimestamp,
			"not a number",
		},
		{"timestamp NaN", `{"sender_id":"s","event":"user","timestamp":NaN}`, wire.CodeTimestamp, "finite"},
		{"timestamp -Infinity", `{"sender_id":"s","event":"user","timestamp":-Infinity}`, wire.CodeTimestamp, "finite"},
		{"timestamp 1e400", `{"sender_id":"s","event":"user","timestamp":1e400}`, wire.CodeTimestamp, "finite"},
		{
			"milliseconds", `{"sender_id":"s","event":"user","timestamp":1785901234567}`, wire.CodeTimestamp,
			"milliseconds",
		},
		{"too far ahead", `{"sender_id":"s","event":"user","timestamp":1795901234}`, wire.CodeTimestamp, "24 hours"},
		{"before 2000", `{"sender_id":"s","event":"user","timestamp":12}`, wire.CodeTimestamp, "2000"},
		{
			"deep", user(`,"x":` + strings.Repeat(`{"a":`, 30000) + "1" + strings.Repeat("}", 30000)), wire.CodeJSON,
			"deeper",
		},
		{"large", user(`,"x":"` + strings.Repeat("y", wire.MaxEvent) + `"`), wire.CodeSize, "1 MiB"},
		{
			"Mantle",
			`{"conversation_id":"c","timestamp":"2026-01-01T00:00:00Z","event_id":"e","sequence":1,"user":{"text":"hi"}}`,
			wire.CodeMantle, "Mantle",
		},
		{"pickled tracker", `{"py/object":"rasa.Tracker","sender_id":"s"}`, wire.CodeType, "no event"},
		{
			"control character", "{\"sender_id\":\"s\",\"event\":\"user\",\"timestamp\":1785800010,\"text\":\"a\nb\"}",
			wire.CodeJSON, "control",
		},
		{"leading zero", `{"sender_id":"s","event":"user","timestamp":01}`, wire.CodeJSON, ""},
		{"unknown escape", user(`,"text":"\x"`), wire.CodeJSON, "escape"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, rej := NewDecoder().Decode(tt.body, wire.Intake{Assistant: "default"}, now)
			if rej == nil {
				t.Fatalf("accepted: %+v", e)
			}
			if rej.Code != tt.code || !strings.Contains(rej.Detail, tt.detail) {
				t.Errorf("got %v; want code %s, detail with %q", rej, tt.code, tt.detail)
			}
		})
	}
}

func TestFieldsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, more := range []string{
		`,"text":7`, `,"parse_data":3`, `,"parse_data":{"intent":["a"],"entities":"none"}`, `,"input_channel":{"a":1}`,
		`,"parse_data":{"intent":{"name":4,"confidence":"high"}}`, `,"parse_data":{"commands":"all"}`, `,"parse_data":{"commands":[1]}`,
	} {
		e := decode(t, user(more))
		if e.Flags&conversation.FlagMisfit == 0 || e.Text != "" || e.Intent != "" || len(e.Commands) > 0 {
			t.Errorf("%s: got %+v; want a marked event with empty fields", more, e)
		}
	}
	e := decode(t, `{"sender_id":"s","event":"user","timestamp":1785800010.25,"metadata":3,"text":"hello"}`)
	if e.Text != "hello" || e.Flags&conversation.FlagMisfit == 0 || e.Assistant != "default" {
		t.Errorf("metadata of the wrong type: got %+v", e)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, want string
		repaired         bool
	}{
		{"plain", `hello`, "hello", false},
		{"escapes", `a\"b\\c\/d\b\f\n\r\t\u00e9`, "a\"b\\c/d\b\f\n\r\té", false},
		{"pair", `\ud83d\ude4f`, "🙏", false},
		{"half", `thanks \ud83d\ude4f\ud83d`, "thanks 🙏\ufffd", true},
		{"low alone", `\ude4f!`, "\ufffd!", true},
		{"NUL", `\u0000Hi\u0000`, "\ufffdHi\ufffd", true},
		{"escaped backslash before u0000", `\\u0000`, `\u0000`, false},
		{"invalid UTF-8", "\x93quoted\x94", "\ufffdquoted\ufffd", true},
		{"words of numbers", "to Infinity and NaN", "to Infinity and NaN", false},
	} {
		e := decode(t, user(`,"text":"`+tt.text+`"`))
		if e.Text != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, e.Text, tt.want)
		}
		if got := e.Flags&conversation.FlagRepaired != 0; got != tt.repaired || (e.Original != nil) != tt.repaired {
			t.Errorf("%s: repaired %v, original kept %v; want %v", tt.name, got, e.Original != nil, tt.repaired)
		}
		if strings.Contains(strings.ReplaceAll(e.Body, `\\`, ""), `\u0000`) || !strings.HasPrefix(e.Body, "{") {
			t.Errorf("%s: the body to store is %q", tt.name, e.Body)
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	e := decode(t, user(`,"parse_data":{"intent":{"id":6919456128573924813,"name":"greet","confidence":Infinity}}`))
	if !math.IsNaN(e.Confidence) || e.Intent != "greet" || !strings.Contains(
		e.Body, "6919456128573924813",
	) || strings.Contains(e.Body, "Infinity") {
		t.Errorf("got %+v", e)
	}
	s := decode(
		t,
		`{"sender_id":"s","event":"slot","timestamp":1785800130.25,"name":"iban_check","value":12345678901234567890}`,
	)
	if s.Value != "12345678901234567890" {
		t.Errorf("the slot's value lost digits: %s", s.Value)
	}
}

func TestKeysAreExact(t *testing.T) {
	t.Parallel()
	e := decode(t, user(`,"TIMESTAMP":1,"Sender_ID":"other","ſender_id":"third","text":"x"`))
	if e.SenderKey != "s" || e.Time != 1785800010.25 {
		t.Errorf("a key of other letters counted: %+v", e)
	}
	last := decode(t, user(`,"event":"restart"`))
	if last.Type != "restart" {
		t.Errorf("type %q; the last of equal keys counts", last.Type)
	}
	if m := decode(t, user(`,"metadata":{"model_id":"m"}`)); m.Assistant != "default" || m.ModelID != "m" {
		t.Errorf("the second metadata must replace the first as a whole: %+v", m)
	}
}

func TestDecodesRasa(t *testing.T) {
	t.Parallel()
	e := decode(
		t,
		`{"sender_id":"web-8f21","user_id":"cust-77","event":"user","timestamp":1767261603.4412,"metadata":{"model_id":"4f0c","assistant_id":"bank-bot","session_id":"0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a11","model_name":"v7","is_external":true},"text":"please block my card","parse_data":{"intent":{"name":"faq","confidence":0.5,"full_retrieval_intent_name":"faq/cards"},"entities":[{"entity":"amount","value":{"from":1}}],"message_id":"inner","commands":[{"flow":"block_card","command":"start flow"},{"name":"card_kind","value":"debit","command":"set slot"},{"command":"clarify","options":["a"]}]},"input_channel":"socketio","message_id":"b194"}`,
	)
	if e.UserID != "cust-77" || e.Assistant != "bank-bot" || e.ModelName != "v7" || e.Retrieval != "faq/cards" ||
		e.MessageID != "b194" || !e.Is(conversation.Platform) || e.Channel != "socketio" {
		t.Errorf("got %+v", e)
	}
	if len(e.Commands) != 3 || e.Commands[0].FlowID != "block_card" || e.Commands[1].Value != `"debit"` ||
		e.Commands[2].Detail != `{"command":"clarify","options":["a"]}` {
		t.Errorf("commands %+v", e.Commands)
	}
	if e.Entities != `[{"entity":"amount","value":{"from":1}}]` {
		t.Errorf("entities %s", e.Entities)
	}
	b := decode(
		t,
		`{"sender_id":"s","event":"bot","timestamp":1767261603.4603,"metadata":{"utter_action":"utter_ask"},"text":null,"data":{"elements":null,"image":"x","buttons":[{"title":"Yes"}]}}`,
	)
	if b.Name != "utter_ask" || b.Rich != `{"buttons":[{"title":"Yes"}],"image":"x"}` || b.Text != "" {
		t.Errorf("got %+v", b)
	}
	a := decode(
		t,
		`{"sender_id":"s","event":"action","timestamp":1767261603.48,"metadata":{"execution_times":{"command_processor":1180.4,"prediction_loop":41.7}},"name":null,"action_text":"said so","confidence":1.0}`,
	)
	if a.Name != "said so" || a.UnderstandingMS != 1180.4 || a.PredictionMS != 41.7 {
		t.Errorf("got %+v", a)
	}
	sel := decode(
		t,
		user(
			`,"parse_data":{"intent":{"name":"faq"},"response_selector":{"all_retrieval_intents":[],"default":{"response":{"intent_response_key":"faq/a"}},"faq":{"response":{"intent_response_key":"faq/b"}}}}`,
		),
	)
	if sel.Retrieval != "faq/b" {
		t.Errorf("retrieval intent %q", sel.Retrieval)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"production": "production", "": "", wire.EnvironmentNotSet: ""} {
		e, rej := NewDecoder().Decode(user(""), wire.Intake{Assistant: "a", Environment: in}, now)
		if rej != nil || e.Environment != want {
			t.Errorf("%q: got %q, %v; want %q", in, e.Environment, rej, want)
		}
	}
}

func TestGlance(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		user(`,"text":"hi"`), `{"sender_id": "s", "event": "bot", "timestamp": 1785800010.25, "text": "x"}`,
		`{"event":"user","timestamp":1785800010.25,"sender_id":"ä b","metadata":{"x":1,"assistant_id":"b\u00f6t"}}`,
	} {
		e := decode(t, body)
		g, ok := NewDecoder().Glance(body, wire.Intake{Assistant: "default"})
		if !ok || g.Sender != e.SenderID || g.At != e.At || g.BodyHash != e.BodyHash {
			t.Errorf("%s: a first look gives %+v, %v; want %d, %d, %d", body, g, ok, e.SenderID, e.At, e.BodyHash)
		}
	}
	for _, body := range []string{
		``, `{}`, `{"sender_id":7,"timestamp":1}`, `{"sender_id":"s","timestamp":"x"}`,
		`{"sender_id":"s","timestamp":1e300}`, `{"sender_id":"s`, `"timestamp"`,
	} {
		if g, ok := NewDecoder().Glance(body, wire.Intake{}); ok {
			t.Errorf("%s: a first look gives %+v", body, g)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	at := func(typ, more string) string {
		return `{"sender_id":"s","event":"` + typ + `","timestamp":1785900330.0` + more + `}`
	}
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{
			"key order, spaces, empty metadata", at("slot", `,"name":"a","value":1`),
			`{"value": 1, "name": "a", "metadata": {}, "timestamp": 1785900330, "event": "slot", "sender_id": "s"}`,
			true,
		},
		{"another slot", at("slot", `,"name":"a","value":1`), at("slot", `,"name":"b","value":1`), false},
		{"another value", at("slot", `,"name":"a","value":1`), at("slot", `,"name":"a","value":2`), false},
		{
			"a value as DynamoDB keeps it", at("slot", `,"name":"a","value":[0.8953172206878662,5]`),
			at("slot", `,"name":"a","value":[0.895317221,5.0]`), true,
		},
		{
			"a value as MongoDB exports it", at("slot", `,"name":"a","value":[0.5,5]`),
			at("slot", `,"name":"a","value":[{"$numberDouble":"0.5"},{"$numberInt":"5"}]`), true,
		},
		{
			"policy and confidence of an action",
			at("action", `,"name":"a","policy":"TEDPolicy","confidence":0.8953172206878662`),
			at("action", `,"name":"a","confidence":{"N":"0.895317221"}`), true,
		},
		{"users without ids", at("user", `,"text":"yes"`), at("user", `,"text":"no"`), false},
		{
			"redacted user text", at("user", `,"message_id":"m","text":"secret"`),
			at("user", `,"message_id":"m","text":"***","anonymized_at":1785903330`), true,
		},
		{"another message", at("user", `,"message_id":"m"`), at("user", `,"message_id":"n"`), false},
		{"another bot text", at("bot", `,"text":"a"`), at("bot", `,"text":"b"`), false},
		{
			"buttons in another order of keys", at("bot", `,"data":{"buttons":[{"title":"x","payload":"y"}]}`),
			at("bot", `,"data":{"image":null,"buttons":[{"payload":"y","title":"x"}]}`), true,
		},
		{"another action", at("action", `,"name":"a"`), at("action", `,"name":"b"`), false},
		{
			"another step", at("flow_completed", `,"flow_id":"f","step_id":"1"`),
			at("flow_completed", `,"flow_id":"f","step_id":"2"`), false,
		},
		{"another patch", at("stack", `,"update":"[]"`), at("stack", `,"update":"[1]"`), false},
		{"unknown type, other content", at("novel", `,"x":1`), at("novel", `,"x":2`), false},
		{"unknown type, number written otherwise", at("novel", `,"x":1.50`), at("novel", `,"x":1.5`), true},
		{"another assistant", at("restart", ``), at("restart", `,"metadata":{"assistant_id":"other"}`), false},
		{
			"a hair later", at("restart", ``), `{"sender_id":"s","event":"restart","timestamp":1785900330.0000002}`,
			false,
		},
	} {
		a, b := decode(t, tt.a), decode(t, tt.b)
		if (a.ID == b.ID) != tt.same {
			t.Errorf("%s: same identity %v, want %v", tt.name, a.ID == b.ID, tt.same)
		}
	}
	if Digest(at("slot", `,"name":"a","value":1.0`)) != Digest(
		`{"value":1,"name":"a","event":"slot","timestamp":1785900330,"sender_id":"elsewhere","metadata":{}}`,
	) {
		t.Error("the digest must not depend on order of keys, form of numbers, sender_id and empty metadata")
	}
	for _, same := range [][2]string{
		{
			`,"parse_data":{"intent":{"name":"a","confidence":0.9954788088798523,"id":-4551433371507634134}}`,
			`,"parse_data":{"intent":{"name":"a","confidence":0.995478809,"id":-4.551433371507634e+18}}`,
		},
		{`,"parse_data":{"n":7,"x":0.5}`, `,"parse_data":{"n":{"$numberLong":"7"},"x":{"$numberDouble":"0.5"}}`},
		{`,"policy":null,"text":"a"`, `,"text":"a"`},
	} {
		a, b := decode(t, at("user", same[0])), decode(t, at("user", same[1]))
		if Digest(a.Body) != Digest(b.Body) {
			t.Errorf("%s and %s are the same event, but are taken for two", same[0], same[1])
		}
	}
}

// TestNumberSender holds that a whole number is a sender by its digits: Rasa writes the same one as text elsewhere.
func TestNumberSender(t *testing.T) {
	t.Parallel()
	text := decode(t, `{"sender_id":"626931294","event":"restart","timestamp":1785800010}`)
	for _, id := range []string{`626931294`, `{"$numberLong":"626931294"}`, `{"N":"626931294"}`} {
		if e := decode(
			t, `{"sender_id":`+id+`,"event":"restart","timestamp":1785800010}`,
		); e.SenderKey != "626931294" || e.ID != text.ID {
			t.Errorf("sender_id %s is read as %q", id, e.SenderKey)
		}
	}
	if e := decode(
		t, `{"sender_id":9007199254740993,"event":"restart","timestamp":1785800010}`,
	); e.SenderKey != "9007199254740993" {
		t.Errorf("a large sender lost digits: %q", e.SenderKey)
	}
	if e := decode(
		t, `{"sender_id":-1001234567890,"event":"restart","timestamp":1785800010}`,
	); e.SenderKey != "-1001234567890" {
		t.Errorf("a group of Telegram is read as %q", e.SenderKey)
	}
}

// TestTextTimes holds that times written as text are read where files are imported, and nowhere else.
func TestTextTimes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"1785800010.25": 1785800010.25, "2026-08-03T23:33:30.25Z": 1785800010.25, "2026-08-04T01:33:30.250000+02:00": 1785800010.25,
		"2026-08-03 23:33:30.25": 1785800010.25, "2026-08-03 23:33:30.25+00": 1785800010.25, "2026-08-03T23:33:30": 1785800010,
		"2026-08-03 23:33:30 UTC": 1785800010, "yesterday": 0, "": 0, "NaN": 0, "Infinity": 0,
	} {
		body := `{"sender_id":"s","event":"restart","timestamp":"` + text + `"}`
		e, rej := NewDecoder().Decode(body, wire.Intake{Assistant: "default", TextTimes: true}, now)
		switch {
		case want == 0 && (rej == nil || rej.Code != wire.CodeTimestamp):
			t.Errorf("%q: %v, want a reject", text, rej)
		case want != 0 && (rej != nil || e.Time != want):
			t.Errorf("%q: %+v, %v; want %f", text, e, rej, want)
		}
		if _, rej := NewDecoder().Decode(body, wire.Intake{Assistant: "default"}, now); rej == nil {
			t.Errorf("%q is read from a broker too", text)
		}
	}
}

func TestLongNames(t *testing.T) {
	t.Parallel()
	a := decode(t, `{"sender_id":"s","event":"slot","timestamp":1785900330,"name":"`+strings.Repeat("ä", 3000)+`"}`)
	b := decode(t, `{"sender_id":"s","event":"slot","timestamp":1785900330,"name":"`+strings.Repeat("ä", 3001)+`"}`)
	if len(a.Name) > maxIdent || a.Name == b.Name || strings.ContainsRune(a.Name, '\ufffd') {
		t.Errorf("long names are cut to %q and %q", a.Name, b.Name)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(user(`,"text":"\u0000\ud83d","parse_data":{"intent":{"name":NaN}}`))
	f.Add(`{"sender_id":"s","event":"bot","timestamp":1e9,"data":{"a":[1,{"b":-0.0e-1}]}}`)
	f.Fuzz(func(t *testing.T, body string) {
		e, rej := NewDecoder().Decode(body, wire.Intake{Assistant: "default"}, now)
		if (e == nil) == (rej == nil) {
			t.Fatal("neither an event nor a reject, or both")
		}
		if e == nil {
			return
		}
		again, rej := NewDecoder().Decode(e.Body, wire.Intake{Assistant: "default"}, now)
		if rej != nil || again.ID != e.ID || again.Text != e.Text || len(again.Original) > 0 {
			t.Fatalf("the stored body decodes otherwise: %v", rej)
		}
	})
}

// FuzzGlance holds that a first look at anything ends, and that it agrees with the decoder about whose an event is
// wherever both read it.
func FuzzGlance(f *testing.F) {
	f.Add(`{"sender_id":"s","timestamp":1785900330.5,"metadata":{"assistant_id":"bot \"x\""},"event":"user"}`)
	f.Add(`{"sender_id":"s\\","timestamp":1785900330.5,"metadata":{"assistant_id":"\u"},"event":"user"}`)
	f.Add(`{"event":"bot","sender_id":"s","timestamp":1785900330,"metadata":{"assistant_id":"b"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		d := NewDecoder()
		in := wire.Intake{Assistant: "default"}
		g, ok := d.Glance(body, in)
		e, rej := d.Decode(body, in, time.Unix(1785900331, 0))
		if ok && rej == nil && g.BodyHash != e.BodyHash {
			t.Fatalf("%q: another hash", body)
		}
	})
}

// TestLooksLike holds that the commonest ways of sending something else are told apart, for who must mend them.
func TestLooksLike(t *testing.T) {
	t.Parallel()
	event := `{"sender_id":"s","event":"user","timestamp":1785800000.5,"text":"hello"}`
	wide := func(s string) (out string) {
		for _, c := range s {
			out += string(byte(c)) + "\x00"
		}
		return out
	}
	twice, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		string(twice): "encoded twice", "\xff\xfe" +
			wide(event): "UTF-16", wide(event): "UTF-16", "\x00\x00\x00\x00\x07\x10abc": "schema registry", "\x1f\x8b\x08": "compressed", "": "nothing in it", "true": "not a JSON object",
	} {
		if _, rej := NewDecoder().Decode(
			body, wire.Intake{Assistant: "a"}, time.Unix(1785900000, 0),
		); rej == nil || !strings.Contains(rej.Detail, want) {
			t.Errorf("%.20q: %v, want %q", body, rej, want)
		}
	}
	e, rej := NewDecoder().Decode("\ufeff"+event, wire.Intake{Assistant: "a"}, time.Unix(1785900000, 0))
	if rej != nil || e.Body != event || string(e.Original) != "\ufeff"+event {
		t.Errorf("behind a mark of the order of bytes: %+v, %v", e, rej)
	}
}
