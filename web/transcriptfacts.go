package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"turnwise/conversation"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

func heading(c queries.ConversationFacts) string {
	switch {
	case c.FirstText != "":
		return c.FirstText
	case c.LastFlow != "":
		return c.LastFlow
	}
	return c.Assistant
}

func (s *server) transcriptFacts(m *views.Transcript, c queries.ConversationFacts) {
	add := func(name, value string) {
		if value != "" {
			m.Facts = append(m.Facts, views.Fact{Name: name, Value: value})
		}
	}
	add("Started", m.Exact(c.StartedAt))
	if m.Outcome != metric.OutcomeOpen {
		add("Why", becauseWords(c))
	}
	add("Length", format.Span(c.ActiveAt.Sub(c.StartedAt))+" · "+format.Plural(int64(c.Turns), "turn", "turns"))
	said := fmt.Sprintf("%s user · %s assistant", format.Count(c.UserMessages), format.Count(c.BotMessages))
	if c.AgentMessages > 0 {
		said += fmt.Sprintf(" · %s agent", format.Count(c.AgentMessages))
	}
	add("Messages", said)
	if c.ResponseMedianMS != nil {
		add(
			"Response",
			fmt.Sprintf(
				"%s median · %s slowest · n %s", format.Millis(*c.ResponseMedianMS),
				format.Millis(slices.Max(c.ResponseMS)), format.Count(len(c.ResponseMS)),
			),
		)
	}
	if c.CSAT != "" {
		add("CSAT", metric.RatingName(c.CSAT))
	}
	if c.EscalatedAt != nil {
		add("Escalated", m.Clock(*c.EscalatedAt)+", "+c.EscalationReason)
	}
	if c.EndedAt != nil {
		add("Ended", m.Clock(*c.EndedAt)+", "+endWords(c.EndReason))
	}
	add("Assistant", c.Assistant)
	add("Channel", strings.TrimSuffix(c.Channel+", "+c.Environment, ", "))
	add("Version", c.Version)
	if c.ModelID != c.Version {
		add("Model", c.ModelID)
	}
	add("Flows", flowWords(c.Flows))
	add("Markers", strings.Join(c.Markers, ", "))
	add("Not followed", beyondWords(c))
	if c.Test {
		add("Test", "the platform says that it is one: it is not counted")
	}
	for _, f := range details(c.Details) {
		add(detailName(f.Name), f.Value)
	}
	add("User", c.UserID)
	add("Sender", c.SenderKey)
	add("Session", c.SessionID)
	add("Id", c.ID.String())
}

// detailName is how facts name what is told of a conversation as a whole.
func detailName(name string) string {
	for _, prefix := range []string{"metadata.", "custom."} {
		name = strings.TrimPrefix(name, prefix)
	}
	name = strings.ReplaceAll(name, "_", " ")
	if name == "" {
		return "Detail"
	}
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + name[size:]
}

// addEarlier adds the earlier conversations of the same user.
func addEarlier(m *views.Transcript, c opened, earlier []queries.Earlier) {
	for _, e := range earlier {
		text := e.FirstText
		if text == "" {
			text = "no words of the user"
		}
		m.Earlier = append(m.Earlier, views.EarlierRow{
			ID: e.ID, StartedAt: e.StartedAt, Outcome: queries.OutcomeAt(e.Outcome, e.ClosesAt, m.Now), Text: text,
		})
	}
	of := c.UserID
	if of == "" {
		of = c.SenderKey
	}
	if !c.Named {
		return // the address would name the person
	}
	m.EarlierAt = "/conversations?" + url.Values{"id": {of}, "range": {"3650d"}}.Encode()
}

// flowsShown is how many flows the facts name.
const flowsShown = 20

func flowWords(flows []string) string {
	if len(flows) <= flowsShown {
		return strings.Join(flows, ", ")
	}
	return strings.Join(flows[:flowsShown], ", ") + " and " + format.Count(len(flows)-flowsShown) + " more"
}

// beyondWords says of what a conversation has more than is followed.
func beyondWords(c queries.ConversationFacts) string {
	var of []string
	if len(c.Flows) >= conversation.MaxFlows {
		of = append(of, "flows beyond the first "+format.Count(conversation.MaxFlows)+", if there are more")
	}
	if c.Turns > conversation.MaxResponses {
		of = append(of, "response times beyond the first "+format.Count(conversation.MaxResponses)+" turns")
	}
	return strings.Join(of, ", ")
}

// becauseWords says why a conversation has its outcome.
func becauseWords(c queries.ConversationFacts) string {
	because, kept := strings.CutPrefix(c.OutcomeBecause, "kept_")
	words := map[conversation.Because]string{
		conversation.NobodyWrote: "nobody wrote a message", conversation.HandedOver: "handed over: " +
			c.EscalationReason, conversation.RatedGood: "the user gave a positive rating",
		conversation.ToldSo:   "the platform told it",
		conversation.Answered: "the last reply was an answer", conversation.FlowFinished: "a flow was completed",
		conversation.AskedBack: "the last reply was a question",
		conversation.FellBack:  "the assistant did not understand", conversation.Failed: "the last reply was an error",
		conversation.Unreplied: "the last message got no reply",
	}[conversation.Because(because)]
	if kept && words != "" {
		return "the last message only closed the conversation; before it, " + words
	}
	return words
}

func endWords(reason string) string {
	switch reason {
	case "next":
		return "the next one began"
	case conversation.TypeEnd:
		return "the session was ended"
	case conversation.TypeInactive:
		return "the user was silent"
	}
	return reason
}
