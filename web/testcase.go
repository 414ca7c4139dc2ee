package web

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/goccy/go-yaml"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/search"
	"turnwise/views"
)

// errStripped says that there is nothing to hand on.
var errStripped = &metric.InputError{Field: "conversation", Msg: "retention removed what was said in it"}

// wholeConversation reads a conversation with all of its messages, for what is handed on.
func (s *server) wholeConversation(r *http.Request) (c queries.ConversationFacts, messages []queries.TranscriptMessage, platform map[conversation.UUID]bool, err error) {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return c, nil, nil, queries.ErrNotFound
	}
	of, err := s.open(r.Context(), id)
	if err == nil && of.Removed > 0 {
		err = errStripped
	}
	if err != nil {
		return c, nil, nil, err
	}
	platform = map[conversation.UUID]bool{}
	for window := (queries.Window{Limit: 1000}); ; {
		t, err := queries.LoadTranscript(r.Context(), of.DB, of.ConversationFacts, window)
		if err != nil {
			return c, nil, nil, err
		}
		of.Transcript(&t)
		for _, x := range t.Turns {
			platform[x.MessageID] = x.Platform
		}
		messages = append(messages, t.Messages...)
		if t.Until == 0 {
			return of.ConversationFacts, messages, platform, nil
		}
		window.After = t.Until
	}
}

func (s *server) attach(w http.ResponseWriter, r *http.Request, kind, name string, body []byte) error {
	if err := s.noted(r, deed{act: queries.AuditExportFetched, name: name}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	_, _ = w.Write(body) // the client may be gone
	return nil
}

// step is one of an end-to-end test.
type step struct {
	User  string `yaml:"user,omitempty"`
	Utter string `yaml:"utter,omitempty"`
	Bot   string `yaml:"bot,omitempty"`
}

type testCase struct {
	Name  string `yaml:"test_case"`
	Steps []step `yaml:"steps"`
}

// endToEnd answers GET /conversations/{id}/test.yml: the conversation as an end-to-end test of Rasa. Answers with a
// response's name are asked for by that name, others by their text.
func (s *server) endToEnd(w http.ResponseWriter, r *http.Request) error {
	c, messages, platform, err := s.wholeConversation(r)
	if err != nil {
		return err
	}
	t := testCase{Name: strings.Join(strings.Fields(heading(c)), " "), Steps: []step{}}
	for _, m := range messages {
		switch author := conversation.Author(m.Author); {
		case author == conversation.ByUser && typed(m, platform[m.ID]):
			t.Steps = append(t.Steps, step{User: m.Text})
		case author != conversation.ByBot:
		case strings.HasPrefix(m.Template, "utter_"):
			t.Steps = append(t.Steps, step{Utter: m.Template})
		case m.Text != "":
			t.Steps = append(t.Steps, step{Bot: m.Text})
		}
	}
	b, err := yaml.MarshalWithOptions(map[string][]testCase{"test_cases": {t}}, yaml.IndentSequence(true))
	if err != nil {
		return err
	}
	return s.attach(w, r, "application/yaml", "test_"+c.ID.String()[:8]+".yml", b)
}

type examples struct {
	Intent   string `yaml:"intent"`
	Examples string `yaml:"examples"`
}

// nlu answers GET /conversations/{id}/nlu.yml: what the user wrote as training examples, by the intent that was
// understood.
func (s *server) nlu(w http.ResponseWriter, r *http.Request) error {
	c, messages, platform, err := s.wholeConversation(r)
	if err != nil {
		return err
	}
	all := []examples{}
	for _, m := range messages {
		text := strings.Join(strings.Fields(m.Text), " ")
		if conversation.Author(m.Author) != conversation.ByUser || !typed(m, platform[m.ID]) || text == "" ||
			strings.HasPrefix(text, "/") || m.Intent == "" {
			continue
		}
		i := slices.IndexFunc(all, func(e examples) bool { return e.Intent == m.Intent })
		if i < 0 {
			i = len(all)
			all = append(all, examples{Intent: m.Intent})
		}
		if line := "- " + text + "\n"; !strings.Contains(all[i].Examples, line) {
			all[i].Examples += line
		}
	}
	b, err := yaml.MarshalWithOptions(struct {
		Version string     `yaml:"version"`
		NLU     []examples `yaml:"nlu"`
	}{"3.1", all}, yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return err
	}
	return s.attach(w, r, "application/yaml", "nlu_"+c.ID.String()[:8]+".yml", b)
}

// eventsJSON answers GET /conversations/{id}/events.json: the events as they were received.
func (s *server) eventsJSON(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	c, err := s.open(r.Context(), id)
	if err != nil {
		return err
	}
	if c.Removed > 0 {
		return errStripped
	}
	// Bodies are masked as a whole, by the names of their fields too.
	bundles, err := queries.BodiesOf(r.Context(), queries.Clear(s.Pool), c.ConversationFacts)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, bundle := range bundles {
		for body := range strings.SplitSeq(bundle, queries.BodySeparator) {
			if b.Len() > 0 {
				b.WriteString(",\n")
			} else {
				b.WriteByte('[')
			}
			masked, _ := c.Masker.Whole(body)
			b.WriteString(masked)
		}
	}
	b.WriteString("]\n")
	return s.attach(w, r, "application/json", "events_"+c.ID.String()[:8]+".json", b.Bytes())
}

// alike are the ways to conversations like this one: of the same flow and ending, of similar words.
func alike(c queries.ConversationFacts, outcome string) (all []views.Fact) {
	q := url.Values{"range": {"90d"}, "outcome": {outcome}}
	name := "More that ended " + strings.ToLower(metric.OutcomeName(outcome))
	if c.LastFlow != "" {
		q.Set("flow", c.LastFlow)
		name = "More with " + c.LastFlow + " that ended " + strings.ToLower(metric.OutcomeName(outcome))
	}
	all = append(all, views.Fact{Name: name, Value: "/conversations?" + q.Encode()})
	seen := map[string]bool{}
	var words []string
	for _, w := range search.Words(c.FirstText) {
		if text := c.FirstText[w.Start:w.End]; utf8.RuneCountInString(text) > 3 && !seen[w.Text] {
			seen[w.Text] = true
			words = append(words, text)
		}
	}
	slices.SortStableFunc(words, func(a, b string) int { return len(b) - len(a) })
	if words = words[:min(len(words), 4)]; len(words) > 0 {
		text := strings.Join(words[:min(2, len(words))], " ")
		if len(words) > 2 {
			text = words[0] + " " + strings.Join(words[1:], " OR ")
		}
		all = append(all, views.Fact{
			Name: "More with similar words", Value: "/conversations?" + url.Values{"q": {text}}.Encode(),
		})
	}
	return all
}
