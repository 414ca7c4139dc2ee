package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"turnwise/conversation"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/views"
)

// transcriptSize is how many messages are loaded at once.
const transcriptSize = 100

// shownGap is the silence from which it is written out.
const shownGap = time.Minute

// transcript answers GET /conversations/{id}: the page, or a stretch of it.
func (s *server) transcript(w http.ResponseWriter, r *http.Request) error {
	id, window, err := parseTranscript(r)
	if err != nil {
		return err
	}
	c, err := s.open(r.Context(), id)
	if errors.Is(err, queries.ErrNotFound) {
		return s.noConversation(w, r)
	}
	if err != nil {
		return err
	}
	t, err := c.read(r.Context(), &window)
	if err != nil {
		return err
	}
	m := views.Transcript{
		Page: s.page(r, "Conversation", "Conversations"), ID: c.ID, StartedAt: c.StartedAt, Channel: c.Channel,
		View: "business", Back: s.back(r), Removed: c.Removed, Resumed: c.Resumed, Revealed: c.until,
	}
	m.Here, m.Masked = r.URL.RawQuery, c.masker != nil
	if r.URL.Query().Get("view") == "builder" {
		m.View = "builder"
	}
	words, err := s.viewer(r.Context()).Search(r.Context(), r.URL.Query().Get("q"))
	if err != nil {
		return err
	}
	m.Query = r.URL.Query().Get("q")
	v := s.reviewing(r, c, m.Page)
	v.linked = window.Message
	v.in, _ = conversation.ParseUUID(r.URL.Query().Get("in"))
	if m.Work, err = v.panel(r.Context()); err != nil {
		return err
	}
	m.In = m.Work.In
	m.Outcome = queries.OutcomeAt(c.Outcome, c.ClosesAt, m.Now)
	m.Heading = heading(c.ConversationFacts)
	m.Alike = alike(c.ConversationFacts, m.Outcome)
	m.Title = m.Heading
	m.Lines = lines(m.Page, c.ConversationFacts, t, window.Message)
	for i := range m.Lines {
		if l := &m.Lines[i]; l.Kind == "message" {
			l.Tools = v.tools(l.ID)
			l.Hits = words.Hits(l.Text)
		}
	}
	// Without htmx a stretch is a page of its own, with ways on in both directions.
	alone := r.Header.Get("HX-Request") != "true" || r.Header.Get("HX-History-Restore-Request") == "true"
	stretch(&m, t, window, alone)
	if alone {
		if err := s.besides(r, &m, c); err != nil {
			return err
		}
		if err := work.MarkMentionsRead(r.Context(), s.Pool, v.place, v.user.ID, m.Now); err != nil {
			return err
		}
	}
	return s.renderEither(w, r, views.TranscriptPage(m), views.TranscriptLines(m))
}

// stretch sets the ways to what stands before and after the messages that are shown.
func stretch(m *views.Transcript, t queries.Transcript, window queries.Window, alone bool) {
	around := func(name string, seq int64) string {
		return m.Address(url.Values{name: {strconv.FormatInt(seq, 10)}, "view": {m.View}})
	}
	if t.From != 0 && window.After == 0 {
		m.Before = around("before", t.From)
	}
	if t.Until != 0 && window.Before == 0 {
		m.After = around("after", t.Until)
	}
	if alone && window.After != 0 {
		m.Before = around("before", window.After)
	}
	if alone && window.Before != 0 {
		m.After = around("after", window.Before)
	}
}

// read reads the stretch of the conversation that a window shows. A message that is gone is no reason to show nothing.
func (c opened) read(ctx context.Context, window *queries.Window) (queries.Transcript, error) {
	t, err := queries.LoadTranscript(ctx, c.db, c.ConversationFacts, *window)
	if window.Message != nil && errors.Is(err, queries.ErrNotFound) {
		window.Message = nil
		t, err = queries.LoadTranscript(ctx, c.db, c.ConversationFacts, *window)
	}
	if err == nil {
		c.transcript(&t)
	}
	return t, err
}

// besides sets what stands beside the messages: facts, earlier conversations, the ways to the next ones.
func (s *server) besides(r *http.Request, m *views.Transcript, c opened) error {
	ctx := r.Context()
	others, err := s.viewer(ctx).Shown(ctx) // what is revealed is this conversation alone
	if err != nil {
		return err
	}
	earlier, err := queries.EarlierConversations(ctx, others, c.ConversationFacts, limitsOf(ctx))
	if err != nil {
		return err
	}
	ids := make([]conversation.UUID, len(earlier))
	for i, e := range earlier {
		ids[i] = e.ID
	}
	hide, err := s.viewer(ctx).Hiding(ctx, ids)
	if err != nil {
		return err
	}
	for i, e := range earlier {
		earlier[i].FirstText = hide(e.ID, e.FirstText)
	}
	s.transcriptFacts(m, c.ConversationFacts)
	addEarlier(m, c, earlier)
	return s.neighbours(r, m, c.ConversationFacts)
}

func parseTranscript(r *http.Request) (id conversation.UUID, window queries.Window, err error) {
	window.Limit = transcriptSize
	if id, err = conversation.ParseUUID(chi.URLParam(r, "id")); err != nil {
		return id, window, queries.ErrNotFound
	}
	q := r.URL.Query()
	if m := q.Get("m"); m != "" {
		message, err := conversation.ParseUUID(m)
		if err != nil {
			return id, window, &metric.InputError{Field: "m", Msg: "is no message"}
		}
		window.Message = &message
	}
	for name, into := range map[string]*int64{"before": &window.Before, "after": &window.After} {
		if v := q.Get(name); v != "" {
			if *into, err = strconv.ParseInt(v, 10, 64); err != nil || *into <= 0 {
				return id, window, &metric.InputError{Field: name, Msg: "is no place in this conversation"}
			}
		}
	}
	return id, window, nil
}

// back is the query of the list one came from, read and written again so that nothing foreign passes.
func (s *server) back(r *http.Request) string {
	q, err := url.ParseQuery(r.URL.Query().Get("back"))
	if err != nil {
		return ""
	}
	f, err := s.viewer(r.Context()).Filter(r.Context(), q)
	if err != nil {
		return ""
	}
	at, err := metric.ParseCursor(q.Get("page"))
	if err != nil {
		return ""
	}
	out := f.Query()
	if at != nil {
		out.Set("page", at.String())
	}
	if e := out.Encode(); e != "" {
		return "?" + e
	}
	return ""
}

// neighbourWait is how long a transcript waits for the way to the next conversation.
const neighbourWait = 40 * time.Millisecond

// neighbours sets the ways to the next and the previous conversation of the list one came from.
func (s *server) neighbours(r *http.Request, m *views.Transcript, c queries.ConversationFacts) error {
	back := r.URL.Query().Get("back")
	kept, err := url.ParseQuery(back)
	if err != nil || !r.URL.Query().Has("back") || m.In != "" {
		return nil //nolint:nilerr // no list, no neighbours
	}
	f, err := s.viewer(r.Context()).Filter(r.Context(), kept)
	if err != nil {
		return nil //nolint:nilerr // the same
	}
	ctx := r.Context()
	for _, newer := range []bool{true, false} {
		var list []queries.ListedConversation
		err := queries.Within(ctx, s.Pool, neighbourWait, func(db queries.DB) (err error) {
			list, err = queries.Conversations(
				ctx, queries.Clear(db), f, &metric.Cursor{At: c.StartedAt.UnixMicro(), ID: c.ID, Newer: newer}, false,
				1, m.Now,
				s.Zone,
			)
			return err
		})
		if errors.Is(err, queries.ErrSlow) {
			continue // a list that has few: the way on is by the list itself
		}
		if err != nil {
			return err
		}
		if len(list) == 0 {
			continue
		}
		q := url.Values{"back": {back}}
		if m.Query != "" {
			q.Set("q", m.Query)
		}
		to := "/conversations/" + list[0].ID.String() + "?" + q.Encode()
		if newer {
			m.Newer = to
		} else {
			m.Older = to
		}
	}
	return nil
}

// noConversation says that there is none of an address, and that it may have been deleted where conversations are.
func (s *server) noConversation(w http.ResponseWriter, r *http.Request) error {
	m := views.Message{
		Page: s.page(r, "Not found", ""), Heading: "Not found", Text: "There is no conversation of this address.",
		Back: "/conversations", BackText: "To the conversations",
	}
	frozen, err := queries.FrozenBefore(
		r.Context(), s.Pool, metric.Filter{Range: metric.Range{Days: metric.MaxDays}}, m.Now, s.Zone,
	)
	if err != nil {
		return err
	}
	if frozen != nil {
		m.Text += " Retention may have deleted it: it deletes conversations some time after they ended."
	}
	s.message(w, r, http.StatusNotFound, m)
	return nil
}

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
		said += fmt.Sprintf(" · %s person", format.Count(c.AgentMessages))
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
	add("Not followed", beyondWords(c))
	add("User", c.UserID)
	add("Sender", c.SenderKey)
	add("Session", c.SessionID)
	add("Id", c.ID.String())
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
	if !c.named {
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

// part is one thing that a transcript shows, at its place.
type part struct {
	seq  int64
	fact *views.Fact
	line *views.Line
}

// lines puts a stretch of a conversation in order: messages, marks, silences, and for the builder what lies
// between them.
func lines(p views.Page, c queries.ConversationFacts, t queries.Transcript, linked *conversation.UUID) []views.Line {
	parts := messageParts(t, linked)
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
			Redacted: x.Redacted, Linked: linked != nil && *linked == x.ID,
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
		} else {
			l.Buttons, l.Files = richParts(x.Rich)
			if now := offers(x.Rich); len(now) > 0 {
				offered = now
			}
			if x.Template != "" {
				l.Facts = append(l.Facts, views.Fact{Name: "response", Value: x.Template})
			}
			if turn := turns[x.Turn]; waiting == x.Turn && l.Author == conversation.ByBot {
				l.TookMS, l.TookHow = turn.ResponseMS, howMeasured(turn)
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
