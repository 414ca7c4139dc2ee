package dashboard

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
)

// FilterBar is the bar at the head of every page of figures and lists.
type FilterBar struct {
	Path          string
	Filter        metric.Filter
	RangeName     string
	RangeDates    string
	Typed         string  // a range in words that could not be read
	Newest        *Newest // where the range holds nothing, the newest day that holds something
	Carry         string  // query that links to other pages keep
	Presets       []Chip  // ranges to choose; Without is their address
	Earlier       string
	Later         string // "" when it would lie ahead
	Compares      []Chip // what to compare with; none on lists
	Compare       string // name of the one in force
	Buckets       []Chip
	Bucket        string
	Choices       []Choice
	Flows         []string
	FindID        bool
	Chips         []Chip
	Clear         string // the page without filters
	Carried       []Hidden
	Notes         *ChartNotes // nil on pages without charts
	DocumentQuery string      // of the page
	DocumentPage  bool        // that can be sent on a schedule
	Document      string      // address of the page as a file, to which the format is added; "" for none
}

// Choice is a menu of a filter.
type Choice struct {
	Name, Label string
	Values      []string
	Chosen      []string
	Text        func(string) string // nil: as it is
	One         bool                // at most one value
}

// Chip is an applied filter with the address of the page without it.
type Chip struct {
	Label, Value string
	Verb         string // is, is not; "" when the value says all
	Without      string
	Flipped      string // the address of the page with the opposite; "" for none
	Current      bool
	Key          string // that chooses it
}

// Hidden is a value that a form carries along.
type Hidden struct{ Name, Value string }

// Newest is the newest day with conversations.
type Newest struct {
	Day, Link  string
	Unfiltered bool // none of the filter's are there
}

// ChartNotes are the marks of a page's range.
type ChartNotes struct {
	All        []ChartNote
	Back       string // the page
	Now        string // what the form offers
	Assistants []string
	MayShare   bool
}

// ChartNote is a mark on the charts of a page.
type ChartNote struct {
	ID              string
	At              time.Time
	Text, Assistant string
	Shared, Mine    bool
	By              string
}

// Bar describes the question as the filter bar.
func (v Viewer) Bar(q Question, c queries.Choices) FilterBar {
	f := q.Filter
	b := FilterBar{Path: q.Path, Filter: f, Flows: c.Flows, FindID: !q.figures}
	b.RangeName, b.RangeDates = RangeWords(q)
	b.Presets = q.presets()
	shift := func(n int) string {
		with := f
		with.Range = f.Range.Shift(n, q.Now, q.Zone)
		return q.with(with).Address()
	}
	b.Earlier = shift(-1)
	from, until := f.Range.Bounds(q.Now, q.Zone)
	if until.Before(q.Now) {
		b.Later = shift(1)
	}
	if q.figures {
		q.describeFigures(&b, from, until)
	}
	b.Choices = q.choices(c)
	shown := map[string]bool{"id": b.FindID, "q": b.FindID}
	for i := range b.Choices {
		m := &b.Choices[i]
		shown[m.Name] = true
		for _, v := range m.Chosen { // a value that was chosen but is not offered stays choosable
			if v != "" && !m.One && !slices.Contains(m.Values, v) {
				m.Values = append(slices.Clone(m.Values), v)
			}
		}
	}
	query := q.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !shown[name] {
			for _, v := range query[name] {
				b.Carried = append(b.Carried, Hidden{Name: name, Value: v})
			}
		}
	}
	b.Chips = q.Chips(b.Choices)
	if at, err := url.Parse(q.Address()); err == nil {
		b.Carry = Carried(at, q.Zone)
	}
	b.Clear = q.with(metric.Filter{Range: f.Range}).Address()
	return b
}

// presets are the ranges that are offered.
func (q Question) presets() (all []Chip) {
	for _, p := range []struct {
		days      int
		name, key string
	}{
		{1, "Today", "d"},
		{7, "7 days", "w"},
		{28, "28 days", "m"},
		{90, "90 days", "q"},
		{180, "180 days", ""},
		{365, "365 days", "y"},
	} {
		with := q.Filter
		with.Range = metric.Range{Days: p.days}
		all = append(all, Chip{Label: p.name, Without: q.with(with).Address(), Key: p.key})
	}
	for _, moving := range metric.Movings() {
		with := q.Filter
		with.Range = metric.Range{Moving: moving}
		all = append(all, Chip{Label: moving.Words(), Without: q.with(with).Address()})
	}
	return all
}

// choices are the values that are offered, and those that are chosen.
func (q Question) choices(c queries.Choices) []Choice {
	f := q.Filter
	all := []Choice{
		{Name: "assistant", Label: "Assistant", Values: c.Assistants, Chosen: f.Assistants},
		{Name: "environment", Label: "Environment", Values: c.Environments, Chosen: f.Environments},
		{Name: "channel", Label: "Channel", Values: c.Channels, Chosen: f.Channels},
		{Name: "version", Label: "Version", Values: c.Versions, Chosen: f.Versions},
		{Name: "outcome", Label: "Outcome", Values: metric.Outcomes, Chosen: f.Outcomes, Text: metric.OutcomeName},
		{Name: "csat", Label: "CSAT", Values: metric.Ratings, Chosen: f.Ratings, Text: metric.RatingName},
		{
			Name: "escalated", Label: "Escalated", Values: []string{"yes", "no"}, Chosen: []string{f.Escalated},
			One: true,
		},
		{
			Name: "review", Label: "Review", Values: metric.ReviewStates, Chosen: f.Review.States,
			Text: metric.ReviewStateName,
		},
		{Name: "tag", Label: "Tag", Values: c.Tags, Chosen: f.Review.Tags},
	}
	if len(c.Markers)+len(f.Markers) > 0 {
		all = append(all, Choice{Name: "marker", Label: "Marker", Values: c.Markers, Chosen: f.Markers})
	}
	if len(c.Reviewers) > 1 || len(f.Review.Reviewers) > 0 {
		people := Choice{
			Name: "reviewer", Label: "Reviewer", Chosen: f.Review.Reviewers,
			Text: func(id string) string { return cmp.Or(c.Reviewers[id], "somebody who is gone") },
		}
		people.Values = slices.SortedFunc(
			maps.Keys(c.Reviewers), func(a, b string) int { return cmp.Compare(c.Reviewers[a], c.Reviewers[b]) },
		)
		all = append(all, people)
	}
	return all
}

func (q Question) describeFigures(b *FilterBar, from, until time.Time) {
	names := map[metric.Compare]string{
		"": "nothing", metric.WithPrevious: "the period before", metric.WithWeekdays: "the same weekdays before",
		metric.WithYear: "a year before",
	}
	b.Compare = "with " + names[q.compare]
	for _, c := range append(slices.Clone(metric.Comparisons), "") {
		with, key := q, ""
		with.compare = c
		if c == "" && q.compare != "" || c == metric.WithPrevious && q.compare == "" {
			key = "x"
		}
		b.Compares = append(b.Compares, Chip{
			Label: "with " + names[c], Without: with.Address(), Current: c == q.compare, Key: key,
		})
	}
	used := q.Bucket.In(from, until)
	b.Bucket = string(used)
	for _, bucket := range metric.Buckets {
		with := q
		with.Bucket = bucket
		if bucket.In(from, until) == bucket {
			b.Buckets = append(b.Buckets, Chip{
				Label: "By " + string(bucket), Without: with.Address(), Current: bucket == used,
			})
		}
	}
}

// Chips are the applied filters, each with the address of the page without it, and with its opposite. Of those of the
// choices the choice says what a value is called.
func (q Question) Chips(choices []Choice) (all []Chip) {
	query := q.Query()
	without := func(key, value string) url.Values {
		out := url.Values{}
		for k, vs := range query {
			for _, v := range vs {
				if k != key || v != value {
					out.Add(k, v)
				}
			}
		}
		return out
	}
	to := func(v url.Values) string { return q.Path + "?" + v.Encode() }
	asked := q.Filter.Asked()
	for _, a := range asked {
		c := Chip{Label: a.Label, Verb: a.Verb, Value: a.Words(format.Millis), Without: to(without(a.Key, a.Text))}
		if i := slices.IndexFunc(
			choices, func(x Choice) bool { return x.Name == a.Name },
		); i >= 0 && choices[i].Text != nil {
			c.Value = choices[i].Text(a.Text)
		}
		if a.Opposite != "" {
			flipped := without(a.Key, a.Text)
			flipped.Add(a.Opposite, a.Text)
			c.Flipped = to(flipped)
		}
		switch a.Name {
		case "queue":
			c.Value = q.QueueName
		case "only": // all in one
			if n := len(q.Filter.IDs); a.Text == q.Filter.IDs[0] {
				rest := q.Query()
				rest.Del("only")
				c.Value, c.Without = format.Plural(
					int64(n), "conversation that was chosen", "conversations that were chosen",
				), to(rest)
			} else {
				continue
			}
		}
		all = append(all, c)
	}
	return all
}

// FilterWords says in words what a filter narrows to, but for its range, a field after the other; "none" when to
// nothing.
func FilterWords(f metric.Filter) string {
	var words []string
	last := ""
	for _, a := range f.Asked() {
		value := a.Words(format.Millis)
		switch key := a.Key; {
		case a.Name == "only" && last == key:
		case a.Name == "only" && len(f.IDs) > 3:
			words = append(
				words, "Only "+format.Plural(int64(len(f.IDs)), "conversation", "conversations")+" that were chosen",
			)
		case last == key && a.Name != "is" && a.Name != "flow": // any of them, or none of them
			join := " or "
			if a.Verb == "is not" {
				join = " and not "
			}
			words[len(words)-1] += join + value
		default:
			words = append(words, strings.Join(strings.Fields(a.Label+" "+a.Verb+" "+value), " "))
		}
		last = a.Key
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, "; ")
}
