package metric

import (
	"sync/atomic"
	"time"
)

// Midnight returns the first instant of a day in a zone. Days that begin at one o'clock, or twice at midnight, as
// clocks are changed there, are known.
func Midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	want := time.Date(year, month, day, 0, 0, 0, 0, time.UTC) // the same date, with overflowing days put right
	if t.Day() != want.Day() {
		_, t = t.ZoneBounds() // midnight is left out: the day begins where the clock is changed
		return t
	}
	if start, _ := t.ZoneBounds(); !start.IsZero() {
		// Midnight may have come before, if the clock was put back after it.
		before := start.Add(-time.Nanosecond)
		if y, m, d := before.Date(); y == t.Year() && m == t.Month() && d == t.Day() {
			_, was := before.Zone()
			return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Add(-time.Duration(was) * time.Second).In(zone)
		}
	}
	return t
}

// DayOf returns the first instant of the day in which t lies.
func DayOf(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	return Midnight(y, m, d, zone)
}

// AddDays returns the first instant of the day n days after that of t.
func AddDays(t time.Time, n int, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	return Midnight(y, m, d+n, zone)
}

// Bucket is the length of the stretches into which a chart divides its range.
type Bucket string

// weekBegins is the day on which weeks begin.
var weekBegins atomic.Int32

func init() { weekBegins.Store(int32(time.Monday)) }

// WeekBegins is the day on which weeks begin.
func WeekBegins() time.Weekday { return time.Weekday(weekBegins.Load()) }

// WeeksBegin sets the day on which weeks begin, which is a setting of the workspace: before anything is counted by the
// week.
func WeeksBegin(day time.Weekday) { weekBegins.Store(int32(day)) }

// The buckets.
const (
	ByHour  Bucket = "hour"
	ByDay   Bucket = "day"
	ByWeek  Bucket = "week"
	ByMonth Bucket = "month"
)

// Buckets lists them, the shortest first.
var Buckets = []Bucket{ByHour, ByDay, ByWeek, ByMonth}

// maxBuckets is how many a chart has at most; a longer range gets longer ones.
const maxBuckets = 800

// Span is a stretch of time, Until exclusive.
type Span struct{ From, Until time.Time }

// Unfinished tells whether more may come into the span.
func (s Span) Unfinished(now time.Time) bool { return s.Until.After(now) }

// In returns the bucket that suits the length of a range, or the wanted one ("" for none) if that does not make
// too many.
func (b Bucket) In(from, until time.Time) Bucket {
	length := until.Sub(from)
	if b == "" {
		switch {
		case length <= 49*time.Hour:
			b = ByHour
		case length <= 93*24*time.Hour:
			b = ByDay
		case length <= 800*24*time.Hour:
			b = ByWeek
		default:
			b = ByMonth
		}
	}
	for _, step := range []struct {
		bucket Bucket
		length time.Duration
		next   Bucket
	}{{ByHour, time.Hour, ByDay}, {ByDay, 24 * time.Hour, ByWeek}, {ByWeek, 7 * 24 * time.Hour, ByMonth}} {
		if b == step.bucket && length/step.length > maxBuckets {
			b = step.next
		}
	}
	return b
}

// Start returns the start of the bucket in which t lies.
func (b Bucket) Start(t time.Time, zone *time.Location) time.Time {
	l := t.In(zone)
	switch b {
	case ByHour:
		// The hour on the wall, which need not be one of UTC; where the clock is changed, it may be shorter or come
		// twice.
		start := l.Add(
			-time.Duration(l.Minute())*time.Minute - time.Duration(l.Second())*time.Second - time.Duration(l.Nanosecond()),
		)
		if changed, _ := l.ZoneBounds(); !changed.IsZero() && start.Before(changed) {
			return changed.In(zone)
		}
		return start
	case ByWeek:
		y, m, d := l.Date()
		return Midnight(y, m, d-(int(l.Weekday())-int(WeekBegins())+7)%7, zone)
	case ByMonth:
		return Midnight(l.Year(), l.Month(), 1, zone)
	default:
		return DayOf(t, zone)
	}
}

// next returns the start of the bucket after the one that starts at t.
func (b Bucket) next(t time.Time, zone *time.Location) time.Time {
	l := t.In(zone)
	switch b {
	case ByHour:
		end := t.Add(time.Hour - time.Duration(l.Minute())*time.Minute)
		if _, changed := l.ZoneBounds(); !changed.IsZero() && changed.Before(end) {
			return changed.In(zone)
		}
		return end
	case ByWeek:
		return AddDays(t, 7, zone)
	case ByMonth:
		return Midnight(l.Year(), l.Month()+1, 1, zone)
	default:
		return AddDays(t, 1, zone)
	}
}

// Spans divides [from, until) into buckets; the first and the last may be cut off.
func (b Bucket) Spans(from, until time.Time, zone *time.Location) (all []Span) {
	for at := from; at.Before(until); {
		next := b.next(b.Start(at, zone), zone)
		if next.After(until) {
			next = until
		}
		all = append(all, Span{at, next})
		at = next
	}
	return all
}

// Compare is what a range is compared with.
type Compare string

// The comparisons.
const (
	WithPrevious Compare = "previous" // the stretch of the same length before
	WithWeekdays Compare = "weekdays" // so many whole weeks earlier that it ends before the range begins
	WithYear     Compare = "year"     // a year earlier
)

// Comparisons lists them.
var Comparisons = []Compare{WithPrevious, WithWeekdays, WithYear}

// before returns what lies before a moving range: the month before a month. Of one that is not over as much is taken as
// has passed.
func (r Range) before(now time.Time, zone *time.Location) Range {
	from, until := r.Moving.bounds(0, now, zone)
	out := r.Shift(-1, now, zone)
	if !until.After(now) {
		return out
	}
	l, f := now.Truncate(time.Minute).In(zone), out.From
	days := int(DayOf(l, zone).Sub(from).Round(24*time.Hour) / (24 * time.Hour))
	at := AddDays(f, days, zone)
	at = time.Date(at.Year(), at.Month(), at.Day(), l.Hour(), l.Minute(), 0, 0, zone)
	if at.Before(out.Until) {
		out.Until = at
	}
	if !out.Until.After(out.From) {
		out.Until = out.From.Add(time.Minute)
	}
	return out
}

// Of returns the range to compare with. Of a range that is not over as much is taken as has passed.
func (c Compare) Of(r Range, now time.Time, zone *time.Location) Range {
	from, until := r.Bounds(now, zone)
	if r.Moving != "" && c == WithPrevious {
		return r.before(now, zone)
	}
	days := int(until.Sub(from).Round(24*time.Hour) / (24 * time.Hour))
	shift := func(t time.Time) time.Time {
		l := t.In(zone)
		if whole := t.Equal(DayOf(t, zone)); whole && c == WithYear {
			return Midnight(l.Year()-1, l.Month(), l.Day(), zone)
		} else if whole && c == WithWeekdays {
			return AddDays(t, -max(7, (days+6)/7*7), zone)
		} else if whole && (r.Days > 0 || r.Dates()) {
			return AddDays(t, -days, zone)
		}
		switch {
		case c == WithYear:
			l = l.AddDate(-1, 0, 0)
		case c == WithWeekdays:
			l = l.AddDate(0, 0, -max(7, (days+6)/7*7))
		case r.Days == 0 && !r.Dates():
			return t.Add(-until.Sub(from))
		default:
			l = l.AddDate(0, 0, -days)
		}
		return l
	}
	out := Range{From: shift(from), Until: shift(until)}
	if until.After(now) && from.Before(now) {
		out.Until = shift(now.Truncate(time.Minute))
	}
	if !out.Until.After(out.From) {
		out.Until = out.From.Add(time.Minute)
	}
	return out
}

// End returns the end of the bucket in which t lies.
func (b Bucket) End(t time.Time, zone *time.Location) time.Time {
	return b.next(b.Start(t, zone), zone)
}

// Before returns the time so many days earlier: of a first instant of a day that of another.
func Before(t time.Time, days int, zone *time.Location) time.Time {
	if t.Equal(DayOf(t, zone)) {
		return AddDays(t, -days, zone)
	}
	return t.In(zone).AddDate(0, 0, -days)
}
