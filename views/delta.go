package views

import "turnwise/dashboard"

// class of the judgement.
func deltaClass(d dashboard.Delta) string {
	switch d.Judge {
	case "better":
		return "good"
	case "worse":
		return "bad"
	}
	return "quiet"
}
