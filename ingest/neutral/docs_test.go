package neutral_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"turnwise/conversation"
	"turnwise/ingest/neutral"
	"turnwise/ingest/wire"
)

var example = regexp.MustCompile("(?s)```json\n(.*?)```")

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(neutral.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestExamples: every example of the docs is valid by the schema, and read with nothing left over; each type has one.
func TestExamples(t *testing.T) {
	t.Parallel()
	s := schema(t)
	text, err := os.ReadFile("../../docs/neutral.md")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, typ := range neutral.Types() {
		missing[typ] = true
	}
	for _, m := range example.FindAllStringSubmatch(string(text), -1) {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(m[1]))
		if err != nil {
			t.Fatalf("%s: %v", m[1], err)
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
		e, rej := neutral.NewDecoder().Decode(strings.TrimSpace(m[1]), wire.Intake{Assistant: "default"}, time.Now())
		if rej != nil || e.Flags&conversation.FlagMisfit != 0 {
			t.Errorf("%s: %v %+v", m[1], rej, e)
			continue
		}
		delete(missing, e.Type)
	}
	if len(missing) > 0 {
		t.Errorf("no example of %v", missing)
	}
	shown, err := os.ReadFile("../../docs/events.schema.json")
	if err != nil || !bytes.Equal(shown, neutral.Schema) {
		t.Error("docs/events.schema.json is not the schema that the server has", err)
	}
}

// TestSchemaRefuses: the schema says no where the decoder does.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	s := schema(t)
	for _, body := range []string{
		`{"type":"message","time":"2026-11-20T09:14:02Z","data":{"conversation_id":"c","message_id":"m"}}`,
		`{"type":"message","time":"2026-11-20T09:14:02Z","data":{"message_id":"m","author":"user"}}`,
		`{"type":"message","time":"20.11.2026","data":{"conversation_id":"c","message_id":"m","author":"user"}}`,
		`{"type":"message","data":{"conversation_id":"c","message_id":"m","author":"user"}}`,
		`{"type":"message","time":"2026-11-20T09:14:02Z"}`,
		`{"time":"2026-11-20T09:14:02Z","data":{}}`,
		`{"type":"flow","time":"2026-11-20T09:14:02Z","data":{"conversation_id":"c","flow":"f","status":"begun"}}`,
		`{"type":"flow","time":"2026-11-20T09:14:02Z","data":{"conversation_id":"c","status":"started"}}`,
		`{"type":"user.updated","time":"2026-11-20T09:14:02Z","data":{"traits":{}}}`,
		`{"type":"agent.status_changed","time":"2026-11-20T09:14:02Z","data":{"status":"away"}}`,
		`{"type":"score","time":"2026-11-20T09:14:02Z","data":{"conversation_id":"c","score_id":"s","name":"n"}}`,
		`{"type":"activity","time":"2026-11-20T09:14:02Z","data":{"name":"n"}}`,
		`{"type":"feedback","time":"2026-11-20T09:14:02Z","data":{"feedback_id":"f","score":3}}`,
		`[]`,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(doc) == nil {
			t.Errorf("the schema takes %s", body)
		}
		if _, rej := neutral.NewDecoder().Decode(body, wire.Intake{Assistant: "default"}, time.Now()); rej == nil {
			t.Errorf("the decoder takes %s", body)
		}
	}
}
