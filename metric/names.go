package metric

import (
	"turnwise/conversation"
)

// OutcomeName says how a conversation ended.
func OutcomeName(outcome string) string {
	switch outcome {
	case string(conversation.ResolvedConfirmed):
		return "Resolved"
	case string(conversation.ResolvedAssumed):
		return "Resolved, assumed"
	case string(conversation.Escalated):
		return "Escalated"
	case string(conversation.Abandoned):
		return "Abandoned"
	case string(conversation.NotEngaged):
		return "Not engaged"
	}
	return "Open"
}

// RatingName says how satisfied the user was.
func RatingName(rating string) string {
	switch conversation.Rating(rating) {
	case conversation.Satisfied:
		return "satisfied"
	case conversation.Unsatisfied:
		return "not satisfied"
	case conversation.Unanswered:
		return "no answer"
	}
	return "–"
}

// ReviewStateName says in words how far a conversation is reviewed.
func ReviewStateName(state string) string {
	switch state {
	case Reviewed:
		return "reviewed"
	case PartiallyReviewed:
		return "in part"
	}
	return "not reviewed"
}
