package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// question is what the address of a page of figures or of a list asks for.
type question struct {
	path      string
	filter    metric.Filter
	compare   metric.Compare // "": with nothing
	bucket    metric.Bucket  // "": as suits
	own       url.Values     // the page's own parameters, carried along
	figures   bool           // the page has charts
	queueName string         // of the filter's queue
	most      int            // how many rows a table shows before it is cut; 0: all
	now       time.Time
	zone      *time.Location
}

// parseQuestion reads the address.
func (s *server) parseQuestion(r *http.Request, figures bool, own ...string) (question, error) {
	q := question{path: r.URL.Path, figures: figures, now: s.Now(), zone: s.Zone, own: url.Values{}}
	query := r.URL.Query()
	for _, name := range own {
		if v := query.Get(name); v != "" {
			q.own.Set(name, v)
		}
	}
	var err error
	if q.filter, err = s.parseFilter(r.Context(), query); err != nil || !figures {
		return q, err
	}
	if f := q.filter; f.ID != "" || f.Turns != (metric.TurnFilter{}) || f.Slower > 0 || f.Faster > 0 {
		return q, &metric.InputError{Field: "id, intent, turn, slower and faster", Msg: "are for lists: charts show no single people and no single turns"}
	}
	switch q.compare = metric.Compare(query.Get("compare")); {
	case q.compare == "":
		q.compare = metric.WithPrevious
	case q.compare == "no":
		q.compare = ""
	case !slices.Contains(metric.Comparisons, q.compare):
		return q, &metric.InputError{Field: "compare", Msg: "is one of previous, weekdays, year, no"}
	}
	if q.bucket = metric.Bucket(query.Get("bucket")); q.bucket != "" && !slices.Contains(metric.Buckets, q.bucket) {
		return q, &metric.InputError{Field: "bucket", Msg: "is one of hour, day, week, month"}
	}
	return q, nil
}

// canonical sends a form's words to the address that has them as a range. It tells whether it did.
func (s *server) canonical(w http.ResponseWriter, r *http.Request) (done bool, err error) {
	q, typed, err := metric.Canonical(r.URL.Query(), s.Now(), s.Zone)
	if err != nil || !typed {
		return false, err
	}
	for k, all := range q { // empty fields of the form
		if q[k] = slices.DeleteFunc(slices.Clone(all), func(v string) bool { return v == "" }); len(q[k]) == 0 {
			delete(q, k)
		}
	}
	to := r.URL.Path
	if text := q.Encode(); text != "" {
		to += "?" + text
	}
	if r.Header.Get("HX-Request") == "true" {
		w.Header().Set("HX-Location", `{"path":"`+strings.ReplaceAll(to, `"`, "%22")+`","target":"#view","swap":"outerHTML"}`)
		w.WriteHeader(http.StatusNoContent)
		return true, nil
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return true, nil
}

// query writes the question.
func (q question) query() url.Values {
	out := q.filter.Query()
	maps.Copy(out, q.own)
	if q.figures && q.compare != metric.WithPrevious {
		out.Set("compare", "no")
		if q.compare != "" {
			out.Set("compare", string(q.compare))
		}
	}
	if q.bucket != "" {
		out.Set("bucket", string(q.bucket))
	}
	return out
}

// address returns where the question is asked.
func (q question) address() string {
	if text := q.query().Encode(); text != "" {
		return q.path + "?" + text
	}
	return q.path
}

func (q question) with(f metric.Filter) question {
	q.filter = f
	return q
}

// owning returns the question with one of the page's own parameters set; "" leaves it out.
func (q question) owning(name, value string) question {
	q.own = maps.Clone(q.own)
	if q.own.Set(name, value); value == "" {
		q.own.Del(name)
	}
	return q
}

// bar describes the question as the filter bar.
func (s *server) bar(q question, page views.Page, c queries.Choices) views.FilterBar {
	f := q.filter
	b := views.FilterBar{Path: q.path, Filter: f, Flows: c.Flows, FindID: !q.figures}
	b.RangeName, b.RangeDates = rangeWords(q, page)
	for _, p := range []struct {
		days      int
		name, key string
	}{{1, "Today", "d"}, {7, "7 days", "w"}, {28, "28 days", "m"}, {90, "90 days", "q"}, {180, "180 days", ""}, {365, "365 days", "y"}} {
		with := f
		with.Range = metric.Range{Days: p.days}
		b.Presets = append(b.Presets, views.Chip{Label: p.name, Without: q.with(with).address(), Key: p.key})
	}
	for _, moving := range metric.Movings() {
		with := f
		with.Range = metric.Range{Moving: moving}
		b.Presets = append(b.Presets, views.Chip{Label: moving.Words(), Without: q.with(with).address()})
	}
	shift := func(n int) string {
		with := f
		with.Range = f.Range.Shift(n, q.now, q.zone)
		return q.with(with).address()
	}
	b.Earlier = shift(-1)
	from, until := f.Range.Bounds(q.now, q.zone)
	if until.Before(q.now) {
		b.Later = shift(1)
	}
	if q.figures {
		q.describeFigures(&b, from, until)
	}
	b.Choices = []views.Choice{
		{Name: "assistant", Label: "Assistant", Values: c.Assistants, Chosen: f.Assistants},
		{Name: "environment", Label: "Environment", Values: c.Environments, Chosen: f.Environments},
		{Name: "channel", Label: "Channel", Values: c.Channels, Chosen: f.Channels},
		{Name: "version", Label: "Version", Values: c.Versions, Chosen: f.Versions},
		{Name: "outcome", Label: "Outcome", Values: metric.Outcomes, Chosen: f.Outcomes, Text: format.OutcomeName},
		{Name: "csat", Label: "CSAT", Values: metric.Ratings, Chosen: f.Ratings, Text: format.RatingName},
		{Name: "escalated", Label: "Escalated", Values: []string{"yes", "no"}, Chosen: []string{f.Escalated}, One: true},
		{Name: "review", Label: "Review", Values: metric.ReviewStates, Chosen: f.Work.States, Text: format.ReviewStateName},
		{Name: "tag", Label: "Tag", Values: c.Tags, Chosen: f.Work.Tags},
	}
	if len(c.Reviewers) > 1 || len(f.Work.Reviewers) > 0 {
		people := views.Choice{Name: "reviewer", Label: "Reviewer", Chosen: f.Work.Reviewers, Text: func(id string) string { return cmp.Or(c.Reviewers[id], "somebody who is gone") }}
		people.Values = slices.SortedFunc(maps.Keys(c.Reviewers), func(a, b string) int { return cmp.Compare(c.Reviewers[a], c.Reviewers[b]) })
		b.Choices = append(b.Choices, people)
	}
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
	query := q.query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !shown[name] {
			for _, v := range query[name] {
				b.Carried = append(b.Carried, views.Hidden{Name: name, Value: v})
			}
		}
	}
	b.Chips = q.chips(b.Choices)
	if at, err := url.Parse(q.address()); err == nil {
		b.Carry = carried(at, q.zone)
	}
	b.Clear = q.with(metric.Filter{Range: f.Range}).address()
	return b
}

// rangeWords names the range and its dates.
func rangeWords(q question, p views.Page) (name, dates string) {
	f := q.filter
	from, until := f.Range.Bounds(q.now, q.zone)
	last := metric.AddDays(until.Add(-time.Second), 0, q.zone)
	dates = p.Day(from)
	if !last.Equal(metric.DayOf(from, q.zone)) {
		dates += " – " + p.Day(last)
	}
	switch {
	case f.ID != "", f.Range.Days == metric.MaxDays:
		return "All time", ""
	case f.Range.Moving != "":
		return f.Range.Moving.Words(), dates
	case f.Range.Days == 1:
		return "Today", dates
	case f.Range.Days > 1:
		return fmt.Sprintf("Last %s days", format.Count(f.Range.Days)), dates
	case !f.Range.Dates():
		return p.Moment(from) + " – " + p.Moment(until), ""
	case from.Day() == 1 && until.Equal(metric.Midnight(from.Year(), from.Month()+1, 1, q.zone)):
		return from.Format("January 2006"), ""
	}
	return dates, ""
}

func (q question) describeFigures(b *views.FilterBar, from, until time.Time) {
	names := map[metric.Compare]string{"": "nothing", metric.WithPrevious: "the period before", metric.WithWeekdays: "the same weekdays before", metric.WithYear: "a year before"}
	b.Compare = "with " + names[q.compare]
	for _, c := range append(slices.Clone(metric.Comparisons), "") {
		with, key := q, ""
		with.compare = c
		if c == "" && q.compare != "" || c == metric.WithPrevious && q.compare == "" {
			key = "x"
		}
		b.Compares = append(b.Compares, views.Chip{Label: "with " + names[c], Without: with.address(), Current: c == q.compare, Key: key})
	}
	used := q.bucket.In(from, until)
	b.Bucket = string(used)
	for _, bucket := range metric.Buckets {
		with := q
		with.bucket = bucket
		if bucket.In(from, until) == bucket {
			b.Buckets = append(b.Buckets, views.Chip{Label: "By " + string(bucket), Without: with.address(), Current: bucket == used})
		}
	}
}

// chips are the applied filters, each with the address of the page without it, and with its opposite.
func (q question) chips(choices []views.Choice) (all []views.Chip) {
	query := q.query()
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
	to := func(v url.Values) string { return q.path + "?" + v.Encode() }
	add := func(label, verb, key, value, text string) {
		c := views.Chip{Label: label, Verb: verb, Value: text, Without: to(without(key, value))}
		bare, not := strings.CutSuffix(key, ".not")
		switch {
		case not:
			flipped := without(key, value)
			flipped.Add(bare, value)
			c.Flipped = to(flipped)
		case key == "assistant" || key == "environment" || key == "channel" || key == "version" || key == "tag":
			flipped := without(key, value)
			flipped.Add(key+".not", value)
			c.Flipped = to(flipped)
		}
		all = append(all, c)
	}
	for _, c := range choices {
		for _, v := range c.Chosen {
			text := v
			if c.Text != nil {
				text = c.Text(v)
			}
			if v != "" {
				add(c.Label, "is", c.Name, v, text)
			}
		}
		for _, v := range query[c.Name+".not"] {
			add(c.Label, "is not", c.Name+".not", v, v)
		}
	}
	f := q.filter
	for _, x := range f.Flows {
		add("Flow", "", x.Key(), x.Value(), x.Words())
	}
	for _, is := range f.Is {
		add("Only", "", "is", is.String(), strings.ReplaceAll(is.String(), "-", " "))
	}
	for _, j := range f.Judged {
		add("By criteria "+fmt.Sprint(j.Criteria), "", "criteria", j.String(), strings.ReplaceAll(j.Verdict.String(), "-", " "))
	}
	if len(f.Path.Steps) > 0 {
		add("Path", "", "path", query.Get("path"), f.Path.Words())
	}
	if f.Turns.Intent != "" {
		add("Intent", "is", "intent", f.Turns.Intent, f.Turns.Intent)
	}
	if f.Turns.Flow != "" {
		add("A turn", "", "turn.flow", f.Turns.Flow, "in "+f.Turns.Flow)
	}
	if f.Turns.Action != "" {
		add("A turn", "", "turn.action", f.Turns.Action, "answered by "+f.Turns.Action)
	}
	if f.Turns.Part != "" {
		add("A turn", "", "part", f.Turns.Part, "with "+f.Turns.Part+" apart")
	}
	if f.Turns.Over > 0 {
		add("A turn", "", "over", strconv.FormatFloat(f.Turns.Over, 'g', -1, 64), f.Turns.Part+" over "+format.Millis(f.Turns.Over))
	}
	if f.Turns.Unsure {
		add("A turn", "", "turn", "unsure", "of low confidence")
	}
	if f.Turns.Fallback {
		add("A turn", "", "turn", "fallback", "was not understood")
	}
	for _, c := range f.Commands {
		add("Command", "is", "command", c, c)
	}
	for _, c := range f.CannotHandle {
		add("Cannot handle", "", "cannot-handle", c, c)
	}
	for _, reason := range f.Reasons {
		add("Escalated by", "", "reason", reason, reason)
	}
	for _, n := range f.Weekdays {
		add("Began on", "", "weekday", fmt.Sprint(n), time.Weekday(n%7).String())
	}
	for _, n := range f.Hours {
		add("Began", "", "hour", fmt.Sprint(n), fmt.Sprintf("%02d:00–%02d:00", n, n+1))
	}
	if f.Users != "" {
		add("Users", "", "users", f.Users, f.Users)
	}
	if n := len(f.Only); n > 0 {
		rest := q.query()
		rest.Del("only")
		all = append(all, views.Chip{Label: "Only", Value: format.Plural(int64(n), "conversation that was chosen", "conversations that were chosen"), Without: to(rest)})
	}
	if f.Met != (metric.Range{}) {
		add("Users met", "", "met", query.Get("met"), strings.ReplaceAll(query.Get("met"), "..", " to "))
	}
	if f.Slower > 0 {
		add("A response", "", "slower", query.Get("slower"), "slower than "+format.Millis(f.Slower))
	}
	if f.Faster > 0 {
		add("A response", "", "faster", query.Get("faster"), "not slower than "+format.Millis(f.Faster))
	}
	for _, name := range f.Work.Marks {
		add("Has", "", "marked", name, map[string]string{"good": "a message marked good", "bad": "a message marked bad", "note": "a note"}[name])
	}
	for _, n := range f.Work.Ratings {
		add("Rated", "", "rated", fmt.Sprint(n), fmt.Sprintf("%d of 5", n))
	}
	if f.Work.Queue != "" {
		add("In queue", "", "queue", f.Work.Queue, q.queueName)
	}
	if f.Text != "" {
		add("Search", "", "q", f.Text, f.Text)
	}
	if f.ID != "" {
		add("Id", "is", "id", f.ID, f.ID)
	}
	return all
}
