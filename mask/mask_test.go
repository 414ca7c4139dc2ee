package mask

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	m, err := New(Rules{
		Email: true, Phone: true, IBAN: true, Card: true, IP: true, Patterns: []Pattern{{"customer", `\bK-\d{6}\b`}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ in, want string }{
		{"write to max.mustermann+shop@mail.example.co.uk, please", "write to [email], please"},
		{"jürgen@exämple.de и иван@почта.рф", "[email] и [email]"},
		{"<a@b.de>;c@d.org.", "<[email]>;[email]."},
		{"max＠example.org", "[email]"},
		{"a @ b, me@home, @ann, 5@7.5", "a @ b, me@home, @ann, 5@7.5"},
		{"DE89 3704 0044 0532 0130 00 is mine", "[iban] is mine"},
		{"iban:de89370400440532013000", "iban:[iban]"},
		{"GB29NWBK60161331926819/NO93 8601 1117 947", "[iban]/[iban]"},
		{"DE88370400440532013000", "DE88370400440532013000"},
		{"card 4111 1111 1111 1111 until 12/27", "card [card] until 12/27"},
		{"3782-822463-10005, 5555555555554444", "[card], [card]"},
		{"４１１１１１１１１１１１１１１１", "[card]"},
		{"٤١١١ ١١١١ ١١١١ ١١١١", "[card]"},
		{"4111 1111 1111 1112", "4111 1111 1111 1112"},
		{"order 1732252800123, 1700000000000000", "order 1732252800123, 1700000000000000"},
		{"from 192.168.0.1 and 2001:db8::ff00:42:8329.", "from [ip] and [ip]."},
		{
			"version 1.2.3, 300.1.1.1, 1.2.3.4.5, 12:30:45, std::cout",
			"version 1.2.3, 300.1.1.1, 1.2.3.4.5, 12:30:45, std::cout",
		},
		{"call +49 30 1234567 or 0151/23456789", "call [phone] or [phone]"},
		{"(030) 123 45 67, 0049 30 1234567, (555) 123-4567, 555-123-4567", "[phone], [phone], [phone], [phone]"},
		{"+4915123456789.", "[phone]."},
		{
			"on 01.02.2026 at 09:15, 2026-11-22, 0.12345678, 5 × 12345",
			"on 01.02.2026 at 09:15, 2026-11-22, 0.12345678, 5 × 12345",
		},
		{"id 0190163d-8694-739b-aea5-966c26f8ad90", "id 0190163d-8694-739b-aea5-966c26f8ad90"},
		{"K-123456 and K-1234567", "[customer] and K-1234567"},
		{"+49 30 901820777 11am, 0151 23456789 x2", "[phone] 11am, [phone] x2"},
		{"12 4111 1111 1111 1111 4 times", "12 [card] 4 times"},
		{"4111111111111111x, x4111111111111111", "4111111111111111x, x4111111111111111"},
		{"0151 23456789 0151 23456789", "[phone] [phone]"},
		{"confidence 0.4532015112830366, 12,4111111111111111", "confidence 0.4532015112830366, 12,4111111111111111"},
		{"06.12.34.56.78 und 06-12-34-56-78, am 06.12.34", "[phone] und [phone], am 06.12.34"},
		{"RE2024 DE89370400440532013000", "RE2024 [iban]"},
		{"xy12 DE89 3704 0044 0532 0130 00, DE 89 3704 0044 0532 0130 00", "xy12 [iban], [iban]"},
		{
			"Tel.0151 23456789, (030) / 1234567, 0151 – 23456789, + 49 151 23456789",
			"Tel.[phone], [phone], [phone], [phone]",
		},
		{"０１５１ ２３４５６７８９", "[phone]"},
		{"10.0.0.1-10.0.0.5, IP:2001:db8::1", "[ip]-[ip], IP:[ip]"},
		{"max%40example.org, jose\u0301@example.org", "[email], [email]"},
		{"4111  1111  1111\n1111", "[card]"},
		{"", ""},
	} {
		got, n := m.Text(x.in)
		if got != x.want {
			t.Errorf("%q became %q, want %q", x.in, got, x.want)
		}
		if n != Count(got)-Count(x.in) {
			t.Errorf("%q: %d finds, but %q", x.in, n, got)
		}
		if again, n := m.Text(got); again != got || n != 0 {
			t.Errorf("%q masked again became %q", got, again)
		}
	}
	for in, want := range map[string]string{
		`"hi" a@b.de`: `"hi" [email]`, `{} a@b.de`: `{} [email]`, `[email] call 0151 23456789 max@example.org`: `[email] call [phone] [email]`,
		`{"m":"max.mustermann@exa…`: `…`, `{"max@example.org":1,"x":["0151 23456789"]}`: `{"[email]":1,"x":["[phone]"]}`, `write to max.muster@exam…`: `write to …`, `call 0151 234…`: `call [phone]…`, `call 0151 23…`: `call …`,
	} {
		if got := m.Shown(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
	if got, n := (*Masker)(nil).Text("a@b.de"); got != "a@b.de" || n != 0 {
		t.Errorf("no masker changed a text: %q", got)
	}
	if none, _ := New(Rules{}); none.Shown("a@b.de 4111 1111 1111 1111") != "a@b.de 4111 1111 1111 1111" {
		t.Error("a masker without rules masked")
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Rules{
		"everything": {
			Patterns: []Pattern{{"all", `.*`}},
		}, "broken": {Patterns: []Pattern{{"x", `(`}}}, "no name": {Patterns: []Pattern{{"", `a`}}},
		"bracket": {Patterns: []Pattern{{"a]b", `a`}}}, "long": {
			Patterns: []Pattern{{"a", strings.Repeat("a", LongestExpr+1)}},
		}, "itself": {
			Patterns: []Pattern{{"customer", `(?i)customer`}},
		}, "another": {Patterns: []Pattern{{"a", `b`}, {"b", `x`}}}, "many": {Slots: make([]string, MostSlots+1)},
	} {
		if _, err := New(r); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	m, err := New(Rules{Email: true, Card: true, Phone: true, Slots: []string{"name", "city", "größe"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ in, want string }{
		{
			`{"event":"bot","text":"to a@b.de","sender_id":"a@b.de","metadata":{"utter_action":"a@b.de","to":"a@b.de"}}`,
			`{"event":"bot","text":"to [email]","sender_id":"a@b.de","metadata":{"utter_action":"a@b.de","to":"[email]"}}`,
		},
		{
			`{"data":{"buttons":[{"title":"a\u0040b.de","payload":"/x{\"m\":\"a@b.de\"}"}]},"x":{"name":"a@b.de"}}`,
			`{"data":{"buttons":[{"title":"[email]","payload":"/x{\"m\":\"[email]\"}"}]},"x":{"name":"[email]"}}`,
		},
		{`{"event":"slot","name":"n","value":4111111111111111}`, `{"event":"slot","name":"n","value":"[card]"}`},
		{
			`{"event":"slot","name":"n","value":1732252800.123, "timestamp":1732252800.123456}`,
			`{"event":"slot","name":"n","value":1732252800.123, "timestamp":1732252800.123456}`,
		},
		{
			`{"event":"slot","name":"name","timestamp":1.5,"value":"Ann"}`,
			`{"event":"slot","name":"name","timestamp":1.5,"value":"[name]"}`,
		},
		{`{"event":"slot","name":"name","value":null}`, `{"event":"slot","name":"name","value":null}`},
		{`{"event":"slot","name":"other","value":"name"}`, `{"event":"slot","name":"other","value":"name"}`},
		{
			`{"event":"user","text":"Я Ann из Köln","parse_data":{"text":"Я Ann из Köln","entities":[{"entity":"name","start":2,"end":5,"value":"Ann"},{"entity":"city","start":9,"end":13,"value":"Köln"}],"commands":[{"command":"set slot","name":"name","value":"Ann"}]}}`,
			`{"event":"user","parse_data":{"commands":[{"command":"set slot","name":"name","value":"[name]"}],"entities":[{"end":5,"entity":"name","start":2,"value":"[name]"},{"end":13,"entity":"city","start":9,"value":"[city]"}],"text":"Я [name] из [city]"},"text":"Я [name] из [city]"}`,
		},
		{
			`{"event":"user","text":"a.b@c.de Ann Miller","parse_data":{"entities":[{"entity":"name","start":9,"end":12,"value":"Ann"},{"entity":"name","start":9,"end":19,"value":"Ann Miller"}]}}`,
			`{"event":"user","parse_data":{"entities":[{"end":12,"entity":"name","start":9,"value":"[name]"},{"end":19,"entity":"name","start":9,"value":"[name]"}]},"text":"[email] [name]"}`,
		},
		{
			`{"event":"user","text":"[email] Ann Miller","parse_data":{"entities":[{"entity":"name","start":9,"end":19,"value":"Ann Miller"}]}}`,
			`{"event":"user","parse_data":{"entities":[{"end":19,"entity":"name","start":9,"value":"[name]"}]},"text":"[email] [name]"}`,
		},
		{ // three that overlap, and the text goes on
			`{"event":"user","text":"I am Anna Wolkenstein and more","parse_data":{"entities":[{"entity":"name","start":5,"end":9,"value":"Anna"},{"entity":"name","start":10,"end":21,"value":"Wolkenstein"},{"entity":"name","start":5,"end":21,"value":"Anna Wolkenstein"}]}}`,
			`{"event":"user","parse_data":{"entities":[{"end":9,"entity":"name","start":5,"value":"[name]"},{"end":21,"entity":"name","start":10,"value":"[name]"},{"end":21,"entity":"name","start":5,"value":"[name]"}]},"text":"I am [name] and more"}`,
		},
		{ // only its place is told
			`{"event":"user","text":"I am Anna","parse_data":{"entities":[{"entity":"name","start":5,"end":9}]}}`,
			`{"event":"user","parse_data":{"entities":[{"end":9,"entity":"name","start":5,"value":"[name]"}]},"text":"I am [name]"}`,
		},
		{
			`{"event":"user","text":"no","parse_data":{"commands":[{"command":"correct slots","corrected_slots":[{"name":"name","value":"Ann"},{"name":"age","value":3}]}]}}`,
			`{"event":"user","parse_data":{"commands":[{"command":"correct slots","corrected_slots":[{"name":"name","value":"[name]"},{"name":"age","value":3}]}]},"text":"no"}`,
		},
		{
			`{"event":"stack","update":"[{\"op\":\"add\",\"path\":\"/0\",\"value\":{\"corrected_slots\":{\"name\":\"Ann\"},\"flow_id\":\"name\",\"said\":\"a@b.de\",\"type\":\"pattern\"}},{\"op\":\"replace\",\"path\":\"/0/step_id\",\"value\":\"0151 23456789\"}]"}`,
			`{"event":"stack","update":"[{\"op\":\"add\",\"path\":\"/0\",\"value\":{\"corrected_slots\":{\"name\":\"[name]\"},\"flow_id\":\"name\",\"said\":\"[email]\",\"type\":\"pattern\"}},{\"op\":\"replace\",\"path\":\"/0/step_id\",\"value\":\"0151 23456789\"}]"}`,
		},
		{
			`{"event":"slot","name":"session_started_metadata","value":{"name":"Ann","of":{"city":"Rom"}}}`,
			`{"event":"slot","name":"session_started_metadata","value":{"name":"[name]","of":{"city":"[city]"}}}`,
		},
		{
			`{"event":"slot","name":"gr\u00f6\u00dfe","value":"180"}`,
			`{"event":"slot","name":"größe","value":"[größe]"}`,
		},
		{
			`{"event":"action","name":"a","confidence":0.4532015112830366,"metadata":{"n":4111111111111111}}`,
			`{"event":"action","name":"a","confidence":0.4532015112830366,"metadata":{"n":"[card]"}}`,
		},
	} {
		got, n := m.Event(x.in)
		if got != x.want {
			t.Errorf("%s\nbecame %s\nwant   %s", x.in, got, x.want)
		}
		if n == 0 != (x.in == x.want) {
			t.Errorf("%s: %d finds", x.in, n)
		}
		if again, n := m.Event(got); n != 0 || again != got {
			t.Errorf("%s masked again became %s", got, again)
		}
	}
	if got := m.Slot("city", `"Köln"`); got != `"[city]"` {
		t.Errorf("slot city: %s", got)
	}
	if got := m.Slot("mail", `"a@b.de"`); got != `"[email]"` {
		t.Errorf("slot mail: %s", got)
	}
	if got, n := m.Rejected(
		[]byte(`{"event":"slot","name":"city","timestamp":1,"value":"Sankt P`),
	); n != 1 || string(got) != `{"event":"slot","name":"city","timestamp":1,"value":"[city]"` {
		t.Errorf("broken slot: %s", got)
	}
	if got := m.Parts(
		`{"command":"correct slots","corrected_slots":[{"name":"city","value":"Rom"}],"mail":"a@b.de"}`,
	); got != `{"command":"correct slots","corrected_slots":[{"name":"city","value":"[city]"}],"mail":"[email]"}` {
		t.Errorf("command: %s", got)
	}
	own, err := New(Rules{Patterns: []Pattern{{Name: "customer", Expr: `\b\d{6,10}\b`}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := own.Event(
		`{"event":"slot","name":"customer","timestamp":1234567890,"value":1234567890}`,
	); got != `{"event":"slot","name":"customer","timestamp":1234567890,"value":"[customer]"}` {
		t.Errorf("a number that a pattern finds: %s", got)
	}
	if got, n := m.Rejected([]byte("{\"text\":\"a@b.de\xff")); n != 1 || strings.Contains(string(got), "a@b") {
		t.Errorf("broken body: %q", got)
	}
}

// TestLarge masks what somebody may send to keep the server busy: with work that grows with the square of the length it
// would not end in the time that tests have.
func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	r := All()
	r.Slots = []string{"name"}
	m, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(part string, size int) string { return strings.Repeat(part, size/len(part)) }
	for _, part := range []string{"0012345678;", "zz00aaaaaaaaaaaaa", "DE00 aaaaaaaaaaa ", "(((((1"} {
		m.Text(fill(part, 1<<20))
	}
	for _, part := range []string{
		"ab", "1 001234567 ", "a.b@c.", "%40a.b", "+(", "4111 1111 ", "0", "1.2.3.4.", "1:2:3:4:5:6:7:8:", "00 ",
		"555-555-5555", "01/01/2020 ", "\u0660\u0661", "1…", "9 9 9 ",
	} {
		body, err := json.Marshal(map[string]any{
			"event": "user", "text": fill(part, 1<<17),
			"parse_data": map[string]any{"entities": []any{map[string]any{"entity": "name", "value": "ab"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		m.Event(string(body))
	}
	var all []any
	for i := range 5000 {
		all = append(all, map[string]any{"entity": "name", "value": strconv.Itoa(i)})
	}
	body, err := json.Marshal(map[string]any{"event": "user", "text": fill("1234567890 ", 1<<20), "entities": all})
	if err != nil {
		t.Fatal(err)
	}
	if out, n := m.Event(string(body)); n == 0 || strings.Contains(out, "1234567890") {
		t.Errorf("%d found: %.200s", n, out)
	}
}

// TestNamesStay: what the decoder reads as an id or a name is the same in a masked event, whatever the rules.
func TestNamesStay(t *testing.T) {
	t.Parallel()
	r := All()
	r.Patterns = []Pattern{{Name: "any", Expr: `K-\d{6}`}}
	r.Slots = []string{"name", "type", "flow_id", "session_id", "path"}
	m, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"event":"stack","sender_id":"+4915112345678","user_id":"K-123456","input_channel":"K-123456","metadata":{"session_id":"01234567-abcd-4abc-8def-aaaaaaaaaaaa","active_flow":"K-123456","step_id":"K-123456","_reason":"K-123456","utter_action":"K-123456"},` +
		`"parse_data":{"intent":{"name":"K-123456","full_retrieval_intent_name":"K-123456/x"},"response_selector":{"default":{"response":{"intent_response_key":"K-123456/y"}}},"commands":[{"command":"start flow","flow":"K-123456"}]},` +
		`"update":"[{\"op\":\"replace\",\"path\":\"/0/step_id\",\"value\":\"K-123456\"},{\"op\":\"add\",\"path\":\"/1\",\"value\":{\"flow_id\":\"K-123456\",\"frame_id\":\"01234567-abcd\",\"type\":\"flow\"}}]"}`
	if out, n := m.Event(body); n != 0 {
		t.Errorf("%d found: %s", n, out)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(
		`{"event":"user","text":"a@b.de 4111 1111 1111 1111","parse_data":{"entities":[{"entity":"name","start":1,"end":3,"value":"x"}]}}`,
	)
	f.Add(`{"event":"slot","name":"name","value":[1,{"a":"\ud83d\ude00 0151 23456789"}]}`)
	f.Add(
		`{"event":"user","text":"I am Anna Wolkenstein","parse_data":{"entities":[{"entity":"name","start":5,"end":9},{"entity":"name","start":10,"end":21},{"entity":"name","start":5,"end":21}]}}`,
	)
	f.Add(
		`{"event":"stack","update":"[{\"op\":\"add\",\"path\":\"/0\",\"value\":{\"corrected_slots\":{\"name\":\"x\"}}}]"}`,
	)
	r := All()
	r.Slots = []string{"name"}
	m, err := New(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, n := m.Event(body)
		if n == 0 && got != body {
			t.Fatalf("%q changed without a find: %q", body, got)
		}
		if json.Valid([]byte(body)) && !json.Valid([]byte(got)) {
			t.Fatalf("%q is no JSON any more: %q", body, got)
		}
		if again, n := m.Event(got); n != 0 && json.Valid([]byte(body)) {
			t.Fatalf("%q masked again: %q, then %q", body, got, again)
		}
	})
}

// TestMeasure holds that patterns which would take long are refused when they are saved, and that those in force come
// to an end.
func TestMeasure(t *testing.T) {
	t.Parallel()
	for expr, fine := range map[string]bool{
		`KD-\d{6}`: true, `(?i)order\s*#?\s*\d{4,12}`: true, `\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b`: true,
		`(\w{1,200}){1,5}x`: false, `(a{1,30}){1,33}b`: false, `[a-z]{1,999}[0-9]{1,999}`: false,
	} {
		if err := Measure(Rules{Patterns: []Pattern{{"p", expr}}}); (err == nil) != fine {
			t.Errorf("%s: %v", expr, err)
		}
	}
	var many []Pattern
	for i := range MostPatterns {
		many = append(many, Pattern{fmt.Sprint("p", i), fmt.Sprintf(`[0-9]{1,300}x%d`, i)})
	}
	if err := Measure(Rules{Patterns: many}); err == nil {
		t.Error("fifty large ones are taken")
	}
	m, err := New(Rules{Patterns: many}) // from before
	if err != nil {
		t.Fatal(err)
	}
	if got, n := m.Text(strings.Repeat("word ", 20000)); got != tooLong || n != 1 {
		t.Errorf("%.40q, %d", got, n)
	}
	if got, n := m.Text("call 77x7 now"); got == tooLong || n == 0 {
		t.Errorf("%q, %d", got, n)
	}
	// Of a body that is no event the beginning is kept, masked, so that somebody sees what it is.
	torn := `{"sender_id":"a","text":"call 77x7 now"` + strings.Repeat(" word", 20000)
	if got, n := m.Rejected([]byte(torn)); n == 0 || len(got) < 40 || len(got) >= len(torn) ||
		strings.Contains(string(got), "77x7") || strings.Contains(string(got), tooLong) {
		t.Errorf("%d bytes, %d finds: %.60q", len(got), n, got)
	}
	quiet := strings.Repeat("word ", 20000)
	if got, n := m.Rejected([]byte(quiet)); n != 0 || len(got) == 0 || !strings.HasPrefix(quiet, string(got)) {
		t.Errorf("%d bytes, %d finds", len(got), n)
	}
}
