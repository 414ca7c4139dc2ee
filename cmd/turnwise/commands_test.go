package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"turnwise/queries/dbtest"
)

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	eventA = `{"sender_id":"a","event":"user","timestamp":1785800010.5,"text":"hi"}`
	eventB = `{"sender_id":"a","event":"bot","timestamp":1785800011.5,"text":"hello"}`
	eventC = `{"sender_id":"a","event":"user","timestamp":1785800010.5,"text":"hi","message_id":"m"}`
)

func TestImport(t *testing.T) {
	t.Parallel()
	tracker := `{"sender_id":"t","slots":{},"events":[{"event":"user","timestamp":1785800010.5,"text":"hi"},{"event":"bot","timestamp":1785800011.5,"text":"x"}],"paused":false}`
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(tracker), "", "  "); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		body   []byte
		want   string
		failed bool
	}{
		{"lines", []byte(eventA + "\n" + eventB + "\n"), "stored 2", false},
		{"lines without an end", []byte(eventA + "\r\n\r\n" + eventB), "stored 2", false},
		{"gzip", zipped(t, eventA+"\n"+eventB), "stored 2", false},
		{"array", []byte("\n[" + eventA + ",\n" + eventB + "]"), "stored 2", false},
		{"tracker", []byte(tracker), "stored 2", false},
		{"tracker over lines", pretty.Bytes(), "stored 2", false},
		{
			"array of trackers", []byte("[" + tracker + "," + strings.Replace(tracker, `"t"`, `"u"`, 1) + "]"),
			"stored 4", false,
		},
		{"twice the same, with an id", []byte(eventC + "\n" + eventC), "stored 1, known 1", false},
		{"twice the same, side by side", []byte(eventB + "\n" + eventB), "stored 2", false},
		{"twice the same, parted", []byte(eventB + "\n" + eventC + "\n" + eventB), "stored 2, known 1", false},
		{
			"rows of the tracker store",
			[]byte(
				`[{"id":1,"sender_id":"a","data":"{\"event\":\"bot\",\"timestamp\":1785800011.5,\"text\":\"hello\"}"}]`,
			),
			"stored 1", false,
		},
		{"another file than was meant", []byte(strings.Repeat("id;name;city\n", 1000)), "stored 0", true},
		{
			"a broken line between", []byte(eventA + "\n" + `{"sender_id":"a","eve` + "\n" + eventB),
			"stored 2, rejected 1", true,
		},
		{"a number in an array", []byte("[" + eventA + ",7," + eventB + "]"), "stored 2, rejected 1", true},
		{"nothing", nil, "stored 0", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			out, err := turnwise(t, "--database-url", url, "import", "--assistant", "bot", write(t, "events", tt.body))
			if (err != nil) != tt.failed {
				t.Errorf("ended with %v", err)
			}
			got := told(out)
			if got != tt.want {
				t.Errorf("got %s, want %s:\n%s", got, tt.want, out)
			}
		})
	}
}

// told is what an import says that it stored.
func told(out string) string {
	var stored, known, rejected int
	for line := range strings.Lines(out) {
		_, _ = fmt.Sscanf(line, "stored %d", &stored)
		_, _ = fmt.Sscanf(line, "already known %d", &known)
		_, _ = fmt.Sscanf(line, "rejected %d", &rejected)
	}
	got := fmt.Sprintf("stored %d", stored)
	if known > 0 {
		got += fmt.Sprintf(", known %d", known)
	}
	if rejected > 0 {
		got += fmt.Sprintf(", rejected %d", rejected)
	}
	return got
}

// post sends a body to the ingest of a site.
func post(t *testing.T, s site, token string, body []byte, header ...string) (int, map[string]any, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/v1/ingest/rasa", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return resp.StatusCode, answer, resp.Header
}

func TestIngestOverHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t)
	out, err := turnwise(t, "--database-url", s.database, "token", "create", "my-bot")
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(out)
	many := strings.Repeat(eventA+"\n", 5001)
	for _, tt := range []struct {
		name   string
		token  string
		body   []byte
		header []string
		status int
		want   string
	}{
		{"one event", token, []byte(eventA), nil, 202, "accepted:1 duplicates:0 rejected:[] revised:0"},
		{"the same again", token, []byte(eventA), nil, 202, "accepted:0 duplicates:1 rejected:[] revised:0"},
		{
			"an array with a bad one", token, []byte("[" + eventB + ",7]"),
			[]string{"Content-Type", "application/json"},
			202, "index:1",
		},
		{
			"lines, zipped", token, zipped(t, eventA+"\n"+eventB),
			[]string{"Content-Encoding", "gzip", "Content-Type", "application/x-ndjson"},
			202, "duplicates:2",
		},
		{"nothing readable", token, []byte("<xml/>"), nil, 400, "kept under Data health"},
		{"empty", token, nil, nil, 400, "empty"},
		{"no token", "", []byte(eventA), nil, 401, "Bearer"},
		{"wrong token", strings.Split(token, ".")[0] + ".WRONG", []byte(eventA), nil, 401, "not known"},
		{"another type", token, []byte(eventA), []string{"Content-Type", "image/png"}, 415, "application/json"},
		{"another encoding", token, []byte(eventA), []string{"Content-Encoding", "br"}, 415, "gzip"},
		{"not gzip", token, []byte(eventA), []string{"Content-Encoding", "gzip"}, 400, "not gzip"},
		{"too many events", token, []byte(many), nil, 413, "split"},
		{"too large", token, bytes.Repeat([]byte(" "), 10<<20+1), nil, 413, "split"},
		{
			"a bomb", token, zipped(t, strings.Repeat("0", 200_000_000)),
			[]string{"Content-Encoding", "gzip"},
			413,
			"split",
		},
	} {
		status, answer, header := post(t, s, tt.token, tt.body, tt.header...)
		if status != tt.status || !strings.Contains(fmt.Sprint(answer), tt.want) {
			t.Errorf("%s: %d %v; want %d with %q", tt.name, status, answer, tt.status, tt.want)
		}
		if status == 401 && header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", tt.name)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		resp, err := http.Get(s.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	for _, tt := range []struct {
		args   string
		failed bool
		want   string
	}{
		{"user add ann@example.org --role admin --generate", false, "password:"},
		{"user add ann@example.org --role admin --generate", true, "exists already"},
		{"user add nonsense --generate", true, "no e-mail address"},
		{"user add ben@example.org --role king --generate", true, "must be one of"},
		{"user disable ann@example.org", true, "last admin"},
		{"user role ann@example.org viewer", true, "last admin"},
		{"user add ben@example.org --role admin --generate", false, "may sign in as admin"},
		{"user disable ann@example.org", false, ""},
		{"user list", false, "disabled"},
		{"user enable ann@example.org", false, ""},
		{"user disable nobody@example.org", true, "no user"},
		{"token create", true, "expected"},
		{"token list", false, ""},
		{"doctor", true, "conversations: none"},
		{"doctor --runbook no-charts", true, "step 3, what arrived: nothing"},
		{"doctor --runbook x", true, "must be one of"},
		{"rebuild --assistant nobody", true, "no events of an assistant"},
		{"rebuild", false, "rebuilt 0 of 0 senders"},
	} {
		out, err := turnwise(t, append([]string{"--database-url", url}, strings.Fields(tt.args)...)...)
		text := out
		if err != nil {
			text += err.Error()
		}
		if (err != nil) != tt.failed || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %v\n%s", tt.args, err, text)
		}
	}
	if out, err := turnwise(t, "version"); err != nil || !strings.HasPrefix(out, "turnwise ") {
		t.Errorf("version: %q, %v", out, err)
	}
}
