package marker_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"turnwise/marker"
)

// TestRasa: markers are found where Rasa 3.6 finds them, at the same events and behind as many messages. The file holds
// random markers and events, and what Rasa's own code says of them; none is never as a whole, which Rasa tells
// otherwise.
func TestRasa(t *testing.T) {
	b, err := os.ReadFile("testdata/rasa.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Config json.RawMessage
		Events []struct {
			Event, Name, Intent, Retrieval string
			Value                          any
		}
		Found [][2]int
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		m, err := marker.Compile(string(c.Config))
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		found, turns := [][2]int{}, 0
		state := m.Start()
		for j, e := range c.Events {
			x := marker.Event{Message: e.Event == "user", Intent: e.Intent, Retrieval: e.Retrieval}
			switch e.Event {
			case "action":
				x.Action = e.Name
			case "slot":
				x.Slot, x.Null = e.Name, e.Value == nil
			}
			if m.Reported(state, &x) {
				found = append(found, [2]int{j, turns})
			}
			if x.Message {
				turns++
			}
		}
		if !slices.Equal(found, c.Found) {
			t.Errorf("%d: %s found at %v, by Rasa at %v", i, c.Config, found, c.Found)
		}
	}
	if len(cases) < 100 {
		t.Errorf("only %d cases", len(cases))
	}
}

func TestNever(t *testing.T) {
	m, err := marker.Compile(`{"never":[{"intent":"complain"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	state := m.Start()
	for i, e := range []marker.Event{
		{Message: true, Intent: "greet"}, {Action: "complain"}, {Message: true, Intent: "complain"}, {Message: true, Intent: "greet"},
	} {
		if m.Reported(state, &e) {
			t.Errorf("event %d: it is reported before the conversation ends", i)
		}
		if want := i < 2; m.Spared(state) != want {
			t.Errorf("event %d: spared %v", i, !want)
		}
	}
}

func TestParse(t *testing.T) {
	all, err := marker.Parse([]byte(`
gave_up:
  description: left without booking
  and:
    - slot_was_set: party_size
    - not:
        - slot_was_set: party_date
    - intent: goodbye
booked:
  seq:
    - intent: book_table
    - or: [{action: action_book}, {action: action_reserve}]
"quoted name": {action: action_listen}
`))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range all {
		lines = append(lines, fmt.Sprintf("%s|%s|%s", d.Name, d.Description, d.Config))
		if _, err := marker.Compile(d.Config); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
	want := []string{
		`booked||{"seq":[{"intent":"book_table"},{"or":[{"action":"action_book"},{"action":"action_reserve"}]}]}`,
		`gave_up|left without booking|{"and":[{"slot_was_set":"party_size"},{"not":[{"slot_was_set":"party_date"}]},{"intent":"goodbye"}]}`,
		`quoted name||{"action":"action_listen"}`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if all, err := marker.Parse(nil); err != nil || len(all) != 0 {
		t.Errorf("an empty file: %v, %v", all, err)
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat(`{not: [`, 25) + `{intent: a}` + strings.Repeat(`]}`, 25)
	for name, c := range map[string]struct{ file, why string }{
		"a list":              {"- a\n- b", "no map of markers"},
		"no YAML":             {"a: [", "no map of markers"},
		"twice":               {"a: {intent: x}\na: {intent: y}", "a"},
		"an operator's name":  {"and: [{intent: x}]", `"and" is an operator`},
		"a condition's name":  {"not_intent: x", `"not_intent" is an operator`},
		"a number as name":    {"4: {intent: x}", "no name"},
		"nothing":             {"a:", "needs one"},
		"a text":              {"a: intent", "needs one"},
		"two":                 {"a: {intent: x, action: y}", "2 operators"},
		"none but words":      {"a: {description: x}", "0 operators"},
		"a long description":  {"a: {intent: x, description: 4}", "description"},
		"unknown":             {"a: {any: [{intent: x}]}", `"any" is no operator`},
		"unknown within":      {"a: {or: [{intent: x}, {b: y}]}", `"b" is no operator`},
		"no list":             {"a: {or: {intent: x}}", "or needs a list"},
		"an empty list":       {"a: {seq: []}", "seq needs a list"},
		"two for not":         {"a: {not: [{intent: x}, {intent: y}]}", "not takes one"},
		"two for never":       {"a: {never: [{intent: x}, {intent: y}]}", "never takes one"},
		"a name that is none": {"a: {intent: [x]}", "intent needs a name"},
		"an empty name":       {"a: {intent: ''}", "intent needs a name"},
		"a text in a list":    {"a: {or: [x]}", "each of or"},
		"deep":                {"a: " + deep, "deep"},
		"two documents":       {"a: {intent: x}\n---\nb: {intent: y}", "2 documents"},
		"NUL in a name":       {`"a\0": {intent: x}`, "no name"},
		"NUL in an intent":    {`a: {intent: "x\0"}`, "intent needs a name"},
		"NUL in words":        {`a: {intent: x, description: "\0"}`, "description"},
		"large":               {strings.Repeat("#", marker.LongestFile+1), "larger"},
	} {
		all, err := marker.Parse([]byte(c.file))
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, %v; it should say %q", name, all, err, c.why)
		}
	}
	var many strings.Builder
	for i := range marker.MostMarkers + 1 {
		fmt.Fprintf(&many, "m%d: {intent: x}\n", i)
	}
	if _, err := marker.Parse([]byte(many.String())); err == nil {
		t.Error("more markers than there may be")
	}
	var wide strings.Builder
	for i := range 3 {
		fmt.Fprintf(&wide, "m%d: {or: [%s]}\n", i, strings.Repeat("{intent: x}, ", marker.MostParts/3))
	}
	all, err := marker.Parse([]byte(wide.String()))
	if err == nil {
		t.Error("more operators and conditions than there may be in a file")
	}
	for i := range 3 {
		more, err := marker.Parse([]byte(fmt.Sprintf("m%d: {or: [%s]}\n", i, strings.Repeat("{intent: x}, ", marker.MostParts/3))))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, more...)
	}
	if marker.Check(all) == nil {
		t.Error("more operators and conditions than there may be in several files")
	}
}
