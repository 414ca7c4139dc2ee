package dashboard

import (
	"context"
	"time"

	"turnwise/metric"
	"turnwise/queries"
)

// Conversation is a conversation in a list.
type Conversation struct {
	ID               string    `json:"id" format:"uuid"`
	Link             string    `json:"link" doc:"Its page."`
	Assistant        string    `json:"assistant"`
	BotID            string    `json:"bot_id" format:"uuid"`
	UserID           string    `json:"user_id" format:"uuid" doc:"Of the end user; made from what the platform tells, the same in all conversations with the assistant."`
	Environment      string    `json:"environment"`
	Channel          string    `json:"channel"`
	Version          string    `json:"version"`
	StartedAt        time.Time `json:"started_at"`
	LastAt           time.Time `json:"last_at" doc:"Of its last event."`
	Ended            bool      `json:"ended" doc:"By an end the platform reported, or by idleness."`
	Outcome          string    `json:"outcome" enum:"open,resolved_confirmed,resolved_assumed,escalated,abandoned,not_engaged"`
	Escalated        bool      `json:"escalated"`
	CSAT             *string   `json:"csat" enum:"SATISFIED,UNSATISFIED,UNANSWERED" doc:"null: nobody asked for a rating."`
	UserMessages     int32     `json:"user_messages"`
	Turns            int32     `json:"turns"`
	Events           int32     `json:"events"`
	Flows            []string  `json:"flows"`
	ResponseMedianMS *float64  `json:"response_median_ms"`
	FirstText        string    `json:"first_text" doc:"What the user wrote first; personal data are masked."`
	Removed          *string   `json:"removed" enum:"texts,events" doc:"What retention removed of it."`
}

// Conversations are rows of a list as programs get them: by the API, and by webhooks. site is the address of the pages.
func (v Viewer) Conversations(
	ctx context.Context, rows []queries.ListedConversation, site string,
) ([]Conversation, error) {
	persons, err := queries.PersonsOf(ctx, v.Pool, rows)
	if err != nil {
		return nil, err
	}
	bots, err := queries.Bots(ctx, v.Pool, v.User.Assistants)
	if err != nil {
		return nil, err
	}
	uuids := map[string]string{}
	for _, b := range bots {
		uuids[b.Name] = b.ID.String()
	}
	out := make([]Conversation, len(rows))
	for i, x := range rows {
		out[i] = Conversation{
			ID: x.ID.String(), Link: site + "/conversations/" + x.ID.String(), Assistant: x.Assistant,
			BotID: uuids[x.Assistant], UserID: metric.PersonID(persons[x.ID]).String(), Environment: x.Environment,
			Channel: x.Channel, Version: x.Version, StartedAt: x.StartedAt.In(v.Zone), LastAt: x.LastAt.In(v.Zone),
			Ended: !x.ClosesAt.After(v.Now), Outcome: queries.OutcomeAt(x.Outcome, x.ClosesAt, v.Now),
			Escalated: x.Escalated, UserMessages: x.UserMessages, Turns: x.Turns, Events: x.Events,
			Flows: append([]string{}, x.Flows...), ResponseMedianMS: x.ResponseMedianMS, FirstText: x.FirstText,
		}
		if x.CSAT != "" {
			out[i].CSAT = &x.CSAT
		}
		if x.Removed > 0 {
			what := []string{"texts", "events"}[min(x.Removed, 2)-1]
			out[i].Removed = &what
		}
	}
	return out, nil
}
