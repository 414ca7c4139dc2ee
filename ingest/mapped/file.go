// Package mapped turns what platforms send that Turnwise has no code for into neutral events: by a program in jq, which
// a mapping file holds. A program is somebody's code, so it runs in a process of its own, with bounds.
package mapped

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/itchyny/gojq"
)

// File is a mapping file.
type File struct {
	Name        string         `yaml:"name"`
	Version     int            `yaml:"version"` // counted up with each change
	Description string         `yaml:"description"`
	Verify      Verify         `yaml:"verify"`
	Sessions    Sessions       `yaml:"sessions"`
	Defaults    map[string]any `yaml:"defaults"` // members of data that an event does not tell
	Program     string         `yaml:"program"`
	Tests       []Test         `yaml:"tests"`
}

// Verify says how a webhook shows that it comes from the platform: one of these, or by none.
type Verify struct {
	HMAC   *HMAC  `yaml:"hmac"`
	Bearer bool   `yaml:"bearer"`
	Basic  bool   `yaml:"basic"`  // the secret is the password
	Header string `yaml:"header"` // that holds the secret itself
}

// HMAC is a signature of the body.
type HMAC struct {
	Header          string `yaml:"header"`           // that holds the signature, in hexadecimal digits
	Prefix          string `yaml:"prefix"`           // before it, such as sha256=
	Algorithm       string `yaml:"algorithm"`        // sha256 or sha1
	TimestampHeader string `yaml:"timestamp_header"` // that holds the time; "" for none
	Payload         string `yaml:"payload"`          // what is signed: {body} and {ts} in their places
}

// Sessions are what begins a conversation, for assistants that are new.
type Sessions struct {
	By      string `yaml:"by"` // as_told, idle, status
	Minutes int    `yaml:"minutes"`
}

// Test is an input and the events that it gives.
type Test struct {
	Name   string `yaml:"name"`
	Input  any    `yaml:"input"`
	Expect []any  `yaml:"expect"`
}

// Bounds of mapping files.
const (
	mostProgram = 64 << 10
	mostFile    = 1 << 20
	mostTests   = 200
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Parse reads a mapping file, and says what is wrong with it.
func Parse(text []byte) (*File, error) {
	if len(text) > mostFile {
		return nil, errors.New("the file is larger than 1 MiB")
	}
	f := new(File)
	if err := yaml.UnmarshalWithOptions(text, f, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// Settings are those of assistants that the mapping's events bring, as JSON: what begins a conversation there. "" are the
// defaults.
func (f *File) Settings() string {
	set := map[string]any{}
	if f.Sessions.By != "" {
		set["cut_by"] = f.Sessions.By
	}
	if f.Sessions.Minutes > 0 {
		set["idle_minutes"] = f.Sessions.Minutes
	}
	if len(set) == 0 {
		return ""
	}
	b, _ := json.Marshal(set) // of a text and a number: cannot fail
	return string(b)
}

func (f *File) check() error {
	h := f.Verify.HMAC
	switch {
	case !nameForm.MatchString(f.Name):
		return errors.New("name: up to 63 of a-z, 0-9, - and _, and begins with a letter or a digit")
	case strings.TrimSpace(f.Program) == "":
		return errors.New("program: there is none")
	case len(f.Program) > mostProgram:
		return errors.New("program: longer than 64 KiB")
	case len(f.Tests) > mostTests:
		return errors.New("tests: more than 200")
	case !slices.Contains([]string{"", "as_told", "idle", "status"}, f.Sessions.By):
		return errors.New("sessions.by: as_told, idle or status")
	case f.Sessions.Minutes < 0 || f.Sessions.Minutes > 7*24*60:
		return errors.New("sessions.minutes: 1 to 10080")
	case h != nil && h.Header == "":
		return errors.New("verify.hmac.header: names the header with the signature")
	case h != nil && !slices.Contains([]string{"", "sha256", "sha1"}, h.Algorithm):
		return errors.New("verify.hmac.algorithm: sha256 or sha1")
	case h != nil && h.Payload != "" && !strings.Contains(h.Payload, "{body}"):
		return errors.New("verify.hmac.payload: must hold {body}")
	}
	if _, err := compile(f.Program); err != nil {
		return fmt.Errorf("program: %w", err)
	}
	return nil
}

// prelude shadows what would give another answer on another day or server.
const prelude = `
def now: error("now is not there: a mapping gives the same events on any day");
def localtime: error("localtime is not there: it depends on the server; use gmtime");
def strflocaltime(f): error("strflocaltime is not there: it depends on the server; use strftime");
`

// preludeLines are how many lines stand before the program, for places in messages.
var preludeLines = strings.Count(prelude, "\n")

func compile(program string) (*gojq.Code, error) {
	q, err := gojq.Parse(prelude + program)
	if err != nil {
		var p *gojq.ParseError
		if errors.As(err, &p) {
			text := (prelude + program)[:min(p.Offset, len(prelude)+len(program))]
			line := strings.Count(text, "\n") - preludeLines + 1
			column := len(text) - strings.LastIndex(text, "\n")
			return nil, fmt.Errorf("line %d, column %d: %w", max(1, line), column, err)
		}
		return nil, err
	}
	return gojq.Compile(
		q, gojq.WithFunction("digest", 0, 0, digest), gojq.WithFunction("rfc3339", 0, 0, rfc3339),
		gojq.WithFunction("second", 0, 0, second),
		gojq.WithFunction("event", 3, 3, event),
	)
}

//go:embed files/*.yaml
var shipped embed.FS

// Shipped are the mapping files that come with Turnwise, by name.
func Shipped() (names []string) {
	all, _ := shipped.ReadDir("files") // embedded: cannot fail
	for _, f := range all {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// ShippedText returns a mapping file that comes with Turnwise.
func ShippedText(name string) ([]byte, bool) {
	if !nameForm.MatchString(name) {
		return nil, false
	}
	b, err := shipped.ReadFile(path.Join("files", name+".yaml"))
	return b, err == nil
}

// TestFailure says where the events of a test are others than it expects.
type TestFailure struct {
	Test string
	Want string
	Got  string
}

func (e *TestFailure) Error() string {
	return fmt.Sprintf("test %q: expected\n%s\nbut it gives\n%s", e.Test, e.Want, e.Got)
}

// RunTests runs the tests of the file; the first failure ends it.
func (f *File) RunTests(r *Runner) error {
	for i, t := range f.Tests {
		name := cmp.Or(t.Name, fmt.Sprint(i+1))
		input, err := plain(t.Input)
		if err != nil {
			return fmt.Errorf("test %q: the input: %w", name, err)
		}
		m := r.Map(input)[0]
		if m.Reject != nil {
			return fmt.Errorf("test %q: %w", name, m.Reject)
		}
		got := m.Events
		var want []string
		for _, x := range t.Expect {
			text, err := plain(x)
			if err != nil {
				return fmt.Errorf("test %q: what is expected: %w", name, err)
			}
			want = append(want, text)
		}
		for i := range got {
			got[i] = indented(got[i])
		}
		for i := range want {
			want[i] = indented(want[i])
		}
		if !slices.Equal(got, want) {
			return &TestFailure{name, strings.Join(want, "\n"), strings.Join(got, "\n")}
		}
	}
	return nil
}

// plain writes a value of YAML as JSON.
func plain(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// indented writes JSON over lines, with members in order.
func indented(text string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return text
	}
	b, _ := json.MarshalIndent(v, "", "  ") // made of decoded JSON: cannot fail
	return string(b)
}
