package ingest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// generated makes a stream of every event type of both wire styles in time order: sessions that begin in
// each way, wake up, alternate, are rated, handed over, restarted; patches that do not fit; odd values.
func generated(r *rand.Rand, senders, perSender int) []string {
	var out []string
	for n := range senders {
		g := &generator{r: r, sender: fmt.Sprintf("gen-%d", n), at: 1767261600 + float64(n)*37, modern: n%2 == 0}
		for len(g.out) < perSender {
			g.step()
		}
		out = append(out, g.out...)
	}
	return out
}

type generator struct {
	r       *rand.Rand
	sender  string
	at      float64
	modern  bool
	session int
	out     []string
	flows   []string
	started bool
}

func (g *generator) emit(typ string, fields map[string]any) {
	g.at += 0.0001 + g.r.Float64()*0.9
	if g.r.IntN(12) == 0 {
		g.at += 40
	}
	md := map[string]any{"model_id": "4f0c1d7be0a94f5c9f0d1b2a3c4d5e6f", "assistant_id": "gen-bot"}
	if extra, ok := fields["metadata"].(map[string]any); ok {
		for k, v := range extra {
			md[k] = v
		}
	}
	if g.modern {
		session := g.session
		if session > 1 && g.r.IntN(40) == 0 {
			session-- // an event of the session before comes between
		}
		md["session_id"] = fmt.Sprintf("0d3c6a50-6d5b-4f3a-9f7e-%012d", session*1000+len(g.sender))
		if g.r.IntN(60) == 0 {
			delete(md, "session_id")
		}
	}
	e := map[string]any{"sender_id": g.sender, "event": typ, "timestamp": g.at}
	for k, v := range fields {
		e[k] = v
	}
	e["metadata"] = md
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	g.out = append(g.out, string(b))
	if redactable := typ == "user" || typ == "bot" || typ == "slot"; redactable && g.r.IntN(9) == 0 {
		e["anonymized_at"] = g.at + 7200
		switch typ {
		case "slot":
			e["value"] = "***"
		default:
			e["text"] = "*** redacted ***"
		}
		b, _ := json.Marshal(e)
		g.out = append(g.out, string(b))
	}
}

func (g *generator) begin() {
	g.session++
	g.flows, g.started = nil, true
	if g.r.IntN(3) > 0 {
		g.emit("slot", map[string]any{"name": "session_started_metadata", "value": map[string]any{"lang": "de"}})
	}
	if g.modern && g.r.IntN(4) == 0 {
		return // a bare change of session_id
	}
	g.emit("action", map[string]any{"name": "action_session_start", "policy": nil, "confidence": 1.0})
	g.emit("session_started", nil)
	if g.r.IntN(6) == 0 {
		g.emit("session_started", nil)
	}
	for range g.r.IntN(3) {
		g.emit("slot", map[string]any{"name": "csat_score", "value": "satisfied"})
	}
	g.emit("action", map[string]any{"name": "action_listen", "confidence": nil})
}

func (g *generator) step() {
	flow := []string{"block_card", "transfer", "opening_hours", "pattern_collect_information"}[g.r.IntN(4)]
	if !g.started && g.r.IntN(5) > 0 || g.r.IntN(30) == 0 {
		g.begin()
		return
	}
	switch g.r.IntN(28) {
	case 0:
		g.emit("user", map[string]any{"text": "/session_start", "parse_data": map[string]any{}})
	case 1, 2, 3, 4, 5, 6:
		g.turn()
	case 7:
		g.emit("flow_started", map[string]any{"flow_id": flow})
		g.emit("stack", map[string]any{
			"update": fmt.Sprintf(
				`[{"op":"add","path":"/%d","value":{"frame_id":"F","flow_id":%q,"step_id":"START","type":"flow","n":1.50}}]`,
				len(g.flows), flow,
			),
		})
		g.flows = append(g.flows, flow)
	case 8:
		kind := []string{"flow_completed", "flow_cancelled", "flow_interrupted", "flow_resumed"}[g.r.IntN(4)]
		g.emit(kind, map[string]any{"flow_id": flow, "step_id": "2_confirm"})
	case 9:
		g.emit("stack", map[string]any{"update": `[{"op":"replace","path":"/0/step_id","value":"1_ask"}]`})
	case 10:
		g.emit("stack", map[string]any{"update": `[{"op":"remove","path":"/9"}]`})
	case 11:
		g.emit("slot", map[string]any{
			"name":  "csat_score",
			"value": []any{nil, "satisfied", "unsatisfied", 4, "2", "skipped", map[string]any{"a": 1}}[g.r.IntN(7)],
		})
	case 12:
		g.emit("action", map[string]any{
			"name": []string{
				"action_human_handoff", "action_default_fallback", "utter_ask_csat_score", "action_x",
			}[g.r.IntN(4)],
			"policy": "FlowPolicy", "confidence": 1.0,
		})
	case 13:
		g.emit("agent", map[string]any{"text": "Ada from support here", "data": nil})
	case 14:
		g.emit([]string{"pause", "resume", "rewind", "undo", "reset_slots", "export"}[g.r.IntN(6)], nil)
	case 15:
		g.emit("restart", nil)
	case 16:
		g.emit(
			[]string{"session_ended", "conversation_inactive", "session_paused", "routing_session_ended"}[g.r.IntN(4)],
			map[string]any{"reason": "Widget closed"},
		)
	case 17:
		g.emit(
			"agent_"+[]string{"started", "completed", "interrupted", "cancelled", "resumed"}[g.r.IntN(5)],
			map[string]any{"flow_id": "shop", "agent_id": "shopping_agent"},
		)
	case 18:
		g.emit("slot", map[string]any{"name": "session_started_metadata", "value": nil}) // without a start behind it
		g.emit("bot", map[string]any{"text": "late words", "data": map[string]any{}})
	case 22:
		// something comes between it and the start
		g.emit("slot", map[string]any{"name": "session_started_metadata", "value": nil})
		if g.r.IntN(2) == 0 {
			g.emit("user", map[string]any{"text": "in between", "message_id": fmt.Sprintf("b-%d", g.r.IntN(1e9))})
		}
		g.emit("action", map[string]any{"name": "action_session_start"})
	case 19:
		g.emit("something_new", map[string]any{"weight": g.r.IntN(1000)})
	case 20:
		g.emit(
			[]string{
				"active_loop", "followup", "reminder", "cancel_reminder", "form", "action_execution_rejected",
			}[g.r.IntN(6)],
			map[string]any{"name": "loop"},
		)
	case 21:
		g.emit(
			[]string{"entities", "user_featurization", "loop_interrupted"}[g.r.IntN(3)],
			map[string]any{"entities": []any{map[string]any{"entity": "city", "value": map[string]any{"to": 4}}}},
		)
	default:
		g.emit("bot", map[string]any{
			"text": []any{"Anything else?", "Done.", nil}[g.r.IntN(3)],
			"data": map[string]any{"buttons": []any{map[string]any{"title": "Yes", "payload": "/yes"}}, "image": nil},
		})
	}
}

func (g *generator) turn() {
	g.emit("user", map[string]any{
		"text": "hello \u0000 there ✓", "message_id": fmt.Sprintf("m-%d", g.r.IntN(1e9)), "input_channel": "rest",
		"parse_data": map[string]any{
			"intent": map[string]any{
				"name": []any{"greet", nil, "nlu_fallback"}[g.r.IntN(3)], "confidence": 0.5,
				"id": int64(6919456128573924813),
			}, "entities": []any{},
			"commands": []any{
				map[string]any{"command": "start flow", "flow": "transfer"},
				map[string]any{"command": "unheard of", "x": 1},
			},
		},
	})
	if g.r.IntN(5) > 0 {
		g.emit("bot", map[string]any{
			"text": "How much?", "data": map[string]any{},
			"metadata": map[string]any{"utter_action": "utter_ask_amount"},
		})
	}
	md := map[string]any{}
	if g.modern {
		md["execution_times"] = map[string]any{
			"command_processor": g.r.Float64() * 900, "prediction_loop": g.r.Float64() * 90,
		}
	}
	g.emit("action", map[string]any{"name": "action_listen", "policy": "FlowPolicy", "confidence": 1.0, "metadata": md})
}
