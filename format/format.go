// Package format says how numbers, times and states are written for people.
package format

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"turnwise/metric"
)

// Percent writes a rate: with one decimal, whole for a small base.
func Percent(r metric.Rate) string {
	v, ok := r.Value()
	if !ok {
		return None
	}
	return Share(v, r.Few())
}

// Share writes a share from 0 to 1: with one decimal, whole where it is of few.
func Share(v float64, few bool) string {
	if few {
		return Decimal(v*100, 0) + "%"
	}
	return Decimal(v*100, 1) + "%"
}

// IntervalText writes the 95 % interval of a rate in whole percents: 35–72%.
func IntervalText(r metric.Rate) string {
	low, high := r.Interval()
	return strconv.FormatFloat(low*100, 'f', 0, 64) + "–" + strconv.FormatFloat(high*100, 'f', 0, 64) + "%"
}

// BucketName says how long the buckets are.
func BucketName(b metric.Bucket) string {
	switch b {
	case metric.ByHour:
		return "an hour"
	case metric.ByWeek:
		return "a week, from " + metric.WeekBegins().String()
	case metric.ByMonth:
		return "a month"
	default:
		return "a day"
	}
}

// None stands where there is no value.
const None = "–"

// numbers is how numbers are written: what stands between thousands, and before tenths.
var numbers atomic.Pointer[[2]string]

func init() { WriteNumbers(",", ".") }

// WriteNumbers sets how numbers are written, which is a setting of the workspace: what stands between thousands, and
// before tenths.
func WriteNumbers(thousands, point string) { numbers.Store(&[2]string{thousands, point}) }

// NumberSigns are the two, for what is drawn by scripts.
func NumberSigns() string { return numbers.Load()[0] + numbers.Load()[1] }

// Count writes a number in full, with thousands apart: 45,914.
func Count[T int | int32 | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + numbers.Load()[0] + s[i:]
	}
	return s
}

// Decimal writes a number with so many digits behind the point.
func Decimal(v float64, places int) string {
	return strings.Replace(strconv.FormatFloat(v, 'f', places, 64), ".", numbers.Load()[1], 1)
}

// Millis writes milliseconds: 840 ms, 2.4 s, 48 s, 3 m 12 s.
func Millis(ms float64) string {
	if math.Abs(ms) < 999.5 {
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return Span(time.Duration(ms * float64(time.Millisecond)))
}

// Bound writes a bound by which response times are counted, to four digits.
func Bound(ms float64) string {
	if ms < 999.95 {
		return strconv.FormatFloat(ms, 'g', 4, 64) + " ms"
	}
	return strconv.FormatFloat(ms/1000, 'g', 4, 64) + " s"
}

// Span writes a length of time: 2.4 s, 48 s, 3 m 12 s, 1 h 05 m, 3 d 4 h.
func Span(d time.Duration) string {
	s := d.Seconds()
	switch {
	case s < 0.0005:
		return "0 s"
	case s < 0.9995:
		return strconv.FormatFloat(s*1000, 'f', 0, 64) + " ms"
	case s < 9.95:
		return Decimal(s, 1) + " s"
	case s < 59.5:
		return strconv.FormatFloat(s, 'f', 0, 64) + " s"
	}
	n := int(math.Round(s))
	switch {
	case n < 3600:
		return fmt.Sprintf("%d m %02d s", n/60, n%60)
	case n < 86400:
		return fmt.Sprintf("%d h %02d m", n/3600, n%3600/60)
	}
	return fmt.Sprintf("%d d %d h", n/86400, n%86400/3600)
}

// Ago writes how long ago a moment was.
func Ago(t *time.Time, now time.Time) string {
	if t == nil {
		return "never"
	}
	d := now.Sub(*t)
	if d < time.Second {
		return "now"
	}
	return Span(d.Truncate(time.Second)) + " ago"
}

// Plural writes a number with its noun.
func Plural(n int64, one, many string) string {
	if n == 1 {
		return Count(n) + " " + one
	}
	return Count(n) + " " + many
}

// Shorten cuts a text after so many characters; then it ends with an ellipsis.
func Shorten(text string, most int) string {
	n := 0
	for i := range text {
		if n == most {
			return text[:i] + "…"
		}
		n++
	}
	return text
}

// Size writes a number of bytes.
func Size(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " bytes"
	case n < 1_000_000:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 0, 64) + " kB"
	case n < 1_000_000_000:
		return Decimal(float64(n)/1e6, 1) + " MB"
	}
	return Decimal(float64(n)/1e9, 2) + " GB"
}

// SilentCount is how many conversations an assistant had without a hand-off, as far as they are counted.
func SilentCount(n int64) string {
	if n >= 10000 {
		return "10,000 conversations or more"
	}
	return Plural(n, "conversation", "conversations")
}

// Dates write moments, as they are seen from a moment in a time zone.
type Dates struct {
	Zone *time.Location
	Now  time.Time
}

// Day writes a date, the year only if it is not this one: 21 Nov.
func (p Dates) Day(t time.Time) string {
	t = t.In(p.Zone)
	if t.Year() == p.Now.In(p.Zone).Year() {
		return t.Format("2 Jan")
	}
	return t.Format("2 Jan 2006")
}

// Moment writes a date and a time of day, for lists: the time alone today.
func (p Dates) Moment(t time.Time) string {
	t = t.In(p.Zone)
	now := p.Now.In(p.Zone)
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04")
	}
	return p.Day(t) + t.Format(", 15:04")
}

// Exact writes a date and a time of day with seconds.
func (p Dates) Exact(t time.Time) string { return t.In(p.Zone).Format("2 Jan 2006, 15:04:05") }

// Clock writes the time of day with seconds.
func (p Dates) Clock(t time.Time) string { return t.In(p.Zone).Format("15:04:05") }
