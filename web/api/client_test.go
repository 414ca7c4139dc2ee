package api_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"turnwise/web/api"
)

// TestGeneratedClient: a client that was generated from the document, by openapi-python-client, reads every answer.
func TestGeneratedClient(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("openapi-python-client")
	if err != nil {
		t.Skip("SKIPPED: openapi-python-client is not here: pip install openapi-python-client")
	}
	s := reportService(t)
	_, document := s.ask("GET", "", "/openapi.json", "")
	dir := t.TempDir()
	file := filepath.Join(dir, "openapi.json")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(
		t.Context(), tool, "generate", "--path", file, "--output-path", filepath.Join(dir, "generated"), "--meta", "none",
	).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range regexp.MustCompile(`(?s)WARNING parsing ([A-Z]+ \S+)[^\n]*\n\n([^\n]*)`).FindAllStringSubmatch(string(out), -1) {
		if !regexp.MustCompile(`^Unsupported content type application/x-ndjson`).MatchString(m[2]) {
			t.Errorf("it cannot read %s: %s", m[1], m[2])
		}
	}
	var list api.ConversationList
	_, body := s.ask("GET", "admin", "/conversations?range=28d&limit=1", "")
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Data) != 1 {
		t.Fatal(body)
	}
	script, err := filepath.Abs("testdata/client.py")
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "python3", script, dir, s.url+"/api/v1", s.tokens["admin"], list.Data[0].ID)
	out, err = run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
