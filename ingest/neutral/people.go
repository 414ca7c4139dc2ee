package neutral

import (
	"math"

	"turnwise/conversation"
	"turnwise/ingest/wire"
)

// feedback reads a rating that was asked for or given.
func (r *raw) feedback() *wire.Reject {
	d := &r.data
	r.AgentID = d.name("agent_id")
	if !r.ofThread() && !r.apart(conversation.OfUser, r.UserID) && !r.apart(conversation.OfAgent, r.AgentID) {
		return needs("data.conversation_id, data.user_id or data.agent_id")
	}
	r.Kind, r.Rank, r.Rev = conversation.KindFeedback, 13, d.rev()
	x := &conversation.Feedback{
		ID: d.name("feedback_id"), Kind: d.word("kind", "csat", "nps", "thumbs"),
		Status: d.word("status", "asked", "answered", "dismissed"), Comment: d.text("comment"), Rev: r.Rev,
		MessageID: d.name("message_id"),
	}
	if x.ID == "" {
		x.ID = r.id
	}
	if x.ID == "" {
		return needs("data.feedback_id, and no id of the event in its place")
	}
	if x.Kind == "" {
		x.Kind = "csat"
	}
	switch v := d.take("score"); v {
	case "true":
		x.Score = 1
	case "false":
		x.Score = 0
	default:
		x.Score = d.numberOf(v, maxCount)
	}
	if x.Status == "" {
		x.Status = "answered"
		if math.IsNaN(x.Score) && x.Comment == "" {
			x.Status = "asked"
		}
	}
	x.Min, x.Max = scaleOf(x.Kind)
	switch v := d.take("scale"); {
	case v == "":
	case v[0] == '{':
		scale := members{event: r.Event}
		scale.read(&wire.Scanner{Text: v})
		if lo, hi := scale.number("min", maxCount), scale.number("max", maxCount); lo < hi {
			x.Min, x.Max = lo, hi
		}
	default:
		if hi := d.numberOf(v, maxCount); hi > x.Min {
			x.Max = hi
		}
	}
	x.Details = d.rest()
	r.Facts = x
	return nil
}

func scaleOf(kind string) (lo, hi float64) {
	switch kind {
	case "nps":
		return 0, 10
	case "thumbs":
		return 0, 1
	}
	return 1, 5
}

// score reads a judgement from outside.
func (r *raw) score() *wire.Reject {
	d := &r.data
	r.AgentID = d.name("agent_id")
	if !r.ofThread() && !r.apart(conversation.OfUser, r.UserID) && !r.apart(conversation.OfAgent, r.AgentID) {
		return needs("data.conversation_id, data.user_id or data.agent_id")
	}
	r.Kind, r.Rank, r.Rev = conversation.KindScore, 14, d.rev()
	x := &conversation.Score{
		ID: d.name("score_id"), Name: d.name("name"), Value: d.take("value"), Number: math.NaN(),
		Explanation: d.text("explanation"), By: d.word("by", "human", "model", "rule"), Author: d.name("author"),
		MessageID: d.name("message_id"), Rev: r.Rev,
	}
	if x.ID == "" {
		x.ID = r.id
	}
	switch {
	case x.ID == "":
		return needs("data.score_id, and no id of the event in its place")
	case x.Name == "":
		return needs("data.name")
	case x.Value == "":
		return needs("data.value")
	}
	switch c := x.Value[0]; {
	case c == 't':
		x.Number = 1
	case c == 'f':
		x.Number = 0
	case c == '-' || c >= '0' && c <= '9':
		x.Number = d.numberOf(x.Value, 1e300)
	case c != '"':
		d.misfit()
	}
	x.Details = d.rest()
	r.Facts = x
	return nil
}

// user reads what is told of a user.
func (r *raw) user() *wire.Reject {
	d := &r.data
	if !r.apart(conversation.OfUser, r.UserID) {
		return needs("data.user_id")
	}
	r.Kind, r.Rank, r.Rev = conversation.KindProfile, 1, d.rev()
	x := &conversation.Profile{Aliases: d.names("aliases"), FirstSeen: d.time("first_seen")}
	d.take("aliases")
	traits := d.object("traits")
	d.take("traits")
	for i := range traits.list {
		x.Fields = append(x.Fields, conversation.Field{
			Name: traits.list[i].key, Value: traits.list[i].value, Rev: r.Rev,
		})
	}
	for i := range d.list {
		if m := &d.list[i]; !m.taken && m.value != "null" {
			x.Fields = append(x.Fields, fields(m.key, m.value, r.Rev)...)
		}
	}
	r.Facts = x
	return nil
}

// agent reads what is told of a human agent.
func (r *raw) agent() *wire.Reject {
	d := &r.data
	r.AgentID = d.name("agent_id")
	if !r.apart(conversation.OfAgent, r.AgentID) {
		return needs("data.agent_id")
	}
	r.Kind, r.Rank = conversation.KindPresence, 1
	x := &conversation.Presence{Activity: conversation.Activity{
		Actor: "human", Status: d.word("status", "available", "busy", "away", "offline"), Name: d.name("event"), ID: r.id,
		AgentSession: d.name("agent_session_id"),
	}}
	name, email, groups := d.name("name"), d.name("email"), d.names("groups")
	d.take("groups")
	if login := d.object("login"); len(login.list) > 0 {
		d.take("login")
		x.Login = &conversation.Login{
			ID: login.name("session_id"), Started: login.time("started"), Ended: login.time("ended"), Name: name,
			Email: email, Groups: groups, Rev: r.Time,
		}
		if x.Login.ID == "" {
			return needs("data.login.session_id")
		}
		if x.AgentSession == "" {
			x.AgentSession = x.Login.ID
		}
		if custom := d.has("custom"); custom != "" {
			login.list = append(login.list, member{key: "custom", value: custom})
		}
		x.Login.Details = login.rest()
	}
	if x.Status == "" && x.Name == "" && x.Login == nil {
		return needs("data.status, data.event or data.login")
	}
	x.Details = d.rest()
	r.Facts = x
	return nil
}

// activity reads what somebody did beside talking.
func (r *raw) activity() *wire.Reject {
	d := &r.data
	actor := d.word("actor", "user", "human", "bot", "system")
	r.AgentID = d.name("agent_id")
	if !r.ofThread() {
		users := actor != "human" && r.apart(conversation.OfUser, r.UserID)
		if !users && !r.apart(conversation.OfAgent, r.AgentID) && !r.apart(conversation.OfUser, r.UserID) {
			return needs("data.conversation_id, data.user_id or data.agent_id")
		}
	}
	if actor == "" {
		actor = "user"
		if r.UserID == "" && r.AgentID != "" {
			actor = "human"
		}
	}
	r.Kind, r.Rank = conversation.KindActivity, 5
	x := &conversation.Activity{
		ID: d.name("activity_id"), Actor: actor, AgentSession: d.name("agent_session_id"), Properties: d.take("properties"),
		URL: d.text("url"),
	}
	if x.ID == "" {
		x.ID = r.id
	}
	switch v := d.take("name"); {
	case v == "":
		return needs("data.name")
	case v[0] == '{':
		name := members{event: r.Event}
		name.read(&wire.Scanner{Text: v})
		if x.Name = name.name("name"); x.Name == "" {
			x.Name = name.name("event_name")
		}
		d.list = append(d.list, member{key: "event", value: v})
	default:
		x.Name = d.nameOf(v)
	}
	switch v := d.take("error"); {
	case v == "":
	case v[0] == '"':
		x.Error, _ = textOf(v)
	default:
		x.Error = v // "error" of a metric is any JSON
	}
	x.Details = d.rest()
	r.Facts = x
	return nil
}
