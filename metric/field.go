package metric

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"turnwise/conversation"
)

// Field is one thing that a filter may ask for. All that is known of it stands here but for how the database is asked
// for it: how it stands in an address and in words, and where it may be asked for.
type Field struct {
	Name  string // in an address
	Label string // in words, before the value
	Verb  string // between the two; "" when the value says all

	// Opposite is the name of the field that leaves out what this one asks for; "" for none.
	Opposite string
	// Carried says that links from one page of figures to another keep it.
	Carried bool
	// Lists says that it is for lists alone: charts show no single people and no single turns.
	Lists bool
	// Among are the values that there are; nil: whatever people say.
	Among []string
	// Many says that an address may name several of its values.
	Many bool
	// Keyed says that names in addresses that begin with its name and a dot are its own too.
	Keyed bool

	rollup bool // what is rolled up by day and hour can be narrowed by it
	read   func(f *Filter, q url.Values, zone *time.Location) error
	write  func(f *Filter, add func(name, value string))
	words  func(value string, millis func(float64) string) string // nil: the value as it is

	// wordsOf says a value whose name in the address tells something of it.
	wordsOf func(key, value string) string
}

// Value is one that a filter asks for.
type Value struct {
	*Field
	Key  string // in an address: the field's name, or one that begins with it
	Text string // in an address
}

// Words say the value; millis writes lengths of time.
func (v Value) Words(millis func(float64) string) string {
	switch {
	case v.wordsOf != nil:
		return v.wordsOf(v.Key, v.Text)
	case v.words != nil:
		return v.words(v.Text, millis)
	case v.Text == Unknown:
		return NameOf(v.Text)
	}
	return v.Text
}

// Asked lists what the filter asks for beside its range, in the order of Fields.
func (f Filter) Asked() (all []Value) {
	for i := range Fields {
		Fields[i].write(&f, func(name, value string) { all = append(all, Value{&Fields[i], name, value}) })
	}
	return all
}

// Fields are all fields of a filter but for its range, in the order in which they are shown.
var Fields = []Field{
	dimension(
		"assistant", "Assistant", func(f *Filter) (is, not *[]string) { return &f.Assistants, &f.Not.Assistants },
	),
	excluded("assistant", "Assistant", func(f *Filter) (is, not *[]string) { return &f.Assistants, &f.Not.Assistants }),
	dimension(
		"environment", "Environment",
		func(f *Filter) (is, not *[]string) { return &f.Environments, &f.Not.Environments },
	),
	excluded(
		"environment", "Environment",
		func(f *Filter) (is, not *[]string) { return &f.Environments, &f.Not.Environments },
	),
	dimension("channel", "Channel", func(f *Filter) (is, not *[]string) { return &f.Channels, &f.Not.Channels }),
	excluded("channel", "Channel", func(f *Filter) (is, not *[]string) { return &f.Channels, &f.Not.Channels }),
	dimension("version", "Version", func(f *Filter) (is, not *[]string) { return &f.Versions, &f.Not.Versions }),
	excluded("version", "Version", func(f *Filter) (is, not *[]string) { return &f.Versions, &f.Not.Versions }),
	names(
		"outcome", "Outcome", "is", Outcomes, func(f *Filter) *[]string { return &f.Outcomes },
	).carried().said(OutcomeName),
	names("csat", "CSAT", "is", Ratings, func(f *Filter) *[]string { return &f.Ratings }).carried().said(RatingName),
	text(
		"escalated", "Escalated", "is", []string{"yes", "no"}, func(f *Filter) *string { return &f.Escalated },
	).carried(),
	names(
		"review", "Review", "is", ReviewStates, func(f *Filter) *[]string { return &f.Review.States },
	).carried().said(ReviewStateName),
	names("tag", "Tag", "is", nil, func(f *Filter) *[]string { return &f.Review.Tags }).carried().or("tag.not"),
	names("tag.not", "Tag", "is not", nil, func(f *Filter) *[]string { return &f.Review.NoTags }).carried().or("tag"),
	names("reviewer", "Reviewer", "is", nil, func(f *Filter) *[]string { return &f.Review.Reviewers }).carried(),
	{
		Name: "flow", Label: "Flow", Carried: true, Keyed: true, Many: true, read: func(f *Filter, q url.Values, _ *time.Location) error { return f.parseFlows(q) },
		write: func(f *Filter, add func(name, value string)) {
			for _, x := range f.Flows {
				add(x.query())
			}
		},
		wordsOf: func(key, value string) string {
			var f Filter
			if err := f.parseFlows(url.Values{key: {value}}); err != nil || len(f.Flows) == 0 {
				return value
			}
			return f.Flows[0].Words()
		},
	},
	{
		Name: "is", Label: "Only", Many: true, Among: conditionNames[1:],
		read: func(f *Filter, q url.Values, _ *time.Location) error {
			for _, v := range q["is"] {
				is, ok := ParseCondition(v)
				if !ok {
					return &InputError{"is", fmt.Sprintf("%.40q is not one of %s", v, strings.Join(conditionNames[1:], ", "))}
				}
				*f = f.With(is)
			}
			return nil
		},
		write: func(f *Filter, add func(name, value string)) {
			for _, is := range f.Is {
				add("is", is.String())
			}
		},
		words: func(v string, _ func(float64) string) string { return strings.ReplaceAll(v, "-", " ") },
	},
	{
		Name: "criteria", Label: "By criteria", Many: true,
		read: func(f *Filter, q url.Values, _ *time.Location) error {
			for _, v := range q["criteria"] {
				j, ok := parseJudgedBy(v)
				if !ok {
					return &InputError{"criteria", "is a version and a verdict such as 3.success"}
				}
				f.Judged = append(f.Judged, j)
			}
			return nil
		},
		write: func(f *Filter, add func(name, value string)) {
			for _, j := range f.Judged {
				add("criteria", j.String())
			}
		},
		words: func(v string, _ func(float64) string) string {
			return strings.NewReplacer(".", " ", "-", " ").Replace(v)
		},
	},
	{
		Name: "path", Label: "Path",
		read: func(f *Filter, q url.Values, _ *time.Location) (err error) {
			if v := q.Get("path"); v != "" {
				f.Path, err = parsePath(v)
			}
			return err
		},
		write: func(f *Filter, add func(name, value string)) {
			if len(f.Path.Steps) > 0 {
				add("path", f.Path.query())
			}
		},
		words: func(v string, _ func(float64) string) string {
			p, err := parsePath(v)
			if err != nil {
				return v
			}
			return p.Words()
		},
	},
	text("intent", "Intent", "is", nil, func(f *Filter) *string { return &f.Turns.Intent }).lists(),
	text("turn.flow", "A turn", "", nil, func(f *Filter) *string { return &f.Turns.Flow }).lists().prefixed("in "),
	text(
		"turn.action", "A turn", "", nil, func(f *Filter) *string { return &f.Turns.Action },
	).lists().prefixed("answered by "),
	text(
		"part", "A turn", "", Parts, func(f *Filter) *string { return &f.Turns.Part },
	).lists().said(func(v string) string { return "with " + v + " apart" }),
	milliseconds("over", "A turn", "with a part over ", func(f *Filter) *float64 { return &f.Turns.Over }),
	{
		Name: "turn", Label: "A turn", Lists: true, Many: true, Among: []string{"unsure", "fallback", "untimed"},
		read: func(f *Filter, q url.Values, _ *time.Location) error {
			for _, v := range q["turn"] {
				switch v {
				case "unsure":
					f.Turns.Unsure = true
				case "fallback":
					f.Turns.Fallback = true
				case "untimed":
					f.Turns.Untimed = true
				default:
					return &InputError{"turn", "is unsure, fallback or untimed"}
				}
			}
			return nil
		},
		write: func(f *Filter, add func(name, value string)) {
			if f.Turns.Unsure {
				add("turn", "unsure")
			}
			if f.Turns.Fallback {
				add("turn", "fallback")
			}
			if f.Turns.Untimed {
				add("turn", "untimed")
			}
		},
		words: func(v string, _ func(float64) string) string {
			return map[string]string{"unsure": "of low confidence", "fallback": "was not understood", "untimed": "was not timed"}[v]
		},
	},
	names("command", "Command", "is", nil, func(f *Filter) *[]string { return &f.Commands }),
	names("cannot-handle", "Cannot handle", "is", nil, func(f *Filter) *[]string { return &f.CannotHandle }),
	names("marker", "Marker", "is", nil, func(f *Filter) *[]string { return &f.Markers }).carried().or("marker.not"),
	names(
		"marker.not", "Marker", "is not", nil, func(f *Filter) *[]string { return &f.NoMarkers },
	).carried().or("marker"),
	names("reason", "Escalated by", "", nil, func(f *Filter) *[]string { return &f.Reasons }),
	numbers(
		"weekday", "Began on", 1, 7, func(f *Filter) *[]int { return &f.Weekdays },
		func(n int) string { return time.Weekday(n % 7).String() },
	),
	numbers(
		"hour", "Began", 0, 23, func(f *Filter) *[]int { return &f.Hours },
		func(n int) string { return fmt.Sprintf("%02d:00–%02d:00", n, n+1) },
	),
	text("users", "Users", "", []string{NewUsers, ReturningUsers}, func(f *Filter) *string { return &f.Users }),
	{
		Name: "person", Label: "User", Verb: "is",
		read: func(f *Filter, q url.Values, _ *time.Location) error {
			f.Person = ""
			if v := q.Get("person"); v != "" {
				id, err := conversation.ParseUUID(v)
				if err != nil {
					return &InputError{"person", "is the id of a user, a UUID"}
				}
				f.Person = id.String()
			}
			return nil
		},
		write: func(f *Filter, add func(name, value string)) {
			if f.Person != "" {
				add("person", f.Person)
			}
		},
	},
	{
		Name: "only", Label: "Only", Many: true,
		read: func(f *Filter, q url.Values, _ *time.Location) error {
			if err := readNames("only", nil, &f.IDs, q["only"]); err != nil {
				return err
			}
			for _, id := range f.IDs {
				if _, err := conversation.ParseUUID(id); err != nil {
					return &InputError{"only", "are ids of conversations"}
				}
			}
			return nil
		},
		write: func(f *Filter, add func(name, value string)) {
			for _, id := range f.IDs {
				add("only", id)
			}
		},
	},
	{
		Name: "met", Label: "Users met",
		read: func(f *Filter, q url.Values, zone *time.Location) (err error) {
			if v := q.Get("met"); v != "" {
				from, until, _ := strings.Cut(v, "..")
				if f.FirstSeen, err = parseAbsolute(from, until, zone); err != nil {
					return &InputError{"met", "is two dates such as 2026-11-02..2026-11-08"}
				}
			}
			return nil
		},
		write: func(f *Filter, add func(name, value string)) {
			if f.FirstSeen != (Range{}) {
				from, until := f.FirstSeen.absolute()
				add("met", from+".."+until)
			}
		},
		words: func(v string, _ func(float64) string) string { return strings.ReplaceAll(v, "..", " to ") },
	},
	milliseconds("slower", "A response", "slower than ", func(f *Filter) *float64 { return &f.ResponseOver }),
	milliseconds("faster", "A response", "not slower than ", func(f *Filter) *float64 { return &f.ResponseUpTo }),
	names(
		"marked", "Has", "", MarkKinds, func(f *Filter) *[]string { return &f.Review.Marks },
	).carried().said(func(v string) string {
		return map[string]string{"good": "a message marked good", "bad": "a message marked bad", "note": "a note"}[v]
	}),
	numbers(
		"rated", "Rated", 1, 5, func(f *Filter) *[]int { return &f.Review.Ratings },
		func(n int) string { return fmt.Sprintf("%d of 5", n) },
	).carried(),
	text("queue", "In queue", "", nil, func(f *Filter) *string { return &f.Review.Queue }).carried(),
	text("q", "Search", "", nil, func(f *Filter) *string { return &f.Text }),
	text("id", "Id", "is", nil, func(f *Filter) *string { return &f.ID }).lists(),
}

// dimension is what conversations have one of, and rollups are kept by.
func dimension(name, label string, at func(f *Filter) (is, not *[]string)) Field {
	x := names(
		name, label, "is", nil, func(f *Filter) *[]string { is, _ := at(f); return is },
	).carried().or(name + ".not")
	x.rollup = true
	return x
}

// excluded leaves out values of a dimension.
func excluded(name, label string, at func(f *Filter) (is, not *[]string)) Field {
	x := names(
		name+".not", label, "is not", nil, func(f *Filter) *[]string { _, not := at(f); return not },
	).carried().or(name)
	x.rollup = true
	return x
}

// names is a field of any of several values; among are those that there are, nil for whatever people are told.
func names(name, label, verb string, among []string, at func(f *Filter) *[]string) Field {
	return Field{
		Name: name, Label: label, Verb: verb, Many: true, Among: among,
		read: func(f *Filter, q url.Values, _ *time.Location) error {
			return readNames(name, among, at(f), q[name])
		},
		write: func(f *Filter, add func(name, value string)) {
			for _, v := range *at(f) {
				add(name, v)
			}
		},
	}
}

func readNames(name string, among []string, into *[]string, values []string) error {
	for _, v := range values {
		if v == "" {
			continue
		}
		if among != nil && !slices.Contains(among, v) {
			return &InputError{name, "is one of " + strings.Join(among, ", ")}
		}
		if !slices.Contains(*into, v) {
			*into = append(*into, v)
		}
	}
	if len(*into) > maxValues {
		return &InputError{name, fmt.Sprintf("takes at most %d values", maxValues)}
	}
	return nil
}

// text is a field of one value.
func text(name, label, verb string, among []string, at func(f *Filter) *string) Field {
	return Field{
		Name: name, Label: label, Verb: verb, Among: among,
		read: func(f *Filter, q url.Values, _ *time.Location) error {
			v := q.Get(name)
			if v != "" && among != nil && !slices.Contains(among, v) {
				return &InputError{name, "is one of " + strings.Join(among, ", ")}
			}
			*at(f) = v
			return nil
		},
		write: func(f *Filter, add func(name, value string)) {
			if v := *at(f); v != "" {
				add(name, v)
			}
		},
	}
}

// numbers is a field of any of several whole numbers.
func numbers(name, label string, least, most int, at func(f *Filter) *[]int, words func(n int) string) Field {
	return Field{
		Name: name, Label: label, Many: true,
		read: func(f *Filter, q url.Values, _ *time.Location) error {
			for _, v := range q[name] {
				n, err := strconv.Atoi(v)
				if err != nil || n < least || n > most {
					return &InputError{name, fmt.Sprintf("is a number from %d to %d", least, most)}
				}
				if into := at(f); !slices.Contains(*into, n) {
					*into = append(*into, n)
				}
			}
			return nil
		},
		write: func(f *Filter, add func(name, value string)) {
			for _, n := range *at(f) {
				add(name, strconv.Itoa(n))
			}
		},
		words: func(v string, _ func(float64) string) string {
			n, err := strconv.Atoi(v)
			if err != nil {
				return v
			}
			return words(n)
		},
	}
}

// milliseconds is a field of a length of time, for lists.
func milliseconds(name, label, before string, at func(f *Filter) *float64) Field {
	return Field{
		Name: name, Label: label, Lists: true,
		read: func(f *Filter, q url.Values, _ *time.Location) error {
			v := q.Get(name)
			if v == "" {
				return nil
			}
			ms, err := strconv.ParseFloat(v, 64)
			if err != nil || !(ms > 0) || ms > 1e12 {
				return &InputError{name, "is a number of milliseconds"}
			}
			*at(f) = ms
			return nil
		},
		write: func(f *Filter, add func(name, value string)) {
			if ms := *at(f); ms > 0 {
				add(name, strconv.FormatFloat(ms, 'g', -1, 64))
			}
		},
		words: func(v string, millis func(float64) string) string {
			ms, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return v
			}
			return before + millis(ms)
		},
	}
}

func (x Field) carried() Field           { x.Carried = true; return x }
func (x Field) lists() Field             { x.Lists = true; return x }
func (x Field) or(opposite string) Field { x.Opposite = opposite; return x }

func (x Field) said(words func(value string) string) Field {
	x.words = func(v string, _ func(float64) string) string { return words(v) }
	return x
}

func (x Field) prefixed(by string) Field { return x.said(func(v string) string { return by + v }) }

// ParseFilter reads a filter from a query; fields that it does not know are left alone.
func ParseFilter(q url.Values, zone *time.Location) (Filter, error) {
	var f Filter
	var err error
	if f.Range, err = parseRange(q, zone); err != nil {
		return f, err
	}
	for i := range Fields {
		if err := Fields[i].read(&f, q, zone); err != nil {
			return f, err
		}
	}
	f.ID, f.Text = strings.TrimSpace(f.ID), strings.TrimSpace(f.Text)
	if f.Turns.Part == "" {
		f.Turns.Over = 0
	}
	if f.Text != "" && q.Get("range") == "" && q.Get("from") == "" && q.Get("until") == "" {
		f.Range.Days = MaxDays // who searches searches in all history
	}
	for name, v := range q {
		for _, s := range v {
			if len(s) > 4000 || strings.ContainsRune(s, 0) || strings.ToValidUTF8(s, "") != s {
				return f, &InputError{name, "is too long or not text"}
			}
		}
	}
	return f, nil
}

// IsField tells whether a parameter of an address belongs to a filter, its range included.
func IsField(name string) bool {
	if slices.Contains([]string{"range", "from", "until"}, name) {
		return true
	}
	return slices.ContainsFunc(Fields, func(x Field) bool {
		return x.Name == name || x.Keyed && strings.HasPrefix(name, x.Name+".")
	})
}

// FilterFaults are all things that are wrong with the filter of a query, where ParseFilter tells the first.
func FilterFaults(q url.Values, zone *time.Location) (all []*InputError) {
	add := func(err error) {
		var input *InputError
		if errors.As(err, &input) {
			all = append(all, input)
		}
	}
	var f Filter
	_, err := parseRange(q, zone)
	add(err)
	for i := range Fields {
		add(Fields[i].read(&f, q, zone))
	}
	if len(all) == 0 {
		_, err = ParseFilter(q, zone)
		add(err)
	}
	return all
}

// Single tells whether a parameter of an address that belongs to a filter may be given once alone.
func Single(name string) bool {
	i := slices.IndexFunc(Fields, func(x Field) bool { return x.Name == name || x.Keyed && strings.HasPrefix(name, x.Name+".") })
	return i < 0 || !Fields[i].Many
}

// asks tells whether the filter asks for something that which says so of its field.
func (f Filter) asks(which func(x *Field) bool) bool {
	found := false
	for i := range Fields {
		if !which(&Fields[i]) {
			continue
		}
		if Fields[i].write(&f, func(string, string) { found = true }); found {
			return true
		}
	}
	return false
}

// Plain tells whether the filter asks for nothing but what rollups are kept by: time, assistants, environments,
// channels and versions.
func (f Filter) FromRollups() bool { return !f.asks(func(x *Field) bool { return !x.rollup }) }

// ForLists tells whether the filter asks for something that lists alone can show.
func (f Filter) ForLists() bool { return f.asks(func(x *Field) bool { return x.Lists }) }

// Carried returns the filter with what links to other pages keep of it.
func (f Filter) Carried() Filter {
	kept := url.Values{}
	for _, a := range f.Asked() {
		if a.Carried {
			kept.Add(a.Key, a.Text)
		}
	}
	out, err := ParseFilter(kept, time.UTC)
	if err != nil { // what was read once can be read again
		return Filter{Range: f.Range}
	}
	out.Range = f.Range
	return out
}
