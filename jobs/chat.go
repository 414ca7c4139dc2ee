package jobs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
)

// chatRole is the role of the file that holds what is said in a chat channel.
const chatRole = "chat"

// chatMessage is what is said in a chat channel: headline figures, and where the page is. Nothing that people wrote.
type chatMessage struct {
	Title  string      `json:"title"`
	Range  string      `json:"range"`
	Filter string      `json:"filter,omitempty"`
	Before string      `json:"before,omitempty"`
	Facts  [][2]string `json:"facts"` // names and values
	Link   string      `json:"link"`
}

// newChatMessage makes a page of figures into a message.
func newChatMessage(d *report.Document, name string) chatMessage {
	m := chatMessage{Title: name, Range: cmp.Or(d.Range, "all time"), Before: d.Before, Link: d.Link}
	for _, l := range d.Lines {
		if l.Name == "Filter" && l.Text != "none" {
			m.Filter = l.Text
		}
	}
	if d.Empty {
		m.Facts = [][2]string{{"Conversations", "nothing began in this range"}}
		return m
	}
	for _, c := range d.Cards {
		value := c.Value.Text()
		if c.Delta.Text != "" {
			value += " (" + strings.TrimSpace(c.Delta.Arrow+" "+c.Delta.Text) + ")"
		}
		m.Facts = append(m.Facts, [2]string{c.Name, value})
	}
	return m
}

// lines are the message as plain text, a line each.
func (m chatMessage) lines() []string {
	all := []string{m.Title + ": " + m.Range}
	for _, x := range []string{m.Filter, m.Before} {
		if x != "" {
			all = append(all, x)
		}
	}
	for _, f := range m.Facts {
		all = append(all, "• "+f[0]+": "+f[1])
	}
	return append(all, m.Link)
}

// teamsHosts end the names of servers that take messages of Teams.
var teamsHosts = []string{".webhook.office.com", ".office.com", ".logic.azure.com", ".powerplatform.com", ".powerautomate.com"}

// body writes the message as the server of an incoming webhook takes it: Teams takes adaptive cards, Slack and Mattermost
// a text, in which Slack has three characters escaped.
func (m chatMessage) body(host string) ([]byte, error) {
	host = "." + strings.ToLower(host)
	if slices.ContainsFunc(teamsHosts, func(end string) bool { return strings.HasSuffix(host, end) }) {
		facts := []map[string]string{}
		for _, f := range m.Facts {
			facts = append(facts, map[string]string{"title": f[0], "value": f[1]})
		}
		text := func(s, weight string) map[string]any {
			return map[string]any{"type": "TextBlock", "text": s, "weight": weight, "wrap": true}
		}
		body := []any{text(m.Title, "bolder"), text(m.Range, "default")}
		for _, x := range []string{m.Filter, m.Before} {
			if x != "" {
				body = append(body, text(x, "lighter"))
			}
		}
		return json.Marshal(map[string]any{"type": "message", "attachments": []any{map[string]any{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"content": map[string]any{
				"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
				"body":    append(body, map[string]any{"type": "FactSet", "facts": facts}),
				"actions": []any{map[string]any{"type": "Action.OpenUrl", "title": "Open the page", "url": m.Link}},
			},
		}}})
	}
	text := strings.Join(m.lines(), "\n")
	if strings.HasSuffix(host, ".slack.com") || strings.HasSuffix(host, ".slack-gov.com") {
		text = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
	}
	return json.Marshal(map[string]string{"text": text})
}

// say posts the message to the channel's address, which is a secret.
func (s *sending) say(ctx context.Context, secrets Secrets) error {
	at := slices.IndexFunc(s.run.Files, func(f queries.ReportFile) bool { return f.Role == chatRole })
	u, err := url.Parse(secrets.URL)
	if at < 0 || err != nil || u.Host == "" {
		return &metric.InputError{Field: "address", Msg: "of the channel is not kept; enter it again"}
	}
	text, err := s.text(ctx, at)
	if err != nil {
		return err
	}
	var m chatMessage
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	body, err := m.body(u.Hostname())
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, secrets.URL, bytes.NewReader(body))
	if err != nil {
		return &metric.InputError{Field: "address", Msg: "is no address"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Turnwise")
	return s.request(req)
}

// keepChatMessage makes the message of a page, to be sent.
func keepChatMessage(b *files, d *report.Document, name string) error {
	text, err := json.Marshal(newChatMessage(d, name))
	if err != nil {
		return fmt.Errorf("message for a chat: %w", err)
	}
	return b.add(queries.ReportFile{Name: "message.json", Kind: "application/json", Role: chatRole}, text)
}
