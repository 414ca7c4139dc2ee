package demo

import (
	"fmt"
)

func (t *talk) run() {
	r := t.g.r
	t.slot("session_started_metadata", `{"lang": "en", "page": "https://www.example.org/help"}`)
	t.action("action_session_start", "")
	t.emit("session_started", "", nil)
	t.action("action_listen", "")
	if r.Float64() < 0.06 {
		t.say("utter_greet", t.b.greeting, "")
		t.action("action_listen", "")
		t.close("inactive")
		return // nobody wrote
	}
	t.at += 1 + 3*r.ExpFloat64()
	how := "completed"
	for range 1 + min(int(r.ExpFloat64()*0.7), 3) {
		if how = t.runFlow(); how != "completed" {
			break
		}
	}
	if how == "completed" {
		t.goodbye()
	}
	t.close(how)
}

// runFlow has one request of the user; it returns completed, left or human.
func (t *talk) runFlow() string {
	r := t.g.r
	f := t.pickFlow()
	t.hears(pick(r, f.ask), f.id, `{"command": "start flow", "flow": `+quote(f.id)+`}`)
	t.stack(
		fmt.Sprintf(
			`[{"op": "add", "path": "/0", "value": {"frame_id": %q, "flow_id": %q, "step_id": "START", "frame_type": "regular", "type": "flow"}}]`,
			t.g.hex(4), f.id,
		),
	)
	t.flow("started", f.id, "")
	defer func() { t.active = "" }()
	for i, s := range f.steps {
		stepID := fmt.Sprintf("%d_collect_%s", i, s.slot)
		if t.b.modern {
			t.active = `, "active_flow": ` + quote(f.id) + `, "step_id": ` + quote(stepID)
		}
		t.stack(fmt.Sprintf(`[{"op": "replace", "path": "/0/step_id", "value": %q}]`, stepID))
		data := ""
		if s.buttons {
			data = buttons(s.answers)
		}
		t.say("utter_ask_"+s.slot, s.say, data)
		t.listen()
		if r.Float64() < s.drop {
			return "left"
		}
		if end := t.lost(f.id, stepID); end != "" {
			return end
		}
		if r.Float64() < 0.012*t.rel.human {
			t.hears(
				pick(r, []string{"I want to talk to a person", "agent", "let me speak to a human please"}), "human", "",
			)
			return t.human(f.id, stepID)
		}
		answer := pick(r, s.answers)
		t.hears(
			answer, "inform",
			`{"command": "set slot", "name": `+quote(s.slot)+`, "value": `+quote(answer)+`, "extractor": "LLM"}`,
		)
		t.slot(s.slot, quote(answer))
	}
	t.action("action_"+f.id, "")
	data := ""
	if f.image {
		data = `{"elements": null, "quick_replies": null, "buttons": null, "attachment": null, "image": "https://static.example.org/picture.png", "custom": null}`
	}
	t.say("utter_done_"+f.id, f.done, data)
	t.stack(`[{"op": "remove", "path": "/0"}]`)
	t.flow("completed", f.id, fmt.Sprintf("%d_end", len(f.steps)))
	if t.b.modern {
		t.say("utter_can_do_something_else", "Is there anything else?", "")
	}
	t.listen()
	return "completed"
}

// lost has the assistant not understand, as often as its release does; it returns how the conversation ends by that,
// "" where it goes on.
func (t *talk) lost(flow, step string) string {
	r := t.g.r
	for r.Float64() < t.rel.lost {
		t.notUnderstood()
		if r.Float64() < 0.22*t.rel.human {
			return t.human(flow, step)
		}
		if r.Float64() < 0.2 {
			return "left"
		}
	}
	return ""
}

// pickFlow draws a flow by how often each is asked for.
func (t *talk) pickFlow() flow {
	total := 0.0
	for _, f := range t.b.flows {
		total += f.share
	}
	x := t.g.r.Float64() * total
	for _, f := range t.b.flows {
		if x -= f.share; x < 0 {
			return f
		}
	}
	return t.b.flows[len(t.b.flows)-1]
}

func (t *talk) notUnderstood() {
	t.hears(pick(t.g.r, t.b.lost), "nlu_fallback", `{"command": "cannot handle", "reason": "cannot_handle_default"}`)
	if !t.b.modern {
		t.action("action_default_fallback", "")
	}
	t.say("utter_default", t.b.fallback, "")
	t.listen()
}

// human hands the conversation over; sometimes the colleague's words are recorded.
func (t *talk) human(flow, step string) string {
	t.action("action_human_handoff", "")
	t.say("utter_handoff", t.b.handoff, "")
	t.flow("cancelled", flow, step)
	t.stack(`[{"op": "remove", "path": "/0"}]`)
	t.listen()
	if t.g.r.Float64() < 0.5 {
		t.emit("pause", "", nil)
		t.at += 40 + 90*t.g.r.ExpFloat64()
		for _, text := range []string{
			"Hello, this is Ilse from the service desk. I have read what you wrote.",
			"I have put that right for you. You will get a letter within the week.",
		} {
			t.emit(
				"agent", "",
				func(b []byte) []byte { return append(str(append(b, `"text": `...), text), `, "data": null`...) },
			)
			t.at += 20 + 40*t.g.r.ExpFloat64()
		}
		t.emit("resume", "", nil)
	}
	if t.g.r.Float64() < 0.4 {
		t.rate(0.45)
	}
	return "human"
}

func (t *talk) goodbye() {
	r := t.g.r
	if r.Float64() < 0.25 {
		return // gone without a word
	}
	t.hears(pick(r, t.b.thanks), "goodbye", "")
	t.say("utter_goodbye", t.b.bye, "")
	if r.Float64() < 0.6 {
		t.rate(0.86 - 0.25*(t.rel.slow-1))
		return
	}
	t.listen()
}

// rate asks for a rating; good is the share of satisfied answers.
func (t *talk) rate(good float64) {
	r := t.g.r
	t.flow("started", "pattern_customer_satisfaction", "")
	options := []string{"satisfied", "unsatisfied"}
	if !t.b.modern {
		options = []string{"1", "2", "3", "4", "5"}
	}
	t.say("utter_ask_csat_score", t.b.rating, buttons(options))
	t.listen()
	if r.Float64() < 0.45 {
		return
	}
	answer := options[0]
	if happy := r.Float64() < good; t.b.modern {
		if !happy {
			answer = options[1]
		}
	} else if answer = options[r.IntN(3)]; happy {
		answer = options[3+r.IntN(2)]
	}
	t.hears(
		"/SetSlots(csat_score="+answer+")", "inform",
		`{"command": "set slot", "name": "csat_score", "value": `+quote(answer)+
			`, "extractor": "COMMAND_PAYLOAD_READER"}`,
	)
	t.slot("csat_score", quote(answer))
	t.flow("completed", "pattern_customer_satisfaction", "2_thanks")
	t.slot("csat_score", "null")
	t.listen()
}

// close ends the session where the wire form tells of that.
func (t *talk) close(how string) {
	if !t.b.modern {
		return
	}
	if how == "completed" || how == "human" {
		t.emit("session_ended", `, "_reason": "user left"`, nil)
		return
	}
	t.at += 3600
	t.emit("conversation_inactive", "", nil)
}
