package metric

import (
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

// Range is a half-open stretch of time. A relative one counts whole days back from now, today included; a moving one
// follows the calendar.
type Range struct {
	Days        int       // > 0 for a relative range
	Moving      Moving    // "" for one that is none
	From, Until time.Time // of an absolute one, Until exclusive; mostly midnights in the workspace's zone
}

// MaxDays bounds a range.
const MaxDays = 36525

// Bounds returns the range's instants.
func (r Range) Bounds(now time.Time, zone *time.Location) (from, until time.Time) {
	switch {
	case r.Moving != "":
		return r.Moving.bounds(0, now, zone)
	case r.Days == 0:
		return r.From, r.Until
	}
	return AddDays(now, 1-r.Days, zone), AddDays(now, 1, zone)
}

// Shift returns the range of the same length n lengths later (earlier for a negative n), as an absolute one.
func (r Range) Shift(n int, now time.Time, zone *time.Location) Range {
	if r.Moving != "" {
		from, until := r.Moving.bounds(-n, now, zone)
		return Range{From: from, Until: until}
	}
	from, until := r.Bounds(now, zone)
	if r.Days == 0 && !r.Dates() {
		by := until.Sub(from) * time.Duration(n)
		return Range{From: from.Add(by), Until: until.Add(by)}
	}
	days := int(until.Sub(from).Round(24*time.Hour)/(24*time.Hour)) * n
	return Range{From: AddDays(from, days, zone), Until: AddDays(until, days, zone)}
}

// Filter is the question behind every list: which conversations. A zero field does not narrow.
type Filter struct {
	Range        Range
	Assistants   []string
	Environments []string
	Channels     []string
	Versions     []string     // names
	Outcomes     []string     // of conversation.Outcome, or OutcomeOpen
	Ratings      []string     // of conversation.Rating
	Escalated    string       // "yes", "no" or ""
	Reasons      []string     // of the escalation
	Flows        []FlowFilter // all of them
	ID           string       // of the conversation, the sender or the user
	Not          Excluded
	Is           []Condition // all of them
	Judged       []JudgedBy  // all of them
	Turns        TurnFilter
	Path         PathFilter // through flows
	Commands     []string   // that the model gave, all of them
	CannotHandle []string   // what the command "cannot handle" said, all of them
	Weekdays     []int      // on which they began, 1 for Monday to 7
	Markers      []string   // names of markers, all of which were found in it
	NoMarkers    []string   // none of which was
	Hours        []int      // of the day at which they began, 0 to 23
	Text         string     // words that people search for; see package search
	// they are looked for in what is shown alone, where personal data are masked; no part of the query
	Shown  bool
	Review ReviewFilter // what reviewers made of them
	// NewUsers, ReturningUsers or "": of people whose first conversation ever lies in the range, or before it
	Users        string
	Person       string   // of this user: what PersonID made of the number by which users are counted
	IDs          []string // these conversations, by their ids; none: any
	FirstSeen    Range    // of people whose first conversation ever lies in it; absolute, zero for any
	ResponseOver float64  // a response took longer than this many milliseconds
	ResponseUpTo float64  // and not longer than this; 0 for no bound
}

// People by whether their first conversation ever lies in the filter's range or before it.
const (
	NewUsers       = "new"
	ReturningUsers = "returning"
)

// TurnFilter asks for conversations with a turn in which a person wrote that meets all of this, and for those turns.
type TurnFilter struct {
	Intent   string // NotTold for turns without one
	Unsure   bool   // of a confidence below LowConfidence
	Fallback bool   // that the assistant did not understand
	Untimed  bool   // that were answered at times that do not tell how long it took
	Flow     string // on top of the dialogue stack when it ended; NotTold for none
	Action   string // the last that ran before the answer; NotTold for none

	Part string  // one of Parts: of those with a response time, of which the platform told how long it took
	Over float64 // and that took more than so many milliseconds
}

// Parts are what response times may consist of.
var Parts = []string{"understanding", "prediction"}

// WorkFilter asks for conversations by what reviewers made of them.
type ReviewFilter struct {
	States    []string // any of ReviewStates
	Reviewers []string // ids of users, of whom one marked it as reviewed
	Ratings   []int    // 1 to 5, one that a reviewer gave
	Tags      []string // names, of which it has one
	NoTags    []string // names, of which it has none
	Marks     []string // any of MarkKinds
	Queue     string   // id of a queue in which it is
}

// Review states. A conversation is reviewed once a reviewer marked it so; in part when events came afterwards, or when
// somebody tagged, noted or marked something in it and nobody marked it as reviewed.
const (
	Unreviewed        = "unreviewed"
	PartiallyReviewed = "partial"
	Reviewed          = "reviewed"
)

// ReviewStates lists them.
var ReviewStates = []string{Unreviewed, PartiallyReviewed, Reviewed}

// MarkKinds are what may be left in a conversation: a message marked good or bad, a note.
var MarkKinds = []string{"good", "bad", "note"}

// Excluded are values that conversations must not have.
type Excluded struct{ Assistants, Environments, Channels, Versions []string }

// LimitTo narrows the filter to assistants that who asks is limited to; none: not limited. What lies beyond them is as
// if it did not exist.
func (f Filter) LimitTo(assistants []string) Filter {
	if len(assistants) == 0 {
		return f
	}
	if len(f.Assistants) == 0 {
		f.Assistants = slices.Clone(assistants)
		return f
	}
	f.Assistants = slices.DeleteFunc(
		slices.Clone(f.Assistants), func(a string) bool { return !slices.Contains(assistants, a) },
	)
	if len(f.Assistants) == 0 {
		f.Assistants = []string{Unknown} // which none is called
	}
	return f
}

// WholeAssistants tells whether the filter takes all of an assistant's environments, channels and versions or none.
func (f Filter) WholeAssistants() bool {
	return len(f.Environments)+len(f.Channels)+len(f.Versions)+len(f.Not.Environments)+len(f.Not.Channels)+
		len(f.Not.Versions) == 0
}

// That returns the filter narrowed by a condition.
func (f Filter) With(is ...Condition) Filter {
	f.Is = slices.Clone(f.Is)
	for _, c := range is {
		if c != All && !slices.Contains(f.Is, c) {
			f.Is = append(f.Is, c)
		}
	}
	return f
}

// Conditioned returns the filter with one rating, or one outcome, that it asks for as the condition that says the same.
func (f Filter) Normalized() Filter {
	for _, x := range []struct {
		values *[]string
		same   map[string]Condition
	}{
		{
			&f.Ratings,
			map[string]Condition{
				string(conversation.Satisfied): Satisfied, string(conversation.Unsatisfied): Unsatisfied,
				string(conversation.Unanswered): Unanswered,
			},
		},
		{&f.Outcomes, map[string]Condition{
			string(
				conversation.ResolvedConfirmed,
			): Confirmed, string(conversation.ResolvedAssumed): Assumed, string(conversation.Escalated): HandedOff,
			string(conversation.Abandoned): Abandoned, OutcomeOpen: Open,
			string(conversation.NotEngaged): EndedNotEngaged,
		}},
	} {
		if len(*x.values) == 1 {
			if is, ok := x.same[(*x.values)[0]]; ok {
				*x.values = nil
				f = f.With(is)
			}
		}
	}
	return f
}

// Within returns the filter for another stretch of time.
func (f Filter) Within(from, until time.Time) Filter {
	f.Range = Range{From: from, Until: until}
	return f
}

// Unknown stands, in a filter, for conversations of which the platform did not tell environment, channel or version. Of
// assistants there are none such: each has a name.
const Unknown = "(not told)"

// NameOf is how a value of a filter is shown: as it is called, or as unknown.
func NameOf(value string) string {
	if value == Unknown || value == "" {
		return "unknown"
	}
	return value
}

// OutcomeOpen selects conversations that are not closed yet.
const OutcomeOpen = "open"

// Outcomes lists what a filter on the outcome may hold.
var Outcomes = []string{
	string(conversation.ResolvedConfirmed), string(conversation.ResolvedAssumed), string(conversation.Escalated),
	string(conversation.Abandoned), OutcomeOpen, string(conversation.NotEngaged),
}

// Ratings lists what a filter on the rating may hold.
var Ratings = []string{
	string(conversation.Satisfied), string(conversation.Unsatisfied), string(conversation.Unanswered),
}

// DefaultDays is the range of a page that names none.
const DefaultDays = 28

const dateLayout = "2006-01-02"

// maxValues bounds how many values one field may name.
const maxValues = 50

// Canonical returns a query in which what people typed into the fields of a form stands as a range, and whether
// there was any.
func Canonical(q url.Values, now time.Time, zone *time.Location) (url.Values, bool, error) {
	typed, from, until := strings.TrimSpace(q.Get("typed")), q.Get("first"), q.Get("last")
	if !q.Has("typed") && !q.Has("first") && !q.Has("last") {
		return q, false, nil
	}
	out := url.Values{}
	for k, v := range q {
		if k != "typed" && k != "first" && k != "last" {
			out[k] = v
		}
	}
	var r Range
	var err error
	switch {
	case typed != "":
		r, err = ParseTyped(typed, zone)
	case from != "" || until != "":
		r, err = parseRange(url.Values{"from": {from}, "until": {until}}, zone)
	default:
		return out, true, nil
	}
	for _, k := range []string{"range", "from", "until"} {
		out.Del(k)
	}
	// whether a range is written depends on the text
	written := (Filter{Range: r, Text: strings.TrimSpace(q.Get("q"))}).Query()
	for _, k := range []string{"range", "from", "until"} {
		if v := written[k]; v != nil {
			out[k] = v
		}
	}
	return out, true, err
}

func parseRange(q url.Values, zone *time.Location) (Range, error) {
	from, until := q.Get("from"), q.Get("until")
	if from == "" && until == "" {
		days := q.Get("range")
		if days == "" {
			return Range{Days: DefaultDays}, nil
		}
		if Moving(days).known() {
			return Range{Moving: Moving(days)}, nil
		}
		n, err := strconv.Atoi(strings.TrimSuffix(days, "d"))
		if err != nil || n < 1 || n > MaxDays || !strings.HasSuffix(days, "d") {
			return Range{}, &InputError{"range", "is a number of days such as 28d, or one such as last-month"}
		}
		return Range{Days: n}, nil
	}
	return parseAbsolute(from, until, zone)
}

// parseAbsolute reads two dates, both included, or two times.
func parseAbsolute(from, until string, zone *time.Location) (r Range, err error) {
	var date bool
	if r.From, _, err = parseInstant(from, zone); err != nil {
		return r, &InputError{"from", "is a date such as 2026-11-21"}
	}
	if r.Until, date, err = parseInstant(until, zone); err != nil {
		return r, &InputError{"until", "is a date such as 2026-11-21"}
	}
	if date { // which is included
		r.Until = AddDays(r.Until, 1, zone)
	}
	if !r.Until.After(r.From) {
		return r, &InputError{"until", "lies before from"}
	}
	if r.From.Year() < 1990 || r.Until.Year() > 2200 {
		return r, &InputError{"from", "lies outside of 1990 to 2200"}
	}
	return r, nil
}

// parseInstant reads a date or, as RFC 3339 has it, a time.
func parseInstant(s string, zone *time.Location) (at time.Time, date bool, err error) {
	if len(s) > len(dateLayout) {
		at, err = time.Parse(time.RFC3339, s)
		return at.In(zone), false, err
	}
	day, err := time.Parse(dateLayout, s)
	return Midnight(day.Year(), day.Month(), day.Day(), zone), true, err
}

func midnight(t time.Time) bool { return t.Equal(DayOf(t, t.Location())) }

// Dates tells whether a range that is not relative is one of whole days.
func (r Range) Dates() bool {
	return r.Moving != "" || r.Days == 0 && midnight(r.From) && midnight(r.Until)
}
