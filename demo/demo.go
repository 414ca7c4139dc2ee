// Package demo generates believable conversations of invented assistants in Rasa's wire form: a rhythm of
// days and hours, releases good and bad, flows that people leave, hand-overs and ratings.
package demo

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// Options say how much is generated.
type Options struct {
	Conversations int
	Days          int
	Until         time.Time // the end; nothing lies after it
	Seed          uint64
}

// Defaults are what `turnwise demo` generates.
func Defaults(now time.Time) Options {
	return Options{Conversations: 12000, Days: 90, Until: now, Seed: 1}
}

// Generator yields events one by one, conversation by conversation.
type Generator struct {
	o      Options
	r      *rand.Rand
	starts []time.Time
	queue  [][]byte
	people map[string][]string // returning senders by assistant
}

// New returns a generator.
func New(o Options) *Generator {
	g := &Generator{o: o, r: rand.New(rand.NewPCG(o.Seed, 0x7475726e)), people: map[string][]string{}}
	g.starts = make([]time.Time, o.Conversations)
	for i := range g.starts {
		g.starts[i] = g.start()
	}
	slices.SortFunc(g.starts, time.Time.Compare)
	return g
}

// start draws a moment: busier on weekdays, around ten and around seven in the evening.
func (g *Generator) start() time.Time {
	span := time.Duration(g.o.Days) * 24 * time.Hour
	for {
		t := g.o.Until.Add(-time.Duration(g.r.Int64N(int64(span))))
		h := float64(t.Hour()) + float64(t.Minute())/60
		weight := 0.06 + 0.9*math.Exp(-(h-10)*(h-10)/9) + 0.6*math.Exp(-(h-19)*(h-19)/7)
		weight *= [...]float64{0.4, 1.15, 1, 1, 1, 1, 0.55}[t.Weekday()]
		age := g.o.Until.Sub(t).Hours() / 24
		if d := int(age); d%29 == 11 {
			weight *= 1.9 // a storm, an outage: a day that everybody writes
		}
		if g.r.Float64() < weight*(1.1-0.3*age/float64(g.o.Days))/2 {
			return t
		}
	}
}

// Next returns the next event's body, or false at the end.
func (g *Generator) Next() ([]byte, bool) {
	for len(g.queue) == 0 {
		if len(g.starts) == 0 {
			return nil, false
		}
		at := g.starts[0]
		g.starts = g.starts[1:]
		g.conversation(at)
	}
	b := g.queue[0]
	g.queue = g.queue[1:]
	return b, true
}

// talk is one conversation in the making.
type talk struct {
	g       *Generator
	b       *bot
	rel     release
	sender  string
	user    string
	session string
	channel string
	at      float64
	end     float64
	head    []byte // sender and metadata without its closing brace
	meta    []byte
	active  string // metadata of events that a flow makes
	turns   int
}

func (g *Generator) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.r.Uint32())
	}
	return hex.EncodeToString(b)
}

func (g *Generator) conversation(at time.Time) {
	x := g.r.Float64()
	b := &bots[0]
	for i := range bots {
		b = &bots[i]
		if x -= b.share; x < 0 {
			break
		}
	}
	t := &talk{g: g, b: b, at: float64(at.UnixMicro()) / 1e6, end: float64(g.o.Until.UnixMicro()) / 1e6}
	share := 1 - g.o.Until.Sub(at).Hours()/24/float64(g.o.Days)
	for _, r := range b.releases {
		if share >= r.from {
			t.rel = r
		}
	}
	t.channel = b.channels[min(int(math.Abs(g.r.NormFloat64())*0.9), len(b.channels)-1)]
	known := g.people[b.name]
	if len(known) > 0 && g.r.Float64() < 0.3 {
		t.sender = known[g.r.IntN(len(known))]
	} else {
		t.sender = t.channel + "-" + g.hex(6)
		if len(known) < 5000 {
			g.people[b.name] = append(known, t.sender)
		} else {
			known[g.r.IntN(len(known))] = t.sender
		}
	}
	t.channel, _, _ = strings.Cut(t.sender, "-")
	t.user = "cust-" + t.sender[max(0, len(t.sender)-6):]
	raw := g.hex(16)
	t.session = raw[:8] + "-" + raw[8:12] + "-4" + raw[13:16] + "-a" + raw[17:20] + "-" + raw[20:]
	t.head = append(str([]byte(`{"sender_id": `), t.sender), `, "event": `...)
	t.meta = append(t.meta, `, "metadata": {"model_id": `...)
	model := t.rel.name
	if b.modern {
		model = fmt.Sprintf("%016x%016x", fnv(t.rel.name), fnv("model "+t.rel.name))
	}
	t.meta = append(str(append(str(t.meta, model), `, "assistant_id": `...), b.name), ""...)
	if b.modern {
		t.meta = append(
			str(append(str(append(t.meta, `, "session_id": `...), t.session), `, "model_name": `...), t.rel.name),
			""...,
		)
	}
	t.run()
}

func fnv(s string) (h uint64) {
	h = 14695981039346656037
	for _, c := range []byte(s) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// str appends a JSON string as Python's json.dumps writes it: ASCII only.
func str(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r < 0x80:
			b = append(b, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, hi, lo)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}

// emit queues an event; meta are further members of its metadata, fields further members of it.
func (t *talk) emit(typ, meta string, fields func(b []byte) []byte) {
	if t.at > t.end {
		return
	}
	b := make([]byte, 0, 512)
	b = append(append(append(append(b, t.head...), '"'), typ...), `", "timestamp": `...)
	b = strconv.AppendFloat(b, t.at, 'f', 6, 64)
	b = append(append(append(append(b, t.meta...), t.active...), meta...), '}')
	if t.b.modern {
		b = str(append(b, `, "user_id": `...), t.user)
	}
	if fields != nil {
		b = fields(append(b, ", "...))
	}
	t.g.queue = append(t.g.queue, append(b, '}'))
	t.at += 0.0004 + t.g.r.Float64()*0.0015
}

func (t *talk) action(name, meta string) {
	t.emit("action", meta, func(b []byte) []byte {
		b = str(append(b, `"name": `...), name)
		policy := `"policy_2_RulePolicy"`
		if t.b.modern {
			policy = `"FlowPolicy"`
		}
		return append(b, `, "policy": `+policy+`, "confidence": 1.0, "action_text": null, "hide_rule_turn": false`...)
	})
}

func (t *talk) slot(name, value string) {
	t.emit("slot", "", func(b []byte) []byte {
		return append(append(str(append(b, `"name": `...), name), `, "value": `...), value...)
	})
}

func quote(s string) string { return string(str(nil, s)) }

// say sends a bot message with its action.
func (t *talk) say(name, text string, data string) {
	t.action(name, "")
	if data == "" {
		data = `{"elements": null, "quick_replies": null, "buttons": null, "attachment": null, "image": null, "custom": null}`
	}
	t.emit("bot", `, "utter_action": `+quote(name), func(b []byte) []byte {
		return append(append(str(append(b, `"text": `...), text), `, "data": `...), data...)
	})
}

func buttons(of []string) string {
	b := []byte(`{"elements": null, "quick_replies": null, "buttons": [`)
	for i, a := range of {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(str(append(str(append(b, `{"title": `...), a), `, "payload": `...), "/SetSlots(answer="+a+")"), '}')
	}
	return string(append(b, `], "attachment": null, "image": null, "custom": null}`...))
}

// hears takes a message of the user; commands is what the language model made of it.
func (t *talk) hears(text, intent, commands string) {
	t.turns++
	id := t.g.hex(16)
	t.emit("user", "", func(b []byte) []byte {
		b = str(append(b, `"text": `...), text)
		b = append(b, `, "parse_data": {"intent": {"name": `...)
		confidence := 0.55 + 0.44*math.Sqrt(t.g.r.Float64())
		if intent == "nlu_fallback" {
			confidence = 0.2 + 0.2*t.g.r.Float64()
		}
		switch {
		case t.b.modern:
			b = append(b, `null, "confidence": 0.0}, "entities": [], "text": `...)
		default:
			b = str(b, intent)
			b = fmt.Appendf(b, `, "confidence": %.6f}, "entities": [], "text": `, confidence)
		}
		b = str(b, text)
		b = append(str(append(b, `, "message_id": `...), id), `, "metadata": {}, "text_tokens": [`...)
		from := 0
		for i, w := range strings.Fields(text) {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = fmt.Appendf(b, "[%d, %d]", from, from+len([]rune(w)))
			from += len([]rune(w)) + 1
		}
		b = append(b, ']')
		if t.b.modern {
			b = append(append(append(b, `, "commands": [`...), commands...), ']')
			b = t.g.prompt(b, t.b)
		} else {
			b = t.g.ranking(b, t.b, intent, confidence)
		}
		b = append(b, `}, "input_channel": `...)
		b = append(str(b, t.channel), `, "message_id": `...)
		return str(b, id)
	})
	if !t.b.modern {
		t.emit(
			"user_featurization", "",
			func(b []byte) []byte { return append(b, `"use_text_for_featurization": false`...) },
		)
	}
	t.think()
}

// others are flows and intents that the demo's assistants know besides those of the script; real assistants
// have dozens, and name them all in every message's parse data.
var others = func() (all []string) {
	for _, about := range []string{
		"account", "address", "appointment", "card", "contract", "document", "insurance", "invoice", "limit", "loan",
		"password", "statement",
	} {
		for _, what := range []string{"open", "change", "cancel", "explain", "send_again"} {
			all = append(all, about+"_"+what)
		}
	}
	return all
}()

// prompt appends what the command generator says of its choice among the flows.
func (g *Generator) prompt(b []byte, of *bot) []byte {
	b = append(b, `, "flows_from_semantic_search": [`...)
	for i, f := range of.flows {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = fmt.Appendf(str(append(b, '['), f.id), ", %.8f]", 0.9-0.1*float64(i)-0.05*g.r.Float64())
	}
	for i, f := range others {
		b = fmt.Appendf(str(append(b, ", ["...), f), ", %.8f]", 0.5-0.01*float64(i)-0.005*g.r.Float64())
	}
	b = append(b, `], "flows_in_prompt": [`...)
	for _, f := range of.flows {
		b = append(str(b, f.id), ", "...)
	}
	for i, f := range others {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = str(b, f)
	}
	return append(b, ']')
}

// ranking appends what an intent classifier says: every intent with its confidence.
func (g *Generator) ranking(b []byte, of *bot, intent string, confidence float64) []byte {
	b = append(b, `, "intent_ranking": [`...)
	b = fmt.Appendf(str(append(b, `{"name": `...), intent), `, "confidence": %.16f}`, confidence)
	for _, f := range of.flows {
		b = fmt.Appendf(
			str(append(b, `, {"name": `...), f.id), `, "confidence": %.16f}`, (1-confidence)*g.r.Float64()/4,
		)
	}
	for _, f := range others {
		b = fmt.Appendf(str(append(b, `, {"name": `...), f), `, "confidence": %.16f}`, (1-confidence)*g.r.Float64()/40)
	}
	return append(
		b,
		`], "response_selector": {"all_retrieval_intents": ["chitchat", "faq"], "default": {"response": {"responses": null, "confidence": 0.0, "intent_response_key": null, "utter_action": "utter_None"}, "ranking": []}}`...,
	)
}

// think lets the time pass that the answer takes.
func (t *talk) think() { t.at += 0.02 + 0.06*t.g.r.ExpFloat64() }

// listen closes a turn.
func (t *talk) listen() {
	meta := ""
	if t.b.modern {
		understanding := 320*t.rel.slow*math.Exp(0.45*t.g.r.NormFloat64()) + 250
		if t.g.r.IntN(60) == 0 {
			understanding *= 5
		}
		meta = fmt.Sprintf(
			`, "execution_times": {"command_processor": %.3f, "prediction_loop": %.3f}`, understanding,
			25+60*t.g.r.ExpFloat64(),
		)
	}
	t.action("action_listen", meta)
	t.at += 2 + 9*t.g.r.ExpFloat64()
}

func (t *talk) stack(patch string) {
	t.emit("stack", "", func(b []byte) []byte { return str(append(b, `"update": `...), patch) })
}

func (t *talk) flow(kind, id, step string) {
	t.emit("flow_"+kind, "", func(b []byte) []byte {
		b = str(append(b, `"flow_id": `...), id)
		if step != "" {
			b = str(append(b, `, "step_id": `...), step)
		}
		return b
	})
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }
