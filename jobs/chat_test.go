package jobs

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestChatBody: each server gets what it takes, and no text becomes markup of Slack.
func TestChatBody(t *testing.T) {
	t.Parallel()
	m := chatMessage{
		Title: "Weekly <!channel> & more", Range: "Last 7 days", Filter: "Channel is web", Before: "compared with the week before",
		Facts: [][2]string{{"Conversations", "1,234 (▲ 5 %)"}, {"Containment", "88.6 %"}}, Link: "https://turnwise.example/overview?range=7d&x=1",
	}
	for host, want := range map[string]string{
		"hooks.slack.com":     `Weekly &lt;!channel&gt; &amp; more: Last 7 days`,
		"mattermost.example":  `Weekly <!channel> & more: Last 7 days`,
		"evil-slack.com":      `Weekly <!channel> & more: Last 7 days`,
		"slack.com":           `Weekly &lt;!channel&gt;`,
		"mattermost2.example": "• Conversations: 1,234 (▲ 5 %)\n• Containment: 88.6 %\nhttps://turnwise.example/overview?range=7d&x=1",
	} {
		b, err := m.body(host)
		var got struct{ Text string }
		if err != nil || json.Unmarshal(b, &got) != nil || !strings.Contains(got.Text, want) {
			t.Errorf("%s: %s %v", host, b, err)
		}
	}
	for _, host := range []string{"acme.webhook.office.com", "prod-1.westeurope.logic.azure.com", "x.api.powerplatform.com"} {
		b, err := m.body(host)
		var got struct {
			Type        string
			Attachments []struct {
				ContentType string
				Content     struct {
					Body []struct {
						Type, Text string
						Facts      []struct{ Title, Value string }
					}
					Actions []struct{ URL string }
				}
			}
		}
		if err != nil || json.Unmarshal(b, &got) != nil || got.Type != "message" || len(got.Attachments) != 1 {
			t.Fatalf("%s: %s %v", host, b, err)
		}
		card := got.Attachments[0].Content
		if last := card.Body[len(card.Body)-1]; card.Body[0].Text != m.Title || last.Type != "FactSet" || last.Facts[1].Value != "88.6 %" || card.Actions[0].URL != m.Link {
			t.Errorf("%s: %s", host, b)
		}
	}
}
