package dashboard

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"turnwise/format"
	"turnwise/metric"
)

// Question is what the address of a page of figures or of a list asks for.
type Question struct {
	Path      string
	Filter    metric.Filter
	compare   metric.Compare // "": with nothing
	Bucket    metric.Bucket  // "": as suits
	Own       url.Values     // the page's own parameters, carried along
	figures   bool           // the page has charts
	QueueName string         // of the filter's queue
	most      int            // how many rows a table shows before it is cut; 0: all
	Now       time.Time
	Zone      *time.Location
}

// Question reads an address.
func (v Viewer) Question(
	ctx context.Context, path string, query url.Values, figures bool, own ...string,
) (Question, error) {
	q := Question{Path: path, figures: figures, Now: v.Now, Zone: v.Zone, Own: url.Values{}}
	for _, name := range own {
		if v := query.Get(name); v != "" {
			q.Own.Set(name, v)
		}
	}
	var err error
	if q.Filter, err = v.Filter(ctx, query); err != nil || !figures {
		return q, err
	}
	if q.Filter.ForLists() {
		return q, &metric.InputError{
			Field: "id, intent, turn, slower and faster",
			Msg:   "are for lists: charts show no single people and no single turns",
		}
	}
	switch q.compare = metric.Compare(query.Get("compare")); {
	case q.compare == "":
		q.compare = metric.WithPrevious
	case q.compare == "no":
		q.compare = ""
	case !slices.Contains(metric.Comparisons, q.compare):
		return q, &metric.InputError{Field: "compare", Msg: "is one of previous, weekdays, year, no"}
	}
	if q.Bucket = metric.Bucket(query.Get("bucket")); q.Bucket != "" && !slices.Contains(metric.Buckets, q.Bucket) {
		return q, &metric.InputError{Field: "bucket", Msg: "is one of hour, day, week, month"}
	}
	return q, nil
}

// Query writes the question.
func (q Question) Query() url.Values {
	out := q.Filter.Query()
	maps.Copy(out, q.Own)
	if q.figures && q.compare != metric.WithPrevious {
		out.Set("compare", "no")
		if q.compare != "" {
			out.Set("compare", string(q.compare))
		}
	}
	if q.Bucket != "" {
		out.Set("bucket", string(q.Bucket))
	}
	return out
}

// Address returns where the question is asked.
func (q Question) Address() string {
	if text := q.Query().Encode(); text != "" {
		return q.Path + "?" + text
	}
	return q.Path
}

func (q Question) with(f metric.Filter) Question {
	q.Filter = f
	return q
}

// Owning returns the question with one of the page's own parameters set; "" leaves it out.
func (q Question) Owning(name, value string) Question {
	q.Own = maps.Clone(q.Own)
	if q.Own.Set(name, value); value == "" {
		q.Own.Del(name)
	}
	return q
}

// RangeWords names the range and its dates.
func RangeWords(q Question) (name, dates string) {
	f, p := q.Filter, format.Dates{Zone: q.Zone, Now: q.Now}
	from, until := f.Range.Bounds(q.Now, q.Zone)
	last := metric.AddDays(until.Add(-time.Second), 0, q.Zone)
	dates = p.Day(from)
	if !last.Equal(metric.DayOf(from, q.Zone)) {
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
	case from.Day() == 1 && until.Equal(metric.Midnight(from.Year(), from.Month()+1, 1, q.Zone)):
		return from.Format("January 2006"), ""
	}
	return dates, ""
}

// figurePaths are the pages of charts and lists, whose range and filters stay when one goes from one to another.
var figurePaths = []string{
	"/overview", "/conversations", "/flows", "/latency", "/csat", "/intents", "/users", "/compare", "/paths", "/funnel",
}

// Carried is what links to other pages keep of a page's question: its range, filters and comparison.
func Carried(at *url.URL, zone *time.Location) string {
	path := at.Path
	if i := strings.IndexByte(path[min(1, len(path)):], '/'); i > 0 && !strings.HasPrefix(path, "/conversations/") {
		path = path[:i+1]
	}
	if !slices.Contains(figurePaths, path) {
		return ""
	}
	q := at.Query()
	f, err := metric.ParseFilter(q, zone)
	if err != nil {
		return ""
	}
	kept := f.Carried()
	if f.Text != "" && !q.Has("range") && !q.Has("from") { // who searches searches in all history, charts do not
		kept.Range = metric.Range{Days: metric.DefaultDays}
	}
	out := kept.Query()
	if c := q.Get("compare"); c == "no" || slices.Contains(metric.Comparisons, metric.Compare(c)) {
		out.Set("compare", c)
	}
	if len(out) == 0 {
		return ""
	}
	return "?" + out.Encode()
}
