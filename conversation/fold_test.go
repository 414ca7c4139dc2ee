package conversation

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// event makes an event of the sender "s" at that second.
func event(at float64, typ string, set ...func(*Event)) *Event {
	e := &Event{
		Assistant: "bot", SenderKey: "s", Type: typ, Time: 1767261600 + at, Confidence: math.NaN(),
		UnderstandingMS: math.NaN(), PredictionMS: math.NaN(), Body: "{}",
	}
	for _, f := range set {
		f(e)
	}
	e.At = MicrosOf(e.Time)
	e.SenderID = SenderID("bot", "s")
	e.ID = EventID(e.SenderID, typ, e.Time, []byte(e.Name+e.Text+e.FlowID+e.Update))
	return judged(e)
}

func name(v string) func(*Event)    { return func(e *Event) { e.Name = v } }
func text(v string) func(*Event)    { return func(e *Event) { e.Text = v } }
func value(v string) func(*Event)   { return func(e *Event) { e.Value = v } }
func flow(v string) func(*Event)    { return func(e *Event) { e.FlowID = v } }
func session(v string) func(*Event) { return func(e *Event) { e.SessionID = v } }
func update(v string) func(*Event) {
	return func(e *Event) {
		e.Update = v
		if json.Unmarshal([]byte(v), &e.Patch) != nil {
			e.Patch = nil
		}
	}
}

func took(understanding, prediction float64) func(*Event) {
	return func(e *Event) { e.UnderstandingMS, e.PredictionMS = understanding, prediction }
}

// start is how Rasa begins a session at that second.
func start(at float64) []*Event {
	return []*Event{
		event(
			at, "slot", name("session_started_metadata"), value(`{}`),
		), event(at+.01, "action", name("action_session_start")),
		event(at+.02, "session_started"), event(at+.03, "action", name("action_listen")),
	}
}

func fold(t *testing.T, settings Settings, events ...*Event) *Changes {
	t.Helper()
	slices.SortFunc(events, func(a, b *Event) int { return a.Key().Compare(b.Key()) })
	changes, back, ok := NewFold(new(Projection), NewRules(settings), nil).Project(events)
	if !ok {
		t.Fatalf("asks to go back to %v", back)
	}
	return changes
}

func defaults(t *testing.T, events ...*Event) *Changes {
	t.Helper()
	return fold(t, DefaultSettings(), events...)
}

func TestSessionStarts(t *testing.T) {
	t.Parallel()
	const a, b = "0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a11", "0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a12"
	said := func(at float64) *Event { return event(at, "user", text("hi")) }
	for _, tt := range []struct {
		name   string
		events []*Event
		want   []int // events of each conversation
	}{
		{"slot and action", slices.Concat(start(0), []*Event{said(1)}, start(10), []*Event{said(11)}), []int{5, 5}},
		{
			"action alone",
			[]*Event{
				event(0, "action", name("action_session_start")), said(1),
				event(2, "action", name("action_session_start")), said(3),
			},
			[]int{2, 2},
		},
		{"nothing seen", []*Event{event(0, "bot", text("news")), said(1)}, []int{2}},
		{"a start twice with nothing between", slices.Concat(start(0), start(1), []*Event{said(2)}), []int{9}},
		{
			"session_started again later",
			[]*Event{
				event(0, "action", name("action_session_start")), event(1, "session_started"), said(2),
				event(3, "session_started"), said(4),
			},
			[]int{5},
		},
		{
			"the slot without the action is no start",
			[]*Event{said(0), event(1, "slot", name("session_started_metadata"), value("{}")), said(2)},
			[]int{3},
		},
		{
			"restart",
			[]*Event{
				said(0), event(1, "action", name("action_restart")), event(2, "restart"),
				event(3, "action", name("action_session_start")), event(4, "session_started"), said(5),
			},
			[]int{3, 3},
		},
		{
			"bare change of session_id",
			[]*Event{event(0, "user", text("a"), session(a)), event(1, "user", text("b"), session(b))},
			[]int{1, 1},
		},
		{
			"session ids in turns",
			[]*Event{
				event(0, "user", session(a)), event(1, "user", session(b)), event(2, "bot", session(a)),
				event(3, "bot", session(b)),
			},
			[]int{2, 2},
		},
		{
			"an event without id belongs to the open session",
			[]*Event{event(0, "user", session(a)), event(1, "conversation_inactive"), event(2, "user", session(a))},
			[]int{3},
		},
		{"a message after the final end", []*Event{said(0), event(1, "session_ended"), said(2)}, []int{2, 1}},
		{"a silent one wakes up", []*Event{said(0), event(1, "conversation_inactive"), said(2)}, []int{3}},
		{"broadcasts only", []*Event{event(0, "bot", text("a")), event(99999, "bot", text("b"))}, []int{2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			for _, c := range defaults(t, tt.events...).Conversations {
				got = append(got, c.Events)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSessionIDs(t *testing.T) {
	t.Parallel()
	const id = "0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a11"
	if c := defaults(t, event(0, "user", session(id))).Conversations[0]; c.ID.String() != id {
		t.Errorf("the platform's UUID is not the id: %s", c.ID)
	}
	if c := defaults(
		t, event(0, "user", session("run 7")),
	).Conversations[0]; c.ID != NameUUID("session", "bot", "s", "run 7") {
		t.Errorf("id of a session that is no UUID: %s", c.ID)
	}
	a, b := defaults(t, event(0, "user")).Conversations[0], defaults(t, event(0, "user")).Conversations[0]
	if a.ID != b.ID || a.ID == (UUID{}) {
		t.Error("ids must be made from content")
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	said := event(0, "user", text("hi"))
	ended := event(5, "session_ended", func(e *Event) { e.Reason = "user hung up" })
	for _, tt := range []struct {
		name   string
		events []*Event
		reason string
		closes float64
	}{
		{"open", []*Event{said}, "", 65 * 60},
		{"told", []*Event{said, ended}, "user hung up", 5},
		{"silent", []*Event{said, event(9, "conversation_inactive")}, "conversation_inactive", 9},
		{
			"silent, then awake",
			[]*Event{said, event(9, "conversation_inactive"), event(20, "user", text("still there?"))},
			"", 20 + 65*60,
		},
		{
			"silent, then paused",
			[]*Event{said, event(9, "conversation_inactive"), event(10, "session_paused")},
			"conversation_inactive", 9,
		},
	} {
		c := defaults(t, tt.events...).Conversations[0]
		if c.EndReason != tt.reason || c.ClosesAt() != MicrosOf(1767261600+tt.closes) {
			t.Errorf(
				"%s: reason %q, closes %v; want %q, %v", tt.name, c.EndReason, float64(c.ClosesAt())/1e6-1767261600,
				tt.reason, tt.closes,
			)
		}
	}
	first := defaults(t, slices.Concat(start(0), []*Event{event(1, "user")}, start(50))...).Conversations[0]
	if first.EndReason != endedByNext || first.EndedAt != MicrosOf(1767261601) {
		t.Errorf("the next start ends at the last event: %+v", first)
	}
}

func TestResponseTimes(t *testing.T) {
	t.Parallel()
	listen := func(at float64, set ...func(*Event)) *Event {
		return event(at, "action", append(set, name("action_listen"))...)
	}
	for _, tt := range []struct {
		name   string
		events []*Event
		want   string
	}{
		{
			"told by the platform",
			[]*Event{event(0, "user"), event(1, "bot"), listen(2, took(900, 100))},
			"1000 execution_times",
		},
		{
			"measured",
			[]*Event{event(0, "user"), event(1.5, "bot"), event(3, "bot", text("more")), listen(4)},
			"1500 bot_message",
		},
		{"no bot message", []*Event{event(0, "user"), listen(2, took(900, 100))}, ""},
		{"a timer", []*Event{event(0, "user", text("EXTERNAL: reminder")), event(1, "bot")}, ""},
		{"session start", []*Event{event(0, "user", text("/session_start")), event(1, "bot")}, ""},
		{"silence", []*Event{event(0, "user", text("/silence_timeout")), event(1, "bot")}, ""},
		{"a person answers", []*Event{event(0, "user"), event(1, "agent", text("Ada here")), event(2, "bot")}, ""},
		{"while paused", []*Event{event(-1, "pause"), event(0, "user"), event(1, "bot")}, ""},
		{
			"after resume",
			[]*Event{event(-2, "pause"), event(-1, "resume"), event(0, "user"), event(1, "bot")},
			"1000 bot_message",
		},
		// The closing action_listen of a turn may be stamped later than the next user event.
		{
			"late action_listen",
			[]*Event{
				event(0, "user"), event(1, "bot"), event(5, "user", text("b")), listen(5.011, took(700, 0)),
				event(6, "bot"), listen(7),
			},
			"700 execution_times, 1000 bot_message",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, x := range defaults(t, tt.events...).Turns {
				if ms, source, ok := x.Response(); ok {
					got = append(got, fmt.Sprintf("%g %s", ms, source))
				}
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRatings(t *testing.T) {
	t.Parallel()
	said := event(1, "user", text("hi"))
	slot := func(at float64, v string) *Event { return event(at, "slot", name("csat_score"), value(v)) }
	asked := event(2, "flow_started", flow("pattern_customer_satisfaction"))
	for _, tt := range []struct {
		name   string
		events []*Event
		want   Rating
	}{
		{"never asked", []*Event{said}, ""},
		{"asked in vain", []*Event{said, asked}, Unanswered},
		{"asked by a response", []*Event{said, event(2, "bot", name("utter_ask_csat_score"))}, Unanswered},
		{"answered, then reset", []*Event{said, asked, slot(3, `"satisfied"`), slot(4, "null")}, Satisfied},
		{"carried over", []*Event{slot(0, `"satisfied"`), said, asked}, Unanswered},
		{"last valid one", []*Event{said, slot(2, `"satisfied"`), slot(3, "2"), slot(4, `"skipped"`)}, Unsatisfied},
		{"skipped", []*Event{said, slot(2, `"skipped"`)}, Unanswered},
		{"five", []*Event{said, slot(2, "5")}, Satisfied},
		{"four as text", []*Event{said, slot(2, `"4"`)}, Satisfied},
		{"three", []*Event{said, slot(2, "3")}, Unsatisfied},
		{"six", []*Event{said, slot(2, "6")}, Unanswered},
		{"an object", []*Event{said, slot(2, `{"a":1}`)}, Unanswered},
	} {
		if got := defaults(t, tt.events...).Conversations[0].CSAT(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	rasas := DefaultSettings()
	rasas.SatisfiedFrom = 3
	if got := fold(t, rasas, said, slot(2, "3")).Conversations[0].CSAT(); got != Satisfied {
		t.Errorf("by Rasa's own reading a 3 is satisfied, got %q", got)
	}
}

func TestEscalation(t *testing.T) {
	t.Parallel()
	said := event(0, "user", text("hi"))
	signals := []struct {
		name  string
		event *Event
		set   func(*Settings)
	}{
		{"action_human_handoff", event(1, "action", name("action_human_handoff")), nil},
		{"action_handoff_metric", event(1, "action", name("action_handoff_metric")), nil},
		{
			"pattern_human_handoff", event(1, "flow_started", flow("pattern_human_handoff")),
			func(s *Settings) { s.HandoffFlows = []string{"pattern_human_handoff"} },
		},
		{
			"human handoff", event(1, "user", func(e *Event) { e.Commands = []Command{{Kind: "human handoff"}} }),
			func(s *Settings) { s.HandoffCommand = true },
		},
		{"pause", event(1, "pause"), func(s *Settings) { s.HandoffPause = PauseAlways }},
		{"agent", event(1, "agent"), func(s *Settings) { s.HandoffAgent = true }},
	}
	for _, tt := range signals {
		s := DefaultSettings()
		if tt.set != nil {
			if c := fold(t, s, said, tt.event).Conversations[0]; c.EscalatedAt != 0 {
				t.Errorf("%s counts though it is off", tt.name)
			}
			tt.set(&s)
		}
		c := fold(t, s, said, tt.event, event(9, "action", name("action_human_handoff"))).Conversations[0]
		if c.EscalatedAt != tt.event.At || c.EscalationReason != tt.name || c.Outcome() != Escalated {
			t.Errorf("%s: escalated at %d for %q", tt.name, c.EscalatedAt, c.EscalationReason)
		}
	}
}

func TestFlows(t *testing.T) {
	t.Parallel()
	run := func(events ...*Event) string {
		var out []string
		for _, r := range defaults(t, append([]*Event{event(0, "user")}, events...)...).Runs {
			out = append(
				out,
				fmt.Sprintf(
					"%s %s starts %d interrupted %d resumed %d step %s escalated %v", r.FlowID, r.Status, r.Starts,
					r.Interrupted, r.Resumed, r.LastStep, r.Escalated,
				),
			)
		}
		return strings.Join(out, "; ")
	}
	step := func(v string) func(*Event) { return func(e *Event) { e.StepID = v } }
	for _, tt := range []struct {
		name string
		got  string
		want string
	}{
		{
			"completed", run(event(1, "flow_started", flow("a")), event(2, "flow_completed", flow("a"), step("end"))),
			"a completed starts 1 interrupted 0 resumed 0 step end escalated false",
		},
		{
			"interrupted and resumed",
			run(
				event(1, "flow_started", flow("a")), event(2, "flow_interrupted", flow("a"), step("x")),
				event(3, "flow_resumed", flow("a"), step("x")), event(4, "flow_cancelled", flow("a")),
			),
			"a cancelled starts 1 interrupted 1 resumed 1 step x escalated false",
		},
		{
			"a pattern starts again",
			run(
				event(1, "flow_started", flow("pattern_collect_information")),
				event(2, "flow_started", flow("pattern_collect_information")),
				event(3, "flow_completed", flow("pattern_collect_information")),
			),
			"pattern_collect_information completed starts 2 interrupted 0 resumed 0 step  escalated false",
		},
		{
			"twice",
			run(
				event(1, "flow_started", flow("a")), event(2, "flow_completed", flow("a")),
				event(3, "flow_started", flow("a")),
			),
			"a completed starts 1 interrupted 0 resumed 0 step  escalated false; a open starts 1 interrupted 0 resumed 0 step  escalated false",
		},
		{
			"an end without a start", run(event(1, "flow_completed", flow("a"))),
			"a completed starts 0 interrupted 0 resumed 0 step  escalated false",
		},
		{
			"handed over inside",
			run(
				event(1, "flow_started", flow("a")), event(2, "action", name("action_human_handoff")),
				event(3, "flow_cancelled", flow("a")), event(4, "flow_started", flow("b")),
			),
			"a cancelled starts 1 interrupted 0 resumed 0 step  escalated true; b open starts 1 interrupted 0 resumed 0 step  escalated false",
		},
	} {
		if tt.got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, tt.got, tt.want)
		}
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	said := event(0, "user", text("hi"))
	for _, tt := range []struct {
		name   string
		events []*Event
		want   Outcome
	}{
		{"nobody wrote", []*Event{event(0, "bot", text("news"))}, NotEngaged},
		{
			"only the session start",
			[]*Event{event(0, "user", text("/session_start")), event(1, "bot", text("Hello!"))},
			NotEngaged,
		},
		{"an answer", []*Event{said, event(1, "bot", text("It arrives today."))}, ResolvedAssumed},
		{"a question", []*Event{said, event(1, "bot", text("Which parcel?"))}, Abandoned},
		{
			"buttons",
			[]*Event{said, event(1, "bot", text("Choose"), func(e *Event) { e.Rich = `{"buttons":[{}]}` })},
			Abandoned,
		},
		{"a fallback", []*Event{said, event(1, "bot", text("Sorry."), name("utter_default"))}, Abandoned},
		{"an error", []*Event{said, event(1, "bot", text("Sorry."), name("utter_internal_error_rasa"))}, Abandoned},
		{"no reply", []*Event{said}, Abandoned},
		{
			"a completed flow that asks for more",
			[]*Event{
				said, event(1, "bot", text("Done.")), event(2, "flow_completed", flow("a")),
				event(3, "bot", text("Anything else?"), name("utter_can_do_something_else")),
			},
			ResolvedAssumed,
		},
		{
			"an error after a completed flow",
			[]*Event{
				said, event(1, "bot", text("Done.")), event(2, "flow_completed", flow("a")),
				event(3, "bot", text("Sorry, something went wrong."), name("utter_internal_error_rasa")),
			},
			Abandoned,
		},
		{
			"an error after a completed flow, at its instant",
			[]*Event{
				said, event(1, "bot", text("Done.")), event(2, "flow_completed", flow("a")),
				event(2, "bot", text("Sorry."), name("utter_internal_error_rasa")),
			},
			Abandoned,
		},
		{
			"nobody wrote, handed over",
			[]*Event{event(0, "bot", text("news")), event(1, "action", name("action_human_handoff"))},
			NotEngaged,
		},
		{"satisfied", []*Event{said, event(1, "slot", name("csat_score"), value(`"satisfied"`))}, ResolvedConfirmed},
		{
			"unsatisfied after an answer",
			[]*Event{
				said, event(1, "bot", text("Done.")), event(2, "user", text("/SetSlots(csat_score=unsatisfied)")),
				event(3, "slot", name("csat_score"), value(`"unsatisfied"`)),
			},
			ResolvedAssumed,
		},
	} {
		if got := defaults(t, tt.events...).Conversations[0].Outcome(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestStack(t *testing.T) {
	t.Parallel()
	push := func(at float64, path, flow string) *Event {
		return event(
			at, "stack",
			update(`[{"op":"add","path":"`+path+`","value":{"flow_id":"`+flow+`","step_id":"START","n":1.50}}]`),
		)
	}
	patch := func(at float64, ops string) *Event { return event(at, "stack", update(ops)) }
	tops := func(events ...*Event) string {
		c := defaults(t, events...)
		var out []string
		for _, s := range c.Steps {
			out = append(out, s.FlowID+"/"+s.StepID)
		}
		for _, e := range c.Events {
			if e.Extra&FlagStackNotApplied != 0 {
				out = append(out, "not applied")
			}
		}
		return strings.Join(out, " ")
	}
	for _, tt := range []struct {
		name, got, want string
	}{
		{
			"push, step, pop",
			tops(
				push(0, "/0", "a"), patch(1, `[{"op":"replace","path":"/0/step_id","value":"1"}]`), push(2, "/1", "b"),
				patch(3, `[{"op":"remove","path":"/1"}]`), patch(4, `[{"op":"remove","path":"/0"}]`),
			),
			"a/START a/1 b/START a/1 /",
		},
		{
			"append, move, copy, test",
			tops(
				push(0, "/-", "a"),
				patch(
					1,
					`[{"op":"copy","from":"/0","path":"/1"},{"op":"replace","path":"/1/flow_id","value":"b"},{"op":"test","path":"/0/n","value":1.50}]`,
				),
				patch(2, `[{"op":"move","from":"/1","path":"/0"}]`),
			),
			"a/START b/START a/START",
		},
		{
			"does not fit",
			tops(
				push(0, "/0", "a"), patch(1, `[{"op":"replace","path":"/9/step_id","value":"s"}]`),
				patch(2, `[{"op":"replace","path":"/0/step_id","value":"2"}]`),
			),
			"a/START a/2 not applied",
		},
		{"not JSON", tops(patch(0, `nonsense`)), "not applied"},
		{
			"reset at the session's start", tops(push(0, "/0", "a"), event(1, "session_started"), push(2, "/0", "b")),
			"a/START b/START",
		},
		{
			"builds on the stack before the reset",
			tops(
				push(0, "/0", "a"), event(1, "restart"), patch(2, `[{"op":"replace","path":"/0/step_id","value":"7"}]`),
			),
			"a/START a/7",
		},
		{
			"silence resets nothing",
			tops(
				push(0, "/0", "a"), event(1, "conversation_inactive"),
				patch(2, `[{"op":"replace","path":"/0/step_id","value":"7"}]`),
			),
			"a/START a/7",
		},
		{"grows without end", tops(push(0, "/0", "a"), patch(1, doubling())), "a/START not applied"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

// doubling is a patch that would make the stack 2^60 times as large.
func doubling() string {
	ops := make([]string, 60)
	for i := range ops {
		ops[i] = fmt.Sprintf(`{"op":"copy","from":"/0","path":"/0/x%d"}`, i)
	}
	return "[" + strings.Join(ops, ",") + "]"
}

func TestTurnsKnowFlowAndAction(t *testing.T) {
	t.Parallel()
	push := func(at float64, ops string) *Event { return event(at, "stack", update(ops)) }
	c := defaults(t,
		event(0, "user", text("hi")), push(1, `[{"op":"add","path":"/0","value":{"flow_id":"a","step_id":"s"}}]`),
		event(
			2, "action", name("action_fetch"),
		), event(3, "action", name("utter_ask")), event(4, "bot", text("Which?")), event(
			5, "action", name("action_log"),
		), event(6, "action", name("action_listen")),
		event(7, "user", text("this")), event(8, "bot", text("Fine.")), push(9, `[{"op":"remove","path":"/0"}]`),
		event(10, "user", text("bye")), event(11, "action", name("action_listen")),
	)
	var got []string
	for _, x := range c.Turns {
		got = append(got, x.Flow+"/"+x.Action)
	}
	if want := "a/utter_ask / /"; strings.Join(got, " ") != want { // the second ended after the flow was gone
		t.Errorf("%q, want %q", strings.Join(got, " "), want)
	}
}

func TestStateSurvivesTheStore(t *testing.T) {
	t.Parallel()
	settings := DefaultSettings()
	p := new(Projection)
	events := slices.Concat(start(0), []*Event{
		event(1, "user", text("hi")), event(
			2, "stack", update(`[{"op":"add","path":"/0","value":{"flow_id":"a","n":12345678901234567890}}]`),
		),
		event(3, "flow_started", flow("a")), event(4, "bot", text("Which?")), event(
			5, "action", name("action_listen"), took(1, 2),
		),
	})
	if _, _, ok := NewFold(p, NewRules(settings), nil).Project(events); !ok {
		t.Fatal("cannot fold")
	}
	back, err := UnmarshalProjection(p.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if string(back.Marshal()) != string(p.Marshal()) || !back.Current.Stored() || !back.Current.Runs[0].Stored() {
		t.Error("the state changed by being stored")
	}
	b := p.Marshal()
	b[0] ^= 1
	if _, err := UnmarshalProjection(b); err != ErrStateVersion { //nolint:errorlint // the sentinel itself
		t.Errorf("a state of another version: got %v", err)
	}
	for n := range p.Marshal() {
		if q, err := UnmarshalProjection(p.Marshal()[:n]); err == nil {
			t.Fatalf("a state cut after %d bytes is read as %+v", n, q)
		}
	}
}

func TestSeqGrows(t *testing.T) {
	t.Parallel()
	c := defaults(
		t, event(0, "user", text("a")), event(0, "bot", text("b")), event(0, "bot", text("c")),
		event(.0000001, "bot", text("d")),
	)
	for i := 1; i < len(c.Events); i++ {
		if c.Events[i].Seq <= c.Events[i-1].Seq {
			t.Errorf("seq %d after %d", c.Events[i].Seq, c.Events[i-1].Seq)
		}
	}
}

// TestLateAction: the action of an answer may come after it.
func TestLateAction(t *testing.T) {
	t.Parallel()
	turn := defaults(
		t, event(0, "user", text("hi")), event(1, "bot", text("Hello.")), event(1, "action", name("utter_hello")),
	).Turns
	if len(turn) != 1 || turn[0].Action != "utter_hello" {
		t.Errorf("the answer's action: %+v", turn)
	}
}

// TestIdleCuts: a message after the idle time begins a conversation where the assistant is set to it; what says nothing
// does not, nor does one at the limit.
func TestIdleCuts(t *testing.T) {
	t.Parallel()
	idle := float64(DefaultSettings().IdleMinutes * 60)
	for name, tt := range map[string]struct {
		cuts CutRule
		then *Event
		want int
	}{
		"behind the limit":        {CutByIdle, event(1000+idle+1, "user"), 2},
		"at the limit":            {CutByIdle, event(1000+idle, "user"), 1},
		"the assistant reminds":   {CutByIdle, event(1000+idle+1, "bot"), 2},
		"a person writes":         {CutByIdle, event(1000+idle+1, "agent"), 2},
		"a slot is set":           {CutByIdle, event(1000+idle+1, "slot"), 1},
		"the assistant listens":   {CutByIdle, event(1000+idle+1, "action"), 1},
		"it is not set":           {CutAsTold, event(1000+idle+1, "user"), 1},
		"the conversation is one": {CutByIdle, event(1001, "user"), 1},
	} {
		s := DefaultSettings()
		s.CutBy = tt.cuts
		p := new(Projection)
		if _, _, ok := NewFold(p, NewRules(s), nil).Project([]*Event{event(1000, "user"), tt.then}); !ok || p.Count != tt.want {
			t.Errorf("%s: %d conversations", name, p.Count)
		}
	}
}
