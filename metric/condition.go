package metric

import "turnwise/conversation"

// Condition is what a conversation must meet to be counted by a measure. The same conditions narrow lists: what a
// figure counts and the list it opens are one predicate, stated here for a conversation at hand and in package
// queries for the database; a test holds the two together.
type Condition int

// The conditions. Ended ones leave out the open; all but All and Unengaged leave out those in which nobody wrote.
const (
	All Condition = iota
	Engaged
	NobodyWrote // nobody wrote, open or not
	Ended
	Contained // ended, not escalated
	Confirmed // resolved: the user said so
	Assumed   // resolved: the last answer was one
	Resolved  // either
	Durable   // resolved, and the same person did not come back within DurableDays
	HandedOff // ended, escalated
	Abandoned
	Open
	EndedNotEngaged // ended, nobody wrote
	Escalated       // open or not
	Satisfied
	Unsatisfied
	Unanswered
	Rated     // satisfied or not
	Asked     // rated or not answered
	Succeeded // by the success criteria of its assistant that are in force
	Failed
	Judged // either
	conditions
)

// Conditions lists them.
func Conditions() []Condition {
	all := make([]Condition, conditions)
	for i := range all {
		all[i] = Condition(i)
	}
	return all
}

var conditionNames = [conditions]string{
	"", "engaged", "unengaged", "ended", "contained", "confirmed", "assumed", "resolved", "durable", "handed-off",
	"abandoned", "open", "not-engaged", "escalated",
	"satisfied", "unsatisfied", "unanswered", "rated", "asked", "succeeded", "failed", "judged",
}

// conditionNumbers are what the conditions are called in packed figures. A number is never given to another condition.
var conditionNumbers = [conditions]int64{
	All: 1, Engaged: 2, NobodyWrote: 3, Ended: 4, Contained: 5, Confirmed: 6, Assumed: 7, Resolved: 8, Durable: 9,
	HandedOff: 10, Abandoned: 11, Open: 12, EndedNotEngaged: 13,
	Escalated: 14, Satisfied: 15, Unsatisfied: 16, Unanswered: 17, Rated: 18, Asked: 19, Succeeded: 20, Failed: 21,
	Judged: 22,
}

// String returns the condition's name in a URL.
func (is Condition) String() string { return conditionNames[is] }

// ParseCondition reads a name.
func ParseCondition(name string) (Condition, bool) {
	for is, n := range conditionNames {
		if n == name {
			return Condition(is), true
		}
	}
	return 0, false
}

// Words say what meets the condition, as the heading of its list.
func (is Condition) Words() string {
	return [conditions]string{
		"Conversations", "Engaged conversations", "Conversations in which nobody wrote",
		"Engaged conversations that ended", "Contained conversations",
		"Conversations resolved, confirmed", "Conversations resolved, assumed", "Resolved conversations",
		"Durably resolved conversations", "Escalated conversations that ended",
		"Abandoned conversations", "Open conversations", "Ended conversations in which nobody wrote",
		"Escalated conversations", "Satisfied conversations", "Conversations not satisfied",
		"Conversations asked for a rating in vain", "Rated conversations", "Conversations asked for a rating",
		"Successful conversations", "Conversations without success", "Conversations judged by success criteria",
	}[is]
}

func (is Condition) holds(c *ConversationFacts) bool {
	engaged := c.Outcome != conversation.NotEngaged
	ended := engaged && !c.Open
	switch is {
	case All:
		return true
	case Engaged:
		return engaged
	case NobodyWrote:
		return !engaged
	case Ended:
		return ended
	case Contained:
		return ended && c.Outcome != conversation.Escalated
	case Confirmed:
		return ended && c.Outcome == conversation.ResolvedConfirmed
	case Assumed:
		return ended && c.Outcome == conversation.ResolvedAssumed
	case Resolved, Durable:
		return ended && (c.Outcome == conversation.ResolvedConfirmed || c.Outcome == conversation.ResolvedAssumed) &&
			(is == Resolved || !c.Returned)
	case HandedOff:
		return ended && c.Outcome == conversation.Escalated
	case Abandoned:
		return ended && c.Outcome == conversation.Abandoned
	case Open:
		return c.Open
	case EndedNotEngaged:
		return !engaged && !c.Open
	case Escalated:
		return engaged && c.Escalated
	case Satisfied:
		return c.Rating == conversation.Satisfied
	case Unsatisfied:
		return c.Rating == conversation.Unsatisfied
	case Unanswered:
		return c.Rating == conversation.Unanswered
	case Rated:
		return c.Rating == conversation.Satisfied || c.Rating == conversation.Unsatisfied
	case Asked:
		return c.Rating != ""
	case Succeeded:
		return c.Verdict == Success
	case Failed:
		return c.Verdict == Failure
	case Judged:
		return c.Verdict != NotJudged
	default:
		return false
	}
}

// OutcomeConditions are the outcomes, of which each conversation has exactly one, in the order in which charts stack
// them.
var OutcomeConditions = []Condition{Confirmed, Assumed, HandedOff, Abandoned, Open, EndedNotEngaged}
