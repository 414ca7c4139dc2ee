package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"turnwise/conversation"
	"turnwise/format"
	"turnwise/queries"
	"turnwise/views"
)

// shownGap is the silence from which it is written out.
const shownGap = time.Minute

// part is one thing that a transcript shows, at its place.
type part struct {
	seq  int64
	fact *views.Fact
	line *views.Line
}

// lines puts a stretch of a conversation in order: messages, marks, silences, and for the builder what lies
// between them.
func lines(p views.Page, c queries.ConversationFacts, t queries.Transcript, linked *conversation.UUID) []views.Line {
	parts := append(segmentParts(p, t.Live.Segments), messageParts(t, linked)...)
	parts = append(parts, liveParts(p, t.Live)...)
	for _, e := range t.Slots {
		parts = append(parts, part{seq: e.Seq, fact: &views.Fact{Name: "slot", Value: e.Name + " = " + e.Value}})
	}
	for _, e := range t.Steps {
		value := "stack is empty"
		if e.FlowID != "" {
			value = e.FlowID + " › " + e.StepID
		}
		parts = append(parts, part{seq: e.Seq, fact: &views.Fact{Name: "step", Value: value}})
	}
	for _, e := range t.Events {
		parts = append(parts, eventPart(p, c, e))
	}
	slices.SortStableFunc(parts, func(a, b part) int {
		switch {
		case a.seq < b.seq:
			return -1
		case a.seq > b.seq:
			return 1
		}
		return 0
	})
	var out []views.Line
	var facts []views.Fact
	var last time.Time
	flush := func() {
		if len(facts) > 0 {
			out = append(out, views.Line{Kind: "trace", Facts: facts})
			facts = nil
		}
	}
	for _, x := range parts {
		if x.fact != nil {
			facts = append(facts, *x.fact)
			continue
		}
		flush()
		if x.line.Kind == "message" {
			if gap := x.line.At.Sub(last); !last.IsZero() && gap > shownGap {
				out = append(out, views.Line{Kind: "gap", Words: format.Span(gap) + " without a message"})
			}
			last = x.line.At
		}
		out = append(out, *x.line)
	}
	flush()
	return out
}

// messageParts are the messages, with what was understood of them and how long their answers took.
func messageParts(t queries.Transcript, linked *conversation.UUID) []part {
	turns := map[int32]queries.TranscriptTurn{}
	asked := map[conversation.UUID]queries.TranscriptTurn{}
	for _, x := range t.Turns {
		turns[x.N], asked[x.MessageID] = x, x
	}
	commands := map[int64][]queries.TranscriptCommand{}
	for _, x := range t.Commands {
		commands[x.Seq] = append(commands[x.Seq], x)
	}
	var parts []part
	waiting := int32(-1)           // the turn whose first answer has not come yet
	offered := map[string]string{} // titles of the assistant's last buttons, by what they send
	for _, x := range t.Messages {
		l := &views.Line{
			Kind: "message", ID: x.ID, At: x.At, Turn: x.Turn, Author: conversation.Author(x.Author), Text: x.Text,
			Redacted: x.Redacted, Deleted: x.Deleted, Agent: x.AgentID, Linked: linked != nil && *linked == x.ID,
		}
		if l.Author == conversation.ByUser {
			turn, ok := asked[x.ID]
			l.First, waiting = true, x.Turn
			l.Platform = ok && turn.Platform
			l.Facts = understood(x, turn, commands[x.Seq])
			l.Chosen = choice(x.Text, offered)
			if l.Platform {
				l.Chosen = triggered(x.Text)
			}
			_, l.Files = richParts(x.Rich)
			l.Facts = append(l.Facts, details(x.Details)...)
		} else {
			l.Buttons, l.Files = richParts(x.Rich)
			l.Facts = details(x.Details)
			if now := offers(x.Rich); len(now) > 0 {
				offered = now
			}
			if x.Template != "" {
				l.Facts = append(l.Facts, views.Fact{Name: "response", Value: x.Template})
			}
			if turn := turns[x.Turn]; waiting == x.Turn && l.Author == conversation.ByBot {
				l.TookMS, l.TookHow = turn.ResponseMS, howMeasured(turn)
				if l.TookMS == nil && turn.ResponseSource != string(conversation.NotTimed) {
					l.TookHow = ""
				}
				waiting = -1
			}
		}
		parts = append(parts, part{seq: x.Seq, line: l})
	}
	return parts
}

func understood(
	x queries.TranscriptMessage, turn queries.TranscriptTurn, commands []queries.TranscriptCommand,
) (facts []views.Fact) {
	if x.Intent != "" {
		value := x.Intent
		if x.RetrievalIntent != "" {
			value = x.RetrievalIntent
		}
		if x.Confidence != nil {
			value += fmt.Sprintf(" %.2f", *x.Confidence)
		}
		facts = append(facts, views.Fact{
			Name: "intent", Value: value, Low: turn.Fallback || x.Confidence != nil && *x.Confidence < 0.5,
		})
	}
	for _, e := range entities(x.Entities) {
		facts = append(facts, views.Fact{Name: "entity", Value: e})
	}
	for _, c := range commands {
		facts = append(facts, views.Fact{
			Name: "command", Value: commandWords(c), Low: c.Command == "cannot handle" || c.Command == "error",
		})
	}
	return facts
}

func commandWords(c queries.TranscriptCommand) string {
	switch {
	case c.FlowID != "":
		return c.Command + " " + c.FlowID
	case c.Slot != "":
		return c.Command + " " + c.Slot + " = " + c.Value
	}
	var more map[string]json.RawMessage
	if json.Unmarshal([]byte(c.Detail), &more) != nil {
		return c.Command
	}
	delete(more, "command")
	words := c.Command
	for _, k := range sortedKeys(more) {
		words += " " + k + "=" + string(more[k])
	}
	return words
}

func sortedKeys(m map[string]json.RawMessage) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func entities(text *string) (out []string) {
	if text == nil {
		return nil
	}
	var list []struct {
		Entity string
		Value  json.RawMessage
	}
	if json.Unmarshal([]byte(*text), &list) != nil {
		return []string{*text}
	}
	for _, e := range list {
		out = append(out, e.Entity+" = "+string(e.Value))
	}
	return out
}

// howMeasured says what a response time is made of.
func howMeasured(t queries.TranscriptTurn) string {
	if t.ResponseSource == string(conversation.FromExecutionTimes) {
		var words []string
		if t.UnderstandingMS != nil {
			words = append(words, "understanding "+format.Millis(*t.UnderstandingMS))
		}
		if t.PredictionMS != nil {
			words = append(words, "prediction "+format.Millis(*t.PredictionMS))
		}
		return strings.Join(words, ", ")
	}
	if t.ResponseSource == string(conversation.FromPlatform) {
		return "as the platform tells it"
	}
	if t.ResponseSource == string(conversation.NotTimed) {
		return "not timed: the times of question and answer do not tell how long it took"
	}
	return "to the first answer, without understanding time"
}

// richParts names what a bot message holds beside text; nothing of it is loaded.
func richParts(rich *string) (buttons, files []string) {
	if rich == nil {
		return nil, nil
	}
	var data map[string]json.RawMessage
	if json.Unmarshal([]byte(*rich), &data) != nil {
		return nil, []string{"rich content"}
	}
	for _, k := range sortedKeys(data) {
		var titled []struct{ Title string }
		var address string
		var attached []struct {
			Name, Type, URL         string
			ContentType, ContentURL string
		}
		switch {
		case k == "attachments" && json.Unmarshal(data[k], &attached) == nil:
			for _, a := range attached {
				files = append(
					files,
					strings.Join(
						strings.Fields(
							cmp.Or(a.ContentType, a.Type, "attachment")+": "+cmp.Or(a.Name, a.ContentURL, a.URL),
						),
						" ",
					),
				)
			}
		case k == "message":
			files = append(files, string(data[k]))
		case (k == "buttons" || k == "quick_replies") && json.Unmarshal(data[k], &titled) == nil:
			for _, b := range titled {
				buttons = append(buttons, b.Title)
			}
		case json.Unmarshal(data[k], &address) == nil:
			files = append(files, k+": "+address)
		default:
			files = append(files, k)
		}
	}
	return buttons, files
}

// eventPart shows an event that is no message: as a mark when it matters to everybody, else as a fact.
func eventPart(p views.Page, c queries.ConversationFacts, e queries.TranscriptEvent) part {
	mark := func(l views.Line) part {
		l.Kind, l.Sign = "mark", e.Type
		return part{seq: e.Seq, line: &l}
	}
	if c.EscalatedAt != nil && c.EscalatedAt.Equal(e.At) && (e.Name == c.EscalationReason ||
		e.FlowID == c.EscalationReason || e.Type == c.EscalationReason) {
		return mark(views.Line{Words: "Handed to a person, " + p.Clock(e.At), Code: c.EscalationReason, Human: true})
	}
	if e.Type == "flow" {
		e.Type = "flow_" + e.Name
	}
	switch {
	case strings.HasPrefix(e.Type, "flow_"):
		words := "flow " + strings.TrimPrefix(e.Type, "flow_")
		code := e.FlowID
		if e.StepID != "" {
			code += " › " + e.StepID
		}
		return mark(views.Line{Words: words, Code: code, Builder: true})
	case e.Type == conversation.TypeEnd:
		return mark(views.Line{Words: "The session was ended, " + p.Clock(e.At)})
	case e.Type == conversation.TypeInactive:
		return mark(views.Line{Words: "The user was silent, " + p.Clock(e.At)})
	case e.Type == conversation.TypePause:
		return mark(views.Line{Words: "The assistant was paused, " + p.Clock(e.At), Human: true})
	case e.Type == conversation.TypeResume:
		return mark(views.Line{Words: "The assistant took over again, " + p.Clock(e.At), Human: true})
	case e.Type == conversation.TypeRestart:
		return mark(views.Line{Words: "Restarted, " + p.Clock(e.At)})
	}
	value := strings.TrimSpace(e.Name + " " + e.FlowID + " " + e.AgentID)
	if e.Type == conversation.TypeAction {
		return part{seq: e.Seq, fact: &views.Fact{Name: "action", Value: value}}
	}
	if value == "" {
		value = "–"
	}
	return part{seq: e.Seq, fact: &views.Fact{Name: e.Type, Value: value}}
}
