package report

import (
	"fmt"
	"time"

	"turnwise/metric"
)

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
