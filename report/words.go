package report

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"turnwise/format"
	"turnwise/metric"
)

// labels are what fields of a filter are called, by their names in an address.
var labels = map[string]string{
	"assistant": "Assistant", "environment": "Environment", "channel": "Channel", "version": "Version", "outcome": "Outcome", "csat": "CSAT", "escalated": "Escalated",
	"reason": "Escalation reason", "review": "Review", "reviewer": "Reviewer", "rating": "Reviewer's rating", "tag": "Tag", "mark": "Mark", "queue": "Queue", "intent": "Intent",
	"command": "Command", "cannot-handle": "Cannot handle", "weekday": "Weekday", "hour": "Hour of the day", "q": "Search", "id": "Id", "path": "Path", "users": "Users",
	"turn.flow": "Flow of a turn", "turn.action": "Action of a turn", "turn": "Turn", "part": "Part of the response time", "over": "Part over (ms)", "slower": "Response over (ms)",
	"faster": "Response up to (ms)", "met": "First seen", "criteria": "Success criteria", "only": "Conversations",
}

// FilterWords says in words what a filter narrows to, but for its range, a field after the other; "none" when to nothing.
func FilterWords(f metric.Filter) string {
	var words []string
	for _, x := range f.Flows {
		words = append(words, "Flow "+x.Words())
	}
	for _, is := range f.Is {
		words = append(words, is.Words())
	}
	plain := f
	plain.Flows, plain.Is, plain.Range = nil, nil, metric.Range{}
	q := plain.Query()
	for _, key := range slices.Sorted(keysOf(q)) {
		if key == "range" || key == "from" || key == "until" {
			continue
		}
		name, not := strings.CutSuffix(key, ".not")
		label, ok := labels[name]
		if !ok {
			label = strings.ToUpper(name[:1]) + strings.NewReplacer(".", " ", "-", " ").Replace(name[1:])
		}
		verb, join := "is", " or "
		if not {
			verb, join = "is not", " and not "
		}
		values := slices.Clone(q[key])
		for i, v := range values {
			values[i] = valueWords(name, v)
		}
		if name == "only" && len(values) > 3 {
			values = []string{fmt.Sprintf("%d chosen", len(values))}
		}
		words = append(words, label+" "+verb+" "+strings.Join(values, join))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, "; ")
}

func keysOf(q url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range q {
			if !yield(k) {
				return
			}
		}
	}
}

func valueWords(name, value string) string {
	switch name {
	case "outcome":
		return strings.ToLower(format.OutcomeName(value))
	case "csat":
		return strings.ToLower(format.RatingName(value))
	case "review":
		return strings.ToLower(format.ReviewStateName(value))
	}
	return value
}

// RangeWords says in words which days a filter's range has, at a time.
func RangeWords(f metric.Filter, now time.Time, zone *time.Location) string {
	from, until := f.Range.Bounds(now, zone)
	if f.Range.Days == metric.MaxDays {
		return "All time"
	}
	const day = "2 Jan 2006"
	first, last := from.In(zone).Format(day), until.Add(-time.Second).In(zone).Format(day)
	dates := first
	if first != last {
		dates += " – " + last
	}
	switch {
	case f.Range.Moving != "":
		return f.Range.Moving.Words() + ", " + dates
	case f.Range.Days > 1:
		return fmt.Sprintf("Last %d days, %s", f.Range.Days, dates)
	}
	return dates
}
