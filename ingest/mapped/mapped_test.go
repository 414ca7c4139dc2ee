package mapped_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"turnwise/conversation"
	"turnwise/ingest/mapped"
	"turnwise/ingest/neutral"
	"turnwise/ingest/wire"
)

func TestMain(m *testing.M) {
	mapped.WorkIfAsked()
	os.Exit(m.Run())
}

// TestShipped: each mapping that comes with Turnwise passes its own tests, and what these expect are neutral events that
// fit.
func TestShipped(t *testing.T) {
	t.Parallel()
	for _, name := range mapped.Shipped() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, _ := mapped.ShippedText(name)
			f, err := mapped.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if f.Name != name || f.Description == "" || len(f.Tests) == 0 {
				t.Errorf("%q, %q, %d tests", f.Name, f.Description, len(f.Tests))
			}
			r := mapped.NewRunner(f, "")
			t.Cleanup(r.Close)
			if err := f.RunTests(r); err != nil {
				t.Fatal(err)
			}
			r = mapped.NewRunner(f, "2026-11-20T00:00:00Z") // chats tell no times
			t.Cleanup(r.Close)
			d := neutral.NewDecoder()
			for _, test := range f.Tests {
				events, rej := one(r, jsonOf(t, test.Input))
				if rej != nil {
					t.Fatal(rej)
				}
				for _, body := range events {
					e, rej := d.Decode(body, wire.Intake{Assistant: "default"}, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
					if rej != nil || e.Flags&conversation.FlagMisfit != 0 {
						t.Errorf("%s: %s: %v", test.Name, body, rej)
					}
				}
			}
		})
	}
}

func runner(t *testing.T, program string) *mapped.Runner {
	t.Helper()
	f, err := mapped.Parse([]byte("name: x\nprogram: |\n  " + strings.ReplaceAll(program, "\n", "\n  ") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := mapped.NewRunner(f, "")
	t.Cleanup(r.Close)
	return r
}

// one maps a body alone.
func one(r *mapped.Runner, body string) (events []string, rej *wire.Reject) {
	m := r.Map(body)[0]
	return m.Events, m.Reject
}

// TestMany: bodies that are mapped at once give what each gives alone, in order, also where some of them end the process or
// are refused, however many and large they are.
func TestMany(t *testing.T) {
	t.Parallel()
	r := runner(t, `if .spin then (def f: f; f) elif .hoard then [range(1000000000)] elif .wrong then error("no") elif .skip then empty
else event("message"; 1795166042; {n: .n, text: .text}) end`)
	var bodies, want []string
	for i := range 900 {
		body, gives := fmt.Sprintf(`{"n":%d,"text":%q}`, i, strings.Repeat("long ", i%50*40)), ""
		switch {
		case i%301 == 150:
			body, gives = `{"hoard":true}`, "the mapping"
		case i%400 == 200:
			body, gives = `{"spin":true}`, "200 ms"
		case i%90 == 7:
			body, gives = `{"wrong":true}`, "no"
		case i%90 == 8:
			body, gives = `{"skip":true}`, "nothing"
		case i%90 == 9:
			body, gives = `{`, "not JSON"
		case i == 500:
			body, gives = `"`+strings.Repeat("x", mapped.MaxInput)+`"`, "1 MiB"
		}
		bodies, want = append(bodies, body), append(want, gives)
	}
	made := r.Map(bodies...)
	for i, m := range made {
		switch {
		case want[i] == "nothing":
			if m.Reject != nil || len(m.Events) != 0 {
				t.Errorf("%d: %v", i, m)
			}
		case want[i] != "":
			if m.Reject == nil || !strings.Contains(m.Reject.Detail, want[i]) {
				t.Errorf("%d is to say %q: %v", i, want[i], m.Reject)
			}
		case m.Reject != nil || len(m.Events) != 1 || !strings.Contains(m.Events[0], fmt.Sprintf(`"n":%d,`, i)):
			t.Errorf("%d: %v", i, m)
		}
	}
	if len(made) != len(bodies) || len(r.Map()) != 0 {
		t.Errorf("%d answers to %d bodies", len(made), len(bodies))
	}
}

// TestSecond: a time is cut to whole seconds; what is none stays.
func TestSecond(t *testing.T) {
	t.Parallel()
	r := runner(t, `event("message"; 1; {s: [.[] | second]})`)
	events, rej := one(r, `["2026-11-20T09:14:02.250Z","2026-11-20T09:14:02Z","2026-11-20T09:14:02.5+01:00",1795166042.9,1795166042,"x",null,true]`)
	want := `"s":["2026-11-20T09:14:02.000Z","2026-11-20T09:14:02.000Z","2026-11-20T09:14:02.5+01:00",1795166042,1795166042,"x",null,true]`
	if rej != nil || len(events) != 1 || !strings.Contains(events[0], want) {
		t.Errorf("%s %v", events, rej)
	}
}

// TestLargest: a body of nearly 1 MiB that gives 5,000 events is mapped.
func TestLargest(t *testing.T) {
	t.Parallel()
	r := runner(t, `.[] | event("message"; 1795166042; {n: .n, text: .text})`)
	var b strings.Builder
	for i := range mapped.MaxEvents {
		fmt.Fprintf(&b, `,{"n":%d,"text":%q}`, i, strings.Repeat("x", 160))
	}
	m := r.Map("[" + b.String()[1:] + "]")[0]
	if m.Reject != nil || len(m.Events) != mapped.MaxEvents || b.Len() < 900_000 {
		t.Errorf("%d events of %d bytes, %v", len(m.Events), b.Len(), m.Reject)
	}
}

// TestHostile: what a program does beyond its bounds is a reason to set the body aside; the next body is mapped as ever,
// and nothing of it is in our memory.
func TestHostile(t *testing.T) {
	t.Parallel()
	for name, program := range map[string]string{
		"a text that doubles":         `reduce range(60) as $i ("x"; . + .) | event("message"; 1; {text: .})`,
		"a text a million times":      `("x" * 500000000) | event("message"; 1; {text: length})`,
		"a list without end":          `[range(1000000000000)] | event("message"; 1; {n: length})`,
		"lists within lists":          `[range(100000)] | map([range(100000)]) | event("message"; 1; {n: length})`,
		"a far place in a list":       `[] | .[400000000] = 1 | event("message"; 1; {n: length})`,
		"what grows as it is written": `reduce range(100) as $i (1; [., .]) | event("message"; 1; {n: .})`,
		"the same as a text":          `reduce range(100) as $i (1; [., .]) | tojson | event("message"; 1; {n: .})`,
		"recursion":                   `def f: f; f`,
		"recursion that holds":        `def f: [f, f]; f`,
		"repeating":                   `[repeat("x")] | event("message"; 1; {n: length})`,
		"joined":                      `("x" * 1000000) as $s | [range(2000) | $s] | join("") | event("message"; 1; {n: length})`,
		"added":                       `("x" * 1000000) as $s | [range(2000) | $s] | add | event("message"; 1; {n: length})`,
		"a number without end":        `reduce range(100000) as $i (2; . * . ) | event("message"; 1; {n: .})`,
		"too many events":             `range(6000) | event("message"; 1; {n: .})`,
		"what is no event":            `1, "x"`,
		"an error":                    `error("no")`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runner(t, `if .good then event("message"; 1795166042; {ok: true}) else `+program+` end`)
			for range 2 {
				if events, rej := one(r, `{}`); rej == nil {
					for i := range events {
						events[i] = events[i][:min(80, len(events[i]))]
					}
					t.Fatalf("%d events: %.200s", len(events), events)
				} else if rej.Code != wire.CodeMapping || rej.Detail == "" {
					t.Error(rej)
				}
				events, rej := one(r, `{"good":true}`)
				if rej != nil || len(events) != 1 || events[0] != `{"data":{"ok":true},"time":"2026-11-20T09:14:02.000Z","type":"message"}` {
					t.Errorf("the next body: %s, %v", events, rej)
				}
			}
		})
	}
}

// TestRefused: what would give other events on another day or server, or asks for anything beside the body, is refused.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, program := range []string{`input`, `inputs`, `import "x" as x; x::f`, `include "x"; .`, `$ENV.PATH | f`, `.a |`, `unknown(1)`, `input_filename | f`} {
		if _, err := mapped.Parse([]byte("name: x\nprogram: '" + program + "'\n")); err == nil {
			t.Errorf("%s is taken", program)
		}
	}
	for _, program := range []string{`now`, `localtime`, `0 | strflocaltime("%H")`} {
		if _, rej := one(runner(t, `event("message"; 1; {x: (`+program+`)})`), `0`); rej == nil {
			t.Errorf("%s gives something", program)
		}
	}
	events, rej := one(runner(t, `event("message"; 1; {x: ($ENV | length), y: (env | length)})`), `0`)
	if rej != nil || len(events) != 1 || !strings.Contains(events[0], `"x":0`) {
		t.Errorf("the environment of the server is seen: %s %v", events, rej)
	}
	for _, text := range []string{
		"name: X\nprogram: .", "program: .", "name: x", "name: x\nprogram: .\nunknown: 1", "name: x\nprogram: .\nsessions: {by: luck}",
		"name: x\nprogram: .\nverify: {hmac: {}}", "name: x\nprogram: .\nverify: {hmac: {header: X, algorithm: md5}}", "{", "",
	} {
		if _, err := mapped.Parse([]byte(text)); err == nil {
			t.Errorf("%q is taken for a mapping", text)
		}
	}
}

// TestInput: bodies that are no JSON, or too large, and times that are told or not.
func TestInput(t *testing.T) {
	t.Parallel()
	r := runner(t, `(if .text then .text | fromjson end) | event("message"; .at; {n: .n})`)
	for body, code := range map[string]string{
		`{`: wire.CodeJSON, `{"a":1} x`: wire.CodeJSON, ``: wire.CodeJSON, `"` + strings.Repeat("x", mapped.MaxInput) + `"`: wire.CodeSize, `[]`: wire.CodeMapping,
	} {
		if _, rej := one(r, body); rej == nil || rej.Code != code {
			t.Errorf("%.20s: %v", body, rej)
		}
	}
	for body, want := range map[string]string{
		`{"at":1795166042.25,"n":1}`:                                  `{"data":{"n":1},"time":"2026-11-20T09:14:02.250Z","type":"message"}`,
		`{"at":"2026-11-20T09:14:02+01:00","n":12345678901234567890}`: `{"data":{"n":12345678901234567890},"time":"2026-11-20T09:14:02+01:00","type":"message"}`,
		`{"at":-0.0004,"n":null}`:                                     `{"data":{},"time":"1970-01-01T00:00:00.000Z","type":"message"}`,
		`{"at":1795166042.9996}`:                                      `{"data":{},"time":"2026-11-20T09:14:03.000Z","type":"message"}`,
		`{"at":253402300800,"n":[null]}`:                              `{"data":{"n":[null]},"time":253402300800,"type":"message"}`,
		`{"text":"{\"at\":1795166042.5,\"n\":7.0}"}`:                  `{"data":{"n":7.0},"time":"2026-11-20T09:14:02.500Z","type":"message"}`,
	} {
		if events, rej := one(r, body); rej != nil || len(events) != 1 || events[0] != want {
			t.Errorf("%s gives %s %v", body, events, rej)
		}
	}
}
