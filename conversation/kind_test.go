package conversation

import "strings"

// judged is an event of a platform whose adapter tells kinds and traits by these names.
func judged(e *Event) *Event {
	kinds := map[string]struct {
		kind Kind
		rank int8
	}{
		"user": {KindUser, 4}, "bot": {KindBot, 10}, "agent": {KindAgent, 10}, "action": {KindAction, 9}, "slot": {KindSlot, 6}, "stack": {KindStack, 7},
		"session_started": {KindReset, 3}, "restart": {KindRestart, 0}, "pause": {KindPause, 11}, "resume": {KindResume, 11}, "session_ended": {KindEnd, 13},
		"conversation_inactive": {KindInactive, 13}, "session_paused": {KindSilent, 11}, "flow_started": {KindFlowStarted, 8}, "flow_completed": {KindFlowCompleted, 11},
		"flow_cancelled": {KindFlowCancelled, 11}, "flow_interrupted": {KindFlowInterrupted, 11}, "flow_resumed": {KindFlowResumed, 11},
		"action/action_restart": {KindAction, -1}, "action/action_session_start": {KindBegin, 2}, "action/action_listen": {KindTurnEnd, 12},
		"slot/session_started_metadata": {KindMayBegin, RankOfMayBegin},
	}
	x, ok := kinds[e.Type+"/"+e.Name]
	if !ok {
		if x, ok = kinds[e.Type]; !ok {
			x.rank = 11
		}
	}
	e.Kind, e.Rank, e.Format = x.kind, x.rank, 1
	for t, is := range map[Trait]bool{
		OwnID: e.Type == "user" && e.MessageID != "", Platform: e.Type == "user" && (e.Text == "/session_start" ||
			e.Text == "/silence_timeout" || strings.HasPrefix(e.Text, "EXTERNAL: ")),
		Payload: strings.HasPrefix(e.Text, "/"), SetsSlots: strings.HasPrefix(e.Text, "/SetSlots"), AsksBack: strings.HasPrefix(e.Name, "utter_ask_"),
		Fails: strings.HasPrefix(e.Name, "utter_internal_error") || e.FlowID == "pattern_internal_error",
		AsksRating: e.Name == "utter_ask_csat_score" || e.Type == "flow_started" &&
			e.FlowID == "pattern_customer_satisfaction",
	} {
		if is {
			e.Traits |= t
		}
	}
	return e
}
