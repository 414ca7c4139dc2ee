package file

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// TestShapes cuts what stores, brokers and frameworks write.
func TestShapes(t *testing.T) {
	t.Parallel()
	const event = `{"event": "user", "timestamp": 1.5, "text": "a\tb"}`
	const want = `{"sender_id":"s","event": "user", "timestamp": 1.5, "text": "a\tb"}`
	quoted := strings.ReplaceAll(event, `"`, `""`)
	escaped := strings.ReplaceAll(strings.ReplaceAll(event, `\`, `\\`), `"`, `\"`)
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"CSV", "id,sender_id,data\r\n1,s,\"" + quoted + "\"\r\n2,s,\"" + quoted + "\"\r\n", []string{want, want}},
		{"CSV with semicolons", "\"Data\";\"sender_id\"\n\"" + quoted + "\";s\n", []string{want}},
		{"CSV with tabs and a byte order mark", "\xef\xbb\xbfsender_id\tdata\ns\t\"" + quoted + "\"", []string{want}},
		{"CSV of events alone", "data\n\"" + quoted + "\"\n", []string{event}},
		{"CSV, a row too short, one without an event", "sender_id,data\ns\ns,\n", []string{"s", "s,"}},
		{
			"CSV over lines", "sender_id,data\ns,\"{\"\"event\"\":\n\"\"bot\"\"}\"\n",
			[]string{"{\"sender_id\":\"s\",\"event\":\n\"bot\"}"},
		},
		{
			"dump", "--\n-- PostgreSQL\nCOPY public.other (a, data) FROM stdin;\n1\t{\"event\":\"bot\"}\n\\.\n" +
				"COPY public.events (id, sender_id, \"timestamp\", data) FROM stdin;\n1\ts\t1.5\t" +
				strings.ReplaceAll(event, `\`, `\\`) + "\n2\t\\N\t\\N\t\\N\n\\.\n\nSELECT 1;\n",
			[]string{want, "2\t\\N\t\\N\t\\N"},
		},
		{"console consumer", "s\t" + want + "\nCreateTime:1\ts\t" + want + "\n", []string{want, want}},
		{"kcat", `{"topic":"t","partition":0,"offset":1,"key":"s","payload":"` + escaped + `"}`, []string{event}},
		{"page of RabbitMQ", `[{"payload":"` + escaped + `","payload_encoding":"string"}]`, []string{event}},
		{"Redis", `{"events":[` + event + `],"name":"s"}`, []string{want}},
		{"Redis, its number", `{"events":[{"event":"bot"}],"name":7}`, []string{`{"sender_id":7,"event":"bot"}`}},
		{
			"DynamoDB", `{"sender_id":{"S":"s"},"events":{"L":[{"M":{"event":{"S":"slot"},"timestamp":{"N":"1.5"},` +
				`"value":{"NULL":true},"list":{"L":[{"BOOL":true}]},"none":{"M":{}},"n":{"NS":["1","2"]}}}]}}`,
			[]string{`{"sender_id":"s","event":"slot","list":[true],"n":[1,2],"none":{},"timestamp":1.5,"value":null}`},
		},
		{
			"DynamoDB, exported", `{"Item":{"sender_id":{"S":"s"},"events":{"L":[{"M":{"event":{"S":"bot"}}}]}}}`,
			[]string{`{"sender_id":"s","event":"bot"}`},
		},
		{
			"DynamoDB, scanned",
			`{"Items":[{"sender_id":{"S":"s"},"events":{"L":[{"M":{"event":{"S":"bot"}}}]}}],"Count":1}`,
			[]string{`{"sender_id":"s","event":"bot"}`},
		},
		{"action server", `{"next_action":"a","sender_id":"s","tracker":{"sender_id":"s","events":[` + event + `]}}`, []string{want}},
		{"Botfront", `[{"_id":"s","userId":null,"tracker":{"events":[` + event + `]}}]`, []string{want}},
		{"conversations", `{"conversations":[{"sender_id":"s","events":[` + event + `]},{"sender_id":"s","events":[` + event + `]}]}`, []string{want, want}},
		{
			"kairon", `{"sender_id":"s","conversation_id":"c","event":` + event + `}` + "\n" +
				`{"type":"flattened","sender_id":"s","conversation_id":"c","data":{"user_input":"x"}}`,
			[]string{want},
		},
		{"tracker of nobody", `{"events":[` + event + `]}`, []string{event}},
		{"an event with an item", `{"event":"user","Item":{}}`, []string{`{"event":"user","Item":{}}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := cut(t, strings.NewReader(tt.in)); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

// TestEnvironmentOfMessages: a message tells its environment.
func TestEnvironmentOfMessages(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`{"payload":"{\"event\":\"bot\"}","payload_encoding":"string","properties":{"app_id":"staging"}}`,
		`{"topic":"t","headers":["other","x","RASA_ENVIRONMENT","staging"],"payload":"{\"event\":\"bot\"}"}`,
		`{"payload":"eyJldmVudCI6ImJvdCJ9","payload_encoding":"base64","properties":{"app_id":"staging"}}`,
	} {
		it, err := NewSplitter(strings.NewReader(in)).Next()
		if err != nil || it.Environment != "staging" || string(it.Body) != `{"event":"bot"}` {
			t.Errorf("%s: %q %q %v", in, it.Environment, it.Body, err)
		}
	}
}

// TestElsewise: what holds events that cannot be read says how they can be had.
func TestElsewise(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"PGDMP\x01":              "pg_restore",
		"SQLite format 3\x00xxx": "sqlite3 -json",
		"-- dump\nINSERT INTO `events` VALUES (1,'s');\n":       "INSERT",
		"-- dump\nCOPY public.users (id) FROM stdin;\n1\n\\.\n": "no table of events",
	} {
		_, err := NewSplitter(strings.NewReader(in)).Next()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// TestOpen reads files however they are packed, and the texts of archives, each with its name.
func TestOpen(t *testing.T) {
	t.Parallel()
	const a, b = "{\"event\":\"a\"}\n", "{\"sender_id\":\"own\",\"event\":\"b\"}\n"
	zipped := func() []byte {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		for _, x := range [][2]string{
			{"a.ndjson", a},
			{"__MACOSX/a", "junk"},
			{"sub/", ""},
			{"sub/.hidden", "junk"},
			{"sub/b.json.gz", string(gz([]byte(b)))},
		} {
			w, err := z.Create(x[0])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(x[1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}()
	tarred := func() []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for _, x := range [][2]string{{"a.ndjson", a}, {"sub/b.json", b}} {
			if err := w.WriteHeader(&tar.Header{Name: x[0], Size: int64(len(x[1])), Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(x[1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}()
	both := []byte(a + b)
	alone := []string{"line 1", "line 2"}
	for name, tt := range map[string]struct {
		bytes []byte
		at    []string
		plain bool
	}{
		"plain":             {both, alone, true},
		"gzip":              {gz(both), alone, false},
		"zstd":              {zst(t, both), alone, false},
		"xz":                {xzed(t, both), alone, false},
		"bzip2":             {[]byte(bzipped), alone, false},
		"gzip in zstd":      {zst(t, gz(both)), alone, false},
		"UTF-16":            {utf16le(string(both)), alone, true},
		"UTF-16, big":       {utf16be(string(both)), alone, true},
		"UTF-16, packed":    {gz(utf16le(string(both))), alone, false},
		"tar":               {tarred, []string{"a.ndjson, line 1", "sub/b.json, line 1"}, true},
		"tar.gz":            {gz(tarred), []string{"a.ndjson, line 1", "sub/b.json, line 1"}, false},
		"zip, of two kinds": {zipped, []string{"a.ndjson, line 1", "sub/b.json.gz, line 1"}, false},
	} {
		for _, piped := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, tt.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if piped {
				f = pipe(t, tt.bytes)
			}
			read := 0
			r, err := Open(f, "told", func(r io.Reader) io.Reader {
				return io.TeeReader(r, writer(func(p []byte) { read += len(p) }))
			})
			if err != nil {
				t.Fatal(name, err)
			}
			var got, at []string
			for {
				it, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(name, err)
				}
				got, at = append(got, string(it.Body)), append(at, it.Position)
			}
			r.Close()
			f.Close()
			if want := []string{`{"sender_id":"told","event":"a"}`, strings.TrimSpace(b)}; !slices.Equal(got, want) ||
				!slices.Equal(at, tt.at) || read == 0 || r.Packed == tt.plain {
				t.Errorf("%s, piped %v: %q at %q, %d bytes, packed %v", name, piped, got, at, read, r.Packed)
			}
		}
	}
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func pipe(t *testing.T, b []byte) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = w.Write(b) // who reads says what came
		w.Close()
	}()
	return r
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b) // in memory: cannot fail
	_ = z.Close()
	return out.Bytes()
}

func zst(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(b, nil)
}

func xzed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := xz.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func utf16le(s string) []byte {
	out := []byte{0xff, 0xfe}
	for _, c := range []byte(s) {
		out = append(out, c, 0)
	}
	return out
}

func utf16be(s string) []byte {
	out := []byte{0xfe, 0xff}
	for _, c := range []byte(s) {
		out = append(out, 0, c)
	}
	return out
}

// bzipped is both, by bzip2: Go can only undo it.
const bzipped = "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\x4b\x63\xcf\x21\x00\x00\x15\x5b\x80\x00\x10\x10\x04\x00\x10\x00\x00\xb6\x21\x9d\x8a\x20\x00\x21\x2a\x64\x8c\x8f\x28\xda\x9b\xd5\x0a\x64\xc4\xc8\x32\x31\x13\x44\x64\x5d\x3b\xcc\xc0\x53\x1a\x8f\xb6\x4f\x25\x2d\xda\xec\xd9\x1c\x48\xe0\xfc\x5d\xc9\x14\xe1\x42\x41\x2d\x8f\x3c\x84"
