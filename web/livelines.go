package web

import (
	"encoding/json"
	"strconv"
	"strings"

	"turnwise/conversation"
	"turnwise/format"
	"turnwise/queries"
	"turnwise/views"
)

// segmentParts say who had to answer, from when on and for how long.
func segmentParts(p views.Page, all []queries.TranscriptSegment) (parts []part) {
	for _, s := range all {
		l := &views.Line{Kind: "mark", Sign: "segment", Human: true, Code: s.AgentID}
		var words []string
		if s.Waiting {
			l.Words, l.Code = "Waits for a human agent, "+p.Clock(s.StartedAt), ""
			if s.EndedAt != nil {
				words = append(words, "for "+format.Span(s.EndedAt.Sub(s.StartedAt)))
			}
			if s.EndedBy == string(conversation.StatusMissed) || s.EndedBy == string(conversation.StatusClosed) {
				words = append(words, "nobody took it")
			}
		} else {
			l.Words = "A human agent takes over, " + p.Clock(s.StartedAt)
			if s.EndedAt != nil {
				words = append(words, "for "+format.Span(s.EndedAt.Sub(s.StartedAt)))
			}
			if s.FirstReplyAt != nil {
				words = append(words, "first reply after "+format.Span(s.FirstReplyAt.Sub(s.StartedAt)))
			}
		}
		if s.TeamID != "" {
			words = append(words, "team "+s.TeamID)
		}
		l.Words = strings.Join(append([]string{l.Words}, words...), ", ")
		parts = append(parts, part{seq: s.Seq, line: l})
	}
	return parts
}

// liveParts are states, calls, ratings, judgements and what people did beside talking.
func liveParts(p views.Page, t queries.TranscriptLive) (parts []part) {
	mark := func(seq int64, l views.Line) {
		l.Kind = "mark"
		parts = append(parts, part{seq: seq, line: &l})
	}
	fact := func(seq int64, name, value string, low bool) {
		parts = append(parts, part{seq: seq, fact: &views.Fact{Name: name, Value: value, Low: low}})
	}
	for _, x := range t.States {
		if words := stateWords(x); words != "" {
			mark(x.Seq, views.Line{Words: words + ", " + p.Clock(x.At), Code: x.Reason, Sign: "state"})
		}
		said := strings.Fields(strings.Join([]string{x.State, x.Status, x.Handler, x.AgentID}, " "))
		if x.ChangedBy != "" {
			said = append(said, "by", x.ChangedBy)
		}
		fact(x.Seq, "state", strings.Join(said, " "), false)
	}
	for _, x := range t.Told {
		if x.Result != "" {
			fact(x.Seq, "result", x.Result, x.Result != "handled")
		}
		for _, f := range details(x.Details) {
			fact(x.Seq, f.Name, f.Value, f.Low)
		}
	}
	for _, x := range t.Calls {
		fact(x.Seq, x.Kind, callWords(x), x.Error != "")
	}
	for _, x := range t.Feedback {
		mark(x.Seq, views.Line{Words: feedbackWords(x) + ", " + p.Clock(x.At), Said: x.Comment, Sign: "feedback"})
	}
	for _, x := range t.Scores {
		by := strings.Join(strings.Fields(x.JudgedBy+" "+x.Author), " ")
		words := "Judged: " + x.Name + " " + plainJSON(x.Value)
		if by != "" {
			words += " by " + by
		}
		mark(x.Seq, views.Line{Words: words + ", " + p.Clock(x.At), Said: x.Explanation, Sign: "score"})
	}
	for _, x := range t.Activities {
		value := strings.Join(strings.Fields(strings.Join([]string{x.Actor, x.AgentID, x.Name, x.URL, x.Error}, " ")), " ")
		if x.Properties != nil {
			value += " " + *x.Properties
		}
		fact(x.Seq, "activity", value, x.Error != "")
	}
	return parts
}

// stateWords says what everybody should know of a state; "" when segments say it, or it matters to builders alone.
func stateWords(x queries.TranscriptState) string {
	switch {
	case x.Status == string(conversation.StatusClosed):
		return "Closed"
	case x.Status == string(conversation.StatusMissed):
		return "Closed, as nobody took it"
	case x.Status == string(conversation.StatusSnoozed):
		return "Put aside"
	case x.Handler == string(conversation.HandledByBot):
		return "The assistant answers"
	}
	return ""
}

func feedbackWords(x queries.TranscriptFeedback) string {
	kind := map[string]string{"nps": "NPS", "thumbs": "Thumbs"}[x.Kind]
	switch {
	case x.Status == "asked":
		if kind != "" {
			return kind + " was asked for"
		}
		return "The user was asked for a rating"
	case x.Status == "dismissed":
		return "The user gave no rating"
	case x.Score == nil:
		return "The user commented"
	case x.Kind == "thumbs" && *x.Score > 0:
		return "Thumbs up"
	case x.Kind == "thumbs":
		return "Thumbs down"
	}
	words := "Rated " + plainNumber(*x.Score)
	if x.ScaleMax != nil {
		words += " of " + plainNumber(*x.ScaleMax)
	}
	if kind != "" {
		words += " (" + kind + ")"
	}
	return words
}

func callWords(x queries.TranscriptCall) string {
	words := []string{x.Name}
	if x.Provider != "" && x.Provider != x.Name {
		words = append(words, "("+x.Provider+")")
	}
	if x.MS != nil {
		words = append(words, format.Millis(*x.MS))
	}
	if x.InputTokens != nil || x.OutputTokens != nil {
		count := func(v *float64) string {
			if v == nil {
				return "?"
			}
			return format.Count(int64(*v))
		}
		words = append(words, count(x.InputTokens)+" → "+count(x.OutputTokens)+" tokens")
	}
	if x.CostUSD != nil {
		words = append(words, "$"+plainNumber(*x.CostUSD))
	}
	words = append(words, x.Status, x.Error)
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// details are the members of a JSON object, for builders.
func details(text *string) (facts []views.Fact) {
	if text == nil {
		return nil
	}
	var all map[string]json.RawMessage
	if json.Unmarshal([]byte(*text), &all) != nil {
		return []views.Fact{{Name: "details", Value: *text}} // masked, it may be none
	}
	for _, k := range sortedKeys(all) {
		facts = append(facts, views.Fact{Name: k, Value: plainJSON(string(all[k]))})
	}
	return facts
}

// plainJSON is a JSON text as people write it: a text without its quotes.
func plainJSON(text string) string {
	var s string
	var list []string
	switch {
	case json.Unmarshal([]byte(text), &s) == nil:
		return s
	case json.Unmarshal([]byte(text), &list) == nil:
		return strings.Join(list, ", ")
	}
	return text
}

// plainNumber is a number with as many digits as it has.
func plainNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
