// Package otlp makes neutral events of traces of OpenTelemetry in which language models talk: by the conventions for
// generative AI, and by those of Langfuse. It is pure.
package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// MaxSpans is how many spans a request has at most.
const MaxSpans = 20000

var errSpans = errors.New("more than 20,000 spans in one request")

// Decode reads the body of a request for traces, as protobuf or as JSON.
func Decode(body []byte, isJSON bool) (*trace.TracesData, error) {
	data := new(trace.TracesData)
	if !isJSON {
		return data, proto.Unmarshal(body, data)
	}
	var doc any
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, err
	}
	ids(doc, 0)
	plain, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return data, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(plain, data)
}

// ids writes the ids of spans, which OTLP has as hexadecimal digits, as JSON of protobuf has bytes.
func ids(v any, depth int) {
	if depth > 50 {
		return
	}
	switch x := v.(type) {
	case []any:
		for _, y := range x {
			ids(y, depth+1)
		}
	case map[string]any:
		for k, y := range x {
			text, ok := y.(string)
			switch k {
			case "traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id":
				if b, err := hex.DecodeString(text); ok && err == nil {
					x[k] = base64.StdEncoding.EncodeToString(b)
				}
			case "attributes": // whose values are somebody's own
			default:
				ids(y, depth+1)
			}
		}
	}
}

// span is one of a trace with what it is known by.
type span struct {
	*trace.Span
	attributes attributes
	resource   attributes
}

type attributes map[string]*common.AnyValue

func attributesOf(list []*common.KeyValue) attributes {
	all := make(attributes, len(list))
	for _, kv := range list {
		all[kv.GetKey()] = kv.GetValue()
	}
	return all
}

// text returns the first of the attributes that is there, as a text.
func (a attributes) text(names ...string) string {
	for _, name := range names {
		switch v := a[name].GetValue().(type) {
		case *common.AnyValue_StringValue:
			if v.StringValue != "" {
				return v.StringValue
			}
		case *common.AnyValue_IntValue:
			return fmt.Sprint(v.IntValue)
		case *common.AnyValue_ArrayValue, *common.AnyValue_KvlistValue:
			b, err := json.Marshal(plain(a[name]))
			if err == nil {
				return string(b)
			}
		}
	}
	return ""
}

// number returns the first of the attributes that is a number; false where none is.
func (a attributes) number(names ...string) (float64, bool) {
	for _, name := range names {
		switch v := a[name].GetValue().(type) {
		case *common.AnyValue_IntValue:
			return float64(v.IntValue), true
		case *common.AnyValue_DoubleValue:
			if !math.IsNaN(v.DoubleValue) && !math.IsInf(v.DoubleValue, 0) {
				return v.DoubleValue, true
			}
		}
	}
	return 0, false
}

// plain is a value as JSON has it.
func plain(v *common.AnyValue) any {
	switch x := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return x.StringValue
	case *common.AnyValue_BoolValue:
		return x.BoolValue
	case *common.AnyValue_IntValue:
		return x.IntValue
	case *common.AnyValue_DoubleValue:
		return x.DoubleValue
	case *common.AnyValue_ArrayValue:
		list := []any{}
		for _, y := range x.ArrayValue.GetValues() {
			list = append(list, plain(y))
		}
		return list
	case *common.AnyValue_KvlistValue:
		o := map[string]any{}
		for _, kv := range x.KvlistValue.GetValues() {
			o[kv.GetKey()] = plain(kv.GetValue())
		}
		return o
	}
	return nil
}

// tells tells whether a span is of a language model or what works for one; others are passed over.
func (s span) tells() bool {
	for name := range s.attributes {
		if strings.HasPrefix(name, "gen_ai.") || strings.HasPrefix(name, "langfuse.") || strings.HasPrefix(name, "openinference.") ||
			strings.HasPrefix(name, "llm.") {
			return true
		}
	}
	return false
}

// Events makes neutral events of the traces, as JSON: a trace is a turn, its root tells what was asked and answered, and
// the spans below it are calls.
func Events(data *trace.TracesData) ([]string, error) {
	traces, order := map[string][]span{}, []string{}
	n := 0
	for _, r := range data.GetResourceSpans() {
		resource := attributesOf(r.GetResource().GetAttributes())
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				if n++; n > MaxSpans {
					return nil, errSpans
				}
				id := hex.EncodeToString(s.GetTraceId())
				if _, known := traces[id]; !known {
					order = append(order, id)
				}
				traces[id] = append(traces[id], span{s, attributesOf(s.GetAttributes()), resource})
			}
		}
	}
	var events []string
	for _, id := range order {
		if spans := traces[id]; slices.ContainsFunc(spans, span.tells) {
			events = append(events, (&turn{id: id, spans: spans}).events()...)
		}
	}
	return events, nil
}

// turn is a trace in the making.
type turn struct {
	id    string
	spans []span
	of    map[string]any // what every event of it tells
	out   []string
}

func (t *turn) events() []string {
	slices.SortStableFunc(t.spans, func(a, b span) int {
		switch {
		case a.GetStartTimeUnixNano() != b.GetStartTimeUnixNano():
			if a.GetStartTimeUnixNano() < b.GetStartTimeUnixNano() {
				return -1
			}
			return 1
		}
		return strings.Compare(string(a.GetSpanId()), string(b.GetSpanId()))
	})
	t.of = map[string]any{"conversation_id": t.first("gen_ai.conversation.id", "session.id", "langfuse.session.id")}
	if t.of["conversation_id"] == "" {
		t.of["conversation_id"] = t.id
	}
	for name, from := range map[string][]string{
		"user_id": {"user.id", "langfuse.user.id", "enduser.id"}, "bot_id": {"service.name"},
		"environment": {"langfuse.environment", "deployment.environment.name", "deployment.environment"},
		"version":     {"langfuse.release", "service.version", "langfuse.version"},
	} {
		if v := t.first(from...); v != "" {
			t.of[name] = v
		}
	}
	for _, s := range t.spans {
		if s.tells() {
			t.call(s)
			t.scores(s)
		}
	}
	if i := slices.IndexFunc(t.spans, func(s span) bool { return len(s.GetParentSpanId()) == 0 }); i >= 0 {
		t.root(t.spans[i])
	}
	return t.out
}

// first returns the first attribute of one of the names that a span or its resource has.
func (t *turn) first(names ...string) string {
	for _, s := range t.spans {
		if v := s.attributes.text(names...); v != "" {
			return v
		}
	}
	for _, s := range t.spans {
		if v := s.resource.text(names...); v != "" {
			return v
		}
	}
	return ""
}

func instant(nanos uint64) string {
	return time.Unix(0, int64(nanos&math.MaxInt64)).UTC().Format("2006-01-02T15:04:05.000000Z")
}

func (t *turn) emit(typ string, at uint64, data map[string]any) {
	for k, v := range t.of {
		if data[k] == nil {
			data[k] = v
		}
	}
	b, err := json.Marshal(map[string]any{"type": typ, "time": instant(at), "data": data})
	if err == nil { // of texts and finite numbers: cannot fail
		t.out = append(t.out, string(b))
	}
}

// milliseconds is how long a span took.
func (s span) milliseconds() float64 {
	if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
		return 0
	}
	return float64(s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano()) / 1e6
}

// kind is what a span calls, "" when it calls nothing.
func (s span) kind() string {
	switch s.attributes.text("gen_ai.operation.name") {
	case "chat", "text_completion", "generate_content":
		return "llm"
	case "execute_tool":
		return "tool"
	case "retrieval", "embeddings":
		return "retrieval"
	}
	switch strings.ToLower(s.attributes.text("langfuse.observation.type", "openinference.span.kind")) {
	case "generation", "llm":
		return "llm"
	case "tool":
		return "tool"
	case "retriever", "embedding", "reranker":
		return "retrieval"
	}
	return ""
}

// call tells of a call of a model, a tool or a store.
func (t *turn) call(s span) {
	kind := s.kind()
	if kind == "" {
		return
	}
	a := s.attributes
	name := a.text("gen_ai.response.model", "gen_ai.request.model", "gen_ai.tool.name", "langfuse.observation.model.name", "llm.model_name", "tool.name")
	if name == "" {
		name = s.GetName()
	}
	call := map[string]any{"kind": kind, "name": name, "ms": s.milliseconds()}
	if v := a.text("gen_ai.provider.name", "gen_ai.system", "llm.provider"); v != "" {
		call["provider"] = v
	}
	usage := map[string]float64{}
	_ = json.Unmarshal([]byte(a.text("langfuse.observation.usage_details")), &usage) // absent, or none
	cost := map[string]float64{}
	_ = json.Unmarshal([]byte(a.text("langfuse.observation.cost_details")), &cost) // likewise
	for into, from := range map[string][]string{
		"input_tokens":  {"gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"},
		"output_tokens": {"gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"},
	} {
		if v, ok := a.number(from...); ok {
			call[into] = v
		} else if v, ok := usage[strings.TrimSuffix(into, "_tokens")]; ok {
			call[into] = v
		}
	}
	if v, ok := cost["total"]; ok {
		call["cost_usd"] = v
	} else if v, ok := a.number("gen_ai.usage.cost"); ok {
		call["cost_usd"] = v
	}
	if v, ok := a.number("gen_ai.response.time_to_first_chunk"); ok {
		call["first_token_ms"] = v * 1000
	} else if at, err := time.Parse(time.RFC3339Nano, strings.Trim(a.text("langfuse.observation.completion_start_time"), `"`)); err == nil {
		if ms := float64(at.UnixNano()-int64(s.GetStartTimeUnixNano())) / 1e6; ms >= 0 {
			call["first_token_ms"] = ms
		}
	}
	if s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR || a.text("error.type") != "" {
		call["status"] = "error"
		if why := s.GetStatus().GetMessage(); why != "" {
			call["error"] = why
		} else {
			call["error"] = a.text("error.type", "langfuse.observation.status_message")
		}
	}
	t.emit("turn", s.GetStartTimeUnixNano(), map[string]any{
		"turn_id": hex.EncodeToString(s.GetSpanId()), "message_id": t.id + "/user", "calls": []any{call},
	})
}

// scores tells of judgements that stand as events with a span.
func (t *turn) scores(s span) {
	for i, e := range s.GetEvents() {
		a := attributesOf(e.GetAttributes())
		name := a.text("gen_ai.evaluation.name")
		if e.GetName() != "gen_ai.evaluation.result" || name == "" {
			continue
		}
		data := map[string]any{
			"score_id": fmt.Sprintf("%x/%d", s.GetSpanId(), i), "name": name, "by": "model", "message_id": t.id + "/bot",
		}
		if v, ok := a.number("gen_ai.evaluation.score.value"); ok {
			data["value"] = v
		} else {
			data["value"] = a.text("gen_ai.evaluation.score.label")
		}
		if why := a.text("gen_ai.evaluation.explanation"); why != "" {
			data["explanation"] = why
		}
		t.emit("score", e.GetTimeUnixNano(), data)
	}
}

var (
	inputs  = []string{"langfuse.trace.input", "gen_ai.input.messages", "langfuse.observation.input", "gen_ai.prompt", "input.value"}
	outputs = []string{"langfuse.trace.output", "gen_ai.output.messages", "langfuse.observation.output", "gen_ai.completion", "output.value"}
)

// root tells what was asked and answered: as the root says it, else as the first and the last call of a model do.
func (t *turn) root(root span) {
	asked, answered := words(root.attributes.text(inputs...), "user"), words(root.attributes.text(outputs...), "assistant")
	for _, s := range t.spans {
		if s.kind() != "llm" {
			continue
		}
		if asked == "" {
			asked = words(s.attributes.text(inputs...), "user")
		}
		if said := words(s.attributes.text(outputs...), "assistant"); said != "" && root.attributes.text(outputs...) == "" {
			answered = said
		}
	}
	result := "handled"
	if root.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR {
		result = "error"
	}
	if asked != "" {
		t.emit("message", root.GetStartTimeUnixNano(), map[string]any{
			"message_id": t.id + "/user", "author": "user", "text": asked, "seq": 1,
			"turn": map[string]any{"response_ms": root.milliseconds(), "result": result},
		})
	}
	if answered != "" {
		t.emit("message", root.GetEndTimeUnixNano(), map[string]any{
			"message_id": t.id + "/bot", "author": "bot", "text": answered, "seq": 2, "reply_source": []string{"llm"},
		})
	}
}

// words are those of the last message of a role in what a span holds: messages repeat all that was said before. A text
// that is none of messages stands for itself.
func words(text, role string) string {
	if text == "" {
		return ""
	}
	var doc any
	if json.Unmarshal([]byte(text), &doc) != nil {
		return text
	}
	if o, ok := doc.(map[string]any); ok {
		for _, name := range []string{"messages", "input", "output", "content", "text", "question", "answer"} {
			if o[name] != nil {
				doc = o[name]
				break
			}
		}
	}
	switch x := doc.(type) {
	case string:
		return x
	case []any:
		for _, m := range slices.Backward(x) {
			message, ok := m.(map[string]any)
			if !ok {
				continue
			}
			if of, _ := message["role"].(string); of != role && (role != "assistant" || of != "") {
				continue
			}
			if said := parts(message); said != "" {
				return said
			}
		}
		return ""
	case map[string]any:
		return parts(x)
	}
	return text
}

// parts are the texts of a message.
func parts(message map[string]any) string {
	var list []any
	switch x := message["content"].(type) {
	case string:
		return x
	case []any:
		list = x
	}
	if p, ok := message["parts"].([]any); ok {
		list = p
	}
	var all []string
	for _, p := range list {
		part, ok := p.(map[string]any)
		if !ok {
			continue
		}
		if typ, _ := part["type"].(string); typ != "" && typ != "text" {
			continue
		}
		for _, name := range []string{"content", "text"} {
			if said, ok := part[name].(string); ok && said != "" {
				all = append(all, said)
				break
			}
		}
	}
	return strings.Join(all, "\n")
}
