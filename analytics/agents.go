package analytics

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"turnwise/queries"
)

// Agents is the result of a report about live chat.
type Agents struct {
	Common
	Conversations     int64    `json:"conversations"`
	HandedOver        int64    `json:"handed_over"`
	HandoverRate      *float64 `json:"handover_rate"`
	Abandoned         int64    `json:"abandoned" doc:"Handed over, and ended before an agent wrote."`
	AbandonmentRate   *float64 `json:"abandonment_rate"`
	Waits             Times    `json:"waits" doc:"Stretches of waiting that are over."`
	Unanswered        int64    `json:"unanswered" doc:"Stretches of waiting that are over, and after which no agent wrote."`
	FirstResponse     Times    `json:"first_response" doc:"From the start of waiting to the first message of an agent."`
	Desk              []Agent  `json:"agents" doc:"Those with most messages first."`
	ConversationsWith int64    `json:"conversations_with_agents"`
}

// Times sums up lengths of time.
type Times struct {
	Count         int64    `json:"count"`
	AvgSeconds    *float64 `json:"avg_seconds"`
	MedianSeconds *float64 `json:"median_seconds"`
	P90Seconds    *float64 `json:"p90_seconds"`
}

// Agent is a human agent.
type Agent struct {
	AgentID       string `json:"agent_id"`
	Conversations int64  `json:"conversations"`
	Messages      int64  `json:"messages"`
	FirstResponse Times  `json:"first_response" doc:"From taking over to the first message."`
	Handling      Times  `json:"handling" doc:"Stretches that are over, from taking over on."`
}

func times(seconds []float64) Times {
	return Times{int64(len(seconds)), mean(seconds), percentile(seconds, 0.5), percentile(seconds, 0.9)}
}

// agentFacts are what is known of an agent.
type agentFacts struct {
	conversations   map[queries.ConversationKey]bool
	messages        int64
	first, handling []float64
}

// Agents answers a report about live chat.
func (q Question) Agents(ctx context.Context) (a Agents, err error) {
	if a.Common, err = q.common(ctx); err != nil {
		return a, err
	}
	by, _, err := q.volumes(ctx)
	if err != nil {
		return a, err
	}
	segments, err := queries.Segments(ctx, q.Pool, q.filter, q.Now, q.Zone)
	if err != nil {
		return a, err
	}
	v := sum(by)
	a.Conversations, a.HandedOver, a.HandoverRate = v.Conversations, v.HandedOver, share(v.Handover())
	a.Abandoned, a.AbandonmentRate = v.Abandoned, share(v.Abandonment())
	agents, with := map[string]*agentFacts{}, map[queries.ConversationKey]bool{}
	var waits, responses []float64
	for i, s := range segments {
		key := queries.ConversationKey{SenderID: s.Sender, ID: s.ID}
		if s.Waiting {
			if s.EndedAt != nil {
				waits = append(waits, s.EndedAt.Sub(s.StartedAt).Seconds())
			}
			answered := false
			for _, n := range segments[i+1:] {
				if n.Sender != s.Sender || n.ID != s.ID || n.Waiting { // the next one waits by itself
					break
				}
				if answered = n.FirstReplyAt != nil; answered {
					responses = append(responses, n.FirstReplyAt.Sub(s.StartedAt).Seconds())
					break
				}
			}
			if !answered && (s.EndedAt != nil || s.Over) {
				a.Unanswered++
			}
			continue
		}
		with[key] = true
		x := agents[s.AgentID]
		if x == nil {
			x = &agentFacts{conversations: map[queries.ConversationKey]bool{}}
			agents[s.AgentID] = x
		}
		x.conversations[key] = true
		x.messages += s.Messages
		if s.FirstReplyAt != nil {
			x.first = append(x.first, s.FirstReplyAt.Sub(s.StartedAt).Seconds())
		}
		if s.EndedAt != nil {
			x.handling = append(x.handling, s.EndedAt.Sub(s.StartedAt).Seconds())
		}
	}
	a.Waits, a.FirstResponse, a.ConversationsWith = times(waits), times(responses), int64(len(with))
	a.Desk = []Agent{}
	for _, id := range slices.Sorted(maps.Keys(agents)) {
		x := agents[id]
		a.Desk = append(a.Desk, Agent{
			id, int64(len(x.conversations)), x.messages, times(x.first), times(x.handling),
		})
	}
	slices.SortStableFunc(a.Desk, func(a, b Agent) int { return cmp.Compare(b.Messages, a.Messages) })
	return a, nil
}
