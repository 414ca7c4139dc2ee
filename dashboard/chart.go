package dashboard

import (
	"fmt"
	"time"

	"turnwise/format"
	"turnwise/metric"
)

// Chart is a picture of figures with the table of the same figures. The script static/charts.js draws it from its
// spec, here and wherever pictures are made.
type Chart struct {
	ID, Title, Quiet string
	Foot             string // what is odd about these data
	Kind             ChartKind
	Unit             Unit
	Main             string // series that is drawn boldest
	X                []Tick
	Series           []Series
	Before           *Series // of the compared period, drawn as a grey step line
	Markers          []Marker
	First            string // head of the table's first column
	Wide             bool
}

// ChartKind is how a chart looks.
type ChartKind string

// Tick is a place on the chart's lower axis.
type Tick struct {
	Label, Long string
	Unfinished  bool
	From, Until string // of its stretch of time, for zooming; "" when it is none
}

// The kinds of charts.
const (
	Stacked ChartKind = "stack" // bars of counts, one on the other
	Lines   ChartKind = "lines"
	Heat    ChartKind = "heat" // a row a series, a column a tick
)

// Series is what a chart draws in one colour.
type Series struct {
	Name, Color string // the colour's token
	Values      []Value
	Link        string // to all its conversations
	Share       string // of the whole
	N           int64
}

// Marker is something that happened: a release, a change.
type Marker struct {
	At   int // index of the tick
	Name string
}

// Drawn tells whether there is anything to draw.
func (c *Chart) Drawn() bool {
	for _, s := range c.Series {
		for _, v := range s.Values {
			if !v.None && (v.V != 0 || c.Unit != Counts) {
				return true
			}
		}
	}
	return false
}

// HasBase tells whether the values have a base.
func (c *Chart) HasBase() bool {
	for _, s := range c.Series {
		for _, v := range s.Values {
			if v.Base != "" {
				return true
			}
		}
	}
	return false
}

// Ticks are those of buckets of time.
func Ticks(p format.Dates, spans []metric.Span, b metric.Bucket) []Tick {
	ticks := make([]Tick, len(spans))
	for i, s := range spans {
		from, last := s.From.In(p.Zone), s.Until.Add(-time.Second).In(p.Zone)
		t := Tick{Unfinished: s.Unfinished(p.Now), Label: from.Format("2 Jan"), Long: from.Format("Mon 2 Jan 2006")}
		switch b {
		case metric.ByHour:
			t.Label, t.Long = from.Format("15:04"), from.Format("Mon 2 Jan 2006, 15:04 MST")
		case metric.ByWeek:
			t.Long = from.Format("2 Jan") + " – " + last.Format("2 Jan 2006")
		case metric.ByMonth:
			t.Label, t.Long = from.Format("Jan 06"), from.Format("January 2006")
		case metric.ByDay:
		}
		t.From, t.Until = from.Format(time.RFC3339), s.Until.In(p.Zone).Format(time.RFC3339)
		if s.From.Equal(metric.DayOf(s.From, p.Zone)) && s.Until.Equal(metric.DayOf(s.Until, p.Zone)) {
			t.From, t.Until = from.Format(time.DateOnly), last.Format(time.DateOnly)
		}
		ticks[i] = t
	}
	return ticks
}

// HourTick is an hour of the day.
func HourTick(h int) Tick {
	return Tick{Label: fmt.Sprint(h), Long: fmt.Sprintf("%02d:00–%02d:00", h, h+1)}
}
