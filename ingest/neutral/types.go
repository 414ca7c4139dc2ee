package neutral

import (
	"math"
	"strings"

	"turnwise/conversation"
	"turnwise/ingest/wire"
)

// needs says that a field is missing without which the event means nothing.
func needs(fields string) *wire.Reject { return wire.NewReject(wire.CodeField, "no "+fields, -1) }

var errThread = needs("data.thread_id or data.conversation_id")

// what reads what the event says, by its type.
func (r *raw) what() *wire.Reject {
	switch r.Type {
	case typeMessage:
		return r.message()
	case typeTurn:
		return r.turn()
	case typeConversation:
		return r.conversation()
	case typeState:
		return r.state()
	case typeFlow:
		return r.flow()
	case typeFeedback:
		return r.feedback()
	case typeScore:
		return r.score()
	case typeUser:
		return r.user()
	case typeAgent:
		return r.agent()
	case typeActivity:
		return r.activity()
	}
	// of a type that is not known: stored and counted
	if !r.ofThread() && !r.apart(conversation.OfUser, r.UserID) && !r.apart(conversation.OfAgent, r.data.name("agent_id")) {
		r.apart(ofSource, r.source+"/"+r.Type)
	}
	r.Rank = 11
	return nil
}

// message reads what somebody said.
func (r *raw) message() *wire.Reject {
	d := &r.data
	if !r.ofThread() {
		return errThread
	}
	r.MessageID = d.name("message_id")
	if r.MessageID == "" {
		r.MessageID = r.id
	}
	if r.MessageID == "" {
		return needs("data.message_id, and no id of the event in its place")
	}
	author := d.word("author", "user", "bot", "assistant", "human", "agent", "system")
	r.Rank = 10
	switch author {
	case "user":
		r.Kind, r.Rank = conversation.KindUser, 4
	case "bot", "assistant":
		r.Kind = conversation.KindBot
	case "human", "agent":
		r.Kind = conversation.KindAgent
	case "system":
		r.Kind = conversation.KindSystem
	default:
		return wire.NewReject(wire.CodeField, "data.author is none of user, bot, human, system", -1)
	}
	if d.word("visibility", "public", "internal") == "internal" {
		r.Kind = conversation.KindNote
	}
	kind := d.has("kind")
	if kind == `"event"` && r.Kind == conversation.KindUser {
		r.Traits |= conversation.Platform
	}
	r.Text, r.AgentID = d.text("text"), d.name("agent_id")
	r.FlowID, r.StepID = d.nameOf(d.has("flow")), d.nameOf(d.has("step"))
	x := &conversation.Said{
		AgentSession: d.name("agent_session_id"), Type: d.name("message_type"), ReplyTo: d.name("reply_to_id"),
		ResponseMS: math.NaN(), Words: -1, Deleted: d.yes("deleted"),
	}
	if ms := d.numberOf(d.has("response_ms"), maxMS); ms >= 0 {
		x.ResponseMS = ms
	}
	if r.Kind == conversation.KindAgent {
		if n := d.numberOf(d.has("word_count"), maxCount); n >= 0 {
			x.Words = int(min(n, mostWords))
		} else {
			x.Words = len(strings.Fields(r.Text))
		}
		assist := d.object("assist")
		x.Assisted, x.Pilot = assist.yes("used"), assist.yes("pilot_passed")
	}
	if x.Type == "" {
		x.Type, _ = textOf(kind)
	}
	r.Rev = d.rev()
	r.Rich = r.rich()
	turn := d.take("turn")
	x.Details = d.rest()
	r.Facts = x
	if turn != "" && turn[0] == '{' {
		told := r.members()
		told.read(&wire.Scanner{Text: turn})
		x.Turn = r.measured(&told)
	}
	return nil
}

// mostWords is how many words a message can have.
const mostWords = 1_000_000

// rich returns what a message holds beside text, as JSON, or "".
func (r *raw) rich() string {
	var b strings.Builder
	for _, x := range [][2]string{{"attachments", "attachments"}, {"buttons", "options"}, {"content", "content"}} {
		v := r.data.take(x[1])
		if v == "" || v == "[]" || v == "{}" || v == `""` {
			continue
		}
		if b.Len() == 0 {
			b.WriteByte('{')
		} else {
			b.WriteByte(',')
		}
		b.WriteString(`"` + x[0] + `":` + v)
	}
	if b.Len() == 0 {
		return ""
	}
	return b.String() + "}"
}

// turn reads what was measured of a turn.
func (r *raw) turn() *wire.Reject {
	r.MessageID = r.data.name("message_id")
	// Some platforms tell of a message alone: it is found by that.
	if !r.ofThread() && (r.MessageID == "" || !r.apart(ofSource, r.source+"/"+r.Type)) {
		return errThread
	}
	if r.MessageID == "" && r.data.has("turn_id") == "" && r.id == "" {
		return needs("data.message_id or data.turn_id, and no id of the event in their place")
	}
	r.Kind, r.Rank, r.Rev = conversation.KindTurn, 12, r.data.rev()
	r.Facts = r.measured(&r.data)
	return nil
}

// measured reads what is told of a turn.
func (r *raw) measured(d *members) *conversation.TurnFacts {
	x := &conversation.TurnFacts{
		ResponseMS: math.NaN(), Result: d.word("result", "handled", "fallback", "no_input", "error"),
	}
	if ms := d.number("response_ms", maxMS); ms >= 0 {
		x.ResponseMS = ms
	}
	if ms := d.numberOf(d.has("nlu_ms"), maxMS); ms >= 0 {
		r.UnderstandingMS = ms
	}
	if ms := d.numberOf(d.has("dialog_ms"), maxMS); ms >= 0 {
		r.PredictionMS = ms
	}
	first := true
	d.each("intents", func(v string) {
		if !first {
			return
		}
		first = false
		if strings.HasPrefix(v, "{") {
			intent := r.members()
			intent.read(&wire.Scanner{Text: v})
			r.Intent, r.Confidence = intent.name("name"), intent.number("score", maxCount)
			return
		}
		r.Intent = d.nameOf(v)
	})
	if v := d.has("entities"); len(v) > 2 && v[0] == '[' {
		r.Entities = d.take("entities")
	}
	if flow := d.has("flow"); flow != "" {
		r.FlowID, r.StepID = d.nameOf(flow), d.nameOf(d.has("step"))
	}
	d.each("calls", func(v string) {
		if !strings.HasPrefix(v, "{") || len(x.Calls) == conversation.MaxCommands {
			d.misfit()
			return
		}
		c := members{event: r.Event}
		c.read(&wire.Scanner{Text: v})
		x.Calls = append(x.Calls, c.call())
	})
	d.take("calls")
	x.Details = d.rest()
	return x
}

// call reads a call of a model, a tool or a service.
func (m *members) call() conversation.Call {
	kind := m.word("kind", "llm", "nlu", "tool", "retrieval", "spellcheck", "integration")
	c := conversation.Call{
		Kind: kind, Name: m.name("name"), Provider: m.name("provider"), Status: m.name("status"), Error: m.text("error"),
		MS: m.number("ms", maxMS), FirstTokenMS: m.number("first_token_ms", maxMS), Cost: m.number("cost_usd", maxCount),
		InputTokens: m.number("input_tokens", maxCount), OutputTokens: m.number("output_tokens", maxCount),
	}
	c.Details = m.rest()
	return c
}

// flow reads a step of a flow.
func (r *raw) flow() *wire.Reject {
	d := &r.data
	if !r.ofThread() {
		return errThread
	}
	if r.FlowID = d.name("flow"); r.FlowID == "" {
		return needs("data.flow")
	}
	r.StepID, r.Rank = d.name("step"), 8
	r.Name = d.word("status", "started", "step", "completed", "cancelled", "interrupted", "resumed", "failed")
	switch r.Name {
	case "started":
		r.Kind = conversation.KindFlowStarted
	case "step":
		r.Kind = conversation.KindFlowStep
	case "completed":
		r.Kind = conversation.KindFlowCompleted
	case "interrupted":
		r.Kind = conversation.KindFlowInterrupted
	case "resumed":
		r.Kind = conversation.KindFlowResumed
	case "cancelled":
		r.Kind = conversation.KindFlowCancelled
	case "failed":
		r.Kind, r.Traits = conversation.KindFlowCancelled, r.Traits|conversation.Fails
	default:
		return wire.NewReject(
			wire.CodeField,
			"data.status is none of started, step, completed, cancelled, interrupted, resumed, failed", -1,
		)
	}
	return nil
}

// state reads that a conversation has another state or handler.
func (r *raw) state() *wire.Reject {
	d := &r.data
	if !r.ofThread() {
		return errThread
	}
	r.Kind, r.Rank = conversation.KindState, 9
	x := &conversation.StateChange{
		ID: d.name("state_id"), State: d.name("state"), Reason: d.name("reason"),
		Status: conversation.Status(d.word("status", "open", "snoozed", "closed")),
		By:     d.word("by", "user", "bot", "human", "system"),
	}
	if x.ID == "" {
		x.ID = r.id
	}
	handler := d.object("handler")
	d.take("handler")
	x.Handler = conversation.Handler(handler.word("kind", "bot", "queue", "human", "none"))
	x.TeamID, r.AgentID = handler.name("team_id"), handler.name("agent_id")
	if x.TeamID == "" {
		x.TeamID = d.name("team_id")
	}
	if r.AgentID == "" {
		r.AgentID = d.name("agent_id")
	}
	if x.Status == "" && x.Handler == "" {
		x.Status, x.Handler = canonical(x.State)
	}
	if x.Status == "" && x.Handler == "" && x.State == "" {
		return needs("data.status, data.handler or data.state")
	}
	x.Custom = d.rest()
	r.Facts = x
	return nil
}

// canonical is what the word of a platform for a state means, where it is a common one.
func canonical(state string) (conversation.Status, conversation.Handler) {
	letters := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' {
			return c
		}
		return -1
	}, strings.ToLower(state))
	switch letters {
	case "newchat", "new":
		return conversation.StatusOpen, conversation.HandledByBot
	case "transferchat", "queuedchat", "waitingchat", "waiting", "queued":
		return conversation.StatusOpen, conversation.HandledByQueue
	case "assignedchat", "acceptedchat", "reassignedchat", "assigned", "accepted":
		return conversation.StatusOpen, conversation.HandledByHuman
	case "botchat", "transfertobot", "returned":
		return conversation.StatusOpen, conversation.HandledByBot
	case "holdchat", "snoozedchat", "onhold", "snoozed":
		return conversation.StatusSnoozed, ""
	case "missedchat", "abandonedchat", "timeoutchat", "missed":
		return conversation.StatusMissed, ""
	case "closedchat", "closechat", "endchat", "resolvedchat", "closed", "resolved":
		return conversation.StatusClosed, ""
	}
	return "", ""
}

// conversation reads what is told of a conversation as a whole.
func (r *raw) conversation() *wire.Reject {
	d := &r.data
	if !r.ofThread() {
		return errThread
	}
	r.Kind, r.Rank, r.Rev = conversation.KindAbout, 3, d.rev()
	x := &conversation.About{}
	x.EndReason = d.nameOf(d.has("end_reason"))
	resolution := d.object("resolution")
	x.Resolution = resolution.word("value", "resolved", "unresolved", "escalated", "pending", "unknown")
	x.ResolutionBy = resolution.name("by")
	if v := d.has("ended_at"); v != "" {
		x.EndedAt = d.time("ended_at")
		d.add(x, "ended_at", v, r.Rev)
	}
	for i := range d.list {
		if m := &d.list[i]; !m.taken && m.value != "null" {
			d.add(x, m.key, m.value, r.Rev)
		}
	}
	r.Facts = x
	return nil
}

// add adds what is told; the members of metadata and of custom stand for themselves.
func (m *members) add(x *conversation.About, key, value string, rev float64) {
	x.Fields = append(x.Fields, fields(key, value, rev)...)
}

func fields(key, value string, rev float64) (all []conversation.Field) {
	if key != "metadata" && key != "custom" || value[0] != '{' {
		return []conversation.Field{{Name: key, Value: value, Rev: rev}}
	}
	inner := members{event: new(conversation.Event)}
	inner.read(&wire.Scanner{Text: value})
	for _, m := range inner.list {
		all = append(all, conversation.Field{Name: key + "." + m.key, Value: m.value, Rev: rev})
	}
	return all
}
