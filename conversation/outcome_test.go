package conversation

import (
	"slices"
	"testing"
)

// TestLastAnswer has the outcomes of conversations whose last turn leaves nothing open, or seems to.
func TestLastAnswer(t *testing.T) {
	t.Parallel()
	said := func(at float64, words string) *Event { return event(at, "user", text(words)) }
	bot := func(at float64, words string) *Event { return event(at, "bot", text(words)) }
	rate := event(5, "bot", text("How was this conversation?"), name("utter_ask_csat_score"))
	more := event(5, "bot", text("Is there anything else?"), name("utter_anything_else"))
	answered := []*Event{said(0, "where is my parcel"), bot(1, "It arrives today.")}
	asked := []*Event{said(0, "where is my parcel"), bot(1, "Which parcel?")}
	intent := func(at float64, words, name string) *Event {
		e := said(at, words)
		e.Intent = name
		return e
	}
	for _, tt := range []struct {
		name    string
		before  []*Event
		events  []*Event
		want    Outcome
		because Because
	}{
		{"bye, and only a rating prompt", answered, []*Event{said(4, "bye"), rate}, ResolvedAssumed, KeptAnswer},
		{
			"other words, and only a rating prompt", answered,
			[]*Event{said(4, "whatever"), rate},
			ResolvedAssumed,
			KeptAnswer,
		},
		{"only a closing question by its name", answered, []*Event{said(4, "no"), more}, ResolvedAssumed, KeptAnswer},
		{
			"only a closing question by its words", answered,
			[]*Event{said(4, "hm"), bot(5, "Kann ich sonst noch etwas für Sie tun?")},
			ResolvedAssumed, KeptAnswer,
		},
		{
			"an answer with a closing question", nil,
			[]*Event{said(0, "block my card"), bot(1, "Your card is blocked. Is there anything else I can do?")},
			ResolvedAssumed, Answered,
		},
		{"thanks without a reply", answered, []*Event{said(4, "Thanks!! 👍")}, ResolvedAssumed, KeptAnswer},
		{
			"thanks, then bye, without replies", answered,
			[]*Event{said(4, "ok thank you"), said(6, "Bye")},
			ResolvedAssumed, KeptAnswer,
		},
		{"several languages", answered, []*Event{said(4, "Vielen Dank, tschüss")}, ResolvedAssumed, KeptAnswer},
		{"another script", answered, []*Event{said(4, "谢谢")}, ResolvedAssumed, KeptAnswer},
		{"by intent", answered, []*Event{intent(4, "ta very muchly", "thank_you")}, ResolvedAssumed, KeptAnswer},
		{"a question without a reply", answered, []*Event{said(4, "and when exactly?")}, Abandoned, Unreplied},
		{
			"thanks and a question without a reply", answered,
			[]*Event{said(4, "thanks, and when?")},
			Abandoned,
			Unreplied,
		},
		{
			"a question without a reply, then bye", answered,
			[]*Event{said(4, "and when exactly?"), said(9, "bye")},
			Abandoned, KeptUnreplied,
		},
		{"bye after a question of the assistant", asked, []*Event{said(4, "bye")}, Abandoned, KeptQuestion},
		{"bye at once", nil, []*Event{bot(0, "Hello!"), said(1, "bye")}, Abandoned, KeptUnreplied},
		{
			"a rating typed without a reply", answered,
			[]*Event{rate, said(9, "4"), event(9.1, "slot", name("csat_score"), value("4"))},
			ResolvedConfirmed,
			RatedGood,
		},
		{
			"a bad rating typed without a reply", answered,
			[]*Event{rate, said(9, "it was bad"), event(9.1, "slot", name("csat_score"), value("1"))},
			ResolvedAssumed,
			KeptAnswer,
		},
		{
			"a rating by a plain button without a reply", answered,
			[]*Event{rate, said(9, "bad")},
			ResolvedAssumed,
			KeptAnswer,
		},
		{
			"a fallback, then bye",
			[]*Event{said(0, "xyz"), event(1, "bot", text("Sorry?"), name("utter_default"))},
			[]*Event{said(4, "bye")},
			Abandoned, KeptFallback,
		},
		{
			"a flow that ends without words, then thanks",
			[]*Event{said(0, "pay"), event(1, "flow_completed", flow("pay"))},
			[]*Event{said(4, "thanks")},
			ResolvedAssumed, KeptFlow,
		},
		{"thanks, answered", asked, []*Event{said(4, "thanks"), bot(5, "You are welcome.")}, ResolvedAssumed, Answered},
		{"a closing question before any answer", nil, []*Event{said(0, "hi"), more}, Abandoned, KeptUnreplied},
	} {
		c := defaults(t, slices.Concat(tt.before, tt.events)...).Conversations[0]
		if got, because := c.Ending(); got != tt.want || because != tt.because {
			t.Errorf("%s: got %s because %s, want %s because %s", tt.name, got, because, tt.want, tt.because)
		}
	}
}

// TestClosingSettings holds that what closes is a setting.
func TestClosingSettings(t *testing.T) {
	t.Parallel()
	s := DefaultSettings()
	s.ClosingWords, s.ClosingIntents, s.ClosingQuestions = []string{"over and out"}, []string{"end*"}, []string{"utter_more?", "*roger*?"}
	answered := []*Event{event(0, "user", text("where")), event(1, "bot", text("here"))}
	for words, want := range map[string]Outcome{
		"Over, and out!": ResolvedAssumed, "over": Abandoned, "thanks": Abandoned,
	} {
		if got := fold(
			t, s, append(slices.Clone(answered), event(2, "user", text(words)))...,
		).Conversations[0].Outcome(); got != want {
			t.Errorf("%q: %s, want %s", words, got, want)
		}
	}
	if got := fold(
		t, s,
		append(
			slices.Clone(answered), event(2, "user", text("x")), event(3, "bot", text("Do you copy, Roger that?")),
		)...,
	).Conversations[0].Outcome(); got != ResolvedAssumed {
		t.Errorf("a closing question by words: %s", got)
	}
}

// TestPause has whether and when a pause hands a conversation to a human.
func TestPause(t *testing.T) {
	t.Parallel()
	said := event(0, "user", text("a human please"))
	pause := func(at float64) *Event { return event(at, "pause") }
	bot, agent, resume := event(
		20, "bot", text("Hello again"),
	), event(15, "agent", text("I am Ada")), event(18, "resume")
	for _, tt := range []struct {
		name   string
		events []*Event
		auto   float64 // when it escalated; -1 when not
		always float64
	}{
		{"nothing follows", []*Event{said, pause(2)}, 2, 2},
		{"only the user writes", []*Event{said, pause(2), event(9, "user", text("hello??"))}, 2, 2},
		{"the assistant goes on", []*Event{said, pause(2), bot}, -1, 2},
		{"an agent, then the assistant", []*Event{said, pause(2), agent, bot}, 2, 2},
		{
			"the assistant, then an agent",
			[]*Event{said, pause(2), event(3, "bot", text("I'll connect you.")), agent},
			2, 2,
		},
		{
			"the assistant, then an agent after a resume",
			[]*Event{said, pause(2), event(3, "bot", text("I'll connect you.")), event(4, "resume"), agent},
			-1, 2,
		},
		{"resumed", []*Event{said, pause(2), resume, bot}, -1, 2},
		{"resumed without a word", []*Event{said, pause(2), resume}, -1, 2},
		{"an agent, then resumed", []*Event{said, pause(2), agent, resume, bot}, 2, 2},
		{"paused twice, the last counts", []*Event{said, pause(2), resume, pause(30)}, 30, 2},
		{"a hand-off action first", []*Event{said, event(1, "action", name("action_human_handoff")), pause(2)}, 1, 1},
		{"a hand-off action later", []*Event{said, pause(2), event(4, "action", name("action_human_handoff"))}, 2, 2},
		{
			"a hand-off action after the assistant went on",
			[]*Event{said, pause(2), bot, event(21, "action", name("action_human_handoff"))},
			21, 2,
		},
	} {
		for rule, want := range map[PauseRule]float64{PauseAuto: tt.auto, PauseAlways: tt.always} {
			s := DefaultSettings()
			s.HandoffPause = rule
			c := fold(t, s, tt.events...).Conversations[0]
			got, _ := c.Escalation()
			if (got != 0) != (want >= 0) || want >= 0 && got != MicrosOf(1767261600+want) {
				t.Errorf("%s, %s: escalated at %v, want %v", tt.name, rule, float64(got)/1e6-1767261600, want)
			}
			if outcome := c.Outcome(); (outcome == Escalated) != (want >= 0) {
				t.Errorf("%s, %s: the outcome is %s", tt.name, rule, outcome)
			}
		}
		s := DefaultSettings()
		s.HandoffPause = PauseNever
		if at, reason := fold(t, s, tt.events...).Conversations[0].Escalation(); at != 0 && reason == "pause" {
			t.Errorf("%s, never: escalated by a pause", tt.name)
		}
	}
	in := []*Event{said, event(1, "flow_started", flow("pay")), pause(2)}
	for name, x := range map[string]struct {
		more []*Event
		want bool
	}{
		"handed over": {nil, true}, "the assistant went on": {[]*Event{bot}, false},
		"completed meanwhile, then went on": {[]*Event{event(3, "flow_completed", flow("pay")), bot}, false},
	} {
		runs := defaults(t, slices.Concat(in, x.more)...).Runs
		if len(runs) != 1 || runs[0].Escalated != x.want {
			t.Errorf("%s: the flow run says escalated %v", name, runs[0].Escalated)
		}
	}
}

// TestWidgetVisits has which starts are one conversation.
func TestWidgetVisits(t *testing.T) {
	t.Parallel()
	const a, b, c = "0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a11", "0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a12", "0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a13"
	begin := func(at float64, more ...func(*Event)) *Event {
		return event(at, "action", append(more, name("action_session_start"))...)
	}
	open := func(at float64, more ...func(*Event)) *Event {
		return event(at, "user", append(more, text("/session_start"))...)
	}
	hi := func(at float64, more ...func(*Event)) *Event { return event(at, "user", append(more, text("hi"))...) }
	greet := func(at float64, more ...func(*Event)) *Event {
		return event(at, "bot", append(more, text("Welcome!"))...)
	}
	for _, tt := range []struct {
		name   string
		events []*Event
		want   []int // events of each conversation
		ids    []string
	}{
		{"a start by the widget", []*Event{begin(0), open(0.1), begin(0.2), hi(6)}, []int{4}, nil},
		{"the start greets", []*Event{begin(0), greet(0.1), open(0.2), begin(0.3), greet(0.4), hi(6)}, []int{6}, nil},
		{
			"with the metadata slot", slices.Concat(start(0), []*Event{open(1)}, start(2), []*Event{hi(9)}),
			[]int{10},
			nil,
		},
		{"within the idle limit", []*Event{begin(0), greet(1), begin(1 + 65*60), hi(4000)}, []int{4}, nil},
		{"beyond the idle limit", []*Event{begin(0), greet(1), begin(1.5 + 65*60), hi(4000)}, []int{2, 2}, nil},
		{"after words of the user", []*Event{begin(0), hi(1), begin(2), hi(3)}, []int{2, 2}, nil},
		{"a new id", []*Event{hi(0, session(a)), begin(1, session(b)), hi(2, session(b))}, []int{1, 2}, []string{a, b}},
		{
			"a new id after a mere start",
			[]*Event{begin(0, session(a)), open(1, session(a)), begin(2, session(b)), hi(3, session(b))},
			[]int{4},
			[]string{b},
		},
		{
			"two mere starts",
			[]*Event{begin(0, session(a)), begin(1, session(b)), begin(2, session(c)), hi(3, session(c))},
			[]int{4},
			[]string{c},
		},
		{
			"a new id after a greeting",
			[]*Event{begin(0, session(a)), greet(1, session(a)), begin(2, session(b)), hi(3, session(b))},
			[]int{2, 2},
			[]string{a, b},
		},
		{
			"somebody speaks in the first later on",
			[]*Event{begin(0, session(a)), begin(1, session(b)), hi(2, session(b)), hi(3, session(a))},
			[]int{2, 2},
			[]string{a, b},
		},
		{
			"an event of the first later on",
			[]*Event{
				begin(0, session(a)), begin(1, session(b)), hi(2, session(b)),
				event(3, "action", name("action_listen"), session(a)),
			},
			[]int{4},
			[]string{b},
		},
		{
			"a page opened the next day",
			[]*Event{begin(0, session(a)), begin(90000, session(b)), hi(90001, session(b))},
			[]int{1, 2},
			[]string{a, b},
		},
	} {
		all := defaults(t, tt.events...).Conversations
		var got []int
		var ids []string
		for _, c := range all {
			got, ids = append(got, c.Events), append(ids, c.ID.String())
		}
		if !slices.Equal(got, tt.want) || tt.ids != nil && !slices.Equal(ids, tt.ids) {
			t.Errorf("%s: got %v %v, want %v %v", tt.name, got, ids, tt.want, tt.ids)
		}
	}
}

// TestOrdinaryNames: names of responses and intents that only contain the letters of closing ones close nothing.
func TestOrdinaryNames(t *testing.T) {
	t.Parallel()
	r := NewRules(DefaultSettings())
	for name, want := range map[string]bool{
		"utter_operating_hours": false, "utter_integrating_app": false, "utter_feedback_received": false, "utter_generating_report": false, "utter_rates": false,
		"utter_ask_rating": true, "utter_rating": true, "utter_ask_feedback": true, "utter_ask_csat_score": true, "utter_anything_else": true, "utter_customer_satisfaction": true,
	} {
		if _, closing := r.closingQuestion(
			event(0, "bot", func(e *Event) { e.Name = name; e.Text = "Text." }),
		); closing != want {
			t.Errorf("%s closes: %t", name, closing)
		}
	}
	for intent, want := range map[string]bool{
		"thank": true, "thanks": true, "thank_you": true, "say_thanks": true, "goodbye": true,
		"ask_thanksgiving_hours": false, "buy": false,
	} {
		if got := r.closes(
			event(0, "user", func(e *Event) { e.Intent = intent; e.Text = "when are you open" }),
		); got != want {
			t.Errorf("%s closes: %t", intent, got)
		}
	}
	for text, want := range map[string]bool{
		"What is the exchange rate in this conversation?": false, "How would you rate this conversation?": true,
		"Please rate our service": false, "Anything else?": true,
	} {
		if _, closing := r.closingQuestion(event(0, "bot", func(e *Event) { e.Text = text })); closing != want {
			t.Errorf("%q closes: %t", text, closing)
		}
	}
}
