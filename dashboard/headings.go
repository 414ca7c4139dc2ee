package dashboard

import (
	"turnwise/format"
	"turnwise/metric"
)

// ListHeading says what the list holds, in the words of the figure that opens it.
func ListHeading(f metric.Filter) string {
	words := "Conversations"
	if n := len(f.Is); n > 0 {
		words = f.Is[n-1].Words()
	}
	for _, x := range f.Flows {
		if x.How != metric.FlowTouched || x.Visited+x.Stopped != "" {
			words += ", " + x.Words()
		}
	}
	return words
}

// TurnsHeading says which turns the list holds.
func TurnsHeading(f metric.Filter) string {
	words := "Turns with a response time"
	if t := f.Turns; t != (metric.TurnFilter{}) {
		if words = "Turns"; t == (metric.TurnFilter{Flow: t.Flow, Action: t.Action}) {
			words = "Turns with a response time"
		}
		if t.Flow != "" {
			words += " in " + t.Flow
		}
		if t.Action != "" {
			words += " answered by " + t.Action
		}
		if t.Intent != "" {
			words += " with the intent " + t.Intent
		}
		if t.Part != "" {
			words += " whose " + t.Part + " was told"
		}
		if t.Over > 0 {
			words += ", of more than " + format.Millis(t.Over)
		}
		if t.Unsure {
			words += " of low confidence"
		}
		if t.Fallback {
			words += " that were not understood"
		}
		if t.Untimed {
			words += " that were not timed"
		}
	}
	switch {
	case f.ResponseOver > 0 && f.ResponseUpTo > 0:
		words = "Turns answered after " + format.Millis(f.ResponseOver) + " to " + format.Millis(f.ResponseUpTo)
	case f.ResponseOver > 0:
		words = "Turns answered after more than " + format.Millis(f.ResponseOver)
	case f.ResponseUpTo > 0:
		words = "Turns answered within " + format.Millis(f.ResponseUpTo)
	}
	return words
}

// UsersHeading says which people the list holds.
func UsersHeading(f metric.Filter) string {
	words := "Users"
	switch f.Users {
	case metric.NewUsers:
		words = "New users"
	case metric.ReturningUsers:
		words = "Returning users"
	}
	if f.FirstSeen != (metric.Range{}) {
		words += " met from " + f.FirstSeen.From.Format("2 Jan") + " to " +
			f.FirstSeen.Until.AddDate(0, 0, -1).Format("2 Jan 2006")
	}
	return words
}
