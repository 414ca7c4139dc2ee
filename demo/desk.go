package demo

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Desk yields neutral events of a live-chat desk of three teams and twelve agents behind a bot, and of an assistant of
// another platform.
type Desk struct {
	o      Options
	r      *rand.Rand
	starts []time.Time
	queue  []deskEvent
	met    map[string]bool // users that were told of
	n      int
}

type deskEvent struct {
	at   time.Time
	body []byte
}

// team is one of the desk.
type team struct {
	id, flow string
	asks     []string
	agents   []deskAgent
}

type deskAgent struct {
	id, name string
	good     float64 // how satisfied users are
	quick    float64 // how fast
}

var teams = []team{
	{"orders", "track_order", []string{"Where is my parcel?", "My order has not arrived.", "Can I change the delivery address?"}, []deskAgent{
		{"ag-1", "Ada Lind", 0.9, 0.7}, {"ag-2", "Ben Okoro", 0.8, 1}, {"ag-3", "Cleo Marsh", 0.6, 1.4}, {"ag-4", "Dan Ruiz", 0.75, 0.9},
	}},
	{"payments", "refund", []string{"I was charged twice.", "When do I get my refund?", "My card was declined."}, []deskAgent{
		{"ag-5", "Eva Novak", 0.85, 0.8}, {"ag-6", "Femi Bello", 0.7, 1.1}, {"ag-7", "Gus Weber", 0.5, 1.8}, {"ag-8", "Hana Sato", 0.9, 0.9},
	}},
	{"technical", "fix_device", []string{"The app crashes when I log in.", "My device does not connect.", "I forgot my password and the link does not work."}, []deskAgent{
		{"ag-9", "Ivo Kral", 0.8, 1.2}, {"ag-10", "Jo Hart", 0.75, 1}, {"ag-11", "Kit Moss", 0.65, 1.3}, {"ag-12", "Lea Braun", 0.88, 0.8},
	}},
}

var (
	agentWords = []string{
		"Hello, I am looking at it.", "Thank you for waiting. Could you tell me the number of your order?", "I see it here.", "I have passed it on to the right department.",
		"It should work again now. Could you try once more?", "I have sent you a mail with all the details.", "You will have it within three days.",
	}
	userWords  = []string{"yes, 4711", "ok", "it still does not work", "how long will it take?", "great", "that is what I tried", "thanks a lot"}
	notesWords = []string{"Has called twice about this.", "Known fault, see the status page.", "Offered a voucher.", "Please check the address with the carrier."}
	comments   = []string{"Quick and friendly.", "Had to wait too long.", "Solved!", "Nobody could help me.", ""}
)

// NewDesk returns a generator of about a sixth as many conversations as the options say.
func NewDesk(o Options) *Desk {
	d := &Desk{o: o, r: rand.New(rand.NewPCG(o.Seed, 0x6465736b)), met: map[string]bool{}}
	g := &Generator{o: o, r: d.r}
	for range max(1, o.Conversations/6) {
		d.starts = append(d.starts, g.start())
	}
	slices.SortFunc(d.starts, time.Time.Compare)
	d.presence()
	return d
}

// Next returns the next event's body, or false at the end.
func (d *Desk) Next() ([]byte, bool) {
	for len(d.queue) == 0 {
		if len(d.starts) == 0 {
			return nil, false
		}
		at := d.starts[0]
		d.starts = d.starts[1:]
		d.n++
		if d.r.IntN(4) == 0 {
			d.assistant(at)
		} else {
			d.talk(at)
		}
	}
	b := d.queue[0].body
	d.queue = d.queue[1:]
	return b, true
}

type fields = map[string]any

func (d *Desk) emit(typ string, at time.Time, data fields) {
	if at.After(d.o.Until) {
		return
	}
	data["environment"] = "production"
	b, _ := json.Marshal(fields{ // made of texts and numbers: cannot fail
		"specversion": "1.0", "source": "demo", "type": typ, "time": at.UTC().Format("2006-01-02T15:04:05.000Z"), "data": data,
	})
	d.queue = append(d.queue, deskEvent{at, b})
}

// wait is about so many seconds, most often fewer, now and then many more.
func (d *Desk) wait(seconds float64) time.Duration {
	return time.Duration(seconds * math.Exp(d.r.NormFloat64()*0.8) * float64(time.Second))
}

// presence has agents come on workdays at eight, go to lunch, and leave at six.
func (d *Desk) presence() {
	day := d.o.Until.AddDate(0, 0, -min(d.o.Days, 30)).Truncate(24 * time.Hour)
	for ; day.Before(d.o.Until); day = day.AddDate(0, 0, 1) {
		if day.Weekday() == time.Sunday || day.Weekday() == time.Saturday {
			continue
		}
		for _, t := range teams {
			for _, a := range t.agents {
				from := day.Add(8*time.Hour + time.Duration(d.r.IntN(1200))*time.Second)
				until := day.Add(18*time.Hour + time.Duration(d.r.IntN(1800))*time.Second)
				login := fmt.Sprintf("%s-%s", a.id, day.Format("0102"))
				of := func(status string, at time.Time, login fields) {
					data := fields{"bot_id": "helpdesk", "agent_id": a.id, "name": a.name, "groups": []string{t.id}, "status": status}
					if login != nil {
						data["login"] = login
					}
					d.emit("agent.status_changed", at, data)
				}
				of("available", from, fields{"session_id": login, "started": from.Format(time.RFC3339)})
				of("away", day.Add(12*time.Hour), nil)
				of("available", day.Add(12*time.Hour+45*time.Minute), nil)
				of("offline", until, fields{"session_id": login, "started": from.Format(time.RFC3339), "ended": until.Format(time.RFC3339)})
			}
		}
	}
}

// chat is a conversation of the desk in the making.
type chat struct {
	d    *Desk
	id   string
	user string
	at   time.Time
	said int
	of   fields
}

func (c *chat) message(author, text string, more fields) {
	c.said++
	data := fields{"message_id": fmt.Sprintf("%s-%d", c.id, c.said), "author": author, "text": text}
	c.put("message", data, more)
}

func (c *chat) put(typ string, data, more fields) {
	for _, m := range []fields{c.of, more} {
		for k, v := range m {
			data[k] = v
		}
	}
	c.d.emit(typ, c.at, data)
}

func (c *chat) after(seconds float64) { c.at = c.at.Add(c.d.wait(seconds)) }

// known tells of a user when they come first.
func (d *Desk) known(bot, user string, at time.Time) {
	if d.met[user] {
		return
	}
	d.met[user] = true
	d.emit("user.updated", at, fields{"bot_id": bot, "user_id": user, "first_seen": at.UTC().Format(time.RFC3339), "traits": fields{
		"lang": pick(d.r, []string{"en", "en", "de", "fr"}), "device": fields{"os": pick(d.r, []string{"Android", "iOS", "Windows"})},
	}})
}

// talk is a conversation with the desk's bot, and most often with people.
func (d *Desk) talk(at time.Time) {
	t := pick(d.r, teams)
	id, user := fmt.Sprintf("desk-%d", d.n), fmt.Sprintf("visitor-%d", d.r.IntN(max(20, d.o.Conversations/8)))
	d.known("helpdesk", user, at)
	c := &chat{d: d, id: id, user: user, at: at, of: fields{
		"bot_id": "helpdesk", "conversation_id": id, "user_id": user, "channel": pick(d.r, []string{"web", "web", "whatsapp"}), "version": "desk-4",
	}}
	c.put("activity", fields{"name": "widgetMaximize", "actor": "user"}, nil)
	c.after(4)
	understood := d.r.Float64() < 0.85
	turn := fields{"result": "handled", "intents": []fields{{"name": t.flow, "score": math.Round(100*(0.6+0.39*d.r.Float64())) / 100}}, "flow": t.flow}
	if !understood {
		turn = fields{"result": "fallback"}
	}
	c.message("user", pick(d.r, t.asks), fields{"turn": turn, "from_suggestion": d.r.IntN(5) == 0})
	c.put("flow", fields{"flow": t.flow, "status": "started"}, nil)
	c.after(1.2)
	if understood && d.r.Float64() < 0.3 {
		c.message("bot", "Here is what I found for you.", fields{"flow": t.flow, "reply_source": []string{"flow"}})
		c.put("flow", fields{"flow": t.flow, "status": "completed"}, nil)
		c.after(20)
		c.message("user", "thanks", nil)
		c.close("bot", "solved")
		return
	}
	c.message("bot", "Let me connect you with a colleague.", fields{"flow": t.flow, "step": "hand_over"})
	c.people(t)
}

// people is the part of a conversation that a team handles.
func (c *chat) people(t team) {
	d := c.d
	c.after(1)
	c.put("conversation.state_changed", fields{"handler": fields{"kind": "queue", "team_id": t.id}, "state": "TransferChat", "by": "bot", "reason": "asked for a person"}, nil)
	c.after(45)
	if d.r.Float64() < 0.08 {
		c.after(400)
		c.put("conversation.state_changed", fields{"state": "missedChat", "by": "system"}, nil)
		return
	}
	a := pick(d.r, t.agents)
	for range 1 + d.r.IntN(8)/7 {
		c.handle(t, a)
		if d.r.Float64() > 0.12 {
			break
		}
		t = pick(d.r, teams)
		a = pick(d.r, t.agents)
		c.put("conversation.state_changed", fields{"handler": fields{"kind": "queue", "team_id": t.id}, "state": "TransferChat", "by": "human", "reason": "another team"}, nil)
		c.after(40)
	}
	c.close("human", "solved")
	c.rated(a)
	if d.r.Float64() < 0.06 {
		c.at = c.at.Add(time.Duration(1+d.r.IntN(20)) * time.Hour)
		c.message("user", "It happened again.", nil)
		c.handle(t, a)
		c.close("human", "solved")
	}
}

// handle is a stretch with one agent.
func (c *chat) handle(t team, a deskAgent) {
	d := c.d
	c.put("conversation.state_changed", fields{"handler": fields{"kind": "human", "agent_id": a.id, "team_id": t.id}, "state": "assignedChat", "by": "system"}, nil)
	if d.r.IntN(4) == 0 {
		c.after(5)
		c.message("human", pick(d.r, notesWords), fields{"agent_id": a.id, "visibility": "internal"})
	}
	for range 2 + d.r.IntN(4) {
		c.after(35 * a.quick)
		assist := fields{"used": d.r.Float64() < 0.4, "pilot_passed": d.r.Float64() < 0.05}
		assist["passed"], assist["edited"] = assist["used"] == true && d.r.IntN(3) > 0, d.r.IntN(3) == 0
		if d.r.IntN(10) == 0 {
			assist["is_faq"], assist["faq_id"] = true, fmt.Sprintf("faq-%d", 1+d.r.IntN(9))
		}
		c.message("human", pick(d.r, agentWords), fields{"agent_id": a.id, "assist": assist})
		c.after(30)
		c.message("user", pick(d.r, userWords), nil)
	}
}

func (c *chat) close(by, reason string) {
	c.after(30)
	c.put("conversation.state_changed", fields{"status": "closed", "state": "closedChat", "by": by, "reason": reason}, nil)
}

// rated asks for a rating, which about half give.
func (c *chat) rated(a deskAgent) {
	d := c.d
	if d.r.Float64() < 0.3 {
		return
	}
	c.after(10)
	ask := fields{"feedback_id": c.id, "status": "asked", "agent_id": a.id, "rev": 0}
	c.put("feedback", ask, nil)
	if d.r.Float64() < 0.45 {
		c.after(40)
		score := 1 + d.r.IntN(3)
		if d.r.Float64() < a.good {
			score = 4 + d.r.IntN(2)
		}
		answer := fields{"feedback_id": c.id, "status": "answered", "agent_id": a.id, "rev": 1, "score": score}
		if text := pick(d.r, comments); text != "" {
			answer["comment"] = text
		}
		c.put("feedback", answer, nil)
	}
	if d.r.Float64() < 0.3 {
		c.at = c.at.Add(2 * time.Hour)
		c.put("score", fields{
			"score_id": c.id, "name": "tone", "value": math.Round(100*(0.5+0.5*d.r.Float64()*a.good)) / 100, "by": "model", "author": "judge-2",
			"explanation": pick(d.r, []string{"Polite and to the point.", "Friendly, but the question stayed open.", "Short answers, no greeting."}),
		}, nil)
	}
}

// assistant is a conversation with an assistant of another platform, which a language model answers.
func (d *Desk) assistant(at time.Time) {
	id, user := fmt.Sprintf("trip-%d", d.n), fmt.Sprintf("traveller-%d", d.r.IntN(max(20, d.o.Conversations/10)))
	c := &chat{d: d, id: id, user: user, at: at, of: fields{
		"bot_id": "travel-guide", "conversation_id": id, "user_id": user, "channel": "app", "version": pick(d.r, []string{"guide-7", "guide-8"}),
	}}
	for n := range 1 + d.r.IntN(4) {
		ms := d.wait(1.4).Seconds() * 1000
		result := "handled"
		if d.r.Float64() < 0.06 {
			result = "fallback"
		}
		calls := []fields{{
			"kind": "llm", "name": "guide-model", "provider": "openai", "ms": math.Round(ms * 0.8), "input_tokens": 400 + d.r.IntN(900), "output_tokens": 40 + d.r.IntN(300),
			"cost_usd": math.Round(1e5*(0.001+0.004*d.r.Float64())) / 1e5, "first_token_ms": math.Round(ms * 0.3),
		}}
		if d.r.IntN(3) == 0 {
			calls = append(calls, fields{"kind": "tool", "name": pick(d.r, []string{"find_trains", "weather", "hotels"}), "ms": math.Round(ms * 0.2), "status": "200"})
		}
		c.message("user", pick(d.r, []string{"Three days in Lisbon, what should I see?", "Is there a night train to Vienna?", "What will the weather be like?", "Find me a quiet hotel."}), fields{
			"turn": fields{"result": result, "response_ms": math.Round(ms), "calls": calls, "intents": []fields{{"name": pick(d.r, []string{"plan_trip", "find_train", "weather", "find_hotel"}), "score": 0.9}}},
		})
		c.at = c.at.Add(time.Duration(ms) * time.Millisecond)
		c.message("bot", "Here is what I would suggest: …", fields{"reply_source": []string{"llm"}})
		if d.r.IntN(6) == 0 {
			c.put("feedback", fields{
				"feedback_id": fmt.Sprintf("%s-%d", id, n), "kind": "thumbs", "score": min(1, d.r.IntN(4)), "message_id": fmt.Sprintf("%s-%d", id, c.said),
			}, nil)
		}
		c.after(50)
	}
}
