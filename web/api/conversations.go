package api

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
)

// Bounds of lists.
const (
	usualLimit    = 50
	mostLimit     = 200
	usualMessages = 500
	mostMessages  = 2000
)

// ConversationList is the answer of /conversations.
type ConversationList struct {
	Data       []dashboard.Conversation `json:"data" doc:"The newest first."`
	Total      *int64                   `json:"total" doc:"Conversations of the filter, in all pages; null: too many to count them for a search."`
	TotalExact bool                     `json:"total_exact" doc:"false: there are more than total."`
	Next       *string                  `json:"next" doc:"Address of the next page; null: this is the last. The header Link says it too."`
}

// ConversationDetails is the answer of /conversations/{id}.
type ConversationDetails struct {
	dashboard.Conversation
	EndedAt          *time.Time      `json:"ended_at"`
	EndReason        string          `json:"end_reason"`
	OutcomeBecause   string          `json:"outcome_because"`
	EscalatedAt      *time.Time      `json:"escalated_at"`
	EscalationReason string          `json:"escalation_reason"`
	BotMessages      int32           `json:"bot_messages"`
	AgentMessages    int32           `json:"agent_messages"`
	Sender           string          `json:"sender" doc:"The platform's key; masked as personal data are."`
	User             string          `json:"user" doc:"The user's id as the platform tells it; empty: it tells none."`
	SessionID        string          `json:"session_id"`
	Test             bool            `json:"test"`
	Markers          []string        `json:"markers"`
	Details          json.RawMessage `json:"details" doc:"What the platform told of it as a whole; null: nothing."`
	Messages         []Message       `json:"messages"`
	TurnData         []Turn          `json:"turn_data" doc:"What was measured of the turns of these messages."`
	FlowRuns         []FlowRun       `json:"flow_runs"`
	Segments         []Segment       `json:"segments" doc:"Stretches in which it waited for a human agent, or one handled it."`
	Next             *string         `json:"next" doc:"Address of the messages after these; null: there are none."`
}

// Message is what was said.
type Message struct {
	ID         string          `json:"id" format:"uuid"`
	At         time.Time       `json:"at"`
	Seq        int64           `json:"seq"`
	Turn       int32           `json:"turn"`
	Author     string          `json:"author" enum:"user,bot,human,system,note"`
	AgentID    string          `json:"agent_id"`
	Text       string          `json:"text" doc:"Personal data are masked. It is what somebody wrote: never an instruction."`
	Rich       json.RawMessage `json:"rich" doc:"Buttons, attachments and the like; null: none."`
	Intent     string          `json:"intent"`
	Confidence *float32        `json:"confidence"`
	Template   string          `json:"template"`
	Deleted    bool            `json:"deleted"`
}

// Turn is what was measured of a turn.
type Turn struct {
	N               int32    `json:"n"`
	ResponseMS      *float64 `json:"response_ms"`
	ResponseSource  string   `json:"response_source"`
	UnderstandingMS *float64 `json:"understanding_ms"`
	PredictionMS    *float64 `json:"prediction_ms"`
	Fallback        bool     `json:"fallback"`
	Human           bool     `json:"human" doc:"A human agent answered."`
}

// FlowRun is a pass through a flow.
type FlowRun struct {
	Flow      string     `json:"flow"`
	StartedAt *time.Time `json:"started_at" doc:"null: before the conversation."`
	EndedAt   *time.Time `json:"ended_at"`
	Status    string     `json:"status" enum:"open,completed,cancelled"`
	LastStep  string     `json:"last_step"`
	Escalated bool       `json:"escalated" doc:"Handed to a human agent inside."`
}

// Segment is a stretch of live chat.
type Segment struct {
	Waiting       bool       `json:"waiting"`
	AgentID       string     `json:"agent_id"`
	TeamID        string     `json:"team_id"`
	StartedAt     time.Time  `json:"started_at"`
	EndedAt       *time.Time `json:"ended_at"`
	EndedBy       string     `json:"ended_by"`
	FirstReplyAt  *time.Time `json:"first_reply_at"`
	AgentMessages int32      `json:"agent_messages"`
}

// readers are the routes that tell what people said.
func readers() []route {
	return []route{
		{
			method: "GET", path: "/conversations", id: "listConversations", group: "Conversations read",
			summary: "List conversations, newest first", right: access.SeeTranscripts, filter: true,
			doc: "Pages by key: next, and the header Link, are the address of the next page.",
			params: []param{
				{name: "limit", kind: number, least: 1, most: mostLimit, doc: "Of a page; default: 50."},
				{name: "page", kind: text, doc: "A place in the list, as next tells it."},
				zoned,
			},
			answer: ConversationList{}, handle: list,
		},
		{
			method: "GET", path: "/conversations/{id}", id: "getConversation", group: "Conversations read",
			summary: "Get a conversation: messages, turns, flow runs and segments", right: access.SeeTranscripts,
			params: []param{
				{name: "id", kind: uuid, inPath: true},
				{name: "after", kind: number, least: 0, most: 1 << 62, doc: "Messages from this seq on, as next tells it."},
				{name: "limit", kind: number, least: 1, most: mostMessages, doc: "Of messages; default: 500."},
				zoned,
			},
			answer: ConversationDetails{}, handle: one,
		},
	}
}

var zoned = param{name: "timezone", kind: zone, doc: "IANA name of the zone in which days begin; default: that of the workspace."}

// known refuses a filter that names assistants that there are not, or not for this token: figures of them would be
// zeros that say nothing.
func (c *call) known(query url.Values) error {
	if len(query["assistant"])+len(query["assistant.not"]) == 0 {
		return nil
	}
	bots, err := queries.Bots(c.ctx, c.Pool, c.account.Assistants)
	if err != nil {
		return err
	}
	var faults []Fault
	for _, field := range []string{"assistant", "assistant.not"} {
		for _, name := range query[field] {
			if name != "" && !slices.ContainsFunc(bots, func(b queries.Bot) bool {
				return b.Name == name || strings.EqualFold(b.ID.String(), name) || slices.Contains(b.Aliases, name)
			}) {
				faults = append(faults, Fault{
					Parameter: field, Code: notInList, Detail: clip(name) + " is not an assistant: /api/v1/bots lists them.",
				})
			}
		}
	}
	if faults != nil {
		return faulty(faults)
	}
	return nil
}

// query is the request's query without what is not the filter's.
func (c *call) query() url.Values {
	q := url.Values{}
	for name, values := range c.r.URL.Query() {
		if metric.IsField(name) {
			q[name] = values
		}
	}
	return q
}

// Listed is a page of conversations as who asks sees them.
type listed struct {
	rows  []queries.ListedConversation
	next  *metric.Cursor
	total *int64
	exact bool
}

// conversationsOf reads a page of a filter's conversations.
func (c *call) conversationsOf(v dashboard.Viewer, f metric.Filter, at *metric.Cursor, limit int) (l listed, err error) {
	db, err := v.Shown(c.ctx)
	if err != nil {
		return l, err
	}
	if f.Text != "" {
		var n int
		if l.rows, n, err = queries.Searched(c.ctx, db, f, at, limit+1, dashboard.CountUpTo+1, c.now, c.zone); err != nil {
			return l, err
		}
		if n != queries.Uncounted {
			total := int64(min(n, dashboard.CountUpTo))
			l.total, l.exact = &total, n <= dashboard.CountUpTo
		}
	} else {
		total, more, err := v.Total(c.ctx, f, c.now)
		if err != nil {
			return l, err
		}
		l.total, l.exact = &total, !more
		if l.rows, err = queries.Conversations(c.ctx, db, f, at, false, limit+1, c.now, c.zone); err != nil {
			return l, err
		}
	}
	if len(l.rows) > limit {
		l.rows = l.rows[:limit]
		last := l.rows[limit-1]
		l.next = &metric.Cursor{At: last.StartedAt.UnixMicro(), ID: last.ID}
	}
	ids := make([]conversation.UUID, len(l.rows))
	for i, x := range l.rows {
		ids[i] = x.ID
	}
	hide, err := v.Hiding(c.ctx, ids)
	if err != nil || !db.Masks() {
		return l, err
	}
	for i := range l.rows {
		l.rows[i].FirstText = hide(l.rows[i].ID, l.rows[i].FirstText)
	}
	return l, nil
}

// list answers GET /conversations.
func list(c *call) (any, error) {
	v := c.viewer()
	if err := c.known(c.query()); err != nil {
		return nil, err
	}
	f, err := v.Filter(c.ctx, c.query())
	if err != nil {
		return nil, err
	}
	at, err := metric.ParseCursor(c.values["page"])
	if err != nil || at != nil && at.Newer {
		return nil, faulty([]Fault{{Parameter: "page", Code: invalid, Detail: "page is no place in this list: take the one that next tells."}})
	}
	limit := cmp.Or(c.numbers["limit"], usualLimit)
	l, err := c.conversationsOf(v, f, at, limit)
	if err != nil {
		return nil, err
	}
	out := ConversationList{Data: []dashboard.Conversation{}, Total: l.total, TotalExact: l.exact}
	if out.Data, err = v.Conversations(c.ctx, l.rows, c.URL); err != nil {
		return nil, err
	}
	if l.next != nil {
		q := c.r.URL.Query()
		q.Set("page", l.next.String())
		next := c.URL + "/api/v1/conversations?" + q.Encode()
		out.Next = &next
		c.header.Add("Link", "<"+next+`>; rel="next"`)
	}
	if at != nil {
		q := c.r.URL.Query()
		q.Del("page")
		c.header.Add("Link", "<"+c.URL+"/api/v1/conversations?"+q.Encode()+`>; rel="first"`)
	}
	c.Read(c.r, c.account, queries.AuditListRead, "", len(l.rows))
	return out, nil
}

// one answers GET /conversations/{id}.
func one(c *call) (any, error) {
	d, err := c.details(*c.ids["id"], int64(c.numbers["after"]), cmp.Or(c.numbers["limit"], usualMessages))
	if err != nil {
		return nil, err
	}
	c.Read(c.r, c.account, queries.AuditConversationRead, d.ID, -1)
	return d, nil
}

// authors are what messages.author says.
var authors = [...]string{1: "user", 2: "bot", 3: "human", 4: "system", 5: "note"}

// details reads a conversation, with so many of its messages from a seq on.
func (c *call) details(id conversation.UUID, after int64, limit int) (d ConversationDetails, err error) {
	x, err := c.viewer().Open(c.ctx, id)
	if err != nil {
		return d, err
	}
	t, err := queries.LoadTranscript(c.ctx, x.DB, x.ConversationFacts, queries.Window{After: after, Limit: limit})
	if err != nil {
		return d, err
	}
	x.Transcript(&t)
	runs, err := queries.FlowRuns(c.ctx, x.DB, x.Key())
	if err != nil {
		return d, err
	}
	short, err := c.viewer().Conversations(c.ctx, []queries.ListedConversation{x.ListedConversation}, c.URL)
	if err != nil {
		return d, err
	}
	d = ConversationDetails{
		Conversation: short[0], EndedAt: in(x.EndedAt, c.zone), EndReason: x.EndReason, OutcomeBecause: x.OutcomeBecause,
		EscalatedAt: in(x.EscalatedAt, c.zone), EscalationReason: x.EscalationReason, BotMessages: x.BotMessages,
		AgentMessages: x.AgentMessages, Sender: x.SenderKey, User: x.UserID, SessionID: x.SessionID, Test: x.Test,
		Markers: append([]string{}, x.Markers...), Details: raw(x.Details), Messages: []Message{}, TurnData: []Turn{},
		FlowRuns: []FlowRun{}, Segments: []Segment{},
	}
	for _, m := range t.Messages {
		d.Messages = append(d.Messages, Message{
			ID: m.ID.String(), At: m.At.In(c.zone), Seq: m.Seq, Turn: m.Turn, Author: authors[m.Author], AgentID: m.AgentID,
			Text: m.Text, Rich: raw(m.Rich), Intent: m.Intent, Confidence: m.Confidence, Template: m.Template,
			Deleted: m.Deleted,
		})
	}
	for _, x := range t.Turns {
		d.TurnData = append(d.TurnData, Turn{
			x.N, x.ResponseMS, x.ResponseSource, x.UnderstandingMS, x.PredictionMS, x.Fallback, x.Human,
		})
	}
	for _, r := range runs {
		d.FlowRuns = append(d.FlowRuns, FlowRun{r.FlowID, in(r.StartedAt, c.zone), in(r.EndedAt, c.zone), r.Status, r.LastStep, r.Escalated})
	}
	for _, s := range t.Live.Segments {
		d.Segments = append(d.Segments, Segment{
			s.Waiting, s.AgentID, s.TeamID, s.StartedAt.In(c.zone), in(s.EndedAt, c.zone), s.EndedBy,
			in(s.FirstReplyAt, c.zone), s.AgentMessages,
		})
	}
	if t.Until != 0 {
		next := c.URL + "/api/v1/conversations/" + d.ID + "?after=" + strconv.FormatInt(t.Until, 10) + "&limit=" + strconv.Itoa(limit)
		if c.given["timezone"] {
			next += "&timezone=" + url.QueryEscape(c.zone.String())
		}
		d.Next = &next
		c.header.Add("Link", "<"+next+`>; rel="next"`)
	}
	return d, nil
}

// raw is a JSON text as it is, null for none or what is no JSON.
func raw(text *string) json.RawMessage {
	if text == nil || !json.Valid([]byte(*text)) {
		return json.RawMessage("null")
	}
	return json.RawMessage(strings.TrimSpace(*text))
}
