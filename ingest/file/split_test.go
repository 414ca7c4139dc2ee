package file

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func cut(t *testing.T, r io.Reader) (bodies, positions []string) {
	t.Helper()
	s := NewSplitter(r)
	for {
		it, err := s.Next()
		if errors.Is(err, io.EOF) {
			return bodies, positions
		}
		if err != nil {
			t.Fatal(err)
		}
		bodies, positions = append(bodies, string(it.Body)), append(positions, it.Position)
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     []string
		at       []string
	}{
		{"lines", "{\"a\":1}\n\n{\"b\":2}\r\n", []string{`{"a":1}`, `{"b":2}`}, []string{"line 1", "line 3"}},
		{"byte order mark", "\xef\xbb\xbf{\"a\":1}", []string{`{"a":1}`}, []string{"line 1"}},
		{
			"array", `[{"a":"]},{"},7, "x" ]`,
			[]string{`{"a":"]},{"}`, "7", `"x"`},
			[]string{"line 1, element 0", "line 1, element 1", "line 1, element 2"},
		},
		{
			"array over lines", "[\n{\"a\":1},\n{\"b\":2}\n]\n",
			[]string{`{"a":1}`, `{"b":2}`},
			[]string{"line 2, element 0", "line 3, element 1"},
		},
		{
			"object over lines", "{\n \"a\": [\n1]\n}\n{\"b\":2}",
			[]string{"{\n \"a\": [\n1]\n}", `{"b":2}`},
			[]string{"line 1", "line 5"},
		},
		{
			"cut line", "{\"a\":1}\n{\"sender_id\":\"x\",\"ev\n{\"b\":2}",
			[]string{`{"a":1}`, `{"sender_id":"x","ev`, `{"b":2}`},
			[]string{"line 1", "line 2", "line 3"},
		},
		{
			"line cut behind a comma", "{\"event\":\"user\",\n{\"b\":2}\n{\"c\":3}",
			[]string{`{"event":"user",`, `{"b":2}`, `{"c":3}`},
			[]string{"line 1", "line 2", "line 3"},
		},
		{
			"array cut", `[{"a":1},{"b":`,
			[]string{`{"a":1}`, `{"b":`},
			[]string{"line 1, element 0", "line 1, element 1"},
		},
		{"not JSON", "<xml/>\nx", []string{"<xml/>", "x"}, []string{"line 1", "line 2"}},
		{
			"tracker", `{"sender_id":"s","events":[{"event":"user"},{"sender_id":"own","event":"bot"},3,{}]}`,
			[]string{`{"sender_id":"s","event":"user"}`, `{"sender_id":"own","event":"bot"}`, "3", `{"sender_id":"s"}`},
			[]string{"line 1, event 0", "line 1, event 1", "line 1, event 2", "line 1, event 3"},
		},
		{
			"an event that has events", `{"sender_id":"s","event":"user","events":[1]}`,
			[]string{`{"sender_id":"s","event":"user","events":[1]}`},
			[]string{"line 1"},
		},
		{"nothing", " \n ", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once": strings.NewReader(tt.in), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.in)),
			} {
				got, at := cut(t, r)
				if !slices.Equal(got, tt.want) || !slices.Equal(at, tt.at) {
					t.Errorf("%s: got %q at %q, want %q at %q", name, got, at, tt.want, tt.at)
				}
			}
		})
	}
}
