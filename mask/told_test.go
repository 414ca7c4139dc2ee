package mask

import (
	"strings"
	"testing"
)

// TestWordsOfSlots holds that of a slot that is masked by name the words of the message are masked too, whoever wrote
// them down and however.
func TestWordsOfSlots(t *testing.T) {
	t.Parallel()
	m, err := New(Rules{Slots: []string{"person", "file_no", "born", "age"}})
	if err != nil {
		t.Fatal(err)
	}
	entity := func(name, from, to, value string) string {
		return `"entities":[{"entity":"` + name + `","start":` + from + `,"end":` + to + `,"value":` + value + `}]`
	}
	for _, tt := range []struct{ text, parsed, want string }{
		{"call me jonny please", entity("person", "8", "13", `"Jonathan Ferrer"`), "call me [person] please"},
		{"my file is 12 34 56-X ok", entity("file_no", "11", "21", `"123456X"`), "my file is [file_no] ok"},
		{"mr. FERRER here", entity("person", "4.0", "10.0", `"ferrer"`), "mr. [person] here"},
		{
			"born 4 May 1980 in Ulm", entity("born", "5.0", "15.0", `{"value":"1980-05-04","grain":"day"}`),
			"born [born] in Ulm",
		},
		{"I am 47", entity("age", "5.0", "7.0", `47.0`), "I am [age]"},
		{"jonny, yes, JONNY", entity("person", "0", "5", `"Jonathan"`), "[person], yes, [person]"},
		{
			"my name is Lena Moos and my file is AB-77",
			`"commands":[{"command":"set slot","name":"person","value":"Lena Moos"},{"command":"set slot","name":"file_no","value":"AB-77"}]`,
			"my name is [person] and my file is [file_no]",
		},
		{
			"it is ab 77, lena  moos",
			`"commands":[{"command":"set slot","name":"person","value":"Lena Moos"},{"command":"set slot","name":"file_no","value":"AB-77"}]`,
			"it is [file_no], [person]",
		},
		{"/SetSlots(person=Lena Moos, age=47)", `"commands":[]`, "/SetSlots(person=[person], age=[age])"},
		{"/SetSlots(city=Ulm, person=Moos, Lena)", `"commands":[]`, "/SetSlots(city=Ulm, person=[person])"},
		{"Lenas hat is old", `"commands":[{"command":"set slot","name":"person","value":"Lena"}]`, "Lenas hat is old"},
		{"我是李小龙", `"commands":[{"command":"set slot","name":"person","value":"李小龙"}]`, "我是[person]"},
	} {
		body := `{"sender_id":"s","event":"user","timestamp":1,"text":"` + tt.text + `","parse_data":{"text":"` +
			tt.text + `",` + tt.parsed + `}}`
		out, _ := m.Event(body)
		if n := strings.Count(out, `"text":"`+tt.want+`"`); n != 2 {
			t.Errorf("%q is masked as %s; want %q twice", tt.text, out, tt.want)
		}
		if again, _ := m.Event(out); again != out {
			t.Errorf("masked twice:\n%s\n%s", out, again)
		}
	}
}
