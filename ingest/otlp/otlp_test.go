package otlp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"turnwise/conversation"
	"turnwise/ingest/neutral"
	"turnwise/ingest/otlp"
	"turnwise/ingest/wire"
)

// asJSON is a turn in the form of OTLP in JSON: a root, a model that is told the whole history, a tool that fails, a
// judgement, and a span of no concern.
const asJSON = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"guide"}},{"key":"service.version","value":{"stringValue":"7"}}]},
"scopeSpans":[{"spans":[
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"invoke_agent","startTimeUnixNano":"1795166042000000000","endTimeUnixNano":"1795166043500000000",
 "attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"invoke_agent"}},{"key":"session.id","value":{"stringValue":"s-1"}},{"key":"user.id","value":{"stringValue":"u-1"}}]},
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"aaa19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b174","name":"chat gpt","startTimeUnixNano":"1795166042100000000","endTimeUnixNano":"1795166043000000000",
 "attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},{"key":"gen_ai.request.model","value":{"stringValue":"gpt"}},{"key":"gen_ai.provider.name","value":{"stringValue":"openai"}},
  {"key":"gen_ai.usage.input_tokens","value":{"intValue":"812"}},{"key":"gen_ai.usage.output_tokens","value":{"intValue":"64"}},
  {"key":"gen_ai.input.messages","value":{"stringValue":"[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"old\"}]},{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"older answer\"}]},{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"new question\"}]}]"}},
  {"key":"gen_ai.output.messages","value":{"stringValue":"[{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"the answer\"}]}]"}}],
 "events":[{"timeUnixNano":"1795166043000000000","name":"gen_ai.evaluation.result","attributes":[{"key":"gen_ai.evaluation.name","value":{"stringValue":"relevance"}},{"key":"gen_ai.evaluation.score.value","value":{"doubleValue":0.8}}]}]},
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"bbb19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b174","name":"weather","startTimeUnixNano":"1795166042200000000","endTimeUnixNano":"1795166042300000000",
 "attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"execute_tool"}},{"key":"gen_ai.tool.name","value":{"stringValue":"weather"}}],"status":{"code":2,"message":"timeout"}},
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"ccc19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b174","name":"GET","startTimeUnixNano":"1795166042200000000","endTimeUnixNano":"1795166042300000000","attributes":[]},
{"traceId":"00000000000000000000000000000001","spanId":"ddd19b7ec3c1b174","name":"GET /","startTimeUnixNano":"1795166042000000000","endTimeUnixNano":"1795166043500000000"}]}]}]}`

// TestEvents: a trace is a turn; only the last message of the user is new; calls, judgements and times are told.
func TestEvents(t *testing.T) {
	t.Parallel()
	data, err := otlp.Decode([]byte(asJSON), true)
	if err != nil {
		t.Fatal(err)
	}
	events, err := otlp.Events(data)
	if err != nil {
		t.Fatal(err)
	}
	const id = "5b8efff798038103d269b633813fc60c"
	of := `"bot_id":"guide","conversation_id":"s-1"`
	want := []string{
		`{"data":{` + of + `,"calls":[{"input_tokens":812,"kind":"llm","ms":900,"name":"gpt","output_tokens":64,"provider":"openai"}],"message_id":"` + id + `/user","turn_id":"aaa19b7ec3c1b174","user_id":"u-1","version":"7"},"time":"2026-11-20T09:14:02.100000Z","type":"turn"}`,
		`{"data":{` + of + `,"by":"model","message_id":"` + id + `/bot","name":"relevance","score_id":"aaa19b7ec3c1b174/0","user_id":"u-1","value":0.8,"version":"7"},"time":"2026-11-20T09:14:03.000000Z","type":"score"}`,
		`{"data":{` + of + `,"calls":[{"error":"timeout","kind":"tool","ms":100,"name":"weather","status":"error"}],"message_id":"` + id + `/user","turn_id":"bbb19b7ec3c1b174","user_id":"u-1","version":"7"},"time":"2026-11-20T09:14:02.200000Z","type":"turn"}`,
		`{"data":{` + of + `,"author":"user","message_id":"` + id + `/user","seq":1,"text":"new question","turn":{"response_ms":1500,"result":"handled"},"user_id":"u-1","version":"7"},"time":"2026-11-20T09:14:02.000000Z","type":"message"}`,
		`{"data":{` + of + `,"author":"bot","message_id":"` + id + `/bot","reply_source":["llm"],"seq":2,"text":"the answer","user_id":"u-1","version":"7"},"time":"2026-11-20T09:14:03.500000Z","type":"message"}`,
	}
	sorted := func(all []string) string {
		for i, e := range all {
			var v any
			if err := json.Unmarshal([]byte(e), &v); err != nil {
				t.Fatal(err)
			}
			b, _ := json.Marshal(v) // made of decoded JSON: cannot fail
			all[i] = string(b)
		}
		return strings.Join(all, "\n")
	}
	if got, want := sorted(events), sorted(want); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, body := range events {
		e, rej := neutral.NewDecoder().Decode(body, wire.Intake{Assistant: "default"}, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
		if rej != nil || e.Flags&conversation.FlagMisfit != 0 {
			t.Errorf("%s: %v", body, rej)
		}
	}
	// The same as protobuf.
	packed, err := proto.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := otlp.Decode(packed, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := otlp.Events(again); err != nil || sorted(got) != sorted(events) {
		t.Errorf("as protobuf: %v, %v", got, err)
	}
}

// TestWords: what is told of input and output in the ways there are.
func TestWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`plain words`:          "plain words",
		`"a text"`:             "a text",
		`{"question":"what?"}`: "what?",
		`{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}]}`:                         "hi",
		`[{"role":"user","content":[{"type":"text","text":"one"},{"type":"image_url"},{"type":"text","text":"two"}]}]`: "one\ntwo",
		`[{"role":"assistant","content":"no question"}]`:                                                               "",
		`[1,"x",null]`: "",
		`{`:            "{",
	} {
		s := &trace.Span{
			TraceId: []byte{1}, SpanId: []byte{2}, StartTimeUnixNano: 1795166042e9, EndTimeUnixNano: 1795166043e9,
			Attributes: []*common.KeyValue{{Key: "langfuse.observation.input", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: in}}}},
		}
		events, err := otlp.Events(of(s))
		got := ""
		for _, e := range events {
			var v struct{ Data struct{ Author, Text string } }
			if err := json.Unmarshal([]byte(e), &v); err != nil {
				t.Fatal(err)
			}
			if v.Data.Author == "user" {
				got = v.Data.Text
			}
		}
		if err != nil || got != want {
			t.Errorf("%s gives %q, not %q, %v", in, got, want, err)
		}
	}
}

func of(spans ...*trace.Span) *trace.TracesData {
	return &trace.TracesData{ResourceSpans: []*trace.ResourceSpans{{
		Resource: &resource.Resource{}, ScopeSpans: []*trace.ScopeSpans{{Spans: spans}},
	}}}
}

// TestHostile: what is broken, empty or too much ends in an error or in nothing.
func TestHostile(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `{`, `[]`, `{"resourceSpans":7}`, `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":7}]}]}]}`, strings.Repeat("[", 100000)} {
		if data, err := otlp.Decode([]byte(body), true); err == nil {
			if events, err := otlp.Events(data); err != nil || len(events) > 0 {
				t.Errorf("%.40s: %v %v", body, events, err)
			}
		}
	}
	if _, err := otlp.Decode([]byte("no protobuf"), false); err == nil {
		t.Error("no protobuf is read")
	}
	if _, err := otlp.Decode([]byte(`{"resourceSpans":[{"unknown":1}]}`), true); err != nil {
		t.Error("a member of a later version", err)
	}
	var many []*trace.Span
	for range otlp.MaxSpans + 1 {
		many = append(many, &trace.Span{})
	}
	if _, err := otlp.Events(of(many...)); err == nil {
		t.Error("too many spans are taken")
	}
	odd := &trace.Span{
		StartTimeUnixNano: 1 << 63, EndTimeUnixNano: 1,
		Attributes: []*common.KeyValue{{Key: "gen_ai.operation.name"}, {Key: "gen_ai.usage.input_tokens", Value: &common.AnyValue{}}, nil},
		Events:     []*trace.Span_Event{nil, {Name: "gen_ai.evaluation.result"}},
	}
	if events, err := otlp.Events(of(odd, nil)); err != nil {
		t.Error(fmt.Sprint(events), err)
	}
}
