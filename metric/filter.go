package metric

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"turnwise/conversation"
)

// InputError says which field the user got wrong, in words fit to show.
type InputError struct{ Field, Msg string }

func (e *InputError) Error() string { return e.Field + ": " + e.Msg }

// Range is a half-open stretch of time. A relative one counts whole days back from now, today included.
type Range struct {
	Days        int       // > 0 for a relative range
	From, Until time.Time // of an absolute one: midnights in the workspace's zone, Until exclusive
}

// MaxDays bounds a range.
const MaxDays = 36525

// Bounds returns the range's instants.
func (r Range) Bounds(now time.Time, zone *time.Location) (from, until time.Time) {
	if r.Days == 0 {
		return r.From, r.Until
	}
	n := now.In(zone)
	tomorrow := time.Date(n.Year(), n.Month(), n.Day()+1, 0, 0, 0, 0, zone)
	return time.Date(n.Year(), n.Month(), n.Day()+1-r.Days, 0, 0, 0, 0, zone), tomorrow
}

// Shift returns the range of the same length n lengths later (earlier for a negative n), as an absolute one.
func (r Range) Shift(n int, now time.Time, zone *time.Location) Range {
	from, until := r.Bounds(now, zone)
	days := int(until.Sub(from).Round(24*time.Hour)/(24*time.Hour)) * n
	return Range{From: from.AddDate(0, 0, days), Until: until.AddDate(0, 0, days)}
}

// Filter is the question behind every list: which conversations. A zero field does not narrow.
type Filter struct {
	Range        Range
	Assistants   []string
	Environments []string
	Channels     []string
	Versions     []string // names
	Outcomes     []string // of conversation.Outcome, or OutcomeOpen
	Ratings      []string // of conversation.Rating
	Escalated    string   // "yes", "no" or ""
	Flow         string   // a user flow that ran
	ID           string   // of the conversation, the sender or the user
}

// OutcomeOpen selects conversations that are not closed yet.
const OutcomeOpen = "open"

// Outcomes lists what a filter on the outcome may hold.
var Outcomes = []string{
	string(conversation.ResolvedConfirmed), string(conversation.ResolvedAssumed), string(conversation.Escalated),
	string(conversation.Abandoned), OutcomeOpen, string(conversation.NotEngaged),
}

// Ratings lists what a filter on the rating may hold.
var Ratings = []string{string(conversation.Satisfied), string(conversation.Unsatisfied), string(conversation.Unanswered)}

// DefaultDays is the range of a page that names none.
const DefaultDays = 28

const dateLayout = "2006-01-02"

// maxValues bounds how many values one field may name.
const maxValues = 50

// ParseFilter reads a filter from a query; fields that it does not know are left alone.
func ParseFilter(q url.Values, zone *time.Location) (Filter, error) {
	var f Filter
	var err error
	if f.Range, err = parseRange(q, zone); err != nil {
		return f, err
	}
	for _, field := range []struct {
		name  string
		into  *[]string
		among []string
	}{
		{"assistant", &f.Assistants, nil},
		{"environment", &f.Environments, nil},
		{"channel", &f.Channels, nil},
		{"version", &f.Versions, nil},
		{"outcome", &f.Outcomes, Outcomes},
		{"csat", &f.Ratings, Ratings},
	} {
		for _, v := range q[field.name] {
			if v == "" {
				continue
			}
			if field.among != nil && !slices.Contains(field.among, v) {
				return f, &InputError{field.name, "is one of " + strings.Join(field.among, ", ")}
			}
			if !slices.Contains(*field.into, v) {
				*field.into = append(*field.into, v)
			}
		}
		if len(*field.into) > maxValues {
			return f, &InputError{field.name, fmt.Sprintf("takes at most %d values", maxValues)}
		}
	}
	switch f.Escalated = q.Get("escalated"); f.Escalated {
	case "", "yes", "no":
	default:
		return f, &InputError{"escalated", "is yes or no"}
	}
	f.Flow = strings.TrimSpace(q.Get("flow"))
	f.ID = strings.TrimSpace(q.Get("id"))
	for name, v := range q {
		for _, s := range v {
			if len(s) > 1100 || strings.ContainsRune(s, 0) || strings.ToValidUTF8(s, "") != s {
				return f, &InputError{name, "is too long or not text"}
			}
		}
	}
	return f, nil
}

func parseRange(q url.Values, zone *time.Location) (Range, error) {
	from, until := q.Get("from"), q.Get("until")
	if from == "" && until == "" {
		days := q.Get("range")
		if days == "" {
			return Range{Days: DefaultDays}, nil
		}
		n, err := strconv.Atoi(strings.TrimSuffix(days, "d"))
		if err != nil || n < 1 || n > MaxDays || !strings.HasSuffix(days, "d") {
			return Range{}, &InputError{"range", "is a number of days such as 28d"}
		}
		return Range{Days: n}, nil
	}
	var r Range
	var err error
	if r.From, err = time.ParseInLocation(dateLayout, from, zone); err != nil {
		return r, &InputError{"from", "is a date such as 2026-11-21"}
	}
	if r.Until, err = time.ParseInLocation(dateLayout, until, zone); err != nil {
		return r, &InputError{"until", "is a date such as 2026-11-21"}
	}
	r.Until = r.Until.AddDate(0, 0, 1)
	if !r.Until.After(r.From) {
		return r, &InputError{"until", "lies before from"}
	}
	if r.From.Year() < 1990 || r.Until.Year() > 2200 {
		return r, &InputError{"from", "lies outside of 1990 to 2200"}
	}
	return r, nil
}

// Query writes the filter, so that ParseFilter reads the same again. Dates are both included.
func (f Filter) Query() url.Values {
	q := url.Values{}
	switch {
	case f.Range.Days > 0 && f.Range.Days != DefaultDays:
		q.Set("range", strconv.Itoa(f.Range.Days)+"d")
	case f.Range.Days == 0 && !f.Range.From.IsZero():
		q.Set("from", f.Range.From.Format(dateLayout))
		q.Set("until", f.Range.Until.AddDate(0, 0, -1).Format(dateLayout))
	}
	for name, values := range map[string][]string{
		"assistant": f.Assistants, "environment": f.Environments, "channel": f.Channels, "version": f.Versions,
		"outcome": f.Outcomes, "csat": f.Ratings,
	} {
		if len(values) > 0 {
			q[name] = slices.Clone(values)
		}
	}
	for name, v := range map[string]string{"escalated": f.Escalated, "flow": f.Flow, "id": f.ID} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return q
}

// Cursor is a place in a list of conversations, newest first.
type Cursor struct {
	At    int64 // microseconds since 1970
	ID    conversation.UUID
	Newer bool // the page ends above the place, instead of beginning below it
}

// ParseCursor reads what String wrote; nil for "".
func ParseCursor(s string) (*Cursor, error) {
	if s == "" {
		return nil, nil
	}
	bad := &InputError{"page", "is no place in this list"}
	dir, rest, ok := strings.Cut(s, ".")
	at, id, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || dir != "older" && dir != "newer" {
		return nil, bad
	}
	c := &Cursor{Newer: dir == "newer"}
	var err error
	if c.At, err = strconv.ParseInt(at, 10, 64); err != nil || c.At < 0 || c.At > 1<<53 {
		return nil, bad
	}
	if c.ID, err = conversation.ParseUUID(id); err != nil {
		return nil, bad
	}
	return c, nil
}

// String writes the cursor for a URL.
func (c Cursor) String() string {
	dir := "older"
	if c.Newer {
		dir = "newer"
	}
	return dir + "." + strconv.FormatInt(c.At, 10) + "." + c.ID.String()
}
