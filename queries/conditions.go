package queries

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

const (
	engagedText  = `c.outcome <> 'not_engaged'`
	endedText    = `c.closes_at <= @now`
	resolvedText = engagedText + ` and ` + endedText + ` and c.outcome in ('resolved_confirmed', 'resolved_assumed')`
)

// conditionText states each metric.Condition for the database.
var conditionText = map[metric.Condition]string{
	metric.Engaged:         engagedText,
	metric.NobodyWrote:     `c.outcome = 'not_engaged'`,
	metric.Ended:           engagedText + ` and ` + endedText,
	metric.Contained:       engagedText + ` and ` + endedText + ` and c.outcome <> 'escalated'`,
	metric.Confirmed:       endedText + ` and c.outcome = 'resolved_confirmed'`,
	metric.Assumed:         endedText + ` and c.outcome = 'resolved_assumed'`,
	metric.Resolved:        resolvedText,
	metric.Durable:         resolvedText + ` and not (` + returnedText + `)`,
	metric.HandedOff:       endedText + ` and c.outcome = 'escalated'`,
	metric.Abandoned:       endedText + ` and c.outcome = 'abandoned'`,
	metric.Open:            `c.closes_at > @now`,
	metric.EndedNotEngaged: endedText + ` and c.outcome = 'not_engaged'`,
	metric.Escalated:       engagedText + ` and c.escalated_at is not null`,
	metric.Satisfied:       `c.csat = 'SATISFIED'`,
	metric.Unsatisfied:     `c.csat = 'UNSATISFIED'`,
	metric.Unanswered:      `c.csat = 'UNANSWERED'`,
	metric.Rated:           `c.csat in ('SATISFIED', 'UNSATISFIED')`,
	metric.Asked:           `c.csat <> ''`,
}

// at adds a condition that may ask for the time.
func (w *Where) at(condition string, now time.Time) {
	w.And(condition, "", nil)
	if strings.Contains(condition, "@now") {
		w.Args["now"] = now
	}
}

// figures narrows by what figures count.
func (w *Where) figures(f metric.Filter, known FilterIDs, now time.Time, zone *time.Location) {
	for _, is := range f.Is {
		switch is {
		case metric.Succeeded:
			w.verdict("succeeded", known.Criteria, metric.Success)
		case metric.Failed:
			w.verdict("failed", known.Criteria, metric.Failure)
		case metric.Judged:
			w.verdict("judged", known.Criteria, metric.EitherVerdict)
		default:
			w.at(conditionText[is], now)
		}
	}
	for i, j := range f.Judged {
		c := known.criteria[j.Criteria]
		w.And("c.assistant_id = @"+fmt.Sprintf("judged_%d", i), fmt.Sprintf("judged_%d", i), c.AssistantID)
		w.verdict(fmt.Sprintf("by%d_", i), []SuccessCriteria{c}, j.Verdict)
	}
	if len(f.Reasons) > 0 {
		w.And("c.escalated_at is not null and c.escalation_reason = any(@reasons::text[])", "reasons", f.Reasons)
	}
	from, _ := f.Range.Bounds(now, zone)
	switch f.Users {
	case metric.NewUsers:
		w.And(firstEverText+" >= @new_from", "new_from", from)
	case metric.ReturningUsers:
		w.And(firstEverText+" < @new_from", "new_from", from)
	}
	w.person(f.Person)
	if len(f.IDs) > 0 {
		w.And("c.id = any(@only::uuid[])", "only", f.IDs)
	}
	if f.FirstSeen != (metric.Range{}) {
		w.And(firstEverText+" >= @met_from", "met_from", f.FirstSeen.From)
		w.And(firstEverText+" < @met_until", "met_until", f.FirstSeen.Until)
	}
	for i, marker := range f.Markers {
		arg := fmt.Sprintf("marker_%d", i)
		w.And("exists"+fmt.Sprintf(markerText, arg), arg, []string{marker})
		w.Args["marked_at"] = now
	}
	if len(f.NoMarkers) > 0 { // who leaves out one that there is not must not get more than was meant
		w.And("not exists"+fmt.Sprintf(markerText, "no_markers")+` and (select count(distinct p.name) from patterns p
	where p.active and p.name = any(@no_markers::text[])) = cardinality(@no_markers::text[])`, "no_markers", f.NoMarkers)
		w.Args["marked_at"] = now
	}
	w.path(f.Path)
	w.turnsAndCommands(f)
	w.times(f, zone)
}

// person narrows to the conversations of a user; what is no id of one is nobody's.
func (w *Where) person(of string) {
	if of == "" {
		return
	}
	id, err := conversation.ParseUUID(of)
	person, ok := metric.PersonOf(id)
	if err != nil || !ok {
		w.And("false", "", nil)
		return
	}
	w.And("(c.user_id <> '' or c.sender_id = @person) and ("+PersonText+") = @person", "person", person)
}

// turnsAndCommands narrows by what the turns of a conversation were, and what the model was told in them.
func (w *Where) turnsAndCommands(f metric.Filter) {
	if f.Turns != (metric.TurnFilter{}) {
		w.And(
			"exists (select from turns t where t.sender_id = c.sender_id and t.conversation_id = c.id and "+
				w.turn(f.Turns)+")",
			"", nil,
		)
	}
	for i, command := range f.Commands {
		name := fmt.Sprintf("command_%d", i)
		w.And(
			"exists (select from commands m where m.sender_id = c.sender_id and m.conversation_id = c.id and "+
				"m.command = @"+name+")",
			name, strings.TrimPrefix(command, metric.Unknown),
		)
	}
	for i, detail := range f.CannotHandle {
		name := fmt.Sprintf("cannot_handle_%d", i)
		w.And(
			"exists (select from commands m where m.sender_id = c.sender_id and m.conversation_id = c.id and "+
				"m.command = 'cannot handle' and left(m.detail, 300) = @"+name+")",
			name, strings.TrimPrefix(detail, metric.Unknown),
		)
	}
}

// times narrows by when conversations began and how long their answers took.
func (w *Where) times(f metric.Filter, zone *time.Location) {
	if len(f.Weekdays) > 0 {
		w.And(
			"extract(isodow from c.started_at at time zone @zone)::integer = any(@weekdays::integer[])", "weekdays",
			f.Weekdays,
		)
		w.Args["zone"] = zone.String()
	}
	if len(f.Hours) > 0 {
		w.And("extract(hour from c.started_at at time zone @zone)::integer = any(@hours::integer[])", "hours", f.Hours)
		w.Args["zone"] = zone.String()
	}
	if f.ResponseOver > 0 || f.ResponseUpTo > 0 {
		w.And(
			"exists (select from unnest(c.response_ms) as ms where ms > @slower and ms <= @faster)", "slower",
			slowest(f),
		)
		w.Args["faster"] = fastest(f)
	}
}

// partColumns hold how long a part of a turn took.
var partColumns = map[string]string{"understanding": "t.understanding_ms", "prediction": "t.prediction_ms"}

// turn states what a turn, t, must be.
func (w *Where) turn(f metric.TurnFilter) string {
	text := "not t.platform"
	if f.Intent != "" {
		text += " and t.intent = @intent"
		w.Args["intent"] = strings.TrimPrefix(f.Intent, metric.Unknown)
	}
	if f.Flow != "" {
		text += " and t.flow_id = @turn_flow"
		w.Args["turn_flow"] = strings.TrimPrefix(f.Flow, metric.Unknown)
	}
	if f.Action != "" {
		text += " and t.action = @turn_action"
		w.Args["turn_action"] = strings.TrimPrefix(f.Action, metric.Unknown)
	}
	if column, ok := partColumns[f.Part]; ok {
		text += " and t.response_ms is not null and " + column + " is not null"
		if f.Over > 0 {
			text += " and " + column + " > @over"
			w.Args["over"] = f.Over
		}
	}
	if f.Unsure {
		text += " and t.confidence < @unsure::real"
		w.Args["unsure"] = metric.LowConfidence
	}
	if f.Fallback {
		text += " and t.fallback"
	}
	if f.Untimed {
		text += " and t.response_source = 'not_timed'" // conversation.NotTimed
	}
	return text
}

// slowest is the lower bound of response times, exclusive: those that took no time lie above it when none is asked for.
func slowest(f metric.Filter) float64 {
	if f.ResponseOver > 0 {
		return f.ResponseOver
	}
	return -1
}

// fastest is the upper bound of response times.
func fastest(f metric.Filter) float64 {
	if f.ResponseUpTo > 0 {
		return f.ResponseUpTo
	}
	return math.Inf(1)
}

// runText asks for a run of the filter's flow in the conversation.
const runText = `exists (select from flow_runs r where r.sender_id = c.sender_id and r.conversation_id = c.id
	and r.flow_id = @flow_id`

const (
	flowStartedText   = runText + ` and r.starts > 0)`
	flowCompletedText = runText + ` and r.status = 'completed')`
	flowCancelledText = runText + ` and r.status = 'cancelled')`
	flowHandedText    = runText + ` and r.escalated)`
	flowLeftText      = flowStartedText + ` and not ` + flowCompletedText + ` and not ` + flowCancelledText
)

// flowConditionText states each metric.FlowCondition for the database.
var flowConditionText = map[metric.FlowCondition]string{
	metric.FlowTouched:     runText + `)`,
	metric.FlowStarted:     flowStartedText,
	metric.FlowCompleted:   flowCompletedText,
	metric.FlowCancelled:   flowCancelledText,
	metric.FlowStopped:     flowStartedText + ` and ` + flowCancelledText + ` and not ` + flowCompletedText,
	metric.FlowOpen:        flowLeftText + ` and c.closes_at > @now`,
	metric.FlowLost:        flowLeftText + ` and c.closes_at <= @now`,
	metric.FlowInterrupted: runText + ` and r.interrupted > 0)`,
	metric.FlowResumed:     runText + ` and r.resumed > 0)`,
	metric.FlowEscalated:   flowHandedText,
	metric.FlowAutomated:   flowCompletedText + ` and not ` + flowHandedText,
	metric.FlowFinished:    flowStartedText + ` and ` + flowCompletedText,
	metric.FlowMissed: flowStartedText + ` and not ` + flowCompletedText + ` and (c.closes_at <= @now or ` +
		flowCancelledText + `)`,
}

// The last step of a visit is that of its last run that was not completed.
const lastStepText = flowStartedText + ` and not ` + flowCompletedText + `
	and (
		select r.last_step
		from flow_runs r
		where r.sender_id = c.sender_id and r.conversation_id = c.id and r.flow_id = @flow_id
		order by r.n desc
		limit 1
	) = @flow_step`

const visitedText = `exists (select from flow_steps s where s.sender_id = c.sender_id and s.conversation_id = c.id
	and s.flow_id = @flow_id and s.step_id = @flow_step)`

// flow narrows by what a flow did; n keeps the names of parameters apart.
func (w *Where) flow(n int, x metric.FlowFilter, now time.Time) {
	w.facets(fmt.Sprintf("flow_%d", n), "f", []string{x.Flow})
	text, step := "", cmp.Or(x.Visited, x.Stopped)
	switch {
	case x.Visited != "":
		text = visitedText
	case x.Stopped != "":
		text = lastStepText
	case x.How == metric.FlowTouched:
		return // the facet says so
	default:
		text = flowConditionText[x.How]
	}
	id, at := fmt.Sprintf("flow_id_%d", n), fmt.Sprintf("flow_step_%d", n)
	w.Args[id] = x.Flow
	if step != "" {
		w.Args[at] = step
	}
	w.at(strings.ReplaceAll(strings.ReplaceAll(text, "@flow_id", "@"+id), "@flow_step", "@"+at), now)
}

// excluded leaves out values.
func (w *Where) excluded(not metric.Excluded, known FilterIDs) {
	if len(not.Assistants) > 0 {
		w.And(
			"c.assistant_id <> all(@not_assistants::integer[])", "not_assistants",
			smallIDs("assistant", not.Assistants),
		)
	}
	if len(not.Environments) > 0 {
		w.And(
			"c.environment_id <> all(@not_environments::integer[])", "not_environments",
			smallIDs("environment", not.Environments),
		)
	}
	if len(not.Channels) > 0 {
		w.And("c.channel_id <> all(@not_channels::integer[])", "not_channels", smallIDs("channel", not.Channels))
	}
	if len(known.notVersions) > 0 {
		w.And("c.version_id <> all(@not_versions::bigint[])", "not_versions", known.notVersions)
	}
}

func smallIDs(kind string, names []string) []int32 {
	ids := make([]int32, len(names))
	for i, name := range names {
		if name != metric.Unknown { // whose id is 0
			ids[i] = conversation.SmallID(kind, name)
		}
	}
	return ids
}

// FilterDimensions narrows rolled-up rows, c, to the filter's assistants, environments, channels and versions.
func FilterDimensions(f metric.Filter, known FilterIDs) *Where {
	w := &Where{Args: pgx.StrictNamedArgs{}}
	w.And("true", "", nil)
	if len(f.Assistants) > 0 {
		w.And("c.assistant_id = any(@assistants::integer[])", "assistants", smallIDs("assistant", f.Assistants))
	}
	if len(f.Environments) > 0 {
		w.And(
			"c.environment_id = any(@environments::integer[])", "environments", smallIDs("environment", f.Environments),
		)
	}
	if len(f.Channels) > 0 {
		w.And("c.channel_id = any(@channels::integer[])", "channels", smallIDs("channel", f.Channels))
	}
	if len(f.Versions) > 0 {
		w.And("c.version_id = any(@versions::bigint[])", "versions", known.versions)
	}
	w.excluded(f.Not, known)
	return w
}

// markerText is whether one of several markers was found in a conversation.
const markerText = ` (select from markers m join patterns p on p.id = m.pattern_id where m.sender_id = c.sender_id
	and m.conversation_id = c.id and p.active and p.name = any(@%s::text[]) and m.counts_at <= @marked_at)`
