package ingest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// neutralEvents makes a stream of every neutral type in time order: threads and conversations, times of every precision with
// and without an order within them, revisions, hand-overs, what is told twice under another id.
func neutralEvents(r *rand.Rand, threads, perThread int, coarse bool) (out []string) {
	for n := range threads {
		g := &neutralGenerator{
			r: r, thread: fmt.Sprintf("t-%d", n), at: time.Date(2026, 1, 1, 10, n, 0, 0, time.UTC), coarse: coarse,
			named: n%3 == 1,
		}
		for range perThread {
			g.step()
		}
		out = append(out, g.out...)
	}
	return out
}

type neutralGenerator struct {
	r             *rand.Rand
	thread        string
	at            time.Time
	coarse, named bool // whole seconds; conversations have ids of their own
	within        int
	seq, messages int
	out           []string
}

type object = map[string]any

func (g *neutralGenerator) emit(typ string, data object) {
	g.at = g.at.Add(time.Duration(g.r.IntN(900)) * time.Millisecond)
	if g.r.IntN(20) == 0 {
		g.at = g.at.Add(90 * time.Second)
	}
	at := g.at.Format("2006-01-02T15:04:05.000000Z07:00")
	if g.coarse {
		at = g.at.Format(time.RFC3339)
		data["time_precision"] = []string{"s", "turn"}[g.r.IntN(2)]
		if g.r.IntN(3) > 0 {
			g.seq++
			data["seq"] = g.seq
		}
	}
	if _, told := data["user_id"]; !told && g.r.IntN(3) == 0 {
		data["user_id"] = "u-" + g.thread
	}
	data["bot_id"], data["channel"], data["version"] = "gen-bot", "web", "v"+fmt.Sprint(g.at.Minute()%2)
	g.write(typ, at, data)
	if g.r.IntN(15) == 0 { // the same under another id, as of another delivery
		g.write(typ, at, data)
	}
}

func (g *neutralGenerator) write(typ, at string, data object) {
	id := fmt.Sprintf("e-%d", g.r.Int64())
	b, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	g.out = append(g.out, fmt.Sprintf(`{"specversion":"1.0","id":%q,"type":%q,"time":%q,"data":%s}`, id, typ, at, b))
}

func (g *neutralGenerator) here(data object) object {
	switch {
	case g.named && g.r.IntN(5) > 0:
		within := g.within
		if within > 0 && g.r.IntN(20) == 0 {
			within--
		}
		data["thread_id"], data["conversation_id"] = g.thread, fmt.Sprintf("%s-%d", g.thread, within)
	case g.named:
		data["thread_id"] = g.thread
	default:
		data["conversation_id"] = g.thread
	}
	return data
}

func (g *neutralGenerator) message(author, text string) {
	g.messages++
	data := g.here(object{
		"author": author, "text": text, "message_id": fmt.Sprintf("%s-m%d", g.thread, g.messages), "kind": "text",
	})
	switch author {
	case "user":
		data["from_suggestion"] = g.r.IntN(2) == 0
		if g.r.IntN(3) == 0 {
			data["turn"] = object{
				"intents": []object{{"name": "greet", "score": 0.25}}, "result": "fallback", "response_ms": 12.5,
				"calls": []object{{"kind": "llm", "name": "m", "ms": 3, "input_tokens": 10}},
			}
		}
	case "bot":
		data["reply_source"], data["flow"], data["step"] = []string{"flow"}, "cards", "ask"
		data["options"] = []object{{"title": "Yes", "payload": "yes"}}
	case "human":
		data["agent_id"], data["agent_session_id"] = fmt.Sprintf("ag-%d", g.r.IntN(2)), fmt.Sprintf("as-%d", g.r.IntN(3))
		data["assist"] = object{"used": g.r.IntN(2) == 0, "pilot_passed": g.r.IntN(4) == 0}
		if g.r.IntN(4) == 0 {
			data["visibility"] = "internal"
		}
	}
	g.emit("message", data)
	if g.r.IntN(6) == 0 { // it is changed
		data["agent_session_id"] = fmt.Sprintf("as-%d", g.r.IntN(3))
		data["text"], data["rev"] = text+" (edited)", float64(g.at.Unix()+int64(g.r.IntN(9)))
		if g.r.IntN(3) == 0 {
			data["deleted"] = true
		}
		g.emit("message", data)
	}
}

func (g *neutralGenerator) step() {
	pick := func(all ...string) string { return all[g.r.IntN(len(all))] }
	switch g.r.IntN(24) {
	case 0, 1, 2, 3:
		g.message("user", pick("hello", "thanks", "where is my card?", "\u0000 ✓"))
	case 4, 5, 6:
		g.message("bot", pick("On its way.", "How much?"))
	case 7, 8:
		g.message("human", "I look at it.")
	case 9:
		g.message("system", "Conversation was resolved")
	case 10, 11:
		state := object{"by": pick("user", "bot", "human"), "reason": pick("", "asked")}
		switch g.r.IntN(4) {
		case 0:
			state["status"] = pick("open", "closed", "snoozed")
		case 1:
			state["handler"] = object{"kind": pick("bot", "queue", "none"), "team_id": pick("a", "b")}
		case 2:
			state["handler"] = object{"kind": "human", "agent_id": fmt.Sprintf("ag-%d", g.r.IntN(2))}
		case 3:
			state["state"] = pick("newChat", "TransferChat", "assignedChat", "closedChat", "odd one")
		}
		g.emit("conversation.state_changed", g.here(state))
	case 12:
		g.emit("conversation.updated", g.here(object{
			"rev": g.r.IntN(10), pick("subject", "lang", "tags"): pick("a", "b"), "ended_at": []any{nil, "1970-01-01T00:00:00Z", "9998-01-01T00:00:00Z"}[g.r.IntN(3)], "metadata": object{pick("x", "y"): g.r.IntN(3)},
		}))
	case 13:
		g.emit("conversation.updated", g.here(object{
			"resolution": object{"value": pick("resolved", "unresolved", "unknown"), "by": pick("user", "model")}, "is_test": g.r.IntN(9) == 0,
		}))
	case 14:
		g.emit("turn", g.here(object{
			"message_id": fmt.Sprintf("%s-m%d", g.thread, max(1, g.messages-g.r.IntN(2))), "nlu_ms": 12, "dialog_ms": 3,
			"result": pick("handled", "error", "fallback"), "intents": []string{"buy"}, "variables": object{"a": 1},
		}))
	case 15, 16:
		g.emit("flow", g.here(object{
			"flow": pick("cards", "loans"), "step": pick("ask", "done"),
			"status": pick("started", "step", "completed", "cancelled", "interrupted", "resumed", "failed"),
		}))
	case 17, 18:
		g.emit("feedback", g.here(object{
			"feedback_id": fmt.Sprintf("%s-f%d", g.thread, g.r.IntN(2)), "rev": g.r.IntN(5), "score": 1 + g.r.IntN(5),
			"status": pick("asked", "answered", "dismissed"), "kind": pick("csat", "csat", "nps", "thumbs"), "comment": "good",
		}))
	case 19:
		g.emit("score", g.here(object{
			"score_id": fmt.Sprintf("%s-s%d", g.thread, g.r.IntN(2)), "rev": g.r.IntN(5), "name": "tone", "by": "model",
			"value": []any{0.5, "good", true}[g.r.IntN(3)], "explanation": "polite",
		}))
	case 20:
		data := object{"actor": pick("user", "human", "system"), "name": pick("widgetMaximize", "typing"), "properties": object{"n": g.r.IntN(3)}}
		if g.r.IntN(2) == 0 {
			data = g.here(data)
		} else {
			data["user_id"], data["agent_id"] = "u-"+g.thread, "ag-1"
		}
		g.emit("activity", data)
	case 21:
		g.emit("user.updated", object{
			"user_id": "u-" + g.thread, "rev": g.r.IntN(9), "aliases": []string{pick("anna", "bert", "a\u001fb")},
			"traits": object{pick("os", "lang"): pick("Linux", "de")},
		})
	case 22:
		g.emit("agent.status_changed", object{
			"agent_id": fmt.Sprintf("ag-%d", g.r.IntN(2)), "status": pick("available", "away"), "name": "Ada",
			"login": object{"session_id": pick("s1", "s2"), "started": g.at.Format(time.RFC3339)},
		})
	case 23:
		if g.r.IntN(3) == 0 {
			g.within++
			g.at = g.at.Add(time.Hour)
			if g.r.IntN(2) == 0 {
				g.at = g.at.AddDate(0, 1, 0)
			}
			return
		}
		g.emit("unheard.of", g.here(object{"x": g.r.IntN(1000)}))
	}
}

// neutralBody tells a body of the generator from one of Rasa.
func neutralBody(body string) bool { return strings.HasPrefix(body, `{"specversion"`) }
