package analytics

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// Realtime is the answer of /realtime.
type Realtime struct {
	GeneratedAt                  time.Time `json:"generated_at"`
	WindowSeconds                int       `json:"window_seconds" doc:"Over which messages are counted."`
	ActiveWindowSeconds          int       `json:"active_window_seconds" doc:"How long after its last message a conversation that has not ended counts as active."`
	ActiveSessions               int64     `json:"active_sessions"`
	ActiveUsers                  int64     `json:"active_users" doc:"Users who wrote in active sessions, within the active window."`
	MessagesPerMinute            float64   `json:"messages_per_minute" doc:"In the last 60 seconds, by the time of the message."`
	ConversationsStartedLastHour int64     `json:"conversations_started_last_hour"`
	WaitingForAgent              int64     `json:"waiting_for_agent"`
	LongestWaitSeconds           *float64  `json:"longest_wait_seconds" doc:"null: nobody waits."`
	AgentsAvailable              int64     `json:"agents_available" doc:"Human agents who said to be available within a day, and nothing else since."`
	AvgResponseMS                *float64  `json:"avg_response_ms" doc:"Over the turns of active sessions."`
	ErrorRate                    *float64  `json:"error_rate" doc:"Turns of active sessions that the platform told to have failed, of those whose result it told."`
	IngestLagSeconds             *float64  `json:"ingest_lag_seconds" doc:"From when the newest events of the last 5 minutes happened to when they were stored, of the source where that took longest: low figures may mean delay, not quiet. null: none came, or only some assistants are asked about."`
	Bots                         []LiveBot `json:"bots"`
}

// LiveBot is what goes on with an assistant.
type LiveBot struct {
	BotID             string  `json:"bot_id" format:"uuid"`
	Name              string  `json:"name"`
	ActiveSessions    int64   `json:"active_sessions"`
	MessagesPerMinute float64 `json:"messages_per_minute"`
}

// Active is the answer of /realtime/active.
type Active struct {
	GeneratedAt         time.Time       `json:"generated_at"`
	ActiveWindowSeconds int             `json:"active_window_seconds"`
	ActiveSessions      int64           `json:"active_sessions"`
	Count               int64           `json:"count" doc:"The same as active_sessions."`
	ByChannel           []ActiveChannel `json:"by_channel"`
	ByHandler           ActiveHandlers  `json:"by_handler"`
}

// ActiveChannel counts the active sessions of a channel.
type ActiveChannel struct {
	Channel        string `json:"channel"`
	ActiveSessions int64  `json:"active_sessions"`
}

// ActiveHandlers counts active sessions by who has to answer.
type ActiveHandlers struct {
	Bot     int64 `json:"bot"`
	Human   int64 `json:"human"`
	Waiting int64 `json:"waiting" doc:"They wait for a human agent."`
}

// only are the assistants that the question is about; nil: all.
func (q Question) only() []string {
	if len(q.filter.Assistants) == 0 {
		return nil
	}
	return q.filter.Assistants
}

// Realtime answers /realtime, from what is committed.
func (q Question) Realtime(ctx context.Context) (a Realtime, err error) {
	var all []queries.LiveSession
	var desk queries.LiveDesk
	g, inner := together(ctx)
	g.Go(func() (err error) { all, err = queries.LiveSessions(inner, q.Pool, q.only(), q.Now); return err })
	g.Go(func() (err error) { desk, err = queries.LoadLiveDesk(inner, q.Pool, q.only(), q.Now); return err })
	if err := g.Wait(); err != nil {
		return a, err
	}
	a = Realtime{
		GeneratedAt:   q.Now.In(q.Zone).Truncate(time.Millisecond),
		WindowSeconds: int(queries.MinuteWindow.Seconds()), ActiveWindowSeconds: int(queries.ActiveWindow.Seconds()),
		ConversationsStartedLastHour: desk.Started, WaitingForAgent: desk.Waiting, AgentsAvailable: desk.Available,
		Bots: []LiveBot{},
	}
	if desk.Lag != nil {
		a.IngestLagSeconds = number(*desk.Lag, true)
	}
	if desk.WaitingSince != nil {
		a.LongestWaitSeconds = number(max(0, q.Now.Sub(*desk.WaitingSince).Seconds()), true)
	}
	people, bots := map[int64]bool{}, map[conversation.UUID]*LiveBot{}
	var responded, responses float64
	var failed metric.Rate
	for _, s := range all {
		if bots[s.AssistantID] == nil {
			bots[s.AssistantID] = &LiveBot{BotID: s.AssistantID.String(), Name: s.Assistant}
		}
		bot := bots[s.AssistantID]
		a.MessagesPerMinute += float64(s.Messages)
		bot.MessagesPerMinute += float64(s.Messages)
		if !s.Active {
			continue
		}
		a.ActiveSessions++
		bot.ActiveSessions++
		if s.Wrote {
			people[s.Person] = true
		}
		responded, responses = responded+s.ResponseMS, responses+float64(s.Responses)
		failed.Of, failed.Among = failed.Of+s.Errors, failed.Among+s.Turns
	}
	a.ActiveUsers, a.AvgResponseMS, a.ErrorRate = int64(len(people)), number(responded/max(responses, 1), responses > 0), share(failed)
	for _, b := range bots {
		a.Bots = append(a.Bots, *b)
	}
	slices.SortFunc(a.Bots, func(a, b LiveBot) int {
		return cmp.Or(cmp.Compare(b.ActiveSessions, a.ActiveSessions), cmp.Compare(a.Name, b.Name))
	})
	return a, nil
}

// Active answers /realtime/active.
func (q Question) Active(ctx context.Context) (a Active, err error) {
	all, err := queries.LiveSessions(ctx, q.Pool, q.only(), q.Now)
	if err != nil {
		return a, err
	}
	a = Active{
		GeneratedAt:         q.Now.In(q.Zone).Truncate(time.Millisecond),
		ActiveWindowSeconds: int(queries.ActiveWindow.Seconds()), ByChannel: []ActiveChannel{},
	}
	channels := map[string]int64{}
	for _, s := range all {
		if !s.Active {
			continue
		}
		a.ActiveSessions++
		channels[channelName(s.Channel)]++
		switch s.Handler {
		case "human":
			a.ByHandler.Human++
		case "waiting":
			a.ByHandler.Waiting++
		default:
			a.ByHandler.Bot++
		}
	}
	a.Count = a.ActiveSessions
	for _, name := range slices.Sorted(maps.Keys(channels)) {
		a.ByChannel = append(a.ByChannel, ActiveChannel{name, channels[name]})
	}
	slices.SortStableFunc(
		a.ByChannel, func(a, b ActiveChannel) int { return cmp.Compare(b.ActiveSessions, a.ActiveSessions) },
	)
	return a, nil
}
